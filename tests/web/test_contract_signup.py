"""The sign-up endpoint over HTTP: responses, mails, refusals, tenants and password rules.

Not here: hashing and the delivery of mail.
"""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import pytest
from sqlalchemy import update

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.settings import BreachSettings
from passgate.store.tables import budget, credential, person, tenant
from tests import kit
from tests.kit import OTHER_PASSWORD, PASSWORD, The, code_of, handle_of, token_of

START = {"handle", "need", "enrol", "expires_at"}


async def make_tenant(the: The, name: str, *, signup: str = "open", disabled: bool = False) -> str:
    """Create a tenant through `core`, because there is no endpoint for it yet."""
    async with the.gate.services.store.write() as db:
        made = await tenants.create(Ctx(the.gate.services), db, name, name.title(), signup)
        assert made is not None
        if disabled:
            await db.change(update(tenant).where(tenant.c.id == made).values(disabled_at=1))
    return made


async def disable(the: The, email: str) -> None:
    async with the.gate.services.store.write() as db:
        assert await db.change(update(person).where(person.c.email_key == email.lower()).values(disabled_at=1)) == 1


async def test_the_answer_is_the_contracts(lite: The) -> None:
    answer = await lite.signup("anna@example.com", profile={"name": "Anna"})
    assert answer.status_code == 202
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == START
    assert (body["need"], body["enrol"]) == ([["email_code"]], False)
    assert body["handle"].startswith("pg_sin_")
    assert body["expires_at"].endswith("Z")
    mail = (await lite.mails("anna@example.com"))[0]
    assert mail.keys() == {"to", "subject", "text", "html", "kind", "code", "link", "sent_at"}
    assert (mail["kind"], mail["link"]) == ("signup_code", None)
    assert mail["html"].startswith("<!doctype html>")
    assert await lite.rows(person) == []
    assert await lite.rows(credential) == []
    proved = await lite.prove(body["handle"], "email_code", mail["code"])
    assert proved.json() == {
        "enough": True,
        "need": [],
        "enrol": False,
        "amr": ["otp", "pwd"],
        "acr": "urn:passgate:aal1",
    }
    finished = await lite.finish(body["handle"])
    assert finished.status_code == 201
    assert finished.json().keys() == {"session", "token"}
    displayed = (await lite.session(token_of(finished))).json()
    assert (displayed["user"]["profile"], displayed["user"]["roles"]) == ({"name": "Anna"}, ["user"])


async def test_known_and_new_are_indistinguishable(lite: The) -> None:
    await lite.person("anna@example.com")
    new, known = await lite.signup("bert@example.com"), await lite.signup("anna@example.com")
    for answer in (new, known):
        assert (answer.status_code, answer.json().keys()) == (202, START)
        assert (answer.json()["need"], answer.json()["enrol"]) == ([["email_code"]], False)
    assert {name: value for name, value in new.headers.items() if name != "x-request-id"} == {
        name: value for name, value in known.headers.items() if name != "x-request-id"
    }
    mail = (await lite.mails("anna@example.com"))[0]
    assert (mail["kind"], mail["code"], mail["link"]) == ("signup_known", None, "http://localhost:8000/signin")
    sent = [await lite.challenge(answer.json()["handle"], "email_code") for answer in (new, known)]
    assert [(answer.status_code, answer.json()) for answer in sent] == [
        (200, {"challenge": {"sent_to": "b…@example.com"}}),
        (200, {"challenge": {"sent_to": "a…@example.com"}}),
    ]
    refused = [await lite.prove(answer.json()["handle"], "email_code", "00000000") for answer in (new, known)]
    left = [{**answer.json(), "request_id": ""} for answer in refused]
    assert left[0] == left[1]


async def test_without_a_password(the: The) -> None:
    handle = handle_of(await the.signup("anna@example.com", None))
    assert code_of(await the.prove(handle, "password", PASSWORD)) == "factor_not_offered"
    proved = await the.prove(handle, "email_code", await the.code("anna@example.com"))
    ways = [["password"], ["passkey"]]
    assert proved.json() == {"enough": False, "need": ways, "enrol": True}
    missing = await the.finish(handle)
    assert (missing.status_code, code_of(missing), missing.json()["need"]) == (409, "proof_missing", ways)
    assert code_of(await the.prove(handle, "password", "short")) == "password_refused"
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    token_of(await the.finish(handle))
    await the.signed_in(kit.Person("anna@example.com", PASSWORD))


