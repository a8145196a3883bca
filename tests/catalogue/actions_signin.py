"""Starting and finishing a sign-in, each as a function that can be called repeatedly.

Proofs are in `actions_proofs`; how often each action writes is in `api` and `pages`.
"""

from __future__ import annotations

from contextlib import suppress

from passgate.core import by_challenge, keys, recovery, signin, starts, tokens
from passgate.core.ctx import Person as Actor
from passgate.errors import RefreshReused
from tests.authenticator import Authenticator
from tests.catalogue.actions_proofs import passkey_asked, ways_that_wait
from tests.catalogue.before import (
    begun,
    known_browser,
    link_for,
    link_of_admins,
    recovering,
    refused,
    remembered,
    signing_up,
    url,
    with_app,
)
from tests.catalogue.entry import Action
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, PASSWORD

# -- starting --------------------------------------------------------------------------------------


async def start(folk: Folk) -> Action:
    return lambda: starts.sign_in(folk.ctx, "somebody@example.com", None)


async def start_by_username(folk: Folk) -> Action:
    await policy(folk.the, usernames="optional")
    return lambda: starts.sign_in(folk.ctx, None, None, username="somebody")


async def start_in_known_browser(folk: Folk) -> Action:
    actor, ctx = await known_browser(folk)
    email = await folk.email(actor)
    return lambda: starts.sign_in(ctx, email, None)


async def start_signup(folk: Folk) -> Action:
    return lambda: starts.sign_up(folk.ctx, f"new{next(folk.numbers)}@example.com", None, {"a": 1}, None, None)


async def start_signup_known(folk: Folk) -> Action:
    email = await folk.email(await folk.create())
    return lambda: starts.sign_up(folk.ctx, email, None, None, None, None)


async def start_recovery(folk: Folk) -> Action:
    email = await folk.email(await folk.create())
    return lambda: starts.recover(folk.ctx, email, None)


async def start_step_up(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: starts.step_up(folk.acting(actor), None)


async def challenge(folk: Folk) -> Action:
    begun = await starts.sign_up(folk.ctx, f"new{next(folk.numbers)}@example.com", None, None, None, None)
    return lambda: signin.challenge(folk.ctx, begun.handle, "email_code")


async def passkey_challenge(folk: Folk) -> Action:
    _, handle, _ = await passkey_asked(folk)
    return lambda: signin.challenge(folk.ctx, handle, "passkey")


# -- finishing -------------------------------------------------------------------------------------


async def finish_signin(folk: Folk) -> Action:
    """From another browser than the earlier session, so that a mail about a new device is queued too."""
    actor = await folk.create()
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return lambda: signin.finish(folk.elsewhere, begun.handle, carrier="bearer")


async def finish_signup(folk: Folk) -> Action:
    handle, code = await signing_up(folk, PASSWORD)
    await signin.prove(folk.ctx, handle, "email_code", code)
    return lambda: signin.finish(folk.ctx, handle, carrier="bearer")


async def finish_recovery(folk: Folk) -> Action:
    handle, code = await recovering(folk)
    await signin.prove(folk.ctx, handle, "email_code", code)
    await signin.prove(folk.ctx, handle, "password", OTHER_PASSWORD)
    return lambda: signin.finish(folk.ctx, handle, carrier="bearer")


async def finish_step_up(folk: Folk) -> Action:
    actor = await folk.create()
    begun = await starts.step_up(folk.acting(actor), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return lambda: signin.finish(folk.ctx, begun.handle, carrier="bearer")


async def finish_and_remember(folk: Folk) -> Action:
    actor = await with_app(folk)
    await policy(folk.the)
    handle = await begun(folk, actor)
    await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))
    return lambda: signin.finish(folk.ctx, handle, remember=True, carrier="cookie")


async def finish_remembered(folk: Folk) -> Action:
    actor, browser = await remembered(folk)
    handle = await begun(folk, actor, browser)
    return lambda: signin.finish(folk.ctx, handle, carrier="bearer")


