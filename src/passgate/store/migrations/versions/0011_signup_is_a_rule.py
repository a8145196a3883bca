"""Who may sign up is one of a tenant's rules, and no column any more."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    tenant = sa.table("tenant", *map(sa.column, ("id", "signup", "policy")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(tenant).where(tenant.c.signup != "open")).all():
        policy = json.dumps({**json.loads(row.policy), "signup": row.signup})
        connection.execute(sa.update(tenant).where(tenant.c.id == row.id).values(policy=policy))
    op.drop_column("tenant", "signup")
