"""What people send from pages, right in every way, by cookie and form; made from what a program sends where it is the
same answer.

What a form that is typed to sign in yields comes from `factors`, all others' from `pages`.
"""

from __future__ import annotations

import json

from passgate.core import address
from tests.catalogue.asks import (
    NEVER,
    asks_to_enrol_app,
    gives_passkey,
    has_moved,
    proves_app,
    proves_passkey,
    sets_up_app,
    sets_up_passkey,
)
from tests.house.town import Ask, Town
from tests.kit import OTHER_PASSWORD, PASSWORD, handle_of

SIGNIN, SESSION, LINK = "passgate_signin", "passgate_session", "passgate_link"
"""Names of the cookies."""


def form(path: str, secret: str, cookie: str, **typed: str) -> Ask:
    return Ask(path, dict(typed), secret, cookie)


async def page_signs_in(town: Town) -> Ask:
    return form("/signin", await town.begun(town.anna), SIGNIN, email=town.anna.email)


async def page_signs_up(town: Town) -> Ask:
    return form("/signup", await town.begun(town.anna), SIGNIN, email=town.fresh_address(), password=PASSWORD)


async def page_recovers(town: Town) -> Ask:
    return form("/recover", await town.begun(town.anna), SIGNIN, email=town.anna.email)


async def page_opens_session(town: Town) -> Ask:
    """Ben has nothing but his password."""
    return form("/signin/password", await town.begun(town.ben), SIGNIN, password=PASSWORD)


async def page_new_password(town: Town) -> Ask:
    handle = await town.recovering(town.anna)
    assert (await town.the.prove(handle, "totp", town.code(town.anna))).status_code == 200
    asked = form("/signin/password", handle, SIGNIN, new_password=OTHER_PASSWORD)
    return asked.short_of("email_code")


async def page_code_again(town: Town) -> Ask:
    handle = handle_of(await town.the.recover(town.anna.email))
    return form("/signin/email-code/again", handle, SIGNIN)


async def page_confirms(town: Town) -> Ask:
    return form("/account/confirm", town.anna.token, SESSION)


async def page_sets_password(town: Town) -> Ask:
    return form("/account/password", town.anna.token, SESSION, new_password=OTHER_PASSWORD)


async def page_moves(town: Town) -> Ask:
    return form("/account/address", town.anna.token, SESSION, email=town.fresh_address())


async def page_has_moved(town: Town) -> Ask:
    asked = await has_moved(town)
    codes = [str((one.body or {})["answer"]) for one in (asked, *asked.others)]
    return form("/account/address/code", town.anna.token, SESSION, code=codes[0]).with_others({"code": codes[1]})


async def page_undoes(town: Town) -> Ask:
    """Anna moved, and the mail to her old address brings her back."""
    moved, before = await has_moved(town), town.anna.email
    await town.done("POST", "/me/address/prove", moved.body, town.anna.token)
    town.anna.email = await town.address_of(town.anna)
    token = (await town.the.mails(before))[0]["link"].rpartition("/")[2]
    assert token.startswith(address.UNDO)
    return form("/account/address/undo", token, LINK)


async def page_leaves(town: Town) -> Ask:
    return form("/account/delete", town.cara.token, SESSION, decision="delete")


def as_form(asked: Ask, path: str, cookie: str, name: str) -> Ask:
    """The answer that a program would give, in the field of a page; a passkey's as JSON."""

    def spelled(one: Ask) -> str:
        answer = (one.body or {})["answer"]
        return answer if isinstance(answer, str) else json.dumps(answer)

    made = form(path, asked.secret, cookie, **{name: spelled(asked)}).short_of(*asked.behind)
    return made.with_others(*({name: spelled(one)} for one in asked.others))


async def page_options(town: Town) -> Ask:
    return form("/signin/passkey/options", await town.begun(town.anna), SIGNIN)


async def page_passkey(town: Town) -> Ask:
    return as_form(await gives_passkey(town), "/signin/passkey", SIGNIN, "answer")


async def page_sets_up_passkey(town: Town) -> Ask:
    return as_form(await sets_up_passkey(town), "/signin/passkey", SIGNIN, "answer")


async def page_offers_app(town: Town) -> Ask:
    return form("/signin/totp/offer", (await asks_to_enrol_app(town)).secret, SIGNIN)


async def page_shows_app(town: Town) -> Ask:
    """Where the secret waits for its first code."""
    return form("/signin/totp", (await sets_up_app(town)).secret, SIGNIN)


async def page_sets_up_app(town: Town) -> Ask:
    return as_form(await sets_up_app(town), "/signin/totp", SIGNIN, "code")


async def page_enters_by_link(town: Town) -> Ask:
    """Ben has nothing but his password: the link opens his session."""
    made = await town.done("POST", f"/users/{town.ben.id}/signin-link", None, town.anna.token)
    return form("/signin/link", made["url"].rpartition("/")[2], LINK, decision="signin")


async def page_passkey_options(town: Town) -> Ask:
    return form("/account/passkeys/options", town.anna.token, SESSION)


async def page_adds_passkey(town: Town) -> Ask:
    return as_form(await proves_passkey(town), "/account/passkeys", SESSION, "answer")


async def page_renames_passkey(town: Town) -> Ask:
    asked = form(f"/account/passkeys/{town.anna.passkey}", town.anna.token, SESSION, label="My phone")
    return asked.with_others(*({"path": f"/account/passkeys/{one}"} for one in (town.otto.passkey, NEVER)))


async def page_removes_passkey(town: Town) -> Ask:
    asked = form(f"/account/passkeys/{town.anna.passkey}/remove", town.anna.token, SESSION)
    strange = (town.otto.passkey, NEVER, await town.live(town.anna, "totp"))
    return asked.with_others(*({"path": f"/account/passkeys/{one}/remove"} for one in strange))


async def page_begins_app(town: Town) -> Ask:
    return form("/account/totp/offer", town.anna.token, SESSION)


async def page_shows_own_app(town: Town) -> Ask:
    await town.new_code(town.anna)
    return form("/account/totp", town.anna.token, SESSION)


async def page_proves_app(town: Town) -> Ask:
    return as_form(await proves_app(town), "/account/totp", SESSION, "code")


async def page_removes_app(town: Town) -> Ask:
    return form("/account/totp/remove", town.anna.token, SESSION)


async def page_makes_codes(town: Town) -> Ask:
    return form("/account/recovery-codes", town.anna.token, SESSION)
