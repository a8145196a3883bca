"""Records what a client could see or measure of one request: the response, hashes, statements and written rows.

Not here: comparisons, which are in the tests.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from passgate import hashing
from passgate.store.point import Lookup
from tests.kit import The

_WRITTEN = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)


@dataclass
class Work:
    """`hashes`: each Argon2id call with its parameters. `checks`: how many signatures were verified. `statements`:
    those of writer, reader and point lookups, in order and without values. `rows`: rows written, by table."""

    hashes: list[str] = field(default_factory=list)
    checks: int = 0
    statements: list[str] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)


@contextmanager
def watched(the: The) -> Iterator[Work]:
    """Count by wrapping the real functions, which still do their work."""
    work, store = Work(), the.gate.services.store

    def asked(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        work.statements.append(statement)

    def wrote(_connection: Any, cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        if written := _WRITTEN.match(statement):
            work.rows[written[1]] += max(0, context.rowcount)

    engines = (store.writer.sync_engine, store.reader.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", asked)
        event.listen(engine, "after_cursor_execute", wrote)
    with pytest.MonkeyPatch.context() as patch:
        _count_hashes(patch, work)
        _count_checks(patch, work)
        _count_points(patch, the, work)
        yield work
    for engine in engines:
        event.remove(engine, "before_cursor_execute", asked)
        event.remove(engine, "after_cursor_execute", wrote)


def _count_hashes(patch: pytest.MonkeyPatch, work: Work) -> None:
    make, verify = vars(hashing)["crypto_pwhash_alg"], vars(hashing)["crypto_pwhash_str_verify"]

    def made(length: int, password: bytes, salt: bytes, passes: int, memory: int, kind: int) -> bytes:
        work.hashes.append(f"make m={memory // 1024},t={passes}")
        raw: bytes = make(length, password, salt, passes, memory, kind)
        return raw

    def verified(phc: bytes, password: bytes) -> bool:
        work.hashes.append(f"verify {phc.decode().split('$')[3]}")
        return bool(verify(phc, password))

    patch.setattr(hashing, "crypto_pwhash_alg", made)
    patch.setattr(hashing, "crypto_pwhash_str_verify", verified)


def _count_checks(patch: pytest.MonkeyPatch, work: Work) -> None:
    module = import_module("webauthn.authentication.verify_authentication_response")
    check = vars(module)["verify_signature"]

    def checked(**given: Any) -> None:
        work.checks += 1
        check(**given)

    patch.setattr(module, "verify_signature", checked)


def _count_points(patch: pytest.MonkeyPatch, the: The, work: Work) -> None:
    point = the.gate.services.store.point
    one: Callable[[Lookup, Any], Any] = point.one

    async def counted(lookup: Lookup, key: Any) -> Any:
        work.statements.append(lookup.postgres)
        return await one(lookup, key)

    patch.setattr(point, "one", counted)


_UNLIKE = {"handle", "expires_at", "request_id"}


def outcome(answer: httpx2.Response, drawn: str = "") -> tuple[object, ...]:
    """The response without the values that differ between any two: request id, handle, instants and `drawn`, a random
    value of this response. The order of headers and fields and the lengths of the omitted values are kept."""
    headers = [(name, len(value) if name == "x-request-id" else value) for name, value in answer.headers.multi_items()]
    body = json.loads(answer.text.replace(drawn, "-" * len(drawn)) if drawn else answer.text)
    body = {key: len(value) if key in _UNLIKE else value for key, value in body.items()}
    return answer.status_code, headers, list(body.items())
