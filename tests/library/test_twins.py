"""The Python twins in a host's program: whose request it is, which guards and refusals there are, and what is recorded.

Not here: what each operation does. The contract's tests run through the twins too (`tests/web/through_twins.py`).
"""

from __future__ import annotations

import asyncio
import base64
import copy
import inspect
import json
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from starlette.requests import HTTPConnection

from passgate import Carried, errors, operations, testing
from passgate.core.factors import totp
from passgate.core.site import Site
from passgate.operations import Operations
from passgate.store.tables import audit_event
from passgate.testing import PASSWORD, Gate
from passgate.web.values import is_value
from passgate.world import SECOND
from tests.kit import FIREFOX, bearer, code_of
from tests.library.codeword import CODEWORD
from tests.library.host import Host, hosting

EMAIL = "anna@example.com"
OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with hosting(testing.gate()) as made:
        yield made


async def audited(gate: Gate) -> list[dict[str, Any]]:
    async with gate.services.store.read() as db:
        return [dict(row) for row in await db.rows(select(audit_event).order_by(audit_event.c.id))]


# -- the operations --------------------------------------------------------------------------------


async def test_every_operation_of_the_document_has_a_twin_with_its_parameters() -> None:
    gate = testing.gate(factors=[CODEWORD])
    async with gate.running(work=False):
        at = gate.at(None, tenant="main")
        document = gate.api.openapi()
        found: dict[str, set[str]] = {}
        for path, methods in document["paths"].items():
            for operation in methods.values():
                tag, _, name = operation["operationId"].partition("-")
                twin = getattr(getattr(at, tag), name)
                assert inspect.iscoroutinefunction(twin)
                assert (twin.__name__, twin.__doc__) == (name, operation["summary"])
                given = inspect.signature(twin).parameters.values()
                by_position = [one.name for one in given if one.kind is one.POSITIONAL_ONLY]
                required = {one.name for one in given if one.kind is one.KEYWORD_ONLY and one.default is one.empty}
                by_name = {one.name for one in given if one.kind is one.KEYWORD_ONLY}
                assert (by_position, required, by_name) == described(document, operation), operation["operationId"]
                found.setdefault(tag, set()).add(name)
                assert path
        assert found == {tag: set(dir(getattr(at, tag))) for tag in dir(at)}
        assert {"prove_codeword", "remove_codeword"} <= found["factors"]


def described(document: dict[str, Any], operation: dict[str, Any]) -> tuple[list[str], set[str], set[str]]:
    """By position, required by name, and all by name."""
    handle = ["handle"] if {"handle": []} in operation.get("security", []) else []
    parameters = operation.get("parameters", [])
    ids = [one["name"] for one in parameters if one["in"] == "path"]
    query = [one for one in parameters if one["in"] == "query"]
    assert len(ids) + len(query) == len(parameters)
    body: dict[str, Any] = {}
    if "requestBody" in operation:
        named = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        body = document["components"]["schemas"][named]
    required = {one["name"] for one in query if one["required"]} | set(body.get("required", []))
    return [*handle, *ids], required, {one["name"] for one in query} | set(body.get("properties", {}))


async def test_names_that_are_not_there(host: Host) -> None:
    at = host.gate.at(None, tenant="main")
    with pytest.raises(AttributeError, match="signin"):
        _ = at.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="prove"):
        _ = at.signin.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = operations.Nothing  # type: ignore[attr-defined]


async def test_parameters_are_those_of_a_function(host: Host) -> None:
    wrong: list[Callable[[Any], Awaitable[Any]]] = [
        lambda at: at.signin.prove(factor="password", answer="x"),
        lambda at: at.signin.prove("pg_sin_x", factor="password"),
        lambda at: at.signin.prove("pg_sin_x", factor="password", answer="x", more=1),
        lambda at: at.signin.prove(handle="pg_sin_x", factor="password", answer="x"),
        lambda at: at.me.end_one(),
        lambda at: at.me.activity(5),
        lambda at: at.me.activity(before="x"),
    ]
    for work in wrong:
        with pytest.raises(TypeError):
            await host.run(work)


