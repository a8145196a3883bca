"""The responses that a right request gets under each broken rule, as rows that many endpoints share.

Which endpoint has which row is in `api`, `pages` and `factors`; how a rule is broken is in the matrix.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Rule(StrEnum):
    """`second`: a second factor that the person has was not proved. `throttled`: what strangers at this origin may do
    is used up. `waits`: the wait after the last refusal is not over. `locked`: so many answers were refused that even a
    right one is. `person`, `tenant`: disabled. `others`: the id or answer belongs to somebody else. `stale`: hours
    later. `handle`: the handle of a pending sign-in is sent in place of the request's own secret; `session`: the token
    of a live session is."""

    SECOND = "second"
    THROTTLED = "throttled"
    WAITS = "waits"
    LOCKED = "locked"
    PERSON = "person"
    TENANT = "tenant"
    OTHERS = "others"
    STALE = "stale"
    HANDLE = "handle"
    SESSION = "session"


BUDGETS = (Rule.THROTTLED, Rule.WAITS, Rule.LOCKED)
"""Rules about budgets. Where a row does not name one of them, a right request succeeds although it is broken."""


class Expected(NamedTuple):
    """The status, and `word`: the code of the refusal, or the target of a redirect. `opens`: tables that get new rows
    although the rule is broken, because the response must be the same for everybody."""

    status: int
    word: str = ""
    opens: tuple[str, ...] = ()


Row = dict[Rule, Expected]
"""A rule that a row does not name is not tested at that endpoint."""

BEGUN = ("sign_in", "ticket", "outbox")
INVALID, ENDED = Expected(401, "handle_invalid"), Expected(401, "session_ended")
REFUSED, STEP_UP = Expected(403, "proof_refused"), Expected(401, "insufficient_user_authentication")
CLOSED, NOT_FOUND = Expected(403, "signup_closed"), Expected(404, "not_found")
UNOFFERED, MISSING = Expected(409, "factor_not_offered"), Expected(409, "proof_missing")
THROTTLED = Expected(429, "throttled")

_START: Row = {Rule.TENANT: CLOSED, Rule.THROTTLED: THROTTLED}
ALIKE: dict[int, Row] = {status: {**_START, Rule.PERSON: Expected(status, "", BEGUN)} for status in (201, 202)}
"""Starting a sign-in gets the same response for a disabled person, so it does not disclose who is disabled."""
TO_PASSWORD: Row = {**_START, Rule.PERSON: Expected(303, "/signin/password", BEGUN)}
TO_CODE: Row = {**_START, Rule.PERSON: Expected(303, "/signin/email-code", BEGUN)}
HANDLE: Row = {Rule.TENANT: INVALID, Rule.STALE: INVALID, Rule.SESSION: INVALID}
_ANSWER: Row = {**HANDLE, Rule.THROTTLED: THROTTLED}
ASK: Row = {**_ANSWER, Rule.PERSON: Expected(200, "", ("ticket", "outbox"))}
PASSWORD: Row = {**_ANSWER, Rule.WAITS: THROTTLED, Rule.LOCKED: REFUSED, Rule.PERSON: REFUSED}
LADDER: Row = {**PASSWORD, Rule.OTHERS: REFUSED}
PROVE: Row = {**_ANSWER, Rule.OTHERS: REFUSED, Rule.PERSON: REFUSED}
BIRTH: Row = {**_ANSWER, Rule.OTHERS: REFUSED, Rule.LOCKED: REFUSED}
MAILED: Row = {**BIRTH, Rule.PERSON: REFUSED}
"""A mailed code is new each time: no waits, but so many refused ones a day."""
NEW_PASSWORD: Row = {**_ANSWER, Rule.PERSON: INVALID, Rule.SECOND: REFUSED}
SET_UP: Row = {**_ANSWER, Rule.PERSON: INVALID, Rule.OTHERS: REFUSED}
FINISH: Row = {**HANDLE, Rule.PERSON: INVALID, Rule.SECOND: MISSING}
COMPLETE: Row = {
    Rule.TENANT: INVALID,
    Rule.STALE: INVALID,
    Rule.THROTTLED: THROTTLED,
    Rule.OTHERS: REFUSED,
    Rule.PERSON: REFUSED,
}
"""Without a handle: a challenge that can't be completed here is as unknown as one that nobody drew."""
CARRIED: Row = {Rule.PERSON: ENDED, Rule.TENANT: ENDED, Rule.HANDLE: Expected(401, "credential_invalid")}
FRESH: Row = {**CARRIED, Rule.SECOND: STEP_UP, Rule.STALE: STEP_UP}
STALE_OR_OUT: Row = {**CARRIED, Rule.STALE: STEP_UP}
"""Of somebody who has no second factor that could be missing."""
BY_ID: Row = {**FRESH, Rule.OTHERS: NOT_FOUND}
BY_CODE: Row = {**FRESH, Rule.OTHERS: REFUSED, Rule.WAITS: THROTTLED}
"""The person was just shown what to answer with: waits, and never closed. A session spends nothing of its origin's."""
BY_MAILED_CODE: Row = {**FRESH, Rule.OTHERS: REFUSED, Rule.LOCKED: REFUSED}

PENDING_PAGE: Row = {Rule.TENANT: INVALID, Rule.STALE: INVALID, Rule.SESSION: INVALID}
OUT = Expected(303, "/signin")
VISITOR: Row = {Rule.PERSON: OUT, Rule.TENANT: OUT, Rule.HANDLE: OUT}
AGAIN = Expected(303, "/signin/password", ("sign_in",))
"""A page that needs a fresh proof redirects to the start of one."""
FRESH_PAGE: Row = {**VISITOR, Rule.STALE: AGAIN, Rule.SECOND: AGAIN}
STALE_PAGE: Row = {**VISITOR, Rule.STALE: AGAIN}

CODE_PAGE: Row = {**FRESH_PAGE, Rule.OTHERS: REFUSED, Rule.WAITS: THROTTLED}
MAILED_CODE_PAGE: Row = {**FRESH_PAGE, Rule.OTHERS: REFUSED, Rule.LOCKED: REFUSED}
_ANSWER_PAGE: Row = {**PENDING_PAGE, Rule.PERSON: REFUSED, Rule.THROTTLED: THROTTLED}
PROVE_PAGE: Row = {**_ANSWER_PAGE, Rule.OTHERS: REFUSED}
MAILED_PAGE: Row = {**PROVE_PAGE, Rule.LOCKED: REFUSED}
PASSWORD_PAGE: Row = {**_ANSWER_PAGE, Rule.WAITS: THROTTLED, Rule.LOCKED: REFUSED}
LADDER_PAGE: Row = {**PASSWORD_PAGE, Rule.OTHERS: REFUSED}
PEEK: Row = dict.fromkeys((Rule.TENANT, Rule.STALE, Rule.SESSION), OUT) | {Rule.PERSON: INVALID}
NEW = Expected(200, "", ("sign_in", "ticket"))
OPTIONS: Row = {**_START, Rule.PERSON: NEW, Rule.STALE: NEW, Rule.SESSION: NEW}
"""Without a pending sign-in, asking for options starts one."""
