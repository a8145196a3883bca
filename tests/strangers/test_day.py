"""A day of an attacker who knows only the address, at the real endpoints with a clock by hand. The owner gets in by
every way at the first try; what was compared stays within what docs/threat-model.md computes, for every factor and
every kind of mailed secret that the program has.

What single budgets do is tested in tests/core/test_budgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from passgate.core import budgets, proof, signin, starts
from passgate.core.budgets import CODES_A_DAY, SHARES, Guess, Kind
from passgate.core.ctx import Ctx, Origin
from passgate.core.factors import FACTORS
from passgate.core.journey import JOURNEYS
from passgate.core.rules import AAL1
from passgate.errors import HandleInvalid, ProofRefused, Throttled
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of, running, settings_for
from tests.strangers.attack import Attacker, Compared, compared, owner_at
from tests.strangers.test_known import cookie_of
from tests.strangers.test_mailbox import decision_of, opened
from tests.web.browsing import browser, rule

DAY = {"session": {"idle": 200_000, "absolute": 400_000}, "hash": {"memory_kib": 64, "passes": 1}}
WRONG = "wrong horse battery staple"


@dataclass
class Owner:
    """Anna, who has a password, a passkey, a known browser and a live session."""

    the: The
    email: str
    token: str
    known: str
    device: Authenticator

    async def by_passkey(self) -> None:
        async with owner_at(self.the, "198.51.100.1") as there:
            handle = handle_of(await there.start(self.email))
            options = (await there.challenge(handle, "passkey")).json()["challenge"]
            body = {"factor": "passkey", "answer": self.device.get(options, "http://localhost:8000")}
            proved = await there.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))
            assert proved.json()["enough"] is True
            assert (await there.finish(handle)).status_code == 201

    async def by_password(self) -> None:
        """From the known browser."""
        async with owner_at(self.the, "198.51.100.2", passgate_known=self.known) as there:
            handle = handle_of(await there.start(self.email))
            assert (await there.prove(handle, "password", PASSWORD)).status_code == 200
            assert (await there.finish(handle)).status_code == 201

    async def by_step_up(self) -> None:
        begun = await self.the.http.post("/api/v1/signin", json={"step_up": {"acr": AAL1}}, headers=bearer(self.token))
        handle = handle_of(begun)
        assert (await self.the.prove(handle, "password", PASSWORD)).status_code == 200
        self.token = str((await self.the.finish(handle)).json()["token"])

    async def by_link(self, which: int) -> None:
        """By the link of any recovery mail, whoever asked for it, in any browser."""
        links = [mail["link"] for mail in await self.the.mails(self.email) if mail["kind"] == "recovery_code"]
        async with browser(self.the, "198.51.100.3") as reader:
            page = await opened(reader, str(links[which]))
            assert (await reader.send("/signin/link", **decision_of(page))).headers["location"] == "/signin/password"
            done = await reader.send("/signin/password", new_password=OTHER_PASSWORD)
            assert (done.status_code, done.headers["location"]) == (303, "/account")


async def settled(the: The) -> Owner:
    device = Authenticator()
    anna = await the.person()
    offered = await the.http.post("/api/v1/me/passkeys", headers=anna.auth)
    answer = {"answer": device.create(offered.json()["challenge"], "http://localhost:8000")}
    assert (await the.http.post("/api/v1/me/passkeys/prove", json=answer, headers=anna.auth)).status_code == 201
    await rule(the, first=["password", "passkey", "email_code"], second="never")
    return Owner(the, anna.email, anna.token, await cookie_of(the, anna), device)


@pytest.mark.parametrize("origins", [1, pytest.param(65_536, marks=pytest.mark.soak)])
async def test_a_day(tmp_path: Path, origins: int) -> None:
    """Pressing every two hours; tests/soak does it every quarter of an hour on both databases."""
    await a_day(tmp_path, None, origins, every=120)


async def a_day(data: Path, database_url: str | None, origins: int, *, every: float) -> None:
    """`every` in minutes."""
    async with running(settings_for(data, database_url, **DAY)) as the:
        anna = await settled(the)
        attacker = Attacker(the, anna.email, origins)
        with compared() as found:
            for hours in (2, 10, 11):
                await attacker.press_for(hours, every=every)
                await attacker.press()  # and the moment before the owner comes
                assert await is_shut_out(the, anna.email)
                await anna.by_passkey()
                await anna.by_password()
                await anna.by_step_up()
            await anna.by_link(which=-1 if origins == 1 else 0)
        within_limits(found)
        assert attacker.refused[403, "proof_refused"] > 100
        assert attacker.refused[429, "throttled"] > 10
        assert not [status for status, _ in attacker.refused if status >= 500]


async def is_shut_out(the: The, email: str) -> bool:
    """Whether the right password of a stranger is not accepted now: the control of what the owner can do."""
    async with owner_at(the, "198.51.100.9") as stranger:
        handle = handle_of(await stranger.start(email))
        return (await stranger.prove(handle, "password", PASSWORD)).status_code in (403, 429)


def within_limits(found: Compared) -> None:
    """The bounds of the threat model, over everything that was compared."""
    assert found.most["password"] <= sum(SHARES.values()) == 100
    assert set(found.mailed) >= {"signin", "recovery", "signup"}
    assert {count <= CODES_A_DAY for count in found.mailed.values()} == {True}
    assert max(found.mailed.values()) == CODES_A_DAY, "the attack pressed"


# -- over the program's own lists ------------------------------------------------------------------


def contexts(folk: Folk) -> dict[Kind, Ctx]:
    return {
        Kind.STRANGER: Ctx(folk.the.gate.services, Origin("2001:db8::1")),
        Kind.KNOWN: folk.ctx,
        Kind.STEP_UP: folk.ctx,
    }


GUESSED = [factor.name for factor in FACTORS]


@pytest.mark.parametrize("name", GUESSED)
async def test_everybody_together_has_a_hundred(lite: The, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every factor, guessed by all three kinds as often as they may, with all the time in the world: at most a hundred
    answers in a row are compared, or, if it is mailed, fifty a day. A factor of one's own is covered like ours."""
    folk = Folk(lite)
    actor = await folk.create()
    await folk.add_app(actor)
    await folk.add_codes(actor)
    email, ctxs = await folk.email(actor), contexts(folk)
    tries = dict.fromkeys(Kind, 0)
    with compared() as found:
        for kind in Kind:
            force(monkeypatch, kind)
            for number in range(130):
                tries[kind] += await guess(folk, ctxs[kind], actor, kind, name, email, number)
                lite.clock.forward(901 if found.mailed.total() == 0 else 60)
    assert sum(tries.values()) > 0
    if found.mailed:
        assert all(count <= CODES_A_DAY for count in found.mailed.values())
    else:
        assert found.most[name] <= 100
        assert found.most[name] in (0, 100), "the shares are used up exactly"


