"""A person's whole story with factors over JSON: a passkey from sign-up on, an app, a lost phone, a new one."""

from __future__ import annotations

from passgate.store.tables import credential
from tests.authenticator import Authenticator
from tests.core.having import (
    add_app,
    add_codes,
    add_passkey,
    asserted,
    challenged,
    code_of_app,
    me,
    prove,
    prove_each,
    signed_in,
    step_up,
)
from tests.kit import OTHER_PASSWORD, Person, The, code_of, handle_of, token_of

AAL1, AAL2 = "urn:passgate:aal1", "urn:passgate:aal2"


async def test_a_life_without_a_password(the: The) -> None:
    """Sign up with a passkey, add a second one, sign in with it without typing anything, and remove the first."""
    email, key, spare = "anna@example.com", Authenticator(), Authenticator()
    handle = handle_of(await the.signup(email, None))
    await prove_each(the, handle, ("email_code", await the.code(email)))
    options = await challenged(the, handle, "passkey")
    await prove_each(the, handle, ("passkey", key.create(options, the.gate.settings.url)))
    anna = Person(email, "", token_of(await the.finish(handle)))
    assert (await the.session(anna.token)).json()["session"]["acr"] == AAL2
    await add_passkey(the, anna, spare, label="Spare")
    handle = handle_of(await the.start())
    await prove_each(the, handle, ("passkey", await asserted(the, handle, spare)))
    again = Person(email, "", token_of(await the.finish(handle)))
    first = (await me(the, "GET", "passkeys", again)).json()["items"][1]
    assert (await me(the, "DELETE", f"passkeys/{first['id']}", again)).status_code == 204
    handle = handle_of(await the.start())
    refused = await prove(the, handle, "passkey", await asserted(the, handle, key))
    assert code_of(refused) == "proof_refused"
    assert {row["kind"] for row in await the.rows(credential)} == {"passkey"}


async def test_a_password_and_an_app(the: The) -> None:
    """From then on a sign-in requires the app, and removing the app requires both proofs."""
    anna = await the.person()
    secret = await add_app(the, anna)
    assert (await me(the, "POST", "password", anna, {"password": OTHER_PASSWORD})).status_code == 204
    anna = Person(anna.email, OTHER_PASSWORD, anna.token)
    strong = await signed_in(the, anna, ("totp", code_of_app(the, secret)))
    assert (await the.session(strong.token)).json()["session"]["amr"] == ["pwd", "otp"]
    the.clock.forward(400)
    stale = await me(the, "DELETE", "totp", strong)
    assert f'acr_values="{AAL2}"' in stale.headers["www-authenticate"]
    handle = await step_up(the, strong)
    asked = await prove(the, handle, "password", OTHER_PASSWORD)
    assert asked.json() == {"enough": False, "need": [["totp"]], "enrol": False}
    await prove_each(the, handle, ("totp", code_of_app(the, secret)))
    fresh = Person(anna.email, OTHER_PASSWORD, token_of(await the.finish(handle)))
    assert (await me(the, "DELETE", "totp", fresh)).status_code == 204
    plain = await signed_in(the, anna)
    assert (await the.session(plain.token)).json()["session"]["acr"] == AAL1


async def test_the_phone_is_lost(the: The) -> None:
    """A recovery code signs in, the lost app is removed, and a new one takes its place."""
    anna = await the.person()
    await add_app(the, anna)
    codes = await add_codes(the, anna)
    back = await signed_in(the, anna, ("recovery_code", codes[0]))
    assert (await me(the, "DELETE", "totp", back)).status_code == 204
    secret = await add_app(the, back)
    handle = handle_of(await the.start(anna.email))
    await prove_each(the, handle, ("password", anna.password))
    assert code_of(await prove(the, handle, "recovery_code", codes[1])) == "factor_not_offered", "they went with it"
    await prove_each(the, handle, ("totp", code_of_app(the, secret)))
    token_of(await the.finish(handle))
    kinds = [mail["kind"] for mail in reversed(await the.mails(anna.email))]
    assert kinds == [
        "signup_code",
        "factor_added",
        "factor_added",
        "recovery_code_used",
        "factor_removed",
        "factor_added",
    ]


async def test_what_was_set_up_leaves_with_its_person(the: The) -> None:
    anna = await the.person()
    await add_app(the, anna)
    await add_passkey(the, anna, Authenticator())
    await add_codes(the, anna)
    exported = (await the.http.get("/api/v1/me/export", headers=anna.auth)).json()
    assert [one["kind"] for one in exported["credentials"]].count("recovery_code") == 10
    assert "secret" not in str(exported["credentials"])
    assert (await the.http.delete("/api/v1/me", headers=anna.auth)).status_code == 204
    assert await the.rows(credential) == []
