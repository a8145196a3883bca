"""The command line: `passgate [--data DIR] COMMAND`. It assembles the commands and turns errors into exit codes.

Not here: the commands, which are in the other modules of this package, and the rules, which are in `core`. Heavy
imports wait until a command needs them.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from passgate import __version__, logs
from passgate.cli import audit, invitations, operate, people, policy, roles, serve
from passgate.cli.desk import Given, collect_rarely, explain
from passgate.errors import PassgateError

app = typer.Typer(
    name="passgate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Passgate signs your users in. Settings are read from PASSGATE_… variables, .env and secret files.",
)
for module in (serve, operate, people, roles, invitations, policy, audit):
    module.install(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    # Whether it can be read is asked, and named, later.
    data: Annotated[
        Path | None, typer.Option("--data", readable=False, help="Folder for the database and keys.")
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    ctx.obj = Given(data)


def main() -> None:
    """The console script. Exit codes: 0: done; 1: refused, with each reason on standard error; 2: a usage error."""
    collect_rarely()
    try:
        app()
    except PassgateError as error:
        explain(error)
        sys.exit(1)
    except OSError as fault:
        from passgate.startup import of_file  # noqa: PLC0415

        typer.echo(" ".join(of_file(fault)), err=True)
        sys.exit(1)
    except Exception as fault:
        # Frames without values: any value could be a secret.
        logs.configure("info")
        logging.getLogger("passgate.fault").exception("fault")
        typer.echo(f"FAULT An unexpected error ({type(fault).__name__}). Please report the line above.", err=True)
        sys.exit(1)
