"""The pages of admins over HTTP, without a script: finding somebody among many, every action with its event and its
rows, the step-up in the middle, and who sees or sends what.

Not here: the operations behind the pages (`test_contract_users`, `test_contract_roles`), and a real browser
(tests/browser).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, update

from passgate.store.tables import audit_event, person, role, role_grant, session, tenant
from tests.core.behind import Folk
from tests.kit import PASSWORD, The
from tests.web.browsing import SAME, Browser, Page, browser, led, outcome

PEOPLE = "/admin/people"
NEVER = "00000000-0000-7000-8000-000000000000"
MINUTES = 13 * 60
_OF_A_SIGN_IN = ("audit_event", "sign_in", "budget", "ticket", "session", "carrier", "person", "form_answer")


async def row_of(the: The, email: str) -> dict[str, Any]:
    return next(row for row in await the.rows(person) if row["email"] == email)


async def id_of(the: The, email: str) -> str:
    return str((await row_of(the, email))["id"])


async def become(the: The, email: str, *roles: str) -> str:
    """Have these roles and no others, whatever anybody may give; the person's id."""
    row = await row_of(the, email)
    async with the.gate.services.store.write() as db:
        await db.change(
            delete(role_grant).where(role_grant.c.tenant_id == row["tenant_id"], role_grant.c.person_id == row["id"])
        )
        for name in roles:
            await db.add(role_grant, tenant_id=row["tenant_id"], person_id=row["id"], role=name, created_at=0)
    return str(row["id"])


@asynccontextmanager
async def one_with(the: The, *roles: str, email: str = "boss@example.com") -> AsyncIterator[Browser]:
    """The browser of somebody who has just signed in and has these roles."""
    folk = Folk(the)
    who = await folk.create(email, *roles)
    async with browser(the) as boss:
        boss.http.cookies.set("passgate_session", (await folk.opened(*who.key))[1], domain="localhost.local")
        yield boss


@pytest.fixture
async def owner(lite: The) -> AsyncIterator[Browser]:
    async with one_with(lite, "owner") as boss:
        yield boss


@pytest.fixture
async def ben(lite: The) -> str:
    """The id of somebody who has an app and a session."""
    folk = Folk(lite)
    who = await folk.create("ben@example.com")
    await folk.add_app(who)
    return who.person_id


def found(page: Page) -> list[str]:
    """The ids of the people that a list links to."""
    ids = (link.removeprefix(f"{PEOPLE}/") for link in page.links if link.startswith(f"{PEOPLE}/"))
    return [one for one in ids if len(one) == 36]


def posted(page: Page) -> set[str]:
    """Where the forms of a page are sent to, those that change something."""
    return {form.action for form in page.forms if form.method == "post"}


def following(page: Page) -> str | None:
    return next((given["href"] for tag, given in page.tags if tag == "a" and given.get("rel") == "next"), None)


async def roles_of(the: The, person_id: str) -> list[str]:
    return sorted(row["role"] for row in await the.rows(role_grant) if row["person_id"] == person_id)


# -- the list --------------------------------------------------------------------------------------


async def _fill(the: The, count: int) -> list[str]:
    """Ids of people, of whom every tenth is disabled."""
    folk = Folk(the)
    main = await folk.tenant()
    ids = [f"{number:08}-0000-7000-8000-000000000000" for number in range(count)]
    async with folk.ctx.write() as db:
        for number, one in enumerate(ids):
            await db.add(
                person,
                id=one,
                tenant_id=main.id,
                email=f"p{number:04}@example.com",
                email_key=f"p{number:04}@example.com",
                profile="{}",
                created_at=number + 1,
                updated_at=number + 1,
                disabled_at=1 if number % 10 == 0 else None,
            )
    return ids


