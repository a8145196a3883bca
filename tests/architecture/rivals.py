"""The two people of the attack machine, the owner of an account and an attacker, with what each can do in one step.

Both use HTTP alone, each with a client of their own; only links are opened by calling `core`. What must hold after
every step is in `test_machine`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx2

from passgate.core import mailed_link, signin, starts
from passgate.core.policy import Enough
from passgate.errors import HandleInvalid, Refusal
from tests.architecture.population import OURS, Population, Somebody
from tests.authenticator import Authenticator, NotAllowed
from tests.kit import OTHER_PASSWORD, PASSWORD, bearer

API = "/api/v1"
FACTORS = ("password", "passkey", "totp", "recovery_code", "email_code")


class Power(StrEnum):
    """What the attacker has besides the victim's address: nothing, the password, or access to the mailbox."""

    NOTHING = "nothing"
    PASSWORD = "password"
    MAILBOX = "mailbox"


# -- the owner -------------------------------------------------------------------------------------


@dataclass
class Owner:
    """The account's owner, who signs in with all their factors. `outcomes`: every answer and handle that was sent, by
    kind, for an attacker who overhears them."""

    population: Population
    who: Somebody
    password: str = PASSWORD
    outcomes: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    async def ask(self, method: str, path: str, body: Any = None, secret: str = "") -> httpx2.Response:
        given: dict[str, Any] = {} if body is None else {"json": body}
        headers = bearer(secret) if secret else {}
        return await self.population.the.http.request(method, API + path, headers=headers, **given)

    async def prove(self, handle: str, factor: str, answer: Any) -> bool:
        body = {"factor": factor, "answer": answer}
        answered = await self.ask("POST", "/signin/prove", body, handle)
        if answered.status_code == 200 or factor == "passkey":
            self.outcomes[factor].append(answer)
        return answered.status_code == 200

    async def answer(self, handle: str, factor: str) -> Any:
        match factor:
            case "password":
                return self.password
            case "totp":
                return self.population.code(self.who)
            case "passkey":
                asked = await self.ask("POST", "/signin/challenge", {"factor": factor}, handle)
                if asked.status_code != 200:  # a recovery passes over one that a bare password set up
                    return {}
                return self.who.device.get({**asked.json()["challenge"], "allowCredentials": []}, OURS)
            case "recovery_code":
                return self.who.codes.pop()
            case _:
                return await self.population.the.code(self.who.email)

    @property
    def second(self) -> list[str]:
        credentials = {"totp": self.who.secret, "passkey": self.who.passkey, "recovery_code": self.who.codes}
        return [factor for factor, has in credentials.items() if has]

    async def go(self, handle: str, *factors: str) -> bool:
        """Prove these factors one after the other and finish. False when a step is refused, as by a lock that the
        attacker caused."""
        for factor in factors:
            if not await self.prove(handle, factor, await self.answer(handle, factor)):
                return False
        return await self.finish(handle)

    async def finish(self, handle: str) -> bool:
        done = await self.ask("POST", "/signin/finish", {"carrier": "bearer"}, handle)
        self.outcomes["handle"].append(handle)
        if done.status_code == 201:
            self.who.token = done.json()["token"]
        return done.status_code == 201

    async def begin(self) -> str:
        begun = await self.ask("POST", "/signin", {"email": self.who.email})
        return str(begun.json()["handle"])

    async def sign_in(self, pick: int = 0) -> bool:
        """Sign in with the password and a second factor, which changes with `pick`, or with the passkey alone."""
        if self.who.passkey and pick % 4 == 3:
            return await self.go(await self.begin(), "passkey")
        second = self.second[pick % 4 % len(self.second) :][:1] if self.second else []
        return await self.go(await self.begin(), "password", *second)

    async def pending_sign_in(self) -> None:
        """Prove the password and leave the sign-in pending."""
        await self.prove(await self.begin(), "password", self.password)

    async def step_up(self) -> None:
        begun = await self.ask("POST", "/signin", {"step_up": {}}, self.who.token)
        if begun.status_code == 201:
            second = self.second[:1]
            await self.go(begun.json()["handle"], "password", *second)

    async def recover(self, new: str) -> None:
        handle = str((await self.ask("POST", "/recover", {"email": self.who.email})).json()["handle"])
        for factor in ("email_code", *self.second[:1]):
            if not await self.prove(handle, factor, await self.answer(handle, factor)):
                return
        if await self.prove(handle, "password", new):
            self.password = new
            await self.finish(handle)

    async def change_password(self, new: str) -> None:
        if (await self.ask("POST", "/me/password", {"password": new}, self.who.token)).status_code == 204:
            self.password = new

    async def add_passkey(self) -> None:
        offered = await self.ask("POST", "/me/passkeys", None, self.who.token)
        if offered.status_code != 201:
            return
        device = Authenticator()
        answer = device.create(offered.json()["challenge"], OURS)
        self.outcomes["new_passkey"].append(answer)
        made = await self.ask("POST", "/me/passkeys/prove", {"answer": answer}, self.who.token)
        if made.status_code == 201:
            self.who.device, self.who.passkey = device, made.json()["id"]

    async def make_codes(self) -> None:
        made = await self.ask("POST", "/me/recovery-codes", None, self.who.token)
        if made.status_code == 201:
            self.who.codes = made.json()["codes"]

    async def open_link(self, url: str) -> None:
        token = url.rpartition("/")[2]
        self.outcomes["link"].append(token)
        begun = await starts.by_link(self.population.folk.ctx, token)
        await self.go(begun.handle, *self.second[:1])


