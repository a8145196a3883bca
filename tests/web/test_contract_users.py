"""A tenant's people over HTTP, for those who may: found in pages, created, changed, disabled, signed out, deleted.

Not here: who may do what to whom in every combination (`tests/core/test_users`, `tests/architecture/test_roles`).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from passgate.core import ledger
from passgate.store.tables import audit_event, person, role_grant, session
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of

USERS = "/api/v1/users"
NOBODY = "00000000-0000-7000-8000-000000000000"
FIELDS = {
    "id", "email", "username", "email_verified", "profile", "roles", "created_at", "updated_at", "disabled",
    "last_used_at",
}  # fmt: skip


@dataclass
class Office:
    """An owner and an admin, each with a fresh session."""

    the: The
    folk: Folk
    owner: str
    admin: str

    async def ask(self, method: str, path: str = "", body: Any = None, *, by: str = "", **query: Any) -> Any:
        more = {} if body is None else {"json": body}
        return await self.the.http.request(
            method, f"{USERS}{path}", params=query, headers=bearer(by or self.admin), **more
        )

    async def add(self, email: str, **more: Any) -> dict[str, Any]:
        self.the.clock.forward(1)
        made = await self.ask("POST", body={"email": email, **more})
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found

    async def listed(self, **query: Any) -> list[str]:
        """The addresses of a page, without those of the office."""
        answer = await self.ask("GET", **query)
        assert answer.status_code == 200, answer.text
        return [one["email"] for one in answer.json()["items"] if not one["email"].endswith("@office.example")]


async def office(the: The) -> Office:
    folk = Folk(the)
    tokens = []
    for role in ("owner", "admin"):
        who = await folk.create(f"{role}@office.example", role)
        tokens.append((await folk.opened(*who.key))[1])
    return Office(the, folk, *tokens)


# -- finding ---------------------------------------------------------------------------------------


async def test_a_page_after_the_other(the: The) -> None:
    desk = await office(the)
    emails = [f"p{number}@example.com" for number in range(5)]
    for email in emails:
        await desk.add(email)
    for sort, wanted in (
        ("created_at", emails),
        ("-created_at", emails[::-1]),
        ("email", emails),
        ("-email", emails[::-1]),
    ):
        seen: list[str] = []
        answer = await desk.ask("GET", sort=sort, limit=2)
        while True:
            assert answer.status_code == 200
            seen += [one["email"] for one in answer.json()["items"]]
            if answer.json()["next"] is None:
                break
            answer = await desk.ask("GET", sort=sort, limit=2, after=answer.json()["next"])
        assert len(seen) == len(set(seen)) == 7
        assert [email for email in seen if email in emails] == wanted


async def test_a_page_with_a_number(the: The) -> None:
    desk = await office(the)
    for number in range(39):
        await desk.folk.create(f"p{number:02}@example.com", hashed=None)
    third = (await desk.ask("GET", page=3, size=20)).json()
    assert (third["total"], len(third["items"]), third["next"]) == (41, 1, None)
    behind = (await desk.ask("GET", page=9, size=20)).json()
    assert behind == {"items": [], "next": None, "total": 41}
    assert "total" not in (await desk.ask("GET")).json()
    assert (await desk.ask("GET", page=100, size=100)).status_code == 200
    for query, field in (
        ({"page": 101, "size": 100}, "page"),
        ({"page": 0}, "page"),
        ({"page": 1, "size": 101}, "size"),
        ({"page": 1, "size": 0}, "size"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"sort": "password"}, "sort"),
        ({"role_at_most": "emperor"}, "role_at_most"),
        ({"created_since": "yesterday"}, "created_since"),
        ({"created_since": "2026-01-01T00:00:00"}, "created_since"),
        ({"disabled": "perhaps"}, "disabled"),
        ({"search": "x" * 321}, "search"),
    ):
        refused = await desk.ask("GET", **query)
        assert (refused.status_code, [*refused.json()["fields"]]) == (422, [field])
    cursor = (await desk.ask("GET", limit=1)).json()["next"]
    assert (await desk.ask("GET", page=1, after=cursor)).status_code == 422


async def test_cursors_that_are_none(the: The) -> None:
    desk = await office(the)
    good = (await desk.ask("GET", limit=1)).json()["next"]
    sort, value, last = json.loads(base64.urlsafe_b64decode(good + "=="))
    texts: tuple[Any, ...] = (
        [sort, str(value), last], [sort, value], ["email", value, last], [sort, -1, last], [sort, 2**63, last],
        [sort, True, last], [sort, None, last], [sort, value, "\0"], [sort, value, 1], {}, 1, None,
    )  # fmt: skip
    for text in texts:
        cursor = base64.urlsafe_b64encode(json.dumps(text).encode()).decode().rstrip("=")
        refused = await desk.ask("GET", after=cursor)
        assert (refused.status_code, refused.json()["fields"]) == (422, {"after": "value"}), text
    for cursor in ("x", "====", "é", "AAAA", good + "x", "a" * 799):
        assert (await desk.ask("GET", after=cursor)).status_code == 422
    assert (await desk.ask("GET", after=good, sort="email")).status_code == 422
    odd = base64.urlsafe_b64encode(json.dumps(["email", "a\0", last]).encode()).decode().rstrip("=")
    assert (await desk.ask("GET", after=odd, sort="email")).status_code == 422


async def test_who_is_found(the: The) -> None:
    desk = await office(the)
    anna, ben = await desk.add("Anna@example.com"), await desk.add("ben@example.com", roles=["user", "admin"])
    carl = await desk.add("anton_x@example.com", roles=["read_only"])
    assert await desk.listed(search=" AN") == ["Anna@example.com", "anton_x@example.com"]
    assert await desk.listed(search="anton_") == ["anton_x@example.com"]
    assert await desk.listed(search="ant%") == []
    assert await desk.listed(search="") == ["Anna@example.com", "ben@example.com", "anton_x@example.com"]
    assert await desk.listed(role_at_most="user") == ["Anna@example.com"]
    assert await desk.listed(role_at_most="read_only") == ["anton_x@example.com"]
    assert len((await desk.ask("GET", role_at_most="owner")).json()["items"]) == 5
    assert (await desk.ask("POST", f"/{anna['id']}/disable")).status_code == 200
    assert await desk.listed(disabled=True) == ["Anna@example.com"]
    assert await desk.listed(disabled=False) == ["ben@example.com", "anton_x@example.com"]
    assert await desk.listed(created_since=ben["created_at"], created_until=carl["created_at"]) == ["ben@example.com"]
    the.clock.forward(1)
    renamed = await desk.ask("PATCH", f"/{carl['id']}", {"profile": {"name": "Carl"}})
    assert renamed.json()["updated_at"] > carl["updated_at"] == carl["created_at"]
    assert await desk.listed(updated_since=renamed.json()["updated_at"]) == ["anton_x@example.com"]


@pytest.mark.parametrize(
    "typed", ["Über@bücher.example", "über@BÜCHER.example", "über@xn--bcher-kva.example", "über@", "ü"]
)
async def test_an_international_address_is_found(lite: The, typed: str) -> None:
    """However its domain is typed, once it is whole."""
    desk = await office(lite)
    added = await desk.add("Über@bücher.example")
    assert [one["id"] for one in (await desk.ask("GET", search=typed)).json()["items"]] == [added["id"]]


async def test_who_was_used_when(the: The) -> None:
    desk = await office(the)
    anna = await the.person()
    later = (await desk.ask("GET", search="anna")).json()["items"][0]
    assert later.keys() == FIELDS
    assert later["last_used_at"] is not None
    ben = await desk.add("ben@example.com")
    assert ben["last_used_at"] is None
    the.clock.forward(120)
    assert (await the.http.get("/api/v1/me", headers=anna.auth)).status_code == 200
    used = (await desk.ask("GET", search="anna")).json()["items"][0]["last_used_at"]
    assert used > later["last_used_at"]
    assert await desk.listed(last_used_since=used) == ["anna@example.com"]
    assert await desk.listed(last_used_until=later["created_at"]) == ["ben@example.com"]
    assert await desk.listed(sort="-last_used_at", limit=2) == ["anna@example.com"]


async def test_an_instant_in_any_zone(the: The) -> None:
    desk = await office(the)
    made = datetime.fromtimestamp(the.clock.now / SECOND, UTC)
    assert len((await desk.ask("GET", created_since="2000-01-01T00:00:00+02:00")).json()["items"]) == 2
    assert (await desk.ask("GET", created_until="2000-01-01T00:00:00Z")).json()["items"] == []
    assert made.year == 2027


async def test_one(the: The) -> None:
    desk = await office(the)
    made = await desk.add("anna@example.com", profile={"name": "Anna"})
    assert (await desk.ask("GET", f"/{made['id']}")).json() == made
    assert made.keys() == FIELDS
    bert = await the.person("bert@example.com")
    mine = (await the.http.get("/api/v1/me", headers=bert.auth)).json()["user"]
    own = await desk.ask("GET", f"/{mine['id']}", by=bert.token)
    assert own.status_code == 200
    assert {name: value for name, value in own.json().items() if name in mine} == mine
    for path in (f"/{made['id']}", f"/{NOBODY}"):
        refused = await desk.ask("GET", path, by=bert.token)
        assert (refused.status_code, code_of(refused)) == (403, "permission_missing")
    assert (await desk.ask("GET", f"/{NOBODY}")).status_code == 404
    assert code_of(await the.http.get(USERS)) == "credential_missing"


# -- changing --------------------------------------------------------------------------------------


async def test_a_person_by_an_admin(the: The) -> None:
    desk = await office(the)
    made = await desk.add("anna@example.com", password=PASSWORD)
    assert (made["email_verified"], made["roles"], made["disabled"]) == (False, ["user"], False)
    assert await the.mails() == []
    handle = handle_of(await the.start("anna@example.com"))
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    assert (await the.finish(handle)).status_code == 201
    before = await the.everything(but=("audit_event", "budget"))
    for body, code in (
        ({"email": "ANNA@example.com"}, "conflict"),
        ({"email": "x"}, "invalid"),
        ({"email": "cara@example.com", "password": "short"}, "password_refused"),
        ({"email": "cara@example.com", "roles": ["emperor"]}, "invalid"),
        ({"email": "cara@example.com", "roles": ["owner"]}, "permission_missing"),
        ({"email": "cara@example.com", "email_verified": True}, "invalid"),
        ({"email": "cara@example.com", "tenant_id": NOBODY}, "invalid"),
        ({"email": "cara@example.com", "id": NOBODY}, "invalid"),
    ):
        assert code_of(await desk.ask("POST", body=body)) == code, body
    assert await the.everything(but=("audit_event", "budget")) == before
    assert (
        await desk.ask("POST", body={"email": "cara@example.com", "roles": ["owner"]}, by=desk.owner)
    ).status_code == 201


async def test_the_address_is_proved_by_its_mail(the: The) -> None:
    """Whoever has no password yet sets one by a recovery."""
    desk = await office(the)
    made = await desk.add("anna@example.com")
    handle = handle_of(await the.recover("anna@example.com"))
    assert (await the.prove(handle, "email_code", await the.code("anna@example.com"))).status_code == 200
    assert (await desk.ask("GET", f"/{made['id']}")).json()["email_verified"] is True
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    assert (await the.finish(handle)).status_code == 201


async def test_what_an_admin_changes(the: The) -> None:
    desk, anna = await office(the), await the.person()
    mine = (await the.http.get("/api/v1/me", headers=anna.auth)).json()["user"]
    path = f"/{mine['id']}"
    changed = await desk.ask("PATCH", path, {"profile": {"name": "A"}, "email": "anna@example.org"})
    assert changed.status_code == 200
    assert (changed.json()["email"], changed.json()["email_verified"]) == ("anna@example.org", False)
    assert changed.json()["profile"] == {"name": "A"}
    assert (await the.session(anna.token)).status_code == 200
    links = {mail["to"]: mail["link"] for mail in await the.mails() if mail["kind"] == "address_changed"}
    assert [(to, link is not None) for to, link in sorted(links.items())] == [
        ("anna@example.com", True),
        ("anna@example.org", False),
    ]
    changed = await desk.ask("PATCH", path, {"password": OTHER_PASSWORD})
    assert changed.status_code == 200
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert next(mail["kind"] for mail in await the.mails("anna@example.org")) == "password_changed"
    handle = handle_of(await the.start("anna@example.org"))
    assert code_of(await the.prove(handle, "password", PASSWORD)) == "proof_refused"
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).status_code == 200


async def test_an_address_that_nobody_proved_undoes_nothing(the: The) -> None:
    """An admin has mistyped it: whoever reads that mail must not get the account by undoing the correction."""
    desk = await office(the)
    made = await desk.add("ana@example.com", password=PASSWORD)
    for body in ({"password": OTHER_PASSWORD}, {"email": "anna@example.com"}):
        assert (await desk.ask("PATCH", f"/{made['id']}", body)).status_code == 200
    assert {mail["kind"] for mail in await the.mails("ana@example.com")} == {"password_changed", "address_changed"}
    assert [mail["link"] for mail in await the.mails("ana@example.com") if "/undo/" in (mail["link"] or "")] == []


async def test_changes_that_are_none(the: The) -> None:
    desk = await office(the)
    made, other = await desk.add("anna@example.com", password=PASSWORD), await desk.add("ben@example.com")
    owner = (await desk.ask("GET", search="owner")).json()["items"][0]
    before = await the.everything(but=("audit_event", "budget"))
    for path, body, code in (
        (made["id"], {}, "invalid"),
        (made["id"], {"role": "admin"}, "invalid"),
        (made["id"], {"email": "BEN@example.com"}, "conflict"),
        (made["id"], {"email": "nonsense"}, "invalid"),
        (made["id"], {"password": "password"}, "password_refused"),
        (owner["id"], {"password": OTHER_PASSWORD}, "permission_missing"),
        (owner["id"], {"profile": {}}, "permission_missing"),
        (NOBODY, {"profile": {}}, "not_found"),
        (other["id"], {"profile": {"x": "y" * 20_000}}, "invalid"),
    ):
        assert code_of(await desk.ask("PATCH", f"/{path}", body)) == code, (path, body)
    assert await the.everything(but=("audit_event", "budget")) == before


async def test_of_oneself(the: The) -> None:
    desk, anna = await office(the), await the.person()
    me = (await the.http.get("/api/v1/me", headers=anna.auth)).json()["user"]["id"]
    done = await desk.ask("PATCH", f"/{me}", {"profile": {"name": "Anna"}}, by=anna.token)
    assert (done.status_code, done.json()["profile"]) == (200, {"name": "Anna"})
    for body in (
        {"email": "eve@example.com"},
        {"roles": ["user"]},
        {"profile": {}, "password": OTHER_PASSWORD, "email": "eve@example.com"},
        {"profile": {}, "password": OTHER_PASSWORD, "roles": ["owner"]},
    ):
        refused = await desk.ask("PATCH", f"/{me}", body, by=anna.token)
        assert (refused.status_code, code_of(refused)) == (403, "permission_missing")
    await the.signed_in(anna)
    admin = (await desk.ask("GET", search="admin")).json()["items"][0]["id"]
    for method, path in (("DELETE", ""), ("POST", "/disable"), ("PUT", "/roles/read_only"), ("POST", "/factors/reset")):
        assert code_of(await desk.ask(method, f"/{admin}{path}")) == "permission_missing", path


async def test_disabled_and_enabled(the: The) -> None:
    desk, anna = await office(the), await the.person()
    path = f"/{(await desk.ask('GET', search='anna')).json()['items'][0]['id']}"
    assert (await desk.ask("POST", f"{path}/disable")).json()["disabled"] is True
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert code_of(await desk.ask("PATCH", path, {"password": OTHER_PASSWORD})) == "conflict"
    assert (await desk.ask("POST", f"{path}/sign-out")).status_code == 204
    assert (await desk.ask("POST", f"{path}/enable")).json()["disabled"] is False
    await the.signed_in(anna)


async def test_signed_out(the: The) -> None:
    desk, anna = await office(the), await the.person()
    other = await the.signed_in(anna)
    path = f"/{(await desk.ask('GET', search='anna')).json()['items'][0]['id']}"
    assert (await desk.ask("POST", f"{path}/sign-out")).status_code == 204
    assert {code_of(await the.session(one.token)) for one in (anna, other)} == {"session_ended"}
    assert {row["end_reason"] for row in await the.rows(session) if row["ended_at"]} == {"signed_out"}
    assert (await the.events())[-1] == "session:all_ended"


async def test_deleted(the: The) -> None:
    desk, anna = await office(the), await the.person()
    found = (await desk.ask("GET", search="anna")).json()["items"][0]["id"]
    assert code_of(await desk.ask("DELETE", f"/{found}")) == "permission_missing"
    assert (await desk.ask("DELETE", f"/{found}", by=desk.owner)).status_code == 204
    assert (await desk.ask("DELETE", f"/{found}", by=desk.owner)).status_code == 404
    assert code_of(await the.session(anna.token)) in ("credential_invalid", "session_ended")
    for table in (person, role_grant, session):
        assert found not in {row.get("person_id", row.get("id")) for row in await the.rows(table)}
    theirs = [row for row in await the.rows(audit_event) if found in (row["subject_id"], row["actor_id"])]
    assert {row["personal"] for row in theirs} == {None}
    assert theirs[-1]["event"] == "account:deleted"
    await ledger.seal(the.gate.services)
    assert (await ledger.verify(the.gate.services)).ok
    assert (await desk.add("anna@example.com"))["id"] != found


async def test_roles(the: The) -> None:
    desk, anna = await office(the), await the.person()
    found = (await desk.ask("GET", search="anna")).json()["items"][0]
    path = f"/{found['id']}/roles"
    assert (await desk.ask("PUT", f"{path}/admin")).json()["roles"] == ["admin", "user"]
    assert (await desk.ask("PUT", f"{path}/admin")).status_code == 200
    assert (await desk.ask("GET", by=anna.token)).status_code == 200
    assert code_of(await desk.ask("PUT", f"{path}/owner")) == "permission_missing"
    assert code_of(await desk.ask("PUT", f"{path}/emperor")) == "invalid"
    assert (await desk.ask("DELETE", f"{path}/admin", by=desk.owner)).json()["roles"] == ["user"]
    assert code_of(await desk.ask("GET", by=anna.token)) == "permission_missing"
    owner = (await desk.ask("GET", search="owner")).json()["items"][0]["id"]
    assert code_of(await desk.ask("DELETE", f"/{owner}/roles/owner", by=desk.owner)) == "permission_missing"


async def test_it_takes_a_fresh_proof(the: The) -> None:
    desk = await office(the)
    made = await desk.add("anna@example.com")
    the.clock.forward(minutes=10)
    before = await the.everything(but=("audit_event", "session", "person"))
    path = f"/{made['id']}"
    for method, where, body in (
        ("POST", "", {"email": "ben@example.com"}),
        ("PATCH", path, {"profile": {}}),
        ("DELETE", path, None),
        ("POST", f"{path}/disable", None),
        ("POST", f"{path}/enable", None),
        ("POST", f"{path}/sign-out", None),
        ("POST", f"{path}/factors/reset", None),
        ("PUT", f"{path}/roles/admin", None),
        ("DELETE", f"{path}/roles/user", None),
    ):
        refused = await desk.ask(method, where, body, by=desk.owner)
        assert code_of(refused) == "insufficient_user_authentication", (method, where)
    assert await the.everything(but=("audit_event", "session", "person")) == before
    assert (await desk.ask("GET", path)).status_code == 200
