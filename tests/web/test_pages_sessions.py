"""Sessions and sign-ins of one browser: signing in over a session, a planted handle, a form posted twice, a cookie that
a step-up has replaced."""

from __future__ import annotations

import asyncio
import json

import pytest

from passgate.core import form_answers
from passgate.core.form_answers import LIFE
from passgate.errors import Unavailable
from passgate.store.tables import audit_event, carrier, form_answer, session, sign_in
from tests.core.having import code_of_app
from tests.kit import PASSWORD, The, bearer, code_of, handle_of, token_of
from tests.web.browsing import SAME, Browser, Page, app, browser

EMAIL = "anna@example.com"
SESSION, SIGNIN = "passgate_session", "passgate_signin"


async def ends(the: The) -> list[str | None]:
    return [row["end_reason"] for row in await the.rows(session)]


# -- signing in over a session ---------------------------------------------------------------------


async def test_the_same_person_keeps_the_session(the: The) -> None:
    async with browser(the) as anna:
        await anna.sign_up()
        old = anna.session
        [before], [carried] = await the.rows(session), await the.rows(carrier)
        the.clock.forward(60)
        await anna.sign_in()
        [row], [carries] = await the.rows(session), await the.rows(carrier)
        assert (row["id"], row["ended_at"], row["created_at"]) == (before["id"], None, before["created_at"])
        assert (carries["id"], carries["generation"]) == (carried["id"], 2)
        assert carries["auth_time"] > carried["auth_time"]
        assert row["expires_at"] > before["expires_at"]
        assert anna.session != old
        assert (await the.session(anna.session)).json()["session"]["id"] == row["id"]
        assert code_of(await the.session(old)) == "session_ended"


async def test_another_person_replaces_it(the: The) -> None:
    await the.person("ben@example.com")
    async with browser(the) as anna:
        await anna.sign_up()
        old = anna.session
        assert EMAIL in (await anna.get("/signin")).text, "the page says whose session is there"
        await anna.sign_in("ben@example.com")
        assert sorted(map(str, await ends(the))) == ["None", "None", "replaced"]
        assert code_of(await the.session(old)) == "session_ended"
        [row] = [row for row in await the.rows(audit_event) if row["event"] == "session:ended"]
        assert json.loads(row["facts"])["reason"] == "replaced"
        assert (await the.session(anna.session)).json()["user"]["email"] == "ben@example.com"


async def test_a_get_ends_nothing(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        for path in ("/signin", "/signup", "/recover"):
            await anna.get(path)
        assert await ends(lite) == [None]


async def test_a_bearer_replaces_nothing(lite: The) -> None:
    anna = await lite.person()
    lite.http.cookies.set(SESSION, anna.token, domain="localhost.local")
    ben = await lite.person("ben@example.com")
    assert await ends(lite) == [None, None]
    assert (await lite.session(ben.token)).status_code == 200


async def test_a_step_up_keeps_the_session(the: The) -> None:
    """Over JSON: the same id, a new secret, and the old one is dead at once."""
    anna = await the.person()
    before = (await the.session(anna.token)).json()["session"]
    begun = await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=anna.auth)
    handle = handle_of(begun)
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    token = token_of(await the.finish(handle))
    after = (await the.session(token)).json()["session"]
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert (await the.http.delete("/api/v1/session", headers=bearer(anna.token))).status_code == 401
    assert (await the.session(token)).status_code == 200


