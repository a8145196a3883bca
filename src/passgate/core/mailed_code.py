"""A mailed code: eight digits, once, for one thing it is bound to (a pending sign-in, a change of address).

What it opens and which mail brings it is its callers'; single use is `once`'s.
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
    ctx: Ctx, db: Db, tenant_id: str, kind: str, bound_to: str, *, is_meant: bool, data: Mapping[str, Any] | None = None
) -> str | None:
    """A fresh code; the older one of the same binding dies. Where nobody is meant (`is_meant` false) the same row is
    written and no answer opens it: None."""
    code = ctx.world.digits(DIGITS)
    secret = ctx.ring.mac(_label(kind), _guess(bound_to, code) if is_meant else ctx.world.bytes(32))
    await once.issue(ctx, db, tenant_id, kind, bound_to, secret, life=ctx.settings.mail.code_life, data=data)
    return code if is_meant else None


def matches(ctx: Ctx, ticket: RowMapping | None, kind: str, bound_to: str, answer: object) -> bool:
    """Whether that is the ticket's code; the same work where there is none."""
    secret = ticket["secret_hash"] if ticket else _NO_CODE
    return ctx.ring.check(_label(kind), _guess(bound_to, typed(answer)), secret) and ticket is not None


def _guess(bound_to: str, code: str) -> bytes:
    """Bound, and kept under a key: eight digits alone could be guessed from the database."""
    return digest(bound_to.encode(), code.encode())


def _label(kind: str) -> str:
    return f"code {kind}"
