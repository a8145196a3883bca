"""The types of the catalogue: what an entry says of one endpoint.

The entries themselves are in `api`, `pages` and `factors`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from passgate.core.ctx import Person as Actor
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue.outcomes import Row
from tests.core.behind import Folk

Asks = Callable[[Population], Awaitable[Ask]]
Action = Callable[[], Awaitable[object]]
Arrange = Callable[[Folk], Awaitable[Action]]
Way = Callable[[Person], Awaitable[object]]


@dataclass(frozen=True)
class Right:
    """A right request and the status of its response. `row`: the response to it under each broken rule; empty where the
    request yields nothing. `optional`: the members of its body that may be left out, and as `name-` those whose text
    may be shorter; None where another request has the same kind of body."""

    asks: Asks
    status: int
    row: Row | None = None
    optional: str | None = ""
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or self.asks.__name__


@dataclass(frozen=True)
class Writes:
    """An action that writes. `arrange`: prepares it and returns it; `least`: the least number of its writes.
    `on_postgres`: it has upserts, locks or cascades, so it is tested on PostgreSQL too."""

    arrange: Arrange
    least: int
    on_postgres: bool = False
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or self.arrange.__name__


@dataclass(frozen=True)
class Fresh:
    """An action that needs a fresh proof at the person's own level. `role`: the role that the action needs."""

    act: Callable[[Folk, Actor], Awaitable[object]]
    role: str = "user"


@dataclass(frozen=True)
class Stop:
    """A page in one state. `where`: what `Person.where` returns there; `way`: how to get there; `by_whom`: the state of
    the person before: an anonymous visitor, a `person` who has an account, a `member` who is signed in, or a member
    whose proof is `stale`."""

    where: str
    way: Way
    by_whom: str = "anonymous_visitor"
    called: str = ""

    @property
    def name(self) -> str:
        way = self.called or self.way.__name__.strip("_")
        return f"{self.where.replace(':', '-')}-{self.by_whom}-{way}"


@dataclass(frozen=True)
class Entry:
    """`who`: the name of the endpoint's guard. The first of `rights` is the request that tests of hostile input vary. A
    page that is displayed has `stops`; one that only redirects has `leads_on`."""

    who: str
    rights: tuple[Right, ...]
    writes: tuple[Writes, ...] = ()
    fresh: Fresh | None = None
    stops: tuple[Stop, ...] = ()
    leads_on: bool = False

    def __add__(self, more: Entry) -> Entry:
        """The entry with what a factor adds to it."""
        assert self.who == more.who
        return replace(
            self,
            rights=self.rights + more.rights,
            writes=self.writes + more.writes,
            stops=self.stops + more.stops,
        )

    @property
    def yielding(self) -> Iterator[Right]:
        return (right for right in self.rights if right.row)


NOTHING: tuple[Right, ...] = ()
"""For a page that only shows something or redirects."""
