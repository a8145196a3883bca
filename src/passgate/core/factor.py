"""What a factor is: one frozen value with its properties and functions, and the collection of a deployment's factors.

Not here: how proofs add up (`policy`), and each factor's own rules (its module in `factors`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from passgate.errors import NoChallenge

if TYPE_CHECKING:
    from passgate.core.budgets import Target
    from passgate.core.ctx import Ctx
    from passgate.core.pending import SignIn
    from passgate.core.rules import Rules
    from passgate.store import Db
    from passgate.store.unit import Deferred

LINK = "link"
"""The proof of a sign-in link made by an operator or an admin. Not a factor: no page asks for it."""
BOUND = "+bound"
"""Suffix of a factor's name in a proof: the answer also proved that the key cannot leave the device."""
NEW = "+new"
"""Suffix of a proof: the factor was set up just then. It counts towards a level, and shows nothing about who did it."""
BY_LINK = "+link"
"""Suffix of a proof: a mailed link gave it, and not the code beside that link. It is never fresh."""
MAILED = "+mailed"
"""Suffix of a proof: the code was sent by mail once, so it shows no more than the mailbox (NIST SP 800-63B-4
§3.1.3.1)."""
REMEMBERED = "browser"
"""Among the proofs of a session: a remembered browser waived the second factor. No proof of anything."""


class Trait(StrEnum):
    """What a proof demonstrates. Levels count distinct traits, never steps."""

    KNOWS = "knows"
    HAS = "has"
    IS = "is"


@dataclass(frozen=True, slots=True)
class ProofFacts:
    """A proof as policy evaluates it. `amr` per RFC 8176; `is_bound`: its key cannot leave the device (NIST SP
    800-63B-4 §2.3.2)."""

    amr: tuple[str, ...]
    traits: frozenset[Trait] = frozenset()
    resists_phishing: bool = False
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A factor's position on pages, lowest first: as a first factor, as a second factor, in recovery, and during the
    enrolment of a sign-up."""

    first: int = 9
    second: int = 9
    recovery: int = 9
    signup: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A factor's texts for people, marked for translation with `N_`."""

    name: str
    """Used inside a sentence: "an authenticator app"."""
    use: str
    """The link to it on another factor's page."""
    set_up: str = ""
    """The same link on an enrolment page."""
    in_recovery: str = ""
    """The same link in a recovery, if worded differently."""
    proved: str
    """In the person's activity."""
    refused: str
    wrong: str
    """Above the form, after a wrong answer."""
    proved_meaning: str
    """In the reference of audit events."""
    refused_meaning: str


# -- functions of a factor -------------------------------------------------------------------------

Answer = str | dict[str, Any]
"""A password or code as entered; for a passkey the browser's `toJSON()` object."""
Mark = Callable[["Db"], Awaitable["str | None"]]
"""Updates what was compared if it is unchanged; returns its id, or None if another request came first."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of a comparison. `mark` updates the credential or ticket. `proof` is what a correct answer proved, if
    more than the factor's name. `deferred` is written along with the refusal of a wrong one, such as consuming a
    challenge or notifying the owner. `why`: one word for trail and log, where a wrong one can be wrong in several
    ways."""

    is_right: bool
    person_id: str | None
    mark: Mark
    proof: str = ""
    deferred: tuple[Deferred, ...] = ()
    why: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """Of the event that records a refusal."""
        return {"why": self.why} if self.why else {}


async def _nothing(_db: Db) -> None:
    return None


