"""The entries of the pages and of the endpoints that pages send forms to.

Endpoints of the API are in `api`; what the page of a typed factor adds comes from `factors`.
"""

from __future__ import annotations

from tests.catalogue import actions_account as own
from tests.catalogue import actions_signin as ways
from tests.catalogue import asks_pages as asks
from tests.catalogue import stops_account as account
from tests.catalogue import stops_signin as signin
from tests.catalogue.admin import ADMIN
from tests.catalogue.api import DEVELOPER, STRANGER
from tests.catalogue.entry import NOTHING, Entry, Right, Stop, Writes
from tests.catalogue.invitations import INVITATION_PAGES
from tests.catalogue.outcomes import (
    CODE_PAGE,
    FRESH_PAGE,
    INVALID,
    MAILED_CODE_PAGE,
    NOT_FOUND,
    OPTIONS,
    PASSWORD_PAGE,
    PEEK,
    PENDING_PAGE,
    PROVE_PAGE,
    REFUSED,
    SET_UP,
    STALE_PAGE,
    STEP_UP,
    THROTTLED,
    TO_CODE,
    TO_PASSWORD,
    VISITOR,
    Expected,
    Rule,
)

ANONYMOUS, PENDING, VISITING, LINK = "anonymous_visitor", "pending_visitor", "visitor", "link"
LEAVING = "leaving_visitor"
PERSON, MEMBER, STALE = "person", "member", "stale"

_LEADS_ON = Entry(STRANGER, NOTHING, leads_on=True)


_LIMITED = {Rule.THROTTLED: THROTTLED}
_MAILED_LINK = dict.fromkeys((Rule.PERSON, Rule.TENANT, Rule.STALE, Rule.HANDLE, Rule.SESSION), INVALID)
"""It works for an hour, and no budget limits it: nobody guesses it."""


def shows(*stops: Stop, who: str = VISITING) -> Entry:
    """A page that is only displayed."""
    return Entry(who, NOTHING, stops=stops)


def does(right: Right, *writes: Writes, who: str = VISITING) -> Entry:
    return Entry(who, (right,), writes)


BEFORE: dict[str, Entry] = {
    "GET /login": _LEADS_ON,
    "POST /login": _LEADS_ON,
    "GET /.well-known/change-password": _LEADS_ON,
    "GET /signin": shows(
        Stop("signin", signin.open_page),
        Stop("signin", signin.already_in, MEMBER),
        Stop("signin:invalid", signin.no_address),
        who=ANONYMOUS,
    ),
    "POST /signin": does(Right(asks.page_signs_in, 303, TO_PASSWORD), who=ANONYMOUS),
    "GET /signup": shows(Stop("signup", signin.first), Stop("signup:password_refused", signin.weak), who=ANONYMOUS),
    "POST /signup": does(Right(asks.page_signs_up, 303, TO_CODE), who=ANONYMOUS),
    "GET /recover": shows(Stop("recover", signin.lost), Stop("recover:invalid", signin.lost_no_address), who=ANONYMOUS),
    "POST /recover": does(Right(asks.page_recovers, 303, TO_CODE), who=ANONYMOUS),
    "GET /recover/waiting": shows(Stop("recover-waiting", signin.waiting, MEMBER), who=PENDING),
    "GET /recover/stop/{token}": _LEADS_ON,
    "GET /recover/stop": shows(
        Stop("recover-stop", signin.stop_link, PERSON), Stop("recover-stop", signin.stopped, PERSON), who=LINK
    ),
    "POST /recover/stop": does(Right(asks.page_stops, 303), Writes(ways.stop, 6), who=LINK),
    "GET /signin/link/{token}": _LEADS_ON,
    "GET /signin/link": shows(
        Stop("signin-link", signin.link, PERSON),
        Stop("signin-link", signin.mailed_link, PERSON),
        Stop("signin-link:handle_invalid", signin.no_link),
        who=LINK,
    ),
    "POST /signin/link": does(
        Right(
            asks.page_enters_by_link,
            303,
            dict.fromkeys((Rule.PERSON, Rule.TENANT, Rule.HANDLE, Rule.SESSION), INVALID),
        ),
        Writes(ways.open_link, 3, on_postgres=True),
        Writes(ways.open_link_to_recover, 3),
        Writes(ways.open_link_of_admins, 3),
        who=LINK,
    )
    + does(
        Right(asks.page_goes_on_by_mailed_link, 303, _MAILED_LINK),
        Writes(ways.open_mailed_link, 5, on_postgres=True),
        Writes(ways.open_mailed_link_to_recover, 5),
        who=LINK,
    )
    + does(Right(asks.page_enters_by_mailed_link, 303, _MAILED_LINK), who=LINK),
    "GET /signout": shows(Stop("signout", signin.leave, MEMBER), Stop("signout", signin.left), who=STRANGER),
    "POST /signout": does(Right(asks.page_signs_out, 303), who=LEAVING),
    "GET /dev/mail": shows(Stop("dev-mail", signin.mailbox, PERSON), who=DEVELOPER),
}

