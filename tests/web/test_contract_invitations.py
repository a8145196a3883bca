"""Invitations over HTTP: made by whoever may invite, listed, cancelled, and accepted once, by a sign-up whose address
the link proves, or by a sign-in of whoever has the address already.

Not here: their pages (`test_pages_invitations`), and what happens at the same moment (`tests/races`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update

from passgate.core import account, credentials, once, sealed, users
from passgate.core.budgets import INVITATIONS_AN_HOUR, INVITATIONS_OF_ADDRESS
from passgate.core.ctx import Person as Actor
from passgate.core.invitation_link import LIFE
from passgate.core.users import User
from passgate.store.tables import audit_event, budget, person, role_grant, ticket
from passgate.store.tables import tenant as tenant_table
from passgate.world import SECOND
from tests import operating
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of, token_of

INVITATIONS = "/api/v1/invitations"
EMAIL = "ben@example.com"
FIELDS = {"id", "email", "roles", "inviter", "created_at", "expires_at"}


@dataclass
class Office:
    """An owner and an admin, each with a fresh session."""

    the: The
    folk: Folk
    owner: Actor
    admin: Actor

    async def token(self, who: Actor) -> str:
        return (await self.folk.opened(*who.key))[1]

    async def ask(self, method: str, path: str = "", body: Any = None, *, by: Actor | None = None, **query: Any) -> Any:
        headers, more = bearer(await self.token(by or self.admin)), {} if body is None else {"json": body}
        return await self.the.http.request(method, f"{INVITATIONS}{path}", params=query, headers=headers, **more)

    async def invite(self, email: str = EMAIL, *roles: str, by: Actor | None = None) -> dict[str, Any]:
        body = {"email": email, **({"roles": [*roles]} if roles else {})}
        made = await self.ask("POST", body=body, by=by)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found

    async def link(self, email: str = EMAIL) -> str:
        """The token of the newest link mailed to an address."""
        mails = [mail for mail in await self.the.mails(email) if mail["kind"] == "invitation"]
        return str(mails[0]["link"]).rpartition("/")[2]

    async def invited(self, email: str = EMAIL, *roles: str, by: Actor | None = None) -> str:
        await self.invite(email, *roles, by=by)
        return await self.link(email)

    async def listed(self, **query: Any) -> list[str]:
        return [one["email"] for one in (await self.ask("GET", **query)).json()["items"]]

    async def roles(self, email: str = EMAIL) -> list[str]:
        mine = [row["id"] for row in await self.the.rows(person) if row["email"] == email]
        return sorted(row["role"] for row in await self.the.rows(role_grant) if row["person_id"] in mine)


async def office(the: The) -> Office:
    folk = Folk(the)
    return Office(the, folk, *[await folk.create(f"{role}@office.example", role) for role in ("owner", "admin")])


async def accept(the: The, token: str) -> Any:
    return await the.http.post(f"{INVITATIONS}/accept", json={"token": token})


async def is_void(the: The, token: str) -> bool:
    answer = await accept(the, token)
    if answer.status_code == 201:
        return False
    assert (answer.status_code, code_of(answer)) == (403, "invitation_invalid")
    return True


async def joined(the: The, token: str) -> str:
    """Accept, choose a password, and finish: the token of the session."""
    begun = await accept(the, token)
    handle = handle_of(begun)
    assert begun.json()["enrol"] is True
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    return token_of(await the.finish(handle))


# -- making ----------------------------------------------------------------------------------------


async def test_what_is_made_and_mailed(the: The) -> None:
    desk = await office(the)
    made = await desk.invite("Ben@Example.com", "user", "read_only")
    assert made.keys() == FIELDS
    assert (made["email"], made["roles"]) == ("Ben@example.com", ["read_only", "user"])
    assert made["inviter"] == {"id": desk.admin.person_id, "email": "admin@office.example"}
    [mail] = await the.mails("ben@example.com")
    assert (mail["kind"], mail["code"]) == ("invitation", None)
    assert mail["link"].startswith(f"{the.gate.settings.url}/invitation/pg_inv_")
    assert "admin@office.example" in mail["text"]
    assert "127.0.0.1" not in mail["text"]
    assert mail["link"] not in json.dumps(made)
    [row] = [row for row in await the.rows(ticket) if row["kind"] == "invitation"]
    assert b"example" not in row["data_sealed"]
    [event] = [row for row in await the.rows(audit_event) if row["event"] == "invitation:created"]
    assert "example.com" not in event["facts"] + event["personal"].replace("office.example", "")
    assert json.loads(event["facts"])["roles"] == ["read_only", "user"]


async def test_default_role(the: The) -> None:
    desk = await office(the)
    assert (await desk.invite())["roles"] == ["user"]


async def test_who_may(lite: The) -> None:
    desk = await office(lite)
    plain = await desk.folk.create("plain@office.example")
    for method, path, body in (
        ("GET", "", None),
        ("POST", "", {"email": EMAIL}),
        ("DELETE", "/00000000-0000-7000-8000-000000000000", None),
    ):
        refused = await desk.ask(method, path, body, by=plain)
        assert (refused.status_code, code_of(refused)) == (403, "permission_missing")
    refused = await desk.ask("POST", body={"email": EMAIL, "roles": ["user", "owner"]})
    assert (refused.status_code, code_of(refused)) == (403, "permission_missing")
    for roles, word in ((["emperor"], "value"), (["user", "Admin"], "value"), ([], "value"), (["user"] * 21, "length")):
        refused = await desk.ask("POST", body={"email": EMAIL, "roles": roles})
        assert (refused.status_code, refused.json()["fields"]) == (422, {"roles": word})
    refused = await desk.ask("POST", body={"email": "Admin@OFFICE.example"})
    assert (refused.status_code, refused.json()["fields"]) == (422, {"email": "value"})
    assert (await desk.ask("POST", body={"email": "ben@"})).status_code == 422
    assert [row for row in await lite.rows(ticket) if row["kind"] == "invitation"] == []
    lite.clock.forward(hours=1)
    assert (await desk.ask("DELETE", "/00000000-0000-7000-8000-000000000000")).status_code == 404


async def test_a_known_address_is_answered_alike(the: The) -> None:
    """To the inviter: the same answer, events and rows, whoever has the address or has lost it."""
    desk = await office(the)
    await desk.folk.create("known@example.com")
    gone = await desk.folk.create("gone@example.com")
    await users.disable(desk.folk.acting(await desk.folk.strong(desk.owner)), User(*gone.key))
    await desk.invite("first@example.com")
    seen = []
    for email in ("unknown@example.com", "known@example.com", "gone@example.com"):
        before = await the.everything()
        made = await desk.invite(email)
        after = await the.everything()
        rows = {name: len(after[name]) - len(before[name]) for name in after}
        seen.append(
            ({key: made[key] for key in ("roles", "inviter")}, rows, [m["kind"] for m in await the.mails(email)])
        )
    assert seen[0] == seen[1] == seen[2]


async def test_limits(lite: The) -> None:
    desk = await office(lite)
    for _ in range(INVITATIONS_OF_ADDRESS):
        await desk.invite()
    refused = await desk.ask("POST", body={"email": EMAIL}, by=desk.owner)
    assert (refused.status_code, code_of(refused)) == (429, "throttled")
    for number in range(INVITATIONS_AN_HOUR - INVITATIONS_OF_ADDRESS):
        await desk.invite(f"p{number}@example.com")
    assert (await desk.ask("POST", body={"email": "one@example.com"})).status_code == 429
    assert (await desk.ask("POST", body={"email": "one@example.com"}, by=desk.owner)).status_code == 201
    lite.clock.forward(hours=1, seconds=1)
    await desk.invite()


# -- listing and cancelling ------------------------------------------------------------------------


async def test_the_list(the: The) -> None:
    desk = await office(the)
    made = []
    for number in range(5):
        the.clock.forward(1)
        made.append(await desk.invite(f"p{number}@example.com"))
    assert await desk.listed() == [f"p{number}@example.com" for number in (4, 3, 2, 1, 0)]
    seen, page = list[dict[str, Any]](), (await desk.ask("GET", limit=2)).json()
    while True:
        seen += page["items"]
        if page["next"] is None:
            break
        page = (await desk.ask("GET", limit=2, after=page["next"])).json()
    assert seen == made[::-1]
    the.clock.forward(1)
    await desk.invite("p0@example.com")
    assert await desk.listed() == [f"p{number}@example.com" for number in (0, 4, 3, 2, 1)]
    assert (await desk.ask("DELETE", f"/{made[2]['id']}")).status_code == 204
    await joined(the, await desk.link("p3@example.com"))
    assert await desk.listed() == [f"p{number}@example.com" for number in (0, 4, 1)]
    the.clock.forward(seconds=LIFE)
    assert await desk.listed() == []
    assert (await desk.ask("GET", after="x")).status_code == 422


async def test_cancelled_once(the: The) -> None:
    desk = await office(the)
    made = await desk.invite()
    token = await desk.link()
    assert (await desk.ask("DELETE", f"/{made['id']}")).status_code == 204
    assert (await desk.ask("DELETE", f"/{made['id']}")).status_code == 404
    assert await is_void(the, token)
    assert (await the.events()).count("invitation:cancelled") == 1
    [row] = [row for row in await the.rows(ticket) if row["kind"] == "invitation"]
    assert row["data_sealed"] is None


# -- accepting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("signup", ["open", "invite", "closed"])
async def test_somebody_new(lite: The, signup: str) -> None:
    desk = await office(lite)
    await policy(lite, signup=signup)
    token = await desk.invited(EMAIL, "admin")
    begun = await accept(lite, token)
    assert begun.status_code == 201, begun.text
    assert begun.json().keys() == {"handle", "need", "enrol", "expires_at"}
    assert (begun.json()["need"], begun.json()["enrol"]) == ([["password"], ["passkey"]], True)
    assert await desk.roles() == []
    handle = handle_of(begun)
    assert (await lite.finish(handle)).status_code == 409
    refused = await lite.prove(handle, "password", "short")
    assert code_of(refused) == "password_refused"
    assert await desk.roles() == []
    proved = await lite.prove(handle, "password", PASSWORD)
    assert (proved.status_code, proved.json()["enough"]) == (200, True)
    assert await desk.roles() == ["admin"]
    session = (await lite.session(token_of(await lite.finish(handle)))).json()
    assert (session["user"]["email"], session["user"]["email_verified"]) == (EMAIL, True)
    assert [mail["kind"] for mail in await lite.mails(EMAIL)] == ["invitation"]
    assert await is_void(lite, token)
    events = await lite.events()
    wanted = ["invitation:created", "account:created", "invitation:accepted", "role:given", "account:password:set"]
    assert [event for event in events if event in wanted][-5:] == wanted
    [row] = [row for row in await lite.rows(ticket) if row["kind"] == "invitation"]
    assert (row["taken_at"] is not None, row["data_sealed"]) == (True, None)


async def test_with_a_passkey(lite: The) -> None:
    desk = await office(lite)
    token, key = await desk.invited(), Authenticator()
    handle = handle_of(await accept(lite, token))
    offered = (await lite.challenge(handle, "passkey")).json()["challenge"]
    answer = key.create(offered, lite.gate.settings.url)
    headers = bearer(handle)
    body = {"factor": "passkey", "answer": answer}
    assert (await lite.http.post("/api/v1/signin/prove", json=body, headers=headers)).status_code == 200
    assert (await lite.session(token_of(await lite.finish(handle)))).status_code == 200
    again = handle_of(await lite.start(EMAIL))
    options = (await lite.challenge(again, "passkey")).json()["challenge"]
    body = {"factor": "passkey", "answer": key.get(options, lite.gate.settings.url)}
    assert (await lite.http.post("/api/v1/signin/prove", json=body, headers=bearer(again))).status_code == 200


async def test_where_the_address_is_all_it_takes(lite: The) -> None:
    """A tenant with mailed codes alone: the link proves what such a code would, and finishing creates the person."""
    desk = await office(lite)
    async with desk.folk.ctx.write() as db:
        await db.change(update(tenant_table).values(policy=json.dumps({"first": ["email_code"]})))
    token = await desk.invited()
    begun, second = await accept(lite, token), await accept(lite, token)
    assert (begun.json()["need"], begun.json()["enrol"]) == ([], False)
    assert await desk.roles() == []
    assert (await lite.session(token_of(await lite.finish(handle_of(begun))))).status_code == 200
    assert await desk.roles() == ["user"]
    late = await lite.finish(handle_of(second))
    assert (late.status_code, code_of(late)) == (401, "handle_invalid")


async def test_a_required_second_factor_comes_after(lite: The) -> None:
    desk = await office(lite)
    token = await desk.invited()
    async with desk.folk.ctx.write() as db:
        rules = {"second": "always", "second_among": ["totp"]}
        await db.change(update(tenant_table).values(policy=json.dumps(rules)))
    handle = handle_of(await accept(lite, token))
    proved = await lite.prove(handle, "password", PASSWORD)
    assert (proved.json()["need"], proved.json()["enrol"]) == ([["totp"]], True)
    assert (await lite.finish(handle)).status_code == 409
    assert (await lite.challenge(handle, "totp")).status_code == 200


async def test_one_that_was_not_finished_opens_again(the: The) -> None:
    desk = await office(the)
    token = await desk.invited()
    first, second = handle_of(await accept(the, token)), handle_of(await accept(the, token))
    assert (await the.prove(second, "password", PASSWORD)).status_code == 200
    late = await the.prove(first, "password", OTHER_PASSWORD)
    assert (late.status_code, code_of(late)) == (401, "handle_invalid")
    assert await desk.roles() == ["user"]
    assert await is_void(the, token)


async def test_somebody_known_signs_in(the: The) -> None:
    desk = await office(the)
    await desk.folk.create(EMAIL)
    token = await desk.invited(EMAIL, "admin")
    begun = await accept(the, token)
    assert (begun.status_code, begun.json()["enrol"]) == (201, False)
    handle = handle_of(begun)
    assert code_of(await the.finish(handle)) == "proof_missing"
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).status_code == 403
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    assert await desk.roles() == ["user"]
    assert not await is_void(the, token)
    assert (await the.session(token_of(await the.finish(handle)))).json()["user"]["roles"] == ["admin", "user"]
    assert await is_void(the, token)
    assert len([row for row in await the.rows(person) if row["email"] == EMAIL]) == 1


async def test_nobody_else_finishes_it(lite: The) -> None:
    """The sign-in is of the person with the address: another one's passkey does not count."""
    desk = await office(lite)
    await desk.folk.create(EMAIL)
    other, key = await desk.folk.create("other@example.com"), Authenticator()
    await desk.folk.add_passkey(other, key)
    handle = handle_of(await accept(lite, await desk.invited(EMAIL, "admin")))
    options = (await lite.challenge(handle, "passkey")).json()["challenge"]
    answer = key.get({**options, "allowCredentials": []}, lite.gate.settings.url)
    body = {"factor": "passkey", "answer": answer}
    refused = await lite.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))
    assert (refused.status_code, code_of(refused)) == (403, "proof_refused")
    assert await desk.roles("other@example.com") == ["user"]


