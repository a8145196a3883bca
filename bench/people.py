"""People of a measured Passgate: they sign up over its endpoints, add a passkey or an app, and sign in repeatedly.

The only measurement here is how long many sign-ins took.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import load
from bench.servers import Server
from passgate.core.factors import totp
from tests.authenticator import Authenticator

PASSWORD = "correct horse battery staple"
Action = Callable[[load.Connection, "Person"], Awaitable[None]]


def json_request(method: str, path: str, body: object = None, token: str | None = None) -> bytes:
    return load.request(method, path, body, **({"Authorization": f"Bearer {token}"} if token else {}))


async def sign_up(port: int, email: str) -> str:
    """A new person with a session; returns its token."""
    link = await load.Connection.open(port)
    begun = (await link.ask(json_request("POST", "/api/v1/signup", {"email": email, "password": PASSWORD}))).json()
    mails = (await link.ask(json_request("GET", "/dev/mail.json"))).json()
    code = next(mail["code"] for mail in mails if mail["to"] == email)
    proof = {"factor": "email_code", "answer": code}
    await link.ask(json_request("POST", "/api/v1/signin/prove", proof, begun["handle"]))
    done = await link.ask(json_request("POST", "/api/v1/signin/finish", {"carrier": "bearer"}, begun["handle"]))
    link.close()
    return str(done.json()["token"])


async def ask(link: load.Connection, path: str, body: object, secret: str, status: int) -> Any:
    answer = await link.ask(json_request("POST", f"/api/v1{path}", body, secret))
    if answer.status != status:
        raise RuntimeError(f"{path}: {answer.status} {answer.body!r}")
    return answer.json() if answer.body else None


async def prove(link: load.Connection, handle: str, factor: str, answer: object) -> None:
    await ask(link, "/signin/prove", {"factor": factor, "answer": answer}, handle, 200)


async def begin(link: load.Connection, email: str) -> str:
    return str((await ask(link, "/signin", {"email": email}, "", 201))["handle"])


async def finish(link: load.Connection, handle: str) -> None:
    await ask(link, "/signin/finish", {"carrier": "bearer"}, handle, 201)


@dataclass
class Person:
    """A person with a passkey on their own device, or with the secret of an app."""

    email: str
    device: Authenticator
    secret: bytes = b""


async def sign_in(link: load.Connection, who: Person) -> None:
    handle = await begin(link, who.email)
    await prove(link, handle, "password", PASSWORD)
    await finish(link, handle)


async def by_passkey(link: load.Connection, who: Person, origin: str) -> None:
    """Four requests, one of them for the challenge."""
    handle = await begin(link, who.email)
    asked = await ask(link, "/signin/challenge", {"factor": "passkey"}, handle, 200)
    await prove(link, handle, "passkey", who.device.get(asked["challenge"], origin))
    await finish(link, handle)


async def by_app(link: load.Connection, who: Person) -> None:
    """Password and code. Each code is accepted once: see `forget_codes`."""
    handle = await begin(link, who.email)
    await prove(link, handle, "password", PASSWORD)
    await prove(link, handle, "totp", code_now(who))
    await finish(link, handle)


def code_now(who: Person) -> str:
    return totp.code_at(who.secret, int(time.time()) // totp.PERIOD)


def forget_codes(data: Path) -> None:
    """Make the code of the current time step acceptable again."""
    with sqlite3.connect(data / "passgate.db", timeout=10) as db:
        db.execute("UPDATE credential SET counter = 0 WHERE kind = 'totp'")
    db.close()


async def create_person(port: int, email: str, factor: str = "") -> Person:
    token, who = await sign_up(port, email), Person(email, Authenticator())
    link = await load.Connection.open(port)
    if factor == "passkey":
        offered = await ask(link, "/me/passkeys", None, token, 201)
        answer = who.device.create(offered["challenge"], f"http://localhost:{port}")
        await ask(link, "/me/passkeys/prove", {"answer": answer}, token, 201)
    elif factor == "totp":
        code = (await ask(link, "/me/totp", None, token, 201))["secret"]
        who.secret = base64.b32decode(code + "=" * (-len(code) % 8))
        await ask(link, "/me/totp/prove", {"answer": code_now(who)}, token, 204)
    link.close()
    return who


def sign_ins(server: Server, people: list[Person], action: Action, count: int, at_once: int) -> tuple[float, float]:
    """CPU ms per sign-in, and sign-ins per second."""

    async def all_of_them() -> float:
        links = [await load.Connection.open(server.port) for _ in range(at_once)]
        free = asyncio.Queue[load.Connection]()
        for link in links:
            free.put_nowait(link)
        names = itertools.cycle(people)

        async def one(_number: int) -> None:
            link = await free.get()
            await action(link, next(names))
            free.put_nowait(link)

        return await load.crowd(one, count=count, at_once=at_once)

    before = server.cpu()
    seconds = asyncio.run(all_of_them())
    return (server.cpu() - before) / count * 1e3, count / seconds
