"""The outermost layer over HTTP: probes, header fields of every response, the local-only mailbox, client addresses
behind proxies, CORS.

Not here: bodies, which are in test_hostile_input.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from passgate.store.tables import audit_event
from tests import kit
from tests.kit import PASSWORD, The, bearer, client_for, code_of, handle_of, token_of
from tests.servers import Postgres

STANDARD = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


# -- probes and the OpenAPI document ---------------------------------------------------------------


async def test_alive_and_ready(the: The) -> None:
    alive = await the.http.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    ready = await the.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "parts": {"database": "ok", "schema": "ok"}})
    async with client_for(the.gate, "203.0.113.9") as http:
        for headers in ({}, bearer("anything"), {"Authorization": "Basic x"}):
            answer = await http.get("/readyz", headers=headers)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    passed_on = await the.http.get("/readyz", headers={"X-Forwarded-For": "127.0.0.1"})
    assert passed_on.json() == {"status": "ok"}


async def test_the_metrics_token_names_the_parts(tmp_path: Path) -> None:
    token = "m3trics-t0ken-of-the-tests"
    async with kit.running(kit.settings_for(tmp_path, metrics={"token": token}), ip="203.0.113.9") as the:
        assert (await the.http.get("/readyz", headers=bearer(token))).json().keys() == {"status", "parts"}
        for wrong in (token[:-1], token.upper(), ""):
            headers = {"Authorization": f"Bearer {wrong}"}
            assert (await the.http.get("/readyz", headers=headers)).json().keys() == {"status"}


@pytest.mark.pg
async def test_not_ready_without_its_database(tmp_path: Path, postgres: Postgres, pg_template: str) -> None:
    url = postgres.create_database(template=pg_template)
    async with kit.running(kit.settings_for(tmp_path, url)) as the:
        anna = await the.person()
        postgres.drop_database(url)
        answer = await the.http.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert answer.json()["parts"]["database"] == "down"
        assert (await the.http.get("/healthz")).status_code == 200
        for down in (await the.signup("bert@example.com"), await the.session(anna.token)):
            assert (down.status_code, code_of(down), down.json()["down"]) == (503, "unavailable", "database")
            assert int(down.headers["retry-after"]) >= 1


async def test_the_document(lite: The) -> None:
    answer = await lite.http.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    endpoints = [endpoint for path in answer.json()["paths"].values() for endpoint in path.values()]
    ids = [endpoint["operationId"] for endpoint in endpoints]
    assert len(set(ids)) == len(ids)
    assert all(endpoint["operationId"].startswith(f"{endpoint['tags'][0]}-") for endpoint in endpoints)
    assert not [path for path in answer.json()["paths"] if path.startswith("/dev")]


async def test_the_document_can_be_switched_off(tmp_path: Path) -> None:
    async with kit.running(kit.settings_for(tmp_path, docs=False)) as the:
        for path in ("/openapi.json", "/docs"):
            assert code_of(await the.http.get(path)) == "not_found"


# -- every response --------------------------------------------------------------------------------


async def test_headers_of_every_answer(lite: The) -> None:
    anna = await lite.person()
    answers = [
        await lite.session(anna.token),
        await lite.session("nonsense"),
        await lite.http.get("/nowhere"),
        await lite.http.post("/healthz"),
        await lite.http.post("/api/v1/signup", content=b"{"),
        await lite.start(),
        await lite.http.get("/openapi.json"),
        await lite.http.get("/dev/mail.json"),
        await lite.http.delete("/api/v1/session", headers=anna.auth),
        await lite.http.get("/api/v1/me?a=1&a=2"),
        await lite.http.request("BREW", "/api/v1/me"),
        await lite.http.options("/api/v1/me"),
    ]
    for answer in answers:
        for name, value in STANDARD.items():
            assert answer.headers.get_list(name) == [value], (answer.request.url, name)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.headers.get_list("x-request-id")) == 1
        assert not {"server", "x-powered-by"} & set(answer.headers)
        assert "strict-transport-security" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        if answer.status_code >= 400:
            code_of(answer)
            assert answer.json().keys() >= {"type", "title", "status", "code", "detail", "request_id"}
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


IDS = ("abcdefgh", "A-b_9" * 12, "0" * 64)


async def test_a_request_id_of_a_trusted_proxy_is_reused(tmp_path: Path) -> None:
    async with kit.running(kit.settings_for(tmp_path, trusted_proxies="10.0.0.0/8")) as the:
        async with client_for(the.gate, "::ffff:10.0.0.1") as proxy:
            for given in IDS:
                answer = await proxy.get("/healthz", headers={"X-Request-ID": given, "X-Forwarded-For": "192.0.2.1"})
                assert answer.headers["x-request-id"] == given
            for given in ("short", "a" * 65, "a b c d e f", "abcdefgh\u00e9", "<script>1", "", "abcdefgh;x"):
                await _has_its_own_id(proxy, ("X-Request-ID", given))
            await _has_its_own_id(proxy, ("X-Request-ID", IDS[0]), ("X-Request-ID", IDS[1]))
        async with client_for(the.gate, "192.0.2.1") as stranger:
            for given in IDS:
                await _has_its_own_id(stranger, ("X-Request-ID", given), ("X-Forwarded-For", "10.0.0.1"))


async def test_a_request_id_of_a_stranger_is_not(lite: The) -> None:
    """Not on this machine either, and neither in the trail."""
    for given in IDS:
        await _has_its_own_id(lite.http, ("X-Request-ID", given))
    begun = await lite.http.post("/api/v1/signup", json={"email": "a@example.com"}, headers={"X-Request-ID": IDS[0]})
    assert begun.status_code == 202
    named = [json.loads(row["facts"])["request_id"] for row in await lite.rows(audit_event)]
    assert named == [begun.headers["x-request-id"]] != [IDS[0]]


async def _has_its_own_id(http: httpx2.AsyncClient, *headers: tuple[str, str]) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answer = await http.get("/nowhere", headers=sent)
    assert answer.headers["x-request-id"] not in ("", *(value for _, value in headers))
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/me", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("GET", "/api/v1/signin", {"POST"}),
        ("POST", "/api/v1/session", {"GET", "HEAD", "DELETE"}),
        ("POST", "/api/v1/me/sessions", {"GET", "HEAD", "DELETE"}),
        ("GET", "/api/v1/me/sessions/00000000-0000-7000-8000-000000000000", {"DELETE"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_gets_the_allowed_ones(lite: The, method: str, path: str, allowed: set[str]) -> None:
    answer = await lite.http.request(method, path)
    assert (answer.status_code, code_of(answer)) == (405, "method_not_allowed")
    assert {name.strip() for name in answer.headers["allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/me/",
        "/api/v1/sessions",
        "/API/V1/me",
        "//api/v1/me",
        "/api/v1//me",
        "/api/v1/%6De%2F",
        "/metrics",
        "/.env",
        "/api/v1/me;x=1",
    ],
)
async def test_what_is_no_endpoint(lite: The, path: str) -> None:
    answer = await lite.http.get(path)
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert "location" not in answer.headers


# -- development's mailbox -------------------------------------------------------------------------

NOT_HERE: list[dict[str, str]] = [
    {"Host": "evil.test"},
    {"Host": "localhost.evil.test"},
    {"Host": "evil-localhost"},
    {"Host": "127.0.0.1.nip.io"},
    {"Host": "notlocalhost:8000"},
    {"Host": "10.0.0.1"},
    {"Host": "[2001:db8::1]:8000"},
    {"Host": ""},
    {"Host": "0"},
    {"Host": "localhost@evil.test"},
    {"Host": "localhost, evil.test"},
    {"Host": "localhost/"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "localhost"},
    {"X-Forwarded-Proto": "http"},
    {"X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"},
    {"Via": "1.1 proxy"},
    {"X-Forwarded-For": ""},
    {"X-Forwarded-Port": "8000"},
    {"X-Forwarded-Server": "proxy"},
    {"X-Forwarded-Prefix": "/x"},
]


@pytest.mark.parametrize("headers", NOT_HERE, ids=str)
async def test_mails_are_for_this_machine_only(lite: The, headers: dict[str, str]) -> None:
    answer = await lite.http.get("/dev/mail.json", headers=headers)
    assert (answer.status_code, code_of(answer)) == (404, "not_found")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "app.localhost",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:8000",
        "LOCALHOST:80",
    ],
)
async def test_mails_under_every_name_of_this_machine(lite: The, host: str) -> None:
    assert (await lite.http.get("/dev/mail.json", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("ip", ["203.0.113.9", "192.168.1.7", "::ffff:203.0.113.9", "", "unix", "fe80::1%eth0"])
async def test_mails_for_nobody_else(lite: The, ip: str) -> None:
    async with client_for(lite.gate, ip) as http:
        assert code_of(await http.get("/dev/mail.json")) == "not_found"


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_mails_for_every_loopback_peer(lite: The, ip: str) -> None:
    async with client_for(lite.gate, ip) as http:
        assert (await http.get("/dev/mail.json")).status_code == 200


async def test_mails_newest_first(lite: The) -> None:
    for number in range(3):
        await lite.signup(f"n{number}@example.com")
        lite.clock.forward(1)
    mails = await lite.mails()
    assert [mail["to"] for mail in mails] == [f"n{number}@example.com" for number in (2, 1, 0)]
    assert all(
        mail.keys() == {"to", "subject", "text", "html", "kind", "code", "link", "sent_at"}
        and mail["code"] in mail["text"]
        for mail in mails
    )


# -- proxies ---------------------------------------------------------------------------------------

FORWARDED = {
    "X-Forwarded-For": "198.51.100.9",
    "X-Real-IP": "198.51.100.9",
    "Forwarded": "for=198.51.100.9;host=evil.test",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/evil",
    "X-Original-URL": "/healthz",
    "X-Rewrite-URL": "/healthz",
    "X-Client-IP": "198.51.100.9",
    "CF-Connecting-IP": "198.51.100.9",
    "True-Client-IP": "198.51.100.9",
    "Host": "evil.test",
}


async def signed_in_ip(the: The, **headers: str) -> httpx2.Response:
    handle = handle_of(await the.start("anna@example.com"))
    body = {"factor": "password", "answer": PASSWORD}
    proved = await the.http.post("/api/v1/signin/prove", json=body, headers={**bearer(handle), **headers})
    assert proved.status_code == 200
    return await the.http.post(
        "/api/v1/signin/finish", json={"carrier": "cookie"}, headers={**bearer(handle), **headers}
    )


async def test_strangers_are_not_believed(lite: The) -> None:
    await lite.person("anna@example.com")
    async with client_for(lite.gate, "203.0.113.9") as http:
        there = The(lite.gate, lite.clock, http)
        done = await signed_in_ip(there, **FORWARDED)
        assert done.json()["session"]["client"]["ip"] == "203.0.113.9"
        assert "Secure" not in done.headers["set-cookie"]
        sent = await http.post("/api/v1/recover", json={"email": "ghost@example.com"}, headers=FORWARDED)
        assert sent.status_code == 202
    mail = (await lite.mails("ghost@example.com"))[0]
    assert mail["link"] == "http://localhost:8000/signup"
    assert "evil" not in mail["text"]
    assert "198.51.100.9" not in mail["text"]


CHAINS = [
    ("198.51.100.9", "198.51.100.9"),
    ("1.2.3.4, 198.51.100.9", "198.51.100.9"),
    ("1.2.3.4, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
    ("2001:db8::7", "2001:db8::7"),
    ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ("198.51.100.9,, ,", "198.51.100.9"),
    ("198.51.100.9, unknown", "10.0.0.1"),
    ("198.51.100.9:4711", "198.51.100.9"),
    ("198.51.100.9, <script>", "10.0.0.1"),
    ("fe80::1%<script>", "fe80::1"),
    ("", "10.0.0.1"),
]


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
async def test_trusted_proxies_are(tmp_path: Path, peer: str) -> None:
    """The client is the rightmost address that is not one of our proxies, because anything further left can be
    forged."""
    async with kit.running(kit.settings_for(tmp_path, trusted_proxies="10.0.0.0/8")) as the:
        await the.person("anna@example.com")
        async with client_for(the.gate, peer) as http:
            there = The(the.gate, the.clock, http)
            for forwarded, ip in CHAINS:
                done = await signed_in_ip(there, **{"X-Forwarded-For": forwarded})
                assert done.json()["session"]["client"]["ip"] == ip, forwarded
                assert "Secure" not in done.headers["set-cookie"]


async def test_a_proxy_on_this_machine_opens_no_mailbox(tmp_path: Path) -> None:
    """A request that comes through a local proxy does not count as local, whatever address it claims."""
    async with kit.running(kit.settings_for(tmp_path, trusted_proxies="127.0.0.1")) as the:
        for forwarded in ("127.0.0.1", "::1", "203.0.113.9"):
            assert (await the.http.get("/dev/mail.json", headers={"X-Forwarded-For": forwarded})).status_code == 404
            assert (await the.http.get("/readyz", headers={"X-Forwarded-For": forwarded})).json() == {"status": "ok"}


# -- CORS ------------------------------------------------------------------------------------------

APP = "https://app.test"


def asks(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }


async def test_cors_is_closed_by_default(lite: The) -> None:
    for path in ("/api/v1/signin", "/healthz", "/openapi.json"):
        answer = await lite.http.options(path, headers=asks(APP))
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_cors_for_named_origins_only(tmp_path: Path) -> None:
    async with kit.running(kit.settings_for(tmp_path, cors={"origins": APP})) as the:
        anna = await the.person()
        preflight = await the.http.options("/api/v1/signin", headers=asks(APP))
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == APP
        assert "x-request-id" in preflight.headers
        assert "origin" in preflight.headers["vary"].lower()
        for origin in ("https://evil.test", "https://app.test.evil.test", "http://app.test", "null", f"{APP}:8443"):
            for answer in (
                await the.http.options("/api/v1/signin", headers=asks(origin)),
                await the.http.get("/api/v1/me", headers={**anna.auth, "Origin": origin}),
                await the.http.get("/api/v1/session", headers={**anna.auth, "Origin": origin}),
            ):
                assert "access-control-allow-origin" not in answer.headers
        for path in ("/healthz", "/openapi.json", "/dev/mail.json"):
            answer = await the.http.get(path, headers={"Origin": APP})
            assert "access-control-allow-origin" not in answer.headers
        refused = await the.http.post(
            "/api/v1/signin/finish", json={"carrier": "cookie"}, headers={**anna.auth, "Origin": APP}
        )
        assert code_of(refused) == "csrf_refused"


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/api/v1/session", b"", 200),
        ("GET", "/api/v1/session?x=1", b"", 200),
        ("GET", "/api/v1/me", b"", 200),
        ("POST", "/api/v1/signin", b"{}", 201),
        ("POST", "/api/v1/signin", b"{", 400),
        ("POST", "/api/v1/signin", b"x" * 70_000, 413),
        ("POST", "/api/v1/signin", b'{"email": 1}', 422),
        ("GET", "/api/v1/me?a=1&a=2", b"", 400),
        ("GET", "/api/v1/nowhere", b"", 404),
    ],
)
async def test_a_named_origin_can_read_every_answer(
    tmp_path: Path, method: str, path: str, content: bytes, status: int
) -> None:
    """A page of an allowed origin can also read refusals: without the CORS header its script would only see a network
    error."""
    async with kit.running(kit.settings_for(tmp_path, cors={"origins": APP})) as the:
        anna = await the.person()
        headers = {**anna.auth, "Origin": APP} | ({"Content-Type": "application/json"} if content else {})
        answer = await the.http.request(method, path, content=content, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [APP]
        assert "access-control-allow-credentials" not in answer.headers
        exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert exposed == {"x-request-id", "retry-after", "www-authenticate"}


async def test_what_opens_an_account_is_not_in_a_url(lite: The) -> None:
    """No endpoint accepts a credential in the query string, because logs and browser histories would store it."""
    anna = await lite.person()
    for name in ("access_token", "token", "session", "passgate_session"):
        answer = await lite.http.get(f"/api/v1/session?{name}={anna.token}")
        assert (answer.status_code, code_of(answer)) == (401, "credential_missing")
        assert anna.token not in answer.text
    handle = handle_of(await lite.start(anna.email))
    await lite.prove(handle, "password", PASSWORD)
    token_of(await lite.finish(handle))
