"""Keys that sign tokens, and refresh families: a carrier counts how often its token was replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(length=43), nullable=False),
        sa.Column("algorithm", sa.String(length=8), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("private_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("signs_from", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_key")),
        sa.UniqueConstraint("algorithm", "generation", name=op.f("uq_signing_key_algorithm_generation")),
    )
    op.add_column("carrier", sa.Column("rotation", sa.Integer(), server_default="0", nullable=False))
    op.add_column("carrier", sa.Column("rotated_at", sa.BigInteger(), nullable=True))
    op.add_column("carrier", sa.Column("key_thumbprint", sa.String(length=43), nullable=True))
    op.add_column("carrier", sa.Column("clients", sa.Text(), server_default=sa.text("'[]'"), nullable=False))
