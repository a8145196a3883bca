"""Example 2: finding, creating, changing and deleting people, and what nobody does to themselves.

Not here: who may call which route (roles).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from passgate import errors
from tests.examples.programs import client_of, module
from tests.examples.session_rbac import ADMIN, NOBODY, ROLES, Template, new_gate, program, template
from tests.examples.test_session_rbac_roles import refused
from tests.kit import OTHER_PASSWORD, PASSWORD, bearer


def listed(rbac: Template, query: str = "", session: str = "", path: str = "/users/") -> dict[str, Any]:
    answer = rbac.ask("GET", f"{path}?{query}", session or rbac.admin)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [one["username"] for one in found["data"]]


# -- pages -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd() -> Any:
    """41 people besides the first admin, who was made an hour before and is seen by admins alone; each a minute later
    than the one before."""
    with template() as made:
        made.gate.clock.forward(hours=1)
        made.admin = made.login("admin")
        for number in range(40):
            made.gate.clock.forward(minutes=1)
            # Addresses in the other order than usernames.
            given = {"username": f"n{number:02}", "email": f"a{99 - number}@example.com", "password": PASSWORD}
            assert made.ask("POST", "/users/", made.admin, json=given).status_code == 201
        yield made


def test_page_three_of_forty_one_by_twenty(crowd: Template) -> None:
    found = listed(crowd, "pageNumber=3&size=20")
    assert found["metadata"] == {
        "pageNumber": 3,
        "pageSize": 20,
        "totalItems": 41,
        "totalPages": 3,
        "hasPrevious": True,
        "hasNext": False,
        "previousPage": 2,
        "nextPage": None,
    }
    assert len(found["data"]) == 1
    pages = [listed(crowd, f"pageNumber={number}") for number in (1, 2, 3)]
    assert [len(page["data"]) for page in pages] == [20, 20, 1]
    everybody = [one["id"] for page in pages for one in page["data"]]
    assert len(set(everybody)) == 41


def test_beyond_the_last_page(crowd: Template) -> None:
    found = listed(crowd, "pageNumber=4")
    assert found["data"] == []
    assert found["metadata"]["totalItems"] == 41
    assert (found["metadata"]["hasNext"], found["metadata"]["nextPage"]) == (False, None)


@pytest.mark.parametrize(("size", "pages"), [(20, 500), (30, 333), (100, 100), (1, 10_000)])
def test_no_page_is_named_that_is_refused(crowd: Template, size: int, pages: int) -> None:
    """Pages with numbers reach 10,000 people; the total counts the others too."""
    shapes = module(2, "shapes")
    for number in (pages - 1, pages):
        asked = shapes.Listing(pageNumber=number, size=size)
        found = shapes.page(asked, 12_345, []).metadata
        assert (found.total_items, found.total_pages) == (12_345, pages)
        assert (found.has_next, found.next_page) == ((True, pages) if number < pages else (False, None))
    codes = [
        crowd.ask("GET", f"/users/?size={size}&pageNumber={number}", crowd.admin).status_code
        for number in (pages, pages + 1)
    ]
    assert codes == [200, 422]


@pytest.mark.parametrize(
    "query",
    [
        *("size=0", "size=101", "size=-1", "size=x", "pageNumber=0", "pageNumber=-1", "pageNumber=1.5"),
        *("pageNumber=99999999999999999999", "pageNumber=501&size=20", "sortBy=password", "sortOrder=up"),
        *(f"pageNumber={'9' * 5000}", f"size={'9' * 5000}"),
        *("page_number=2", "sort=email", "role_at_most=owner", "search=a", "createdAfter=yesterday&size=1"),
    ],
)
@pytest.mark.parametrize("path", ["/users/", "/users/details"])
def test_queries_that_are_refused(crowd: Template, query: str, path: str) -> None:
    answer = crowd.ask("GET", f"{path}?{query}", crowd.admin)
    assert answer.status_code == 422
    assert answer.json().keys() == {"errors", "message", "success"}


@pytest.mark.parametrize("path", ["/users/", "/users/details"])
def test_sorted_both_ways_by_both(crowd: Template, path: str) -> None:
    by_name = [f"n{number:02}" for number in range(40)]
    assert names(listed(crowd, "size=100", path=path)) == ["admin", *by_name]
    assert names(listed(crowd, "size=100&sortBy=username&sortOrder=desc", path=path)) == [*reversed(by_name), "admin"]
    assert names(listed(crowd, "size=100&sortBy=email", path=path)) == [*reversed(by_name), "admin"]
    assert names(listed(crowd, "size=100&sortBy=email&sortOrder=desc", path=path)) == ["admin", *by_name]


def test_the_four_bounds(crowd: Template) -> None:
    everybody = listed(crowd, "size=100", path="/users/details")["data"]
    tenth = next(one for one in everybody if one["username"] == "n10")["createdAt"]  # 2027-01-15 09:11
    after = listed(crowd, f"size=100&createdAfter={tenth}", path="/users/details")
    before = listed(crowd, f"size=100&createdBefore={tenth}", path="/users/details")
    assert names(after) == [f"n{number}" for number in range(10, 40)]
    assert names(before) == ["admin", *(f"n{number:02}" for number in range(10))]
    assert after["metadata"]["totalItems"] + before["metadata"]["totalItems"] == 41
    until = "2027-01-15T09:14:00Z"
    both = listed(crowd, f"createdAfter={tenth}&createdBefore={until}", path="/users/details")
    assert names(both) == ["n10", "n11", "n12"]
    elsewhere = {"createdAfter": "2027-01-15T10:11:00+01:00", "createdBefore": until}
    assert crowd.ask("GET", "/users/details", crowd.admin, params=elsewhere).json() == both
    crowd.gate.clock.forward(minutes=1)
    changed = crowd.ask("PATCH", f"/users/{both['data'][1]['id']}/", crowd.admin, json={"role": "user"})
    assert changed.status_code == 202
    crowd.ask("PATCH", f"/users/{both['data'][1]['id']}/", crowd.admin, json={"role": "read_only"})
    newest = listed(crowd, "updatedAfter=2027-01-15 09:41&size=100", path="/users/details")
    assert names(newest) == ["n11"]
    assert newest["data"][0]["createdAt"] < newest["data"][0]["updatedAt"]
    rest = listed(crowd, "updatedBefore=2027-01-15 09:41&size=100", path="/users/details")
    assert len(names(rest)) == 40


@pytest.mark.parametrize(
    "bound",
    [
        *("1969-12-31T23:59:59Z", "2027-02-30", "nan", "", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
        *("9" * 5000, "-" + "9" * 12, "9" * 15, "1e308", "inf", "0001-01-01"),
    ],
)
def test_bounds_at_the_edge(crowd: Template, bound: str) -> None:
    answer = crowd.ask("GET", "/users/details", crowd.admin, params={"createdAfter": bound})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert answer.json()["data"] == []
    else:
        assert {one["field"] for one in answer.json()["errors"]} == {"createdAfter"}


def test_never_above_the_readers_role(rbac: Template) -> None:
    people = {role: [rbac.person(role) for _ in range(3)] for role in ROLES}
    readers = {role: rbac.login(people[role][0][1]) for role in ROLES}
    for number, role in enumerate(ROLES):
        seen = sorted(name for below in ROLES[: number + 1] for _, name in people[below])
        seen += ["admin"] if role == "admin" else []
        found = listed(rbac, "size=100", readers[role])
        assert sorted(names(found)) == sorted(seen)
        assert found["metadata"]["totalItems"] == len(seen)
        one_by_one = [names(listed(rbac, f"size=1&pageNumber={page + 1}", readers[role])) for page in range(len(seen))]
        assert sorted(name for page in one_by_one for name in page) == sorted(seen)
        for other in ROLES:
            answer = rbac.ask("GET", f"/users/{people[other][1][0]}/", readers[role])
            assert answer.status_code == (200 if other in ROLES[: number + 1] else 404)
            unknown = rbac.ask("GET", f"/users/{NOBODY}/", readers[role])
            assert answer.status_code == 200 or answer.content == unknown.content


# -- creating --------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["username", "email"])
def test_what_is_taken(rbac: Template, taken: str) -> None:
    rbac.person(username="anna")
    given = {"username": "ben", "email": "ben@example.com", "password": PASSWORD}
    given[taken] = {"username": "ANNA", "email": "Anna@Example.com"}[taken]
    answer = rbac.ask("POST", "/users/", rbac.admin, json=given)
    assert answer.status_code == 400
    refused(answer)
    assert listed(rbac)["metadata"]["totalItems"] == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"username": "a b"}, "username"),
        ({"username": "null"}, "username"),
        ({"password": "tiny 27"}, "password"),
        ({"password": "anna@example.com"}, "password"),
        ({"role": "admin"}, "role"),
        ({"roles": ["owner"]}, "roles"),
        ({"profile": {}}, "profile"),
        ({"id": NOBODY}, "id"),
    ],
)
def test_who_is_not_created(rbac: Template, change: dict[str, Any], field: str) -> None:
    given = {"username": "anna", "email": "anna@example.com", "password": PASSWORD, **change}
    answer = rbac.ask("POST", "/users/", rbac.admin, json=given)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert str(given["password"]) not in answer.text
    assert names(listed(rbac)) == ["admin"]


def test_symbols_in_a_password(rbac: Template) -> None:
    word = "pä$$ wörd & sömething „else“"
    given = {"username": "anna", "email": "anna@example.com", "password": word}
    assert rbac.ask("POST", "/users/", rbac.admin, json=given).status_code == 201
    assert rbac.login("anna", word)


# -- changing --------------------------------------------------------------------------------------


def test_what_an_admin_changes(rbac: Template) -> None:
    person_id, name = rbac.person()
    session = rbac.login(name)
    change = {"username": "other", "password": OTHER_PASSWORD, "role": "admin"}
    answer = rbac.ask("PATCH", f"/users/{person_id}/", rbac.admin, json=change)
    assert answer.status_code == 202
    assert answer.json() == {
        "id": person_id,
        "email": f"{name}@example.com",
        "username": "other",
        "role": "admin",
    }
    assert rbac.ask("GET", "/users/me/", session).status_code == 403, "a new password ends what was open"
    assert rbac.ask("POST", "/auth/login", json={"username": name, "password": PASSWORD}).status_code == 401
    again = rbac.login("other", OTHER_PASSWORD)
    assert rbac.ask("GET", "/users/details", again).status_code == 200


def test_nulls_overwrite_nothing(rbac: Template) -> None:
    person_id, name = rbac.person("read_only")
    before = rbac.ask("GET", f"/users/{person_id}/", rbac.admin).json()
    some = {"username": f"{name}x", "password": None, "role": None}
    answer = rbac.ask("PATCH", f"/users/{person_id}/", rbac.admin, json=some)
    assert answer.status_code == 202
    assert answer.json() == {**before, "username": f"{name}x"}
    assert rbac.login(f"{name}x")
    for nothing in ({}, {"username": None, "password": None, "role": None}, {"role": None}):
        answer = rbac.ask("PATCH", f"/users/{person_id}/", rbac.admin, json=nothing)
        assert answer.status_code == 400
        refused(answer)


def test_a_taken_name_changes_nothing_else(rbac: Template) -> None:
    rbac.person(username="anna")
    person_id, name = rbac.person()
    session = rbac.login(name)
    change = {"username": "Anna", "password": OTHER_PASSWORD, "role": "admin"}
    answer = rbac.ask("PATCH", f"/users/{person_id}/", rbac.admin, json=change)
    assert answer.status_code == 400
    assert rbac.ask("GET", "/users/me/", session).json()["user"]["role"] == "user"
    assert rbac.login(name)


def test_a_poor_password_changes_nothing_else(rbac: Template) -> None:
    person_id, name = rbac.person()
    for asks in (rbac.admin, rbac.login(name)):
        change = {"username": "other", "password": "tiny 27"}
        answer = rbac.ask("PATCH", f"/users/{person_id}/", asks, json=change)
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == ["password"]
        assert rbac.ask("GET", f"/users/{person_id}/", rbac.admin).json()["username"] == name


def test_demoted_and_promoted_at_the_next_request(rbac: Template) -> None:
    person_id, session = rbac.signed_in("admin")
    for role, code in (("user", 403), ("admin", 200), ("read_only", 403)):
        assert rbac.ask("PATCH", f"/users/{person_id}/", rbac.admin, json={"role": role}).status_code == 202
        assert rbac.ask("GET", "/users/details", session).status_code == code
        assert rbac.ask("GET", "/users/me/", session).json()["user"]["role"] == role


@pytest.mark.parametrize("role", ROLES)
def test_oneself(rbac: Template, role: str) -> None:
    """Username and password together, with a sign-in of the last five minutes; the session that asks goes on."""
    person_id, session = rbac.signed_in(role)
    other = rbac.login(rbac.ask("GET", "/users/me/", session).json()["user"]["username"])
    change = {"username": f"new{role.replace('_', '')}", "password": OTHER_PASSWORD}
    answer = rbac.ask("PATCH", f"/users/{person_id}/", session, json=change)
    assert answer.status_code == 202
    assert answer.json()["username"] == change["username"]
    assert answer.json()["role"] == role
    assert rbac.ask("GET", "/users/me/", session).status_code == 200
    assert rbac.ask("GET", "/users/me/", other).status_code == 403, "other sessions end"
    assert rbac.login(change["username"], OTHER_PASSWORD)


def test_ones_own_password_asks_for_a_sign_in_of_five_minutes(rbac: Template) -> None:
    person_id, name = rbac.person()
    session = rbac.login(name)
    rbac.gate.clock.forward(minutes=5, seconds=1)
    answer = rbac.ask("PATCH", f"/users/{person_id}/", session, json={"username": "new", "password": OTHER_PASSWORD})
    assert answer.status_code == 403
    refused(answer, of_session=True)
    assert rbac.ask("GET", "/users/me/", session).json()["user"]["username"] == name
    assert rbac.ask("PATCH", f"/users/{person_id}/", session, json={"username": "new"}).status_code == 202
    assert rbac.login("new")
    assert rbac.ask("PATCH", f"/users/{person_id}/", rbac.login("new"), json={"password": OTHER_PASSWORD}).is_success


def test_an_admin_acts_for_as_long_as_the_session_lives(rbac: Template) -> None:
    person_id, _ = rbac.person()
    for _ in range(47):
        rbac.gate.clock.forward(minutes=30)
        assert rbac.ask("GET", "/users/me/", rbac.admin).status_code == 200
    assert rbac.ask("PATCH", f"/users/{person_id}/", rbac.admin, json={"password": OTHER_PASSWORD}).status_code == 202


# -- nobody promotes themselves --------------------------------------------------------------------

BODIES = [
    '{"role": "admin"}',
    '{"role": "user"}',
    '{"role": "read_only"}',
    '{"username": "boss", "role": "admin"}',
    '{"username": "boss", "role": "read_only", "role": "admin"}',
    '{"username": "boss", "roles": ["owner"]}',
    '{"username": "boss", "roles": "owner"}',
    '{"username": "boss", "role": ["admin"]}',
    '{"username": "boss", "role": {"name": "admin"}}',
    '{"username": "boss", "role": 3}',
    '{"username": "boss", "role": "ADMIN"}',
    '{"username": "boss", "role": "manager"}',
    '{"username": "boss", "role": "owner"}',
    '{"username": "boss", "Role": "admin"}',
    '{"username": "boss", "r\\u006fle": "admin"}',
    '{"username": "boss", "role ": "admin"}',
    '{"username": "boss", "user": {"role": "admin"}}',
    '{"username": "boss", "profile": {"role": "admin"}}',
    '{"username": "boss", "permissions": ["people:write"]}',
    '{"username": "boss", "email": "boss@example.com"}',
    '{"username": "boss", "id": "ID"}',
    '[{"role": "admin"}]',
    '"admin"',
]


@pytest.fixture(scope="module")
def climbers(shared_rbac: Template) -> dict[str, tuple[str, str]]:
    return {role: shared_rbac.signed_in(role) for role in ("read_only", "user")}


@pytest.mark.parametrize("role", ["read_only", "user"])
@pytest.mark.parametrize("body", BODIES)
def test_nobody_promotes_themselves(
    shared_rbac: Template, climbers: dict[str, tuple[str, str]], role: str, body: str
) -> None:
    person_id, session = climbers[role]
    before = shared_rbac.ask("GET", "/users/me/", session).json()["user"]
    for target in (person_id, climbers["user"][0], climbers["read_only"][0]):
        answer = shared_rbac.ask(
            "PATCH",
            f"/users/{target}/",
            session,
            content=body.replace("ID", target),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code in (403, 422), answer.text
    assert shared_rbac.ask("GET", "/users/me/", session).json()["user"] == before


def test_nor_by_query_header_or_form(shared_rbac: Template, climbers: dict[str, tuple[str, str]]) -> None:
    person_id, session = climbers["user"]
    path = f"/users/{person_id}/"
    tries = [
        shared_rbac.ask("PATCH", f"{path}?role=admin", session, json={}),
        shared_rbac.ask("PATCH", path, session, data={"role": "admin"}),
        shared_rbac.ask("PATCH", path, session, headers={"x-role": "admin", "x-http-method-override": "DELETE"}),
        shared_rbac.ask("POST", path, session, json={"role": "admin"}),
        shared_rbac.http.put(f"/auth/api/v1/users/{person_id}/roles/owner", headers={"authorization": session}),
        shared_rbac.http.put(
            f"/auth/api/v1/users/{person_id}/roles/owner", headers={"authorization": f"Bearer {session}"}
        ),
        shared_rbac.http.patch(
            f"/auth/api/v1/users/{person_id}",
            json={"roles": ["owner"]},
            headers={"authorization": f"Bearer {session}"},
        ),
    ]
    assert {answer.status_code for answer in tries} <= {400, 401, 403, 405, 415, 422}
    assert shared_rbac.ask("GET", "/users/me/", session).json()["user"]["role"] == "user"


def test_an_admin_has_no_other_role_by_oneself(rbac: Template) -> None:
    me = rbac.ask("GET", "/users/me/", rbac.admin).json()["user"]
    for role in ROLES:
        answer = rbac.ask("PATCH", f"/users/{me['id']}/", rbac.admin, json={"role": role, "username": "boss"})
        assert answer.status_code == 403
    answer = rbac.ask("DELETE", f"/users/{me['id']}/", rbac.admin)
    assert answer.status_code == 403
    assert rbac.ask("GET", "/users/me/", rbac.admin).json()["user"] == me


# -- people whom an operator made -----------------------------------------------------------------


async def created_by_an_operator(rbac: Template, name: str, roles: list[str]) -> str:
    given: dict[str, Any] = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    return (await rbac.gate.at(None, tenant="main").users.create(roles=roles, **given)).id


def by_an_operator(rbac: Template, name: str, *roles: str) -> str:
    """The id of somebody whom no admin of the program has created."""
    found: str = rbac.http.portal.call(created_by_an_operator, rbac, name, list(roles))  # type: ignore[union-attr]
    return found


def test_an_owner_is_an_admin(rbac: Template) -> None:
    """Whom an operator made on the command line is one of the admins, who see and reach each other."""
    person_id = by_an_operator(rbac, "theowner", "owner")
    session = rbac.login("theowner")
    assert rbac.ask("GET", "/users/me/", session).json()["user"]["role"] == "admin"
    assert names(listed(rbac)) == names(listed(rbac, session=session)) == ["admin", "theowner"]
    assert rbac.ask("GET", f"/users/{person_id}/", rbac.admin).status_code == 200
    assert rbac.ask("DELETE", f"/users/{person_id}/", rbac.admin).status_code == 204
    assert rbac.ask("GET", "/users/details", session).status_code == 403


VISIBLE = {"owner": "admin", "admin": "admin", "member": "user", "reader": "read_only", "user": "read_only"}
VISIBLE |= {"read_only": "read_only", "auditor": "read_only"}


def test_every_role_of_passgate_is_one_of_three(rbac: Template) -> None:
    """And whoever is in no list of a reader's is not found by id either."""
    auditor = {"name": "auditor", "permissions": ["me:read", "audit:read", "people:read"]}
    made = rbac.http.post("/auth/api/v1/roles", json=auditor, headers=bearer(rbac.admin))
    assert made.status_code == 201
    people = {name: by_an_operator(rbac, f"some.{name}", name) for name in VISIBLE}
    people |= {"both": by_an_operator(rbac, "some.both", "member", "auditor"), "none": by_an_operator(rbac, "nobody")}
    everybody = listed(rbac, "size=100")["data"]
    visible = {one["id"]: one["role"] for one in everybody}
    assert {name: visible[people[name]] for name in VISIBLE} == VISIBLE
    assert (visible[people["both"]], visible[people["none"]]) == ("user", "read_only")
    for reader in ("some.reader", "some.member", "some.auditor", "some.both", "admin"):
        session = rbac.login(reader)
        in_list = {one["id"] for one in listed(rbac, "size=100", session)["data"]}
        by_id = {who for who in visible if rbac.ask("GET", f"/users/{who}/", session).status_code == 200}
        assert by_id <= in_list, reader
        if reader != "some.auditor":
            assert by_id == in_list, reader
    for idle in ("some.user", "some.read_only", "some.admin", "nobody"):
        assert rbac.ask("GET", "/users/", rbac.login(idle)).status_code == 403