async def test_values_are_refused_as_the_endpoint_refuses_them(host: Host) -> None:
    wrong: list[tuple[Callable[[Any], Awaitable[Any]], set[str]]] = [
        (lambda at: at.signin.signup(email=5), {"email"}),
        (lambda at: at.signin.signup(email=object()), {"email"}),
        (lambda at: at.signin.signup(email=EMAIL, password=""), {"password"}),
        (lambda at: at.signin.signup(email=EMAIL, profile={"a": {1, 2}}), {"profile"}),
        (lambda at: at.signin.signup(email=EMAIL, new_tenant={"name": 5}), {"new_tenant.name"}),
        (lambda at: at.signin.finish("pg_sin_x", carrier="pigeon"), {"carrier"}),
    ]
    for work, named in wrong:
        with pytest.raises(errors.Invalid) as refused:
            await host.run(work)
        assert refused.value.fields.keys() == named
    odd: list[Callable[[Any], Awaitable[Any]]] = [
        lambda at: at.signin.signup(email=EMAIL, profile={"a": float("nan")}),
        lambda at: at.signin.signup(email=EMAIL, profile={"a": "\ud800"}),
        lambda at: at.signin.signup(email=EMAIL, profile={"a": "\0"}),
        lambda at: at.signin.signup(email=EMAIL, profile={"a": 2**64}),
    ]
    for work in odd:
        with pytest.raises(errors.Malformed):
            await host.run(work)
    with pytest.raises(errors.TooLarge):
        await host.run(lambda at: at.signin.signup(email=EMAIL, profile={"a": "x" * 70_000}))
    assert await audited(host.gate) == []


async def test_an_id_leads_to_no_other_endpoint(host: Host) -> None:
    await testing.sign_in(host.http, EMAIL)
    for wrong in ("", "../sessions", "a/b", "prove", "x?limit=5", "../../session"):
        with pytest.raises((errors.NotFound, errors.Invalid)):
            await host.run(lambda at, given=wrong: at.factors.rename_passkey(given, label="x"))  # type: ignore[misc]
    assert (await host.run(lambda at: at.session.show())).user.email == EMAIL


# -- values ----------------------------------------------------------------------------------------


async def test_answers_are_values(host: Host) -> None:
    who = await testing.sign_in(host.http, EMAIL, profile={"at": "noon", "tags": ["a"]})
    whole = await host.run(lambda at: at.session.show())
    assert (whole.user.id, whole.user.email, whole.session.id) == (who.id, EMAIL, who.session_id)
    assert whole.user.profile == {"at": "noon", "tags": ["a"]}
    assert whole.user.roles == ("user",)
    assert whole.session.amr == ("otp", "pwd")
    assert abs(whole.session.auth_time - datetime.fromtimestamp(host.gate.clock.now / 10**6, UTC)).total_seconds() < 60
    sessions = await host.run(lambda at: at.me.sessions(limit=1))
    assert [one.id for one in sessions.items] == [who.session_id]
    assert (type(sessions.items), sessions.next) == (tuple, None)
    assert type(sessions.items[0]) is type(whole.session) is operations.Session
    listed = await host.run(lambda at: at.factors.show())
    assert (listed.password, listed.totp, listed.passkeys) == (True, None, ())
    with pytest.raises(FrozenInstanceError):
        whole.user.email = "other@example.com"
    assert pickle.loads(pickle.dumps(whole)) == copy.deepcopy(whole) == whole  # noqa: S301  our own


async def test_an_authenticator_app_and_its_picture(host: Host) -> None:
    await testing.sign_in(host.http, EMAIL)
    setup = await host.run(lambda at: at.factors.begin_totp())
    picture = await host.run(lambda at: at.factors.totp_qr())
    assert setup.qr_png() == picture
    assert picture.startswith(b"\x89PNG")
    with pytest.raises(errors.ProofRefused):
        await host.run(lambda at: at.factors.prove_totp(answer="000000"))
    assert (await host.run(lambda at: at.factors.show())).totp is None


