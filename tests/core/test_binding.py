"""A session that is used by another browser or system than before: what each rule does, for every carrier.

Not here: reading a User-Agent header (`test_useragent`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from passgate.store.tables import audit_event, carrier, session
from tests.kit import FIREFOX, Person, The, bearer, code_of, handle_of, token_of
from tests.web.browsing import rule

NEWER = FIREFOX.replace("145.0", "151.2")
CURL = "curl/8.5.0"
CHANGED = "session:client:changed"
CARRIERS = ("bearer", "cookie", "jwt")


@pytest.fixture
async def anna(lite: The) -> AsyncIterator[Person]:
    yield await lite.person()


async def signed_in(the: The, anna: Person, kind: str) -> dict[str, Any]:
    """What carries a new session: header fields, and the refresh token if there is one."""
    handle = handle_of(await the.start(anna.email))
    await the.prove(handle, "password", anna.password)
    done = await the.finish(handle, kind)
    the.http.cookies.clear()
    if kind == "cookie":
        return {"cookie": done.headers["set-cookie"].partition(";")[0]}
    return bearer(done.json()["access_token"] if kind == "jwt" else token_of(done))


async def used(the: The, fields: dict[str, Any], agent: str) -> httpx2.Response:
    return await the.http.get("/api/v1/session", headers={**fields, "user-agent": agent})


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("mode", ["off", "log", "step_up", "end"])
async def test_updates_and_moving_about_change_nothing(lite: The, anna: Person, kind: str, mode: str) -> None:
    await rule(lite, on_client_change=mode)
    fields = await signed_in(lite, anna, kind)
    for agent in (NEWER, FIREFOX.replace("x86_64", "aarch64"), FIREFOX):
        assert (await used(lite, fields, agent)).status_code == 200
    forwarded = {**fields, "x-forwarded-for": "203.0.113.9"}
    assert (await used(lite, forwarded, FIREFOX)).status_code == 200
    assert CHANGED not in await lite.events()


@pytest.mark.parametrize("kind", CARRIERS)
async def test_end_ends_it_for_both(lite: The, anna: Person, kind: str) -> None:
    await rule(lite, on_client_change="end")
    fields = await signed_in(lite, anna, kind)
    refused = await used(lite, fields, CURL)
    assert (refused.status_code, code_of(refused)) == (401, "client_changed")
    for agent in (FIREFOX, CURL):
        assert code_of(await used(lite, fields, agent)) == "session_ended"
    rows = [row for row in await lite.rows(session) if row["end_reason"] == "client_changed"]
    assert len(rows) == 1
    assert (await lite.events()).count(CHANGED) == 1
    assert [mail["kind"] for mail in await lite.mails(anna.email)][:1] == ["client_changed"]


@pytest.mark.parametrize("kind", CARRIERS)
async def test_step_up_asks_the_new_one_to_confirm(lite: The, anna: Person, kind: str) -> None:
    """The one that signed in goes on; who confirms becomes the one that signed in."""
    await rule(lite, on_client_change="step_up")
    fields = await signed_in(lite, anna, kind)
    refused = await used(lite, fields, CURL)
    assert (refused.status_code, code_of(refused)) == (401, "insufficient_user_authentication")
    assert 'error="insufficient_user_authentication"' in refused.headers["www-authenticate"]
    assert (await used(lite, fields, FIREFOX)).status_code == 200
    curl = {"user-agent": CURL, "sec-fetch-site": "same-origin"}
    begun = await lite.http.post("/api/v1/signin", json={"step_up": {}}, headers={**fields, **curl})
    handle = handle_of(begun)
    await lite.prove(handle, "password", anna.password)
    headers = {**bearer(handle), **curl}
    done = await lite.http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=headers)
    lifted = bearer(token_of(done))
    assert (await used(lite, lifted, CURL)).status_code == 200
    assert code_of(await used(lite, lifted, FIREFOX)) == "insufficient_user_authentication"


@pytest.mark.parametrize("kind", CARRIERS)
async def test_log_records_each_other_client_once(lite: The, anna: Person, kind: str) -> None:
    fields = await signed_in(lite, anna, kind)
    for agent in (CURL, CURL, "Wget/1.21", FIREFOX, CURL):
        assert (await used(lite, fields, agent)).status_code == 200
    found = [row for row in await lite.rows(audit_event) if row["event"] == CHANGED]
    facts = [json.loads(row["facts"]) for row in found]
    assert [(one["was"], one["is"], one["done"]) for one in facts] == [
        ("Firefox · Linux", "curl", "log"),
        ("Firefox · Linux", "Wget", "log"),
    ]
    for number in range(20):
        assert (await used(lite, fields, f"tool{number}/1")).status_code == 200
    assert max(len(json.loads(row["clients"])) for row in await lite.rows(carrier)) == 8
    assert (await lite.events()).count(CHANGED) == 8


async def test_off_records_nothing(lite: The, anna: Person) -> None:
    await rule(lite, on_client_change="off")
    fields = await signed_in(lite, anna, "bearer")
    assert (await used(lite, fields, CURL)).status_code == 200
    assert CHANGED not in await lite.events()


@pytest.mark.parametrize(("mode", "code"), [("end", "client_changed"), ("step_up", "insufficient_user_authentication")])
async def test_a_refresh_is_a_use(lite: The, anna: Person, mode: str, code: str) -> None:
    await rule(lite, on_client_change=mode)
    handle = handle_of(await lite.start(anna.email))
    await lite.prove(handle, "password", anna.password)
    asked = {"refresh_token": (await lite.finish(handle, "jwt")).json()["refresh_token"]}
    other = await lite.http.post("/api/v1/tokens/refresh", json=asked, headers={"user-agent": CURL})
    assert (other.status_code, code_of(other)) == (401, code)
    again = await lite.http.post("/api/v1/tokens/refresh", json=asked)
    assert again.status_code == (200 if mode == "step_up" else 401), "nothing was used up, or the session is gone"


async def test_a_page_of_a_session_that_ended_so_leads_to_the_sign_in(lite: The, anna: Person) -> None:
    await rule(lite, on_client_change="end")
    fields = await signed_in(lite, anna, "cookie")
    led = await lite.http.get("/account", headers={**fields, "user-agent": CURL})
    assert (led.status_code, led.headers["location"].partition("?")[0]) == (303, "/signin")
    assert "passgate_session=;" in led.headers["set-cookie"]


async def test_signing_out_always_works(lite: The, anna: Person) -> None:
    await rule(lite, on_client_change="step_up")
    fields = await signed_in(lite, anna, "bearer")
    out = await lite.http.delete("/api/v1/session", headers={**fields, "user-agent": CURL})
    assert out.status_code == 204
    assert code_of(await used(lite, fields, FIREFOX)) == "session_ended"
    assert replace(anna, token="").email == anna.email
