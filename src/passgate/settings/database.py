"""Reads the URL of a database once, for every driver. Each parameter of libpq is known: it works, or it is refused by
name with what to set instead.

Not here: connecting (`store.engines`), and what a server must be able to do (`store.fitness`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes


class WrongUrl(ValueError):
    """The message names no value of the URL: there is a password in it."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    path: Path
    """Absolute."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """`settings` are the server's own (`search_path`), `tls` libpq's, which the driver reads from a URL only."""

    name: str
    hosts: tuple[str, ...] = ()
    """Names, addresses or folders of sockets, in the order in which they are tried. Empty: where libpq looks."""
    ports: tuple[int, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: int = 5
    """Seconds to connect."""
    target: str = "any"
    settings: tuple[tuple[str, str], ...] = ()
    tls: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """The files that the driver will read, by parameter."""
        return tuple((name, Path(value)) for name, value in self.tls if name in _FILES and value != "system")

    def arguments(self, *, reading: bool = False) -> dict[str, Any]:
        """For asyncpg's `connect`, without the server's settings. `reading`: the session is to be read-only, so it
        can't be asked whether it writes."""
        target = "primary" if reading and self.target == "read-write" else self.target
        given: dict[str, Any] = {"database": self.name, "timeout": self.timeout, "target_session_attrs": target}
        given |= {"host": list(self.hosts), "port": list(self.ports)} if self.hosts else {}
        given |= {"port": self.ports[0]} if self.ports and not self.hosts else {}
        given |= {"user": self.user} if self.user is not None else {}
        given |= {"password": self.password} if self.password is not None else {}
        if dict(self.tls).get("sslrootcert") == "system":
            return given | {"ssl": True}  # the system's certificates, and the name is verified
        if self.tls:
            given["dsn"] = "postgresql://?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in self.tls)
        return given


Database = SqliteFile | PostgresServer

_FORMS = "must start with postgresql:// or sqlite:///"


def read_database(url: str) -> Database:
    """Raises WrongUrl."""
    scheme, colon, rest = url.strip().partition("://")
    kind = scheme.lower() if colon else ""
    if kind in ("postgresql", "postgres", "postgresql+asyncpg"):
        return _postgres(rest)
    if kind in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(rest)
    raise WrongUrl(_FORMS)


def _sqlite(rest: str) -> SqliteFile:
    """What follows `sqlite:///` is a path, letter by letter: nothing in it is decoded or cut off."""
    path = rest.removeprefix("/")
    if path == rest or path in ("", ":memory:") or path.startswith("file:") or path.endswith("/"):
        raise WrongUrl("must name a file: sqlite:///relative.db or sqlite:////absolute/path.db")
    if re.search(r"\?[A-Za-z_]+=", path):
        raise WrongUrl("has parameters, which SQLite has none of here. For a path with ? in it, set PASSGATE_DATA")
    if "\0" in path:
        raise WrongUrl("has a NUL in it")
    return SqliteFile(Path(path).absolute())


# -- PostgreSQL ------------------------------------------------------------------------------------

_ENCODE = "can't be read. Percent-encode special characters in user and password (@ is %40, / is %2F, ? is %3F)"
_PARAMETER = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)


def _postgres(rest: str) -> PostgresServer:
    place, _, query = rest.partition("?")
    authority, _, name = place.partition("/")
    if "@" not in authority and ("@" in name or "@" in query):
        raise WrongUrl(_ENCODE)  # and no part of what may be a password is repeated
    login, at, listed = authority.rpartition("@")
    user, colon, password = login.partition(":")
    given = _parameters(query)
    hosts, ports = _hosts(listed, given)
    name = _decoded(name) or given.pop("dbname", "")
    if not name:
        raise WrongUrl("must end with the name of a database: postgresql://user:password@host/passgate")
    server: dict[str, Any] = {"name": name, "hosts": hosts, "ports": ports}
    server["user"] = (_decoded(user) if at else "") or given.pop("user", "") or None
    server["password"] = (_decoded(password) if colon else "") or given.pop("password", "") or None
    for one in ("dbname", "user", "password"):
        if one in given:
            raise WrongUrl(f"says {one} twice")
    return PostgresServer(**server, **_rest(given))


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise WrongUrl(_ENCODE)
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise WrongUrl(_ENCODE) from None
    if re.search(r"[\x00-\x1f\x7f]", found):
        raise WrongUrl("has a control character in it")
    return found


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        if not equals or _PARAMETER.fullmatch(name) is None:
            raise WrongUrl(_ENCODE)
        if name in found:
            raise WrongUrl(f"says {name} twice")
        if name not in _KNOWN:
            raise WrongUrl(_unknown(name))
        if value:  # empty is unset
            found[name] = _decoded(value)
    return found


