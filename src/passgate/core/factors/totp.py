"""Codes of an authenticator app (RFC 6238): six digits of HMAC-SHA-1, a new one every 30 seconds, each valid once.

Not here: how many wrong answers are allowed (`budgets`), and drawing the QR code (`web`).
"""

from __future__ import annotations

import base64
import hmac
from typing import Any
from urllib.parse import quote

from sqlalchemy import RowMapping

from passgate.core import authenticator, credentials, once
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.factor import ActivateAtOnce, Compared, Enrolling, Factor, Order, SetUp, Texts, Trait, typed, wrong
from passgate.core.pending import SignIn
from passgate.core.rules import Rules
from passgate.errors import NotFound
from passgate.i18n import N_
from passgate.seal import Unreadable, equal
from passgate.store import Db
from passgate.world import SECOND

name = "totp"
PERIOD = 30
DIGITS = 6
SECRET = 20
"""Bytes: 160 bits (RFC 4226 §4 R6)."""
_NEW = "totp_new"


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """HOTP(K, T): dynamic truncation of HMAC-SHA-1 (RFC 4226 §5.3)."""
    mac = hmac.digest(secret, step.to_bytes(8), "sha1")
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def matched(secret: bytes, code: str, now: int, window: int) -> int | None:
    """The step this code belongs to, at most `window` steps from now, or None. Checks every step of the window, even
    after a match, so that timing does not depend on it."""
    given, present = code.encode(), now // SECOND // PERIOD
    found = None
    for step in range(present - window, present + window + 1):
        if equal(code_at(secret, step).encode(), given):
            found = step
    return found


def uri(secret: bytes, service: str, email: str) -> str:
    """The content of the QR code (the Key URI format of authenticator apps). An issuer has no colon: apps cut there."""
    issuer = quote(" ".join(service.replace(":", " ").split()), safe="")
    label = f"{issuer}:{quote(email, safe='@')}"
    return (
        f"otpauth://totp/{label}?secret={base32(secret)}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD}"
    )


def base32(secret: bytes) -> str:
    """Base32 without padding, for typing by hand."""
    return base64.b32encode(secret).decode().rstrip("=")


# -- proving ---------------------------------------------------------------------------------------


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[Target, RowMapping | None]:
    if sign_in.person_id is None:
        return Target(Guess.NOT, sign_in.tenant_id), None
    return await authenticator.find(ctx, sign_in, name)


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: RowMapping | None, *, is_locked: bool) -> Compared:
    if seen is None or not authenticator.is_usable(seen, sign_in) or is_locked:
        return wrong(sign_in.person_id)
    try:
        secret = credentials.secret_of(ctx, seen)
    except Unreadable:
        return wrong(sign_in.person_id)
    step = matched(secret, typed(answer), ctx.now(), sign_in.rules.totp_window)
    if step is None or step <= seen["counter"]:
        return wrong(sign_in.person_id)

    async def mark(db: Db) -> str | None:
        # Store the step, not the text: no spelling of this code, and no earlier code, is accepted again.
        return await credentials.use(ctx, db, seen, counter=step)

    return Compared(True, sign_in.person_id, mark)


# -- setting up ------------------------------------------------------------------------------------


async def offer(ctx: Ctx, who: Enrolling) -> dict[str, Any]:
    """A fresh secret, {otpauth_uri, secret}, active from its first correct code. Invalidates an older offer."""
    secret = ctx.world.bytes(SECRET)
    async with ctx.write() as db:
        life = ctx.settings.signin.life
        data = {"secret": secret.hex()}
        await once.issue(ctx, db, who.tenant_id, _NEW, who.bound_to, b"", life=life, data=data)
    return _offered(secret, who)


def _offered(secret: bytes, who: Enrolling) -> dict[str, Any]:
    return {"otpauth_uri": uri(secret, who.service, who.email), "secret": base32(secret)}


async def offered(ctx: Ctx, who: Enrolling) -> dict[str, Any] | None:
    """The latest result of `offer`, while it can still be answered: a reloaded page displays the same QR code."""
    async with ctx.read() as db:
        secret = _pending(ctx, await once.live(ctx, db, who.tenant_id, _NEW, who.bound_to))
    return _offered(secret, who) if secret else None


def again(ctx: Ctx, row: RowMapping, who: Enrolling) -> dict[str, Any]:
    """A live app's secret as `offer` returned it. NotFound if it can no longer be read."""
    try:
        return _offered(credentials.secret_of(ctx, row), who)
    except Unreadable:
        raise NotFound from None


async def accept(ctx: Ctx, who: Enrolling, answer: Any) -> Compared:
    """Check the first code. It is used up by that and cannot sign in afterwards."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, who.tenant_id, _NEW, who.bound_to)
    secret = _pending(ctx, live)
    step = matched(secret, typed(answer), ctx.now(), who.rules.totp_window) if secret else None
    if live is None or secret is None or step is None:
        return wrong(who.person_id)

    async def mark(db: Db) -> str | None:
        is_first = (await once.take(ctx, db, live)).is_first
        return await _store(ctx, db, who, secret, step) if is_first else None

    return Compared(True, who.person_id, mark)


async def _store(ctx: Ctx, db: Db, who: Enrolling, secret: bytes, step: int) -> str:
    return await credentials.replace(ctx, db, who, name, secret=secret, counter=step)


def at_once(rules: Rules) -> ActivateAtOnce | None:
    """Available if the tenant's rules accept a secret without a first code."""
    return _activate_at_once if rules.totp_at_once else None


async def _activate_at_once(ctx: Ctx, db: Db, who: Enrolling) -> dict[str, Any]:
    secret = ctx.world.bytes(SECRET)
    await _store(ctx, db, who, secret, 0)
    return _offered(secret, who)


def _pending(ctx: Ctx, row: RowMapping | None) -> bytes | None:
    secret = once.carried(ctx, row).get("secret") if row else None
    return bytes.fromhex(secret) if isinstance(secret, str) else None


FACTOR = Factor(
    name=name,
    amr=("otp",),
    traits=frozenset({Trait.HAS}),
    is_second=True,
    order=Order(first=4, second=1, recovery=1, signup=3),
    budget=budget,
    compare=compare,
    set_up=SetUp(accept=accept, offer=offer, offered=offered, at_once=at_once, is_drawn=True, has_account_page=True),
    texts=Texts(
        name=N_("an authenticator app"),
        use=N_("Use your authenticator app"),
        set_up=N_("Set up an authenticator app instead"),
        proved=N_("Authenticator app code entered"),
        refused=N_("Wrong authenticator app code"),
        wrong=N_(
            "That code is incorrect or was already used."
            " Enter the next code from your app, and check that your phone's clock is right."
        ),
        proved_meaning="A code from an authenticator app was correct.",
        refused_meaning="A code from an authenticator app was refused: wrong, used, none set up or locked.",
    ),
)
