"""Mails as data: their wording, and `enqueue`, which inserts one into the outbox inside the change's own transaction.

Not here: sending (`outbox`) and layout (the template). Nothing here waits for a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from passgate import i18n, theme
from passgate.core import budgets, invitation_link, mailed_link, people, tenants
from passgate.core.ctx import Ctx
from passgate.core.message import Message
from passgate.i18n import N_
from passgate.store import Db
from passgate.store.tables import outbox
from passgate.world import SECOND

_LIFETIME = 24 * 3600
"""Seconds a mail waits for a mail server before it is dropped."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: a heading, what happened, one code or one button, further notes. `path` is where the button leads;
    `recover` adds a link to account recovery. All texts are English and translated when the mail is enqueued."""

    subject: str
    heading: str
    lead: str
    paragraphs: tuple[str, ...] = ()
    button: str = ""
    path: str = ""
    recover: bool = False
    undo: bool = False
    """The button undoes what happened, and a note says so; without a link both are left out, and the note is `_ACT`."""
    link_only: tuple[str, str] | None = None
    """Subject and lead of the mail without a code, if it may be sent without one; its first paragraph is about the
    code."""


_KEEP = N_("If this wasn't you, you can ignore this email. Don't forward it or read it out to anyone.")
_NOT_YOU = N_("If this wasn't you, you can ignore this email. No one can sign in with it alone.")
_ACT = N_("If this wasn't you, recover your account right away.")
_UNDO = N_(
    "If this wasn't you, undo it. You can do that with this email for 7 days; changes made later are undone as well."
)
_ONCE_HERE = N_(
    "The code expires in %(minutes)s minutes."
    " Enter it only on the page where you requested it, and don't share it with anyone."
)
_BUTTON = N_("The button continues where you read this email. It works once, within %(link_minutes)s minutes.")
_OPERATORS = N_("the people who run this service")
_CODE = N_("Your %(service)s verification code: %(code)s")

LETTERS: dict[str, Letter] = {
    "signup_code": Letter(
        _CODE,
        N_("Confirm your email address"),
        N_("Enter this code to finish signing up for %(service)s."),
        (_ONCE_HERE, _NOT_YOU),
    ),
    "signup_known": Letter(
        N_("You already have an account with %(service)s"),
        N_("You already have an account"),
        N_("Someone, possibly you, tried to sign up with this email address. It already has an account."),
        (N_("Forgot your password? You can reset it."), _NOT_YOU),
        N_("Sign in"),
        "/signin",
        recover=True,
    ),
    "signin_code": Letter(
        _CODE,
        N_("Sign in"),
        N_("Enter this code to sign in to %(service)s."),
        (_ONCE_HERE, _BUTTON, _KEEP),
        N_("Sign in"),
        link_only=(
            N_("Sign in to %(service)s"),
            N_("Use the button to sign in to %(service)s."),
        ),
    ),
    "recovery_code": Letter(
        _CODE,
        N_("Recover your account"),
        N_("Enter this code to recover your %(service)s account."),
        (_ONCE_HERE, _BUTTON, _KEEP),
        N_("Recover your account"),
        link_only=(
            N_("Recover your %(service)s account"),
            N_("Use the button to recover your %(service)s account."),
        ),
    ),
    "recovery_none": Letter(
        N_("No %(service)s account for this email address"),
        N_("We couldn't find an account"),
        N_(
            "Someone, possibly you, tried to recover an account with this email address, but there isn't one that can"
            " be recovered. You may have signed up with a different address."
        ),
        (),
        N_("Sign up"),
        "/signup",
    ),
    "invitation": Letter(
        N_("Your invitation to %(service)s"),
        N_("You're invited"),
        N_("You're invited to join %(service)s. The invitation is from %(inviter)s."),
        (
            N_("The button works once, within %(days)s days. Don't forward this email: it lets its reader accept."),
            N_("If you didn't expect this, you can ignore it. Nothing happens unless you accept."),
        ),
        N_("See the invitation"),
    ),
    "recovered": Letter(
        N_("Your %(service)s account was recovered"),
        "%(what)s",
        N_("Your account was recovered, and you were signed out everywhere."),
        (_ACT,),
        N_("Undo the change"),
        recover=True,
        undo=True,
    ),
    "factor_added": Letter(
        N_("Sign-in option added to your %(service)s account"),
        N_("A sign-in option was added"),
        N_("Added to your account: %(what)s%(label)s."),
        (_ACT,),
        N_("Undo the change"),
        recover=True,
        undo=True,
    ),
    "factor_removed": Letter(
        N_("Sign-in option removed from your %(service)s account"),
        N_("A sign-in option was removed"),
        N_("Removed from your account: %(what)s%(label)s."),
        (_ACT,),
        N_("Undo the change"),
        recover=True,
        undo=True,
    ),
    "factor_undone": Letter(
        N_("Changes to your %(service)s account were undone"),
        N_("The changes were undone"),
        N_(
            "Changes to how you sign in were undone, and you were signed out everywhere."
            " If you haven't yet, choose a new way to sign in."
        ),
        (),
        N_("Recover your account"),
        "/recover",
    ),
    "account_closed": Letter(
        N_("Your %(service)s account was closed"),
        N_("Your account was closed"),
        N_("Your account was closed. It will be erased on %(erase_at)s."),
        (N_("If this wasn't you, or you changed your mind, restore it before then. This email is the only way."),),
        N_("Restore the account"),
    ),
    "account_closing": Letter(
        N_("Your %(service)s account is closed"),
        N_("This account is closed"),
        N_(
            "Someone, possibly you, tried to use this email address. Its account was closed and will be erased on"
            " %(erase_at)s."
        ),
        (N_("Until then, you can restore it with the email we sent when it was closed."), _NOT_YOU),
    ),
    "policy_changed": Letter(
        N_("The sign-in policy of %(service)s was changed"),
        N_("The sign-in policy was changed"),
        N_("Another owner changed how people sign in to %(service)s%(label)s."),
        (N_("If you didn't expect this, check the policy and who the owners are."),),
        N_("Go to your account"),
        "/account",
    ),
    "recovery_codes": Letter(
        N_("Your backup codes for %(service)s"),
        N_("Your backup codes"),
        N_("Each code works once, when you can't use your second step. Keep this list."),
        (N_("Codes we sent before no longer work. Don't forward this email or read a code to anyone."), _ACT),
        recover=True,
    ),
    "factor_code": Letter(
        _CODE,
        N_("Turn on emailed codes"),
        N_("Enter this code to get a code by email whenever you sign in to %(service)s with your password."),
        (_ONCE_HERE, _NOT_YOU),
    ),
    "factor_displayed": Letter(
        N_("Your authenticator app for %(service)s was displayed again"),
        N_("Your setup key was displayed"),
        N_("The setup key of your authenticator app was displayed again. Whoever saw it can add it to another device."),
        (N_("If this wasn't you, replace the app in your account, and recover your account right away."),),
        recover=True,
    ),
    "recovery_code_used": Letter(
        N_("A backup code was used for your %(service)s account"),
        N_("A backup code was used"),
        N_("A backup code was used to sign in to your account. Codes left: %(left)s."),
        (N_("If you're running low, generate new codes in your account."), _ACT),
        recover=True,
    ),
    "passkey_counter": Letter(
        N_("Check one of your passkeys for %(service)s"),
        N_("A passkey may have been copied"),
        N_("A sign-in with one of your passkeys%(label)s looked unusual. Someone may have a copy of it."),
        (N_("If you can't explain this, remove the passkey and create a new one."), _ACT),
        recover=True,
    ),
    "recovery_asked": Letter(
        N_("Request to reset two-step verification for your %(service)s account"),
        N_("Two-step verification reset requested"),
        N_(
            "Someone, possibly you, is recovering your account without your second step."
            " After a waiting period, two-step verification can be reset."
        ),
        (N_("If this wasn't you, stop the reset and change your password."),),
        N_("Stop the reset"),
    ),
    "factor_reset": Letter(
        N_("Two-step verification for your %(service)s account will be reset"),
        N_("Two-step verification will be reset"),
        N_(
            "The people who run %(service)s are resetting your two-step verification."
            " After a waiting period it is removed, and you are signed out everywhere."
        ),
        (N_("If you didn't ask for it, stop the reset."),),
        N_("Stop the reset"),
    ),
    "signin_link": Letter(
        N_("A sign-in link was created for your %(service)s account"),
        N_("A sign-in link was created for you"),
        N_("The people who run %(service)s created a one-time link to sign in to your account."),
        (N_("If you didn't ask for it, cancel the link."),),
        N_("Cancel the link"),
    ),
    "password_changed": Letter(
        N_("Your %(service)s password was changed"),
        N_("Your password was changed"),
        N_("Your password was changed, and you were signed out everywhere else."),
        (_ACT,),
        N_("Undo the change"),
        recover=True,
        undo=True,
    ),
    "new_device": Letter(
        N_("New sign-in to your %(service)s account"),
        N_("New sign-in"),
        N_("Someone signed in to your account from a device we haven't seen before."),
        (_ACT,),
        recover=True,
    ),
    "refresh_reused": Letter(
        N_("You were signed out of an app for %(service)s"),
        N_("You were signed out"),
        N_("A sign-in token of your account was used twice. Somebody may have copied it, so we ended that sign-in."),
        (_ACT,),
        recover=True,
    ),
    "client_changed": Letter(
        N_("You were signed out of %(service)s"),
        N_("You were signed out"),
        N_("Your sign-in was used by another browser or device than the one you signed in with, so we ended it."),
        (_ACT,),
        recover=True,
    ),
    "address_claimed": Letter(
        N_("An account with %(service)s was created with your email address"),
        N_("Your email address isn't confirmed yet"),
        N_("Someone, possibly you, signed up for %(service)s with this email address."),
        (
            N_("If that was you, sign in and confirm the address in your account."),
            N_("If it wasn't you, you can recover the account: then it's yours, and everyone else is signed out."),
        ),
        N_("Go to your account"),
        "/account",
        recover=True,
    ),
    "roles_ended": Letter(
        N_("Roles in %(service)s have ended"),
        N_("Roles have ended"),
        N_(
            "An account%(label)s was given roles before anyone had confirmed its email address. It's confirmed now,"
            " possibly by someone other than you meant, so these roles have ended: %(what)s."
        ),
        (N_("If this person should have the roles, give them again."),),
        N_("Go to your account"),
        "/account",
    ),
    "address_code": Letter(
        _CODE,
        N_("Confirm your new email address"),
        N_("Enter this code to use this email address for your %(service)s account."),
        (_ONCE_HERE, _NOT_YOU),
    ),
    "address_known": Letter(
        N_("This email address is already in use at %(service)s"),
        N_("This email address is already in use"),
        N_(
            "Someone, possibly you, tried to change an account's email address to this one."
            " Another account already uses it."
        ),
        (_NOT_YOU,),
    ),
    "address_changed": Letter(
        N_("Your email address for %(service)s was changed"),
        N_("Your email address was changed"),
        N_("Your account now has a different email address. We'll send future emails there."),
        (_ACT,),
        N_("Undo the change"),
        undo=True,
    ),
    "address_restored": Letter(
        N_("Your email address for %(service)s was changed back"),
        N_("Your email address was changed back"),
        N_("Your email address was changed back, and you were signed out everywhere. Choose a new password now."),
        (),
        N_("Choose a new password"),
        "/recover",
    ),
}


_COUNTED_ELSEWHERE = frozenset(
    {
        *("signup_code", "signin_code", "recovery_code", "factor_code", "address_code"),
        *("signup_known", "recovery_none", "account_closing", "address_known", "address_claimed"),
        *("signin_link", "recovery_asked", "factor_reset", "account_closed", "invitation", "recovery_codes"),
    }
)
"""Kinds that are sent to an unproved address as often as to any: codes and what is sent in their place, which have
budgets of their own, and links, which only somebody else can cause, or nobody twice. Somebody who has the account may
cause any other as often as they like."""


def render(
    ctx: Ctx,
    kind: str,
    to: str,
    *,
    service: str,
    code: str | None = None,
    link: str | None = None,
    what: str = "",
    label: str = "",
    left: int = 0,
    erase_at: int = 0,
    inviter: str = "",
    codes: tuple[str, ...] = (),
    home: str | None = None,
) -> Message:
    """The finished mail, as text and as HTML. Links are built from the public URL, never from a request. `what` and
    `label` name a factor, `left` counts recovery codes, `codes` lists them, `erase_at` is when a closed account is
    erased, `inviter` who invites, if a person does; `home` is the start of a link to the reader's pages, if not on the
    request's site."""
    letter, catalog = LETTERS[kind], i18n.catalog(ctx.language, ctx.settings.look.texts)
    translate, home = catalog.gettext, home or ctx.site.url
    link = link or (home + letter.path if letter.path else None)
    subject, lead, notes = _texts(letter, code, link)
    given = _lives(ctx) | {"service": service, "code": code or ""}
    given |= {"what": translate(what) if what else "", "label": f" ({label})" if label else "", "left": left}
    given |= {"erase_at": i18n.moment(catalog, erase_at), "inviter": inviter or translate(_OPERATORS)}
    context: dict[str, Any] = {
        "service": service,
        "to": to,
        "code": code,
        "codes": codes,
        "link": link,
        "button": translate(letter.button) if link else "",
        "recover": f"{home}/recover" if letter.recover else None,
        "heading": translate(letter.heading) % given,
        "lead": translate(lead) % given,
        "notes": [translate(paragraph) % given for paragraph in notes],
        "asked_at": i18n.moment(catalog, ctx.now()),
        "ip": ctx.origin.ip,
        "device": " · ".join(part for part in (ctx.origin.browser, ctx.origin.os) if part),
        "colours": theme.mail_colours(ctx.settings.look),
    }
    templates = theme.environment(ctx.settings.look, ctx.language)
    text, html = (templates.get_template(f"mail/letter.{form}").render(context) for form in ("txt", "html"))
    return Message(
        id=ctx.world.uuid(),
        kind=kind,
        to=to,
        subject=translate(subject) % given,
        text=text,
        html=html,
        code=code,
        link=link,
        created_at=ctx.now(),
    )


