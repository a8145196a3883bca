"""The permissions that Passgate knows, each with what it allows, those that a host adds, and the built-in roles made of
them.

Not here: a tenant's own roles (`roles`), and asking whether somebody has a permission (`access`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from passgate.i18n import N_

OWNER, USER = "owner", "user"
_NAME = re.compile(r"(?=.{3,60}$)[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_LONGEST_TEXT = 200

PERMISSIONS = {
    "me:read": N_("See their own account"),
    "me:write": N_("Change their own account"),
    "users:read": N_("See users"),
    "users:write": N_("Add and change users"),
    "users:disable": N_("Disable and enable users"),
    "users:recover": N_("Help users who can't sign in"),
    "users:delete": N_("Delete users"),
    "sessions:read": N_("See where users are signed in"),
    "sessions:end": N_("Sign users out"),
    "factors:read": N_("See the sign-in options of users"),
    "roles:give": N_("Give and take roles"),
    "roles:write": N_("Create and change roles"),
    "invitations:write": N_("Invite users"),
    "audit:read": N_("See activity"),
    "policy:read": N_("See the policy"),
    "policy:write": N_("Change the policy"),
    "tenant:write": N_("Change the organization"),
    "clients:write": N_("Manage applications"),
}

_USER = frozenset({"me:read", "me:write"})
_ADMIN = _USER | {
    "users:read",
    "users:write",
    "users:disable",
    "users:recover",
    "sessions:read",
    "sessions:end",
    "factors:read",
    "roles:give",
    "invitations:write",
    "audit:read",
    "policy:read",
}

ROLES: dict[str, frozenset[str]] = {
    OWNER: frozenset(PERMISSIONS),
    "admin": _ADMIN,
    "user": _USER,
    "read_only": frozenset({"me:read", "users:read"}),
}

DESCRIPTIONS = {
    OWNER: N_("Can do everything"),
    "admin": N_("Manages users, and sees activity and the policy"),
    "user": N_("Manages their own account"),
    "read_only": N_("Sees users and their own account, and changes nothing"),
}
"""Of the built-in roles."""


def registered(given: Mapping[Any, Any]) -> dict[str, str]:
    """The permissions of a host with their texts: `area:verb`, in no area of ours. Raises ValueError."""
    areas = {name.partition(":")[0] for name in PERMISSIONS}
    for name, text in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no permission: use area:verb, in lower case, at most 60 long")
        if name.partition(":")[0] in areas:
            raise ValueError(f"{name!r} would stand among Passgate's own permissions: use an area of your own")
        if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST_TEXT or not text.isprintable():
            raise ValueError(f"{name!r} needs a text of one line, at most {_LONGEST_TEXT} long")
    return dict(given)


def known(own: Mapping[str, str]) -> dict[str, str]:
    """Every permission with its text; `own`: those of the host."""
    return {**PERMISSIONS, **own}


def of_role(role: str, stored: str, own: Mapping[str, str]) -> frozenset[str]:
    """What a role allows. `stored`: the names of a tenant's own role, empty for a built-in one; those that nobody knows
    any more count for nothing, and so does a role that nobody knows. An owner has the host's too."""
    if role == OWNER:
        return ROLES[OWNER].union(own)
    if role in ROLES:
        return ROLES[role]
    return frozenset(name for name in stored.split() if name in PERMISSIONS or name in own)
