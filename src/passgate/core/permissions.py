"""The permissions that Passgate knows, each with what it allows, and the built-in roles made of them.

Not here: a tenant's own roles (`roles`), and asking whether somebody has a permission (`access`).
"""

from __future__ import annotations

from passgate.i18n import N_

PERMISSIONS = {
    "me:read": N_("See your own account"),
    "me:write": N_("Change your own account"),
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
    "owner": frozenset(PERMISSIONS),
    "admin": _ADMIN,
    "user": _USER,
    "read_only": frozenset({"me:read", "users:read"}),
}
