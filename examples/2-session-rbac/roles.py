"""The three roles and what each may do, the policy of the sign-ins, and the first admin.

Not here: any check. `gate.may(…)` and the operations of Passgate ask for these permissions.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from passgate import Passgate, errors

log = logging.getLogger("example")

PERMISSIONS = {
    "people:read": "See people of one's own role and below",
    "people:write": "Create and delete people, and see when they were changed",
    "content:write": "Write where a route of yours asks for the role `user`",
}
"""This program's own. Add yours, and name them below."""

_READER = ("me:read", "me:write", "people:read")
OWN = {"reader": _READER, "member": (*_READER, "content:write")}
"""The roles that this program adds to Passgate's, and what they allow. Each includes the one before."""

ADMIN = "owner"
"""Passgate's own. It includes every permission, also those above, and the last one who has it keeps it."""
ROLES = {"read_only": "reader", "user": "member", "admin": ADMIN}
"""By the name that clients see: the role in Passgate."""
_VISIBLE = {ADMIN: "admin", "admin": "admin", "member": "user"}
_UPWARDS = ("user", *ROLES.values())
"""Passgate's `user` allows less than a reader has."""


def role_of(names: Sequence[str]) -> str:
    """What clients see of somebody's roles in Passgate."""
    return next((name for own, name in _VISIBLE.items() if own in names), "read_only")


def highest(names: Sequence[str]) -> str:
    """Of somebody's roles in Passgate."""
    return next((own for own in reversed(_UPWARDS) if own in names), names[0] if names else "")


def is_within(names: Sequence[str], reader: Sequence[str]) -> bool:
    """Whether somebody with these roles has none above the reader's. One that is not in the order is above them all."""
    top = highest(reader)
    below = _UPWARDS[: _UPWARDS.index(top) + 1] if top in _UPWARDS else (top,)
    return top == ADMIN or set(names) <= set(below)


class FirstAdmin(BaseSettings):
    """ADMIN_USERNAME, ADMIN_EMAIL and ADMIN_PASSWORD, from the environment or `.env`."""

    model_config = SettingsConfigDict(env_prefix="ADMIN_", env_file=".env", extra="ignore")

    username: str = ""
    email: str = ""
    password: str = Field(default="", repr=False)


async def prepare(gate: Passgate, first: FirstAdmin) -> None:
    """At each start, by any number of processes: the policy, the roles, and the first admin if there is none."""
    operator = gate.at(None, tenant="main")
    await operator.admin.change_policy(
        "own", usernames="optional", on_client_change="end", second="never", signup="closed", max_age=86_400
    )
    for own, allows in OWN.items():
        with suppress(errors.Conflict):  # it is there
            await operator.roles.create(name=own, permissions=allows)
        await operator.roles.change(own, permissions=allows)
    if await _has_admin(operator.users):
        return
    if not first.password:
        log.warning("there is no admin yet: start once with ADMIN_USERNAME, ADMIN_EMAIL and ADMIN_PASSWORD")
        return
    try:
        await operator.users.create(**first.model_dump(), roles=[ADMIN])
    except errors.Conflict:
        if not await _has_admin(operator.users):  # another process has just made one
            refused = "Somebody who is no admin has that username or address. Change ADMIN_USERNAME, ADMIN_EMAIL."
            raise errors.UnsafeSettings([("ADMIN_REFUSED", refused)]) from None
    except errors.Invalid as wrong:
        names = ", ".join(f"ADMIN_{name.upper()}" for name in wrong.fields)
        raise errors.UnsafeSettings([("ADMIN_REFUSED", f"{wrong.message} Change {names}.")]) from None


async def _has_admin(users: Any) -> bool:
    """Oldest first: the first admin is nearly always on the first page."""
    found = await users.list(limit=100)
    while not any(ADMIN in one.roles for one in found.items):
        if found.next is None:
            return False
        found = await users.list(limit=100, after=found.next)
    return True
