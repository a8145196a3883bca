"""What all pages share: rendering a template, error messages, redirects.

Not here: forms (`form`), the content of a page, which is in its own module, and what is allowed, which `core` decides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from gettext import NullTranslations
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from passgate import i18n, theme
from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.errors import Invalid, NotYet, PassgateError, PasswordRefused, ProofRefused, Throttled
from passgate.i18n import N_
from passgate.settings import ThemeSettings
from passgate.web import csrf
from passgate.web.guards import ctx_of
from passgate.world import iso

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = Path(__file__).parents[1] / "static"
SCRIPTS = ("passgate.js", "passkey.js")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-robots-tag": "noindex",
    "vary": "Accept-Language",
}
_ASKING = {"content-security-policy": f"{HEADERS['content-security-policy']}; connect-src 'self'"}
"""On pages with passkeys the script asks one of our own endpoints for options."""

# -- filling a template ----------------------------------------------------------------------------


@lru_cache(4)
def sheet(settings: ThemeSettings) -> bytes:
    """The style sheet, with the colours of this installation."""
    return (STATIC / "passgate.css").read_bytes() + theme.sheet_head(settings).encode()


@lru_cache(4)
def version(settings: ThemeSettings) -> str:
    """A hash of the served style sheet and scripts, so that browsers may cache them forever."""
    scripts = b"".join((STATIC / name).read_bytes() for name in SCRIPTS)
    return hashlib.sha256(sheet(settings) + scripts).hexdigest()[:12]


def templates(ctx: Ctx) -> Environment:
    return theme.environment(ctx.settings.look, ctx.language)


def catalog(ctx: Ctx) -> NullTranslations:
    return i18n.catalog(ctx.language, ctx.settings.look.texts)


def show(
    request: Request,
    template: str,
    /,
    *,
    service: str,
    bound_to: str = "",
    sign_in_id: str = "",
    error: PassgateError | None = None,
    set_cookies: tuple[str, ...] = (),
    passkeys: bool = False,
    wrong: str = "",
    sayings: Mapping[tuple[str, str], str] = MappingProxyType({}),
    **values: Any,
) -> Response:
    """Render a template. With an error: its status, its headers, and its message above the form. `bound_to` and
    `sign_in_id`: what its forms are bound to, and the sign-in they are for. `passkeys` adds the passkey script;
    `wrong` replaces the message of a wrong answer, `sayings` those of faults of fields."""
    ctx = ctx_of(request)
    translations = catalog(ctx)
    context = {
        "page": template,
        "at": ctx.site.path,
        "service": service,
        "csrf_token": csrf.of_form(ctx, bound_to, sign_in_id) if bound_to else "",
        "version": version(ctx.settings.look),
        "alert": message_for(translations, template, error, wrong, sayings) if error else None,
        "bad": marked(error),
        "passkeys": passkeys,
        **_dates(ctx, translations),
        **values,
    }
    filled = templates(ctx).get_template(f"{template.replace('-', '_')}.html")
    answer = HTMLResponse(filled.render(context), status_code=error.status if error else 200)
    answer.headers.update(HEADERS | (_ASKING if passkeys else {}))
    if error is not None:
        answer.headers.update(_fields(error))
    for cookie in set_cookies:
        answer.headers.append("set-cookie", cookie)
    return answer


def _dates(ctx: Ctx, catalog: NullTranslations) -> dict[str, Any]:
    """The functions that the date macros of templates call."""
    return {
        "ago": partial(i18n.ago, catalog, ctx.now()),
        "date": partial(i18n.date, catalog),
        "moment": partial(i18n.moment, catalog),
        "iso": iso,
    }


def _fields(error: PassgateError) -> dict[str, str]:
    """Retry-After and Allow of an error. WWW-Authenticate is left out: it would make a browser open its own dialog."""
    return {name: value for name, value in error.headers().items() if name != "WWW-Authenticate"}


def error_page(ctx: Ctx, error: PassgateError, back: str = "/account") -> Response:
    """An error as a page. It uses nothing that may be unavailable, such as the database. `back`: where to return to
    after a step-up."""
    translations = catalog(ctx)
    context = {
        "page": "error",
        "at": ctx.site.path,
        "service": "",
        "csrf_token": "",
        "version": version(ctx.settings.look),
        "status": error.status,
        "title": translations.gettext(error.title),
        "alert": message_for(translations, "error", error),
        "bad": frozenset[str](),
        "request_id": ctx.request_id,
        "back": back,
        "passkeys": False,
        **_dates(ctx, translations),
    }
    answer = HTMLResponse(templates(ctx).get_template("error.html").render(context), status_code=error.status)
    answer.headers.update({**HEADERS, **_fields(error)})
    return answer


def go(ctx: Ctx, path: str, *set_cookies: str) -> Response:
    """Redirect with 303, so that the browser follows with GET. Only paths of our own are passed."""
    answer = RedirectResponse(ctx.site.path + path, status_code=303)
    for cookie in set_cookies:
        answer.headers.append("set-cookie", cookie)
    return answer


async def service_name(ctx: Ctx, tenant: str | None = None) -> str:
    return (await tenant_of(ctx, tenant)).display_name


async def tenant_of(ctx: Ctx, name: str | None = None) -> tenants.Tenant:
    return await tenants.asked(ctx, name or ctx.site.tenant)


# -- error messages --------------------------------------------------------------------------------

_TEXTS: dict[tuple[str, str], str] = {
    ("account-undo", "handle_invalid"): N_("This link was already used or has expired."),
    ("signin-link", "handle_invalid"): N_("This link was already used, was canceled or has expired."),
    ("admin-gone", "not_found"): N_("They may have been deleted a moment ago, or the address is incomplete."),
    ("admin-role-gone", "not_found"): N_("It may have been deleted a moment ago, or the address is incomplete."),
    ("recover-stop", "handle_invalid"): N_("This link was already used or has expired."),
}
_FIELD_SAYINGS: dict[tuple[str, str], str] = {
    ("email", "format"): N_("Enter an email address in the correct format, like name@example.com."),
    ("email", "missing"): N_("Enter your email address."),
    ("email", "value"): N_("That's already your email address. Enter a different one."),
    ("password", "missing"): N_("Enter your password."),
    ("new_password", "missing"): N_("Enter a new password."),
    ("code", "missing"): N_("Enter the code."),
    ("username", "format"): N_("Use letters of one alphabet, digits, dots, hyphens and underscores."),
    ("username", "length"): N_("Use 2 to 64 characters."),
    ("username", "reserved"): N_("That name can't be used. Choose a different one."),
    ("username", "value"): N_("That name can't be used. Choose a different one."),
    ("label", "missing"): N_("Enter a name."),
    ("label", "length"): N_("Use 60 characters or fewer."),
    ("organisation", "format"): N_("Use 2 to 40 letters, digits and hyphens for the name."),
    ("name", "missing"): N_("Enter a name."),
    ("name", "format"): N_("Use 2 to 40 lowercase letters, digits, hyphens and underscores, beginning with a letter."),
    ("permissions", "missing"): N_("Choose at least one permission."),
    ("who", "value"): N_("No one here has that email address."),
    ("organisation", "reserved"): N_("That name is already taken. Choose a different one."),
}


OR_USERNAME = {
    ("email", "format"): N_("Enter an email address like name@example.com, or a username."),
    ("email", "length"): N_("Enter an email address like name@example.com, or a username."),
    ("email", "missing"): N_("Enter your email address or username."),
}
"""Of the field that takes both."""


def message_for(
    catalog: NullTranslations,
    page: str,
    error: PassgateError,
    wrong: str = "",
    own_sayings: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The alert of an error: {code, text, until}. `until` is an instant in microseconds, or None if there is no
    wait."""
    by_page = wrong if isinstance(error, ProofRefused) else _TEXTS.get((page, error.code))
    text = catalog.gettext(by_page or error.message)
    if isinstance(error, Throttled):
        text = f"{catalog.gettext(N_('Too many attempts.'))} {_when(catalog, error.retry_after)}"
    elif isinstance(error, Invalid) and not isinstance(error, PasswordRefused):
        every = {**_FIELD_SAYINGS, **own_sayings}
        sayings = [every[fault] for fault in error.fields.items() if fault in every]
        text = " ".join(catalog.gettext(saying) for saying in sayings) or text
    return {"code": error.code, "text": text, "until": error.usable_at if isinstance(error, NotYet) else None}


