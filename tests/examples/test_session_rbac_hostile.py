"""Example 2: what nobody in their right mind sends, to every route: an answer below 500, and nothing changed.

Not here: refusals that a person may run into (roles, people).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from passgate.core import admin
from passgate.core.ctx import Ctx, Operator
from passgate.store.tables import credential, person, role, role_grant, tenant
from tests.examples.session_rbac import NOBODY, Template, template
from tests.kit import PASSWORD

DEEP = 20_000
NOT_JSON = {
    "nothing": b"",
    "a blank": b" ",
    "half an object": b'{"username": "a"',
    "two objects": b"{}{}",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "no UTF-8": b'{"username": "\xff\xfe"}',
    "NaN": b'{"username": NaN}',
    "a form": b"username=anna&role=admin",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "bytes": bytes(range(256)),
    "a huge number": b'{"username": ' + b"9" * 10_000 + b"}",
    "half a pair": b'{"username": "\\ud800", "password": "\\udfff", "email": "\\ud800@example.com"}',
    "a strange name": b'{"\\ud800\\u0000\\r\\nX-Evil: 1": 1}',
    "doubled to nothing": b'{"username": "anna", "username": null}',
    "huge": b'{"username": "' + b"a" * 2_000_000 + b'"}',
    "many members": json.dumps({f"m{number}": number for number in range(20_000)}).encode(),
    "a list": b'["username", "anna"]',
    "a string": b'"username"',
    "null": b"null",
    "true": b"true",
}
VALUES = {
    "empty": "",
    "a blank": " ",
    "huge": "a" * 100_000,
    "a number": 7,
    "a large number": 10**40,
    "a fraction": 1.5,
    "true": True,
    "a list": ["anna"],
    "an object": {"$ne": ""},
    "NUL": "anna\x00",
    "lines": "anna\r\nX-Evil: 1",
    "an escape": "\x1b[2Jann",
    "to the left": "anna\u202e",
    "joined": "an\u200dna",
    "two scripts": "аnna",
    "quotes": "' OR 1=1; --",
    "a template": "{{7*7}}${7*7}",
    "a path": "../../etc/passwd",
    "a tag": "<script>alert(1)</script>",
    "an id": NOBODY,
}
WRITES = {
    "POST /auth/login": ("username", "password"),
    "POST /users/": ("email", "username", "password"),
    "PATCH /users/{id}/": ("username", "password", "role"),
}
RIGHT = {"username": "fine.name", "email": "fine@example.com", "password": PASSWORD, "role": "user"}
IDS = ["0", "1", "-1", "null", "me", "%00", "%2e%2e", "..%2f..", "a" * 5000, "ａ", f"{NOBODY}x", "'--", "{id}", "*"]
_WATCHED = (person, credential, role, role_grant, tenant)


@dataclass
class Hunted:
    """Somebody, and an admin, at whom all of it is aimed."""

    rbac: Template
    target: str

    def rows(self) -> dict[str, list[Any]]:
        return self.rbac.http.portal.call(self._rows)  # type: ignore[union-attr]

    async def _rows(self) -> dict[str, list[Any]]:
        async with self.rbac.gate.services.store.read() as db:
            return {one.name: [dict(row) for row in await db.rows(select(one))] for one in _WATCHED}


@pytest.fixture(scope="module")
def hunted() -> Iterator[Hunted]:
    with template() as made:
        yield Hunted(made, made.person("read_only")[0])


@pytest.fixture
def unchanged(hunted: Hunted) -> Iterator[Callable[[httpx2.Response], None]]:
    """Asserts that an answer is a refusal in the template's shape; afterwards, that nothing has changed."""
    before = _without_use(hunted.rows())

    def check(answer: httpx2.Response) -> None:
        assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text[:200]}"
        assert answer.headers["x-error"]
        assert "x-evil" not in answer.headers
        found = answer.json()
        assert found["success"] is False
        assert len(answer.content) < 5_000_000

    yield check
    assert _without_use(hunted.rows()) == before


