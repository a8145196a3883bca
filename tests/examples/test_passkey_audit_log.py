"""Example 4: the rows of its audit log: each event with its outcome, whose it is and what it never has, how many there
may be, app.log, and the views themselves.

Not here: the queries that the service's README prints (queries).
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from passgate.core import erasure, jobs, ledger
from passgate.store.tables import metadata
from tests.authenticator import Authenticator
from tests.examples.passkey_audit import (
    COLUMNS,
    FAR_AWAY,
    HERE,
    NOBODY,
    Service,
    Who,
    moving,
    new_gate,
    options_of,
    rows_of,
    service,
    variables,
)
from tests.examples.programs import module

ELSEWHERE = "198.51.100.8"
BOTH = ("event_type", "success")


def last(made: Service, **wanted: Any) -> dict[str, Any]:
    return made.logs(**wanted)[-1]


def short(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


# -- events ------------------------------------------------------------------------------------------


def events_of(made: Service, before: int) -> list[tuple[Any, ...]]:
    return short(made.logs()[before:], *BOTH)


def test_each_attempt_is_one_row(keyed: Service) -> None:
    """The service wrote two for one wrong credential."""
    email, key, before = keyed.new(), Authenticator(), len(keyed.logs())
    keyed.register_complete(email, keyed.created(email, Authenticator(), uv=False))
    who = keyed.person(email, key)
    keyed.enter(who, uv=False)
    token = keyed.token(who)
    keyed.show(who.id, token), keyed.show(NOBODY, token), keyed.show(who.id, "x"), keyed.show(who.id)
    assert events_of(keyed, before) == [
        *(("registration_begin", 1), ("registration_complete", 0)),
        *(("registration_begin", 1), ("registration_complete", 1)),
        *(("login_begin", 1), ("login_complete", 0)),
        *(("login_begin", 1), ("login_complete", 1)),
        *(("user_access", 1), ("user_access", 0), ("user_access", 0)),
    ]


def test_whose_row_it_is(keyed: Service) -> None:
    who, boss = keyed.person(), keyed.person()
    keyed.make_admin(boss)
    mine = last(keyed, event_type="registration_complete", user_id=who.id)
    assert (mine["user_email"], mine["details"]) == (who.email, "User registered")
    keyed.login_begin(who.email.upper())
    begun = last(keyed, event_type="login_begin")
    assert (begun["user_email"], begun["user_id"]) == (who.email, who.id)
    keyed.show(who.id, keyed.token(boss))
    accessed = last(keyed, event_type="user_access")
    assert (accessed["user_email"], accessed["user_id"]) == (boss.email, boss.id)


def test_what_was_asked_for_and_is_not_there(keyed: Service) -> None:
    boss, who = keyed.person(), keyed.person()
    keyed.make_admin(boss)
    keyed.show(NOBODY, keyed.token(boss))
    row = last(keyed, event_type="user_access")
    assert (row["user_email"], row["success"], row["details"]) == (boss.email, 0, f"User not found: {NOBODY}")
    token = keyed.token(who)
    for asked, named in ((NOBODY, NOBODY), ("me@example.com", "unknown"), ("%3Cscript%3E", "unknown")):
        keyed.show(asked, token)
        details = last(keyed, event_type="user_access")["details"]
        assert details.endswith(f"attempted to access user {named}'s data")


def test_a_challenge_that_is_not_there(keyed: Service) -> None:
    """Used, or of nobody's ceremony: a refusal as any other."""
    who = keyed.person()
    answer = keyed.signed(who.email, who.key)
    assert [keyed.login_complete(who.email, answer).status_code for _ in range(2)] == [200, 400]
    row = last(keyed)
    assert (row["event_type"], row["success"], row["user_email"]) == ("login_complete", 0, who.email)
    created = Authenticator().create(options_of(keyed.register_begin(keyed.new())), keyed.origin)
    assert keyed.register_complete(who.email, created).status_code == 400
    row = last(keyed)
    assert (row["event_type"], row["success"], row["user_email"]) == ("registration_complete", 0, who.email)


