"""What an operator does on the command line, naming people by their address. Whoever acts in the given context, here an
operator does.

Not here: assertions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from passgate.core import admin, operate, users
from passgate.core.ctx import Ctx, Operator
from passgate.core.links import LIFE, Link
from passgate.core.users import User


def operator(ctx: Ctx) -> Ctx:
    return replace(ctx, principal=Operator())


async def user(ctx: Ctx, email: str, tenant: str = "main") -> User:
    return await users.by_email(operator(ctx), email, tenant)


async def add_person(ctx: Ctx, email: str, tenant: str, role: str, secret: str | None) -> dict[str, Any]:
    return await users.add(operator(ctx), tenant, email, role, secret)


async def disable_person(ctx: Ctx, email: str, tenant: str) -> dict[str, Any]:
    return await users.disable(operator(ctx), await user(ctx, email, tenant))


async def enable_person(ctx: Ctx, email: str, tenant: str) -> dict[str, Any]:
    return await users.enable(operator(ctx), await user(ctx, email, tenant))


async def give_role(ctx: Ctx, email: str, role: str, tenant: str) -> dict[str, Any]:
    return await users.give_role(operator(ctx), await user(ctx, email, tenant), role)


async def take_role(ctx: Ctx, email: str, role: str, tenant: str) -> dict[str, Any]:
    return await users.take_role(operator(ctx), await user(ctx, email, tenant), role)


async def signin_link(ctx: Ctx, email: str, tenant: str, *, life: int = LIFE) -> Link:
    return await users.operators_link(operator(ctx), await user(ctx, email, tenant), life=life)


async def everybody(ctx: Ctx, tenant: str) -> list[dict[str, Any]]:
    return await users.listed(operator(ctx), tenant)


async def add_tenant(ctx: Ctx, name: str, display_name: str | None, signup: str) -> dict[str, Any]:
    return await admin.add_tenant(operator(ctx), name, display_name, signup)


async def rotate_keys(ctx: Ctx) -> dict[str, Any]:
    return await operate.rotate_keys(operator(ctx))


async def rotate_signing(ctx: Ctx) -> dict[str, Any]:
    return await operate.rotate_signing(operator(ctx))


async def recent(ctx: Ctx, limit: int, tenant: str | None = None) -> list[dict[str, Any]]:
    return await operate.recent(operator(ctx), limit, tenant)


def export(ctx: Ctx) -> AsyncIterator[dict[str, Any]]:
    return operate.export(operator(ctx))


async def record_backup(ctx: Ctx, *, with_keys: bool) -> None:
    await operate.record_backup(operator(ctx), with_keys=with_keys)


async def admins_link(ctx: Ctx, person_id: str) -> Link | None:
    """Not an operator's: of an admin of the person's tenant."""
    return await users.signin_link(ctx, User(ctx.person.tenant_id, person_id))
