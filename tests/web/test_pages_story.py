"""A person's whole story on pages, without a script: sign up, sign in, recover, use the account, change the address,
leave.

Not here: refusals, which are in the other files of pages.
"""

from __future__ import annotations

import json

from passgate.core.events import Event
from passgate.store.tables import budget, person, session, ticket
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of
from tests.web.browsing import Page, browser, outcome


async def test_sign_up_sign_in_sign_out(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as elsewhere:
        assert (await anna.page("/signup")).name == "signup"
        begun = await anna.send("/signup", email="Anna@example.com", password=PASSWORD)
        assert (begun.status_code, begun.headers["location"]) == (303, "/signin/email-code")
        assert (await anna.page("/signin/email-code")).name == "signin-email-code"
        wrong = await anna.send("/signin/email-code", code="1234 5678")
        assert outcome(wrong) == (403, "signin-email-code", "proof_refused")
        assert (Page(wrong.text).forms[0].fields["code"], Page(wrong.text).marked) == ("1234 5678", {"code"})
        right = await anna.send("/signin/email-code", code=await lite.code("Anna@example.com"))
        assert (right.status_code, right.headers["location"]) == (303, "/account")
        assert (await anna.page("/account")).name == "account"
        assert anna.http.cookies.get("passgate_signin") is None
        await elsewhere.sign_in("anna@EXAMPLE.com")
        assert (await elsewhere.page("/signout")).name == "signout"
        out = await elsewhere.send("/signout")
        assert (out.status_code, out.headers["location"], elsewhere.session) == (303, "/signout", "")
        assert (await elsewhere.page("/account")).name == "signin"
        assert (await anna.page("/account")).name == "account"


async def test_known_and_new_addresses_get_the_same_page(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        begun = await other.send("/signup", email="anna@example.com", password=OTHER_PASSWORD)
        assert (begun.status_code, begun.headers["location"]) == (303, "/signin/email-code")
        assert (await lite.mails())[0]["kind"] == "signup_known"
        answer = await other.send("/signin/email-code", code="12345678")
        assert outcome(answer) == (403, "signin-email-code", "proof_refused")
        assert len(await lite.rows(person)) == 1


async def test_a_wrong_password_then_the_right_one(lite: The) -> None:
    await lite.person()
    async with browser(lite) as anna:
        assert (await anna.send("/signin", email="anna@example.com")).headers["location"] == "/signin/password"
        wrong = await anna.send("/signin/password", password=OTHER_PASSWORD)
        assert outcome(wrong) == (403, "signin-password", "proof_refused")
        assert OTHER_PASSWORD not in wrong.text
        assert (await anna.send("/signin/password", password=PASSWORD)).headers["location"] == "/account"


async def test_too_many_tries_name_the_wait(lite: The) -> None:
    await lite.person()
    async with browser(lite) as first, browser(lite) as anna:
        await first.send("/signin", email="anna@example.com")
        for _ in range(10):
            assert (await first.send("/signin/password", password="no")).status_code == 403
        dead = await first.http.post(
            "/signin/password", data={"password": "no"}, headers={"sec-fetch-site": "same-origin"}
        )
        assert outcome(dead) == (401, "error", "handle_invalid")
        await anna.send("/signin", email="anna@example.com")
        late = await anna.send("/signin/password", password=PASSWORD)
        assert outcome(late) == (429, "signin-password", "throttled")
        assert int(late.headers["retry-after"]) >= 1


async def test_recovery(lite: The) -> None:
    await lite.person()
    async with browser(lite) as anna:
        assert (await anna.page("/recover")).name == "recover"
        await anna.send("/recover", email="anna@example.com")
        proved = await anna.send("/signin/email-code", code=await lite.code("anna@example.com"))
        assert (proved.status_code, proved.headers["location"]) == (303, "/signin/password")
        assert (await anna.page("/signin/password")).name == "new-password"
        short = await anna.send("/signin/password", new_password="short")
        assert outcome(short) == (422, "new-password", "password_refused")
        done = await anna.send("/signin/password", new_password=OTHER_PASSWORD)
        assert (done.status_code, done.headers["location"]) == (303, "/account")
    async with browser(lite) as again:
        await again.sign_in(password=OTHER_PASSWORD)


async def test_another_code_kills_the_older(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.send("/signup", email="anna@example.com", password=PASSWORD)
        older = await lite.code("anna@example.com")
        again = await anna.send("/signin/email-code/again", at="/signin/email-code")
        assert again.status_code == 303
        newer = await lite.code("anna@example.com")
        assert newer != older
        assert (await anna.send("/signin/email-code", code=older)).status_code == 403
        assert (await anna.send("/signin/email-code", code=newer)).status_code == 303


async def test_profile_sessions_activity(lite: The) -> None:
    async with browser(lite, **{"user-agent": "Firefox/1 (Linux)"}) as anna, browser(lite) as other:
        await anna.sign_up()
        assert (await anna.send("/account", name="Änna <b>")).status_code == 303
        assert "&lt;b&gt;" in (await anna.get("/account")).text
        await other.sign_in()
        listed = await anna.page("/account/sessions")
        assert listed.name == "account-sessions"
        [one] = [form.action for form in listed.forms if form.action != "/account/sessions"]
        assert (await anna.send(one, at="/account/sessions")).status_code == 303
        assert (await other.page("/account")).name == "signin"
        gone = await anna.http.post(one, headers={"sec-fetch-site": "same-origin"})
        assert gone.status_code in (303, 404)
        await other.sign_in()
        assert (await anna.send("/account/sessions")).status_code == 303
        assert (await other.page("/account")).name == "signin"
        assert (await anna.page("/account")).name == "account"
        assert (await anna.page("/account/activity")).name == "account-activity"
        older = await anna.get("/account/activity?after=ffffffff-ffff-7fff-bfff-ffffffffffff")
        assert older.status_code == 200


async def test_a_password_wants_a_fresh_proof(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await other.sign_in()
        lite.clock.forward(400)
        stale = await anna.page("/account/password")
        assert [form.action for form in stale.forms] == ["/account/confirm?return_to=/account/password"]
        before = anna.session
        asked = await anna.send("/account/confirm", at="/account/password")
        assert (asked.status_code, asked.headers["location"]) == (303, "/signin/password")
        back = await anna.send("/signin/password", password=PASSWORD)
        assert (back.status_code, back.headers["location"]) == (303, "/account/password")
        assert anna.session != before
        refused = await anna.send("/account/password", new_password="short")
        assert outcome(refused) == (422, "account-password", "password_refused")
        assert (await anna.send("/account/password", new_password=OTHER_PASSWORD)).status_code == 303
        assert (await other.page("/account")).name == "signin"


async def test_a_action_sent_too_late_leads_to_the_proof(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        forms = {
            path: (await anna.page(path)).forms[0]
            for path in ("/account/password", "/account/address", "/account/delete")
        }
        lite.clock.forward(400)
        typed = {"new_password": OTHER_PASSWORD, "email": "new@example.com", "decision": "delete"}
        for path, form in forms.items():
            given = {name: typed[name] for name in form.names if name in typed}
            asked = await anna.http.post(path, data={**form.fields, **given})
            assert (asked.status_code, asked.headers["location"]) == (303, "/signin/password"), path
        assert len(await lite.rows(person)) == 1


async def test_export_and_leaving(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        data = await anna.send("/account/export")
        assert data.headers["content-disposition"] == 'attachment; filename="my-data.json"'
        assert json.loads(data.text)["user"]["email"] == "anna@example.com"
        assert outcome(await anna.send("/account/delete", decision="perhaps"))[:2] == (422, "account-delete")
        gone = await anna.send("/account/delete", decision="delete")
        assert (gone.status_code, gone.headers["location"], anna.session) == (303, "/signout", "")
        assert await lite.rows(person) == []
        assert await lite.rows(ticket) == [] or all(row["data_sealed"] is None for row in await lite.rows(ticket))


# -- changing the address --------------------------------------------------------------------------


async def test_moving_and_taking_it_back(the: The) -> None:
    async with browser(the) as anna, browser(the) as owner:
        await anna.sign_up("old@example.com")
        begun = await anna.send("/account/address", email="new@example.com")
        assert (begun.status_code, begun.headers["location"]) == (303, "/account/address/code")
        wrong = await anna.send("/account/address/code", code="00000000")
        assert outcome(wrong) == (403, "account-address-code", "proof_refused")
        assert (await anna.send("/account/address/code", code=await the.code("new@example.com"))).status_code == 303
        [row] = await the.rows(person)
        assert row["email"] == "new@example.com"
        [to_new] = [mail for mail in await the.mails("new@example.com") if mail["kind"] == "address_changed"]
        [to_old] = [mail for mail in await the.mails("old@example.com") if mail["kind"] == "address_changed"]
        assert to_new["link"] is None
        assert to_old["link"].startswith(the.gate.settings.url + "/account/undo/pg_und_")
        path = to_old["link"].removeprefix(the.gate.settings.url)
        rows = await the.everything(but=("outbox", "dev_mail"))
        followed = await owner.get(path)
        assert (followed.status_code, followed.headers["location"]) == (303, "/account/undo")
        assert (await owner.page("/account/undo")).name == "account-undo"
        assert await the.everything(but=("outbox", "dev_mail")) == rows, "a GET changes nothing"
        begun = await owner.send("/account/undo")
        assert (begun.status_code, begun.headers["location"]) == (303, "/signin/email-code")
        wrong = await owner.send("/signin/email-code", code="00000000")
        assert outcome(wrong) == (403, "signin-email-code", "proof_refused")
        [row] = await the.rows(person)
        assert row["email"] == "new@example.com", "the link alone undoes nothing"
        done = await owner.send("/signin/email-code", code=await the.code("old@example.com"))
        assert (done.status_code, done.headers["location"]) == (303, "/signin/password")
        [row] = await the.rows(person)
        assert row["email"] == "old@example.com"
        assert (await anna.page("/account")).name == "signin"
        assert all(row["ended_at"] for row in await the.rows(session))
        await owner.get(path)
        again = await owner.http.post("/account/undo", headers={"sec-fetch-site": "same-origin"})
        assert outcome(again) == (401, "account-undo", "handle_invalid")
        assert "address_restored" in [mail["kind"] for mail in await the.mails("old@example.com")]
        end = await owner.send("/signin/password", new_password="another long password")
        assert (end.status_code, end.headers["location"]) == (303, "/account")


async def test_moving_twice_takes_no_way_back_and_gives_none(lite: The) -> None:
    """An attacker changes the address twice. The first address can still undo it; the attacker's first one cannot."""
    async with browser(lite) as thief, browser(lite) as owner, browser(lite) as thief_again:
        await thief.sign_up("owner@example.com")
        for email in ("thief@example.com", "thief2@example.com"):
            await thief.send("/account/address", email=email)
            assert (await thief.send("/account/address/code", code=await lite.code(email))).status_code == 303
        links = {mail["to"]: mail["link"] for mail in await lite.mails() if mail["link"] and "undo" in mail["link"]}
        await owner.get(links["owner@example.com"])
        assert (await owner.send("/account/undo")).status_code == 303
        assert (await owner.send("/signin/email-code", code=await lite.code("owner@example.com"))).status_code == 303
        await thief_again.get(links["thief@example.com"])
        assert outcome(await thief_again.get("/account/undo"))[2] == "handle_invalid"
        [row] = await lite.rows(person)
        assert row["email"] == "owner@example.com"


async def test_the_way_back_ends_after_a_week(lite: The) -> None:
    anna = await lite.person()
    await lite.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    proof = {"answer": await lite.code("new@example.com")}
    assert (await lite.http.post("/api/v1/me/address/prove", json=proof, headers=anna.auth)).status_code == 204
    [link] = [mail["link"] for mail in await lite.mails(anna.email) if mail["kind"] == "address_changed"]
    async with browser(lite) as owner:
        lite.clock.forward(7 * 24 * 3600 + 1)
        await owner.get(link)
        assert outcome(await owner.get("/account/undo"))[2] == "handle_invalid"


async def test_a_taken_address_is_answered_like_a_free_one(lite: The) -> None:
    anna, ben = await lite.person(), await lite.person("ben@example.com")
    free = await lite.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    taken = await lite.http.post("/api/v1/me/address", json={"email": "BEN@example.com"}, headers=anna.auth)
    assert (free.status_code, taken.status_code) == (202, 202)
    assert (free.json(), taken.json()) == ({"sent_to": "n…@example.com"}, {"sent_to": "B…@example.com"})
    assert (await lite.mails(ben.email))[0]["kind"] == "address_known"
    old = {"answer": await lite.code("new@example.com")}
    refused = await lite.http.post("/api/v1/me/address/prove", json=old, headers=anna.auth)
    assert code_of(refused) == "proof_refused"


async def test_an_address_taken_meanwhile(the: The) -> None:
    anna = await the.person()
    await the.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    code = await the.code("new@example.com")
    await the.person("new@example.com")
    late = await the.http.post("/api/v1/me/address/prove", json={"answer": code}, headers=anna.auth)
    assert code_of(late) == "proof_refused"
    assert sorted(row["email"] for row in await the.rows(person)) == ["anna@example.com", "new@example.com"]


async def test_an_address_wants_a_fresh_proof_and_a_changed_value(lite: The) -> None:
    anna = await lite.person()
    same = await lite.http.post("/api/v1/me/address", json={"email": "ANNA@example.com"}, headers=anna.auth)
    assert (code_of(same), same.json()["fields"]) == ("invalid", {"email": "value"})
    lite.clock.forward(400)
    for path, body in (("", {"email": "new@example.com"}), ("/prove", {"answer": "12345678"})):
        stale = await lite.http.post(f"/api/v1/me/address{path}", json=body, headers=anna.auth)
        assert code_of(stale) == "insufficient_user_authentication"


async def test_codes_for_an_address_are_throttled(lite: The) -> None:
    anna = await lite.person()
    await lite.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    codes = [
        code_of(await lite.http.post("/api/v1/me/address/prove", json={"answer": "00000000"}, headers=anna.auth))
        for _ in range(51)
    ]
    assert codes == ["proof_refused"] * 51
    right = {"answer": await lite.code("new@example.com")}
    late = await lite.http.post("/api/v1/me/address/prove", json=right, headers=anna.auth)
    assert code_of(late) == "proof_refused"  # fifty a day; no code opens after that, and none is mailed
    await lite.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    assert len([mail for mail in await lite.mails("new@example.com") if mail["code"]]) == 1
    assert [row["used"] for row in await lite.rows(budget) if str(row["key"]).startswith("d:address:")] == [50]
    lite.clock.forward(24 * 3600)
    again = await lite.signed_in(anna)
    await lite.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=again.auth)
    right = {"answer": await lite.code("new@example.com")}
    moved = await lite.http.post("/api/v1/me/address/prove", json=right, headers=again.auth)
    assert moved.status_code in (200, 204)


async def test_what_an_address_change_leaves_in_the_trail(lite: The) -> None:
    anna = await lite.person()
    await lite.http.post("/api/v1/me/address", json={"email": "new@example.com"}, headers=anna.auth)
    proof = {"answer": await lite.code("new@example.com")}
    await lite.http.post("/api/v1/me/address/prove", json=proof, headers=bearer(anna.token))
    assert [event for event in await lite.events() if "address" in event] == [
        "account:address:started",
        "account:address:changed",
    ]


def test_every_event_about_a_person_has_a_label() -> None:
    nobody = {
        Event.ACCOUNT_DELETED,
        Event.TENANT_CREATED,
        Event.MAIL_FAILED,
        Event.KEY_ROTATED,
        Event.SIGNING_KEY_ADDED,
        Event.POLICY_CHANGED,
        Event.BACKUP_MADE,
        Event.AUDIT_EXPORTED,
        Event.USERS_LISTED,
        Event.ROLE_CREATED,
        Event.ROLE_CHANGED,
        Event.ROLE_DELETED,
    }
    assert {event for event in Event if not event.label} == nobody
