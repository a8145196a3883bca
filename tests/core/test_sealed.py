"""Key rotation: whatever is stored sealed and lasts is sealed under the newest key afterwards, and still opens.

Not here: the ring of keys (`tests/ground/test_seal`) and which columns there are (`tests/architecture/test_tables`).
"""

from __future__ import annotations

from passgate.core import signin, starts
from passgate.core.policy import Need
from passgate.store.tables import sealed_columns
from tests import operating
from tests.core.behind import Folk
from tests.kit import The


async def test_all_that_lasts_is_under_the_newest_key(the: The) -> None:
    """A credential, a pending sign-in, its ticket and its mail, and the installation's secret; the mailed code is right
    afterwards."""
    folk = Folk(the)
    anna = await folk.create("anna@example.com")
    await folk.add_app(anna)
    begun = await starts.recover(folk.ctx, "anna@example.com", None)
    await operating.rotate_keys(folk.ctx)
    head, seen = folk.ctx.ring.head, set[str]()
    for column in sealed_columns():
        for row in await the.rows(column.table):
            if row[column.name] is not None:
                assert bytes(row[column.name]).startswith(head), column
                seen.add(column.table.name)
    assert seen == {"credential", "sign_in", "ticket", "outbox", "installation_secret"}
    assert isinstance(await signin.prove(folk.ctx, begun.handle, "email_code", await folk.code()), Need)
