"""The three roles and what each may do, the policy of the sign-ins, and the first admin.

Not here: any check. `gate.may(…)` and the operations of Passgate ask for these permissions.
"""

import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress

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
_MEMBER = (*_READER, "content:write")
_MANAGER = (
    *_MEMBER,
    "people:write",
    *("users:read", "users:write", "users:recover", "users:disable", "users:delete"),
    *("sessions:read", "sessions:end", "factors:read", "roles:give", "invitations:write"),
    *("audit:read", "policy:read"),
)

ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "read_only": ("reader", _READER),
    "user": ("member", _MEMBER),
    "admin": ("manager", _MANAGER),
}
"""By the name that clients see: the role in Passgate, whose own `user` and `admin` stay as they are, and what it
allows. Each includes the one before."""
_SHOWN = {"owner": "admin"} | {own: name for name, (own, _) in reversed(ROLES.items())}


def highest(names: Sequence[str]) -> str:
    """Of somebody's roles in Passgate."""
    return next((own for own in _SHOWN if own in names), names[0] if names else "")


def role_of(names: Sequence[str]) -> str:
    """The same as clients see it."""
    return _SHOWN.get(highest(names), "none")


class FirstAdmin(BaseSettings):
    """ADMIN_USERNAME, ADMIN_EMAIL and ADMIN_PASSWORD, from the environment or `.env`."""

    model_config = SettingsConfigDict(env_prefix="ADMIN_", env_file=".env", extra="ignore")

    username: str = ""
    email: str = ""
    password: str = Field(default="", repr=False)


async def prepare(gate: Passgate, first: FirstAdmin) -> None:
    """At each start, by any number of processes: the policy, the roles, and the first admin if nobody is there."""
    operator = gate.at(None, tenant="main")
    await operator.admin.change_policy(
        "own", usernames="optional", on_client_change="end", second="never", signup="closed", max_age=86_400
    )
    there = {one.name: set(one.permissions) for one in (await operator.roles.list()).items}
    for own, allows in ROLES.values():
        if own not in there:
            await _once(operator.roles.create(name=own, permissions=allows))
        elif there[own] != set(allows):
            await operator.roles.change(own, permissions=allows)
    if (await operator.users.list(page=1, size=1)).total == 0:
        await _create(gate, first)


async def _create(gate: Passgate, first: FirstAdmin) -> None:
    if not first.password:
        log.warning("nobody can sign in yet: start once with ADMIN_USERNAME, ADMIN_EMAIL and ADMIN_PASSWORD")
        return
    manager = ROLES["admin"][0]
    try:
        await _once(gate.at(None, tenant="main").users.create(**first.model_dump(), roles=[manager]))
    except errors.Invalid as wrong:
        names = ", ".join(f"ADMIN_{name.upper()}" for name in wrong.fields)
        raise errors.UnsafeSettings([("ADMIN_REFUSED", f"{wrong.message} Change {names}.")]) from None


async def _once(creating: Awaitable[object]) -> None:
    """What another process has just created is there, too."""
    with suppress(errors.Conflict):
        await creating
