"""A running sign-in on pages: which page comes next, which other ways it has, proving, and the session at its end.

What is asked for is decided in `core.signin`; the handle travels in a cookie, never in a page.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Request
from starlette.responses import Response

from passgate.core import people, recovery, running, signin
from passgate.core.ctx import Ctx
from passgate.core.factors import Answer, SignIn
from passgate.core.policy import SET_UP, Enough, Need
from passgate.errors import FactorNotOffered, Invalid, PassgateError
from passgate.web import cookies
from passgate.web.guards import Elsewhere, Guest, Half
from passgate.web.pages.page import go, show

HOME = "/account"
WAITING = "/recover/waiting"
CODES = "/account/recovery-codes"
PATHS = {
    "password": "/signin/password",
    "passkey": "/signin/passkey",
    "totp": "/signin/totp",
    "email_code": "/signin/email-code",
    "recovery_code": "/signin/recovery-code",
}
# A passkey's page comes late: it is the one that needs a script.
_FIRST = ("password", "email_code", "passkey", "totp", "recovery_code")
_SECOND = ("totp", "passkey", "email_code", "recovery_code", "password")
_BACK = ("totp", "passkey", "recovery_code", "email_code", "password")
_OWN = ("passkey", "password", "totp", "email_code", "recovery_code")
NEEDS_ADDRESS = frozenset({"password", "email_code"})


def seated(ctx: Ctx, guest: Guest) -> tuple[str, ...]:
    """The cookie that a guest's forms are bound to, where there is none yet."""
    return (cookies.set_signin(ctx.settings, guest.seat),) if guest.is_new else ()


def browser_of(request: Request, ctx: Ctx) -> str | None:
    """The cookie of a browser that is remembered; two of them are none."""
    return cookies.read(request.headers.raw, cookies.browser_name(ctx.settings))


# -- which page ------------------------------------------------------------------------------------


def ranked(sign_in: SignIn, need: Need) -> list[str]:
    """The factors of a need that have a page, the one that is shown first in front."""
    among = [way[0] for way in need.ways if way and way[0] in PATHS]
    if need.enrol:
        order = _OWN if sign_in.purpose == "signup" else _SECOND
    elif sign_in.purpose == "recovery":
        order = _BACK
    else:
        order = _SECOND if sign_in.proofs else _FIRST
    return sorted(among, key=order.index)


def is_nobody(sign_in: SignIn) -> bool:
    """Begun without an address, and nothing has named a person yet: only a passkey can."""
    return not sign_in.email_key and sign_in.person_id is None


def needed(half: Half, factor: str) -> Need:
    """What is asked for now, this factor among it; else on to the page that is."""
    decision = signin.decide(half.sign_in)
    if not isinstance(decision, Need) or (is_nobody(half.sign_in) and factor in NEEDS_ADDRESS):
        raise Elsewhere("/signin")
    if decision.offers(factor):
        return decision
    raise Elsewhere(PATHS[ranked(half.sign_in, decision)[0]])


async def onward(ctx: Ctx, handle: str, *set_cookies: str) -> Response:
    """To the page of what is needed next, or home with a session. What that page shows is made here and not by looking
    at it: the mail with a code, the secret of an authenticator app."""
    sign_in = await running.find(ctx, handle)
    decision = signin.decide(sign_in)
    if isinstance(decision, Enough):
        return await finished(ctx, handle, sign_in, *set_cookies)
    if not isinstance(decision, Need):
        raise FactorNotOffered
    if not decision.enrol and await signin.waits_until(ctx, handle) is not None:
        return go(ctx, WAITING, *set_cookies)
    factor = ranked(sign_in, decision)[0]
    is_mailed = factor == "email_code" and sign_in.purpose in ("signin", "step_up")
    if is_mailed or (decision.enrol and factor == "totp"):
        await signin.challenge(ctx, handle, factor)
    return go(ctx, PATHS[factor], *set_cookies)


