"""Helpers for passkey tests: fixed names and challenges, and one function for each ceremony.

Nothing is asserted here about what should be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from passgate import ceremony
from passgate.ceremony import Asserted, Passkey, Registered, Unproved
from tests.authenticator import Authenticator

RP_ID, ORIGIN = "id.example.org", "https://id.example.org"
NEW, KNOWN = b"n" * 32, b"k" * 32
"""The challenges of a registration and of a sign-in."""
HANDLE = b"h" * 32


def creation(*known: bytes) -> dict[str, Any]:
    return ceremony.creation_options(
        challenge=NEW,
        rp_id=RP_ID,
        service="Example",
        user_handle=HANDLE,
        name="anna@example.com",
        known=[Passkey(one) for one in known],
    )


def request(*allowed: bytes) -> dict[str, Any]:
    return ceremony.request_options(challenge=KNOWN, rp_id=RP_ID, allowed=[Passkey(one) for one in allowed])


def register(answer: object) -> Registered:
    return ceremony.register(answer, challenge=NEW, rp_id=RP_ID, origin=ORIGIN)


def sign_in(answer: object, stored: Registered, *, is_named: bool = False) -> Asserted:
    return ceremony.assert_passkey(
        answer,
        challenge=KNOWN,
        rp_id=RP_ID,
        origin=ORIGIN,
        public_key=stored.public_key,
        is_synced=stored.is_synced,
        user_handle=HANDLE,
        is_named=is_named,
    )


def enrolled(**of: Any) -> tuple[Authenticator, Registered]:
    one = Authenticator(**of)
    return one, register(one.create(creation(), ORIGIN))


def refusal(action: Callable[..., object], *given: Any, **more: Any) -> str:
    with pytest.raises(Unproved) as refused:
        action(*given, **more)
    return refused.value.reason