def test_promotions(keyed: Service) -> None:
    """Under whoever promotes, with whom."""
    boss, who = keyed.person(first_name="Root"), keyed.person()
    keyed.make_admin(boss)
    assert keyed.promote(boss.id, keyed.token(who)).status_code == 403
    row = last(keyed)
    assert (row["event_type"], row["success"], row["user_id"]) == ("user_promote", 0, who.id)
    assert row["details"].endswith(f"attempted to promote user {boss.id}")
    assert keyed.promote(who.id, keyed.token(boss)).status_code == 200
    row = last(keyed)
    assert (row["event_type"], row["success"], row["user_id"]) == ("user_promote", 1, boss.id)
    assert row["details"] == "User Jane Doe promoted to admin by Root Doe (role: admin)"


def test_a_refused_step_up_is_no_login(keyed: Service) -> None:
    who = keyed.person()
    token, before = keyed.token(who), len(keyed.logs())
    begun = keyed.ask("POST", "/auth/api/v1/signin", token, json={"step_up": {}}).json()
    at = {"authorization": f"Bearer {begun['handle']}"}
    asked = keyed.ask("POST", "/auth/api/v1/signin/challenge", json={"factor": "passkey"}, headers=at).json()
    wrong = who.key.get(asked["challenge"], "https://elsewhere.example")
    proof = {"factor": "passkey", "answer": wrong}
    assert keyed.ask("POST", "/auth/api/v1/signin/prove", json=proof, headers=at).status_code == 403
    assert len(keyed.logs()) == before


def test_a_token_that_is_refused(keyed: Service) -> None:
    """With why, and without the token. A missing one is no event."""
    who = keyed.person()
    token, before = keyed.token(who), len(keyed.logs())
    keyed.show(who.id), keyed.promote(who.id)
    assert len(keyed.logs()) == before
    keyed.forward(hours=2)
    for wrong in ("x", token, f"{token}x"):
        keyed.show(who.id, wrong)
        row = last(keyed)
        assert short([row], *BOTH, "user_email", "ip_address") == [("user_access", 0, None, HERE)]
        assert re.fullmatch(r"Bearer token refused: (credential_invalid|session_ended)", row["details"])
    keyed.promote(who.id, "x")
    assert len(keyed.logs()) == before + 4


def test_an_address_without_an_account_is_in_no_row(keyed: Service) -> None:
    """It would outlive whoever typed it; a hash of it, with a key, says that it was the same one."""
    email, who = keyed.new(), keyed.person()
    keyed.login_complete(email, keyed.signed(email, who.key))
    keyed.login_begin(email), keyed.register_begin(email)
    rows = keyed.logs()[-4:]
    assert short(rows, *BOTH) == [
        *(("login_begin", 1), ("login_complete", 0), ("login_begin", 1), ("registration_begin", 1)),
    ]
    assert {(row["user_email"], row["user_id"]) for row in rows} == {(None, None)}
    hashes = [re.search(r"email hash: ([0-9a-f]{64})", rows[at]["details"]) for at in (0, 2, 3)]
    assert len({found[1] for found in hashes if found}) == 1
    assert all(hashes)
    everything = json.dumps(keyed.query("SELECT facts, personal FROM audit_event"))
    assert email not in everything


def test_a_taken_address_is_a_row_about_its_owner(keyed: Service) -> None:
    """That the passkey was good is not what was wrong."""
    who, before = keyed.person(), len(keyed.logs())
    answer = keyed.register_complete(who.email, keyed.created(who.email, Authenticator(), origin=keyed.origin))
    assert answer.status_code == 400
    assert short(keyed.logs()[before:], *BOTH, "user_email") == [
        ("registration_begin", 1, who.email),
        ("registration_complete", 0, who.email),
    ]


@pytest.mark.parametrize(
    "name", ["it's", 'a "quote"', "%s {0} || x", "Łucja ü", "<script>", "'; DROP TABLE person; --"]
)
def test_names_are_nothing_but_text(keyed: Service, name: str) -> None:
    who = keyed.person(first_name=name)
    keyed.show(who.id, keyed.token(who))
    text = f"User {name} Doe accessed by {name} Doe (role: user)"
    assert last(keyed, event_type="user_access")["details"] == text
    assert keyed.query("SELECT first_name FROM users WHERE id = ?", who.id) == [{"first_name": name}]


