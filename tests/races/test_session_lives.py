"""A policy that is changed in one process while its tenant's sessions are used in others: afterwards nothing that was
over is live, and nothing live has ended.

Not here: what each change means by itself (`tests/core/test_session_lives`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select, update

from passgate.core import admin, tenants
from passgate.core.ctx import Ctx, Operator
from passgate.core.rules import Rules
from passgate.store.tables import session
from passgate.world import SECOND
from tests.kit import PASSWORD, The, bearer, code_of, handle_of
from tests.processes import Deployment, Outcomes, together

TURNS = 6


@dataclass
class Place:
    """A tenant of its own, because its rules change."""

    pair: Deployment
    name: str
    id: str

    @classmethod
    async def make(cls, pair: Deployment) -> Place:
        name, ctx = f"lives{next(pair.numbers)}", replace(Ctx(pair.inside.services), principal=Operator())
        await admin.add_tenant(ctx, name, name, "open")
        async with ctx.read() as db:
            return cls(pair, name, (await tenants.named(ctx, db, name)).id)

    async def rules(self, **changes: Any) -> Rules:
        """By an operator in a third process."""
        ctx: Ctx = replace(Ctx(self.pair.inside.services), principal=Operator())
        return await admin.change_policy(ctx, self.id, changes)

    async def signed_in(self, carrier: str, *, ago: int = 0, unused: int = 0) -> dict[str, Any]:
        """What a sign-in answered that was so many seconds ago, and is unused for so many."""
        face, email = self.pair.a, self.pair.address()
        handle = handle_of(await face.signup(email, tenant=self.name))
        assert (await face.prove(handle, "email_code", await face.code(email))).status_code == 200
        done = await face.finish(handle, carrier)
        assert done.status_code == 201, done.text
        mine = {**done.json(), "email": email}
        back = {
            "began_at": session.c.began_at - ago * SECOND,
            "last_used_at": session.c.last_used_at - unused * SECOND,
        }
        async with self.pair.inside.services.store.write() as db:
            await db.change(update(session).where(session.c.id == mine["session"]["id"]).values(**back))
        return mine

    async def reason(self, mine: dict[str, Any]) -> str | None:
        async with self.pair.inside.services.store.read() as db:
            found = await db.one(select(session).where(session.c.id == mine["session"]["id"]))
        assert found is not None
        assert (found["ended_at"] is None) == (found["end_reason"] is None)
        return None if found["end_reason"] is None else str(found["end_reason"])

    async def is_dead(self, *secrets: str) -> bool:
        """Under the present rules, and under those of the settings."""
        for changes in ({}, {"session_idle": 0, "session_absolute": 0}):
            if changes:
                await self.rules(**changes)
            for face in (self.pair.a, self.pair.b):
                for secret in secrets:
                    assert code_of(await face.session(secret)) in ("session_ended", "session_superseded"), changes
        return True


async def renames(face: The, secret: str) -> Any:
    return await face.http.patch("/api/v1/me", json={"profile": {"name": "B"}}, headers=bearer(secret))


async def refreshes(face: The, token: str) -> Any:
    return await face.http.post("/api/v1/tokens/refresh", json={"refresh_token": token})


async def finishes(face: The, handle: str) -> Any:
    return await face.finish(handle)


async def test_shortened_while_requests_run(pair: Deployment) -> None:
    place = await Place.make(pair)
    for turn in range(TURNS):
        old, young = await place.signed_in("bearer", ago=1800), await place.signed_in("bearer")
        asked = [renames(face, old["token"]) for face in pair.each(10)]
        spared = [renames(face, young["token"]) for face in pair.each(4)]
        _, *answers = await together(place.rules(session_absolute=600 + turn), *asked, *spared)
        assert Outcomes.of(answers[:10]).keys() <= {"200", "session_ended"}
        assert Outcomes.of(answers[10:]) == {"200": 4}
        assert (await place.reason(old), await place.reason(young)) == ("expired", None)
        assert await place.is_dead(old["token"])


async def test_shortened_while_it_is_touched(pair: Deployment) -> None:
    """Whoever was first: a use that came before the change is a use, and after it there is none."""
    place = await Place.make(pair)
    for _ in range(TURNS):
        idle = await place.signed_in("bearer", unused=900)
        _, *answers = await together(
            place.rules(session_idle=600), *(renames(face, idle["token"]) for face in pair.each(6))
        )
        assert Outcomes.of(answers).keys() <= {"200", "session_ended"}
        if await place.reason(idle) is None:
            assert Outcomes.of(answers)["200"] > 0
            assert (await pair.b.session(idle["token"])).status_code == 200
            await place.rules(session_idle=0)
        else:
            assert await place.is_dead(idle["token"])


async def test_shortened_while_it_is_refreshed(pair: Deployment) -> None:
    place = await Place.make(pair)
    for turn in range(TURNS):
        mine = await place.signed_in("jwt", ago=1800)
        face = pair.each(2)[turn % 2]
        _, answer = await together(place.rules(session_absolute=600), refreshes(face, mine["refresh_token"]))
        assert Outcomes.of([answer]).keys() <= {"200", "session_ended"}
        pairs = [mine, *([answer.json()] if answer.status_code == 200 else [])]
        assert await place.reason(mine) in ("expired", "refresh_reused")
        assert await place.is_dead(*(one["access_token"] for one in pairs))
        for one in pairs:
            assert (await refreshes(pair.b, one["refresh_token"])).status_code == 401


async def test_shortened_while_it_is_stepped_up(pair: Deployment) -> None:
    """A step-up that came first has begun the session anew, and it lives; else both are refused."""
    place = await Place.make(pair)
    for turn in range(TURNS):
        mine = await place.signed_in("bearer", ago=1800)
        face = pair.each(2)[turn % 2]
        begun = await face.http.post("/api/v1/signin", json={"step_up": {}}, headers=bearer(mine["token"]))
        handle = handle_of(begun)
        assert (await face.prove(handle, "password", PASSWORD)).status_code == 200
        _, answer = await together(place.rules(session_absolute=600), finishes(face, handle))
        if answer.status_code == 201:
            assert await place.reason(mine) is None
            assert (await pair.b.session(answer.json()["token"])).status_code == 200
            await place.rules(session_absolute=0)
        else:
            assert code_of(answer) in ("session_ended", "handle_invalid")
            assert await place.is_dead(mine["token"])


async def test_lengthened_while_requests_run(pair: Deployment) -> None:
    """Nothing that was over answers, before, meanwhile or after."""
    place = await Place.make(pair)
    for _ in range(TURNS):
        mine, tokens = await place.signed_in("bearer", unused=900), await place.signed_in("jwt", unused=900)
        live = await place.signed_in("bearer")
        await place.rules(session_idle=1200)
        async with pair.inside.services.store.write() as db:  # as if a quarter of an hour had passed
            late = update(session).where(session.c.id.in_([one["session"]["id"] for one in (mine, tokens)]))
            await db.change(late.values(last_used_at=session.c.last_used_at - 900 * SECOND))
        assert await place.reason(mine) is None
        asked = [renames(face, mine["token"]) for face in pair.each(8)]
        asked += [refreshes(face, tokens["refresh_token"]) for face in pair.each(2)]
        _, *answers = await together(place.rules(session_idle=0), *asked)
        assert Outcomes.of(answers) == {"session_ended": 10}
        assert [await place.reason(one) for one in (mine, tokens, live)] == ["expired", "expired", None]
        assert await place.is_dead(mine["token"], tokens["access_token"])
        assert (await pair.b.session(live["token"])).status_code == 200
