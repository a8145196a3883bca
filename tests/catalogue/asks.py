"""The right requests to the API: who sends each, what it contains, and variants with values that belong to somebody
else.

Each call makes a new request. What it yields is in `api`; the requests of pages are in `asks_pages`.
"""

from __future__ import annotations

from typing import Any

from passgate.core import carriers, host_jobs
from passgate.core.rules import AAL2
from tests.architecture.population import Ask, Population, Somebody
from tests.kit import OTHER_PASSWORD, PASSWORD, handle_of

API = "/api/v1"
NEVER = "00000000-0000-7000-8000-000000000000"


async def asks_job(population: Population) -> Ask:
    """Anna asks for a job that Cara started. Otto's belongs to another tenant."""
    jobs = [await started(population, who) for who in (population.cara, population.otto)]
    ask = Ask(f"{API}/jobs/{jobs[0]}", secret=population.anna.token)
    return ask.with_others({"path": f"{API}/jobs/{jobs[1]}"})


async def started(population: Population, who: Somebody) -> str:
    ctx = await carriers.acting(population.folk.ctx, who.token, by_cookie=False, at_any_level=True)
    return await host_jobs.start(ctx, host_jobs.HostJob("tests.report", print, 5, for_strangers=False), {"sep": ""})


# -- starting --------------------------------------------------------------------------------------


async def signs_in(population: Population) -> Ask:
    return Ask(f"{API}/signin", {"email": population.anna.email, "tenant": "main"})


async def signs_in_by_username(population: Population) -> Ask:
    await population.rules(usernames="optional")
    return Ask(f"{API}/signin", {"username": "anna", "tenant": "main"})


async def steps_up(population: Population) -> Ask:
    return Ask(f"{API}/signin", {"step_up": {"acr": AAL2, "max_age": 300}}, population.anna.token)


async def signs_up(population: Population) -> Ask:
    body = {"email": population.fresh_address(), "password": PASSWORD, "profile": {"name": "New"}, "tenant": "main"}
    return Ask(f"{API}/signup", body)


async def recovers(population: Population) -> Ask:
    return Ask(f"{API}/recover", {"email": population.anna.email, "tenant": "main"})


# -- challenges ------------------------------------------------------------------------------------


async def asks_passkey(population: Population) -> Ask:
    return Ask(f"{API}/signin/challenge", {"factor": "passkey"}, await population.begun(population.anna))


async def asks_passkey_second(population: Population) -> Ask:
    """After the password, so the options list the person's own passkeys."""
    return Ask(
        f"{API}/signin/challenge", {"factor": "passkey"}, await population.after_password(population.anna), behind=()
    )


async def asks_code(population: Population) -> Ask:
    handle = handle_of(await population.the.recover(population.anna.email))
    return Ask(f"{API}/signin/challenge", {"factor": "email_code"}, handle)


async def asks_to_enrol(population: Population, factor: str) -> Ask:
    """Set up a factor during a sign-in. Cara has proved password and app, and a passkey is required too; Ben has no
    second factor, so he sets up an app."""
    if factor == "passkey":
        await population.rules(second="always", second_among=["passkey"], least_acr="phr")
        return Ask(f"{API}/signin/challenge", {"factor": factor}, await population.after_app(population.cara))
    await population.rules(second="always", second_among=["totp"])
    return Ask(f"{API}/signin/challenge", {"factor": factor}, await population.after_address(population.ben), behind=())


async def asks_to_enrol_passkey(population: Population) -> Ask:
    return await asks_to_enrol(population, "passkey")


async def asks_to_enrol_app(population: Population) -> Ask:
    return await asks_to_enrol(population, "totp")


# -- proofs ----------------------------------------------------------------------------------------


def proof(handle: str, factor: str, answer: Any, *others: Any, behind: tuple[str, ...] = ("password",)) -> Ask:
    ask = Ask(f"{API}/signin/prove", {"factor": factor, "answer": answer}, handle, behind=behind)
    return ask.with_others(*({"answer": other} for other in others))


async def gives_password(population: Population) -> Ask:
    return proof(await population.begun(population.anna), "password", PASSWORD)


async def gives_passkey(population: Population) -> Ask:
    """The passkey is the first factor and the person is named only by the address. Otto's passkey belongs to another
    tenant."""
    handle = await population.begun(population.anna)
    return proof(handle, "passkey", *await population.asserted(handle, population.anna, population.otto))


async def gives_passkey_second(population: Population) -> Ask:
    handle = await population.after_password(population.anna)
    return proof(handle, "passkey", *await population.asserted(handle, population.anna, population.otto))


async def gives_app(population: Population) -> Ask:
    return proof(
        await population.after_password(population.anna),
        "totp",
        population.code(population.anna),
        population.code(population.cara),
    )


async def gives_recovery_code(population: Population) -> Ask:
    handle = await population.after_password(population.anna)
    return proof(handle, "recovery_code", population.anna.codes[0], population.cara.codes[0])


