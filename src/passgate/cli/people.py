"""`passgate user` and `tenant`: people. Not here: the rules, which are in `core`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from passgate.cli import desk
from passgate.cli.desk import AsJson, TenantName

if TYPE_CHECKING:
    from passgate.core.ctx import Ctx
    from passgate.core.users import User

MAIN = "main"

Email = Annotated[str, typer.Argument(help="The user's email address.")]


def install(app: typer.Typer) -> None:
    user = typer.Typer(
        help="Add, find, disable, enable and sign out users.", no_args_is_help=True, rich_markup_mode=None
    )
    user.command("add")(add)
    user.command("list")(everybody)
    user.command("disable")(disable)
    user.command("enable")(enable)
    user.command("sign-out")(sign_out)
    user.command("signin-link")(signin_link)
    user.command("sessions")(sessions)
    tenant = typer.Typer(help="Add and rename tenants.", no_args_is_help=True, rich_markup_mode=None)
    tenant.command("add")(add_tenant)
    tenant.command("rename")(rename_tenant)
    for name, group in (("user", user), ("tenant", tenant)):
        app.add_typer(group, name=name)


def asked(
    ctx: typer.Context,
    action: Callable[[Ctx], Awaitable[dict[str, Any]]],
    *,
    make: bool = False,
    tenant: str | None = None,
) -> Any:
    """The answer of an action of `core`, with formatted instants."""

    async def work() -> dict[str, Any]:
        async with desk.services(ctx.obj, make=make) as services:
            return desk.format_times(await action(desk.operator(services, tenant)))

    return desk.run(work())


def asked_of(
    ctx: typer.Context, email: str, tenant: str, action: Callable[[Ctx, User], Awaitable[dict[str, Any]]]
) -> Any:
    """The same for an action on a user."""
    from passgate.core import users  # noqa: PLC0415

    async def work(core: Ctx) -> dict[str, Any]:
        return await action(core, await users.by_email(core, email, tenant))

    return asked(ctx, work)


def line(user: dict[str, Any]) -> str:
    marks = [*user["roles"], *(["disabled"] if user["disabled"] else [])]
    names = [user["email"], *([user["username"]] if user["username"] else [])]
    return f"{user['id']}  {'  '.join(names)}  {' '.join(marks) or '-'}"


def add(
    ctx: typer.Context,
    email: Email,
    tenant: TenantName = MAIN,
    role: Annotated[str, typer.Option(help="A role: owner, admin, user, read_only, or one of your own.")] = "user",
    username: Annotated[str | None, typer.Option(help="A username, if the tenant has them.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input (one line).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a user. The email address counts as confirmed. Without a password, they set one with account recovery."""
    from passgate.core import users  # noqa: PLC0415

    secret = desk.password_from_stdin() if password_stdin else None
    made = asked(ctx, lambda core: users.add(core, tenant, email, role, secret, username), make=True)
    desk.show(made, line(made), as_json=as_json)


def everybody(
    ctx: typer.Context,
    tenant: TenantName = MAIN,
    search: Annotated[str, typer.Option(help="The beginning of the email address or username.")] = "",
    as_json: AsJson = False,
) -> None:
    """List a tenant's users, oldest first."""
    from passgate.core import users  # noqa: PLC0415

    async def work() -> list[dict[str, Any]]:
        async with desk.services(ctx.obj) as services:
            return [desk.format_times(one) for one in await users.listed(desk.operator(services), tenant, search)]

    found = desk.run(work())
    desk.show({"items": found, "next": None}, "\n".join(map(line, found)), as_json=as_json)


def disable(ctx: typer.Context, email: Email, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """Disable a user and end their sessions and pending sign-ins. The last owner can't be disabled."""
    from passgate.core import users  # noqa: PLC0415

    done = asked_of(ctx, email, tenant, users.disable)
    desk.show(done, line(done), as_json=as_json)


def enable(ctx: typer.Context, email: Email, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """Enable a disabled user again. They sign in anew; an account that its owner closed is closed again."""
    from passgate.core import users  # noqa: PLC0415

    done = asked_of(ctx, email, tenant, users.enable)
    desk.show(done, line(done), as_json=as_json)


def sign_out(ctx: typer.Context, email: Email, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """End all sessions of a user, and whatever could open a new one without a proof."""
    from passgate.core import users  # noqa: PLC0415

    async def ended(core: Ctx, user: User) -> dict[str, Any]:
        return {"ended": await users.sign_out(core, user)}

    done = asked_of(ctx, email, tenant, ended)
    desk.show(done, f"{done['ended']} sessions ended.", as_json=as_json)


def sessions(ctx: typer.Context, email: Email, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """List a user's sessions, newest first, and how each is carried: cookie, bearer or jwt."""
    from passgate.core import user_views  # noqa: PLC0415

    async def found(core: Ctx, user: User) -> dict[str, Any]:
        return {"items": [desk.format_times(row) for row in await user_views.sessions_of(core, user)], "next": None}

    answer = asked_of(ctx, email, tenant, found)
    lines = [
        f"{row['id']}  {row['carrier']}  {row['last_used_at']}  {row['client']['browser']}" for row in answer["items"]
    ]
    desk.show(answer, "\n".join(lines), as_json=as_json)


def signin_link(ctx: typer.Context, email: Email, tenant: TenantName = MAIN, as_json: AsJson = False) -> None:
    """Print a one-time sign-in link, valid for 15 minutes. The user is notified and can cancel it."""
    from passgate.core import users  # noqa: PLC0415

    async def link(core: Ctx, user: User) -> dict[str, Any]:
        made = await users.operators_link(core, user)
        return {"url": made.url, "usable_at": made.usable_at, "expires_at": made.expires_at}

    made = asked_of(ctx, email, tenant, link)
    desk.show(made, made["url"], as_json=as_json)


def add_tenant(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="2 to 40 characters: a-z, 0-9 and hyphens.")],
    display: Annotated[str | None, typer.Option(help="Name people see. Default: the tenant's name.")] = None,
    signup: Annotated[str, typer.Option(help="open, invite or closed.")] = "open",
    as_json: AsJson = False,
) -> None:
    """Add a tenant: users with a policy of their own."""
    from passgate.core import admin  # noqa: PLC0415

    made = asked(ctx, lambda core: admin.add_tenant(core, name, display, signup), make=True)
    desk.show(made, tenant_line(made), as_json=as_json)


def rename_tenant(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the tenant, which stays as it is.")],
    display: Annotated[str, typer.Argument(metavar="DISPLAY_NAME", help="New name people see.")],
    as_json: AsJson = False,
) -> None:
    """Change the name that people see on pages, in mails and in authenticator apps."""
    from passgate.core import access, admin  # noqa: PLC0415

    async def renamed(core: Ctx) -> dict[str, Any]:
        return (await admin.rename_tenant(core, await access.tenant_of(core), display)).as_json()

    done = asked(ctx, renamed, make=True, tenant=name)
    desk.show(done, tenant_line(done), as_json=as_json)


def tenant_line(tenant: dict[str, Any]) -> str:
    return f"{tenant['id']}  {tenant['name']}  {tenant['display_name']}"