async def test_who_signed_up_meanwhile_still_gets_the_roles(lite: The) -> None:
    desk = await office(lite)
    token = await desk.invited(EMAIL, "admin")
    begun = handle_of(await accept(lite, token))
    await lite.person(EMAIL)
    late = await lite.prove(begun, "password", PASSWORD)
    assert (late.status_code, code_of(late)) == (401, "handle_invalid")
    assert await desk.roles() == ["user"]
    handle = handle_of(await accept(lite, token))
    assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200
    token_of(await lite.finish(handle))
    assert await desk.roles() == ["admin", "user"]


async def test_the_newest_counts(the: The) -> None:
    desk = await office(the)
    first = await desk.invited(EMAIL, "admin", by=desk.owner)
    the.clock.forward(1)
    second = await desk.invited("BEN@example.com", "read_only")
    assert await is_void(the, first)
    await joined(the, second)
    assert await desk.roles("BEN@example.com") == ["read_only"]


async def test_a_week(lite: The) -> None:
    desk = await office(lite)
    token = await desk.invited()
    lite.clock.forward(seconds=LIFE - 1)
    assert not await is_void(lite, token)
    lite.clock.forward(seconds=1)
    assert await is_void(lite, token)


async def test_what_is_no_invitation(the: The) -> None:
    desk = await office(the)
    token = await desk.invited()
    foreign = the.gate.services.ring.mint("pg_inv_").token
    for wrong in (token[:-1], token + "x", token.replace("pg_inv_", "pg_lnk_"), foreign, "x"):
        assert await is_void(the, wrong)
    for body in ({}, {"token": ""}, {"token": 1}, {"token": token, "roles": ["owner"]}, {"token": "x" * 201}):
        assert (await the.http.post(f"{INVITATIONS}/accept", json=body)).status_code == 422
    assert not await is_void(the, token)