def test_somebody_without_a_profile(keyed: Service) -> None:
    """As an operator makes them, or who signs up at /auth."""

    async def make() -> str:
        return (await keyed.gate.at(None, tenant="main").users.create(email="bare@example.com")).id

    bare, boss = keyed.run(make), keyed.person()
    keyed.make_admin(boss)
    found = keyed.show(bare, keyed.token(boss)).json()
    assert {found[name] for name in ("first_name", "last_name", "job_title", "date_of_birth")} <= {"", None}
    assert last(keyed, event_type="user_access")["details"]
    [row] = keyed.query("SELECT * FROM users WHERE id = ?", bare)
    assert row["email"] == "bare@example.com"


# -- erasure and the chain ---------------------------------------------------------------------------


def erase(made: Service, who: Who) -> None:
    async def run() -> None:
        await made.gate.at(None, tenant="main").users.delete(who.id)
        await jobs.tidy(made.gate.services)
        await erasure.scrub(made.gate.services)

    made.run(run)


def test_erasing_a_person_empties_what_is_theirs(keyed: Service) -> None:
    """The rows stay, and the chain with them."""
    who, boss = keyed.person(first_name="Quixotic"), keyed.person()
    keyed.make_admin(boss)
    keyed.enter(who, uv=False)
    keyed.show(boss.id, keyed.token(who))
    keyed.show(who.id, keyed.token(boss))
    before = [row["id"] for row in keyed.logs(user_id=who.id)]
    erase(keyed, who)
    rows = keyed.logs(user_id=who.id)
    assert [row["id"] for row in rows] == before
    assert {(row["user_email"], row["ip_address"], row["user_agent"]) for row in rows} == {(None, None, None)}
    for view in COLUMNS:
        text = str(keyed.query(f"SELECT * FROM {view}"))
        assert who.email not in text
        assert "Quixotic" not in text
    assert keyed.query("SELECT * FROM users WHERE id = ?", who.id) == []
    theirs = last(keyed, event_type="user_access", user_email=boss.email)
    assert theirs["details"] == f"User {who.id} accessed by Jane Doe (role: user)".replace(
        "(role: user)", "(role: admin)"
    )


def test_the_chain_shows_that_nobody_has_changed_it(keyed: Service) -> None:
    who = keyed.person()
    keyed.token(who)
    keyed.settle()
    report = keyed.run(ledger.verify, keyed.gate.services)
    assert (report.ok, report.waiting) == (True, 0)
    database = sqlite3.connect(keyed.gate.settings.database_file, timeout=10)
    with database:
        [facts] = database.execute("SELECT facts FROM audit_event WHERE event LIKE 'webauthn:%' LIMIT 1").fetchone()
        change = "UPDATE audit_event SET facts = ? WHERE event LIKE 'webauthn:%' AND facts = ?"
        database.execute(change, (facts.replace("true", "false"), facts))
    assert not keyed.run(ledger.verify, keyed.gate.services).ok
    with database:
        database.execute(change, (facts, facts.replace("true", "false")))
    database.close()


# -- the budget --------------------------------------------------------------------------------------


def throttled(answer: httpx2.Response) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.json().keys() == {"detail"}
    assert 0 < int(answer.headers["retry-after"]) <= 600


def test_a_hundred_events_in_ten_minutes() -> None:
    """Of one network. Then it is refused before anything is written; others go on, and so does whoever is logged in."""
    with moving(FAR_AWAY[0]) as made:
        who = made.person()
        token, waiting = made.token(who), made.signed(who.email, who.key)
        for _ in range(97):
            assert made.login_begin(made.new()).status_code == 200
        written = [made.query(f"SELECT * FROM {name}") for name in ("audit_event", "ticket", "person")]
        for answer in (
            *(made.login_begin(who.email), made.login_begin(made.new()), made.register_begin(made.new())),
            *(made.show(who.id, "x"), made.promote(who.id, "x")),
        ):
            throttled(answer)
        assert [made.query(f"SELECT * FROM {name}") for name in ("audit_event", "ticket", "person")] == written
        assert made.show(who.id, token).status_code == 200
        assert made.login_complete(who.email, waiting).status_code == 200, "what was begun can be completed"
        with made.at(ELSEWHERE):
            assert made.login_begin(who.email).status_code == 200
        made.forward(minutes=10.1)
        assert made.login_begin(who.email).status_code == 200


