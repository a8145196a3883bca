"""The route table, and what the edge reads in it: faces, bodies, queries, HEAD, slashes at the end.

Not here: what an endpoint does, the guards (`test_catalogue`), and that nothing else decides by path (`test_paths`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends
from fastapi.exceptions import FastAPIError

from passgate import Passgate
from passgate.web import guards, warm
from passgate.web.routes import Body, Declared, Endpoint, Face, Page, Table
from tests.kit import The, code_of
from tests.web.browsing import SAME, browser, outcome
from tests.web.test_contract_signin import production

# -- what a route declares -------------------------------------------------------------------------


async def planted() -> None:
    """A route of a test."""


@pytest.mark.parametrize(
    "route",
    [
        Endpoint("/api/v1/planted", planted),
        Endpoint("/api/v1/planted", planted, dependencies=[Depends(guards.stranger), Depends(guards.developer)]),
        Page("/planted", planted),
    ],
    ids=["no guard", "two guards", "a page without a guard"],
)
async def test_a_route_without_one_guard_answers_nothing(lite: The, route: Declared) -> None:
    """However often it is asked: no half of its analysis is left behind."""
    for _ in range(2):
        with pytest.raises(TypeError):
            route.analyse()
    lite.gate.api.router.routes.append(route)
    lite.gate.__dict__.pop("asgi", None)
    lite.gate.__dict__.pop("_inside", None)
    for _ in range(2):
        answer = await lite.http.get(route.path, headers={"accept": "application/json"})
        assert answer.status_code == 500


async def test_a_route_that_cannot_be_analysed_is_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """It fails where all are analysed, and is in the log of a server that has started, as each after it is."""
    no_model: Any = threading.Lock
    bad = {"dependencies": [Depends(guards.stranger)], "response_model": no_model()}
    first, second = Endpoint("/api/v1/first", planted, **bad), Endpoint("/api/v1/second", planted, **bad)
    good = Endpoint("/api/v1/good", planted, dependencies=[Depends(guards.stranger)])
    for _ in range(2):
        with pytest.raises(FastAPIError):
            first.analyse()
        assert "dependant" not in vars(first)
    await warm.up(Table([first, second, good]), asyncio.Event(), after=0)
    faults = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(fault.name, vars(fault)["route"]) for fault in faults] == [
        ("passgate.fault", "/api/v1/first"),
        ("passgate.fault", "/api/v1/second"),
    ]
    assert "dependant" in vars(good)


async def test_every_route_can_be_analysed(lite: The, tmp_path: Path) -> None:
    """Development has every route that there is: what only production had would be analysed by nobody here."""
    routes = Table(lite.gate.api.routes).routes
    for route in routes:
        route.analyse()
    assert len(routes) > 150
    assert all(route in routes for route in Passgate(production(tmp_path)).api.routes)


async def test_a_route_is_analysed_when_it_is_used() -> None:
    route = Endpoint("/api/v1/planted/{id}", planted, dependencies=[Depends(guards.stranger)], methods=["post"])
    table = Table([route])
    assert list(table.at("/api/v1/planted/x")) == ["POST"]
    assert (route.name, list(route.param_convertors), "dependant" in vars(route)) == ("planted", ["id"], False)
    assert route.guards == ("stranger",)
    assert "dependant" in vars(route)


def test_threads_that_use_a_route_at_once_all_find_it_analysed() -> None:
    """Its guards are never read from half of an analysis."""
    fresh = [Endpoint(f"/api/v1/{number}", planted, dependencies=[Depends(guards.stranger)]) for number in range(50)]
    together, usual = threading.Barrier(4, timeout=10), sys.getswitchinterval()

    def found() -> list[tuple[str, ...]]:
        guarded = []
        for route in fresh:
            together.wait()
            route.analyse()
            guarded.append(route.guards)
        return guarded

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            users = [threads.submit(found) for _ in range(4)]
            assert [user.result() for user in users] == [[("stranger",)] * 50] * 4
    finally:
        sys.setswitchinterval(usual)


async def test_a_route_that_declares_nothing_is_refused(lite: The) -> None:
    lite.gate.api.get("/planted", dependencies=[Depends(guards.stranger)])(planted)
    with pytest.raises(TypeError):
        Table(lite.gate.api.routes)


class Faceless(Declared):
    body = Body.NONE


class Bodiless(Declared):
    face = Face.PAGE


@pytest.mark.parametrize("kind", [Declared, Faceless, Bodiless])
def test_a_route_without_a_face_or_a_body_cannot_be_made(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind("/planted", planted, dependencies=[Depends(guards.stranger)])


async def test_each_route_declares_its_face_and_body(lite: The) -> None:
    for route in lite.gate.api.routes:
        assert isinstance(route, Declared)
        if route.face is Face.PAGE:
            assert route.body is (Body.FORM if "POST" in (route.methods or ()) else Body.NONE), route.path
        else:
            assert (route.body is Body.JSON) == (route.body_field is not None), route.path


# -- faces -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accept", "face"),
    [
        ("/api/v1/nothing", "text/html", Face.PROBLEM),
        ("/account/nothing", "*/*", Face.PAGE),
        ("/signin/nothing", "application/json", Face.PAGE),
        ("/nothing", "text/html", Face.PAGE),
        ("/nothing", "application/json", Face.PROBLEM),
        ("/nothing", "", Face.PROBLEM),
        ("/static/nothing", "text/html", Face.PROBLEM),
        ("/.well-known/nothing", "*/*", Face.PROBLEM),
        ("/.well-known/nothing", "text/html", Face.PROBLEM),
    ],
)
async def test_the_face_of_what_is_not_there(lite: The, path: str, accept: str, face: Face) -> None:
    answer = await lite.http.get(path, headers={"accept": accept})
    if face is Face.PAGE:
        assert outcome(answer) == (404, "error", "not_found")
    else:
        assert (answer.status_code, code_of(answer)) == (404, "not_found")


async def test_a_wrong_method_has_the_face_of_its_path(lite: The) -> None:
    assert outcome(await lite.http.put("/signin")) == (405, "error", "method_not_allowed")
    assert code_of(await lite.http.put("/healthz", headers={"accept": "text/html"})) == "method_not_allowed"


# -- bodies ----------------------------------------------------------------------------------------

EMAIL = json.dumps({"email": "anna@example.com"}).encode()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ('application/json; charset="utf-8"', 201),
        ('Application/JSON;Charset="UTF-8"', 201),
        ("application/json;", 201),
        ("application/json; charset=latin-1", 415),
        ('application/json; charset="utf-8"; charset=utf-8', 415),
        ("application/json; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_spellings_of_a_content_type(lite: The, kind: str, status: int) -> None:
    answer = await lite.http.post("/api/v1/signin", content=EMAIL, headers={"content-type": kind})
    assert answer.status_code == status


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", "nonsense"])
async def test_without_content_no_format_is_asked(lite: The, kind: str) -> None:
    anna = await lite.person()
    headers = {**anna.auth, "content-type": kind}
    for path in ("/healthz", "/api/v1/session", "/api/v1/me", "/signin", "/api/v1/me/factors"):
        assert (await lite.http.request("GET", path, headers=headers)).status_code == 200, path
    missing = await lite.http.post("/api/v1/signup", headers=headers)
    assert (missing.status_code, code_of(missing)) == (422, "invalid")
    assert (await lite.http.request("DELETE", "/api/v1/session", headers=headers)).status_code == 204
    empty = await lite.http.post("/signin", headers={**SAME, "content-type": kind})
    assert outcome(empty)[:2] == (422, "signin")


async def test_a_body_that_a_server_has_cut_ends_the_connection(lite: The) -> None:
    """As some servers cut it at `Upgrade`: what follows on the connection is not the next request."""
    for headers in (
        {"content-length": "200"},
        {"transfer-encoding": "chunked", "upgrade": "h2c", "connection": "upgrade"},
    ):
        sent = httpx2.Request(
            "POST", f"{lite.gate.settings.url}/api/v1/signin", headers={"content-type": "application/json", **headers}
        )
        answer = await lite.http.send(sent)
        assert (answer.status_code, code_of(answer), answer.headers["connection"]) == (400, "malformed", "close")


# -- HEAD, slashes, queries ------------------------------------------------------------------------


async def test_head_is_answered_wherever_get_is(lite: The) -> None:
    """With the same status and header fields, and without a body; it changes nothing."""
    anna = await lite.person()
    paths = [
        route.path for route in lite.gate.api.routes if isinstance(route, Declared) and "GET" in (route.methods or ())
    ]
    assert len(paths) > 50
    before = await lite.everything()
    async with browser(lite) as visitor:
        for path in (path for path in paths if "{" not in path and path != "/dev/mail.json"):
            for headers in ({}, anna.auth):
                get = await visitor.http.get(path, headers=headers)
                head = await visitor.http.head(path, headers=headers)
                assert (head.status_code, head.content) == (get.status_code, b""), path
                varying = ("x-request-id", "set-cookie", "content-length", "etag", "last-modified")
                assert [name for name in get.headers if name not in varying and name not in head.headers] == [], path
    still = ("session", "audit_event", "audit_head", "outbox", "dev_mail")
    after = await lite.everything()
    assert {name: rows for name, rows in after.items() if name not in still} == {
        name: rows for name, rows in before.items() if name not in still
    }


async def test_a_slash_at_the_end_of_a_page(lite: The) -> None:
    for path, where in {
        "/signin/": "/signin",
        "/account//": "/account",
        "/signin/?return_to=%2Faccount": "/signin",
    }.items():
        answer = await lite.http.get(path)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (308, where)
    for path in ("/api/v1/me/", "/healthz/", "/nothing/", "/nothing//", "/api/v1//"):
        answer = await lite.http.get(path)
        assert answer.status_code == 404, path
        assert "location" not in answer.headers


async def test_the_first_page(lite: The) -> None:
    async with browser(lite) as anna:
        assert (await anna.get("/")).headers["location"] == "/signin"
        await anna.sign_up()
        answer = await anna.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")


async def test_the_icon_that_browsers_ask_for(lite: The) -> None:
    answer = await lite.http.get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/x-icon")
    assert answer.content[:4] == b"\0\0\1\0"


@pytest.mark.parametrize("query", ["utm_source=a&utm_source=b", "q=100%", "q=%ff", "=", "&&", "x" * 3000, "q=%00"])
async def test_a_page_reads_only_what_it_declares(lite: The, query: str) -> None:
    assert (await lite.http.get(f"/signin?{query}")).status_code == 200
    async with browser(lite) as anna:
        wanted = await anna.get(f"/signin?{query}&return_to=%2Faccount%2Fsessions")
        assert "return_to=%2Faccount%2Fsessions" in wanted.text or "/account/sessions" in wanted.text
    for bad in ("return_to=a&return_to=b", "return_to=%ff", "done=%"):
        assert outcome(await lite.http.get(f"/signin?{query}&{bad}")) == (400, "error", "malformed")


async def test_endpoints_read_all_of_it(lite: The) -> None:
    for query in ("a=1&a=2", "q=100%", "q=%ff"):
        assert code_of(await lite.http.get(f"/healthz?{query}")) == "malformed"


async def test_where_one_may_return_to_comes_from_the_table(lite: The) -> None:
    table = Table(lite.gate.api.routes)
    assert table.is_own_page("/account/sessions")
    assert table.is_own_page("/account/passkeys/01a3185c-5000-7028-bd35-4ffd9f110316")
    for path in ("/signin", "/account/export/x", "/api/v1/me", "/nowhere", "//account", "/account/", "account", ""):
        assert not table.is_own_page(path), path
