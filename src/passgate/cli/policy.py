"""`passgate policy`: why somebody is asked for what. Deciding is `core.policy`'s."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from passgate.cli import desk
from passgate.cli.desk import AsJson, TenantName

MAIN = "main"
_SHORT = {"aal1": "urn:passgate:aal1", "aal2": "urn:passgate:aal2", "aal3": "urn:passgate:aal3"}


def install(app: typer.Typer) -> None:
    policy = typer.Typer(help="Explain the rules of a tenant.", no_args_is_help=True, rich_markup_mode=None)
    policy.command("explain")(explain)
    app.add_typer(policy, name="policy")


def explain(
    ctx: typer.Context,
    email: Annotated[str | None, typer.Argument(help="Somebody's address: what they have set up counts.")] = None,
    tenant: TenantName = MAIN,
    proved: Annotated[str, typer.Option(help="What was proved so far: password,totp …")] = "",
    has: Annotated[str, typer.Option(help="What somebody has set up, where no address is given.")] = "",
    acr: Annotated[str, typer.Option(help="The level that is asked for: aal1, aal2, phr, aal3.")] = "aal1",
    purpose: Annotated[str, typer.Option(help="signin, signup, recovery or step_up.")] = "signin",
    remembered: Annotated[bool, typer.Option("--remembered", help="The browser is a remembered one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is asked for next, and why."""
    from passgate.core import operate  # noqa: PLC0415
    from passgate.core.ctx import Ctx  # noqa: PLC0415

    async def work() -> dict[str, Any]:
        async with desk.services(ctx.obj) as services:
            return await operate.explained(
                Ctx(services),
                email,
                tenant,
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
    answer = {"need": f"asks for {asked}", "enrol": f"has set up now: {asked}", "enough": "lets in"}
    head = answer.get(explained["decision"], "refuses")
    level = f" as {explained['acr']} ({', '.join(explained['amr'])})" if explained["decision"] == "enough" else ""
    return "\n".join(
        [f"{head}{level}", *(f"  because: {explained['why']} ({reason})" for reason in explained["reasons"])]
    )
