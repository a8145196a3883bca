"""The order in which transactions lock rows that others may lock: people, tenant, roles, pending sign-in, budgets; the
budgets of a host's events come before all of them. It is read off the statements of every action that writes.

Why there is one order is explained in `core.action`. All other rows that a transaction changes belong to a person who
is locked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Delete, Insert, Select, Update, event, insert, select, update

from passgate.store.tables import budget, person, sign_in
from tests import catalogue
from tests.core.behind import Folk
from tests.kit import The, running, settings_for

ORDER = ("person", "tenant", "role", "sign_in", "budget")
BUDGETS = (
    *("s:", "o:starts:", "o:refusals:", "o:rows:", "o:bytes:", "w:", "d:", "n:", "k:", "m:", "o:mails:", "o:seen:"),
    *("i:", "h:", "o:jobs:", "c:jobs:"),
)
"""What a budget's key begins with: starts, the origin, waits and the day's codes, consecutive refusals, the entry of a
known browser, mails, invitations, and that a mail was held back; a host's jobs, of an origin and of a person."""
FIRST = ("o:events:", "c:events:", "c:about:")
"""The same of a host's events, and of the address that one is about, which nobody takes who has locked anything."""
WRITES = catalogue.writing()
NAMED = {
    "person": ("of_person", "of", "id_1"),
    "sign_in": ("of_sign_in", "id_1"),
    "budget": ("key", "of", "key_1"),
}
"""The parameters that name a row."""

_COUNTS = ["n:stranger", "n:known", "n:step_up"]
Row = tuple[str, str]
"""A table and, where the order depends on it, the row's key."""
CREATED = ("person", "")
"""A person whom this transaction creates: nobody else can have locked the row."""


class Steps(list[list[Row]]):
    """For each transaction the rows that it locks, in order and each once: a row that it has is not taken again. An
    exception: when PostgreSQL updates a row with foreign keys that this transaction has updated before, it checks the
    keys again, and so locks the sign-in's person."""

    def __init__(self, given: Iterable[list[Row]] = ()) -> None:
        super().__init__(given)
        self.created = set[str]()

    def began(self, _connection: Connection) -> None:
        self.append([])
        self.created.clear()

    def asked(self, _connection: Any, statement: Any, _many: Any, given: dict[str, Any], *_rest: Any) -> None:
        if isinstance(statement, Insert) and statement.table is person:
            self[-1].append(CREATED)
            self.created.add(str(given.get("id") or statement.compile().params["id"]))
        if self and (table := taken(statement)) in ORDER:
            self[-1] += self.new(rows_of(table, statement, given))

    def new(self, rows: list[Row]) -> list[Row]:
        has_person = any(table == "person" for table, _ in self[-1])
        again = [("person", key) for table, key in rows if table == "sign_in" and key and (table, key) in self[-1]]
        mine = [CREATED, *(("person", one) for one in self.created)]
        return [row for row in rows if row not in (*self[-1], *mine)] + ([] if has_person else again)


def rows_of(table: str, statement: Any, given: dict[str, Any]) -> list[Row]:
    if table not in NAMED:
        return [(table, "")]
    params = {**statement.compile().params, **given}
    if "of_role" in params and isinstance(statement, Update):  # of those who have a role, who were locked before
        return []
    keys = next((params[name] for name in NAMED[table] if params.get(name)), "")
    assert keys or table != "person", statement
    return [(table, str(key)) for key in (keys if isinstance(keys, list) else [keys])]


def taken(statement: Any) -> str:
    """The table of the rows that a statement locks or changes. An INSERT locks nothing that others hold, except in
    `budget`, where it is an upsert."""
    if isinstance(statement, Select):
        locks = statement._for_update_arg is not None
        return str(statement.get_final_froms()[0]) if locks else ""
    if isinstance(statement, Update | Delete) or (isinstance(statement, Insert) and statement.table is budget):
        return str(statement.table)
    return ""


@contextmanager
def watched(the: The) -> Iterator[Steps]:
    engine, steps = the.gate.services.store.writer.sync_engine, Steps()
    event.listen(engine, "begin", steps.began)
    event.listen(engine, "before_execute", steps.asked)
    try:
        yield steps
    finally:
        event.remove(engine, "begin", steps.began)
        event.remove(engine, "before_execute", steps.asked)


@pytest.fixture
async def folk(tmp_path: Path) -> AsyncIterator[Folk]:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        yield Folk(the)


