"""The entries of the pages of admins: what their forms send, by the owner Anna about Ben, and how an owner in a real
browser gets there.

Not here: what the pages do, which is in `tests/web/test_pages_admin`.
"""

from __future__ import annotations

import json

from passgate.store.tables import person, role_grant
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue.asks import NEVER
from tests.catalogue.asks_pages import SESSION, form
from tests.catalogue.entry import Asks, Entry, Right, Stop, Way
from tests.catalogue.outcomes import FRESH_PAGE, NOT_FOUND, VISITOR, Row, Rule

_PEOPLE, _POLICY, _ROLES = "/admin/people", "/admin/policy", "/admin/roles"
_INVITATIONS = "/admin/invitations"
_WAS = json.dumps({"description": "", "permissions": ["me:read"]})
_OF_ONE: Row = {**VISITOR, Rule.OTHERS: NOT_FOUND}
_ON_ONE: Row = {**FRESH_PAGE, Rule.OTHERS: NOT_FOUND}


def page_of(path: str, called: str, **typed: str) -> Asks:
    """A page or a form that is about nobody else."""

    async def asks(population: Population) -> Ask:
        return form(path, population.anna.token, SESSION, **typed)

    asks.__name__ = f"page_{called}"
    return asks


def about_ben(tail: str, called: str, **typed: str) -> Asks:
    """A page or a form about Ben; the others are about somebody of another tenant, and about nobody."""

    async def asks(population: Population) -> Ask:
        first, *others = (f"{_PEOPLE}/{one}{tail}" for one in (population.ben.id, population.otto.id, NEVER))
        return form(first, population.anna.token, SESSION, **typed).with_others(*({"path": one} for one in others))

    asks.__name__ = f"page_{called}"
    return asks


async def page_enables(population: Population) -> Ask:
    """Somebody who is disabled."""
    whom = await population.folk.create(population.fresh_address())
    await population.done("POST", f"/users/{whom.person_id}/disable", None, population.anna.token)
    others = ({"path": f"{_PEOPLE}/{one}/enable"} for one in (population.otto.id, NEVER))
    return form(f"{_PEOPLE}/{whom.person_id}/enable", population.anna.token, SESSION).with_others(*others)


async def page_adds_somebody(population: Population) -> Ask:
    return form(_PEOPLE, population.anna.token, SESSION, email=population.fresh_address(), role="user")


async def page_changes_policy(population: Population) -> Ask:
    """As the form does that displays this policy: everything again, and one field is another."""
    tenant = population.anna.tenant_id
    now = await population.done("GET", f"/tenants/{tenant}/policy", None, population.anna.token)
    typed = {f"{name}.{one}": "1" for name in ("first", "second_among") for one in now[name]}
    single = {name: value for name, value in now.items() if isinstance(value, str | int)}
    single |= {f"recovery_codes.{name}": value for name, value in now["recovery_codes"].items()}
    typed |= {name: str(value) for name, value in single.items() if value is not False}
    return form(_POLICY, population.anna.token, SESSION, **{**typed, "remember_days": "7", "was": json.dumps(now)})


def about_role(tail: str, called: str, **typed: str) -> Asks:
    """A page or a form about a role of the tenant's own, which nobody has; the others are about one that is not
    there."""

    async def asks(population: Population) -> Ask:
        name = f"role{next(population.numbers)}"
        await population.done("POST", "/roles", {"name": name, "permissions": ["me:read"]}, population.anna.token)
        ask = form(f"{_ROLES}/{name}{tail}", population.anna.token, SESSION, **typed)
        return ask.with_others({"path": f"{_ROLES}/nobody-made-it{tail}"})

    asks.__name__ = f"page_{called}"
    return asks


async def page_creates_role(population: Population) -> Ask:
    typed = {"name": f"role{next(population.numbers)}", "description": "Reads", "may.me:read": "1"}
    return form(_ROLES, population.anna.token, SESSION, **typed)


async def page_cancels_invitation(population: Population) -> Ask:
    """Of two invitations that of another tenant is not there."""
    asked = {"email": population.fresh_address()}
    made = [
        await population.done("POST", "/invitations", asked, who.token) for who in (population.anna, population.otto)
    ]
    first, other = (f"{_INVITATIONS}/{one['id']}/cancel" for one in made)
    missing = ({"path": other}, {"path": f"{_INVITATIONS}/{NEVER}/cancel"})
    return form(first, population.anna.token, SESSION).with_others(*missing)


async def page_invites(population: Population) -> Ask:
    return form(_INVITATIONS, population.anna.token, SESSION, email=population.fresh_address(), role="user")


# -- ways there ------------------------------------------------------------------------------------


