"""Hostile input to every endpoint of the OpenAPI document: each answers with the documented refusal and changes no row.
The valid requests are read from the catalogue.

Not here: the decoder by itself (test_body), and what valid requests do (the files of the contract).
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests import catalogue, kit
from tests.architecture.population import Population
from tests.kit import The, bearer, code_of, handle_of

MARK = "zq7mark"
"""Part of every hostile text. No response may contain it."""
NOBODY = "00000000-0000-7000-8000-000000000000"
RIGHT = catalogue.asked()
WITH_BODY = [key for key, result in catalogue.operations().items() if "requestBody" in result and key in RIGHT]

STRANGE = {
    "email": f"{MARK}@example.com",
    "password": f"{MARK} horse battery staple",
    "name": MARK,
    "label": MARK,
    "id": MARK,
}


def marked(body: Any) -> Any:
    """A valid body with MARK in every member that takes free text."""
    if not isinstance(body, dict):
        return body
    return {name: STRANGE[name] if name in STRANGE else marked(inner) for name, inner in body.items()}


# -- requests --------------------------------------------------------------------------------------

Expected = tuple[int, str]
MALFORMED: Expected = (400, "malformed")
NOT_JSON: Expected = (415, "not_json")
TOO_LARGE: Expected = (413, "too_large")
INVALID: Expected = (422, "invalid")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Sent:
    name: str
    expected: Expected
    content: bytes
    headers: dict[str, str]
    fields: dict[str, str] | None = None


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def raw_ones(body: dict[str, Any] | None) -> Iterator[Sent]:
    """Bodies that no endpoint accepts, whatever its schema."""
    right = json.dumps(body or {}).encode()
    name = next(iter(body or {"x": 1}))
    for case, content in {
        "not json": as_bytes(f"{MARK}"),
        "form": as_bytes(f"email={MARK}"),
        "truncated": right[:-1],
        "two values": right + right,
        "trailing": right + as_bytes(MARK),
        "single quotes": b"{'a': 1}",
        "comment": right + b"// x",
        "blank": b"  \n",
        "bom": b"\xef\xbb\xbf" + right,
        "utf-16": right.decode().encode("utf-16"),
        "truncated utf-8": b'{"email": "' + as_bytes(MARK) + b"\xf0\x9f",
        "overlong": b'{"a": "\xc0\xaf"}',
        "latin-1": b'{"a": "\xe9"}',
        "raw nul": as_bytes('{"a": "' + MARK + '\x00"}'),
        "escaped nul": as_bytes('{"a": "' + MARK + '\\u0000"}'),
        "lone surrogate": as_bytes('{"a": "' + MARK + '\\ud800"}'),
        "raw surrogate": as_bytes('{"a": "\ud800"}'),
        "control": as_bytes('{"a": "' + MARK + '\\u001b[2J"}'),
        "delete": as_bytes('{"a": "\\u007f"}'),
        "c1": as_bytes('{"a": "\u0085"}'),
        "nul in a name": as_bytes('{"a\\u0000": 1}'),
        "doubled": as_bytes('{"' + name + '": 1, "' + name + '": 2}'),
        "doubled by escape": as_bytes('{"' + name + '": 1, "' + f"\\u{ord(name[0]):04x}" + name[1:] + '": 2}'),
        "NaN": as_bytes('{"' + name + '": NaN}'),
        "Infinity": as_bytes('{"' + name + '": -Infinity}'),
        "1e400": as_bytes('{"' + name + '": 1e400}'),
        "huge integer": as_bytes('{"' + name + '": ' + "9" * 5000 + "}"),
        "33 deep": as_bytes('{"' + name + '": ' + "[" * 32 + "]" * 32 + "}"),
        "60,000 brackets": b"[" * 60_000,
        "60,000 braces": b'{"a":' * 12_000,
        "prototype": b'{"a": 1, "__proto__": {}, "a": 2}',
    }.items():
        yield Sent(case, MALFORMED, content, JSON)
    yield Sent("1 MB", TOO_LARGE, b'"' + b"x" * 1_000_000 + b'"', JSON)
    yield Sent("65 KiB of blanks", TOO_LARGE, b" " * 65 * 1024 + right, JSON)
    for kind in (
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
        "application/jsonx",
        "application/xml",
        "application/json, text/plain",
        "application/json; charset=utf-8; charset=utf-16",
        "*/*",
        MARK,
    ):
        yield Sent(f"as {kind}", NOT_JSON, right, {"Content-Type": kind})
    yield Sent("as nothing", NOT_JSON, right, {})
    yield Sent("gzip", NOT_JSON, gzip.compress(right), {**JSON, "Content-Encoding": "gzip"})
    yield Sent("said to be deflated", NOT_JSON, right, {**JSON, "Content-Encoding": "deflate"})


OTHERS: list[tuple[str, Any]] = [
    ("null", None),
    ("boolean", True),
    ("integer", 7),
    ("number", 1.5),
    ("string", MARK),
    ("array", [MARK]),
    ("object", {MARK: MARK}),
]


def kinds_of(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a field accepts."""
    if "anyOf" in schema:
        return set().union(*(kinds_of(one) for one in schema["anyOf"]))
    return {"object"} if "$ref" in schema else {schema["type"]}


