"""Usernames over HTTP: given, chosen, taken away, and signed in with.

Not here: which ones there may be (`tests/core/test_usernames`), and that a sign-in says nothing of who has one
(`tests/neutrality`).
"""

from __future__ import annotations

from typing import Any

import pytest

from passgate.store.tables import audit_event, budget, outbox, person
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, The, bearer, code_of, handle_of, token_of
from tests.web.browsing import Page, rule
from tests.web.test_contract_users import Office, office


async def signed_in(the: The, username: str, password: str = PASSWORD) -> Person:
    handle = handle_of(await the.start(username=username))
    assert (await the.prove(handle, "password", password)).json()["enough"] is True
    return Person(username, password, token_of(await the.finish(handle)))


async def me(the: The, who: Person) -> dict[str, Any]:
    found: dict[str, Any] = (await the.http.get("/api/v1/me", headers=who.auth)).json()["user"]
    return found


async def refused(desk: Office, body: dict[str, Any], field: str = "username") -> str:
    answer = await desk.ask("POST", body={"email": "new@example.com", **body})
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    return str(answer.json()["fields"][field])


async def test_where_it_is_off(the: The) -> None:
    """As it is unless the policy says otherwise. That is public, so it is said."""
    desk, anna = await office(the), await the.person()
    mine = await me(the, anna)
    assert mine["username"] is None
    before = await the.everything(but=("budget",))
    for method, path, body, token in (
        ("POST", "/users", {"email": "new@example.com", "username": "anna"}, desk.admin),
        ("PATCH", f"/users/{mine['id']}", {"username": "anna"}, desk.admin),
        ("PATCH", f"/users/{mine['id']}", {"username": None}, desk.admin),
        ("PATCH", f"/users/{mine['id']}", {"username": "anna"}, anna.token),
        ("POST", "/signin", {"username": "anna"}, None),
    ):
        headers = bearer(token) if token else {}
        answer = await the.http.request(method, f"/api/v1{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["fields"]) == (422, {"username": "value"}), (method, path)
    assert await the.everything(but=("budget",)) == before


async def test_stored_ones_count_again(the: The) -> None:
    desk = await office(the)
    await rule(the, usernames="optional")
    made = await desk.add("anna@example.com", username="Anna", password=PASSWORD)
    handle = handle_of(await the.start(username="anna"))
    await rule(the)
    assert (await desk.ask("GET", f"/{made['id']}")).json()["username"] == "Anna"
    assert code_of(await the.prove(handle, "password", PASSWORD)) == "handle_invalid"
    assert code_of(await the.start(username="anna")) == "invalid"
    await rule(the, usernames="optional")
    assert (await me(the, await signed_in(the, "ANNA")))["id"] == made["id"]


async def test_signing_in(the: The) -> None:
    """In every spelling, and by the address as before."""
    desk = await office(the)
    await rule(the, usernames="optional")
    made = await desk.add("anna@example.com", username="Anna.Müller", password=PASSWORD)
    for typed in ("Anna.Müller", "anna.mu\u0308ller", " ANNA.MÜLLER ", "ａｎｎａ．ｍüller"):
        found = await me(the, await signed_in(the, typed))
        assert (found["id"], found["username"]) == (made["id"], "Anna.Müller"), typed
    handle = handle_of(await the.start("anna@example.com"))
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    session = (await the.session(token_of(await the.finish(handle)))).json()
    assert session["user"]["username"] == "Anna.Müller"


async def test_one_of_both(the: The) -> None:
    await rule(the, usernames="optional")
    both = await the.start("anna@example.com", username="anna")
    assert (both.status_code, both.json()["fields"]) == (422, {"username": "value"})
    anna = await the.person()
    body = {"username": "anna", "step_up": {}}
    assert code_of(await the.http.post("/api/v1/signin", json=body, headers=anna.auth)) == "invalid"
    for typed, fault in (("a", "length"), ("x" * 65, "length"), ("anna@example.com", "format"), ("an na", "format")):
        answer = await the.start(username=typed)
        assert (answer.status_code, answer.json()["fields"]) == (422, {"username": fault}), typed
    ghost = await the.start(username="anna", tenant="ghost")
    assert (ghost.status_code, code_of(ghost)) == (403, "signup_closed")


async def test_what_an_admin_gives(the: The) -> None:
    desk = await office(the)
    await rule(the, usernames="optional")
    made = await desk.add("anna@example.com", username="anna")
    assert made["username"] == "anna"
    assert (await desk.add("ben@example.com"))["username"] is None
    path = f"/{made['id']}"
    the.clock.forward(1)
    renamed = (await desk.ask("PATCH", path, {"username": "Support", "profile": {"name": "A"}})).json()
    assert (renamed["username"], renamed["profile"]) == ("Support", {"name": "A"})
    assert renamed["updated_at"] > made["updated_at"]
    assert (await desk.ask("PATCH", path, {"profile": {}})).json()["username"] == "Support"
    assert (await desk.ask("PATCH", path, {"username": None})).json()["username"] is None
    assert (await desk.ask("PATCH", path, {"username": None})).json()["username"] is None
    named = [row for row in await the.rows(audit_event) if row["event"] == "account:username:changed"]
    assert len(named) == 2
    assert all(row["subject_id"] == made["id"] and "nna" not in row["facts"] for row in named)
    assert '"username":"Support","username_before":"anna"' in named[0]["personal"]
    assert await the.mails() == []


async def test_taken(the: The) -> None:
    """By somebody of the same tenant, in any spelling. It is free again when they have left it."""
    desk = await office(the)
    await rule(the, usernames="optional")
    anna = await desk.add("anna@example.com", username="Straße")
    ben = await desk.add("ben@example.com", username="ben")
    before = await the.everything(but=("audit_event", "budget"))
    for typed in ("straße", "STRASSE", "strasse", "ｓｔｒａｓｓｅ"):
        for method, path, body in (("POST", "", {"email": "c@example.com"}), ("PATCH", f"/{ben['id']}", {})):
            answer = await desk.ask(method, path, {**body, "username": typed})
            assert (answer.status_code, code_of(answer)) == (409, "conflict"), (method, typed)
    assert await the.everything(but=("audit_event", "budget")) == before
    assert (await desk.ask("PATCH", f"/{anna['id']}", {"username": "STRASSE"})).json()["username"] == "STRASSE"
    assert (await desk.ask("DELETE", f"/{anna['id']}", by=desk.owner)).status_code == 204
    assert (await desk.ask("PATCH", f"/{ben['id']}", {"username": "strasse"})).json()["username"] == "strasse"


async def test_what_nobody_gets(the: The) -> None:
    desk = await office(the)
    await rule(the, usernames="optional")
    anna = await the.person()
    mine = await me(the, anna)
    for word in ("me", "NULL", "un.defined", "anonymous"):
        assert await refused(desk, {"username": word}) == "reserved"
    for word in (mine["id"], mine["id"].replace("-", ""), mine["id"].upper(), "anna@example.com", "ann\u200ba"):
        assert await refused(desk, {"username": word}) == "format", word
    for word in ("admin", "Root", "no-reply", "p.a.s.s.g.a.t.e"):
        path, body = f"/api/v1/users/{mine['id']}", {"username": word}
        answer = await the.http.patch(path, json=body, headers=anna.auth)
        assert (answer.status_code, answer.json()["fields"]) == (422, {"username": "reserved"}), word
    bodies: tuple[dict[str, Any], ...] = ({"username": ""}, {"username": 1}, {"username": ["a"]}, {"username_key": "a"})
    for wrong in bodies:
        answer = await desk.ask("PATCH", f"/{mine['id']}", wrong)
        assert (answer.status_code, code_of(answer)) == (422, "invalid"), wrong
    assert all(row["username_key"] == "" for row in await the.rows(person))


async def test_chosen_by_oneself(the: The) -> None:
    await rule(the, usernames="optional")
    anna = await the.person()
    mine = await me(the, anna)
    path = f"/api/v1/users/{mine['id']}"
    done = await the.http.patch(path, json={"username": "anna", "profile": {"name": "A"}}, headers=anna.auth)
    assert (done.status_code, done.json()["username"], done.json()["profile"]) == (200, "anna", {"name": "A"})
    for body in ({"username": "eve", "email": "eve@example.com"}, {"username": "eve", "roles": ["user"]}):
        assert code_of(await the.http.patch(path, json=body, headers=anna.auth)) == "permission_missing"
    exported = await the.http.get("/api/v1/me/export", headers=anna.auth)
    assert exported.json()["user"]["username"] == "anna"
    the.clock.forward(600)
    late = await the.http.patch(path, json={"username": None}, headers=anna.auth)
    assert (late.status_code, code_of(late)) == (401, "insufficient_user_authentication")
    profile = await the.http.patch(path, json={"profile": {}}, headers=anna.auth)
    assert (profile.status_code, profile.json()["username"]) == (200, "anna")
    again = await signed_in(the, "anna")
    gone = await the.http.patch(path, json={"username": None}, headers=again.auth)
    assert (gone.status_code, gone.json()["username"]) == (200, None)
    handle = handle_of(await the.start(username="anna"))
    assert code_of(await the.prove(handle, "password", PASSWORD)) == "proof_refused"


async def test_who_may_not(the: The) -> None:
    """Nobody takes a name for others, and `read_only` none for themselves."""
    desk, anna = await office(the), await the.person()
    await rule(the, usernames="optional")
    owner = (await desk.ask("GET", search="owner")).json()["items"][0]
    for body in ({"username": "boss"}, {"username": None}):
        assert code_of(await desk.ask("PATCH", f"/{owner['id']}", body)) == "permission_missing"
        assert code_of(await desk.ask("PATCH", f"/{owner['id']}", body, by=anna.token)) == "permission_missing"
    reader = await desk.folk.create("reader@example.com", "read_only")
    token = (await desk.folk.opened(*reader.key))[1]
    answer = await desk.ask("PATCH", f"/{reader.person_id}", {"username": "reader"}, by=token)
    assert code_of(answer) == "permission_missing"


async def test_a_mailed_code(the: The) -> None:
    """The mail goes to the address, which the answer does not name before the person has proved something."""
    desk, mailed = await office(the), ["email_code"]
    await rule(the, usernames="optional", first=mailed)
    await desk.add("anna@example.com", username="anna", password=PASSWORD)
    handle = handle_of(await the.start(username="anna"))
    assert (await the.challenge(handle, "email_code")).json() == {"challenge": {"sent_to": None}}
    [mail] = await the.mails("anna@example.com")
    assert (await the.prove(handle, "email_code", mail["code"])).json()["enough"] is True
    await rule(the, usernames="optional")
    anna = await the.person("anna2@example.com")
    anna_id = (await the.session(anna.token)).json()["user"]["id"]
    assert (await desk.ask("PATCH", f"/{anna_id}", {"username": "anna2"})).status_code == 200
    await rule(the, usernames="optional", second="always", second_among=mailed)
    handle = handle_of(await the.start(username="anna2"))
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    assert (await the.challenge(handle, "email_code")).json() == {"challenge": {"sent_to": "a…@example.com"}}
    assert (await the.prove(handle, "email_code", await the.code(anna.email))).json()["enough"] is True


async def test_an_unknown_one_has_no_mailbox(the: The) -> None:
    await rule(the, usernames="optional", first=["email_code"])
    handle = handle_of(await the.start(username="nobody"))
    assert (await the.challenge(handle, "email_code")).json() == {"challenge": {"sent_to": None}}
    [row] = await the.rows(outbox)
    assert (row["message_sealed"], row["sent_at"]) == (None, None)
    assert await the.mails() == []
    assert code_of(await the.prove(handle, "email_code", "12345678")) == "proof_refused"


@pytest.mark.parametrize("by_link", [False, True])
async def test_a_code_for_who_had_the_name(the: The, by_link: bool) -> None:
    """Mallory asks for a code by her username, and then it becomes Ben's: neither the code nor the link names him."""
    await rule(the, usernames="optional", first=["email_code"])
    desk = await office(the)
    mallory = await desk.add("mallory@example.com", username="mallory")
    ben = await desk.add("ben@example.com")
    handle = handle_of(await the.start(username="mallory"))
    assert (await the.challenge(handle, "email_code")).status_code == 200
    [mail] = await the.mails("mallory@example.com")
    assert (await desk.ask("PATCH", f"/{mallory['id']}", {"username": None})).status_code == 200
    assert (await desk.ask("PATCH", f"/{ben['id']}", {"username": "mallory"})).status_code == 200
    if by_link:
        opened = await the.http.get(mail["link"])
        assert ben["id"] not in opened.text
        assert "b…@example.com" not in opened.text
        return
    assert code_of(await the.prove(handle, "email_code", mail["code"])) == "proof_refused"


async def test_a_code_in_the_mailbox_of_before(the: The) -> None:
    """Once the address has moved, no code or link that lies in the old mailbox signs anybody in."""
    anna = await the.person()
    await rule(the, usernames="optional", first=["email_code"])
    path = f"/api/v1/users/{(await me(the, anna))['id']}"
    assert (await the.http.patch(path, json={"username": "anna"}, headers=anna.auth)).status_code == 200
    handle = handle_of(await the.start(username="anna"))
    assert (await the.challenge(handle, "email_code")).status_code == 200
    mail = (await the.mails("anna@example.com"))[0]
    body = {"email": "anna@example.org"}
    assert (await the.http.post("/api/v1/me/address", json=body, headers=anna.auth)).status_code == 202
    answer = {"answer": await the.code("anna@example.org")}
    moved = await the.http.post("/api/v1/me/address/prove", json=answer, headers=anna.auth)
    assert moved.status_code == 204, moved.text
    assert code_of(await the.prove(handle, "email_code", mail["code"])) == "proof_refused"
    opened = await the.http.get(mail["link"], follow_redirects=True)
    assert (opened.status_code, Page(opened.text).alert) == (401, "handle_invalid")


async def test_recovery_and_sign_up_know_nothing_of_it(the: The) -> None:
    await rule(the, usernames="optional")
    await (await office(the)).add("anna@example.com", username="anna")
    for path in ("/recover", "/signup"):
        for body in ({"username": "anna"}, {"email": "anna"}, {"email": "new@example.com", "username": "new"}):
            answer = await the.http.post(f"/api/v1{path}", json=body)
            assert (answer.status_code, code_of(answer)) == (422, "invalid"), (path, body)


async def test_found(the: The) -> None:
    """By the beginning of either name; those without one come first, or last."""
    await rule(the, usernames="optional")
    desk = await office(the)
    for email, name in (("a@example.com", "Zoë"), ("zoe@example.com", "anna"), ("b@example.com", None)):
        await desk.add(email, **({"username": name} if name else {}))
    assert await desk.listed(search="ZO") == ["a@example.com", "zoe@example.com"]
    assert await desk.listed(search="zoë") == ["a@example.com"]
    assert await desk.listed(search="ann", sort="-username") == ["zoe@example.com"]
    assert await desk.listed(search="zo", sort="username") == ["zoe@example.com", "a@example.com"]
    assert await desk.listed(search="x") == []
    assert await desk.listed(sort="username") == ["b@example.com", "zoe@example.com", "a@example.com"]
    assert await desk.listed(sort="-username") == ["a@example.com", "zoe@example.com", "b@example.com"]
    for sort in ("username", "-username"):
        page = (await desk.ask("GET", sort=sort, limit=1)).json()
        seen = [one["id"] for one in page["items"]]
        while page["next"] is not None:
            page = (await desk.ask("GET", sort=sort, limit=1, after=page["next"])).json()
            seen += [one["id"] for one in page["items"]]
        assert len(seen) == len(set(seen)) == 5
    assert (await desk.ask("GET", search="zo", page=1)).json()["total"] == 2


async def test_wrong_answers_count_for_the_person(the: The) -> None:
    """Whichever name they were given to; the waits are those of the name that was typed."""
    await rule(the, usernames="optional")
    await (await office(the)).add("anna@example.com", username="anna", password=PASSWORD)
    for name in ({"username": "anna"}, {"email": "anna@example.com"}):
        for _ in range(2):
            handle = handle_of(await the.start(**name))
            for _ in range(5):
                assert code_of(await the.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"
        handle = handle_of(await the.start(**name))
        assert code_of(await the.prove(handle, "password", OTHER_PASSWORD)) == "throttled"
    [refusals] = [row["used"] for row in await the.rows(budget) if row["key"].startswith("n:stranger:password:")]
    assert refusals == 20