def _unknown(name: str) -> str:
    if name in _ELSEWHERE:
        return f"has {name}, which isn't one of libpq's. {_ELSEWHERE[name]}"
    near = get_close_matches(name.lower(), _KNOWN, 1, 0.6)
    return f"has an unknown parameter, {name}." + (f" Did you mean {near[0]}?" if near else " Remove it")


def _hosts(listed: str, given: dict[str, str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """`a:5432,[::1]:5433`, or the parameters `host` and `port`, which may be folders of sockets."""
    ports = [_port(port) for port in given.pop("port", "").split(",") if port]
    if listed and "host" in given:
        raise WrongUrl("says host twice")
    named = given.pop("host", "")
    pairs = (
        [_host(one) for one in listed.split(",")]
        if listed
        else [(one.strip(), None) for one in named.split(",") if one]
    )
    if any(not host for host, _ in pairs):
        raise WrongUrl(_ENCODE)
    if ports and (any(port for _, port in pairs) or len(ports) not in (1, len(pairs) or 1)):
        raise WrongUrl("must have one port, or one for each host")
    if not pairs:
        return (), tuple(ports)
    each = ports if len(ports) == len(pairs) else (ports or [5432]) * len(pairs)
    return tuple(host for host, _ in pairs), tuple(port or other for (_, port), other in zip(pairs, each, strict=True))


_HOST_PORT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|(?P<host>[^\[\]:]*))(?::(?P<port>[^:]*))?")


def _host(written: str) -> tuple[str, int | None]:
    found = _HOST_PORT.fullmatch(written)
    if found is None:
        raise WrongUrl(_ENCODE)
    host = _decoded(found["six"] or found["host"] or "")
    if re.search(r"[\s?#\\@]", host):
        raise WrongUrl(_ENCODE)
    return host, _port(found["port"]) if found["port"] else None


def _port(text: str) -> int:
    if re.fullmatch(r"\d{1,5}", text, re.ASCII) and 0 < int(text) < 65536:
        return int(text)
    raise WrongUrl(f"has no valid port. It {_ENCODE}")


def _rest(given: dict[str, str]) -> dict[str, Any]:
    """What the remaining parameters mean."""
    made: dict[str, Any] = {}
    settings: dict[str, str] = {}
    tls: dict[str, str] = {}
    for name, value in given.items():
        refusal = _KNOWN[name](value)
        if refusal:
            raise WrongUrl(f"has {name}={value if name in _PUBLIC else '…'}, which can't work here. {refusal}")
        if name in _TLS:
            tls[name] = value
        elif name == "connect_timeout":
            made["timeout"] = max(int(value), 2) if int(value) else 5  # as libpq; but no start waits without end
        elif name == "target_session_attrs":
            made["target"] = value
        elif name == "options":
            settings |= _options(value)
        elif name in ("application_name", "fallback_application_name"):
            settings.setdefault("application_name", value)
    if "application_name" in given:
        settings["application_name"] = given["application_name"]
    if wrong := _tls_fault(tls):
        raise WrongUrl(wrong)
    return {**made, "settings": tuple(settings.items()), "tls": tuple(tls.items())}


def _tls_fault(tls: dict[str, str]) -> str:
    """What the driver would leave out, beside these others; empty if there is nothing."""
    system = tls.get("sslrootcert") == "system"
    mode = tls.get("sslmode", "verify-full" if system else "prefer")
    if system and tls.keys() - {"sslrootcert", "sslmode"}:
        return "has sslrootcert=system beside other files. Name a file of certificates instead"
    if system and mode != "verify-full":
        return "has sslrootcert=system, which needs sslmode=verify-full"
    if mode == "disable" and (more := tls.keys() - {"sslmode"}):
        return f"has {min(more)} beside sslmode=disable. Remove one of them"
    for name in ("sslrootcert", "sslcrl"):
        if name in tls and mode not in _ENCRYPTED:
            return f"has {name}, for which nothing is verified. Add sslmode=verify-full"
    if tls.get("sslnegotiation") == "direct" and mode not in _ENCRYPTED:
        return "has sslnegotiation=direct, which needs sslmode=require, verify-ca or verify-full"
    for name, needed in (("sslcrl", "sslrootcert"), ("sslkey", "sslcert"), ("sslpassword", "sslcert")):
        if name in tls and needed not in tls:
            return f"has {name}, which needs {needed} beside it"
    return ""


_OURS = (
    "client_encoding",
    *(f"{kind}transaction_{one}" for kind in ("", "default_") for one in ("isolation", "read_only", "deferrable")),
)
"""Settings of the server on which our statements rely."""
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][A-Za-z0-9_.-]*)=((?:\\.|[^\s\\])*)", re.ASCII)


