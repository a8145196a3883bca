"""What a person can prove, one module per factor; here the shapes they share. How proofs add up lives in `policy`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from passgate.core.ctx import Ctx
from passgate.core.rules import Rules
from passgate.store import Db
from passgate.store.unit import Keep

Answer = str | dict[str, Any]
"""A password or code as it was typed; of a passkey the browser's `toJSON()` object."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The running, not yet trusted thing: whom it names, what it has proved. `data` was sealed at rest; `enrolled` is
    what the named person has, empty before."""

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
    enrolled: frozenset[str] = frozenset()
    is_remembered: bool = False

    @property
    def email_key(self) -> str:
        return str(self.data.get("email_key", ""))

    @property
    def email(self) -> str:
        return str(self.data.get("email", ""))


Mark = Callable[[Db], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a compare found. `mark` moves the credential or ticket if it is still the compared one, False if not.
    `proof` is what a right answer showed, where that is more than the factor's name. `kept` is written with the
    refusal of a wrong one: a challenge is burnt, an owner is told."""

    is_right: bool
    person_id: str | None
    mark: Mark
    proof: str = ""
    kept: tuple[Keep, ...] = ()


class Factor(Protocol):
    """The verbs of a factor module. `budget` names the throttle row before anything is spent, `compare` runs with no
    transaction open, its `mark` inside the one that counts."""

    name: str

    async def challenge(self, ctx: Ctx, sign_in: SignIn, /) -> dict[str, Any]: ...

    async def budget(self, ctx: Ctx, sign_in: SignIn, /) -> tuple[str, Any]: ...

    async def compare(self, ctx: Ctx, sign_in: SignIn, answer: Any, seen: Any, /, *, is_locked: bool) -> Compared: ...


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Whose factor is set up: somebody half signed in, or with a session. `bound_to` is that sign-in or person: what
    was offered there counts nowhere else."""

    tenant_id: str
    tenant_name: str
    person_id: str
    email: str
    service: str
    rules: Rules
    bound_to: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer that fits. `bind` writes the new credential, or raises, and returns its id; `proof` is what setting it
    up showed, where that is more than the factor's name."""

    bind: Callable[[Db], Awaitable[str]]
    proof: str = ""


class Enrolment(Protocol):
    """The verbs of a factor that can be set up. `offer` says what to set up, `accept` looks at the answer with no
    transaction open, and what it returns writes the credential inside the one that counts."""

    name: str

    async def offer(self, ctx: Ctx, who: Enrolling, /) -> dict[str, Any]: ...

    async def accept(self, ctx: Ctx, who: Enrolling, answer: Any, /) -> Accepted: ...


async def unmarked(_db: Db) -> bool:
    """The mark of a wrong answer: there is nothing to move."""
    return False


def typed(answer: object) -> str:
    """A code as people type it: blanks and hyphens do not count. The same reading before every check and store."""
    return "".join(answer.split()).replace("-", "") if isinstance(answer, str) else ""
