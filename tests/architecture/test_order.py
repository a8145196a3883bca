"""The order in which transactions lock rows that others may lock: person, tenant, pending sign-in, budget. It is read
off the statements of every action that writes.

Why there is one order is explained in `core.action`. All other rows that a transaction changes belong to a person who
is locked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Delete, Insert, Select, Update, event, insert, select, update

from passgate.store.tables import budget, person, sign_in
from tests import catalogue
from tests.core.behind import Folk
from tests.kit import The, running, settings_for

ORDER = ("person", "tenant", "sign_in", "budget")
WRITES = catalogue.writing()


class Steps(list[list[tuple[str, str]]]):
    """For each transaction the locks in order: the table, and for a budget also its key."""

    def began(self, _connection: Connection) -> None:
        self.append([])

    def asked(self, _connection: Any, statement: Any, _many: Any, given: dict[str, Any], *_rest: Any) -> None:
        if self and (table := taken(statement)) is not None:
            whose = str(given.get("key") or given.get("of") or "") if table == "budget" else ""
            self[-1].append((table, whose))


def taken(statement: Any) -> str | None:
    """The table of the rows that a statement locks or changes. An INSERT locks nothing that others hold, except in
    `budget`, where it is an upsert."""
    if isinstance(statement, Select):
        locks = statement._for_update_arg is not None
        return str(statement.get_final_froms()[0]) if locks else None
    if isinstance(statement, Update | Delete) or (isinstance(statement, Insert) and statement.table is budget):
        return str(statement.table)
    return None


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


def out_of_order(steps: list[tuple[str, str]]) -> list[str]:
    """The tables in the order of their first lock if that order is wrong, else nothing."""
    first = list(dict.fromkeys(table for table, _ in steps if table in ORDER))
    return first if first != sorted(first, key=ORDER.index) else []


@pytest.mark.parametrize("name", WRITES)
async def test_every_action_takes_its_locks_in_the_one_order(folk: Folk, name: str) -> None:
    act = await WRITES[name].arrange(folk)
    with watched(folk.the) as steps:
        await act()
    assert steps, "a transaction was watched"
    for taken_ones in steps:
        assert out_of_order(taken_ones) == [], taken_ones
        budgets = [whose[:2] for table, whose in taken_ones if table == "budget" and whose]
        assert "o:" not in budgets[1:], "the origin's before the authenticator's"


def test_it_would_see_another_order() -> None:
    assert out_of_order([("sign_in", ""), ("person", "")]) == ["sign_in", "person"]
    assert out_of_order([("person", ""), ("session", ""), ("budget", ""), ("person", "")]) == []
    assert taken(update(sign_in)) == "sign_in"
    assert taken(select(person).with_for_update()) == "person"
    assert taken(select(person)) is None
    assert taken(insert(budget)) == "budget"
    assert taken(insert(person)) is None


async def test_it_sees_whose_budgets_are_taken(folk: Folk) -> None:
    act = await WRITES["totp_right"].arrange(folk)
    with watched(folk.the) as steps:
        await act()
    whose = [[one[:2] for table, one in taken_ones if table == "budget"] for taken_ones in steps]
    assert [found for found in whose if found] == [["o:", "p:"], ["o:", "p:"]]