def shaped_ones(schema: dict[str, Any], body: dict[str, Any]) -> Iterator[Sent]:
    """Well-formed JSON of the wrong shape, field by field, derived from the document's schema."""

    def sent(case: str, changed: Any, fields: dict[str, str] | None = None) -> Sent:
        return Sent(case, INVALID, json.dumps(changed).encode(), JSON, fields)

    for name in schema.get("required", []):
        yield sent(f"{name} missing", {key: value for key, value in body.items() if key != name}, {name: "missing"})
    for extra in ("tenant_id", MARK, "__proto__", "constructor", f"{MARK}.{MARK}", "X" * 300):
        yield sent(f"extra {extra[:12]}", {**body, extra: MARK}, {"body": "unknown"})
    for name, field in schema["properties"].items():
        kinds = kinds_of(field)
        for kind, value in OTHERS:
            if kind not in kinds and (kind, "number") != ("integer", next(iter(kinds))):
                yield sent(f"{name} as {kind}", {**body, name: value})
        if "string" in kinds:
            yield sent(f"{name} huge", {**body, name: MARK * 5000})
            if name not in MAY_BE_EMPTY:
                yield sent(f"{name} empty", {**body, name: ""})
    for kind, value in OTHERS[1:-1]:
        yield sent(f"the body as {kind}", value)
    yield sent("the body as null", None)


MAY_BE_EMPTY = {"description"}
"""A role need not be described."""

QUERIES = [
    "a=1&a=2",
    "%00=1",
    "a=%00",
    "a=%0a",
    "a=%1b",
    "a=%ff",
    "a=%c0%af",
    "a=%ed%a0%80",
    "a=%",
    "a=%zz",
    "%61=1&a=2",
    "&".join(f"a{n}=1" for n in range(101)),
    f"{MARK}=%7f",
]


# -- responses -------------------------------------------------------------------------------------


@dataclass
class Asker:
    """Sends requests to one endpoint with a valid credential, so that only the input can be refused."""

    the: The
    method: str
    path: str
    body: dict[str, Any] | None
    credential: dict[str, str]

    @classmethod
    async def at(cls, population: Population, endpoint: str) -> Asker:
        right = await RIGHT[endpoint].asks(population)
        await population.the.mails()  # delivers the outbox, so that no row changes later
        credential = bearer(right.secret) if right.secret else {}
        return cls(population.the, endpoint.partition(" ")[0], right.path, marked(right.body), credential)

    async def __call__(
        self, content: bytes = b"", headers: dict[str, str] | None = None, query: str = ""
    ) -> httpx2.Response:
        url = self.path + (f"?{query}" if query else "")
        given = {**self.credential, **(headers or {})}
        return await self.the.http.request(self.method, url, content=content, headers=given)


def refused(answer: httpx2.Response, expected: Expected, what: str) -> None:
    assert answer.status_code < 500, what
    assert (answer.status_code, code_of(answer)) == expected, what
    assert MARK not in answer.text, what
    assert MARK not in str(answer.headers), what
    assert answer.headers["x-request-id"], what


