"""Origins (RFC 6454) in the one form in which a browser sends them, and the hosts that are this machine.

Not here: where pages stand (`core.site`), and what a request came from (`web.origin`).
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

_HOST = r"\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\%*]+"
_ORIGIN = re.compile(rf"(?P<scheme>[a-z]+)://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_WRONG = "must be an origin such as https://id.example.com, without a user, a path or anything else"


def origin(value: str) -> str:
    """Lower case, international names as A-labels, without the default port. ValueError for anything but an http or
    https origin."""
    found = _ORIGIN.fullmatch(value.strip())
    scheme = found["scheme"].lower() if found else ""
    if found is None or scheme not in _DEFAULT_PORTS:
        raise ValueError(_WRONG)
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(_WRONG)
    return f"{scheme}://{_host(found['host'])}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")


def _host(written: str) -> str:
    """As a browser writes it."""
    try:
        if written.startswith("["):
            return f"[{ipaddress.IPv6Address(written[1:-1])}]"
        name = written.lower() if written.isascii() else _a_labels(written)
        if name.rpartition(".")[2].isdigit() or name.rpartition(".")[2].startswith(
            "0x"
        ):  # WHATWG URL: "ends in a number"
            return str(ipaddress.IPv4Address(name))
    except ValueError:
        raise ValueError(_WRONG) from None
    if len(name) > 253 or _LABELS.fullmatch(name) is None:
        raise ValueError(_WRONG)
    return name


def _a_labels(name: str) -> str:
    import idna  # noqa: PLC0415  its tables take a while, and few need them

    return idna.encode(name, uts46=True, transitional=False).decode()


_NOT_WEB = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://[a-z0-9._-]+", re.ASCII)
"""Programs that show web pages of their own: `capacitor://localhost`, `tauri://localhost`."""


def calling_origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """Origins that may call the API. `*` and `null` are for `refusals` to refuse."""
    return tuple(dict.fromkeys(_calling_origin(value) for value in values))


def _calling_origin(value: str) -> str:
    lower = value.strip().lower().removesuffix("/")
    return lower if lower in ("*", "null") or _NOT_WEB.fullmatch(lower) else origin(value)


_LOOPBACK = re.compile(r"(?:[a-z0-9-]+\.)*localhost$")


def is_localhost(host: str) -> bool:
    """`localhost` or a name below it: names that browsers resolve to this machine."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def can_have_passkeys(host: str) -> bool:
    """A relying party is named by a valid domain, which no address is (WebAuthn §5.1.2)."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "_" not in host
    return False


def unix_path(host: str | None) -> Path | None:
    """Of `unix:/path/to/socket`, which stands where an address does."""
    return Path(host[len("unix:") :]) if host is not None and host.startswith("unix:") else None
