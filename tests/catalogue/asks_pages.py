"""The right requests that pages send, by cookie and form. They are derived from an API request where the answer is the
same.

What the form of a typed factor yields during a sign-in is in `factors`, of all other forms in `pages`.
"""

from __future__ import annotations

import json

from passgate.core import mailed_link, undo_link
from tests.architecture.population import Ask, Population
from tests.catalogue.asks import (
    NEVER,
    asks_to_enrol_app,
    begins_mailed_codes,
    displays_app,
    gives_passkey,
    has_moved,
    proves_app,
    proves_passkey,
    sets_up_app,
    sets_up_passkey,
    turns_off_mailed_codes,
    turns_on_mailed_codes,
    unlocks,
)
from tests.kit import OTHER_PASSWORD, PASSWORD, bearer, handle_of

SIGNIN, SESSION, LINK = "passgate_signin", "passgate_session", "passgate_link"
"""The names of the cookies."""


def form(path: str, secret: str, cookie: str, **typed: str) -> Ask:
    return Ask(path, dict(typed), secret, cookie)


async def page_signs_in(population: Population) -> Ask:
    return form("/signin", await population.begun(population.anna), SIGNIN, email=population.anna.email)


async def page_signs_up(population: Population) -> Ask:
    return form(
        "/signup", await population.begun(population.anna), SIGNIN, email=population.fresh_address(), password=PASSWORD
    )


async def page_recovers(population: Population) -> Ask:
    return form("/recover", await population.begun(population.anna), SIGNIN, email=population.anna.email)


async def page_opens_session(population: Population) -> Ask:
    """Ben has only a password, so proving it opens his session."""
    return form("/signin/password", await population.begun(population.ben), SIGNIN, password=PASSWORD)


async def page_new_password(population: Population) -> Ask:
    handle = await population.recovering(population.anna)
    assert (await population.the.prove(handle, "totp", population.code(population.anna))).status_code == 200
    asked = form("/signin/password", handle, SIGNIN, new_password=OTHER_PASSWORD)
    return asked.short_of("email_code")


async def page_code_again(population: Population) -> Ask:
    handle = handle_of(await population.the.recover(population.anna.email))
    return form("/signin/email-code/again", handle, SIGNIN)


async def page_confirms(population: Population) -> Ask:
    return form("/account/confirm", population.anna.token, SESSION)


async def page_sets_password(population: Population) -> Ask:
    return form("/account/password", population.anna.token, SESSION, new_password=OTHER_PASSWORD)


async def page_chooses_username(population: Population) -> Ask:
    await population.rules(usernames="optional")
    return form("/account/username", population.anna.token, SESSION, username="anna.k")


async def page_moves(population: Population) -> Ask:
    return form("/account/address", population.anna.token, SESSION, email=population.fresh_address())


async def page_has_moved(population: Population) -> Ask:
    asked = await has_moved(population)
    codes = [str((one.body or {})["answer"]) for one in (asked, *asked.others)]
    return form("/account/address/code", population.anna.token, SESSION, code=codes[0]).with_others({"code": codes[1]})


async def page_undoes(population: Population) -> Ask:
    """Anna changed her address, and the link mailed to the old address undoes that."""
    moved, before = await has_moved(population), population.anna.email
    await population.done("POST", "/me/address/prove", moved.body, population.anna.token)
    population.anna.email = await population.address_of(population.anna)
    token = (await population.the.mails(before))[0]["link"].rpartition("/")[2]
    assert token.startswith(undo_link.PREFIX)
    return form("/account/undo", token, LINK)


async def page_leaves(population: Population) -> Ask:
    return form("/account/delete", population.cara.token, SESSION, decision="delete")


def as_form(asked: Ask, path: str, cookie: str, name: str) -> Ask:
    """The answer of an API request as a form field; a passkey's as JSON."""

    def as_field(one: Ask) -> str:
        answer = (one.body or {})["answer"]
        return answer if isinstance(answer, str) else json.dumps(answer)

    made = form(path, asked.secret, cookie, **{name: as_field(asked)}).short_of(*asked.behind)
    return made.with_others(*({name: as_field(one)} for one in asked.others))


async def page_options(population: Population) -> Ask:
    return form("/signin/passkey/options", await population.begun(population.anna), SIGNIN)


async def page_passkey(population: Population) -> Ask:
    return as_form(await gives_passkey(population), "/signin/passkey", SIGNIN, "answer")


async def page_sets_up_passkey(population: Population) -> Ask:
    return as_form(await sets_up_passkey(population), "/signin/passkey", SIGNIN, "answer")


async def page_offers_app(population: Population) -> Ask:
    return form("/signin/totp/offer", (await asks_to_enrol_app(population)).secret, SIGNIN)


async def page_shows_app(population: Population) -> Ask:
    """The page of a secret that waits for its first code."""
    return form("/signin/totp", (await sets_up_app(population)).secret, SIGNIN)


async def page_sets_up_app(population: Population) -> Ask:
    return as_form(await sets_up_app(population), "/signin/totp", SIGNIN, "code")


async def page_enters_by_link(population: Population) -> Ask:
    """Ben has only a password, so the link alone opens his session."""
    made = await population.done("POST", f"/users/{population.ben.id}/signin-link", None, population.anna.token)
    return form("/signin/link", made["url"].rpartition("/")[2], LINK, decision="signin")