async def gives_code(population: Population) -> Ask:
    """The code of a recovery; the code of another person's recovery is wrong here."""
    other = handle_of(await population.the.recover(population.ben.email))
    handle = handle_of(await population.the.recover(population.anna.email))
    assert other != handle
    return proof(
        handle,
        "email_code",
        await population.the.code(population.anna.email),
        await population.the.code(population.ben.email),
    )


async def completes_signup(population: Population) -> Ask:
    mine, another = population.fresh_address(), population.fresh_address()
    handle = handle_of(await population.the.signup(mine))
    await population.the.signup(another)
    return proof(handle, "email_code", await population.the.code(mine), await population.the.code(another))


async def gives_new_password(population: Population) -> Ask:
    """Anna recovers: the mailed code, her app, then a new password. Without the app the new password is not accepted
    yet."""
    handle = await population.recovering(population.anna)
    assert (await population.the.prove(handle, "totp", population.code(population.anna))).status_code == 200
    return proof(handle, "password", OTHER_PASSWORD, behind=("email_code",))


async def sets_up_passkey(population: Population) -> Ask:
    another = await population.new_passkey(population.ben)
    asked = await asks_to_enrol_passkey(population)
    offered = await population.done("POST", "/signin/challenge", asked.body, asked.secret)
    answer = population.make(offered)
    return proof(asked.secret, "passkey", answer, another)


async def sets_up_app(population: Population) -> Ask:
    asked = await asks_to_enrol_app(population)
    offered = await population.done("POST", "/signin/challenge", asked.body, asked.secret)
    return proof(asked.secret, "totp", population.first_code(offered), await population.new_code(population.anna))


async def finishes(population: Population) -> Ask:
    return Ask(f"{API}/signin/finish", {"carrier": "bearer"}, await population.after_app(population.anna))


async def finishes_by_cookie(population: Population) -> Ask:
    return Ask(
        f"{API}/signin/finish", {"carrier": "cookie", "remember": True}, await population.after_app(population.anna)
    )


async def finishes_by_tokens(population: Population) -> Ask:
    return Ask(f"{API}/signin/finish", {"carrier": "jwt"}, await population.after_app(population.anna))


async def refreshes(population: Population) -> Ask:
    asked = await finishes_by_tokens(population)
    pair = await population.done("POST", "/signin/finish", asked.body, asked.secret)
    return Ask(f"{API}/tokens/refresh", {"refresh_token": pair["refresh_token"]})


async def finishes_recovered(population: Population) -> Ask:
    ask = await gives_new_password(population)
    await population.done("POST", "/signin/prove", ask.body, ask.secret)
    return Ask(f"{API}/signin/finish", {"carrier": "bearer"}, ask.secret, behind=("email_code",))


async def completes(population: Population) -> Ask:
    """Nothing but the answer says which sign-in it is for. Otto's passkey belongs to another tenant."""
    mine, another = await population.asserted(await population.begun(population.anna), population.anna, population.otto)
    return completed(population.anna.email, mine, "signin").with_others({"answer": another})


async def completes_signup_with_passkey(population: Population) -> Ask:
    email = population.fresh_address()
    handle = handle_of(await population.the.signup(email, None))
    assert (await population.the.prove(handle, "email_code", await population.the.code(email))).status_code == 200
    offered = await population.done("POST", "/signin/challenge", {"factor": "passkey"}, handle)
    another = await population.new_passkey(population.ben)  # for a session of his
    return completed(email, population.make(offered), "signup").with_others({"answer": another})


def completed(email: str, answer: Any, purpose: str) -> Ask:
    body = {"answer": answer, "email": email, "purpose": purpose, "carrier": "bearer", "tenant": "main"}
    return Ask(f"{API}/signin/complete", body)


# -- one's own account -----------------------------------------------------------------------------


def mine(population: Population, path: str, body: dict[str, Any] | None = None, who: Somebody | None = None) -> Ask:
    return Ask(f"{API}{path}", body, (who or population.anna).token)


async def ends_session(population: Population) -> Ask:
    """Ends a second session of Anna's, so that her other one stays for further requests."""
    _, token = await population.folk.opened(population.anna.tenant_id, population.anna.id)
    return Ask(f"{API}/session", None, token)


async def ends_one(population: Population) -> Ask:
    actor, _ = await population.folk.opened(population.anna.tenant_id, population.anna.id)
    return mine(population, f"/me/sessions/{actor.session_id}")


async def ends_others(population: Population) -> Ask:
    return mine(population, "/me/sessions")


async def forgets_browsers(population: Population) -> Ask:
    return mine(population, "/me/browsers")


async def changes_profile(population: Population) -> Ask:
    return mine(population, "/me", {"profile": {"name": "Anna"}})


async def leaves(population: Population) -> Ask:
    return mine(population, "/me", who=population.cara)


async def sets_password(population: Population) -> Ask:
    return mine(population, "/me/password", {"password": OTHER_PASSWORD})


async def moves(population: Population) -> Ask:
    return mine(population, "/me/address", {"email": population.fresh_address()})


