"""Example 4: the queries that the service's README and the example's own print answer with what has happened, by the
service's tables, columns and times.

Not here: the same lines as a shell runs them, and single events (log).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.authenticator import Authenticator
from tests.examples.passkey_audit import COLUMNS, HERE, Moving, Service, Who, moving
from tests.examples.programs import module
from tests.examples.seed_readme import lines, missing, seed

HOME, WORK, THIEF = "203.0.113.7", "198.51.100.8", "192.0.2.66"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


def short(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


@dataclass
class Story:
    """jane logs in from two places, a thief tries her passkey's clone and bob's address, bob looks at jane, and an
    admin looks at both."""

    made: Moving
    jane: Who
    bob: Who
    boss: Who


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with moving() as made:
        yield lived(made)


def lived(made: Moving) -> Story:
    jane = made.person("jane@example.com", Authenticator(counter=5, step=1))
    bob = made.person("bob@example.com", first_name="Bob", last_name="Roe")
    boss = made.person("admin@example.com", first_name="Admin", last_name="User")
    made.make_admin(boss)
    token = ""
    for place in (HOME, HOME, HOME, WORK):
        with made.at(place):
            token = made.token(jane)
    with made.at(THIEF):
        assert made.enter(jane, counter=1).status_code == 401
        assert made.login_complete(bob.email, made.signed(bob.email, jane.key)).status_code == 401
    assert made.show(jane.id, token).status_code == 200
    with made.at(WORK):
        assert made.show(jane.id, made.token(bob)).status_code == 403
        boss_token = made.token(boss)
        for who in (jane, bob):
            assert made.show(who.id, boss_token).status_code == 200
    return Story(made, jane, bob, boss)


def failed_logins(story: Story, found: list[dict[str, Any]]) -> None:
    names = ("user_email", "ip_address", "user_agent", "details")
    assert short(found, *names) == [
        (story.bob.email, THIEF, "Firefox on Linux", "Authentication failed: somebody_elses"),
        (story.jane.email, THIEF, "Firefox on Linux", "Authentication failed: counter"),
    ]


def several_addresses(story: Story, found: list[dict[str, Any]]) -> None:
    counted = {(row["user_email"], row["ip_address"]): row["attempts"] for row in found}
    assert counted == {
        (story.jane.email, HOME): 3,
        (story.jane.email, WORK): 1,
        (story.bob.email, WORK): 1,
        (story.boss.email, WORK): 1,
    }


def repeated(story: Story, found: list[dict[str, Any]]) -> None:
    """HAVING COUNT(*) > 1 is of one address, not of several."""
    assert short(found, "user_email", "ip_address", "attempts") == [(story.jane.email, HOME, 3)]


def denied(story: Story) -> str:
    whom = f"attempted to access user {story.jane.id}'s data"
    return f"Authorization failed: User {story.bob.email} (role: user) {whom}"


def not_authorized(story: Story, found: list[dict[str, Any]]) -> None:
    assert short(found, "user_email", "ip_address", "details") == [(story.bob.email, WORK, denied(story))]


def newest_accesses(story: Story, found: list[dict[str, Any]]) -> None:
    assert short(found, "user_email", "details") == [
        (story.boss.email, "User Bob Roe accessed by Admin User (role: admin)"),
        (story.boss.email, "User Jane Doe accessed by Admin User (role: admin)"),
        (story.bob.email, denied(story)),
        (story.jane.email, "User Jane Doe accessed by Jane Doe (role: user)"),
    ]


def everybody(story: Story, found: list[dict[str, Any]]) -> None:
    assert short(found, "id", "email", "first_name", "last_name", "role") == [
        (story.jane.id, "jane@example.com", "Jane", "Doe", "user"),
        (story.bob.id, "bob@example.com", "Bob", "Roe", "user"),
        (story.boss.id, "admin@example.com", "Admin", "User", "admin"),
    ]


def all_about_one(story: Story, found: list[dict[str, Any]]) -> None:
    logins = [("login_complete", HOME, 1), ("login_begin", HOME, 1)] * 3
    assert short(found, "event_type", "ip_address", "success") == [
        ("user_access", HERE, 1),
        ("login_complete", THIEF, 0),
        ("login_begin", THIEF, 1),
        *(("login_complete", WORK, 1), ("login_begin", WORK, 1)),
        *logins,
        ("registration_complete", HERE, 1),
    ]


QUERIES = (
    *(failed_logins, repeated, not_authorized, newest_accesses, everybody),
    *(all_about_one, failed_logins, several_addresses, not_authorized),
)
"""What each SELECT of the service's README has to find, in the order of the page."""


def selects() -> list[str]:
    """The SQL of each line with one, as printed; none where the page is missing, which the summary of the run says."""
    page = seed(4)
    if page is None:
        assert "4" in missing()
        return []
    asked = [shlex.split(line.text)[-1] for line in lines(page) if line.text.startswith("sqlite3 ")]
    return [sql for sql in asked if sql.startswith("SELECT")]


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_of_the_readme_as_printed(story: Story, number: int) -> None:
    found = selects()
    if found:
        assert len(found) == len(QUERIES)
        QUERIES[number](story, story.made.query(found[number]))


@pytest.mark.parametrize("number", range(5))
def test_a_query_of_the_examples_readme(story: Story, number: int) -> None:
    page = (Path(str(module(4).__file__)).parent / "README.md").read_text()
    asked = [shlex.split(line.text)[-1] for line in lines(page) if line.text.startswith("sqlite3 ")]
    expected = (everybody, all_about_one, failed_logins, several_addresses, not_authorized)
    assert len(asked) == len(expected)
    expected[number](story, story.made.query(asked[number]))


def test_access_by_an_admin(story: Story) -> None:
    sql = "SELECT * FROM audit_logs WHERE user_email='admin@example.com' AND event_type='user_access'"
    found = story.made.query(sql)
    assert short(found, "user_id", "ip_address", "success") == [(story.boss.id, WORK, 1)] * 2
    assert all("(role: admin)" in row["details"] for row in found)


def test_the_columns_and_times_are_those_of_the_service(story: Story) -> None:
    for view, columns in COLUMNS.items():
        rows = story.made.query(f"SELECT * FROM {view}")
        assert rows
        assert all(tuple(row) == columns for row in rows)
        assert all(TIME.fullmatch(row["created_at"]) for row in rows)
    assert TIME.fullmatch(story.made.query("SELECT date_of_birth FROM users")[0]["date_of_birth"])


def test_users_and_their_passkeys(keyed: Service) -> None:
    who = keyed.person(key=Authenticator(counter=3, step=1), date_of_birth="1990-01-15T10:30:00+02:00")
    keyed.token(who)
    [user] = keyed.query("SELECT * FROM users WHERE id = ?", who.id)
    assert (user["email"], user["role"], user["job_title"]) == (who.email, "user", "Software Engineer")
    assert user["date_of_birth"] == "1990-01-15 08:30:00.000000"
    [stored] = keyed.query("SELECT * FROM webauthn_credentials WHERE user_id = ?", who.id)
    assert stored["credential_id"] == who.key.credentials[-1].id
    assert (stored["public_key"], stored["sign_count"]) == (None, 4)
