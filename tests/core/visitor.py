"""Somebody who visits an account with what they hold: passwords, apps, mailboxes, links, a session. They answer
whatever is asked for, as far as they can, through `core`.

Not here: assertions and rules; nobody here knows what must work.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from passgate.core import account, address, enrolment, sessions, signin, starts
from passgate.core.ctx import Ctx, Origin
from passgate.core.ctx import Person as Actor
from passgate.core.factor import Answer
from passgate.core.factors import totp
from passgate.core.message import Message
from passgate.core.policy import Decision, Enough, Need
from passgate.core.starts import Started
from passgate.errors import PassgateError, ProofMissing, Refusal, StepUpNeeded, Throttled
from passgate.store.tables import outbox
from tests.authenticator import Authenticator, NotAllowed
from tests.core.behind import Folk

TRIED = 2
"""How many of their passwords they try, newest first. Of their apps they try all: any may have stood before."""
LONGEST_WAIT = 3600


async def letters(folk: Folk, to: str, *, since: int = 0) -> list[Message]:
    """The mails to an address since an instant (microseconds), oldest first, delivered or not."""
    query = select(outbox).where(outbox.c.created_at >= since, outbox.c.message_sealed.is_not(None))
    async with folk.ctx.read() as db:
        rows = await db.rows(query.order_by(outbox.c.id))
    found = [
        Message.from_json(folk.ctx.ring.unseal("outbox", f"outbox:{row['id']}", row["message_sealed"])) for row in rows
    ]
    return [mail for mail in found if mail.to == to]


async def links(folk: Folk, to: str, *, since: int = 0) -> list[str]:
    """The tokens of the links mailed to an address that undo something, oldest first."""
    found = [str(mail.link) for mail in await letters(folk, to, since=since) if mail.link]
    return [link.rpartition("/")[2] for link in found if "/undo/" in link]


@dataclass
class Visitor:
    """`email`: what they type as the account's address. `mailboxes`: those they can read; `own` is one of them that
    nobody else can. `old`: links of earlier mails. The newest of `passwords` and `apps` is the last."""

    folk: Folk
    email: str
    own: str
    ip: str = "198.51.100.1"
    passwords: list[str] = field(default_factory=list)
    apps: list[bytes] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    keys: list[Authenticator] = field(default_factory=list)
    mailboxes: list[str] = field(default_factory=list)
    old: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """Of sessions they had, newest last."""
    since: int = 0
    """They read no mail from before."""
    made: int = 0

    @property
    def ctx(self) -> Ctx:
        return Ctx(self.folk.the.gate.services, Origin(self.ip, "Firefox", "Linux"))

    # -- reading mail --------------------------------------------------------------------------------

    async def links(self) -> list[str]:
        """All links they can read that undo something, oldest first."""
        found = [one for box in (*self.mailboxes, self.own) for one in await links(self.folk, box, since=self.since)]
        return list(dict.fromkeys((*self.old, *found)))

    async def code(self, *kinds: str) -> str | None:
        """The code of the newest mail they can read."""
        boxes = {*self.mailboxes, self.own}
        found = [mail for box in boxes for mail in await letters(self.folk, box, since=self.since)]
        coded = [mail for mail in found if mail.code and (not kinds or mail.kind in kinds)]
        return str(max(coded, key=lambda mail: mail.id).code) if coded else None

    # -- answering -----------------------------------------------------------------------------------

    async def go_on(self, started: Started, *, is_sent: bool = False) -> str | None:
        """Answer as far as possible, and finish: the token of the session, or None. `is_sent`: a code was mailed
        already."""
        decision: Decision | None = started.decision
        while isinstance(decision, Need):
            decision = await self._next(started.handle, decision, is_sent=is_sent)
        if not isinstance(decision, Enough):
            return None
        try:
            finished = await signin.finish(self.ctx, started.handle, carrier="bearer")
        except ProofMissing as missing:  # the address of a sign-up is not free, so it is asked for after all
            asked = Started(started.handle, Need(tuple(map(tuple, missing.need))), started.expires_at)
            return await self.go_on(asked, is_sent=True)
        except Refusal:
            return None
        self.tokens.append(finished.opened.token)
        return finished.opened.token

    async def _next(self, handle: str, need: Need, *, is_sent: bool) -> Decision | None:
        for [factor] in need.ways:
            for answer in await self._answers(handle, factor, is_set_up=need.enrol, is_sent=is_sent):
                decision = await self._prove(handle, factor, answer)
                if decision is None:
                    continue
                if need.enrol and factor == "password":
                    self.passwords.append(str(answer))
                if decision != need:
                    return decision
        return None

    async def _prove(self, handle: str, factor: str, answer: Answer | bytes) -> Decision | None:
        """Whoever has to wait tries the same again afterwards: it may be the right one."""
        for _ in range(2):
            # A code is read when it is typed.
            typed = self.app_code(answer) if isinstance(answer, bytes) else answer
            try:
                return await signin.prove(self.ctx, handle, factor, typed)
            except Throttled as busy:
                self.folk.the.clock.forward(min(busy.retry_after, LONGEST_WAIT))
            except Refusal:
                return None
        return None

    async def _answers(self, handle: str, factor: str, *, is_set_up: bool, is_sent: bool) -> list[Answer | bytes]:
        """What to try, best first; the secret of an app for its code."""
        try:
            match factor:
                case "password":
                    return [self.fresh_password()] if is_set_up else list(reversed(self.passwords[-TRIED:]))
                case "totp" if is_set_up:
                    offered = await signin.challenge(self.ctx, handle, "totp")
                    self.apps.append(base64.b32decode(offered["secret"]))
                    return [self.app_code(self.apps[-1])]
                case "totp":
                    return [*reversed(self.apps)]
                case "recovery_code":
                    return [self.codes.pop()] if self.codes else []
                case "passkey" if is_set_up:
                    options, key = await signin.challenge(self.ctx, handle, "passkey"), Authenticator()
                    self.keys.append(key)
                    return [key.create(options, self.ctx.settings.url)]
                case "passkey":
                    return self._by_keys(await signin.challenge(self.ctx, handle, "passkey"))
                case "email_code":
                    if not is_sent:
                        await signin.challenge(self.ctx, handle, "email_code")
                    code = await self.code()
                    return [code] if code else []
        except Refusal:
            pass
        return []

    def _by_keys(self, options: dict[str, Any]) -> list[Answer | bytes]:
        """By the newest of their authenticators that has one of the passkeys which are asked for."""
        for key in reversed(self.keys):
            with suppress(NotAllowed):
                return [key.get(options, self.ctx.settings.url)]
        return []

    def app_code(self, secret: bytes) -> str:
        """A code that was not used yet: the clock moves on."""
        self.folk.the.clock.forward(totp.PERIOD)
        return totp.code_at(secret, self.folk.step)

    def fresh_password(self) -> str:
        self.made += 1
        return f"{self.made} umbrellas of {self.own} sang"

    # -- sessions ------------------------------------------------------------------------------------

    async def actor(self) -> Actor | None:
        """Of the newest session that is still live."""
        for token in reversed(self.tokens):
            try:
                return await sessions.find(self.ctx, token)
            except PassgateError:
                continue
        return None

    async def sign_in(self) -> str | None:
        try:
            return await self.go_on(await starts.sign_in(self.ctx, self.email, None))
        except Refusal:
            return None

    async def step_up(self, *, address: bool = False) -> bool:
        """Make the newest session fresh."""
        who = await self.actor()
        if who is None:
            return False
        try:
            started = await starts.step_up(self.ctx.acting(who), None, address=address)
        except Refusal:
            return False
        return await self.go_on(started) is not None

    async def confirm_address(self) -> bool:
        return await self.step_up(address=True)

    async def acting(self) -> Actor | None:
        """A session to change something in: a live one made fresh, or a new one."""
        who = await self.actor()
        if who is not None:
            try:
                await account.fresh(self.ctx.acting(who))
                return who
            except StepUpNeeded:
                if await self.step_up():
                    return await self.actor()
        return await self.actor() if await self.sign_in() else None

    # -- changes: True if it was made ----------------------------------------------------------------

    async def add_app(self) -> bool:
        who = await self.acting()
        if who is None:
            return False
        try:
            offered = await enrolment.offer(self.ctx.acting(who), "totp")
            secret = base64.b32decode(offered["secret"])
            if not offered.get("active"):
                await enrolment.prove(self.ctx.acting(who), "totp", self.app_code(secret))
        except Refusal:
            return False
        self.apps.append(secret)
        return True

    async def turn_on_mailed_codes(self) -> bool:
        """By a code of a mail that they can read, if the rules ask for one."""
        who = await self.acting()
        if who is None:
            return False
        try:
            if not (await enrolment.offer(self.ctx.acting(who), "email_code")).get("active"):
                await enrolment.prove(self.ctx.acting(who), "email_code", await self.code("factor_code") or "")
        except Refusal:
            return False
        return True

    async def add_passkey(self) -> bool:
        who, key = await self.acting(), Authenticator()
        if who is None:
            return False
        try:
            offered = await enrolment.offer(self.ctx.acting(who), "passkey")
            await enrolment.prove(self.ctx.acting(who), "passkey", key.create(offered, self.ctx.settings.url))
        except Refusal:
            return False
        self.keys.append(key)
        return True

    async def make_codes(self) -> bool:
        who = await self.acting()
        if who is None:
            return False
        try:
            self.codes = await enrolment.recovery_codes(self.ctx.acting(who))
        except Refusal:
            return False
        return True

    async def remove(self, factor: str = "totp") -> bool:
        who = await self.acting()
        if who is None:
            return False
        try:
            await enrolment.remove(self.ctx.acting(who), factor)
        except Refusal:
            return False
        return True

    async def change_password(self) -> bool:
        who, new = await self.acting(), self.fresh_password()
        if who is None:
            return False
        try:
            await account.set_password(self.ctx.acting(who), new)
        except Refusal:
            return False
        self.passwords.append(new)
        return True

    async def change_address(self, to: str | None = None) -> bool:
        """To a mailbox of their own, or to another, which they can read then."""
        who, to = await self.acting(), to or self.own
        if who is None:
            return False
        if to not in (self.own, *self.mailboxes):
            self.mailboxes.append(to)
        try:
            await address.start(self.ctx.acting(who), to)
            await address.prove(self.ctx.acting(who), await self.code("address_code") or "")
        except Refusal:
            return False
        self.email = to
        return True

    async def delete(self) -> bool:
        who = await self.acting()
        if who is None:
            return False
        try:
            await account.delete(self.ctx.acting(who))
        except Refusal:
            return False
        return True

    async def sign_out_elsewhere(self) -> bool:
        """Needs no fresh proof."""
        who = await self.actor()
        if who is None:
            return False
        try:
            await account.end_other_sessions(self.ctx.acting(who))
        except Refusal:
            return False
        return True

    # -- beginning an account ------------------------------------------------------------------------

    async def sign_up(self, *, by_passkey: bool = False) -> str | None:
        """With a password of their own; or with a passkey, which the policy has to prefer."""
        secret = None if by_passkey else self.fresh_password()
        try:
            started = await starts.sign_up(self.ctx, self.email, secret, None, None, None)
        except Refusal:
            return None
        if secret is not None:
            self.passwords.append(secret)
        return await self.go_on(started, is_sent=True)

    # -- getting an account back ---------------------------------------------------------------------

    async def recover(self, email: str | None = None) -> str | None:
        try:
            return await self.go_on(await starts.recover(self.ctx, email or self.email, None), is_sent=True)
        except Refusal:
            return None

    async def undo(self, link: str) -> str | None:
        """The session that ends an undo by this link."""
        try:
            return await self.go_on(await starts.by_undo(self.ctx, link), is_sent=True)
        except Refusal:
            return None

    async def undo_first(self) -> str | None:
        """Undo by the first link that they can read and that does."""
        for link in await self.links():
            if opened := await self.undo(link):
                return opened
        return None
