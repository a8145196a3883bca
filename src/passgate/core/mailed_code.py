"""Mailed codes: eight digits, valid once, bound to one pending sign-in or change of address.

Not here: what a code opens and which mail carries it (the callers), and single use (`once`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import once
from passgate.core.ctx import Ctx
from passgate.core.factor import typed
from passgate.seal import digest
from passgate.store import Db

DIGITS = 8
_NO_CODE = bytes(36)


async def issue(
    ctx: Ctx,
    db: Db,
    tenant_id: str,
    kind: str,
    bound_to: str,
    *,
    is_meant: bool,
    data: Mapping[str, Any] | None = None,
    person_id: str | None = None,
) -> str | None:
    """A fresh code; an older one with the same binding becomes invalid. With `is_meant` false no answer may succeed:
    writes the same row with a secret that none matches, and returns None."""
    code = ctx.world.digits(DIGITS)
    secret = ctx.ring.mac(_label(kind), _guess(bound_to, code) if is_meant else ctx.world.bytes(32))
    await once.issue(
        ctx, db, tenant_id, kind, bound_to, secret, life=ctx.settings.mail.code_life, data=data, person_id=person_id
    )
    return code if is_meant else None


def matches(ctx: Ctx, ticket: RowMapping | None, kind: str, bound_to: str, answer: object) -> bool:
    """Whether the answer is the ticket's code; without a ticket it costs the same work."""
    secret = ticket["secret_hash"] if ticket else _NO_CODE
    return ctx.ring.check(_label(kind), _guess(bound_to, typed(answer)), secret) and ticket is not None


def _guess(bound_to: str, code: str) -> bytes:
    """Bound to its purpose and stored as a keyed MAC: eight digits alone could be guessed from the database."""
    return digest(bound_to.encode(), code.encode())


def _label(kind: str) -> str:
    return f"code {kind}"
