"""For crash tests: people who sign up and sign in while a process is killed, and what must be true after the restart.

Not here: tests. They decide what is killed, and when.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from passgate.core import ledger
from passgate.core.message import Message
from passgate.store.tables import (
    audit_event,
    budget,
    credential,
    dev_mail,
    outbox,
    person,
    role_grant,
    session,
    sign_in,
    ticket,
)
from tests.kit import PASSWORD, bearer
from tests.processes import Deployment, facts

FLOWS = 5
"""Concurrent people."""
MAIL_WITHIN = 20.0


class PlugPulled(Exception):
    """No response, or a 503: the client does not know whether the action was done."""


@dataclass
class Acknowledged:
    """What the server has confirmed by a response. All of it must survive every crash."""

    signups: dict[str, str] = field(default_factory=dict)
    """handle → address"""
    people: set[str] = field(default_factory=set)
    signed_in: set[str] = field(default_factory=set)
    """tokens of sessions that were not asked to end"""
    ending: set[str] = field(default_factory=set)
    """tokens of sessions whose end was requested and not confirmed"""
    ended: set[str] = field(default_factory=set)
    flows: int = 0


async def answered(asked: Any, status: int) -> httpx2.Response:
    try:
        answer: httpx2.Response = await asked
    except httpx2.TransportError as fault:
        raise PlugPulled from fault
    if answer.status_code == 503:
        raise PlugPulled
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    return answer


async def flow(made: Deployment, acknowledged: Acknowledged) -> None:
    """One person signs up, signs in twice, ends the first session and signs in again. Stops at the first lost
    response."""
    email, face = made.address(), made.a
    with suppress(PlugPulled):
        handle = str((await answered(face.signup(email), 202)).json()["handle"])
        acknowledged.signups[handle] = email
        await answered(face.prove(handle, "email_code", await mailed_code(made, email)), 200)
        acknowledged.people.add(email)
        first = str((await answered(face.finish(handle), 201)).json()["token"])
        acknowledged.signed_in.add(first)
        acknowledged.signed_in.add(await signed_in(made, email))
        acknowledged.signed_in.discard(first)
        acknowledged.ending.add(first)
        await answered(face.http.delete("/api/v1/session", headers=bearer(first)), 204)
        acknowledged.ending.discard(first)
        acknowledged.ended.add(first)
        acknowledged.signed_in.add(await signed_in(made, email))
        acknowledged.flows += 1


async def signed_in(made: Deployment, email: str) -> str:
    handle = str((await answered(made.a.start(email), 201)).json()["handle"])
    await answered(made.a.prove(handle, "password", PASSWORD), 200)
    return str((await answered(made.a.finish(handle), 201)).json()["token"])


async def mailed_code(made: Deployment, email: str) -> str:
    """The newest code mailed to an address, read from /dev/mail.json, so that the server itself has to deliver it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(MAIL_WITHIN):
            while True:
                mails = (await answered(made.a.http.get("/dev/mail.json"), 200)).json()
                found = [mail["code"] for mail in mails if mail["to"] == email and mail["code"]]
                if found:
                    return str(found[0])
                await asyncio.sleep(0.01)
    raise PlugPulled  # a worker died while it was sending the mail, so that its lease must expire first


async def life(made: Deployment, acknowledged: Acknowledged, pull: Callable[[], None] | None, after: float) -> None:
    """Run concurrent people, and call `pull` after `after` seconds if it is given."""
    flows = asyncio.gather(*(flow(made, acknowledged) for _ in range(FLOWS)))
    if pull is not None:
        await asyncio.sleep(after)
        pull()
    await flows


