"""For each door that yields something a request that is right in every way: whom it is from, what it carries.

Each is made anew whenever it is asked for; what a broken rule makes of it is told in `test_matrix`.
"""

from __future__ import annotations

import json
from typing import Any

from passgate.core import address
from tests.house.town import Ask, Somebody, Town
from tests.kit import OTHER_PASSWORD, PASSWORD, handle_of

API = "/api/v1"
NEVER = "00000000-0000-7000-8000-000000000000"
SIGNIN, SESSION, LINK = "passgate_signin", "passgate_session", "passgate_link"

# -- beginning -------------------------------------------------------------------------------------


async def signs_in(town: Town) -> Ask:
    return Ask(f"{API}/signin", {"email": town.anna.email})


async def steps_up(town: Town) -> Ask:
    return Ask(f"{API}/signin", {"step_up": {}}, town.anna.token)


async def signs_up(town: Town) -> Ask:
    return Ask(f"{API}/signup", {"email": town.fresh_address(), "password": PASSWORD})


async def recovers(town: Town) -> Ask:
    return Ask(f"{API}/recover", {"email": town.anna.email})


# -- challenges ------------------------------------------------------------------------------------


async def asks_passkey(town: Town) -> Ask:
    return Ask(f"{API}/signin/challenge", {"factor": "passkey"}, await town.begun(town.anna))


async def asks_passkey_second(town: Town) -> Ask:
    """Here the options name the person's passkeys."""
    return Ask(f"{API}/signin/challenge", {"factor": "passkey"}, await town.after_password(town.anna), behind=())


async def asks_code(town: Town) -> Ask:
    handle = handle_of(await town.the.recover(town.anna.email))
    return Ask(f"{API}/signin/challenge", {"factor": "email_code"}, handle)


async def asks_to_enrol(town: Town, factor: str) -> Ask:
    """Cara showed password and app; a passkey is demanded beside. Ben has nothing to show, so an app is set up."""
    if factor == "passkey":
        await town.rules(second="always", second_among=["passkey"], least_acr="phr")
        return Ask(f"{API}/signin/challenge", {"factor": factor}, await town.after_app(town.cara))
    await town.rules(second="always", second_among=["totp"])
    return Ask(f"{API}/signin/challenge", {"factor": factor}, await town.after_password(town.ben), behind=())


async def asks_to_enrol_passkey(town: Town) -> Ask:
    return await asks_to_enrol(town, "passkey")


async def asks_to_enrol_app(town: Town) -> Ask:
    return await asks_to_enrol(town, "totp")


# -- proofs ----------------------------------------------------------------------------------------


def proof(handle: str, factor: str, answer: Any, *others: Any, behind: tuple[str, ...] = ("password",)) -> Ask:
    ask = Ask(f"{API}/signin/prove", {"factor": factor, "answer": answer}, handle, behind=behind)
    return ask.with_others(*({"answer": other} for other in others))


async def gives_password(town: Town) -> Ask:
    return proof(await town.begun(town.anna), "password", PASSWORD)


async def gives_passkey(town: Town) -> Ask:
    """First, and nobody is named but by the address. Otto's passkey is of another tenant."""
    handle = await town.begun(town.anna)
    return proof(handle, "passkey", *await town.asserted(handle, town.anna, town.otto))


async def gives_passkey_second(town: Town) -> Ask:
    handle = await town.after_password(town.anna)
    return proof(handle, "passkey", *await town.asserted(handle, town.anna, town.otto))


async def gives_app(town: Town) -> Ask:
    return proof(await town.after_password(town.anna), "totp", town.code(town.anna), town.code(town.cara))


async def gives_recovery_code(town: Town) -> Ask:
    handle = await town.after_password(town.anna)
    return proof(handle, "recovery_code", town.anna.codes.pop(), town.cara.codes.pop())


async def gives_code(town: Town) -> Ask:
    """Of a recovery; another recovery's code is nobody's here."""
    other = handle_of(await town.the.recover(town.ben.email))
    handle = handle_of(await town.the.recover(town.anna.email))
    assert other != handle
    return proof(handle, "email_code", await town.the.code(town.anna.email), await town.the.code(town.ben.email))


async def is_born(town: Town) -> Ask:
    mine, another = town.fresh_address(), town.fresh_address()
    handle = handle_of(await town.the.signup(mine))
    await town.the.signup(another)
    return proof(handle, "email_code", await town.the.code(mine), await town.the.code(another))