def _when(catalog: NullTranslations, seconds: int) -> str:
    if seconds < 60:
        text = catalog.ngettext("Try again in %(num)s second.", "Try again in %(num)s seconds.", seconds)
        return text % {"num": seconds}
    minutes = -(-seconds // 60)
    return catalog.ngettext("Try again in %(num)s minute.", "Try again in %(num)s minutes.", minutes) % {"num": minutes}


def marked(error: PassgateError | None) -> frozenset[str]:
    """The fields that the form marks as invalid."""
    if isinstance(error, PasswordRefused):
        return frozenset({"password", "new_password"})
    if isinstance(error, Invalid):
        return frozenset(error.fields)
    return frozenset({"password", "code"}) if error is not None and error.code == "proof_refused" else frozenset()


# -- where to go next ------------------------------------------------------------------------------

_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def return_to(request: Request) -> str | None:
    """The page to return to, if the query names one of our own; any other value is ignored."""
    wanted = request.query_params.get("return_to", "")
    path, _, query = wanted.partition("?")
    is_ours = len(wanted) <= 2000 and request.state.table.is_own_page(path) and _QUERY.fullmatch(query)
    return wanted if is_ours else None


def with_return(path: str, wanted: str | None) -> str:
    return f"{path}?return_to={quote(wanted, safe='')}" if wanted else path