async def test_the_first_proof_wins(the: The) -> None:
    one, two = [handle_of(await the.signup("anna@example.com", word)) for word in (PASSWORD, OTHER_PASSWORD)]
    newest, older = [mail["code"] for mail in await the.mails("anna@example.com")]
    assert (await the.prove(two, "email_code", newest)).status_code == 200
    assert code_of(await the.prove(one, "email_code", older)) == "proof_refused"
    assert len(await the.rows(person)) == 1
    token_of(await the.finish(two))
    late = handle_of(await the.start("anna@example.com"))
    assert code_of(await the.prove(late, "password", PASSWORD)) == "proof_refused"
    assert (await the.prove(late, "password", OTHER_PASSWORD)).status_code == 200


async def test_nobody_plants_a_password_in_anothers_account(the: The) -> None:
    """Pre-hijacking: an attacker signs up the victim's address first, with a password of their own. It never becomes
    the account's password."""
    planted = handle_of(await the.signup("victim@example.com", "the attackers own phrase"))
    theirs = await the.code("victim@example.com")
    real = handle_of(await the.signup("Victim@example.com", PASSWORD))
    mine = await the.code("victim@example.com")
    assert code_of(await the.prove(planted, "email_code", mine)) == "proof_refused"
    assert code_of(await the.prove(real, "email_code", theirs)) == "proof_refused"
    assert (await the.prove(real, "email_code", mine)).status_code == 200
    token_of(await the.finish(real))
    assert code_of(await the.prove(planted, "email_code", theirs)) == "proof_refused"
    assert code_of(await the.finish(planted)) == "proof_missing"
    handle = handle_of(await the.start("victim@example.com"))
    assert code_of(await the.prove(handle, "password", "the attackers own phrase")) == "proof_refused"
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200


async def test_a_resend_kills_the_older_code(the: The) -> None:
    handle = handle_of(await the.signup("anna@example.com"))
    first = await the.code("anna@example.com")
    sent = await the.challenge(handle, "email_code")
    assert sent.json() == {"challenge": {"sent_to": "a…@example.com"}}
    assert code_of(await the.prove(handle, "email_code", first)) == "proof_refused"
    second = await the.code("anna@example.com")
    assert (await the.prove(handle, "email_code", f" {second[:4]}-{second[4:]} ")).status_code == 200


async def test_a_code_grows_old_before_its_handle(tmp_path: Path) -> None:
    settings = kit.settings_for(tmp_path, mail={"code_life": 60})
    async with kit.running(settings) as the:
        handle = handle_of(await the.signup("anna@example.com"))
        code = await the.code("anna@example.com")
        the.clock.forward(60)
        assert code_of(await the.prove(handle, "email_code", code)) == "proof_refused"
        await the.challenge(handle, "email_code")
        assert (await the.prove(handle, "email_code", await the.code("anna@example.com"))).status_code == 200


async def test_five_mails_an_hour_and_no_answer_reveals_it(the: The) -> None:
    await the.person("anna@example.com")
    the.clock.forward(3600)
    for email in ("anna@example.com", "ghost@example.com"):
        before = len(await the.mails(email))
        handle = handle_of(await the.signup(email))
        for _ in range(2):
            assert (await the.challenge(handle, "email_code")).status_code == 200
        for spelling in (email, email.upper()):
            assert (await the.recover(spelling)).status_code == 202
        assert len(await the.mails(email)) == before + 5
        last = [await the.signup(email), await the.recover(email)]
        assert [(answer.status_code, answer.json().keys()) for answer in last] == [(202, START)] * 2
        assert (await the.challenge(handle, "email_code")).status_code == 200
        assert len(await the.mails(email)) == before + 5
    the.clock.forward(3600)
    await the.signup("ghost@example.com")
    assert len(await the.mails("ghost@example.com")) == 6


# -- password rules --------------------------------------------------------------------------------

_SHORT_AFTER_NFC = unicodedata.normalize("NFD", "é" * 7 + "zwölfkü")
REFUSED = [
    ("fourteen chars", "short"),
    (_SHORT_AFTER_NFC, "short"),
    ("x" * 257, "long"),
    ("passwordpassword", "common"),
    ("aaaaaaaaaaaaaaaa", "common"),
    ("123456789012345678", "common"),
    ("passgatepassgate1", "context"),
    ("hildegard@example.com", "context"),
    ("Hildegard-Hildegard", "context"),
]


