"""No secret leaks: a series of requests with recognisable secrets, then a search in logs, responses and the database.

How a log line is formatted is tested in tests/cli. Here every log record counts as it was made, before any filter.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from tests.architecture.test_refusals import Broken, sabotaged
from tests.core.having import code_of_app, policy, unspelled
from tests.kit import The, bearer, code_of, handle_of, token_of

FIRST = "canary first password 7c1f"
SECOND = "canary second password 88ab"
THIRD = "canary third password 51de"
WRONG = "canary wrong password 03f9"
SHORT = "canary-shrt"
STRAY = "canary-stray-e21b"
PASSWORDS = (FIRST, SECOND, THIRD, WRONG, SHORT, STRAY)
EMAIL = "anna@example.com"

_NOISE = {"created", "msecs", "relativeCreated", "thread", "process", "exc_info", "lineno", "taskName"}
"""Fields of a log record with numbers that may contain the eight digits of a code by chance."""


class Ears(logging.Handler):
    """Collects every record of every logger with all its attributes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        carried = {name: value for name, value in vars(record).items() if name not in _NOISE}
        self.heard += [record.getMessage(), repr(carried)]
        if record.exc_info and record.exc_info[1] is not None:
            self.heard.append("".join(traceback.format_exception(record.exc_info[1])))


@contextmanager
def listening() -> Iterator[Ears]:
    ears, root = Ears(), logging.getLogger()
    before = root.level
    root.addHandler(ears)
    root.setLevel(logging.DEBUG)
    try:
        yield ears
    finally:
        root.removeHandler(ears)
        root.setLevel(before)