def _options(value: str) -> dict[str, str]:
    """`-c name=value --name=value`; a backslash keeps the blank after it."""
    found: dict[str, str] = {}
    place, text = 0, value.strip()
    while place < len(text):
        one = _OPTION.match(text, place)
        if one is None or (one.end() < len(text) and not text[one.end()].isspace()):
            raise WrongUrl("has options that aren't of the form -c name=value")
        name = one[1].replace("-", "_").lower()
        if name in _OURS:
            raise WrongUrl(f"has {name} in its options, which Passgate sets itself. Remove it")
        found[name] = re.sub(r"\\(.)", r"\1", one[2])
        place = one.end() + len(text[one.end() :]) - len(text[one.end() :].lstrip())
    return found


Check = Callable[[str], str]
"""What to do instead; empty if the value works."""


def _works(_value: str) -> str:
    return ""


def _only(*values: str, instead: str) -> Check:
    return lambda value: "" if value in values else instead


def _never(instead: str) -> Check:
    return lambda _value: instead


def _number(value: str) -> str:
    return "" if re.fullmatch(r"\d{1,4}", value, re.ASCII) else "It must be a number of seconds"


_KEEPALIVE = _never("Set the TCP keep-alive of this machine (net.ipv4.tcp_keepalive_…), and remove it")
_OAUTH = _never("Use a password or a client certificate")
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ENCRYPTED = _MODES[3:]
_VERSIONS = _only("TLSv1.2", "TLSv1.3", instead="Use TLSv1.2 or TLSv1.3")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_PUBLIC = ("sslmode", "channel_binding", "gssencmode", "target_session_attrs", "load_balance_hosts", "client_encoding")

_KNOWN: dict[str, Check] = {
    **dict.fromkeys(("host", "port", "dbname", "user", "password"), _works),
    **dict.fromkeys(("application_name", "fallback_application_name", "options", "sslpassword", *_FILES), _works),
    "connect_timeout": _number,
    "sslmode": _only(*_MODES, instead=f"It is one of {', '.join(_MODES)}"),
    "sslnegotiation": _only("postgres", "direct", instead="It is postgres or direct"),
    "ssl_min_protocol_version": _VERSIONS,
    "ssl_max_protocol_version": _VERSIONS,
    "target_session_attrs": _only(
        *("any", "read-write", "primary"), instead="Passgate writes, so it is any, read-write or primary"
    ),
    "client_encoding": lambda value: (
        "" if value.lower() in ("utf8", "utf-8", "auto") else "It is always UTF8; remove it"
    ),
    "sslcompression": _only("0", instead="Remove it"),
    "sslsni": _only("1", instead="Remove it"),
    "sslcertmode": _only("allow", instead="Remove it; sslcert decides"),
    "gssencmode": _only("disable", "prefer", instead="Use sslmode=verify-full instead"),
    "channel_binding": _only(
        "disable", "prefer", instead="The driver has no channel binding: use sslmode=verify-full and remove it"
    ),
    "load_balance_hosts": _only("disable", instead="List the hosts in the order in which they are to be tried"),
    "keepalives": _only("1", instead="Remove it"),
    **dict.fromkeys(("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"), _KEEPALIVE),
    "hostaddr": _never("Put the address in place of the host"),
    "passfile": _never("Put the password into the URL, or the whole URL into a file of PASSGATE_SECRETS_DIR"),
    **dict.fromkeys(("service", "servicefile"), _never("Write host, database and user into the URL")),
    "replication": _never("Remove it"),
    "requiressl": _never("Use sslmode=require"),
    "requirepeer": _never("Remove it; the mode of the folder of the socket decides who listens there"),
    "require_auth": _never("Let pg_hba.conf decide, and use sslmode=verify-full"),
    "sslcrldir": _never("Use sslcrl with one file"),
    "sslkeylogfile": _never("Remove it"),
    **dict.fromkeys(("min_protocol_version", "max_protocol_version"), _never("Remove it")),
    **dict.fromkeys(("krbsrvname", "gsslib", "gssdelegation"), _never("Use a password or a client certificate")),
    **dict.fromkeys(("scram_client_key", "scram_server_key"), _never("Use the password")),
    **dict.fromkeys(("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"), _OAUTH),
}
"""Every parameter of libpq 18, and whether its value works."""

_TLS = (*_FILES, "sslmode", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version")

_ELSEWHERE = {
    "ssl": "Use sslmode",
    "sslfactory": "Use sslmode",
    "schema": "Use options=-csearch_path%3DNAME",
    "search_path": "Use options=-csearch_path%3DNAME",
    "currentSchema": "Use options=-csearch_path%3DNAME",
    "timeout": "Use connect_timeout",
    "statement_timeout": "Use options=-cstatement_timeout%3D30s",
    "command_timeout": "Use options=-cstatement_timeout%3D30s",
    "pgbouncer": "A pooler is found without it; remove it",
    "connection_limit": "Remove it",
    "pool_timeout": "Remove it",
    "statement_cache_size": "A pooler is found without it; remove it",
    "prepared_statement_cache_size": "A pooler is found without it; remove it",
    "database": "Use dbname",
}
"""Names that other programs know, and ours for the same."""