def force(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    """Who tries is decided here, so that each kind can be pressed without its cookies and sessions."""

    async def chosen(*_given: object, **_more: object) -> budgets.Who:
        return budgets.Who(kind)

    monkeypatch.setattr(budgets, "who", chosen)


async def guess(folk: Folk, ctx: Ctx, actor: object, kind: Kind, name: str, email: str, number: int) -> int:
    """One wrong answer, in a sign-in that has come far enough to be asked for this factor; 1 if it was refused."""
    started = await starts.sign_in(ctx, email, None)
    target_factor = ctx.factors[name]
    sign_in = await signin.find(ctx, started.handle)
    if not target_factor.is_first:
        await signin.prove(ctx, started.handle, "password", PASSWORD)
        sign_in = await signin.find(ctx, started.handle)
    if target_factor.is_sent:
        await target_factor.challenge(ctx, sign_in)
    answer: object = {"id": "AA"} if target_factor.answer == "object" else f"{number:08}"
    attempt = await signin._proving(ctx, sign_in, target_factor, answer)  # type: ignore[arg-type]
    assert attempt.target is not None
    if attempt.target.guess is Guess.NOT:
        return 1
    try:
        await proof.prove(ctx, attempt)
    except (ProofRefused, Throttled, HandleInvalid):
        return 1
    raise AssertionError("a guess was right")


def test_every_mailed_secret_has_a_purpose_of_its_own() -> None:
    """The day's limit is counted by purpose: two journeys never share one, and none is without."""
    mailing = [journey.name for journey in JOURNEYS.values() if journey.code_mail]
    assert len(set(mailing)) == len(JOURNEYS)


async def test_what_a_locked_password_answers(lite: The) -> None:
    """Closed for strangers it answers like a wrong one; the known browser is not affected, and unlocks it by being
    right."""
    anna = await lite.person()
    known = await cookie_of(lite, anna)
    for _ in range(SHARES[Kind.STRANGER]):
        handle = handle_of(await lite.start(anna.email))
        assert code_of(await lite.prove(handle, "password", WRONG)) == "proof_refused"
        lite.clock.forward(901)
    handle = handle_of(await lite.start(anna.email))
    assert code_of(await lite.prove(handle, "password", PASSWORD)) == "proof_refused"
    assert (await lite.events()).count("account:factor:locked") == 1
    async with owner_at(lite, "198.51.100.2", passgate_known=known) as there:
        handle = handle_of(await there.start(anna.email))
        assert (await there.prove(handle, "password", PASSWORD)).status_code == 200
    lite.clock.forward(24 * 3600)
    await lite.signed_in(anna)