async def test_an_origins_starts(lite: The) -> None:
    desk = await office(lite)
    token = await desk.invited()
    async with desk.folk.ctx.write() as db:
        far = lite.clock.now + 10**9
        await db.add(budget, key="o:starts:127.0.0.1", used=2**31 - 1, until_at=far, expires_at=far)
    refused = await accept(lite, token)
    assert (refused.status_code, code_of(refused)) == (429, "throttled")


# -- powers, when it is accepted -------------------------------------------------------------------

Change = Callable[[Office], Awaitable[object]]


async def _demoted(desk: Office) -> None:
    await operating.take_role(desk.folk.ctx, "second@office.example", "admin", "main")


async def _disabled(desk: Office) -> None:
    await operating.disable_person(desk.folk.ctx, "second@office.example", "main")


async def _erased(desk: Office) -> None:
    second = next(row for row in await desk.the.rows(person) if row["email"] == "second@office.example")
    who = await desk.folk.session(second["tenant_id"], second["id"])
    await account.delete(desk.folk.acting(who))


async def _tenant_disabled(desk: Office) -> None:
    async with desk.folk.ctx.write() as db:
        await db.change(update(tenant_table).values(disabled_at=1))


@pytest.mark.parametrize("change", [_demoted, _disabled, _erased, _tenant_disabled])
@pytest.mark.parametrize("when", ["before", "begun", "known"])
async def test_powers_are_checked_again(lite: The, change: Change, when: str) -> None:
    desk = await office(lite)
    second = await desk.folk.create("second@office.example", "admin")
    if when == "known":
        await desk.folk.create(EMAIL)
    token = await desk.invited(by=second)
    if when == "before":
        await change(desk)
        assert await is_void(lite, token)
        return
    handle = handle_of(await accept(lite, token))
    if when == "known":
        assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200
    await change(desk)
    refused = await (lite.finish(handle) if when == "known" else lite.prove(handle, "password", PASSWORD))
    assert code_of(refused) in ("invitation_invalid", "handle_invalid")
    assert await desk.roles() == (["user"] if when == "known" else [])
    assert await is_void(lite, token)


