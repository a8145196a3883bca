"""Builds the Ctx of a request (client address, user agent, request id), for our endpoints and a host's routes alike.

Not here: refusing requests and reading bodies.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

from passgate.core.ctx import Ctx, Origin, Services
from passgate.core.useragent import describe
from passgate.i18n import choose
from passgate.settings import is_loopback
from passgate.settings.values import UNIX
from passgate.web import cookies
from passgate.wire.forwarded import UNTRUSTED, Proxies, address
from passgate.world import SECOND

log = logging.getLogger(__name__)

REQUEST_ID = "passgate.request_id"
"""In the ASGI scope: the id of a request that the layer around a host has seen before us."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_FORWARDED = (b"forwarded", b"via", b"x-forwarded-", b"x-real-ip")
# A client that sends many requests sends the same User-Agent and address each time.
_described = lru_cache(1024)(describe)
_here = lru_cache(1024)(is_loopback)


class ContextFactory:
    """Creates the Ctx of each request. Knows the trusted proxies."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._warns_from = 0
        self._known_name = cookies.known_name(services.settings)
        self._session_name = cookies.session_name(services.settings)
        self._proxies = Proxies(services.settings.trusted_proxies)

    def ctx(self, scope: Scope) -> Ctx:
        """The Ctx of one request."""
        first = dict(reversed(scope["headers"]))  # of each name; quicker than asking Headers for each
        request_id = scope.get(REQUEST_ID) or self._given_id(scope) or self._services.world.text(12)
        language = choose(first.get(b"accept-language", b"").decode("latin-1"))
        site = self._services.sites.of_host(first.get(b"host", b"").decode("latin-1"))
        origin = self._origin(scope, first)
        return Ctx(self._services, origin, request_id=request_id, language=language, asked=site)

    def _given_id(self, scope: Scope) -> str:
        """The X-Request-ID of a trusted proxy, if it is 8 to 64 of `A-Za-z0-9_-`. A stranger's would get into the log
        and the audit trail, and could be that of somebody else's request."""
        if not self._proxies or not self._proxies.trust(_peer(scope)):
            return ""
        given = Headers(scope=scope).getlist("x-request-id")
        return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else ""

    def _origin(self, scope: Scope, first: dict[bytes, bytes]) -> Origin:
        """The peer's address or, behind a trusted proxy, the one that it reports."""
        ip = _peer(scope)
        forwarded = any(name.startswith(_FORWARDED) for name in first)
        if forwarded and self._proxies.trust(ip):
            ip = self._proxies.client(ip, Headers(scope=scope))
        elif forwarded:
            self._warn(ip)
        browser, system = _described(first.get(b"user-agent", b"").decode("latin-1")[:512])
        return Origin(ip[:45], browser, system, _here(ip) and not forwarded, *self._cookies(scope, first))

    def _warn(self, peer: str) -> None:
        """Of a peer that nobody trusts, never with what it claims. Strangers may send the fields too, so one line a
        minute is enough. In development there is only this machine."""
        now = self._services.world.now()
        if now >= self._warns_from and not self._services.settings.is_development:
            self._warns_from = now + 60 * SECOND
            log.warning(
                "forwarding headers of an untrusted peer; PASSGATE_TRUSTED_PROXIES names whom to trust: " + UNTRUSTED,
                extra={"address": peer or UNIX},
            )

    def _cookies(self, scope: Scope, first: dict[bytes, bytes]) -> tuple[str, str]:
        """Those of a known browser and of a session."""
        if b"cookie" not in first:
            return "", ""
        headers = scope["headers"]
        return cookies.sent_once(headers, self._known_name), cookies.sent_once(headers, self._session_name)


def _peer(scope: Scope) -> str:
    peer = str((scope.get("client") or ("", 0))[0])
    return address(peer) or peer
