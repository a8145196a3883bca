"""What tokens cost: verifying an access token beside the library's bare verify, refreshing pairs, and what ten thousand
families take.

Not here: an access token at our endpoint, which stands among the session checks.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from joserfc import jwt

from bench import load, people, servers
from bench.servers import Server
from bench.steps import micro
from passgate import access_token
from passgate.access_token import AccessToken
from passgate.jose import PrivateKey, opened
from passgate.verify import Verifier
from tests.servers import Postgres

Row = Callable[..., None]
FAMILIES = 10_000


async def pair_of(port: int, who: people.Person) -> dict[str, str]:
    """The tokens of a sign-in."""
    link = await load.Connection.open(port)
    handle = await people.begin(link, who.email)
    await people.prove(link, handle, "password", people.PASSWORD)
    pair: dict[str, str] = await people.ask(link, "/signin/finish", {"carrier": "jwt"}, handle, 201)
    link.close()
    return pair


def verify_rows(row: Row) -> None:
    """One process, one core; the library's own reading of the same token is the baseline."""
    for algorithm in ("ES256", "EdDSA", "RS256"):
        key, now = PrivateKey.make(algorithm, os.urandom), int(time.time())
        issuer = "https://id.example.com"
        given = AccessToken(
            issuer=issuer,
            audience=issuer,
            subject=str(uuid.uuid4()),
            client_id=access_token.CLIENT,
            token_id="x" * 22,
            session_id=str(uuid.uuid4()),
            tenant_id=str(uuid.uuid4()),
            acr="urn:passgate:aal1",
            amr=("pwd",),
            roles=("user",),
            auth_time=now,
            issued_at=now,
            expires_at=now + 600,
            more={},
        )
        token, verifier = access_token.signed(key, given), Verifier(issuer, keys_url="unused")
        verifier.know([key.public])
        name = "Ed25519" if algorithm == "EdDSA" else algorithm  # the library warns of the older name
        renamed = jwt.encode({"alg": name, "kid": "x"}, {"exp": now + 600}, key.key, algorithms=[name])
        bare = micro(lambda: jwt.decode(renamed, key.public.key, algorithms=[name]), 2_000)  # noqa: B023
        signature = micro(lambda: opened(token, lambda _kid: key.public), 2_000)  # noqa: B023
        whole = micro(lambda: verifier.verify_sync(token), 2_000)  # noqa: B023
        row(f"{algorithm}", bare, signature, whole, bare / whole)


def refresh_rows(stack: ExitStack, postgres: Postgres, row: Row, *, families: int, count: int) -> None:
    """Each refresh is committed before it is answered."""
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    tiny = {"PASSGATE_HASH__MEMORY_KIB": "8", "PASSGATE_HASH__PASSES": "1"}
    sqlite = stack.enter_context(servers.passgate(data / "sqlite", **tiny))
    on_postgres = stack.enter_context(servers.passgate_on(data / "postgres", postgres.create_database()))
    for name, server in (("SQLite", sqlite), ("PostgreSQL", on_postgres)):
        who = asyncio.run(people.create_person(server.port, "anna@example.com"))
        tokens = [asyncio.run(pair_of(server.port, who))["refresh_token"] for _ in range(families)]
        before = server.cpu()
        seconds = asyncio.run(_refresh_all(server, tokens, count))
        row(name, count / seconds, (server.cpu() - before) / count * 1e6)
    row(*_grown(data / "sqlite" / "passgate.db", sqlite))


async def _refresh_all(server: Server, tokens: list[str], count: int) -> float:
    links = [await load.Connection.open(server.port) for _ in tokens]
    free = asyncio.Queue[int]()
    for number in range(len(tokens)):
        free.put_nowait(number)

    async def one(_number: int) -> None:
        mine = await free.get()
        answer = await people.ask(links[mine], "/tokens/refresh", {"refresh_token": tokens[mine]}, "", 200)
        tokens[mine] = answer["refresh_token"]
        free.put_nowait(mine)

    return await load.crowd(one, count=count, at_once=len(tokens))


def _grown(file: Path, server: Server) -> tuple[str, str, str]:
    """Rows and bytes of ten thousand more families, which are copies of one with secrets of their own."""
    memory, numbers = server.pss(), itertools.count()
    with sqlite3.connect(file, timeout=10) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        for table, extra in (("session", ()), ("carrier", ("secret_hash", "session_id"))):
            names = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
            last = db.execute(f"SELECT * FROM {table} ORDER BY id DESC LIMIT 1").fetchone()
            at = {name: names.index(name) for name in ("id", *extra)}
            rows = []
            for number in range(FAMILIES):
                made = list(last)
                made[at["id"]] = f"{number:08x}-0000-7000-8000-{table[:1].encode().hex():0>12}"
                if extra:
                    made[at["secret_hash"]] = next(numbers).to_bytes(32)
                    made[at["session_id"]] = f"{number:08x}-0000-7000-8000-{b's'.hex():0>12}"
                rows.append(made)
            db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(names))})", rows)
        grown = (db.execute("PRAGMA page_count").fetchone()[0] - pages) * 4096
    db.close()
    more = (server.pss() - memory) * 1e6
    return (
        f"{FAMILIES:,} families",
        f"2 rows, {grown / FAMILIES:,.0f} B each",
        f"{more / FAMILIES:,.0f} B of memory each",
    )
