"""The one decoder for every body: JSON documents, forms and query strings, read strictly or refused.

What a field means never lives here, and nothing of what was sent is ever repeated in a message.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from passgate.errors import Malformed

MAX_BODY = 64 * 1024
"""Bytes. Whoever reads the socket stops there; the decoders below are linear in what they are given."""

MAX_DEPTH = 32
MAX_PAIRS = 100

_INT_RANGE = range(-(2**63), 2**63)  # what both databases hold
_BAD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # category Cc, and what no UTF-8 can carry
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# A string that never ends swallows the rest, so that hostile quotes cannot make this look twice at any byte.
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def decode_json(raw: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8 without a BOM.

    Raises Malformed for whatever two readers could read differently or a database could not hold: doubled
    names, NaN and the infinities, integers beyond 64 bits, more than 32 levels, lone surrogates, control
    characters even when escaped (I-JSON, RFC 7493 §2).
    """
    try:
        text = raw.decode()
        _check_depth(text)
        return _clean(_DECODER.decode(text))
    except ValueError:
        raise Malformed from None  # the cause holds the whole body


def decode_pairs(raw: bytes) -> dict[str, str]:
    """The pairs of a query string or an application/x-www-form-urlencoded body (WHATWG URL §5.1).

    Raises Malformed for broken escapes, bytes that are no UTF-8, doubled names, control characters and more
    than 100 pairs.
    """
    if raw.count(b"&") >= MAX_PAIRS or _BROKEN_ESCAPE.search(raw):
        raise Malformed
    try:
        return _once([_pair(part) for part in raw.split(b"&") if part])
    except ValueError:
        raise Malformed from None


def _pair(part: bytes) -> tuple[str, str]:
    name, _, value = part.replace(b"+", b" ").partition(b"=")
    return _text(unquote_to_bytes(name).decode()), _text(unquote_to_bytes(value).decode())


def _text(value: str) -> str:
    if _BAD.search(value):
        raise Malformed
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed
    return made


def _integer(digits: str) -> int:
    # The length first: turning digits into a number takes quadratic time.
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
    """Before parsing, because the parser recurses."""
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


def _clean(value: Any) -> Any:
    """The value itself, once every string in it has been looked at. Recurses at most 32 deep."""
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _text(name)
            _clean(member)
    elif isinstance(value, list):
        for member in value:
            _clean(member)
    return value
