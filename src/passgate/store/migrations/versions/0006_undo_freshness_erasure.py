"""Sessions remember when each proof was given, and the secrets that a step-up replaced; factors that nothing but a
password vouched for; accounts that their owner closed; what a form was answered with; checkpoints of the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.add_column(sa.Column("disabled_by", sa.String(length=12), nullable=True))
        batch_op.add_column(sa.Column("erase_at", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            "ix_person_erase_at",
            ["erase_at"],
            unique=False,
            sqlite_where=sa.text("erase_at IS NOT NULL"),
            postgresql_where=sa.text("erase_at IS NOT NULL"),
        )
    op.execute("UPDATE person SET disabled_by = 'operator' WHERE disabled_at IS NOT NULL")
    with op.batch_alter_table("credential", schema=None) as batch_op:
        batch_op.add_column(sa.Column("provisional_until", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("proofs", sa.Text(), server_default=sa.text("'{}'"), nullable=False))
    op.create_table(
        "superseded_secret",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["session.id"], name=op.f("fk_superseded_secret_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_superseded_secret")),
    )
    op.create_index(op.f("ix_superseded_secret_session_id"), "superseded_secret", ["session_id"], unique=False)
    op.create_table(
        "form_answer",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("answer_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_form_answer")),
    )
    op.create_index(op.f("ix_form_answer_expires_at"), "form_answer", ["expires_at"], unique=False)
    op.create_table(
        "audit_checkpoint",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "first_seq", name=op.f("pk_audit_checkpoint")),
    )