async def page_goes_on_by_mailed_link(population: Population) -> Ask:
    """The link of a mail that Ben's recovery sent: he proves his mailbox with it and then sets a new password."""
    handle_of(await population.the.recover(population.ben.email))
    [mail, *_] = await population.the.mails(population.ben.email)
    token = mail["link"].rpartition("/")[2]
    assert token.startswith(mailed_link.PREFIX)
    return form("/signin/link", token, LINK, decision="recover")


async def page_enters_by_mailed_link(population: Population) -> Ask:
    """Ben has only a password, and the tenant takes a mailed code instead: the link beside it opens his session."""
    await population.rules(first=["password", "email_code"])
    await population.the.challenge(await population.begun(population.ben), "email_code")
    [mail, *_] = await population.the.mails(population.ben.email)
    token = mail["link"].rpartition("/")[2]
    assert token.startswith(mailed_link.PREFIX)
    return form("/signin/link", token, LINK, decision="signin")


async def page_unlocks(population: Population) -> Ask:
    asked = await unlocks(population)
    made = form("/account/factors/unlock", asked.secret, SESSION, **(asked.body or {}))
    return made.with_others(*(one.body or {} for one in asked.others))


async def page_passkey_options(population: Population) -> Ask:
    return form("/account/passkeys/options", population.anna.token, SESSION)


async def page_adds_passkey(population: Population) -> Ask:
    return as_form(await proves_passkey(population), "/account/passkeys", SESSION, "answer")


async def page_renames_passkey(population: Population) -> Ask:
    asked = form(f"/account/passkeys/{population.anna.passkey}", population.anna.token, SESSION, label="My phone")
    return asked.with_others(*({"path": f"/account/passkeys/{one}"} for one in (population.otto.passkey, NEVER)))


async def page_removes_passkey(population: Population) -> Ask:
    asked = form(f"/account/passkeys/{population.anna.passkey}/remove", population.anna.token, SESSION)
    strange = (population.otto.passkey, NEVER, await population.live(population.anna, "totp"))
    return asked.with_others(*({"path": f"/account/passkeys/{one}/remove"} for one in strange))


async def page_begins_app(population: Population) -> Ask:
    return form("/account/totp/offer", population.anna.token, SESSION)


async def page_shows_own_app(population: Population) -> Ask:
    await population.new_code(population.anna)
    return form("/account/totp", population.anna.token, SESSION)


async def page_proves_app(population: Population) -> Ask:
    return as_form(await proves_app(population), "/account/totp", SESSION, "code")


async def page_removes_app(population: Population) -> Ask:
    return form("/account/totp/remove", population.anna.token, SESSION)


async def page_displays_app(population: Population) -> Ask:
    return form("/account/totp/show", (await displays_app(population)).secret, SESSION)


async def page_sends_code(population: Population) -> Ask:
    return form("/account/email-code/send", (await begins_mailed_codes(population)).secret, SESSION)


async def page_turns_on_mailed_codes(population: Population) -> Ask:
    return as_form(await turns_on_mailed_codes(population), "/account/email-code", SESSION, "code")


async def page_turns_off_mailed_codes(population: Population) -> Ask:
    return form("/account/email-code/remove", (await turns_off_mailed_codes(population)).secret, SESSION)


async def page_makes_codes(population: Population) -> Ask:
    return form("/account/recovery-codes", population.anna.token, SESSION)


# -- forms that yield nothing ----------------------------------------------------------------------


async def page_signs_out(population: Population) -> Ask:
    return form("/signout", population.ben.token, SESSION)


async def page_changes_name(population: Population) -> Ask:
    return form("/account", population.anna.token, SESSION, name="Anna")


async def page_ends_others(population: Population) -> Ask:
    return form("/account/sessions", population.anna.token, SESSION)


async def page_ends_one(population: Population) -> Ask:
    actor, _ = await population.folk.opened(population.anna.tenant_id, population.anna.id)
    return form(f"/account/sessions/{actor.session_id}", population.anna.token, SESSION)


async def page_exports(population: Population) -> Ask:
    return form("/account/export", population.anna.token, SESSION)


async def _remembered(population: Population) -> str:
    """A browser that is remembered for Anna; its id."""
    await population.rules(remember_days=30)
    asked = {"carrier": "cookie", "remember": True}
    headers = {**bearer(await population.after_app(population.anna)), "sec-fetch-site": "same-origin"}
    done = await population.the.http.post("/api/v1/signin/finish", json=asked, headers=headers)
    assert done.status_code == 201, done.text
    return await population.live(population.anna, "browser")


async def page_forgets(population: Population) -> Ask:
    await _remembered(population)
    return form("/account/browsers", population.anna.token, SESSION)


async def page_forgets_one(population: Population) -> Ask:
    return form(f"/account/browsers/{await _remembered(population)}", population.anna.token, SESSION)


async def page_stops(population: Population) -> Ask:
    """An admin made a link for Ben, whose mail about it can stop it."""
    await population.done("POST", f"/users/{population.ben.id}/signin-link", None, population.anna.token)
    [mail, *_] = await population.the.mails(population.ben.email)
    return form("/recover/stop", mail["link"].rpartition("/")[2], LINK)