async def test_an_authenticator_app_again_and_other_rules_of_a_host(host: Host) -> None:
    """The picture of an app that is on is that of its setup; a field with members is given as a mapping; nobody but its
    owner gets the picture."""
    await testing.sign_in(host.http, EMAIL)
    tenant = (await host.run(lambda at: at.me.show())).tenant
    operator = host.gate.at(None, tenant="main")
    rules = await operator.admin.change_policy(tenant.id, totp_shown_again=True, recovery_codes={"count": 5})
    assert (rules.recovery_codes.count, rules.recovery_codes.mailed) == (5, False)
    setup = await host.run(lambda at: at.factors.begin_totp())
    code = totp.code_at(base64.b32decode(setup.secret), host.gate.clock.now // SECOND // totp.PERIOD)
    await host.run(lambda at: at.factors.prove_totp(answer=code))
    again = await host.run(lambda at: at.factors.show_totp())
    assert (again.qr_png(), again.active) == (setup.qr_png(), True)
    assert setup.secret not in repr(again)
    assert len((await host.run(lambda at: at.factors.recovery_codes())).codes) == 5
    with pytest.raises(errors.CredentialMissing):
        await operator.factors.show_totp()


async def test_an_authenticator_app_that_a_sign_in_asks_for(host: Host) -> None:
    await testing.sign_in(host.http, EMAIL)
    tenant = (await host.run(lambda at: at.me.show())).tenant
    await host.gate.at(None, tenant="main").admin.change_policy(tenant.id, second="always")
    begun = await host.run(lambda at: at.signin.start(email=EMAIL))
    proved = await host.run(lambda at: at.signin.prove(begun.handle, factor="password", answer=PASSWORD))
    if ("email_code",) in proved.need:
        sent = await host.run(lambda at: at.signin.challenge(begun.handle, factor="email_code"))
        with pytest.raises(ValueError, match="setup key"):
            sent.qr_png()
        await host.gate.settle()
        code = host.gate.mailbox.code(EMAIL)
        proved = await host.run(lambda at: at.signin.prove(begun.handle, factor="email_code", answer=code))
    assert (proved.enrol, ("totp",) in proved.need) == (True, True)
    setup = await host.run(lambda at: at.signin.challenge(begun.handle, factor="totp"))
    assert setup.qr_png().startswith(b"\x89PNG")


async def test_a_repr_has_nothing_secret_or_personal(host: Host) -> None:
    handle = await host.proved(**{"user-agent": FIREFOX})
    done = await host.run(lambda at: at.signin.finish(handle, carrier="jwt"))
    headers = bearer(done.access_token)
    values = [
        done,
        await host.run(lambda at: at.tokens.refresh(refresh_token=done.refresh_token)),
        await host.run(lambda at: at.signin.start(email=EMAIL)),
        await host.run(lambda at: at.session.show(), headers=headers),
        await host.run(lambda at: at.me.export(), headers=headers),
        await host.run(lambda at: at.factors.begin_totp(), headers=headers),
        await host.run(lambda at: at.factors.recovery_codes(), headers=headers),
    ]
    for value in values:
        found = {text for text in texts(value) if len(text) > 2}
        assert found
        assert not {text for text in found if (text if len(text) > 8 else repr(text)) in repr(value)}
    assert done.session.id in repr(done)
    assert handle not in str(host.gate.at(None, tenant="main"))


def texts(value: Any, name: str = "") -> set[str]:
    """Every text of a value, except its ids."""
    if isinstance(value, str):
        return set() if name == "id" else {value}
    if isinstance(value, tuple):
        return {text for one in value for text in texts(one, name)}
    named: list[tuple[str, Any]] = list(value.items()) if isinstance(value, dict) else []
    if is_value(type(value)):
        named = [(one.name, getattr(value, one.name)) for one in fields(value) if one.name != "id"]
    return {text for key, one in named for text in texts(one, key)}


# -- signing in by a form of one's own -------------------------------------------------------------


async def test_finish_hands_over_a_cookie(host: Host) -> None:
    handle = await host.proved()

    async def finishes(request: Request, response: Response) -> Any:
        carried = await host.gate.at(request).signin.finish(handle, carrier="cookie")
        carried.set_on(response)
        return carried

    carried = await host.within(finishes)
    assert isinstance(carried, operations.Finished)
    assert (carried.token, carried.access_token, carried.refresh_token) == (None, None, None)
    assert (await host.run(lambda at: at.session.show())).session.id == carried.session.id

    async def leaves(request: Request, response: Response) -> Any:
        ended = await host.gate.at(request).session.end()
        ended.set_on(response)
        return ended

    ended = await host.within(leaves, headers=OURS)
    assert (type(ended), ended.session) == (Carried, None)
    assert isinstance(carried, Carried)
    assert "passgate_session" not in host.http.cookies
    other = RedirectResponse("/")
    carried.clear_on(other)
    assert other.headers["set-cookie"].startswith("passgate_session=;")


@pytest.mark.parametrize(
    ("carrier", "given"),
    [("bearer", {"token"}), ("jwt", {"access_token", "refresh_token", "token_type", "expires_in"})],
)
async def test_finish_hands_over_tokens(host: Host, carrier: Any, given: set[str]) -> None:
    handle = await host.proved()
    carried = await host.run(lambda at: at.signin.finish(handle, carrier=carrier))
    names = ("token", "access_token", "refresh_token", "token_type", "expires_in")
    assert {name for name in names if getattr(carried, name) is not None} == given
    with pytest.raises(RuntimeError):
        carried.set_on(Response())
    token = carried.token or carried.access_token
    assert (await host.run(lambda at: at.session.show(), headers=bearer(token))).session.id == carried.session.id


async def test_whoever_is_still_signing_in_is_nobody(host: Host) -> None:
    """A handle is the credential of no session, wherever it stands; and a session's token is no handle."""
    begun = await host.run(lambda at: at.signin.signup(email=EMAIL, password=PASSWORD))
    for headers in (bearer(begun.handle), {"cookie": f"passgate_session={begun.handle}"}):
        for work in (lambda at: at.me.show(), lambda at: at.session.show()):
            with pytest.raises(errors.CredentialInvalid):
                await host.run(work, headers=headers)
    with pytest.raises(errors.CredentialMissing):
        await host.run(lambda at: at.me.show(), headers={"cookie": f"passgate_signin={begun.handle}"})
    with pytest.raises(errors.ProofMissing) as refused:
        await host.run(lambda at: at.signin.finish(begun.handle, carrier="bearer"))
    assert refused.value.need == [["email_code"]]
    who = await testing.sign_in(host.http, "bert@example.com", carrier="bearer")
    for handle in (who.token, "", " ", "pg_sin_é", None):
        with pytest.raises(errors.HandleInvalid):
            await host.run(lambda at, given=handle: at.signin.finish(given, carrier="bearer"))  # type: ignore[misc]


async def test_a_step_is_authorised_by_its_handle_alone(host: Host) -> None:
    """The session of the request does not matter to it."""
    who = await testing.sign_in(host.http, EMAIL, carrier="bearer")
    begun = await host.run(lambda at: at.signin.start(email=EMAIL))
    proved = await host.run(lambda at: at.signin.prove(begun.handle, factor="password", answer=PASSWORD))
    assert proved.enough
    done = await host.run(lambda at: at.signin.finish(begun.handle, carrier="bearer"))
    assert done.session.id != who.session_id


# -- who is asking ---------------------------------------------------------------------------------


async def test_nobody(host: Host) -> None:
    for work in (lambda at: at.me.show(), lambda at: at.session.show(), lambda at: at.session.end()):
        with pytest.raises(errors.CredentialMissing):
            await host.run(work)
    assert host.answer is not None
    assert code_of(host.answer) == "credential_missing"


async def test_a_websocket_is_a_request_too(host: Host) -> None:
    who = await testing.sign_in(host.http, EMAIL, carrier="bearer")
    scope: dict[str, Any] = {"type": "websocket", "path": "/", "client": ("127.0.0.1", 5), "headers": []}
    with pytest.raises(errors.CredentialMissing):
        await host.gate.at(HTTPConnection(scope)).me.show()
    scope = {**scope, "headers": [(b"authorization", f"Bearer {who.token}".encode())]}
    assert (await host.gate.at(HTTPConnection(scope)).me.show()).user.id == who.id


async def test_an_ended_session(host: Host) -> None:
    who = await testing.sign_in(host.http, EMAIL, carrier="bearer")
    await host.run(lambda at: at.session.end())
    for work in (lambda at: at.me.show(), lambda at: at.session.show()):
        with pytest.raises(errors.SessionEnded):
            await host.run(work, headers=bearer(str(who.token)))


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "none"}, {"origin": "https://evil.example.com"}],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_form_of_another_site(host: Host, headers: dict[str, str], method: str) -> None:
    """What counts is what the twin does, and not whether the host's route changes anything."""
    await testing.sign_in(host.http, EMAIL)
    host.http.headers.pop("sec-fetch-site")
    with pytest.raises(errors.CsrfRefused):
        await host.run(lambda at: at.me.change(profile={"a": 1}), method, headers=headers)
    assert (await host.run(lambda at: at.me.show(), headers=headers)).user.profile == {}
    assert (await audited(host.gate))[-1]["event"] == "access:refused"
    await host.run(lambda at: at.me.change(profile={"a": 1}), method, headers=OURS)
    assert (await host.run(lambda at: at.me.show(), headers=headers)).user.profile == {"a": 1}


