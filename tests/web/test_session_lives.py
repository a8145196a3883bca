"""Lifetimes that a tenant's rules shorten, over HTTP: however a session is carried, on pages, and what answers say of
them.

Not here: every place that looks at a session (`tests/core/test_session_lives`), a host's own routes
(`tests/library/test_guards`), and races (`tests/races/test_session_lives`).
"""

from __future__ import annotations

from typing import Any

import pytest

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.store.tables import session
from passgate.world import SECOND, iso
from tests import operating
from tests.kit import Person, The, bearer, code_of, handle_of
from tests.web.browsing import browser, led

FIELDS = ("session_idle", "session_absolute")


async def tenant_of(the: The, token: str) -> str:
    return str((await the.session(token)).json()["tenant"]["id"])


async def rules(the: The, tenant_id: str, **changes: Any) -> None:
    """By an operator."""
    made = await the.gate.at(None, tenant="main").admin.change_policy(tenant_id, **changes)
    assert {name: getattr(made, name) for name in changes} == changes


async def signed_in(the: The, who: Person, carrier: str) -> dict[str, Any]:
    handle = handle_of(await the.start(who.email))
    assert (await the.prove(handle, "password", who.password)).status_code == 200
    done = await the.finish(handle, carrier)
    assert done.status_code == 201, done.text
    found: dict[str, Any] = done.json()
    return found


def ends_of(row: dict[str, Any], *, idle: int, absolute: int) -> dict[str, str]:
    """What an answer says of the session of this row under these rules."""
    last = row["began_at"] + absolute * SECOND
    return {"idle_expires_at": iso(min(row["last_used_at"] + idle * SECOND, last)), "expires_at": iso(last)}


@pytest.mark.parametrize("field", FIELDS)
async def test_at_the_next_request_of_each_carrier(the: The, field: str) -> None:
    """Those that are there already."""
    anna = await the.person()
    bearing, pair = await signed_in(the, anna, "bearer"), await signed_in(the, anna, "jwt")
    async with browser(the) as page:
        await page.sign_in()
        the.clock.forward(300)
        secrets = (bearing["token"], pair["access_token"])
        assert [(await the.session(one)).status_code for one in secrets] == [200, 200]
        assert (await page.get("/api/v1/me")).status_code == (await page.get("/account")).status_code == 200
        the.clock.forward(1)
        await rules(the, await tenant_of(the, bearing["token"]), **{field: 250})
        the.clock.forward(0 if field == "session_absolute" else 250)
        assert [code_of(await the.session(one)) for one in secrets] == ["session_ended"] * 2
        refresh = await the.http.post("/api/v1/tokens/refresh", json={"refresh_token": pair["refresh_token"]})
        assert code_of(refresh) == "session_ended"
        assert code_of(await page.get("/api/v1/me")) == "session_ended"
        assert led(await page.get("/account")).startswith("/signin")
        await page.sign_in()
        assert (await page.get("/account")).status_code == 200, "signing in again is all that it takes"


async def test_answers_say_until_when(the: The) -> None:
    anna = await the.person()
    tenant_id = await tenant_of(the, anna.token)
    await operating.give_role(Ctx(the.gate.services), anna.email, "owner", tenants.MAIN)
    await rules(the, tenant_id, session_idle=300, session_absolute=600)
    mine = await signed_in(the, anna, "bearer")
    [row] = [row for row in await the.rows(session) if row["id"] == mine["session"]["id"]]
    given = ends_of(row, idle=300, absolute=600)
    assert {name: mine["session"][name] for name in given} == given
    the.clock.forward(200)
    user_id = (await the.session(mine["token"])).json()["user"]["id"]
    for path in ("/session", "/me/sessions", f"/users/{user_id}/sessions"):
        await the.http.get("/api/v1/me", headers=bearer(mine["token"]))
        [row] = [row for row in await the.rows(session) if row["id"] == mine["session"]["id"]]
        answer = (await the.http.get(f"/api/v1{path}", headers=bearer(mine["token"]))).json()
        found = answer["session"] if "session" in answer else answer["items"][0]
        given = ends_of(row, idle=300, absolute=600)
        assert (found["id"], {name: found[name] for name in given}) == (row["id"], given), path
    the.clock.forward(250)
    handle = handle_of(await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=bearer(mine["token"])))
    assert (await the.prove(handle, "password", anna.password)).status_code == 200
    again = (await the.finish(handle)).json()["session"]
    [row] = [row for row in await the.rows(session) if row["id"] == mine["session"]["id"]]
    assert again["id"] == row["id"]
    given = ends_of(row, idle=300, absolute=600)
    assert {name: again[name] for name in given} == given, "a step-up begins it anew"


async def test_how_they_are_set(lite: The) -> None:
    owner = await lite.person()
    await operating.give_role(Ctx(lite.gate.services), owner.email, "owner", tenants.MAIN)
    path = f"/api/v1/tenants/{await tenant_of(lite, owner.token)}/policy"
    found = (await lite.http.get(path, headers=owner.auth)).json()
    assert {name: found[name] for name in (*FIELDS, "access_life", "refresh_life")} == {
        "session_idle": 0, "session_absolute": 0, "access_life": 0, "refresh_life": 0,
    }  # fmt: skip
    for change, fields in (
        ({"session_idle": 59}, {"session_idle": "value"}),
        ({"session_idle": 3601}, {"session_idle": "value"}),
        ({"session_absolute": 86_401}, {"session_absolute": "value"}),
        ({"session_absolute": 7_776_001}, {"session_absolute": "value"}),
        ({"session_absolute": "600"}, {"session_absolute": "type"}),
        ({"access_life": 86_401}, {"access_life": "value"}),
        ({"refresh_life": 31_536_001}, {"refresh_life": "value"}),
    ):
        refused = await lite.http.patch(path, json=change, headers=owner.auth)
        assert (refused.status_code, refused.json()["fields"]) == (422, fields), change
    for change in (
        {"session_idle": 3600, "session_absolute": 86_400},
        {"access_life": 86_400, "refresh_life": 31_536_000},  # longer than in the settings: those count
    ):
        answer = await lite.http.patch(path, json=change, headers=owner.auth)
        assert (answer.status_code, {name: answer.json()[name] for name in change}) == (200, change)