async def finish_found_again(folk: Folk) -> Action:
    """The second factor is proved after all, so a release of it that was waiting is stopped."""
    actor = await with_app(folk)
    await (await ways_that_wait(folk, actor))()
    handle = await begun(folk, actor)
    await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))
    return lambda: signin.finish(folk.ctx, handle, carrier="bearer")


async def complete(folk: Folk) -> Action:
    """With its begin: an answer is for one request, so whoever it fails for begins again."""
    actor, key = await folk.create(), Authenticator()
    await folk.add_passkey(actor, key)
    email = await folk.email(actor)

    async def act() -> None:
        begun = await starts.sign_in(folk.ctx, email, None)
        answer = key.get(await signin.challenge(folk.ctx, begun.handle, "passkey"), url(folk))
        await by_challenge.complete(folk.elsewhere, answer, carrier="bearer", email=email)

    return act


async def complete_wrong(folk: Folk) -> Action:
    key, _, options = await passkey_asked(folk)
    answer = key.get(options, url(folk), uv=False)
    return refused(lambda: by_challenge.complete(folk.elsewhere, answer, carrier="bearer"))


# -- links -----------------------------------------------------------------------------------------


async def stop(folk: Folk) -> Action:
    actor = await folk.create()
    await link_for(folk, actor)
    result = (await folk.the.mails(await folk.email(actor)))[0]
    token = str(result["link"]).rpartition("/")[2]
    return lambda: recovery.stop(folk.ctx, token)


async def open_link(folk: Folk) -> Action:
    token = await link_for(folk, await folk.create())
    return lambda: starts.by_link(folk.ctx, token)


async def _of_mail(folk: Folk, actor: Actor) -> str:
    """The token of the link in the newest mail to a person."""
    [mail, *_] = await folk.the.mails(await folk.email(actor))
    return str(mail["link"]).rpartition("/")[2]


async def open_mailed_link(folk: Folk) -> Action:
    await policy(folk.the, first=["password", "email_code"])
    actor = await folk.create()
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    await signin.challenge(folk.ctx, begun.handle, "email_code")
    token = await _of_mail(folk, actor)
    return lambda: starts.by_link(folk.elsewhere, token)


async def open_mailed_link_to_recover(folk: Folk) -> Action:
    actor = await folk.create()
    await starts.recover(folk.ctx, await folk.email(actor), None)
    token = await _of_mail(folk, actor)
    return lambda: starts.by_link(folk.elsewhere, token)


async def open_link_of_admins(folk: Folk) -> Action:
    """A link for another admin, which takes two makers: both are locked and their rights checked again."""
    token = await link_of_admins(folk)
    return lambda: starts.by_link(folk.ctx, token)


async def finish_link_of_admins(folk: Folk) -> Action:
    begun = await starts.by_link(folk.ctx, await link_of_admins(folk))
    return lambda: signin.finish(folk.ctx, begun.handle, carrier="bearer")


async def open_link_to_recover(folk: Folk) -> Action:
    token = await link_for(folk, await folk.create())
    return lambda: starts.by_link(folk.ctx, token, is_recovery=True)


# -- tokens ----------------------------------------------------------------------------------------


async def finish_by_tokens(folk: Folk) -> Action:
    await keys.signer(folk.the.gate.services)  # the first of its algorithm is made by whoever needs it first
    handle = await begun(folk, await folk.create())
    return lambda: signin.finish(folk.ctx, handle, carrier="jwt")


async def pair_of(folk: Folk) -> tokens.Pair:
    """The pair of a person who has just signed in."""
    pair = (await signin.finish(folk.ctx, await begun(folk, await folk.create()), carrier="jwt")).pair
    assert pair is not None
    return pair


async def refresh(folk: Folk) -> Action:
    token = (await pair_of(folk)).refresh_token
    return lambda: tokens.refresh(folk.ctx, token)


async def refresh_again(folk: Folk) -> Action:
    token = (await pair_of(folk)).refresh_token
    await tokens.refresh(folk.ctx, token)

    async def act() -> None:
        with suppress(RefreshReused):
            await tokens.refresh(folk.ctx, token)

    return act
