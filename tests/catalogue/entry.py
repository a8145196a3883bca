"""What the catalogue says of one endpoint: who may ask it, with which request, what that yields, which actions stand
behind it, how its page is reached.

Only the shape lives here; what is said of which endpoint stands in `api`, `pages` and `factors`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from passgate.core.ctx import Actor
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
    """A request that is right in every way, and the status it is answered with. `row`: what each broken rule makes of
    it; empty where it yields nothing. `optional`: members of its body that may be left out, `name-` one whose text
    may be shorter; None where another request sends the same message."""

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
    """An action that writes: what must be there before it, and how often it writes at least. `on_postgres`: it has
    upserts, locks or cascades, which the other database does in its own way."""

    arrange: Arrange
    least: int
    on_postgres: bool = False
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or self.arrange.__name__


@dataclass(frozen=True)
class Fresh:
    """An action that wants a fresh proof at the person's own level. `role`: what one must be to do it at all."""

    act: Callable[[Folk, Actor], Awaitable[object]]
    role: str = "user"


@dataclass(frozen=True)
class Stop:
    """A page in one state: what `Person.where` says there, how one gets there, and who does: a `guest`; a `person` who
    has an account; a `member` who is signed in; one who is `stale`."""

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
    """`who` is the name of its guard. The first of `rights` is the request that hostile input is made from. A page that
    people look at has `stops`, or `leads_on` to one that has."""

    who: str
    rights: tuple[Right, ...]
    writes: tuple[Writes, ...] = ()
    fresh: Fresh | None = None
    stops: tuple[Stop, ...] = ()
    leads_on: bool = False

    def __add__(self, more: Entry) -> Entry:
        """The same endpoint, with what a factor adds to it."""
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
"""For a page that only shows, takes away or leads on: nobody can do more after it than before."""
