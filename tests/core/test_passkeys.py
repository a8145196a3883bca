"""Signing in with passkeys: which passkey may answer which challenge, each challenge once, and the signature counter.

The form of a browser's answer is tested in tests/ground/test_ceremony.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from passgate.core import jobs, tenants
from passgate.core.budgets import SHARES, Kind
from passgate.core.ctx import Ctx
from passgate.store.tables import audit_event, budget, credential, person, session, ticket
from tests.authenticator import Authenticator, NotAllowed, b64, unb64
from tests.core.having import (
    add_app,
    add_passkey,
    asserted,
    begun,
    challenged,
    code_of_app,
    disable,
    me,
    offered_passkey,
    policy,
    prove,
    prove_each,
    step_up,
)
from tests.kit import PASSWORD, Person, The, bearer, code_of, handle_of, running, settings_for, token_of

URL = "http://localhost:8000"


async def with_passkey(the: The, email: str = "anna@example.com", **made: Any) -> tuple[Person, Authenticator]:
    who, key = await the.person(email), Authenticator(**made)
    await add_passkey(the, who, key)
    return who, key


async def refused(the: The, handle: str, answer: object) -> None:
    result = await prove(the, handle, "passkey", answer)
    assert (result.status_code, code_of(result)) == (403, "proof_refused")


# -- signing in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", [None, "anna@example.com"])
async def test_it_signs_in_with_and_without_an_address(the: The, email: str | None) -> None:
    _, key = await with_passkey(the)
    handle = handle_of(await the.start(email))
    options = await challenged(the, handle, "passkey")
    assert options.keys() == {"challenge", "timeout", "rpId", "allowCredentials", "userVerification"}
    assert (options["rpId"], options["userVerification"]) == ("localhost", "required")
    assert options["allowCredentials"] == [], "nobody is named yet, so nobody's are told"
    assert len(unb64(options["challenge"])) == 32
    proved = await prove(the, handle, "passkey", key.get(options, URL))
    assert proved.json() == {
        "enough": True,
        "need": [],
        "enrol": False,
        "amr": ["pop", "user"],
        "acr": "urn:passgate:aal2",
    }
    opened = (await the.session(token_of(await the.finish(handle)))).json()
    assert opened["user"]["email"] == "anna@example.com"


async def test_a_named_person_gets_their_own_options(the: The) -> None:
    anna, key = await with_passkey(the)
    handle = await begun(the, anna.email)
    options = await challenged(the, handle, "passkey")
    assert [unb64(one["id"]) for one in options["allowCredentials"]] == [key.credentials[0].id]
    assert options["allowCredentials"][0]["transports"] == ["hybrid", "internal"]
    proved = await prove(the, handle, "passkey", key.get(options, URL))
    assert proved.json()["acr"] == "urn:passgate:aal2"


async def test_the_user_handle_is_one_for_all_of_a_person(the: The) -> None:
    anna, key = await with_passkey(the)
    other = Authenticator()
    await add_passkey(the, anna, other)
    mine, theirs = key.credentials[0].user_handle, other.credentials[0].user_handle
    assert mine == theirs
    assert len(mine) == 16
    nobody = handle_of(await the.start())
    for handle in (b"", bytes(16), mine[:-1], mine + b"\0", b"anna@example.com"):
        await refused(the, nobody, await asserted(the, nobody, key, user_handle=handle))
    named = await begun(the, anna.email)
    await refused(the, named, await asserted(the, named, key, user_handle=bytes(16)))
    await prove_each(the, named, ("passkey", await asserted(the, named, key)))


async def test_the_address_that_was_typed_is_the_owners(the: The) -> None:
    _, key = await with_passkey(the)
    await the.person("bert@example.com")
    for email in ("bert@example.com", "ghost@example.com"):
        handle = handle_of(await the.start(email))
        await refused(the, handle, await asserted(the, handle, key))
    handle = handle_of(await the.start("ANNA@Example.com"))
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))


async def test_another_persons_does_not_answer_for_somebody_named(the: The) -> None:
    anna, mine = await with_passkey(the)
    _, theirs = await with_passkey(the, "bert@example.com")
    handle = await begun(the, anna.email)
    with pytest.raises(NotAllowed):
        await asserted(the, handle, theirs)
    options = await challenged(the, handle, "passkey") | {"allowCredentials": []}
    await refused(the, handle, theirs.get(options, URL))
    await prove_each(the, handle, ("passkey", await asserted(the, handle, mine)))
    assert len(await the.rows(session)) == 2


async def test_nobody_disabled_and_nothing_removed(the: The) -> None:
    anna, key = await with_passkey(the)
    other = Authenticator()
    made = await add_passkey(the, anna, other)
    assert (await me(the, "DELETE", f"passkeys/{made['id']}", anna)).status_code == 204
    handle = handle_of(await the.start())
    await refused(the, handle, await asserted(the, handle, other))
    await disable(the, anna.email)
    await refused(the, handle, await asserted(the, handle, key))


@pytest.mark.parametrize(
    ("email", "is_about_anna", "why"),
    [
        ("anna@example.com", True, "disabled"),
        (None, False, "disabled"),
        ("bert@example.com", False, "somebody_elses"),
    ],
)
async def test_the_reason_of_somebody_who_is_disabled(
    lite: The, email: str | None, is_about_anna: bool, why: str
) -> None:
    """And not that the passkey is another person's: it is their own, and right."""
    anna, key = await with_passkey(lite)
    await disable(lite, anna.email)
    handle = handle_of(await lite.start(email))
    await refused(lite, handle, await asserted(lite, handle, key))
    [event] = [row for row in await lite.rows(audit_event) if row["event"] == "signin:passkey:refused"]
    assert json.loads(event["facts"])["why"] == why
    [annas] = [row for row in await lite.rows(person) if row["email"] == anna.email]
    assert event["subject_id"] == (annas["id"] if is_about_anna else None)


