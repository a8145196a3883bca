"""The composition root: the one place that knows every room and puts them together. No rule lives here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from passgate import __version__
from passgate.adapters.breach import Breach
from passgate.adapters.console import Console
from passgate.adapters.mailbox import Mailbox
from passgate.adapters.smtp import Smtp
from passgate.core import jobs, tenants
from passgate.core.ctx import House
from passgate.core.message import Mailer
from passgate.errors import UnsafeSettings
from passgate.hashing import Hasher
from passgate.seal import Ring
from passgate.settings import Settings, refusals
from passgate.store import Store
from passgate.store.migrate import is_behind, upgrade
from passgate.web import docs, ops, problems
from passgate.web.api import account, session, signin
from passgate.web.edge import Edge
from passgate.web.pages import mailbox
from passgate.web.pages.all import PAGES
from passgate.world import World

log = logging.getLogger(__name__)

KEY_FILE = "passgate.keys"
_LAST_WORDS = 10
"""Seconds that jobs have to finish what they have in hand."""


class Passgate:
    """One running Passgate: an ASGI application, and the parts behind it for the command line and for tests."""

    def __init__(self, settings: Settings, world: World | None = None) -> None:
        if reasons := refusals(settings):
            raise UnsafeSettings(reasons)
        self.settings = settings
        self.house = build_house(settings, world or World.real())
        self.mailer = mailer_for(self.house)
        self.api = _api(self)
        self.asgi: ASGIApp = Edge(self.api, self.house, session.HOT, partial(_with_cors, settings=settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.asgi(scope, receive, send)

    async def prepare(self) -> None:
        """SQLite migrates itself; another database must have been migrated."""
        if self.house.store.is_sqlite:
            await upgrade(self.house.store, lock=self.settings.data / "passgate.lock")
        elif await is_behind(self.house.store):
            raise UnsafeSettings([("DATABASE_BEHIND", "The database is behind: run `passgate migrate`.")])
        await tenants.ensure_main(self.house)
        await jobs.tidy(self.house)

    @asynccontextmanager
    async def running(self, *, work: bool = True) -> AsyncIterator[Passgate]:
        """Prepared, with the jobs running beside it (`work`), closed at the end."""
        await self.prepare()
        stop = asyncio.Event()
        worker = asyncio.create_task(jobs.run(self.house, self.mailer, stop)) if work else None
        try:
            yield self
        finally:
            stop.set()
            self.house.wake.set()
            if worker is not None:
                with suppress(asyncio.CancelledError, TimeoutError):
                    await asyncio.wait_for(worker, _LAST_WORDS)
            await self.close()

    async def close(self) -> None:
        await self.house.store.close()
        await self.house.breach.close()
        self.house.hasher.close()


def build_house(settings: Settings, world: World) -> House:
    """The long-lived parts. The data folder is made here, readable by nobody else."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    roots = settings.root_secrets()
    ring = (
        Ring([root.encode() for root in roots], world)
        if roots
        else Ring.from_file(settings.data / KEY_FILE, world, make=settings.is_development)
    )
    if settings.is_sqlite and settings.database_url is None:
        _private_file(settings)
    return House(settings, world, Store(settings), ring, Hasher(settings.hash, world), Breach(settings.breach))


def _private_file(settings: Settings) -> None:
    """SQLite would make its file readable by all; the WAL beside it takes the file's own mode."""
    (settings.data / "passgate.db").touch(mode=0o600)


def mailer_for(house: House) -> Mailer:
    mail = house.settings.mail
    if mail.url.startswith("dev:"):
        return Mailbox(house.store, house.ring, house.world)
    if mail.url.startswith("console:"):
        return Console()
    return Smtp(mail.url, mail.sender)


def _api(gate: Passgate) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with gate.running():
            yield

    app = FastAPI(
        title="Passgate", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, lifespan=lifespan, generate_unique_id_function=_operation_id,
    )  # fmt: skip
    problems.install(app)
    for room in (signin, session, account, ops):
        app.include_router(room.router)
    if gate.settings.docs:
        docs.install(app)
    for page in PAGES:
        app.include_router(page)
    if isinstance(gate.mailer, Mailbox):
        app.include_router(ops.developer_router(gate.mailer))
        app.include_router(mailbox.developer_router(gate.mailer))
    return app


def _operation_id(route: APIRoute) -> str:
    """`<tag>-<name>`: what generated clients call the method, so it must not move."""
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


def _with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Named origins may call /api/v1, without cookies; nobody else and nothing else."""
    if not settings.cors.origins:
        return app
    open_api = CORSMiddleware(
        app, allow_origins=settings.cors.origins, allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After", "WWW-Authenticate"], allow_credentials=False, max_age=600,
    )  # fmt: skip

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["type"] == "http" and scope["path"].startswith("/api/v1/")
        await (open_api if is_api else app)(scope, receive, send)

    return choose


def create_app(**given: Any) -> Passgate:
    """The stand-alone server's application, from the environment."""
    return Passgate(Settings.load(**given))
