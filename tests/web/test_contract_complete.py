"""Completing a passkey's ceremony over HTTP without a handle: which sign-in an answer reaches, what it uses up, and
that everything that can't be completed is refused alike.

Not here: which answers prove a passkey (`tests/core/test_passkeys`), and completing at the same moment (`tests/races`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.store.tables import credential, person, session, sign_in, tenant
from tests.authenticator import OMIT, Authenticator, b64
from tests.core.having import add_passkey, challenged, disable, me, offered_passkey, policy, prove_each, step_up
from tests.kit import PASSWORD, Person, The, code_of, handle_of, running, settings_for, token_of

URL = "http://localhost:8000"
EMAIL = "anna@example.com"


async def with_passkey(the: The, email: str = EMAIL, **made: Any) -> tuple[Person, Authenticator]:
    who, key = await the.person(email), Authenticator(**made)
    await add_passkey(the, who, key)
    return who, key


async def begun(the: The, email: str | None = EMAIL, **more: Any) -> dict[str, Any]:
    """The options of a sign-in; its handle is forgotten."""
    options: dict[str, Any] = await challenged(the, handle_of(await the.start(email, **more)), "passkey")
    return options


def answered(answer: httpx2.Response) -> tuple[int, dict[str, Any]]:
    """A refusal without what differs between any two."""
    return answer.status_code, {**answer.json(), "request_id": ""}


async def refused(the: The, answer: object, code: str = "handle_invalid", email: str | None = None) -> None:
    got = await the.complete(answer, email)
    assert code_of(got) == code, got.text


async def opened(the: The, answer: object, email: str | None = None, **more: Any) -> dict[str, Any]:
    """The person whose session it is."""
    found: dict[str, Any] = (await the.session(token_of(await the.complete(answer, email, **more)))).json()["user"]
    return found


# -- signing in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [EMAIL, None])
@pytest.mark.parametrize("named", [EMAIL, "ANNA@Example.com", None])
async def test_begin_and_complete(the: The, started: str | None, named: str | None) -> None:
    _, key = await with_passkey(the)
    answer = key.get(await begun(the, started), URL)
    if started is None and named is not None:
        await refused(the, answer, email=named)
        named = None
    done = await the.complete(answer, named)
    assert done.status_code == 201, done.text
    assert done.json().keys() == {"session", "token"}
    assert (done.json()["session"]["amr"], done.json()["session"]["acr"]) == (["pop", "user"], "urn:passgate:aal2")
    assert "set-cookie" not in done.headers
    assert (await the.session(token_of(done))).json()["user"]["email"] == EMAIL
    assert (await the.events())[-2:] == ["signin:passkey:proved", "signin:completed"]
    await refused(the, answer, email=named)
    assert len(await the.rows(session)) == 2


async def test_with_a_token_that_other_programs_verify(lite: The) -> None:
    _, key = await with_passkey(lite)
    done = await lite.complete(key.get(await begun(lite), URL), EMAIL, carrier="jwt")
    assert done.json().keys() == {"session", "access_token", "refresh_token", "token_type", "expires_in"}


async def test_a_cookie_is_for_pages(lite: The) -> None:
    _, key = await with_passkey(lite)
    answer = key.get(await begun(lite), URL)
    for more in ({"carrier": "cookie"}, {"remember": True}, {"handle": "pg_sin_x"}, {"email": 5}, {"answer": "text"}):
        got = await lite.complete(more.pop("answer", answer), **more)
        assert (got.status_code, code_of(got)) == (422, "invalid"), more
    await opened(lite, answer)


async def test_by_a_username(lite: The) -> None:
    _, key = await with_passkey(lite)
    await policy(lite, usernames="optional")
    async with lite.gate.services.store.write() as db:
        await db.change(update(person).values(username="anna", username_key="anna"))
    answer = key.get(await begun(lite, None, username="anna"), URL)
    await refused(lite, answer, email=EMAIL)
    assert (await opened(lite, answer))["username"] == "anna"


async def test_each_begin_is_a_sign_in_of_its_own(lite: The) -> None:
    """Nobody overwrites or cancels what somebody else has begun with the same address."""
    _, key = await with_passkey(lite)
    mine = await begun(lite)
    theirs = [await begun(lite) for _ in range(3)]
    stranger = Authenticator()
    stranger.create(_creation(), URL)
    await refused(lite, stranger.get(theirs[0], URL), "proof_refused", EMAIL)
    await opened(lite, key.get(mine, URL), EMAIL)
    await opened(lite, key.get(theirs[1], URL), EMAIL)


def _creation() -> dict[str, Any]:
    return {
        "rp": {"id": "localhost"},
        "user": {"id": b64(bytes(16))},
        "challenge": "AA",
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    }


async def test_a_level_that_it_does_not_reach(lite: The) -> None:
    """A passkey that leaves its device is proved, and opens nothing."""
    _, key = await with_passkey(lite)
    await policy(lite, least_acr="urn:passgate:aal3", second="always", second_among=["passkey"])
    answer = key.get(await begun(lite), URL)
    got = await lite.complete(answer, EMAIL)
    assert (got.status_code, code_of(got)) == (401, "insufficient_user_authentication")
    assert len(await lite.rows(session)) == 1
    await refused(lite, answer, email=EMAIL)


async def test_as_a_second_factor(lite: The) -> None:
    """The steps before it are proved with the handle."""
    _, key = await with_passkey(lite)
    await policy(lite, first=["password"], second="always", second_among=["passkey"])
    handle = handle_of(await lite.start(EMAIL))
    assert code_of(await lite.challenge(handle, "passkey")) == "factor_not_offered"
    await prove_each(lite, handle, ("password", PASSWORD))
    done = await lite.complete(key.get(await challenged(lite, handle, "passkey"), URL), EMAIL)
    assert done.json()["session"]["amr"] == ["pwd", "pop", "user"]


# -- refused alike ---------------------------------------------------------------------------------


async def test_what_can_not_be_completed_is_refused_alike(lite: The) -> None:
    """A challenge that nobody drew, one that was used, is replaced or has expired, one of a session, a step-up or a
    recovery, another address: one answer, and nothing is used up."""
    anna, key = await with_passkey(lite)
    handle = handle_of(await lite.start(EMAIL))
    replaced, newest = [key.get(await challenged(lite, handle, "passkey"), URL) for _ in range(2)]
    used = key.get(await begun(lite), URL)
    await opened(lite, used)
    stepping = key.get(await challenged(lite, await step_up(lite, anna), "passkey"), URL)
    setting_up = Authenticator().create(await offered_passkey(lite, anna), URL)
    recovery = handle_of(await lite.recover(EMAIL))
    await prove_each(lite, recovery, ("email_code", await lite.code(EMAIL)))
    recovering = key.get(await challenged(lite, recovery, "passkey"), URL)
    nobodys = key.get({"rpId": "localhost", "challenge": b64(bytes(32))}, URL)
    before = await lite.everything(but=("budget",))
    found = [
        answered(await lite.complete(answer, email))
        for answer, email in (
            (nobodys, None),
            (used, None),
            (replaced, None),
            (newest, "bert@example.com"),
            (stepping, None),
            (setting_up, None),
            (recovering, None),
        )
    ]
    assert all(one == found[0] for one in found), found
    assert (found[0][0], found[0][1]["code"]) == (401, "handle_invalid")
    assert await lite.everything(but=("budget",)) == before
    await opened(lite, newest, EMAIL)


async def test_when_it_is_over(the: The) -> None:
    _, key = await with_passkey(the)
    await policy(the, second="never")
    handle = handle_of(await the.start(EMAIL))
    answer = key.get(await challenged(the, handle, "passkey"), URL)
    await prove_each(the, handle, ("password", PASSWORD))
    await refused(the, answer, "factor_not_offered")  # nothing more is asked for, which whoever has the handle finishes
    assert (await the.finish(handle)).status_code == 201
    await refused(the, answer)
    late = key.get(await begun(the), URL)
    the.clock.forward(300)
    await refused(the, late)


@pytest.mark.parametrize("carried", ["unreadable", "hostile"])
async def test_what_nobody_can_read(lite: The, carried: str) -> None:
    """Where no challenge can be read, none is looked for; the answer is that for an unknown one."""
    _, key = await with_passkey(lite)
    options = await begun(lite)
    honest = key.get(options, URL)
    response = honest["response"]
    plain = options["challenge"]
    raw = json.dumps({"type": "webauthn.get", "challenge": plain, "origin": URL})
    texts = {
        "unreadable": [
            "",
            "{",
            "[]",
            "null",
            '"x"',
            "1" * 5000,
            "[" * 3000,
            "{}",
            '{"challenge":5}',
            '{"challenge":null}',
        ],
        "hostile": [
            raw[:-1] + f',"challenge":"{plain}"}}',
            raw.replace(plain, plain + "="),
            raw.replace(plain, plain[:-1] + chr(ord(plain[-1]) + 1)),
            raw.replace(plain, " " + plain),
            raw.replace(plain, "\\ud800"),
            raw.replace(plain, "A" * 5000),
            raw.replace(plain, ""),
            raw + "\0",
            "\ufeff" + raw,
            raw + " " * 9000,
        ],
    }[carried]
    answers: list[Any] = [{**honest, "response": {**response, "clientDataJSON": b64(one.encode())}} for one in texts]
    if carried == "unreadable":
        wrong: tuple[Any, ...] = ("", "*", b64(raw.encode()) + "=", 5, None, [], {})
        answers += [{**honest, "response": {**response, "clientDataJSON": one}} for one in wrong]
        answers += [
            {},
            {**honest, "response": None},
            {**honest, "type": "x"},
            {**honest, "id": "*"},
            {**honest, "rawId": "AA"},
        ]
        answers.append({**honest, "response": {**response, "clientDataJSON": b64(raw.encode()[:-3] + b"\xff")}})
    before = await lite.everything(but=("budget",))
    found = [answered(await lite.complete(answer)) for answer in answers]
    assert [one for one in found if one != found[0]] == []
    assert (found[0][0], found[0][1]["code"]) == (401, "handle_invalid")
    assert await lite.everything(but=("budget",)) == before
    await opened(lite, honest)


async def test_another_tenants(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        async with the.gate.services.store.write() as db:
            await tenants.create(Ctx(the.gate.services), db, "acme", "Acme")
        _, key = await with_passkey(the)
        answer = key.get(await begun(the), URL)
        elsewhere = [answered(await the.complete(answer, tenant=name)) for name in ("acme", "nowhere")]
        assert elsewhere[0] == elsewhere[1]
        assert elsewhere[0][1]["code"] == "handle_invalid"
        there = key.get(await begun(the, tenant="acme"), URL)
        await refused(the, there)
        assert code_of(await the.complete(there, tenant="acme")) == "proof_refused"  # it has no such passkey
        await opened(the, answer, EMAIL, tenant="main")


async def test_a_disabled_tenant_and_a_disabled_person(lite: The) -> None:
    _, key = await with_passkey(lite)
    answers = [key.get(await begun(lite), URL) for _ in range(2)]
    await disable(lite, EMAIL)
    await refused(lite, answers[0], "proof_refused")
    async with lite.gate.services.store.write() as db:
        await db.change(update(tenant).values(disabled_at=1))
    await refused(lite, answers[1])


# -- wrong answers ---------------------------------------------------------------------------------

TWISTS: list[dict[str, Any]] = [
    {"uv": False},
    {"up": False},
    {"origin": "https://evil.example"},
    {"cross_origin": True},
    {"type": "webauthn.create"},
    {"rp_id": "evil.example"},
    {"counter": 5},
    {"counter": 0},
    {"user_handle": bytes(16)},
    {"user_handle": OMIT},
    {"be": False, "bs": False},
    {"signature": lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])},
]


async def test_a_wrong_answer_burns_its_own_challenge(the: The) -> None:
    """All refused alike: nothing says what was wrong, nor a counter. It is counted and recorded once."""
    _, key = await with_passkey(the, counter=5)
    other = await begun(the)
    found = []
    for twist in TWISTS:
        options = await begun(the)
        found.append(answered(await the.complete(key.get(options, URL, **{"counter": 9, **twist}), EMAIL)))
        await refused(the, key.get(options, URL, counter=9), email=EMAIL)
    foreign = Authenticator()
    foreign.create(_creation(), URL)
    found.append(answered(await the.complete(foreign.get(await begun(the), URL), EMAIL)))
    _, berts = await with_passkey(the, "bert@example.com")
    found.append(answered(await the.complete(berts.get(await begun(the), URL), EMAIL)))
    assert all(one == found[0] for one in found), found
    assert (found[0][0], found[0][1]["code"]) == (403, "proof_refused")
    assert (await the.events()).count("signin:passkey:refused") == len(found)
    assert [row["refused"] for row in await the.rows(sign_in) if row["finished_at"] is None] == [0, *[1] * len(found)]
    await opened(the, key.get(other, URL, counter=9), EMAIL)


async def test_ten_refusals_end_the_sign_in(lite: The) -> None:
    _, key = await with_passkey(lite)
    handle = handle_of(await lite.start(EMAIL))
    for _ in range(10):
        await refused(lite, key.get(await challenged(lite, handle, "passkey"), URL, uv=False), "proof_refused")
    assert code_of(await lite.challenge(handle, "passkey")) == "handle_invalid"


async def test_a_proof_by_the_handle_is_not_finished_by_somebody_else(lite: The) -> None:
    """Whoever has not proved the passkey themselves does not go on to finish."""
    _, key = await with_passkey(lite)
    handle = handle_of(await lite.start(EMAIL))
    answer = key.get(await challenged(lite, handle, "passkey"), URL)
    await prove_each(lite, handle, ("passkey", answer))
    await refused(lite, answer, email=EMAIL)
    assert len(await lite.rows(session)) == 1
    assert (await lite.finish(handle)).status_code == 201


async def test_a_start_is_debited_before_anything_is_read(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, limit={"starts": 4})
    async with running(settings, ip="203.0.113.9") as the:
        nobodys = Authenticator()
        nobodys.create(_creation(), URL)
        answer = nobodys.get({"rpId": "localhost", "challenge": b64(bytes(32))}, URL)
        for one in (answer, {}, {"response": 5}, answer):
            await refused(the, one)
        before = await the.everything()
        for one in (answer, {}):
            got = await the.complete(one, "no address")
            assert (got.status_code, code_of(got)) == (429, "throttled")
        assert await the.everything() == before
        assert code_of(await the.start(EMAIL)) == "throttled"


# -- which of the two ------------------------------------------------------------------------------


async def test_a_login_answers_no_sign_up_and_the_other_way_round(the: The) -> None:
    """A program with an endpoint for each says which one was called; the other one's answers use nothing up there."""
    _, key = await with_passkey(the)
    ben = handle_of(await the.signup("ben@example.com", None))
    await prove_each(the, ben, ("email_code", await the.code("ben@example.com")))
    asserted, created = key.get(await begun(the), URL), Authenticator()
    for_signup = created.create(await challenged(the, ben, "passkey"), URL)
    nobodys = key.get({"rpId": "localhost", "challenge": b64(bytes(32))}, URL)
    before = await the.everything(but=("budget",))
    found = [
        answered(await the.complete(answer, purpose=purpose))
        for answer, purpose in ((nobodys, "signin"), (asserted, "signup"), (for_signup, "signin"))
    ]
    assert all(one == found[0] for one in found), found
    assert found[0][1]["code"] == "handle_invalid"
    assert await the.everything(but=("budget",)) == before
    for purpose in ("recovery", "step_up", "Signin", ""):
        got = await the.complete(asserted, purpose=purpose)
        assert (got.status_code, code_of(got)) == (422, "invalid"), purpose
    assert (await opened(the, asserted, EMAIL, purpose="signin"))["email"] == EMAIL
    assert (await opened(the, for_signup, purpose="signup"))["email"] == "ben@example.com"


