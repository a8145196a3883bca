"""The cookie of a known browser: what it is worth, what makes it a stranger's again, and that nobody can make one.

Which budgets a known browser spends is tested in tests/core/test_budgets.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import delete

from passgate.core import known
from passgate.core.ctx import Ctx
from passgate.store.tables import budget
from tests import operating
from tests.kit import (
    OTHER_PASSWORD,
    PASSWORD,
    Person,
    The,
    bearer,
    client_for,
    code_of,
    handle_of,
    running,
    settings_for,
)
from tests.web.browsing import browser

COOKIE = "passgate_known"
AWAY = "203.0.113.7"


async def prove(http: httpx2.AsyncClient, email: str, password: str) -> str:
    """Start a sign-in and try a password: "ok", or the code of the refusal."""
    handle = handle_of(await http.post("/api/v1/signin", json={"email": email}))
    body = {"factor": "password", "answer": password}
    answer = await http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))
    return "ok" if answer.status_code == 200 else code_of(answer)


async def cookie_of(the: The, who: Person, ip: str = AWAY, before: str = "") -> str:
    """The cookie after a completed sign-in by cookie, in a browser that has `before` already."""
    async with client_for(the.gate, ip) as http:
        if before:
            http.cookies.set(COOKIE, before)
        there = The(the.gate, the.clock, http)
        handle = handle_of(await there.start(who.email))
        assert (await there.prove(handle, "password", who.password)).status_code == 200
        done = await there.finish(handle, "cookie")
        assert done.status_code == 201
        return cookie_in(done)


def cookie_in(answer: httpx2.Response) -> str:
    [line] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")]
    assert re.search(r"; Path=/; Max-Age=15552000; HttpOnly; SameSite=Lax$", line)
    return line.partition("=")[2].partition(";")[0]


async def counted(the: The, email: str, cookie: str, ip: str = AWAY) -> str:
    """As whom a wrong password is counted that comes with this cookie."""
    async with the.gate.services.store.write() as db:
        await db.change(delete(budget).where(budget.c.key.like("n:%") | budget.c.key.like("w:%")))
    async with client_for(the.gate, ip) as http:
        if cookie:
            http.cookies.set(COOKIE, cookie)
        assert await prove(http, email, "wrong horse battery staple") == "proof_refused"
    [kind] = {str(row["key"]).split(":")[1] for row in await the.rows(budget) if str(row["key"]).startswith("n:")}
    return kind


async def test_a_completed_sign_in_makes_a_browser_known(the: The) -> None:
    anna = await the.person()
    assert await counted(the, anna.email, "") == "stranger"
    mine = await cookie_of(the, anna)
    assert await counted(the, anna.email, mine) == "known"
    assert await counted(the, anna.email, mine, "198.51.100.9") == "known"  # a browser moves between networks


async def test_pages_and_sign_up_set_it_and_a_bearer_never(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        assert anna.http.cookies.get(COOKIE)
    before = len(await lite.rows(budget))
    ben = await lite.person("ben@example.com")
    assert "set-cookie" not in (await lite.finish(await proved(lite, ben))).headers
    assert before < len(await lite.rows(budget))


async def proved(the: The, who: Person) -> str:
    handle = handle_of(await the.start(who.email))
    assert (await the.prove(handle, "password", who.password)).status_code == 200
    return handle


async def test_it_proves_and_waives_nothing(lite: The) -> None:
    """With the cookie alone the sign-in needs what it always needs, and no endpoint accepts it."""
    anna = await lite.person()
    mine = await cookie_of(lite, anna)
    async with client_for(lite.gate, AWAY) as http:
        http.cookies.set(COOKIE, mine)
        begun = await http.post("/api/v1/signin", json={"email": anna.email})
        assert begun.json()["need"] == [["password"], ["passkey"]]
        finished = await http.post(
            "/api/v1/signin/finish", json={"carrier": "bearer"}, headers=bearer(handle_of(begun))
        )
        assert code_of(finished) == "proof_missing"
        assert code_of(await http.get("/api/v1/session")) == "credential_missing"
        for secret in (mine, mine.replace("pg_knw_", "pg_ses_")):
            assert (await http.get("/api/v1/session", headers=bearer(secret))).status_code == 401


# -- the five events that make it a stranger's -----------------------------------------------------


async def change_password(the: The, anna: Person) -> None:
    done = await the.http.post("/api/v1/me/password", json={"password": OTHER_PASSWORD}, headers=anna.auth)
    assert done.status_code == 204, done.text


async def recover(the: The, anna: Person) -> None:
    handle = handle_of(await the.recover(anna.email))
    assert (await the.prove(handle, "email_code", await the.code(anna.email))).status_code == 200
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).status_code == 200


async def undo(the: The, anna: Person) -> None:
    """The address is changed, signed in with, and the change undone by the old address."""
    await the.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    proof = {"answer": await the.code("new@example.com")}
    await the.http.post("/api/v1/me/address/prove", json=proof, headers=anna.auth)
    link = next(mail["link"] for mail in await the.mails(anna.email) if mail["kind"] == "address_changed")
    async with browser(the) as old:
        await old.http.get(link.removeprefix("http://localhost:8000"))
        assert (await old.send("/account/undo")).status_code == 303
        assert (await old.send("/signin/email-code", code=await the.code(anna.email))).status_code == 303
        done = await old.send("/signin/password", new_password=anna.password)
        assert done.status_code == 303, done.text


async def disable(the: The, anna: Person) -> None:
    """Disabled and enabled again: the cookie stays a stranger's."""
    await operating.disable_person(Ctx(the.gate.services), anna.email, "main")
    await operating.enable_person(Ctx(the.gate.services), anna.email, "main")


