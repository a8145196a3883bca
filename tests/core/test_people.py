"""Addresses: all spellings of one address have the same key, and text that is no address is refused. A tenant has at
most one person per key.

Actions on people are tested with those actions.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.core import people
from passgate.core.people import address, masked
from passgate.errors import Invalid
from passgate.store.tables import person
from tests.core.behind import Folk
from tests.kit import The

# The text that a person types, and the key under which the person is stored.
SAME = [
    ("anna@example.com", "anna@example.com"),
    ("Anna@Example.COM", "anna@example.com"),
    ("  anna@example.com ", "anna@example.com"),
    ("anna+tag@example.com", "anna+tag@example.com"),
    ("a.n.n.a@gmail.com", "a.n.n.a@gmail.com"),
    ("jörg@example.com", "jörg@example.com"),
    ("JÖRG@example.com", "jörg@example.com"),
    (unicodedata.normalize("NFD", "jörg@example.com"), "jörg@example.com"),
    ("anna@münchen.example", "anna@xn--mnchen-3ya.example"),
    ("anna@MÜNCHEN.example", "anna@xn--mnchen-3ya.example"),
    (unicodedata.normalize("NFD", "anna@münchen.example"), "anna@xn--mnchen-3ya.example"),
    ("anna@xn--mnchen-3ya.example", "anna@xn--mnchen-3ya.example"),
    ("anna@XN--MNCHEN-3YA.example", "anna@xn--mnchen-3ya.example"),
    ("anna@straße.example", "anna@xn--strae-oqa.example"),
    ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
    ("o'brien@example.com", "o'brien@example.com"),
    ("a@b.co", "a@b.co"),
    ("anna@intranet", "anna@intranet"),
    ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
    ("anna@localhost.localdomain", "anna@localhost.localdomain"),
    ("a.b_c=d@example.com", "a.b_c=d@example.com"),
    ("r&d@example.com", "r&d@example.com"),
    ("a-b/c@example.com", "a-b/c@example.com"),
    ("#1*~@example.com", "#1*~@example.com"),
    ("_anna_@example.com", "_anna_@example.com"),
    ("=anna=@example.com", "=anna=@example.com"),
    ("анна@example.com", "анна@example.com"),
    ("あんな@example.com", "あんな@example.com"),
    ("ﾀﾛｳ@example.com", "ﾀﾛｳ@example.com"),
    ("anna@3.example", "anna@3.example"),
]

NONE = [
    "",
    " ",
    "anna",
    "@",
    "anna@",
    "@example.com",
    "anna@@example.com",
    "anna@example..com",
    "anna@.example.com",
    "anna@example.com.",
    ".anna@example.com",
    "anna.@example.com",
    "an..na@example.com",
    "anna @example.com",
    "anna@exa mple.com",
    "anna@example.com\n",
    "anna\n@example.com",
    "anna@example.com\0",
    "anna@-example.com",
    "anna@example-.com",
    "anna@[127.0.0.1]",
    "Anna <anna@example.com>",
    "anna@example.com,bert@example.com",
    "anna@example.com;bert@example.com",
    "anna(comment)@example.com",
    '"anna b"@example.com',
    '"anna"@example.com',
    '"a\\"b"@example.com',
    "x" * 250 + "@example.com",
    "anna@" + "x" * 64 + ".com",
    "anna@" + "x.x" * 120 + ".com",
    "x" * 100_000 + "@example.com",
    "anna@" + "x" * 100_000,
    "anna@exa\u202emple.com",
    "an\u200bna@example.com",
    "anna@xn--a.example",
    "anna@example.com\r\nBcc: bert@example.com",
    "anna%00@exam\u0000ple.com",
    "anna@ex\u2025ample.com",
    "anna@[IPv6:2001:db8::1]",
    "anna@127.0.0.1",
    "anna@1.2.3.4",
    "anna@0x7f.1",
    # encoded words (RFC 2047)
    "=?utf-8?q?anna=40evil.example?=@example.com",
    "=?x?q?=41=42collab=40psres.net=3e=00?=foo@example.com",
    "=?iso-8859-1?q?=61=62=63?=@example.com",
    "=?utf-7?q?&AG8AYgBq?=@example.com",
    # routes and other mail systems' syntax
    "anna%evil.example@example.com",
    "evil.example!anna@example.com",
    "@evil.example:anna@example.com",
    "anna@evil.example@example.com",
    '"@evil.example:anna"@example.com',
    "anna\uff20evil.example@example.com",
    "anna\uff1cx\uff1e@example.com",
    "anna\uff1bx@example.com",
    # shells and files
    "-oQ/tmp@example.com",
    "-anna@example.com",
    "\uff0danna@example.com",
    "/etc/passwd@example.com",
    "|id@example.com",
    "`id`@example.com",
    "$(id)@example.com",
    "${IFS}@example.com",
    "{a,b}@example.com",
    "a^b@example.com",
    "a?b@example.com",
    "a\\b@example.com",
    '"-oQ/tmp"@example.com',
    '" "@example.com',
]


MISREAD = re.compile(r"""[|;<>()\[\],:\\"`$!%{}^?\s\0-\x1f\x7f]|^[-/]""")


