"""The entries of invitations: the endpoints and the page, the right requests by the owner Anna and by whoever she
invites, and the actions behind them.

Not here: what these endpoints do, which is in `tests/web/test_contract_invitations`.
"""

from __future__ import annotations

from passgate.core import invitations, signin, starts
from passgate.core.ctx import Ctx, Operator
from passgate.core.ctx import Person as Actor
from tests import operating
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue.asks import API, NEVER, mine
from tests.catalogue.asks_pages import LINK as LINK_COOKIE
from tests.catalogue.asks_pages import form
from tests.catalogue.entry import NOTHING, Action, Entry, Fresh, Right, Stop, Writes
from tests.catalogue.outcomes import BY_ID, CARRIED, FRESH, THROTTLED, Expected, Row, Rule
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import PASSWORD

SESSION, STRANGER, LINK = "session", "stranger", "link"
_PATH = f"{API}/invitations"
_VOID = Expected(403, "invitation_invalid")
_ACCEPT: Row = {Rule.PERSON: _VOID, Rule.TENANT: _VOID, Rule.THROTTLED: THROTTLED}
"""The person is whoever invited: nobody in the tenant is live."""

# -- the right requests ----------------------------------------------------------------------------


async def lists(population: Population) -> Ask:
    return mine(population, "/invitations")


async def invites(population: Population) -> Ask:
    return mine(population, "/invitations", {"email": population.fresh_address(), "roles": ["user"]})


async def cancels(population: Population) -> Ask:
    made = await population.done("POST", "/invitations", (await invites(population)).body, population.anna.token)
    asked = mine(population, f"/invitations/{made['id']}")
    others = await population.done("POST", "/invitations", (await invites(population)).body, population.otto.token)
    return asked.with_others(*({"path": f"{_PATH}/{one}"} for one in (others["id"], NEVER)))


async def token_of(population: Population) -> str:
    email = population.fresh_address()
    await population.done("POST", "/invitations", {"email": email}, population.anna.token)
    return str((await population.the.mails(email))[0]["link"]).rpartition("/")[2]


async def accepts(population: Population) -> Ask:
    return Ask(f"{_PATH}/accept", {"token": await token_of(population)})


async def page_accepts(population: Population) -> Ask:
    return form("/invitation", await token_of(population), LINK_COOKIE)


# -- the actions behind them -----------------------------------------------------------------------


async def create_invitation(folk: Folk) -> Action:
    boss = await folk.create(None, "owner")
    return lambda: invitations.create(folk.acting(boss), f"new{next(folk.numbers)}@example.com", ["admin"])


async def create_invitation_again(folk: Folk) -> Action:
    boss, email = await folk.create(None, "owner"), f"new{next(folk.numbers)}@example.com"
    await invitations.create(folk.acting(boss), email, None)
    return lambda: invitations.create(folk.acting(boss), email, ["admin"])


async def cancel_invitation(folk: Folk) -> Action:
    boss = await folk.create(None, "owner")
    made = await invitations.create(folk.acting(boss), f"new{next(folk.numbers)}@example.com", None)
    return lambda: invitations.cancel(folk.acting(boss), made["id"])


async def invited(folk: Folk, email: str = "") -> str:
    """The token of an owner's invitation to the role admin."""
    boss, to = await folk.create(None, "owner"), email or f"new{next(folk.numbers)}@example.com"
    await invitations.create(folk.acting(boss), to, ["admin", "user"])
    return str((await folk.newest()).link).rpartition("/")[2]


async def accept_invitation(folk: Folk) -> Action:
    token = await invited(folk)
    return lambda: starts.by_invitation(folk.ctx, token)


async def accept_invitation_known(folk: Folk) -> Action:
    token = await invited(folk, await folk.email(await folk.create()))
    return lambda: starts.by_invitation(folk.ctx, token)


async def invited_set_up(folk: Folk) -> Action:
    """The first way in creates the person, takes the invitation and gives its roles."""
    begun = await starts.by_invitation(folk.ctx, await invited(folk))
    return lambda: signin.prove(folk.ctx, begun.handle, "password", PASSWORD)


async def finish_invited(folk: Folk) -> Action:
    """Somebody who was in the tenant before gets the roles."""
    begun = await starts.by_invitation(folk.ctx, await invited(folk, await folk.email(await folk.create())))
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return lambda: signin.finish(folk.ctx, begun.handle, carrier="bearer")


async def finish_invited_at_once(folk: Folk) -> Action:
    """A tenant with mailed codes alone: finishing creates the person."""
    token = await invited(folk)
    await policy(folk.the, first=["email_code"])
    begun = await starts.by_invitation(folk.ctx, token)
    return lambda: signin.finish(folk.ctx, begun.handle, carrier="bearer")


async def link_of_operator(folk: Folk) -> Action:
    ctx = operating.operator(folk.ctx)
    return lambda: invitations.link(ctx, f"new{next(folk.numbers)}@example.com", None)


async def _create_fresh(folk: Folk, who: Actor) -> object:
    return await invitations.create(folk.acting(who), "new@example.com", None)


async def _cancel_fresh(folk: Folk, who: Actor) -> None:
    await invitations.cancel(folk.acting(who), NEVER)


INVITATIONS: dict[str, Entry] = {
    f"GET {_PATH}": Entry(SESSION, (Right(lists, 200, {**CARRIED}),)),
    f"POST {_PATH}": Entry(
        SESSION,
        (Right(invites, 201, FRESH, "roles email-"),),
        (Writes(create_invitation, 6, on_postgres=True), Writes(create_invitation_again, 6)),
        Fresh(_create_fresh, "owner"),
    ),
    f"DELETE {_PATH}/{{id}}": Entry(
        SESSION,
        (Right(cancels, 204, BY_ID),),
        (Writes(cancel_invitation, 3),),
        Fresh(_cancel_fresh, "owner"),
    ),
    f"POST {_PATH}/accept": Entry(
        STRANGER,
        (Right(accepts, 201, _ACCEPT),),
        (Writes(accept_invitation, 4), Writes(accept_invitation_known, 4)),
    ),
}
PROVED = (Writes(invited_set_up, 12, on_postgres=True),)
FINISHED = (Writes(finish_invited, 9, on_postgres=True), Writes(finish_invited_at_once, 12, on_postgres=True))

# -- the page --------------------------------------------------------------------------------------


async def _open(anna: Person, email: str) -> None:
    made = await invitations.link(Ctx(anna.face.gate.services, principal=Operator()), email, ["admin"])
    await anna.open("/invitation/" + made["url"].rpartition("/")[2])


async def open_invitation(anna: Person) -> None:
    """The page that Anna's browser shows; somebody else may be signed in there."""
    await _open(anna, f"invited-{anna.email}")


async def own_invitation(anna: Person) -> None:
    """Anna has an account already."""
    await _open(anna, anna.email)


async def no_invitation(anna: Person) -> None:
    await anna.open("/invitation/nonsense")


INVITATION_PAGES: dict[str, Entry] = {
    "GET /invitation/{token}": Entry(STRANGER, NOTHING, leads_on=True),
    "GET /invitation": Entry(
        LINK,
        NOTHING,
        stops=(
            Stop("invitation", open_invitation),
            Stop("invitation", open_invitation, "member"),
            Stop("invitation", own_invitation, "person"),
            Stop("invitation:invitation_invalid", no_invitation),
        ),
    ),
    "POST /invitation": Entry(LINK, (Right(page_accepts, 303, {**_ACCEPT, Rule.HANDLE: _VOID, Rule.SESSION: _VOID}),)),
}