async def test_one_among_500(owner: Browser) -> None:
    ids = await _fill(owner.the, 500)
    listed = Page((await owner.get(f"{PEOPLE}?search=%20P0317")).text)
    assert found(listed) == [ids[317]]
    assert (await owner.page(f"{PEOPLE}/{ids[317]}")).name == "admin-person"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?search=p0&disabled=true&sort=email", [*range(0, 500, 10)]),
        ("?search=p01&disabled=false&sort=email", [one for one in range(100, 200) if one % 10]),
        ("?search=&disabled=true&sort=-created_at", [*reversed(range(0, 500, 10))]),
        ("?search=p&sort=email", [*range(500)]),
    ],
)
async def test_filters_survive_paging(owner: Browser, query: str, expected: list[int]) -> None:
    ids = await _fill(owner.the, 500)
    seen, at = list[str](), f"{PEOPLE}{query}"
    while at:
        answer = await owner.get(at)
        assert answer.status_code == 200
        assert len(answer.content) < 20_000
        page = Page(answer.text)
        [filters] = [form for form in page.forms if form.method == "get"]
        assert all(
            one in f"?{'&'.join(f'{name}={value}' for name, value in filters.fields.items())}&"
            for one in query.split("&")
        )
        seen += found(page)
        at = following(page) or ""
    assert seen == [ids[one] for one in expected]


@pytest.mark.parametrize(
    ("query", "status"),
    [("sort=nonsense&disabled=perhaps", 200), ("after=nonsense", 422), (f"search={'a' * 400}", 422), ("search=", 200)],
)
async def test_a_query_that_no_filter_has(owner: Browser, query: str, status: int) -> None:
    answer = await owner.get(f"{PEOPLE}?{query}")
    assert (answer.status_code, Page(answer.text).name) == (status, "admin-people")


async def test_what_is_typed_stands_in_no_markup(owner: Browser) -> None:
    answer = await owner.get(f"{PEOPLE}?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in answer.text


# -- one person ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "typed", "event"),
    [
        ("/disable", {}, "account:disabled"),
        ("/sign-out", {}, "session:all_ended"),
        ("/roles", {"role": "admin"}, "role:given"),
        ("/roles/user/remove", {}, "role:taken"),
    ],
)
async def test_each_action_and_its_event(
    owner: Browser, ben: str, tail: str, typed: dict[str, str], event: str
) -> None:
    the, at = owner.the, f"{PEOPLE}/{ben}"
    roles, before = await roles_of(the, ben), len(await the.events())
    assert led(await owner.send(at + tail, at=at, **typed)).startswith(f"{at}?done=")
    boss = await id_of(the, "boss@example.com")
    rows = [row for row in (await the.rows(audit_event)) if row["event"] == event]
    assert (rows[-1]["actor_id"], rows[-1]["subject_id"]) == (boss, ben)
    assert event in (await the.events())[before:]
    live = [row for row in await the.rows(session) if row["person_id"] == ben and row["ended_at"] is None]
    expected = {"/roles": sorted([*roles, "admin"]), "/roles/user/remove": []}
    assert await roles_of(the, ben) == expected.get(tail, roles)
    assert bool(live) == tail.startswith("/roles")
    assert ((await row_of(the, "ben@example.com"))["disabled_at"] is not None) == (tail == "/disable")


async def test_disabled_and_enabled(owner: Browser, ben: str) -> None:
    at = f"{PEOPLE}/{ben}"
    await owner.send(f"{at}/disable", at=at)
    page = await owner.page(at)
    assert posted(page) == {f"{at}/enable"}, "a disabled user gets no role and is signed in nowhere"
    led(await owner.send(f"{at}/enable", at=at))
    assert (await owner.the.events())[-1] == "account:enabled"
    assert f"{at}/disable" in posted(await owner.page(at))


async def test_reset(owner: Browser, ben: str) -> None:
    at = f"{PEOPLE}/{ben}"
    assert f"{at}/reset" in (await owner.page(at)).links
    led(await owner.send(f"{at}/reset"))
    assert "recovery:reset:asked" in await owner.the.events()


async def test_deleted(owner: Browser, ben: str) -> None:
    at = f"{PEOPLE}/{ben}"
    assert led(await owner.send(f"{at}/delete", decision="delete")) == f"{PEOPLE}?done=deleted"
    assert ben not in {row["id"] for row in await owner.the.rows(person)}
    for path in (at, f"{at}/delete", f"{at}/reset"):
        assert outcome(await owner.get(path)) == (404, "admin-gone", "not_found")


async def test_added(owner: Browser) -> None:
    path = led(await owner.send(PEOPLE, at=f"{PEOPLE}/new", email="new@example.com", role="read_only"))
    made = await id_of(owner.the, "new@example.com")
    assert path == f"{PEOPLE}/{made}?done=created"
    assert await roles_of(owner.the, made) == ["read_only"]
    again = await owner.send(PEOPLE, at=f"{PEOPLE}/new", email="New@example.com")
    assert outcome(again) == (409, "admin-person-new", "conflict")
    faulty = await owner.send(PEOPLE, at=f"{PEOPLE}/new", email="new..x@example.com")
    assert outcome(faulty) == (422, "admin-person-new", "invalid")
    assert "email" in Page(faulty.text).marked
    assert 'value="new..x@example.com"' in faulty.text


