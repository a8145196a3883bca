"""What `passgate doctor` looks at: all that `serve` makes, made and put away again, and what only a doctor asks.

Not here: the reasons that every start has, which are in `desk`, `startup` and `settings.refusals`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
from typing import TYPE_CHECKING

from passgate.cli import desk, program, sockets
from passgate.errors import Unavailable, UnsafeSettings
from passgate.settings import unix_path
from passgate.settings.values import UNIX
from passgate.wire.forwarded import UNTRUSTED

if TYPE_CHECKING:
    from passgate.cli.desk import Given
    from passgate.reasons import Reason
    from passgate.settings import Settings

PATIENCE = 2.0
"""Seconds that whoever has our port may take to say that it is a Passgate."""

_ALL = (None, "localhost", "::", "0.0.0.0")  # noqa: S104  addresses that localhost is among


def all_reasons(given: Given, app: str | None) -> tuple[list[Reason], list[str]]:
    """Every reason, those not to start first, and remarks, which are none."""
    try:
        settings = desk.load(given)
    except UnsafeSettings as unsafe:
        return unsafe.reasons, []
    found = asyncio.run(desk.start_reasons(settings, is_ours=app is None))
    remarks = _proxy_notes(settings)
    if settings.ignored:
        remarks.append(f"ignored, as names of service links: {', '.join(settings.ignored)}")
    taken = _socket_reasons(settings)
    if [code for code, _ in taken] == ["ADDRESS_TAKEN"] and _is_passgate(settings):
        remarks.append(f"{taken[0][1]} It is a Passgate that runs already.")
        taken = []
    found += taken
    if app is not None:
        found += _program_reasons(settings, app)
    # These need keys and database, so they come last.
    if not any(code.startswith(("SECRETS_", "KEYS_", "DATA", "DISK_")) for code, _ in found):
        found += asyncio.run(desk.named(_damage(settings))) or asyncio.run(
            desk.named(desk.unreadable_reasons(settings))
        )
    return found, remarks


async def _damage(settings: Settings) -> list[Reason]:
    """Of pages that a start may not read: SQLite looks at all of them, which would make a start slow."""
    from sqlalchemy import text  # noqa: PLC0415

    from passgate.store.faults import DAMAGED  # noqa: PLC0415

    if not settings.is_sqlite or not settings.database_file.exists():
        return []
    store = desk.open_store(settings)
    try:
        async with store.read() as db:
            return [] if await db.value(text("PRAGMA quick_check(1)")) == "ok" else [DAMAGED]
    finally:
        await store.close()


# -- sockets ---------------------------------------------------------------------------------------


def _socket_reasons(settings: Settings) -> list[Reason]:
    try:
        with sockets.bound(settings):
            return []
    except UnsafeSettings as unsafe:
        return unsafe.reasons


def _is_passgate(settings: Settings) -> bool:
    """Whether the program that has our address answers as one."""
    here = settings.host in _ALL or unix_path(settings.host) is not None
    connection = http.client.HTTPConnection("localhost" if here else str(settings.host), settings.port, PATIENCE)
    try:
        if path := unix_path(settings.host):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(os.fspath(path))
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        answer = connection.getresponse()
        return answer.getheader("X-Request-ID") is not None and json.loads(answer.read(1000)) == {"status": "ok"}
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


# -- a host's program ------------------------------------------------------------------------------


def _program_reasons(settings: Settings, app: str) -> list[Reason]:
    """Imported as `serve` imports it. Its lifespan isn't started: it may do anything."""
    settings.hand_down()
    try:
        program.load(app)
    except UnsafeSettings as unsafe:
        return unsafe.reasons
    except Unavailable as down:
        return [("APP_FAILED", f"{app} needs what is down: {down.down}.")]
    except program.Fault as fault:
        return [fault.reason(app)]
    return []


# -- remarks -----------------------------------------------------------------------------------------


def _proxy_notes(settings: Settings) -> list[str]:
    if settings.is_development:
        return []
    if unix_path(settings.host) and UNIX not in settings.trusted_proxies:
        return ["Whoever comes through the Unix socket isn't trusted. Set PASSGATE_TRUSTED_PROXIES=unix: " + UNTRUSTED]
    if not settings.trusted_proxies:
        return [
            "no trusted proxies. Behind one, set PASSGATE_TRUSTED_PROXIES to its address, such as 127.0.0.1: "
            + UNTRUSTED
        ]
    return []
