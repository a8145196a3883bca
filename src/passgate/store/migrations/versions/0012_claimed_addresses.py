"""When somebody signed up with an address that they had not proved."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("person", sa.Column("claimed_at", sa.BigInteger(), nullable=True))
