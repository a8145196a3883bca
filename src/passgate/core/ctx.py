"""What every verb is handed first: the house (long-lived parts), where the request comes from, and who is asking.

Values only: no verb lives here.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydantic import BaseModel

from passgate.core.factor import Factors
from passgate.hashing import Hasher
from passgate.seal import Ring
from passgate.settings import Settings
from passgate.store import Db, Store
from passgate.world import World


class KnowsBreaches(Protocol):
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
    breach: KnowsBreaches
    factors: Factors
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was laid in the outbox, so that the worker need not wait for its next round."""
    at: str = ""
    """The path in a host program below which our endpoints are, `/auth`; empty where they are at the root."""
    profile: type[BaseModel] | None = None
    """What a profile must look like; None takes any JSON object."""

    @property
    def base(self) -> str:
        """What a link to one of our endpoints begins with."""
        return self.settings.url + self.at


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from. `ip` is the peer, or what a trusted proxy said of it."""

    ip: str = ""
    browser: str = ""
    os: str = ""
    is_loopback: bool = False


@dataclass(frozen=True, slots=True)
class Actor:
    """A person with a live session: what `sessions.find` answers."""

    tenant_id: str
    person_id: str
    session_id: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int


@dataclass(frozen=True, slots=True)
class Ctx:
    """One request or job. `actor` is None for strangers, the command line and jobs."""

    services: Services
    origin: Origin = Origin()
    actor: Actor | None = None
    request_id: str = ""
    language: str = "en"

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

    def acting(self, actor: Actor) -> Ctx:
        return replace(self, actor=actor)
