"""What a fault of the database is called: `CODE text` for an operator, from the state that the driver gives.

Not here: which faults are answered with 503, which is `unit`.
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator

_FILE = "PASSGATE_DATABASE_URL, or passgate.db in the data folder,"
DAMAGED = ("DATABASE_DAMAGED", f"{_FILE} is damaged. Put it aside and restore your backup.")
_SQLITE = {
    sqlite3.SQLITE_BUSY: ("DATABASE_LOCKED", "Another program has locked the database for ten seconds. End it."),
    sqlite3.SQLITE_PERM: ("DATABASE_REFUSED", f"{_FILE} can't be opened for writing. Check its owner and mode."),
    sqlite3.SQLITE_FULL: ("DISK_FULL", "The disk of the database is full. Make room there."),
    sqlite3.SQLITE_IOERR: (
        "DATABASE_REFUSED",
        f"The disk fails for {_FILE} or has no room. Check it, its quota, and the limits of the user.",
    ),
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: (
        "DATABASE_DAMAGED",
        f"{_FILE} is no SQLite database. Put it aside and restore your backup.",
    ),
}
_SQLITE[sqlite3.SQLITE_LOCKED] = _SQLITE[sqlite3.SQLITE_BUSY]
for _code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH):
    _SQLITE[_code] = _SQLITE[sqlite3.SQLITE_PERM]
READ_ONLY = (
    "DATABASE_READ_ONLY",
    "The database takes no writes. Name the primary in PASSGATE_DATABASE_URL, or all hosts with "
    "target_session_attrs=read-write.",
)
_OPTIONS = ("DATABASE_URL", "The server refuses a setting that options in PASSGATE_DATABASE_URL gives it.")
_SERVER = {
    "28": (
        "DATABASE_REFUSED",
        "The database server refuses user, password, or a connection without TLS. Check PASSGATE_DATABASE_URL.",
    ),
    "25006": READ_ONLY,
    "42501": ("DATABASE_RIGHTS", "The role in PASSGATE_DATABASE_URL may not use this database. Grant it CONNECT."),
    "3D": ("DATABASE_MISSING", "The server has no such database. Create it, or check PASSGATE_DATABASE_URL."),
    "42704": _OPTIONS,
    "22023": _OPTIONS,
    "55P02": _OPTIONS,
    "53100": ("DISK_FULL", "The disk of the database server is full. Make room there."),
    "55P03": ("DATABASE_LOCKED", "Another program has locked the database for ten seconds. End it."),
}
"""By SQLSTATE, or its class."""
_TLS = (
    "DATABASE_TLS",
    "The connection to the database can't be encrypted as PASSGATE_DATABASE_URL says: the server has no TLS, or its "
    "certificate isn't valid.",
)


def reason(fault: BaseException) -> tuple[str, str]:
    """DATABASE_DOWN if nothing better is known. Never a text of the driver, which may have a password in it."""
    causes = list(_causes(fault))
    for cause in causes:
        if isinstance(cause, sqlite3.Error) and (known := _SQLITE.get(_primary(cause))):
            return known
        state = str(getattr(cause, "sqlstate", None) or "")
        if known := _SERVER.get(state) or _SERVER.get(state[:2]):
            return known
        # asyncpg has no type of its own for a server that does not want TLS.
        # PgBouncer says that it wants some as a violation of the protocol.
        if isinstance(cause, ssl.SSLError) or (
            (isinstance(cause, ConnectionError) or state == "08P01") and "SSL" in str(cause)
        ):
            return _TLS
    kind = type(causes[-1]).__name__
    return "DATABASE_DOWN", f"The database doesn't respond ({kind}). Check PASSGATE_DATABASE_URL."


def is_damaged(fault: BaseException) -> bool:
    """Whether SQLite says that its file is none, or is damaged."""
    return any(
        isinstance(cause, sqlite3.Error) and _primary(cause) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        for cause in _causes(fault)
    )


def _primary(fault: sqlite3.Error) -> int:
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """The fault and what lies behind it, at most ten."""
    found: BaseException | None = fault
    for _ in range(10):
        if found is None:
            return
        yield found
        behind = getattr(found, "orig", None)
        found = behind if isinstance(behind, BaseException) else found.__cause__
