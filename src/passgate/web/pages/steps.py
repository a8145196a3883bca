"""The flow of a pending sign-in over pages: the next page, the alternatives on it, proving, and the session at the end.

Not here: what is asked for, which `core.signin` decides. The handle is carried in a cookie and is in no page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from starlette.responses import Response

from passgate.core import known, people, recovery, signin, starts
from passgate.core.ctx import Ctx
from passgate.core.factor import Answer, Factor
from passgate.core.pending import SignIn
from passgate.core.policy import Enough, Need
from passgate.errors import FactorNotOffered, Invalid, PassgateError, ProofMissing
from passgate.i18n import N_
from passgate.web import cookies
from passgate.web.guards import AnonymousVisitor, PendingVisitor, RedirectTo
from passgate.web.pages.page import error_page, go, show

HOME = "/account"
WAITING = "/recover/waiting"
CODES = "/account/recovery-codes"


def path_of(factor: Factor) -> str:
    return f"/signin/{factor.path}"


def binding_cookies(ctx: Ctx, visitor: AnonymousVisitor) -> tuple[str, ...]:
    """The Set-Cookie value for a visitor whose forms have nothing to be bound to yet; empty otherwise."""
    return (cookies.set_signin(ctx.settings, visitor.binding),) if visitor.is_new else ()


def browser_of(request: Request, ctx: Ctx) -> str | None:
    """The cookie of a remembered browser."""
    return cookies.sent_once(request.headers.raw, cookies.browser_name(ctx.settings)) or None


# -- which page ------------------------------------------------------------------------------------


def ranked(ctx: Ctx, sign_in: SignIn, need: Need) -> tuple[Factor, ...]:
    """The factors of a need, with the preferred one first."""
    names = [way[0] for way in need.ways if way and way[0] in ctx.factors]
    journey = sign_in.journey
    by = journey.by_set_up if need.enrol else journey.by_next if sign_in.proofs else journey.by_first
    return tuple(ctx.factors[name] for name in ctx.factors.ranked(names, by))


def is_nobody(sign_in: SignIn) -> bool:
    """Whether the sign-in began without an address or username, and no proof has named a person yet; only a passkey
    can."""
    return not sign_in.identifier_key and sign_in.person_id is None


def needed(ctx: Ctx, visitor: PendingVisitor, factor: Factor) -> Need:
    """What is asked for now, if this factor is part of it; otherwise redirects to the page that is."""
    decision = signin.decide(ctx, visitor.sign_in)
    if not isinstance(decision, Need) or (is_nobody(visitor.sign_in) and factor.needs_address):
        raise RedirectTo("/signin")
    if decision.offers(factor.name):
        return decision
    raise RedirectTo(path_of(ranked(ctx, visitor.sign_in, decision)[0]))


async def onward(ctx: Ctx, handle: str, *set_cookies: str) -> Response:
    """Redirect to the page of what is needed next, or home with a session. What that page needs is created here and not
    when it is opened: the mail with a code, the secret of an authenticator app."""
    sign_in = await signin.find(ctx, handle)
    decision = signin.decide(ctx, sign_in)
    if isinstance(decision, Enough):
        return await finished(ctx, handle, sign_in, *set_cookies)
    if not isinstance(decision, Need):
        raise FactorNotOffered
    if not decision.enrol and await signin.waits_until(ctx, handle) is not None:
        return go(ctx, WAITING, *set_cookies)
    factor = ranked(ctx, sign_in, decision)[0]
    is_mailed = sign_in.journey.mails_at_start and await factor.was_sent(ctx, sign_in)
    if _is_drawn(factor, decision) or (factor.is_sent and not is_mailed):
        await signin.challenge(ctx, handle, factor.name)
    return go(ctx, path_of(factor), *set_cookies)


def _is_drawn(factor: Factor, need: Need) -> bool:
    return need.enrol and factor.set_up is not None and factor.set_up.is_drawn


async def begun(ctx: Ctx, started: starts.Started, *set_cookies: str) -> Response:
    """Redirect to the first factor, with the handle in its cookie."""
    return await onward(ctx, started.handle, cookies.set_signin(ctx.settings, started.handle), *set_cookies)


async def step_up(ctx: Ctx, back: str, *, address: bool = False) -> Response:
    """Redirect to a step-up at the person's own level, which returns to a page of ours with a fresh proof. `address`:
    it confirms the email address too."""
    return await begun(ctx, await starts.step_up(ctx, None, back, address=address))


# -- what a page shows -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """An alternative on a page: a link, or a button if something is sent or made first. `by_script`: its page needs the
    passkey script; `recovers`: it is one of two proofs for a lost factor."""

    text: str
    path: str
    is_post: bool = False
    by_script: bool = False
    recovers: bool = False


_BY_ADDRESS = Way(N_("Sign in with your email address"), "/signin")
_BY_IDENTIFIER = Way(N_("Sign in with your email address or username"), "/signin")


def others(ctx: Ctx, sign_in: SignIn, need: Need, current: Factor | None) -> list[Way]:
    """The alternatives of the same need. Without an address, factors that need one become a link to the page that asks
    for it."""
    found = [factor for factor in ranked(ctx, sign_in, need) if factor is not current]
    known = [factor for factor in found if not (is_nobody(sign_in) and factor.needs_address)]
    ways = [_way(factor, sign_in, need) for factor in known]
    by_typing = _BY_ADDRESS if sign_in.rules.usernames == "off" else _BY_IDENTIFIER
    return [*ways, by_typing] if len(known) < len(found) else ways


def _way(factor: Factor, sign_in: SignIn, need: Need) -> Way:
    texts, path = factor.texts, path_of(factor)
    text = texts.set_up if need.enrol else (sign_in.journey.is_recovery and texts.in_recovery) or texts.use
    if factor.is_sent:
        return Way(text, f"{path}/again", is_post=True, recovers=factor.recovers)
    if _is_drawn(factor, need):
        return Way(text, f"{path}/offer", is_post=True)
    return Way(text, path, by_script=factor.answer == "object", recovers=factor.recovers)


def days(visitor: PendingVisitor, factor: Factor | None) -> int:
    """For how many days this browser could be remembered once this factor is proved too; 0 if the page must not offer
    it."""
    sign_in = visitor.sign_in
    if factor is None or not sign_in.proofs:
        return 0
    return signin.may_remember(replace(sign_in, proofs=(*sign_in.proofs, factor.name)))


async def whose(ctx: Ctx, sign_in: SignIn) -> str:
    """The address or username that was typed, or else the named person's address."""
    if sign_in.identifier or sign_in.person_id is None:
        return sign_in.identifier
    return await people.email_of(ctx, sign_in.tenant_id, sign_in.person_id)


