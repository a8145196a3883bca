"""The list of the routers that the API document describes. Not here: the endpoints themselves."""

from __future__ import annotations

from passgate.web import ops
from passgate.web.api import account, admin, factors, invitations, jobs, roles, session, signin, tokens, users

ROUTERS = tuple(
    module.router for module in (signin, session, tokens, account, factors, admin, users, roles, invitations, jobs, ops)
)
