"""Finds the authenticator that a pending sign-in is answered with: the person and their credential, in one query.

Not here: what a credential's secret means (its factor's module) and how many wrong answers are allowed (`budgets`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, Select, and_, bindparam, select

from passgate.core import credentials, people
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.pending import SignIn
from passgate.store.tables import credential, person


def _find(rows: frozenset[str] | None = None) -> Select[Any]:
    mine = and_(
        credential.c.person_id == person.c.id, credential.c.kind == bindparam("of_kind"), credentials.counting(rows)
    )
    return (
        select(
            person.c.tenant_id,
            person.c.id.label("person_id"),
            person.c.disabled_at,
            person.c.disabled_by,
            credential.c.id,
            credential.c.secret_sealed,
            credential.c.scheme,
            credential.c.counter,
            credential.c.version,
        )
        .select_from(person.outerjoin(credential, mine))
        .where(person.c.tenant_id == bindparam("of_tenant"))
        .limit(1)
    )


_PERSON = person.c.id == bindparam("of_person")
_OF_PERSON = _find().where(_PERSON)
_OF_IDENTIFIER = _find().where(people.identified(bindparam("of_identifier")))


async def find(ctx: Ctx, sign_in: SignIn, kind: str) -> tuple[Target, RowMapping | None]:
    """What a wrong answer counts against, and {person_id, disabled_at, disabled_by, id, secret_sealed, scheme, counter,
    version} of the named person, or of the person with the entered address or username. For an unknown one the row is
    None, and answers are counted in the same way. Without a credential of that kind its columns are None."""
    async with ctx.read() as db:
        if sign_in.person_id:
            query = _OF_PERSON if sign_in.rows is None else _find(sign_in.rows).where(_PERSON)
            row = await db.one(query, of_tenant=sign_in.tenant_id, of_person=sign_in.person_id, of_kind=kind)
        else:
            typed = {"of_tenant": sign_in.tenant_id, "of_identifier": sign_in.identifier_key}
            row = await db.one(_OF_IDENTIFIER, **typed, of_kind=kind)
    person_id = row["person_id"] if row else None
    return Target(Guess.AUTHENTICATOR, sign_in.tenant_id, kind, person_id, sign_in.identifier_key), row


def is_usable(row: RowMapping | None, sign_in: SignIn | None = None) -> bool:
    """Whether there is a live person with such a credential. In an undo of `sign_in`, their owner may have closed the
    account."""
    or_closed = sign_in is not None and sign_in.journey.is_undo
    return row is not None and people.is_live(row, or_closed=or_closed) and row["secret_sealed"] is not None