# -- the attacker ----------------------------------------------------------------------------------


@dataclass
class Attacker:
    """Cara, who has an account and a mailbox of her own. She keeps every handle, session and challenge that she ever
    got."""

    population: Population
    http: httpx2.AsyncClient
    me: Somebody
    victim: Owner
    power: Power
    device: Authenticator = field(default_factory=Authenticator)
    handles: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    """Handles that are finished or ended."""
    sessions: list[str] = field(default_factory=list)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By handle or session: the options of its last challenge."""
    needed: dict[str, list[str]] = field(default_factory=dict)
    """By handle: the factors that the last response asked for."""
    links: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: Any = None, secret: str = "") -> httpx2.Response:
        """Send a request. No response may name the victim's id, which the response to a session of theirs would."""
        given: dict[str, Any] = {} if body is None else {"json": body}
        answered = await self.http.request(method, API + path, headers=bearer(secret) if secret else {}, **given)
        assert answered.status_code < 500, answered.text
        assert self.victim.who.id not in answered.text, f"{method} {path} answers of the victim"
        return answered

    def _heard(self, handle: str, answered: httpx2.Response) -> None:
        if answered.status_code in (200, 201, 202):
            self.needed[handle] = [factor for way in answered.json()["need"] for factor in way]

    async def begin(self, endpoint: str, email: str | None) -> None:
        body: dict[str, Any] = {"email": email} if email else {}
        if endpoint == "step_up":
            answered = await self.ask("POST", "/signin", {"step_up": {}}, self.sessions[-1])
        else:
            more = {"password": PASSWORD} if endpoint == "signup" else {}
            answered = await self.ask("POST", f"/{endpoint}", {**body, **more})
        if answered.status_code in (201, 202):
            self.handles.append(answered.json()["handle"])
            self._heard(self.handles[-1], answered)

    async def go_on(self, handle: str, picks: list[int]) -> None:
        """Send one proof for each pick, mostly of a factor that is asked for, and then finish, whether or not that was
        enough."""
        for pick in picks:
            asked = self.needed.get(handle) or FACTORS
            factor = FACTORS[pick // 7 % len(FACTORS)] if pick % 7 == 6 else asked[pick % len(asked)]
            if factor == "passkey" or pick % 2:
                await self.challenge(handle, factor)
            await self.prove(handle, factor, pick // 7)
        await self.finish(handle)

    async def challenge(self, handle: str, factor: str) -> None:
        answered = await self.ask("POST", "/signin/challenge", {"factor": factor}, handle)
        if answered.status_code == 200:
            self.asked[handle] = answered.json()["challenge"]

    async def known(self, handle: str, factor: str) -> list[Any]:
        """All answers that the attacker could give for a factor."""
        heard = self.victim.outcomes[factor]
        match factor:
            case "password":
                return [*([self.victim.password] if self.power is Power.PASSWORD else []), PASSWORD, OTHER_PASSWORD]
            case "totp":
                return [*self._offered_code(handle), *heard[-1:], self.population.code(self.me), *heard[-5:-1]]
            case "recovery_code":
                return [*heard[-1:], *self.me.codes[-2:], *heard[-5:-1]]
            case "email_code":
                return [mail["code"] for mail in await self.mails() if mail["code"]]
            case _:
                return [*self._by_device(handle), *heard[-5:], *self.victim.outcomes["new_passkey"][-2:]]

    async def mails(self) -> list[dict[str, Any]]:
        """The mails that she can read, newest first."""
        boxes = {self.me.email, *([self.victim.who.email] if self.power is Power.MAILBOX else [])}
        return [mail for mail in await self.population.the.mails() if mail["to"] in boxes]

    async def mailed_links(self) -> list[str]:
        """The tokens of the links beside mailed codes."""
        tokens = [str(mail["link"]).rpartition("/")[2] for mail in await self.mails()]
        return [token for token in tokens if token.startswith(mailed_link.PREFIX)]

    def _offered_code(self, handle: str) -> list[str]:
        offered = self.asked.get(handle, {})
        return [self.population.first_code({"challenge": offered})] if "secret" in offered else []

    def _by_device(self, handle: str) -> Iterable[dict[str, Any]]:
        """Answers of her own device: unchanged, with the victim's user handle, and under the victim's credential id;
        also the victim's last assertion with fresh client data."""
        options = self.asked.get(handle, {})
        if "pubKeyCredParams" in options:
            try:
                yield self.device.create(options, OURS)
            except NotAllowed:
                return
        if "rpId" not in options or not self.device.credentials:
            return
        options = {**options, "allowCredentials": []}
        yield self.device.get(options, OURS)
        theirs = bytes.fromhex(self.victim.who.id.replace("-", ""))
        yield self.device.get(options, OURS, user_handle=theirs)
        for answer in self.victim.outcomes["passkey"][-1:]:
            yield {**self.device.get(options, OURS, user_handle=theirs), "id": answer["id"], "rawId": answer["rawId"]}
            yield {**answer, "response": {**answer["response"], **self._fresh_client_data(options)}}

    def _fresh_client_data(self, options: dict[str, Any]) -> dict[str, str]:
        """Client data that names the current challenge, to be put beside the victim's signature."""
        return {"clientDataJSON": str(self.device.get(options, OURS)["response"]["clientDataJSON"])}

    async def prove(self, handle: str, factor: str, pick: int) -> None:
        """Send a proof. The likeliest answer is sent in half of the cases, one of all in the other half."""
        answers = await self.known(handle, factor)
        if answers:
            body = {"factor": factor, "answer": answers[pick // 2 % len(answers) if pick % 2 else 0]}
            self._heard(handle, await self.ask("POST", "/signin/prove", body, handle))

    async def finish(self, handle: str) -> None:
        answered = await self.ask("POST", "/signin/finish", {"carrier": "bearer"}, handle)
        if answered.status_code == 201:
            self.sessions.append(answered.json()["token"])
            await self.ask("GET", "/session", None, self.sessions[-1])
        # A step-up whose session has ended is refused too, and its handle is not used up.
        is_over = answered.status_code == 201 or answered.json()["code"] == "handle_invalid"
        if is_over and handle in self.handles:
            self.handles.remove(handle)
            self.used.append(handle)

    async def open_link(self, token: str, *, is_recovery: bool) -> bool:
        try:
            begun = await starts.by_link(self.population.folk.elsewhere, token, is_recovery=is_recovery)
        except Refusal:
            return False
        self.handles.append(begun.handle)
        return True

    async def action(self, pick: int, session: str) -> None:
        """Send one request that needs a session, with a session token or a handle as the bearer."""
        theirs = self.victim.who
        answers = [*self.victim.outcomes["new_passkey"][-2:], *self._by_device(session)]
        actions: list[tuple[str, str, Any]] = [
            ("POST", "/me/passkeys", None),
            ("POST", "/me/totp", None),
            ("POST", "/me/recovery-codes", None),
            ("POST", "/me/unlock", {"factor": "password"}),
            *(("POST", "/me/passkeys/prove", {"answer": answer}) for answer in answers),
            *(("POST", "/me/totp/prove", {"answer": code}) for code in self._offered_code(session)),
            *((method, f"/me/passkeys/{theirs.passkey or theirs.id}", body) for method, body in _ON_PASSKEY),
            ("POST", "/me/address", {"email": theirs.email}),
            ("POST", "/me/address", {"email": "c2@example.com"}),
            ("POST", f"/users/{theirs.id}/signin-link", None),
            ("POST", "/me/password", {"password": PASSWORD}),
            ("PATCH", f"/tenants/{theirs.tenant_id}/policy", {"second": "never"}),
            ("GET", "/me/export", None),
        ]
        method, path, body = actions[pick % len(actions)]
        answered = await self.ask(method, path, body, session)
        if path in ("/me/passkeys", "/me/totp") and answered.status_code == 201:
            self.asked[session] = answered.json().get("challenge") or answered.json()
        if path == "/me/recovery-codes" and answered.status_code == 201:
            self.me.codes = answered.json()["codes"]

    async def has_opened(self, handle: str) -> bool:
        """Whether one of her handles could be finished as the victim."""
        try:
            found = await signin.find(self.population.folk.ctx, handle)
        except HandleInvalid:
            return False
        return found.person_id == self.victim.who.id and isinstance(
            signin.decide(self.population.folk.ctx, found), Enough
        )


_ON_PASSKEY: tuple[tuple[str, Any], ...] = (("DELETE", None), ("PATCH", {"label": "mine"}))
