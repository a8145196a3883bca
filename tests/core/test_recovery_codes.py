"""Recovery codes of eighty bits, ten unless the rules say otherwise: shown once, each usable once, and only those of
the newest set; mailed ones are worth their mailbox.

Their end with other factors is tested in test_enrolment, their hashing in tests/ground.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from passgate.core import credentials, enrolment
from passgate.core.factors import recovery_code
from passgate.store.tables import audit_event, credential, outbox, person
from tests.core.behind import Folk
from tests.core.having import add_app, add_codes, begun, code_of_app, me, policy, prove, prove_each, signed_in
from tests.kit import Person, The, code_of, handle_of, token_of


async def test_ten_codes_of_eighty_bits(the: The) -> None:
    anna = await the.person()
    codes = await add_codes(the, anna)
    assert len(set(codes)) == 10
    for code in codes:
        groups = code.split("-")
        assert [len(group) for group in groups] == [4, 4, 4, 4]
        assert set("".join(groups)) <= set("abcdefghijklmnopqrstuvwxyz234567")
    rows = [row for row in await the.rows(credential) if row["kind"] == recovery_code.name]
    assert len({row["lookup"] for row in rows}) == 10
    stored = repr(await the.everything())
    for code in codes:
        assert code not in stored
        assert code.replace("-", "") not in stored


async def test_each_is_good_once(the: The) -> None:
    anna = await the.person()
    codes = await add_codes(the, anna)
    for number, code in enumerate(codes[:3], start=1):
        await signed_in(the, anna, ("recovery_code", code))
        again = await begun(the, anna.email)
        for spelling in (code, code.upper(), code.replace("-", "")):
            assert code_of(await prove(the, again, "recovery_code", spelling)) == "proof_refused"
        result = (await the.mails(anna.email))[0]
        assert result["kind"] == "recovery_code_used"
        assert str(10 - number) in result["text"]
    assert (await the.events()).count("account:recovery_code:used") == 3


async def test_it_counts_as_something_had(the: The) -> None:
    anna = await the.person()
    [code, *_] = await add_codes(the, anna)
    asked = await prove(the, handle_of(await the.start(anna.email)), "password", anna.password)
    assert asked.json() == {"enough": False, "need": [["recovery_code"]], "enrol": False}
    proved = await prove(the, await begun(the, anna.email), "recovery_code", code)
    assert (proved.json()["amr"], proved.json()["acr"]) == (["pwd", "otp"], "urn:passgate:aal2")


async def test_however_it_is_typed(lite: The) -> None:
    """Spaces, hyphens and case do not matter. Codes contain no 0, 1 or 8, so these are read as o, l and b."""
    anna = await lite.person()
    codes = iter(await add_codes(lite, anna))
    misread = str.maketrans("olb", "018")
    for spell in (
        str.upper,
        str.title,
        lambda code: code.replace("-", " "),
        lambda code: f" {code} ",
        lambda code: code.replace("-", ""),
        lambda code: code.translate(misread),
    ):
        await signed_in(lite, anna, ("recovery_code", spell(next(codes))))


async def test_what_is_no_code(lite: The) -> None:
    anna = await lite.person()
    [code, *_] = await add_codes(lite, anna)
    handle = await begun(lite, anna.email)
    for odd in (code[:-1], code + "a", "-" * 19, "a" * 1024, code + "a" * 900, "é" * 16):
        assert code_of(await prove(lite, handle, "recovery_code", odd)) == "proof_refused", odd
    assert (await prove(lite, handle, "recovery_code", code)).status_code == 200


async def test_a_new_set_kills_the_old_one(the: The) -> None:
    anna = await the.person()
    old = await add_codes(the, anna)
    new = await add_codes(the, anna)
    assert not set(old) & set(new)
    handle = await begun(the, anna.email)
    for code in old[:3]:
        assert code_of(await prove(the, handle, "recovery_code", code)) == "proof_refused"
    assert (await prove(the, handle, "recovery_code", new[0])).status_code == 200
    live = [
        row for row in await the.rows(credential) if row["kind"] == recovery_code.name and row["revoked_at"] is None
    ]
    assert len(live) == 9


async def test_somebody_elses_is_wrong(the: The) -> None:
    anna, bert = await the.person("anna@example.com"), await the.person("bert@example.com")
    mine, theirs = await add_codes(the, anna), await add_codes(the, bert)
    handle = await begun(the, anna.email)
    assert code_of(await prove(the, handle, "recovery_code", theirs[0])) == "proof_refused"
    assert (await prove(the, handle, "recovery_code", mine[0])).status_code == 200
    await signed_in(the, bert, ("recovery_code", theirs[0]))


async def test_two_handles_at_the_same_time(the: The) -> None:
    anna = await the.person()
    [code, *_] = await add_codes(the, anna)
    handles = [await begun(the, anna.email) for _ in range(2)]
    answers = await asyncio.gather(*(prove(the, handle, "recovery_code", code) for handle in handles))
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    assert (await the.events()).count("account:recovery_code:used") == 1


async def test_with_another_factor_either_will_do(the: The) -> None:
    anna = await the.person()
    secret = await add_app(the, anna)
    [code, *_] = await add_codes(the, anna)
    await signed_in(the, anna, ("totp", code_of_app(the, secret)))
    again = await signed_in(the, anna, ("recovery_code", code))
    assert (await me(the, "GET", "passkeys", again)).json() == {"items": [], "next": None}


async def test_the_last_one_used_leaves_none(lite: The) -> None:
    """After the last code was used, the password alone signs in: a person without codes is not asked for one."""
    anna = await lite.person()
    for code in await add_codes(lite, anna):
        await signed_in(lite, anna, ("recovery_code", code))
    again = await prove(lite, handle_of(await lite.start(anna.email)), "password", anna.password)
    assert again.json()["enough"] is True


# -- by the rules ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [5, 10, 16])
async def test_a_set_is_as_large_as_the_rules_have_it(lite: The, count: int) -> None:
    anna = await lite.person()
    await policy(lite, recovery_codes={"count": count})
    codes = await add_codes(lite, anna)
    assert len(set(codes)) == count
    for code in codes:
        await signed_in(lite, anna, ("recovery_code", code))
    assert (await lite.events()).count("account:recovery_code:used") == count
    assert "recovery_codes" not in [mail["kind"] for mail in await lite.mails(anna.email)]


async def test_a_mailed_set_is_a_plain_list(the: The) -> None:
    anna = await the.person()
    await policy(the, recovery_codes={"count": 5, "mailed": True})
    codes = await add_codes(the, anna)
    [waiting] = [row for row in await the.rows(outbox) if row["kind"] == "recovery_codes"]
    assert not any(code.encode() in waiting["message_sealed"] for code in codes), "sealed until it is delivered"
    stored = repr(await the.everything())
    assert not any(code in stored for code in codes)
    [mail] = [mail for mail in await the.mails(anna.email) if mail["kind"] == "recovery_codes"]
    assert [line.strip() for line in mail["text"].splitlines() if line.strip() in codes] == codes
    assert all(code in mail["html"] for code in codes)
    assert (mail["code"], mail["link"]) == (None, None)
    assert not any(code in mail["subject"] for code in codes)
    [row] = [row for row in await the.rows(outbox) if row["kind"] == "recovery_codes"]
    assert (row["message_sealed"], row["sent_at"] is not None) == (None, True), "emptied on delivery"
    made = [row for row in await the.rows(audit_event) if row["event"] == "account:recovery_codes:made"]
    assert [json.loads(row["facts"])["mailed"] for row in made] == [True]
    assert not any(code in repr(made) for code in codes)


async def test_a_code_that_was_mailed_stays_at_the_lowest_level(the: The) -> None:
    """It shows no more than the mailbox: it opens a sign-in, and nothing that asks for the app."""
    anna = await the.person()
    secret = await add_app(the, anna)
    await policy(the, recovery_codes={"mailed": True}, totp_shown_again=True)
    [code, other, *_] = await add_codes(the, anna)
    handle = await begun(the, anna.email)
    proved = await prove(the, handle, "recovery_code", code)
    assert (proved.json()["enough"], proved.json()["acr"]) == (True, "urn:passgate:aal1")
    entered = Person(anna.email, anna.password, token_of(await the.finish(handle)))
    for method, path in (("DELETE", "totp"), ("POST", "totp/show"), ("POST", "recovery-codes"), ("POST", "totp")):
        refused = await me(the, method, path, entered)
        assert (refused.status_code, code_of(refused)) == (401, "insufficient_user_authentication")
    await policy(the)  # what was mailed stays mailed
    assert (await prove(the, await begun(the, anna.email), "recovery_code", other)).json()["acr"] == "urn:passgate:aal1"
    strong = await signed_in(the, anna, ("totp", code_of_app(the, secret)))
    [fresh, *_] = await add_codes(the, strong)
    the.clock.forward(30)
    proved = await prove(the, await begun(the, anna.email), "recovery_code", fresh)
    assert proved.json()["acr"] == "urn:passgate:aal2"


async def test_the_mailbox_alone_does_not_recover_an_account_with_an_app(the: The) -> None:
    """Whoever reads the mails has the code of the recovery and the backup codes: neither stands for the app."""
    anna = await the.person()
    await add_app(the, anna)
    await policy(the, recovery_codes={"mailed": True})
    [code, *_] = await add_codes(the, anna)
    handle = handle_of(await the.recover(anna.email))
    await prove_each(the, handle, ("email_code", await the.code(anna.email)), ("recovery_code", code))
    refused = await the.finish(handle)
    assert (code_of(refused), refused.json()["need"]) == ("proof_missing", [["totp"], ["password"]])
    assert code_of(await prove(the, handle, "password", "seventeen purple umbrellas")) == "proof_refused"
    live = {row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None}
    assert live == {"password", "totp", "recovery_code"}
    gone = await prove(the, handle, "password", anna.password)  # another way back: what is lost goes, as ever
    assert (gone.json()["enough"], gone.json()["acr"]) == (True, "urn:passgate:aal1")
    assert {row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None} == {"password"}


async def test_nothing_is_mailed_to_an_address_that_an_admin_has_moved_them_to(lite: The) -> None:
    """They had proved another one, so the codes are theirs to see, and the new mailbox may be a stranger's."""
    folk = Folk(lite)
    actor = await folk.create()
    await policy(lite, recovery_codes={"mailed": True})
    async with folk.ctx.write() as db:
        await db.change(person.update().values(email_verified_at=None))
    assert len(await enrolment.recovery_codes(folk.acting(actor))) == 10
    assert "recovery_codes" not in [row["kind"] for row in await lite.rows(outbox)]
    async with folk.ctx.read() as db:
        rows = await credentials.of_kind(db, actor.tenant_id, actor.person_id, recovery_code.name)
    assert not any("mailed" in json.loads(row["data"]) for row in rows), "what was not mailed counts in full"