async def test_a_void_invitation_ends_its_sign_in(lite: The) -> None:
    """Its browser is not stuck with it."""
    desk = await office(lite)
    second = await desk.folk.create("second@office.example", "admin")
    await desk.folk.create(EMAIL)
    handle = handle_of(await accept(lite, await desk.invited(by=second)))
    assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200
    await _demoted(desk)
    assert code_of(await lite.finish(handle)) == "invitation_invalid"
    assert code_of(await lite.finish(handle)) == "handle_invalid"


async def test_only_the_roles_that_the_inviter_may_give_then(lite: The) -> None:
    desk = await office(lite)
    other = await desk.folk.create("second@office.example", "owner")
    some, none = (
        await desk.invited(EMAIL, "owner", "user", by=other),
        await desk.invited("c@example.com", "owner", by=other),
    )
    await operating.give_role(desk.folk.ctx, "second@office.example", "admin", "main")
    await operating.take_role(desk.folk.ctx, "second@office.example", "owner", "main")
    assert await is_void(lite, none)
    await joined(lite, some)
    assert await desk.roles() == ["user"]
    assert await desk.roles("c@example.com") == []


async def test_nobody_changes_those_above_or_themselves(lite: The) -> None:
    """An invitation is no way around who may give roles to whom."""
    desk = await office(lite)
    assert await is_void(lite, await desk.invited("owner@office.example", "admin"))
    second = await desk.folk.create("second@office.example", "admin")
    token = await desk.invited("later@office.example", "read_only", by=second)
    async with desk.folk.ctx.write() as db:
        later = {"email": "later@office.example", "email_key": "later@office.example"}
        await db.change(update(person).where(person.c.id == second.person_id).values(**later))
    assert await is_void(lite, token)