@pytest.mark.parametrize(("password", "reason"), REFUSED, ids=lambda word: str(word)[:20])
async def test_a_poor_password_is_refused_with_its_reason(lite: The, password: str, reason: str) -> None:
    before = await lite.everything(but=("budget",))
    answer = await lite.signup("hildegard@example.com", password)
    assert (answer.status_code, code_of(answer)) == (422, "password_refused")
    assert answer.json()["fields"] == {"password": reason}
    assert password not in answer.text
    assert await lite.everything(but=("budget",)) == before
    assert {row["key"] for row in await lite.rows(budget)} == {"o:starts:127.0.0.1"}  # estimating has a price
    anna = await lite.person("hildegard@example.com")
    answer = await lite.http.post("/api/v1/me/password", json={"password": password}, headers=anna.auth)
    assert (code_of(answer), answer.json()["fields"]) == ("password_refused", {"password": reason})
    handle = handle_of(await lite.recover("hildegard@example.com"))
    await lite.prove(handle, "email_code", await lite.code("hildegard@example.com"))
    answer = await lite.prove(handle, "password", password)
    assert (code_of(answer), answer.json()["fields"]) == ("password_refused", {"password": reason})


@pytest.mark.parametrize(
    "password",
    ["kwzjf qv mxtrbl", "żółć-жук-日本語-ñandú", "🦜🪵🧶🪩🦔🪗🧲🪤🦚🪁🧷🪆🦩🪴🧿", "kx vq " * 42 + "wjzf"],
    ids=["15 characters", "letters of all lands", "15 pictures", "256 characters"],
)
async def test_a_good_password_of_any_script(lite: The, password: str) -> None:
    await lite.person("anna@example.com", password)
    handle = handle_of(await lite.start("anna@example.com"))
    assert (await lite.prove(handle, "password", unicodedata.normalize("NFD", password))).status_code == 200


async def test_a_leaked_password_is_refused(tmp_path: Path) -> None:
    passwords = (PASSWORD, "another one")
    leaked = sorted(hashlib.sha1(word.encode(), usedforsecurity=False).hexdigest().upper() for word in passwords)
    ranges = tmp_path / "ranges"
    ranges.write_text("".join(f"{line}:7\n" for line in leaked))
    async with kit.running(kit.settings_for(tmp_path, breach=BreachSettings(ranges=ranges))) as the:
        answer = await the.signup("anna@example.com", PASSWORD)
        assert (code_of(answer), answer.json()["fields"]) == ("password_refused", {"password": "breached"})
        assert (await the.signup("anna@example.com", OTHER_PASSWORD)).status_code == 202
        ranges.write_text("not a list\n")
        before = await the.everything(but=("budget",))
        answer = await the.signup("anna@example.com", OTHER_PASSWORD)
        assert (answer.status_code, code_of(answer), answer.json()["down"]) == (503, "unavailable", "breach")
        assert int(answer.headers["retry-after"]) >= 1
        assert await the.everything(but=("budget",)) == before


@pytest.mark.parametrize(
    "email",
    [
        "anna",
        "@example.com",
        "anna@",
        "anna@@example.com",
        "an na@example.com",
        "anna@exa mple.com",
        "a@b@c.de",
        "anna@-x.de",
        "anna@example.com, bert@example.com",
        "<anna@example.com>",
        f"anna@{'x' * 64}.de",
        "an\u202ena@example.com",
        "anna@[127.0.0.1]",
        '"a b"@example.com',
    ],
)
async def test_what_is_no_address_is_refused_everywhere(lite: The, email: str) -> None:
    before = await lite.everything()
    for answer in (await lite.signup(email), await lite.start(email), await lite.recover(email)):
        assert (answer.status_code, code_of(answer)) == (422, "invalid")
        assert answer.json()["fields"] == {"email": "format"}
    assert await lite.everything() == before


# -- tenants ---------------------------------------------------------------------------------------


async def test_ghost_disabled_and_closed_answer_alike(the: The) -> None:
    await make_tenant(the, "closed", signup="closed")
    await make_tenant(the, "invite", signup="invite")
    await make_tenant(the, "gone", disabled=True)
    seen = []
    for name in ("closed", "invite", "gone", "ghost", "no/name at all"):
        answer = await the.signup("anna@example.com", tenant=name)
        assert (answer.status_code, code_of(answer)) == (403, "signup_closed")
        seen.append({**answer.json(), "request_id": ""})
    assert all(answer == seen[0] for answer in seen)
    for endpoint in ("signin", "recover"):
        result = []
        for name in ("gone", "ghost"):
            body = {"email": "anna@example.com", "tenant": name}
            answer = await the.http.post(f"/api/v1/{endpoint}", json=body)
            assert (answer.status_code, code_of(answer)) == (403, "signup_closed")
            result.append({**answer.json(), "request_id": ""})
        assert result[0] == result[1]


