"""Audit events of a host program: which names it may register, and recording one. The row is like ours: sealed, erased
with its person, observed and exported.

Not here: our own events (`events`), and who acts in a request (`web.host`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from passgate.core import audit, host_budgets, people, tenants
from passgate.core.ctx import Client, Ctx, Operator, Person
from passgate.core.json_value import checked as as_json
from passgate.core.people import Address, Key
from passgate.errors import NotFound, SessionEnded
from passgate.store import Db

MOST_FACTS = 4096
"""Bytes of the facts of one event, as canonical JSON."""
_NAME = re.compile(r"(?=.{3,60}$)[a-z][a-z0-9_]*(?::[a-z][a-z0-9_]*){1,2}")
_LONGEST_LABEL = 200
_NOBODY = ""
"""The id of no person."""
_FACT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
OURS = frozenset(
    {
        "principal",
        "request_id",
        "ok",
        "id",
        "at",
        "event",
        "tenant_id",
        "actor_id",
        "subject_id",
        "is_about_nobody",
        "personal",
        "ctx",
        "db",
    }
)
"""Names that a host's facts may not have: what we write there, and what every row has besides."""


def registered(given: Mapping[Any, Any], ours: Iterable[str]) -> dict[str, str]:
    """The events of a host with their labels: `area:verb` or `area:object:verb`, in no area of `ours`, which are all
    our events. Raises ValueError."""
    areas = {event.partition(":")[0] for event in ours}
    for name, label in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no event: use area:verb or area:object:verb, in lower case, at most 60 long")
        if name.partition(":")[0] in areas:
            raise ValueError(f"{name!r} would stand among Passgate's own events: use an area of your own")
        if not isinstance(label, str) or not label.strip() or len(label) > _LONGEST_LABEL or not label.isprintable():
            raise ValueError(f"{name!r} needs a text of one line, at most {_LONGEST_LABEL} long")
    return dict(given)


async def record(
    ctx: Ctx,
    event: str,
    *,
    subject_id: str | None = None,
    email: str | None = None,
    ok: bool = True,
    facts: Mapping[str, Any] | None = None,
    tenant: str | None = None,
) -> None:
    """Write one row, in a transaction of its own. `subject_id`: the person whom it is about, of the tenant of whoever
    acts; whoever acts if there is none. `email`: it is about whoever has this address there, or about nobody if nobody
    has or it was named too often. `tenant`: the name, which an operator gives and nobody else. Raises ValueError for
    what a program must not ask for, Invalid for what is no address, NotFound for a subject or tenant that is not there,
    SessionEnded if whoever acts was erased meanwhile, and Throttled."""
    if event not in ctx.services.events:
        raise ValueError("this event is not registered: name it in Passgate(events={…})")
    if (tenant is not None) is not isinstance(ctx.principal, Operator):
        raise ValueError("name a tenant if there is no request, and none if there is one")
    if ok is not True and ok is not False:
        raise ValueError("ok is true or false")
    if email is not None and subject_id is not None:
        raise ValueError("name whom it is about by id or by address, not by both")
    stored = {**_checked_facts(facts), "ok": ok}
    at = None if email is None else people.address(email)
    async with ctx.write() as db:
        tenant_id = await _tenant_of(ctx, db, tenant)
        await host_budgets.event(ctx, db)
        if at is None:
            await _lock(ctx, db, tenant_id, subject_id)
            about: dict[str, Any] = {"subject_id": subject_id}
        else:
            may_name = await host_budgets.may_be_about(ctx, db, tenant_id, at.key)
            holder = await _lock_holder(ctx, db, tenant_id, at)
            holder = holder if may_name or _is_me(ctx, holder) else None
            about = {"subject_id": holder, "is_about_nobody": holder is None, "personal": {"email": at.text}}
        await audit.record(ctx, db, event, tenant_id=tenant_id, **about, **stored)


def _checked_facts(facts: Mapping[Any, Any] | None) -> dict[str, Any]:
    given = dict(facts or {})
    if any(not isinstance(name, str) or not _FACT.fullmatch(name) or name in OURS for name in given):
        raise ValueError(
            f"a fact's name has letters, digits and _, at most 60, and is none of {', '.join(sorted(OURS))}"
        )
    # Read back, so that what is stored is what was checked, whatever the program does with its own value meanwhile.
    return dict(json.loads(as_json(given, most=MOST_FACTS)))


async def _tenant_of(ctx: Ctx, db: Db, name: str | None) -> str:
    """That of whoever acts; for a stranger that of the site, or `main`."""
    if isinstance(ctx.principal, Person | Client):
        return ctx.principal.tenant_id
    return (await tenants.named(ctx, db, name)).id


async def _lock(ctx: Ctx, db: Db, tenant_id: str, subject_id: str | None) -> None:
    """Nobody whom the row names may be erased before it is written: its personal part would outlive them."""
    about = (tenant_id, subject_id) if isinstance(subject_id, str) else None
    if subject_id is not None and (about is None or "\0" in about[1]):
        raise NotFound
    there = await _share(ctx, db, about)
    if about is not None and about not in there:
        raise NotFound


async def _lock_holder(ctx: Ctx, db: Db, tenant_id: str, at: Address) -> str | None:
    """The id of whoever has an address, locked in the same way; None if nobody has it, or was erased meanwhile. A
    stranger may call it: the statements are the same for every address."""
    found = await people.by_key(db, tenant_id, at.key)
    about = (tenant_id, found["id"] if found is not None else _NOBODY)
    return about[1] if about in await _share(ctx, db, about) else None


def _is_me(ctx: Ctx, person_id: str | None) -> bool:
    return isinstance(ctx.principal, Person) and ctx.principal.person_id == person_id


async def _share(ctx: Ctx, db: Db, about: Key | None) -> set[Key]:
    me = ctx.principal.key if isinstance(ctx.principal, Person) else None
    there = await people.share(db, {key for key in (me, about) if key is not None})
    if me is not None and me not in there:
        raise SessionEnded
    return there