async def test_an_unknown_one_is_refused_like_any_other(the: The) -> None:
    await with_passkey(the)
    stranger = Authenticator()
    handle = handle_of(await the.start())
    options = await challenged(the, handle, "passkey")
    stranger.create(
        {"rp": {"id": "localhost"}, "user": {"id": b64(bytes(16))}, "challenge": "", "pubKeyCredParams": [{"alg": -7}]},
        URL,
    )
    await refused(the, handle, stranger.get(options, URL))


async def test_other_tenants_passkeys_prove_nothing_here(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        async with the.gate.services.store.write() as db:
            await tenants.create(Ctx(the.gate.services), db, "acme", "Acme")
        _, key = await with_passkey(the)
        handle = handle_of(await the.start(tenant="acme"))
        await refused(the, handle, await asserted(the, handle, key))
        named = handle_of(await the.start("anna@example.com", tenant="acme"))
        await refused(the, named, await asserted(the, named, key))


async def test_a_passkey_belongs_to_the_name_it_was_made_under(tmp_path: Path) -> None:
    """After the public URL has changed, passkeys of the old host are neither listed nor accepted, even if the answer
    names the new one."""
    root = ("r4" * 8 + "Kq7Wz0" * 6,)
    async with running(settings_for(tmp_path, secrets=root)) as the:
        anna, key = await with_passkey(the)
    moved = settings_for(tmp_path, secrets=root, public_url="http://id.localhost:8000")
    async with running(moved) as the:
        handle = await begun(the, anna.email)
        options = await challenged(the, handle, "passkey")
        assert (options["rpId"], options["allowCredentials"]) == ("id.localhost", [])
        key.credentials[0].rp_id = "id.localhost"
        await refused(the, handle, key.get(options, "http://id.localhost:8000"))


# -- the challenge ---------------------------------------------------------------------------------


async def test_a_challenge_is_for_its_own_sign_in_and_once(the: The) -> None:
    _, key = await with_passkey(the)
    one, two = [handle_of(await the.start()) for _ in range(2)]
    options = await challenged(the, one, "passkey")
    await challenged(the, two, "passkey")
    answer = key.get(options, URL)
    await refused(the, two, answer)
    await prove_each(the, one, ("passkey", answer))
    assert code_of(await prove(the, one, "passkey", answer)) == "already_proved"
    three = handle_of(await the.start())
    await refused(the, three, answer)
    await challenged(the, three, "passkey")
    await refused(the, three, answer)


async def test_it_is_burnt_by_a_wrong_answer(the: The) -> None:
    _, key = await with_passkey(the)
    handle = handle_of(await the.start())
    options = await challenged(the, handle, "passkey")
    await refused(the, handle, key.get(options, URL, uv=False))
    await refused(the, handle, key.get(options, URL))
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))


