"""The time of each step of the hot endpoints alone, measured in this process.

The cost of whole requests is measured in `__main__`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from webauthn import verify_authentication_response

from passgate.core import sessions
from passgate.core.ctx import Ctx
from passgate.core.factors import totp
from passgate.core.useragent import describe
from passgate.hashing import Hasher
from passgate.settings import HashSettings
from passgate.web.api.shapes import encode, whole
from passgate.world import SECOND, World, iso
from tests import kit
from tests.authenticator import Authenticator, cose_key


def hashes_per_second(threads: int, seconds: float = 3.0) -> float:
    """The limit of the machine: hashes alone, in as many threads as given."""
    hasher = Hasher(HashSettings(), World.real())
    stored = hasher._make("x", hasher.scheme)
    end = time.perf_counter() + seconds

    def work() -> int:
        done = 0
        while time.perf_counter() < end:
            hasher._verify("x", stored)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        total = sum(one.result() for one in [pool.submit(work) for _ in range(threads)])
    hasher.close()
    return total / seconds


def micro(work: Callable[[], Any], count: int = 20_000) -> float:
    """µs per call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count // 5):
            work()
        best = min(best, (time.perf_counter() - began) / (count // 5) * 1e6)
    return best


def bare_checks() -> dict[str, float]:
    """µs for verifying one right answer of each factor, without anything around it."""
    device, origin = Authenticator(), "http://localhost:8000"
    options: dict[str, Any] = {
        "rp": {"id": "localhost"},
        "user": {"id": "AAAA"},
        "challenge": "AAAA",
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    }
    device.create(options, origin)
    answer = device.get({"challenge": "AAAA", "rpId": "localhost"}, origin)
    key = cose_key(device.credentials[0].key)
    now, secret = 1_800_000_000 * SECOND, bytes(range(totp.SECRET))
    code = totp.code_at(secret, now // SECOND // totp.PERIOD)

    def signature() -> None:
        verify_authentication_response(
            credential=answer,
            expected_challenge=bytes(3),
            expected_rp_id="localhost",
            expected_origin=origin,
            credential_public_key=key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )

    return {"passkey": micro(signature, 2_000), "totp": micro(lambda: totp.matched(secret, code, now, 1))}


async def _steps() -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        async with kit.running(kit.settings_for(Path(folder)), real_world=True) as the:
            anna = await the.person()
            ctx = Ctx(the.gate.services)
            found = await sessions.find(ctx, anna.token)
            ring, point = the.gate.services.ring, the.gate.services.store.point
            key = ring.presented(sessions.PREFIX, anna.token)

            def looked_up() -> None:
                try:
                    point.one(sessions.LOOKUP, key).send(None)
                except StopIteration:
                    return

            sealed = ring.seal("credential", "x", b"y" * 100)
            return [
                ("MAC of a bearer token, before any store", micro(lambda: ring.presented(sessions.PREFIX, anna.token))),
                ("the row: session, person, tenant, roles (SQLite)", micro(looked_up)),
                ("the answer as values (six instants)", micro(lambda: whole(found))),
                ("one instant as RFC 3339", micro(lambda: iso(1_800_000_000_000_000))),
                ("the answer as JSON", micro(lambda: encode(whole(found))) - micro(lambda: whole(found))),
                ("user agent, first time", micro(lambda: describe("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"))),
                ("seal a credential", micro(lambda: ring.seal("credential", "x", b"y" * 100))),
                ("unseal it", micro(lambda: ring.unseal("credential", "x", sealed))),
            ]


def report() -> None:
    print("\n| where the microseconds go | µs |\n|---|---|")
    for name, cost in asyncio.run(_steps()):
        print(f"| {name} | {cost:.1f} |")