def test_somebody_is_found_whatever_their_address(rbac: Template) -> None:
    """By id alone, not by a search for what they are called."""
    given = {"email": "zoe@Bücher.example", "username": "zoe", "password": PASSWORD}
    made = rbac.ask("POST", "/users/", rbac.admin, json=given)
    assert made.status_code == 201, made.text
    path = f"/users/{made.json()['id']}/"
    assert rbac.ask("GET", path, rbac.admin).json() == made.json()
    assert rbac.ask("DELETE", path, rbac.admin).status_code == 204


def test_the_last_admin_stays(rbac: Template) -> None:
    """Of two who leave by Passgate's own API, the second is refused; nor can an operator take the role from them."""
    _, other = rbac.signed_in("admin")
    leave = "/auth/api/v1/me"
    assert rbac.http.delete(leave, headers=bearer(other)).status_code == 204
    answer = rbac.http.delete(leave, headers=bearer(rbac.admin))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    me = rbac.ask("GET", "/users/me/", rbac.admin).json()["user"]
    users = rbac.gate.at(None, tenant="main").users
    for act in (partial(users.change, roles=["reader"]), users.disable, users.delete):
        with pytest.raises(errors.Conflict):
            rbac.http.portal.call(act, me["id"])  # type: ignore[union-attr]
    assert rbac.ask("GET", "/users/me/", rbac.admin).json()["user"] == me


