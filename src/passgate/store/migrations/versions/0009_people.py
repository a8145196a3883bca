"""When people were changed and last used their accounts, by which they are listed; and a host's jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    person = sa.table(
        "person", sa.column("id"), sa.column("created_at"), *map(sa.column, ("updated_at", "last_used_at"))
    )
    session = sa.table("session", sa.column("person_id"), sa.column("last_used_at"))
    for column in ("updated_at", "last_used_at"):
        op.add_column("person", sa.Column(column, sa.BigInteger(), server_default="0", nullable=False))
    latest = sa.select(sa.func.max(session.c.last_used_at)).where(session.c.person_id == person.c.id).scalar_subquery()
    op.execute(sa.update(person).values(updated_at=person.c.created_at, last_used_at=sa.func.coalesce(latest, 0)))
    if op.get_bind().dialect.name == "postgresql":
        # Addresses are compared byte by byte, so that those with one beginning stand together in the index.
        op.execute('ALTER TABLE person ALTER COLUMN email_key TYPE VARCHAR(320) COLLATE "C"')
    for column in ("created_at", "updated_at", "last_used_at"):
        op.create_index(f"ix_person_tenant_id_{column}_id", "person", ["tenant_id", column, "id"])
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("given_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_job_tenant_id_tenant")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_job_person_id_person"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    waiting = sa.text("ended_at IS NULL")
    op.create_index("ix_job_waiting", "job", ["due_at"], sqlite_where=waiting, postgresql_where=waiting)
    ended = sa.text("ended_at IS NOT NULL")
    op.create_index("ix_job_ended_at", "job", ["ended_at"], sqlite_where=ended, postgresql_where=ended)
    op.create_index("ix_job_person_id", "job", ["person_id"])
