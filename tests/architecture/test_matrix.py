"""Every endpoint that yields a session, a token or a factor, against every rule that can be broken around it. The
catalogue says which endpoints these are, which requests they take and what each broken rule must be answered with.

Each case sends a request that is right in all other respects and checks that nothing was created. Finally the same
request is sent with no rule broken and must succeed, which shows that the cases were refused because of their rule.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, update

from passgate.core import budgets, sessions, throttle
from passgate.core import pending as sign_ins
from passgate.core import people as core_people
from passgate.core.rules import AAL1
from passgate.store.tables import budget, carrier, person, sign_in, tenant
from passgate.world import SECOND
from tests import catalogue
from tests.architecture.population import Ask, Population
from tests.catalogue.entry import Right
from tests.catalogue.outcomes import BUDGETS, Rule
from tests.kit import code_of
from tests.web.browsing import Page

# -- breaking a rule -------------------------------------------------------------------------------

_HOURS = 7 * 3600


@dataclass
class Broken:
    """Breaks one rule, mostly in the database, and restores it afterwards."""

    population: Population
    rule: Rule

    @asynccontextmanager
    async def around(self, ask: Ask) -> AsyncIterator[list[Ask]]:
        """The requests to send while the rule is broken."""
        match self.rule:
            case Rule.OTHERS:
                yield list(ask.others)
            case Rule.HANDLE:
                yield [replace(ask, secret=await self.population.after_password(self.population.anna))]
            case Rule.SESSION:
                yield [replace(ask, secret=self.population.anna.token)]
            case Rule.STALE:
                self.population.the.clock.forward(_HOURS)
                yield [ask]
                self.population.the.clock.now -= _HOURS * SECOND
            case Rule.THROTTLED | Rule.WAITS | Rule.LOCKED:
                await use_up(self.population, ask, self.rule)
                yield [ask]
                await use_up(self.population, ask)
            case _:
                await self.change(ask, is_broken=True)
                yield [ask]
                await self.change(ask, is_broken=False)

    async def change(self, ask: Ask, *, is_broken: bool) -> None:
        now, main = self.population.the.clock(), self.population.anna.tenant_id
        async with self.population.folk.ctx.write() as db:
            match self.rule:
                case Rule.PERSON:
                    at = update(person).where(person.c.tenant_id == main)
                    await db.change(at.values(disabled_at=now if is_broken else None))
                case Rule.TENANT:
                    at = update(tenant).where(tenant.c.id == main)
                    await db.change(at.values(disabled_at=now if is_broken else None))
                case Rule.SECOND if is_broken:
                    await self._unshown(db, ask)
                case _:
                    pass

    async def _unshown(self, db: Any, ask: Ask) -> None:
        """Take the second factor away: from a session its level, from a handle one proof."""
        ring = self.population.the.gate.services.ring
        if hashed := ring.presented(sessions.PREFIX, ask.secret):
            mine = update(carrier).where(carrier.c.secret_hash == hashed)
            only = json.dumps({"password": self.population.the.clock()})
            assert await db.change(mine.values(acr=AAL1, amr='["pwd"]', proofs=only)) == 1
        elif hashed := ring.presented(sign_ins.PREFIX, ask.secret):
            proofs = str(list(ask.behind)).replace("'", '"')
            assert await db.change(update(sign_in).where(sign_in.c.handle_hash == hashed).values(proofs=proofs)) == 1


# -- using up budgets ------------------------------------------------------------------------------


async def use_up(population: Population, ask: Ask, *rules: Rule) -> None:
    """Use up what these rules are about; whatever else is counted starts anew."""
    now = population.the.clock()
    soon, tomorrow = now + 600 * SECOND, now + budgets.DAY * SECOND
    rows: list[tuple[str, int, int, int]] = []
    if Rule.THROTTLED in rules:
        whats = ("refusals", "starts", "rows", "bytes")
        rows += [(f"o:{what}:127.0.0.1", throttle.NO_LIMIT, soon, soon) for what in whats]
    if Rule.WAITS in rules:
        rows += [(key, throttle.FREE + 10, soon, tomorrow) for key in _ladders(population)]
    if Rule.LOCKED in rules:
        rows += [(key, used, 0, throttle.NEVER) for key, used in _shares(population).items()]
        rows += [(key, budgets.CODES_A_DAY, tomorrow, tomorrow) for key in await _days(population, ask)]
    async with population.folk.ctx.write() as db:
        await db.change(delete(budget))
        for key, used, until, expires in rows:
            await db.add(budget, key=key, used=used, until_at=until, expires_at=expires)


def _ladders(population: Population) -> list[str]:
    """The waits of strangers, and those after a wrong answer to what a session was shown."""
    ctx = population.folk.ctx
    found = []
    for who in population.people.values():
        mac = budgets.address_mac(ctx, who.tenant_id, who.email)
        found += [key for name in ctx.factors.enrolled for key in (f"w:{name}:{mac}", f"w:set_up_{name}:{who.id}")]
    return found


def _shares(population: Population) -> dict[str, int]:
    """Every counter of consecutive refusals, with the share that each kind of who tries has."""
    names, people = population.folk.ctx.factors.enrolled, population.people.values()
    shares = budgets.SHARES.items()
    return {f"n:{kind}:{name}:{who.id}": share for kind, share in shares for name in names for who in people}


async def _days(population: Population, ask: Ask) -> list[str]:
    """The refused codes of a day, for each mailbox: those that a session answers, and those of the address that a
    pending sign-in is for."""
    ctx, tenant_id = population.folk.ctx, population.anna.tenant_id
    mailboxes = {str(mail["to"]) for mail in await population.the.mails()}
    macs = [budgets.address_mac(ctx, tenant_id, core_people.address(one).key) for one in sorted(mailboxes)]
    found = [f"d:{name}:{mac}" for mac in macs for name in ("address", "email_code")]
    if ctx.ring.presented(sign_ins.PREFIX, ask.secret) is None:
        return found
    begun = await sign_ins.find(ctx, ask.secret)
    return [*found, f"d:{begun.journey.name}:{budgets.address_mac(ctx, begun.tenant_id, begun.email_key)}"]


# -- the cases -------------------------------------------------------------------------------------

_STABLE = ("session", "carrier", "credential", "person", "role_grant", "role", "tenant", "ticket", "sign_in", "outbox")
_MOVES = {"sign_in": {"spent", "refused", "throttled"}, "ticket": {"taken_at"}}
"""A refused try is counted, and an answered challenge is used up."""
_SHARES = {f"n:{kind}:": share for kind, share in budgets.SHARES.items()}


async def stored(population: Population) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables that a refusal leaves alone, and which authenticators are closed for whom."""
    everything = await population.the.everything()
    closed = [
        {"key": row["key"]}
        for row in everything["budget"]
        if any(row["key"].startswith(kind) and row["used"] >= share for kind, share in _SHARES.items())
    ]
    return {"closed": closed} | {
        name: [{key: one for key, one in row.items() if key not in _MOVES.get(name, ())} for row in everything[name]]
        for name in _STABLE
    }


