"""What happens when a session is used by another browser or system than the one that signed in, decided once for every
carrier. Families are compared, never versions, and never the network address: minor updates and moving about change
nothing.

Not here: reading a User-Agent header (`useragent`).
"""

from __future__ import annotations

from typing import Any

from passgate.core import mail, people, sessions
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Person
from passgate.core.events import Event
from passgate.core.rules import Rules
from passgate.errors import ClientChanged, StepUpNeeded

_MOST = 8
"""Other clients that are recorded for one carrier; a sign-in or step-up starts anew."""


async def checked(ctx: Ctx, person: Person, *, at_any_level: bool = False) -> Person:
    """The same person. ClientChanged if the tenant's rules end the session, or StepUpNeeded, unless `at_any_level`."""
    here, there = (ctx.origin.browser, ctx.origin.os), (person.row["browser"], person.row["os"])
    if here == there or not here[0] or not there[0]:  # outside a request there is nothing to compare
        return person
    rules = Rules.parsed(person.row["policy"], ctx.factors)
    match rules.on_client_change:
        case "end":
            await _end(ctx, person, here, there)
            raise ClientChanged
        case "step_up":
            await _record(ctx, person, here, there, "step_up")
            if not at_any_level:
                raise StepUpNeeded(person.acr, ctx.settings.signin.fresh)
        case "log":
            await _record(ctx, person, here, there, "log")
    return person


def _facts(person: Person, here: tuple[str, str], there: tuple[str, str], done: str) -> dict[str, Any]:
    return {
        "tenant_id": person.tenant_id,
        "subject_id": person.person_id,
        "session_id": person.session_id,
        "was": " · ".join(filter(None, there)),
        "is": " · ".join(filter(None, here)),
        "done": done,
    }


async def _record(ctx: Ctx, person: Person, here: tuple[str, str], there: tuple[str, str], done: str) -> None:
    """Record each other client once."""
    known = await sessions.other_clients(ctx, person)
    if list(here) in known or len(known) >= _MOST:
        return
    async with ctx.write() as db:
        if await sessions.add_client(db, person, known, here):
            await record(ctx, db, Event.CLIENT_CHANGED, **_facts(person, here, there, done))


async def _end(ctx: Ctx, person: Person, here: tuple[str, str], there: tuple[str, str]) -> None:
    async with ctx.write() as db:
        owner = await people.lock(db, *person.key)
        if owner is not None and await sessions.end_one(ctx, db, person, "client_changed"):
            await record(ctx, db, Event.CLIENT_CHANGED, **_facts(person, here, there, "end"))
            service = person.row["display_name"]
            await mail.enqueue(ctx, db, person.tenant_id, "client_changed", owner["email"], service=service)