async def test_an_old_cookie_of_a_live_session_clears_nothing(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        old = anna.session
        await anna.sign_in()
        anna.http.cookies.clear()
        for path in ("/account", "/account/password"):
            late = await anna.get(path, cookie=f"{SESSION}={old}")
            assert (late.status_code, late.headers["location"].partition("?")[0]) == (303, "/signin")
            assert not late.headers.get_list("set-cookie"), path
        token = next(iter(await lite.rows(session)))["id"]
        assert token
        await lite.http.delete("/api/v1/me/sessions", headers=bearer(old))
        lite.clock.forward(3601)
        late = await anna.get("/account", cookie=f"{SESSION}={old}")
        assert not late.headers.get_list("set-cookie"), "what has expired is not cleared by its older secret either"
        ended = await anna.get("/account", cookie=f"{SESSION}=pg_ses_{'A' * 70}")
        assert [one.partition("=")[0] for one in ended.headers.get_list("set-cookie")] == [SESSION]


# -- a planted handle ------------------------------------------------------------------------------


async def test_a_planted_handle_gets_nothing(lite: The) -> None:
    """A neighbour port has put its own pending sign-in into the browser and asks at every step whether it is enough."""
    async with browser(lite) as anna:
        await anna.sign_up()
        secret = await anna.add_app()
        anna.http.cookies.clear()
        lite.clock.forward(30)
        planted = handle_of(await lite.start(EMAIL))
        anna.http.cookies.set(SIGNIN, planted, domain="localhost.local")
        handles = [planted]
        for path, field, value in (
            ("/signin/password", "password", PASSWORD),
            ("/signin/totp", "code", app(lite, secret)),
        ):
            done = await anna.http.post(path, data={field: value}, headers=SAME)
            assert done.status_code == 303, done.text
            assert code_of(await lite.finish(planted)) == "handle_invalid"
            assert code_of(await lite.prove(planted, "totp", code_of_app(lite, secret))) == "handle_invalid"
            handles.append(anna.http.cookies.get(SIGNIN) or "")
        assert anna.session
        assert len(set(handles)) == len(handles), "every proof gives the page a new handle"
        assert len([row for row in await lite.rows(session) if row["ended_at"] is None]) == 2


# -- a form posted twice ---------------------------------------------------------------------------


async def posted_twice(anna: Browser, path: str, **fields: str) -> tuple[tuple[int, str, list[str]], ...]:
    """The same form sent twice with the cookies of the first time: status, location and cookies of both answers."""
    found = Page((await anna.http.get(path)).text)
    form = next(one for one in found.forms if one.action.partition("?")[0] == path)
    cookie = "; ".join(f"{name}={value}" for name, value in anna.http.cookies.items())
    data = {**form.fields, **fields}
    anna.http.cookies.clear()
    sent = [anna.http.post(form.action, data=data, headers={"cookie": cookie}) for _ in range(2)]
    first, second = await asyncio.gather(*sent)
    return tuple(
        (one.status_code, one.headers.get("location", ""), sorted(one.headers.get_list("set-cookie")))
        for one in (first, second)
    )


async def test_each_form_of_a_sign_in_ends_where_its_first_post_led(the: The) -> None:
    async with browser(the) as anna:
        one, two = await posted_twice(anna, "/signup", email=EMAIL, password=PASSWORD)
        assert one == two
        assert len(await the.mails(EMAIL)) == 1, "nothing is mailed twice"
        take_cookies(anna, one)
        one, two = await posted_twice(anna, "/signin/email-code", code=await the.code(EMAIL))
        assert one == two
        assert one[:2] == (303, "/account")
        take_cookies(anna, one)
        assert (await anna.page("/account")).name == "account"
        assert len(await the.rows(session)) == 1
        one, two = await posted_twice(anna, "/signout")
        assert one == two
        assert one[:2] == (303, "/signout")
        take_cookies(anna, one)
        one, two = await posted_twice(anna, "/signin", email=EMAIL)
        assert one == two
        take_cookies(anna, one)
        one, two = await posted_twice(anna, "/signin/password", password=PASSWORD)
        assert one == two
        assert one[:2] == (303, "/account")


def take_cookies(anna: Browser, answer: tuple[int, str, list[str]]) -> None:
    """Take the cookies of an answer, as a browser does."""
    for line in answer[2]:
        name, _, value = line.partition(";")[0].partition("=")
        anna.http.cookies.delete(name) if name in anna.http.cookies else None
        if value:
            anna.http.cookies.set(name, value, domain="localhost.local")


async def test_a_wrong_answer_counts_each_time(lite: The) -> None:
    async with browser(lite) as anna:
        await lite.person()
        await anna.send("/signin", email=EMAIL)
        first, second = await posted_twice(anna, "/signin/password", password="not my password at all")
        assert (first[0], second[0]) == (403, 403)
        assert [row["refused"] for row in await lite.rows(sign_in)][-1] == 2


@pytest.mark.parametrize("seconds", [LIFE - 2, LIFE + 1])
async def test_an_answer_is_stored_for_thirty_seconds_and_sealed(lite: The, seconds: int) -> None:
    async with browser(lite) as anna:
        await lite.person()
        await anna.send("/signin", email=EMAIL)
        cookie = f"{SIGNIN}={anna.http.cookies.get(SIGNIN)}"
        data = {"password": PASSWORD}
        first = await anna.http.post("/signin/password", data=data, headers={**SAME, "cookie": cookie})
        assert first.status_code == 303
        stored = b"".join(row["answer_sealed"] for row in await lite.rows(form_answer))
        assert stored
        assert b"pg_ses_" not in stored
        lite.clock.forward(seconds)
        anna.http.cookies.clear()
        again = await anna.http.post("/signin/password", data=data, headers={**SAME, "cookie": cookie})
        assert again.status_code == (303 if seconds < LIFE else 401)
        anna.http.cookies.clear()
        other = await anna.http.post(
            "/signin/password", data={"password": "x" * 20}, headers={**SAME, "cookie": cookie}
        )
        assert other.status_code == 401, "another body is another form"
        nobody = await anna.http.post("/signin/password", data=data, headers=SAME)
        assert nobody.status_code in (303, 401)
        assert SESSION not in "".join(nobody.headers.get_list("set-cookie")), "another browser gets nothing"


async def test_an_answer_is_not_lost_with_its_copy(lite: The, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign-in is finished; then the database fails before the answer is stored for a second post."""

    async def fail(*_given: object) -> None:
        raise Unavailable("database")

    await lite.person()
    monkeypatch.setattr(form_answers, "store", fail)
    async with browser(lite) as anna:
        await anna.send("/signin", email=EMAIL)
        assert (await anna.send("/signin/password", password=PASSWORD)).status_code == 303
        assert (await lite.session(anna.session)).status_code == 200