def _texts(letter: Letter, code: str | None, link: str | None) -> tuple[str, str, tuple[str, ...]]:
    """Subject, lead and notes, by what the mail brings."""
    subject, lead, notes = letter.subject, letter.lead, letter.paragraphs
    if letter.link_only is not None and code is None:
        (subject, lead), notes = letter.link_only, notes[1:]
    elif letter.link_only is not None and link is None:
        notes = tuple(text for text in notes if text != _BUTTON)
    if letter.undo and link is not None:
        notes = (_UNDO, *notes[1:])
    return subject, lead, notes


def _lives(ctx: Ctx) -> dict[str, Any]:
    """How long what is in a mail is valid."""
    code, link, invitation = ctx.settings.mail.code_life, mailed_link.LIFE, invitation_link.LIFE
    return {"minutes": code // 60, "link_minutes": link // 60, "days": invitation // (24 * 3600)}


async def _may_notify(ctx: Ctx, db: Db, tenant_id: str, to: str, person: RowMapping | None) -> bool:
    key = people.address(to).key
    found = person or await people.by_key(db, tenant_id, key)
    is_unproved = found is not None and found["email_verified_at"] is None
    return not is_unproved or await budgets.notice(ctx, db, tenant_id, key)


async def enqueue(
    ctx: Ctx,
    db: Db,
    tenant_id: str,
    kind: str,
    to: str,
    *,
    service: str,
    code: str | None = None,
    link: str | None = None,
    what: str = "",
    label: str = "",
    left: int = 0,
    erase_at: int = 0,
    inviter: str = "",
    codes: tuple[str, ...] = (),
    person: RowMapping | None = None,
) -> None:
    """Insert a sealed mail into the outbox and wake the worker after the commit. To nobody (an empty `to`) it is the
    same work and the same row, emptied as after its delivery. Of what happens to an account whose address nobody has
    proved, the reader of that mailbox hears so often an hour and no more. `person`: the row of whoever had the address,
    if the account has another one now."""
    if kind not in _COUNTED_ELSEWHERE and not await _may_notify(ctx, db, tenant_id, to, person):
        return
    more: dict[str, Any] = {"what": what, "label": label, "left": left, "erase_at": erase_at, "inviter": inviter}
    more["codes"] = codes
    more["home"] = await tenants.link(ctx, db, tenant_id)
    message = render(ctx, kind, to, service=service, code=code, link=link, **more)
    now = ctx.now()
    life = ctx.settings.mail.code_life if code else _LIFETIME
    if LETTERS[kind].link_only is not None and link is not None:
        life = mailed_link.LIFE
    await db.add(
        outbox,
        id=message.id,
        tenant_id=tenant_id,
        kind=kind,
        created_at=now,
        due_at=now,
        expires_at=now + life * SECOND,
        message_sealed=ctx.ring.seal("outbox", f"outbox:{message.id}", message.to_json()) if to else None,
    )
    db.after_commit(ctx.services.wake.set)