def moved(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> list[str]:
    return [name for name, rows in before.items() if rows != after[name]]


@pytest.mark.parametrize("endpoint", RIGHT)
async def test_bytes_that_nobody_reads(lite_population: Population, endpoint: str) -> None:
    ask = await Asker.at(lite_population, endpoint)
    before = await lite_population.the.everything()
    for sent in raw_ones(ask.body):
        answer = await ask(sent.content, sent.headers)
        if endpoint == "GET /api/v1/session":  # the edge answers it without reading a body
            assert answer.status_code == 200
            assert MARK not in answer.text
            continue
        refused(answer, sent.expected, sent.name)
    for query in QUERIES:
        right = json.dumps(ask.body).encode() if ask.body else b""
        refused(await ask(right, JSON if right else {}, query), MALFORMED, query)
    assert moved(before, await lite_population.the.everything()) == []


@pytest.mark.parametrize("endpoint", WITH_BODY)
async def test_json_of_the_wrong_shape(lite_population: Population, endpoint: str) -> None:
    schema = catalogue.schema_of(endpoint)
    ask, the = await Asker.at(lite_population, endpoint), lite_population.the
    assert ask.body is not None
    assert set(ask.body) <= set(schema["properties"])
    before = await the.everything()
    for sent in shaped_ones(schema, ask.body):
        answer = await ask(sent.content, sent.headers)
        refused(answer, sent.expected, sent.name)
        fields = answer.json()["fields"]
        assert fields, sent.name
        if sent.fields is not None:
            assert fields == sent.fields, sent.name
        assert set(fields.values()) <= {"missing", "unknown", "type", "length", "format", "value"}, sent.name
    nothing = await ask()
    refused(nothing, INVALID, "no body at all")
    assert moved(before, await the.everything()) == []


ODD = (b"", b"\xff\xfe", b"x" * 8000, "ü".encode(), b"{}", b";;=;", b"Bearer", b"-1", b"\t")
FIELDS = (
    "User-Agent",
    "X-Request-ID",
    "Cookie",
    "Origin",
    "Sec-Fetch-Site",
    "X-CSRF-Token",
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "X-Forwarded-For",
    "Host",
    "Referer",
    "If-None-Match",
    "Range",
    "Expect",
    "DPoP",
    "Via",
    "Authorization",
    "traceparent",
)
ODD_FIELDS = tuple(itertools.product(FIELDS, ODD))


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("endpoint", RIGHT)
async def test_odd_headers(lite_population: Population, endpoint: str, step: int) -> None:
    """Whatever a header field contains, the response is one that the document lists for the endpoint, and no fault.
    With steps of five, each value of each field is sent to every fifth endpoint."""
    ask, announced = await Asker.at(lite_population, endpoint), catalogue.operations()[endpoint]["responses"]
    for name, value in ODD_FIELDS[[*RIGHT].index(endpoint) % step :: step]:
        headers = {key: text.encode() for key, text in ask.credential.items()} | {name: value}
        # A wrong body, or a doubled name in the query where there is no body, so that no action is performed.
        url = ask.path + ("?a=1&a=2" if ask.method != "GET" and not ask.body else "")
        content = b"{}" if ask.body else b""
        headers |= {"Content-Type": b"application/json"} if content else {}
        answer = await lite_population.the.http.request(ask.method, url, content=content, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code < 500, (name, value)
        assert str(answer.status_code) in announced, (name, value)
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            code_of(answer)


IDS = [
    "1",
    "%2e%2e",
    NOBODY[:-1],
    NOBODY + "0",
    NOBODY.replace("-", ""),
    NOBODY.replace("0", "g"),
    "%00" * 36,
    quote("é" * 36),
    quote("' OR '1'='1" + "a" * 25),
    "%ff" * 36,
    "0" * 5000,
    NOBODY.upper().replace("7", "A"),
    quote("\ud7ff" * 36),
    quote("\n".join("a" * 18)),
    "null",
    "%0a",
    quote(NOBODY[:-1] + "\n"),
]


async def test_odd_ids_in_a_path(the: The) -> None:
    anna = await the.person()
    before = await the.everything()
    for id_ in IDS:
        answer = await the.http.delete(f"/api/v1/me/sessions/{id_}", headers=anna.auth)
        assert answer.status_code in (404, 405, 422), id_
        code_of(answer)
    assert moved(before, await the.everything()) == []


async def test_the_largest_body_that_is_read(lite: The) -> None:
    """A body of exactly 64 KiB is read and one byte more is refused, with and without Content-Length."""
    right = json.dumps({"email": "anna@example.com"}).encode()
    fits = right + b" " * (64 * 1024 - len(right))

    async def chunked(content: bytes) -> Any:
        for start in range(0, len(content), 4096):
            yield content[start : start + 4096]

    make: list[Callable[[bytes], Any]] = [lambda content: content, chunked]
    for body in make:
        answer = await lite.http.post("/api/v1/signin", content=body(fits), headers=JSON)
        assert answer.status_code == 201
        answer = await lite.http.post("/api/v1/signin", content=body(fits + b" "), headers=JSON)
        assert (answer.status_code, code_of(answer)) == TOO_LARGE


async def test_refusals_never_repeat_the_input(tmp_path: Path) -> None:
    """This includes input that is well-formed JSON and refused for its meaning."""
    async with kit.running(kit.settings_for(tmp_path, tenancy="multi")) as the:
        anna = await the.person()
        tries = [
            await the.signup(f"{MARK}@@example.com"),
            await the.signup("a@example.com", MARK),
            await the.signup("a@example.com", tenant=MARK),
            await the.signup("a@example.com", new_tenant={"name": f"{MARK}!"}),
            await the.signup("a@example.com", new_tenant={MARK: MARK, "name": "acme"}),
            await the.start(step_up={"acr": MARK}),
            await the.http.post("/api/v1/signin", json={"step_up": {"acr": MARK}}, headers=anna.auth),
            await the.finish(handle_of(await the.start()), MARK),
            await the.prove(handle_of(await the.start("a@example.com")), "password", MARK),
            await the.prove(handle_of(await the.start("a@example.com")), MARK, MARK),
            await the.http.get(f"/{MARK}", headers={"X-Request-ID": f"{MARK}!"}),
            await the.http.request(MARK.upper(), "/api/v1/me"),
        ]
        for answer in tries:
            assert 400 <= answer.status_code < 500, answer.text
            assert MARK not in answer.text.lower()
