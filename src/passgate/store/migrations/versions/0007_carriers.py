"""A session and what carries it are two rows: a carrier has the secret and its level. Tickets remember whether they were
taken or ended, and how long a taken one must be known."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_LEVEL = ("amr", "acr", "proofs", "auth_time")


def upgrade() -> None:
    # SQLite drops a table by deleting its rows, which would delete carriers too: `session` is changed before they exist.
    moved = f"id, tenant_id, secret_hash, created_at, ended_at, {', '.join(_LEVEL)}"
    op.execute(f"CREATE TABLE moved_carrier AS SELECT {moved} FROM session")  # noqa: S608
    op.execute("CREATE TABLE moved_secret AS SELECT secret_hash, session_id FROM superseded_secret")
    op.drop_table("superseded_secret")
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_session_secret_hash"), type_="unique")
        for name in ("secret_hash", *_LEVEL):
            batch_op.drop_column(name)
    op.create_table(
        "carrier",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("amr", sa.Text(), nullable=False),
        sa.Column("acr", sa.String(length=60), nullable=False),
        sa.Column("proofs", sa.Text(), nullable=False),
        sa.Column("auth_time", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_carrier_session_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_carrier_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_carrier_secret_hash")),
    )
    op.create_index(op.f("ix_carrier_session_id"), "carrier", ["session_id"], unique=False)
    # A session had one carrier, which takes its id, and so do the step-ups it has asked for. What kind it was, nobody
    # wrote down.
    op.execute(
        f"INSERT INTO carrier (session_id, kind, {moved}) SELECT id, 'unknown', {moved} FROM moved_carrier"  # noqa: S608
    )
    op.drop_table("moved_carrier")
    op.create_table(
        "superseded_secret",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("carrier_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["carrier_id"], ["carrier.id"], name=op.f("fk_superseded_secret_carrier_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_superseded_secret")),
    )
    op.create_index(op.f("ix_superseded_secret_carrier_id"), "superseded_secret", ["carrier_id"], unique=False)
    op.execute(
        "INSERT INTO superseded_secret (secret_hash, carrier_id) SELECT secret_hash, session_id FROM moved_secret"
    )
    op.drop_table("moved_secret")
    op.execute("ALTER TABLE sign_in RENAME COLUMN session_id TO carrier_id")
    op.add_column("ticket", sa.Column("ended_at", sa.BigInteger(), nullable=True))
    op.add_column("ticket", sa.Column("known_until", sa.BigInteger(), nullable=True))