# -- app.log -----------------------------------------------------------------------------------------


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[tuple[Service, Path]]:
    """A program that writes app.log."""
    path, log = tmp_path / "app.log", logging.getLogger("audit")
    found = variables()
    gate = new_gate(found)
    module(4, "audit").to_file(gate, str(path))
    try:
        with service(gate, found) as made:
            yield made, path
    finally:
        for handler in [*log.handlers]:
            log.removeHandler(handler)
            handler.close()


def test_app_log_has_a_line_for_each_event_and_ids_alone(
    logged: tuple[Service, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made, path = logged
    who, boss, unknown = made.person(first_name="Quixotic"), made.person(), made.new()
    made.make_admin(boss)
    challenge = options_of(made.login_begin(who.email))["challenge"]
    made.enter(who, uv=False), made.login_complete(unknown, made.signed(unknown, who.key))
    made.register_complete(who.email, made.created(who.email, Authenticator(), origin=made.origin))
    token, boss_token = made.token(who), made.token(boss)
    for sent in (token, boss_token, "x"):
        made.show(who.id, sent), made.show(boss.id, sent), made.show(NOBODY, sent)
    made.settle()
    rows, text = made.logs(), path.read_text()
    written = [dict(part.split("=") for part in line.split() if "=" in part) for line in text.splitlines()]
    assert [one["id"] for one in sorted(written, key=lambda one: one["id"])] == [row["id"] for row in rows]
    outcome = {one["id"]: "success" in line for one, line in zip(written, text.splitlines(), strict=True)}
    assert outcome == {row["id"]: bool(row["success"]) for row in rows}
    users = {row["id"]: row["user_id"] or "nobody" for row in rows}
    assert {one["id"]: one["user"] for one in written} == users
    everything = text + caplog.text
    for secret in (who.email, boss.email, unknown, token, boss_token, challenge, "Quixotic", HERE):
        assert secret not in text
        assert secret not in everything or secret == HERE


# -- the views themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        *("UPDATE users SET role='admin' WHERE email='admin@example.com'", "DELETE FROM users"),
        *("UPDATE audit_logs SET success=1", "DELETE FROM audit_logs", "INSERT INTO audit_logs (id) VALUES ('x')"),
        *("INSERT INTO users (id) VALUES ('x')", "UPDATE webauthn_credentials SET sign_count=0"),
    ],
)
def test_a_view_refuses_to_be_written(keyed: Service, sql: str) -> None:
    database = sqlite3.connect(keyed.gate.settings.database_file, timeout=10)
    with pytest.raises(sqlite3.OperationalError, match="view"):
        database.execute(sql)
    database.close()


def test_the_views_are_not_of_our_schema(keyed: Service) -> None:
    assert not COLUMNS.keys() & metadata.tables.keys()
    kinds = keyed.query("SELECT name FROM sqlite_master WHERE type = 'view'")
    assert {row["name"] for row in kinds} == COLUMNS.keys()


def test_they_are_made_anew_at_each_start(tmp_path: Path) -> None:
    """Also where an older version has left others, and nothing is lost by it."""
    given: dict[str, Any] = {"data": tmp_path, "database_url": SecretStr(f"sqlite:///{tmp_path / 'app.db'}")}
    found = variables()
    with service(new_gate(found, **given), found) as made:
        who = made.person()
    database = sqlite3.connect(tmp_path / "app.db")
    for view in COLUMNS:
        database.executescript(f"DROP VIEW {view}; CREATE VIEW {view} AS SELECT gone FROM lost;")
    database.close()
    with pytest.raises(sqlite3.OperationalError):
        rows_of(tmp_path / "app.db", "SELECT * FROM users")
    with service(new_gate(found, **given), found) as made:
        assert short(made.query("SELECT id, email FROM users"), "id", "email") == [(who.id, who.email)]
        assert made.enter(who).status_code == 200
        assert made.logs(event_type="login_complete", user_id=who.id)
