"""What a person can prove, one module per factor; here the shapes they share. How proofs add up lives in `policy`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from passgate.core.ctx import Ctx
from passgate.core.policy import Rules
from passgate.store import Db


@dataclass(frozen=True, slots=True)
class SignIn:
    """The running, not yet trusted thing: whom it names, what it has proved. `data` was sealed at rest."""

    id: str
    tenant_id: str
    tenant_name: str
    service: str
    rules: Rules
    purpose: str
    person_id: str | None
    session_id: str | None
    proofs: tuple[str, ...]
    proofs_text: str
    created_at: int
    expires_at: int
    data: dict[str, Any] = field(repr=False)

    @property
    def email_key(self) -> str:
        return str(self.data.get("email_key", ""))

    @property
    def email(self) -> str:
        return str(self.data.get("email", ""))


Mark = Callable[[Db], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a compare found. `mark` moves the credential or ticket if it is still the compared one, False if not."""

    is_right: bool
    person_id: str | None
    mark: Mark


class Factor(Protocol):
    """The verbs of a factor module. `budget` names the throttle row before anything is spent, `compare` runs with no
    transaction open, its `mark` inside the one that counts."""

    name: str

    async def challenge(self, ctx: Ctx, sign_in: SignIn) -> dict[str, Any]: ...

    async def budget(self, ctx: Ctx, sign_in: SignIn) -> tuple[str, Any]: ...

    async def compare(self, ctx: Ctx, sign_in: SignIn, answer: str, seen: Any, *, is_locked: bool) -> Compared: ...


async def unmarked(_db: Db) -> bool:
    """The mark of a wrong answer: there is nothing to move."""
    return False
