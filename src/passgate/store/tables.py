"""Every table: columns, keys, and the module that owns it. Each row names its tenant first, so that a deployment can be
sharded by tenant later. Ids are UUIDv7 text; instants are microseconds since 1970 (`world.Instant`); `_hash` is
compared, `_sealed` is encrypted by `seal`; JSON columns are text.

Not here: queries and rules.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _id(name: str = "id", **more: bool) -> Column[str]:
    return Column(name, String(36), **more)  # type: ignore[arg-type]


def _at(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _sealed(name: str, purpose: str, *, null: bool = False, lasts: bool = True) -> Column[bytes]:
    """Sealed for `purpose` under the row's key; unless it `lasts` for minutes at most, key rotation seals it again."""
    return Column(name, LargeBinary, nullable=null, info={"purpose": purpose, "lasts": lasts})


def sealed_columns() -> list[Column[bytes]]:
    """Those that key rotation walks."""
    every = [column for table in metadata.sorted_tables for column in table.columns]
    return [column for column in every if column.info.get("lasts")]


def _tenant() -> Column[str]:
    return Column("tenant_id", String(36), ForeignKey("tenant.id"), nullable=False)


def _person(*, null: bool = False) -> Column[str]:
    return Column("person_id", String(36), ForeignKey("person.id", ondelete="CASCADE"), nullable=null)


# core/tenants: a group of people with its own rules. `policy` stores the differences from the default.
tenant = Table(
    "tenant",
    metadata,
    _id(primary_key=True),
    Column("name", String(40), nullable=False, unique=True),
    Column("display_name", String(200), nullable=False),
    Column("policy", Text, nullable=False, server_default=text("'{}'")),
    _at("created_at"),
    _at("disabled_at", null=True),
)

