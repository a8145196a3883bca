"""Finds the authenticator that a pending sign-in is answered with: the person and their credential, in one query.

Not here: what a credential's secret means (its factor's module) and how many wrong answers are allowed (`budgets`).
"""

from __future__ import annotations

from sqlalchemy import RowMapping, and_, bindparam, select

from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.pending import SignIn
from passgate.store.tables import credential, person

_FIND = (
    select(
        person.c.id.label("person_id"),
        person.c.disabled_at,
        credential.c.id,
        credential.c.secret_sealed,
        credential.c.scheme,
        credential.c.counter,
        credential.c.version,
    )
    .select_from(
        person.outerjoin(
            credential,
            and_(
                credential.c.person_id == person.c.id,
                credential.c.kind == bindparam("of_kind"),
                credential.c.revoked_at.is_(None),
            ),
        )
    )
    .where(person.c.tenant_id == bindparam("of_tenant"))
    .limit(1)
)
_OF_PERSON = _FIND.where(person.c.id == bindparam("of_person"))
_OF_ADDRESS = _FIND.where(person.c.email_key == bindparam("of_email_key"))


async def find(ctx: Ctx, sign_in: SignIn, kind: str) -> tuple[Target, RowMapping | None]:
    """What a wrong answer counts against, and {person_id, disabled_at, id, secret_sealed, scheme, counter, version} of
    the named person, or of the person with the entered address. For an unknown address the row is None, and answers are
    counted in the same way. Without a credential of that kind its columns are None."""
    async with ctx.read() as db:
        if sign_in.person_id:
            row = await db.one(_OF_PERSON, of_tenant=sign_in.tenant_id, of_person=sign_in.person_id, of_kind=kind)
        else:
            row = await db.one(_OF_ADDRESS, of_tenant=sign_in.tenant_id, of_email_key=sign_in.email_key, of_kind=kind)
    person_id = row["person_id"] if row else None
    return Target(Guess.AUTHENTICATOR, sign_in.tenant_id, kind, person_id, sign_in.email_key), row


def is_usable(row: RowMapping | None) -> bool:
    """Whether there is a live person with such a credential."""
    return row is not None and row["disabled_at"] is None and row["secret_sealed"] is not None
