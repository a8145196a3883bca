"""What a guard finds out about the user of a request, as values that a host may return, store and send on.

Not here: finding it out (`host`), and the answers of the API (`values`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn


class ReadOnly(dict[str, Any]):
    """A dict that nobody can change. Of all read-only mappings a dict alone is copied, pickled and written as JSON."""

    __slots__ = ()

    def _refused(self, *_args: object, **_named: object) -> NoReturn:
        raise TypeError("this cannot be changed")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refused

    def __reduce__(self) -> tuple[type[ReadOnly], tuple[dict[str, Any]]]:
        return ReadOnly, (dict(self),)


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Session:
    """`auth_time` is when the person last proved a factor, `amr` the methods (RFC 8176), `acr` the assurance level."""

    id: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """The signed-in user of a request. `username` is None without one. `profile` is an instance of the model given to
    Passgate, or a dict without a model; None if the stored profile does not validate. `permissions`: what all their
    roles allow, the host's own permissions included. Two are equal if everything in them is: to
    find the same person again, compare `id`."""

    id: str
    email: str
    username: str | None
    email_verified: bool
    profile: Any = field(hash=False)
    roles: tuple[str, ...]
    tenant: Tenant
    session: Session
    claims: Mapping[str, Any] = field(default_factory=ReadOnly, hash=False)
    """The result of the host's `claims=` function, computed for each request."""
    permissions: frozenset[str] = frozenset()

    def may(self, permission: str) -> bool:
        return permission in self.permissions
