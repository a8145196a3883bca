"""The corpus of confused tokens, each one change away from a right one; and those whose claims or form are changed.

What a token is made from is in `confusion`, those with another header in `corpus_header`. What must refuse them is in
test_confusion here and in tests/web.
"""

from __future__ import annotations

import json
import string
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from passgate.access_token import LONGEST_LIFE
from passgate.jose import LONGEST
from tests.core.confusion import (
    LEFT_OUT,
    Confusion,
    Right,
    compact,
    of_claim,
    of_claims,
    of_header,
    of_raw_claims,
    of_text,
)
from tests.core.corpus_header import algorithms, headers, keys, kinds, signatures

MEGABYTE = 1_000_000
TEXTS = ("iss", "aud", "sub", "client_id", "jti", "sid", "tenant_id", "acr")
TIMES, LISTS = ("exp", "iat", "auth_time"), ("roles", "amr")

# -- claims ----------------------------------------------------------------------------------------


_STRANGE: tuple[Any, ...] = (None, True, {})


def types() -> Iterator[Confusion]:
    """Every claim is missing, or of another type."""
    for name in (*TEXTS, *TIMES, *LISTS):
        yield of_claims(f"no {name}", {name: LEFT_OUT})
        for value in (*_STRANGE, *_STRANGE_OF.get(name, (7, ""))):
            yield of_claims(f"{name} {str(value)[:20]!r}", {name: value})
    for value in (*_STRANGE, 7, "", *_STRANGE_OF["roles"]):  # may be left out
        yield of_claims(f"permissions {str(value)[:20]!r}", {"permissions": value})
    for name in TEXTS:
        yield _typed(f"{name} in a list", name, lambda value: [value])
        yield _typed(f"{name} in an object", name, lambda value: {"": value})
    for name in TIMES:
        yield _typed(f"{name} as text", name, str)
        yield _typed(f"{name} as a number with a point", name, float)
        yield _typed(f"{name} in a list", name, lambda value: [value])
        yield _typed(f"{name} negative", name, lambda value: -value)


_STRANGE_OF: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(TIMES, (2**53, 10**400)),
    **dict.fromkeys(LISTS, ("owner", [1], [None], [["owner"]])),
}


def _typed(name: str, claim: str, make: Callable[[Any], Any]) -> Confusion:
    return of_claim(name, claim, lambda right: make(right.claims[claim]))


def values() -> Iterator[Confusion]:
    """Claims of the right type that are wrong."""
    for claim, reason in (("iss", "issuer"), ("aud", "audience")):
        for name, make in _ADDRESSES.items():
            yield of_claim(f"{claim} {name}", claim, make, reason)
    yield of_claim("exp is now", "exp", lambda right: right.now, "expired")
    yield of_claims("exp long ago", {"exp": 1}, "expired")
    yield of_claims("exp 0", {"exp": 0}, "expired")
    yield of_claim("exp in milliseconds", "exp", lambda right: right.claims["exp"] * 1000, "times")
    yield of_claim("exp far away", "exp", lambda right: right.claims["iat"] + LONGEST_LIFE + 1, "times")
    yield of_claims("exp at the end of time", {"exp": 2**53 - 1}, "times")
    yield of_claim("iat in the future", "iat", lambda right: right.now + 61, "times")
    yield of_claims("iat long ago", {"iat": 0}, "times")
    yield of_claim("nbf in the past", "nbf", lambda right: right.now - 9)
    yield of_claim("nbf in the future", "nbf", lambda right: right.now + 9)
    yield of_claims("nbf null", {"nbf": None})
    yield Confusion("an ID token", "typ", lambda right: right.signed({"typ": "JWT"}, {"nonce": "n", "at_hash": "x"}))
    yield Confusion("a logout token", "typ", lambda right: right.signed({"typ": "logout+jwt"}, {"events": {}}))


_ADDRESSES: dict[str, Callable[[Right], str]] = {
    "of the attacker": lambda right: right.listener,
    "with a slash": lambda right: f"{right.claims['iss']}/",
    "with a blank": lambda right: f"{right.claims['iss']} ",
    "and NUL": lambda right: f"{right.claims['iss']}\0",
    "in upper case": lambda right: str(right.claims["iss"]).upper(),
    "and more": lambda right: f"{right.claims['iss']}.attacker.example",
    "over https": lambda right: str(right.claims["iss"]).replace("http://", "https://"),
    "of an endpoint": lambda right: f"{right.claims['iss']}/oauth2/token",
    "of the client": lambda right: str(right.claims["client_id"]),
}