def _without_use(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """That the admin used their session is no change."""
    for one in rows["person"]:
        del one["last_used_at"]
    return rows


Check = Callable[[httpx2.Response], None]


@pytest.mark.parametrize("body", NOT_JSON)
def test_no_json(hunted: Hunted, unchanged: Check, body: str) -> None:
    for route in WRITES:
        method, _, path = route.partition(" ")
        headers = {"content-type": "application/json"}
        for session in (hunted.rbac.admin, None):
            unchanged(
                hunted.rbac.ask(method, path.format(id=hunted.target), session, content=NOT_JSON[body], headers=headers)
            )


@pytest.mark.parametrize("value", VALUES)
def test_values(hunted: Hunted, unchanged: Check, value: str) -> None:
    for route, members in WRITES.items():
        method, _, path = route.partition(" ")
        for member in members:
            given = {**{name: RIGHT[name] for name in members}, member: VALUES[value]}
            if member == "password" and len(str(VALUES[value])) > 14 and value != "huge":
                continue  # as good a password as any
            unchanged(hunted.rbac.ask(method, path.format(id=hunted.target), hunted.rbac.admin, json=given))


@pytest.mark.parametrize("name", ["a" * 500, "\r\nX-Evil: 1", "<script>", "\x1b[2J", "ü\u202e", "\x00", "a.b"])
def test_names_of_members_come_back_short_and_plain(hunted: Hunted, unchanged: Check, name: str) -> None:
    answer = hunted.rbac.ask("PATCH", f"/users/{hunted.target}/", hunted.rbac.admin, json={name: 1})
    unchanged(answer)
    [fault] = answer.json()["errors"]
    assert len(fault["field"]) <= 40
    assert fault["field"].isascii()
    assert fault["field"].isprintable()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "\xff"])
def test_another_content_type(hunted: Hunted, unchanged: Check, kind: str) -> None:
    content = json.dumps({"username": "other"}).encode()
    path = f"/users/{hunted.target}/"
    headers: Any = {"content-type": kind.encode("latin-1")}
    unchanged(hunted.rbac.ask("PATCH", path, hunted.rbac.admin, content=content, headers=headers))


@pytest.mark.parametrize("wrong", IDS)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_ids(hunted: Hunted, unchanged: Check, wrong: str, method: str) -> None:
    more = {"json": {"username": "other"}} if method == "PATCH" else {}
    for path in (f"/users/{wrong}/", f"/users/details/{wrong}/"):
        if (wrong, method) != ("me", "GET"):
            unchanged(hunted.rbac.ask(method, path, hunted.rbac.admin, **more))


@pytest.fixture(scope="module")
def foreign(hunted: Hunted) -> str:
    """The id of a person in another tenant, whom an operator made."""

    async def make() -> str:
        ctx = Ctx(hunted.rbac.gate.services, principal=Operator())
        await admin.add_tenant(ctx, "far-away", None, "open")
        at = hunted.rbac.gate.at(None, tenant="far-away")
        return (await at.users.create(email="far@example.com", password=PASSWORD)).id

    found: str = hunted.rbac.http.portal.call(make)  # type: ignore[union-attr]
    return found


def test_people_of_another_tenant_are_not_there(hunted: Hunted, foreign: str, unchanged: Check) -> None:
    for method, path in (("GET", ""), ("GET", "details/"), ("PATCH", ""), ("DELETE", "")):
        more = {"json": {"role": "read_only"}} if method == "PATCH" else {}
        answer = hunted.rbac.ask(method, f"/users/{path}{foreign}/", hunted.rbac.admin, **more)
        assert answer.status_code == 404
        unchanged(answer)


def test_header_fields(hunted: Hunted, unchanged: Check) -> None:
    wrong: list[bytes] = [
        b"Bearer \xff",
        b"Bearer " + b"a" * 60_000,
        b"Bearer a b c",
        b"Bearer \t",
        b"bearer",
        b"\xc3\xbc",
    ]
    for value in wrong:
        headers: Any = {"authorization": value}
        unchanged(hunted.rbac.ask("DELETE", f"/users/{hunted.target}/", headers=headers))


def test_queries(hunted: Hunted) -> None:
    for query in ("size=1&size=2", "size[]=1", "%00=1", "sortBy=%ff", "&&&", "a" * 20_000, "sortBy=username%00"):
        for path in ("/users/", "/users/details"):
            answer = hunted.rbac.ask("GET", f"{path}?{query}", hunted.rbac.admin)
            assert answer.status_code in (200, 422), query[:40]
