"""The entries of the endpoints and the page that set up and remove a host's own factor, built from its definition.

Passgate's own factors have their entries in `api` and `pages`.
"""

from __future__ import annotations

from dataclasses import dataclass

from passgate.core import enrolment
from passgate.core.factor import Factor
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue.api import SESSION
from tests.catalogue.asks import API
from tests.catalogue.asks_pages import SESSION as COOKIE
from tests.catalogue.asks_pages import as_form, form
from tests.catalogue.entry import Action, Asks, Entry, Fresh, Right, Stop, Writes
from tests.catalogue.outcomes import BY_CODE, CODE_PAGE, FRESH, FRESH_PAGE, Row, Rule
from tests.catalogue.pages import MEMBER, does, shows
from tests.core.behind import Folk


@dataclass(frozen=True)
class Own:
    """`answer`: the answer that sets the factor up; `adds` and `removes`: the requests of a session that add and remove
    it."""

    answer: str
    adds: Asks
    removes: Asks


def own_entries(it: Factor, own: Own) -> dict[str, Entry]:
    """The entries of the endpoints and the page that set up and remove the factor."""
    me, page = f"/me/{it.path}", f"/account/{it.path}"

    async def add_by_page(population: Population) -> Ask:
        return as_form(await own.adds(population), page, COOKIE, "code")

    async def remove_by_page(population: Population) -> Ask:
        return form(f"{page}/remove", (await own.removes(population)).secret, COOKIE)

    async def arranged_add(folk: Folk) -> Action:
        actor = await folk.create()
        return lambda: enrolment.prove(folk.acting(actor), it.name, own.answer)

    async def arranged_remove(folk: Folk) -> Action:
        actor = await folk.create()
        await enrolment.prove(folk.acting(actor), it.name, own.answer)
        return lambda: enrolment.remove(folk.acting(actor), it.name)

    to_add = Fresh(lambda folk, who: enrolment.prove(folk.acting(who), it.name, own.answer))
    to_remove = Fresh(lambda folk, who: enrolment.remove(folk.acting(who), it.name))
    row: Row = {rule: expected for rule, expected in BY_CODE.items() if rule is not Rule.OTHERS}
    page_row: Row = {rule: expected for rule, expected in CODE_PAGE.items() if rule is not Rule.OTHERS}

    async def open_page(anna: Person) -> None:
        await anna.open(page)

    return {
        f"POST {API}{me}/prove": Entry(
            SESSION,
            (Right(own.adds, 204, row, optional="answer-"),),
            (Writes(arranged_add, 5, called=f"add_{it.name}"),),
            to_add,
        ),
        f"DELETE {API}{me}": Entry(
            SESSION,
            (Right(own.removes, 204, FRESH),),
            (Writes(arranged_remove, 4, called=f"remove_{it.name}"),),
            to_remove,
        ),
        f"GET {page}": shows(*(Stop("account-factor", open_page, by_whom, it.name) for by_whom in (MEMBER, "stale"))),
        f"POST {page}": does(Right(add_by_page, 303, page_row, called=f"page_adds_{it.name}")),
        f"POST {page}/remove": does(Right(remove_by_page, 303, FRESH_PAGE, called=f"page_removes_{it.name}")),
    }
