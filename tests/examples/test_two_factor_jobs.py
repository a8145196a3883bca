"""Example 3: its mail in the background, and how it goes: PENDING, RETRY, SUCCESS, FAILURE.

Not here: who may start it (roles), how often (limits), and jobs as such (`tests/library/test_jobs`).
"""

from __future__ import annotations

from typing import Any

import pytest

from passgate import errors, testing
from passgate.core.message import MailFailed, Message
from tests.examples.two_factor import NOBODY, Service, new_gate, production, program, service, variables

PAUSES = (10, 60, 300, 1800)
"""Seconds before each attempt after the first."""
ATTEMPTS = 5


class Failing(testing.Mailbox):
    """A mailbox that first fails to take the test mail, in these ways."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures, self.tries = list(failures), 0

    async def send(self, message: Message) -> None:
        if message.to == "fake@mail.com":
            self.tries += 1
            if self.failures:
                raise self.failures.pop(0)
        await super().send(message)


def start(made: Service) -> str:
    answer = made.ask("GET", "/tasks/test-celery")
    assert answer.status_code == 200
    assert answer.json().keys() == {"task_id"}
    return str(answer.json()["task_id"])


def status(made: Service, job: Any) -> tuple[str, Any]:
    answer = made.ask("GET", "/tasks/taskstatus", params={"task_id": job})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"state", "result"}
    return answer.json()["state"], answer.json()["result"]


def test_a_mail_in_the_background(mailed: Service) -> None:
    job = start(mailed)
    assert status(mailed, job) == ("PENDING", None)
    [mail] = mailed.mails("fake@mail.com")
    assert status(mailed, job) == ("SUCCESS", "Email sent")
    assert (mail.code, mail.link) == (None, None)
    assert mail.to == "fake@mail.com", "whoever asks does not choose"
    assert start(mailed) != job


def test_a_mail_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    box = Failing(errors.Unavailable("mail"), MailFailed(permanent=False))
    found = variables()
    with service(new_gate(found, mailbox=box), found) as made:
        job, seen = start(made), []
        for pause in PAUSES[:2]:
            made.settle()
            seen.append(status(made, job))
            assert box.to("fake@mail.com") == []
            made.forward(pause - 1)
            made.settle()
            assert status(made, job)[0] == "RETRY", "not before its time"
            made.forward(2)
        made.settle()
        assert [*seen, status(made, job)] == [("RETRY", None), ("RETRY", None), ("SUCCESS", "Email sent")]
        made.forward(hours=5)
        assert len(made.mails("fake@mail.com")) == 1
        assert box.tries == 3


@pytest.mark.parametrize("is_permanent", [True, False])
def test_a_mail_that_can_not_be_sent(is_permanent: bool) -> None:
    """What failed is named, and nothing of what the mail server has said."""
    box = Failing(*[MailFailed(permanent=is_permanent)] * ATTEMPTS)
    found = variables()
    with service(new_gate(found, mailbox=box), found) as made:
        job = start(made)
        for pause in (*PAUSES, 7200):
            made.settle()
            made.forward(pause + 1)
        assert status(made, job) == ("FAILURE", {"error": "Invalid" if is_permanent else "Unavailable"})
        assert (box.tries, made.mails("fake@mail.com")) == (ATTEMPTS, [])


@pytest.mark.parametrize("wrong", [NOBODY, NOBODY.replace("-", ""), f"urn:uuid:{NOBODY}"])
def test_an_id_of_no_job(mailed: Service, wrong: str) -> None:
    answer = mailed.ask("GET", "/tasks/taskstatus", params={"task_id": wrong})
    assert (answer.status_code, answer.json().keys()) == (404, {"detail"})


@pytest.mark.parametrize("wrong", [None, "", "x", "1", "9" * 5000, f"{NOBODY}x", "' OR 1=1", "\x00"])
def test_no_id(mailed: Service, wrong: str | None) -> None:
    answer = mailed.ask("GET", "/tasks/taskstatus", params={} if wrong is None else {"task_id": wrong})
    assert answer.status_code == 422
    [fault] = answer.json()["detail"]
    assert (fault["loc"], fault.keys()) == (["query", "task_id"], {"loc", "msg", "type"})


def test_another_kind_of_job_is_nobodys_business() -> None:
    """What a program adds later is not shown to whoever has an id."""
    found = variables()
    gate = new_gate(found)

    async def other() -> str:
        return "a secret"

    gate.job(other, name="other", for_strangers=True)
    with service(gate, found) as made:
        job = made.run(gate.start_job, None, other)
        for _ in range(2):
            answer = made.ask("GET", "/tasks/taskstatus", params={"task_id": job})
            assert answer.status_code == 404
            made.settle()


def test_in_production_an_admin_starts_it_and_another_reads_it() -> None:
    found, gate = production()
    with service(gate, found) as made:
        token = made.admin
        answer = made.ask("GET", "/tasks/test-celery", token)
        job = answer.json()["task_id"]
        made.settle()
        who, tokens = made.signed_in()
        asked = {"params": {"task_id": job}}
        assert made.ask("GET", "/tasks/taskstatus", tokens.access, **asked).status_code == 403
        made.make_admin(who.email)
        state = made.ask("GET", "/tasks/taskstatus", tokens.access, **asked)
        assert state.json() == {"state": "SUCCESS", "result": "Email sent"}


def test_a_mail_server_that_is_slow_keeps_nobody_waiting() -> None:
    """Nothing is mailed while somebody waits for an answer: the mailbox is asked by `settle` alone."""
    box = Failing()
    found = variables()
    gate = new_gate(found, mailbox=box)
    with service(gate, found) as made:
        made.settle()
        before = len(box.mails)
        made.first(made.person("email"))
        job = start(made)
        assert (len(box.mails), box.tries) == (before, 0)
        made.settle()
        assert (status(made, job)[0], box.tries) == ("SUCCESS", 1)
        assert len(box.mails) > before + 1


def test_the_program_can_be_made_once_for_each_gate() -> None:
    """Its job has a name of its own."""
    found = variables()
    gate = new_gate(found)
    program(gate, found)
    with pytest.raises((RuntimeError, ValueError)):
        program(gate, found)
