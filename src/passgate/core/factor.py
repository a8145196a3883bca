"""What a factor is: one frozen value with all its facts and verbs, and the collection of those that a Passgate has.

Values only. How proofs add up lives in `policy`, each factor's own rules in its module below `factors`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from passgate.errors import NoChallenge

if TYPE_CHECKING:
    from passgate.core.ctx import Ctx
    from passgate.core.pending import SignIn
    from passgate.core.rules import Rules
    from passgate.store import Db
    from passgate.store.unit import Deferred

LINK = "link"
"""The proof of a sign-in link that an operator or an admin made. No factor: nobody is asked for it."""
BOUND = "+bound"
"""Behind a factor's name: its answer also showed that the key cannot leave the device."""


class Trait(StrEnum):
    """What a proof shows. Levels count distinct traits, never steps."""

    KNOWS = "knows"
    HAS = "has"
    IS = "is"


@dataclass(frozen=True, slots=True)
class ProofFacts:
    """A proof as policy sees it. `amr` per RFC 8176; `is_bound`: its key cannot leave the device (NIST SP 800-63B-4
    §2.3.2)."""

    amr: tuple[str, ...]
    traits: frozenset[Trait] = frozenset()
    resists_phishing: bool = False
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Where a factor stands among others on pages, smallest first: as a first factor, as a second one, in recovery, and
    where a sign-up sets one up."""

    first: int = 9
    second: int = 9
    recovery: int = 9
    signup: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What people read of a factor, marked for translation with `N_`."""

    name: str
    """As part of a sentence: "an authenticator app"."""
    use: str
    """The link that leads to it from another factor's page."""
    set_up: str = ""
    """The same where it is set up."""
    in_recovery: str = ""
    """The same in a recovery, where that is said differently."""
    proved: str
    """In the list of one's activity."""
    refused: str
    wrong: str
    """Above the form, after a wrong answer."""
    proved_meaning: str
    """In the reference of audit events."""
    refused_meaning: str


# -- verbs -----------------------------------------------------------------------------------------

Answer = str | dict[str, Any]
"""A password or code as it was typed; of a passkey the browser's `toJSON()` object."""
Mark = Callable[["Db"], Awaitable["str | None"]]
"""Moves what was compared, if it is still that; the id of what it moved, or None where another was first."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a compare found. `mark` moves the credential or ticket. `proof` is what a right answer showed, where that is
    more than the factor's name. `deferred` is written with the refusal of a wrong one: a challenge is burnt, an owner
    is told."""

    is_right: bool
    person_id: str | None
    mark: Mark
    proof: str = ""
    deferred: tuple[Deferred, ...] = ()


async def _nothing(_db: Db) -> None:
    return None


def wrong(person_id: str | None, *deferred: Deferred) -> Compared:
    """A wrong answer: there is nothing to move."""
    return Compared(False, person_id, _nothing, deferred=deferred)


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Whose factor is set up: somebody with a pending sign-in, or with a session. `bound_to` is that sign-in, session
    or person: what was offered there counts nowhere else."""

    tenant_id: str
    tenant_name: str
    person_id: str
    email: str
    service: str
    rules: Rules
    bound_to: str


class Challenge(Protocol):
    async def __call__(self, ctx: Ctx, sign_in: SignIn, /) -> dict[str, Any]: ...


class Budget(Protocol):
    async def __call__(self, ctx: Ctx, sign_in: SignIn, /) -> tuple[str, Any]: ...


class Compare(Protocol):
    async def __call__(self, ctx: Ctx, sign_in: SignIn, answer: Any, seen: Any, /, *, is_locked: bool) -> Compared: ...


class Offer(Protocol):
    async def __call__(self, ctx: Ctx, who: Enrolling, /) -> dict[str, Any]: ...


class Offered(Protocol):
    async def __call__(self, ctx: Ctx, who: Enrolling, /) -> dict[str, Any] | None: ...


class Accept(Protocol):
    async def __call__(self, ctx: Ctx, who: Enrolling, answer: Any, /) -> Compared: ...


class ActivateAtOnce(Protocol):
    async def __call__(self, ctx: Ctx, db: Db, who: Enrolling, /) -> dict[str, Any]: ...


async def no_challenge(_ctx: Ctx, _about: Any) -> NoReturn:
    """Of a factor that asks nothing first."""
    raise NoChallenge


async def _nothing_offered(_ctx: Ctx, _who: Enrolling) -> None:
    return None


def _never_at_once(_rules: Rules) -> ActivateAtOnce | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """How a factor is set up. `offer` says what to set up; `accept` looks at the first answer with no transaction open,
    and the mark of what it returns writes the credential and answers its id."""

    accept: Accept
    offer: Offer = no_challenge
    offered: Offered = _nothing_offered
    """What `offer` said last, while it can still be answered."""
    at_once: Callable[[Rules], ActivateAtOnce | None] = _never_at_once
    """Writes the credential without a first answer, where a tenant's rules take that."""
    is_drawn: bool = False
    """What `offer` makes is shown on the page, so it is made before the page."""
    is_bound_to_session: bool = False
    """An offer counts in the session that asked; otherwise in every session of the person."""
    is_many: bool = False
    """A person may have several."""
    replaced: str = ""
    """The heading of the mail after a recovery that set this one up."""
    page: str = ""
    """The name of the page that sets it up during a sign-in, where that is another one than the factor's own."""
    form_field: str = "code"
    has_account_page: bool = False
    """Its account page and endpoints are written by hand; otherwise they are made from this value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One way to show who one is. `name` is what the API, rules, events and templates say; letters, digits and `_`."""

    name: str
    texts: Texts
    # What a proof of it shows.
    amr: tuple[str, ...]
    traits: frozenset[Trait] = frozenset()
    resists_phishing: bool = False
    may_be_bound: bool = False
    # Where it may stand.
    is_first: bool = False
    is_second: bool = False
    recovers: bool = False
    """It is a way back for somebody who lost what they have: two different ones stand for that."""
    is_enrolled: bool = True
    """False: who has an address has it."""
    is_lasting: bool = True
    """False: answers use it up, so by itself it asks for nothing."""
    # How it is asked for.
    needs_address: bool = False
    is_sent: bool = False
    """Its challenge goes to the person by another way, and so before its page is shown."""
    answer: Literal["text", "object"] = "text"
    form_field: str = "code"
    has_passkey_button: bool = False
    """Its page shows a passkey's button beside its form."""
    order: Order = Order()
    # What it does.
    challenge: Challenge = no_challenge
    budget: Budget
    """Names the throttle row before anything is spent, and what was seen for `compare`."""
    compare: Compare
    """Runs with no transaction open; the mark of what it returns runs inside the one that counts."""
    set_up: SetUp | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,23}", self.name) or self.name in (LINK, "browser"):
            raise ValueError(f"a factor cannot be called {self.name!r}")

    @property
    def path(self) -> str:
        """The last part of its page's path."""
        return self.name.replace("_", "-")

    @property
    def proved_event(self) -> str:
        return f"signin:{self.name}:proved"

    @property
    def refused_event(self) -> str:
        return f"signin:{self.name}:refused"

    @property
    def facts(self) -> ProofFacts:
        """What a proof of it shows at least."""
        return ProofFacts(self.amr, self.traits, self.resists_phishing)

    @property
    def best_proof(self) -> str:
        """What it can show at most; which it is, is known only when it is proved."""
        return self.name + BOUND if self.may_be_bound else self.name


