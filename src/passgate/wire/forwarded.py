"""Where a request comes from, if trusted proxies passed it on: X-Forwarded-For in every form that proxies write it, and
Forwarded (RFC 7239) where that is missing. Nothing else's word counts, and a hop that cannot be read ends the reading.

Not here: which proxies are trusted, which is a setting.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers

UNTRUSTED = "all visitors of an unknown proxy count as one, and wrong answers of one shut out the others."
_LONGEST = 4096
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_PAIR = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*")+')
_PORT = re.compile(r":\d{1,5}")


class Proxies:
    """Those whose forwarding fields are believed: networks, and a word for whoever comes through a Unix socket."""

    def __init__(self, trusted: Iterable[str]) -> None:
        named = list(trusted)
        self._networks = [ipaddress.ip_network(one) for one in named if "/" in one]
        self._has_unix = len(named) > len(self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks) or self._has_unix

    def trust(self, peer: str) -> bool:
        """`peer`: an IP address in its canonical spelling, or "" for a Unix socket."""
        if not peer:
            return self._has_unix
        try:
            ip = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def client(self, peer: str, headers: Headers) -> str:
        """The address of whoever the nearest proxy that is not trusted, or the visitor, is; the peer's own if it is not
        trusted."""
        ip = peer
        if self.trust(peer):
            for hop in _hops(headers):
                if not hop:
                    break
                ip = hop
                if not self.trust(hop):
                    break
        return ip


def _hops(headers: Headers) -> Iterator[str]:
    """The addresses that proxies wrote down, the nearest first; "" for one that is hidden or cannot be read."""
    if fields := headers.getlist("x-forwarded-for"):
        written: Iterable[str] = ",".join(fields)[-_LONGEST:].split(",")
    else:
        written = _of_forwarded(",".join(headers.getlist("forwarded")))
    return (address(part) for part in reversed([part.strip() for part in written]) if part)


def _of_forwarded(field: str) -> list[str]:
    """The `for` of each element of Forwarded; `unknown` for one without. Nothing of a field that is too long, or in
    which quotes do not match."""
    if len(field) > _LONGEST or field.count('"') % 2:
        return []
    found = []
    for element in _ELEMENT.findall(field):
        pairs = [pair.strip().partition("=") for pair in _PAIR.findall(element)]
        named = [value for name, _, value in pairs if name.strip().lower() == "for"]
        if element.strip():
            found.append(named[0] if len(named) == 1 else "unknown")
    return found


@lru_cache(1024)
def address(text: str) -> str:
    """The canonical spelling of an IP address, or "" for anything else. Written with a port, in brackets, in quotes
    (RFC 7239 §6). An IPv4-mapped IPv6 address (from a dual-stack socket) becomes IPv4; the zone, which may be arbitrary
    text, is dropped."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or (port and not _PORT.fullmatch(port)):
            return ""
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _PORT.fullmatch(f":{port}"):
            return ""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(ip.ipv4_mapped if ip.version == 6 and ip.ipv4_mapped else ip)
