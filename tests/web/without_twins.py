"""The tests of the contract that call no twin in their second run, each with the reason. Not here: how a request
becomes a call (`through_twins`)."""

from __future__ import annotations

_DOCUMENT = "the API document is a page about the operations and none of them"
_MAILBOX = "development's mailbox is no operation"
_PATHS = "a method or path that leads to no operation has no name"

WITHOUT = {
    "test_the_document": _DOCUMENT,
    "test_the_document_can_be_switched_off": _DOCUMENT,
    "test_a_wrong_method_gets_the_allowed_ones": _PATHS,
    "test_what_is_no_endpoint": _PATHS,
    "test_mails_are_for_this_machine_only": _MAILBOX,
    "test_mails_under_every_name_of_this_machine": _MAILBOX,
    "test_mails_for_nobody_else": _MAILBOX,
    "test_mails_for_every_loopback_peer": _MAILBOX,
    "test_cors_is_closed_by_default": "a twin answers no OPTIONS",
}