async def test_signing_in_a_visitor_of_another_site(host: Host) -> None:
    handle = await host.proved()
    with pytest.raises(errors.CsrfRefused):
        await host.run(
            lambda at: at.signin.finish(handle, carrier="cookie"), headers={"origin": "https://evil.example.com"}
        )


async def test_a_session_of_another_tenants_site() -> None:
    gate = testing.gate(tenancy="multi")
    made = Gate(gate.settings, gate.clock, gate.mailbox, sites=[Site("http://acme.localhost:8000", tenant="acme")])
    async with hosting(made) as host:
        await testing.sign_in(host.http, EMAIL, gate=made)
        cookie = {"cookie": f"passgate_session={host.http.cookies['passgate_session']}", **OURS}
        assert (await host.run(lambda at: at.me.show(), headers=cookie)).user.email == EMAIL
        with pytest.raises(errors.CredentialInvalid):
            await host.run(lambda at: at.me.show(), headers={**cookie, "host": "acme.localhost:8000"})


async def test_wrong_answers_through_a_twin_count(host: Host) -> None:
    await testing.sign_in(host.http, EMAIL)
    host.http.cookies.clear()
    refused = []
    for _ in range(15):
        begun = await host.run(lambda at: at.signin.start(email=EMAIL))
        try:
            await host.run(lambda at, given=begun: at.signin.prove(given.handle, factor="password", answer="x"))  # type: ignore[misc]
        except errors.PassgateError as error:
            refused.append(error)
    assert {type(error) for error in refused} == {errors.ProofRefused, errors.Throttled}
    assert isinstance(refused[-1], errors.Throttled)
    assert refused[-1].retry_after >= 1


