"""Confused tokens whose header or signature is changed: the algorithm, the signature, the key and where it comes from,
extensions, the kind of token.

What a token is made from is in `confusion`; those with changed claims are in `corpus`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.authenticator import b64
from tests.core.confusion import (
    ATTACKER,
    LEFT_OUT,
    Confusion,
    Members,
    Right,
    certificate,
    compact,
    fingerprint,
    of_header,
    of_raw_header,
    of_signature,
    signature,
    spellings,
)

_STRANGE: tuple[Any, ...] = (None, True, 7, [], ["x"], {})

# -- the algorithm ---------------------------------------------------------------------------------


def algorithms() -> Iterator[Confusion]:
    for name in ("none", "None", "NONE", "nOnE", "none ", ""):
        yield _unsigned(name)
        yield of_header(f"alg {name!r} with the signature", {"alg": name}, "alg")
    yield Confusion("alg none and two parts", "parts", lambda right: right.unsigned({"alg": "none"})[:-1])
    yield of_header("no alg", {"alg": LEFT_OUT}, "alg")
    yield _of_alg("alg in lower case", str.lower)
    yield _of_alg("alg and a blank", lambda name: f"{name} ")
    yield _of_alg("alg and NUL", lambda name: f"{name}\0")
    yield _of_alg("alg in wide letters", lambda name: "".join(chr(ord(letter) + 0xFEE0) for letter in name))
    yield _of_alg("alg in a list", lambda name: [name], "header")
    for value in _STRANGE:
        yield of_header(f"alg {value}", {"alg": value})
    for name in ("ES384", "ES512", "ES256K", "PS256", "RS1", "Ed25519", "HS256", "HS512", "RSA-OAEP", "dir"):
        yield of_header(f"alg {name} with the signature", {"alg": name}, "alg")
    for spelling in spellings(ATTACKER):
        yield _keyed(spelling, "HS256", "sha256")
    yield _keyed("PEM", "HS384", "sha384")
    yield _keyed("PEM", "HS512", "sha512")


def _unsigned(name: str) -> Confusion:
    return Confusion(f"alg {name!r} without a signature", "alg", lambda right: right.unsigned({"alg": name}))


def _of_alg(name: str, make: Callable[[str], Any], reason: str = "alg") -> Confusion:
    return Confusion(name, reason, lambda right: right.signed({"alg": make(right.key.public.algorithm)}))


def _keyed(spelling: str, alg: str, digest: str) -> Confusion:
    def make(right: Right) -> str:
        return right.keyed(spellings(right.key)[spelling], {"alg": alg}, digest)

    return Confusion(f"{alg} with our public key as {spelling}", "alg", make)


# -- the signature ---------------------------------------------------------------------------------


def signatures() -> Iterator[Confusion]:
    yield of_signature("no signature", lambda _: b"")
    yield of_signature("a signature of zeros", lambda raw: bytes(len(raw)))
    yield of_signature("r = 0, s = 1", lambda raw: bytes(len(raw) - 1) + b"\1")
    yield of_signature("a signature of ones", lambda raw: b"\xff" * len(raw))
    yield of_signature("another last bit", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    yield of_signature("another first bit", lambda raw: bytes([raw[0] ^ 0x80]) + raw[1:])
    yield of_signature("a byte less", lambda raw: raw[:-1])
    yield of_signature("a byte more", lambda raw: raw + b"\0")
    yield of_signature("a zero in front", lambda raw: b"\0" + raw)
    yield of_signature("only the first part", lambda raw: raw[: len(raw) // 2])
    yield of_signature("the parts exchanged", lambda raw: raw[len(raw) // 2 :] + raw[: len(raw) // 2])
    yield of_signature("a signature in DER", _der)
    yield of_signature("a signature in hex", lambda raw: raw.hex().encode())
    yield _signed("of other claims", lambda right: _spliced(right.token, right.signed(None, {"jti": "x"}), 1))
    yield _signed("of another header", lambda right: _spliced(right.token, right.signed({"typ": "JWT"}), 0))
    yield _signed("by the attacker", lambda right: right.signed(by=ATTACKER))
    yield _signed("by the other key", lambda right: right.signed(by=right.rival))
    yield _signed("over the payload alone", lambda right: _resigned(right, right.token.split(".")[1]))
    yield _signed("over the claims as they are", lambda right: _resigned(right, compact(right.claims).decode()))


def _signed(name: str, make: Callable[[Right], str]) -> Confusion:
    return Confusion(f"signed {name}", "signature", make)


def _der(raw: bytes) -> bytes:
    size = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:size]), int.from_bytes(raw[size:]))


def _spliced(token: str, other: str, number: int) -> str:
    """A token with one part of another."""
    parts = token.split(".")
    return ".".join([*parts[:number], other.split(".")[number], *parts[number + 1 :]])


def _resigned(right: Right, signed: str) -> str:
    return f"{right.token.rpartition('.')[0]}.{b64(signature(right.key, signed.encode()))}"


# -- which key, and where it comes from ------------------------------------------------------------

_PATHS = (
    "",
    "unknown",
    "/dev/null",
    "../../../../dev/null",
    "..\\..\\nul",
    "file:///dev/null",
    "' OR '1'='1",
    "x' UNION SELECT 'AAAA' --",
    "1; DROP TABLE signing_key",
    "%00",
    "\0",
    "$(id)",
    "{{7*7}}",
    "\ud800",
    "k" * 3000,
)


def keys() -> Iterator[Confusion]:
    yield of_header("no kid", {"kid": LEFT_OUT}, "kid")
    for value in _STRANGE:
        yield of_header(f"kid {value}", {"kid": value})
    for text in _PATHS:
        yield of_header(f"kid {text[:30]!r}", {"kid": text}, "kid")
        if "null" in text or "AAAA" in text:
            yield _keyed_by_path(text)
    yield _of_kid("kid in lower case", str.lower)
    yield _of_kid("kid and a blank", lambda kid: f"{kid} ")
    yield _of_kid("kid with padding", lambda kid: f"{kid}=")
    yield _of_kid("kid and NUL", lambda kid: f"{kid}\0")
    yield _of_kid("kid and a space of no width", lambda kid: f"{kid}\u200b")
    yield Confusion("kid of the other key", "alg", lambda right: right.signed({"kid": right.rival.public.id}))
    yield Confusion("kid is where keys are", "kid", lambda right: right.signed({"kid": right.listener}, by=ATTACKER))
    yield Confusion("kid of the attacker", "kid", lambda right: right.signed({"kid": ATTACKER.public.id}, by=ATTACKER))
    for name, make in _SOURCES.items():
        yield _by_attacker(name, make)
        yield _with_members(f"{name}, rightly signed", make)


def _keyed_by_path(kid: str) -> Confusion:
    """Whoever reads the key from an empty file, or from a row that the text makes up, has this secret."""
    secret, header = b"AAAA" if "AAAA" in kid else b"", {"alg": "HS256", "kid": kid}
    return Confusion(f"HS256 with kid {kid[:30]!r}", "kid", lambda right: right.keyed(secret, header))


def _of_kid(name: str, make: Callable[[str], str]) -> Confusion:
    return Confusion(name, "kid", lambda right: right.signed({"kid": make(right.key.public.id)}))


_SOURCES: dict[str, Callable[[Right], Members]] = {
    "jwk": lambda _: {"jwk": ATTACKER.public.as_jwk()},
    "jwk with our kid": lambda right: {"jwk": {**ATTACKER.public.as_jwk(), "kid": right.key.public.id}},
    "jku": lambda right: {"jku": right.listener},
    "jku and jwk": lambda right: {"jku": right.listener, "jwk": ATTACKER.public.as_jwk()},
    "x5u": lambda right: {"x5u": right.listener},
    "x5c": lambda _: {"x5c": [base64.b64encode(certificate(ATTACKER)).decode()]},
    "x5t": lambda _: {"x5t": fingerprint(certificate(ATTACKER), "sha1")},
    "x5t#S256": lambda _: {"x5t#S256": fingerprint(certificate(ATTACKER))},
    "iss in the header": lambda right: {"iss": right.listener},
}
"""Members of a header that say where the key is."""


def _by_attacker(name: str, make: Callable[[Right], Members]) -> Confusion:
    ours = {"kid": ATTACKER.public.id, "alg": ATTACKER.public.algorithm}
    return Confusion(
        f"{name} of the attacker", "header", lambda right: right.signed({**ours, **make(right)}, by=ATTACKER)
    )


def _with_members(name: str, make: Callable[[Right], Members]) -> Confusion:
    return Confusion(name, "header", lambda right: right.signed(make(right)))


# -- the header as a whole -------------------------------------------------------------------------


def headers() -> Iterator[Confusion]:
    extensions: dict[str, Members] = {
        "crit of exp": {"crit": ["exp"]},
        "crit of nothing": {"crit": []},
        "crit of kid": {"crit": ["kid"]},
        "crit that is a text": {"crit": "exp"},
        "b64 true": {"b64": True},
        "b64 false": {"b64": False},
        "b64 false and critical": {"b64": False, "crit": ["b64"]},
        "compressed": {"zip": "DEF"},
        "encrypted": {"enc": "A256GCM"},
        "nested": {"cty": "JWT"},
        "an unknown member": {"x": "y"},
        "a member without a name": {"": ""},
        "a member of objects": {"__proto__": {"alg": "none"}},
        "alg twice, once in upper case": {"ALG": "none"},
    }
    for name, members in extensions.items():
        yield of_header(name, members)
    yield Confusion("b64 false and not encoded", "header", _not_encoded)
    for name, make in _FORMS.items():
        yield of_raw_header(f"the header is {name}", "json", make)
    yield of_raw_header("the header is empty", "kid", lambda _: b"{}")
    yield of_raw_header("alg doubled", "json", lambda raw: b'{"alg":"none",' + raw[1:])
    yield of_raw_header("alg doubled by escape", "json", lambda raw: b'{"\\u0061lg":"none",' + raw[1:])
    yield of_raw_header("kid doubled", "json", lambda raw: raw[:-1] + b',"kid":"x"}')
    yield of_raw_header("typ doubled", "json", lambda raw: raw[:-1] + b',"typ":"at+jwt"}')


_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "in a list": lambda raw: b"[" + raw + b"]",
    "a text": lambda _: b'"ES256"',
    "a number": lambda _: b"256",
    "null": lambda _: b"null",
    "nothing": lambda _: b"",
    "followed by more": lambda raw: raw + b"x",
    "followed by NUL": lambda raw: raw + b"\0",
    "twice": lambda raw: raw + raw,
    "behind a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "in UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "not UTF-8": lambda raw: raw.replace(b'"at+jwt"', b'"at+jwt\xff"'),
    "overlong UTF-8": lambda raw: raw.replace(b'"at+jwt"', b'"at\xc0\xabjwt"'),
    "cut off": lambda raw: raw[:-1],
    "in single quotes": lambda raw: raw.replace(b'"', b"'"),
    "with a comment": lambda raw: raw + b"//",
    "deep": lambda _: b"[" * 2000,
}


def _not_encoded(right: Right) -> str:
    """As RFC 7797 would have it, with a payload without dots."""
    first = b64(compact({**right.header, "b64": False, "crit": ["b64"]}))
    payload = compact({**right.claims, "iss": "x"}).decode().replace(".", "")
    return f"{first}.{payload}.{b64(signature(right.key, f'{first}.{payload}'.encode()))}"


# -- the kind of token -----------------------------------------------------------------------------


def kinds() -> Iterator[Confusion]:
    yield of_header("no typ", {"typ": LEFT_OUT}, "typ")
    for typ in (
        "",
        "JWT",
        "jwt",
        "at+JWT",
        "AT+JWT",
        "At+Jwt",
        "at+jwt ",
        " at+jwt",
        "at+jwt\0",
        "at+jwt\u200b",
        "at jwt",
        "at-jwt",
        "application/AT+JWT",
        "application/at+jwt;charset=utf-8",
        "application/application/at+jwt",
        "text/at+jwt",
        "id+jwt",
        "rt+jwt",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "client-authentication+jwt",
        "kb+jwt",
        "JOSE",
    ):
        yield of_header(f"typ {typ!r}", {"typ": typ}, "typ")
    for value in (*_STRANGE, ["at+jwt"], {"at+jwt": True}):
        yield of_header(f"typ {value}", {"typ": value})
