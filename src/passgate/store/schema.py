"""A schema as a value: tables, migrations and the newest revision. Another part with a database of its own has another
one.

Not here: what the tables are (`tables`) and running migrations (`migrate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData

from passgate.store import tables


@dataclass(frozen=True, slots=True)
class Schema:
    """`migrations`: the folder of Alembic's scripts; `head`: the newest revision there, which a test compares."""

    metadata: MetaData
    migrations: Path
    head: str

    def revisions(self) -> set[str]:
        """All that this program knows: each script is named after its own."""
        return {script.name.partition("_")[0] for script in (self.migrations / "versions").glob("[0-9]*.py")}


SCHEMA = Schema(tables.metadata, Path(__file__).parent / "migrations", "0013")