async def test_a_newer_one_kills_it(the: The) -> None:
    _, key = await with_passkey(the)
    handle = handle_of(await the.start())
    older, newer = [await challenged(the, handle, "passkey") for _ in range(2)]
    assert older["challenge"] != newer["challenge"]
    await refused(the, handle, key.get(older, URL))


async def test_it_is_good_for_five_minutes(the: The) -> None:
    _, key = await with_passkey(the)
    for seconds, status in ((299, 200), (300, 403)):
        handle = handle_of(await the.start())
        options = await challenged(the, handle, "passkey")
        the.clock.forward(seconds)
        assert (await prove(the, handle, "passkey", key.get(options, URL))).status_code == status


async def test_what_was_asked_of_nobody_does_not_answer_for_somebody(the: The) -> None:
    """A challenge that was made before the password named the person is refused afterwards; a new challenge works."""
    anna, key = await with_passkey(the)
    handle = handle_of(await the.start(anna.email))
    options = await challenged(the, handle, "passkey")
    await prove_each(the, handle, ("password", anna.password))
    await refused(the, handle, key.get(options, URL))
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))


async def test_a_challenge_to_make_one_signs_nobody_in(the: The) -> None:
    anna, key = await with_passkey(the)
    creation = await offered_passkey(the, anna)
    handle = handle_of(await the.start())
    await challenged(the, handle, "passkey")
    options = {"rpId": "localhost", "challenge": creation["challenge"]}
    await refused(the, handle, key.get(options, URL))
    asking = await challenged(the, handle, "passkey")
    made = Authenticator().create(creation | {"challenge": asking["challenge"]}, URL)
    result = await me(the, "POST", "passkeys/prove", anna, {"answer": made})
    assert code_of(result) == "proof_refused"


async def test_without_a_challenge_nothing_is_right(the: The) -> None:
    _, key = await with_passkey(the)
    handle = handle_of(await the.start())
    await refused(the, handle, key.get({"rpId": "localhost", "challenge": b64(bytes(32))}, URL))
    await refused(the, handle, key.get({"rpId": "localhost", "challenge": ""}, URL))


# -- counter, backup flags and level ---------------------------------------------------------------


async def test_a_counter_that_does_not_grow_is_refused_and_mailed(the: The) -> None:
    anna, key = await with_passkey(the, counter=5, step=1)
    handle = handle_of(await the.start())
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))
    for counter in (6, 5, 0):
        handle = handle_of(await the.start())
        await refused(the, handle, await asserted(the, handle, key, counter=counter))
        result = (await the.mails(anna.email))[0]
        assert result["kind"] == "passkey_counter"
    assert (await the.events()).count("signin:passkey:counter_back") == 3
    [row] = [row for row in await the.rows(credential) if row["kind"] == "passkey"]
    assert row["counter"] == 6
    handle = handle_of(await the.start())
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key, counter=2**32 - 1)))


async def test_or_only_recorded_by_policy(the: The) -> None:
    anna, key = await with_passkey(the, counter=5, step=1)
    await policy(the, passkey_counter="note")
    for count, counter in enumerate((5, 0), start=1):
        handle = handle_of(await the.start())
        await prove_each(the, handle, ("passkey", await asserted(the, handle, key, counter=counter)))
        assert [mail["kind"] for mail in await the.mails(anna.email)].count("passkey_counter") == count
    assert (await the.events()).count("signin:passkey:counter_back") == 2
    [row] = [row for row in await the.rows(credential) if row["kind"] == "passkey"]
    assert row["counter"] == 5, "it never goes back"


async def test_one_that_never_counts(the: The) -> None:
    anna, key = await with_passkey(the)
    for _ in range(3):
        handle = handle_of(await the.start())
        await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))
    assert "passkey_counter" not in [mail["kind"] for mail in await the.mails(anna.email)]


async def test_whether_it_may_leave_its_device_stays_as_it_was(the: The) -> None:
    _, synced = await with_passkey(the)
    _, bound = await with_passkey(the, "bert@example.com", be=False, bs=False)
    handle = handle_of(await the.start())
    await refused(the, handle, await asserted(the, handle, synced, be=False, bs=False))
    await refused(the, handle, await asserted(the, handle, bound, be=True))
    await prove_each(the, handle, ("passkey", await asserted(the, handle, synced, bs=False)))
    rows = [row for row in await the.rows(credential) if row["kind"] == "passkey"]
    assert [json.loads(row["data"])["backed_up"] for row in rows] == [False, False]


