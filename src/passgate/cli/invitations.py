"""`passgate invite`: invitations, made, listed and cancelled. Not here: the rules, which are in `core`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from passgate.cli import desk
from passgate.cli.desk import AsJson, TenantName

if TYPE_CHECKING:
    from passgate.core.ctx import Ctx

MAIN = "main"

Email = Annotated[str, typer.Argument(help="The email address to invite.")]


class _OrAddress(TyperGroup):
    """`passgate invite EMAIL` is `passgate invite create EMAIL`: an address is no command's name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and "@" in args[0]:
            args = ["create", *args]
        return super().resolve_command(ctx, args)


def install(app: typer.Typer) -> None:
    invite = typer.Typer(
        cls=_OrAddress,
        help="Invite somebody (`passgate invite EMAIL`), list and cancel invitations.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    invite.command("create")(create)
    invite.command("list")(everything)
    invite.command("cancel")(cancel)
    app.add_typer(invite, name="invite")


@asynccontextmanager
async def _operating(ctx: typer.Context, tenant: str, *, make: bool = False) -> AsyncIterator[Ctx]:
    """Whoever runs a command, as the operator of a tenant."""
    from passgate.core.ctx import Operator  # noqa: PLC0415

    async with desk.services(ctx.obj, make=make) as services:
        yield replace(desk.operator(services), principal=Operator(tenant))


def create(
    ctx: typer.Context,
    email: Email,
    role: Annotated[list[str] | None, typer.Option(help="A role to give; may be repeated. Default: user.")] = None,
    tenant: TenantName = MAIN,
    as_json: AsJson = False,
) -> None:
    """Print a one-time link that invites somebody, valid for 7 days. No email is sent: pass it on yourself."""
    from passgate.core import invitations  # noqa: PLC0415

    async def work() -> dict[str, Any]:
        async with _operating(ctx, tenant, make=True) as core:
            return await invitations.link(core, email, role or None)

    made = desk.format_times(desk.run(work()))
    desk.show(made, made["url"], as_json=as_json)


def everything(ctx: typer.Context, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """List the invitations of a tenant that can still be accepted, newest first."""
    from passgate.core import invitations  # noqa: PLC0415

    async def work() -> list[dict[str, Any]]:
        async with _operating(ctx, tenant) as core:
            return await invitations.everything(core)

    found = [desk.format_times(one) for one in desk.run(work())]
    lines = [f"{row['id']}  {row['email']}  {' '.join(row['roles'])}  {row['expires_at']}" for row in found]
    desk.show({"items": found, "next": None}, "\n".join(lines), as_json=as_json)


def cancel(
    ctx: typer.Context,
    invitation: Annotated[str, typer.Argument(help="The id of the invitation, as listed.")],
    tenant: TenantName = MAIN,
    as_json: AsJson = False,
) -> None:
    """Cancel an invitation."""
    from passgate.core import invitations  # noqa: PLC0415

    async def work() -> None:
        async with _operating(ctx, tenant) as core:
            await invitations.cancel(core, invitation)

    desk.run(work())
    desk.show({"id": invitation}, "Canceled.", as_json=as_json)