def payloads() -> Iterator[Confusion]:
    for name, make in _PAYLOADS.items():
        yield of_raw_claims(f"the payload is {name}", "json", make)
    for claim in (*TEXTS, *TIMES, *LISTS):
        yield _doubled(claim)
    yield of_raw_claims("exp doubled by escape", "json", lambda raw: b'{"\\u0065xp":1,' + raw[1:])
    yield Confusion("a token in a token", "json", lambda right: right.signed(None, right.token.encode()))
    yield Confusion("no claims", "claims", lambda right: right.signed(None, b"{}"))


_PAYLOADS: dict[str, Callable[[bytes], bytes]] = {
    "in a list": lambda raw: b"[" + raw + b"]",
    "a text": lambda raw: compact(raw.decode()),
    "null": lambda _: b"null",
    "nothing": lambda _: b"",
    "followed by more": lambda raw: raw + b"x",
    "twice": lambda raw: raw + raw,
    "behind a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "in UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "not UTF-8": lambda raw: raw[:-1] + b',"x":"\xff"}',
    "with NaN": lambda raw: raw[:-1] + b',"x":NaN}',
    "with Infinity": lambda raw: raw[:-1] + b',"x":-Infinity}',
    "with a number of 5000 digits": lambda raw: raw[:-1] + b',"x":' + b"9" * 4400 + b"}",
    "with a doubled member further down": lambda raw: raw[:-1] + b',"x":{"a":1,"a":2}}',
    "with a comma too many": lambda raw: raw[:-1] + b",}",
}


def _doubled(claim: str) -> Confusion:
    """The same claim with the same value once more."""

    def make(right: Right) -> str:
        again = compact({claim: right.claims[claim]})[1:]
        return right.signed(None, compact(right.claims)[:-1] + b"," + again)

    return Confusion(f"{claim} doubled", "json", make)


# -- the form --------------------------------------------------------------------------------------


def forms() -> Iterator[Confusion]:
    for name, around in _AROUND.items():
        yield of_text(name, "encoding", around, fits_field=False)
    for name, (reason, make) in _FORMS.items():
        yield of_text(name, reason, make)
    yield Confusion("in the other alphabet", "encoding", _other_alphabet)
    for number, part in enumerate(("header", "payload", "signature")):
        yield _left(f"bits left over in the {part}", number)
    yield Confusion("flattened JSON", "parts", lambda right: json.dumps(_json_form(right)))
    yield Confusion("general JSON", "parts", lambda right: json.dumps({"signatures": [_json_form(right)]}))


_AROUND: dict[str, Callable[[str], str]] = {
    "a blank in front": lambda token: f" {token}",
    "a blank behind": lambda token: f"{token} ",
    "a line break behind": lambda token: f"{token}\n",
    "a tab behind": lambda token: f"{token}\t",
}
"""A header field has the same value with and without them."""

_FORMS: dict[str, tuple[str, Callable[[str], str]]] = {
    "a blank inside": ("encoding", lambda token: f"{token[:40]} {token[40:]}"),
    "a line break inside": ("encoding", lambda token: f"{token[:40]}\n{token[40:]}"),
    "in lines of 76": ("encoding", lambda token: "\r\n".join(textwrap.wrap(token, 76))),
    "NUL behind": ("encoding", lambda token: f"{token}\0"),
    "a letter that decoders pass over": ("encoding", lambda token: f"{token[:40]}*{token[40:]}"),
    "a space of no width inside": ("encoding", lambda token: f"{token[:40]}\u200b{token[40:]}"),
    "in quotes": ("encoding", lambda token: f'"{token}"'),
    "and another scheme": ("encoding", lambda token: f"Bearer {token}"),
    "padding of the header": ("encoding", lambda token: _part(token, 0, _padded)),
    "padding of the payload": ("encoding", lambda token: _part(token, 1, _padded)),
    "padding of the signature": ("encoding", lambda token: _part(token, 2, _padded)),
    "a sign of padding behind": ("encoding", lambda token: f"{token}="),
    "percent-encoded": ("parts", lambda token: token.replace(".", "%2E")),
    "a dot in front": ("parts", lambda token: f".{token}"),
    "a dot behind": ("parts", lambda token: f"{token}."),
    "four parts": ("parts", lambda token: f"{token}.AAAA"),
    "five parts, as if encrypted": ("parts", lambda token: f"{token}.AAAA.AAAA"),
    "two parts": ("parts", lambda token: token.rpartition(".")[0]),
    "without its header": ("parts", lambda token: token.partition(".")[2]),
    "two tokens": ("parts", lambda token: f"{token},{token}"),
    "two tokens with a blank": ("parts", lambda token: f"{token} {token}"),
    "slashes for dots": ("parts", lambda token: token.replace(".", "/")),
    "letters behind the signature": ("signature", lambda token: f"{token}AAAA"),
    "letters in front of it": ("json", lambda token: f"AAAA{token}"),
    "the payload is detached": ("signature", lambda token: _part(token, 1, lambda _: "")),
}


