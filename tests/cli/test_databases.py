"""Databases as operators name them: folders and files of every name, servers with each parameter that works, and those
that are refused before anything is written.

Not here: how a URL is read (tests/ground/test_database_urls.py), and PgBouncer (test_pooler.py).
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from passgate.settings.database import read_database
from passgate.store import SCHEMA, Store
from tests.cli.shell import Running, Shell
from tests.pooler import pooled
from tests.servers import Postgres

PRINTABLE = "".join(sorted(set(string.printable) - set(string.whitespace) - {"/"}))
NAMES = ["x?a", "x#a", "x%41", " ", "a b", f"{PRINTABLE} é☃", "?x=1&y", "file:x?mode=ro"]


# -- folders and files -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_data_folder_of_any_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Database, write-ahead log, keys and lock are in it and nowhere else, and nobody else reads them."""
    (tmp_path / "in").mkdir()
    data = tmp_path / "in" / name
    shell = Shell(data, capsys)
    for command in (("migrate",), ("user", "add", "anna@example.com"), ("doctor",)):
        assert shell(*command).code == 0, command
        _all_inside(data)
    assert "anna@example.com" in shell("user", "list").out
    assert shell("backup", str(tmp_path / "copy.db")).code == 0
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    with Running("serve", data) as server, server.http() as http:
        assert http.get("/readyz").status_code == 200
        body = {"email": "bert@example.com", "password": "a long enough pass phrase"}
        assert http.post("/api/v1/signup", json=body).status_code == 202
        assert {"passgate.db", "passgate.db-wal", "passgate.keys", "passgate.lock"} <= _all_inside(data)
        assert server.stop() == 0
    _all_inside(data)


def _all_inside(data: Path) -> set[str]:
    assert [path.name for path in data.parent.iterdir()] == [data.name]
    assert data.stat().st_mode & 0o777 == 0o700
    for path in data.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path.name
    return {path.name for path in data.iterdir()}


@pytest.mark.parametrize("name", ["x?a.db", "x#a.db", "x%41.db", "a b", f"{PRINTABLE.replace('?', '')}.db"])
def test_a_file_of_any_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "files").mkdir()
    url = f"sqlite:///{tmp_path}/files/{name}"
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL=url)
    assert shell("migrate").code == 0
    assert shell("user", "add", "anna@example.com").code == 0
    assert "anna@example.com" in shell("user", "list").out
    assert [path.name for path in (tmp_path / "files").iterdir()] == [name]
    assert not (tmp_path / "data" / "passgate.db").exists()


def test_a_file_in_the_working_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL="sqlite:///own.db")
    assert shell("migrate").code == 0
    assert (tmp_path / "own.db").stat().st_mode & 0o777 == 0o600