async def gives_new_password(town: Town) -> Ask:
    """Anna recovers: the mailed code and her app, then a new password. Without the app it is no new one yet."""
    handle = await town.recovering(town.anna)
    assert (await town.the.prove(handle, "totp", town.code(town.anna))).status_code == 200
    return proof(handle, "password", OTHER_PASSWORD, behind=("email_code",))


async def sets_up_passkey(town: Town) -> Ask:
    asked = await asks_to_enrol_passkey(town)
    offered = await town.done("POST", "/signin/challenge", asked.body, asked.secret)
    answer, another = town.make(offered), await town.new_passkey(town.ben)
    return proof(asked.secret, "passkey", answer, another)


async def sets_up_app(town: Town) -> Ask:
    asked = await asks_to_enrol_app(town)
    offered = await town.done("POST", "/signin/challenge", asked.body, asked.secret)
    return proof(asked.secret, "totp", town.first_code(offered), await town.new_code(town.anna))


async def finishes(town: Town) -> Ask:
    return Ask(f"{API}/signin/finish", {"carrier": "bearer"}, await town.after_app(town.anna))


async def finishes_by_cookie(town: Town) -> Ask:
    return Ask(f"{API}/signin/finish", {"carrier": "cookie", "remember": True}, await town.after_app(town.anna))


async def finishes_recovered(town: Town) -> Ask:
    ask = await gives_new_password(town)
    await town.done("POST", "/signin/prove", ask.body, ask.secret)
    return Ask(f"{API}/signin/finish", {"carrier": "bearer"}, ask.secret, behind=("email_code",))


# -- one's own account -----------------------------------------------------------------------------


def mine(town: Town, path: str, body: dict[str, Any] | None = None, who: Somebody | None = None) -> Ask:
    return Ask(f"{API}{path}", body, (who or town.anna).token)


async def leaves(town: Town) -> Ask:
    return mine(town, "/me", who=town.cara)


async def sets_password(town: Town) -> Ask:
    return mine(town, "/me/password", {"password": OTHER_PASSWORD})


async def moves(town: Town) -> Ask:
    return mine(town, "/me/address", {"email": town.fresh_address()})


async def has_moved(town: Town) -> Ask:
    to, bens = town.fresh_address(), town.fresh_address()
    await town.done("POST", "/me/address", {"email": to}, town.anna.token)
    await town.done("POST", "/me/address", {"email": bens}, town.ben.token)
    asked = mine(town, "/me/address/prove", {"answer": await town.the.code(to)})
    return asked.with_others({"answer": await town.the.code(bens)})


async def adds_passkey(town: Town) -> Ask:
    return mine(town, "/me/passkeys")


async def proves_passkey(town: Town) -> Ask:
    answer, bens = await town.new_passkey(town.anna), await town.new_passkey(town.ben)
    return mine(town, "/me/passkeys/prove", {"answer": answer}).with_others({"answer": bens})


async def renames_passkey(town: Town) -> Ask:
    asked = mine(town, f"/me/passkeys/{town.anna.passkey}", {"label": "My phone"})
    return asked.with_others(*({"path": f"{API}/me/passkeys/{one}"} for one in (town.otto.passkey, NEVER)))


async def removes_passkey(town: Town) -> Ask:
    asked = mine(town, f"/me/passkeys/{town.anna.passkey}")
    strange = (town.otto.passkey, NEVER, await town.live(town.anna, "totp"), await town.live(town.anna, "password"))
    return asked.with_others(*({"path": f"{API}/me/passkeys/{one}"} for one in strange))


async def begins_app(town: Town) -> Ask:
    return mine(town, "/me/totp")


async def shows_picture(town: Town) -> Ask:
    await town.new_code(town.anna)
    return mine(town, "/me/totp/qr")


async def proves_app(town: Town) -> Ask:
    bens = await town.new_code(town.ben)
    return mine(town, "/me/totp/prove", {"answer": await town.new_code(town.anna)}).with_others({"answer": bens})


async def removes_app(town: Town) -> Ask:
    return mine(town, "/me/totp")


async def makes_codes(town: Town) -> Ask:
    return mine(town, "/me/recovery-codes")


# -- an admin's ------------------------------------------------------------------------------------