async def test_the_last_owner_stays(owner: Browser) -> None:
    """Of two owners one takes the role from the other; then there is nobody to ask."""
    folk = Folk(owner.the)
    other = await folk.create("other@example.com", "owner")
    at = f"{PEOPLE}/{other.person_id}"
    led(await owner.send(f"{at}/roles/owner/remove", at=at))
    mine = f"{PEOPLE}/{await id_of(owner.the, 'boss@example.com')}"
    assert posted(await owner.page(mine)) == set()


# -- a step-up in the middle -----------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["/disable", "/sign-out", "/roles", "/reset", "/delete"])
async def test_a_step_up_returns_to_the_person(owner: Browser, ben: str, tail: str) -> None:
    """To the page that the form stands on. Nothing has happened by then."""
    at = f"{PEOPLE}/{ben}"
    page = at + tail if tail in ("/reset", "/delete") else at
    typed = {"/roles": {"role": "admin"}, "/delete": {"decision": "delete"}}.get(tail, {})
    found = await owner.page(page)
    [form] = [form for form in found.forms if form.action == at + tail]
    owner.the.clock.forward(MINUTES)
    before = await owner.the.everything(but=_OF_A_SIGN_IN)
    assert led(await owner.http.post(form.action, data={**form.fields, **typed})) == "/signin/password"
    assert await owner.the.everything(but=_OF_A_SIGN_IN) == before
    back = led(await owner.send("/signin/password", password=PASSWORD))
    assert back == page
    assert led(await owner.send(at + tail, at=page, **typed)).startswith("/admin/people")


async def test_a_form_to_fill_in_asks_who_it_is_first(owner: Browser) -> None:
    owner.the.clock.forward(MINUTES)
    for path in (f"{PEOPLE}/new", "/admin/roles-new", "/admin/policy"):
        page = await owner.page(path)
        assert page.actions - {"/account/confirm"} == set(), path
        assert led(await owner.send("/account/confirm", at=path)) == "/signin/password"
        assert led(await owner.send("/signin/password", password=PASSWORD)) == path
        assert page.name == (again := await owner.page(path)).name
        assert again.actions - {"/account/confirm"}
        owner.the.clock.forward(MINUTES)


# -- who sees what ---------------------------------------------------------------------------------


async def test_who_only_reads_sees_no_form(lite: The, ben: str) -> None:
    async with one_with(lite, "read_only") as reader:
        assert (await reader.get(PEOPLE)).status_code == 200
        for path in (PEOPLE, f"{PEOPLE}/{ben}", "/admin/roles", "/admin/roles/admin"):
            page = await reader.page(path)
            assert posted(page) == set(), path
            assert not [link for link in page.links if link.endswith(("/new", "-new", "/delete", "/reset"))], path
            assert "/admin/policy" not in page.links
        token = Page((await reader.get("/account")).text).forms[0].fields["csrf_token"]
        before = await lite.everything(but=("audit_event",))
        for tail in ("disable", "enable", "sign-out", "roles", "roles/user/remove", "reset", "delete"):
            typed = {"roles": {"role": "user"}, "delete": {"decision": "delete"}}.get(tail, {})
            refused = await reader.http.post(f"{PEOPLE}/{ben}/{tail}", data={"csrf_token": token, **typed})
            assert refused.status_code == 403, tail
            assert Page(refused.text).alert == "permission_missing", tail
        assert await lite.everything(but=("audit_event",)) == before


async def test_an_admin_sees_no_button_over_an_owner(lite: The) -> None:
    chief = await Folk(lite).create("chief@example.com", "owner")
    equal = await Folk(lite).create("equal@example.com", "admin")
    async with one_with(lite, "admin") as boss:
        page = await boss.page(f"{PEOPLE}/{chief.person_id}")
        assert (page.name, posted(page)) == ("admin-person", set())
        at = f"{PEOPLE}/{equal.person_id}"
        over_equal = posted(await boss.page(at))
        assert over_equal == {f"{at}/sign-out", f"{at}/roles", f"{at}/roles/admin/remove"}
        mine = f"{PEOPLE}/{await id_of(lite, 'boss@example.com')}"
        assert posted(await boss.page(mine)) == set()


