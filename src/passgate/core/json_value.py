"""JSON values that a host program gives us to store: what counts as one, and how large it may be.

Not here: bodies of requests (`wire.body`), and profiles, which a model describes (`profile`).
"""

from __future__ import annotations

import math

from passgate.core.audit import canonical

_DEEP = 8
"""Lists and objects within each other."""


def checked(value: object, *, most: int) -> str:
    """The value as canonical JSON of at most `most` bytes. Raises ValueError, never with a part of the value."""
    if not _is_json(value, _DEEP):
        raise ValueError(f"only JSON values can be stored, at most {_DEEP} levels deep")
    try:
        text = canonical(value)
    except ValueError:  # a lone surrogate, or a number of thousands of digits
        text = b""
    if not text or len(text) > most:
        raise ValueError(f"only JSON of at most {most} bytes can be stored")
    return text.decode()


def _is_json(value: object, levels: int) -> bool:
    match value:
        case None | bool() | str() | int():
            return True
        case float():
            return math.isfinite(value)
        case list() | tuple():
            return levels > 0 and all(_is_json(one, levels - 1) for one in value)
        case dict():
            return levels > 0 and all(
                isinstance(name, str) and _is_json(one, levels - 1) for name, one in value.items()
            )
    return False