# core/people: one person in one tenant. The same address in two tenants is two people.
person = Table(
    "person",
    metadata,
    _id(primary_key=True),
    _tenant(),
    Column("email", String(320), nullable=False),
    # Compared byte by byte, so that addresses with one beginning stand together in the index.
    Column("email_key", String(320).with_variant(String(320, collation="C"), "postgresql"), nullable=False),
    _at("email_verified_at", null=True),
    # When somebody signed up with the address without proving it; null once it is proved, or set by somebody else.
    _at("claimed_at", null=True),
    # When somebody first proved an address of the account. Until then the first proof ends what was set up before.
    _at("first_proved_at", null=True),
    # Both empty without one. The key is no address and no id, so that what was typed can only be one of them.
    Column("username", String(64), nullable=False, server_default=""),
    Column(
        "username_key",
        String(200).with_variant(String(200, collation="C"), "postgresql"),
        nullable=False,
        server_default="",
    ),
    Column("profile", Text, nullable=False),
    # Raised by what makes known browsers strangers again; their cookies hold it.
    Column("epoch", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    # Of profile, address, roles or state.
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    # 0 until they sign in.
    Column("last_used_at", BigInteger, nullable=False, server_default="0"),
    _at("disabled_at", null=True),
    # Who disabled it: `owner` closed the account, and `erase_at` is when it is erased; or `operator`.
    Column("disabled_by", String(12)),
    _at("erase_at", null=True),
    UniqueConstraint("tenant_id", "email_key"),
    Index(None, "tenant_id", "created_at", "id"),
    Index(None, "tenant_id", "updated_at", "id"),
    Index(None, "tenant_id", "last_used_at", "id"),
    Index(None, "tenant_id", "username_key", "id"),
    Index(
        "uq_person_username",
        "tenant_id",
        "username_key",
        unique=True,
        sqlite_where=text("username_key <> ''"),
        postgresql_where=text("username_key <> ''"),
    ),
    # Few people are disabled, and admins ask for them among all.
    Index(
        "ix_person_disabled",
        "tenant_id",
        "created_at",
        "id",
        sqlite_where=text("disabled_at IS NOT NULL"),
        postgresql_where=text("disabled_at IS NOT NULL"),
    ),
    Index(
        "ix_person_erase_at",
        "erase_at",
        sqlite_where=text("erase_at IS NOT NULL"),
        postgresql_where=text("erase_at IS NOT NULL"),
    ),
)

# core/access: who has which role.
role_grant = Table(
    "role_grant",
    metadata,
    _tenant(),
    Column("person_id", String(36), ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(40), primary_key=True),
    _at("created_at"),
    Index(None, "tenant_id", "role"),
)

# core/roles: a tenant's own roles. `permissions`: names, with a blank between them.
role = Table(
    "role",
    metadata,
    Column("tenant_id", String(36), ForeignKey("tenant.id"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("description", String(200), nullable=False),
    Column("permissions", Text, nullable=False),
    _at("created_at"),
    _at("updated_at"),
)

# core/factors: what a person can prove repeatedly. A mark requires the compared `version`; revoking increments it.
credential = Table(
    "credential",
    metadata,
    _id(primary_key=True),
    _tenant(),
    _person(),
    Column("kind", String(24), nullable=False),
    Column("label", String(200), nullable=False, server_default=""),
    Column("lookup", LargeBinary, unique=True),
    Column("rp_id", String(253)),
    _sealed("secret_sealed", "credential", null=True),
    Column("scheme", String(64)),
    Column("counter", BigInteger, nullable=False, server_default="0"),
    Column("data", Text, nullable=False, server_default=text("'{}'")),
    Column("version", Integer, nullable=False, server_default="1"),
    _at("created_at"),
    _at("last_used_at", null=True),
    _at("revoked_at", null=True),
    # Until then a recovery passes over it: nothing but a password vouched for who set it up.
    _at("provisional_until", null=True),
    Index(None, "tenant_id", "person_id", "kind"),
    # A person has one password, even if two enrolments race.
    Index(
        "uq_credential_password",
        "person_id",
        unique=True,
        sqlite_where=text("kind = 'password' AND revoked_at IS NULL"),
        postgresql_where=text("kind = 'password' AND revoked_at IS NULL"),
    ),
)

# core/pending: the pending sign-in, not yet trusted.
sign_in = Table(
    "sign_in",
    metadata,
    _id(primary_key=True),
    _tenant(),
    Column("purpose", String(12), nullable=False),
    Column("handle_hash", LargeBinary, nullable=False, unique=True),
    _person(null=True),
    # Of a step-up: the carrier that asked for it.
    _id("carrier_id"),
    _sealed("data_sealed", "sign_in"),
    Column("proofs", Text, nullable=False, server_default=text("'[]'")),
    Column("spent", Integer, nullable=False, server_default="0"),
    Column("refused", Integer, nullable=False, server_default="0"),
    Column("throttled", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    _at("expires_at"),
    _at("finished_at", null=True),
    Index(None, "tenant_id", "person_id"),
    Index(None, "expires_at"),
)

# core/once: single-use tickets. `person_id`: whose mailed secret it is, if it is one; of an invitation, who made it.
ticket = Table(
    "ticket",
    metadata,
    _id(primary_key=True),
    _tenant(),
    Column("kind", String(24), nullable=False),
    Column("bound_to", String(36), nullable=False),
    _id("person_id"),
    Column("secret_hash", LargeBinary, nullable=False),
    _sealed("data_sealed", "ticket", null=True),
    _at("created_at"),
    _at("expires_at"),
    _at("taken_at", null=True),
    # Became invalid without being taken.
    _at("ended_at", null=True),
    # A taken one is known until then: as long as what it gave.
    _at("known_until", null=True),
    Index(None, "kind", "bound_to"),
    Index(None, "kind", "secret_hash"),
    Index(None, "person_id"),
    Index(None, "expires_at"),
)

# core/throttle: what is counted under a key, the end of the wait, and when the row counts as new again.
budget = Table(
    "budget",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("used", Integer, nullable=False),
    _at("until_at"),
    _at("expires_at"),
    Index(None, "expires_at"),
)

# core/installation: secrets of this installation that outlive every key of the ring, sealed under it.
installation_secret = Table(
    "installation_secret",
    metadata,
    Column("name", String(40), primary_key=True),
    _sealed("value_sealed", "installation"),
)

# core/sessions: the result of a sign-in, with an id that stays. An ended row never becomes live again.
session = Table(
    "session",
    metadata,
    _id(primary_key=True),
    _tenant(),
    _person(),
    _at("created_at"),
    # Its lifetimes count from here: the sign-in, or the last step-up.
    Column("began_at", BigInteger, nullable=False, server_default="0"),
    _at("last_used_at"),
    _at("idle_expires_at"),
    _at("expires_at"),
    _at("ended_at", null=True),
    Column("end_reason", String(24)),
    Column("browser", String(60), nullable=False),
    Column("os", String(60), nullable=False),
    Column("ip", String(45), nullable=False),
    Index(None, "tenant_id", "person_id"),
    Index(None, "expires_at"),
)

# core/sessions: what carries a session (`cookie`, `bearer` or `jwt`), and the level that was proved with it. It ends
# with its session. `generation` counts its secrets; `proofs`: when each was given.
carrier = Table(
    "carrier",
    metadata,
    _id(primary_key=True),
    _tenant(),
    Column("session_id", String(36), ForeignKey("session.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    Column("generation", Integer, nullable=False, server_default="1"),
    # Of a refresh family: how often its token was replaced, when last, and the key that its tokens are bound to.
    Column("rotation", Integer, nullable=False, server_default="0"),
    _at("rotated_at", null=True),
    Column("key_thumbprint", String(43)),
    # JSON: browsers and systems other than the one that signed in, which it was used with.
    Column("clients", Text, nullable=False, server_default=text("'[]'")),
    Column("amr", Text, nullable=False),
    Column("acr", String(60), nullable=False),
    Column("proofs", Text, nullable=False),
    _at("auth_time"),
    _at("created_at"),
    _at("ended_at", null=True),
    Index(None, "session_id"),
)

# core/sessions: secrets that a step-up has replaced, so that an answer to one does not clear the newer cookie.
superseded_secret = Table(
    "superseded_secret",
    metadata,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("carrier_id", String(36), ForeignKey("carrier.id", ondelete="CASCADE"), nullable=False),
    Index(None, "carrier_id"),
)

# core/form_answers: what a form was answered with, so that its second post is answered as the first.
form_answer = Table(
    "form_answer",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    _sealed("answer_sealed", "form_answer", lasts=False),
    _at("expires_at"),
    Index(None, "expires_at"),
)

# core/audit: audit events. Rows outlive people; `personal` is erased with its person.
audit_event = Table(
    "audit_event",
    metadata,
    _id(primary_key=True),
    Column("tenant_id", String(36), nullable=False),
    _at("at"),
    Column("event", String(60), nullable=False),
    _id("actor_id"),
    _id("subject_id"),
    Column("facts", Text, nullable=False),
    Column("personal", Text),
    Column("personal_salt", LargeBinary),
    Column("personal_hash", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("seq", BigInteger),
    Column("link", LargeBinary),
    UniqueConstraint("tenant_id", "seq"),
    Index(None, "tenant_id", "subject_id"),
    Index(None, "tenant_id", "actor_id"),
    Index(
        "ix_audit_event_unsealed",
        "tenant_id",
        sqlite_where=text("seq IS NULL"),
        postgresql_where=text("seq IS NULL"),
    ),
)

# core/ledger: how far a tenant's chain is sealed; `mac` covers the row.
audit_head = Table(
    "audit_head",
    metadata,
    Column("tenant_id", String(36), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("link", LargeBinary, nullable=False),
    _at("sealed_at"),
    Column("mac", LargeBinary, nullable=False),
)

# core/ledger: digests of sealed rows under the newest key, 32 bytes a row, which stand for rows whose key is dropped.
audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("tenant_id", String(36), primary_key=True),
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("digests", LargeBinary, nullable=False),
    _at("made_at"),
    Column("mac", LargeBinary, nullable=False),
)

# core/mail: mails to be sent. `message_sealed` is erased on delivery or expiry.
outbox = Table(
    "outbox",
    metadata,
    _id(primary_key=True),
    _tenant(),
    Column("kind", String(24), nullable=False),
    _sealed("message_sealed", "outbox", null=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    _at("due_at"),
    _at("expires_at"),
    _at("sent_at", null=True),
    Index(
        "ix_outbox_waiting",
        "due_at",
        sqlite_where=text("message_sealed IS NOT NULL"),
        postgresql_where=text("message_sealed IS NOT NULL"),
    ),
)

# adapters/mailbox: the mailbox of development.
dev_mail = Table("dev_mail", metadata, _id(primary_key=True), _sealed("message_sealed", "dev_mail"), _at("sent_at"))

# core/observers: an observer's position in each tenant's trail.
observer = Table(
    "observer",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("tenant_id", String(36), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

# core/observers: events still to be delivered to an observer. `about` is the person, whose events stay in order.
observer_queue = Table(
    "observer_queue",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("event_id", String(36), primary_key=True),
    Column("tenant_id", String(36), nullable=False),
    Column("about", String(36), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _at("due_at"),
    Index(None, "name", "about", "seq"),
)

# core/host_jobs, core/job_worker: functions of a host program that run in the background. `person_id`: who started it,
# if a person did. `given_sealed`: the arguments, erased when it has ended; `result` has no secret.
job = Table(
    "job",
    metadata,
    _id(primary_key=True),
    _tenant(),
    _person(null=True),
    Column("kind", String(60), nullable=False),
    Column("state", String(8), nullable=False),
    _sealed("given_sealed", "job", null=True),
    Column("result", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    _at("due_at"),
    _at("ended_at", null=True),
    Index(
        "ix_job_waiting",
        "due_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    # Without this condition, SQLite would look for waiting rows here, and read those that are not due.
    Index(
        "ix_job_ended_at",
        "ended_at",
        sqlite_where=text("ended_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    Index(None, "person_id"),
)

# core/keys: keys that sign tokens. `id` is the thumbprint; `generation` counts those of an algorithm. A key signs from
# `signs_from` on, and is published until `expires_at`, which is known once it has a successor.
signing_key = Table(
    "signing_key",
    metadata,
    Column("id", String(43), primary_key=True),
    Column("algorithm", String(8), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("public", Text, nullable=False),
    _sealed("private_sealed", "signing_key"),
    _at("created_at"),
    _at("signs_from"),
    _at("expires_at", null=True),
    UniqueConstraint("algorithm", "generation"),
)
