"""Every endpoint that yields a session, a token or a factor, against every rule that could be broken around it. Which
do, with which request, and what a broken rule makes of it, is read from the catalogue.

Each cell asks over HTTP with a request that is right in every other way, and looks at what came to be: nothing. Last
comes the same request with no rule broken, which must go well: a cell that refuses for another reason proves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, update

from passgate.core import pending as sign_ins
from passgate.core import sessions, throttle
from passgate.core.factors import FACTORS
from passgate.core.rules import AAL1
from passgate.store.tables import budget, person, session, sign_in, tenant
from passgate.world import SECOND
from tests import catalogue
from tests.catalogue.entry import Right
from tests.catalogue.outcomes import Rule
from tests.house.town import Ask, Town
from tests.kit import code_of
from tests.web.browsing import Page

# -- breaking a rule -------------------------------------------------------------------------------

_HOURS = 7 * 3600


@dataclass
class Broken:
    """One rule, broken from behind and mended again."""

    town: Town
    rule: Rule

    @asynccontextmanager
    async def around(self, ask: Ask) -> AsyncIterator[list[Ask]]:
        """What is asked while it is broken."""
        match self.rule:
            case Rule.OTHERS:
                yield list(ask.others)
            case Rule.HANDLE:
                yield [replace(ask, secret=await self.town.after_password(self.town.anna))]
            case Rule.SESSION:
                yield [replace(ask, secret=self.town.anna.token)]
            case Rule.STALE:
                self.town.the.clock.forward(_HOURS)
                yield [ask]
                self.town.the.clock.now -= _HOURS * SECOND
            case _:
                await self.change(ask, is_broken=True)
                yield [ask]
                await self.change(ask, is_broken=False)

    async def change(self, ask: Ask, *, is_broken: bool) -> None:
        now, main = self.town.the.clock(), self.town.anna.tenant_id
        async with self.town.folk.ctx.write() as db:
            match self.rule:
                case Rule.PERSON:
                    at = update(person).where(person.c.tenant_id == main)
                    await db.change(at.values(disabled_at=now if is_broken else None))
                case Rule.TENANT:
                    at = update(tenant).where(tenant.c.id == main)
                    await db.change(at.values(disabled_at=now if is_broken else None))
                case Rule.SECOND if is_broken:
                    await self._unshown(db, ask)
                case Rule.THROTTLED | Rule.LOCKED:
                    await db.change(delete(budget))
                    for key in self._keys() if is_broken else []:
                        used, until = (10**6, now + 600 * SECOND) if self.rule is Rule.THROTTLED else (100, 0)
                        await db.add(budget, key=key, tenant_id=main, used=used, until_at=until, updated_at=now)
                case _:
                    pass

    async def _unshown(self, db: Any, ask: Ask) -> None:
        """The session was never lifted; the handle is one proof short."""
        ring = self.town.the.gate.house.ring
        if hashed := ring.presented(sessions.PREFIX, ask.secret):
            mine = update(session).where(session.c.secret_hash == hashed)
            assert await db.change(mine.values(acr=AAL1, amr='["pwd"]')) == 1
        elif hashed := ring.presented(sign_ins.PREFIX, ask.secret):
            proofs = str(list(ask.behind)).replace("'", '"')
            assert await db.change(update(sign_in).where(sign_in.c.handle_hash == hashed).values(proofs=proofs)) == 1

    def _keys(self) -> list[str]:
        if self.rule is Rule.THROTTLED:
            return ["o:127.0.0.1"]
        mine = [who.id for who in self.town.people.values()]
        ladders = [throttle.person_key(one, kind) for one in mine for kind in FACTORS.proofs]
        return [*ladders, *(f"h:{kind}:{one}" for one in mine for kind in ("address", "passkey", "totp"))]


# -- the cells -------------------------------------------------------------------------------------

_KEPT = ("session", "credential", "person", "role_grant", "tenant", "ticket", "sign_in", "outbox")
_MOVES = {"sign_in": {"spent", "refused"}, "ticket": {"taken_at"}}
"""A try is counted, and a challenge that was answered is burnt."""


async def kept(town: Town) -> dict[str, list[dict[str, Any]]]:
    everything = await town.the.everything()
    return {
        name: [{key: one for key, one in row.items() if key not in _MOVES.get(name, ())} for row in everything[name]]
        for name in _KEPT
    }


def said(answer: httpx2.Response) -> tuple[int, str]:
    if answer.status_code == 303:
        return 303, answer.headers["location"].partition("?")[0]
    if answer.headers.get("content-type") == "application/problem+json":
        return answer.status_code, code_of(answer)
    return answer.status_code, Page(answer.text).alert if "<main" in answer.text else ""


def gives_away(answer: httpx2.Response) -> bool:
    """A secret of ours in the body or in a cookie."""
    shown = answer.text + "".join(answer.headers.get_list("set-cookie"))
    found = any(prefix in shown for prefix in ("pg_ses_", "pg_brw_", "pg_lnk_", "otpauth:"))
    # A wrong first code shows the picture again, to whom it was shown before.
    return found or (answer.request.method == "GET" and 'class="qr"' in shown)


YIELDING = catalogue.yielding()


@pytest.mark.parametrize(("endpoint", "right"), YIELDING, ids=[f"{key} {right.name}" for key, right in YIELDING])
async def test_no_broken_rule_yields_anything(lite_town: Town, endpoint: str, right: Right) -> None:
    town, method = lite_town, endpoint.partition(" ")[0]
    for rule, expected in (right.row or {}).items():
        await town.rules()
        ask = await right.asks(town)
        async with Broken(town, rule).around(ask) as broken:
            assert broken, f"{rule}: nothing is asked"
            for one in broken:
                before = await kept(town)
                answer = await town.send(method, one)
                assert said(answer) == expected[:2], (rule, answer.text)
                assert not gives_away(answer), rule
                after = await kept(town)
                for name in _KEPT:
                    assert name in expected.opens or after[name] == before[name], (rule, name)
        if rule is Rule.SECOND:
            await town.lift()
    await town.rules()
    ask = await right.asks(town)
    before = await kept(town)
    answer = await town.send(method, ask)
    assert answer.status_code == right.status, answer.text
    assert await kept(town) != before or method == "GET"


PLAIN = {key: right for key, right in catalogue.asked().items() if not right.row}


@pytest.mark.parametrize("endpoint", PLAIN)
async def test_a_right_request_that_yields_nothing_goes_well(lite_town: Town, endpoint: str) -> None:
    """Other matrices are made from it."""
    right = PLAIN[endpoint]
    answer = await lite_town.send(endpoint.partition(" ")[0], await right.asks(lite_town))
    assert answer.status_code == right.status, answer.text
    assert not gives_away(answer)
