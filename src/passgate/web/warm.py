"""What a start leaves for later is made while nobody waits: the analysis of the routes and the library of templates.
A request that comes before does its own part of it.

Not here: what a start has to check. A route at fault is logged as one here, and answers nothing (`routes.Declared`).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from contextlib import suppress

from passgate.web.routes import Table

log = logging.getLogger("passgate.fault")

_AFTER = 1
"""Seconds that a start has for itself, and for its first requests."""


async def up(table: Table, stop: asyncio.Event, *, after: float = _AFTER) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(after):
            await stop.wait()
    if stop.is_set():
        return
    await asyncio.to_thread(importlib.import_module, "jinja2.ext")
    try:
        for _ in table.analyse():
            await asyncio.sleep(0)  # requests have their turn after each route
    except Exception:
        log.exception("fault")