def test_a_role_that_is_none_of_the_three(rbac: Template) -> None:
    """Passgate's own role `user` is shown as the lowest one and allows nothing here, until an admin gives one of the
    three."""
    given = {"email": "other@example.com", "username": "other", "password": PASSWORD}
    answer = rbac.http.post("/auth/api/v1/users", json=given, headers=bearer(rbac.admin))
    assert (answer.status_code, answer.json()["roles"]) == (201, ["user"])
    session, path = rbac.login("other"), f"/users/{answer.json()['id']}/"
    assert rbac.ask("GET", "/users/me/", session).json()["user"]["role"] == "read_only"
    for of_readers in ("/users/", "/users/details", path):
        assert rbac.ask("GET", of_readers, session).status_code == 403
    assert rbac.ask("PATCH", path, session, json={"role": "read_only"}).status_code == 403
    assert rbac.ask("PATCH", path, rbac.admin, json={"role": "read_only"}).status_code == 202
    assert rbac.ask("GET", "/users/", session).status_code == 200


# -- deleting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_deleted(rbac: Template, role: str) -> None:
    person_id, session = rbac.signed_in(role)
    answer = rbac.ask("DELETE", f"/users/{person_id}/", rbac.admin)
    assert (answer.status_code, answer.content) == (204, b"")
    assert rbac.ask("GET", "/users/me/", session).status_code == 403
    for path in (f"/users/{person_id}/", f"/users/details/{person_id}/"):
        assert rbac.ask("GET", path, rbac.admin).status_code == 404
    for method in ("DELETE", "PATCH"):
        assert rbac.ask(method, f"/users/{person_id}/", rbac.admin, json={"role": "user"}).status_code == 404
    assert names(listed(rbac)) == ["admin"]


