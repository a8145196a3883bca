"""Rules that let weak passwords in, which only development may have: what they allow there, and that production neither
stores them, nor starts with them, nor acts on them.

How a password is refused otherwise is tested over HTTP.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.core.factors import password
from passgate.core.rules import Rules
from passgate.errors import Invalid, PasswordRefused, UnsafeSettings
from passgate.settings import Settings
from passgate.store.tables import tenant
from passgate.testing import CHEAP
from tests import operating
from tests.core.having import policy
from tests.kit import Person, The, bearer, code_of, handle_of, running, settings_for, token_of

WEAK: dict[str, Any] = {"password_checks": "length", "password_alone": 6}
SHORT = "123456"
ROOT = ("r4" * 8 + "Kq7Wz0" * 6,)


def production(data: Path, database_url: str | None = None) -> Settings:
    more: dict[str, Any] = {"database_url": database_url} if database_url else {}
    return Settings.production(
        data=data,
        public_url="https://id.passgate.test",
        secrets=ROOT,
        mail={"url": "smtp://127.0.0.1:1"},
        metrics={"token": "m3trics-t0ken-of-the-tests"},
        **more,
    )


async def test_six_digits_do_in_development(the: The) -> None:
    await policy(the, **WEAK)
    handle = handle_of(await the.signup("anna@example.com", SHORT))
    assert (await the.prove(handle, "email_code", await the.code("anna@example.com"))).status_code == 200
    anna = Person("anna@example.com", SHORT, token_of(await the.finish(handle)))
    await the.signed_in(anna)
    for given, why in (("12345", "short"), ("x" * 257, "long")):
        refused = await the.signup("bert@example.com", given)
        assert (code_of(refused), refused.json()["fields"]) == ("password_refused", {"password": why})
    changed = await the.http.post("/api/v1/me/password", json={"password": "654321"}, headers=anna.auth)
    assert changed.status_code == 204


@pytest.mark.parametrize(
    ("rules", "given", "why"),
    [
        ({"password_alone": 6}, SHORT, "common"),
        ({"password_alone": 6}, "anna@example", "context"),
        ({"password_checks": "length"}, "12345678901234", "short"),
        ({"password_checks": "length"}, "123456789012345", None),
        ({}, "123456789012345", "common"),
    ],
)
async def test_each_rule_by_itself(lite: The, rules: dict[str, Any], given: str, why: str | None) -> None:
    await policy(lite, **rules)
    answer = await lite.signup("anna@example.com", given)
    if why is None:
        assert answer.status_code == 202
    else:
        assert (code_of(answer), answer.json()["fields"]) == ("password_refused", {"password": why})


async def test_production_does_not_store_them(tmp_path: Path, database_url: str | None) -> None:
    """Neither an owner nor the operator; whatever else is asked for at the same time is not stored either."""
    given: dict[str, Any] = {"database_url": database_url, "secrets": ROOT}
    async with running(settings_for(tmp_path, **given)) as the:
        anna = await the.person()
        await operating.give_role(Ctx(the.gate.services), anna.email, "owner", tenants.MAIN)
    async with running(production(tmp_path, database_url), ip="203.0.113.9") as the:
        the.clock.forward(hours=1)  # so that no id is drawn twice
        handle = handle_of(await the.start(anna.email))
        assert (await the.prove(handle, "password", anna.password)).status_code == 200
        token = token_of(await the.finish(handle))
        mine = (await the.session(token)).json()["tenant"]["id"]
        path, before = f"/api/v1/tenants/{mine}/policy", await the.rows(tenant)
        for change, fields in (
            ({"password_checks": "length"}, {"password_checks": "value"}),
            ({"password_alone": 14}, {"password_alone": "value"}),
            ({**WEAK, "max_age": 60}, {"password_checks": "value", "password_alone": "value"}),
        ):
            refused = await the.http.patch(path, json=change, headers=bearer(token))
            assert (refused.status_code, code_of(refused)) == (422, "invalid")
            assert refused.json()["fields"] == fields
            with pytest.raises(Invalid):
                await the.gate.at(None, tenant=tenants.MAIN).admin.change_policy(mine, **change)
        assert await the.rows(tenant) == before
        assert (await the.http.patch(path, json={"max_age": 60}, headers=bearer(token))).status_code == 200


@pytest.mark.parametrize(
    ("rules", "codes"),
    [
        ({"password_alone": 14}, ["PASSWORD_SHORT"]),
        ({"password_beside": 7}, ["PASSWORD_SHORT"]),
        ({"password_checks": "length"}, ["PASSWORD_UNCHECKED"]),
        (WEAK, ["PASSWORD_SHORT", "PASSWORD_UNCHECKED"]),
        ({"password_alone": 16, "password_checks": "full"}, []),
    ],
)
async def test_production_does_not_start_with_them(
    tmp_path: Path, database_url: str | None, rules: dict[str, Any], codes: list[str]
) -> None:
    """Not as a program's library either, which asks no command."""
    async with running(settings_for(tmp_path, database_url, secrets=ROOT)) as the:
        await policy(the, **rules)
    if not codes:
        async with running(production(tmp_path, database_url)):
            return
    with pytest.raises(UnsafeSettings) as refused:
        async with running(production(tmp_path, database_url)):
            pytest.fail("it started")
    assert [code for code, _ in refused.value.reasons] == codes
    assert all("main" in text for _, text in refused.value.reasons)


async def test_production_never_acts_on_them(tmp_path: Path) -> None:
    """Where such rules get into the database of a running production, by whichever hand."""
    async with running(settings_for(tmp_path, secrets=ROOT)):
        pass
    async with running(production(tmp_path)) as the:
        await policy(the, **WEAK)
        ctx = Ctx(the.gate.services)
        async with ctx.read() as db:
            found = await tenants.find(ctx, db, tenants.MAIN)
        assert found is not None
        assert found.rules == Rules(**WEAK)
        for given, why in ((SHORT, "short"), ("12345678901234", "short"), ("123456789012345", "common")):
            with pytest.raises(PasswordRefused) as refused:
                await password.vetted(ctx, given, found.rules, ())
            assert refused.value.fields == {"password": why}
    async with running(settings_for(tmp_path, secrets=ROOT, hash=CHEAP)) as the:
        await password.vetted(Ctx(the.gate.services), SHORT, Rules(**WEAK), ())
