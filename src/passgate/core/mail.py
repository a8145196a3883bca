"""Mails as data: their words, and `lay`, which puts one into the outbox inside the change's own transaction.

Sending is `outbox`'s; nothing here waits for a network.
"""

from __future__ import annotations

from typing import Any

from passgate.core import throttle
from passgate.core.ctx import Ctx
from passgate.core.message import Message
from passgate.errors import Throttled
from passgate.store import Db
from passgate.store.tables import outbox
from passgate.world import SECOND, iso

_KEEP = 24 * 3600
"""Seconds a mail may wait for a mail server before it is given up."""

_NOT_YOU = "If this was not you, you need not do anything: nobody gets in with this mail alone."

WORDS: dict[str, tuple[str, str]] = {
    "signup_code": (
        "Your code for {service}: {code}",
        "Welcome. Enter this code to finish signing up:\n\n    {code}\n\nIt is good for {minutes} minutes, once, and"
        " only on the page where you asked for it.\n\n" + _NOT_YOU,
    ),
    "signup_known": (
        "You already have an account at {service}",
        "Somebody, perhaps you, tried to sign up with this address. There is an account already.\n\nSign in: {link}\n"
        "Forgotten your password? {recover}\n\n" + _NOT_YOU,
    ),
    "signin_code": (
        "Your code for {service}: {code}",
        "Enter this code to sign in:\n\n    {code}\n\nIt is good for {minutes} minutes and once.\n\n" + _NOT_YOU,
    ),
    "recovery_code": (
        "Your code for {service}: {code}",
        "Enter this code to choose a new password:\n\n    {code}\n\nIt is good for {minutes} minutes, once, and only on"
        " the page where you asked for it.\n\n" + _NOT_YOU,
    ),
    "recovery_none": (
        "No account at {service} for this address",
        "Somebody, perhaps you, asked to recover an account with this address. There is none that can be recovered."
        " Perhaps you signed up with another address.\n\nSign up: {link}",
    ),
    "recovered": (
        "Your password at {service} was replaced",
        "A new password was set with a code mailed to this address, and all sessions were ended.\n\nIf this was not"
        " you, recover your account at once: {recover}",
    ),
    "password_changed": (
        "Your password at {service} was changed",
        "Your password was changed, and all your other sessions were ended.\n\nIf this was not you, recover your"
        " account at once: {recover}",
    ),
    "new_device": (
        "New sign-in at {service}",
        "Your account was just used from a browser or program we have not seen before.\n\nIf this was not you, recover"
        " your account at once: {recover}",
    ),
}
_LINKS = {"signup_known": "/signin", "recovery_none": "/signup"}


def render(ctx: Ctx, kind: str, to: str, *, service: str, code: str | None) -> Message:
    """The finished mail. Links are built from the public URL, never from a request."""
    subject, body = WORDS[kind]
    link = ctx.house.base + _LINKS[kind] if kind in _LINKS else None
    given: dict[str, Any] = {
        "service": service, "code": code or "", "link": link or "", "recover": f"{ctx.house.base}/recover",
        "minutes": ctx.settings.mail.code_life // 60,
    }  # fmt: skip
    device = " on ".join(part for part in (ctx.origin.browser, ctx.origin.os) if part)
    asked = f"\n\n--\nFor {to}. Asked for at {iso(ctx.now())} from {ctx.origin.ip or 'this server'}"
    text = body.format_map(given) + asked + (f" with {device}" if device else "") + ".\n"
    return Message(
        id=ctx.world.uuid(), kind=kind, to=to, subject=subject.format_map(given), text=text, html=None,
        code=code, link=link, created_at=ctx.now(),
    )  # fmt: skip


async def lay(ctx: Ctx, db: Db, tenant_id: str, kind: str, to: str, *, service: str, code: str | None = None) -> None:
    """Into the outbox, sealed. The worker is woken once it can see the row."""
    message = render(ctx, kind, to, service=service, code=code)
    now = ctx.now()
    life = ctx.settings.mail.code_life if code else _KEEP
    await db.add(
        outbox, id=message.id, tenant_id=tenant_id, kind=kind, created_at=now, due_at=now,
        expires_at=now + life * SECOND,
        message_sealed=ctx.ring.seal("outbox", f"outbox:{message.id}", message.to_json()),
    )  # fmt: skip
    db.once_kept(ctx.house.wake.set)


async def may_send(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> bool:
    """Whether a stranger may cause one more mail to this address within the hour; silently, for known and unknown."""
    key = f"m:{ctx.ring.mac('budget', f'{tenant_id} {email_key}'.encode()).hex()}"
    try:
        await throttle.window(ctx, db, key, limit=ctx.settings.mail.per_hour, seconds=3600)
    except Throttled:
        return False
    return True