# -- the first admin -------------------------------------------------------------------------------

OTHERS: dict[str, Any] = {"email": "else@example.com", "username": "somebody", "password": PASSWORD}


def started(gate: Any, **given: str) -> list[str]:
    """The usernames that are there after a start."""
    first = module(2, "roles").FirstAdmin(**{"username": "", "email": "", "password": "", **given})
    with client_of(module(2).program(gate, first), gate) as http:
        found = http.portal.call(gate.at(None, tenant="main").users.list)  # type: ignore[union-attr]
    return [one.username for one in found.items]


def test_the_first_admin_is_made_once(tmp_path: Any) -> None:
    def again(**given: str) -> list[str]:
        return started(new_gate(data=tmp_path), **given)

    assert again() == []
    assert again(**ADMIN) == ["admin"]
    assert again(**ADMIN) == ["admin"]
    other = {"username": "other", "email": "other@example.com", "password": PASSWORD}
    assert again(**other) == ["admin"]
    assert again() == ["admin"]
    gate = new_gate(data=tmp_path)
    with client_of(program(gate), gate) as http:
        rbac = Template(gate, http)
        rbac.admin = rbac.login("admin")
        rbac.person("user", "anna")
    assert sorted(again(**other)) == ["admin", "anna"], "nor when others are there"