async def begun(ctx: Ctx, started: signin.Started, *set_cookies: str) -> Response:
    """On to the first factor, with the handle in its cookie."""
    return await onward(ctx, started.handle, cookies.set_signin(ctx.settings, started.handle), *set_cookies)


# -- what a page shows -----------------------------------------------------------------------------


def others(sign_in: SignIn, need: Need, factor: str) -> list[str]:
    """The other ways of the same need. Without an address those that need one are the page that asks for it."""
    found = [other for other in ranked(sign_in, need) if other != factor]
    if not is_nobody(sign_in):
        return found
    known = [other for other in found if other not in NEEDS_ADDRESS]
    return [*known, "address"] if len(known) < len(found) else known


def days(half: Half, factor: str) -> int:
    """For how many days the browser could be remembered once this factor is proved too; 0: that is not asked here."""
    sign_in = half.sign_in
    return signin.may_remember(replace(sign_in, proofs=(*sign_in.proofs, factor))) if sign_in.proofs else 0


async def whose(ctx: Ctx, sign_in: SignIn) -> str:
    """The address that was typed, else the named person's own."""
    if sign_in.email or sign_in.person_id is None:
        return sign_in.email
    async with ctx.read() as db:
        found = await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
    return str(found["email"]) if found else ""


async def page(
    request: Request, ctx: Ctx, half: Half, factor: str, name: str, error: PassgateError | None = None, **more: Any
) -> Response:
    """The page of one factor of a running sign-in."""
    sign_in, decision = half.sign_in, signin.decide(half.sign_in)
    need = decision if isinstance(decision, Need) else Need((), ())
    return show(
        request, name, service=sign_in.service, bound_to=half.guest.seat, error=error, purpose=sign_in.purpose,
        email=await whose(ctx, sign_in), shortest=sign_in.rules.shortest_password, enrol=need.enrol,
        others=others(sign_in, need, factor), is_second=bool(sign_in.proofs),
        days=0 if need.enrol else days(half, factor), **more,
    )  # fmt: skip


# -- proving ---------------------------------------------------------------------------------------


def remembers(given: dict[str, str]) -> bool:
    """The check mark beside a second factor."""
    if given.get("remember", "") not in ("", "1"):
        raise Invalid({"remember": "value"})
    return given.get("remember") == "1"


async def proved(ctx: Ctx, half: Half, factor: str, answer: Answer, *, remember: bool = False) -> Response:
    """Prove, and go on: to the next factor, or home with a session."""
    is_set_up = needed(half, factor).enrol
    decision = await signin.prove(ctx, half.handle, factor, answer)
    if not isinstance(decision, Enough):
        return await onward(ctx, half.handle)
    is_first = is_set_up and factor in SET_UP and not half.sign_in.enrolled & set(SET_UP)
    return await finished(ctx, half.handle, half.sign_in, remember=remember, to_codes=is_first)


async def finished(
    ctx: Ctx, handle: str, sign_in: SignIn, *set_cookies: str, remember: bool = False, to_codes: bool = False
) -> Response:
    """Home, or where one wanted to go, with a session. `to_codes`: whoever just set up their first factor is shown
    where to get recovery codes, for the day it is lost."""
    done, settings = await signin.finish(ctx, handle, remember=remember), ctx.settings
    home = CODES if to_codes and "recovery_code" in sign_in.rules.second_among else HOME
    wanted = str(sign_in.data.get("return_to") or home)
    kept = (cookies.set_browser(settings, done.browser),) if done.browser else ()
    # What stood in the sign-in cookie before is cleared last.
    mine = (cookies.set_session(settings, done.opened.token), cookies.clear_signin(settings))
    own = cookies.signin_name(settings)
    return go(ctx, wanted, *(one for one in set_cookies if not one.startswith(f"{own}=")), *mine, *kept)


async def waiting(ctx: Ctx, half: Half) -> int | None:
    """Until when a recovery without the lost factor waits."""
    return await recovery.usable_at(ctx, half.sign_in)
