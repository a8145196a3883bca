"""Example 4: what nobody in their right mind sends, to every endpoint: an answer below 500 in the service's shape that
repeats none of it, and nothing changed.

Not here: refusals that a person may run into (roles, forms).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import cbor2
import httpx2
import pytest
from sqlalchemy import select

from passgate.store.tables import credential, person, role_grant, session, tenant
from tests.authenticator import Authenticator, b64, unb64
from tests.examples.passkey_audit import NOBODY, ROUTES, Service, Who, about, options_of
from tests.examples.test_session_rbac_hostile import DEEP, NOT_JSON, VALUES

LARGEST = 65_536
MARK = "anna"
"""A word in most of what is sent, which no refusal repeats."""
BODIES = [route for route in ROUTES if "{" not in route and route not in ("POST /users", "POST /login")]
JSON = {"content-type": "application/json"}
TYPES = ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "application/cbor", "", "\xff"]
_WATCHED = (person, credential, role_grant, tenant, session)
Check = Callable[[httpx2.Response], None]


def rows(made: Service) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with made.gate.services.store.read() as db:
            found = {one.name: [dict(row) for row in await db.rows(select(one))] for one in _WATCHED}
        for one in (*found["person"], *found["session"]):
            one.pop("last_used_at")  # that somebody used their session is no change
            one.pop("idle_expires_at", None)
        return found

    found: dict[str, Any] = made.run(read)
    return found


def shaped(answer: httpx2.Response) -> None:
    """A refusal in the service's shape. A body that is too large is refused by the framework, in a shape of its own."""
    assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text[:200]}"
    assert answer.status_code not in (405, 429)
    assert "x-evil" not in answer.headers
    assert len(answer.content) < 20_000
    assert MARK not in answer.text
    if answer.status_code != 413:
        assert answer.json().keys() == {"detail"}


@pytest.fixture
def unchanged(keyed: Service) -> Iterator[Check]:
    """Asserts that an answer is a refusal; afterwards, that nothing has changed."""
    before = rows(keyed)
    yield shaped
    assert rows(keyed) == before


@pytest.fixture(scope="module")
def bodies(keyed: Service) -> dict[str, dict[str, Any]]:
    """Of each endpoint, one that would be right; its ceremony is over."""
    email, who = keyed.new(), keyed.person()
    credential, assertion = keyed.created(email, Authenticator()), keyed.signed(who.email, who.key)
    keyed.forward(minutes=6)
    return {
        "POST /register/begin": about(keyed.new()),
        "POST /register/complete": {"email": email, "credential": credential},
        "POST /login/begin": {"email": who.email},
        "POST /login/complete": {"email": who.email, "assertion": assertion},
    }


@pytest.fixture(scope="module")
def boss(keyed: Service) -> Who:
    who = keyed.person()
    keyed.make_admin(who)
    return who


def ask(made: Service, route: str, token: str | None = None, **more: Any) -> httpx2.Response:
    method, _, path = route.partition(" ")
    return made.ask(method, path, token, **more)


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize("body", NOT_JSON)
def test_no_json(keyed: Service, unchanged: Check, route: str, body: str) -> None:
    unchanged(ask(keyed, route, content=NOT_JSON[body], headers=JSON))


