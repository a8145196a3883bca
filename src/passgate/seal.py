"""All uses of keys: encryption at rest (AES-256-GCM), keyed hashes, bearer secrets, and the key ring.

Not here: password hashing, which is in `hashing`, and tables, requests and rules.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from passgate import files
from passgate.world import SECOND, World

VERSION = 1
"""First byte of every sealed record and MAC. A new construction gets a new number."""

KEY_BYTES = 32
_DISTINCT = 8
_LARGEST = 1 << 20
"""Of 32 random bytes, so few different ones do not occur."""

_HEAD = 5  # version, key id
_SALT = 16
_TAG = 16
_SECRET, _STAMP = 32, 16
"""Bytes of a bearer secret, and of the MAC behind it."""


class Unreadable(ValueError):
    """A sealed record that no key of the ring opens: damaged, moved to another row, or sealed under a lost key."""


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869). The HMAC of the standard library is twice as fast here as an HKDF object."""
    key = hmac.digest(salt, secret, "sha256")
    out, block = b"", b""
    for count in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([count]), "sha256")
        out += block
    return out[:length]


@dataclass(frozen=True, slots=True)
class Key:
    """One root secret. `id` is derived from it, so the same secret has the same id on every machine."""

    secret: bytes = field(repr=False)
    id: bytes

    @classmethod
    def of(cls, secret: bytes) -> Key:
        return cls(secret, _hkdf(secret, b"passgate", b"key id", 4))


