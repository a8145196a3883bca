"""Passwords: the rules for a new one, setting it, checking it (NIST SP 800-63B-4 §3.1.1).

Not here: hashing (`hashing`) and how many wrong answers are allowed (`budgets`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from sqlalchemy import RowMapping, select

from passgate.core import authenticator, credentials
from passgate.core.audit import record
from passgate.core.budgets import Target
from passgate.core.ctx import Ctx, Person, Stranger
from passgate.core.events import Event
from passgate.core.factor import Compared, Enrolling, Factor, Order, SetUp, Texts, Trait, wrong
from passgate.core.pending import SignIn
from passgate.core.rules import LENGTH, Rules
from passgate.errors import PasswordRefused
from passgate.hashing import Stored
from passgate.i18n import N_
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import credential

name = "password"
LONGEST = 256
_GUESSABLE = 10**6
"""A password among an attacker's first million guesses counts as common: an offline substitute for a block list."""
_SCORED = 100
"""Characters passed to the estimator, whose running time grows with the square of the length."""


async def vetted(ctx: Ctx, password: str, rules: Rules, context: tuple[str, ...]) -> Stored:
    """The hash of a new password that meets the rules, or PasswordRefused with the reason. Opens no transaction.
    Lengths are code points after NFC; there are no composition rules. Production never acts on rules that only
    development may have, whoever wrote them into its database."""
    acted_on = rules if ctx.settings.is_development else rules.in_production()
    text = unicodedata.normalize("NFC", password)
    if len(text) < acted_on.shortest_password(ctx.factors):
        raise PasswordRefused("short")
    if len(text) > LONGEST:
        raise PasswordRefused("long")
    if acted_on.password_checks != LENGTH:
        await _guessed(ctx, text, context)
    return await ctx.services.hasher.hash(text, ctx.queue)


def _guesses(text: str) -> int:
    """How many an attacker needs. In a thread, since it takes a while, the import of the lists too."""
    from zxcvbn_rs_py import zxcvbn  # noqa: PLC0415

    return zxcvbn(text).guesses


async def _guessed(ctx: Ctx, text: str, context: tuple[str, ...]) -> None:
    """Raise PasswordRefused for what an attacker tries first."""
    if _is_context(text, context):
        raise PasswordRefused("context")
    if await ctx.services.hasher.run(ctx.queue, _guesses, text[:_SCORED]) < _GUESSABLE:
        raise PasswordRefused("common")
    if await ctx.services.breach.knows(text):
        raise PasswordRefused("breached")


def _is_context(text: str, context: tuple[str, ...]) -> bool:
    """Whether fewer than 8 characters remain without the words an attacker tries first (address, service)."""
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    rest = plain
    banned = {word for given in ("passgate", *context) for word in _parts(given)}
    for word in sorted(banned, key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != plain and len(rest) < 8


def _parts(given: str) -> set[str]:
    parts = re.split(r"[^a-z0-9]+", given.lower())
    return {word for word in (*parts, "".join(parts)) if len(word) >= 4}


async def replace(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, stored: Stored, *, may_be_others: bool = False
) -> str:
    """Set or replace the person's password; returns its id. Forgets remembered browsers. That somebody else has set it
    is stored with it; `may_be_others`: or may have, although it is set in a session of the person."""
    await credentials.end_kinds(ctx, db, tenant_id, person_id, [name, credentials.BROWSER])
    # The hash is sealed too: a stolen database alone allows no offline guessing.
    phc = stored.phc.encode()
    who = ctx.principal
    is_own = isinstance(who, Stranger) or (isinstance(who, Person) and who.person_id == person_id)
    data = json.dumps({} if is_own and not may_be_others else {credentials.GIVEN: True})
    made = await credentials.add(ctx, db, tenant_id, person_id, name, secret=phc, scheme=stored.scheme, data=data)
    await record(ctx, db, Event.PASSWORD_SET, tenant_id=tenant_id, subject_id=person_id)
    return made


async def accept(ctx: Ctx, who: Enrolling, answer: Any) -> Compared:
    """Check a new password against the rules; raises PasswordRefused."""
    stored = await vetted(ctx, answer, who.rules, (who.email, who.service, who.tenant_name))

    async def mark(db: Db) -> str:
        return await replace(ctx, db, who.tenant_id, who.person_id, stored)

    return Compared(True, who.person_id, mark)


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[Target, RowMapping | None]:
    return await authenticator.find(ctx, sign_in, name)


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: RowMapping | None, *, is_locked: bool) -> Compared:
    """Every case costs one hash check: unknown person, disabled, no password, locked, or outdated parameters."""
    stored = None
    if seen is not None and authenticator.is_usable(seen, sign_in) and not is_locked:
        stored = _opened(ctx, seen)
    is_right = await ctx.services.hasher.check(answer, stored, ctx.queue)
    if seen is None or stored is None or not is_right:
        return wrong(seen["person_id"] if seen else None)
    hasher = ctx.services.hasher
    fresh = await hasher.rehash(answer, stored, ctx.queue) if hasher.is_stale(stored) else None

    async def mark(db: Db) -> str | None:
        if fresh is None:
            return await credentials.use(ctx, db, seen)
        await record(ctx, db, Event.PASSWORD_REHASHED, tenant_id=sign_in.tenant_id, subject_id=seen["person_id"])
        return await credentials.use(ctx, db, seen, secret=fresh.phc.encode(), scheme=fresh.scheme)

    return Compared(True, seen["person_id"], mark)


async def schemes(db: Db) -> set[str]:
    """The hashing schemes of the stored passwords, for `Hasher.know`."""
    query = select(credential.c.scheme).where(credential.c.kind == name, credential.c.revoked_at.is_(None)).distinct()
    return {row["scheme"] for row in await db.rows(query)}


def _opened(ctx: Ctx, row: RowMapping) -> Stored | None:
    try:
        return Stored(credentials.secret_of(ctx, row).decode(), row["scheme"])
    except Unreadable:
        return None


FACTOR = Factor(
    name=name,
    amr=("pwd",),
    traits=frozenset({Trait.KNOWS}),
    is_first=True,
    recovers=True,
    needs_address=True,
    form_field="password",
    has_passkey_button=True,
    order=Order(first=1, second=5, recovery=5, signup=2),
    budget=budget,
    compare=compare,
    set_up=SetUp(
        accept=accept,
        page="new-password",
        form_field="new_password",
        replaced=N_("Your password was reset"),
        has_account_page=True,
    ),
    texts=Texts(
        name=N_("a password"),
        use=N_("Use your password"),
        set_up=N_("Use a password instead"),
        in_recovery=N_("Don't have it anymore? Use your password"),
        proved=N_("Password entered"),
        refused=N_("Wrong password"),
        wrong=N_("That email address or password is incorrect. Try again or reset your password."),
        proved_meaning="A password was correct.",
        refused_meaning="A password was refused: wrong, no such user, disabled or locked.",
    ),
)