async def sent_to(ctx: Ctx, sign_in: SignIn) -> str | None:
    """The masked address that a code goes to. None where a username was typed and no proof has named the person yet,
    because the page must not say whose address it is."""
    if sign_in.email or not sign_in.is_by_username:
        return people.masked(await whose(ctx, sign_in))
    if sign_in.person_id is None:
        return None
    return people.masked(await people.email_of(ctx, sign_in.tenant_id, sign_in.person_id))


async def page(
    request: Request,
    ctx: Ctx,
    visitor: PendingVisitor,
    factor: Factor | None,
    name: str,
    error: PassgateError | None = None,
    **more: Any,
) -> Response:
    """The page of one factor of a pending sign-in, or a page between two."""
    sign_in, decision = visitor.sign_in, signin.decide(ctx, visitor.sign_in)
    need = decision if isinstance(decision, Need) else Need(())
    return show(
        request,
        name,
        service=sign_in.service,
        bound_to=visitor.anonymous.binding,
        sign_in_id=sign_in.id,
        error=error,
        journey=sign_in.journey,
        email=await whose(ctx, sign_in),
        usernames=sign_in.rules.usernames != "off",
        shortest=sign_in.rules.shortest_password(ctx.factors),
        enrol=need.enrol,
        others=others(ctx, sign_in, need, factor),
        is_second=bool(sign_in.proofs),
        days=0 if need.enrol else days(visitor, factor),
        wrong=factor.texts.wrong if factor else "",
        **more,
    )


# -- proving ---------------------------------------------------------------------------------------


def remembers(given: dict[str, str]) -> bool:
    """Whether the checkbox to remember this browser is checked."""
    if given.get("remember", "") not in ("", "1"):
        raise Invalid({"remember": "value"})
    return given.get("remember") == "1"


async def proved(
    ctx: Ctx, visitor: PendingVisitor, factor: Factor, answer: Answer, *, remember: bool = False
) -> Response:
    """Prove a factor, then redirect to the next one, or home with a session."""
    is_set_up = needed(ctx, visitor, factor).enrol
    try:
        done = await signin.prove_in_browser(ctx, visitor.handle, factor.name, answer)
    except ProofMissing:  # the address of a sign-up is not free, so it is asked for after all
        return await onward(ctx, visitor.handle)
    renewed = cookies.set_signin(ctx.settings, done.handle)
    second = {*ctx.factors.set_up_second} & {*ctx.factors.possession}
    is_first = is_set_up and factor.name in second and not visitor.sign_in.enrolled & second
    try:
        if not isinstance(done.decision, Enough):
            return await onward(ctx, done.handle, renewed)
        return await finished(ctx, done.handle, visitor.sign_in, remember=remember, to_codes=is_first)
    except PassgateError as error:  # what was proved counts, so the browser needs its new handle all the same
        refused = error_page(ctx, error)
        refused.headers.append("set-cookie", renewed)
        return refused


async def finished(
    ctx: Ctx, handle: str, sign_in: SignIn, *set_cookies: str, remember: bool = False, to_codes: bool = False
) -> Response:
    """Redirect home, or to the page that was asked for, with a session. `to_codes`: redirect to the backup codes, after
    somebody has set up their first second factor."""
    settings = ctx.settings
    try:
        done = await signin.finish(ctx, handle, carrier="cookie", remember=remember)
    except ProofMissing:
        if not sign_in.journey.makes_person:
            raise
        return await onward(ctx, handle, *set_cookies)  # the address is not free, so it is asked for after all
    has_codes = any(not ctx.factors[name].is_lasting for name in sign_in.rules.second_among)
    home = CODES if to_codes and has_codes else HOME
    wanted = str(sign_in.data.get("return_to") or home)
    browser = [cookies.set_browser(settings, done.browser)] if done.browser else []
    if done.known:
        browser.append(cookies.set_known(settings, done.known, known.LIFE))
    # The sign-in cookie is cleared after any other value for it.
    mine = (cookies.set_session(settings, done.opened.token), cookies.clear_signin(settings))
    own = cookies.signin_name(settings)
    return go(ctx, wanted, *(one for one in set_cookies if not one.startswith(f"{own}=")), *mine, *browser)


async def waiting(ctx: Ctx, visitor: PendingVisitor) -> int | None:
    """The instant until which a recovery without the lost factor waits; None if it does not wait."""
    return await recovery.usable_at(ctx, visitor.sign_in)
