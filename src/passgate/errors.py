"""One hierarchy of errors: what a caller may be told, and with which status. Texts for logs never live here.

    PassgateError
    ├── Refusal            the answer is no; the facts in `deferred` are written all the same, the rest is undone
    │   ├── Malformed 400 · NotJson/NotForm 415 · TooLarge 413 · Invalid 422 · PasswordRefused 422
    │   ├── CredentialMissing/CredentialInvalid/SessionEnded/HandleInvalid/StepUpNeeded 401
    │   ├── ProofRefused/PermissionMissing/CsrfRefused/SignupClosed 403 · NotFound 404
    │   ├── Conflict/NoChallenge/AlreadyProved/FactorNotOffered/ProofMissing/NotYet/TenantNameTaken 409
    │   └── Throttled 429
    └── Unavailable 503    something we depend on is down; nothing was changed

`message` is safe to show to anybody. Private detail belongs in `__cause__` and the log (RFC 9457 names the wire form).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PassgateError(Exception):
    """Base of everything a face may render: `code` is stable and documented, `message` is safe."""

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
        """Header fields the answer must carry."""
        return {}


class Refusal(PassgateError):
    """A wrong answer, a closed endpoint, a late ticket.

    `deferred` holds what must survive the rollback: callables `async (db) -> None`, run in a second short transaction.
    """

    title = "Refused"

    def __init__(self, message: str | None = None, *, deferred: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.deferred = deferred


class Malformed(Refusal):
    code, status, title = "malformed", 400, "Malformed request"
    message = "The request could not be read."


class NotJson(Refusal):
    code, status, title = "not_json", 415, "Not JSON"
    message = "Send the body as application/json."


class NotForm(Refusal):
    code, status, title = "not_form", 415, "Not a form"
    message = "Send the form as application/x-www-form-urlencoded."


class TooLarge(Refusal):
    code, status, title = "too_large", 413, "Too large"
    message = "The request is larger than this endpoint takes."


class Invalid(Refusal):
    """`fields` maps a field's path to a stable word: missing, unknown, type, format, length, value, reserved …"""

    code, status, title = "invalid", 422, "Invalid input"
    message = "Some fields need another look."

    def __init__(
        self, fields: Mapping[str, str], message: str | None = None, *, deferred: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(message, deferred=deferred)
        self.fields = dict(fields)

    def extra(self) -> dict[str, Any]:
        return {"fields": self.fields}


class PasswordRefused(Invalid):
    """`fields.password` is short, long, common, context or breached."""

    code, title = "password_refused", "Password refused"
    message = "Please choose another password."

    def __init__(self, reason: str) -> None:
        super().__init__({"password": reason}, PASSWORD_REASONS[reason])


PASSWORD_REASONS = {
    "short": "That password is too short. A few unrelated words make a good long one.",
    "long": "That password is too long. Use at most 256 characters.",
    "common": "That password is among the first that people try. Choose one that is harder to guess.",
    "context": "That password is too close to your address or to our name. Choose another one.",
    "breached": "That password is known from a leak somewhere else. Choose one you use nowhere else.",
}


class _Unauthenticated(Refusal):
    """401 always names the scheme (RFC 9110 §11.6.1, RFC 6750 §3)."""

    status = 401
    bearer_error: ClassVar[str] = 'error="invalid_token"'

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": f"Bearer {self.bearer_error}".rstrip()}


class CredentialMissing(_Unauthenticated):
    code, title, bearer_error = "credential_missing", "Sign in first", ""
    message = "Sign in to continue."


class CredentialInvalid(_Unauthenticated):
    code, title = "credential_invalid", "Credential not accepted"
    message = "This credential is not accepted. Sign in again."


class SessionEnded(_Unauthenticated):
    code, title = "session_ended", "Session ended"
    message = "This session has ended. Sign in again."


class HandleInvalid(_Unauthenticated):
    code, title = "handle_invalid", "Sign-in no longer valid"
    message = "This sign-in is over or too old. Start again."


class StepUpNeeded(_Unauthenticated):
    """RFC 9470: the session is real but too old or too weak for this action."""

    code, title = "insufficient_user_authentication", "Confirm it is you"
    message = "Confirm that it is you, then try again."

    def __init__(self, acr: str, max_age: int) -> None:
        super().__init__()
        self.acr, self.max_age = acr, max_age

    def headers(self) -> dict[str, str]:
        params = f'error="{self.code}", acr_values="{self.acr}", max_age={self.max_age}'
        return {"WWW-Authenticate": f"Bearer {params}"}


class ProofRefused(Refusal):
    code, status, title = "proof_refused", 403, "Not right"
    message = "That is not right, or it is too old. Check it and try again."


class PermissionMissing(Refusal):
    code, status, title = "permission_missing", 403, "Not allowed"
    message = "You do not have the permission for this."


class CsrfRefused(Refusal):
    code, status, title = "csrf_refused", 403, "Request from elsewhere"
    message = "This request did not come from our own pages."


class SignupClosed(Refusal):
    code, status, title = "signup_closed", 403, "Sign-up is closed"
    message = "Sign-up is not open here."


class NotFound(Refusal):
    code, status, title = "not_found", 404, "Not found"
    message = "There is nothing here."


class MethodNotAllowed(Refusal):
    code, status, title = "method_not_allowed", 405, "Method not allowed"
    message = "This endpoint does not answer that method."

    def __init__(self, allow: str = "") -> None:
        super().__init__()
        self.allow = allow

    def headers(self) -> dict[str, str]:
        return {"Allow": self.allow} if self.allow else {}


class Conflict(Refusal):
    code, status, title = "conflict", 409, "Conflict"
    message = "This cannot be done as things stand."


class TenantNameTaken(Conflict):
    code, title = "tenant_name_taken", "Name taken"
    message = "That name is taken. Choose another one."


class NoChallenge(Conflict):
    code, title = "no_challenge", "No challenge"
    message = "This factor asks nothing first. Give the answer at once."


class AlreadyProved(Conflict):
    code, title = "already_proved", "Already proved"
    message = "This has been proved already."


class FactorNotOffered(Conflict):
    code, title = "factor_not_offered", "Not offered"
    message = "This way is not offered now."


class NotYet(Conflict):
    """`usable_at` is an instant in microseconds, `retry_after` the whole seconds until then."""

    code, title = "not_yet", "Not yet"
    message = "This has to wait for some time first, so that the account's owner can stop it."

    def __init__(self, usable_at: int, retry_after: int) -> None:
        super().__init__()
        self.usable_at, self.retry_after = usable_at, max(1, retry_after)

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class ProofMissing(Conflict):
    """`need` lists the alternatives still open, each a list of factors."""

    code, title = "proof_missing", "Something is still missing"
    message = "Something still has to be proved."

    def __init__(self, need: list[list[str]]) -> None:
        super().__init__()
        self.need = need

    def extra(self) -> dict[str, Any]:
        return {"need": self.need}


class Throttled(Refusal):
    """`retry_after` is in whole seconds, at least 1."""

    code, status, title = "throttled", 429, "Too many tries"
    message = "Too many tries. Wait a little, then try again."

    def __init__(self, retry_after: int, *, deferred: tuple[Any, ...] = ()) -> None:
        super().__init__(deferred=deferred)
        self.retry_after = max(1, retry_after)

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class Unavailable(PassgateError):
    """`down` names the component (database, hashing, breach …), never an address."""

    code, status, title = "unavailable", 503, "Not available"
    message = "A part of this service is down. Nothing was changed. Please try again soon."

    def __init__(self, down: str, retry_after: int = 5) -> None:
        super().__init__()
        self.down, self.retry_after = down, retry_after

    def extra(self) -> dict[str, Any]:
        return {"down": self.down}

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class UnsafeSettings(PassgateError):
    """Start refused: `reasons` is a list of (CODE, text), every one that holds."""

    code, title = "unsafe_settings", "Unsafe settings"

    def __init__(self, reasons: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{code} {text}" for code, text in reasons))
        self.reasons = reasons
