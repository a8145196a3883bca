"""What a sign-in hands over to a host: a token, a pair of tokens, or cookies to set on its own answer.

Not here: which of them a person gets, and the other values (`values`). Annotations are evaluated here, because the
class says that it lives in another module, where pydantic would look up their names.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from starlette.responses import Response


class _Cookies:
    """No fields: what a program returns or logs of an answer has no cookie in it, which no script may read."""

    __slots__ = ("_cleared", "_set_cookies")
    _set_cookies: tuple[str, ...]
    _cleared: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(_Cookies):
    """The answer of a twin that signs somebody in or out. What carries the session is `token`, or `access_token` and
    `refresh_token`, or a cookie, which `set_on` sets."""

    session: Any = None
    token: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    token_type: str | None = field(default=None, repr=False)
    expires_in: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_set_cookies", ())
        object.__setattr__(self, "_cleared", "")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Copies and pickles have the cookies too."""
        members = {one.name: getattr(self, one.name) for one in fields(self)}
        return _made, (type(self), members, self._set_cookies, self._cleared)

    def set_on(self, response: Response) -> None:
        """Set the cookies of this answer on a response to the same browser; after signing out, they clear its session.
        Raises RuntimeError for an answer without any."""
        if not self._set_cookies:
            raise RuntimeError('there is no cookie to set: finish with carrier="cookie"')
        for value in self._set_cookies:
            response.headers.append("set-cookie", value)

    def clear_on(self, response: Response) -> None:
        """Clear the session cookie of the browser that gets this response."""
        response.headers.append("set-cookie", self._cleared)


Carried.__module__ = "passgate"


def _made(kind: type[Carried], members: dict[str, Any], set_cookies: tuple[str, ...], cleared: str) -> Carried:
    return with_cookies(kind(**members), set_cookies, cleared)


def with_cookies(value: Carried, set_cookies: Iterable[str], cleared: str) -> Carried:
    """The value, just made, with what its answer sets and what clears it."""
    object.__setattr__(value, "_set_cookies", tuple(set_cookies))
    object.__setattr__(value, "_cleared", cleared)
    return value
