"""The decoder of request bodies and query strings: what it reads and what it refuses. No endpoint is called here."""

from __future__ import annotations

import json
import time
import traceback
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.errors import Malformed
from passgate.wire.body import MAX_BODY, MAX_DEPTH, MAX_PAIRS, decode_json, decode_pairs

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)
LEAF = (
    st.none()
    | st.booleans()
    | TEXT
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(VALUE, st.booleans())
def test_what_json_writes_is_read_back(value: object, ascii_only: bool) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for decode in (decode_json, decode_pairs):
        try:
            decode(raw)
        except Malformed:
            continue


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  ",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"{}x",
        b"{",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"b":{"a":1,"a":2}}]',
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"1e400",
        b"-1e400",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"9" * 5000,
        b"1" + b"0" * 60_000,
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\xed\xa0\x80"',
        b'"\\u0000"',
        b'"\\n"',
        b'"a\tb"',
        b'"\\u0085"',
        b'"\x7f"',
        b'{"a\\u0000":1}',
        b'[["\\u001b"]]',
        b'"\xff"',
        b'"\xc0\x80"',
        '"é"'.encode("latin-1"),
        '{"a":1}'.encode("utf-16"),
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"[" * MAX_BODY,
        b'{"":' * (MAX_BODY // 4),
        b'["",' * (MAX_BODY // 4),
    ],
)
def test_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_json(raw)


def test_as_deep_as_allowed() -> None:
    decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(decode_json(json.dumps([[]] * 100).encode())) == 100
    assert decode_json(json.dumps(["[" * 100, '\\"[' * 50]).encode()) == ["[" * 100, '\\"[' * 50]


def test_pairs_of_surrogates_are_one_character() -> None:
    assert decode_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("unit", [b'"', b'\\"', b'"\\', b"[}", b'"[', b"1,", b"]["])
def test_hostile_bytes_take_linear_time(unit: bytes) -> None:
    raw = b"[" * 32 + b'"[[' + (unit * MAX_BODY)[:MAX_BODY]
    began = time.perf_counter()
    with pytest.raises(Malformed):
        decode_json(raw)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("raw", [b'{"password":"hush', b'{"hush":1,"hush":2}', b'"hush\xff"'])
def test_input_is_never_echoed(raw: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode_json(raw)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@given(st.dictionaries(TEXT, TEXT, max_size=MAX_PAIRS))
def test_pairs_are_read_back(pairs: dict[str, str]) -> None:
    assert decode_pairs(urlencode(pairs).encode()) == pairs


def test_pairs_read() -> None:
    assert decode_pairs(b"") == {}
    assert decode_pairs(b"a&b=&c=1=2&&d=+%2B") == {"a": "", "b": "", "c": "1=2", "d": " +"}


@pytest.mark.parametrize(
    "raw",
    [
        b"a=%",
        b"a=%2",
        b"a=%zz",
        b"%=1",
        b"a=1&a=2",
        b"a=1&%61=2",
        b"a=%ff",
        b"a=\xff",
        b"a=%ed%a0%80",
        b"a=%c0%80",
        b"a=%00",
        b"a=%0d%0a",
        b"a\x00=1",
        b"%7f=1",
        b"a=%c2%85",
        b"&".join(b"a%d=1" % count for count in range(MAX_PAIRS + 1)),
        b"&" * MAX_BODY,
    ],
)
def test_pairs_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_pairs(raw)