def places(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where something may stand in a body: each member, and each member of those."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            yield from places(inner, (*at, name))


def changed(body: Any, at: tuple[str, ...], value: Any) -> Any:
    return {**body, at[0]: changed(body[at[0]], at[1:], value)} if at else value


IGNORED = {"transports", "publicKey", "publicKeyAlgorithm", "authenticatorAttachment", "clientExtensionResults"}
"""What browsers send and nothing here depends on, with whatever is in it."""


@pytest.mark.parametrize("value", VALUES)
def test_values(keyed: Service, bodies: dict[str, Any], value: str) -> None:
    """In each place alone. A name may be almost anything, and an address that nobody has is no fault."""
    before = rows(keyed)
    for route, right in bodies.items():
        for at in places(right):
            answer = ask(keyed, route, json=changed(right, at, VALUES[value]))
            if at[-1] in ("first_name", "last_name", "job_title") and answer.status_code == 200:
                text = VALUES[value]
                assert isinstance(text, str)
                assert 1 <= len(text) <= 100
            else:
                shaped(answer)
    assert rows(keyed) == before


PRINTED = ["\u200c", "\ufeff", "{{7*7}}", "%s", "<b>&amp;"]


@pytest.mark.parametrize(
    "text", ["\ud800", "a\udfff", "\x00", "\r\nX-Evil: 1", "\x1b[2J", "a\tb", "\x9b", "\u202e", "\u2028", *PRINTED]
)
def test_strange_text_is_refused_or_comes_back_as_it_is(keyed: Service, text: str) -> None:
    """In a name, up to the token, the audit log and a mail."""
    who = Who(keyed.new(), Authenticator())
    body = json.dumps({**about(who.email), "first_name": text, "last_name": text, "job_title": text}).encode()
    begun = ask(keyed, "POST /register/begin", content=body, headers=JSON)
    assert begun.status_code == (200 if text in PRINTED else 422), begun.text
    if begun.status_code == 200:
        made = keyed.register_complete(who.email, who.key.create(options_of(begun), keyed.origin))
        assert made.status_code == 201
        token = keyed.token(who)
        user = keyed.show(made.json()["id"], token)
        assert (user.json()["first_name"], user.json()["job_title"]) == (text, text)
        assert keyed.logs(user_email=who.email)[-1]["success"] == 1
        assert "x-evil" not in user.headers


@pytest.mark.parametrize("name", ["a" * 500, "\r\nX-Evil: 1", "<script>", "\x1b[2J", "ü\u202e", "\x00", "\ud800"])
@pytest.mark.parametrize("route", BODIES)
def test_names_of_members_come_back_short_and_plain(
    keyed: Service, unchanged: Check, bodies: dict[str, Any], route: str, name: str
) -> None:
    answer = ask(keyed, route, content=json.dumps({**bodies[route], name: 1}).encode(), headers=JSON)
    unchanged(answer)
    if answer.status_code == 422:
        [fault] = answer.json()["detail"]
        assert all(len(str(part)) <= 40 and str(part).isascii() and str(part).isprintable() for part in fault["loc"])


@pytest.mark.parametrize("route", BODIES)
def test_a_thousand_faults_are_not_listed(keyed: Service, unchanged: Check, route: str) -> None:
    answer = ask(keyed, route, json={f"m{number}": "x" for number in range(1000)})
    unchanged(answer)
    assert len(answer.json()["detail"]) == 20


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("route", BODIES)
def test_another_content_type(keyed: Service, unchanged: Check, bodies: dict[str, Any], route: str, kind: str) -> None:
    headers: Any = {"content-type": kind.encode("latin-1")}
    unchanged(ask(keyed, route, content=json.dumps(bodies[route]).encode(), headers=headers))


@pytest.mark.parametrize("route", BODIES)
def test_doubled_members_and_header_fields(
    keyed: Service, unchanged: Check, bodies: dict[str, Any], route: str
) -> None:
    """Of a member that comes twice the last one counts, as everywhere; a second length or type is none of ours."""
    text = json.dumps(bodies[route])
    doubled = f'{text[:-1]}, "email": null}}'.encode()
    unchanged(ask(keyed, route, content=doubled, headers=JSON))
    fields: Any = [(b"content-type", b"text/plain"), (b"content-type", b"application/json")]
    answer: httpx2.Response = keyed.http.post(route.partition(" ")[2], content=b"[", headers=fields)
    unchanged(answer)


@pytest.mark.parametrize("route", BODIES)
def test_the_largest_body(keyed: Service, unchanged: Check, route: str) -> None:
    """One more byte is refused, whether it is announced or not."""
    fits = b'{"x": "' + b"a" * (LARGEST - 9) + b'"}'
    assert len(fits) == LARGEST
    assert ask(keyed, route, content=fits, headers=JSON).status_code == 422
    for larger in (fits + b" ", iter([fits, b" "]), b"a" * 2_000_000):
        answer = ask(keyed, route, content=larger, headers=JSON)
        assert answer.status_code == 413
        unchanged(answer)


# -- ceremonies --------------------------------------------------------------------------------------

CLIENT_DATA: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "twice": lambda raw: raw * 2,
    "a mark before": lambda raw: b"\xef\xbb\xbf" + raw,
    "deep": lambda raw: raw[:-1] + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "no UTF-8": lambda raw: raw.replace(b"localhost", b"local\xffhost"),
    "doubled origin": lambda raw: raw[:-1] + b',"origin":"https://evil.example"}',
    "a list": lambda raw: b"[" + raw + b"]",
    "many members": lambda raw: raw[:-1] + b"".join(b',"m%d":1' % number for number in range(3000)) + b"}",
}
AUTH_DATA: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "36 bytes": lambda raw: raw[:36],
    "a byte more": lambda raw: raw + b"\0",
    "a kilobyte more": lambda raw: raw + bytes(1024),
    "all flags": lambda raw: raw[:32] + b"\xff" + raw[33:],
    "no flags": lambda raw: raw[:32] + b"\0" + raw[33:],
    "attested": lambda raw: raw[:32] + bytes([raw[32] ^ 64]) + raw[33:],
    "extended": lambda raw: raw[:32] + bytes([raw[32] | 128]) + raw[33:],
    "another length": lambda raw: raw[:53] + b"\xff\xff" + raw[55:],
}
ATTESTATIONS: dict[str, bytes] = {
    "nothing": b"\0",
    "a number": cbor2.dumps(7),
    "a list": cbor2.dumps(["none"]),
    "no members": cbor2.dumps({}),
    "deep": b"\x81" * DEEP + b"\0",
    "endless": b"\x9f" * 2000,
    "huge announced": b"\x5b" + b"\xff" * 8,
    "a tag": cbor2.dumps(cbor2.CBORTag(2, b"\xff" * 5000)),
    "no data": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b""}),
    "a text for data": cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": "x" * 200}),
    "another format": cbor2.dumps({"fmt": "android-safetynet", "attStmt": {"response": b"x"}, "authData": bytes(200)}),
    "not CBOR": b"{}" * 100,
}
KEYS: dict[str, bytes] = {
    "nothing": b"",
    "not CBOR": b"\xff\xff",
    "no members": cbor2.dumps({}),
    "off the curve": cbor2.dumps({1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)}),
    "a short point": cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"\1", -3: b"\2"}),
    "texts": cbor2.dumps({1: "2", 3: "-7", -1: "1", -2: "x", -3: "y"}),
    "RSA of 3 bits": cbor2.dumps({1: 3, 3: -257, -1: b"\7", -2: b"\3"}),
    "RSA of exponent 1": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 256, -2: b"\1"}),
    "another algorithm": cbor2.dumps({1: 2, 3: -65535, -1: 1, -2: bytes(32), -3: bytes(32)}),
    "symmetric": cbor2.dumps({1: 4, 3: 5, -1: bytes(32)}),
}