async def test_each_displayed_button_is_granted(lite: The) -> None:
    """Whatever is displayed over somebody with less, with as much, and with more does not refuse."""
    folk = Folk(lite)
    async with one_with(lite, "admin") as boss:
        for name in ("user", "read_only", "admin", "owner"):
            for number in range(8):
                who = await folk.create(f"{name}{number}@example.com", name)
                forms = sorted(posted(await boss.page(at := f"{PEOPLE}/{who.person_id}")))
                if number >= len(forms):
                    break
                answer = await boss.send(forms[number], at=at)
                assert answer.status_code == 303, forms[number]
                assert "done=" in answer.headers["location"]


async def test_a_user_sees_nothing_of_it(lite: The, ben: str) -> None:
    async with one_with(lite, "user", email="cara@example.com") as cara:
        assert "/admin" not in (await cara.page("/account")).links
        for path in ("/admin", PEOPLE, f"{PEOPLE}/new", f"{PEOPLE}/{ben}", "/admin/policy", "/admin/roles"):
            assert outcome(await cara.get(path)) == (403, "error", "permission_missing"), path
        await become(lite, "cara@example.com", "user", "read_only")
        assert "/admin" in (await cara.page("/account")).links
        assert led(await cara.get("/admin")) == PEOPLE


async def test_sections_by_permission(lite: The) -> None:
    """Somebody may see the policy alone, and of a person only what their permissions let them read."""
    ben = await Folk(lite).create("ben@example.com")
    row = await row_of(lite, "ben@example.com")
    async with lite.gate.services.store.write() as db:
        own = {"tenant_id": row["tenant_id"], "description": "", "created_at": 0, "updated_at": 0}
        await db.add(role, name="auditor", permissions="me:read policy:read", **own)
        await db.add(role, name="desk", permissions="me:read users:read sessions:read", **own)
    async with one_with(lite, "auditor") as one:
        assert led(await one.get("/admin")) == "/admin/policy"
        assert {link for link in (await one.page("/admin/policy")).links if link.startswith("/admin")} == {
            "/admin/policy",
            "/admin/policy/why",
        }
        assert (await one.get(PEOPLE)).status_code == 403
        before = await lite.events()
        await become(lite, "boss@example.com", "desk")
        assert (await one.page(f"{PEOPLE}/{ben.person_id}")).name == "admin-person"
        assert await lite.events() == before, "nothing was asked for that is refused"


# -- what is not there, and what is foreign ----------------------------------------------------------


@pytest.mark.parametrize("tail", ["/disable", "/sign-out", "/roles", "/roles/user/remove", "/reset", "/delete"])
async def test_somebody_deleted_in_between(owner: Browser, ben: str, tail: str) -> None:
    at = f"{PEOPLE}/{ben}"
    page = at + tail if tail in ("/reset", "/delete") else at
    [form] = [form for form in (await owner.page(page)).forms if form.action == at + tail]
    await owner.send(f"{at}/delete", decision="delete")
    typed = {"/roles": {"role": "admin"}, "/delete": {"decision": "delete"}}.get(tail, {})
    assert outcome(await owner.http.post(form.action, data={**form.fields, **typed})) == (
        404,
        "admin-gone",
        "not_found",
    )


async def test_somebody_of_another_tenant(owner: Browser) -> None:
    folk = Folk(owner.the)
    async with folk.ctx.write() as db:
        await db.add(tenant, id=NEVER, name="other", display_name="Other", policy="{}", created_at=0)
        await db.add(
            person, id=NEVER, tenant_id=NEVER, email="o@example.com", email_key="o@example.com", profile="{}",
            created_at=0, updated_at=0,
        )  # fmt: skip
    before = await owner.the.everything(but=("audit_event",))
    token = Page((await owner.get("/account")).text).forms[0].fields["csrf_token"]
    for tail in ("disable", "enable", "sign-out", "roles", "reset", "delete"):
        typed = {"roles": {"role": "admin"}, "delete": {"decision": "delete"}}.get(tail, {})
        answer = await owner.http.post(f"{PEOPLE}/{NEVER}/{tail}", data={"csrf_token": token, **typed})
        assert outcome(answer) == (404, "admin-gone", "not_found"), tail
    assert outcome(await owner.get(f"{PEOPLE}/{NEVER}"))[0] == 404
    assert await owner.the.everything(but=("audit_event",)) == before


