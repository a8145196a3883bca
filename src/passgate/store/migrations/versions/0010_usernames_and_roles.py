"""Usernames, a tenant's own roles, when a session's lifetimes began, and an index of people who are disabled."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    key = sa.String(length=200, collation="C") if is_postgres else sa.String(length=200)
    op.add_column("person", sa.Column("username", sa.String(length=64), server_default="", nullable=False))
    op.add_column("person", sa.Column("username_key", key, server_default="", nullable=False))
    op.create_index("ix_person_tenant_id_username_key_id", "person", ["tenant_id", "username_key", "id"])
    has_one = sa.text("username_key <> ''")
    op.create_index(
        "uq_person_username",
        "person",
        ["tenant_id", "username_key"],
        unique=True,
        sqlite_where=has_one,
        postgresql_where=has_one,
    )
    is_disabled = sa.text("disabled_at IS NOT NULL")
    op.create_index(
        "ix_person_disabled",
        "person",
        ["tenant_id", "created_at", "id"],
        sqlite_where=is_disabled,
        postgresql_where=is_disabled,
    )
    op.create_table(
        "role",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_role_tenant_id_tenant")),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_role")),
    )
    session = sa.table("session", *map(sa.column, ("id", "created_at", "began_at")))
    carrier = sa.table("carrier", *map(sa.column, ("session_id", "auth_time")))
    op.add_column("session", sa.Column("began_at", sa.BigInteger(), server_default="0", nullable=False))
    latest = sa.select(sa.func.max(carrier.c.auth_time)).where(carrier.c.session_id == session.c.id).scalar_subquery()
    op.execute(sa.update(session).values(began_at=sa.func.coalesce(latest, session.c.created_at)))
