"""The types of the Python twins, written by `python -m tests.architecture.twins_file`: change the endpoints instead."""

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict

from starlette.responses import Response

@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The answer of a twin that signs somebody in or out. What carries the session is `token`, or `access_token` and
    `refresh_token`, or a cookie, which `set_on` sets."""

    @property
    def session(self) -> Session | None: ...
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    def set_on(self, response: Response) -> None:
        """Set the cookies of this answer on a response to the same browser; after signing out, they clear its session.
        Raises RuntimeError for an answer without any."""

    def clear_on(self, response: Response) -> None:
        """Clear the session cookie of the browser that gets this response."""

@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    handle: str
    need: tuple[tuple[str, ...], ...]
    enrol: bool
    expires_at: datetime

@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    challenge: dict[str, Any]
    def qr_png(self) -> bytes:
        """The QR code of the setup key, as PNG. Raises ValueError for the challenge of another factor."""

@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    enough: bool
    need: tuple[tuple[str, ...], ...]
    enrol: bool
    amr: tuple[str, ...] | None = None
    acr: str | None = None
    usable_at: datetime | None = None

@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    browser: str
    os: str
    ip: str

@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    id: str
    created_at: datetime
    last_used_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str
    current: bool
    client: Client

@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Carried):
    session: Session

@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: str
    email: str
    username: str | None
    email_verified: bool
    profile: dict[str, Any]
    roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime

@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    id: str
    name: str
    display_name: str

@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    user: User
    tenant: Tenant
    session: Session

@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int

@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    user: User
    tenant: Tenant

@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    kind: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    id: str
    at: datetime
    event: str
    client: Client

@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    user: User
    credentials: tuple[Credential, ...]
    sessions: tuple[Session, ...]
    activity: tuple[Happening, ...]

@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    items: tuple[Happening, ...]
    next: str | None

@dataclass(frozen=True, slots=True, kw_only=True)
class SentTo:
    sent_to: str

@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    items: tuple[Session, ...]
    next: str | None

@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    synced: bool
    backed_up: bool

@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime

@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    password: bool
    passkeys: tuple[Passkey, ...]
    totp: datetime | None
    email_code: datetime | None
    recovery_codes: int
    browsers: tuple[Browser, ...]

@dataclass(frozen=True, slots=True, kw_only=True)
class Passkeys:
    items: tuple[Passkey, ...]
    next: None = None

@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    challenge: dict[str, Any]

@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    otpauth_uri: str
    secret: str
    active: bool = False
    def qr_png(self) -> bytes:
        """The QR code of the setup key, as PNG. Raises ValueError for the challenge of another factor."""

@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    sent_to: str
    active: bool = False

@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    codes: tuple[str, ...]

@dataclass(frozen=True, slots=True, kw_only=True)
class Browsers:
    items: tuple[Browser, ...]
    next: None = None

@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes:
    count: int
    mailed: bool

@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    first: tuple[str, ...]
    second: str
    second_among: tuple[str, ...]
    least_acr: str
    max_age: int
    mailed_second_factor: str
    password_checks: str
    password_alone: int
    password_beside: int
    totp_window: int
    totp_at_once: bool
    totp_shown_again: bool
    recovery_codes: RecoveryCodes
    passkey_counter: str
    signup: str
    usernames: str
    address_proof: str
    remember_days: int
    on_client_change: str
    session_idle: int
    session_absolute: int
    access_life: int
    refresh_life: int

@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    decision: Literal["need", "enrol", "enough", "refuse"]
    need: tuple[tuple[str, ...], ...]
    amr: tuple[str, ...]
    acr: str | None
    reasons: tuple[str, ...]
    why: str
    has: tuple[str, ...]

@dataclass(frozen=True, slots=True, kw_only=True)
class SigninLink:
    url: str
    usable_at: datetime
    expires_at: datetime

@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAsked:
    approval: Literal["needed"]

@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    id: str
    email: str
    username: str | None
    email_verified: bool
    profile: dict[str, Any]
    roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    disabled: bool
    last_used_at: datetime | None

@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    items: tuple[Managed, ...]
    next: str | None
    total: int | None = None

@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    approval: Literal["given", "needed"]
    usable_at: datetime | None = None

@dataclass(frozen=True, slots=True, kw_only=True)
class UserSession:
    id: str
    created_at: datetime
    last_used_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str
    current: bool
    client: Client
    carrier: str

@dataclass(frozen=True, slots=True, kw_only=True)
class UserSessions:
    items: tuple[UserSession, ...]
    next: None

@dataclass(frozen=True, slots=True, kw_only=True)
class UserFactor:
    factor: str
    label: str
    created_at: datetime
    last_used_at: datetime | None

@dataclass(frozen=True, slots=True, kw_only=True)
class UserFactors:
    items: tuple[UserFactor, ...]
    next: None

@dataclass(frozen=True, slots=True, kw_only=True)
class UserActions:
    actions: tuple[str, ...]
    roles: tuple[str, ...]

@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    name: str
    description: str
    yours: bool

@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    items: tuple[Permission, ...]
    next: None

@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    name: str
    description: str
    permissions: tuple[str, ...]
    built_in: bool
    created_at: datetime | None
    updated_at: datetime | None

@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    items: tuple[Role, ...]
    next: None

@dataclass(frozen=True, slots=True, kw_only=True)
class Inviter:
    id: str
    email: str

@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    id: str
    email: str
    roles: tuple[str, ...]
    inviter: Inviter | None
    created_at: datetime
    expires_at: datetime

@dataclass(frozen=True, slots=True, kw_only=True)
class Invitations:
    items: tuple[Invitation, ...]
    next: str | None

@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    id: str
    kind: str
    state: Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE"]
    attempts: int
    result: Any
    created_at: datetime
    ended_at: datetime | None

@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    status: Literal["ok"]

@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    status: Literal["ok", "unavailable"]
    parts: dict[str, Literal["ok", "down"]] | None = None

class _NewTenant(TypedDict, total=False):
    name: str

class _StepUp(TypedDict, total=False):
    acr: str | None
    max_age: int | None
    address: bool

class _RecoveryCodesChange(TypedDict, total=False):
    count: int | None
    mailed: bool | None

class _Signin:
    async def signup(
        self,
        *,
        email: str,
        password: str | None = None,
        profile: dict[str, Any] | None = None,
        tenant: str | None = None,
        new_tenant: _NewTenant | None = None,
    ) -> Started:
        """Start a sign-up"""

    async def start(
        self,
        *,
        email: str | None = None,
        username: str | None = None,
        tenant: str | None = None,
        step_up: _StepUp | None = None,
    ) -> Started:
        """Start a sign-in or step-up"""

    async def recover(self, *, email: str, tenant: str | None = None) -> Started:
        """Start an account recovery"""

    async def challenge(self, handle: str, /, *, factor: str) -> Challenged:
        """Request a challenge"""

    async def prove(self, handle: str, /, *, factor: str, answer: str | dict[str, Any]) -> Proved:
        """Prove a factor"""

    async def finish(
        self, handle: str, /, *, carrier: Literal["bearer", "cookie", "jwt"], remember: bool = False
    ) -> Finished:
        """Finish and create a session"""

    async def complete(
        self,
        *,
        answer: dict[str, Any],
        email: str | None = None,
        purpose: Literal["signin", "signup"] | None = None,
        carrier: Literal["bearer", "jwt"],
        tenant: str | None = None,
    ) -> Finished:
        """Complete a sign-in by a passkey's answer"""

