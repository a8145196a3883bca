"""People and sessions made by calling `core` directly, which is faster where endpoints do not matter.

Not here: assertions and rules.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from sqlalchemy import select, update

from passgate.core import access, account, credentials, enrolment, people, sessions, starts, tenants
from passgate.core.ctx import Ctx, Origin
from passgate.core.ctx import Person as Actor
from passgate.core.factors import password, totp
from passgate.core.message import Message
from passgate.core.rules import AAL2
from passgate.hashing import Hasher, Queue, Stored
from passgate.settings import HashSettings
from passgate.store.tables import carrier, credential, outbox
from passgate.world import SECOND
from tests.authenticator import Authenticator
from tests.kit import CHEAP, PASSWORD, The

HERE = Origin("127.0.0.1", "Firefox", "Linux", is_loopback=True)
ELSEWHERE = Origin("203.0.113.7", "Safari", "iOS")


OLDER = HashSettings(memory_kib=512, passes=1)
"""Hash parameters that are weaker than those of all tests, so that a check rehashes the password."""


@dataclass
class Folk:
    """Makes people and calls actions. Everybody's password is PASSWORD, which is hashed once for all."""

    the: The
    stored: dict[HashSettings, Stored] = field(default_factory=dict)
    numbers: ClassVar[Iterator[int]] = itertools.count()

    @property
    def ctx(self) -> Ctx:
        return Ctx(self.the.gate.services, HERE, request_id="request-of-a-test")

    @property
    def elsewhere(self) -> Ctx:
        """The same from a browser that has not been used before."""
        return Ctx(self.the.gate.services, ELSEWHERE)

    def acting(self, actor: Actor) -> Ctx:
        return self.ctx.acting(actor)

    async def tenant(self, name: str = tenants.MAIN) -> tenants.Tenant:
        async with self.ctx.read() as db:
            found = await tenants.find(self.ctx, db, name)
        assert found is not None
        return found

    async def hashed(self, parameters: HashSettings = CHEAP) -> Stored:
        """PASSWORD, hashed with these parameters."""
        if parameters not in self.stored:
            hasher = Hasher(parameters, self.the.gate.services.world)
            self.stored[parameters] = await hasher.hash(PASSWORD, Queue.OWNERS)
            hasher.close()
        return self.stored[parameters]

    async def create(
        self, email: str | None = None, *roles: str, hashed: HashSettings | None = CHEAP, at: str = tenants.MAIN
    ) -> Actor:
        """A person with one live session, as its Actor. `hashed`: the password's parameters; None for no password."""
        stored = await self.hashed(hashed) if hashed else None
        where = people.address(email or f"person{next(self.numbers)}@example.com")
        tenant = await self.tenant(at)
        async with self.ctx.write() as db:
            person_id = await people.create(self.ctx, db, tenant.id, where, profile="{}", verified=True)
            assert person_id is not None
            for role in roles or ("user",):
                await access.grant(self.ctx, db, tenant.id, person_id, role)
            if stored is not None:
                await password.replace(self.ctx, db, tenant.id, person_id, stored)
        return await self.session(tenant.id, person_id)

    async def actor_of(self, token: str) -> Actor:
        return await sessions.find(self.ctx, token, at_any_level=True)

    async def session(self, tenant_id: str, person_id: str) -> Actor:
        """One more session of a person."""
        return (await self.opened(tenant_id, person_id))[0]

    async def opened(self, tenant_id: str, person_id: str) -> tuple[Actor, str]:
        """One more session of a person, with its token."""
        acr, proofs = "urn:passgate:aal1", {"password": self.the.clock()}
        async with self.ctx.write() as db:
            proved = sessions.Proved("bearer", proofs, ("pwd",), acr)
            opened = await sessions.open_session(self.ctx, db, tenant_id, person_id, proved)
            session_id = opened.session["id"]
            carrier_id = await db.value(select(carrier.c.id).where(carrier.c.session_id == session_id))
        actor = Actor(tenant_id, person_id, session_id, carrier_id, 1, acr, ("pwd",), proofs["password"], proofs)
        return actor, opened.token

    # -- what people have besides ------------------------------------------------------------------

    async def strong(self, actor: Actor) -> Actor:
        """One more session of a person, fresh and of the highest level that any action asks for."""
        more = await self.session(actor.tenant_id, actor.person_id)
        async with self.ctx.write() as db:
            await sessions.lift(self.acting(more), db, {"totp": self.the.clock()}, AAL2)
        return replace(more, acr=AAL2, amr=("pwd", "otp"), proofs={**more.proofs, "totp": more.auth_time})

    async def add_app(self, actor: Actor) -> None:
        """Add an authenticator app whose current code is unused."""
        who = await self.strong(actor)
        secret = base64.b32decode((await enrolment.offer(self.acting(who), "totp"))["secret"])
        await enrolment.prove(self.acting(who), "totp", totp.code_at(secret, self.step))
        await self.settle(actor)
        self.the.clock.forward(totp.PERIOD)

    @property
    def step(self) -> int:
        return self.the.clock.now // SECOND // totp.PERIOD

    async def app_code(self, actor: Actor) -> str:
        """The current code of the app. Moves the clock, so that the next code differs."""
        async with self.ctx.read() as db:
            [row] = await credentials.of_kind(db, actor.tenant_id, actor.person_id, totp.name)
        self.the.clock.forward(totp.PERIOD)
        return totp.code_at(credentials.secret_of(self.ctx, row), self.step)

    async def add_passkey(self, actor: Actor, key: Authenticator) -> str:
        """Add a passkey; its id."""
        who = await self.strong(actor)
        offered = await enrolment.offer(self.acting(who), "passkey")
        answer = key.create(offered, self.the.gate.settings.url)
        made = await enrolment.prove(self.acting(who), "passkey", answer)
        await self.settle(actor)
        return made

    async def add_codes(self, actor: Actor) -> list[str]:
        who = await self.strong(actor)
        made = await enrolment.recovery_codes(self.acting(who))
        await self.settle(actor)
        return made

    async def settle(self, actor: Actor) -> None:
        """As if the person had what they have for more than a week: no recovery passes over it."""
        mine = update(credential).where(credential.c.person_id == actor.person_id)
        async with self.ctx.write() as db:
            await db.change(mine.values(provisional_until=None))

    async def new_password(self, actor: Actor, new: str) -> None:
        await account.set_password(self.acting(actor), new)

    async def email(self, actor: Actor) -> str:
        async with self.ctx.read() as db:
            found = await people.by_id(db, actor.tenant_id, actor.person_id)
        assert found is not None
        return str(found["email"])

    async def undo_token(self, email: str) -> str:
        """The token of the newest link mailed to this address that undoes something."""
        links = [str(mail["link"]) for mail in await self.the.mails(email) if mail["link"]]
        return next(link for link in links if "/undo/" in link).rpartition("/")[2]

    async def undoing(self, token: str) -> tuple[str, str]:
        """Begin to undo a change: the handle, and the mailed code."""
        begun = await starts.by_undo(self.ctx, token)
        return begun.handle, await self.code()

    async def code(self) -> str:
        """The newest mailed code in the outbox."""
        return next(mail.code for mail in await self._mails() if mail.code)

    async def newest(self) -> Message:
        """The newest mail in the outbox."""
        return (await self._mails())[0]

    async def _mails(self) -> list[Message]:
        """What waits in the outbox, newest first."""
        rows = sorted(await self.the.rows(outbox), key=lambda row: str(row["id"]), reverse=True)
        waiting = [(f"outbox:{row['id']}", row["message_sealed"]) for row in rows if row["message_sealed"]]
        return [Message.from_json(self.ctx.ring.unseal("outbox", name, sealed)) for name, sealed in waiting]