async def become(anna: Person, role: str = "owner") -> None:
    """Get a role, whatever anybody may give."""
    [row] = [row for row in await anna.face.rows(person) if row["email"] == anna.email]
    about = {"tenant_id": row["tenant_id"], "person_id": row["id"], "role": role, "created_at": 0}
    async with anna.face.gate.services.store.write() as db:
        await db.change(db.upsert(role_grant).values(**about).on_conflict_do_nothing())


def owner_at(path: str, called: str) -> Way:
    async def way(anna: Person) -> None:
        await become(anna)
        await anna.open(path)

    way.__name__ = called
    return way


async def somebody(anna: Person) -> str:
    """The id of somebody else, who is signed in."""
    email = f"ben-of-{anna.email}"
    await anna.face.person(email)
    return str(next(row["id"] for row in await anna.face.rows(person) if row["email"] == email))


def owner_at_somebody(tail: str, called: str) -> Way:
    async def way(anna: Person) -> None:
        await become(anna)
        await anna.open(f"{_PEOPLE}/{await somebody(anna)}{tail}")

    way.__name__ = called
    return way


async def disabled(anna: Person) -> None:
    """Just now, from the page."""
    await owner_at_somebody("", "one")(anna)
    await anna.press('form[action$="/disable"] button')


async def refused(anna: Person) -> None:
    """Adding somebody who is there already."""
    await become(anna)
    await anna.open(f"{_PEOPLE}/new")
    await anna.send(_PEOPLE, email=anna.email)


async def faulty_policy(anna: Person) -> None:
    """A field with a value that is none."""
    await become(anna)
    await anna.open(_POLICY)
    await anna.page.locator("input[type=number]").evaluate_all("all => all.forEach(one => one.removeAttribute('max'))")
    await anna.send(_POLICY, remember_days="9999")


async def explained(anna: Person) -> None:
    await become(anna)
    await anna.open(f"{_POLICY}/why")
    await anna.page.check('input[name="proof.password"]')
    await anna.page.check('input[name="has.totp"]')
    await anna.send(f"{_POLICY}/why", who="")


async def role(anna: Person) -> None:
    """One of the tenant's own, just made by a form."""
    await become(anna)
    await anna.open(f"{_ROLES}-new")
    await anna.page.check('input[name="may.me:read"]')
    await anna.send(_ROLES, name=f"r{anna.email.partition('@')[0]}", description="Reads")


async def role_leaving(anna: Person) -> None:
    """Somebody has it."""
    await role(anna)
    name = anna.path.rpartition("/")[2]
    await become(anna, name)
    await anna.press(f'a[href$="/{name}/delete"]')
    await anna.press('form[action$="/delete"] button')


async def faulty_role(anna: Person) -> None:
    await become(anna)
    await anna.open(f"{_ROLES}-new")
    await anna.send(_ROLES, name="No such name")


async def invited(anna: Person) -> None:
    """Just now, from the page."""
    await become(anna)
    await anna.open(_INVITATIONS)
    await anna.send(_INVITATIONS, email=f"ben-of-{anna.email}")


async def invited_nowhere(anna: Person) -> None:
    await become(anna)
    await anna.open(_INVITATIONS)
    await anna.send(_INVITATIONS, email="anna..k@example.com")


def _page(asks: Asks, *stops: Stop, row: Row | None = None) -> Entry:
    return Entry("visitor", (Right(asks, 200, row or VISITOR),), stops=stops)


def _form(asks: Asks, row: Row = _ON_ONE) -> Entry:
    return Entry("visitor", (Right(asks, 303, row),))