@pytest.mark.parametrize("how", CLIENT_DATA)
def test_client_data(keyed: Service, how: str) -> None:
    """The signature over it is right."""
    who, email = keyed.person(), keyed.new()
    before = rows(keyed)
    credential = keyed.created(email, Authenticator(), client_data=CLIENT_DATA[how])
    shaped(keyed.register_complete(email, credential))
    shaped(keyed.enter(who, client_data=CLIENT_DATA[how]))
    assert rows(keyed) == before
    assert keyed.enter(who).status_code == 200


@pytest.mark.parametrize("how", AUTH_DATA)
def test_authenticator_data(keyed: Service, how: str) -> None:
    who, email = keyed.person(), keyed.new()
    before = rows(keyed)
    shaped(keyed.register_complete(email, keyed.created(email, Authenticator(), auth_data=AUTH_DATA[how])))
    shaped(keyed.enter(who, auth_data=AUTH_DATA[how]))
    assert rows(keyed) == before
    assert keyed.enter(who).status_code == 200


@pytest.mark.parametrize("how", ATTESTATIONS)
def test_attestations(keyed: Service, unchanged: Check, how: str) -> None:
    email = keyed.new()
    credential = keyed.created(email, Authenticator())
    credential["response"]["attestationObject"] = b64(ATTESTATIONS[how])
    unchanged(keyed.register_complete(email, credential))


@pytest.mark.parametrize("how", KEYS)
def test_public_keys(keyed: Service, unchanged: Check, how: str) -> None:
    email = keyed.new()
    unchanged(keyed.register_complete(email, keyed.created(email, Authenticator(), public_key=KEYS[how])))


@pytest.mark.parametrize("text", ["=", "====", "A", "AAAAA", "+/+/", "ü", "\x00", " ", "%", "A" * 49_999, "A\nA"])
def test_what_is_no_base64(keyed: Service, unchanged: Check, bodies: dict[str, Any], text: str) -> None:
    for route, member in (("POST /register/complete", "credential"), ("POST /login/complete", "assertion")):
        for at in (("id",), ("rawId",), *(("response", name) for name in bodies[route][member]["response"])):
            unchanged(ask(keyed, route, json=changed(bodies[route], (member, *at), text)))


@pytest.mark.parametrize("bits", range(0, 64, 7))
def test_a_signature_with_another_bit(keyed: Service, bits: int) -> None:
    who = keyed.person()
    assertion = keyed.signed(who.email, who.key)
    raw = bytearray(unb64(assertion["response"]["signature"]))
    raw[bits] ^= 1 << (bits % 8)
    assertion["response"]["signature"] = b64(bytes(raw))
    answer = keyed.login_complete(who.email, assertion)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Authentication failed"})