# -- signing up ------------------------------------------------------------------------------------


async def test_a_sign_up_with_a_passkey(the: The) -> None:
    key, handle = Authenticator(), handle_of(await the.signup(EMAIL, None))
    await prove_each(the, handle, ("email_code", await the.code(EMAIL)))
    options = await challenged(the, handle, "passkey")
    await refused(the, key.create(options, URL, uv=False), "proof_refused", EMAIL)
    answer = key.create(await challenged(the, handle, "passkey"), URL)
    await refused(the, answer, email="bert@example.com")
    assert (await opened(the, answer, EMAIL))["email"] == EMAIL
    await refused(the, answer, email=EMAIL)
    assert (await the.events())[-1] == "signup:completed"
    await opened(the, key.get(await begun(the), URL), EMAIL)


async def test_a_sign_up_that_proves_its_address_later(the: The) -> None:
    await policy(the, address_proof="later")
    key = Authenticator()
    options = await challenged(the, handle_of(await the.signup(EMAIL, None)), "passkey")
    assert await the.rows(person) == []
    user = await opened(the, key.create(options, URL), EMAIL)
    assert (user["email"], user["email_verified"]) == (EMAIL, False)
    assert "address_claimed" in [mail["kind"] for mail in await the.mails(EMAIL)]
    await opened(the, key.get(await begun(the), URL), EMAIL)