async def test_the_strongest_level_wants_a_key_that_stays(the: The) -> None:
    aal3 = "urn:passgate:aal3"
    bert, bound = await with_passkey(the, "bert@example.com", be=False, bs=False)
    handle = await step_up(the, bert, aal3)
    assert (await prove(the, handle, "passkey", await asserted(the, handle, bound))).json()["acr"] == aal3
    assert (await the.session(token_of(await the.finish(handle)))).json()["session"]["acr"] == aal3
    anna, synced = await with_passkey(the)
    handle = await step_up(the, anna, aal3)
    result = await prove(the, handle, "passkey", await asserted(the, handle, synced))
    assert code_of(result) == "factor_not_offered"
    late = await the.finish(handle)
    assert code_of(late) == "insufficient_user_authentication"
    assert f'acr_values="{aal3}"' in late.headers["www-authenticate"]
    handle = await step_up(the, anna, "phr")
    assert (await prove(the, handle, "passkey", await asserted(the, handle, synced))).json()["acr"] == "phr"


# -- adding a passkey ------------------------------------------------------------------------------


async def test_what_is_offered_names_those_that_are_there(the: The) -> None:
    anna, key = await with_passkey(the)
    options = await offered_passkey(the, anna)
    assert [unb64(one["id"]) for one in options["excludeCredentials"]] == [key.credentials[0].id]
    assert options["user"]["name"] == anna.email
    assert options["rp"] == {"id": "localhost", "name": "Passgate"}
    with pytest.raises(NotAllowed):
        key.create(options, URL)


async def test_one_that_somebody_has_already_is_refused(the: The) -> None:
    """A credential id that is already stored is refused, whether its owner is another person or the same; the
    response does not reveal which."""
    anna, key = await with_passkey(the)
    bert = await the.person("bert@example.com")
    before = len(await the.rows(credential))
    for who in (bert, anna):
        copy = Authenticator()
        options = await offered_passkey(the, who) | {"excludeCredentials": []}
        answer = copy.create(options, URL, auth_data=lambda raw: raw[:55] + key.credentials[0].id + raw[87:])
        answer["id"] = answer["rawId"] = b64(key.credentials[0].id)
        result = await me(the, "POST", "passkeys/prove", who, {"answer": answer})
        assert (result.status_code, code_of(result)) == (403, "proof_refused")
    assert len(await the.rows(credential)) == before
    handle = handle_of(await the.start())
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))


async def test_a_challenge_to_make_one_is_once_and_one_sessions(the: The) -> None:
    anna, bert = await the.person(), await the.person("bert@example.com")
    again = await the.signed_in(anna)
    options = await offered_passkey(the, anna)
    answer = Authenticator().create(options, URL)
    for other in (bert, again):
        result = await me(the, "POST", "passkeys/prove", other, {"answer": answer})
        assert code_of(result) == "proof_refused"
    made = await me(the, "POST", "passkeys/prove", anna, {"answer": answer, "label": "  My   phone "})
    assert (made.status_code, made.json()["label"]) == (201, "My phone")
    assert code_of(await me(the, "POST", "passkeys/prove", anna, {"answer": answer})) == "proof_refused"
    await policy(the, max_age=86_400)  # so that the proof stays fresh for longer than a challenge lives
    late = Authenticator().create(await offered_passkey(the, anna), URL)
    the.clock.forward(300)
    assert code_of(await me(the, "POST", "passkeys/prove", anna, {"answer": late})) == "proof_refused"


async def test_a_wrong_answer_burns_it(the: The) -> None:
    anna, key = await the.person(), Authenticator()
    options = await offered_passkey(the, anna)
    for twist in ({"uv": False}, {}):
        result = await me(the, "POST", "passkeys/prove", anna, {"answer": key.create(options, URL, **twist)})
        assert code_of(result) == "proof_refused"
    assert (await the.events()).count("account:factor:refused") == 2
    assert [row for row in await the.rows(ticket) if row["kind"] == "passkey_new" and row["taken_at"] is None] == []


async def test_a_passkey_that_was_proved_and_then_removed_opens_nothing(the: The) -> None:
    anna, key = await with_passkey(the)
    handle = handle_of(await the.start())
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))
    listed = (await me(the, "GET", "passkeys", anna)).json()["items"]
    assert (await me(the, "DELETE", f"passkeys/{listed[0]['id']}", anna)).status_code == 204
    assert code_of(await the.finish(handle)) == "handle_invalid"