async def test_a_tenant_is_joined_by_name_without_case(the: The) -> None:
    await make_tenant(the, "acme")
    handle = handle_of(await the.signup("anna@example.com", tenant="ACME"))
    await the.prove(handle, "email_code", await the.code("anna@example.com"))
    token = token_of(await the.finish(handle))
    displayed = (await the.session(token)).json()
    assert (displayed["tenant"]["name"], displayed["tenant"]["display_name"]) == ("acme", "Acme")
    handle = handle_of(await the.start("anna@example.com"))
    assert code_of(await the.prove(handle, "password", PASSWORD)) == "proof_refused"  # not a person of `main`
    handle = handle_of(await the.start("anna@example.com", tenant="acme"))
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200


async def test_a_disabled_tenant_ends_what_runs_in_it(the: The) -> None:
    made = await make_tenant(the, "acme")
    handle = handle_of(await the.signup("anna@example.com", tenant="acme"))
    await the.prove(handle, "email_code", await the.code("anna@example.com"))
    token = token_of(await the.finish(handle))
    running = handle_of(await the.start("anna@example.com", tenant="acme"))
    async with the.gate.services.store.write() as db:
        await db.change(update(tenant).where(tenant.c.id == made).values(disabled_at=1))
    assert code_of(await the.session(token)) == "session_ended"
    assert code_of(await the.prove(running, "password", PASSWORD)) == "handle_invalid"
    assert code_of(await the.finish(running)) == "handle_invalid"


async def test_a_new_tenant_with_its_owner(tmp_path: Path, database_url: str | None) -> None:
    async with kit.running(kit.settings_for(tmp_path, database_url, tenancy="multi")) as the:
        handle = handle_of(await the.signup("anna@example.com", new_tenant={"name": "Acme"}))
        rival = handle_of(await the.signup("bert@example.com", new_tenant={"name": "acme"}))
        assert len(await the.rows(tenant)) == 1  # no tenant is created before the proof
        await the.prove(handle, "email_code", await the.code("anna@example.com"))
        displayed = (await the.session(token_of(await the.finish(handle)))).json()
        assert (displayed["tenant"]["name"], displayed["tenant"]["display_name"]) == ("acme", "Acme")
        assert displayed["user"]["roles"] == ["owner"]
        before = await the.rows(person)
        late = await the.prove(rival, "email_code", await the.code("bert@example.com"))
        assert (late.status_code, code_of(late)) == (409, "tenant_name_taken")
        assert await the.rows(person) == before
        taken = await the.signup("carl@example.com", new_tenant={"name": "ACME"})
        assert (taken.status_code, code_of(taken)) == (409, "tenant_name_taken")
        both = await the.signup("carl@example.com", tenant="acme", new_tenant={"name": "other"})
        assert (code_of(both), both.json()["fields"]) == ("invalid", {"new_tenant": "value"})
        for name in ("main", "API", "admin", "www", "oauth2", "bff", "dev", "demo"):
            answer = await the.signup("carl@example.com", new_tenant={"name": name})
            assert (code_of(answer), answer.json()["fields"]) == ("invalid", {"new_tenant.name": "reserved"})
        for name in ("t", "a_b", "-ab", "ab-", "a b", "é" * 3, "x" * 41):
            answer = await the.signup("carl@example.com", new_tenant={"name": name})
            assert (code_of(answer), answer.json()["fields"]) == ("invalid", {"new_tenant.name": "format"})


async def test_a_known_address_may_found_a_tenant(tmp_path: Path, database_url: str | None) -> None:
    """The same address in two tenants is two people: resending the code, or disabling the first person, does not stop
    the second sign-up."""
    async with kit.running(kit.settings_for(tmp_path, database_url, tenancy="multi")) as the:
        await the.person("anna@example.com")
        handle = handle_of(await the.signup("anna@example.com", new_tenant={"name": "acme"}))
        assert (await the.mails("anna@example.com"))[0]["kind"] == "signup_code"
        await the.challenge(handle, "email_code")
        assert (await the.mails("anna@example.com"))[0]["kind"] == "signup_code"
        await disable(the, "anna@example.com")
        proved = await the.prove(handle, "email_code", await the.code("anna@example.com"))
        assert proved.json()["enough"] is True
        displayed = (await the.session(token_of(await the.finish(handle)))).json()
        assert (displayed["tenant"]["name"], displayed["user"]["roles"]) == ("acme", ["owner"])
        assert len(await the.rows(person)) == 2


async def test_single_tenancy_makes_no_tenants(lite: The) -> None:
    answer = await lite.signup("anna@example.com", new_tenant={"name": "acme"})
    assert (answer.status_code, code_of(answer)) == (403, "signup_closed")


async def test_a_profile_has_a_size(lite: The) -> None:
    answer = await lite.signup("anna@example.com", profile={"about": "x" * 17_000})
    assert (answer.status_code, code_of(answer), answer.json()["fields"]) == (422, "invalid", {"profile": "length"})
