"""The people who send the catalogue's requests, and how far their sign-ins are taken, all through the endpoints.

Not here: what is sent and what must be answered, which is in the catalogue.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from sqlalchemy import update

from passgate.core import budgets, tenants, throttle
from passgate.core.factors import totp
from passgate.core.rules import AAL2
from passgate.store.tables import budget, carrier, credential, person
from passgate.store.tables import tenant as tenant_table
from passgate.world import SECOND
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.kit import PASSWORD, Dice, The, bearer, handle_of

OURS = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: `path` and `body` as sent, by bearer to API endpoints, by cookie and form to pages. `secret`: the
    session token, the handle or the token of the mailed link. `others`: the same request with values that belong to
    somebody else. `behind`: the proofs that a handle is left with when the matrix takes its second factor away."""

    path: str
    body: dict[str, Any] | None = None
    secret: str = ""
    cookie: str = ""
    others: tuple[Ask, ...] = ()
    behind: tuple[str, ...] = ("password",)

    def short_of(self, *behind: str) -> Ask:
        return replace(self, behind=behind)

    def with_others(self, *given: Mapping[str, Any]) -> Ask:
        """Add a variant for each of `given`: with these members in its body, or with another path."""
        made = [
            replace(self, path=str(one["path"])) if "path" in one else replace(self, body={**(self.body or {}), **one})
            for one in given
        ]
        return replace(self, others=tuple(made))


@dataclass
class Somebody:
    """A person of the population with all their factors. `token` belongs to a session at their own level."""

    id: str
    email: str
    tenant_id: str
    token: str
    device: Authenticator = field(default_factory=Authenticator)
    passkey: str = ""
    secret: bytes = b""
    codes: list[str] = field(default_factory=list)


