"""Recovery codes: ten of 80 bits, shown once, each good once, for whoever lost their other factor (NIST SP 800-63B-4
§3.1.2).

Only their hashes are kept. Losing the codes too is `recovery`'s.
"""

from __future__ import annotations

import base64
from typing import Any

from sqlalchemy import RowMapping, select

from passgate.core import mail, people, throttle
from passgate.core.audit import Event, note
from passgate.core.ctx import Ctx
from passgate.core.factors import Compared, SignIn, enrolled, typed, unmarked
from passgate.errors import NoChallenge
from passgate.seal import digest
from passgate.store import Db
from passgate.store.tables import credential

name = "recovery_code"
COUNT = 10
_MEANT = str.maketrans("018", "olb")
BYTES = 10
"""80 bits need no slow hash: nobody guesses them from a stolen database either."""


async def make(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> list[str]:
    """A new set, `abcd-efgh-ijkl-mnop`; the old one is dead. The only time that they can be read."""
    await enrolled.end_kinds(ctx, db, tenant_id, person_id, [name])
    await throttle.clear(ctx, db, throttle.person_key(person_id, name))
    codes = [base64.b32encode(ctx.world.bytes(BYTES)).decode().lower() for _ in range(COUNT)]
    for code in codes:
        await enrolled.add(ctx, db, tenant_id, person_id, name, lookup=_hash(person_id, code))
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]


def _hash(person_id: str, code: str) -> bytes:
    return digest(b"recovery code", person_id.encode(), code.encode())


async def challenge(_ctx: Ctx, _sign_in: SignIn) -> dict[str, Any]:
    raise NoChallenge


async def budget(_ctx: Ctx, sign_in: SignIn) -> tuple[str, None]:
    return (throttle.person_key(sign_in.person_id, name) if sign_in.person_id else f"h:{sign_in.id}"), None


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, _seen: None, *, is_locked: bool) -> Compared:
    """Blanks, hyphens and capitals do not count; 0, 1 and 8 are in no code, so o, l and b were meant."""
    person_id = sign_in.person_id
    found: RowMapping | None = None
    if person_id is not None and not is_locked:
        look = select(credential).where(
            credential.c.lookup == _hash(person_id, typed(answer).lower().translate(_MEANT)), credential.c.kind == name,
            credential.c.tenant_id == sign_in.tenant_id, credential.c.person_id == person_id,
            credential.c.revoked_at.is_(None),
        )  # fmt: skip
        async with ctx.read() as db:
            found = await db.one(look)
    if found is None or person_id is None:
        return Compared(False, person_id, unmarked)

    async def mark(db: Db) -> bool:
        return await _use(ctx, db, sign_in, person_id, found["id"])

    return Compared(True, person_id, mark)


async def _use(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, code_id: str) -> bool:
    """Gone for exactly one caller. The owner hears of it, and how many are left."""
    if await enrolled.end(ctx, db, sign_in.tenant_id, person_id, credential.c.id == code_id) != 1:
        return False
    left = len(await enrolled.of_kind(db, sign_in.tenant_id, person_id, name))
    await note(
        ctx, db, Event.RECOVERY_CODE_USED, tenant_id=sign_in.tenant_id, subject_id=person_id, left=left
    )  # fmt: skip
    owner = await people.by_id(db, sign_in.tenant_id, person_id)
    if owner is not None:
        tenant, service = sign_in.tenant_id, sign_in.service
        await mail.lay(ctx, db, tenant, "recovery_code_used", owner["email"], service=service, left=left)
    return True