def test_files_that_cannot_be(lite_shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, code in {"no/such/folder.db": "DATABASE_URL", "folder": "DATABASE_REFUSED"}.items():
        url = f"sqlite:///{tmp_path}/{name}"
        assert lite_shell("doctor", DATABASE_URL=url).out.split()[:1] == [code], name
        for command in (("serve",), ("migrate",), ("user", "list")):
            refused = lite_shell(*command, DATABASE_URL=url)
            assert refused.code == 1
            assert refused.codes in ([code], ["not_found"]), (name, command)
            assert "Traceback" not in refused.err


# -- servers ---------------------------------------------------------------------------------------

WORKING = [
    "",
    "?sslmode=disable",
    "?sslmode=allow",
    "?sslmode=prefer",
    "?application_name=our%20sign-in",
    "?fallback_application_name=x",
    "?connect_timeout=3",
    "?target_session_attrs=read-write",
    "?target_session_attrs=primary",
    "?target_session_attrs=any",
    "?options=-csearch_path%3Dpublic%20--lock_timeout%3D3s",
    "?client_encoding=utf8",
    "?gssencmode=disable&channel_binding=prefer&keepalives=1&sslsni=1&load_balance_hosts=disable",
    "?ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.3&sslnegotiation=postgres",
]


@pytest.mark.pg
def test_each_parameter_that_works(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    """By every way to the database: schema, sessions, single rows."""
    plain = postgres.create_database()
    url = plain.replace("postgresql+asyncpg", "postgres")
    shell = Shell(tmp_path / "data", capsys)
    assert shell("migrate", DATABASE_URL=f"{url}{WORKING[-1]}").code == 0
    for query in WORKING:
        done = shell("doctor", DATABASE_URL=url + query)
        assert (done.code, done.out) == (0, "ok\n"), query
    query = f"?{'&'.join(query[1:] for query in (WORKING[1], WORKING[4], WORKING[6], WORKING[7], WORKING[10]))}"
    with Running("serve", tmp_path / "data", DATABASE_URL=url + query) as server, server.http() as http:
        body = {"email": "bert@example.com", "password": "a long enough pass phrase"}
        assert http.post("/api/v1/signup", json=body).status_code == 202
        assert http.get("/api/v1/session", headers={"Authorization": "Bearer pg_ses_none"}).status_code == 401
        name = url.rpartition("/")[2]
        seen = postgres.sql(f"SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = '{name}'")
        assert seen == "our sign-in"
    postgres.drop_database(plain)


@pytest.mark.pg
def test_hosts_in_a_row(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    url = postgres.create_database()
    shell = Shell(tmp_path / "data", capsys)
    several = url.replace(f"@127.0.0.1:{postgres.port}", f"@127.0.0.1:1,127.0.0.1:{postgres.port}")
    assert shell("migrate", DATABASE_URL=several).code == 0
    named = url.replace(f"@127.0.0.1:{postgres.port}", "@") + f"?host=127.0.0.1&port={postgres.port}"
    assert shell("doctor", DATABASE_URL=named).code == 0
    password, name = url.partition("@")[0].rpartition(":")[2], url.rpartition("/")[2]
    given = f"host=127.0.0.1&port={postgres.port}&user=postgres&password={password}&dbname={name}"
    assert shell("doctor", DATABASE_URL=f"postgresql://?{given}").code == 0
    postgres.drop_database(url)


@pytest.mark.pg
def test_a_name_and_a_password_of_every_character(
    tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create_database()
    name, everything = url.rpartition("/")[2], f"{PRINTABLE}/ é☃"
    quoted, text = everything.replace('"', '""'), everything.replace("'", "''")
    postgres.sql(f"CREATE ROLE \"{quoted}\" LOGIN PASSWORD '{text}'")
    postgres.sql(f'ALTER DATABASE "{name}" OWNER TO "{quoted}"')
    encoded = "".join(f"%{byte:02X}" for byte in everything.encode())
    own = f"postgresql://{encoded}:{encoded}@127.0.0.1:{postgres.port}/{name}"
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL=own)
    assert shell("migrate").code == 0
    assert shell("doctor").code == 0
    wrong = shell("doctor", DATABASE_URL=own.replace(f":{encoded}", ":hunter2"))
    assert wrong.out.startswith("DATABASE_")
    assert "hunter2" not in wrong.out + wrong.err
    postgres.drop_database(url)
    postgres.sql(f'DROP ROLE "{quoted}"')


@pytest.mark.pg
def test_an_encoding_that_cannot_store_names(
    tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL=postgres.url("latin"))
    _refused(shell, "DATABASE_ENCODING", "migrate", "serve", "worker", "doctor")
    assert postgres.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", "latin") == "0"
    postgres.drop_database(postgres.url("latin"))


@pytest.fixture
def role(postgres: Postgres) -> Iterator[str]:
    postgres.sql("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    yield "weak"
    postgres.sql("DROP OWNED BY weak; DROP ROLE weak")


@pytest.mark.pg
def test_a_role_without_rights(
    tmp_path: Path, postgres: Postgres, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    own = f"postgresql://{role}:{role}@127.0.0.1:{postgres.port}/{name}"
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL=own)
    _refused(shell, "DATABASE_RIGHTS", "migrate")
    assert postgres.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", name) == "0"
    assert shell("migrate", DATABASE_URL=url).code == 0
    for granted in ("", "SELECT, INSERT, UPDATE"):
        if granted:
            postgres.sql(f"GRANT {granted} ON ALL TABLES IN SCHEMA public TO {role}", name)
        _refused(shell, "DATABASE_RIGHTS", "serve", "worker", "doctor", "migrate")
    postgres.sql(f"GRANT DELETE ON ALL TABLES IN SCHEMA public TO {role}", name)
    assert shell("doctor").code == 0
    assert shell("user", "add", "anna@example.com").code == 0
    postgres.sql(f"REVOKE USAGE ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM {role}", name)
    _refused(shell, "DATABASE_RIGHTS", "serve", "doctor", "migrate")
    postgres.sql(f"DROP OWNED BY {role}", name)
    postgres.drop_database(url)


@pytest.mark.pg
def test_options_decide_which_schema_is_asked(
    tmp_path: Path, postgres: Postgres, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    own = f"postgresql://{role}:{role}@127.0.0.1:{postgres.port}/{name}?options="
    postgres.sql(
        f"CREATE SCHEMA ours AUTHORIZATION {role}; CREATE SCHEMA theirs; GRANT USAGE ON SCHEMA theirs TO {role}", name
    )
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL=f"{own}-csearch_path%3Dours")
    assert shell("migrate").code == 0
    assert shell("doctor").code == 0
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'theirs')", name) == "0"
    theirs, nowhere = (
        Shell(tmp_path / "data", capsys, DATABASE_URL=f"{own}-csearch_path%3D{schema}")
        for schema in ("theirs", "nowhere")
    )
    _refused(theirs, "DATABASE_RIGHTS", "migrate")
    _refused(nowhere, "DATABASE_RIGHTS", "migrate", "serve", "doctor", "worker")
    for wrong in ("nonsense%3D1", "lock_timeout%3Dsoon", "timezone%3DNowhere"):
        _refused(Shell(tmp_path / "data", capsys, DATABASE_URL=f"{own}-c{wrong}"), "DATABASE_URL", "doctor", "migrate")
    postgres.sql(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    _refused(shell, "DATABASE_RIGHTS", "serve", "doctor", "migrate")
    postgres.sql(f"DROP OWNED BY {role}", name)
    postgres.drop_database(url)


@pytest.mark.pg
def test_a_database_that_takes_no_writes(
    tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a standby does not, before and after it is migrated."""
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    shell = Shell(tmp_path / "data", capsys, DATABASE_URL=url)
    read_only = f"ALTER DATABASE {name} SET default_transaction_read_only ="
    postgres.sql(f"{read_only} on")
    _refused(shell, "DATABASE_READ_ONLY", "migrate", "doctor")
    postgres.sql(f"{read_only} off")
    assert shell("migrate").code == 0
    postgres.sql(f"{read_only} on")
    _refused(shell, "DATABASE_READ_ONLY", "migrate", "doctor", "serve", "worker")
    postgres.drop_database(url)


@pytest.mark.pg
async def test_the_isolation_is_ours(postgres: Postgres) -> None:
    """Conditional updates rely on it: with another one, two at once are a fault."""
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    with pooled(url) as through:
        for one in (url, through):
            store = Store(read_database(one), SCHEMA)
            try:
                async with store.write() as db:
                    assert await db.value(text("SHOW transaction_isolation")) == "read committed"
            finally:
                await store.close()
    postgres.drop_database(url)


def _refused(shell: Shell, code: str, *commands: str) -> None:
    for command in commands:
        done = shell(command)
        assert done.code == 1, command
        assert (done.out or done.err).split()[0] == code, (command, done)
        assert "Traceback" not in done.err


# -- TLS -------------------------------------------------------------------------------------------


def _certificate(
    folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / f"{name}.key").chmod(0o600)
    return made, key


def _revocations(path: Path, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], *revoked: int) -> None:
    now = datetime.now(UTC)
    made = x509.CertificateRevocationListBuilder().issuer_name(issuer[0].subject)
    made = made.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=1))
    for number in revoked:
        one = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        made = made.add_revoked_certificate(one)
    path.write_bytes(made.sign(issuer[1], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.mark.pg
def test_tls(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    """Encrypted as the URL says. The end of TLS is PgBouncer: the PostgreSQL of the tests is built without."""
    authority = _certificate(tmp_path, "authority", None)
    _, key = _certificate(tmp_path, "postgres", authority)
    served, _ = _certificate(tmp_path, "server", authority)
    by_password = serialization.BestAvailableEncryption("& é+".encode())
    (tmp_path / "locked.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, by_password)
    )
    _revocations(tmp_path / "empty.crl", authority)
    _revocations(tmp_path / "revoked.crl", authority, served.serial_number)
    _certificate(tmp_path, "stranger", None)
    url = postgres.create_database()
    own, other = (f"sslrootcert={tmp_path}/{name}.crt" for name in ("authority", "stranger"))
    client = f"sslcert={tmp_path}/postgres.crt&sslkey={tmp_path}/postgres.key"
    with pooled(url, tls=tmp_path) as through:
        shell = Shell(tmp_path / "data", capsys)
        named = through.replace("@127.0.0.1:", "@localhost:")
        assert shell("migrate", DATABASE_URL=f"{named}?sslmode=verify-full&{own}&{client}").code == 0
        for works in ("require", f"require&{own}", f"verify-ca&{own}", f"verify-full&{own}"):
            assert shell("doctor", DATABASE_URL=f"{named}?sslmode={works}&{client}").code == 0, works
        for works in (f"verify-ca&{own}&{client}", f"prefer&{client}"):
            assert shell("doctor", DATABASE_URL=f"{through}?sslmode={works}").code == 0, works
        for place, fails in (
            (named, "disable"),
            (named, f"verify-ca&{other}&{client}"),
            (named, f"require&{other}&{client}"),
            (named, "verify-full&sslrootcert=system"),
            (named, f"verify-full&{own}&{client}&sslcrl={tmp_path}/revoked.crl"),
            (named, f"verify-full&{own}&{client.replace('postgres.key', 'locked.key')}&sslpassword=wrong"),
            (through, f"verify-full&{own}&{client}"),  # a certificate for another name
            (url, "require"),  # a server that has none
            (url, f"verify-full&{own}"),
        ):
            done = shell("doctor", DATABASE_URL=f"{place}?sslmode={fails}")
            assert (done.code, done.out.split()[0]) == (1, "DATABASE_TLS"), fails
        locked = f"{client.replace('postgres.key', 'locked.key')}&sslpassword=%26%20%C3%A9%2B"
        for works in (f"{client}&sslcrl={tmp_path}/empty.crl", locked):
            assert shell("doctor", DATABASE_URL=f"{named}?sslmode=verify-full&{own}&{works}").code == 0, works
        missing = shell("doctor", DATABASE_URL=f"{named}?sslmode=verify-full&sslrootcert={tmp_path}/none")
        assert missing.out.split()[0] == "DATABASE_TLS"
    postgres.drop_database(url)
