"""`Upgrade` is ignored (RFC 9110 §7.8), and never more is answered than was asked: whatever lengths, encodings and
segments a request comes in.

Not here: what the endpoints do, and real clients (`test_clients`).
"""

from __future__ import annotations

import pytest

from tests.cli.shell import Running
from tests.wire.raw import head, send, send_each, split

JSON = "Content-Type: application/json"
BODY = b'{"email":"you@example.com"}'
GET = head("GET", "/healthz")
UPGRADES = {
    "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    "websocket": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AA=="),
    "tls": ("Upgrade: TLS/1.0", "Connection: keep-alive, upgrade"),
    "two": ("Connection: upgrade", "Upgrade: h2c", "Connection: keep-alive", "Upgrade: foo"),
    "anything": ("connection: UPGRADE", "upgrade: " + "x" * 500),
}
"""As the JDK's HttpClient, curl, browsers and printers send it."""


@pytest.mark.parametrize("name", UPGRADES)
def test_the_body_of_a_request_is_its_body(server: Running, name: str) -> None:
    """In one segment, in two, byte by byte; with a request after it."""
    asked = head("POST", "/api/v1/signin", JSON, *UPGRADES[name], length=len(BODY))
    whole = asked + BODY
    cases = [[whole], [asked, BODY], [*split(whole, 20, len(asked) - 1, len(asked) + 3)], [whole + GET]]
    for segments, heard in zip(cases, send_each(server.port, cases, 0.3), strict=True):
        statuses = [201, 200] if segments == [whole + GET] else [201]
        assert (heard.statuses, heard.rest, heard.is_reset) == (statuses, b"", False)
        assert b'"handle":"pg_sin_' in heard.responses[0].body


@pytest.mark.parametrize("name", UPGRADES)
def test_chunked_bodies_too(server: Running, name: str) -> None:
    asked = head("POST", "/api/v1/signin", JSON, "Transfer-Encoding: chunked", *UPGRADES[name])
    chunks = b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n"
    cases = [[asked + chunks], [asked, chunks], [asked, *split(chunks, 2, 7, 12)], [asked, chunks + GET]]
    for segments, heard in zip(cases, send_each(server.port, cases, 0.3), strict=True):
        assert heard.statuses[0] == 201
        assert heard.statuses[1:] == ([200] if segments[-1].endswith(GET) else [])


@pytest.mark.parametrize("name", UPGRADES)
def test_a_body_is_never_the_next_request(server: Running, name: str) -> None:
    """What looks like a request, and comes as a body in a segment of its own, is refused as a body."""
    hidden = head("GET", "/readyz", "X-Hidden: 1")
    for fields in ([f"Content-Length: {len(hidden)}"], ["Transfer-Encoding: chunked"]):
        asked = head("POST", "/api/v1/signin", JSON, *fields, *UPGRADES[name])
        body = hidden if "Length" in fields[0] else b"%x\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n"
        for heard in send_each(server.port, [[asked, body], [asked + body], [asked, *split(body, 4, 9)]], 0.3):
            assert (heard.statuses, heard.rest) == ([400], b"")


