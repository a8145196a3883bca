"""Binds the sockets that the server listens on, before anything else is opened. Not here: reading from them."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from passgate.errors import UnsafeSettings
from passgate.settings import Settings

log = logging.getLogger("passgate.serve")

_HERE = ("127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  only where the operator asks for it
_TRIES = 20


@contextmanager
def bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """`bind`, and close the sockets at the end."""
    made = bind(settings)
    try:
        yield made
    finally:
        for one in made:
            one.close()


def bind(settings: Settings) -> list[socket.socket]:
    """The two loopback addresses, or those of HOST. An address family that the machine lacks is skipped with a log
    line, if another one is left. PORT 0 chooses one free port for all of them."""
    wanted = _addresses(settings.host)
    for _ in range(_TRIES if settings.port == 0 else 1):
        made = _bind_all(wanted, settings.port)
        if made:
            return made
    raise UnsafeSettings([("ADDRESS_TAKEN", _taken(settings.port))])


def port_of(sockets: list[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1])


def addresses_of(sockets: list[socket.socket]) -> str:
    """`127.0.0.1:8000, [::1]:8000`."""
    return ", ".join(urlsplit(f"//{_bracketed(s.getsockname()[0])}:{s.getsockname()[1]}").netloc for s in sockets)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _addresses(host: str | None) -> tuple[str, ...]:
    """`::` means both families, each with a socket of its own, so that an IPv4 peer keeps its IPv4 address."""
    if host is None or host == "localhost":
        return _HERE
    if host == "::":
        return _EVERYWHERE
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UnsafeSettings([("ADDRESS_UNKNOWN", "PASSGATE_HOST is no address of this machine.")]) from None
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _bind_all(wanted: tuple[str, ...], port: int) -> list[socket.socket]:
    """Bind all of them to one port, or none."""
    made: list[socket.socket] = []
    try:
        for address in wanted:
            one = _bind_one(address, port_of(made) if made else port, is_last=address == wanted[-1] and not made)
            if one is not None:
                made.append(one)
        return made
    except OSError as fault:
        for one in made:
            one.close()
        if fault.errno == errno.EADDRINUSE:
            return []
        text = f"This address cannot be bound ({errno.errorcode.get(fault.errno or 0, 'unknown')})."
        raise UnsafeSettings([("ADDRESS_REFUSED", text)]) from None


def _bind_one(address: str, port: int, *, is_last: bool) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        if is_last:
            raise
        log.info("network not available", extra={"address": address})
        return None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.setblocking(False)
    except OSError as fault:
        made.close()
        if fault.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and not is_last:
            log.info("network not available", extra={"address": address})
            return None
        raise
    return made


def _taken(port: int) -> str:
    return f"Port {port} is in use. Stop what uses it, or choose another one with PASSGATE_PORT (make demo: PORT)."