class Factors:
    """Those that a Passgate has, in the order in which they are listed. Equal names are refused; a value, never
    changed."""

    def __init__(self, factors: Iterable[Factor], own: Iterable[Factor] = ()) -> None:
        """`own`: those of a host's program, behind ours."""
        self._all = (*factors, *own)
        self._by_name = {factor.name: factor for factor in self._all}
        if len(self._by_name) < len(self._all):
            raise ValueError("two factors have one name")

    def __iter__(self) -> Iterator[Factor]:
        return iter(self._all)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Factor:
        return self._by_name[name]

    def get(self, name: str) -> Factor | None:
        return self._by_name.get(name)

    @cached_property
    def events(self) -> dict[str, str]:
        """The audit events of proving each, with their meaning."""
        proved = {one.proved_event: one.texts.proved_meaning for one in self._all}
        return proved | {one.refused_event: one.texts.refused_meaning for one in self._all}

    def _names(self, holds: Callable[[Factor], bool]) -> tuple[str, ...]:
        return tuple(factor.name for factor in self._all if holds(factor))

    @cached_property
    def first(self) -> tuple[str, ...]:
        """Those that rules may name as first factors."""
        return self._names(lambda one: one.is_first)

    @cached_property
    def second(self) -> tuple[str, ...]:
        return self._names(lambda one: one.is_second)

    @cached_property
    def possession(self) -> tuple[str, ...]:
        """What a person has and can lose."""
        return self._names(lambda one: Trait.HAS in one.traits)

    @cached_property
    def set_up_second(self) -> tuple[str, ...]:
        """Second factors that can be set up during a sign-in."""
        return self._names(lambda one: one.is_second and one.set_up is not None)

    @cached_property
    def enrolled(self) -> tuple[str, ...]:
        """Those that a credential stands for."""
        return self._names(lambda one: one.is_enrolled)

    @cached_property
    def own(self) -> tuple[Factor, ...]:
        """Those with an account page and endpoints that are made from their value: a host's, and each of ours for which
        nobody wrote any."""
        made = (one for one in self._all if one.set_up is not None and not one.set_up.has_account_page)
        return tuple(one for one in made if one.answer == "text")

    @cached_property
    def given(self) -> frozenset[str]:
        """Those that everybody has who has an address."""
        return frozenset(self._names(lambda one: not one.is_enrolled))

    @cached_property
    def ways_back(self) -> tuple[str, ...]:
        """Factors that two of which stand for a lost one, in the order of recovery's pages."""
        return self.ranked(self._names(lambda one: one.recovers), lambda order: order.recovery)

    @cached_property
    def proofs(self) -> dict[str, ProofFacts]:
        """Everything that may stand among a sign-in's proofs, and what it shows. A link shows nothing that counts (NIST
        SP 800-63B-4 §3.1.3.1: e-mail is no out-of-band authenticator)."""
        found = {factor.name: factor.facts for factor in self._all}
        bound = {one.best_proof: replace(one.facts, is_bound=True) for one in self._all if one.may_be_bound}
        return {**found, **bound, LINK: ProofFacts(("otp",))}

    def ranked(self, names: Iterable[str], by: Callable[[Order], int]) -> tuple[str, ...]:
        return tuple(sorted(names, key=lambda name: by(self._by_name[name].order)))


def names_of(proofs: Iterable[str]) -> frozenset[str]:
    """The names of the factors behind proofs."""
    return frozenset(proof.partition("+")[0] for proof in proofs)


def typed(answer: object) -> str:
    """A code as people type it: blanks and hyphens do not count. The same reading before every check and store."""
    return "".join(answer.split()).replace("-", "") if isinstance(answer, str) else ""