async def crowded(gate: Any, roles: list[str], count: int = 1) -> None:
    for number in range(count):
        given = {"email": f"x{number}@example.com", "username": f"x{number}", "roles": roles}
        await gate.at(None, tenant="main").users.create(**given)


@pytest.mark.parametrize("role", ["user", "admin", "member", "owner"])
def test_the_first_admin_is_made_when_no_admin_is_there(tmp_path: Any, role: str) -> None:
    """Whoever else is there, and on however many pages of a list."""
    gate = new_gate(data=tmp_path)
    with client_of(module(2).program(gate, module(2, "roles").FirstAdmin(password="")), gate) as http:
        http.portal.call(crowded, gate, ["member"], 110)  # type: ignore[union-attr]
        who = {**OTHERS, "roles": [role]}
        http.portal.call(partial(gate.at(None, tenant="main").users.create, **who))  # type: ignore[union-attr]
    gate = new_gate(data=tmp_path)
    first = module(2, "roles").FirstAdmin(**ADMIN)
    with client_of(module(2).program(gate, first), gate) as http:
        answer = http.post("/api/auth/login", json={"username": "admin", "password": PASSWORD})
    assert answer.status_code == (401 if role == "owner" else 200)


@pytest.mark.parametrize("theirs", ["username", "email"])
def test_a_first_admin_whose_name_is_somebody_elses(tmp_path: Any, theirs: str) -> None:
    """Nobody is given the role by having the name, and the start says so."""
    gate = new_gate(data=tmp_path)
    with client_of(module(2).program(gate, module(2, "roles").FirstAdmin(password="")), gate) as http:
        who = {**OTHERS, theirs: ADMIN[theirs]}
        http.portal.call(partial(gate.at(None, tenant="main").users.create, **who))  # type: ignore[union-attr]
    with pytest.raises(errors.UnsafeSettings) as refusal:
        started(new_gate(data=tmp_path), **ADMIN)
    assert [code for code, _ in refusal.value.reasons] == ["ADMIN_REFUSED"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"username": ""}, "ADMIN_USERNAME"),
        ({"email": ""}, "ADMIN_EMAIL"),
        ({"username": "me"}, "ADMIN_USERNAME"),
        ({"email": "nobody"}, "ADMIN_EMAIL"),
        ({"password": "short"}, "ADMIN_PASSWORD"),
        ({"password": "passwordpassword"}, "ADMIN_PASSWORD"),
    ],
)
def test_a_first_admin_who_cannot_be(tmp_path: Any, change: dict[str, str], named: str) -> None:
    gate = new_gate(data=tmp_path)
    with pytest.raises(errors.UnsafeSettings) as refusal:
        started(gate, **{**ADMIN, **change})
    assert [code for code, _ in refusal.value.reasons] == ["ADMIN_REFUSED"]
    assert named in str(refusal.value)
    assert ADMIN["password"] not in str(refusal.value)
    assert started(new_gate(data=tmp_path)) == []


