"""`kill -9` around a refresh: whatever the client does afterwards, never two of its tokens live.

Not here: sign-ups and sign-ins (`test_crash`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx2

from passgate.store.tables import carrier, session
from tests.kit import code_of, handle_of
from tests.processes import Deployment, Server, seen

MOMENTS = (0.004, 0.012, 0.05)
"""Seconds after the request was sent."""


async def refreshed(made: Deployment, token: str) -> httpx2.Response:
    return await made.a.http.post("/api/v1/tokens/refresh", json={"refresh_token": token})


async def test_killed_between_commit_and_answer(tmp_path: Path, database_url: str | None) -> None:
    data = tmp_path / "data"
    server = Server(data, database_url)
    try:
        await server.start()
        async with seen([server], data, database_url) as made:
            for moment in MOMENTS:
                await _killed_at(made, server, moment)
        await server.stop()
    finally:
        server.kill9()
    server.no_faults()


async def _killed_at(made: Deployment, server: Server, moment: float) -> None:
    anna = await made.a.person(made.address())
    handle = handle_of(await made.a.start(anna.email))
    assert (await made.a.prove(handle, "password", anna.password)).status_code == 200
    mine = (await made.a.finish(handle, "jwt")).json()
    asking = asyncio.ensure_future(refreshed(made, mine["refresh_token"]))
    await asyncio.sleep(moment)
    server.kill9()
    answered = None
    with suppress(httpx2.TransportError):
        answered = await asking
    await server.start()
    [family] = [row for row in await made.a.rows(carrier) if row["session_id"] == mine["session"]["id"]]
    again = await refreshed(made, mine["refresh_token"])
    if family["rotation"] == 0:
        assert (answered, again.status_code) == (None, 200), "it was undone, and asked anew"
        return
    assert code_of(again) == "refresh_reused", "the token was used, whether or not its answer arrived"
    [row] = [row for row in await made.a.rows(session) if row["id"] == mine["session"]["id"]]
    assert row["end_reason"] == "refresh_reused"
    if answered is not None:
        assert (await refreshed(made, answered.json()["refresh_token"])).status_code == 401