def _part(token: str, number: int, make: Callable[[str], str]) -> str:
    parts = token.split(".")
    return ".".join([*parts[:number], make(parts[number]), *parts[number + 1 :]])


def _padded(part: str) -> str:
    return part + "=" * (-len(part) % 4 or 4)


def _other_alphabet(right: Right) -> str:
    """The letters of base64 that are not those of base64url, where a token has one."""
    token = next(one for one in right.numbered() if set("-_") & set(one))
    return token.replace("-", "+").replace("_", "/")


def _left(name: str, number: int) -> Confusion:
    """The same bytes with another last letter. Only a part of some length has bits to spare: where a signature has
    none, the payload is changed."""
    letters = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}-_"

    def make(right: Right) -> str:
        tokens = [right.signed(compact(right.header) + b" " * n, compact(right.claims) + b" " * n) for n in range(3)]
        some = [(token, at) for at in (number, 1) for token in tokens if len(token.split(".")[at]) % 4]
        return _part(*some[0], lambda part: part[:-1] + letters[letters.index(part[-1]) ^ 1])

    return Confusion(name, "encoding", make)


def _json_form(right: Right) -> dict[str, str]:
    protected, payload, signature = right.token.split(".")
    return {"payload": payload, "protected": protected, "signature": signature}


def sizes() -> Iterator[Confusion]:
    yield of_claims("a megabyte of claims", {"more": "x" * MEGABYTE}, "size")
    yield of_text("a megabyte behind", "size", lambda token: token + "A" * MEGABYTE)
    yield of_header("a megabyte of header", {"kid": "k" * MEGABYTE}, "size")
    yield Confusion("a megabyte of letters", "size", lambda _: "eyJ" + "A" * MEGABYTE)
    yield Confusion("a megabyte of dots", "size", lambda _: "eyJ" + "." * MEGABYTE)
    yield of_claims("a little too long", {"more": "x" * (LONGEST * 3 // 4)}, "size")


# -- the session -----------------------------------------------------------------------------------

NOBODY = "00000000-0000-7000-8000-000000000000"


def sessions() -> Iterator[Confusion]:
    """Signed by us, and yet of no session: only whoever finds the session can refuse them."""
    for text in ("unknown", NOBODY, "' OR '1'='1", "../x", "\0", "é", "%"):
        yield of_claims(f"sid {text!r}", {"sid": text}, "")
    for name in ("somebody else", "another tenant", "a bearer"):
        yield _of_others(f"sid of {name}", "sid", name)
    for claim in ("sub", "tenant_id"):
        yield of_claims(f"an unknown {claim}", {claim: NOBODY}, "")
        yield _of_others(f"another {claim}", claim, claim)
        yield _upper(claim)
    yield of_claim("sub of the client", "sub", lambda right: right.claims["client_id"], "")


def superseded() -> Iterator[Confusion]:
    """Of a session as it was at another time."""
    for seconds in (-1, 1, 3600):
        yield _earlier(seconds)
    yield _of_others("sid of an ended session", "sid", "ended", "session_ended")


def _of_others(name: str, claim: str, whose: str, code: str = "credential_invalid") -> Confusion:
    return of_claim(name, claim, lambda right: right.others[whose], "", code)


def _upper(claim: str) -> Confusion:
    return of_claim(f"{claim} in upper case", claim, lambda right: str(right.claims[claim]).upper(), "")


def _earlier(seconds: int) -> Confusion:
    def make(right: Right) -> int:
        return int(right.claims["auth_time"]) + seconds

    return of_claim(f"auth_time {seconds:+}", "auth_time", make, "", "session_ended")


CORPUS = (
    *algorithms(),
    *signatures(),
    *keys(),
    *headers(),
    *kinds(),
    *types(),
    *values(),
    *payloads(),
    *forms(),
    *sizes(),
    *sessions(),
    *superseded(),
)
