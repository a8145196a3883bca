"""The static files of the pages: one style sheet, two scripts, one icon in two formats. Each has its own route, so no
path is looked up.

Not here: the files of /docs, which `web.docs` serves.
"""

from __future__ import annotations

from fastapi import Depends, Request
from starlette.responses import Response

from passgate.web import guards, routes
from passgate.web.guards import Context
from passgate.web.pages.page import STATIC, sheet, version

router = routes.files(dependencies=[Depends(guards.stranger)], prefix="/static")

at_root = routes.files(dependencies=[Depends(guards.stranger)])
"""Browsers ask for it at the root of a site whose pages name no icon."""

_FOR_EVER = "public, max-age=31536000, immutable"


def _file(request: Request, ctx: Context, content: bytes, kind: str) -> Response:
    """Cached forever under the address with its version, revalidated each time without one."""
    is_versioned = request.query_params.get("v") == version(ctx.settings.look)
    headers = {"cache-control": _FOR_EVER} if is_versioned else {}
    return Response(content, media_type=kind, headers=headers)


@router.get("/passgate.css")
async def style(request: Request, ctx: Context) -> Response:
    """Returns the style sheet, with the host's brand."""
    return _file(request, ctx, sheet(ctx.settings.look), "text/css")


@router.get("/passgate.js")
async def script(request: Request, ctx: Context) -> Response:
    """Returns the script for showing a password. Pages work without it."""
    return _file(request, ctx, (STATIC / "passgate.js").read_bytes(), "text/javascript")


@router.get("/passkey.js")
async def passkeys(request: Request, ctx: Context) -> Response:
    """Returns the script for passkeys."""
    return _file(request, ctx, (STATIC / "passkey.js").read_bytes(), "text/javascript")


@router.get("/passgate.svg")
async def icon(request: Request, ctx: Context) -> Response:
    """Returns the icon."""
    return _file(request, ctx, (STATIC / "passgate.svg").read_bytes(), "image/svg+xml")


@at_root.get("/favicon.ico")
async def favicon(request: Request, ctx: Context) -> Response:
    """Returns the icon for browsers that ask for no other."""
    return _file(request, ctx, (STATIC / "favicon.ico").read_bytes(), "image/x-icon")