# -- in one request --------------------------------------------------------------------------------


async def test_behind_a_guard(host: Host) -> None:
    who = await testing.sign_in(host.http, EMAIL)
    assert (await host.run(lambda at: at.me.show(), path="/guarded")).user.id == who.id


async def test_the_guards_finding_is_not_the_twins(host: Host) -> None:
    """A session that ends within the request is over for the next twin, although the guard has found it."""
    await testing.sign_in(host.http, EMAIL)

    async def ends_and_goes_on(at: Operations) -> None:
        await at.session.end()
        await at.me.show()

    with pytest.raises(errors.SessionEnded):
        await host.run(ends_and_goes_on, path="/guarded")


async def test_two_twins_and_many_at_once(host: Host) -> None:
    who = await testing.sign_in(host.http, EMAIL)

    async def many(at: Operations) -> list[Any]:
        await at.me.change(profile={"a": 1})
        me = await at.me.show()
        assert me.user.profile == {"a": 1}
        wrong = at.me.end_one("00000000-0000-7000-8000-000000000000")
        return await asyncio.gather(*(at.session.show() for _ in range(20)), wrong, return_exceptions=True)

    *found, wrong = await host.run(many)
    assert {one.session.id for one in found} == {who.session_id}
    assert isinstance(wrong, errors.NotFound)


