"""Every door that yields a session, a token or a factor, against every rule that could be broken around it. A door that
is neither in the matrix nor on the list of those that yield nothing fails.

Each cell asks over HTTP with a request that is right in every other way, and looks at what came to be: nothing. Last
comes the same request with no rule broken, which must go well: a cell that refuses for another reason proves nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import delete, update

from passgate.core import pending as sign_ins
from passgate.core import sessions, throttle
from passgate.core.factors import FACTORS
from passgate.core.rules import AAL1
from passgate.store.tables import budget, person, session, sign_in, tenant
from passgate.world import SECOND
from tests.house import doors
from tests.house.town import Ask, Town, every_door
from tests.kit import code_of, running, settings_for
from tests.web.browsing import Page


class Rule(StrEnum):
    """`second`: a factor that the person has was not shown. `throttled`: the origin's tries are used up. `locked`: the
    authenticator's are, and even the right answer is a wrong one. `person`, `tenant`: disabled. `others`: the id or
    answer is somebody else's. `stale`: hours later. `handle`: a half-signed-in handle in the place of what is carried.
    `session`: a live session in that place."""

    SECOND = "second"
    THROTTLED = "throttled"
    LOCKED = "locked"
    PERSON = "person"
    TENANT = "tenant"
    OTHERS = "others"
    STALE = "stale"
    HANDLE = "handle"
    SESSION = "session"


class Said(NamedTuple):
    """A status, and the code of the refusal; of a page that leads on, where to. `opens`: tables that grow all the same,
    because the answer must be the same for anybody."""

    status: int
    word: str = ""
    opens: tuple[str, ...] = ()


Row = dict[Rule, Said]
"""What a rule that is not named says nothing about at this door: there the cell is the honest request's."""

BEGUN = ("sign_in", "ticket", "outbox")
INVALID, ENDED = Said(401, "handle_invalid"), Said(401, "session_ended")
REFUSED, STEP_UP = Said(403, "proof_refused"), Said(401, "insufficient_user_authentication")
CLOSED, NOT_FOUND = Said(403, "signup_closed"), Said(404, "not_found")
UNOFFERED, MISSING = Said(409, "factor_not_offered"), Said(409, "proof_missing")
THROTTLED = Said(429, "throttled")

ALIKE = {status: {Rule.TENANT: CLOSED, Rule.PERSON: Said(status, "", BEGUN)} for status in (201, 202)}
"""Beginning tells nobody who is disabled."""
TO_PASSWORD: Row = {Rule.TENANT: CLOSED, Rule.PERSON: Said(303, "/signin/password", BEGUN)}
TO_CODE: Row = {Rule.TENANT: CLOSED, Rule.PERSON: Said(303, "/signin/email-code", BEGUN)}
HANDLE: Row = {Rule.TENANT: INVALID, Rule.STALE: INVALID, Rule.SESSION: INVALID}
ASK: Row = {**HANDLE, Rule.PERSON: Said(200, "", ("ticket", "outbox"))}
PASSWORD: Row = {**HANDLE, Rule.THROTTLED: THROTTLED, Rule.LOCKED: REFUSED, Rule.PERSON: REFUSED}
LADDER: Row = {**PASSWORD, Rule.OTHERS: REFUSED}
BIRTH: Row = {**HANDLE, Rule.THROTTLED: THROTTLED, Rule.OTHERS: REFUSED}
PROVE: Row = {**BIRTH, Rule.PERSON: REFUSED}
NEW_PASSWORD: Row = {**HANDLE, Rule.PERSON: INVALID, Rule.SECOND: REFUSED}
SET_UP: Row = {**HANDLE, Rule.PERSON: INVALID, Rule.OTHERS: REFUSED}
FINISH: Row = {**HANDLE, Rule.PERSON: INVALID, Rule.SECOND: MISSING}
CARRIED: Row = {Rule.PERSON: ENDED, Rule.TENANT: ENDED, Rule.HANDLE: Said(401, "credential_invalid")}
FRESH: Row = {**CARRIED, Rule.SECOND: STEP_UP, Rule.STALE: STEP_UP}
BY_ID: Row = {**FRESH, Rule.OTHERS: NOT_FOUND}
BY_CODE: Row = {**FRESH, Rule.OTHERS: REFUSED, Rule.THROTTLED: THROTTLED, Rule.LOCKED: REFUSED}