@pytest.mark.parametrize("is_moved", [True, False])
async def test_an_account_that_somebody_prepared(lite: The, is_moved: bool) -> None:
    """An admin moves an account of theirs to an invited address, from where they could take it back with its roles, or
    creates one there and knows its password. The invitation opens the second all the same: it proves the address, and
    whoever has its link takes the account, with nothing left to whoever prepared it. The first has an owner, who has
    proved an address before: neither a role nor their account is given to another mailbox."""
    desk = await office(lite)
    headers, token = bearer(await desk.token(desk.admin)), await desk.invited(EMAIL, "owner", by=desk.owner)
    own = await desk.folk.create("own@evil.example")
    await desk.folk.add_passkey(own, Authenticator())
    if is_moved:
        prepared = await lite.http.patch(f"/api/v1/users/{own.person_id}", json={"email": EMAIL}, headers=headers)
    else:
        body = {"email": EMAIL, "password": PASSWORD, "roles": ["user"]}
        prepared = await lite.http.post("/api/v1/users", json=body, headers=headers)
    assert prepared.is_success, prepared.text
    if is_moved:
        assert await is_void(lite, token)
        return
    handle = handle_of(await accept(lite, token))
    assert (await lite.prove(handle, "password", OTHER_PASSWORD)).json()["enough"] is True
    user = (await lite.session(token_of(await lite.finish(handle)))).json()["user"]
    assert (user["id"], user["email_verified"]) == (prepared.json()["id"], True)
    assert "owner" in user["roles"]
    async with desk.folk.ctx.read() as db:
        assert await credentials.kinds(db, own.tenant_id, user["id"]) == {"password"}
        assert await once.all_live(desk.folk.ctx, db, own.tenant_id, "undo", user["id"]) == []
    again = handle_of(await lite.start(EMAIL))
    assert code_of(await lite.prove(again, "password", PASSWORD)) == "proof_refused"


