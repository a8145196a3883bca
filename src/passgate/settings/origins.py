"""Origins (RFC 6454), and the hosts that are this machine.

Not here: where pages stand (`core.site`), and what a request came from (`web.origin`).
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit


def origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be an origin such as https://id.example.com")
    # The form that a browser uses in Origin: lower case, without the default port.
    standard = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(standard)}"


LOOPBACK = re.compile(r"(?:[a-z0-9-]+\.)*localhost$")


def is_localhost(host: str) -> bool:
    """`localhost` or a name below it: names that browsers resolve to this machine."""
    return LOOPBACK.fullmatch(host.lower()) is not None


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def unix_path(host: str | None) -> Path | None:
    """Of `unix:/path/to/socket`, which stands where an address does."""
    return Path(host[len("unix:") :]) if host is not None and host.startswith("unix:") else None