HALF_PAGE: Row = {Rule.TENANT: INVALID, Rule.STALE: INVALID, Rule.SESSION: INVALID}
OUT = Said(303, "/signin")
VISITOR: Row = {Rule.PERSON: OUT, Rule.TENANT: OUT, Rule.HANDLE: OUT}
AGAIN = Said(303, "/signin/password", ("sign_in",))
"""A page that wants a fresh proof leads to one."""
FRESH_PAGE: Row = {**VISITOR, Rule.STALE: AGAIN, Rule.SECOND: AGAIN}

CODE_PAGE: Row = {**FRESH_PAGE, Rule.OTHERS: REFUSED, Rule.THROTTLED: THROTTLED, Rule.LOCKED: REFUSED}
PROVE_PAGE: Row = {**HALF_PAGE, Rule.PERSON: REFUSED, Rule.OTHERS: REFUSED, Rule.THROTTLED: THROTTLED}
LOOK: Row = dict.fromkeys((Rule.TENANT, Rule.STALE, Rule.SESSION), OUT) | {Rule.PERSON: INVALID}
NEW = Said(200, "", ("sign_in", "ticket"))
OPTIONS: Row = {Rule.TENANT: CLOSED, Rule.PERSON: NEW, Rule.STALE: NEW, Rule.SESSION: NEW}
"""Where no sign-in runs, one begins."""

