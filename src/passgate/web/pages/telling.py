"""What the events of the audit trail are called where their owner reads them. When they happen is told in `core`.

Nothing is decided here.
"""

from __future__ import annotations

from passgate.core.audit import Event
from passgate.words import N_

TOLD: dict[Event, str] = {
    Event.SIGNUP_COMPLETED: N_("Signed up"),
    Event.SIGNIN_COMPLETED: N_("Signed in"),
    Event.PASSWORD_PROVED: N_("Password given"),
    Event.PASSWORD_REFUSED: N_("Wrong password given"),
    Event.EMAIL_CODE_PROVED: N_("Mailed code given"),
    Event.EMAIL_CODE_REFUSED: N_("Wrong mailed code given"),
    Event.STEP_UP_STARTED: N_("Began to confirm it is you"),
    Event.STEP_UP_COMPLETED: N_("Confirmed it is you"),
    Event.RECOVERY_STARTED: N_("Began to choose a new password"),
    Event.RECOVERY_COMPLETED: N_("Recovered with a new password"),
    Event.PASSWORD_SET: N_("Password set"),
    Event.PASSWORD_REHASHED: N_("Password stored anew, more safely"),
    Event.ADDRESS_STARTED: N_("Began to change the address"),
    Event.ADDRESS_REFUSED: N_("Wrong code for a new address given"),
    Event.ADDRESS_CHANGED: N_("Address changed"),
    Event.ADDRESS_UNDONE: N_("Change of address taken back"),
    Event.PROFILE_CHANGED: N_("Profile changed"),
    Event.ACCOUNT_EXPORTED: N_("Data downloaded"),
    Event.ACCOUNT_DISABLED: N_("Account disabled"),
    Event.ACCOUNT_CREATED: N_("Account created"),
    Event.SESSION_ENDED: N_("A session ended"),
    Event.SESSIONS_ENDED: N_("Other sessions ended"),
    Event.ROLE_GIVEN: N_("A role was given"),
    Event.ROLE_TAKEN: N_("A role was taken away"),
    Event.ACCESS_REFUSED: N_("Something was refused"),
}
"""Every event that can be about a person; a test compares with the trail of a full life."""


def told(event: str) -> str:
    """The English words; whatever has none is shown by its name."""
    return TOLD.get(event, event)  # type: ignore[call-overload, no-any-return]