@dataclass
class Population:
    """Anna owns `main` and has every factor; Ben has a password, Cara a password and an app; Otto owns another tenant
    and has a passkey there."""

    the: The
    folk: Folk
    people: dict[str, Somebody] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    async def settled(cls, the: The) -> Population:
        population = cls(the, Folk(the))
        async with population.folk.ctx.write() as db:
            await tenants.create(population.folk.ctx, db, "other", "Other")
        for name, role, at in (
            ("anna", "owner", "main"),
            ("ben", "user", "main"),
            ("cara", "user", "main"),
            ("otto", "owner", "other"),
        ):
            actor = await population.folk.create(f"{name}@example.com", role, at=at)
            _, token = await population.folk.opened(actor.tenant_id, actor.person_id)
            population.people[name] = Somebody(actor.person_id, f"{name}@example.com", actor.tenant_id, token)
        for name in ("anna", "otto", "anna"):
            await population.add_passkey(population.people[name])
        for name in ("anna", "cara"):
            await population.add_app(population.people[name])
        for name in ("anna", "cara"):
            await population.add_codes(population.people[name])
        async with population.folk.ctx.write() as db:  # they have had all this for more than a week
            await db.change(update(credential).values(provisional_until=None))
        return population

    def moved(self, the: The) -> Population:
        """The same people in a Passgate on a copy of their database, later and with other randomness."""
        the.clock.now = self.the.clock.now
        dice = the.gate.services.world.dice
        assert isinstance(dice, Dice)
        dice.counter = itertools.count(10**6)
        people = {name: replace(who, codes=list(who.codes)) for name, who in self.people.items()}
        return replace(self, the=the, folk=Folk(the), people=people, numbers=itertools.count())

    @property
    def anna(self) -> Somebody:
        return self.people["anna"]

    @property
    def ben(self) -> Somebody:
        return self.people["ben"]

    @property
    def cara(self) -> Somebody:
        return self.people["cara"]

    @property
    def otto(self) -> Somebody:
        return self.people["otto"]

    # -- requests ----------------------------------------------------------------------------------

    async def send(self, method: str, ask: Ask) -> httpx2.Response:
        self.the.http.cookies.clear()
        if ask.cookie:
            headers = {"cookie": f"{ask.cookie}={ask.secret}", "sec-fetch-site": "same-origin"}
            return await self.the.http.request(method, ask.path, data=ask.body or {}, headers=headers)
        headers = bearer(ask.secret) if ask.secret else {}
        given: dict[str, Any] = {} if ask.body is None else {"json": ask.body}
        return await self.the.http.request(method, ask.path, headers=headers, **given)

    async def done(self, method: str, path: str, body: dict[str, Any] | None = None, secret: str = "") -> Any:
        """The answer of a request that must succeed."""
        answer = await self.send(method, Ask(f"/api/v1{path}", body, secret))
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    # -- adding factors through the endpoints ----------------------------------------------------------

    async def new_passkey(self, who: Somebody, device: Authenticator | None = None) -> dict[str, Any]:
        """The browser's answer to the options of a new passkey."""
        offered = await self.done("POST", "/me/passkeys", None, who.token)
        return (device or Authenticator()).create(offered["challenge"], OURS)

    async def add_passkey(self, who: Somebody) -> None:
        """Add a passkey of a new device; the newest one answers from then on."""
        device = Authenticator()
        answer = await self.new_passkey(who, device)
        made = await self.done("POST", "/me/passkeys/prove", {"answer": answer}, who.token)
        who.device, who.passkey = device, made["id"]

    async def new_code(self, who: Somebody) -> str:
        """The first code of a secret that is being set up."""
        return self._code(_base32((await self.done("POST", "/me/totp", None, who.token))["secret"]))

    async def add_app(self, who: Somebody) -> None:
        offered = await self.done("POST", "/me/totp", None, who.token)
        who.secret = _base32(offered["secret"])
        await self.done("POST", "/me/totp/prove", {"answer": self._code(who.secret)}, who.token)

    async def mailed_code(self, ask: Ask, who: Somebody) -> str:
        """The code that this request has mailed."""
        await self.done("POST", ask.path.removeprefix("/api/v1"), ask.body, ask.secret)
        return await self.the.code(who.email)

    async def add_codes(self, who: Somebody) -> None:
        made = await self.done("POST", "/me/recovery-codes", None, who.token)
        who.codes = made["codes"]

    def _code(self, secret: bytes) -> str:
        return totp.code_at(secret, self.the.clock() // SECOND // totp.PERIOD)

    def code(self, who: Somebody) -> str:
        """The code of the next time step, which is unused."""
        self.the.clock.forward(totp.PERIOD)
        return self._code(who.secret)

    def make(self, offered: dict[str, Any]) -> dict[str, Any]:
        """A new passkey for the options of a pending sign-in."""
        return Authenticator().create(offered["challenge"], OURS)

    def first_code(self, offered: dict[str, Any]) -> str:
        """The first code of the app that a pending sign-in offered."""
        return self._code(_base32(offered["challenge"]["secret"]))

    # -- pending sign-ins --------------------------------------------------------------------------

    async def begun(self, who: Somebody) -> str:
        return handle_of(await self.the.start(who.email))

    async def after_password(self, who: Somebody) -> str:
        handle = await self.begun(who)
        assert (await self.the.prove(handle, "password", PASSWORD)).status_code == 200
        return handle

    async def after_address(self, who: Somebody) -> str:
        """A pending sign-in that has proved the password and the address."""
        handle = await self.after_password(who)
        assert (await self.the.challenge(handle, "email_code")).status_code == 200
        assert (await self.the.prove(handle, "email_code", await self.the.code(who.email))).status_code == 200
        return handle

    async def after_app(self, who: Somebody) -> str:
        handle = await self.after_password(who)
        assert (await self.the.prove(handle, "totp", self.code(who))).status_code == 200
        return handle

    async def recovering(self, who: Somebody) -> str:
        handle = handle_of(await self.the.recover(who.email))
        assert (await self.the.prove(handle, "email_code", await self.the.code(who.email))).status_code == 200
        return handle

    async def asserted(self, handle: str, *people: Somebody) -> list[dict[str, Any]]:
        """The answer of each person's passkey to one challenge of this handle."""
        options = (await self.the.challenge(handle, "passkey")).json()["challenge"]
        return [one.device.get({**options, "allowCredentials": []}, OURS) for one in people]

    def fresh_address(self) -> str:
        return f"new{next(self.numbers)}@example.com"

    async def lift(self) -> None:
        """Raise every session to its person's own level again."""
        amr, now = json.dumps(["pwd", "otp"]), self.the.clock()
        proofs = json.dumps({"password": now, "totp": now})
        async with self.folk.ctx.write() as db:
            await db.change(update(carrier).values(acr=AAL2, amr=amr, proofs=proofs))

    async def rules(self, *names: str, **changed: Any) -> None:
        """Change the rules of `main`, or of tenants by name, in the database."""
        main = update(tenant_table).where(tenant_table.c.name.in_(names or ("main",)))
        async with self.folk.ctx.write() as db:
            await db.change(main.values(policy=json.dumps(changed)))

    async def lock(self, who: Somebody, factor: str) -> None:
        """Lock a factor of the person's for everybody."""
        async with self.folk.ctx.write() as db:
            for kind, share in budgets.SHARES.items():
                key = f"n:{kind}:{factor}:{who.id}"
                await db.add(budget, key=key, used=share, until_at=0, expires_at=throttle.NEVER)

    async def address_of(self, who: Somebody) -> str:
        return next(str(row["email"]) for row in await self.the.rows(person) if row["id"] == who.id)

    async def live(self, who: Somebody, kind: str) -> str:
        """The id of a person's newest factor of a kind."""
        rows = [row for row in await self.the.rows(credential) if (row["person_id"], row["kind"]) == (who.id, kind)]
        return str(max(row["id"] for row in rows if row["revoked_at"] is None))


def _base32(text: str) -> bytes:
    return base64.b32decode(text + "=" * (-len(text) % 8))
