"""The strict decoder for every request body and query string: JSON, forms, URL-encoded pairs.

Not here: what a field means. No error message ever repeats any part of the input.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from passgate.errors import Malformed

MAX_BODY = 64 * 1024
"""Bytes. The code that reads the socket enforces it; the decoders below take linear time."""

DECODED = "passgate.decoded"
"""Where in the ASGI scope the decoded body stands: of a form its fields, of JSON its value."""

MAX_DEPTH = 32
MAX_PAIRS = 100

_INT_RANGE = range(-(2**63), 2**63)  # the 64-bit integer of both databases
_BAD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # category Cc, and surrogates, which UTF-8 cannot encode
_BAD_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
PROFILE = "profile"
"""The member of a body that may have line breaks and tabs in it. Which of its texts may is known where it is checked
(`core.profile`). In a form the names of its fields begin with `profile.`."""
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# An unterminated string matches to the end of the text, so that hostile quotes cannot cause backtracking.
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def decode_json(raw: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8 without a BOM.

    Raises Malformed for anything that two parsers could read differently or that a database cannot store: duplicate
    names, NaN and infinities, integers beyond 64 bits, more than 32 levels of nesting, lone surrogates, control
    characters even when escaped (I-JSON, RFC 7493 §2), but for lines in a profile.
    """
    try:
        text = raw.decode()
        _check_depth(text)
        value = _DECODER.decode(text)
    except ValueError:
        raise Malformed from None  # the cause contains the whole body
    if isinstance(value, dict) and PROFILE in value:
        _clean({**value, PROFILE: None})
        _clean(value[PROFILE], _BAD_IN_LINES)
    else:
        _clean(value)
    return value


def decode_pairs(raw: bytes) -> dict[str, str]:
    """The pairs of a query string or an application/x-www-form-urlencoded body (WHATWG URL §5.1).

    Raises Malformed for broken escapes, invalid UTF-8, duplicate names, control characters and more than 100 pairs.
    """
    if raw.count(b"&") >= MAX_PAIRS or _BROKEN_ESCAPE.search(raw):
        raise Malformed
    try:
        return _once([_pair(part) for part in raw.split(b"&") if part])
    except ValueError:
        raise Malformed from None


def _pair(part: bytes) -> tuple[str, str]:
    given, _, value = part.replace(b"+", b" ").partition(b"=")
    name, text = _text(unquote_to_bytes(given).decode()), unquote_to_bytes(value).decode()
    if not name.startswith(PROFILE + "."):
        return name, _text(text)
    return name, _text(text.replace("\r\n", "\n"), _BAD_IN_LINES)  # as browsers send what a text area has


def _text(value: str, bad: re.Pattern[str] = _BAD) -> str:
    if bad.search(value):
        raise Malformed
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed
    return made


def _integer(digits: str) -> int:
    # Check the length first: int() takes quadratic time.
    if len(digits) > 20 or (value := int(digits)) not in _INT_RANGE:
        raise Malformed
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise Malformed
    return value


def _constant(_name: str) -> NoReturn:
    raise Malformed


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _check_depth(text: str) -> None:
    """Runs before parsing, because the parser is recursive."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKET.finditer(text):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise Malformed


def _clean(value: Any, bad: re.Pattern[str] = _BAD) -> None:
    """Check every string in the value. Recurses at most 32 levels."""
    if isinstance(value, str):
        _text(value, bad)
    elif isinstance(value, dict):
        for name, member in value.items():
            _text(name)
            _clean(member, bad)
    elif isinstance(value, list):
        for member in value:
            _clean(member, bad)