def test_the_policy_and_the_roles_are_there_after_each_start(tmp_path: Any) -> None:
    """What an owner changed meanwhile is as the program says again."""
    roles = module(2, "roles")

    def after(work: Any) -> Any:
        gate = new_gate(data=tmp_path)
        with client_of(module(2).program(gate, roles.FirstAdmin(**ADMIN)), gate) as http:
            return http.portal.call(work, gate.at(None, tenant="main"))  # type: ignore[union-attr]

    async def changes(at: Any) -> None:
        await at.roles.change("reader", permissions=["me:read"])
        await at.admin.change_policy("own", on_client_change="log", signup="open")

    async def seen(at: Any) -> Any:
        rules = await at.admin.policy("own")
        allowed = {one.name: set(one.permissions) for one in (await at.roles.list()).items if not one.built_in}
        return rules.signup, rules.on_client_change, rules.usernames, rules.second, rules.max_age, allowed

    after(changes)
    wanted = {own: set(allows) for own, allows in roles.OWN.items()}
    assert after(seen) == ("closed", "end", "optional", "never", 86_400, wanted)
    assert wanted.keys() == {"reader", "member"}
    assert wanted["reader"] < wanted["member"]


def test_nobody_signs_up(rbac: Template) -> None:
    given = {"email": "new@example.com", "password": PASSWORD}
    answer = rbac.http.post("/auth/api/v1/signup", json=given)
    assert (answer.status_code, answer.json()["code"]) == (403, "signup_closed")
    assert names(listed(rbac)) == ["admin"]


def test_names_that_the_program_uses_are_known(rbac: Template) -> None:
    """A permission of Passgate that a role names and nobody knows would count for nothing."""
    answer = rbac.http.get("/auth/api/v1/permissions", headers=bearer(rbac.admin))
    known = {one["name"] for one in answer.json()["items"]}
    for allows in module(2, "roles").OWN.values():
        assert known.issuperset(allows)
