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

    SIGNUP_COMPLETED = "signup:completed", "A sign-up was completed and a session created.", N_("Signed up")
    SIGNIN_COMPLETED = "signin:completed", "A sign-in was completed and a session created.", N_("Signed in")
    EMAIL_CODE_SENT = (
        "signin:email_code:sent",
        "An email with a code, or the one sent instead, was queued.",
        N_("Verification code emailed"),
    )
    PASSKEY_COUNTER = (
        "signin:passkey:counter_back",
        "A passkey's counter didn't increase, so it may have been copied. The facts say whether it was refused.",
        N_("A passkey may have been copied"),
    )
    RECOVERY_CODE_USED = (
        "account:recovery_code:used",
        "A backup code was used. The facts say how many are left.",
        N_("Backup code used"),
    )
    LINK_MADE = (
        "signin:link:made",
        "An operator or admin created a sign-in link for a user.",
        N_("A sign-in link was created for you"),
    )
    LINK_ASKED = (
        "signin:link:asked",
        "An admin asked for a sign-in link for an equal. A second admin or an owner has to ask for it too.",
        N_("A sign-in link was requested for you"),
    )
    LINK_PROVED = "signin:link:proved", "A sign-in link was used as a proof.", N_("Sign-in link used")
    STEP_UP_STARTED = (
        "step_up:started",
        "A signed-in user started to confirm who they are.",
        N_("Identity check started"),
    )
    STEP_UP_COMPLETED = (
        "step_up:completed",
        "A step-up was completed and the session replaced.",
        N_("Identity check completed"),
    )
    RECOVERY_COMPLETED = (
        "recovery:completed",
        "An account recovery was completed and a session created.",
        N_("Account recovered"),
    )
    RECOVERY_STOPPED = (
        "recovery:stopped",
        "An account recovery was stopped, and its links no longer work.",
        N_("Account recovery stopped"),
    )
    RELEASE_ASKED = (
        "recovery:release:asked",
        "Two proofs were given without the second factor. After a waiting period, second factors can be removed.",
        N_("Two-step verification reset requested"),
    )
    RESET_STARTED = (
        "recovery:reset:asked",
        "An operator or admin started to reset a user's second factors. The facts say how long that waits.",
        N_("Two-step verification reset requested"),
    )
    RESET_ASKED = (
        "recovery:reset:approval",
        "An admin asked to reset the second factors of an equal. A second admin or an owner has to ask for it too.",
        N_("Two-step verification reset requested"),
    )
    FACTORS_RELEASED = (
        "recovery:factors:released",
        "Lost second factors were removed. The facts name them and the two proofs, or an admin.",
        N_("Two-step verification reset"),
    )
    FACTOR_OFFERED = (
        "account:factor:offered",
        "A signed-in user started to set up a factor.",
        N_("Sign-in option setup started"),
    )
    FACTOR_ADDED = (
        "account:factor:added",
        "A factor was set up.",
        N_("Sign-in option added"),
    )
    FACTOR_REFUSED = (
        "account:factor:refused",
        "The answer for setting up a factor was refused.",
        N_("Sign-in option setup failed"),
    )
    FACTOR_LOCKED = (
        "account:factor:locked",
        "Wrong answers locked a factor for strangers, known browsers or step-ups. The facts name both.",
        N_("Sign-in option locked after wrong attempts"),
    )
    FACTOR_UNLOCKED = "account:factor:unlocked", "A user unlocked a factor.", N_("Sign-in option unlocked")
    FACTOR_DISPLAYED = (
        "account:factor:displayed",
        "A user saw the setup key of their own authenticator app again.",
        N_("Authenticator app setup key displayed again"),
    )
    FACTOR_RENAMED = "account:factor:renamed", "A passkey was renamed.", N_("Passkey renamed")
    FACTOR_REMOVED = (
        "account:factor:removed",
        "A factor was removed.",
        N_("Sign-in option removed"),
    )
    RECOVERY_CODES_MADE = (
        "account:recovery_codes:made",
        "New backup codes were generated. Earlier codes stopped working.",
        N_("Backup codes generated"),
    )
    BROWSER_REMEMBERED = (
        "account:browser:remembered",
        "A browser was remembered and skips two-step verification for some days.",
        N_("Remembered browser added"),
    )
    BROWSER_FORGOTTEN = (
        "account:browser:forgotten",
        "A user removed remembered browsers.",
        N_("Remembered browser removed"),
    )
    POLICY_CHANGED = (
        "tenant:policy:changed",
        ("A tenant's policy was changed. The facts name the fields, with their values before and after."),
    )
    PASSWORD_SET = "account:password:set", "A password was set or replaced.", N_("Password set")
    PASSWORD_REHASHED = (
        "account:password:rehashed",
        "A correct password was hashed again, with stronger parameters or another pepper.",
        N_("Password storage upgraded"),
    )
    ADDRESS_PROVED = (
        "account:address:proved",
        "An account's address was proved for the first time. The facts say what ended with that: factors and roles by"
        " name, sessions by number.",
        N_("Email address confirmed"),
    )
    ADDRESS_STARTED = (
        "account:address:started",
        "A signed-in user asked to change their email address. The new address may be taken.",
        N_("Email address change started"),
    )
    ADDRESS_REFUSED = (
        "account:address:refused",
        "A code for a new email address was refused: wrong, expired, the address is taken, or no code was sent.",
        N_("Wrong code for a new email address"),
    )
    ADDRESS_CHANGED = (
        "account:address:changed",
        "An email address was changed. The personal part names both addresses.",
        N_("Email address changed"),
    )
    USERNAME_CHANGED = (
        "account:username:changed",
        "A username was given, changed or removed. The personal part names both.",
        N_("Username changed"),
    )
    CHANGES_UNDONE = (
        "account:changes:undone",
        "Changes of sign-in options were undone from the address that stood before them. The facts name the changes.",
        N_("Changes undone"),
    )
    ADDRESS_UNDONE = (
        "account:address:undone",
        "A change of email address was undone from the old address, and all sessions ended.",
        N_("Email address change undone"),
    )
    PROFILE_CHANGED = (
        "account:profile:changed",
        "A user changed their profile.",
        N_("Profile updated"),
    )
    ACCOUNT_EXPORTED = "account:exported", "A user downloaded their data.", N_("Data downloaded")
    ACCOUNT_CLOSED = (
        "account:closed",
        "A user deleted their account. It can't be used any more, and is erased after a waiting period.",
        N_("Account closed"),
    )
    ACCOUNT_DELETED = (
        "account:deleted",
        "An account that its user deleted was erased, with their personal data in the audit trail.",
    )
    ACCOUNT_DISABLED = "account:disabled", "An account was disabled.", N_("Account disabled")
    ACCOUNT_ENABLED = "account:enabled", "A disabled account was enabled again.", N_("Account enabled")
    ACCOUNT_CREATED = "account:created", "An account was created.", N_("Account created")
    SESSION_ENDED = "session:ended", "A session was ended.", N_("Device signed out")
    CLIENT_CHANGED = (
        "session:client:changed",
        "A session was used by another browser or system than before. The facts name both, and what was done.",
        N_("Sign-in used by another browser or device"),
    )
    REFRESH_REUSED = (
        "session:refresh:reused",
        "A refresh token was used a second time. Its session was ended.",
        N_("Signed out because a sign-in token was used twice"),
    )
    SESSIONS_ENDED = (
        "session:all_ended",
        "Several sessions were ended. The facts say why and how many.",
        N_("Other devices signed out"),
    )
    INVITATION_CREATED = (
        "invitation:created",
        "Somebody was invited. The facts name the roles; an older invitation of the address became invalid.",
        N_("Invitation created"),
    )
    INVITATION_ACCEPTED = (
        "invitation:accepted",
        "An invitation was accepted. The facts name the roles that it gave, and who had made it.",
        N_("Invitation accepted"),
    )
    INVITATION_CANCELLED = "invitation:cancelled", "An invitation was canceled.", N_("Invitation canceled")
    ROLE_GIVEN = "role:given", "A role was added to a user.", N_("Role added")
    ROLE_TAKEN = "role:taken", "A role was removed from a user.", N_("Role removed")
    ROLE_CREATED = "role:created", "A tenant's own role was created. The facts name its permissions."
    ROLE_CHANGED = (
        "role:changed",
        "A tenant's own role was changed. The facts hold its permissions before and after, if they changed.",
    )
    ROLE_DELETED = "role:deleted", "A tenant's own role was deleted. The facts say from how many users it was taken."
    TENANT_CREATED = "tenant:created", "A tenant was created."
    TENANT_CHANGED = (
        "tenant:changed",
        "A tenant's display name was changed. The facts hold it before and after.",
        N_("Organization renamed"),
    )
    MAIL_FAILED = "mail:failed", "An email couldn't be delivered: permanently refused, too old or unreadable."
    MAIL_WITHHELD = (
        "mail:held",
        "An email wasn't sent: an address, a network or a user had reached its limit. At most one row an hour each.",
        N_("Email not sent: too many in an hour"),
    )
    BACKUP_MADE = "backup:made", "An operator backed up the database. The facts say whether the keys were copied too."
    AUDIT_EXPORTED = "audit:exported", "An operator exported the audit trail. The facts say how many rows there were."
    USERS_LISTED = (
        "users:listed",
        "An operator listed a tenant's users. The facts say how many they were.",
    )
    SIGNING_KEY_ADDED = "key:signing:added", "An operator published a new key that signs tokens."
    KEY_ROTATED = "key:rotated", "A new root key was added."
    ACCESS_REFUSED = (
        "access:refused",
        "A signed-in user tried something they have no permission for.",
        N_("Access denied"),
    )
