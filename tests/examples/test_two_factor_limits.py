"""Example 3: how often somebody may try: passwords, codes, backup tokens, sign-ups, test mails; and for how long both
steps may take.

Not here: which codes are right (codes), and how limits are counted (`tests/core/test_budgets`).
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.examples.two_factor import ADMIN, DEVICES, FAR_AWAY, MINUTE, Service, Who, new_gate, pair, service, variables
from tests.kit import PASSWORD

ATTEMPTS = 10


@pytest.fixture(scope="module")
def afar() -> Iterator[Service]:
    """Asked from somewhere else, where the limits are those of production; mails are limited as the settings say."""
    found = variables()
    own = found.settings().mail
    assert own.per_hour == 5
    with service(new_gate(found, mail=own), found, client=FAR_AWAY) as made:
        yield made


def throttled(answer: httpx2.Response) -> int:
    """For how many seconds."""
    assert answer.status_code == 429, answer.text
    assert answer.json().keys() == {"detail"}
    return int(answer.headers["retry-after"])


# -- passwords -------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_there", [True, False])
def test_wrong_passwords(mailed: Service, is_there: bool) -> None:
    """The right one has to wait too; the waits are of that address alone, known or not."""
    who, other = mailed.person(), mailed.person()
    email = who.email if is_there else mailed.new()
    for _ in range(ATTEMPTS):
        assert mailed.enter(email, "wrong").status_code == 401
    wait = throttled(mailed.enter(email))
    assert throttled(mailed.enter(email.upper())) == wait
    assert mailed.enter(other.email).status_code == 200
    mailed.forward(wait)
    assert mailed.enter(email).status_code == (200 if is_there else 401)


def test_waits_grow(mailed: Service) -> None:
    email, waits = mailed.new(), []
    for _ in range(ATTEMPTS):
        mailed.enter(email, "wrong")
    for _ in range(4):
        waits.append(throttled(mailed.enter(email, "wrong")))
        mailed.forward(waits[-1])
        mailed.enter(email, "wrong")
    assert waits == sorted({*waits})


# -- codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_ten_wrong_codes_end_the_first_step(mailed: Service, device: str) -> None:
    who = mailed.person(device)
    first = mailed.first(who)
    for _ in range(ATTEMPTS):
        assert mailed.second(first, "000000").status_code == 403
    assert mailed.second(first, mailed.code(who)).status_code in (401, 429)
    mailed.forward(MINUTE)
    assert mailed.second(first, mailed.code(who)).status_code == 401
    assert mailed.recover(first, mailed.backup(who.email)[0]).status_code == 401
    mailed.login(who)  # and a new one works


def test_wrong_codes_and_backup_tokens_count_together(mailed: Service) -> None:
    who = mailed.person("code_generator")
    first = mailed.first(who)
    for _ in range(ATTEMPTS // 2):
        assert mailed.second(first, "000000").status_code == 403
        assert mailed.recover(first, "abcd-efgh-ijkl-mnop").status_code == 403
    mailed.forward(MINUTE)
    assert mailed.second(first, mailed.code(who)).status_code == 401


def test_a_new_first_step_gives_no_new_codes(mailed: Service) -> None:
    """Whoever has the password guesses no faster by starting again; other users go on."""
    who, other = mailed.person("code_generator"), mailed.person("code_generator")
    for _ in range(ATTEMPTS):
        assert mailed.second(mailed.first(who), "000000").status_code == 403
    first = mailed.first(who)
    wait = throttled(mailed.second(first, mailed.code(who)))
    assert mailed.second(mailed.first(other), mailed.code(other)).status_code == 200
    mailed.forward(wait)
    assert mailed.second(first, mailed.code(who)).status_code == 200


# -- both steps together ---------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_five_minutes(mailed: Service, device: str) -> None:
    who = mailed.person(device)
    first, late = mailed.first(who), mailed.first(who)
    mailed.forward(5 * MINUTE - 1)
    code = mailed.code(who)
    if device == "email":
        assert mailed.second(late, code).status_code == 200, "of the newest mail"
        first = mailed.first(who)
        mailed.forward(5 * MINUTE - 1)
        code = mailed.code(who)
    mailed.forward(2)
    answer = mailed.second(first, code)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "5" in answer.json()["detail"]
    late_token = mailed.recover(first, mailed.backup(who.email)[0])
    assert late_token.status_code == 401
    mailed.forward(30)
    mailed.login(who)


# -- from one network ------------------------------------------------------------------------------


def test_mails_of_one_address(afar: Service) -> None:
    """Twenty in an hour, once the address is proved. A login whose code can't be mailed any more can still be finished
    by a backup token."""
    who, other = afar.person("email"), afar.person("email")
    for _ in range(1 + 20):
        pair(afar.second(afar.first(who), afar.mailed_code(who.email)))
    before = len(afar.mails(who.email, "signin_code"))
    first = afar.first(who)
    assert len(afar.mails(who.email, "signin_code")) == before == 21
    assert afar.recover(first, afar.backup(who.email)[0]).status_code == 200
    afar.login(other)
    afar.forward(hours=1.1)
    afar.login(who)


def test_strangers_use_up_nobodys_mails(afar: Service) -> None:
    """Whatever else is asked for the address: whoever gives the password gets a code."""
    afar.forward(hours=2)
    who = afar.person("email")
    afar.login(who)
    for _ in range(10):
        assert afar.signup(who.email).status_code == 400
        afar.http.post("/auth/api/v1/recover", json={"email": who.email})
    before = len(afar.mails(who.email, "signin_code"))
    afar.login(who)
    assert len(afar.mails(who.email, "signin_code")) == before + 1


def test_signups_from_one_network(afar: Service) -> None:
    """Thirty in an hour; after that an address can't be told from a taken one, and nothing is made of it."""
    afar.forward(hours=2)
    made = [afar.signup(f"{number}@example.com").status_code for number in range(31)]
    assert made == [200] * 30 + [400]
    assert afar.mails("30@example.com") == []
    assert afar.enter("30@example.com").status_code == 401
    afar.login(Who(ADMIN))  # whoever has an account goes on
    afar.forward(hours=1.1)
    assert afar.signup("30@example.com").status_code == 200


def test_test_mails_from_one_network(afar: Service) -> None:
    """Thirty in ten minutes; none of them is more than one mail."""
    answers = [afar.ask("GET", "/tasks/test-celery") for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    throttled(answers[-1])
    assert len(afar.mails("fake@mail.com")) == 30
    afar.forward(minutes=11)
    assert afar.ask("GET", "/tasks/test-celery").status_code == 200


def test_wrong_answers_from_one_network(afar: Service) -> None:
    """A hundred in ten minutes, for whatever address. Nobody there is let in until then."""
    afar.forward(hours=1)
    who = afar.person()
    statuses = [afar.enter(f"nobody{number}@example.com", "wrong").status_code for number in range(101)]
    assert statuses == [401] * 100 + [429]
    wait = throttled(afar.enter(who.email))
    afar.forward(wait)
    assert afar.enter(who.email, PASSWORD).status_code == 200
