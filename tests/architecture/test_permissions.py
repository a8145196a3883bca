"""Permissions: every one that is asked exists, and every one that exists is asked. Not here: who has which
(`tests/core/test_access`)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from sqlalchemy import delete

from passgate.core import access, tenants
from passgate.core.action import CHANGES, action
from passgate.core.ctx import Ctx
from passgate.core.permissions import DESCRIPTIONS, PERMISSIONS, ROLES, of_role, registered
from passgate.errors import PermissionMissing
from passgate.store.tables import audit_event, role_grant
from tests import catalogue, operating
from tests.architecture.population import Population
from tests.architecture.reference import modules, nodes
from tests.core.behind import Folk
from tests.kit import The, bearer, code_of

SRC = Path(access.__file__).parents[1]
PERMISSION = re.compile(r"[a-z_]+:[a-z_]+")
EXISTING = set(PERMISSIONS)
AWAITED = {
    "clients:write": "OpenID clients",
}
"""Those that only a host's own routes ask so far (`gate.may`), and what of ours will. An endpoint that asks one takes
its line away."""


ASKING = (
    "require",
    "require_to_read",
    "may",
    "missing",
    "standing",
    "administration",
    "_may_begin",
    "_may_read",
    "Requires",
)


def asked() -> set[str]:
    """The literals that our own code passes as a permission."""
    found = {CHANGES}
    for tree in modules().values():
        for call in (node for node in nodes(tree) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            given = [one.value for one in call.keywords if one.arg == "permission"]
            given += (
                [one for arg in call.args for one in ast.walk(arg) if isinstance(one, ast.expr)]
                if name in ASKING
                else []
            )
            found |= {
                one.value
                for one in given
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and PERMISSION.fullmatch(one.value)
            }
    return found


def test_the_built_in_roles_are_made_of_them() -> None:
    """An owner has each, nobody has one that is none, and each role says what it is for."""
    assert ROLES["owner"] == EXISTING
    assert frozenset().union(*ROLES.values()) <= EXISTING
    assert DESCRIPTIONS.keys() == ROLES.keys()
    assert all(PERMISSION.fullmatch(name) for name in EXISTING)


def test_a_host_adds_some_and_changes_none() -> None:
    own = registered({"invoices:read": "See invoices"})
    for role, allowed in ROLES.items():
        more = own.keys() if role == "owner" else set()
        assert of_role(role, " ".join([*own, *EXISTING]), own) == allowed | more, "what is stored adds nothing to them"
    for area in {name.partition(":")[0] for name in EXISTING}:
        with pytest.raises(ValueError, match="own permissions"):
            registered({f"{area}:fly": "Fly"})


def test_each_is_asked_and_each_that_is_asked_exists() -> None:
    assert asked() <= EXISTING, "nobody could ever have it"
    assert asked() | AWAITED.keys() == EXISTING, "nothing asks it"
    assert not asked() & AWAITED.keys(), "it is asked now: take its line away"


READ_ONLY = [key for key in catalogue.fresh() if "/tenants/" not in key and "/users" not in key]
ANYBODY = {"GET /api/v1/me/totp/qr", "POST /api/v1/me/unlock", "POST /api/v1/me/totp", "POST /api/v1/me/passkeys"}
"""What changes nothing: looking at an offer, and unlocking what wrong answers of others have locked."""


@pytest.mark.parametrize("endpoint", [key for key in READ_ONLY if key not in ANYBODY])
async def test_who_may_only_read_changes_nothing(lite_population: Population, endpoint: str) -> None:
    population, key = lite_population, endpoint
    ask = await catalogue.asked()[key].asks(population)
    async with population.folk.ctx.write() as db:
        for who in population.people.values():
            for role in await access.roles_of(db, who.tenant_id, who.id):
                await db.change(delete(role_grant).where(role_grant.c.role == role))
            await access.grant(population.folk.ctx, db, who.tenant_id, who.id, "read_only")
    answer = await population.send(key.partition(" ")[0], ask)
    assert (answer.status_code, code_of(answer)) == (403, "permission_missing")


async def test_a_profile_stays_and_the_refusal_is_recorded(the: The) -> None:
    anna = await the.person()
    ctx = Ctx(the.gate.services)
    await operating.give_role(ctx, anna.email, "read_only", tenants.MAIN)
    await operating.take_role(ctx, anna.email, "user", tenants.MAIN)
    answer = await the.http.patch("/api/v1/me", json={"profile": {"name": "x"}}, headers=bearer(anna.token))
    assert (answer.status_code, code_of(answer)) == (403, "permission_missing")
    assert (await the.http.get("/api/v1/me", headers=anna.auth)).json()["user"]["profile"] == {}
    assert (await the.rows(audit_event))[-1]["event"] == "access:refused"
    assert (await the.http.delete("/api/v1/me/sessions", headers=anna.auth)).status_code == 204, "anybody may leave"
    assert (await the.http.delete("/api/v1/session", headers=anna.auth)).status_code == 204


async def test_an_action_asks_for_changes_by_default(lite: The) -> None:
    """What is forgotten is refused."""
    folk = Folk(lite)
    actor = await folk.create(None, "read_only")
    with pytest.raises(PermissionMissing):
        async with action(folk.acting(actor)):
            pytest.fail("the action ran")