MEMBER, STALE = "member", "stale"
_ONE = _PEOPLE + "/{id}"
ADMIN: dict[str, Entry] = {
    "GET /admin": Entry("visitor", (Right(page_of("/admin", "begins_at_admin"), 303, VISITOR),), leads_on=True),
    f"GET {_PEOPLE}": _page(
        page_of(_PEOPLE, "lists_people"),
        Stop("admin-people", owner_at(_PEOPLE, "people"), MEMBER),
        Stop("admin-people", owner_at(f"{_PEOPLE}?search=nobody", "nobody_found"), MEMBER),
    ),
    f"GET {_PEOPLE}/new": _page(
        page_of(f"{_PEOPLE}/new", "asks_who_is_new"),
        Stop("admin-person-new", owner_at(f"{_PEOPLE}/new", "new_person"), MEMBER),
        Stop("admin-person-new", owner_at(f"{_PEOPLE}/new", "new_person_unproved"), STALE),
        Stop("admin-person-new:conflict", refused, MEMBER),
    ),
    f"POST {_PEOPLE}": _form(page_adds_somebody, FRESH_PAGE),
    f"GET {_ONE}": _page(
        about_ben("", "one_person"),
        Stop("admin-person", owner_at_somebody("", "one_person"), MEMBER),
        Stop("admin-person", disabled, MEMBER),
        Stop("admin-gone:not_found", owner_at(f"{_PEOPLE}/{NEVER}", "gone"), MEMBER),
        row=_OF_ONE,
    ),
    f"POST {_ONE}/disable": _form(about_ben("/disable", "disables")),
    f"POST {_ONE}/enable": _form(page_enables),
    f"POST {_ONE}/sign-out": _form(about_ben("/sign-out", "signs_somebody_out")),
    f"POST {_ONE}/roles": _form(about_ben("/roles", "gives_role", role="admin")),
    f"POST {_ONE}/roles/{{role}}/remove": _form(about_ben("/roles/user/remove", "takes_role")),
    f"GET {_ONE}/reset": _page(
        about_ben("/reset", "asks_to_reset"),
        Stop("admin-person-reset", owner_at_somebody("/reset", "resetting"), MEMBER),
        Stop("admin-person-reset", owner_at_somebody("/reset", "resetting_unproved"), STALE),
        row=_OF_ONE,
    ),
    f"POST {_ONE}/reset": _form(about_ben("/reset", "resets")),
    f"GET {_ONE}/delete": _page(
        about_ben("/delete", "asks_to_delete"),
        Stop("admin-person-delete", owner_at_somebody("/delete", "deleting"), MEMBER),
        row=_OF_ONE,
    ),
    f"POST {_ONE}/delete": _form(about_ben("/delete", "deletes", decision="delete")),
    f"GET {_POLICY}": _page(
        page_of(_POLICY, "policy"),
        Stop("admin-policy", owner_at(_POLICY, "policy"), MEMBER),
        Stop("admin-policy", owner_at(_POLICY, "policy_unproved"), STALE),
        Stop("admin-policy:invalid", faulty_policy, MEMBER),
    ),
    f"POST {_POLICY}": _form(page_changes_policy, FRESH_PAGE),
    f"GET {_POLICY}/why": _page(
        page_of(f"{_POLICY}/why", "asks_why"),
        Stop("admin-policy-why", owner_at(f"{_POLICY}/why", "asking_why"), MEMBER),
        Stop("admin-policy-why", explained, MEMBER),
    ),
    f"POST {_POLICY}/why": Entry(
        "visitor", (Right(page_of(f"{_POLICY}/why", "why", purpose="signin", **{"proof.password": "1"}), 200),)
    ),
    f"GET {_ROLES}": _page(
        page_of(_ROLES, "lists_roles"),
        Stop("admin-roles", owner_at(_ROLES, "roles"), MEMBER),
    ),
    f"GET {_ROLES}-new": _page(
        page_of(f"{_ROLES}-new", "asks_for_role"),
        Stop("admin-role-new", owner_at(f"{_ROLES}-new", "new_role"), MEMBER),
        Stop("admin-role-new", owner_at(f"{_ROLES}-new", "new_role_unproved"), STALE),
        Stop("admin-role-new:invalid", faulty_role, MEMBER),
    ),
    f"POST {_ROLES}": _form(page_creates_role, FRESH_PAGE),
    f"GET {_ROLES}/{{role}}": _page(
        about_role("", "one_role"),
        Stop("admin-role", role, MEMBER),
        Stop("admin-role", owner_at(f"{_ROLES}/admin", "built_in_role"), MEMBER),
        Stop("admin-role-gone:not_found", owner_at(f"{_ROLES}/nobody-made-it", "role_gone"), MEMBER),
        row=_OF_ONE,
    ),
    f"POST {_ROLES}/{{role}}": _form(
        about_role("", "changes_role", was=_WAS, **{"may.me:read": "1", "may.users:read": "1"})
    ),
    f"GET {_ROLES}/{{role}}/delete": _page(
        about_role("/delete", "asks_to_delete_role"),
        Stop("admin-role-delete:conflict", role_leaving, MEMBER),
        row=_OF_ONE,
    ),
    f"POST {_ROLES}/{{role}}/delete": _form(about_role("/delete", "deletes_role", decision="delete")),
    f"GET {_INVITATIONS}": _page(
        page_of(_INVITATIONS, "lists_invitations"),
        Stop("admin-invitations", invited, MEMBER),
        Stop("admin-invitations", owner_at(_INVITATIONS, "invitations_unproved"), STALE),
        Stop("admin-invitations:invalid", invited_nowhere, MEMBER),
    ),
    f"POST {_INVITATIONS}": _form(page_invites, FRESH_PAGE),
    f"POST {_INVITATIONS}/{{id}}/cancel": _form(page_cancels_invitation),
}
