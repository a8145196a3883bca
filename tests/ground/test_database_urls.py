"""How URLs of databases are read: each parameter of libpq is known, and a path is a path.

Not here: connecting (tests/cli/test_databases.py), and a pooler (tests/cli/test_pooler.py).
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from passgate.settings import Settings
from passgate.settings import database as reader
from passgate.settings.database import PostgresServer, SqliteFile, WrongUrl, read_database

BASE = "postgresql://u@db.example.com/passgate"


def server(url: str) -> PostgresServer:
    found = read_database(url)
    assert isinstance(found, PostgresServer)
    return found


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "PostgreSQL"])
def test_schemes(scheme: str) -> None:
    assert server(f"{scheme}://u:p@h:5433/d") == PostgresServer("d", ("h",), (5433,), "u", "p")


@pytest.mark.parametrize(
    ("place", "hosts", "ports"),
    [
        ("h", ("h",), (5432,)),
        ("h:1", ("h",), (1,)),
        ("[::1]", ("::1",), (5432,)),
        ("[fe80::1%25eth0]:5433", ("fe80::1%eth0",), (5433,)),
        ("a,b:5433", ("a", "b"), (5432, 5433)),
        ("[::1]:1,b", ("::1", "b"), (1, 5432)),
        ("%2Frun%2Fpostgresql", ("/run/postgresql",), (5432,)),
        ("", (), ()),
    ],
)
def test_hosts(place: str, hosts: tuple[str, ...], ports: tuple[int, ...]) -> None:
    found = server(f"postgresql://u@{place}/d")
    assert (found.hosts, found.ports) == (hosts, ports)


@pytest.mark.parametrize(
    ("query", "hosts", "ports"),
    [
        ("host=/run/postgresql", ("/run/postgresql",), (5432,)),
        ("host=%2Frun%2Fpg&port=5433", ("/run/pg",), (5433,)),
        ("host=a,b&port=1,2", ("a", "b"), (1, 2)),
        ("host=a,b&port=7", ("a", "b"), (7, 7)),
        ("port=5433", (), (5433,)),
    ],
)
def test_hosts_as_parameters(query: str, hosts: tuple[str, ...], ports: tuple[int, ...]) -> None:
    found = server(f"postgresql:///d?{query}")
    assert (found.hosts, found.ports) == (hosts, ports)


def test_every_character_in_user_and_password() -> None:
    everything = "".join(sorted(set(string.printable) - set(string.whitespace))) + " é☃"
    encoded = "".join(f"%{byte:02X}" for byte in everything.encode())
    assert (found := server(f"postgresql://{encoded}:{encoded}@h/{encoded}")).user == everything
    assert (found.password, found.name) == (everything, everything)
    assert server("postgresql://u:a@b:c%40#d@h/x").password == "a@b:c@#d"  # as far as it can be told
    assert everything not in repr(found).replace(repr(everything), "", 2)  # user and database only


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "nonsense", "mysql://u@h/d", "postgresql", "postgresql:", "http://h/d", "sqlite://", "sqlite:x.db"),
        *("postgresql://h", "postgresql://h/", "postgresql:///", "postgresql://h/?sslmode=disable"),
        *("postgresql://h:port/d", "postgresql://h:0/d", "postgresql://h:65536/d", "postgresql://h:-1/d"),
        *("postgresql://u:p/w@h/d", "postgresql://u:p?w=1@h/d", "postgresql://u:p%zz@h/d", "postgresql://u:%00@h/d"),
        *(
            "postgresql://a b/d",
            "postgresql://[::1/d",
            "postgresql://::1/d",
            "postgresql://a,/d",
            "postgresql://u:%FF@h/d",
        ),
        f"{BASE}?sslmode",
        *(f"{BASE}?sslmode=disable&sslmode=require", f"{BASE}?host=other", f"{BASE}?user=other", f"{BASE}?dbname=x"),
        *("postgresql:///d?host=a,b&port=1,2,3", "postgresql://a:1,b/d?port=2"),
        *("sqlite:///", "sqlite:///:memory:", "sqlite:///folder/", "sqlite:///file:x.db", "sqlite:///x.db?mode=ro"),
    ],
)
def test_what_is_refused(url: str) -> None:
    with pytest.raises(WrongUrl):
        read_database(url)
    with pytest.raises(ValidationError) as wrong:
        Settings.development(database_url=url)
    assert [fault["type"] for fault in wrong.value.errors()] == ["DATABASE_URL"]


_NAMES = """
host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout client_encoding
options application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count
tcp_user_timeout replication gssencmode sslmode requiressl sslnegotiation sslcompression sslcert sslkey
sslkeylogfile sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version
ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname gsslib gssdelegation scram_client_key
scram_server_key service servicefile target_session_attrs load_balance_hosts oauth_issuer oauth_client_id
oauth_client_secret oauth_scope
"""
LIBPQ = set(_NAMES.split())
"""PostgreSQL 18, documentation §32.1.2."""


def test_every_parameter_of_libpq_is_known() -> None:
    assert set(reader._KNOWN) == LIBPQ


@pytest.mark.parametrize("name", sorted(LIBPQ - {"host", "port", "dbname", "user", "password"}))
def test_a_parameter_works_or_is_refused_by_name(name: str) -> None:
    """Nothing is dropped in silence: what works changes how we connect, or is what we do anyway."""
    for value in (
        "x",
        "1",
        "5",
        "disable",
        "require",
        "verify-full",
        "primary",
        "TLSv1.2",
        "direct",
        "-csearch_path=x",
    ):
        try:
            found = server(f"{BASE}?{name}={value}")
        except WrongUrl as wrong:
            assert name in str(wrong)
        else:
            assert found != server(BASE) or (name, value) in AS_WE_DO


AS_WE_DO = {
    ("channel_binding", "disable"),
    ("connect_timeout", "5"),
    ("gssencmode", "disable"),
    ("keepalives", "1"),
    ("load_balance_hosts", "disable"),
    ("sslsni", "1"),
}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("sslrootcert=x", "sslrootcert"),
        ("sslmode=prefer&sslrootcert=x", "sslrootcert"),
        ("sslmode=allow&sslcrl=x", "sslcrl"),
        ("sslmode=require&sslcrl=x", "sslcrl"),
        ("sslmode=disable&sslcert=x", "sslcert"),
        ("sslmode=disable&ssl_min_protocol_version=TLSv1.3", "ssl_min_protocol_version"),
        ("sslmode=require&sslkey=x", "sslkey"),
        ("sslmode=require&sslkey=x&sslpassword=hunter2", "sslkey"),
        ("sslmode=require&sslpassword=hunter2", "sslpassword"),
        ("sslnegotiation=direct", "sslnegotiation"),
        ("sslrootcert=system&sslmode=require", "sslrootcert"),
        ("sslrootcert=system&sslcert=x", "sslrootcert"),
    ],
)
def test_what_the_driver_would_leave_out(query: str, name: str) -> None:
    """The driver reads no certificates without `require`, and no key without a certificate."""
    with pytest.raises(WrongUrl, match=name) as wrong:
        read_database(f"{BASE}?{query}")
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize("name", [*reader._ELSEWHERE, "sslmod", "zzz"])
def test_other_names_are_refused_by_name(name: str) -> None:
    with pytest.raises(WrongUrl) as wrong:
        read_database(f"{BASE}?{name}=hunter2")
    assert name in str(wrong.value)
    assert "hunter2" not in str(wrong.value)


def test_the_nearest_name() -> None:
    with pytest.raises(WrongUrl, match="sslrootcert"):
        read_database(f"{BASE}?ssl_root_cert=x")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("connect_timeout=7", {"timeout": 7}),
        ("connect_timeout=0", {"timeout": 5}),
        ("connect_timeout=1", {"timeout": 2}),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        (
            "sslmode=verify-full&sslrootcert=%2Fa%20b%26c",
            {"dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Fa%20b%26c"},
        ),
        ("sslmode=verify-full&sslrootcert=system", {"ssl": True}),
    ],
)
def test_what_reaches_the_driver(query: str, expected: dict[str, Any]) -> None:
    assert server(f"{BASE}?{query}").arguments().items() >= expected.items()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-csearch_path=a,b", {"search_path": "a,b"}),
        ("-c%20search_path=a%20--lock-timeout=3s", {"search_path": "a", "lock_timeout": "3s"}),
        (r"-csearch_path=a\%20b", {"search_path": "a b"}),
        ("-cTransaction_Timeout=9s", {"transaction_timeout": "9s"}),
        ("", {}),
    ],
)
def test_options(options: str, expected: dict[str, str]) -> None:
    assert dict(server(f"{BASE}?options={options}").settings) == expected


@pytest.mark.parametrize(
    "options", ["-d", "search_path=x", "-csearch_path", "-c a=1 b", *(f"-c{n}=x" for n in reader._OURS)]
)
def test_what_are_no_options(options: str) -> None:
    with pytest.raises(WrongUrl):
        read_database(f"{BASE}?options={options}")


def test_the_name_of_the_application() -> None:
    assert dict(server(f"{BASE}?fallback_application_name=b").settings) == {"application_name": "b"}
    both = server(f"{BASE}?fallback_application_name=b&application_name=a")
    assert dict(both.settings) == {"application_name": "a"}


@pytest.mark.parametrize("name", ["x.db", "a?b.db", "a#b.db", "a%41.db", " .db", "a b", "x?", "ü", "-", "a&b=c"])
def test_a_path_of_sqlite_is_a_path(name: str) -> None:
    assert read_database(f"sqlite:////srv/{name}") == SqliteFile(Path("/srv") / name)
    assert read_database(f"sqlite:///{name}") == SqliteFile(Path.cwd() / name)
