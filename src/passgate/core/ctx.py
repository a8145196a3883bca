"""The context every action receives first: the long-lived services, the request's origin, and who acts.

Not here: any action, and what a principal may do (`access`). These are values only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from passgate.core.factor import Factors
from passgate.core.keyset import KeySet
from passgate.core.site import Site, Sites
from passgate.errors import CredentialMissing
from passgate.hashing import Hasher, Queue
from passgate.seal import Ring
from passgate.settings import Settings
from passgate.store import Db, Store
from passgate.world import World


class BreachList(Protocol):
    async def knows(self, password: str) -> bool: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that live as long as the process."""

    settings: Settings
    world: World
    store: Store
    ring: Ring
    hasher: Hasher
    breach: BreachList
    factors: Factors
    sites: Sites
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a mail is added to the outbox, so that the worker need not wait for its next round."""
    erased: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the database's log may still hold what was erased."""
    notifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while observers are called: whoever wants them to have been called waits for those that are being called."""
    tally: Counter[str] = field(default_factory=Counter)
    """What is counted and not written into the trail, such as starts; logged once a minute."""
    keys: KeySet = field(default_factory=KeySet)
    """What this process has read of the signing keys."""
    profile: type[BaseModel] | None = None
    """The model of a profile; None accepts any JSON object."""
    claims: Callable[[Person], Mapping[str, Any]] | None = None
    """What a host adds to access tokens."""
    events: Mapping[str, str] = field(default_factory=dict)
    """A host's own audit events, each with its label."""
    permissions: Mapping[str, str] = field(default_factory=dict)
    """A host's own permissions, each with its text."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from. `ip` is the peer, or the address a trusted proxy reports."""

    ip: str = ""
    browser: str = ""
    os: str = ""
    is_loopback: bool = False
    known: str = field(default="", repr=False)
    """The cookie of a known browser, as sent."""
    session: str = field(default="", repr=False)
    """The session cookie, as sent; it authorises nothing here."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Nobody that we know: an anonymous request."""

    kind: ClassVar = "stranger"


@dataclass(frozen=True, slots=True)
class Person:
    """A person with a live session; created by `sessions.find`."""

    kind: ClassVar = "person"
    tenant_id: str
    person_id: str
    session_id: str
    carrier_id: str
    generation: int
    """Of the carrier's secret."""
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    proofs: Mapping[str, int] = field(default_factory=dict)
    """When each proof was last given with this carrier, in microseconds."""
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was read of session, carrier, person and tenant with it, by the column names of `sessions.LOOKUP`."""

    @property
    def key(self) -> tuple[str, str]:
        """The ids of tenant and person, which every statement about a person names."""
        return self.tenant_id, self.person_id

    @property
    def roles(self) -> tuple[str, ...]:
        """As they were when the session was found; `access.require` reads them again."""
        return tuple(sorted(self.permissions_by_role))

    @property
    def permissions_by_role(self) -> dict[str, str]:
        """What is stored of each of these roles: the names of a tenant's own, nothing of a built-in one."""
        parts = (one.partition("=") for one in self.row["roles"].split(",")) if self.row["roles"] else ()
        return {role: stored for role, _, stored in parts}


@dataclass(frozen=True, slots=True)
class Client:
    """A program that acts for itself, with permissions of its own."""

    kind: ClassVar = "client"
    tenant_id: str
    client_id: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever can run the command line, and so has access to the database anyway. `tenant`: the name of the one whose
    people they manage, if they name one."""

    kind: ClassVar = "operator"
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class System:
    """Passgate itself: a background job, or a start."""

    kind: ClassVar = "system"


Principal = Stranger | Person | Client | Operator | System


@dataclass(frozen=True, slots=True)
class Ctx:
    """One request, command or job. Unless somebody else is known to act, a stranger does."""

    services: Services
    origin: Origin = Origin()
    principal: Principal = Stranger()
    request_id: str = ""
    language: str = "en"
    queue: Queue = Queue.STRANGERS
    """Whose hashes these are."""
    asked: Site | None = None
    """The site that a request asked for."""

    @property
    def site(self) -> Site:
        """Where the pages of this request stand; outside requests, where people find them."""
        return self.asked or self.services.sites.default

    @property
    def settings(self) -> Settings:
        return self.services.settings

    @property
    def world(self) -> World:
        return self.services.world

    @property
    def ring(self) -> Ring:
        return self.services.ring

    @property
    def factors(self) -> Factors:
        return self.services.factors

    def now(self) -> int:
        return self.services.world.now()

    def write(self, *, heavy: bool = False) -> AbstractAsyncContextManager[Db]:
        return self.services.store.write(heavy=heavy)

    def read(self) -> AbstractAsyncContextManager[Db]:
        return self.services.store.read()

    @property
    def issuer(self) -> str:
        """Of tokens: the same for all pages of an installation."""
        return self.services.sites.default.url

    @property
    def person(self) -> Person:
        """The signed-in person who acts. Raises CredentialMissing for every other principal."""
        if isinstance(self.principal, Person):
            return self.principal
        raise CredentialMissing

    def acting(self, person: Person) -> Ctx:
        """A signed-in person acts; their new passwords are hashed before anything of strangers."""
        # Not `replace`, which costs more than the look-up of a session saves.
        return Ctx(self.services, self.origin, person, self.request_id, self.language, Queue.OWNERS, self.asked)

    def queued(self, queue: Queue) -> Ctx:
        return replace(self, queue=queue)
