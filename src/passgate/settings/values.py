"""How values are written: durations, lists and networks.

Not here: origins (`origins`), and which setting has which kind of value (`model`).
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: object) -> object:
    """`90s`, `60m`, `24h`, `30d`, or a bare number of seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,9})([smhd]?)", value.strip())):
        return int(match[1]) * _UNITS[match[2] or "s"]
    return value


def str_list(value: object) -> object:
    """A JSON list, or values separated by commas or blanks."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word for word in re.split(r"[,\s]+", value) if word]


UNIX = "unix"
"""Among trusted proxies: whoever reaches us through a Unix socket."""


def networks(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value if value == UNIX else str(ipaddress.ip_network(value, strict=False)) for value in values)


Seconds = Annotated[int, BeforeValidator(seconds), Field(gt=0)]
Pause = Annotated[int, BeforeValidator(seconds), Field(ge=0)]
StrList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(str_list)]
