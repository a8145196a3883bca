"""Budgets know who tries: expiring counters, epochs of known browsers, throttled tries of a sign-in, whose a mailed
secret is, and a secret of the installation. Counts of refused answers are kept, as those of strangers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NEVER = 2**62


def upgrade() -> None:
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.add_column(sa.Column("epoch", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("sign_in", schema=None) as batch_op:
        batch_op.add_column(sa.Column("throttled", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("ticket", schema=None) as batch_op:
        batch_op.add_column(sa.Column("person_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_ticket_person_id"), ["person_id"], unique=False)
    op.create_table(
        "installation_secret",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value_sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation_secret")),
    )
    op.execute("DELETE FROM budget WHERE key NOT LIKE 'p:%'")
    op.execute("UPDATE budget SET key = 'n:stranger:' || substr(key, 3), until_at = 0")
    with op.batch_alter_table("budget", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_budget_updated_at"))
        batch_op.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))
        batch_op.drop_column("tenant_id")
        batch_op.drop_column("updated_at")
    op.execute(sa.text("UPDATE budget SET expires_at = :never").bindparams(never=_NEVER))
    with op.batch_alter_table("budget", schema=None) as batch_op:
        batch_op.alter_column("expires_at", existing_type=sa.BigInteger(), nullable=False)
        batch_op.create_index(batch_op.f("ix_budget_expires_at"), ["expires_at"], unique=False)
