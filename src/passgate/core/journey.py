"""The purposes of a sign-in: signing in, signing up, recovery, step-up, undo. One frozen value each, with all its
properties.

Not here: running a pending sign-in (`signin`) and what it requires (`policy`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from passgate.core import policy
from passgate.core.events import Event
from passgate.core.factor import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """`name` is stored in the pending sign-in; code tests the properties, never the name."""

    name: str
    checks: tuple[policy.Check, ...]
    completed: Event
    code_mail: str
    """The kind of mail that carries a code."""
    no_code_mail: str = "recovery_none"
    """The kind sent instead if no code may succeed."""
    mails_at_start: bool = False
    """The code is sent at the start, to the entered address."""
    mails_link: bool = False
    """Beside the code its mail carries a link, which begins the reader's own sign-in of this kind."""
    start: str = "/signin"
    """The path of its first page."""
    makes_person: bool = False
    is_recovery: bool = False
    is_step_up: bool = False
    is_undo: bool = False
    """It takes back changes, by what stood before them. Also a recovery."""
    is_by_challenge: bool = False
    """Whoever answers its passkey challenge may prove and finish it without the handle."""
    may_be_remembered: bool = False
    """A remembered browser may waive the second factor, and this sign-in may have its browser remembered."""
    # The order in which pages list the alternatives of a Need.
    by_first: Callable[[Order], int] = lambda order: order.first
    by_next: Callable[[Order], int] = lambda order: order.second
    by_set_up: Callable[[Order], int] = lambda order: order.second


SIGN_IN = Journey(
    name="signin",
    checks=policy.SIGN_IN,
    completed=Event.SIGNIN_COMPLETED,
    code_mail="signin_code",
    mails_link=True,
    is_by_challenge=True,
    may_be_remembered=True,
)
SIGN_UP = Journey(
    name="signup",
    checks=policy.SIGN_UP,
    completed=Event.SIGNUP_COMPLETED,
    code_mail="signup_code",
    no_code_mail="signup_known",
    mails_at_start=True,
    makes_person=True,
    is_by_challenge=True,
    start="/signup",
    by_set_up=lambda order: order.signup,
)
RECOVERY = Journey(
    name="recovery",
    checks=policy.RECOVERY,
    completed=Event.RECOVERY_COMPLETED,
    code_mail="recovery_code",
    mails_at_start=True,
    mails_link=True,
    is_recovery=True,
    start="/recover",
    by_first=lambda order: order.recovery,
    by_next=lambda order: order.recovery,
)
STEP_UP = Journey(
    name="step_up",
    checks=policy.STEP_UP,
    completed=Event.STEP_UP_COMPLETED,
    code_mail="signin_code",
    is_step_up=True,
    start="/account",
)

UNDO = Journey(
    name="undo",
    checks=policy.UNDO,
    completed=Event.RECOVERY_COMPLETED,
    code_mail="recovery_code",
    mails_at_start=True,
    is_recovery=True,
    is_undo=True,
    start="/account/undo",
    by_first=lambda order: order.recovery,
    by_next=lambda order: order.recovery,
)

JOURNEYS = {journey.name: journey for journey in (SIGN_IN, SIGN_UP, RECOVERY, STEP_UP, UNDO)}
