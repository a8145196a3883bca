"""`gate.at(request, token=…)`: whoever the token belongs to acts, and no other credential of the request does.

Not here: what twins do otherwise (`test_twins`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import Request, Response

from passgate import errors, testing
from passgate.core.site import Site
from passgate.operations import Operations
from passgate.testing import PASSWORD, Gate
from tests.kit import FIREFOX, bearer
from tests.library.host import Host, hosting
from tests.library.test_twins import audited

ANNA, BERT = "anna@example.com", "bert@example.com"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with hosting(testing.gate()) as made:
        yield made


async def acting(host: Host, token: str | None, work: Callable[[Operations], Awaitable[Any]], **sent: Any) -> Any:
    """What `work` returns or raises for this token, in a request that is sent otherwise."""
    return await host.within(lambda request, _response: work(host.gate.at(request, token=token)), **sent)


async def email(at: Operations) -> str:
    return (await at.me.show()).user.email


@pytest.mark.parametrize("carrier", ["bearer", "jwt"])
async def test_in_the_request_in_which_a_sign_in_has_just_finished(host: Host, carrier: Any) -> None:
    handle = await host.proved(ANNA)

    async def finishes(request: Request, _response: Response) -> Any:
        carried = await host.gate.at(request).signin.finish(handle, carrier=carrier)
        with pytest.raises(errors.CredentialMissing):
            await host.gate.at(request).me.show()
        token = carried.token or carried.access_token
        return carried, await host.gate.at(request, token=token).session.show()

    carried, whole = await host.within(finishes)
    assert (whole.user.email, whole.session.id) == (ANNA, carried.session.id)


async def test_only_the_token_counts(host: Host) -> None:
    """Neither a cookie nor a header of somebody else, right or wrong, nor a guard that has found them before."""
    anna = await testing.sign_in(host.http, ANNA, carrier="bearer")
    bert = await testing.sign_in(host.http, BERT, carrier="bearer")
    await testing.sign_in(host.http, BERT)
    cookie = f"passgate_session={host.http.cookies['passgate_session']}"
    for path in ("/run", "/guarded"):
        assert await acting(host, anna.token, email, path=path) == ANNA
        assert await acting(host, anna.token, email, path=path, headers=bearer(bert.token or "")) == ANNA
    for headers in ({"authorization": "Basic x"}, {"authorization": "Bearer"}, {"cookie": "passgate_session=pg_ses_x"}):
        assert await acting(host, anna.token, email, headers=headers) == ANNA
    for path in ("/run", "/guarded"):
        assert await host.run(email, path=path, headers={"cookie": cookie}) == BERT


async def test_it_changes_things_of_its_owner_alone(host: Host) -> None:
    """The other person's cookie is in the request; the trail names the token's owner."""
    anna = await testing.sign_in(host.http, ANNA, carrier="bearer")
    bert = await testing.sign_in(host.http, BERT)
    await acting(host, anna.token, lambda at: at.me.change(profile={"a": 1}))
    row = (await audited(host.gate))[-1]
    assert (row["event"], row["actor_id"], row["subject_id"]) == ("account:profile:changed", anna.id, anna.id)
    await acting(host, anna.token, lambda at: at.session.end())
    with pytest.raises(errors.SessionEnded):
        await acting(host, anna.token, email)
    found = await host.run(lambda at: at.me.show())
    assert (found.user.id, found.user.profile) == (bert.id, {})


async def test_a_session_of_the_browser_is_not_replaced(host: Host) -> None:
    """A sign-in that ends in a cookie ends the session that its browser has of somebody else; with a token of the
    program's there is no such session."""
    anna = await testing.sign_in(host.http, ANNA, carrier="bearer")
    begun = await acting(host, anna.token, lambda at: at.signin.start(email=ANNA))
    await acting(host, anna.token, lambda at: at.signin.prove(begun.handle, factor="password", answer=PASSWORD))
    await testing.sign_in(host.http, BERT)
    done = await acting(host, anna.token, lambda at: at.signin.finish(begun.handle, carrier="cookie"))
    assert done.session.id != anna.session_id
    assert await host.run(email) == BERT


