"""Recovery codes of 80 bits, displayed once, each valid once, for people who lost their other factor (NIST SP
800-63B-4 §3.1.2). Where the rules have them mailed too, they show no more than the mailbox; to an address that nobody
has proved they are mailed and not displayed, so that nobody but its reader has them.

Not here: losing the codes too, which is `recovery`. Only hashes are stored.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import budgets, credentials, mail, people
from passgate.core.audit import record
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import MAILED, Compared, Enrolling, Factor, Order, Texts, Trait, typed, wrong
from passgate.core.pending import SignIn
from passgate.i18n import N_
from passgate.seal import digest, equal
from passgate.store import Db

name = "recovery_code"
_MEANT = str.maketrans("018", "olb")
BYTES = 10
"""80 bits (800-63B-4 §4.2.1.1 requires 64)."""
_SALT = 16
_ONLY_TO = "only_to"
"""Member of a row's `data`: a keyed hash of the address whose reader alone has seen the code."""
_LONGEST = 64
"""Characters hashed at most, which bounds the work a caller can cause."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A set that is not stored yet. `codes` is displayed once; only `hashes` are stored."""

    codes: list[str] = field(repr=False)
    hashes: list[bytes]
    scheme: str
    salt: bytes


async def fresh(ctx: Ctx, count: int) -> Fresh:
    """A new set of so many, `abcd-efgh-ijkl-mnop`. Below 112 bits a code is hashed like a password (ASVS 6.5.2); the
    set shares a salt, so that a look-up costs one hash. Opens no transaction."""
    salt, scheme = ctx.world.bytes(_SALT), ctx.services.hasher.scheme
    codes = [base64.b32encode(ctx.world.bytes(BYTES)).decode().lower() for _ in range(count)]
    hashes = [await ctx.services.hasher.derive(code, salt, scheme, ctx.queue) for code in codes]
    codes = ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]
    return Fresh(codes, hashes, scheme, salt)


async def replace(
    ctx: Ctx, db: Db, who: Enrolling, made: Fresh, *, is_mailed: bool = False, is_unseen: bool = False
) -> None:
    """Store the new set; the old one becomes invalid. `is_mailed`: mail it too, which its answers show for good.
    `is_unseen`: nobody but the reader of that mail has seen it. Then the mail also says that there is a set, and if it
    may not be sent now, nothing changes: raises Throttled."""
    tenant_id, person_id = who.tenant_id, who.person_id
    ended = await credentials.end_kinds(ctx, db, tenant_id, person_id, [name])
    await budgets.reopen(db, person_id, name)
    about: dict[str, Any] = {"salt": made.salt.hex(), **({"mailed": True} if is_mailed else {})}
    if is_unseen:
        key = people.address(who.email).key
        await budgets.only_mail(ctx, db, tenant_id, key)
        about[_ONLY_TO] = budgets.address_mac(ctx, tenant_id, key)
    data = json.dumps(about)
    added = [
        await credentials.add(
            ctx, db, tenant_id, person_id, name, lookup=_lookup(person_id, found), scheme=made.scheme, data=data
        )
        for found in made.hashes
    ]
    await credentials.changed(ctx, db, who, name, added=added, ended=ended, has_own_mail=is_unseen)
    if is_mailed:
        codes, service = tuple(made.codes), who.service
        await mail.enqueue(ctx, db, tenant_id, "recovery_codes", who.email, service=service, codes=codes)


async def unseen(ctx: Ctx, db: Db, found: RowMapping) -> frozenset[str]:
    """The ids of the codes that only the reader of this person's address has seen. Whoever sets somebody else's account
    up cannot have them; those that were mailed to another address do not count."""
    rows = await credentials.of_kind(db, found["tenant_id"], found["id"], name)
    here = budgets.address_mac(ctx, found["tenant_id"], found["email_key"])
    return frozenset(row["id"] for row in rows if json.loads(row["data"]).get(_ONLY_TO) == here)


def _lookup(person_id: str, found: bytes) -> bytes:
    return digest(b"recovery code", person_id.encode(), found)


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[Target, list[RowMapping]]:
    if sign_in.person_id is None:
        return Target(Guess.NOT, sign_in.tenant_id), []
    async with ctx.read() as db:
        left = await credentials.of_kind(db, sign_in.tenant_id, sign_in.person_id, name, sign_in.rows)
    left = [row for row in left if row["last_used_at"] is None]
    return Target(Guess.AUTHENTICATOR, sign_in.tenant_id, name, sign_in.person_id, sign_in.identifier_key), left


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: list[RowMapping], *, is_locked: bool) -> Compared:
    """Ignores spaces, hyphens and case; codes contain no 0, 1 or 8, so these are read as o, l and b."""
    person_id = sign_in.person_id
    if person_id is None or not seen or is_locked:
        return wrong(person_id)
    code, salt = typed(answer).lower().translate(_MEANT), bytes.fromhex(json.loads(seen[0]["data"])["salt"])
    lookup = _lookup(person_id, await ctx.services.hasher.derive(code[:_LONGEST], salt, seen[0]["scheme"], ctx.queue))
    found = next((row for row in seen if equal(row["lookup"], lookup)), None)
    if found is None:
        return wrong(person_id)

    async def mark(db: Db) -> str | None:
        return await _use(ctx, db, sign_in, person_id, found)

    is_mailed = json.loads(found["data"]).get("mailed", False)
    return Compared(True, person_id, mark, name + MAILED if is_mailed else "")


async def _use(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, row: RowMapping) -> str | None:
    """Consume the code, for exactly one caller. The owner is mailed how many are left."""
    if not await credentials.use_up(ctx, db, row):
        return None
    left = len(await credentials.of_kind(db, sign_in.tenant_id, person_id, name))
    await record(ctx, db, Event.RECOVERY_CODE_USED, tenant_id=sign_in.tenant_id, subject_id=person_id, left=left)
    owner = await people.by_id(db, sign_in.tenant_id, person_id)
    if owner is not None:
        tenant, service = sign_in.tenant_id, sign_in.service
        await mail.enqueue(ctx, db, tenant, "recovery_code_used", owner["email"], service=service, left=left)
    return str(row["id"])


FACTOR = Factor(
    name=name,
    amr=("otp",),
    traits=frozenset({Trait.HAS}),
    is_second=True,
    is_lasting=False,
    may_be_mailed=True,
    order=Order(first=5, second=4, recovery=3, signup=5),
    budget=budget,
    compare=compare,
    texts=Texts(
        name=N_("backup codes"),
        use=N_("Use a backup code"),
        proved=N_("Backup code entered"),
        refused=N_("Wrong backup code"),
        wrong=N_("That isn't one of your backup codes, or it was already used. Each code works once."),
        proved_meaning="A backup code was correct.",
        refused_meaning="A backup code was refused: wrong, used or locked.",
    ),
)
