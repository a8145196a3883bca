"""Keys: a sealed record opens only in its own place, a token has exactly one spelling, and keys are rotated while in
use.

Which records are sealed, and where, is tested with the modules that seal them.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from passgate.core import sealed
from passgate.seal import Key, Minted, Ring, Unreadable, _hkdf, digest, equal, key_file_reasons
from passgate.store.tables import credential
from passgate.world import World
from tests.core.behind import Folk
from tests.kit import Clock, Dice, The, handle_of

ONE, TWO = b"1" * 32, b"2" * 32
PREFIX = "pg_ses_"


def world() -> World:
    return World(Clock(), Dice())


RING = Ring([ONE], world())


# RFC 5869 appendix A, the SHA-256 cases: input key, salt, info, length, output key.
VECTORS = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x00, 0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "length", "out"), VECTORS)
def test_hkdf_is_rfc_5869(secret: str, salt: str, info: str, length: int, out: str) -> None:
    made = _hkdf(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info), length)
    assert made.hex() == out


# -- sealing ---------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.text(max_size=20), st.text(max_size=40))
def test_what_is_sealed_opens(plain: bytes, purpose: str, where: str) -> None:
    record = RING.seal(purpose, where, plain)
    assert RING.unseal(purpose, where, record) == plain
    assert record.startswith(RING.head)
    assert len(record) == 1 + 4 + 16 + len(plain) + 16
    if len(plain) > 3:
        assert plain not in record


def test_no_two_records_are_alike() -> None:
    assert len({RING.seal("a", "b", b"same") for _ in range(50)}) == 50


def test_another_place_or_purpose_opens_nothing() -> None:
    record = RING.seal("credential", "credential:1", b"plain")
    for purpose, where in (("credential", "credential:2"), ("outbox", "credential:1"), ("", ""), ("credential", "")):
        with pytest.raises(Unreadable):
            RING.unseal(purpose, where, record)


def test_every_flipped_bit_is_noticed() -> None:
    record = RING.seal("p", "w", b"plain")
    for place in range(len(record) * 8):
        damaged = bytearray(record)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(Unreadable):
            RING.unseal("p", "w", bytes(damaged))


def test_every_shorter_or_longer_record_is_noticed() -> None:
    record = RING.seal("p", "w", b"")
    for cut in range(len(record)):
        with pytest.raises(Unreadable):
            RING.unseal("p", "w", record[:cut])
    with pytest.raises(Unreadable):
        RING.unseal("p", "w", record + b"\0")


def test_an_unknown_key_opens_nothing() -> None:
    other = Ring([TWO], world())
    with pytest.raises(Unreadable):
        RING.unseal("p", "w", other.seal("p", "w", b"plain"))
    assert not RING.check("p", b"data", other.mac("p", b"data"))
    assert RING.presented(PREFIX, other.mint(PREFIX).token) is None


def test_what_cannot_be_read_reveals_nothing() -> None:
    with pytest.raises(Unreadable) as result:
        RING.unseal("p", "w", b"secret bytes that are none of ours, long enough to be looked at")
    assert "secret" not in str(result.value)
    assert result.value.__cause__ is None


# -- keyed hashes ----------------------------------------------------------------------------------


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_mac_fits_its_own_data_and_purpose_alone(data: bytes, other: bytes) -> None:
    mac = RING.mac("a", data)
    assert len(mac) == 36
    assert RING.check("a", data, mac)
    assert not RING.check("b", data, mac)
    assert RING.check("a", other, mac) is (other == data)


def test_a_mac_cut_short_fits_nothing() -> None:
    mac = RING.mac("a", b"data")
    assert not any(RING.check("a", b"data", mac[:cut]) for cut in range(len(mac)))
    assert not RING.check("a", b"data", mac + b"\0")


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_no_two_lists_share_a_digest(one: list[bytes], other: list[bytes]) -> None:
    assert equal(digest(*one), digest(*other)) is (one == other)


# -- bearer secrets --------------------------------------------------------------------------------


def test_a_minted_secret_is_found_by_its_hash() -> None:
    made = RING.mint(PREFIX)
    assert RING.presented(PREFIX, made.token) == made.hash
    assert len(made.hash) == 32
    assert len({RING.mint(PREFIX).token for _ in range(50)}) == 50


def test_one_kind_is_not_taken_for_another() -> None:
    made = RING.mint(PREFIX)
    assert RING.presented("pg_sin_", made.token) is None
    assert RING.presented("pg_sin_", made.token.replace(PREFIX, "pg_sin_")) is None


def spellings(made: Minted) -> list[str]:
    """Other spellings that decode to the same bytes, and near misses."""
    text = made.token.removeprefix(PREFIX)
    raw = base64.urlsafe_b64decode(text + "==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # The last character has unused bits, so several characters decode to the same bytes.
    loose = [text[:-1] + letter for letter in alphabet if letter != text[-1]]
    return [
        *(PREFIX + other for other in loose),
        PREFIX + base64.b64encode(raw).decode(),
        PREFIX + base64.urlsafe_b64encode(raw).decode(),
        *(PREFIX + text[:place] + "\n" + text[place + 1 :] for place in (0, 35, 69)),
        f" {made.token}",
        f"{made.token} ",
        f"{made.token}=",
        f"{made.token}\n",
        made.token.upper(),
        made.token[:-1],
        PREFIX.upper() + text,
        PREFIX + "é" * 70,
        PREFIX + text[:-1] + "é",
        PREFIX,
        "",
        text,
        PREFIX * 2 + text,
    ]


def test_exactly_one_spelling_is_accepted() -> None:
    for _ in range(20):
        made = RING.mint(PREFIX)
        for other in spellings(made):
            assert other == made.token or RING.presented(PREFIX, other) is None, other


@given(st.text(max_size=90))
def test_any_text_is_answered(text: str) -> None:
    assert RING.presented(PREFIX, text) is None
    assert RING.presented(PREFIX, PREFIX + text) is None


# -- key rotation ----------------------------------------------------------------------------------


def test_the_key_file_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "passgate.keys"
    first = Ring.from_file(path, world(), make=True)
    assert first.is_missing
    assert not first.knows(RING.mac("p", b"data"))
    assert list(tmp_path.iterdir()) == [], "looking makes none"
    second = Ring.from_file(path, World(Clock(), Dice(b"other dice")), make=True)
    assert second.is_missing
    assert first.current.id == second.current.id
    assert [first.is_missing, second.is_missing] == [False, False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["passgate.keys"]


def test_where_none_may_be_made_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Ring.from_file(tmp_path / "passgate.keys", world(), make=False)
    with pytest.raises(ValueError, match="at least one"):
        Ring([], world())


def test_keys_from_settings_are_rotated_there() -> None:
    with pytest.raises(ValueError, match="settings"):
        RING.rotate()
    newer = Ring([TWO, ONE], world())
    assert newer.unseal("p", "w", RING.seal("p", "w", b"old")) == b"old"
    assert newer.current.id == Key.of(TWO).id != RING.current.id


def test_two_rings_on_one_file(tmp_path: Path) -> None:
    """One process rotates the key and another keeps running: each reads what the other seals, the first one also
    records sealed under the older key."""
    clock = Clock()
    path = tmp_path / "passgate.keys"
    one = Ring.from_file(path, World(clock, Dice()), make=True)
    other = Ring.from_file(path, World(clock, Dice(b"b")), make=True)
    old, old_token, old_mac = one.seal("p", "w", b"old"), one.mint(PREFIX), one.mac("p", b"data")
    older = one.current.id
    assert one.rotate() == one.current.id.hex() != older.hex()
    new, new_token, new_mac = one.seal("p", "w", b"new"), one.mint(PREFIX), one.mac("p", b"data")
    assert (old.startswith(one.head), new.startswith(one.head)) == (False, True)
    late = other.seal("p", "w", b"late")
    clock.forward(2)
    assert other.unseal("p", "w", new) == b"new"
    assert other.presented(PREFIX, new_token.token) == new_token.hash
    assert other.check("p", b"data", new_mac)
    assert other.current.id == one.current.id
    for ring in (one, other):
        assert ring.unseal("p", "w", old) == b"old"
        assert ring.unseal("p", "w", late) == b"late"
        assert ring.presented(PREFIX, old_token.token) == old_token.hash
        assert ring.check("p", b"data", old_mac)


def test_strangers_cannot_make_us_read_the_file_at_will(tmp_path: Path) -> None:
    """An unknown key id makes the key file be read at most once a second."""
    clock = Clock()
    path = tmp_path / "passgate.keys"
    ring = Ring.from_file(path, World(clock, Dice()), make=True)
    ring.mint(PREFIX)
    clock.forward(2)
    assert ring.presented(PREFIX, Ring([TWO], world()).mint(PREFIX).token) is None
    other = Ring.from_file(path, World(clock, Dice(b"b")), make=False)
    other.rotate()
    newer = other.mint(PREFIX)
    for _ in range(20):
        assert ring.presented(PREFIX, newer.token) is None  # the file was not read again
    clock.forward(2)
    assert ring.presented(PREFIX, newer.token) == newer.hash


@pytest.mark.parametrize("damaged", [None, b"", b"{}", b"[]", b'{"keys": []}', b'{"keys": [7]}', b"\xff\xfe"])
def test_a_file_that_is_damaged_meanwhile_fails_no_request(tmp_path: Path, damaged: bytes | None) -> None:
    clock, path = Clock(), tmp_path / "passgate.keys"
    ring = Ring.from_file(path, World(clock, Dice()), make=True)
    mine = ring.mint(PREFIX)
    clock.forward(2)
    path.unlink() if damaged is None else path.write_bytes(damaged)
    assert ring.presented(PREFIX, Ring([TWO], world()).mint(PREFIX).token) is None
    assert ring.presented(PREFIX, mine.token) == mine.hash


GOOD = base64.b64encode(bytes(range(32))).decode()


def key_file(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize(
    ("content", "mode", "codes"),
    [
        (key_file(GOOD), 0o600, []),
        (key_file(GOOD, GOOD), 0o400, []),
        (b"", 0o600, ["KEYS_UNREADABLE"]),
        (b"nonsense", 0o600, ["KEYS_UNREADABLE"]),
        (b"\xff\xfe\x00", 0o600, ["KEYS_UNREADABLE"]),
        (b"[" * 100_000, 0o600, ["KEYS_UNREADABLE"]),
        (b"null", 0o600, ["KEYS_UNREADABLE"]),
        (b'{"key": 1}', 0o600, ["KEYS_UNREADABLE"]),
        (b'{"keys": 1}', 0o600, ["KEYS_UNREADABLE"]),
        (key_file(), 0o600, ["KEYS_UNREADABLE"]),
        (key_file(None), 0o600, ["KEYS_UNREADABLE"]),
        (key_file(GOOD, "not base64!"), 0o600, ["KEYS_UNREADABLE"]),
        (key_file(GOOD, base64.b64encode(bytes(range(31))).decode()), 0o600, ["KEYS_SHORT"]),
        (key_file(""), 0o600, ["KEYS_SHORT", "KEYS_WEAK"]),
        (key_file(base64.b64encode(bytes(32)).decode()), 0o600, ["KEYS_WEAK"]),
        (key_file(GOOD, base64.b64encode(b"ab" * 16).decode()), 0o600, ["KEYS_WEAK"]),
        (key_file(GOOD), 0o640, ["KEYS_OPEN"]),
        (key_file(GOOD), 0o604, ["KEYS_OPEN"]),
        (key_file(GOOD), 0o620, ["KEYS_OPEN"]),
    ],
)
def test_what_is_wrong_with_a_key_file(tmp_path: Path, content: bytes, mode: int, codes: list[str]) -> None:
    path = tmp_path / "passgate.keys"
    path.write_bytes(content)
    path.chmod(mode)
    found = key_file_reasons(path)
    assert [code for code, _ in found] == codes
    assert GOOD not in str(found)


def test_a_missing_key_file_is_nothing_wrong_and_what_is_no_file_is(tmp_path: Path) -> None:
    assert key_file_reasons(tmp_path / "passgate.keys") == []
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert [code for code, _ in key_file_reasons(path)] == ["KEYS_UNREADABLE"]


async def test_records_are_sealed_anew_under_a_new_key(the: The) -> None:
    """Key rotation in operation: passwords, handles and sessions made before keep working, and after `rewrap` every
    credential is sealed under the new key."""
    folk = Folk(the)
    anna = await the.person()
    handle = handle_of(await the.start(anna.email))
    before = await the.rows(credential)
    the.gate.services.ring.rotate()
    assert (await the.session(anna.token)).status_code == 200
    assert (await the.prove(handle, "password", anna.password)).status_code == 200
    assert await sealed.rewrap(the.gate.services) == 1
    assert await sealed.rewrap(the.gate.services) == 0
    (after,) = await the.rows(credential)
    assert after["secret_sealed"].startswith(the.gate.services.ring.head)
    assert after["version"] == before[0]["version"]
    assert after["secret_sealed"] != before[0]["secret_sealed"]
    await the.signed_in(anna)
    async with folk.ctx.write() as db:
        await db.change(update(credential).values(secret_sealed=before[0]["secret_sealed"]))
    await the.signed_in(anna)  # the older key still opens records sealed with it


async def test_sealing_anew_goes_through_many_pages(lite: The) -> None:
    folk = Folk(lite)
    for _ in range(205):
        await folk.create()
    lite.gate.services.ring.rotate()
    assert await sealed.rewrap(lite.gate.services) == 205
    head = lite.gate.services.ring.head
    assert all(row["secret_sealed"].startswith(head) for row in await lite.rows(credential))


async def test_what_no_key_opens_stays_and_stops_nothing(lite: The) -> None:
    """A record sealed under a lost key stays unchanged and does not prevent the others from being sealed under the new
    key."""
    folk = Folk(lite)
    people = [await folk.create() for _ in range(3)]
    lost = Ring([TWO], world()).seal("credential", "anywhere", b"lost")
    async with folk.ctx.write() as db:
        mine = update(credential).where(credential.c.person_id == people[1].person_id)
        await db.change(mine.values(secret_sealed=lost))
    lite.gate.services.ring.rotate()
    assert await sealed.rewrap(lite.gate.services) == 2
    stored = [row for row in await lite.rows(credential) if row["person_id"] == people[1].person_id]
    assert [row["secret_sealed"] for row in stored] == [lost]