@dataclass
class Story:
    """Sends the requests and keeps every response. `meant`: by secret, the one response that may contain it; `paths`:
    by secret, the paths of several."""

    the: The
    answers: list[httpx2.Response] = field(default_factory=list)
    meant: dict[str, httpx2.Response] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    paths: dict[str, set[str]] = field(default_factory=dict)

    async def heard(self, answer: httpx2.Response) -> None:
        await answer.aread()
        self.answers.append(answer)

    def handle(self, answer: httpx2.Response) -> str:
        made = handle_of(answer)
        self.meant[made] = answer
        return made

    def token(self, answer: httpx2.Response) -> str:
        made = token_of(answer)
        self.meant[made] = answer
        return made

    async def code(self) -> str:
        made = await self.the.code(EMAIL)
        self.codes.add(made)
        return made

    # -- the requests --------------------------------------------------------------------------------

    async def notify(self) -> None:
        await self.sign_up()
        token = await self.sign_in()
        token = await self.change_password(token)
        await self.second_factors(token)
        await self.recover()
        await self.mistakes(token)
        await self.trouble()

    async def sign_up(self) -> None:
        the = self.the
        handle = self.handle(await the.signup(EMAIL, FIRST, profile={"nickname": "Anna"}))
        code = await self.code()
        for wrong in ("00000000", STRAY):
            assert code_of(await the.prove(handle, "email_code", wrong)) == "proof_refused"
        await the.challenge(handle, "email_code")
        assert code_of(await the.prove(handle, "email_code", code)) == "proof_refused"
        assert (await the.prove(handle, "email_code", await self.code())).status_code == 200
        self.token(await the.finish(handle))
        assert code_of(await the.finish(handle)) == "handle_invalid"

    async def sign_in(self) -> str:
        the = self.the
        handle = self.handle(await the.start(EMAIL))
        assert code_of(await the.prove(handle, "password", WRONG)) == "proof_refused"
        assert code_of(await the.finish(handle)) == "proof_missing"
        assert (await the.prove(handle, "password", FIRST)).status_code == 200
        assert code_of(await the.prove(handle, "password", FIRST)) == "already_proved"
        by_cookie = await the.finish(handle, "cookie")
        cookie = by_cookie.headers["set-cookie"].partition("=")[2].partition(";")[0]
        self.meant[cookie] = by_cookie
        assert (await the.http.get("/api/v1/session")).status_code == 200
        for again in ("/api/v1/me", "/api/v1/me/sessions", "/api/v1/me/activity", "/api/v1/me/export"):
            assert (await the.http.get(again)).status_code == 200
        the.http.cookies.clear()
        return cookie

    async def change_password(self, token: str) -> str:
        the = self.the
        the.clock.forward(400)
        begun = await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=bearer(token))
        handle = self.handle(begun)
        assert code_of(await the.prove(handle, "password", WRONG)) == "proof_refused"
        assert (await the.prove(handle, "password", FIRST)).status_code == 200
        fresh = self.token(await the.finish(handle))
        for bad in (SHORT, "password", EMAIL):
            answer = await the.http.post("/api/v1/me/password", json={"password": bad}, headers=bearer(fresh))
            assert code_of(answer) == "password_refused"
        answer = await the.http.post("/api/v1/me/password", json={"password": SECOND}, headers=bearer(fresh))
        assert answer.status_code == 204
        return fresh

    async def second_factors(self, token: str) -> None:
        """Turn on mailed codes, have backup codes mailed, and see the key of an app twice; then give it all up."""
        the, mine = self.the, bearer(token)
        rules: dict[str, Any] = {"recovery_codes": {"count": 5, "mailed": True}, "totp_shown_again": True}
        await policy(
            the, **rules, second_among=["totp", "recovery_code", "email_code"], mailed_second_factor="enrolled"
        )
        assert (await the.http.post("/api/v1/me/email-code", headers=mine)).status_code == 201
        proof = {"answer": await self.code()}
        assert (await the.http.post("/api/v1/me/email-code/prove", json=proof, headers=mine)).status_code == 204
        made = (await the.http.post("/api/v1/me/recovery-codes", headers=mine)).json()["codes"]
        assert (await the.mails(EMAIL))[0]["kind"] == "recovery_codes"
        for code in made:
            self.paths[code] = {"/api/v1/me/recovery-codes", "/dev/mail.json"}
        offered = (await the.http.post("/api/v1/me/totp", headers=mine)).json()
        self.paths[offered["secret"]] = {"/api/v1/me/totp", "/api/v1/me/totp/show"}
        proof = {"answer": code_of_app(the, unspelled(offered["secret"]))}
        assert (await the.http.post("/api/v1/me/totp/prove", json=proof, headers=mine)).status_code == 204
        assert (await the.http.post("/api/v1/me/totp/show", headers=mine)).json()["secret"] == offered["secret"]
        for factor in ("totp", "email-code"):
            assert (await the.http.delete(f"/api/v1/me/{factor}", headers=mine)).status_code == 204
        await policy(the)

    async def recover(self) -> None:
        the = self.the
        handle = self.handle(await the.recover(EMAIL))
        assert (await the.prove(handle, "email_code", await self.code())).status_code == 200
        assert code_of(await the.prove(handle, "password", SHORT)) == "password_refused"
        assert (await the.prove(handle, "password", THIRD)).status_code == 200
        self.token(await the.finish(handle))

    async def mistakes(self, token: str) -> None:
        """Send secrets where they do not belong: wrong types, unknown members, broken bodies, wrong fields, wrong
        endpoints."""
        http = self.the.http
        for body in (
            {"email": EMAIL, "password": [STRAY]},
            {"email": EMAIL, STRAY: STRAY},
            {"email": STRAY},
            {"email": {"a": STRAY}},
            {"email": EMAIL, "tenant": STRAY},
            {"email": EMAIL, "password": STRAY * 300},
        ):
            assert (await http.post("/api/v1/signup", json=body)).status_code in (403, 422)
        for raw in (
            f'{{"email": "{STRAY}',
            f'{{"a": "{STRAY}\\u0000"}}',
            f'{{"{STRAY}": 1, "{STRAY}": 2}}',
            "x" * 70000,
        ):
            answer = await http.post("/api/v1/signup", content=raw, headers={"content-type": "application/json"})
            assert code_of(answer) in ("malformed", "too_large")
        answer = await http.post("/api/v1/signup", data={"email": EMAIL, "password": STRAY})
        assert code_of(answer) == "not_json"
        for headers in (
            {"authorization": f"Basic {STRAY}"},
            bearer(STRAY),
            bearer(token),
            {"cookie": f"passgate_session={STRAY}"},
        ):
            assert (await http.get("/api/v1/session", headers=headers)).status_code == 401
            assert (
                await http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=headers)
            ).status_code == 401
        await http.get("/api/v1/session", headers={"x-request-id": STRAY + " "})

    async def trouble(self) -> None:
        """Cause a fault in the middle of a proof, and faults by a table that is missing."""
        the = self.the
        the.clock.forward(3600)
        handle = self.handle(await the.start(EMAIL))
        with sabotaged(the, at=1, error=Broken()):
            assert code_of(await the.prove(handle, "password", THIRD)) == "fault"
        async with the.gate.services.store.write() as db:
            await db.change(text("ALTER TABLE credential RENAME TO elsewhere"))
        try:
            for answer in (
                await the.prove(handle, "password", THIRD),
                await the.signup(f"new-{EMAIL}", SECOND),
                await the.prove(self.handle(await the.recover(EMAIL)), "email_code", "12345678"),
            ):
                assert answer.status_code in (202, 403, 500, 503)
        finally:
            async with the.gate.services.store.write() as db:
                await db.change(text("ALTER TABLE elsewhere RENAME TO credential"))

    # -- the search ----------------------------------------------------------------------------------

    def secrets(self) -> set[str]:
        """The secrets to search for, without the prefixes that secret scanners look for."""
        return {
            *PASSWORDS,
            *self.codes,
            *self.paths,
            *(made.removeprefix("pg_sin_").removeprefix("pg_ses_") for made in self.meant),
        }

    def carriers(self, secret: str) -> list[httpx2.Response]:
        """The responses that may contain the secret."""
        if secret in self.codes:
            return [answer for answer in self.answers if answer.url.path == "/dev/mail.json"]
        if secret in self.paths:
            return [answer for answer in self.answers if answer.url.path in self.paths[secret]]
        return [answer for made, answer in self.meant.items() if made.endswith(secret)]


