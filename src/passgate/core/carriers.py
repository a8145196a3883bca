"""Who acts, by the secret that a request carries: the one table of kinds of secrets, and the only caller of
`sessions.find`. Endpoints, pages, step-ups and a host's own routes all ask here.

Not here: where in a request a secret stands (`web.guards`), and what makes a session live (`sessions`).
"""

from __future__ import annotations

from passgate.core import binding, sessions, tokens
from passgate.core.ctx import Ctx
from passgate.errors import CredentialInvalid

CARRIERS = {sessions.PREFIX: sessions.find, tokens.ACCESS: tokens.find}
"""By how a secret begins, the function that finds whose it is. A refresh token is none: it only gives another pair."""
_OF_COOKIES = (sessions.PREFIX,)
"""What may stand in a cookie. An access token is for programs: in a browser it would be a session that pages renew."""


async def acting(ctx: Ctx, secret: str, *, by_cookie: bool, at_any_level: bool = False) -> Ctx:
    """The context in which whoever carries this secret acts. Raises CredentialInvalid, SessionEnded, or StepUpNeeded
    for a session that the tenant's rules no longer accept, unless `at_any_level`."""
    for prefix, find in CARRIERS.items():
        if secret.startswith(prefix) and (prefix in _OF_COOKIES or not by_cookie):
            found = await find(ctx, secret, at_any_level=at_any_level)
            if ctx.site.tenant not in (None, found.row["name"]):  # a session belongs to no other tenant's site
                raise CredentialInvalid
            return ctx.acting(await binding.checked(ctx, found, at_any_level=at_any_level))
    raise CredentialInvalid
