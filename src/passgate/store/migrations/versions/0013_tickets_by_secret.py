"""Tickets are found by their secret: mailed links, invitations, and the challenge of a passkey that names its sign-in."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index(op.f("ix_ticket_kind_secret_hash"), "ticket", ["kind", "secret_hash"], unique=False)
