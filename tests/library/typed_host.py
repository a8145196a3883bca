"""A small host program that uses twins, for the type checker: every `ignore` below is a mistake that it has to find.

Not here: what the twins do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from passgate import Carried, Passgate, Settings, User, errors
from passgate.operations import Finished, LinkAsked, Operations, Session, Whole


async def sign_up(gate: Passgate, request: Request) -> str:
    begun = await gate.at(request).signin.signup(email="anna@example.com", new_tenant={"name": "acme"})
    return begun.handle


async def enter(gate: Passgate, request: Request, handle: str, code: str) -> Response:
    at: Operations = gate.at(request)
    try:
        proved = await at.signin.prove(handle, factor="totp", answer=code)
    except errors.ProofRefused as refused:
        return Response(refused.message, refused.status)
    if not proved.enough:
        return Response(", ".join(name for ways in proved.need for name in ways))
    carried: Finished = await at.signin.finish(handle, carrier="cookie", remember=True)
    response = RedirectResponse("/", 303)
    carried.set_on(response)
    return response


async def leave(gate: Passgate, request: Request, response: Response) -> None:
    carried: Carried = await gate.at(request).session.end()
    carried.set_on(response)
    session: Session | None = carried.session
    assert session is None


async def role(gate: Passgate, request: Request, handle: str) -> str:
    carried = await gate.at(request).signin.finish(handle, carrier="bearer")
    whole: Whole = await gate.at(request, token=carried.token).session.show()
    return ",".join(whole.user.roles)


async def rename(gate: Passgate, request: Request, user: User, given: dict[str, str]) -> str:
    if "password" in given:
        user = await gate.fresh(minutes=5)(request, user)
    allowed: User = await gate.may("users:write")(request, user=user)
    return f"renamed by {allowed.id}"


async def age(gate: Passgate, request: Request, now: datetime) -> timedelta:
    whole: Whole = await gate.at(request).session.show()
    return now - whole.session.auth_time


async def operate(gate: Passgate, tenant_id: str, user_id: str) -> str:
    at = gate.at(None, tenant="main")
    await at.admin.change_policy(tenant_id, second_among=["totp"], first=("password", "passkey"))
    link = await at.admin.signin_link(user_id)
    return "" if isinstance(link, LinkAsked) else link.url


async def grow(gate: Passgate, request: Request, user: User) -> frozenset[str]:
    made = await gate.at(request).roles.create(name="billing", permissions=["invoices:read"])
    changed = await gate.at(request).roles.change(made.name, permissions=(*made.permissions, "users:read"))
    await gate.at(request).roles.delete(changed.name, take=True)
    every = {one.name for one in (await gate.at(request).roles.permissions()).items if one.yours}
    mine: frozenset[str] = user.permissions
    return mine | every


def billing() -> Passgate:
    return Passgate(Settings(), permissions={"invoices:read": "See invoices"})


async def codeword(gate: Passgate, request: Request) -> Any:
    return await gate.at(request).factors.prove_codeword(answer="umbrella")


async def mistakes(gate: Passgate, request: Request, handle: str) -> None:
    at = gate.at(request)
    _ = at.nothing  # type: ignore[attr-defined]
    await at.signin.nothing()  # type: ignore[attr-defined]
    await at.signin.signup()  # type: ignore[call-arg]
    await at.signin.signup(email=5)  # type: ignore[arg-type]
    await at.signin.signup(email="a@example.com", more=5)  # type: ignore[call-arg]
    await at.signin.start(step_up={"never": True})  # type: ignore[arg-type]
    await at.signin.finish(handle, carrier="pigeon")  # type: ignore[arg-type]
    await at.admin.change_policy("id", first="password")  # type: ignore[arg-type]
    carried = await at.signin.finish(handle, carrier="bearer")
    await at.roles.create(name="billing")  # type: ignore[call-arg]
    await at.roles.create(name="billing", permissions="invoices:read")  # type: ignore[arg-type]
    Passgate(Settings(), permissions=["invoices:read"])  # type: ignore[arg-type]
    carried.token = "other"  # type: ignore[misc]
    gate.at(request, token=b"x")  # type: ignore[call-overload]
    text: str = (await at.me.show()).user.created_at  # type: ignore[assignment]
    assert text