@pytest.fixture
async def result(the: The) -> AsyncIterator[tuple[Story, Ears]]:
    story = Story(the)
    the.http.event_hooks = {"response": [story.heard]}
    with listening() as ears:
        await story.notify()
    yield story, ears


async def test_no_secret_strays(result: tuple[Story, Ears]) -> None:
    story, ears = result
    secrets = story.secrets()
    assert len(secrets) > len(PASSWORDS) + 10
    logs = "\n".join(ears.heard)
    assert "request" in ears.heard
    assert "fault" in ears.heard
    for secret in secrets:
        assert secret not in logs, f"{secret} is in the log"
        for answer in story.answers:
            displayed = str(answer.url) + str(answer.headers.multi_items()) + answer.text
            assert secret not in displayed or _is_meant(story, secret, answer), f"{secret} is in {answer.url}"
            assert secret not in str(answer.url)
    assert await _in_clear(story.the, secrets) == []


def _is_meant(story: Story, secret: str, answer: httpx2.Response) -> bool:
    return any(answer is carrier for carrier in story.carriers(secret))


async def _in_clear(the: The, secrets: set[str]) -> list[str]:
    """The secrets found in any column of any row, or in SQLite's files including the journal."""
    stored = [str(await the.everything()).encode()]
    for rows in (await the.everything()).values():
        stored += [value for row in rows for value in row.values() if isinstance(value, bytes)]
    if the.gate.services.store.is_sqlite:
        stored += [path.read_bytes() for path in sorted(the.gate.settings.data.glob("passgate.db*"))]
    whole = b"\n".join(stored)
    return sorted(secret for secret in secrets if secret.encode() in whole)


async def test_the_search_would_find_one(lite: The) -> None:
    """The search finds a secret that is logged and one that is stored in clear."""
    with listening() as ears:
        logging.getLogger("anything").debug("said", extra={"more": FIRST})
        logging.getLogger("anything").error("failed", exc_info=ValueError(SECOND))
    assert FIRST in "\n".join(ears.heard)
    assert SECOND in "\n".join(ears.heard)
    await lite.signup(EMAIL, FIRST, profile={"note": THIRD})
    assert await _in_clear(lite, {THIRD}) == [], "a sign-up's data is sealed until it is proved"
    anna = await lite.person("bert@example.com")
    body: dict[str, Any] = {"profile": {"note": THIRD}}
    assert (await lite.http.patch("/api/v1/me", content=json.dumps(body), headers=anna.auth | JSON)).status_code < 300
    assert await _in_clear(lite, {THIRD}) == [THIRD]


JSON = {"content-type": "application/json"}
