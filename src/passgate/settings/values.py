"""How values are written: durations, sizes, choices, lists, networks, addresses to bind to, senders of mail.

Not here: origins (`origins`), database URLs (`database`), and which setting has which kind of value (`model`).
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field

_LONGEST = 36525 * 86400
"""A hundred years. Instants are microseconds in 64 bits."""

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_SPELLINGS = {
    **{f"{name}{ending}": name[0] for name in ("week", "day", "hour", "minute", "second") for ending in ("", "s")},
    **{name: name for name in _UNITS},
    **{"hr": "h", "hrs": "h", "min": "m", "mins": "m", "sec": "s", "secs": "s"},
}
_DURATION_PART = re.compile(r"(\d{1,9})\s*([a-z]+)\s*", re.ASCII)


def seconds(value: object) -> object:
    """`90s`, `90 S`, `60m`, `24h`, `30d`, `1h30m`, `5 minutes`, or a bare number of seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if re.fullmatch(r"\d{1,10}", text, re.ASCII):
        return int(text)
    total, place, last = 0, 0, len(_UNITS)
    while place < len(text):
        part = _DURATION_PART.match(text, place)
        unit = _SPELLINGS.get(part[2]) if part else None
        # From the largest unit to the smallest, each once: `30m1h` is more likely a slip than a duration.
        if part is None or unit is None or (rank := len(_UNITS) - list(_UNITS).index(unit)) > last:
            _no_duration()
        total, place, last = total + int(part[1]) * _UNITS[unit], part.end(), rank - 1
    if not text:
        _no_duration()
    return total


def _no_duration() -> NoReturn:
    raise ValueError("must be a duration such as 90s, 60m, 24h, 30d or 1h30m")


_SIZES = {"k": 1, "m": 1024, "g": 1024 * 1024}
_SIZE = re.compile(r"(\d{1,9})\s*([kmg])(?:i?b)?", re.ASCII)


def kib(value: object) -> object:
    """`19456`, `19456KiB`, `19 MiB`: a number of KiB."""
    if isinstance(value, str) and (size := _SIZE.fullmatch(value.strip().lower())):
        return int(size[1]) * _SIZES[size[2]]
    return value


class AnyCase:
    """One of these words, in whatever case it is written."""

    def __init__(self, *names: str) -> None:
        self._names = {name.lower(): name for name in names}

    def __call__(self, value: object) -> object:
        return self._names.get(value.strip().lower(), value) if isinstance(value, str) else value


def str_list(value: object) -> object:
    """A JSON list, or values separated by commas or blanks."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [word for word in re.split(r"[,\s]+", value) if word]
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError("must be a JSON list of texts, or values separated by commas")
    return found


UNIX = "unix"
"""Among trusted proxies: whoever reaches us through a Unix socket."""


def networks(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_network(value) for value in values))


def _network(value: str) -> str:
    if value.lower() == UNIX:
        return UNIX
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError("must list addresses or networks such as 10.0.0.0/8, or unix") from None


_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*", re.ASCII
)


def bind_address(value: str) -> str:
    """An IP address, also in brackets, a name, or the path of a Unix socket."""
    bare = value.strip()
    if bare.startswith(f"{UNIX}:/"):
        return bare
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if _HOST_NAME.fullmatch(bare) is None or bare.replace(".", "").isdigit():
            raise ValueError("must be an address such as 0.0.0.0 or ::, without a port") from None
        return bare.lower()


def sender(value: str) -> str:
    """Checked, and as it was written."""
    sender_parts(value)
    return value.strip()


_SENDER = re.compile(r"(?P<name>.*?)<(?P<address>[^<>]*)>", re.DOTALL)
_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]]{1,64}@[^\s@<>,;:\"\\()]{1,255}")


def sender_parts(value: str) -> tuple[str, str]:
    """Name and address of `Acme, Inc. <id@acme.com>`. Nobody quotes the name as RFC 5322 asks for, so it is whatever is
    before the address, commas and colons included; quotes around all of it are taken off."""
    text = value.strip()
    found = _SENDER.fullmatch(text)
    name, address = (found["name"].strip(), found["address"].strip()) if found else ("", text)
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    if _ADDRESS.fullmatch(address) is None or re.search(r"[\x00-\x1f\x7f]", name):
        raise ValueError("must be an address, or a name and an address as in Acme, Inc. <id@acme.com>")
    return name, address


_MAIL = ("dev", "console", "dev+console", "smtp", "smtps", "smtp+starttls")


def mail_url(value: str) -> str:
    """With the scheme in lower case; what follows it may have a password in it and is read by whoever connects."""
    scheme, colon, rest = value.strip().partition(":")
    if not colon or scheme.lower() not in _MAIL:
        raise ValueError("must begin with smtp+starttls://, smtps:// or smtp://, or be dev:, console: or dev+console:")
    return f"{scheme.lower()}:{rest}"


_WEB_URL = re.compile(r"https?://[^\s/?#@\\]+(/[^\s#\\]*)?", re.IGNORECASE)


def web_url(value: str) -> str:
    """Of a service that we ask."""
    if _WEB_URL.fullmatch(value.strip()) is None:
        raise ValueError("must be a URL such as https://api.pwnedpasswords.com/range/, without user and fragment")
    return value.strip()


Seconds = Annotated[int, BeforeValidator(seconds), Field(gt=0, le=_LONGEST)]
Pause = Annotated[int, BeforeValidator(seconds), Field(ge=0, le=_LONGEST)]
Kib = Annotated[int, BeforeValidator(kib)]
StrList = Annotated[tuple[str, ...], BeforeValidator(str_list)]
Many = Annotated[int, Field(ge=1, le=1_000_000)]
BindAddress = Annotated[str, AfterValidator(bind_address)]
MailUrl = Annotated[str, AfterValidator(mail_url)]
WebUrl = Annotated[str, AfterValidator(web_url)]
Sender = Annotated[str, AfterValidator(sender)]
Networks = Annotated[StrList, AfterValidator(networks)]
