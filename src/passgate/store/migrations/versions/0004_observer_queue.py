"""Rename the table telling to observer_queue, with its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "observer_queue",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("about", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "event_id", name=op.f("pk_observer_queue")),
    )
    with op.batch_alter_table("observer_queue", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_observer_queue_name_about_seq"), ["name", "about", "seq"], unique=False)
    op.execute(
        "INSERT INTO observer_queue (name, event_id, tenant_id, about, seq, attempts, due_at) "
        "SELECT name, event_id, tenant_id, about, seq, attempts, due_at FROM telling"
    )
    op.drop_table("telling")