async def test_a_twins_audit_rows_are_the_endpoints(host: Host) -> None:
    """The same events and facts, of the same browser and address, with the id of the host's request."""
    headers = {"user-agent": FIREFOX, "accept-language": "de"}
    handle = await host.proved("anna@example.com", **headers)
    await host.run(lambda at: at.signin.finish(handle, carrier="bearer"), headers=headers)
    by_twins = await audited(host.gate)
    since = len(await audited(host.gate))
    at = "/auth/api/v1"
    signup = {"email": "bert@example.com", "password": PASSWORD}
    handle = (await host.http.post(f"{at}/signup", json=signup, headers=headers)).json()["handle"]
    await host.gate.settle()
    proof = {"factor": "email_code", "answer": host.gate.mailbox.code("bert@example.com")}
    for path, body in (("prove", proof), ("finish", {"carrier": "bearer"})):
        answer = await host.http.post(f"{at}/signin/{path}", json=body, headers={**headers, **bearer(handle)})
        assert answer.status_code < 300
    by_endpoints = (await audited(host.gate))[since:]
    assert [row["event"] for row in by_twins] == [row["event"] for row in by_endpoints]
    assert len(by_twins) > 2
    for twin, endpoint in zip(by_twins, by_endpoints, strict=True):
        assert compared(twin) == compared(endpoint)
        assert "Firefox" in json.loads(twin["personal"])["browser"]
    assert len({json.loads(row["facts"])["request_id"] for row in by_twins}) == 3


def compared(row: dict[str, Any]) -> tuple[Any, ...]:
    """What does not name the person or the request."""
    facts, personal = json.loads(row["facts"]), json.loads(row["personal"])
    own = {"request_id", "session_id", "address_hash", "email", "sign_in_id"}
    left = [{name: value for name, value in one.items() if name not in own} for one in (facts, personal)]
    return row["event"], *left, facts.keys(), personal.keys(), (row["actor_id"] is None, row["subject_id"] is None)


async def test_the_requests_id_is_in_its_rows(host: Host) -> None:
    await testing.sign_in(host.http, EMAIL)

    async def refused_twice(request: Request, _response: Response) -> None:
        for _ in range(2):
            with pytest.raises(errors.CsrfRefused):
                await host.gate.at(request).me.end_others()
        raise errors.NotFound

    with pytest.raises(errors.NotFound):
        await host.within(refused_twice, headers={"sec-fetch-site": "cross-site"})
    assert host.answer is not None
    *_, first, second = await audited(host.gate)
    assert first["event"] == second["event"] == "access:refused"
    for row in (first, second):
        assert json.loads(row["facts"])["request_id"] == host.answer.headers["x-request-id"]


async def test_a_twin_is_in_no_access_log(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "passgate.access"):
        await host.run(lambda at: at.ops.health())
    assert caplog.records == []


# -- an operator -----------------------------------------------------------------------------------


async def test_an_operator_needs_no_request(host: Host) -> None:
    who = await testing.sign_in(host.http, EMAIL)
    at = host.gate.at(None, tenant="main")
    tenant = (await host.run(lambda at: at.me.show())).tenant
    changed = await at.admin.change_policy(tenant.id, second="always", second_among=("totp", "passkey"))
    assert changed == await at.admin.policy(tenant.id)
    assert (changed.second, changed.second_among) == ("always", ("totp", "passkey"))
    row = (await audited(host.gate))[-1]
    facts = json.loads(row["facts"])
    assert (row["event"], row["tenant_id"], facts["principal"]) == ("tenant:policy:changed", tenant.id, "operator")
    assert len(facts["request_id"]) == 16
    assert (await at.ops.ready()).parts == {"database": "ok", "schema": "ok"}
    assert who.id


