"""How a database runs a statement: its own plan, as lines. Not here: which plans are good, which the tests say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, event

from tests.kit import The


class Statements:
    """What the reader is asked, as text and parameters."""

    def __init__(self, the: The) -> None:
        self.the, self.asked = the, list[tuple[str, Any]]()
        event.listen(the.gate.services.store.reader.sync_engine, "before_cursor_execute", self._see)

    def _see(self, _c: Any, _cur: Any, statement: str, parameters: Any, _ctx: Any, _many: bool) -> None:
        self.asked.append((statement, parameters))

    async def plan(self) -> str:
        """How the database runs the only statement since the last plan."""
        [(statement, parameters)], is_sqlite = self.asked, self.the.gate.services.store.is_sqlite
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN (FORMAT JSON) "

        def run(connection: Connection) -> list[Any]:
            return list(connection.exec_driver_sql(explain + statement, parameters).all())

        async with self.the.gate.services.store.read() as db:
            found = await db.run(run)
        self.asked.clear()
        if is_sqlite:
            return "\n".join(row[3] for row in found)
        plan = found[0][0]
        return "\n".join(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    yield f"{plan['Node Type']} {plan.get('Relation Name', '')} {plan.get('Index Name', '')}"
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