# -- paths, tokens, queries ----------------------------------------------------------------------------

IDS = ["0", "-1", "null", "me", "%00", "%2e%2e", "a" * 64, "a" * 65, "a" * 5000, "%EF%BD%81", "'--", "{id}", "*", "%20"]


@pytest.mark.parametrize("wrong", [*IDS, f"{NOBODY}x", f"{{{NOBODY}}}", f"urn:uuid:{NOBODY}", NOBODY.replace("-", "")])
def test_ids(keyed: Service, boss: Who, wrong: str) -> None:
    token = keyed.token(boss)
    before = rows(keyed)
    for answer in (keyed.show(wrong, token), keyed.promote(wrong, token)):
        shaped(answer)
        assert answer.status_code in (404, 422)
    assert rows(keyed) == before
    for answer in (keyed.show(wrong), keyed.promote(wrong)):
        assert answer.status_code in (401, 404)


@pytest.mark.parametrize(
    "value",
    [
        *(b"Bearer \xff", b"Bearer " + b"a" * 60_000, b"Bearer a b c", b"Bearer \t", b"bearer", b"\xc3\xbc", b""),
        *(b"Bearer ey.." + b"A" * 5000, b"Bearer pg_sn_" + b"A" * 5000, b"Bearer \x00", b"Bearer ...."),
        *(b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", b"Bearer " + b"." * 5000, b"Basic YTpi"),
        b"Bearer eyJhbGciOiJIUzI1NiIsImp3ayI6e319.eyJzdWIiOiJ4In0.AAAA",
    ],
)
def test_authorization(keyed: Service, unchanged: Check, value: bytes) -> None:
    headers: Any = {"authorization": value}
    for route in ("GET /users/{user_id}", "POST /admin/users/{user_id}/promote"):
        answer = ask(keyed, route.format(user_id=NOBODY), headers=headers)
        unchanged(answer)
        assert answer.status_code == 401


def test_two_tokens(keyed: Service, boss: Who) -> None:
    token = keyed.token(boss)
    fields: Any = [("authorization", f"Bearer {token}"), ("authorization", "Bearer x")]
    for asked in (fields, [*reversed(fields)], fields[:1] * 2):
        answer: httpx2.Response = keyed.http.get(f"/users/{boss.id}", headers=asked)
        assert answer.status_code == 401


@pytest.mark.parametrize("query", ["a" * 60_000, "x=%00&y=%ff", "token=1&" * 2000, "user_id=x&role=admin", "=", ";"])
def test_a_query_that_nobody_asks_for_has_no_effect(keyed: Service, boss: Who, query: str) -> None:
    token = keyed.token(boss)
    before = rows(keyed)
    assert keyed.show(f"{boss.id}?{query}", token).status_code == 200
    assert keyed.ask("POST", f"/login/begin?{query}", json={"email": boss.email}).status_code == 200
    assert rows(keyed) == before


@pytest.mark.parametrize(
    "path",
    ["//login/begin", "/login/begin/", "/%6cogin/begin", "/login/..%2fbegin", "/LOGIN/BEGIN", "/%00", "/users/%2f"],
)
def test_other_spellings_of_a_path(keyed: Service, path: str) -> None:
    """They lead to the endpoint itself, or nowhere."""
    answer = keyed.http.post(path, json={"email": keyed.new()})
    assert answer.status_code in (200, 307, 404, 405)
    assert answer.status_code in (200, 307) or answer.json().keys() == {"detail"}


@pytest.mark.parametrize("name", ["x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-host", "x-forwarded-proto"])
def test_nobody_chooses_the_address_of_a_row(keyed: Service, name: str) -> None:
    """No proxy is trusted unless the settings name it."""
    keyed.forward(minutes=11)  # whoever names another is not taken for this machine, and has the limits of any network
    for value in ("203.0.113.66", "evil.example", "'; --", "a" * 5000):
        answer = keyed.ask("POST", "/login/begin", json={"email": keyed.new()}, headers={name: value})
        assert options_of(answer)["rpId"] == "localhost"
        assert keyed.logs()[-1]["ip_address"] == "127.0.0.1"


@pytest.mark.parametrize("agent", ["", "a" * 20_000, "<script>alert(1)</script>", "Firefox/1.0 \xff", "%s{0}"])
def test_agents(keyed: Service, agent: str) -> None:
    headers: Any = {"user-agent": agent.encode("latin-1")}
    assert keyed.ask("POST", "/login/begin", json={"email": keyed.new()}, headers=headers).status_code == 200
    stored = keyed.logs()[-1]["user_agent"]
    assert len(stored) < 200
    assert stored.isprintable()