Asks = Callable[[Town], Awaitable[Ask]]
MATRIX: list[tuple[str, Asks, int, Row]] = [
    # door, what is asked, what an honest one is answered, what each rule makes of it
    ("POST /api/v1/signin", doors.signs_in, 201, ALIKE[201]),
    ("POST /api/v1/signin", doors.steps_up, 201, CARRIED),
    ("POST /api/v1/signup", doors.signs_up, 202, ALIKE[202]),
    ("POST /api/v1/recover", doors.recovers, 202, ALIKE[202]),
    ("POST /api/v1/signin/challenge", doors.asks_passkey, 200, ASK),
    ("POST /api/v1/signin/challenge", doors.asks_passkey_second, 200, ASK),
    ("POST /api/v1/signin/challenge", doors.asks_code, 200, ASK),
    ("POST /api/v1/signin/challenge", doors.asks_to_enrol_passkey, 200,
     {**HANDLE, Rule.PERSON: INVALID, Rule.SECOND: UNOFFERED}),
    ("POST /api/v1/signin/challenge", doors.asks_to_enrol_app, 200, {**HANDLE, Rule.PERSON: INVALID}),
    ("POST /api/v1/signin/prove", doors.gives_password, 200, PASSWORD),
    ("POST /api/v1/signin/prove", doors.gives_passkey, 200, PROVE),
    ("POST /api/v1/signin/prove", doors.gives_passkey_second, 200, PROVE),
    ("POST /api/v1/signin/prove", doors.gives_app, 200, LADDER),
    ("POST /api/v1/signin/prove", doors.gives_recovery_code, 200, LADDER),
    ("POST /api/v1/signin/prove", doors.gives_code, 200, PROVE),
    ("POST /api/v1/signin/prove", doors.is_born, 200, BIRTH),
    ("POST /api/v1/signin/prove", doors.gives_new_password, 200, NEW_PASSWORD),
    ("POST /api/v1/signin/prove", doors.sets_up_passkey, 200, {**SET_UP, Rule.SECOND: UNOFFERED}),
    ("POST /api/v1/signin/prove", doors.sets_up_app, 200, SET_UP),
    ("POST /api/v1/signin/finish", doors.finishes, 201, FINISH),
    ("POST /api/v1/signin/finish", doors.finishes_by_cookie, 201, FINISH),
    ("POST /api/v1/signin/finish", doors.finishes_recovered, 201, FINISH),
    ("DELETE /api/v1/me", doors.leaves, 204, FRESH),
    ("POST /api/v1/me/password", doors.sets_password, 204, FRESH),
    ("POST /api/v1/me/address", doors.moves, 202, FRESH),
    ("POST /api/v1/me/address/prove", doors.has_moved, 204, BY_CODE),
    ("POST /api/v1/me/passkeys", doors.adds_passkey, 201, FRESH),
    ("POST /api/v1/me/passkeys/prove", doors.proves_passkey, 201, BY_CODE),
    ("PATCH /api/v1/me/passkeys/{id}", doors.renames_passkey, 200, BY_ID),
    ("DELETE /api/v1/me/passkeys/{id}", doors.removes_passkey, 204, BY_ID),
    ("POST /api/v1/me/totp", doors.begins_app, 201, FRESH),
    ("GET /api/v1/me/totp/qr", doors.shows_picture, 200, FRESH),
    ("POST /api/v1/me/totp/prove", doors.proves_app, 204, BY_CODE),
    ("DELETE /api/v1/me/totp", doors.removes_app, 204, FRESH),
    ("POST /api/v1/me/recovery-codes", doors.makes_codes, 201, FRESH),
    ("PATCH /api/v1/tenants/{id}/policy", doors.changes_policy, 200, BY_ID),
    ("POST /api/v1/users/{id}/signin-link", doors.makes_link, 201, BY_ID),
    # pages
    ("POST /signin", doors.page_signs_in, 303, TO_PASSWORD),
    ("POST /signup", doors.page_signs_up, 303, TO_CODE),
    ("POST /recover", doors.page_recovers, 303, TO_CODE),
    ("POST /signin/password", doors.page_password, 303,
     {**HALF_PAGE, Rule.PERSON: REFUSED, Rule.THROTTLED: THROTTLED, Rule.LOCKED: REFUSED}),
    ("POST /signin/password", doors.page_new_password, 303,
     {**HALF_PAGE, Rule.PERSON: INVALID, Rule.SECOND: Said(422, "invalid")}),
    ("POST /signin/email-code", doors.page_code, 303,
     {**HALF_PAGE, Rule.PERSON: REFUSED, Rule.THROTTLED: THROTTLED}),
    ("POST /signin/email-code/again", doors.page_code_again, 303, HALF_PAGE),
    ("POST /account/confirm", doors.page_confirms, 303, VISITOR),
    ("POST /account/password", doors.page_sets_password, 303, FRESH_PAGE),
    ("POST /account/address", doors.page_moves, 303, FRESH_PAGE),
    ("POST /account/address/code", doors.page_has_moved, 303, CODE_PAGE),
    ("POST /account/address/undo", doors.page_undoes, 303,
     {Rule.PERSON: INVALID, Rule.HANDLE: INVALID, Rule.SESSION: INVALID}),
    ("POST /account/delete", doors.page_leaves, 303, FRESH_PAGE),
    ("POST /signin/passkey/options", doors.page_options, 200, OPTIONS),
    ("POST /signin/passkey", doors.page_passkey, 303, PROVE_PAGE),
    ("POST /signin/passkey", doors.page_sets_up_passkey, 303,
     {**SET_UP, Rule.SECOND: Said(303, "/signin/totp")}),
    ("POST /signin/totp", doors.page_app, 303, {**PROVE_PAGE, Rule.LOCKED: REFUSED}),
    ("POST /signin/totp", doors.page_sets_up_app, 303, SET_UP),
    ("GET /signin/totp", doors.page_shows_app, 200, LOOK),
    ("POST /signin/totp/offer", doors.page_offers_app, 303, {**HALF_PAGE, Rule.PERSON: INVALID}),
    ("POST /signin/recovery-code", doors.page_recovery_code, 303, {**PROVE_PAGE, Rule.LOCKED: REFUSED}),
    ("POST /signin/link", doors.page_enters_by_link, 303,
     dict.fromkeys((Rule.PERSON, Rule.TENANT, Rule.HANDLE, Rule.SESSION), INVALID)),
    ("POST /account/passkeys/options", doors.page_passkey_options, 200,
     {**VISITOR, Rule.SECOND: STEP_UP, Rule.STALE: STEP_UP}),
    ("POST /account/passkeys", doors.page_adds_passkey, 303, CODE_PAGE),
    ("POST /account/passkeys/{id}", doors.page_renames_passkey, 303, {**FRESH_PAGE, Rule.OTHERS: NOT_FOUND}),
    ("POST /account/passkeys/{id}/remove", doors.page_removes_passkey, 303, {**FRESH_PAGE, Rule.OTHERS: NOT_FOUND}),
    ("GET /account/totp", doors.page_shows_own_app, 200, {**VISITOR, Rule.SECOND: Said(200), Rule.STALE: Said(200)}),
    ("POST /account/totp/offer", doors.page_begins_app, 303, FRESH_PAGE),
    ("POST /account/totp", doors.page_proves_app, 303, CODE_PAGE),
    ("POST /account/totp/remove", doors.page_removes_app, 303, FRESH_PAGE),
    ("POST /account/recovery-codes", doors.page_makes_codes, 200, FRESH_PAGE),
]  # fmt: skip