async def test_from_another_site(owner: Browser, ben: str) -> None:
    """Without Sec-Fetch-Site and Origin the form's token decides; with them they do."""
    path, the = f"{PEOPLE}/{ben}/disable", owner.the
    [form] = [form for form in (await owner.page(f"{PEOPLE}/{ben}")).forms if form.action == path]
    before = await the.everything(but=("audit_event",))
    for data, headers in (
        ({}, {}),
        ({"csrf_token": "00" * 32}, {}),
        (form.fields, {"sec-fetch-site": "cross-site"}),
        (form.fields, {"origin": "https://evil.example"}),
    ):
        refused = await owner.http.post(path, data=data, headers=headers)
        assert (refused.status_code, Page(refused.text).alert) == (403, "csrf_refused"), headers
    assert await the.everything(but=("audit_event",)) == before
    led(await owner.http.post(path, data=form.fields))
    enabled = await owner.http.post(f"{PEOPLE}/{ben}/enable", headers=SAME)
    assert led(enabled).startswith(f"{PEOPLE}/{ben}"), "without a token from the same site"


# -- promoting oneself -----------------------------------------------------------------------------


async def test_nobody_promotes_themselves(lite: The, ben: str) -> None:
    async with one_with(lite, "admin") as boss:
        me = await id_of(lite, "boss@example.com")
        token = Page((await boss.get("/account")).text).forms[0].fields["csrf_token"]

        async def sent(path: str, **typed: str) -> httpx2.Response:
            return await boss.http.post(path, data={"csrf_token": token, **typed})

        before = await lite.everything(but=("audit_event",))
        for path, typed, status in (
            (f"{PEOPLE}/{me}/roles", {"role": "owner"}, 403),
            (f"{PEOPLE}/{me}/roles", {"role": "admin"}, 403),
            (f"{PEOPLE}/{me}/roles/admin/remove", {}, 403),
            (f"{PEOPLE}/{ben}/roles", {"role": "owner"}, 403),
            (f"{PEOPLE}/{ben}/roles", {"role": "nobody-made-it"}, 422),
            (f"{PEOPLE}/{ben}/roles", {"role": "../../me"}, 404),
            (f"{PEOPLE}/{ben}/roles", {"role": "admin", "roles": "owner"}, 422),
            (f"{PEOPLE}/{ben}/roles", {"role": "admin", "tenant_id": "x"}, 422),
            (f"{PEOPLE}/{ben}/roles", {}, 422),
            (f"{PEOPLE}/{ben}/disable", {"id": me}, 422),
            (PEOPLE, {"email": "x@example.com", "role": "owner"}, 403),
            (PEOPLE, {"email": "x@example.com", "roles": "owner"}, 422),
            ("/account", {"name": "B", "roles": "owner"}, 422),
            ("/admin/policy", {"was": "{}", "second": "always"}, 422),
            ("/admin/roles", {"name": "mine", "may.policy:write": "1"}, 403),
            ("/admin/roles/admin", {"was": '{"permissions":[]}', "may.policy:write": "1"}, 403),
            ("/admin/roles/admin", {"was": '{"permissions":5}'}, 422),
        ):
            answer = await sent(path, **typed)
            assert answer.status_code == status, (path, typed)
        assert await lite.everything(but=("audit_event",)) == before


# -- the policy ------------------------------------------------------------------------------------


async def _policy(the: The) -> str:
    return str((await the.rows(tenant))[0]["policy"])


async def test_the_policy_is_changed(owner: Browser) -> None:
    assert led(await owner.send("/admin/policy", remember_days="7", password_alone="20")) == "/admin/policy?done=policy"
    assert json.loads(await _policy(owner.the)) == {"remember_days": 7, "password_alone": 20}
    assert "tenant:policy:changed" in await owner.the.events()
    before = await owner.the.everything()
    led(await owner.send("/admin/policy"))
    after = await owner.the.everything()
    assert after["audit_event"] == before["audit_event"], "nothing was changed, and nothing is recorded"


