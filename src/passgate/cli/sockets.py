"""The sockets that the server listens on, before anything else is opened: bound to addresses or to a path, or inherited
from systemd. They listen from the first moment, because only that keeps an address for one program: the system lets two
bind it as long as neither listens. Who comes before the server is ready waits.

Not here: reading from them.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from passgate.errors import UnsafeSettings
from passgate.settings import Settings, is_loopback, unix_path
from passgate.settings.inherited import take_descriptors

log = logging.getLogger("passgate.serve")

_HERE = ("127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  only where the operator asks for it
_TRIES = 20
_UNKNOWN = "ADDRESS_UNKNOWN", "PASSGATE_HOST is no address of this machine. Unset it, or name one that the machine has."
_MODE = 0o660
"""Of a Unix socket: whoever may write to it counts as a trusted proxy."""


@contextmanager
def bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """`bind`, and close the sockets at the end. A path that was bound here is removed, unless a successor has it."""
    made, path, ours = _inherited(settings), None, None
    if not made:
        made, path = bind(settings), unix_path(settings.host)
        ours = path and _made(path)
    try:
        yield made
    finally:
        for one in made:
            one.close()
        if path is not None:
            with suppress(OSError), _alone(path.parent):
                if _made(path) == ours:
                    path.unlink()


def bind(settings: Settings) -> list[socket.socket]:
    """The two loopback addresses, or those of HOST, or its path. An address family that the machine lacks is skipped
    with a log line, if another one is left. PORT 0 chooses one free port for all of them."""
    if path := unix_path(settings.host):
        return [_bind_path(path)]
    wanted = _addresses(settings.host)
    for _ in range(_TRIES if settings.port == 0 else 1):
        made = _bind_all(wanted, settings.port)
        if made:
            return made
    raise _refused("ADDRESS_TAKEN", _taken(settings.port))


def port_of(sockets: list[socket.socket], settings: Settings) -> int:
    """Of the first that has one; otherwise that of the settings."""
    return next((int(one.getsockname()[1]) for one in sockets if one.family != socket.AF_UNIX), settings.port)


def addresses_of(sockets: list[socket.socket]) -> str:
    """`127.0.0.1:8000, [::1]:8000`."""
    return ", ".join(map(_address_of, sockets))


def _address_of(one: socket.socket) -> str:
    name = one.getsockname()
    return f"unix:{name}" if one.family == socket.AF_UNIX else urlsplit(f"//{_bracketed(name[0])}:{name[1]}").netloc


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refused(code: str, text: str) -> UnsafeSettings:
    return UnsafeSettings([(code, text)])


# -- inherited -------------------------------------------------------------------------------------


def _inherited(settings: Settings) -> list[socket.socket]:
    """Those that systemd opened for this very process; HOST and PORT are not used then."""
    made = [_taken_over(number) for number in take_descriptors()]
    if settings.is_development and not all(one.family == socket.AF_UNIX or _is_here(one) for one in made):
        raise _refused("DEVELOPMENT_BIND", "Development listens on this machine only, and so must inherited sockets.")
    return made


def _taken_over(number: int) -> socket.socket:
    try:
        made = socket.socket(fileno=number)
        if made.type == socket.SOCK_STREAM and made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            made.setblocking(False)
            os.set_inheritable(number, False)
            return made
        made.detach()
    except OSError:
        pass
    raise _refused("SOCKETS_INHERITED", f"Descriptor {number} of LISTEN_FDS is no listening stream socket.")


def _is_here(one: socket.socket) -> bool:
    return is_loopback(str(one.getsockname()[0]))


# -- a path ----------------------------------------------------------------------------------------


def _bind_path(path: Path) -> socket.socket:
    """What a server that was killed left there is replaced."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone(path.parent):
            _remove_stale(path)
            made.bind(os.fspath(path))
            path.chmod(_MODE)  # before `listen`, so nobody has connected yet
            made.listen()
        made.setblocking(False)
    except OSError as fault:
        made.close()
        if fault.errno == errno.EADDRINUSE:
            raise _refused("ADDRESS_TAKEN", f"{path} is in use. Stop what uses it, or change PASSGATE_HOST.") from None
        why = errno.errorcode.get(fault.errno or 0, str(fault))
        text = f"PASSGATE_HOST: no socket can be made at {path} ({why}). Both it and its folder must be of this user."
        raise _refused("ADDRESS_REFUSED", text) from None
    return made


def _made(path: Path) -> tuple[int, int]:
    """Which file it is, and since when: numbers of files that are gone come again."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other Passgate makes or removes a socket there meanwhile."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _remove_stale(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()


# -- addresses -------------------------------------------------------------------------------------


def _addresses(host: str | None) -> tuple[str, ...]:
    """`::` means both families, each with a socket of its own, so that an IPv4 peer keeps its IPv4 address."""
    if host is None or host == "localhost":
        return _HERE
    if host == "::":
        return _EVERYWHERE
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise _refused(*_UNKNOWN) from None
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _bind_all(wanted: tuple[str, ...], port: int) -> list[socket.socket]:
    """Bind all of them to one port, or none."""
    made: list[socket.socket] = []
    try:
        for address in wanted:
            one = _bind_one(address, _port(made) if made else port, is_last=address == wanted[-1] and not made)
            if one is not None:
                made.append(one)
        return made
    except OSError as fault:
        for one in made:
            one.close()
        if fault.errno == errno.EADDRINUSE:
            return []
        raise _refused(*_unbound(fault, port)) from None


def _port(made: list[socket.socket]) -> int:
    return int(made[0].getsockname()[1])


def _unbound(fault: OSError, port: int) -> tuple[str, str]:
    if fault.errno == errno.EADDRNOTAVAIL:
        return _UNKNOWN
    if fault.errno in (errno.EACCES, errno.EPERM) and port < 1024:
        return "ADDRESS_REFUSED", f"Port {port} needs a right that this user lacks. Set PASSGATE_PORT to 1024 or more."
    why = errno.errorcode.get(fault.errno or 0, "unknown")
    return "ADDRESS_REFUSED", f"The address of PASSGATE_HOST and PASSGATE_PORT can't be bound ({why})."


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
        made.listen()
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
