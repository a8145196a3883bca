"""Hostile requests to pages: malformed forms, redirect targets on other sites, forged header fields, other hosts,
doubled cookies.

Not here: CSRF, which is in test_pages_csrf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from passgate.app import Passgate
from passgate.settings import Settings, refusals
from passgate.store.tables import budget, session
from tests.kit import PASSWORD, The, client_for, code_of, settings_for
from tests.web.browsing import SAME, Page, browser, outcome

FORM = {**SAME, "content-type": "application/x-www-form-urlencoded"}
MARK = "zq7mark"


# -- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"email=a%40example.com&email=b%40example.com", (400, "malformed")),
        (b"email=%zz", (400, "malformed")),
        (b"email=%ff%fe", (400, "malformed")),
        (b"email=a%00b", (400, "malformed")),
        (b"email=a%0d%0aSet-Cookie:x", (400, "malformed")),
        (b"email=%ed%a0%80", (400, "malformed")),
        (b"&".join(b"f%d=1" % n for n in range(101)), (400, "malformed")),
        (b"email=" + b"a" * 70_000, (413, "too_large")),
        (b'{"email":"a@example.com"}', (422, "invalid")),
        (b"email=a%40example.com&admin=1", (422, "invalid")),
        (b"email=a%40example.com&password=x", (422, "invalid")),
        (b"email=" + MARK.encode(), (422, "invalid")),
        (b"email=%20%20", (422, "invalid")),
        (b"", (422, "invalid")),
        (b"email=" + b"a" * 321, (422, "invalid")),
    ],
)
async def test_a_form_is_read_strictly(lite: The, content: bytes, expected: tuple[int, str]) -> None:
    before = await lite.everything()
    answer = await lite.http.post("/signin", content=content, headers=FORM)
    assert (answer.status_code, Page(answer.text).alert) == expected
    assert Page(answer.text).name == ("signin" if expected[0] == 422 else "error")
    assert await lite.everything() == before


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded, text/plain",
        "",
    ],
)
async def test_only_one_kind_of_form(lite: The, kind: str) -> None:
    answer = await lite.http.post("/signin", content=b"email=a%40example.com", headers={**SAME, "content-type": kind})
    assert outcome(answer) == (415, "error", "not_form")


async def test_programs_endpoints_take_no_form(lite: The) -> None:
    for path in ("/api/v1/signin", "/api/v1/me/password"):
        assert code_of(await lite.http.post(path, content=b"email=a", headers=FORM)) == "not_json"


async def test_typed_values_stay_escaped_and_secrets_do_not(lite: The) -> None:
    typed = {"email": '"><script>alert(1)</script>', "password": "a-Secret-Thing-9"}
    answer = await lite.http.post("/signup", data=typed, headers=SAME)
    assert outcome(answer) == (422, "signup", "invalid")
    assert "<script>alert" not in answer.text
    assert "a-Secret-Thing-9" not in answer.text
    page = Page(answer.text)
    assert (page.forms[0].fields["email"], page.marked) == (typed["email"], {"email"})


# -- redirect targets ------------------------------------------------------------------------------

AWAY = [
    "//evil.example",
    "///evil.example",
    "////evil.example/account",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example/account",
    "https:/evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "/account\\@evil.example",
    "/account/../../evil",
    "/account/..%2f..",
    "/account/%2e%2e/x",
    "/account//evil.example",
    "/account@evil.example",
    "/accountevil",
    "/account:80@evil.example",
    "account",
    "",
    " /account",
    "/account ",
    "/account#x",
    "/account/./x",
    "/signin",
    "/api/v1/me",
    "/static/passgate.css",
    "/evil",
    "/%09/evil.example",
    "/account?x=<script>",
    "/account?x=\\",
    "/account/\u202eevil",
    "https://localhost:8000/account",
    "/account%0d%0aX: y",
    "/account?" + "a" * 2000,
    "http://localhost:8000@evil.example/",
    "/dev/mail",
    "/account/é",
]
HOME_TOO = [
    "/account",
    "/account/sessions",
    "/account/activity?after=1",
    "/account/passkeys/new?x=y&state=%2F",
]


@pytest.mark.parametrize("wanted", AWAY)
async def test_nobody_is_led_away(lite: The, wanted: str) -> None:
    query = f"?return_to={quote(wanted, safe='')}"
    for path in ("/signin", "/signup", "/login"):
        answer = await lite.http.get(path + query)
        assert "evil" not in answer.headers.get("location", "")
        page = Page(answer.text)
        assert all("evil" not in found for found in (*page.links, *(form.action for form in page.forms)))
        assert all("return_to" not in form.action for form in page.forms), wanted
    begun = await lite.http.post("/signin" + query, data={"email": "a@example.com"}, headers=SAME)
    assert begun.headers["location"] == "/signin/password"


async def test_after_a_sign_in_one_lands_where_one_wanted_to_go(lite: The) -> None:
    await lite.person()
    for wanted in (*HOME_TOO, *AWAY[:12]):
        async with browser(lite) as anna:
            query = f"?return_to={quote(wanted, safe='')}"
            await anna.http.post("/signin" + query, data={"email": "anna@example.com"}, headers=SAME)
            done = await anna.http.post("/signin/password", data={"password": PASSWORD}, headers=SAME)
            assert done.headers["location"] == (wanted if wanted in HOME_TOO else "/account")


async def test_who_is_not_signed_in_comes_back_to_where_they_wanted(lite: The) -> None:
    async with browser(lite) as anna:
        for path in ("/account", "/account/sessions", "/account/password"):
            answer = await anna.get(path)
            assert (answer.status_code, answer.headers["location"]) == (
                303,
                f"/signin?return_to={quote(path, safe='')}",
            )
    login = await lite.http.get("/login?return_to=%2Faccount%2Fsessions")
    assert (login.status_code, login.headers["location"]) == (308, "/signin?return_to=%2Faccount%2Fsessions")
    doubled = await lite.http.get("/signin?return_to=/account&return_to=//evil.example")
    assert outcome(doubled) == (400, "error", "malformed")


# -- header fields ---------------------------------------------------------------------------------

LIES: list[dict[str, str]] = [
    {"host": "evil.example"},
    {"host": "evil.example:8000"},
    {"host": "localhost:8000@evil.example"},
    {"host": ""},
    {"x-forwarded-host": "evil.example"},
    {"x-forwarded-proto": "https"},
    {"x-forwarded-for": "203.0.113.9"},
    {"forwarded": "for=203.0.113.9;host=evil.example;proto=https"},
    {"x-real-ip": "203.0.113.9"},
    {"x-forwarded-prefix": "/evil"},
    {"x-original-url": "/admin"},
    {"x-rewrite-url": "/admin"},
    {"x-http-method-override": "DELETE"},
    {"via": "1.1 evil"},
    {"true-client-ip": "203.0.113.9"},
]


def same_page(answer: httpx2.Response) -> tuple[int, list[str], list[str], dict[str, str]]:
    """What must not change: status, links, form actions, and header fields."""
    page = Page(answer.text)
    stored = {
        name: value for name, value in answer.headers.items() if name not in ("x-request-id", "set-cookie", "date")
    }
    stored["set-cookie"] = answer.headers.get("set-cookie", "").partition("=")[0]
    stored["flags"] = answer.headers.get("set-cookie", "").partition(";")[2]
    return answer.status_code, page.links, [form.action for form in page.forms], stored


@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_no_header_moves_a_link_a_cookie_or_a_person(lite: The, lie: dict[str, str]) -> None:
    for path in ("/signin", "/signup", "/recover", "/account", "/login", "/nothing-here", "/account/nothing"):
        honest = await lite.http.get(path)
        lite.http.cookies.clear()
        assert same_page(await lite.http.get(path, headers=lie)) == same_page(honest), path
        lite.http.cookies.clear()
    known = await lite.person("known@example.com")
    body = {"email": known.email, "password": PASSWORD}
    started = await lite.http.post("/signup", data=body, headers={**SAME, **lie})
    assert started.headers["location"] == "/signin/email-code"
    [mail] = [mail for mail in await lite.mails(known.email) if mail["kind"] == "signup_known"]
    assert mail["link"] == "http://localhost:8000/signin"
    assert "evil" not in str(mail) and "203.0.113.9" not in str(mail)


async def test_the_limit_of_an_origin_is_not_moved_by_a_header(lite: The) -> None:
    anna = await lite.person()
    for number, lie in enumerate(LIES):
        async with browser(lite, "198.51.100.7", **lie) as liar:
            await liar.http.post("/signin", data={"email": f"n{number}@example.com"}, headers=SAME)
            assert (await liar.http.post("/signin/password", data={"password": "no"}, headers=SAME)).status_code == 403
            await liar.http.post("/signin", data={"email": anna.email}, headers=SAME)
            assert (
                await liar.http.post("/signin/password", data={"password": PASSWORD}, headers=SAME)
            ).status_code == 303
    assert {row["ip"] for row in await lite.rows(session)} == {"127.0.0.1", "198.51.100.7"}
    counted = {row["key"]: row["used"] for row in await lite.rows(budget) if str(row["key"]).startswith("o:")}
    assert counted["o:refusals:198.51.100.7"] == len(LIES)
    assert {key.rpartition(":")[2] for key in counted} == {"127.0.0.1", "198.51.100.7"}


async def test_doubled_cookies_are_nobody(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        mine = f"passgate_session={anna.session}"
    for line in (f"{mine}; passgate_session=planted", f"passgate_session=planted; {mine}", f"{mine}; {mine}"):
        answer = await lite.http.get("/account", headers={"cookie": line})
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin?return_to=%2Faccount")
        assert answer.headers["set-cookie"].startswith("passgate_session=; Path=/; Max-Age=0")
        assert outcome(await lite.http.get("/signin", headers={"cookie": line}))[:2] == (200, "signin")
        assert code_of(await lite.http.get("/api/v1/session", headers={"cookie": line})) == "credential_invalid"
    line = "passgate_signin=a; passgate_signin=b"
    fresh = await lite.http.get("/signin", headers={"cookie": line})
    assert outcome(fresh)[:2] == (200, "signin")
    assert fresh.headers["set-cookie"].startswith("passgate_signin=pg_pre_")
    led = await lite.http.get("/signin/password", headers={"cookie": line})
    assert (led.status_code, led.headers["location"]) == (303, "/signin")
    for name, path in {"browser": "/signin", "link": "/signin/link", "known": "/signin"}.items():
        line = f"passgate_{name}=a; passgate_{name}=b"
        alone = await lite.http.get(path)
        doubled = await lite.http.get(path, headers={"cookie": line})
        assert (doubled.status_code, outcome(doubled)[1:]) == (alone.status_code, outcome(alone)[1:]), name
        begun = await lite.http.post("/signin", data={"email": "a@example.com"}, headers={**SAME, "cookie": line})
        assert (begun.status_code, begun.headers["location"]) == (303, "/signin/password"), name
    prefixed = await lite.http.get("/account", headers={"cookie": f"__Host-{mine}"})
    assert prefixed.status_code == 303


# -- development mode is local only ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "ip"),
    [
        ({"host": "evil.example"}, "127.0.0.1"),
        ({"host": "192.0.2.1:8000"}, "127.0.0.1"),
        ({}, "192.0.2.1"),
        ({"forwarded": "for=127.0.0.1"}, "127.0.0.1"),
        ({"via": "1.1 proxy"}, "127.0.0.1"),
        ({}, "2001:db8::1"),
        ({"x-forwarded-for": "127.0.0.1"}, "127.0.0.1"),
        ({"x-forwarded-host": "localhost"}, "127.0.0.1"),
    ],
)
async def test_the_mailbox_is_this_machines_alone(lite: The, headers: dict[str, str], ip: str) -> None:
    await lite.signup("anna@example.com")
    async with client_for(lite.gate, ip) as http:
        answer = await http.get("/dev/mail", headers=headers)
        assert outcome(answer) == (404, "error", "not_found")
        assert "anna@example.com" not in answer.text
    assert (await lite.http.get("/dev/mail")).status_code == 200


@pytest.mark.parametrize(
    "given",
    [{"host": "0.0.0.0"}, {"host": "192.0.2.1"}, {"public_url": "http://id.example.com"}, {"host": "::"}],
)
def test_development_refuses_to_be_published(tmp_path: Path, given: dict[str, Any]) -> None:
    assert refusals(Settings.development(data=tmp_path, **given))


async def test_an_ip_address_leads_to_the_name(lite: The) -> None:
    for host in ("127.0.0.1:8000", "[::1]:8000", "127.0.0.1"):
        answer = await lite.http.get("/signin?return_to=%2Faccount", headers={"host": host})
        wanted = "http://localhost:8000/signin?return_to=%2Faccount"
        assert (answer.status_code, answer.headers["location"]) == (307, wanted)
        assert (await lite.http.get("/healthz", headers={"host": host})).status_code == 200


async def test_programs_get_problems_and_people_pages(lite: The) -> None:
    for path in ("/api/v1/nothing", "/nothing", "/static/nothing"):
        assert code_of(await lite.http.get(path)) == "not_found"
    assert code_of(await lite.http.get("/api/v1/nothing", headers={"accept": "text/html"})) == "not_found"
    for path in ("/nothing", "/account/nothing/at/all"):
        assert outcome(await lite.http.get(path, headers={"accept": "text/html"})) == (404, "error", "not_found")
    wrong = await lite.http.delete("/signin")
    assert outcome(wrong) == (405, "error", "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, POST"


async def test_a_database_that_is_away_is_a_page_too(tmp_path: Path) -> None:
    gate = Passgate(settings_for(tmp_path, "postgresql://nobody@127.0.0.1:1/none"))
    async with client_for(gate) as http:
        for answer in (
            await http.get("/signin"),
            await http.post("/signup", data={"email": "a@b.example"}, headers=SAME),
        ):
            assert outcome(answer) == (503, "error", "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
    await gate.close()