class _Session:
    async def show(self) -> Whole:
        """Get the current session"""

    async def end(self) -> Carried:
        """Sign out"""

class _Tokens:
    async def refresh(self, *, refresh_token: str) -> Pair:
        """Refresh a token pair"""

class _Me:
    async def show(self) -> Me:
        """Get the current user"""

    async def change(self, *, profile: dict[str, Any]) -> Me:
        """Replace the profile"""

    async def delete(self) -> Carried:
        """Delete the account"""

    async def export(self) -> Export:
        """Export account data"""

    async def activity(self, *, limit: int = 100, after: str | None = None) -> Activity:
        """List recent activity"""

    async def password(self, *, password: str) -> None:
        """Change the password"""

    async def address(self, *, email: str) -> SentTo:
        """Start changing the email address"""

    async def prove_address(self, *, answer: str) -> None:
        """Confirm the new email address"""

    async def sessions(self, *, limit: int = 100, after: str | None = None) -> Sessions:
        """List sessions"""

    async def end_others(self) -> None:
        """Sign out everywhere else"""

    async def end_one(self, id: str, /) -> None:
        """End a session"""

class _Factors:
    async def show(self) -> Factors:
        """List sign-in options"""

    async def passkeys(self) -> Passkeys:
        """List passkeys"""

    async def begin_passkey(self) -> Offered:
        """Start adding a passkey"""

    async def prove_passkey(self, *, answer: dict[str, Any], label: str | None = None) -> Passkey:
        """Add a passkey"""

    async def rename_passkey(self, id: str, /, *, label: str) -> Passkey:
        """Rename a passkey"""

    async def remove_passkey(self, id: str, /) -> None:
        """Remove a passkey"""

    async def begin_totp(self) -> Secret:
        """Start setting up an authenticator app"""

    async def totp_qr(self) -> bytes:
        """Get the QR code"""

    async def show_totp(self) -> Secret:
        """Get the setup key again"""

    async def prove_totp(self, *, answer: str) -> None:
        """Confirm the authenticator app"""

    async def remove_totp(self) -> None:
        """Remove the authenticator app"""

    async def begin_email_code(self) -> Sent:
        """Start turning on mailed codes"""

    async def prove_email_code(self, *, answer: str) -> None:
        """Turn on mailed codes"""

    async def remove_email_code(self) -> None:
        """Turn off mailed codes"""

    async def recovery_codes(self) -> Codes:
        """Generate backup codes"""

    async def browsers(self) -> Browsers:
        """List remembered browsers"""

    async def unlock(self, *, factor: str) -> None:
        """Unlock a factor"""

    async def forget_browsers(self) -> None:
        """Remove all remembered browsers"""

    async def forget_browser(self, id: str, /) -> None:
        """Remove a remembered browser"""

    # a factor of the host's own adds operations
    def __getattr__(self, name: str) -> Any: ...

