"""How a page is answered: its template and header fields, its form, and what is refused before it.

Not here: any page (pages.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.requests import ClientDisconnect

from passgate import errors

HERE = Path(__file__).parent
RETURN_TO = ("/account", "/password", "/users")
SECRETS = ("password",)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
REASONS = {
    "missing": "Fill this in.",
    "format": "Check the spelling: this can't be right.",
    "length": "That's too short or too long.",
    "reserved": "Choose another one: this one is reserved.",
}
templates = Jinja2Templates(HERE / "templates")
"""Escapes whatever it shows."""
templates.env.globals["wait"] = lambda seconds: f"{-(-seconds // 60)} min" if seconds > 99 else f"{seconds} s"


def page(
    request: Request, name: str, status: int = 200, refused: errors.PassgateError | None = None, **given: Any
) -> Response:
    """A template, and above its form what was refused, with the status and the header fields of the refusal."""
    fields = {field: REASONS.get(why, "Check this.") for field, why in getattr(refused, "fields", {}).items()}
    if isinstance(refused, errors.PasswordRefused):
        fields = {"password": ""}  # above the form already
    values = {"user": None, "typed": {}, **given, "refused": refused, "fields": fields}
    more = {k: v for k, v in refused.headers().items() if k in ("Allow", "Retry-After")} if refused else {}
    code = refused.status if refused and status == 200 else status
    return templates.TemplateResponse(request, f"{name}.html", values, code, headers={**HEADERS, **more})


def to(path: str, **query: str) -> Response:
    """On to another page, by GET."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303, headers=HEADERS)


def led_away(request: Request, refused: Exception) -> Response | None:
    """To where somebody signs in or confirms who they are, if that is what was missing."""
    back = {"to": request.url.path} if request.url.path in RETURN_TO else {}
    match refused:
        case errors.ClientChanged():
            return page(request, "refused", 403, refused)
        case errors.StepUpNeeded():
            return to("/login", why="confirm", **back)
        case errors.CredentialMissing():
            return to("/login", **back)
        case errors.CredentialInvalid() | errors.SessionEnded():
            return to("/login", why="ended", **back)
    return None


def as_refusal(wrong: Exception) -> errors.PassgateError:
    """What the framework refuses, or what went wrong, as a page shows it."""
    if isinstance(wrong, errors.PassgateError):
        return wrong
    match getattr(wrong, "status_code", 500):
        case 404:
            return errors.NotFound()
        case 405:
            return errors.MethodNotAllowed((getattr(wrong, "headers", None) or {}).get("Allow", ""))
        case 413:
            return errors.TooLarge()
    return errors.PassgateError()


async def form(request: Request) -> dict[str, str]:
    """What was typed. Raises Malformed, also for a form of which only a part came."""
    try:
        pairs = parse_qsl((await request.body()).decode())
    except (ValueError, ClientDisconnect):
        raise errors.Malformed from None
    return {name: text.strip() if name not in SECRETS else text for name, text in pairs}


def without_secrets(typed: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in typed.items() if name not in SECRETS}