YIELDS_NOTHING = {
    # They show, or take away; nobody can do more after one than before.
    "GET /api/v1/session", "DELETE /api/v1/session", "GET /api/v1/me", "PATCH /api/v1/me", "GET /api/v1/me/export",
    "GET /api/v1/me/activity", "GET /api/v1/me/sessions", "DELETE /api/v1/me/sessions",
    "DELETE /api/v1/me/sessions/{id}", "GET /api/v1/me/passkeys", "GET /api/v1/me/browsers", "GET /api/v1/me/factors",
    "DELETE /api/v1/me/browsers", "DELETE /api/v1/me/browsers/{id}", "GET /api/v1/tenants/{id}/policy",
    # operators' and developers'
    "GET /healthz", "GET /readyz", "GET /dev/mail", "GET /dev/mail.json", "GET /openapi.json",
    "GET /.well-known/change-password",
    # pages that are only looked at, or lead on
    "GET /login", "POST /login", "GET /signin", "GET /signup", "GET /recover", "GET /signin/password",
    "GET /signin/email-code", "GET /signout", "POST /signout", "GET /account", "POST /account",
    "GET /account/password", "GET /account/address", "GET /account/address/code", "GET /account/address/undo",
    "GET /account/address/undo/{token}", "GET /account/sessions", "POST /account/sessions",
    "POST /account/sessions/{id}", "GET /account/activity", "GET /account/export", "POST /account/export",
    "GET /account/delete", "GET /account/factors", "GET /account/passkeys/new", "GET /account/passkeys/{id}",
    "GET /account/passkeys/{id}/remove", "GET /account/recovery-codes", "GET /account/totp/remove",
    "GET /signin/passkey", "GET /signin/recovery-code", "GET /signin/link", "GET /signin/link/{token}",
    "GET /recover/stop", "GET /recover/stop/{token}", "POST /recover/stop", "GET /recover/waiting",
    "POST /account/browsers", "POST /account/browsers/{id}",
}  # fmt: skip
FILES = ("GET /docs", "GET /static/")
"""What begins so is the same file for everybody."""


async def test_every_door_is_in_one_of_the_two(lite_town: Town) -> None:
    found = {door for door in every_door(lite_town.the.gate.api) if not door.startswith(FILES)}
    yielding = {door for door, *_ in MATRIX}
    assert found - yielding - YIELDS_NOTHING == set(), "neither in the matrix nor said to yield nothing"
    assert (yielding | YIELDS_NOTHING) - found == set(), "no such door"
    assert yielding & YIELDS_NOTHING == set()


# -- breaking a rule -------------------------------------------------------------------------------

_HOURS = 7 * 3600


@dataclass
class Broken:
    """One rule, broken from behind and mended again."""

    town: Town
    rule: Rule

    @asynccontextmanager
    async def around(self, ask: Ask) -> AsyncIterator[list[Ask]]:
        """What is asked while it is broken."""
        match self.rule:
            case Rule.OTHERS:
                yield list(ask.others)
            case Rule.HANDLE:
                yield [replace(ask, secret=await self.town.after_password(self.town.anna))]
            case Rule.SESSION:
                yield [replace(ask, secret=self.town.anna.token)]
            case Rule.STALE:
                self.town.the.clock.forward(_HOURS)
                yield [ask]
                self.town.the.clock.now -= _HOURS * SECOND
            case _:
                await self.change(ask, is_broken=True)
                yield [ask]
                await self.change(ask, is_broken=False)

    async def change(self, ask: Ask, *, is_broken: bool) -> None:
        now, main = self.town.the.clock(), self.town.anna.tenant_id
        async with self.town.folk.ctx.write() as db:
            match self.rule:
                case Rule.PERSON:
                    at = update(person).where(person.c.tenant_id == main)
                    await db.change(at.values(disabled_at=now if is_broken else None))
                case Rule.TENANT:
                    at = update(tenant).where(tenant.c.id == main)
                    await db.change(at.values(disabled_at=now if is_broken else None))
                case Rule.SECOND if is_broken:
                    await self._unshown(db, ask)
                case Rule.THROTTLED | Rule.LOCKED:
                    await db.change(delete(budget))
                    for key in self._keys() if is_broken else []:
                        used, until = (10**6, now + 600 * SECOND) if self.rule is Rule.THROTTLED else (100, 0)
                        await db.add(budget, key=key, tenant_id=main, used=used, until_at=until, updated_at=now)
                case _:
                    pass

    async def _unshown(self, db: Any, ask: Ask) -> None:
        """The session was never lifted; the handle is one proof short."""
        ring = self.town.the.gate.house.ring
        if hashed := ring.presented(sessions.PREFIX, ask.secret):
            mine = update(session).where(session.c.secret_hash == hashed)
            assert await db.change(mine.values(acr=AAL1, amr='["pwd"]')) == 1
        elif hashed := ring.presented(sign_ins.PREFIX, ask.secret):
            proofs = str(list(ask.behind)).replace("'", '"')
            assert await db.change(update(sign_in).where(sign_in.c.handle_hash == hashed).values(proofs=proofs)) == 1

    def _keys(self) -> list[str]:
        if self.rule is Rule.THROTTLED:
            return ["o:127.0.0.1"]
        mine = [who.id for who in self.town.people.values()]
        ladders = [throttle.person_key(one, kind) for one in mine for kind in FACTORS.proofs]
        return [*ladders, *(f"h:{kind}:{one}" for one in mine for kind in ("address", "passkey", "totp"))]