async def sign_out_everywhere(the: The, anna: Person) -> None:
    done = await the.http.delete("/api/v1/me/sessions", headers=anna.auth)
    assert done.status_code == 204


EVENTS: tuple[Callable[[The, Person], Awaitable[None]], ...] = (
    change_password,
    recover,
    undo,
    disable,
    sign_out_everywhere,
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
async def test_what_raises_the_epoch(the: The, event: Callable[[The, Person], Awaitable[None]]) -> None:
    anna = await the.person()
    mine = await cookie_of(the, anna)
    assert await counted(the, anna.email, mine) == "known"
    await event(the, anna)
    assert await counted(the, anna.email, mine) == "stranger"
    changed = event in (change_password, recover)
    again = await cookie_of(the, Person(anna.email, OTHER_PASSWORD if changed else PASSWORD), before=mine)
    assert await counted(the, anna.email, again) == "known"
    assert await counted(the, anna.email, mine) == "stranger"  # the old one, replayed


# -- whose it is -----------------------------------------------------------------------------------


async def test_of_another_person_or_a_deleted_one(the: The) -> None:
    anna, ben = await the.person(), await the.person("ben@example.com")
    of_anna = await cookie_of(the, anna)
    assert await counted(the, ben.email, of_anna) == "stranger"
    assert (await the.http.delete("/api/v1/me", headers=anna.auth)).status_code == 204
    assert await counted(the, anna.email, of_anna) == "stranger"
    await the.person()  # the same address signs up again: somebody else
    assert await counted(the, anna.email, of_anna) == "stranger"


async def test_in_another_tenant(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        anna = await the.person()
        mine = await cookie_of(the, anna)
        handle = handle_of(await the.signup(anna.email, PASSWORD, new_tenant={"name": "acme"}))
        assert (await the.prove(handle, "email_code", await the.code(anna.email))).status_code == 200
        async with client_for(the.gate, AWAY) as http:
            http.cookies.set(COOKIE, mine)
            begun = await http.post("/api/v1/signin", json={"email": anna.email, "tenant": "acme"})
            body = {"factor": "password", "answer": OTHER_PASSWORD}
            await http.post("/api/v1/signin/prove", json=body, headers=bearer(handle_of(begun)))
        assert not [row for row in await the.rows(budget) if str(row["key"]).startswith("n:known:")]


async def test_forged_damaged_doubled_and_old_ones(lite: The) -> None:
    """None of them is an error: the visitor is a stranger."""
    anna = await lite.person()
    mine = await cookie_of(lite, anna)
    raw = base64.urlsafe_b64decode(mine.removeprefix("pg_knw_") + "==")
    turned = base64.urlsafe_b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).rstrip(b"=").decode()
    plain = base64.urlsafe_b64encode(b'[["main","x",0,"x",9]]').rstrip(b"=").decode()
    for odd in (f"pg_knw_{turned}", f"pg_knw_{plain}", "pg_knw_", "pg_knw_" + "A" * 5000, mine[:-4], mine.upper(), "x"):
        assert await counted(lite, anna.email, odd) == "stranger", odd[:20]
    doubled = {"Cookie": f"{COOKIE}={mine}; {COOKIE}={mine}"}
    answer = await lite.http.post("/api/v1/signin", json={"email": anna.email}, headers=doubled)
    assert answer.status_code == 201
    lite.clock.forward(known.LIFE + 1)
    assert await counted(lite, anna.email, mine) == "stranger"


async def test_it_survives_a_new_key(the: The) -> None:
    anna = await the.person()
    mine = await cookie_of(the, anna)
    await operating.rotate_keys(Ctx(the.gate.services))
    assert await counted(the, anna.email, mine) == "known"


async def test_stolen_it_is_worth_five_refusals(the: The) -> None:
    """The thief's refusals are counted for the cookie: after five of them it is a stranger's, for the owner too, until
    the next sign-in there."""
    anna = await the.person()
    mine = await cookie_of(the, anna)
    async with client_for(the.gate, "198.51.100.9") as thief:
        thief.cookies.set(COOKIE, mine)
        for _ in range(5):
            assert await prove(thief, anna.email, "wrong horse battery staple") == "proof_refused"
    assert await counted(the, anna.email, mine) == "stranger"
    again = await cookie_of(the, anna, before=mine)
    assert await counted(the, anna.email, again) == "known"


async def test_right_answers_cost_it_nothing(the: The) -> None:
    anna = await the.person()
    mine = await cookie_of(the, anna)
    async with client_for(the.gate, AWAY) as http:
        http.cookies.set(COOKIE, mine)
        for _ in range(12):
            assert await prove(http, anna.email, PASSWORD) == "ok"
    assert await counted(the, anna.email, mine) == "known"


async def test_nine_people_in_one_browser(the: The) -> None:
    """It holds eight; who signed in longest ago is a stranger again. The cookie stays well below 4 KiB."""
    people = [await the.person(f"p{number}@example.com") for number in range(9)]
    cookie = ""
    for who in people:
        cookie = await cookie_of(the, who, before=cookie)
        the.clock.forward(900)
    assert len(cookie) < 2000
    kinds = [await counted(the, who.email, cookie) for who in people]
    assert kinds == ["stranger", *["known"] * 8]