async def changes_policy(town: Town) -> Ask:
    asked = mine(town, f"/tenants/{town.anna.tenant_id}/policy", {"remember_days": 7})
    return asked.with_others(*({"path": f"{API}/tenants/{one}/policy"} for one in (town.otto.tenant_id, NEVER)))


async def makes_link(town: Town) -> Ask:
    asked = mine(town, f"/users/{town.ben.id}/signin-link")
    return asked.with_others(*({"path": f"{API}/users/{one}/signin-link"} for one in (town.otto.id, NEVER)))


# -- pages -----------------------------------------------------------------------------------------


def form(path: str, secret: str, cookie: str, **typed: str) -> Ask:
    return Ask(path, dict(typed), secret, cookie)


async def page_signs_in(town: Town) -> Ask:
    return form("/signin", await town.begun(town.anna), SIGNIN, email=town.anna.email)


async def page_signs_up(town: Town) -> Ask:
    return form("/signup", await town.begun(town.anna), SIGNIN, email=town.fresh_address(), password=PASSWORD)


async def page_recovers(town: Town) -> Ask:
    return form("/recover", await town.begun(town.anna), SIGNIN, email=town.anna.email)


async def page_password(town: Town) -> Ask:
    """Ben has nothing else: this page opens his session."""
    return form("/signin/password", await town.begun(town.ben), SIGNIN, password=PASSWORD)


async def page_new_password(town: Town) -> Ask:
    handle = await town.recovering(town.anna)
    assert (await town.the.prove(handle, "totp", town.code(town.anna))).status_code == 200
    asked = form("/signin/password", handle, SIGNIN, new_password=OTHER_PASSWORD)
    return asked.short_of("email_code")


async def page_code(town: Town) -> Ask:
    handle = handle_of(await town.the.recover(town.ben.email))
    return form("/signin/email-code", handle, SIGNIN, code=await town.the.code(town.ben.email))


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


def typed(asked: Ask, path: str, cookie: str, name: str) -> Ask:
    """The answer that a program would give, in the field of a page; a passkey's as JSON."""

    def spelled(one: Ask) -> str:
        answer = (one.body or {})["answer"]
        return answer if isinstance(answer, str) else json.dumps(answer)

    made = form(path, asked.secret, cookie, **{name: spelled(asked)}).short_of(*asked.behind)
    return made.with_others(*({name: spelled(one)} for one in asked.others))


async def page_options(town: Town) -> Ask:
    return form("/signin/passkey/options", await town.begun(town.anna), SIGNIN)


async def page_passkey(town: Town) -> Ask:
    return typed(await gives_passkey(town), "/signin/passkey", SIGNIN, "answer")


async def page_sets_up_passkey(town: Town) -> Ask:
    return typed(await sets_up_passkey(town), "/signin/passkey", SIGNIN, "answer")


async def page_app(town: Town) -> Ask:
    return typed(await gives_app(town), "/signin/totp", SIGNIN, "code")


async def page_offers_app(town: Town) -> Ask:
    return form("/signin/totp/offer", (await asks_to_enrol_app(town)).secret, SIGNIN)


async def page_shows_app(town: Town) -> Ask:
    """Where the secret waits for its first code."""
    return form("/signin/totp", (await sets_up_app(town)).secret, SIGNIN)


async def page_sets_up_app(town: Town) -> Ask:
    return typed(await sets_up_app(town), "/signin/totp", SIGNIN, "code")


async def page_recovery_code(town: Town) -> Ask:
    return typed(await gives_recovery_code(town), "/signin/recovery-code", SIGNIN, "code")


async def page_enters_by_link(town: Town) -> Ask:
    """Ben has nothing but his password: the link opens his session."""
    made = await town.done("POST", f"/users/{town.ben.id}/signin-link", None, town.anna.token)
    return form("/signin/link", made["url"].rpartition("/")[2], LINK, decision="signin")


async def page_passkey_options(town: Town) -> Ask:
    return form("/account/passkeys/options", town.anna.token, SESSION)


async def page_adds_passkey(town: Town) -> Ask:
    return typed(await proves_passkey(town), "/account/passkeys", SESSION, "answer")


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
    return typed(await proves_app(town), "/account/totp", SESSION, "code")


async def page_removes_app(town: Town) -> Ask:
    return form("/account/totp/remove", town.anna.token, SESSION)


async def page_makes_codes(town: Town) -> Ask:
    return form("/account/recovery-codes", town.anna.token, SESSION)
