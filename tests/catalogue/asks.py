"""Requests of programs that are right in every way: whom each is from, what it carries, and what is somebody else's.

Each is made anew whenever it is asked for; what it yields is said in `api`, what pages send is in `asks_pages`.
"""

from __future__ import annotations

from typing import Any

from passgate.core.rules import AAL2
from tests.house.town import Ask, Somebody, Town
from tests.kit import OTHER_PASSWORD, PASSWORD, handle_of

API = "/api/v1"
NEVER = "00000000-0000-7000-8000-000000000000"

# -- beginning -------------------------------------------------------------------------------------


async def signs_in(town: Town) -> Ask:
    return Ask(f"{API}/signin", {"email": town.anna.email, "tenant": "main"})


async def steps_up(town: Town) -> Ask:
    return Ask(f"{API}/signin", {"step_up": {"acr": AAL2, "max_age": 300}}, town.anna.token)


async def signs_up(town: Town) -> Ask:
    body = {"email": town.fresh_address(), "password": PASSWORD, "profile": {"name": "New"}, "tenant": "main"}
    return Ask(f"{API}/signup", body)


async def recovers(town: Town) -> Ask:
    return Ask(f"{API}/recover", {"email": town.anna.email, "tenant": "main"})


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
    return proof(handle, "recovery_code", town.anna.codes[0], town.cara.codes[0])


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


async def ends_session(town: Town) -> Ask:
    """One more of anna's, so that the other stays."""
    _, token = await town.folk.opened(town.anna.tenant_id, town.anna.id)
    return Ask(f"{API}/session", None, token)


async def ends_one(town: Town) -> Ask:
    actor, _ = await town.folk.opened(town.anna.tenant_id, town.anna.id)
    return mine(town, f"/me/sessions/{actor.session_id}")


async def ends_others(town: Town) -> Ask:
    return mine(town, "/me/sessions")


async def forgets_browsers(town: Town) -> Ask:
    return mine(town, "/me/browsers")


async def changes_profile(town: Town) -> Ask:
    return mine(town, "/me", {"profile": {"name": "Anna"}})


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
    return mine(town, "/me/passkeys/prove", {"answer": answer, "label": "My phone"}).with_others({"answer": bens})


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


async def forgets_browser(town: Town) -> Ask:
    remembering = await finishes_by_cookie(town)
    await town.done("POST", "/signin/finish", remembering.body, remembering.secret)
    known = await town.done("GET", "/me/browsers", None, town.anna.token)
    return mine(town, f"/me/browsers/{known['items'][0]['id']}")


# -- an admin's ------------------------------------------------------------------------------------


RULES = {"second": "always", "second_among": ["totp", "passkey"], "max_age": 600, "totp_at_once": True}


async def changes_policy(town: Town) -> Ask:
    asked = mine(town, f"/tenants/{town.anna.tenant_id}/policy", RULES)
    return asked.with_others(*({"path": f"{API}/tenants/{one}/policy"} for one in (town.otto.tenant_id, NEVER)))


async def makes_link(town: Town) -> Ask:
    asked = mine(town, f"/users/{town.ben.id}/signin-link")
    return asked.with_others(*({"path": f"{API}/users/{one}/signin-link"} for one in (town.otto.id, NEVER)))
