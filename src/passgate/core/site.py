"""Where pages stand: an origin, a path below it, and perhaps one tenant to which they belong. A request's site is found
once, at the edge; links, mails, redirects, passkeys and the CSRF check ask it.

Not here: what a tenant is (`tenants`), and reading a request (`web.origin`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from passgate.settings.origins import origin as read_origin


@dataclass(frozen=True, slots=True)
class Site:
    """`origin` has no path: `https://id.example.com`. `path`: where a host application mounts the endpoints, such as
    `/auth`. `tenant`: the name of the one whose pages these are; None where people name theirs."""

    origin: str
    path: str = ""
    tenant: str | None = None

    def __post_init__(self) -> None:
        """ValueError for what is no origin."""
        object.__setattr__(self, "origin", read_origin(self.origin))

    @property
    def url(self) -> str:
        """The start of a link to any page."""
        return self.origin + self.path

    @property
    def rp_id(self) -> str:
        """The name under which passkeys are made and accepted (WebAuthn §5.1.2)."""
        return urlsplit(self.origin).hostname or ""

    @property
    def host(self) -> str:
        """As a browser sends it in the Host header."""
        return urlsplit(self.origin).netloc.lower()


class Sites:
    """The sites of an installation. All of them speak http, or all of them https."""

    def __init__(self, default: Site, more: Iterable[Site] = ()) -> None:
        self.default, self._more = default, tuple(more)
        everything = (default, *self._more)
        schemes = {urlsplit(site.origin).scheme for site in everything}
        if len(schemes) > 1 or len({site.host for site in everything}) < len(everything):
            raise ValueError("sites need hosts of their own, and one scheme")
        self._by_host = {site.host: site for site in everything}
        self._by_tenant = {site.tenant: site for site in self._more}

    @property
    def is_one(self) -> bool:
        return not self._more

    def at(self, path: str) -> Sites:
        """The same, mounted below `path`."""
        return Sites(replace(self.default, path=path), (replace(site, path=path) for site in self._more))

    def of_host(self, host: str) -> Site:
        """By a Host header; the default for an unknown one, so that no request makes up an address."""
        return self._by_host.get(host.lower(), self.default)

    def of_tenant(self, name: str) -> Site:
        """Whose pages a mail to somebody of this tenant leads to."""
        return self._by_tenant.get(name, self.default)
