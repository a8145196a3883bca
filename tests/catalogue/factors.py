"""Typed factors, whose answer is a text: what tests must know of each, and the entries that follow from it.

Which factors an application has is read from the application. Passkeys, which are not typed, are in `api` and `pages`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from passgate.app import Passgate
from passgate.core import signin, starts
from passgate.core.factor import Factor
from passgate.web.pages.steps import path_of
from tests import kit
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue import asks, stops_signin
from tests.catalogue.api import HOLDER
from tests.catalogue.asks import API
from tests.catalogue.asks_pages import SIGNIN, as_form
from tests.catalogue.before import begun, recovering, refused, with_app
from tests.catalogue.entry import NOTHING, Action, Asks, Entry, Right, Stop, Way, Writes
from tests.catalogue.outcomes import LADDER, LADDER_PAGE, MAILED, MAILED_PAGE, PASSWORD, PASSWORD_PAGE, Row
from tests.catalogue.own import Own, own_entries
from tests.catalogue.pages import MEMBER, PENDING
from tests.core.behind import Folk

Asked = tuple[str, Callable[[], Awaitable[str]]]
"""A handle of a sign-in that asks for the factor, and a function that returns the right answer."""


@dataclass(frozen=True)
class Typed:
    """All that tests must know of a typed factor.

    `gives`: a request with a right answer, with somebody else's answer as its variant; `row` and `page_row`: the
    responses to it under each broken rule. `asked`: the same without HTTP; a right answer writes at least `least`
    times. `way`: how a person in a browser gets to the factor's page; `by_whom`: that person's state, as in `Stop`.
    `wrong`: an answer that is never right; `typed_as`: the name of the page's field.
    """

    name: str
    gives: Asks
    asked: Callable[[Folk], Awaitable[Asked]]
    way: Way
    wrong: str
    by_whom: str = MEMBER
    typed_as: str = "code"
    row: Row = field(default_factory=lambda: LADDER)
    page_row: Row = field(default_factory=lambda: LADDER_PAGE)
    least: int = 10
    on_postgres: bool = False
    own: Own | None = None
    """Only for a host's own factor: how a session adds and removes it."""


def typed_factors(gate: Passgate) -> dict[str, Factor]:
    """The typed factors of an application, by name."""
    return {factor.name: factor for factor in gate.services.factors if factor.answer == "text"}


def factor_entries(factor: Typed, it: Factor) -> dict[str, Entry]:
    """The entries that the factor adds to; the caller merges them with entries of the same endpoints."""
    path = path_of(it)
    own = own_entries(it, factor.own) if factor.own else {}
    return own | {
        f"POST {API}/signin/prove": Entry(HOLDER, (Right(factor.gives, 200, factor.row),), _writes(factor)),
        f"POST {path}": Entry(PENDING, (_right_of_page(factor, path),)),
        f"GET {path}": Entry(PENDING, NOTHING, stops=_stops(factor, path)),
    }


def _right_of_page(factor: Typed, path: str) -> Right:
    async def sends(population: Population) -> Ask:
        return as_form(await factor.gives(population), path, SIGNIN, factor.typed_as)

    return Right(sends, 303, factor.page_row, called=f"page_{factor.name}")


def _writes(factor: Typed) -> tuple[Writes, ...]:
    async def right(folk: Folk) -> Action:
        handle, answer = await factor.asked(folk)

        async def act() -> None:
            await signin.prove(folk.ctx, handle, factor.name, await answer())

        return act

    async def wrong(folk: Folk) -> Action:
        handle, _ = await factor.asked(folk)
        return refused(lambda: signin.prove(folk.ctx, handle, factor.name, factor.wrong))

    return (
        Writes(right, factor.least, factor.on_postgres, f"{factor.name}_right"),
        Writes(wrong, 5, called=f"{factor.name}_wrong"),
    )


def _stops(factor: Typed, path: str) -> tuple[Stop, ...]:
    async def wrong(anna: Person) -> None:
        await factor.way(anna)
        await anna.send(path, **{factor.typed_as: factor.wrong})

    where = path.removeprefix("/").replace("/", "-")
    return (
        Stop(where, factor.way, factor.by_whom),
        Stop(f"{where}:proof_refused", wrong, factor.by_whom, f"wrong_{factor.name}"),
    )


# -- our own ---------------------------------------------------------------------------------------


async def _password(folk: Folk) -> Asked:
    started = await starts.sign_in(folk.ctx, await folk.email(await folk.create()), None)

    async def answer() -> str:
        return kit.PASSWORD

    return started.handle, answer


async def _totp(folk: Folk) -> Asked:
    actor = await with_app(folk)
    return await begun(folk, actor), lambda: folk.app_code(actor)


async def _recovery_code(folk: Folk) -> Asked:
    actor = await folk.create()
    [code, *_] = await folk.add_codes(actor)

    async def answer() -> str:
        return code

    return await begun(folk, actor), answer


async def _email_code(folk: Folk) -> Asked:
    handle, code = await recovering(folk)

    async def answer() -> str:
        return code

    return handle, answer


TYPED: list[Typed] = [
    Typed(
        "password",
        asks.gives_password,
        _password,
        stops_signin.password,
        kit.OTHER_PASSWORD,
        "anonymous_visitor",
        "password",
        PASSWORD,
        PASSWORD_PAGE,
        on_postgres=True,
    ),
    Typed("totp", asks.gives_app, _totp, stops_signin.app_code, "000000"),
    Typed("recovery_code", asks.gives_recovery_code, _recovery_code, stops_signin.recovery_code, "aaaa-aaaa-aaaa-aaaa"),
    Typed(
        "email_code",
        asks.gives_code,
        _email_code,
        stops_signin.mailed,
        "00000000",
        "anonymous_visitor",
        least=9,
        row=MAILED,
        page_row=MAILED_PAGE,
    ),
]