def wrong(person_id: str | None, *deferred: Deferred, why: str = "") -> Compared:
    """A wrong answer: nothing to update."""
    return Compared(False, person_id, _nothing, deferred=deferred, why=why)


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Whose factor is being set up: a person with a pending sign-in or a session. `bound_to` is the id of that sign-in,
    session or person; an offer is valid for it alone."""

    tenant_id: str
    tenant_name: str
    person_id: str
    email: str
    service: str
    rules: Rules
    bound_to: str
    proved: frozenset[str] = frozenset()
    """The factors that whoever sets this up has proved, in the pending sign-in or lately in the session."""
    in_session: bool = False
    """In a session somebody adds it of their own accord; in a sign-in the rules ask for it."""


class Challenge(Protocol):
    async def __call__(self, ctx: Ctx, sign_in: SignIn, /) -> dict[str, Any]: ...


class WasSent(Protocol):
    async def __call__(self, ctx: Ctx, sign_in: SignIn, /) -> bool: ...


class Budget(Protocol):
    async def __call__(self, ctx: Ctx, sign_in: SignIn, /) -> tuple[Target, Any]: ...


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
    """For a factor without a challenge."""
    raise NoChallenge


async def _nothing_offered(_ctx: Ctx, _who: Enrolling) -> None:
    return None


async def _always_sent(_ctx: Ctx, _sign_in: SignIn) -> bool:
    return True


def _always(_factors: Factors, _rules: Rules, _enrolled: frozenset[str]) -> bool:
    return True


def _never_at_once(_rules: Rules) -> ActivateAtOnce | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """How a factor is enrolled. `offer` returns what to set up; `accept` checks the first answer with no transaction
    open, and the mark it returns writes the credential and returns its id."""

    accept: Accept
    offer: Offer = no_challenge
    offered: Offered = _nothing_offered
    """The latest result of `offer`, while it can still be answered."""
    at_once: Callable[[Rules], ActivateAtOnce | None] = _never_at_once
    """Writes the credential without a first answer, if the tenant's rules allow that."""
    may_begin: Callable[[Factors, Rules, frozenset[str]], bool] = _always
    """Whether somebody with these factors may set it up in a session."""
    is_drawn: bool = False
    """The page displays the result of `offer`, so `offer` runs before the page is rendered."""
    is_bound_to_session: bool = False
    """An offer is valid only in the session that requested it; otherwise in every session of the person."""
    is_mailed: bool = False
    """Its first answer is a mailed code, and counted as one."""
    is_many: bool = False
    """A person may have several."""
    replaced: str = ""
    """The heading of the mail after a recovery that set up this factor."""
    page: str = ""
    """The name of its enrolment page during a sign-in, if not the factor's own page."""
    form_field: str = "code"
    has_account_page: bool = False
    """Its account page and endpoints are handwritten; otherwise they are generated from this value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One way to prove an identity. `name` appears in the API, rules, events and templates: letters, digits and `_`."""

    name: str
    texts: Texts
    # What its proof demonstrates.
    amr: tuple[str, ...]
    traits: frozenset[Trait] = frozenset()
    resists_phishing: bool = False
    may_be_bound: bool = False
    may_be_mailed: bool = False
    """Its codes may have been sent by mail; such a proof has no trait."""
    # Where it may be used.
    is_first: bool = False
    is_second: bool = False
    recovers: bool = False
    """A recovery method: proofs of two different ones replace a lost possession factor."""
    is_enrolled: bool = True
    """False: everyone with an address has it."""
    is_lasting: bool = True
    """False: answers use it up, so having it alone does not raise a person's own level."""
    # How it is requested.
    needs_address: bool = False
    is_sent: bool = False
    """Its challenge reaches the person over another channel, so it is sent before the page is displayed."""
    answer: Literal["text", "object"] = "text"
    form_field: str = "code"
    has_passkey_button: bool = False
    """Its page displays a passkey button beside the form."""
    order: Order = Order()
    # Its functions.
    challenge: Challenge = no_challenge
    was_sent: WasSent = _always_sent
    """Of one that `is_sent`: whether something was sent for this sign-in, the same for known and unknown addresses."""
    budget: Budget
    """Returns what a wrong answer counts against, before anything is debited, and the value passed to `compare` as
    `seen`."""
    compare: Compare
    """Runs with no transaction open; the mark it returns runs in the transaction that records the proof."""
    set_up: SetUp | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,23}", self.name) or self.name in (LINK, REMEMBERED):
            raise ValueError(f"{self.name!r} isn't a valid factor name")

    @property
    def path(self) -> str:
        """The last segment of its page's path."""
        return self.name.replace("_", "-")

    @property
    def proved_event(self) -> str:
        return f"signin:{self.name}:proved"

    @property
    def refused_event(self) -> str:
        return f"signin:{self.name}:refused"

    @property
    def facts(self) -> ProofFacts:
        """What its proof demonstrates at least."""
        return ProofFacts(self.amr, self.traits, self.resists_phishing)

    @property
    def best_proof(self) -> str:
        """The strongest proof it can give; the actual one is known only once it is proved."""
        return self.name + BOUND if self.may_be_bound else self.name


