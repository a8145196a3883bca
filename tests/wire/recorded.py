"""What clients send that these tests do not need as programs, byte by byte.

Recorded in November 2026 on a socket that answers each request, and `Expect` with 100 first: a list is one connection,
and each of its segments what arrived at once. By
- Go 1.19.8, `net/http`; chunked from an `io.Pipe`;
- Python 3.11 with aiohttp 3.8.4; chunked from an asynchronous generator;
- Ruby 3.1.2, `Net::HTTP`; chunked from a stream;
- PHP 8.2.36, `file_get_contents`;
- Perl 5.36 with LWP 6.68 (once with `keep_alive`) and with HTTP::Tiny 0.080; chunked from a function;
- GNU Wget 1.21.3.

Not here: anything that was thought up (`test_upgrade`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recorded:
    statuses: list[int]
    """Of the answers that are final."""
    segments: list[bytes]


RECORDED: dict[str, Recorded] = {
    "go get": Recorded(
        [200],
        [
            b"GET /healthz HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Accept-Encoding: gzip\r\n\r\n",
        ],
    ),
    "go post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Content-Length: 27\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept-Encoding: gzip\r\n\r\n"
            b'{"email":"you@example.com"}',
        ],
    ),
    "go chunked": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept-Encoding: gzip\r\n\r\n",
            b'5\r\n{"ema\r\n',
            b'16\r\nil":"you@example.com"}\r\n0\r\n\r\n',
        ],
    ),
    "go expect": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Content-Length: 27\r\n"
            b"Content-Type: application/json\r\n"
            b"Expect: 100-continue\r\n"
            b"Accept-Encoding: gzip\r\n\r\n",
            b'{"email":"you@example.com"}',
        ],
    ),
    "go empty, then get": Recorded(
        [422, 200],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Content-Length: 0\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept-Encoding: gzip\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Accept-Encoding: gzip\r\n\r\n",
        ],
    ),
    "aiohttp post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"User-Agent: Python/3.11 aiohttp/3.8.4\r\n"
            b"Content-Length: 28\r\n"
            b"Content-Type: application/json\r\n\r\n",
            b'{"email": "you@example.com"}',
        ],
    ),
    "aiohttp chunked": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"User-Agent: Python/3.11 aiohttp/3.8.4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            b'5\r\n{"ema\r\n',
            b'16\r\nil":"you@example.com"}\r\n0\r\n\r\n',
        ],
    ),
    "aiohttp expect": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"User-Agent: Python/3.11 aiohttp/3.8.4\r\n"
            b"Content-Length: 27\r\n"
            b"Expect: 100-continue\r\n\r\n",
            b'{"email":"you@example.com"}',
        ],
    ),
    "ruby post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"
            b"Accept: */*\r\n"
            b"User-Agent: Ruby\r\n"
            b"Host: localhost:8000\r\n"
            b"Content-Length: 27\r\n\r\n",
            b'{"email":"you@example.com"}',
        ],
    ),
    "ruby chunked": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"
            b"Accept: */*\r\n"
            b"User-Agent: Ruby\r\n"
            b"Host: localhost:8000\r\n\r\n",
            b"1b\r\n",
            b'{"email":"you@example.com"}',
            b"\r\n",
            b"0\r\n\r\n",
        ],
    ),
    "ruby expect": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Expect: 100-continue\r\n"
            b"Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"
            b"Accept: */*\r\n"
            b"User-Agent: Ruby\r\n"
            b"Host: localhost:8000\r\n"
            b"Content-Length: 27\r\n\r\n",
            b'{"email":"you@example.com"}',
        ],
    ),
    "php get": Recorded(
        [200],
        [
            b"GET /healthz HTTP/1.1\r\nHost: localhost:8000\r\nConnection: close\r\n\r\n",
        ],
    ),
    "php post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"Connection: close\r\n"
            b"Content-Length: 27\r\n"
            b"Content-Type: application/json\r\n\r\n"
            b'{"email":"you@example.com"}',
        ],
    ),
    "lwp get": Recorded(
        [200],
        [
            b"GET /healthz HTTP/1.1\r\n"
            b"TE: deflate,gzip;q=0.3\r\n"
            b"Connection: TE, close\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: libwww-perl/6.68\r\n\r\n",
        ],
    ),
    "lwp post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"TE: deflate,gzip;q=0.3\r\n"
            b"Connection: TE, close\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: libwww-perl/6.68\r\n"
            b"Content-Length: 27\r\n"
            b"Content-Type: application/json\r\n\r\n"
            b'{"email":"you@example.com"}',
        ],
    ),
    "lwp post, then get": Recorded(
        [201, 200],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"TE: deflate,gzip;q=0.3\r\n"
            b"Keep-Alive: 300\r\n"
            b"Connection: Keep-Alive, TE\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: libwww-perl/6.68\r\n"
            b"Content-Length: 27\r\n"
            b"Content-Type: application/json\r\n\r\n"
            b'{"email":"you@example.com"}',
            b"GET /healthz HTTP/1.1\r\n"
            b"TE: deflate,gzip;q=0.3\r\n"
            b"Connection: TE\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: libwww-perl/6.68\r\n\r\n",
        ],
    ),
    "lwp chunked": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"TE: deflate,gzip;q=0.3\r\n"
            b"Connection: TE, close\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: libwww-perl/6.68\r\n"
            b"Content-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
            b"5\r\n"
            b'{"ema\r\n',
            b'16\r\nil":"you@example.com"}\r\n',
            b"0\r\n\r\n",
        ],
    ),
    "tiny post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 27\r\n"
            b"User-Agent: HTTP-Tiny/0.080\r\n\r\n",
            b'{"email":"you@example.com"}',
        ],
    ),
    "tiny chunked": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: HTTP-Tiny/0.080\r\n"
            b"Content-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            b'5\r\n{"ema\r\n',
            b'16\r\nil":"you@example.com"}\r\n',
            b"0\r\n",
            b"\r\n",
        ],
    ),
    "wget get": Recorded(
        [200],
        [
            b"GET /healthz HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Wget/1.21.3\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Connection: Keep-Alive\r\n\r\n",
        ],
    ),
    "wget post": Recorded(
        [201],
        [
            b"POST /api/v1/signin HTTP/1.1\r\n"
            b"Host: localhost:8000\r\n"
            b"User-Agent: Wget/1.21.3\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Connection: Keep-Alive\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 27\r\n\r\n"
            b'{"email":"you@example.com"}',
        ],
    ),
}
