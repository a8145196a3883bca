"""The names of audit events, each with its meaning and the label its owner reads.

Not here: writing a row, which is `audit`. Events of proving a factor derive from the factor's name (`factor.Factor`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from passgate.i18n import N_


class Event(StrEnum):
    """`area:object:action`, the meaning for the reference, and the label displayed in the person's activity (empty if a
    row is never about a person). This list documents what is audited."""

    meaning: str
    label: str

    def __new__(cls, value: str, meaning: str, label: str = "") -> Self:
        made = str.__new__(cls, value)
        made._value_ = value
        made.meaning, made.label = meaning, label
        return made

    SIGNUP_STARTED = "signup:started", "Somebody began to sign up; the address may be known or new."
    SIGNUP_COMPLETED = "signup:completed", "A sign-up ended in a session.", N_("Signed up")
    SIGNIN_STARTED = "signin:started", "Somebody began to sign in; nobody is named yet."
    SIGNIN_COMPLETED = "signin:completed", "A sign-in ended in a session.", N_("Signed in")
    EMAIL_CODE_SENT = (
        "signin:email_code:sent",
        "A mail with a code, or the word that stands in for one, was laid in the outbox.",
    )
    PASSKEY_COUNTER = (
        "signin:passkey:counter_back",
        "A passkey's counter did not grow, so there may be a copy; the facts say if it was refused.",
        N_("A passkey may have been copied: its counter did not grow"),
    )
    RECOVERY_CODE_USED = (
        "account:recovery_code:used",
        "A recovery code is used up; the facts say how many are left.",
        N_("A recovery code was used up"),
    )
    LINK_MADE = (
        "signin:link:made",
        "An operator or an admin made a sign-in link for somebody.",
        N_("A sign-in link was made for you"),
    )
    LINK_PROVED = "signin:link:proved", "A sign-in link was opened; it is one proof.", N_("Sign-in link opened")
    SIGNIN_THROTTLED = "signin:throttled", "A try came too soon and was not compared."
    STEP_UP_STARTED = (
        "step_up:started",
        "A signed-in person began to prove anew who they are.",
        N_("Began to confirm it is you"),
    )
    STEP_UP_COMPLETED = "step_up:completed", "A step-up replaced the session.", N_("Confirmed it is you")
    RECOVERY_STARTED = (
        "recovery:started",
        "Somebody asked to recover an account; there may be none.",
        N_("Began to recover the account"),
    )
    RECOVERY_COMPLETED = "recovery:completed", "A recovery ended in a session.", N_("Account recovered")
    RECOVERY_STOPPED = (
        "recovery:stopped",
        "What was under way to recover an account was stopped, and links made for it are dead.",
        N_("Recovery stopped"),
    )
    RELEASE_ASKED = (
        "recovery:release:asked",
        "Two ways back were shown; after a waiting time the second factors can be removed.",
        N_("Removal of lost factors asked for"),
    )
    FACTORS_RELEASED = (
        "recovery:factors:released",
        "Lost second factors were removed; the facts name them and the two ways that were shown.",
        N_("Lost factors removed"),
    )
    FACTOR_OFFERED = (
        "account:factor:offered",
        "A signed-in person began to set up a factor.",
        N_("Began to set up a way to sign in"),
    )
    FACTOR_ADDED = (
        "account:factor:added",
        "A factor was set up and counts from now on.",
        N_("A way to sign in was added"),
    )
    FACTOR_REFUSED = (
        "account:factor:refused",
        "The answer that should have set up a factor was refused.",
        N_("Setting up a way to sign in failed"),
    )
    FACTOR_RENAMED = "account:factor:renamed", "A passkey was renamed.", N_("A passkey was renamed")
    FACTOR_REMOVED = (
        "account:factor:removed",
        "A factor was removed and counts no longer.",
        N_("A way to sign in was removed"),
    )
    RECOVERY_CODES_MADE = (
        "account:recovery_codes:made",
        "A new set of recovery codes was made; the old one is dead.",
        N_("Recovery codes made"),
    )
    BROWSER_REMEMBERED = (
        "account:browser:remembered",
        "A browser need not show the second factor for some days.",
        N_("Browser remembered"),
    )
    BROWSER_FORGOTTEN = (
        "account:browser:forgotten",
        "Remembered browsers were forgotten by their owner.",
        N_("Remembered browser forgotten"),
    )
    POLICY_CHANGED = "tenant:policy:changed", "A tenant's rules were changed; the facts name the fields."
    PASSWORD_SET = "account:password:set", "A password was set or replaced.", N_("Password set")
    PASSWORD_REHASHED = (
        "account:password:rehashed",
        "A right password was hashed anew with the present parameters.",
        N_("Password stored anew, more safely"),
    )
    ADDRESS_STARTED = (
        "account:address:started",
        "A signed-in person asked to move to another address; it may be taken.",
        N_("Began to change the address"),
    )
    ADDRESS_REFUSED = (
        "account:address:refused",
        "A code for a new address was refused: wrong, too old, taken, or none was meant.",
        N_("Wrong code for a new address given"),
    )
    ADDRESS_CHANGED = (
        "account:address:changed",
        "A new address was proved and stands; the personal part names both.",
        N_("Address changed"),
    )
    ADDRESS_UNDONE = (
        "account:address:undone",
        "The old address took the change back; all sessions ended.",
        N_("Change of address taken back"),
    )
    PROFILE_CHANGED = (
        "account:profile:changed",
        "A person changed their profile; the facts name the fields.",
        N_("Profile changed"),
    )
    ACCOUNT_EXPORTED = "account:exported", "A person took a copy of what is kept about them.", N_("Data downloaded")
    ACCOUNT_DELETED = "account:deleted", "A person left; their personal parts of the trail are erased."
    ACCOUNT_DISABLED = "account:disabled", "An account was disabled.", N_("Account disabled")
    ACCOUNT_CREATED = "account:created", "A person came to be.", N_("Account created")
    SESSION_ENDED = "session:ended", "One session was ended.", N_("A session ended")
    SESSIONS_ENDED = (
        "session:all_ended",
        "Several sessions were ended; the facts say why and how many.",
        N_("Other sessions ended"),
    )
    ROLE_GIVEN = "role:given", "A role was given.", N_("A role was given")
    ROLE_TAKEN = "role:taken", "A role was taken away.", N_("A role was taken away")
    TENANT_CREATED = "tenant:created", "A tenant came to be."
    MAIL_FAILED = "mail:failed", "A mail was given up: refused for good, too old, or unreadable."
    KEY_ROTATED = "key:rotated", "A fresh root key was put first."
    ACCESS_REFUSED = "access:refused", "A signed-in person asked for what they may not do.", N_("Something was refused")