PROVING: dict[str, Entry] = {
    "GET /signin/password": shows(
        Stop("signin-password", signin.step_up, STALE),
        Stop("new-password", signin.new_password, PERSON),
        Stop("new-password:password_refused", signin.weak_new_password, PERSON),
        Stop("error:handle_invalid", signin.too_late),
        who=PENDING,
    ),
    "POST /signin/password": Entry(
        PENDING,
        (
            Right(asks.page_opens_session, 303, PASSWORD_PAGE),
            Right(
                asks.page_new_password,
                303,
                {**PENDING_PAGE, **_LIMITED, Rule.PERSON: INVALID, Rule.SECOND: Expected(422, "invalid")},
            ),
        ),
    ),
    "GET /signin/email-code": shows(
        Stop("signin-email-code", signin.sent_again),
        Stop("signin-email-code", signin.mailed_as_second, MEMBER),
        who=PENDING,
    ),
    "POST /signin/email-code/again": does(Right(asks.page_code_again, 303, {**PENDING_PAGE, **_LIMITED}), who=PENDING),
    "POST /signin/passkey/options": does(Right(asks.page_options, 200, OPTIONS), who=ANONYMOUS),
    "GET /signin/passkey": shows(
        Stop("signin-passkey", signin.passkey, MEMBER),
        Stop("signin-passkey:proof_refused", signin.no_passkey, PERSON),
        Stop("signin-passkey", signin.passkey_to_make),
        who=PENDING,
    ),
    "POST /signin/passkey": Entry(
        PENDING,
        (
            Right(asks.page_passkey, 303, PROVE_PAGE),
            Right(asks.page_sets_up_passkey, 303, {**SET_UP, Rule.SECOND: Expected(303, "/signin/totp")}),
        ),
    ),
    "GET /signin/totp": Entry(
        PENDING, (Right(asks.page_shows_app, 200, PEEK),), stops=(Stop("signin-totp", signin.app_to_set_up, PERSON),)
    ),
    "POST /signin/totp": does(Right(asks.page_sets_up_app, 303, SET_UP), who=PENDING),
    "POST /signin/totp/offer": does(
        Right(asks.page_offers_app, 303, {**PENDING_PAGE, **_LIMITED, Rule.PERSON: INVALID}), who=PENDING
    ),
}

ACCOUNT: dict[str, Entry] = {
    "GET /": Entry(VISITING, NOTHING, leads_on=True),
    "GET /account": shows(
        Stop("account", account.named, MEMBER),
        Stop("account", account.unconfirmed, MEMBER),
        Stop("error:not_found", signin.nowhere),
    ),
    "POST /account": does(Right(asks.page_changes_name, 303)),
    "GET /account/confirm": shows(
        Stop("account-confirm", account.confirming, MEMBER),
        Stop("error:insufficient_user_authentication", account.below_the_rules, MEMBER),
        who=LEAVING,
    ),
    "POST /account/confirm": does(Right(asks.page_confirms, 303, VISITOR), who=LEAVING),
    "GET /account/password": shows(
        Stop("account-password", account.own_password, MEMBER),
        Stop("account-password", account.own_password_unproved, STALE),
        Stop("account-password:password_refused", account.own_password_weak, MEMBER),
    ),
    "POST /account/password": does(Right(asks.page_sets_password, 303, FRESH_PAGE)),
    "GET /account/username": shows(
        Stop("account-username", account.naming_unproved, STALE),
        Stop("account-username:invalid", account.naming_wrong, MEMBER),
    ),
    "POST /account/username": does(Right(asks.page_chooses_username, 303, FRESH_PAGE)),
    "GET /account/address": shows(
        Stop("account-address", account.moving_unproved, STALE),
        Stop("account-address:invalid", account.moving_nowhere, MEMBER),
    ),
    "POST /account/address": does(Right(asks.page_moves, 303, FRESH_PAGE)),
    "GET /account/address/code": shows(
        Stop("account-address-code", account.moving, MEMBER),
        Stop("account-address-code:proof_refused", account.moving_refused, MEMBER),
    ),
    "POST /account/address/code": does(Right(asks.page_has_moved, 303, MAILED_CODE_PAGE)),
    "GET /account/undo/{token}": _LEADS_ON,
    "GET /account/undo": shows(
        Stop("account-undo", account.taking_back, MEMBER),
        Stop("account-undo:handle_invalid", account.taken_back, MEMBER),
        who=LINK,
    ),
    "POST /account/undo": does(
        Right(asks.page_undoes, 303, dict.fromkeys((Rule.PERSON, Rule.HANDLE, Rule.SESSION), INVALID)),
        Writes(own.undo_begins, 7),
        Writes(own.undo, 20),
        who=LINK,
    ),
    "GET /account/sessions": shows(
        Stop("account-sessions", account.sessions, MEMBER), Stop("account-sessions", account.sessions_ended, MEMBER)
    ),
    "POST /account/sessions": does(Right(asks.page_ends_others, 303)),
    "POST /account/sessions/{id}": does(Right(asks.page_ends_one, 303)),
    "GET /account/activity": shows(Stop("account-activity", account.activity, MEMBER)),
    "GET /account/export": shows(Stop("account-export", account.own_data, MEMBER)),
    "POST /account/export": does(Right(asks.page_exports, 200)),
    "GET /account/delete": shows(
        Stop("account-delete", account.leaving, MEMBER), Stop("account-delete", account.leaving_unproved, STALE)
    ),
    "POST /account/delete": does(Right(asks.page_leaves, 303, FRESH_PAGE)),
}

