"""Example 3: which codes open the second step: those of an app that has scanned the QR code, mailed ones, and backup
tokens; each once.

Not here: how many wrong ones are allowed (limits), and the rest of the flows (flow).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.examples.two_factor import ADMIN, DEVICES, App, Service, Who, pair

FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda code: code,
    lambda code: f"{code[:3]} {code[3:]}",
    lambda code: f" {code}\u2009",
    lambda code: f"{code[:3]}-{code[3:]}",
    "\u200b".join,
    lambda code: code.translate(FULL_WIDTH),
    lambda code: code.translate(ARABIC),
)


def app_of(who: Who) -> App:
    assert who.app is not None
    return who.app


def enters(mailed: Service, who: Who, code: str) -> int:
    return mailed.second(mailed.first(who), code).status_code


# -- an app ----------------------------------------------------------------------------------------


def test_what_a_camera_reads(mailed: Service) -> None:
    who = mailed.person("code_generator")
    app = app_of(who)
    assert app.uri.startswith("otpauth://totp/")
    secret = app.query["secret"]
    rest = {"issuer": "fastapi_2fa", "period": "30", "algorithm": "SHA1", "digits": "6"}
    assert app.query == {"secret": secret, **rest}
    assert len(secret) == 32, "160 bits, as RFC 4226 recommends"
    assert app.label == f"/fastapi_2fa:{who.email}"
    assert app_of(mailed.person("code_generator")).query["secret"] != secret


@pytest.mark.parametrize(("later", "status"), [(-3, 403), (-2, 200), (-1, 200), (0, 200), (1, 200), (2, 200), (3, 403)])
def test_two_steps_before_and_after(mailed: Service, later: int, status: int) -> None:
    who = mailed.person("code_generator")
    assert enters(mailed, who, app_of(who).code(later)) == status


@pytest.mark.parametrize("spelling", range(len(SPELLINGS)))
def test_a_code_is_accepted_once_however_it_is_written(mailed: Service, spelling: int) -> None:
    who = mailed.person("code_generator")
    code = app_of(who).code()
    assert enters(mailed, who, SPELLINGS[spelling](code)) == 200
    first = mailed.first(who)
    assert [mailed.second(first, again(code)).status_code for again in SPELLINGS] == [403] * len(SPELLINGS)


def test_no_earlier_code_after_a_later_one(mailed: Service) -> None:
    who = mailed.person("code_generator")
    app = app_of(who)
    assert enters(mailed, who, app.code(1)) == 200
    for later in (-2, -1, 0, 1):
        assert enters(mailed, who, app.code(later)) == 403
    assert enters(mailed, who, app.code(2)) == 200


def test_each_device_has_its_own_codes(mailed: Service) -> None:
    """Somebody else's app, and a code that was mailed to somebody else."""
    who, other, reader = (mailed.person(device) for device in ("code_generator", "code_generator", "email"))
    assert enters(mailed, who, app_of(other).code()) == 403
    mailed.first(reader)
    assert enters(mailed, who, mailed.mailed_code(reader.email)) == 403
    assert enters(mailed, reader, app_of(other).code()) == 403


# -- mailed ----------------------------------------------------------------------------------------


def test_one_mail_at_each_login(mailed: Service) -> None:
    who = mailed.person("email")
    for count in (1, 2, 3):
        first = mailed.first(who)
        found = mailed.mails(who.email, "signin_code")
        assert len(found) == count
        assert str(found[0].code) in found[0].text
        assert [one.isdecimal() for one in str(found[0].code)] == [True] * 8
        assert mailed.second(first, str(found[0].code)).status_code == 200
    assert len(mailed.mails(who.email, "signin_code")) == 3


def test_nothing_is_mailed_to_who_has_an_app(mailed: Service) -> None:
    """Nor is a code that was mailed before they had one accepted."""
    who = mailed.person("code_generator")
    before = len(mailed.mails(who.email))
    mailed.login(who)
    assert len(mailed.mails(who.email)) == before


def test_a_code_that_is_mailed_for_something_else_is_refused(mailed: Service) -> None:
    """Whoever reads the mail of somebody with an app has a code by starting below /auth, and gets nowhere with it."""
    who = mailed.person("code_generator")
    first = mailed.first(who)
    mailed.http.post("/auth/api/v1/recover", json={"email": who.email})
    code = mailed.mailed_code(who.email)
    assert mailed.second(first, code).status_code == 403
    assert mailed.recover(first, code).status_code == 403


def test_a_mailed_code_works_once_and_in_its_own_login(mailed: Service) -> None:
    who, _ = mailed.signed_in("email")  # the first code proves the address, and ends whatever else was begun
    first = mailed.first(who)
    code = mailed.mailed_code(who.email)
    other = mailed.first(who)
    assert mailed.mailed_code(who.email) != code
    assert mailed.second(other, code).status_code == 403
    assert mailed.second(first, code).status_code == 200
    assert mailed.second(other, code).status_code == 403
    assert mailed.second(first, code).status_code == 401


def test_a_mailed_code_is_accepted_as_it_is_written(mailed: Service) -> None:
    for spelling in SPELLINGS:
        who = mailed.person("email")
        first = mailed.first(who)
        assert mailed.second(first, spelling(mailed.mailed_code(who.email))).status_code == 200


# -- backup tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_five_are_mailed_and_each_works_once(mailed: Service, device: str) -> None:
    who = mailed.person(device)
    codes = mailed.backup(who.email)
    assert len({*codes}) == 5
    for code in codes[:4]:
        pair(mailed.recover(mailed.first(who), code))
        assert mailed.recover(mailed.first(who), code).status_code == 403
    assert mailed.recover(mailed.first(who), codes[4].upper().replace("-", " ")).status_code == 200
    for code in codes:
        assert mailed.recover(mailed.first(who), code).status_code == 404, "none is left"
    mailed.login(who)  # the device goes on
    assert len(mailed.mails(who.email, "recovery_codes")) == 1, "and no new ones are made"


def test_a_wrong_token(mailed: Service) -> None:
    who, other = mailed.person("email"), mailed.person("email")
    first = mailed.first(who)
    for wrong in ("abcd-efgh-ijkl-mnop", "123456", mailed.backup(other.email)[0], mailed.mailed_code(who.email)):
        assert mailed.recover(first, wrong).status_code == 403
    assert mailed.second(first, mailed.backup(who.email)[0]).status_code == 403
    assert mailed.second(first, mailed.mailed_code(who.email)).status_code == 200


def test_a_used_one_is_used_by_the_other_step_too(mailed: Service) -> None:
    who = mailed.person("code_generator")
    first, other = mailed.first(who), mailed.first(who)
    [code, *_] = mailed.backup(who.email)
    assert mailed.recover(first, code).status_code == 200
    assert mailed.recover(other, code).status_code == 403
    assert mailed.recover(first, code).status_code == 401


def test_without_a_second_step_there_are_none(mailed: Service) -> None:
    """And no first step that would take one."""
    assert mailed.mails(ADMIN, "recovery_codes") == []
    assert mailed.enter(ADMIN).status_code == 200