@pytest.mark.parametrize(("text", "key"), SAME, ids=range(len(SAME)))
def test_every_spelling_has_one_key(text: str, key: str) -> None:
    assert address(text).key == key
    assert address(address(text).text).key == key
    assert address(key).key == key


@pytest.mark.parametrize("text", NONE, ids=range(len(NONE)))
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as result:
        address(text)
    assert result.value.fields == {"email": "format"}


def test_the_field_is_named_by_who_asks() -> None:
    with pytest.raises(Invalid) as result:
        address("nothing", "invited")
    assert result.value.fields == {"invited": "format"}


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    for given_ in (text, f"{text}@example.com", f"anna@{text}"):
        try:
            found = address(given_)
        except Invalid:
            continue
        assert found.key == unicodedata.normalize("NFC", found.key)
        assert address(found.key).key == found.key, "a key is its own key"
        assert len(found.key) <= 320
        assert "\n" not in found.text + found.key
        assert not MISREAD.search(unicodedata.normalize("NFKC", found.key))
        assert found.key.count("@") == 1


ORDINARY = st.text("abcXYZ019äßжあ+_=&#*~'-/", min_size=1, max_size=20).filter(lambda text: text[0] not in "-/")


@given(st.lists(ORDINARY, min_size=1, max_size=3).map(".".join))
def test_whatever_is_ordinary_is_accepted(local: str) -> None:
    assert address(f"{local}@example.com").key == unicodedata.normalize("NFC", local.lower()) + "@example.com"


@given(
    st.text("abc019", min_size=1, max_size=8),
    st.sampled_from([*'|;<>()[],:\\"`$!%{}^? \t\0\x7f\u2028', "=?utf-8?b?YQ==?="]),
    st.text("abc019", max_size=8),
)
def test_whatever_may_be_misread_is_refused(before: str, between: str, after: str) -> None:
    for local in (f"{before}{between}{after}", f"{between}{before}", f'"{before}{between}{after}"'):
        if local.strip(" ").isalnum():
            continue  # blanks around a whole address are forgiven
        with pytest.raises(Invalid):
            address(f"{local}@example.com")


def test_how_an_address_is_masked() -> None:
    assert masked("anna@example.com") == "a…@example.com"
    assert masked("a@example.com") == "a…@example.com"


def test_a_profile_has_a_size() -> None:
    assert people.profile_text(None) == "{}"
    assert people.profile_text({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    with pytest.raises(Invalid) as result:
        people.profile_text({"a": "ü" * 9000})
    assert result.value.fields == {"profile": "length"}


async def test_of_twenty_births_of_one_address_one_is(the: The) -> None:
    folk = Folk(the)
    tenant = await folk.tenant()

    async def birth(spelling: str) -> str | None:
        async with folk.ctx.write() as db:
            return await people.create(folk.ctx, db, tenant.id, address(spelling), profile="{}", verified=True)

    spellings = ["anna@example.com", "ANNA@example.com", "Anna@Example.com", "anna@EXAMPLE.COM"] * 5
    create = await asyncio.gather(*(birth(spelling) for spelling in spellings))
    assert len([one for one in create if one]) == 1
    assert len(await the.rows(person)) == 1