FACTORS: dict[str, Entry] = {
    "GET /account/factors": shows(
        Stop("account-factors", account.no_factors, MEMBER),
        Stop("account-factors", account.factors, MEMBER),
        Stop("account-factors", account.locked, MEMBER),
        Stop("account-factors", account.unlocked, MEMBER),
    ),
    "POST /account/factors/unlock": does(Right(asks.page_unlocks, 303, {**FRESH_PAGE, Rule.OTHERS: NOT_FOUND})),
    "GET /account/passkeys/new": shows(
        Stop("account-passkey-new", account.new_passkey, MEMBER),
        Stop("account-passkey-new", account.new_passkey_unproved, STALE),
    ),
    "POST /account/passkeys/options": does(
        Right(asks.page_passkey_options, 200, {**VISITOR, Rule.SECOND: STEP_UP, Rule.STALE: STEP_UP})
    ),
    "POST /account/passkeys": does(Right(asks.page_adds_passkey, 303, CODE_PAGE)),
    "GET /account/passkeys/{id}": shows(Stop("account-passkey", account.own_passkey, MEMBER)),
    "POST /account/passkeys/{id}": does(Right(asks.page_renames_passkey, 303, {**FRESH_PAGE, Rule.OTHERS: NOT_FOUND})),
    "GET /account/passkeys/{id}/remove": shows(Stop("account-passkey-remove", account.passkey_leaving, MEMBER)),
    "POST /account/passkeys/{id}/remove": does(
        Right(asks.page_removes_passkey, 303, {**FRESH_PAGE, Rule.OTHERS: NOT_FOUND})
    ),
    "GET /account/totp": Entry(
        VISITING,
        (Right(asks.page_shows_own_app, 200, {**VISITOR, Rule.SECOND: Expected(200), Rule.STALE: Expected(200)}),),
        stops=(
            Stop("account-totp", account.new_app, MEMBER),
            Stop("account-totp", account.another_app, MEMBER),
            Stop("account-totp", account.app_again, MEMBER),
        ),
    ),
    "POST /account/totp/offer": does(Right(asks.page_begins_app, 303, FRESH_PAGE)),
    "POST /account/totp/show": does(Right(asks.page_displays_app, 200, FRESH_PAGE)),
    "POST /account/totp": does(Right(asks.page_proves_app, 303, CODE_PAGE)),
    "GET /account/totp/remove": shows(Stop("account-totp-remove", account.app_leaving, MEMBER)),
    "POST /account/totp/remove": does(Right(asks.page_removes_app, 303, FRESH_PAGE)),
    "GET /account/email-code": shows(
        Stop("account-email-code", account.mailed_codes_off, MEMBER),
        Stop("account-email-code", account.mailed_code_sent, MEMBER),
        Stop("account-email-code:proof_refused", account.mailed_code_wrong, MEMBER),
        Stop("account-email-code", account.mailed_codes_on, MEMBER),
        Stop("account-email-code", account.mailed_codes_unproved, STALE),
    ),
    "POST /account/email-code/send": does(Right(asks.page_sends_code, 303, STALE_PAGE)),
    "POST /account/email-code": does(
        Right(asks.page_turns_on_mailed_codes, 303, {**STALE_PAGE, Rule.OTHERS: REFUSED, Rule.LOCKED: REFUSED})
    ),
    "POST /account/email-code/remove": does(Right(asks.page_turns_off_mailed_codes, 303, STALE_PAGE)),
    "GET /account/recovery-codes": shows(
        Stop("account-recovery-codes", account.no_codes, MEMBER),
        Stop("account-recovery-codes", account.ten_codes, MEMBER),
    ),
    "POST /account/recovery-codes": does(Right(asks.page_makes_codes, 200, FRESH_PAGE)),
    "POST /account/browsers": does(Right(asks.page_forgets, 303)),
    "POST /account/browsers/{id}": does(Right(asks.page_forgets_one, 303)),
}

PAGES = BEFORE | INVITATION_PAGES | PROVING | ACCOUNT | FACTORS | ADMIN