def outcomes(answer: httpx2.Response) -> tuple[int, str]:
    if answer.status_code == 303:
        return 303, answer.headers["location"].partition("?")[0]
    if answer.headers.get("content-type") == "application/problem+json":
        return answer.status_code, code_of(answer)
    return answer.status_code, Page(answer.text).alert if "<main" in answer.text else ""


def gives_away(answer: httpx2.Response) -> bool:
    """Whether the body or a cookie contains a session token, a browser's secret, a link's token or a TOTP secret."""
    displayed = answer.text + "".join(answer.headers.get_list("set-cookie"))
    found = any(prefix in displayed for prefix in ("pg_ses_", "pg_brw_", "pg_lnk_", "pg_rt_", "eyJ", "otpauth:"))
    # A page that answers a wrong first code by POST shows the QR code again to the person who has just seen it.
    return found or (answer.request.method == "GET" and 'class="qr"' in displayed)


YIELDING = catalogue.yielding()


@pytest.mark.parametrize(("endpoint", "right"), YIELDING, ids=[f"{key} {right.name}" for key, right in YIELDING])
async def test_no_broken_rule_yields_anything(lite_population: Population, endpoint: str, right: Right) -> None:
    population, method = lite_population, endpoint.partition(" ")[0]
    row = right.row or {}
    for rule, expected in row.items():
        ask = await anew(population, right)
        async with Broken(population, rule).around(ask) as broken:
            assert broken, f"{rule}: nothing is asked"
            for one in broken:
                before = await stored(population)
                answer = await population.send(method, one)
                assert outcomes(answer) == expected[:2], (rule, answer.text)
                assert not gives_away(answer), rule
                after = await stored(population)
                for name in before:
                    assert name in expected.opens or after[name] == before[name], (rule, name)
        if rule is Rule.SECOND:
            await population.lift()
    ask = await anew(population, right)
    await use_up(population, ask, *(rule for rule in BUDGETS if rule not in row))
    before = await stored(population)
    answer = await population.send(method, ask)
    assert answer.status_code == right.status, answer.text
    assert await stored(population) != before or method == "GET"


async def anew(population: Population, right: Right) -> Ask:
    """The right request, with no rule broken and no budget touched before it was prepared."""
    await population.rules()
    async with population.folk.ctx.write() as db:
        await db.change(delete(budget))
    return await right.asks(population)


PLAIN = {key: right for key, right in catalogue.asked().items() if not right.row}


@pytest.mark.parametrize("endpoint", PLAIN)
async def test_a_right_request_that_yields_nothing_goes_well(lite_population: Population, endpoint: str) -> None:
    """Other matrices vary these requests, so they have to be right."""
    right = PLAIN[endpoint]
    answer = await lite_population.send(endpoint.partition(" ")[0], await right.asks(lite_population))
    assert answer.status_code == right.status, answer.text
    assert not gives_away(answer)