# -- the cells -------------------------------------------------------------------------------------

_KEPT = ("session", "credential", "person", "role_grant", "tenant", "ticket", "sign_in", "outbox")
_MOVES = {"sign_in": {"spent", "refused"}, "ticket": {"taken_at"}}
"""A try is counted, and a challenge that was answered is burnt."""


async def kept(town: Town) -> dict[str, list[dict[str, Any]]]:
    everything = await town.the.everything()
    return {
        name: [{key: one for key, one in row.items() if key not in _MOVES.get(name, ())} for row in everything[name]]
        for name in _KEPT
    }


def said(answer: httpx2.Response) -> tuple[int, str]:
    if answer.status_code == 303:
        return 303, answer.headers["location"].partition("?")[0]
    if answer.headers.get("content-type") == "application/problem+json":
        return answer.status_code, code_of(answer)
    return answer.status_code, Page(answer.text).alert if "<main" in answer.text else ""


def gives_away(answer: httpx2.Response) -> bool:
    """A secret of ours in the body or in a cookie."""
    shown = answer.text + "".join(answer.headers.get_list("set-cookie"))
    found = any(prefix in shown for prefix in ("pg_ses_", "pg_brw_", "pg_lnk_", "otpauth:"))
    # A wrong first code shows the picture again, to whom it was shown before.
    return found or (answer.request.method == "GET" and 'class="qr"' in shown)


def names() -> list[str]:
    return [f"{door} {asks.__name__}" for door, asks, *_ in MATRIX]


HOURS: dict[str, Any] = {
    "tenancy": "multi", "mail": {"per_hour": 10_000, "code_life": 6 * 3600},
    "signin": {"fresh": 6 * 3600, "life": 6 * 3600}, "session": {"idle": 80_000, "touch": 80_000},
}  # fmt: skip
"""Everything that is fresh stays so, and using a session leaves no trace, until a rule is broken."""


@pytest.fixture(scope="module")
async def settled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Town]:
    """The town as it is before anything happens; each test moves into a copy of it."""
    folder = tmp_path_factory.mktemp("town")
    async with running(settings_for(folder, **HOURS)) as the:
        return folder, await Town.settled(the)


@pytest.fixture
async def lite_town(settled: tuple[Path, Town], tmp_path: Path) -> AsyncIterator[Town]:
    folder, town = settled
    shutil.copytree(folder, tmp_path / "town")
    async with running(settings_for(tmp_path / "town", **HOURS)) as the:
        yield town.moved(the)


@pytest.mark.parametrize(("door", "asks", "honest", "row"), MATRIX, ids=names())
async def test_no_broken_rule_yields_anything(lite_town: Town, door: str, asks: Asks, honest: int, row: Row) -> None:
    town, method = lite_town, door.partition(" ")[0]
    for rule, expected in row.items():
        await town.rules()
        ask = await asks(town)
        async with Broken(town, rule).around(ask) as broken:
            assert broken, f"{rule}: nothing is asked"
            for one in broken:
                before = await kept(town)
                answer = await town.send(method, one)
                assert said(answer) == expected[:2], (rule, answer.text)
                assert not gives_away(answer), rule
                after = await kept(town)
                for name in _KEPT:
                    assert name in expected.opens or after[name] == before[name], (rule, name)
        if rule is Rule.SECOND:
            await town.lift()
    await town.rules()
    ask = await asks(town)
    before = await kept(town)
    answer = await town.send(method, ask)
    assert answer.status_code == honest, answer.text
    assert await kept(town) != before or method == "GET"
