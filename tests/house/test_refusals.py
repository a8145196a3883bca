"""A refusal is kept, a fault is undone: after each write of each verb one is raised, and all tables are compared.

What a verb decides is told elsewhere; here only what is left when it does not come to its end.

A verb may commit more than one transaction (a proof spends in one and marks in the next; a mail is claimed in one and
closed in another). What an earlier one committed stays; so what is compared with is the state at the moment the broken
transaction began, read inside it before its first statement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from passgate.core import access, account, address, jobs, ledger, operate, outbox, signin, tenants
from passgate.core.audit import Event, kept
from passgate.core.message import Message
from passgate.errors import Refusal
from passgate.store.tables import audit_event
from tests.core import verbs
from tests.core.behind import OLDER, Folk
from tests.core.verbs import Deed, refused
from tests.kit import OTHER_PASSWORD, PASSWORD, Tables, The, all_tables, running, settings_for
from tests.servers import Postgres

WRITING = ("INSERT", "UPDATE", "DELETE")


class Planted(Refusal):
    code = "planted"


class Broken(RuntimeError):
    """A fault of ours: nothing of it may stay."""


@dataclass
class Saboteur:
    """Counts the writing statements of the writer's engine; after the n-th it raises. `before` is what was there when
    the transaction began that is broken."""

    at: int = 0
    error: Exception | None = None
    count: int = 0
    transactions: int = 0
    looking: bool = False
    before: Tables = field(default_factory=dict)

    def begin(self, connection: Connection) -> None:
        if not self.looking:
            return
        self.transactions += 1
        if self.error is not None:
            self.before = all_tables(connection)

    def wrote(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not self.looking or not statement.lstrip().upper().startswith(WRITING):
            return
        self.count += 1
        if self.error is not None and self.count == self.at:
            self.looking = False  # what a refusal keeps is written undisturbed
            raise self.error


@contextmanager
def sabotaged(the: The, *, at: int = 0, error: Exception | None = None) -> Iterator[Saboteur]:
    engine = the.gate.house.store.writer.sync_engine
    made = Saboteur(at, error, looking=True)
    event.listen(engine, "begin", made.begin)
    event.listen(engine, "after_cursor_execute", made.wrote)
    try:
        yield made
    finally:
        event.remove(engine, "begin", made.begin)
        event.remove(engine, "after_cursor_execute", made.wrote)


# -- every verb that writes, and what must be there before it --------------------------------------


async def start(folk: Folk) -> Deed:
    return lambda: signin.start(folk.ctx, "somebody@example.com", None)


async def start_signup(folk: Folk) -> Deed:
    return lambda: signin.start_signup(folk.ctx, f"new{next(folk.numbers)}@example.com", None, {"a": 1}, None, None)


async def start_signup_known(folk: Folk) -> Deed:
    email = await folk.email(await folk.born())
    return lambda: signin.start_signup(folk.ctx, email, None, None, None, None)


async def start_recovery(folk: Folk) -> Deed:
    email = await folk.email(await folk.born())
    return lambda: signin.start_recovery(folk.ctx, email, None)


async def start_step_up(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: signin.start_step_up(folk.acting(actor), actor, None)


async def challenge(folk: Folk) -> Deed:
    begun = await signin.start_signup(folk.ctx, f"new{next(folk.numbers)}@example.com", None, None, None, None)
    return lambda: signin.challenge(folk.ctx, begun.handle, "email_code")


async def password_right(folk: Folk) -> Deed:
    begun = await signin.start(folk.ctx, await folk.email(await folk.born()), None)
    return lambda: signin.prove(folk.ctx, begun.handle, "password", PASSWORD)


async def password_rehashed(folk: Folk) -> Deed:
    """The stored hash has other parameters than the present ones, so a right answer replaces it."""
    actor = await folk.born(hashed=OLDER)
    begun = await signin.start(folk.ctx, await folk.email(actor), None)
    return lambda: signin.prove(folk.ctx, begun.handle, "password", PASSWORD)


async def password_wrong(folk: Folk) -> Deed:
    begun = await signin.start(folk.ctx, await folk.email(await folk.born()), None)
    return refused(lambda: signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD))


async def password_of_nobody(folk: Folk) -> Deed:
    begun = await signin.start(folk.ctx, f"nobody{next(folk.numbers)}@example.com", None)
    return refused(lambda: signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD))


async def step_up_right(folk: Folk) -> Deed:
    actor = await folk.born()
    begun = await signin.start_step_up(folk.acting(actor), actor, None)
    return lambda: signin.prove(folk.ctx, begun.handle, "password", PASSWORD)


async def step_up_wrong(folk: Folk) -> Deed:
    actor = await folk.born()
    begun = await signin.start_step_up(folk.acting(actor), actor, None)
    return refused(lambda: signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD))


async def signing_up(folk: Folk, secret: str | None) -> tuple[str, str]:
    begun = await signin.start_signup(folk.ctx, f"new{next(folk.numbers)}@example.com", secret, None, None, None)
    return begun.handle, await folk.code()


async def signup_right(folk: Folk) -> Deed:
    handle, code = await signing_up(folk, PASSWORD)
    return lambda: signin.prove(folk.ctx, handle, "email_code", code)


async def signup_with_a_tenant(folk: Folk) -> Deed:
    name = f"org{next(folk.numbers)}"
    begun = await signin.start_signup(folk.ctx, f"{name}@example.com", PASSWORD, None, None, name)
    code = await folk.code()
    return lambda: signin.prove(folk.ctx, begun.handle, "email_code", code)


async def signup_wrong(folk: Folk) -> Deed:
    handle, code = await signing_up(folk, None)
    wrong = str((int(code) + 1) % 10**8).zfill(8)
    return refused(lambda: signin.prove(folk.ctx, handle, "email_code", wrong))


async def signup_set_up(folk: Folk) -> Deed:
    handle, code = await signing_up(folk, None)
    await signin.prove(folk.ctx, handle, "email_code", code)
    return lambda: signin.prove(folk.ctx, handle, "password", PASSWORD)


async def recovering(folk: Folk) -> tuple[str, str]:
    begun = await signin.start_recovery(folk.ctx, await folk.email(await folk.born()), None)
    return begun.handle, await folk.code()


async def recovery_right(folk: Folk) -> Deed:
    handle, code = await recovering(folk)
    return lambda: signin.prove(folk.ctx, handle, "email_code", code)


async def recovery_wrong(folk: Folk) -> Deed:
    handle, code = await recovering(folk)
    wrong = str((int(code) + 1) % 10**8).zfill(8)
    return refused(lambda: signin.prove(folk.ctx, handle, "email_code", wrong))


async def recovery_set_up(folk: Folk) -> Deed:
    handle, code = await recovering(folk)
    await signin.prove(folk.ctx, handle, "email_code", code)
    return lambda: signin.prove(folk.ctx, handle, "password", OTHER_PASSWORD)


async def finish_signin(folk: Folk) -> Deed:
    """From another browser than the session before, so that the mail about a new device is laid too."""
    actor = await folk.born()
    begun = await signin.start(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return lambda: signin.finish(folk.elsewhere, begun.handle)


async def finish_signup(folk: Folk) -> Deed:
    handle, code = await signing_up(folk, PASSWORD)
    await signin.prove(folk.ctx, handle, "email_code", code)
    return lambda: signin.finish(folk.ctx, handle)


async def finish_recovery(folk: Folk) -> Deed:
    handle, code = await recovering(folk)
    await signin.prove(folk.ctx, handle, "email_code", code)
    await signin.prove(folk.ctx, handle, "password", OTHER_PASSWORD)
    return lambda: signin.finish(folk.ctx, handle)


async def finish_step_up(folk: Folk) -> Deed:
    actor = await folk.born()
    begun = await signin.start_step_up(folk.acting(actor), actor, None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return lambda: signin.finish(folk.ctx, begun.handle)


async def set_profile(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: account.set_profile(folk.acting(actor), actor, {"nickname": "Anna"})


async def set_password(folk: Folk) -> Deed:
    actor = await folk.born()
    await folk.session(actor.tenant_id, actor.person_id)
    return lambda: account.set_password(folk.acting(actor), actor, OTHER_PASSWORD)


async def address_start(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: address.start(folk.acting(actor), actor, f"new{next(folk.numbers)}@example.com")


async def address_prove(folk: Folk) -> Deed:
    actor = await folk.born()
    await address.start(folk.acting(actor), actor, f"new{next(folk.numbers)}@example.com")
    code = await folk.code()
    return lambda: address.prove(folk.acting(actor), actor, code)


async def address_undo(folk: Folk) -> Deed:
    await (await address_prove(folk))()
    links = [mail["link"] for mail in await folk.the.mails() if mail["link"]]
    token = next(link for link in links if "/undo/" in link).rpartition("/")[2]
    return lambda: address.undo(folk.ctx, token)


async def end_session(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: account.end_session(folk.acting(actor), actor, actor.session_id)


async def end_other_sessions(folk: Folk) -> Deed:
    actor = await folk.born()
    await folk.session(actor.tenant_id, actor.person_id)
    return lambda: account.end_other_sessions(folk.acting(actor), actor)


async def exported(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: account.exported(folk.acting(actor), actor)


async def delete(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: account.delete(folk.acting(actor), actor)


def in_a_write(folk: Folk, work: Callable[[Any], Awaitable[object]]) -> Deed:
    async def deed() -> None:
        async with folk.ctx.write() as db:
            await work(db)

    return deed


async def give(folk: Folk) -> Deed:
    owner, other = await folk.born(None, "owner"), await folk.born()
    return in_a_write(folk, lambda db: access.give(folk.acting(owner), db, other.tenant_id, other.person_id, "admin"))


async def take(folk: Folk) -> Deed:
    owner, other = await folk.born(None, "owner"), await folk.born(None, "admin")
    return in_a_write(folk, lambda db: access.take(folk.acting(owner), db, other.tenant_id, other.person_id, "admin"))


async def create_tenant(folk: Folk) -> Deed:
    return in_a_write(folk, lambda db: tenants.create(folk.ctx, db, f"t{next(folk.numbers)}", "A tenant"))


async def add_person(folk: Folk) -> Deed:
    email = f"new{next(folk.numbers)}@example.com"
    return lambda: operate.add_person(folk.ctx, email, "main", "admin", PASSWORD)


async def disable_person(folk: Folk) -> Deed:
    email = await folk.email(await folk.born())
    return lambda: operate.disable_person(folk.ctx, email, "main")


async def give_role(folk: Folk) -> Deed:
    email = await folk.email(await folk.born())
    return lambda: operate.give_role(folk.ctx, email, "admin", "main")


async def take_role(folk: Folk) -> Deed:
    email = await folk.email(await folk.born(None, "admin"))
    return lambda: operate.take_role(folk.ctx, email, "admin", "main")


async def add_tenant(folk: Folk) -> Deed:
    return lambda: operate.add_tenant(folk.ctx, f"tenant{next(folk.numbers)}", None, "open")


async def rotate_keys(folk: Folk) -> Deed:
    await folk.born()
    return lambda: operate.rotate_keys(folk.ctx)


class Letterbox:
    """A mail server that takes everything; where the mail goes is not the question here."""

    async def send(self, message: Message) -> None:
        assert message.to


async def deliver(folk: Folk) -> Deed:
    await outbox.deliver(folk.the.gate.house, Letterbox())
    await signin.start_recovery(folk.ctx, f"somebody{next(folk.numbers)}@example.com", None)
    return lambda: outbox.deliver(folk.the.gate.house, Letterbox())


async def deliver_too_late(folk: Folk) -> Deed:
    await outbox.deliver(folk.the.gate.house, Letterbox())
    await signin.start_recovery(folk.ctx, f"somebody{next(folk.numbers)}@example.com", None)
    folk.the.clock.forward(25 * 3600)
    return lambda: outbox.deliver(folk.the.gate.house, Letterbox())


async def seal(folk: Folk) -> Deed:
    await folk.born()
    return lambda: ledger.seal(folk.the.gate.house)


async def purge(folk: Folk) -> Deed:
    await signin.start_recovery(folk.ctx, await folk.email(await folk.born()), None)
    await outbox.deliver(folk.the.gate.house, Letterbox())
    folk.the.clock.forward(61 * 24 * 3600)
    return lambda: jobs.purge(folk.the.gate.house)


async def rewrap(folk: Folk) -> Deed:
    await folk.born()
    folk.ctx.ring.rotate()
    return lambda: jobs.rewrap(folk.the.gate.house)


# What each verb writes at least; a verb that wrote less would not be tested by what follows.
VERBS: dict[str, tuple[Callable[[Folk], Awaitable[Deed]], int]] = {
    made.__name__: (made, least)
    for made, least in (
        (start, 2),
        (start_signup, 7),
        (start_signup_known, 7),
        (start_recovery, 7),
        (start_step_up, 2),
        (challenge, 5),
        (password_right, 8),
        (password_rehashed, 9),
        (password_wrong, 5),
        (password_of_nobody, 5),
        (step_up_right, 8),
        (step_up_wrong, 5),
        (signup_right, 14),
        (signup_with_a_tenant, 16),
        (signup_wrong, 5),
        (signup_set_up, 6),
        (recovery_right, 8),
        (recovery_wrong, 5),
        (recovery_set_up, 10),
        (finish_signin, 4),
        (finish_signup, 3),
        (finish_recovery, 3),
        (finish_step_up, 4),
        (set_profile, 2),
        (set_password, 8),
        (address_start, 5),
        (address_prove, 9),
        (address_undo, 8),
        (end_session, 2),
        (end_other_sessions, 2),
        (exported, 1),
        (delete, 4),
        (give, 2),
        (take, 2),
        (create_tenant, 1),
        (add_person, 6),
        (disable_person, 4),
        (give_role, 2),
        (take_role, 2),
        (add_tenant, 2),
        (rotate_keys, 2),
        (deliver, 2),
        (deliver_too_late, 3),
        (seal, 3),
        (purge, 5),
        (rewrap, 1),
        *verbs.VERBS,
    )
}


ON_POSTGRES = (
    "password_right", "signup_with_a_tenant", "recovery_set_up", "finish_step_up", "set_password", "delete", "take",
    "deliver_too_late", "seal", *verbs.ON_POSTGRES,
)  # fmt: skip
"""The verbs with upserts, locks and cascades, which the other database does in its own way."""


@pytest.fixture
async def folk(tmp_path: Path) -> AsyncIterator[Folk]:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        yield Folk(the)


@pytest.fixture
async def folk_on_postgres(tmp_path: Path, postgres: Postgres, pg_template: str) -> AsyncIterator[Folk]:
    url = postgres.create_database(template=pg_template)
    async with running(settings_for(tmp_path, url, tenancy="multi")) as the:
        yield Folk(the)
    postgres.drop_database(url)


def without(tables: Tables, *names: str) -> Tables:
    return {name: rows for name, rows in tables.items() if name not in names}


@pytest.mark.parametrize("verb", VERBS)
async def test_after_each_write_a_refusal_is_kept_and_a_fault_undone(folk: Folk, verb: str) -> None:
    await _each_write(folk, verb)


@pytest.mark.pg
@pytest.mark.parametrize("verb", ON_POSTGRES)
async def test_the_same_on_postgres(folk_on_postgres: Folk, verb: str) -> None:
    await _each_write(folk_on_postgres, verb)


async def _each_write(folk: Folk, verb: str) -> None:
    arrange, least = VERBS[verb]
    deed = await arrange(folk)
    with sabotaged(folk.the) as counting:
        await deed()
    assert counting.count >= least, f"{verb} writes {counting.count} times"
    for at in range(1, counting.count + 1):
        await _refused(folk, await arrange(folk), at)
        await _broken(folk, await arrange(folk), at)


async def _refused(folk: Folk, deed: Deed, at: int) -> None:
    fact = kept(folk.ctx, Event.ACCESS_REFUSED, planted=at)
    with sabotaged(folk.the, at=at, error=Planted(keep=(fact,))) as broken, pytest.raises(Planted):
        await deed()
    after = await folk.the.everything()
    assert without(after, "audit_event") == without(broken.before, "audit_event")
    known = {row["id"]: row for row in broken.before["audit_event"]}
    assert {row["id"]: row for row in after["audit_event"] if row["id"] in known} == known
    (row,) = [row for row in after["audit_event"] if row["id"] not in known]
    assert (row["event"], f'"planted":{at}' in row["facts"]) == (Event.ACCESS_REFUSED, True)


async def _broken(folk: Folk, deed: Deed, at: int) -> None:
    with sabotaged(folk.the, at=at, error=Broken()) as broken, pytest.raises(Broken):
        await deed()
    assert await folk.the.everything() == broken.before


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_broken_at_its_last_write_succeeds_when_asked_again(folk: Folk, verb: str) -> None:
    """Nothing is left behind that would stand in its own way: the same deed, right after a fault, comes to its end."""
    deed = await VERBS[verb][0](folk)
    with sabotaged(folk.the) as counting:
        await deed()
    deed = await VERBS[verb][0](folk)
    with sabotaged(folk.the, at=counting.count, error=Broken()), pytest.raises(Broken):
        await deed()
    folk.the.clock.forward(61)  # a mail's lease
    await deed()


async def test_no_transaction_outlives_a_refusal(folk: Folk) -> None:
    """The writer is free again at once: the next verb waits for nobody."""
    deed = await VERBS["set_profile"][0](folk)
    with sabotaged(folk.the, at=1, error=Planted()), pytest.raises(Planted):
        await deed()
    before = len(await folk.the.rows(audit_event))
    await deed()
    assert len(await folk.the.rows(audit_event)) == before + 1
