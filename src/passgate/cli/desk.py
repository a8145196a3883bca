"""What every command needs: the settings, the services, running a coroutine, and printing answers.

Not here: any command or rule.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from passgate.errors import Invalid, NotFound, PassgateError, Unavailable, UnsafeSettings

if TYPE_CHECKING:
    from passgate.core.ctx import Ctx, Services
    from passgate.settings import Settings
    from passgate.store import Store

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print the output as JSON, as the API does.")]
TenantName = Annotated[str, typer.Option("--tenant", help="Name of the tenant.")]

_SAFE_TO_WRITE = ("SECRETS_", "PEPPER_", "HASH_")
"""Reasons that also refuse commands that write: these would seal or hash with settings that nobody should rely on."""


@dataclass(frozen=True, slots=True)
class Given:
    """The options before the command."""

    data: Path | None


# -- the collector of garbage ------------------------------------------------------------------------

_USUAL = gc.get_threshold()


def collect_rarely() -> None:
    """For commands and starts, which mostly import: nothing of what that makes is garbage, and looking for some takes a
    tenth of the time."""
    gc.set_threshold(50_000, *_USUAL[1:])


def collect_as_usual() -> None:
    """For a server that has started. What is there by then stays, so the collector need never look at it."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


# -- settings --------------------------------------------------------------------------------------


def load(given: Given) -> Settings:
    """Settings from the environment."""
    from passgate.settings import Settings  # noqa: PLC0415

    return Settings.load(**({"data": given.data} if given.data else {}))


# -- the database ----------------------------------------------------------------------------------


def open_store(settings: Settings) -> Store:
    """The database of these settings; no statement has run yet."""
    from passgate.store import SCHEMA, Store  # noqa: PLC0415

    try:
        return Store(settings.database, SCHEMA)
    except ModuleNotFoundError as missing:
        text = f"The database driver {missing.name} isn't installed. Run: pip install 'passgate[postgres]'."
        raise UnsafeSettings([("DATABASE_DRIVER", text)]) from None


async def database_reasons(settings: Settings, *, migrating: bool = False) -> list[tuple[str, str]]:
    """Why this database cannot serve, or be migrated, now. No SQLite file is no reason: it is created and migrated at
    the start."""
    from sqlalchemy import text  # noqa: PLC0415

    from passgate.store import fitness  # noqa: PLC0415
    from passgate.store.faults import reason  # noqa: PLC0415
    from passgate.store.migrate import schema_reasons  # noqa: PLC0415

    if settings.is_sqlite and not settings.database_file.exists():
        return _new_file_reasons(settings)
    try:
        store = open_store(settings)
    except UnsafeSettings as error:
        return error.reasons
    try:
        async with asyncio.timeout(15):
            if found := await fitness.reasons(store, migrating=migrating):
                return found
            async with store.read() as db:
                # SQLite opens its file only with the first statement.
                await db.value(text("SELECT count(*) FROM sqlite_master" if settings.is_sqlite else "SELECT 1"))
            async with store.write():  # nothing is written: whether that is possible is all we ask
                pass
            found = await schema_reasons(store, serving=True)
            # SQLite is brought up to date at the start.
            return [one for one in found if not settings.is_sqlite or one[0] != "DATABASE_BEHIND"]
    except Exception as fault:  # noqa: BLE001  a driver has many ways to say that it cannot
        return [reason(fault)]
    finally:
        await store.close()


def _new_file_reasons(settings: Settings) -> list[tuple[str, str]]:
    """Of a file of SQLite that is yet to be made. The data folder is made too, no other one is."""
    folder = settings.database_file.parent
    if folder.is_dir() or folder == settings.data.absolute():
        return []
    return [("DATABASE_URL", f"PASSGATE_DATABASE_URL names a file in {folder}, which is no folder. Create it.")]


async def policy_reasons(settings: Settings) -> list[tuple[str, str]]:
    """Tenants whose stored policy production does not serve. Commands do not ask, and neither does development: it is
    where such a policy is mended. A database that cannot be read has its own reason."""
    from sqlalchemy import inspect, text  # noqa: PLC0415

    from passgate.core.rules import weak_reasons  # noqa: PLC0415

    if settings.is_development or (settings.is_sqlite and not settings.database_file.exists()):
        return []
    store = open_store(settings)
    try:
        async with asyncio.timeout(10), store.read() as db:
            if not await db.run(lambda connection: inspect(connection).has_table("tenant")):
                return []  # a new database, or one that is behind by far
            rows = await db.rows(text("SELECT name, policy FROM tenant ORDER BY name"))
    finally:
        await store.close()
    return weak_reasons({row["name"]: row["policy"] for row in rows})


def key_reasons(settings: Settings) -> list[tuple[str, str]]:
    """Why the key file must not be used, if it is used at all."""
    from passgate.seal import key_file_reasons  # noqa: PLC0415
    from passgate.settings import KEY_FILE  # noqa: PLC0415

    is_set = bool(settings.secrets or settings.secrets_file)
    return [] if is_set else key_file_reasons(settings.data / KEY_FILE)


def has_keys(settings: Settings) -> bool:
    from passgate.settings import KEY_FILE  # noqa: PLC0415

    return bool(settings.root_secrets()) or (settings.data / KEY_FILE).exists()


