"""One hierarchy of errors: what a caller may be told, and with which status. Texts for logs never live here.

    PassgateError
    ├── Refusal            a rule refuses the request: all is rolled back, then `deferred` is committed
    │   ├── Malformed 400 · NotJson/NotForm 415 · TooLarge 413 · Invalid 422 · PasswordRefused 422
    │   ├── CredentialMissing/CredentialInvalid/SessionEnded/HandleInvalid/StepUpNeeded 401
    │   ├── ClientChanged/RefreshReused 401: sessions that have ended
    │   ├── ProofRefused/PermissionMissing/CsrfRefused/SignupClosed/InvitationInvalid 403 · NotFound 404
    │   ├── Conflict/NoChallenge/AlreadyProved/FactorNotOffered/ProofMissing/NotYet/TenantNameTaken 409
    │   └── Throttled 429
    └── Unavailable 503    a component is down; nothing was changed

`message` is safe to show to anyone. Private detail belongs in `__cause__` and the log (RFC 9457 names the wire form).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PassgateError(Exception):
    """Base of all errors that a client may see: `code` is stable and documented, `message` is safe to display."""

    code: ClassVar[str] = "fault"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    message: str = "Something went wrong on our side. Please try again in a moment."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)
        if message is not None:
            self.message = message

    def extra(self) -> dict[str, Any]:
        """Members added to the problem document."""
        return {}

    def headers(self) -> dict[str, str]:
        """Header fields of the response."""
        return {}


class Refusal(PassgateError):
    """A rule refuses the request: a wrong answer, a missing permission, an expired ticket.

    `deferred` holds what must survive the rollback: callables `async (db) -> None`, run in a second short transaction.
    """

    title = "That isn't possible"

    def __init__(self, message: str | None = None, *, deferred: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.deferred = deferred


class Malformed(Refusal):
    code, status, title = "malformed", 400, "We couldn't read that request"
    message = "The request couldn't be read. Check its format and try again."


class NotJson(Refusal):
    code, status, title = "not_json", 415, "Send JSON"
    message = "Send the body as application/json."


class NotForm(Refusal):
    code, status, title = "not_form", 415, "Send a form"
    message = "Send the form as application/x-www-form-urlencoded."


class TooLarge(Refusal):
    code, status, title = "too_large", 413, "Request too large"
    message = "The request is too large. Send less data."


class Invalid(Refusal):
    """`fields` maps a field's path to a stable word: missing, unknown, type, format, length, value, reserved …"""

    code, status, title = "invalid", 422, "Check what you entered"
    message = "Some fields aren't filled in correctly. Check them and try again."

    def __init__(
        self, fields: Mapping[str, str], message: str | None = None, *, deferred: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(message, deferred=deferred)
        self.fields = dict(fields)

    def extra(self) -> dict[str, Any]:
        return {"fields": self.fields}


class PasswordRefused(Invalid):
    """`fields.password` is short, long, common, context or breached."""

    code, title = "password_refused", "Choose a different password"
    message = "Choose a different password."

    def __init__(self, reason: str) -> None:
        super().__init__({"password": reason}, PASSWORD_REASONS[reason])


PASSWORD_REASONS = {
    "short": "That password is too short. Try a few unrelated words.",
    "long": "That password is too long. Use 256 characters or fewer.",
    "common": "That password is too common. Choose one that's harder to guess.",
    "context": "That password is too similar to your email address or our name. Choose a different one.",
    "breached": "That password appeared in a data leak on another site. Choose one you don't use anywhere else.",
}


class _Unauthenticated(Refusal):
    """401 always names the authentication scheme (RFC 9110 §11.6.1, RFC 6750 §3)."""

    status = 401
    bearer_error: ClassVar[str] = 'error="invalid_token"'

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": f"Bearer {self.bearer_error}".rstrip()}


class CredentialMissing(_Unauthenticated):
    code, title, bearer_error = "credential_missing", "Sign in to continue", ""
    message = "Sign in to continue."


class CredentialInvalid(_Unauthenticated):
    code, title = "credential_invalid", "Sign in again"
    message = "This sign-in isn't valid. Sign in again."


class CredentialExpired(CredentialInvalid):
    """An access token that was right, and is over: a new one helps."""


class SessionEnded(_Unauthenticated):
    code, title = "session_ended", "Sign in again"
    message = "You've been signed out. Sign in again."


class SessionSuperseded(SessionEnded):
    """The session lives on under a newer secret: the answer must not clear the cookie, which may hold that one."""


class ClientChanged(SessionEnded):
    """The tenant ends a session that is used by another browser or system than before."""

    code = "client_changed"
    message = "You've been signed out because another browser or device used this sign-in. Sign in again."


class RefreshReused(SessionEnded):
    """A refresh token was used a second time, so somebody else may have it: its session has ended."""

    code = "refresh_reused"
    message = "You've been signed out because a sign-in token was used twice. Sign in again."


class HandleInvalid(_Unauthenticated):
    code, title = "handle_invalid", "Start your sign-in again"
    message = "This sign-in has ended or expired. Start over."


class StepUpNeeded(_Unauthenticated):
    """RFC 9470: the session is valid, but too old or of too low a level for this action."""

    code, title = "insufficient_user_authentication", "Confirm it's you"
    message = "Confirm it's you, then try again."

    def __init__(self, acr: str, max_age: int, *, address: bool = False) -> None:
        """`address`: the step-up has to confirm the address too."""
        super().__init__()
        self.acr, self.max_age, self.address = acr, max_age, address

    def extra(self) -> dict[str, Any]:
        return {"step_up": {"address": True}} if self.address else {}

    def headers(self) -> dict[str, str]:
        params = f'error="{self.code}", acr_values="{self.acr}", max_age={self.max_age}'
        return {"WWW-Authenticate": f"Bearer {params}"}


class ProofRefused(Refusal):
    code, status, title = "proof_refused", 403, "Check and try again"
    message = "That's incorrect or has expired. Check it and try again."


class PermissionMissing(Refusal):
    code, status, title = "permission_missing", 403, "You don't have access"
    message = "You don't have permission to do this. Ask an admin for access."


class CsrfRefused(Refusal):
    code, status, title = "csrf_refused", 403, "Go back and try again"
    message = "This request didn't come from one of our pages. Go back and try again."


class SignupClosed(Refusal):
    code, status, title = "signup_closed", 403, "Sign-up is closed"
    message = "You can't sign up here. If you need an account, ask the people who run this service."


class InvitationInvalid(Refusal):
    """Unknown, used, expired, canceled, replaced, or whoever made it may not do so any more: the same for all."""

    code, status, title = "invitation_invalid", 403, "This invitation no longer works"
    message = "This invitation was already used, has expired or was withdrawn. Ask for a new one."


class NotFound(Refusal):
    code, status, title = "not_found", 404, "Not found"
    message = "We couldn't find that. Check the address and try again."


class MethodNotAllowed(Refusal):
    code, status, title = "method_not_allowed", 405, "Method not allowed"
    message = "This address doesn't support that method."

    def __init__(self, allow: str = "") -> None:
        super().__init__()
        self.allow = allow

    def headers(self) -> dict[str, str]:
        return {"Allow": self.allow} if self.allow else {}


class Conflict(Refusal):
    code, status, title = "conflict", 409, "That can't be done right now"
    message = "That can't be done right now. Reload the page and try again."


class TenantNameTaken(Conflict):
    code, title = "tenant_name_taken", "Choose a different name"
    message = "That name is already taken. Choose a different one."


class NoChallenge(Conflict):
    code, title = "no_challenge", "Send your answer"
    message = "There's nothing to request first. Send your answer right away."


class AlreadyProved(Conflict):
    code, title = "already_proved", "Continue to the next step"
    message = "That step is already done. Continue."


class FactorNotOffered(Conflict):
    code, title = "factor_not_offered", "Choose another option"
    message = "This option isn't available right now. Choose another one."


class NotYet(Conflict):
    """`usable_at` is an instant in microseconds, `retry_after` the whole seconds until then."""

    code, title = "not_yet", "Come back later"
    message = "To protect the account, there's a waiting period first."

    def __init__(self, usable_at: int, retry_after: int) -> None:
        super().__init__()
        self.usable_at, self.retry_after = usable_at, max(1, retry_after)

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class ProofMissing(Conflict):
    """`need` lists the alternatives that are still open, each a list of factors."""

    code, title = "proof_missing", "Complete the remaining steps"
    message = "There are still steps to complete. Continue."

    def __init__(self, need: list[list[str]], *, deferred: tuple[Any, ...] = ()) -> None:
        super().__init__(deferred=deferred)
        self.need = need

    def extra(self) -> dict[str, Any]:
        return {"need": self.need}


class Throttled(Refusal):
    """`retry_after` is in whole seconds, at least 1."""

    code, status, title = "throttled", 429, "Too many attempts"
    message = "Too many attempts. Wait a moment, then try again."

    def __init__(self, retry_after: int, *, deferred: tuple[Any, ...] = ()) -> None:
        super().__init__(deferred=deferred)
        self.retry_after = max(1, retry_after)

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class Unavailable(PassgateError):
    """`down` names the component (database, hashing, breach …), never an address."""

    code, status, title = "unavailable", 503, "Temporarily unavailable"
    message = "Part of this service is unavailable. Nothing was changed. Please try again shortly."

    def __init__(self, down: str, retry_after: int = 5) -> None:
        super().__init__()
        self.down, self.retry_after = down, retry_after

    def extra(self) -> dict[str, Any]:
        return {"down": self.down}

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class UnsafeSettings(PassgateError):
    """Start refused: `reasons` lists every (CODE, text) that applies."""

    code, title = "unsafe_settings", "Unsafe settings"

    def __init__(self, reasons: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{code} {text}" for code, text in reasons))
        self.reasons = reasons
