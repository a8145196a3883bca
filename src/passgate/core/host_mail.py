"""Mails of a host program: what one may be, its id, and sending it at once. Whoever calls repeats what failed.

Not here: our own mails (`mail`), which wait in the outbox, and the jobs that send a host's (`host_jobs`).
"""

from __future__ import annotations

import logging
from typing import Any

from passgate.core import people
from passgate.core.ctx import Services
from passgate.core.message import CONTROL, Mailer, MailFailed, Message
from passgate.errors import Invalid, Unavailable
from passgate.seal import digest

log = logging.getLogger(__name__)

KIND = "host"
_LONGEST_ADDRESS, _LONGEST_SUBJECT, _LONGEST_TEXT, _LONGEST_ID = 320, 200, 100_000, 100


async def send(services: Services, mailer: Mailer, to: str, *, subject: str, text: str, id: str) -> None:
    """Returns once the mailer has accepted the mail. Raises ValueError for what a program must not ask for,
    Unavailable("mail") for a failure that may pass, and Invalid if the mail is refused for good."""
    message = Message(
        id=_uuid(services, id),
        kind=KIND,
        to=_address(to),
        subject=_subject(subject),
        text=_text(text),
        html=None,
        code=None,
        link=None,
        created_at=services.world.now(),
    )
    is_permanent = await _refused(mailer, message)
    if is_permanent is not None:
        # Raised here, with no error before it in the chain, which a host may log: mail servers repeat the address.
        raise Invalid({"to": "value"}) if is_permanent else Unavailable("mail")


async def _refused(mailer: Mailer, message: Message) -> bool | None:
    """None if it was accepted, else whether it is refused for good."""
    try:
        await mailer.send(message)
    except MailFailed as failure:
        failure.log(log, mail=message.id, kind=KIND)
        return failure.permanent
    return None


# What is wrong is said without the value, which may be personal.


def _uuid(services: Services, name: Any) -> str:
    """A UUIDv8 (RFC 9562 §5.8) of the host's name for the mail, the same in every process of the installation. Ours
    are UUIDv7, so none is equal."""
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_ID or not name.isprintable():
        raise ValueError(f"id has 1 to {_LONGEST_ID} printable characters")
    raw = bytearray(services.ring.stable_mac(digest(b"host mail", name.encode()))[:16])
    raw[6], raw[8] = 0x80 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _address(to: Any) -> str:
    """As sign-up takes it."""
    if isinstance(to, str) and len(to) <= _LONGEST_ADDRESS:
        try:
            return people.address(to).text
        except Invalid:
            pass
    raise ValueError("to is one email address without a name")


def _subject(subject: Any) -> str:
    if not isinstance(subject, str) or not 1 <= len(subject) <= _LONGEST_SUBJECT:
        raise ValueError(f"subject has 1 to {_LONGEST_SUBJECT} characters")
    if not subject.strip() or CONTROL.search(subject):
        raise ValueError("subject is one line that can be read, without control characters")
    return subject


def _text(text: Any) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST_TEXT:
        raise ValueError(f"text has 1 to {_LONGEST_TEXT} characters")
    if any("\ud800" <= one <= "\udfff" for one in text):
        raise ValueError("text has halves of characters, which have no encoding")
    return text
