"""The composition root: the one module that knows all parts and puts them together. Not here: any rule."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cached_property, partial
from types import EllipsisType
from typing import Any, TypeVar, overload

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from passgate import __version__, startup
from passgate.adapters.console import Console
from passgate.adapters.mailbox import Mailbox
from passgate.core import host_events, host_jobs, host_mail, installation, job_worker, jobs, observers, tenants
from passgate.core import permissions as own_permissions
from passgate.core.ctx import Ctx, Operator, Person, Services
from passgate.core.events import Event
from passgate.core.factor import Factor, Factors
from passgate.core.factors import FACTORS
from passgate.core.host_jobs import HostJobs
from passgate.core.message import Mailer
from passgate.core.observers import ObserverFunction, Observers
from passgate.core.site import Site, Sites
from passgate.errors import UnsafeSettings
from passgate.operations import Operations
from passgate.parts import build_services
from passgate.settings import Settings, refusals
from passgate.store import fitness
from passgate.store.migrate import schema_reasons, upgrade
from passgate.web import docs, host, host_docs, host_requests, ops, problems, warm
from passgate.web import mount as mounting
from passgate.web.api import factors, tokens
from passgate.web.api.all import ROUTERS
from passgate.web.api.hot import HOT
from passgate.web.edge import layers, strict_layers
from passgate.web.guards import ByBearer, ByCookie
from passgate.web.host import Guard
from passgate.web.host_values import User
from passgate.web.pages import mailbox
from passgate.web.pages.all import pages
from passgate.web.routes import Table
from passgate.web.twins import Bearer, Caller, Inside, operations
from passgate.world import World

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_SHUTDOWN_GRACE = 10
"""Seconds that background jobs have to finish their current work."""


class Passgate:
    """One Passgate: an ASGI application, or the endpoints and guards of a host program. The command line and tests use
    its parts."""

    def __init__(
        self,
        settings: Settings,
        world: World | None = None,
        *,
        profile: type[BaseModel] | None = None,
        claims: host.Claims | None = None,
        mailer: Mailer | None = None,
        factors: Iterable[Factor] = (),
        sites: Iterable[Site] = (),
        events: Mapping[str, str] | None = None,
        permissions: Mapping[str, str] | None = None,
    ) -> None:
        """`profile` is the model of a person's profile; `claims` adds facts that only the host knows about a user (a
        plan, a team), to the `User` of a request and to access tokens; `mailer` replaces the one of the settings;
        `factors` are added to the built-in ones; `sites` are those of tenants with an origin of their own; `events` are
        the host's own audit events, each with the text that the person reads in their activity; `permissions` are the
        host's own, each with what it allows, for roles that tenants make and for `gate.may`. Raises UnsafeSettings, and
        ValueError for an event or a permission that can't be one."""
        world = world or World.real()
        if reasons := refusals(settings) + startup.reasons(settings, world):
            raise UnsafeSettings(reasons)
        self.settings = settings
        self._world, self._profile, self._given_mailer = world, profile, mailer
        self._claims, self._factors, self._sites = claims, _with(factors), Sites(Site(settings.url), sites)
        self._at, self._mounted, self._is_running, self._is_closed = "", False, False, False
        ours = [*Event, *self._factors.events]
        self._events = host_events.registered(events or {}, ours)
        self._permissions = own_permissions.registered(permissions or {})
        self._observers, self._host_jobs = Observers([*ours, *self._events]), HostJobs()
        self._build()

    def _build(self) -> None:
        """Create the parts. They belong to one event loop, so a closed Passgate creates new ones when it runs again."""
        services = build_services(self.settings, self._world)
        sites = self._sites.at(self._at)
        given = {"profile": self._profile, "claims": self._token_claims if self._claims else None}
        parts = {"sites": sites, "factors": self._factors, "events": self._events, "permissions": self._permissions}
        self._assemble(replace(services, **given, **parts))  # type: ignore[arg-type]

    def _token_claims(self, person: Person) -> Mapping[str, Any]:
        return host.with_claims(host.described(self.services, person), self._claims).claims

    def _assemble(self, services: Services) -> None:
        self.services = services
        self.mailer = self._given_mailer or mailer_for(services)
        for made in ("api", "asgi", "_inside"):
            self.__dict__.pop(made, None)

    @cached_property
    def api(self) -> FastAPI:
        """The FastAPI application, created when first used: the command line and background jobs never need it."""
        return _api(self)

    @cached_property
    def asgi(self) -> ASGIApp:
        around = partial(_with_cors, settings=self.settings, table=self._inside.table)
        return layers(self._inside.layers, self.services, around)

    @cached_property
    def _inside(self) -> Inside:
        """What all requests pass through, and the twins too."""
        table = Table(self.api.routes)
        if self._factors is not FACTORS:
            for route in table.routes:
                route.analyse()  # a factor of the host's own that cannot be served fails at the start
        strict = strict_layers(self.api, self.services, table, HOT)
        return Inside(self.services, strict, table, operations(self.api.routes), lambda: self._is_running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.asgi(scope, receive, send)

    # -- in a host program -------------------------------------------------------------------------

    def mount(self, app: FastAPI, at: str = "/auth", *, root_path: str | None = None) -> None:
        """Add our endpoints below `at` (and `/.well-known/…` at the root), and start and stop with the host. Nothing
        else of the host changes. Call it once per Passgate and program. `root_path`: the path below which browsers
        reach `app`, if a proxy, the server or an outer application puts one before it; the default is that of `app`."""
        if self._mounted or self._is_running:
            raise RuntimeError("this Passgate is already mounted or running")
        stated = (app.root_path.rstrip("/") or None) if root_path is None else root_path
        mounted = mounting.Mounted(lambda: self.asgi, lambda: self.api.routes, lambda: self._is_running)
        path = mounting.checked(stated or "") + mounting.checked(at)
        mounting.mount(app, mounting.MountedEndpoints(at, stated, mounted), self.running)
        host.answer_refusals(app)
        host_docs.mark_optional(app, self.optional_user, (self.user, self.bearer))
        self._at, self._mounted = path, True
        self._assemble(replace(self.services, sites=self._sites.at(path)))

    async def user(self, request: HTTPConnection, _bearer: ByBearer = None, _cookie: ByCookie = None) -> User:
        """`Depends(gate.user)`: the user of a live session, by bearer token or cookie. With the cookie, an unsafe
        method or a WebSocket must come from our own pages. A WebSocket that is refused is closed with 4401 or 4403
        before it is accepted."""
        return host.with_claims(await host.user(self._started(request), request), self._claims)

    async def optional_user(
        self, request: HTTPConnection, _bearer: ByBearer = None, _cookie: ByCookie = None
    ) -> User | None:
        """`Depends(gate.optional_user)`: like `gate.user`, but None for whoever isn't signed in: without a credential,
        and with the cookie of a session that has ended. A refused token gets 401 here too."""
        found = await host.optional_user(self._started(request), request)
        return found and host.with_claims(found, self._claims)

    async def bearer(self, request: HTTPConnection, _bearer: ByBearer = None) -> User:
        """`Depends(gate.bearer)`: like `gate.user`, by bearer token alone. For programs that other programs call: the
        cookie of the pages opens nothing there."""
        return host.with_claims(await host.user(self._started(request), request, by_token=True), self._claims)

    def _started(self, request: HTTPConnection) -> Services:
        host.bring_answer(request.scope)
        if not self._is_running:
            with host.ending(request):
                mounting.refuse(*mounting.NOT_STARTED)
        return self.services

    async def public(self) -> None:
        """`Depends(gate.public)`: anonymous access, stated explicitly."""

    def may(self, permission: str) -> Guard:
        """`Depends(gate.may("users:read"))`: a user whose roles have the permission, one of Passgate's or of
        `Passgate(permissions={…})`; others get 403 `permission_missing`. Raises ValueError for one that nobody
        knows."""
        return host.may(lambda: self.services, self.user, permission)

    def fresh(self, minutes: float = 5, acr: str | None = None) -> Guard:
        """`Depends(gate.fresh(minutes=5))`: a user whose last proof is at most that old and of at least that level
        (`acr="urn:passgate:aal2"`, `"phr"`); others get 401 and must step up."""
        return host.fresh(lambda: self.services, self.user, int(minutes * 60), acr)

    def requests(self, app: FastAPI) -> None:
        """Each answer of the host, errors included, gets the request id that the audit trail has (`X-Request-ID`), a
        line in the access log, and the standard security headers that the host did not set."""
        host_requests.install(app, lambda: self.services)

    def docs(self, app: FastAPI, at: str = "/docs") -> None:
        """Show the host's own endpoints at `at`, in a viewer that loads nothing from elsewhere; its OpenAPI document is
        beside it (`/openapi.json`). Make the application with `docs_url=None, redoc_url=None`. With
        `PASSGATE_DOCS=false` nothing is added."""
        if self.settings.docs:
            host_docs.install(app, at, self.public)

    def unguarded(self, app: FastAPI) -> list[str]:
        """The host's routes and WebSockets that use none of these guards, as `GET /path`, those of mounted applications
        included."""
        return host.unguarded(app, (self.user, self.optional_user, self.bearer, self.public))

    def on(self, event: str, fn: ObserverFunction, *, name: str | None = None) -> None:
        """Call `fn` for every `event` that is recorded from the first start with it on: after the commit, at least
        once, in order for each person. `name` identifies its position in the audit trail; the default is the function's
        qualified name."""
        if self._is_running:
            raise RuntimeError("this Passgate is already running: add observers before it starts")
        self._observers.on(event, fn, name)

    @overload
    def at(self, request: HTTPConnection) -> Operations: ...
    @overload
    def at(self, request: HTTPConnection, *, token: str | None) -> Operations: ...
    @overload
    def at(self, request: None, *, tenant: str) -> Operations: ...
    def at(
        self, request: HTTPConnection | None, *, tenant: str | None = None, token: str | EllipsisType | None = ...
    ) -> Operations:
        """The operations of the JSON API, for whoever sent this request of yours: `await gate.at(request).me.show()`.
        With `token`, for whoever that bearer token belongs to, whatever credential the request carries; a token that is
        None belongs to nobody. Without a request, for an operator who works on a tenant; the tenant has to be named, so
        that a request that is missing by mistake gives nobody an operator's power."""
        is_request = isinstance(request, HTTPConnection)
        if not (is_request and tenant is None) and not (request is None and isinstance(tenant, str)):
            raise TypeError("at() takes a request, or None and the name of a tenant")
        if token is ...:
            return Operations(Caller(lambda: self._inside, request, tenant))
        if request is None or not isinstance(token, str | None):
            raise TypeError("a token is a text, and comes with the request in which it is used")
        return Operations(Caller(lambda: self._inside, request, bearer=Bearer(token)))

    async def record(
        self,
        request: HTTPConnection | None,
        event: str,
        *,
        subject: str | None = None,
        email: str | None = None,
        ok: bool = True,
        facts: Mapping[str, Any] | None = None,
        tenant: str | None = None,
    ) -> None:
        """Record one of `Passgate(events=…)` in the audit trail. Who acts, and from where, is in the request: the
        person of its live session, else a stranger. `subject`: the id of the person whom it is about, of the same
        tenant; without one, whoever acts. `email` instead: it is about whoever has this address there; if nobody has,
        or it was named too often, about nobody, and the row holds a keyed hash of it. `facts`: JSON of at most 4 KiB
        without personal data, which outlives the person. Without a request an operator acts, in the tenant of the name
        `tenant`. Raises ValueError for a mistake of the program, Invalid for what is no address, NotFound for a subject
        or tenant that is not there, SessionEnded and Throttled."""
        ctx = await self._acting(request)
        await host_events.record(ctx, event, subject_id=subject, email=email, ok=ok, facts=facts, tenant=tenant)

    async def _acting(self, request: HTTPConnection | None) -> Ctx:
        return (
            Ctx(self.services, principal=Operator()) if request is None else await host.acting(self.services, request)
        )

    @overload
    def job(self, fn: F, *, name: str | None = None, attempts: int = 5, for_strangers: bool = False) -> F: ...
    @overload
    def job(
        self, fn: None = None, *, name: str | None = None, attempts: int = 5, for_strangers: bool = False
    ) -> Callable[[F], F]: ...
    def job(
        self, fn: F | None = None, *, name: str | None = None, attempts: int = 5, for_strangers: bool = False
    ) -> F | Callable[[F], F]:
        """Register a function that `start_job` runs in the background, also as a decorator. `name` identifies its rows;
        the default is the function's qualified name. A parameter called `run` gets a JobRun. `for_strangers`: whoever
        isn't signed in may start it too. Raises ValueError."""

        def register(fn: F) -> F:
            if self._is_running:
                raise RuntimeError("this Passgate is already running: add jobs before it starts")
            self._host_jobs.add(fn, name, attempts, for_strangers=for_strangers)
            return fn

        return register if fn is None else register(fn)

    async def start_job(self, request: HTTPConnection | None, fn: Callable[..., Any], /, **arguments: Any) -> str:
        """Have a registered function called in the background with these arguments, JSON of at most 16 KiB; returns the
        id of the job. It belongs to whoever acts, as in `record`. Raises ValueError or TypeError for a mistake of the
        program, CredentialMissing for a stranger, SessionEnded and Throttled."""
        one = self._host_jobs.of(fn)
        return await host_jobs.start(await self._acting(request), one, arguments)

    async def send_mail(self, to: str, *, subject: str, text: str, id: str) -> None:
        """Send a mail of the program's own, as plain text, by the mailer of the settings; returns once it is delivered.
        For functions of `job`, whose failures are repeated: `id` is your own name for this mail, such as the `id` of
        the JobRun, and a mail sent again under it counts as the same. Not for codes or links that sign people in. How
        many are sent is the caller's to limit. Raises ValueError for a mistake of the program, Unavailable for what may
        pass, and Invalid if the mail server refuses the mail for good."""
        if not self._is_running:
            raise RuntimeError("this Passgate is not running: mount it, or enter `async with gate.running()`")
        await host_mail.send(self.services, self.mailer, to, subject=subject, text=text, id=id)

    # -- lifecycle ---------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Prepare the database. SQLite is migrated; another database must have been migrated before. UnsafeSettings,
        also for keys that are lost, and for a policy that production does not serve."""
        store = self.services.store
        # Before the keys: a role without rights cannot ask about them.
        if reasons := await fitness.reasons(store):
            raise UnsafeSettings(reasons)
        await self._check_keys()
        if store.is_sqlite:
            await upgrade(store, lock=self.settings.data / startup.LOCK_FILE)
        elif reasons := await schema_reasons(store):
            raise UnsafeSettings(reasons)
        if reasons := await tenants.weak_policies(self.services):
            raise UnsafeSettings(reasons)
        await installation.load(self.services)
        await tenants.ensure_main(self.services)
        await jobs.tidy(self.services)
        await observers.join(self.services, self._observers)
        self.services.erased.set()  # a process that was killed may have left the log behind

    async def _check_keys(self) -> None:
        """Without its keys a database is not served: a fresh one would be made beside them. With others it is, because
        they may be lost for good."""
        reasons = await installation.key_reasons(self.services)
        if any(code == installation.MISSING for code, _ in reasons):
            raise UnsafeSettings(reasons)
        if reasons:
            log.error("the database was written with other keys: whatever they sealed stays unreadable")

    @asynccontextmanager
    async def running(self, *, work: bool = True) -> AsyncIterator[Passgate]:
        """Prepared, with background jobs if `work`; closed at the end."""
        if self._is_running:
            raise RuntimeError("this Passgate is already running")
        if self._is_closed:
            self._build()
        self._is_running, self._is_closed = True, False
        if self.settings.ignored:
            log.warning("service links are no settings", extra={"ignored": list(self.settings.ignored)})
        stop, workers = asyncio.Event(), list[asyncio.Task[None]]()
        try:
            await self.prepare()
            if work:
                self.asgi  # noqa: B018  made now, so that the first request need not wait for it
                workers = [asyncio.create_task(job) for job in self._jobs(stop)]
            yield self
        finally:
            stop.set()
            self.services.wake.set()
            try:
                await _ended(workers)
            finally:
                await self.close()

    def _jobs(self, stop: asyncio.Event) -> Iterator[Coroutine[None, None, None]]:
        yield jobs.run(self.services, self.mailer, stop)
        yield warm.up(self._inside.table, stop)
        if self._observers:
            yield observers.run(self.services, self._observers, stop)
        if self._host_jobs:
            yield job_worker.run(self.services, self._host_jobs, stop)

    async def close(self) -> None:
        """Close every part, even if closing another one fails."""
        self._is_running, self._is_closed = False, True
        async with AsyncExitStack() as parts:
            parts.callback(self.services.hasher.close)
            parts.push_async_callback(self.services.breach.close)
            parts.push_async_callback(self.services.store.close)


async def _ended(workers: list[asyncio.Task[None]]) -> None:
    """Wait for the workers within their grace period."""
    try:
        if workers:
            await asyncio.wait(workers, timeout=_SHUTDOWN_GRACE)
    finally:
        for worker in workers:
            worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


def mailer_for(services: Services) -> Mailer:
    mail = services.settings.mail
    if mail.url.startswith(("dev:", "dev+console:")):
        printer = Console() if mail.url.startswith("dev+console:") else None
        return Mailbox(services.store, services.ring, services.world, printer)
    if mail.url.startswith("console:"):
        return Console()
    from passgate.adapters import smtp  # noqa: PLC0415  development sends nothing

    return smtp.from_settings(mail, services.world)


def _api(gate: Passgate) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with gate.running():
            yield

    app = FastAPI(
        title="Passgate API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    problems.install(app)
    for router in ROUTERS:
        _take(app, router)
    _take(app, tokens.at_issuer)
    _take(app, factors.router_of(gate.services.factors.own))
    if gate.settings.docs:
        docs.install(app)
    # Pages of admins call the operations as a host does.
    app.state.operations = lambda request, ctx: Operations(Caller(lambda: gate._inside, request, ctx=ctx))
    for page in pages(gate.services.factors):
        _take(app, page)
    if isinstance(gate.mailer, Mailbox):
        app.state.mailbox = gate.mailer
        _take(app, ops.developer_router)
        _take(app, mailbox.developer_router)
    return app


def _with(own: Iterable[Factor]) -> Factors:
    """The built-in factors, extended by the host's. Without any the same value is returned for all applications, so
    that their pages are built once."""
    given = tuple(own)
    return Factors(FACTORS, given) if given else FACTORS


def _take(app: FastAPI, router: APIRouter) -> None:
    """Add the router's own routes. `include_router` would copy each of them for every application at its first request,
    and we use nothing that it adds."""
    app.router.routes.extend(router.routes)


def _with_cors(app: ASGIApp, settings: Settings, table: Table) -> ASGIApp:
    """Let the configured origins call the endpoints that are shared, without cookies. No other origin and no other path
    gets CORS headers."""
    if not settings.cors.origins:
        return app
    open_api = CORSMiddleware(
        app,
        allow_origins=settings.cors.origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After", "WWW-Authenticate"],
        allow_credentials=False,
        max_age=600,
    )

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        is_shared = scope["type"] == "http" and table.is_shared(scope["path"])
        await (open_api if is_shared else app)(scope, receive, send)

    return choose


def create_app(**given: Any) -> Passgate:
    """The application of the stand-alone server, with settings from the environment."""
    return Passgate(Settings.load(**given))
