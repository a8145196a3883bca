"""Which usernames there may be: spellings that are one, look-alikes that are none, and words that nobody takes.

Not here: giving one and signing in with it (`tests/web/test_contract_usernames`).
"""

from __future__ import annotations

import unicodedata
from uuid import uuid4

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from passgate.core import people, usernames
from passgate.errors import Invalid

ONE = {
    "anna": ("Anna", "ANNA", " anna ", "ａｎｎａ", "ＡＮＮＡ", "𝐚𝐧𝐧𝐚", "𝖆𝖓𝖓𝖆", "ⓐⓝⓝⓐ"),
    "anna.müller": ("Anna.Müller", "anna.mu\u0308ller", "ANNA．MÜLLER"),
    "strasse": ("straße", "STRASSE", "STRAẞE", "ﬆrasse"),
    "οδοσ": ("οδός".replace("ό", "ο"), "ΟΔΟΣ", "οδοσ"),
    "ivan42": ("ivan42", "IVAN４２", "ivan⁴²"),
    "ваня_1": ("Ваня_1", "ВАНЯ_1"),
    "山田太郎": ("山田太郎",),
    "山田たろう": ("山田たろう",),
    "佐々木サーバー": ("佐々木サーバー", "佐々木ｻｰﾊﾞｰ"),
    "김철수": ("김철수", unicodedata.normalize("NFD", "김철수")),
    "金철수": ("金철수",),
    "דוד": ("דוד",),
    "أحمد": ("أحمد", "ﺃﺣﻤﺪ"),
    "7of9": ("7of9", "7OF9"),
    "henryviii": ("HenryVIII", "henryⅷ", "Henryⅶi"),
    "a-b_c.d": ("A-B_C.D", "ａ－ｂ＿ｃ．ｄ"),
}
NONE = {
    "length": ("", " ", "a", "é", "x" * 65, "ﬃ" * 22, "ß" * 65),
    "format": (
        # An address, or what a program may take for one.
        "anna@example.com", "anna＠example.com", "@anna", "anna@", "mailto:anna", "a b", "a\u00a0b", "anna\u3000b",
        # Letters that look like those of another script.
        "аnna", "annа", "pаypal", "αnna", "annɑ\u03b1", "ԁima-d", "ꮪam", "anna\u0561", "グoogle", "한a글", "ひ한",
        "カ한",
        # What nobody sees, or what turns the reading direction.
        "an\u200bna", "an\u200dna", "an\u200cna", "an\u2060na", "an\ufeffna", "an\u00adna", "\u202eanna", "an\u202ena",
        "anna\u202c", "an\u2066na", "an\u061cna", "anna\u200f", "an\u180ena", "an\u034fna", "anna\ufe0f",
        "an\U000e0061na", "an\u3164na", "an\u115fna", "an\u17b4na",
        # Marks, and what is no letter and no digit.
        "an\u0335na", "anna\u0301\u0301", "q\u0301a", "anna\u0489", "an/na", "an\\na", "an:na", "an;na", "anna%",
        "anna?", "anna#", "<anna>", "an'na", 'an"na', "an,na", "anna!", "an~na", "an+na", "anna©", "anna😀", "anna☺",
        "an|na", "an\nna", "an\tna", "an\0na", "anna\x7f", "an\ud800na", "anna\ue000", "anna\U0010ffff", "anna\u0378",
        # Digits of other scripts, some of which look like letters or like other digits.
        "anna٣", "anna۳", "anna३", "anna૦", "anna߀", "anna৪",
        # At the beginning.
        ".anna", "-anna", "_anna", "－anna", "..", "--", "__",
        # İ in lower case has a mark of its own.
        "İstanbul", "ŉanna", "ǰ\u0323a",
        # Ids.
        "01890a5d-ac96-774b-bcce-b302099a8057", "01890A5DAC96774BBCCEB302099A8057", "01890a5d-ac96774bbcceb302099a8057",
        "０1890a5dac96774bbcceb302099a8057", "0-1890a5dac96774bbcceb302099a8057",
    ),
}  # fmt: skip
FORBIDDEN = ("me", "Self", "NULL", "none", "undefined", "anonymous", "unknown", "ｍｅ", "m.e", "n-u-l-l", "none.")
OFFICIAL = [
    "admin",
    "administrator",
    "root",
    "system",
    "support",
    "security",
    "help",
    "staff",
    "moderator",
    "operator",
    "owner",
    "postmaster",
    "webmaster",
    "hostmaster",
    "abuse",
    "noreply",
    "no-reply",
    "passgate",
    "info",
    "Admin",
    "ADMIN",
    "ａｄｍｉｎ",
    "ad.min",
    "ad-min",
    "no_reply",
    "admin.",
    "root_",
]
FINE = ("admina", "badmin", "roots", "menu", "selfie", "nullius", "infos", "helpful", "deadbeef", "0" * 31)