async def start_reasons(settings: Settings, *, is_ours: bool = True) -> list[tuple[str, str]]:
    """Every reason not to start: of the settings, of the machine, of the files that settings name, of the keys, of the
    database, and of what the database holds. Nothing is made by looking. Sockets are not asked: whoever serves has
    them. Unless the server `is_ours`, a host's program may have the keys that are missing here, and refuses by
    itself."""
    from passgate import startup  # noqa: PLC0415
    from passgate.settings import refusals  # noqa: PLC0415
    from passgate.world import World  # noqa: PLC0415

    found = refusals(settings) + startup.reasons(settings, World.real())
    if not any(code.startswith("DATA_") for code, _ in found):
        found += key_reasons(settings)
    elif settings.database_url is None:
        return found  # the database is in that folder, as the keys are
    if down := await database_reasons(settings):
        return found + down
    if is_ours and not any(code.startswith(("SECRETS_", "KEYS_", "DATA_", "DISK_")) for code, _ in found):
        found += await named(lost_reasons(settings))
    return found + await named(policy_reasons(settings))


async def named(asked: Awaitable[list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Reasons that are read from a database, which may go away, or prove to be damaged, meanwhile."""
    from passgate.store.faults import reason  # noqa: PLC0415

    try:
        return await asked
    except (Unavailable, TimeoutError) as fault:
        return [reason(fault)]


async def lost_reasons(settings: Settings) -> list[tuple[str, str]]:
    """Why no fresh key must be made where there is none: the database has rows that were written with another."""
    from passgate.core import installation  # noqa: PLC0415

    if has_keys(settings) or (settings.is_sqlite and not settings.database_file.exists()):
        return []
    async with built(settings) as parts:
        return await installation.key_reasons(parts)


async def unreadable_reasons(settings: Settings) -> list[tuple[str, str]]:
    """What the present keys do not open: the database, or keys that should sign tokens. No reason not to start, because
    they may be lost for good: a server that starts publishes a successor. Nothing is made or migrated by looking."""
    from passgate.core import installation, keys  # noqa: PLC0415
    from passgate.store.migrate import is_behind  # noqa: PLC0415

    if not has_keys(settings) or (settings.is_sqlite and not settings.database_file.exists()):
        return []
    async with built(settings) as parts:
        found = await installation.key_reasons(parts)
        unreadable = [] if await is_behind(parts.store, serving=True) else await keys.unreadable(parts)
    advice = "Restore the newest key file (or secret), or wait six minutes after the next start: then a new key signs."
    text = "Signing key {} can't be decrypted. " + advice
    return found + [("SIGNING_KEY_UNREADABLE", text.format(key.id)) for key in unreadable]


@asynccontextmanager
async def built(settings: Settings) -> AsyncIterator[Services]:
    """The long-lived parts, as they are; closed at the end."""
    from passgate.parts import build_services  # noqa: PLC0415
    from passgate.world import World  # noqa: PLC0415

    made = build_services(settings, World.real())
    try:
        yield made
    finally:
        await made.store.close()
        await made.breach.close()
        made.hasher.close()


@asynccontextmanager
async def services(given: Given, *, make: bool = False) -> AsyncIterator[Services]:
    """The long-lived parts without the endpoints. `make`: a missing data folder is created; otherwise it is refused."""
    from passgate import startup  # noqa: PLC0415
    from passgate.core import installation, tenants  # noqa: PLC0415
    from passgate.settings import refusals  # noqa: PLC0415
    from passgate.store.migrate import upgrade  # noqa: PLC0415

    settings = load(given)
    if reasons := [*startup.data_reasons(settings)]:
        raise UnsafeSettings(reasons)
    if settings.is_sqlite and not make and not settings.database_file.exists():
        raise NotFound(f"No Passgate data found in {settings.data}.")
    reasons = [reason for reason in refusals(settings) if reason[0].startswith(_SAFE_TO_WRITE)]
    if reasons := reasons + key_reasons(settings) + await database_reasons(settings):
        raise UnsafeSettings(reasons)
    async with built(settings) as made:
        if reasons := await installation.key_reasons(made):
            raise UnsafeSettings(reasons)
        if settings.is_sqlite:
            await upgrade(made.store, lock=settings.data / startup.LOCK_FILE)
        await tenants.ensure_main(made)
        yield made


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


# -- answers ---------------------------------------------------------------------------------------


def format_times(row: dict[str, Any]) -> dict[str, Any]:
    """Instants in the format of the API."""
    from passgate.world import iso  # noqa: PLC0415

    return {
        key: iso(value) if isinstance(value, int) and (key.endswith("_at") or key == "at") else value
        for key, value in row.items()
    }


def show(answer: object, plain: str, *, as_json: bool) -> None:
    """Print one answer to standard output."""
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else plain)


def explain(error: PassgateError) -> None:
    """Print `CODE text` for each reason not to start; `code: message` and the fields for any other error."""
    if isinstance(error, UnsafeSettings):
        for code, text in error.reasons:
            typer.echo(f"{code} {text}", err=True)
        return
    if isinstance(error, Unavailable) and error.down == "database" and error.__cause__ is not None:
        from passgate.store.faults import reason  # noqa: PLC0415

        typer.echo(" ".join(reason(error)), err=True)
        return
    down = f" ({error.down})" if isinstance(error, Unavailable) else ""
    typer.echo(f"{error.code}: {error.message}{down}", err=True)
    for field, word in error.fields.items() if isinstance(error, Invalid) else ():
        typer.echo(f"  {field}: {word}", err=True)


def password_from_stdin() -> str:
    """One line; at a terminal it is prompted for without echo. Never from the command line, where other users can read
    it."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        return sys.stdin.buffer.readline(8192).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Invalid({"password": "format"}) from None


def operator(services: Services, tenant: str | None = None) -> Ctx:
    """Whoever runs a command acts as operator, in the tenant that they name."""
    from passgate.core.ctx import Ctx, Operator  # noqa: PLC0415

    return Ctx(services, principal=Operator(tenant))