async def a_whole_life(made: Deployment, acknowledged: Acknowledged) -> float:
    """Run the people without a crash; the seconds they take."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await life(made, acknowledged, None, 0)
    return loop.time() - began


def moments(seed: int, count: int, whole: float) -> list[float]:
    """Random seconds at which to kill, spread over a run of `whole` seconds."""
    dice = random.Random(seed)
    return [dice.uniform(0.02, 0.95) * whole for _ in range(count)]


# -- afterwards ------------------------------------------------------------------------------------


async def all_stored(made: Deployment, acknowledged: Acknowledged) -> None:
    """Assert that everything that was acknowledged is still there."""
    ring, rows = made.inside.services.ring, made.a.rows
    begun = {row["handle_hash"]: row for row in await rows(sign_in)}
    mails = await mailed(made)
    for handle, email in acknowledged.signups.items():
        assert ring.presented("pg_sin_", handle) in begun, f"{email}: acknowledged, and its sign-up is gone"
        assert email in mails, f"{email}: acknowledged, and no mail"
    create = {row["email_key"]: row["id"] for row in await rows(person)}
    assert acknowledged.people <= create.keys()
    for token in acknowledged.signed_in:
        assert (await made.a.session(token)).status_code == 200, "acknowledged, and the session is gone"
    for token in acknowledged.ended:
        assert (await made.a.session(token)).status_code == 401, "an ended session is back"
    for token in acknowledged.ending:
        assert (await made.a.session(token)).status_code in (200, 401)


async def mailed(made: Deployment) -> set[str]:
    """The addresses with a mail in the outbox or in the mailbox."""
    ring, rows = made.inside.services.ring, made.a.rows
    sealed = [("outbox", row) for row in await rows(outbox) if row["message_sealed"] is not None]
    sealed += [("dev_mail", row) for row in await rows(dev_mail)]
    opened = (ring.unseal(name, f"{name}:{row['id']}", row["message_sealed"]) for name, row in sealed)
    return {Message.from_json(raw).to for raw in opened}


async def nothing_incomplete(made: Deployment) -> None:
    """Assert that each action wrote either all of its rows, its audit row included, or none."""
    rows = made.a.rows
    people, sessions, begun = await rows(person), await rows(session), await rows(sign_in)
    events = await rows(audit_event)
    about: Counter[tuple[str, str]] = Counter((row["event"], row["subject_id"]) for row in events)
    count = Counter(row["event"] for row in events)
    ids = sorted(row["id"] for row in people)
    assert sorted(row["person_id"] for row in await rows(role_grant) if row["role"] == "user") == ids
    assert sorted(row["person_id"] for row in await rows(credential) if row["revoked_at"] is None) == ids
    for event in ("account:created", "role:given", "account:password:set"):
        assert all(about[event, person_id] == 1 for person_id in ids), event
        assert count[event] == len(ids), event
    assert all(row["email_verified_at"] is not None for row in people)
    # A start has written a pending sign-in and counted it, and where it mails also a code, and in a recovery a link.
    mailing = {row["id"]: _TICKETS[row["purpose"]] for row in begun if row["purpose"] in _TICKETS}
    issued = Counter((row["bound_to"], row["kind"]) for row in await rows(ticket))
    assert issued == Counter((sign_in_id, kind) for sign_in_id, kinds in mailing.items() for kind in kinds)
    unfinished = [row for row in begun if row["finished_at"] is None]
    assert [row["used"] for row in await rows(budget) if row["key"].startswith("o:rows:")] == [len(unfinished)]
    assert count["signin:email_code:sent"] == len([row for row in await rows(outbox) if row["kind"] in _ASKED])
    # Every sign-up whose code is proved has created a person, and no other has.
    create = [row["person_id"] for row in begun if row["purpose"] == "signup" and row["proofs"] not in ("[]", "{}")]
    assert sorted(create) == ids
    assert count["signin:email_code:proved"] == len(create)
    proved = [row for row in begun if row["purpose"] == "signin" and row["proofs"] not in ("[]", "{}")]
    assert count["signin:password:proved"] == len(proved)
    # Every finished sign-in has a session and an audit row.
    opened = sorted(facts(row)["session_id"] for row in events if row["event"] in _COMPLETED)
    assert opened == sorted(row["id"] for row in sessions)
    assert len([row for row in begun if row["finished_at"] is not None]) == len(sessions)
    ended = sorted(facts(row)["session_id"] for row in events if row["event"] == "session:ended")
    assert ended == sorted(row["id"] for row in sessions if row["ended_at"] is not None)


_TICKETS = {"signup": ("email_code",), "recovery": ("email_code", "email_link")}
_ASKED = ("signup_code", "signup_known", "recovery_code", "recovery_none")
_COMPLETED = ("signup:completed", "signin:completed")


async def trail_is_whole(made: Deployment) -> None:
    """Seal all audit rows, and assert that none is missing, changed or out of order."""
    while await ledger.seal(made.inside.services):
        pass
    report = await ledger.verify(made.inside.services)
    assert report.findings == []
    assert report.sealed == len(await made.a.rows(audit_event))


async def asked_after_a_crash(made: Deployment, acknowledged: Acknowledged) -> None:
    await all_stored(made, acknowledged)
    await nothing_incomplete(made)
    await trail_is_whole(made)