def fault(text: str, *, by_oneself: bool = True) -> str:
    try:
        usernames.given(text, by_oneself=by_oneself)
    except Invalid as wrong:
        assert [*wrong.fields] == ["username"]
        return wrong.fields["username"]
    return ""


@pytest.mark.parametrize("key", ONE)
def test_spellings_of_one(key: str) -> None:
    assert {usernames.typed(text).key for text in ONE[key]} == {key}
    assert {usernames.given(text, by_oneself=True).key for text in ONE[key]} == {key}


@pytest.mark.parametrize("code", NONE)
def test_what_is_none(code: str) -> None:
    assert [(text, found) for text in NONE[code] if (found := fault(text, by_oneself=False)) != code] == []


def test_reserved() -> None:
    assert {fault(word, by_oneself=False) for word in FORBIDDEN} == {"reserved"}
    assert {fault(word) for word in (*FORBIDDEN, *OFFICIAL)} == {"reserved"}
    assert {fault(word, by_oneself=False) for word in OFFICIAL} == {""}
    assert {fault(word) for word in FINE} == {""}
    # Signing in with one says nothing: somebody may have it, or nobody.
    assert {usernames.typed(word).key for word in ("me", "admin")} == {"me", "admin"}


def test_never_an_id_or_an_address() -> None:
    for _ in range(100):
        made = uuid4()
        assert {fault(str(made)), fault(made.hex), fault(str(made).upper())} == {"format"}
    for text in (*sum(ONE.values(), ()), *OFFICIAL, *FINE):
        with pytest.raises(Invalid):
            people.address(usernames.typed(text).text)


def test_as_long_as_it_may_be() -> None:
    longest = "ΐ" * 64  # three letters each in lower case
    for text in ("ab", "x" * 64, "ß" * 64, "7" * 31, longest):
        try:
            found = usernames.typed(text)
        except Invalid as wrong:
            assert wrong.fields == {"username": "format"}
            continue
        assert len(found.text) <= 64
        assert len(found.key) <= 200


LETTERS = st.characters(codec="utf-8")
NAMES = st.one_of(
    st.text(LETTERS, min_size=2, max_size=10),
    st.text(st.characters(codec="utf-8", categories=["L", "Nd"]), min_size=2, max_size=4),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x24F), min_size=2, max_size=70),
    st.characters(codec="utf-8", categories=["L"]).map(lambda one: one * 2),
)


@settings(max_examples=1500, deadline=None)
@drawn(NAMES)
def test_a_key_stays_what_it_is(text: str) -> None:
    """Whatever is a username: its key and its text have that same key, in any case and form, and fit their columns."""
    try:
        found = usernames.typed(text)
    except Invalid:
        return
    assert usernames.typed(found.key).key == usernames.typed(found.text).key == found.key
    assert usernames.folded(found.key) == found.key
    assert 2 <= len(found.text) <= 64
    assert len(found.key) <= 200
    assert "@" not in found.key
    for same in (found.text.lower(), unicodedata.normalize("NFD", text), unicodedata.normalize("NFKD", found.text)):
        assert usernames.typed(same).key == found.key


def test_every_letter_alone() -> None:
    """Each letter that there is, twice: a key that is stable, or none."""
    for point in range(0x110000):
        if not unicodedata.category(chr(point)).startswith("L"):
            continue
        try:
            found = usernames.typed(chr(point) * 2)
        except Invalid:
            continue
        assert usernames.typed(found.key).key == found.key, hex(point)
        assert "@" not in found.key
