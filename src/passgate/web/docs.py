"""Serves /openapi.json and /docs, from vendored files and with a strict content security policy.

Not here: the descriptions of endpoints, which are written at each endpoint.
"""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from starlette.responses import FileResponse, HTMLResponse, Response

from passgate.web import guards, routes
from passgate.web.api.shapes import Problem, encode
from passgate.web.guards import Context

STATIC = Path(__file__).parent / "static"
VIEWER = "swagger-ui@5.35.0"
"""The folder of the vendored viewer. The version is part of its URLs, so that they can be cached forever."""

_JS, _CSS, _TEXT = "text/javascript", "text/css", "text/plain"
FILES = {
    "/docs/start.js": ("docs/start.js", _JS),
    "/docs/page.css": ("docs/page.css", _CSS),
    f"/docs/{VIEWER}/swagger-ui-bundle.js": (f"vendor/{VIEWER}/swagger-ui-bundle.js", _JS),
    f"/docs/{VIEWER}/swagger-ui-bundle.js.LICENSE.txt": (f"vendor/{VIEWER}/swagger-ui-bundle.js.LICENSE.txt", _TEXT),
    f"/docs/{VIEWER}/swagger-ui.css": (f"vendor/{VIEWER}/swagger-ui.css", _CSS),
}
"""URL path to (file, media type). Each file has its own route, so that no path is ever resolved on disk."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FOR_EVER = "public, max-age=31536000, immutable"

# URLs are relative, so that the page also works below a mount prefix.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{folder}/{viewer}/swagger-ui.css">
<link rel="stylesheet" href="{folder}/page.css">
<script src="{folder}/{viewer}/swagger-ui-bundle.js" defer></script>
<script src="{folder}/start.js" type="module"></script>
</head>
<body>
<main id="endpoints"></main>
<noscript>This page needs JavaScript. You can also <a href="openapi.json">download the OpenAPI document</a>.</noscript>
</body>
</html>
"""

_ABOUT = """\
Sign people in over JSON. A sign-in is a resource with its own handle: send it one proof after another, then turn it
into a session.

1. `POST /api/v1/signup` (or `signin` or `recover`) returns a **handle**, `pg_sin_…`, and what is needed: a list of
   alternatives, each a list of factors.
2. `POST /api/v1/signin/prove`, with the handle as bearer token, proves one factor. Repeat until `enough` is true.
3. `POST /api/v1/signin/finish`, with the handle as bearer token, turns it into a session: a **token**, `pg_ses_…`, or
   a cookie.
4. All other endpoints accept the token as bearer token, or the cookie.

To try an endpoint here, select *Authorize* and enter the handle or token. The page doesn't store them.
Errors are returned as `application/problem+json` with a stable `code`.
"""

_TAGS = {
    "signin": "Sign up, sign in, recover an account, step up.",
    "session": "The current session.",
    "tokens": "Tokens for programs.",
    "me": "The signed-in user's account.",
    "factors": "The signed-in user's passkeys, authenticator app, backup codes and remembered browsers.",
    "jobs": "Background jobs of the program that mounts Passgate.",
    "admin": "For a tenant's admins: the tenant's policy and sign-in links.",
    "users": "For a tenant's admins: its users.",
    "roles": "Roles of the tenant's own, and every permission there is.",
    "invitations": "Invite people to the tenant, and accept an invitation.",
    "ops": "For operators of this server.",
}


def install(app: FastAPI) -> None:
    """Add the OpenAPI document, the page and its files."""
    app.description = _ABOUT
    app.openapi_tags = [{"name": name, "description": text} for name, text in _TAGS.items()]
    app.router.routes.extend(router.routes)


async def _document(request: Request, ctx: Context) -> Response:
    document = described(request.app, ctx.site.path, ctx.services.profile)
    return Response(encode(document), media_type="application/json")


def page(title: str, folder: str = "docs") -> Response:
    """The viewer, on the `openapi.json` beside it. `folder`: the last part of the page's own path, below which its
    files are."""
    html = _PAGE.format(title=escape(title), folder=folder, viewer=VIEWER)
    return HTMLResponse(html, headers={"content-security-policy": _POLICY})


async def _page() -> Response:
    return page("Passgate API")


async def file(path: Path, kind: str) -> Response:
    headers = {"cache-control": _FOR_EVER} if VIEWER in path.parts else {}
    return FileResponse(path, media_type=kind, headers=headers)


router = routes.services(include_in_schema=False, dependencies=[Depends(guards.stranger)])
router.add_api_route("/openapi.json", _document, name="/openapi.json")
router.add_api_route("/docs", _page, name="/docs")
for _path, (_name, _kind) in FILES.items():
    router.add_api_route(_path, partial(file, STATIC / _name, _kind), name=_path.removeprefix("/docs/"))


def described(app: FastAPI, at: str = "", profile: type[BaseModel] | None = None) -> dict[str, Any]:
    """The OpenAPI document, with `Problem` as the schema of every error. `at` is the mount prefix in a host
    application; `profile` replaces the generic schema of profiles."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = app.openapi()
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    if at:
        schema["servers"] = [{"url": at}]
    if profile:
        _describe_profile(schemas, profile)
    return schema


def _describe_profile(schemas: dict[str, Any], profile: type[BaseModel]) -> None:
    """Put the schema of the host's profile model in place of "any object". The prefix `Profile.` keeps its definitions
    apart from ours."""
    made = profile.model_json_schema(ref_template="#/components/schemas/Profile.{model}")
    parts: dict[str, Any] = made.pop("$defs", {})
    schemas |= {f"Profile.{name}": part for name, part in parts.items()} | {"Profile": made}
    it = {"$ref": "#/components/schemas/Profile"}
    for name in ("User", "ProfileChange"):
        schemas[name]["properties"]["profile"] = it
    schemas["ProfileChange"].pop("examples", None)
    if made.get("required"):
        schemas["Signup"]["properties"]["profile"] = it
        schemas["Signup"]["required"].append("profile")
    else:
        schemas["Signup"]["properties"]["profile"] = {"anyOf": [it, {"type": "null"}]}
