"""Mailed codes: one is good for one pending sign-in and once, only the newest counts, and its spelling does not matter.

Budgets are tested in test_throttle, equal responses for unknown addresses in tests/neutrality.
"""

from __future__ import annotations

from pathlib import Path

from tests.kit import The, code_of, handle_of, running, settings_for, token_of


async def test_spaces_and_hyphens_do_not_count(lite: The) -> None:
    for number, spelling in enumerate(("{0} {1}", " {0}-{1} ", "{0}\u00a0{1}")):
        email = f"anna{number}@example.com"
        handle = handle_of(await lite.signup(email))
        code = await lite.code(email)
        assert (await lite.prove(handle, "email_code", spelling.format(code[:4], code[4:]))).status_code == 200


async def test_a_code_opens_its_own_sign_in_alone(the: The) -> None:
    """A code is refused in another pending sign-in of the same address, and a second time in its own."""
    first = handle_of(await the.signup("anna@example.com"))
    code = await the.code("anna@example.com")
    second = handle_of(await the.signup("anna@example.com"))
    assert code_of(await the.prove(second, "email_code", code)) == "proof_refused"
    assert (await the.prove(first, "email_code", code)).status_code == 200
    assert code_of(await the.prove(first, "email_code", code)) == "already_proved"


async def test_another_mail_kills_the_older_code(the: The) -> None:
    handle = handle_of(await the.signup("anna@example.com"))
    older = await the.code("anna@example.com")
    assert (await the.challenge(handle, "email_code")).json() == {"challenge": {"sent_to": "a…@example.com"}}
    newer = await the.code("anna@example.com")
    assert code_of(await the.prove(handle, "email_code", older)) == "proof_refused"
    assert (await the.prove(handle, "email_code", newer)).status_code == 200


async def test_too_old_is_wrong(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, signin={"life": "60m"})) as the:
        handle = handle_of(await the.signup("anna@example.com"))
        code = await the.code("anna@example.com")
        the.clock.forward(900)
        assert code_of(await the.prove(handle, "email_code", code)) == "proof_refused"


async def test_ten_refusals_kill_the_handle(the: The) -> None:
    """After ten refusals the handle accepts not even the right code. Another sign-up of the address still works."""
    handle = handle_of(await the.signup("anna@example.com"))
    code = await the.code("anna@example.com")
    for _ in range(10):
        assert code_of(await the.prove(handle, "email_code", "00000000")) == "proof_refused"
    assert code_of(await the.prove(handle, "email_code", code)) == "handle_invalid"
    other = handle_of(await the.signup("anna@example.com"))
    assert (await the.prove(other, "email_code", await the.code("anna@example.com"))).status_code == 200


async def test_somebody_of_main_founds_a_tenant(tmp_path: Path) -> None:
    """An address that has an account in `main` is new in a tenant that its sign-up creates. Both the first code and one
    that was requested again finish the sign-up."""
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        await the.person("anna@example.com")
        for name, again in (("acme", False), ("globex", True)):
            handle = handle_of(await the.signup("anna@example.com", new_tenant={"name": name}))
            if again:
                await the.challenge(handle, "email_code")
            proved = await the.prove(handle, "email_code", await the.code("anna@example.com"))
            assert proved.json()["enough"] is True
            displayed = (await the.session(token_of(await the.finish(handle)))).json()
            assert (displayed["tenant"]["name"], displayed["user"]["roles"]) == (name, ["owner"])