async def test_an_operator_works_on_the_tenant_they_named(host: Host) -> None:
    at, since = host.gate.at(None, tenant="main"), datetime.fromtimestamp(host.gate.clock.now // 10**6, UTC)
    made = await at.users.create(email="bert@example.com", roles=["user"])
    host.gate.clock.forward(hours=1)
    assert (await at.users.give_role(made.id, "admin")).roles == ("admin", "user")
    found = await at.users.list(created_since=since, disabled=False, limit=5)
    assert ([one.id for one in found.items], found.total) == ([made.id], None)
    assert (await at.users.list(created_since=datetime.fromtimestamp(host.gate.clock.now // 10**6, UTC))).items == ()
    with pytest.raises(errors.Invalid) as refused:
        await at.users.list(created_since=datetime(2026, 1, 1))
    assert refused.value.fields == {"created_since": "format"}
    with pytest.raises(errors.NotFound):
        await host.gate.at(None, tenant="nobody").users.show(made.id)


async def test_an_operator_is_no_person(host: Host) -> None:
    at = host.gate.at(None, tenant="main")
    for tag in (at.session, at.me, at.factors):
        for twin in (getattr(tag, name) for name in dir(tag)):
            positional, named = some_of(twin)
            with pytest.raises(errors.CredentialMissing):
                await twin(*positional, **named)
    with pytest.raises(errors.CredentialMissing):
        await at.signin.start(step_up={})


def some_of(twin: Any) -> tuple[list[str], dict[str, Any]]:
    """Parameters that are right in form."""
    given = inspect.signature(twin).parameters.values()
    ids = ["00000000-0000-7000-8000-000000000000" for one in given if one.kind is one.POSITIONAL_ONLY]
    needed = [one for one in given if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    texts = {"email": EMAIL}
    return ids, {one.name: texts.get(one.name, "123456") if one.annotation is str else {} for one in needed}


async def test_only_a_missing_request_and_a_tenant_make_an_operator(host: Host) -> None:
    """A request that is missing by mistake gives nobody an operator's power, and neither does one that is there."""
    maybe: Request | None = None
    with pytest.raises(TypeError):
        host.gate.at(None)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        host.gate.at(some(maybe))  # type: ignore[arg-type]
    wrong: Any = host.gate.at
    for given, more in ((None, {}), ("main", {}), (object(), {"tenant": "main"}), (False, {"tenant": "main"})):
        with pytest.raises(TypeError):
            wrong(given, **more)

    async def both(request: Request, _response: Response) -> None:
        wrong(request, tenant="main")

    with pytest.raises(TypeError):
        await host.within(both)
    tenant = "00000000-0000-7000-8000-000000000000"
    with pytest.raises(errors.CredentialMissing):
        await host.run(lambda at: at.admin.policy(tenant))


def some(request: Request | None) -> Request | None:
    return request


# -- running, and faults ---------------------------------------------------------------------------


async def test_only_a_running_passgate_answers() -> None:
    gate = testing.gate()
    at = gate.at(None, tenant="main")
    for _ in range(2):  # closed and started again, it has new parts
        with pytest.raises(RuntimeError):
            await at.ops.health()
        async with gate.running(work=False):
            assert (await at.ops.health()).status == "ok"
            assert (await at.signin.start(email=EMAIL)).need == (("password",), ("passkey",))


async def test_a_fault_is_logged_and_hides_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    def claims(_user: object) -> dict[str, Any]:
        raise ZeroDivisionError("a secret")

    async with hosting(testing.gate(claims=claims)) as host:
        handle = await host.proved()
        caplog.clear()
        with caplog.at_level(logging.ERROR, "passgate.fault"), pytest.raises(errors.PassgateError) as fault:
            await host.run(lambda at: at.signin.finish(handle, carrier="jwt"))
        assert (type(fault.value), fault.value.status, fault.value.code) == (errors.PassgateError, 500, "fault")
        assert "secret" not in str(fault.value)
        (record,) = caplog.records
        assert host.answer is not None
        assert vars(record)["request_id"] == host.answer.headers["x-request-id"]
        assert (host.answer.status_code, code_of(host.answer)) == (500, "fault")


async def test_a_hosts_own_factor_has_twins(tmp_path: Any) -> None:
    async with hosting(testing.gate(factors=[CODEWORD])) as host:
        await testing.sign_in(host.http, EMAIL)
        await host.run(lambda at: at.factors.prove_codeword(answer="umbrella"))
        with pytest.raises(TypeError):
            await host.run(lambda at: at.factors.prove_codeword())
        await host.run(lambda at: at.factors.remove_codeword())
        with pytest.raises(errors.NotFound):
            await host.run(lambda at: at.factors.remove_codeword())