def test_without_a_body_it_is_any_request(server: Running) -> None:
    for heard in send_each(server.port, [[head("GET", "/healthz", *one) + GET] for one in UPGRADES.values()], 0.3):
        assert heard.statuses == [200, 200]
    assert send(server.port, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n").statuses == [400]


# -- never more answers than requests --------------------------------------------------------------

HIDDEN = head("GET", "/readyz")
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def post(*fields: str, body: bytes = b"12345", length: int | None = None) -> bytes:
    return head("POST", "/api/v1/signin", JSON, *fields, length=length) + body


def chunked(body: bytes, coding: str = "chunked") -> bytes:
    return post(f"Transfer-Encoding: {coding}", body=body)


END = b"0\r\n\r\n"
SMUGGLED: dict[str, tuple[bytes, int]] = {
    "both lengths": (post("Transfer-Encoding: chunked", body=END, length=3), 1),
    "two lengths": (post("Content-Length: 5", body=b"", length=len(HIDDEN)), 1),
    "a list of lengths": (post("Content-Length: 5, 5"), 1),
    "a signed length": (post("Content-Length: +5"), 1),
    "a hexadecimal length": (post("Content-Length: 0x5"), 1),
    "a negative length": (post("Content-Length: -1"), 1),
    "a huge length": (post("Content-Length: " + "9" * 40), 1),
    "a blank before the colon": (post("Content-Length : 5"), 1),
    "a folded field": (post("Content-Length:\r\n 5"), 2),
    "chunked twice": (chunked(END, "chunked, chunked"), 1),
    "not chunked last": (chunked(END, "chunked, identity"), 1),
    "an unknown coding": (chunked(END, "xchunked"), 1),
    "a chunk with a sign": (chunked(b"+0\r\n\r\n"), 1),
    "a chunk of 2^64": (chunked(b"10000000000000000\r\n"), 1),
    "a chunk that ends late": (chunked(b"1\r\nab\r\n" + END), 1),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 1),
    "a bare carriage return": (PROBE + b"X: a\rContent-Length: 5\r\n\r\n", 2),
    "a NUL": (PROBE + b"X: a\0b\r\n\r\n", 1),
    "a length at a GET": (head("GET", "/healthz", length=len(HIDDEN)), 1),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 1),
    "two versions": (b"GET /healthz HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
    "after close": (head("GET", "/healthz", "Connection: close"), 1),
    "a response": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1),
    "an announced body": (post("Expect: 100-continue", body=BODY, length=len(BODY)), 2),
}
"""What stands before a request that must not be seen, and how many requests a reader may find in all at most."""


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_more_answers_than_requests(server: Running, name: str) -> None:
    """In one segment, in two, and cut in the middle of the head; what is not understood ends the connection."""
    before, most = SMUGGLED[name]
    cases = [[before + HIDDEN], [before, HIDDEN], [*split(before + HIDDEN, 30, len(before) + 5)]]
    for heard in send_each(server.port, cases, 0.3):
        final = [response for response in heard.responses if response.status >= 200]
        assert len(final) <= most, heard
        assert most == 2 or not any(b"parts" in response.body for response in final)
        assert heard.rest == b""


def test_pipelined_requests_are_answered_in_their_order(server: Running) -> None:
    post = head("POST", "/api/v1/signin", JSON, length=len(BODY)) + BODY
    heard = send(server.port, GET + post + head("GET", "/nowhere") + GET, patience=0.5)
    assert heard.statuses == [200, 201, 404, 200]
    heard = send(server.port, post + b"NOT HTTP\r\n\r\n", patience=3)
    assert (heard.statuses, heard.is_reset) == ([201], False)


# -- early answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_a_client_that_is_still_sending_hears_the_answer(server: Running, fields: tuple[str, ...]) -> None:
    """As urllib, which closes, and others, which do not. A megabyte is read for that, and no more."""
    asked = head("POST", "/api/v1/signin", JSON, *fields, length=1_000_000)
    for _ in range(5):
        heard = send(server.port, asked, *[b"x" * 100_000] * 10, pause=0.005)
        assert (heard.statuses, heard.is_reset) == ([413], False)
    endless = head("POST", "/api/v1/signin", JSON, *fields, length=10**12)
    heard = send(server.port, endless, *[b"x" * 1_000_000] * 40, pause=0.01, patience=3)
    assert heard.is_reset or heard.statuses == [413]
    assert heard.after < 3


def test_what_cannot_be_parsed_is_a_problem_document(server: Running) -> None:
    heard = send(server.port, b"\x16\x03\x01\x02\x00\x01\x00\x01", patience=3)
    [answer] = heard.responses
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert (len(answer.headers["x-request-id"]), answer.headers["connection"]) == (16, "close")
