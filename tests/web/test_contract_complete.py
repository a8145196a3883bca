"""Completing a passkey's ceremony over HTTP without a handle: which sign-in an answer reaches, what it uses up, and
that everything that can't be completed is refused alike.

Not here: which answers prove a passkey, which is in tests/core/test_passkeys.
"""

from __future__ import annotations

from tests.authenticator import Authenticator
from tests.core.having import add_passkey, challenged
from tests.kit import The, code_of, handle_of, token_of


async def test_begin_and_complete(the: The) -> None:
    anna, key = await the.person(), Authenticator()
    await add_passkey(the, anna, key)
    options = await challenged(the, handle_of(await the.start(anna.email)), "passkey")
    done = await the.complete(key.get(options, the.gate.settings.url), anna.email)
    assert done.status_code == 201, done.text
    assert done.json().keys() == {"session", "token"}
    assert (await the.session(token_of(done))).json()["user"]["email"] == anna.email
    again = await the.complete(key.get(options, the.gate.settings.url), anna.email)
    assert (again.status_code, code_of(again)) == (401, "handle_invalid")