async def has_moved(population: Population) -> Ask:
    to, bens = population.fresh_address(), population.fresh_address()
    await population.done("POST", "/me/address", {"email": to}, population.anna.token)
    await population.done("POST", "/me/address", {"email": bens}, population.ben.token)
    asked = mine(population, "/me/address/prove", {"answer": await population.the.code(to)})
    return asked.with_others({"answer": await population.the.code(bens)})


async def adds_passkey(population: Population) -> Ask:
    return mine(population, "/me/passkeys")


async def proves_passkey(population: Population) -> Ask:
    answer, bens = await population.new_passkey(population.anna), await population.new_passkey(population.ben)
    return mine(population, "/me/passkeys/prove", {"answer": answer, "label": "My phone"}).with_others({"answer": bens})


async def renames_passkey(population: Population) -> Ask:
    asked = mine(population, f"/me/passkeys/{population.anna.passkey}", {"label": "My phone"})
    return asked.with_others(*({"path": f"{API}/me/passkeys/{one}"} for one in (population.otto.passkey, NEVER)))


async def removes_passkey(population: Population) -> Ask:
    asked = mine(population, f"/me/passkeys/{population.anna.passkey}")
    strange = (
        population.otto.passkey,
        NEVER,
        await population.live(population.anna, "totp"),
        await population.live(population.anna, "password"),
    )
    return asked.with_others(*({"path": f"{API}/me/passkeys/{one}"} for one in strange))


async def begins_app(population: Population) -> Ask:
    return mine(population, "/me/totp")


async def shows_picture(population: Population) -> Ask:
    await population.new_code(population.anna)
    return mine(population, "/me/totp/qr")


async def proves_app(population: Population) -> Ask:
    bens = await population.new_code(population.ben)
    return mine(population, "/me/totp/prove", {"answer": await population.new_code(population.anna)}).with_others(
        {"answer": bens}
    )


async def removes_app(population: Population) -> Ask:
    return mine(population, "/me/totp")


async def displays_app(population: Population) -> Ask:
    await population.rules(totp_shown_again=True)
    return mine(population, "/me/totp/show")


BY_MAIL = {"second_among": ["totp", "email_code"], "mailed_second_factor": "enrolled"}


async def begins_mailed_codes(population: Population) -> Ask:
    """Ben has no other second factor, and has not turned them on before."""
    await population.rules(**BY_MAIL)
    if (await population.done("GET", "/me/factors", None, population.ben.token))["email_code"]:
        await population.done("DELETE", "/me/email-code", None, population.ben.token)
    return mine(population, "/me/email-code", who=population.ben)


async def turns_on_mailed_codes(population: Population) -> Ask:
    """A code that was mailed for something else is wrong here."""
    code = await population.mailed_code(await begins_mailed_codes(population), population.ben)
    recovering = handle_of(await population.the.recover(population.ben.email))
    other = await population.the.code(population.ben.email)
    assert recovering and other != code
    asked = mine(population, "/me/email-code/prove", {"answer": code}, population.ben)
    return asked.with_others({"answer": other})


async def turns_off_mailed_codes(population: Population) -> Ask:
    if not (await population.done("GET", "/me/factors", None, population.ben.token))["email_code"]:
        asked = await turns_on_mailed_codes(population)
        await population.done("POST", "/me/email-code/prove", asked.body, asked.secret)
    return mine(population, "/me/email-code", who=population.ben)


async def makes_codes(population: Population) -> Ask:
    return mine(population, "/me/recovery-codes")


async def forgets_browser(population: Population) -> Ask:
    remembering = await finishes_by_cookie(population)
    await population.done("POST", "/signin/finish", remembering.body, remembering.secret)
    known = await population.done("GET", "/me/browsers", None, population.anna.token)
    return mine(population, f"/me/browsers/{known['items'][0]['id']}")


async def unlocks(population: Population) -> Ask:
    """Anna's recovery codes are locked. A factor that she does not have cannot be unlocked."""
    await population.lock(population.anna, "recovery_code")
    asked = mine(population, "/me/unlock", {"factor": "recovery_code"})
    return asked.with_others({"factor": "email_code"}, {"factor": "carrier_pigeon"})


# -- an admin's requests ---------------------------------------------------------------------------


RULES = {"second": "always", "second_among": ["totp", "passkey"], "max_age": 600, "totp_at_once": True}


async def changes_policy(population: Population) -> Ask:
    asked = mine(population, f"/tenants/{population.anna.tenant_id}/policy", RULES)
    return asked.with_others(*({"path": f"{API}/tenants/{one}/policy"} for one in (population.otto.tenant_id, NEVER)))


async def renames_tenant(population: Population) -> Ask:
    asked = mine(population, f"/tenants/{population.anna.tenant_id}", {"display_name": "Acme"})
    return asked.with_others(*({"path": f"{API}/tenants/{one}"} for one in (population.otto.tenant_id, NEVER)))


async def makes_link(population: Population) -> Ask:
    asked = mine(population, f"/users/{population.ben.id}/signin-link")
    return asked.with_others(*({"path": f"{API}/users/{one}/signin-link"} for one in (population.otto.id, NEVER)))
