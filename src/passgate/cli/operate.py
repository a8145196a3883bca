"""`passgate migrate`, `doctor`, `backup` and `key`: the maintenance of an installation. Not here: anything about
people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from passgate.cli import desk
from passgate.cli.desk import AsJson
from passgate.errors import PassgateError, UnsafeSettings

if TYPE_CHECKING:
    from passgate.settings import Settings


def install(app: typer.Typer) -> None:
    app.command()(migrate)
    app.command()(doctor)
    app.command()(backup)
    key = typer.Typer(help="Rotate keys.", no_args_is_help=True, rich_markup_mode=None)
    key.command()(rotate)
    key.callback()(_only_a_group)
    app.add_typer(key, name="key")


def _only_a_group() -> None:
    """Rotate keys."""


def migrate(ctx: typer.Context) -> None:
    """Update the database schema. Safe to run more than once, and from several machines at once."""
    settings = desk.load(ctx.obj)
    done = desk.run(_migrate(settings))
    typer.echo("Database updated." if done else "Database is already up to date.")


async def _migrate(settings: Settings) -> bool:
    from passgate import startup  # noqa: PLC0415
    from passgate.store.migrate import upgrade  # noqa: PLC0415

    # Needs no keys and no other setting: a deployment may migrate before its secrets are available.
    if reasons := [*startup.data_reasons(settings)]:
        raise UnsafeSettings(reasons)
    reasons = await desk.database_reasons(settings, migrating=True)
    reasons = [reason for reason in reasons if reason[0] != "DATABASE_BEHIND"]
    if reasons:
        raise UnsafeSettings(reasons)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.is_sqlite:
        settings.database_file.touch(mode=0o600)
    store = desk.open_store(settings)
    try:
        return await upgrade(store, lock=settings.data / startup.LOCK_FILE)
    finally:
        await store.close()


def doctor(
    ctx: typer.Context,
    tune_hash: Annotated[bool, typer.Option("--tune-hash", help="Measure Argon2id on this machine instead.")] = False,
    mail: Annotated[
        str | None, typer.Option("--mail", metavar="ADDRESS", help="Send one mail there instead, and show each step.")
    ] = None,
    app: Annotated[
        str | None, typer.Option("--app", metavar="MODULE:NAME", help="Import a program of yours too, as serve does.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List everything that keeps Passgate from starting, or from signing tokens, as `CODE text`. Exits with 1 if there
    is anything."""
    from passgate.cli import examine  # noqa: PLC0415

    if mail is not None:
        from passgate.cli.mail_check import check  # noqa: PLC0415

        raise typer.Exit(desk.run(check(desk.load(ctx.obj), mail, as_json=as_json)))
    if tune_hash:
        from passgate.cli.tune import tune  # noqa: PLC0415

        measured = desk.run(tune(desk.load(ctx.obj)))
        desk.show({"items": [vars(row) for row in measured]}, "\n".join(map(str, measured)), as_json=as_json)
        return
    reasons, remarks = examine.all_reasons(ctx.obj, app)
    listed = [{"code": code, "text": text} for code, text in reasons]
    plain = "\n".join(f"{code} {text}" for code, text in reasons) or "ok"
    desk.show({"items": listed}, plain, as_json=as_json)
    for remark in remarks:
        typer.echo(f"Note: {remark}", err=True)
    raise typer.Exit(1 if reasons else 0)


def backup(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(help="A new file, or an existing folder.")],
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Copy the key file too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Back up the SQLite database while Passgate runs. It can't be read without the keys, which you keep elsewhere."""
    from passgate.cli.backup import copy  # noqa: PLC0415
    from passgate.settings import KEY_FILE  # noqa: PLC0415

    settings = desk.load(ctx.obj)
    if not settings.is_sqlite:
        typer.echo("Back up PostgreSQL with pg_dump, and store your secrets separately.", err=True)
        raise typer.Exit(2)
    database, keys = copy(settings.database_file, settings, target, with_keys=with_keys)
    if keys is None:
        where = "your settings" if settings.root_secrets() else settings.data / KEY_FILE
        typer.echo(f"The backup can't be read without your keys, which are in {where}. Back them up too.", err=True)
    else:
        typer.echo("WARNING: Anyone with both files can read everything. Store them separately.", err=True)
    if fault := desk.run(_recorded(settings, with_keys=keys is not None)):
        typer.echo(f"The backup was made, but it isn't in the audit trail ({fault}).", err=True)
    answer: dict[str, Any] = {"database": str(database), "keys": str(keys) if keys else None}
    desk.show(answer, "\n".join(name for name in answer.values() if name), as_json=as_json)


async def _recorded(settings: Settings, *, with_keys: bool) -> str:
    """Record a backup; or why that was not possible, in a word. Whoever backs up an installation that is broken, older
    than this program or without its keys needs the copy all the more: nothing is migrated or made."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from passgate.core import installation, operate  # noqa: PLC0415
    from passgate.store.migrate import is_behind  # noqa: PLC0415

    if not desk.has_keys(settings):
        return installation.MISSING
    try:
        async with desk.built(settings) as services:
            if reasons := await installation.key_reasons(services):
                return " ".join(code for code, _ in reasons)
            if await is_behind(services.store, serving=True):
                return "DATABASE_BEHIND"
            await operate.record_backup(desk.operator(services), with_keys=with_keys)
    except UnsafeSettings as unsafe:
        return " ".join(code for code, _ in unsafe.reasons)
    except (PassgateError, SQLAlchemyError, OSError, ValueError) as fault:
        return type(fault.__cause__ or fault).__name__
    return ""


def rotate(
    ctx: typer.Context,
    signing: Annotated[bool, typer.Option("--signing", help="Publish a new key for signing tokens instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a new key and encrypt every credential with it. Running servers pick it up on their own."""
    from passgate.core import operate  # noqa: PLC0415

    async def work() -> dict[str, Any]:
        async with desk.services(ctx.obj) as services:
            acting = desk.operator(services)
            return desk.format_times(await (operate.rotate_signing if signing else operate.rotate_keys)(acting))

    done = desk.run(work())
    if signing:
        if not done["made"]:
            typer.echo("This key is waiting to sign already, so no other one was made.", err=True)
        plain = f"Key {done['key_id']} ({done['algorithm']}) is published and signs from {done['signs_at']}."
        desk.show(done, plain, as_json=as_json)
        return
    if not done["made"]:
        typer.echo("Your keys are in your settings. To rotate them, add a new secret in front there.", err=True)
    desk.show(done, f"Key {done['key_id']}: {done['rewrapped']} credentials encrypted again.", as_json=as_json)