async def test_a_taken_address_is_asked_for_its_code(the: The) -> None:
    """As through the handle: nothing is set up, the mail is sent, and the handle goes on."""
    await policy(the, address_proof="later")
    await opened(
        the, Authenticator().create(await challenged(the, handle_of(await the.signup(EMAIL, None)), "passkey"), URL)
    )
    handle, key = handle_of(await the.signup(EMAIL, None)), Authenticator()
    got = await the.complete(key.create(await challenged(the, handle, "passkey"), URL), EMAIL)
    assert (got.status_code, code_of(got), got.json()["need"]) == (409, "proof_missing", [["email_code"]])
    assert len(await the.rows(credential)) == 1
    await prove_each(the, handle, ("email_code", await the.code(EMAIL)))
    answer = key.create(await challenged(the, handle, "passkey"), URL)
    assert (await opened(the, answer, EMAIL))["email_verified"] is True


async def test_an_answer_to_prove_does_not_use_up_what_is_to_be_set_up(lite: The) -> None:
    """A sign-in may have asked for a passkey, and later asks to create one: each answer is for its own challenge."""
    anna = await lite.person()
    await policy(lite, second="always", second_among=["passkey"])
    handle, key = handle_of(await lite.start(EMAIL)), Authenticator()
    to_prove = await challenged(lite, handle, "passkey")
    key.create(_creation(), URL)
    await prove_each(lite, handle, ("password", anna.password))
    assert (await lite.challenge(handle, "email_code")).status_code == 200
    await prove_each(lite, handle, ("email_code", await lite.code(EMAIL)))
    to_set_up = await challenged(lite, handle, "passkey")
    await refused(lite, key.get(to_prove, URL), email=EMAIL)
    await opened(lite, Authenticator().create(to_set_up, URL), EMAIL)


async def test_a_new_passkey_of_a_session_opens_nothing(lite: The) -> None:
    """Its challenge is bound to the session, which goes on and can still answer it."""
    anna = await lite.person()
    answer = Authenticator().create(await offered_passkey(lite, anna), URL)
    await refused(lite, answer, email=EMAIL)
    assert (await me(lite, "POST", "passkeys/prove", anna, {"answer": answer})).status_code == 201
