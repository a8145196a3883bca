"""Mails as data: their wording, and `enqueue`, which inserts one into the outbox inside the change's own transaction.

Not here: sending (`outbox`) and layout (the template). Nothing here waits for a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from passgate import i18n, theme
from passgate.core import throttle
from passgate.core.ctx import Ctx
from passgate.core.message import Message
from passgate.errors import Throttled
from passgate.i18n import N_
from passgate.store import Db
from passgate.store.tables import outbox
from passgate.world import SECOND, iso

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


_NOT_YOU = N_("If this was not you, you need not do anything: nobody gets in with this mail alone.")
_ACT = N_("If this was not you, recover your account at once.")
_ONCE_HERE = N_("It is good for %(minutes)s minutes, once, and only on the page where you asked for it.")
_CODE = N_("Your code for %(service)s: %(code)s")

LETTERS: dict[str, Letter] = {
    "signup_code": Letter(
        _CODE, N_("Welcome"), N_("Enter this code to finish signing up at %(service)s."), (_ONCE_HERE, _NOT_YOU)
    ),
    "signup_known": Letter(
        N_("You already have an account at %(service)s"),
        N_("You are here already"),
        N_("Somebody, perhaps you, tried to sign up with this address. There is an account already."),
        (N_("Forgotten your password? You can choose a new one."), _NOT_YOU),
        N_("Sign in"),
        "/signin",
        recover=True,
    ),
    "signin_code": Letter(
        _CODE, N_("Sign in"), N_("Enter this code to sign in to %(service)s."), (_ONCE_HERE, _NOT_YOU)
    ),
    "recovery_code": Letter(
        _CODE,
        N_("Choose a new password"),
        N_("Enter this code to choose a new password at %(service)s."),
        (_ONCE_HERE, _NOT_YOU),
    ),
    "recovery_none": Letter(
        N_("No account at %(service)s for this address"),
        N_("No account with this address"),
        N_(
            "Somebody, perhaps you, asked to recover an account with this address. There is none that can be recovered."
            " Perhaps you signed up with another address."
        ),
        (),
        N_("Sign up"),
        "/signup",
    ),
    "recovered": Letter(
        N_("Your account at %(service)s was recovered"),
        "%(what)s",
        N_("Somebody, we hope you, recovered your account. All sessions were ended."),
        (_ACT,),
        recover=True,
    ),
    "factor_added": Letter(
        N_("A new way to sign in at %(service)s"),
        N_("A new way to sign in"),
        N_("From now on your account can be used with %(what)s%(label)s."),
        (_ACT,),
        recover=True,
    ),
    "factor_removed": Letter(
        N_("A way to sign in was removed at %(service)s"),
        N_("A way to sign in was removed"),
        N_("Your account cannot be used with %(what)s%(label)s any longer."),
        (_ACT,),
        recover=True,
    ),
    "recovery_code_used": Letter(
        N_("A recovery code was used at %(service)s"),
        N_("A recovery code was used"),
        N_("Somebody, we hope you, signed in with a recovery code. Codes left: %(left)s."),
        (N_("If few are left, make new ones in your account."), _ACT),
        recover=True,
    ),
    "passkey_counter": Letter(
        N_("Look at a passkey of yours at %(service)s"),
        N_("A passkey looks copied"),
        N_("A sign-in with a passkey%(label)s does not fit what we saw of it before. There may be a copy of it."),
        (N_("If you cannot explain that, remove the passkey and make a new one."), _ACT),
        recover=True,
    ),
    "recovery_asked": Letter(
        N_("Somebody wants to remove your second factors at %(service)s"),
        N_("Your second factors are about to be removed"),
        N_(
            "Somebody, perhaps you, showed two other ways into your account and says that your second factors are lost."
            " After a waiting time they can be removed."
        ),
        (N_("If this was not you, stop it, and change your password."),),
        N_("Stop it"),
    ),
    "signin_link": Letter(
        N_("A sign-in link was made for you at %(service)s"),
        N_("A sign-in link was made for you"),
        N_("Somebody who looks after %(service)s made a link that signs in to your account, once."),
        (N_("If you did not ask for it, stop it."),),
        N_("Stop it"),
    ),
    "password_changed": Letter(
        N_("Your password at %(service)s was changed"),
        N_("Your password was changed"),
        N_("Your password was changed, and all your other sessions were ended."),
        (_ACT,),
        recover=True,
    ),
    "new_device": Letter(
        N_("New sign-in at %(service)s"),
        N_("A new sign-in"),
        N_("Your account was just used from a browser or program we have not seen before."),
        (_ACT,),
        recover=True,
    ),
    "address_code": Letter(
        _CODE,
        N_("Confirm your new address"),
        N_("Enter this code to use this address at %(service)s from now on."),
        (_ONCE_HERE, _NOT_YOU),
    ),
    "address_known": Letter(
        N_("This address is in use already at %(service)s"),
        N_("This address is in use already"),
        N_("Somebody, perhaps you, wanted to move an account to this address. It belongs to another account already."),
        (_NOT_YOU,),
    ),
    "address_changed": Letter(
        N_("Your address at %(service)s was changed"),
        N_("Your address was changed"),
        N_("Your account has another e-mail address now. Mails go there from now on."),
        (N_("If this was not you, take the change back. From the old address that is possible for seven days."),),
        N_("Take the change back"),
    ),
    "address_restored": Letter(
        N_("Your address at %(service)s is back"),
        N_("Your address is back"),
        N_("The change of address was taken back, and all sessions were ended. Now choose a new password."),
        (),
        N_("Choose a new password"),
        "/recover",
    ),
}


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
) -> Message:
    """The finished mail, as text and as HTML. Links are built from the public URL, never from a request. `what` and
    `label` name a factor, `left` counts recovery codes."""
    letter, translate = LETTERS[kind], i18n.catalog(ctx.language, ctx.settings.look.texts).gettext
    link = link or (ctx.services.base + letter.path if letter.path else None)
    given = {"service": service, "code": code or "", "minutes": ctx.settings.mail.code_life // 60}
    given |= {"what": translate(what) if what else "", "label": f" ({label})" if label else "", "left": left}
    context: dict[str, Any] = {
        "service": service,
        "to": to,
        "code": code,
        "link": link,
        "button": translate(letter.button) if link else "",
        "recover": f"{ctx.services.base}/recover" if letter.recover else None,
        "heading": translate(letter.heading) % given,
        "lead": translate(letter.lead) % given,
        "notes": [translate(paragraph) % given for paragraph in letter.paragraphs],
        "asked_at": iso(ctx.now())[:16].replace("T", " ") + " UTC",
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
        subject=translate(letter.subject) % given,
        text=text,
        html=html,
        code=code,
        link=link,
        created_at=ctx.now(),
    )


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
) -> None:
    """Insert a sealed mail into the outbox and wake the worker after the commit."""
    message = render(ctx, kind, to, service=service, code=code, link=link, what=what, label=label, left=left)
    now = ctx.now()
    life = ctx.settings.mail.code_life if code else _LIFETIME
    await db.add(
        outbox,
        id=message.id,
        tenant_id=tenant_id,
        kind=kind,
        created_at=now,
        due_at=now,
        expires_at=now + life * SECOND,
        message_sealed=ctx.ring.seal("outbox", f"outbox:{message.id}", message.to_json()),
    )
    db.after_commit(ctx.services.wake.set)


async def may_send(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> bool:
    """Whether a stranger may cause one more mail to this address within the hour; alike for known and unknown ones."""
    key = f"m:{ctx.ring.mac('budget', f'{tenant_id} {email_key}'.encode()).hex()}"
    try:
        await throttle.window(ctx, db, key, limit=ctx.settings.mail.per_hour, seconds=3600)
    except Throttled:
        return False
    return True