async def test_a_step_up_is_that_of_the_tokens_session(host: Host) -> None:
    anna = await testing.sign_in(host.http, ANNA, carrier="bearer")
    await testing.sign_in(host.http, BERT)
    host.gate.clock.forward(minutes=30)
    begun = await acting(host, anna.token, lambda at: at.signin.start(step_up={}))
    await acting(host, anna.token, lambda at: at.signin.prove(begun.handle, factor="password", answer=PASSWORD))
    done = await acting(host, anna.token, lambda at: at.signin.finish(begun.handle, carrier="bearer"))
    assert done.session.id == anna.session_id


@pytest.mark.parametrize(
    "token", ["", " ", "pg_ses_", "pg_ses_x", "é", "\ud800", "x\r\ncookie: y", "a b", "pg_ses_" * 9999]
)
async def test_a_token_that_is_none(host: Host, token: str) -> None:
    await testing.sign_in(host.http, ANNA)
    for work in (email, lambda at: at.session.end(), lambda at: at.signin.start(step_up={})):
        with pytest.raises(errors.CredentialInvalid):
            await acting(host, token, work)
    assert await host.run(email) == ANNA


async def test_secrets_of_other_kinds_are_none(host: Host) -> None:
    handle = await host.proved(ANNA)
    pair = await host.run(lambda at: at.signin.finish(handle, carrier="jwt"))
    other = (await host.run(lambda at: at.signin.start(email=ANNA))).handle
    for token in (other, pair.refresh_token):
        with pytest.raises(errors.CredentialInvalid):
            await acting(host, token, email)


async def test_without_a_token_nobody_acts(host: Host) -> None:
    """`carried.token` of a session in a cookie is None, and must not mean whoever sent the request."""
    await testing.sign_in(host.http, ANNA)
    with pytest.raises(errors.CredentialMissing):
        await acting(host, None, email)
    with pytest.raises(errors.CredentialMissing):
        await acting(host, None, lambda at: at.signin.start(step_up={}), headers=bearer("pg_ses_x"))
    assert (await acting(host, None, lambda at: at.ops.health())).status == "ok"


async def test_an_ended_session_and_another_client(host: Host) -> None:
    anna = await testing.sign_in(host.http, ANNA, carrier="bearer")
    main = (await acting(host, anna.token, lambda at: at.me.show())).tenant
    await host.gate.at(None, tenant="main").admin.change_policy(main.id, on_client_change="end")
    begun = await host.run(lambda at: at.signin.start(email=ANNA), headers={"user-agent": CHROME})
    await host.run(lambda at: at.signin.prove(begun.handle, factor="password", answer=PASSWORD))
    of_chrome = {"user-agent": CHROME}
    done = await host.run(lambda at: at.signin.finish(begun.handle, carrier="bearer"), headers=of_chrome)
    assert await acting(host, done.token, email, headers=of_chrome) == ANNA
    for headers in ({"user-agent": FIREFOX}, of_chrome):
        with pytest.raises(errors.SessionEnded):
            await acting(host, done.token, email, headers=headers)


async def test_a_session_of_another_tenants_site() -> None:
    gate = testing.gate(tenancy="multi")
    made = Gate(gate.settings, gate.clock, gate.mailbox, sites=[Site("http://acme.localhost:8000", tenant="acme")])
    async with hosting(made) as host:
        who = await testing.sign_in(host.http, ANNA, gate=made, carrier="bearer")
        assert await acting(host, who.token, email) == ANNA
        with pytest.raises(errors.CredentialInvalid):
            await acting(host, who.token, email, headers={"host": "acme.localhost:8000"})


async def test_it_comes_with_a_request_and_as_text(host: Host) -> None:
    wrong: Any = host.gate.at
    with pytest.raises(TypeError):
        wrong(None, token="x")
    with pytest.raises(TypeError):
        wrong(None, tenant="main", token="x")

    async def others(request: Request, _response: Response) -> None:
        for more in ({"token": b"x"}, {"token": 5}, {"token": "x", "tenant": "main"}):
            with pytest.raises(TypeError):
                wrong(request, **more)
        at: Any = host.gate.at(request, token="pg_ses_x")
        assert "pg_ses_x" not in repr(at._caller)

    await host.within(others)
