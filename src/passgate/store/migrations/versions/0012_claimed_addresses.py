"""When somebody signed up with an address that they had not proved, and when an account's first address was proved.

Accounts with a lasting second factor whose address is not proved count as proved before: an admin may have moved them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("person", sa.Column("claimed_at", sa.BigInteger(), nullable=True))
    op.add_column("person", sa.Column("first_proved_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE person SET first_proved_at = email_verified_at")
    op.execute(
        "UPDATE person SET first_proved_at = created_at WHERE email_verified_at IS NULL AND EXISTS (SELECT 1 FROM credential WHERE credential.tenant_id = person.tenant_id AND credential.person_id = person.id AND credential.kind IN ('passkey', 'totp') AND credential.revoked_at IS NULL)"
    )
