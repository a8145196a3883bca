"""`passgate policy`: explains what a person must prove and why. Not here: the decision, which `core.policy` makes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from passgate.cli import desk
from passgate.cli.desk import AsJson, TenantName

MAIN = "main"
_SHORT = {"aal1": "urn:passgate:aal1", "aal2": "urn:passgate:aal2", "aal3": "urn:passgate:aal3"}


def install(app: typer.Typer) -> None:
    policy = typer.Typer(help="Explain a tenant's policy.", no_args_is_help=True, rich_markup_mode=None)
    policy.command("explain")(explain)
    app.add_typer(policy, name="policy")


def explain(
    ctx: typer.Context,
    email: Annotated[str | None, typer.Argument(help="A user's email address, to use what they have set up.")] = None,
    tenant: TenantName = MAIN,
    proved: Annotated[str, typer.Option(help="Factors proved so far, such as password,totp.")] = "",
    has: Annotated[str, typer.Option(help="Factors that are set up, if you give no email address.")] = "",
    acr: Annotated[str, typer.Option(help="Required assurance level: aal1, aal2, phr or aal3.")] = "aal1",
    purpose: Annotated[str, typer.Option(help="signin, signup, recovery or step_up.")] = "signin",
    remembered: Annotated[bool, typer.Option("--remembered", help="Assume a remembered browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a user must prove next, and why."""
    from passgate.core import access, admin, users  # noqa: PLC0415

    async def work() -> dict[str, Any]:
        async with desk.services(ctx.obj) as services:
            core = desk.operator(services, tenant)
            user = await users.by_email(core, email, tenant) if email is not None else None
            return await admin.explained(
                core,
                await access.tenant_of(core),
                user.person_id if user else None,
                purpose=purpose,
                proofs=_names(proved),
                has=_names(has),
                acr=_SHORT.get(acr, acr),
                is_remembered=remembered,
            )

    explained = desk.run(work())
    desk.show(explained, _lines(explained), as_json=as_json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def _lines(explained: dict[str, Any]) -> str:
    asked = " or ".join("+".join(way) for way in explained["need"])
    answer = {"need": f"requires {asked}", "enrol": f"requires setting up {asked}", "enough": "allows the sign-in"}
    head = answer.get(explained["decision"], "refuses the sign-in")
    level = f" as {explained['acr']} ({', '.join(explained['amr'])})" if explained["decision"] == "enough" else ""
    return "\n".join(
        [f"{head}{level}", *(f"  because: {explained['why']} ({reason})" for reason in explained["reasons"])]
    )