async def test_members_of_a_field_are_fields_of_the_form(owner: Browser) -> None:
    """One that the form does not change stays, whatever another tab has made of it meanwhile."""
    old = next(form for form in (await owner.page("/admin/policy")).forms if form.action == "/admin/policy")
    assert old.fields["recovery_codes.count"] == "10"
    led(await owner.send("/admin/policy", **{"recovery_codes.mailed": "1"}))
    led(await owner.http.post("/admin/policy", data={**old.fields, "recovery_codes.count": "5"}))
    assert json.loads(await _policy(owner.the)) == {"recovery_codes": {"count": 5, "mailed": True}}
    given = {"password_checks": "length", "password_alone": "6", "totp_shown_again": "1"}
    led(await owner.send("/admin/policy", **given, mailed_second_factor="enrolled"))
    stored = json.loads(await _policy(owner.the))
    assert {name: stored[name] for name in stored if name != "recovery_codes"} == {
        "password_checks": "length",
        "password_alone": 6,
        "totp_shown_again": True,
        "mailed_second_factor": "enrolled",
    }


async def test_two_tabs_change_two_fields(owner: Browser) -> None:
    """A field that the other tab has changed meanwhile stays as it is."""
    old = next(form for form in (await owner.page("/admin/policy")).forms if form.action == "/admin/policy")
    await owner.send("/admin/policy", remember_days="7")
    led(await owner.http.post("/admin/policy", data={**old.fields, "password_alone": "20"}))
    page = next(form for form in (await owner.page("/admin/policy")).forms if form.action == "/admin/policy")
    assert (page.fields["remember_days"], page.fields["password_alone"]) == ("7", "20")


@pytest.mark.parametrize(
    ("typed", "marked"),
    [
        ({"remember_days": "9999"}, "remember_days"),
        ({"remember_days": "-1"}, "remember_days"),
        ({"remember_days": ""}, "remember_days"),
        ({"remember_days": "9" * 30}, "remember_days"),
        ({"second": "perhaps"}, "second"),
        ({"recovery_codes.count": "4"}, "recovery_codes.count"),
        ({"recovery_codes.count": "five"}, "recovery_codes.count"),
        ({"mailed_second_factor": "nobody"}, "mailed_second_factor"),
        ({"password_checks": "none"}, "password_checks"),
        ({"was": "[]"}, ""),
        ({"was": "nonsense"}, ""),
    ],
)
async def test_a_faulty_policy(owner: Browser, typed: dict[str, str], marked: str) -> None:
    refused = await owner.send("/admin/policy", **typed)
    assert outcome(refused) == (422, "admin-policy", "invalid")
    assert not marked or marked in Page(refused.text).marked
    assert await _policy(owner.the) == "{}"


async def test_who_may_not_change_the_policy_reads_it(lite: The) -> None:
    async with one_with(lite, "admin") as boss:
        page = await boss.page("/admin/policy")
        assert (page.name, posted(page)) == ("admin-policy", set())


async def test_why(owner: Browser, ben: str) -> None:
    def decision(answer: httpx2.Response) -> str:
        assert answer.status_code == 200
        tags = Page(answer.text).tags
        return next(given["data-decision"] for _, given in tags if "data-decision" in given)

    path = "/admin/policy/why"
    assert decision(await owner.send(path)) == "need"
    assert decision(await owner.send(path, **{"proof.password": "1"})) == "enough"
    assert decision(await owner.send(path, **{"proof.password": "1", "has.totp": "1"})) == "need"
    for who in (ben, "ben@example.com", " BEN@example.com "):
        assert decision(await owner.send(path, who=who, **{"proof.password": "1"})) == "need", "he has an app"
    for who in ("be", "nobody@example.com"):
        assert outcome(await owner.send(path, who=who)) == (422, "admin-policy-why", "invalid")
    assert (await owner.send(path, who=NEVER)).status_code == 404


# -- roles -----------------------------------------------------------------------------------------


