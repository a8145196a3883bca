"""What the events of the audit trail are called where their owner reads them. When they happen is told in `core`.

Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable

from passgate.core.audit import Event
from passgate.words import N_

TOLD: dict[Event, str] = {
    Event.SIGNUP_COMPLETED: N_("Signed up"),
    Event.SIGNIN_COMPLETED: N_("Signed in"),
    Event.PASSWORD_PROVED: N_("Password given"),
    Event.PASSWORD_REFUSED: N_("Wrong password given"),
    Event.EMAIL_CODE_PROVED: N_("Mailed code given"),
    Event.EMAIL_CODE_REFUSED: N_("Wrong mailed code given"),
    Event.PASSKEY_PROVED: N_("Passkey used"),
    Event.PASSKEY_REFUSED: N_("A passkey was refused"),
    Event.PASSKEY_COUNTER: N_("A passkey may have been copied: its counter did not grow"),
    Event.TOTP_PROVED: N_("Code of the authenticator app given"),
    Event.TOTP_REFUSED: N_("Wrong code of an authenticator app given"),
    Event.RECOVERY_CODE_PROVED: N_("Recovery code given"),
    Event.RECOVERY_CODE_REFUSED: N_("Wrong recovery code given"),
    Event.RECOVERY_CODE_USED: N_("A recovery code was used up"),
    Event.LINK_MADE: N_("A sign-in link was made for you"),
    Event.LINK_PROVED: N_("Sign-in link opened"),
    Event.STEP_UP_STARTED: N_("Began to confirm it is you"),
    Event.STEP_UP_COMPLETED: N_("Confirmed it is you"),
    Event.RECOVERY_STARTED: N_("Began to recover the account"),
    Event.RECOVERY_COMPLETED: N_("Account recovered"),
    Event.RECOVERY_STOPPED: N_("Recovery stopped"),
    Event.RELEASE_ASKED: N_("Removal of lost factors asked for"),
    Event.FACTORS_RELEASED: N_("Lost factors removed"),
    Event.FACTOR_OFFERED: N_("Began to set up a way to sign in"),
    Event.FACTOR_ADDED: N_("A way to sign in was added"),
    Event.FACTOR_REFUSED: N_("Setting up a way to sign in failed"),
    Event.FACTOR_RENAMED: N_("A passkey was renamed"),
    Event.FACTOR_REMOVED: N_("A way to sign in was removed"),
    Event.RECOVERY_CODES_MADE: N_("Recovery codes made"),
    Event.BROWSER_REMEMBERED: N_("Browser remembered"),
    Event.BROWSER_FORGOTTEN: N_("Remembered browser forgotten"),
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


_SHOWN_BY = {"pwd": N_("password"), "user": N_("passkey"), "pop": "", "otp": N_("one-time code")}


def shown_by(amr: Iterable[str]) -> list[str]:
    """The English words of how a session was proved (RFC 8176); a passkey is two of them."""
    return [word for way in amr if (word := _SHOWN_BY.get(way, way))]
