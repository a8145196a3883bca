"""`passgate audit`: list, verify and export the audit trail. Not here: how it is verified, which is in
`core/ledger`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer

from passgate.cli import desk
from passgate.cli.desk import AsJson, Given
from passgate.errors import Conflict


def install(app: typer.Typer) -> None:
    audit = typer.Typer(help="Show, verify and export the audit trail.", no_args_is_help=True, rich_markup_mode=None)
    audit.command()(tail)
    audit.command()(verify)
    audit.command()(export)
    app.add_typer(audit, name="audit")


def tail(
    ctx: typer.Context,
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="Maximum number of events.")] = 20,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the latest events, newest last."""
    from passgate.core import operate  # noqa: PLC0415

    async def work() -> list[dict[str, Any]]:
        async with desk.services(ctx.obj) as services:
            return [desk.format_times(row) for row in await operate.recent(desk.operator(services), count, tenant)]

    rows = desk.run(work())
    desk.show({"items": rows, "next": None}, "\n".join(map(_line, rows)), as_json=as_json)


def _line(row: dict[str, Any]) -> str:
    about = row["personal"] or {}
    who = about.get("email") or row["subject_id"] or "-"
    return f"{row['at']}  {row['event']}  {who}  {about.get('ip') or '-'}"


def verify(ctx: typer.Context, as_json: AsJson = False) -> NoReturn:
    """Verify the whole audit trail. Lists each row that fails and exits with 1. Unsealed rows are only counted."""
    from dataclasses import asdict  # noqa: PLC0415

    from passgate.core import ledger  # noqa: PLC0415

    async def work() -> ledger.Report:
        async with desk.services(ctx.obj) as services:
            return await ledger.verify(services)

    report = desk.run(work())
    named = "".join(f"{f.what}  {f.tenant_id}  seq {f.seq}  {f.id or '-'}\n" for f in report.findings)
    total = f"{'ok' if report.ok else 'FAILED'}: {report.sealed} sealed, {report.waiting} not sealed yet"
    desk.show(asdict(report) | {"ok": report.ok}, named + total, as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


def export(
    ctx: typer.Context,
    target: Annotated[Path | None, typer.Argument(metavar="FILE", help="A new file. Default: standard output.")] = None,
) -> None:
    """Export the audit trail as JSON lines, oldest first, with MACs and links. Keep it somewhere else."""
    if target is None:
        desk.run(_export(ctx.obj, sys.stdout))
        return
    try:
        out = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    except FileExistsError:
        raise Conflict(f"{target} already exists. Choose a new file.") from None
    with out:
        desk.run(_export(ctx.obj, out))


async def _export(given: Given, out: TextIO) -> None:
    from passgate.core import operate  # noqa: PLC0415

    async with desk.services(given) as services:
        async for row in operate.export(desk.operator(services)):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    out.flush()