async def test_a_row_that_lost_its_secret_signs_nobody_in(the: The) -> None:
    _, key = await with_passkey(the)
    async with the.gate.services.store.write() as db:
        await db.change(update(credential).where(credential.c.kind == "passkey").values(secret_sealed=b"x" * 80))
    handle = handle_of(await the.start())
    await refused(the, handle, await asserted(the, handle, key))


async def test_text_is_no_passkeys_answer_and_an_object_nobody_elses(the: The) -> None:
    anna, key = await with_passkey(the)
    secret = await add_app(the, anna)
    handle = handle_of(await the.start(anna.email))
    text = await prove(the, handle, "passkey", json.dumps(await asserted(the, handle, key)))
    assert (code_of(text), text.json()["fields"]) == ("invalid", {"answer": "type"})
    typed = await prove(the, handle, "password", {"password": PASSWORD})
    assert (code_of(typed), typed.json()["fields"]) == ("invalid", {"answer": "type"})
    await prove_each(the, handle, ("password", anna.password))
    odd = await prove(the, handle, "totp", {"code": code_of_app(the, secret)})
    assert (code_of(odd), odd.json()["fields"]) == ("invalid", {"answer": "type"})
    assert (await the.http.get("/api/v1/session", headers=bearer(anna.token))).status_code == 200


# -- whom the trail names --------------------------------------------------------------------------


async def refusals(the: The) -> list[dict[str, Any]]:
    return [row for row in await the.rows(audit_event) if row["event"] == "signin:passkey:refused"]


async def given(the: The, key: Authenticator, **typed: Any) -> None:
    """Its answer is refused after this was typed."""
    handle = handle_of(await the.start(**typed))
    await refused(the, handle, await asserted(the, handle, key, **({} if typed else {"uv": False})))


async def test_a_refusal_is_about_whoever_was_typed(the: The) -> None:
    """As with a password: not about the owner of the passkey that was used. Where nobody has what was typed, the row
    has a keyed hash; where nothing was typed, it is about nobody."""
    anna, key = await with_passkey(the)
    bert = await the.person("bert@example.com")
    await policy(the, usernames="optional")
    async with the.gate.services.store.write() as db:
        named = update(person).where(person.c.email == bert.email)
        await db.change(named.values(username="bert", username_key="bert"))
    people = {row["email"]: row["id"] for row in await the.rows(person)}
    for typed in (
        {"email": "BERT@example.com"},
        {"username": "Bert"},
        {"email": "ghost@example.com"},
        {"username": "ghost"},
        {},
    ):
        await given(the, key, **typed)
    rows = await refusals(the)
    assert [row["subject_id"] for row in rows] == [people[bert.email]] * 2 + [None] * 3
    personal = [json.loads(row["personal"]).keys() - {"ip", "browser", "os"} for row in rows]
    assert personal == [{"email"}, {"username"}, {"address_hash"}, {"username_hash"}, set()]
    assert anna.email not in str([row["personal"] for row in rows])
    events = [row["event"] for row in (await me(the, "GET", "activity", bert)).json()["items"]]
    assert events.count("signin:passkey:refused") == 2


async def test_who_is_typed_is_neither_counted_nor_locked(lite: The) -> None:
    """Whoever knows an address could else lock its owner out."""
    anna, key = await with_passkey(lite)
    _, berts = await with_passkey(lite, "bert@example.com")
    many = 72
    handles = [handle_of(await lite.start(anna.email)) for _ in range(many // 9)]
    for handle in handles * 9:
        await refused(lite, handle, await asserted(lite, handle, berts))
    assert len(await refusals(lite)) == many > SHARES[Kind.STRANGER]
    assert "account:factor:locked" not in await lite.events()
    assert [row["key"] for row in await lite.rows(budget) if row["key"].startswith(("n:", "w:passkey"))] == []
    handle = handle_of(await lite.start(anna.email))
    await prove_each(lite, handle, ("passkey", await asserted(lite, handle, key)))


async def test_erasing_whoever_was_typed_erases_what_was_typed(the: The) -> None:
    _, key = await with_passkey(the)
    bert = await the.person("bert@example.com")
    await given(the, key, email=bert.email)
    [row] = await refusals(the)
    assert "bert@example.com" in row["personal"]
    assert (await the.http.delete("/api/v1/me", headers=bert.auth)).status_code == 204
    await jobs.tidy(the.gate.services)
    [row] = await refusals(the)
    assert (row["personal"], row["personal_salt"]) == (None, None)
