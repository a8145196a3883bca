"""`passgate doctor --mail ADDRESS`: sends one mail exactly as a server would, and shows how far it gets.

Not here: sending (`adapters.smtp`), and the reasons not to start, which `doctor` lists without the option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from passgate.cli import desk
from passgate.errors import UnsafeSettings

if TYPE_CHECKING:
    from passgate.adapters.smtp import Smtp
    from passgate.core.message import MailFailed, Message
    from passgate.settings import Settings
    from passgate.world import World

_OAUTH = "PASSGATE_MAIL__OAUTH__"
_ADVICE = {
    "compose": "The address or PASSGATE_MAIL__FROM can't be put into a mail.",
    "connect": "The mail server can't be reached. Check host and port in PASSGATE_MAIL__URL, and firewalls.",
    "tls": "The connection can't be encrypted. smtps:// is for port 465, smtp+starttls:// for port 587.",
    "ehlo": "The mail server does not serve this host.",
    "token": f"The provider's token endpoint gave no token. Check {_OAUTH}TOKEN_URL and whether it can be reached.",
    "auth": "The mail server refused the login. Check what PASSGATE_MAIL__URL or the mailbox's settings say.",
    "mail": "The mail server refused the sender. PASSGATE_MAIL__FROM must be an address that this login may use.",
    "rcpt": "The mail server refused the recipient.",
    "data": "The mail server refused the message.",
}
"""What to look at, by the step that failed."""
_ADVICE_FOR = {
    ("connect", "dns"): "The host in PASSGATE_MAIL__URL has no address.",
    ("tls", "certificate"): "The mail server's certificate isn't valid for the host in PASSGATE_MAIL__URL.",
    ("token", "invalid_client"): f"The token endpoint refused the client. Check {_OAUTH}CLIENT_ID and CLIENT_SECRET, "
    "which may have expired.",
    ("token", "invalid_grant"): f"The token endpoint refused {_OAUTH}REFRESH_TOKEN. It has expired or was revoked: get "
    "a new one.",
    ("token", "invalid_scope"): f"The token endpoint refused {_OAUTH}SCOPE.",
    ("token", "unauthorized_client"): f"The provider does not let the client {_OAUTH}CLIENT_ID do this.",
    ("token", "certificate"): "The token endpoint's certificate isn't valid.",
    ("auth", "not_offered"): f"The mail server offers no way to log in that is set. Check {_OAUTH}MECHANISM.",
}
_ADVICE_FOR_TOKENS = (
    "The provider gave a token, and the mail server refused it. The client must be allowed to use the mailbox "
    f"{_OAUTH}USER, and the mailbox to send by SMTP."
)


class _Steps:
    """Prints each step as soon as its end is known. `items` is the same as data."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.items: list[dict[str, object]] = []
        self._begun: list[str] = []

    def begin(self, step: str) -> None:
        """The step before has ended well. A connection may be made again, with a new token: the steps are too."""
        if self._begun and step != self._begun[-1]:
            self._end(self._begun[-1], "", "")
        if step != "done":
            self._begun.append(step)

    def fail(self, step: str, why: str, advice: str) -> None:
        """What has begun before this step has ended well."""
        self.begin(step)
        self._end(step, why, advice)

    def _end(self, step: str, why: str, text: str) -> None:
        self.items.append({"step": step, "ok": not why, "why": why, "text": text})
        if not self._as_json:
            typer.echo(f"{step} {why}: {text}" if why else f"{step} ok")


async def check(settings: Settings, address: str, *, as_json: bool) -> int:
    """The exit code. Needs neither keys nor a database. Raises UnsafeSettings for settings that send no mail."""
    from passgate.core.message import MailFailed  # noqa: PLC0415
    from passgate.world import World  # noqa: PLC0415

    world = World.real()
    mailer, steps = _mailer(settings, world), _Steps(as_json=as_json)
    try:
        await mailer.send(_message(address, world), steps.begin)
    except MailFailed as failure:
        steps.fail(failure.step, failure.why, _advice(settings, failure))
    if as_json:
        desk.show({"items": steps.items}, "", as_json=True)
    return 0 if all(item["ok"] for item in steps.items) else 1


def _mailer(settings: Settings, world: World) -> Smtp:
    from passgate.adapters.smtp import from_settings  # noqa: PLC0415
    from passgate.settings import refusals  # noqa: PLC0415

    reasons = [reason for reason in refusals(settings) if reason[0].startswith("MAIL_")]
    if not reasons and not settings.mail.url.startswith("smtp"):
        reasons = [("MAIL_NOT_REAL", "PASSGATE_MAIL__URL names no mail server to try.")]
    if reasons:
        raise UnsafeSettings(reasons)
    try:
        return from_settings(settings.mail, world)
    except ValueError:
        text = "PASSGATE_MAIL__URL or PASSGATE_MAIL__FROM can't be read."
        raise UnsafeSettings([("SETTING_INVALID", text)]) from None


def _message(address: str, world: World) -> Message:
    from passgate.core.message import Message  # noqa: PLC0415

    return Message(
        id=world.uuid(),
        kind="check",
        to=address,
        subject="Passgate can send mail",
        text="This mail was sent by `passgate doctor --mail`. Nothing needs to be done.\n",
        html=None,
        code=None,
        link=None,
        created_at=world.now(),
    )


def _advice(settings: Settings, failure: MailFailed) -> str:
    step = failure.step
    found = _ADVICE_FOR.get((step, failure.why.partition(" ")[0]))
    if found is None and step == "auth" and settings.mail.oauth.is_used:
        return _ADVICE_FOR_TOKENS
    if step == "data" and failure.needs_operator:
        return _ADVICE["mail"]
    return found or _ADVICE.get(step, "")
