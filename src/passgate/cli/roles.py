"""`passgate role`: a tenant's own roles, and who has one. Not here: the rules, which are in `core`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from passgate.cli import desk
from passgate.cli.desk import AsJson, TenantName
from passgate.cli.people import MAIN, Email, asked, asked_of, line

if TYPE_CHECKING:
    from passgate.core.ctx import Ctx

Role = Annotated[str, typer.Argument(help="owner, admin, user, read_only, or a role of your own.")]
Name = Annotated[str, typer.Argument(help="2 to 40 characters: a-z, 0-9, _ and -, a letter first.")]


def install(app: typer.Typer) -> None:
    role = typer.Typer(help="Add, list and remove roles, and give them.", no_args_is_help=True, rich_markup_mode=None)
    role.command("add")(add)
    role.command("list")(everything)
    role.command("remove")(remove)
    role.command("give")(give)
    role.command("take")(take)
    app.add_typer(role, name="role")


def add(
    ctx: typer.Context,
    name: Name,
    permission: Annotated[list[str] | None, typer.Option(help="What the role allows; repeat it for more.")] = None,
    description: Annotated[str, typer.Option(help="What the role is for.")] = "",
    tenant: TenantName = MAIN,
    as_json: AsJson = False,
) -> None:
    """Add a role out of Passgate's own permissions."""
    from passgate.core import roles  # noqa: PLC0415

    async def made(core: Ctx) -> dict[str, Any]:
        return await roles.create(core, name, description=description, permissions=list(permission or ()))

    done = asked(ctx, made, tenant=tenant)
    desk.show(done, _line(done), as_json=as_json)


def everything(ctx: typer.Context, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """List the built-in roles and the tenant's own, with what they allow."""
    from passgate.core import roles  # noqa: PLC0415

    async def found(core: Ctx) -> dict[str, Any]:
        return {"items": [desk.format_times(one) for one in await roles.listed(core)], "next": None}

    answer = asked(ctx, found, tenant=tenant)
    desk.show(answer, "\n".join(map(_line, answer["items"])), as_json=as_json)


def remove(
    ctx: typer.Context,
    name: Name,
    take: Annotated[bool, typer.Option("--take", help="Take the role from everybody who has it.")] = False,
    tenant: TenantName = MAIN,
    as_json: AsJson = False,
) -> None:
    """Remove a role. Refused while somebody has it, unless it is taken from them too."""
    from passgate.core import roles  # noqa: PLC0415

    async def gone(core: Ctx) -> dict[str, Any]:
        return {"taken": await roles.remove(core, name, take=take)}

    done = asked(ctx, gone, tenant=tenant)
    desk.show(done, f"Removed; {done['taken']} users had it.", as_json=as_json)


def give(ctx: typer.Context, email: Email, role: Role, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """Add a role to a user."""
    from passgate.core import users  # noqa: PLC0415

    done = asked_of(ctx, email, tenant, lambda core, user: users.give_role(core, user, role))
    desk.show(done, line(done), as_json=as_json)


def take(ctx: typer.Context, email: Email, role: Role, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """Remove a role from a user. The last owner keeps the role."""
    from passgate.core import users  # noqa: PLC0415

    done = asked_of(ctx, email, tenant, lambda core, user: users.take_role(core, user, role))
    desk.show(done, line(done), as_json=as_json)


def _line(role: dict[str, Any]) -> str:
    return f"{role['name']}  {' '.join(role['permissions']) or '-'}"
