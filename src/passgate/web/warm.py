"""What a start leaves for later is made while nobody waits: the analysis of the routes, and what it and the pages
import. A request that comes before does its own part of it.

Not here: what a start has to check. A route at fault is logged as one here, and answers nothing (`routes.Declared`).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from contextlib import suppress

from passgate.web.routes import Table

log = logging.getLogger("passgate.fault")

_AFTER = 1
"""Seconds that a start has for itself, and for its first requests."""
_LIBRARIES = ("jinja2.ext", *(["pydantic.v1"] if sys.version_info < (3, 14) else []))
"""The framework asks of each parameter whether it is a model of pydantic's first version, which only says on newer
Pythons that it does not work there."""


async def up(table: Table, stop: asyncio.Event, *, after: float = _AFTER) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(after):
            await stop.wait()
    if stop.is_set():
        return
    for library in _LIBRARIES:  # in a thread, because each takes as long as half of the routes
        await asyncio.to_thread(importlib.import_module, library)
    for route in table.routes:
        try:
            route.analyse()
        except Exception:
            log.exception("fault", extra={"route": route.path})
        await asyncio.sleep(0)  # requests have their turn after each route
