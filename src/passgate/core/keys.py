"""Signing keys: next, current, retiring. A new key is published before it signs, for as long as anybody may remember
the key set without it; the first of its algorithm signs at once, because nobody can remember a set with one. A key that
has a successor stays published until the last token that it signed is over.

Not here: signatures (`jose`), what a process remembers (`keyset`), and what is signed (`tokens`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import RowMapping, delete, select, update

from passgate.core.ctx import Services
from passgate.core.keyset import SigningKey
from passgate.errors import Unavailable
from passgate.jose import PrivateKey, PublicKey
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import signing_key as table
from passgate.world import SECOND

log = logging.getLogger(__name__)

PUBLISHED = 300
"""Seconds for which a reader may remember the key set (RFC 9111 max-age)."""
MARGIN = 60
"""Seconds that the clocks of two machines may differ."""
_FRESH = 10
"""Seconds for which a process signs by what it has read: much less than a key is published before it signs."""
_PURPOSE = "signing_key"
_ALL = select(table).order_by(table.c.algorithm, table.c.generation)


async def read(services: Services) -> tuple[SigningKey, ...]:
    """All that are published now, from the database."""
    async with services.store.read() as db:
        rows = await db.rows(_ALL)
    services.keys.replace(map(_value, rows), services.world.now())
    return tuple(services.keys.published.values())


async def look(services: Services, kid: str) -> None:
    """Read again if a key is not known, at most once a second: anybody can send any `kid`."""
    keys, now = services.keys, services.world.now()
    if keys.find(kid, now) is not None:
        return
    async with keys.looking:  # whoever comes meanwhile waits for the same look
        if keys.find(kid, now) is None and now - keys.looked_at >= SECOND:
            keys.looked_at = now
            await read(services)


async def signer(services: Services) -> PrivateKey:
    """The key that signs now. The first of an algorithm is made when it is first asked for. Unavailable if it cannot be
    unsealed."""
    keys, algorithm, now = services.keys, services.settings.token.algorithm, services.world.now()
    if now - keys.read_at >= _FRESH * SECOND:
        await read(services)
    current = keys.current(algorithm, now)
    if current is None:
        async with keys.making:  # one of this process
            current = keys.current(algorithm, now) or await _first(services, algorithm)
    if current.id not in keys.private:
        try:
            keys.private[current.id] = _unsealed(services, current)
        except Unreadable as lost:
            raise Unavailable("signing_key") from lost
    return keys.private[current.id]


async def _first(services: Services, algorithm: str) -> SigningKey:
    await add(services, algorithm, is_first=True)
    await read(services)
    current = services.keys.current(algorithm, services.world.now())
    if current is None:  # the first key of another process, by a clock that is ahead of ours
        raise Unavailable("signing_key")
    return current


Added = Callable[[Db, SigningKey], Awaitable[None]]


async def add(
    services: Services, algorithm: str, *, is_first: bool = False, and_then: Added | None = None
) -> SigningKey:
    """The next key of an algorithm, or the one that is waiting to sign. Of several processes one makes it, because its
    number is unique. `is_first`: only if there is none. `and_then` runs in the same transaction, if this call has made
    the key."""
    made = await asyncio.to_thread(PrivateKey.make, algorithm, services.world.bytes)
    async with services.store.write() as db:
        newest, now = await _newest(db, algorithm), services.world.now()
        if newest is not None and (is_first or newest["signs_from"] > now):
            return _value(newest)
        values = _row(services, made, newest["generation"] + 1 if newest else 1, now)
        await db.change(db.upsert(table).values(**values).on_conflict_do_nothing())
        # The one before it is published until its last token is over.
        over = values["signs_from"] + (services.settings.token.access + MARGIN) * SECOND
        before = (table.c.algorithm == algorithm, table.c.generation < values["generation"])
        await db.change(update(table).where(*before, table.c.expires_at.is_(None)).values(expires_at=over))
        row = await _newest(db, algorithm)
        if row is None:
            raise RuntimeError("a key that was stored is gone")
        key = _value(row)
        if and_then is not None and key.id == values["id"]:
            await and_then(db, key)
    return key


def _row(services: Services, made: PrivateKey, generation: int, now: int) -> dict[str, Any]:
    kid = made.public.id
    private = json.dumps(made.as_jwk()).encode()
    return {
        "id": kid,
        "algorithm": made.public.algorithm,
        "generation": generation,
        "public": json.dumps(made.public.as_jwk()),
        "private_sealed": services.ring.seal(_PURPOSE, f"{table.name}:{kid}", private),
        "created_at": now,
        "signs_from": now + (PUBLISHED + MARGIN) * SECOND if generation > 1 else now,
    }


def _value(row: RowMapping) -> SigningKey:
    public = PublicKey.of(json.loads(row["public"]))
    times = row["created_at"], row["signs_from"], row["expires_at"]
    return SigningKey(public, row["generation"], *times, row["private_sealed"])


def _unsealed(services: Services, key: SigningKey) -> PrivateKey:
    """Raises Unreadable if it was sealed under a key that is missing."""
    plain = services.ring.unseal(_PURPOSE, f"{table.name}:{key.id}", key.private_sealed)
    return PrivateKey.load(key.public.algorithm, json.loads(plain))


async def _newest(db: Db, algorithm: str) -> RowMapping | None:
    return await db.one(
        select(table).where(table.c.algorithm == algorithm).order_by(table.c.generation.desc()).limit(1)
    )


async def rotate_due(services: Services) -> None:
    """Delete keys that verify nothing any more, and give a successor to each that has signed for long enough, or that
    can no longer be unsealed."""
    now = services.world.now()
    async with services.store.write() as db:
        await db.change(delete(table).where(table.c.expires_at <= now))
        newest = {row["algorithm"]: _value(row) for row in await db.rows(_ALL)}
    for algorithm, key in newest.items():
        if algorithm != services.settings.token.algorithm:  # it signs nothing any more
            continue
        is_lost = not is_readable(services, key)
        if is_lost:
            log.error("a signing key is encrypted with a missing key", extra={"row": f"{table.name}:{key.id}"})
        if is_lost or now - key.signs_from >= services.settings.token.rotate * SECOND:
            await add(services, algorithm)
    await read(services)  # before the next one signs, however many unknown keys are asked for meanwhile


async def unreadable(services: Services) -> list[SigningKey]:
    """Keys that sign now, or will, and cannot be unsealed."""
    published, now = await read(services), services.world.now()
    signing = (key for key in published if not services.keys.is_retiring(key, now))
    return [key for key in signing if not is_readable(services, key)]


def is_readable(services: Services, key: SigningKey) -> bool:
    """Whether the key file is the one that it was sealed under."""
    try:
        _unsealed(services, key)
    except Unreadable:
        return False
    return True


def key_set(keys: tuple[SigningKey, ...]) -> bytes:
    """The JWK set (RFC 7517 §5) of what is published: next, current and retiring."""
    return json.dumps({"keys": [key.public.as_jwk() for key in keys]}, separators=(",", ":")).encode()
