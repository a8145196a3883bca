"""`passgate serve`, `demo` and `worker`: the commands that run until they are stopped.

Not here: binding (`sockets`), one serving process (`server`), several of them (`workers`).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from passgate.cli import desk
from passgate.cli.desk import Given
from passgate.errors import Unavailable, UnsafeSettings

if TYPE_CHECKING:
    from passgate.cli.server import Listening
    from passgate.settings import Settings

DEMO = Path(".passgate/demo")
READY = "ready.json"
OWNER = "owner@example.com"


def install(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(demo)
    app.command()(worker)


App = Annotated[
    str | None, typer.Option("--app", metavar="MODULE:NAME", help="Serve a program of yours, found in this folder.")
]
Name = Annotated[str, typer.Option("--name", help="What is printed as ready.")]


def serve(ctx: typer.Context, app: App = None, name: Name = "Passgate") -> None:
    """Start the server. In development it's reachable from this machine only. Refuses unsafe production settings."""
    from passgate import logs  # noqa: PLC0415
    from passgate.cli import server, sockets  # noqa: PLC0415

    settings = desk.load(ctx.obj)
    logs.configure(settings.log_level)
    _refuse(settings, is_ours=app is None)
    with sockets.bound(settings) as bound:
        settings = settings.model_copy(update={"port": sockets.port_of(bound, settings)})
        line = f"{name} is ready: {settings.url}"
        if app is not None:
            _serve_program(app, settings, bound, line)
            return
        line += f" (listening on {sockets.addresses_of(bound)})"
        if settings.workers > 1:
            raise typer.Exit(_serve_many(settings, bound, line))
        server.run(_serve_one(settings, bound, _announcing(line)))


def _announcing(line: str) -> Listening:
    async def listening() -> None:
        typer.echo(line)

    return listening


def _refuse(settings: Settings, *, is_ours: bool = True) -> None:
    """Refuse with all reasons at once, those of the database included."""
    if reasons := asyncio.run(desk.start_reasons(settings, is_ours=is_ours)):
        raise UnsafeSettings(reasons)


async def _serve_one(settings: Settings, bound: list[socket.socket], listening: Listening) -> None:
    from passgate.app import Passgate  # noqa: PLC0415
    from passgate.cli import server  # noqa: PLC0415

    await server.serve(Passgate(settings), bound, listening)


def _serve_many(settings: Settings, bound: list[socket.socket], line: str, app: str | None = None) -> int:
    """Prepare the database once, before any worker starts, so that they do not race. A program's workers do: it may
    have keys that only it knows, and these would not open what others have made."""
    from passgate.cli.workers import supervise  # noqa: PLC0415

    async def prepare() -> None:
        from passgate.app import Passgate  # noqa: PLC0415

        gate = Passgate(settings)
        try:
            await gate.prepare()
        finally:
            await gate.close()

    if app is None:
        asyncio.run(prepare())
    return supervise(settings, bound, lambda: typer.echo(line), app)


def _serve_program(app: str, settings: Settings, bound: list[socket.socket], line: str) -> None:
    """Serve a host's program. It is imported here even if workers import their own: what is wrong with it is then
    reported once."""
    from passgate.cli import program, server  # noqa: PLC0415

    settings.hand_down()
    try:
        found = program.load(app)
        if settings.workers > 1:
            raise typer.Exit(_serve_many(settings, bound, line, app))
        server.run(server.serve_program(found, settings, bound, _announcing(line)))
    except program.Fault as fault:
        raise typer.Exit(fault.show(app, in_full=settings.is_development)) from None


# -- demo ------------------------------------------------------------------------------------------


def demo(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Start a demo on this machine, with its own data in .passgate/demo/. Ignores all other settings."""
    from passgate import logs  # noqa: PLC0415
    from passgate.cli import server, sockets  # noqa: PLC0415
    from passgate.settings import Settings  # noqa: PLC0415

    given: Given = ctx.obj
    settings = Settings.development(data=given.data or DEMO, port=port)
    logs.configure(settings.log_level)
    ready = settings.data / READY
    ready.unlink(missing_ok=True)
    with sockets.bound(settings) as bound:
        settings = settings.model_copy(update={"port": sockets.port_of(bound, settings)})

        async def listening() -> None:
            await _answers(settings)
            typer.echo(_demo_ready(settings, ready, await _owners_link(settings)))

        try:
            server.run(_serve_one(settings, bound, listening))
        finally:
            ready.unlink(missing_ok=True)


async def _owners_link(settings: Settings) -> str:
    """A new link at each start: signs in the owner of `main`, once, within 15 minutes."""
    from passgate.core import users  # noqa: PLC0415
    from passgate.errors import Conflict  # noqa: PLC0415
    from passgate.parts import build_services  # noqa: PLC0415
    from passgate.world import World  # noqa: PLC0415

    services = build_services(settings, World.real())
    operator = desk.operator(services)
    try:
        with suppress(Conflict):  # there since an earlier start
            await users.add(operator, "main", OWNER, "owner", None)
        return (await users.operators_link(operator, await users.by_email(operator, OWNER, "main"))).url
    finally:
        await services.store.close()
        await services.breach.close()
        services.hasher.close()


def _demo_ready(settings: Settings, ready: Path, admin_link: str) -> str:
    """Write the ready file; return what the terminal prints."""
    paths = {"signup": "/signup", "mail": "/dev/mail", "docs": "/docs"}
    links = {name: settings.url + path for name, path in paths.items()} | {"admin_link": admin_link}
    _write_private(ready, json.dumps({"url": settings.url, **links, "clients": []}, indent=1))
    listing = "".join(f"\n  {name.partition('_')[0]:6} {address}" for name, address in links.items())
    return f"Passgate is ready: {settings.url}{listing}"


async def _answers(settings: Settings) -> None:
    """Return when /readyz answers, since programs that wait for the ready file rely on it."""
    import httpx2  # noqa: PLC0415

    headers = {"Host": f"localhost:{settings.port}"}
    base = f"http://127.0.0.1:{settings.port}"
    async with httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=5) as http:
        for _ in range(50):
            with suppress(httpx2.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise Unavailable("server")


def _write_private(path: Path, text: str) -> None:
    """Write the whole file or nothing, with mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text + "\n")
    temporary.replace(path)


# -- worker ----------------------------------------------------------------------------------------


def worker(ctx: typer.Context) -> None:
    """Run background jobs (emails, audit trail, cleanup) without serving requests."""
    from passgate import logs  # noqa: PLC0415
    from passgate.cli import server  # noqa: PLC0415

    settings = desk.load(ctx.obj)
    logs.configure(settings.log_level)
    _refuse(settings)
    server.run(_work(settings))


async def _work(settings: Settings) -> None:
    from passgate.app import Passgate  # noqa: PLC0415
    from passgate.cli.server import on_signals  # noqa: PLC0415

    over = asyncio.Event()
    on_signals(lambda _number: over.set())
    async with Passgate(settings).running():
        typer.echo("Passgate worker is ready.")
        await over.wait()