class Ring:
    """Root keys, newest first. Sealing and MACs use the newest; opening and checking find the key by its id."""

    def __init__(self, secrets: Iterable[bytes], world: World, *, file: Path | None = None) -> None:
        self._world = world
        self._file = file
        self._looked_at = 0
        self._stable: bytes | None = None
        self._keys: dict[bytes, Key] = {}
        keys = [Key.of(secret) for secret in secrets]
        if not keys and file is None:
            raise ValueError("at least one key is required")
        if keys:
            self._load(keys)

    def _load(self, keys: list[Key]) -> None:
        self._current = keys[0]
        self._keys = {key.id: key for key in keys}
        # Subkeys of keyed hashes are used repeatedly and are cached; those of sealing are not, because each record has
        # its own salt.
        self._subkey = lru_cache(256)(lambda key_id, purpose: _hkdf(self._keys[key_id].secret, b"mac", purpose, 32))

    @classmethod
    def from_file(cls, path: Path, world: World, *, make: bool) -> Ring:
        """The key file of the data folder (mode 0600). `make`: if it is missing, one with a fresh key is written when a
        key is needed first. Until then the ring `is_missing`, and whoever has it may look whether it is lost."""
        return cls([] if make and not path.exists() else _read_keys(path), world, file=path)

    @property
    def current(self) -> Key:
        """The newest key."""
        if not self._keys and self._file is not None:
            _write_keys(self._file, [self._world.bytes(KEY_BYTES)], exclusive=True)
            self._load([Key.of(secret) for secret in _read_keys(self._file)])
        return self._current

    @property
    def is_missing(self) -> bool:
        """Whether there is no key and no key file, so that the first use makes one."""
        return not self._keys and self._file is not None and not self._file.exists()

    def rotate(self) -> str:
        """Put a fresh key first in the key file and use it from now on; returns its id. Older keys stay in the file, to
        open records until all are sealed under the new key."""
        if self._file is None:
            raise ValueError("these keys come from the settings: add a new secret in front there")
        older = [self.current.secret] if self.is_missing else _read_keys(self._file)
        secrets = [self._world.bytes(KEY_BYTES), *older]
        _write_keys(self._file, secrets)
        self._load([Key.of(secret) for secret in secrets])
        return self.current.id.hex()

    def _find(self, key_id: bytes) -> Key | None:
        """The key with this id. For an unknown id, another process may have rotated: read the file again, but at most
        once a second, because anyone can send arbitrary key ids."""
        now = self._world.now()
        if key_id not in self._keys and self._file is not None and now - self._looked_at >= SECOND:
            self._looked_at = now
            # A file that cannot be read just now must not fail requests that need none of its newer keys.
            with suppress(OSError, ValueError):
                self._load([Key.of(secret) for secret in _read_keys(self._file)])
        return self._keys.get(key_id)

    # -- sealing: data that is decrypted later -----------------------------------------------------

    def seal(self, purpose: str, where: str, plain: bytes) -> bytes:
        """version ‖ key id ‖ salt ‖ AES-256-GCM. Key and nonce are derived from the root key by HKDF with a salt of
        this record alone, so no nonce can repeat under a key. `where` (table, column, row) is bound as associated
        data."""
        salt = self._world.bytes(_SALT)
        head = self.head
        made = _hkdf(self.current.secret, salt, b"seal " + purpose.encode(), 44)
        return head + salt + AESGCM(made[:32]).encrypt(made[32:], plain, head + where.encode())

    def unseal(self, purpose: str, where: str, record: bytes) -> bytes:
        key = self._find(record[1:_HEAD]) if len(record) >= _HEAD + _SALT + _TAG and record[0] == VERSION else None
        if key is None:
            raise Unreadable(purpose)
        salt = record[_HEAD : _HEAD + _SALT]
        made = _hkdf(key.secret, salt, b"seal " + purpose.encode(), 44)
        try:
            return AESGCM(made[:32]).decrypt(made[32:], record[_HEAD + _SALT :], record[:_HEAD] + where.encode())
        except InvalidTag:
            raise Unreadable(purpose) from None

    @property
    def head(self) -> bytes:
        """The first bytes of a record sealed now: version and key id."""
        return bytes([VERSION]) + self.current.id

    # -- keyed hashes: data that is only compared --------------------------------------------------

    def mac(self, purpose: str, data: bytes) -> bytes:
        """key id ‖ HMAC-SHA256: 36 bytes. Suitable for low-entropy values (codes, addresses), since testing a
        guess needs the key."""
        return self.current.id + hmac.digest(self._subkey(self.current.id, purpose.encode()), data, "sha256")

    def check(self, purpose: str, data: bytes, mac: bytes) -> bool:
        key = self._find(mac[:4])
        if key is None:
            return False
        return hmac.compare_digest(hmac.digest(self._subkey(key.id, purpose.encode()), data, "sha256"), mac[4:])

    def knows(self, mac: bytes) -> bool:
        """Whether the key of this MAC is in the ring, so that `check` can tell."""
        return self._find(mac[:4]) is not None

    def load_stable(self, secret: bytes) -> None:
        """The installation's secret for `stable_mac`. It is stored, and does not change with the keys."""
        self._stable = secret

    def stable_mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 under the installation's secret: the same after every rotation. 32 bytes."""
        if self._stable is None:
            raise RuntimeError("the installation's secret is not loaded")
        return hmac.digest(self._stable, data, "sha256")

    # -- bearer secrets: tokens that clients send --------------------------------------------------

    def mint(self, prefix: str) -> Minted:
        """A new bearer secret: prefix ‖ base64url(key id ‖ 256 random bits ‖ 128-bit MAC), and the hash to store."""
        return self.stamped(prefix, self._world.bytes(_SECRET))

    def presented(self, prefix: str, token: str) -> bytes | None:
        """The stored hash of a bearer secret that we minted, or None, decided without the database. Exactly one
        spelling of each secret is accepted."""
        content = self.content(prefix, token, _SECRET)
        return hashlib.sha256(content).digest() if content is not None else None

    def stamped(self, prefix: str, content: bytes) -> Minted:
        """A token with this content, readable for whoever has it and ours beyond doubt; `hash` is that of key id and
        content."""
        body = self.current.id + content
        tag = hmac.digest(self._subkey(self.current.id, prefix.encode()), body, "sha256")[:_STAMP]
        token = prefix + base64.urlsafe_b64encode(body + tag).rstrip(b"=").decode()
        return Minted(token, hashlib.sha256(body).digest())

    def content(self, prefix: str, token: str, length: int) -> bytes | None:
        """Key id and content of a token that we have stamped, or None; `length` of the content in bytes."""
        if not token.startswith(prefix):
            return None
        text, size = token[len(prefix) :], 4 + length + _STAMP
        if len(text) != -(-size * 4 // 3):
            return None
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
            return None
        body, tag = raw[:-_STAMP], raw[-_STAMP:]
        key = self._find(body[:4])
        if key is None:
            return None
        want = hmac.digest(self._subkey(key.id, prefix.encode()), body, "sha256")[:_STAMP]
        return body if hmac.compare_digest(want, tag) else None

    def derived(self, purpose: str, key_id: bytes, data: bytes) -> bytes:
        """32 bytes that only the keys of this ring can derive from `data`: the same for the same key."""
        key = self._find(key_id)
        if key is None:
            raise Unreadable(purpose)
        return hmac.digest(self._subkey(key.id, purpose.encode()), data, "sha256")


class Minted(NamedTuple):
    """`token` is sent to the client once; only `hash` (32 bytes) is stored."""

    token: str
    hash: bytes


def digest(*parts: bytes) -> bytes:
    """SHA-256 over length-prefixed parts, so that no two different lists of parts have the same encoding."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8) + part)
    return total.digest()


def equal(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def key_file_reasons(path: Path) -> list[tuple[str, str]]:
    """Why nothing should be sealed under the keys of this file, as (CODE, text). That there is none is no reason."""
    try:
        mode, secrets = path.stat().st_mode, _read_keys(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError):
        return [("KEYS_UNREADABLE", f"The key file {path} can't be read. Restore it from your backup.")]
    found = []
    if any(len(secret) < KEY_BYTES for secret in secrets):
        found.append(("KEYS_SHORT", f"The key file {path} has a key of less than {KEY_BYTES} bytes."))
    if any(len(set(secret)) < _DISTINCT for secret in secrets):
        found.append(("KEYS_WEAK", f"The key file {path} has a key that isn't random."))
    if mode & 0o077:
        found.append(("KEYS_OPEN", f"Other users of this machine can open the key file {path}. Run: chmod 600 {path}"))
    return found


def _read_keys(path: Path) -> list[bytes]:
    """At least one. OSError, or ValueError without a part of the file in its text."""
    with files.open_regular(path) as file:
        text = file.read(_LARGEST)
    try:
        secrets = [base64.b64decode(one, validate=True) for one in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        secrets = []
    if not secrets:
        raise ValueError("not a key file")
    return secrets


def _write_keys(path: Path, secrets: list[bytes], *, exclusive: bool = False) -> None:
    """Write the whole file or nothing, and never readable by others: a temporary file, fsync, then one link or
    rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({"keys": [base64.b64encode(secret).decode() for secret in secrets]}, indent=1)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        if exclusive:
            os.link(temporary, path)  # of two processes that start at once exactly one wins
        else:
            temporary.replace(path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
