"""The list of the routers that the API document describes. Not here: the endpoints themselves."""

from __future__ import annotations

from passgate.web import ops
from passgate.web.api import (
    account,
    admin,
    factors,
    invitations,
    jobs,
    roles,
    session,
    signin,
    tokens,
    user_views,
    users,
)

_MODULES = (signin, session, tokens, account, factors, admin, users, user_views, roles, invitations, jobs, ops)
ROUTERS = tuple(module.router for module in _MODULES)