class _Admin:
    async def tenant(self, id: str, /) -> Tenant:
        """Get the tenant"""

    async def change_tenant(self, id: str, /, *, display_name: str) -> Tenant:
        """Change the tenant's display name"""

    async def policy(self, id: str, /) -> Policy:
        """Get the tenant's policy"""

    async def change_policy(
        self,
        id: str,
        /,
        *,
        first: builtins.list[str] | tuple[str, ...] | None = None,
        second: str | None = None,
        second_among: builtins.list[str] | tuple[str, ...] | None = None,
        least_acr: str | None = None,
        max_age: int | None = None,
        mailed_second_factor: str | None = None,
        password_checks: str | None = None,
        password_alone: int | None = None,
        password_beside: int | None = None,
        totp_window: int | None = None,
        totp_at_once: bool | None = None,
        totp_shown_again: bool | None = None,
        recovery_codes: _RecoveryCodesChange | None = None,
        passkey_counter: str | None = None,
        signup: str | None = None,
        usernames: str | None = None,
        address_proof: str | None = None,
        remember_days: int | None = None,
        on_client_change: str | None = None,
        session_idle: int | None = None,
        session_absolute: int | None = None,
        access_life: int | None = None,
        refresh_life: int | None = None,
    ) -> Policy:
        """Change the tenant's policy"""

    async def explain(
        self,
        id: str,
        /,
        *,
        purpose: str = "signin",
        proofs: str = "",
        has: str = "",
        acr: str = "urn:passgate:aal1",
        remembered: bool = False,
        user: str | None = None,
    ) -> Explained:
        """Explain the tenant's policy"""

    async def signin_link(self, id: str, /) -> SigninLink | LinkAsked:
        """Create a sign-in link"""