class Factors:
    """A deployment's factors, in listing order. Duplicate names raise ValueError; immutable."""

    def __init__(self, factors: Iterable[Factor], own: Iterable[Factor] = ()) -> None:
        """`own`: factors of the host application, after the built-in ones."""
        self._all = (*factors, *own)
        self._by_name = {factor.name: factor for factor in self._all}
        if len(self._by_name) < len(self._all):
            raise ValueError("two factors have the same name")

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
        """The audit events of proving each factor, with their meaning."""
        proved = {one.proved_event: one.texts.proved_meaning for one in self._all}
        return proved | {one.refused_event: one.texts.refused_meaning for one in self._all}

    def _names(self, holds: Callable[[Factor], bool]) -> tuple[str, ...]:
        return tuple(factor.name for factor in self._all if holds(factor))

    @cached_property
    def first(self) -> tuple[str, ...]:
        """Factors that rules may list as first factors."""
        return self._names(lambda one: one.is_first)

    @cached_property
    def second(self) -> tuple[str, ...]:
        return self._names(lambda one: one.is_second)

    @cached_property
    def possession(self) -> tuple[str, ...]:
        """Factors a person possesses and can lose."""
        return self._names(lambda one: Trait.HAS in one.traits)

    @cached_property
    def set_up_second(self) -> tuple[str, ...]:
        """Second factors that can be set up during a sign-in."""
        return self._names(lambda one: one.is_second and one.is_enrolled and one.set_up is not None)

    @cached_property
    def chosen(self) -> frozenset[str]:
        """Second factors that everyone with an address has, and that people can also turn on for themselves."""
        return frozenset(self._names(lambda one: one.is_second and not one.is_enrolled and one.set_up is not None))

    @cached_property
    def enrolled(self) -> tuple[str, ...]:
        """Factors backed by a credential row."""
        return self._names(lambda one: one.is_enrolled or one.name in self.chosen)

    @cached_property
    def own(self) -> tuple[Factor, ...]:
        """Factors whose account page and endpoints are generated: a host's, and ours without handwritten ones."""
        made = (one for one in self._all if one.set_up is not None and not one.set_up.has_account_page)
        return tuple(one for one in made if one.answer == "text")

    @cached_property
    def given(self) -> frozenset[str]:
        """Factors that everyone with an address has."""
        return frozenset(self._names(lambda one: not one.is_enrolled))

    @cached_property
    def ways_back(self) -> tuple[str, ...]:
        """Recovery methods, in the order of the recovery pages; two of them replace a lost factor."""
        return self.ranked(self._names(lambda one: one.recovers), lambda order: order.recovery)

    @cached_property
    def proofs(self) -> dict[str, ProofFacts]:
        """Every possible proof of a sign-in and what it demonstrates. A link adds no trait (NIST SP 800-63B-4 §3.1.3.1:
        e-mail is no out-of-band authenticator)."""
        found = {factor.name: factor.facts for factor in self._all}
        bound = {one.best_proof: replace(one.facts, is_bound=True) for one in self._all if one.may_be_bound}
        mailed = {one.name + MAILED: ProofFacts(one.amr) for one in self._all if one.may_be_mailed}
        return {**found, **bound, **mailed, LINK: ProofFacts(("otp",))}

    def facts_of(self, proof: str) -> ProofFacts | None:
        """What a proof demonstrates, however it was given; None for an unknown one."""
        return self.proofs.get(proof.removesuffix(NEW).removesuffix(BY_LINK))

    def ranked(self, names: Iterable[str], by: Callable[[Order], int]) -> tuple[str, ...]:
        return tuple(sorted(names, key=lambda name: by(self._by_name[name].order)))


def names_of(proofs: Iterable[str]) -> frozenset[str]:
    """The factor names of proofs, without suffixes."""
    return frozenset(proof.partition("+")[0] for proof in proofs)


def proved_of(proofs: Iterable[str]) -> frozenset[str]:
    """The same without the factors that were only set up, and without codes that had been mailed."""
    return names_of(proof for proof in proofs if not proof.endswith((NEW, MAILED)))


def typed(answer: object) -> str:
    """A code as people type it: any Unicode digits and letters in their plain form, without spaces, dashes and marks
    that nobody sees. Applied the same way before every check and before storing."""
    if not isinstance(answer, str):
        return ""
    seen = [one for one in unicodedata.normalize("NFKC", answer) if not _is_left_out(one)]
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in seen)


def _is_left_out(one: str) -> bool:
    return one.isspace() or one in _DASHES or unicodedata.category(one) in _UNSEEN


_UNSEEN = frozenset({"Cf", "Cc", "Mn", "Pd"})
"""Format characters, marks without a width of their own, and dashes."""
_DASHES = "\u2212_\u00b7"
"""A minus, and what keyboards have beside a dash."""
