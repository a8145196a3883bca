"""Sign-in links and recovery of a lost second factor on pages, with the waiting time and how to stop it.

Not here: how links are made and who may make them, which is in tests/cli and test_contract_policy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from passgate.core import links
from passgate.core.ctx import Ctx
from passgate.store.tables import credential, person, session
from passgate.world import iso
from tests import operating
from tests.kit import OTHER_PASSWORD, PASSWORD, The, running, settings_for
from tests.web.browsing import SAME, Page, app, browser, led, outcome

EMAIL = "anna@example.com"


async def link_for(the: The, email: str = EMAIL) -> str:
    made = await operating.signin_link(Ctx(the.gate.services), email, "main")
    return made.url.removeprefix(the.gate.settings.url)


async def live(the: The) -> list[str]:
    return [str(row["kind"]) for row in await the.rows(credential) if not row["revoked_at"]]


# -- a link that signs in --------------------------------------------------------------------------


async def test_a_link_signs_in_once(the: The) -> None:
    await the.person()
    path = await link_for(the)
    async with browser(the) as anna, browser(the) as other:
        rows = await the.everything()
        followed = await anna.get(path)
        assert led(followed) == "/signin/link"
        assert "pg_lnk_" not in (await anna.get("/signin/link")).text
        page = await anna.page("/signin/link")
        assert (page.name, page.forms[0].names) == ("signin-link", {"csrf_token", "decision"})
        assert await the.everything() == rows, "a GET changes nothing"
        assert led(await anna.send("/signin/link", decision="signin")) == "/account"
        assert (await anna.page("/account")).name == "account"
        assert anna.http.cookies.get("passgate_link") is None
        assert anna.http.cookies.get("passgate_signin") is None
        await other.get(path)
        assert outcome(await other.get("/signin/link")) == (401, "signin-link", "handle_invalid")
        again = await other.http.post("/signin/link", data={"decision": "signin"}, headers=SAME)
        assert outcome(again) == (401, "signin-link", "handle_invalid")


async def test_a_link_is_no_second_factor(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        secret = await anna.add_app()
        await other.get(await link_for(lite))
        assert led(await other.send("/signin/link", decision="signin")) == "/signin/totp"
        assert led(await other.send("/signin/totp", code=app(lite, secret))) == "/account"


async def test_a_link_for_a_new_password(lite: The) -> None:
    await lite.person()
    async with browser(lite) as anna:
        await anna.get(await link_for(lite))
        assert led(await anna.send("/signin/link", decision="recover")) == "/signin/password"
        assert (await anna.page("/signin/password")).name == "new-password"
        assert led(await anna.send("/signin/password", new_password=OTHER_PASSWORD)) == "/account"
    async with browser(lite) as again:
        await again.sign_in(password=OTHER_PASSWORD)


async def test_a_link_and_a_mailed_code_stand_for_what_is_lost(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.add_app()
        await other.get(await link_for(lite))
        assert led(await other.send("/signin/link", decision="recover")) == "/signin/totp"
        assert led(await other.send("/signin/email-code/again", at="/signin/totp")) == "/signin/email-code?again=1"
        code = await lite.code(EMAIL)
        assert led(await other.send("/signin/email-code", code=code)) == "/signin/password"
        assert led(await other.send("/signin/password", new_password=OTHER_PASSWORD)) == "/account"
    assert await live(lite) == ["password"]


@pytest.mark.parametrize("form", [{}, {"decision": ""}, {"decision": "both"}, {"decision": "signin", "x": "1"}])
async def test_an_odd_form_uses_no_link_up(lite: The, form: dict[str, str]) -> None:
    await lite.person()
    async with browser(lite) as anna:
        await anna.get(await link_for(lite))
        odd = await anna.http.post("/signin/link", data=form, headers=SAME)
        assert outcome(odd) == (422, "signin-link", "invalid")
        assert led(await anna.send("/signin/link", decision="signin")) == "/account"


async def test_a_link_that_waits_names_its_date(lite: The) -> None:
    await lite.person()
    ctx = Ctx(lite.gate.services)
    [anna_row] = await lite.rows(person)
    async with ctx.write() as db:
        made = await links.make(ctx, db, anna_row["tenant_id"], anna_row["id"], wait=3600, life=900)
    async with browser(lite) as anna:
        await anna.get(made.url)
        early = await anna.get("/signin/link")
        assert outcome(early) == (409, "signin-link", "not_yet")
        assert int(early.headers["retry-after"]) == 3600
        assert f'datetime="{iso(made.usable_at)}"' in early.text
        posted = await anna.http.post("/signin/link", data={"decision": "signin"}, headers=SAME)
        assert outcome(posted) == (409, "signin-link", "not_yet")
        lite.clock.forward(3601)
        assert led(await anna.send("/signin/link", decision="signin")) == "/account"


async def test_a_link_of_another_kind_opens_nothing(lite: The) -> None:
    await lite.person()
    path = await link_for(lite)
    token = path.rpartition("/")[2]
    async with browser(lite) as anna:
        for wrong in ("/signin/link/nonsense", f"/recover/stop/{token}", f"/account/undo/{token}"):
            clean = led(await anna.get(wrong))
            assert "pg_lnk_" not in clean
            assert outcome(await anna.get(clean))[0] == 401
        assert outcome(await anna.get("/signin/link")) == (401, "signin-link", "handle_invalid")
        await anna.get(path)
        assert outcome(await anna.get("/recover/stop")) == (401, "recover-stop", "handle_invalid")


# -- a lost second factor --------------------------------------------------------------------------


async def test_the_phone_is_gone_and_the_password_is_known(lite: The) -> None:
    """In development, recovery has no waiting time."""
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.add_app()
        await anna.add_codes()
        await other.send("/recover", email=EMAIL)
        assert led(await other.send("/signin/email-code", code=await lite.code(EMAIL))) == "/signin/totp"
        page = await other.page("/signin/totp")
        assert {"/signin/recovery-code", "/signin/password"} <= set(page.links)
        assert (await other.page("/signin/password")).name == "signin-password"
        wrong = await other.send("/signin/password", password=OTHER_PASSWORD)
        assert outcome(wrong) == (403, "signin-password", "proof_refused")
        assert led(await other.send("/signin/password", password=PASSWORD)) == "/account"
    assert await live(lite) == ["password"]


async def test_an_enrolled_factor_and_a_new_password(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.add_app()
        codes = await anna.add_codes()
        await other.send("/recover", email=EMAIL)
        await other.send("/signin/email-code", code=await lite.code(EMAIL))
        assert led(await other.send("/signin/recovery-code", code=codes[3])) == "/signin/password"
        assert (await other.page("/signin/password")).name == "new-password"
        assert led(await other.send("/signin/password", new_password=OTHER_PASSWORD)) == "/account"
    assert "totp" in await live(lite)


async def test_in_production_it_waits_and_its_owner_can_stop_it(tmp_path: Path) -> None:
    async with (
        running(settings_for(tmp_path, recovery={"wait": "24h"})) as the,
        browser(the) as anna,
        browser(the) as thief,
        browser(the) as owner,
    ):
        await anna.sign_up()
        await anna.add_app()

        async def tried() -> str:
            await thief.send("/recover", email=EMAIL)
            await thief.send("/signin/email-code", code=await the.code(EMAIL))
            return led(await thief.send("/signin/password", password=PASSWORD))

        assert await tried() == "/recover/waiting"
        page = await thief.get("/recover/waiting")
        assert outcome(page) == (200, "recover-waiting", "")
        assert 'datetime="2027-01-16T08:00:' in page.text
        assert "/signin/totp" in Page(page.text).links
        assert "totp" in await live(the)
        the.clock.forward(12 * 3600)
        assert await tried() == "/recover/waiting", "asking again shortens nothing"
        [to_owner, *_] = [mail for mail in await the.mails(EMAIL) if mail["kind"] == "recovery_asked"]
        rows = await the.everything(but=("outbox", "dev_mail"))
        assert led(await owner.get(to_owner["link"])) == "/recover/stop"
        assert (await owner.page("/recover/stop")).name == "recover-stop"
        assert await the.everything(but=("outbox", "dev_mail")) == rows, "a GET changes nothing"
        assert led(await owner.send("/recover/stop")) == "/recover/stop?done=stopped"
        assert outcome(await owner.get("/recover/stop?done=stopped")) == (200, "recover-stop", "")
        assert (await the.events())[-1] == "recovery:stopped"
        the.clock.forward(13 * 3600)
        assert await tried() == "/recover/waiting", "it begins anew"
        the.clock.forward(24 * 3600 + 1)
        assert await tried() == "/account", "and with nobody to stop it, it ends"
        assert await live(the) == ["password"]


async def test_the_factor_is_found_while_it_waits(tmp_path: Path) -> None:
    async with (
        running(settings_for(tmp_path, recovery={"wait": "24h"})) as the,
        browser(the) as anna,
        browser(the) as other,
    ):
        await anna.sign_up()
        secret = await anna.add_app()
        await other.send("/recover", email=EMAIL)
        await other.send("/signin/email-code", code=await the.code(EMAIL))
        assert led(await other.send("/signin/password", password=PASSWORD)) == "/recover/waiting"
        assert led(await other.send("/signin/totp", code=app(the, secret))) == "/account"
        assert "totp" in await live(the)
        assert "recovery:stopped" in await the.events()


async def test_a_stop_link_works_once_and_is_bound_to_its_browser(lite: The) -> None:
    await lite.person()
    await link_for(lite)
    [mail] = [mail for mail in await lite.mails(EMAIL) if mail["kind"] == "signin_link"]
    async with browser(lite) as owner, browser(lite) as other:
        assert outcome(await other.get("/recover/stop")) == (401, "recover-stop", "handle_invalid")
        foreign = await other.http.post("/recover/stop", headers=SAME)
        assert outcome(foreign) == (401, "recover-stop", "handle_invalid")
        await owner.get(mail["link"])
        assert led(await owner.send("/recover/stop")) == "/recover/stop?done=stopped"
        await owner.get(mail["link"])
        again = await owner.http.post("/recover/stop", headers=SAME)
        assert outcome(again) == (401, "recover-stop", "handle_invalid")
    assert len(await lite.rows(session)) == 1