class _Users:
    async def list(
        self,
        *,
        search: str = "",
        role_at_most: str | None = None,
        disabled: bool | None = None,
        created_since: datetime | str | None = None,
        created_until: datetime | str | None = None,
        updated_since: datetime | str | None = None,
        updated_until: datetime | str | None = None,
        last_used_since: datetime | str | None = None,
        last_used_until: datetime | str | None = None,
        sort: str = "created_at",
        after: str | None = None,
        limit: int = 50,
        page: int | None = None,
        size: int = 50,
    ) -> Users:
        """List users"""

    async def create(
        self,
        *,
        email: str,
        username: str | None = None,
        password: str | None = None,
        profile: dict[str, Any] | None = None,
        roles: builtins.list[str] | tuple[str, ...] | None = None,
    ) -> Managed:
        """Create a user"""

    async def show(self, id: str, /) -> Managed:
        """Get a user"""

    async def change(
        self,
        id: str,
        /,
        *,
        profile: dict[str, Any] | None = None,
        email: str | None = None,
        username: str | None = None,
        password: str | None = None,
        roles: builtins.list[str] | tuple[str, ...] | None = None,
    ) -> Managed:
        """Change a user"""

    async def delete(self, id: str, /) -> None:
        """Delete a user"""

    async def disable(self, id: str, /) -> Managed:
        """Disable a user"""

    async def enable(self, id: str, /) -> Managed:
        """Enable a user"""

    async def sign_out(self, id: str, /) -> None:
        """Sign a user out"""

    async def reset_factors(self, id: str, /) -> Reset:
        """Reset a user's second factors"""

    async def give_role(self, id: str, role: str, /) -> Managed:
        """Give a user a role"""

    async def take_role(self, id: str, role: str, /) -> Managed:
        """Take a role from a user"""

    async def sessions(self, id: str, /) -> UserSessions:
        """List a user's sessions"""

    async def factors(self, id: str, /) -> UserFactors:
        """List what a user has set up"""

    async def activity(self, id: str, /, *, limit: int = 100, after: str | None = None) -> Activity:
        """List a user's recent activity"""

    async def actions(self, id: str, /) -> UserActions:
        """List what you may do to a user"""

class _Roles:
    async def permissions(self) -> Permissions:
        """List permissions"""

    async def list(self) -> Roles:
        """List roles"""

    async def create(
        self, *, name: str, description: str = "", permissions: builtins.list[str] | tuple[str, ...]
    ) -> Role:
        """Create a role"""

    async def change(
        self,
        role: str,
        /,
        *,
        description: str | None = None,
        permissions: builtins.list[str] | tuple[str, ...] | None = None,
    ) -> Role:
        """Change a role"""

    async def delete(self, role: str, /, *, take: bool = False) -> None:
        """Delete a role"""

class _Invitations:
    async def list(self, *, after: str | None = None, limit: int = 50) -> Invitations:
        """List invitations"""

    async def create(self, *, email: str, roles: builtins.list[str] | tuple[str, ...] | None = None) -> Invitation:
        """Invite somebody"""

    async def cancel(self, id: str, /) -> None:
        """Cancel an invitation"""

    async def accept(self, *, token: str) -> Started:
        """Accept an invitation"""

class _Jobs:
    async def show(self, id: str, /) -> Job:
        """Get a background job"""

class _Ops:
    async def health(self) -> Health:
        """Check health"""

    async def ready(self) -> Ready:
        """Check readiness"""

class Operations:
    """The operations of one request or operator, by tag."""

    def __init__(self, caller: object) -> None: ...
    @property
    def signin(self) -> _Signin: ...
    @property
    def session(self) -> _Session: ...
    @property
    def tokens(self) -> _Tokens: ...
    @property
    def me(self) -> _Me: ...
    @property
    def factors(self) -> _Factors: ...
    @property
    def admin(self) -> _Admin: ...
    @property
    def users(self) -> _Users: ...
    @property
    def roles(self) -> _Roles: ...
    @property
    def invitations(self) -> _Invitations: ...
    @property
    def jobs(self) -> _Jobs: ...
    @property
    def ops(self) -> _Ops: ...
