"""What people type and paste: codes in any digits, with whatever an app or a mail program puts between them; addresses
with marks that nobody sees at their ends.

Not here: which code is right.
"""

from __future__ import annotations

import json

import pytest

from passgate.core import people
from passgate.core.factor import typed
from passgate.core.factors import totp
from passgate.errors import Invalid
from passgate.store.tables import audit_event
from tests.authenticator import Authenticator
from tests.core.having import add_passkey, challenged, me, offered_passkey
from tests.kit import The, handle_of

CODES = [
    "123456",
    "123 456",
    " 123-456\t",
    "123\u2013456",  # an en dash
    "123\u2014456",
    "123\u2212456",  # a minus
    "1\u00a023\u202f456",  # blanks that do not break
    "\u200b123\u200d456\ufeff",
    "\u202a123456\u202c",  # marks of direction
    "\u2066123456\u2069",
    "\uff11\uff12\uff13\uff14\uff15\uff16",  # full width
    "\u0661\u0662\u0663\u0664\u0665\u0666",  # Arabic-Indic
    "\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6",  # Persian
    "\u0967\u0968\u0969\u096a\u096b\u096c",  # Devanagari
    "\U0001d7cf\U0001d7d0\U0001d7d1\U0001d7d2\U0001d7d3\U0001d7d4",  # bold
]


@pytest.mark.parametrize("answer", CODES)
def test_a_code_as_people_type_it(answer: str) -> None:
    assert typed(answer) == "123456"


@pytest.mark.parametrize("answer", ["", "\u200b", None, 123456, ["123456"], {"a": 1}])
def test_nothing_is_no_code(answer: object) -> None:
    assert typed(answer) == ""


def test_letters_stay_letters() -> None:
    assert typed("kg3q\u2011ORXF \uff4b") == "kg3qORXFk"
    assert typed("\u00bd\u2460") == "1\u204421", (
        "a fraction and a circled digit are what they stand for, and match nothing"
    )


async def test_a_mailed_code_in_other_digits(lite: The) -> None:
    handle = handle_of(await lite.signup("anna@example.com"))
    code = await lite.code("anna@example.com")
    other = "\u200f" + "".join(chr(0x0660 + int(one)) for one in code[:4]) + "\u2013" + code[4:]
    assert (await lite.prove(handle, "email_code", other)).status_code == 200


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u200e", "\u202a", "\u2060", "\u00a0", " ", "\u3000", "\u00ad"])
def test_marks_at_the_ends_of_an_address(mark: str) -> None:
    assert people.address(f"{mark}anna@example.com{mark}{mark}").key == "anna@example.com"


@pytest.mark.parametrize(
    "text", ["an\u200bna@example.com", "anna@exam\u200bple.com", "anna\u00a0@example.com", "\u200b"]
)
def test_marks_inside_one_stay_refused(text: str) -> None:
    with pytest.raises(Invalid):
        people.address(text)


@pytest.mark.parametrize(
    ("service", "issuer"), [("Acme", "Acme"), ("Acme: Sign-in", "Acme%20Sign-in"), ("a:b", "a%20b"), (":", "")]
)
def test_an_issuer_has_no_colon(service: str, issuer: str) -> None:
    uri = totp.uri(b"0" * 20, service, "anna@example.com")
    assert uri.startswith(f"otpauth://totp/{issuer}:anna@example.com?")
    assert f"&issuer={issuer}&" in uri


# -- passkeys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["apple", "tpm", "android-key", "android-safetynet", "compound", "of-tomorrow"])
async def test_an_attestation_that_nobody_asked_for(lite: The, fmt: str) -> None:
    """It vouches for nothing and locks nobody out; the passkey works."""
    anna, key = await lite.person(), Authenticator()
    answer = key.create(await offered_passkey(lite, anna), lite.gate.settings.url)
    response = answer["response"]
    response["attestationObject"] = _renamed(response["attestationObject"], fmt)
    added = await me(lite, "POST", "passkeys/prove", anna, {"answer": answer})
    assert added.status_code == 201, added.text
    handle = handle_of(await lite.start())
    options = await challenged(lite, handle, "passkey")
    assert (await lite.prove(handle, "passkey", key.get(options, lite.gate.settings.url))).status_code == 200  # type: ignore[arg-type]


def _renamed(attestation: str, fmt: str) -> str:
    import cbor2  # noqa: PLC0415

    from tests.authenticator import b64, unb64  # noqa: PLC0415

    made = cbor2.loads(unb64(attestation))
    return b64(cbor2.dumps({**made, "fmt": fmt, "attStmt": {"x5c": [b"\0" * 8], "sig": b"\0"}}))


@pytest.mark.parametrize(
    ("twist", "why"),
    [
        ({"origin": "https://evil.example"}, "origin"),
        ({"uv": False}, "ceremony"),
        ({"challenge": b"0" * 32}, "challenge"),
    ],
)
async def test_a_refused_passkey_leaves_its_reason(lite: The, twist: dict[str, object], why: str) -> None:
    """In the trail, and not in the answer."""
    anna, key = await lite.person(), Authenticator()
    await add_passkey(lite, anna, key)
    handle = handle_of(await lite.start())
    options = await challenged(lite, handle, "passkey")
    refused = await lite.prove(handle, "passkey", key.get(options, lite.gate.settings.url, **twist))  # type: ignore[arg-type]
    assert refused.status_code == 403
    assert why not in refused.text
    [event] = [row for row in await lite.rows(audit_event) if row["event"] == "signin:passkey:refused"]
    assert json.loads(event["facts"])["why"] == why