def place(row: Row) -> tuple[int, int, str]:
    """Where a row is in the order: by table, people by their id, budgets by what they are about."""
    table, key = row
    if table == "budget" and key.startswith(FIRST):
        return -1, 0, ""
    if table == "budget":
        [at] = [at for at, prefix in enumerate(BUDGETS) if key.startswith(prefix)]
        return ORDER.index(table), at, ""
    return ORDER.index(table), 0, key if table == "person" else ""


def out_of_order(steps: list[Row]) -> list[Row]:
    """The rows if they were locked in a wrong order, else nothing. Counters that one statement deletes have no name."""
    named = [row for row in steps if row not in (("budget", ""), CREATED)]
    return named if named != sorted(named, key=place) else []


@pytest.mark.parametrize("name", WRITES)
async def test_every_action_takes_its_locks_in_the_one_order(folk: Folk, name: str) -> None:
    act = await WRITES[name].arrange(folk)
    with watched(folk.the) as steps:
        await act()
    assert steps, "a transaction was watched"
    for taken_ones in steps:
        assert out_of_order(taken_ones) == [], taken_ones


def test_it_would_see_another_order() -> None:
    assert out_of_order([("sign_in", ""), ("person", "1")]) == [("sign_in", ""), ("person", "1")]
    assert out_of_order([("person", "1"), ("sign_in", ""), ("person", "2")]) != []
    assert out_of_order([("person", "2"), ("person", "1")]) != []
    assert out_of_order([("person", "1"), ("person", "2"), ("budget", "k:1"), ("budget", "m:stranger:1")]) == []
    for later, earlier in pairwise(reversed(BUDGETS)):
        assert out_of_order([("budget", f"{later}1"), ("budget", f"{earlier}1")]) != []
        assert out_of_order([("budget", f"{earlier}1"), ("budget", f"{later}1")]) == []
    assert out_of_order([("person", "1"), ("budget", "c:events:1")]) != []
    assert out_of_order([("budget", "o:events:1"), ("person", "1")]) == []
    with pytest.raises(ValueError, match="unpack"):
        place(("budget", "p:password:1"))
    assert out_of_order(changed_twice([])) != []
    assert out_of_order(changed_twice([("person", "1")])) == []
    assert out_of_order(changed_twice([CREATED])) == []
    assert taken(update(sign_in)) == "sign_in"
    assert taken(select(person).with_for_update()) == "person"
    assert taken(select(person)) == ""
    assert taken(insert(budget)) == "budget"
    assert taken(insert(person)) == ""


def changed_twice(before: list[Row]) -> list[Row]:
    steps = Steps([before])
    for _ in range(2):
        steps.asked(None, update(sign_in).where(sign_in.c.id == "1").values(spent=1), None, {})
    return steps[-1]


@pytest.mark.parametrize(
    ("name", "taken_ones"),
    [
        ("start", [["o:starts", "o:rows", "o:bytes"]]),
        ("start_in_known_browser", [["s:"]]),
        ("start_recovery", [["o:starts", "o:rows", "o:bytes", "m:stranger", "o:seen"]]),
        ("totp_right", [["o:refusals", "w:totp", "n:stranger"], ["o:refusals", "w:totp", *_COUNTS]]),
        ("totp_wrong", [["o:refusals", "w:totp", "n:stranger"]]),
        ("password_too_soon", [["o:refusals", "w:password"]]),
        ("password_in_known_browser", [["n:known", "k:"], [*_COUNTS, "k:"]]),
        ("step_up_right", [["n:step_up"], _COUNTS]),
        ("email_code_right", [["o:refusals", "d:recovery"], ["o:refusals", "d:recovery"]]),
        ("add_app", [["w:set_up_totp"], ["w:set_up_totp", *_COUNTS]]),
        ("finish_signin", [["o:rows"]]),
    ],
)
async def test_it_sees_whose_budgets_are_taken(folk: Folk, name: str, taken_ones: list[list[str]]) -> None:
    act = await WRITES[name].arrange(folk)
    with watched(folk.the) as steps:
        await act()
    found = [[key for table, key in rows if table == "budget"] for rows in steps]
    assert [[about(key) for key in keys] for keys in found if keys] == taken_ones


def about(key: str) -> str:
    """What a budget is about, without whose it is."""
    return key[:2] if key.startswith(("s:", "k:")) else ":".join(key.split(":")[:2])