async def test_an_account_that_another_address_can_take_back(lite: The) -> None:
    """As somebody has moved it to this address themselves, and has proved it."""
    desk = await office(lite)
    own = await desk.folk.create("own@evil.example")
    _, token = await desk.folk.opened(*own.key)
    await lite.http.post("/api/v1/me/address", json={"email": EMAIL}, headers=bearer(token))
    body = {"answer": await lite.code(EMAIL)}
    assert (await lite.http.post("/api/v1/me/address/prove", json=body, headers=bearer(token))).status_code == 204
    assert await is_void(lite, await desk.invited(EMAIL, "owner", by=desk.owner)), "it can still be taken back"
    lite.clock.now += 8 * 24 * 3600 * SECOND
    assert not await is_void(lite, await desk.invited(EMAIL, "admin", by=desk.owner))


async def test_a_challenge_to_it_lists_no_passkeys(lite: The) -> None:
    """Whoever has the link has proved nothing."""
    desk = await office(lite)
    whom = await desk.folk.create(EMAIL)
    await desk.folk.add_passkey(whom, Authenticator())
    handle = handle_of(await accept(lite, await desk.invited(EMAIL, "admin")))
    assert (await lite.challenge(handle, "passkey")).json()["challenge"].get("allowCredentials", []) == []


async def test_an_account_that_is_disabled_or_closed(lite: The) -> None:
    desk = await office(lite)
    one, two = await desk.folk.create(EMAIL), await desk.folk.create("c@example.com")
    tokens = [await desk.invited(EMAIL), await desk.invited("c@example.com")]
    await operating.disable_person(desk.folk.ctx, EMAIL, "main")
    async with desk.folk.ctx.write() as db:
        closed = {"disabled_at": 1, "disabled_by": "owner", "erase_at": lite.clock.now + 10**12}
        await db.change(update(person).where(person.c.id == two.person_id).values(**closed))
    assert one.person_id != two.person_id
    for token in tokens:
        assert await is_void(lite, token)


async def test_what_ends_sessions_does_not_end_invitations(lite: The) -> None:
    """An admin who changes their password, or signs in by a mailed code, has invited nobody in vain."""
    desk = await office(lite)
    token = await desk.invited()
    await desk.folk.new_password(await desk.folk.strong(desk.admin), OTHER_PASSWORD)
    await operating.user(desk.folk.ctx, "admin@office.example")
    await users.sign_out(desk.folk.acting(await desk.folk.strong(desk.owner)), User(*desk.admin.key))
    assert not await is_void(lite, token)


# -- erasing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["inviter", "invited"])
async def test_it_is_erased_with_whoever_typed_or_has_the_address(lite: The, who: str) -> None:
    desk = await office(lite)
    second, ben = await desk.folk.create("second@office.example", "admin"), await desk.folk.create(EMAIL)
    token = await desk.invited(EMAIL, by=second)
    other = await desk.invited("c@example.com")
    await account.delete(desk.folk.acting(second if who == "inviter" else ben))
    left = [row for row in await lite.rows(ticket) if row["kind"] == "invitation"]
    assert [row["person_id"] for row in left] == [desk.admin.person_id]
    assert await is_void(lite, token)
    assert not await is_void(lite, other)


async def test_after_a_new_key(the: The) -> None:
    """It still opens, still replaces the older one, and is listed."""
    desk = await office(the)
    old = await desk.invited()
    await operating.rotate_keys(desk.folk.ctx)
    the.clock.forward(1)
    new = await desk.invited("c@example.com")
    await sealed.rewrap(the.gate.services)
    assert sorted(await desk.listed()) == [EMAIL, "c@example.com"]
    await joined(the, old)
    assert not await is_void(the, new)
    await desk.invite("c@example.com")
    assert await is_void(the, new)