async def test_a_role_from_beginning_to_end(owner: Browser, ben: str) -> None:
    at = "/admin/roles/auditor"
    typed = {"name": "auditor", "description": "<script>alert(1)</script>", "may.audit:read": "1"}
    assert led(await owner.send("/admin/roles", at="/admin/roles-new", **typed)) == f"{at}?done=created"
    for path in ("/admin/roles", at, f"{at}/delete"):
        assert "<script>alert" not in (await owner.get(path)).text
    await owner.send(f"{PEOPLE}/{ben}/roles", at=f"{PEOPLE}/{ben}", role="auditor")
    old = next(form for form in (await owner.page(at)).forms if form.action == at)
    led(await owner.send(at, **{"may.users:read": "1"}))
    led(await owner.http.post(at, data={**old.fields, "may.policy:read": "1", "description": "Audits"}))
    [made] = await owner.the.rows(role)
    assert (made["permissions"], made["description"]) == ("audit:read policy:read users:read", "Audits"), "of two tabs"
    del old.fields["may.audit:read"]
    led(await owner.http.post(at, data=old.fields))
    assert (await owner.the.rows(role))[0]["permissions"] == "policy:read users:read"
    assert outcome(await owner.send(f"{at}/delete", decision="delete")) == (409, "admin-role-delete", "conflict")
    page = Page((await owner.send(f"{at}/delete", decision="delete")).text)
    form = next(form for form in page.forms if form.action == f"{at}/delete")
    assert (
        led(await owner.http.post(form.action, data={**form.fields, "decision": "take"})) == "/admin/roles?done=deleted"
    )
    assert (await owner.the.rows(role), await roles_of(owner.the, ben)) == ([], ["user"])
    assert outcome(await owner.get(at)) == (404, "admin-role-gone", "not_found")


async def test_an_address_that_is_no_role(owner: Browser) -> None:
    for path in ("/admin/roles/nobody-made-it", "/admin/roles/nobody-made-it/delete", "/admin/roles/%3Cb%3E"):
        answer = await owner.get(path)
        assert answer.status_code == 404, path
        assert "<b>" not in answer.text.partition("<h1>")[2].partition("</h1>")[0]


async def test_a_faulty_role(owner: Browser) -> None:
    for typed, status in (
        ({"name": "No Name", "may.me:read": "1"}, 422),
        ({"name": "", "may.me:read": "1"}, 422),
        ({"name": "owner", "may.me:read": "1"}, 422),
    ):
        refused = await owner.send("/admin/roles", at="/admin/roles-new", **typed)
        assert outcome(refused) == (status, "admin-role-new", "invalid"), typed
    assert await owner.the.rows(role) == []


async def test_a_role_of_an_organization_that_can_be_given(owner: Browser, ben: str) -> None:
    await owner.send("/admin/roles", at="/admin/roles-new", name="auditor", **{"may.audit:read": "1"})
    at = f"{PEOPLE}/{ben}"
    led(await owner.send(f"{at}/roles", at=at, role="auditor"))
    assert await roles_of(owner.the, ben) == ["auditor", "user"]
    async with owner.the.gate.services.store.write() as db:
        await db.change(update(role).values(permissions="policy:write"))
    await become(owner.the, "boss@example.com", "admin")
    page = await owner.page(at)
    assert f"{at}/roles/auditor/remove" not in posted(page), "he may do more than an admin by now"


# -- invitations -----------------------------------------------------------------------------------


async def test_an_invitation_and_its_end(owner: Browser) -> None:
    path = "/admin/invitations"
    assert led(await owner.send(path, email="new@example.com", role="admin")) == f"{path}?done=invited"
    [mail] = await owner.the.mails("new@example.com")
    page = await owner.page(path)
    [cancel] = [form for form in page.forms if form.action.endswith("/cancel")]
    [other] = [form for form in (await owner.page(path)).forms if form.action.endswith("/cancel")]
    assert mail["link"].rpartition("/")[2] not in (await owner.get(path)).text, "the link is in the mail alone"
    assert led(await owner.http.post(cancel.action, data=cancel.fields)) == f"{path}?done=canceled"
    assert [form for form in (await owner.page(path)).forms if form.action.endswith("/cancel")] == []
    again = await owner.http.post(other.action, data=other.fields)
    assert outcome(again) == (404, "admin-invitations", "not_found"), "the other tab"


async def test_nobody_invites_somebody_to_more_than_they_may(lite: The) -> None:
    async with one_with(lite, "admin") as boss:
        token = Page((await boss.get("/account")).text).forms[0].fields["csrf_token"]
        before = await lite.everything(but=("audit_event",))
        asked = {"csrf_token": token, "email": "new@example.com", "role": "owner"}
        refused = await boss.http.post("/admin/invitations", data=asked)
        assert outcome(refused) == (403, "admin-invitations", "permission_missing")
        assert await lite.everything(but=("audit_event",)) == before
        offered = [given["value"] for tag, given in (await boss.page("/admin/invitations")).tags if tag == "option"]
        assert "owner" not in offered
        assert {"admin", "user"} <= set(offered)
