"""Every command that answers and ends: its output, its effects, its refusals."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from passgate import Passgate
from passgate.core.keys import MARGIN, PUBLISHED
from passgate.settings import HashSettings
from passgate.store import SCHEMA, Store
from passgate.store.tables import tenant
from tests.cli.shell import Shell
from tests.kit import PASSWORD, handle_of, running, settings_for
from tests.servers import Postgres

SECRET = "Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA"
WAIT = PUBLISHED + MARGIN


def test_policy_explains_its_decision(shell: Shell) -> None:
    shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD)
    result = shell("policy", "explain", "anna@example.com", "--proved", "password", "--json").json
    assert (result["decision"], result["amr"], result["acr"], result["has"]) == (
        "enough",
        ["pwd"],
        "urn:passgate:aal1",
        ["password"],
    )
    assert result["reasons"]
    with_app = ("policy", "explain", "--has", "password,totp", "--proved", "password")
    result = shell(*with_app, "--json").json
    assert (result["decision"], result["need"]) == ("need", [["totp"]])
    assert shell(*with_app, "--remembered", "--json").json["decision"] == "enough"
    assert shell(*with_app, "--remembered", "--acr", "aal2", "--json").json["decision"] == "need"
    assert (
        shell("policy", "explain", "--has", "password", "--purpose", "step_up", "--acr", "phr", "--json").json[
            "decision"
        ]
        == "refuse"
    )
    assert len(shell(*with_app).out.splitlines()) == 2
    wrong = shell("policy", "explain", "--proved", "telepathy", "--acr", "aal9", "--purpose", "fun", "--has", "luck")
    assert (wrong.code, wrong.codes[0]) == (1, "invalid")
    assert shell("policy", "explain", "nobody@example.com").codes == ["not_found"]


def test_usernames(lite_shell: Shell) -> None:
    """Given where the policy has them; listed and found."""
    shell = lite_shell
    assert shell("user", "add", "anna@example.com").code == 0
    assert shell("user", "add", "ben@example.com", "--username", "ben").codes == ["invalid"]
    with closing(sqlite3.connect(shell.data / "passgate.db")) as db, db:
        db.execute('UPDATE tenant SET policy = \'{"usernames": "optional"}\'')
    made = shell("user", "add", "ben@example.com", "--username", "Admin", "--json")
    assert (made.code, made.json["username"]) == (0, "Admin")
    assert shell("user", "add", "carl@example.com", "--username", "admin").codes == ["conflict"]
    assert shell("user", "add", "carl@example.com", "--username", "me").codes == ["invalid"]
    found = shell("user", "list", "--search", "adm")
    assert found.out.split()[1:] == ["ben@example.com", "Admin", "user"]
    listed = shell("user", "list", "--json").json["items"]
    assert [one["username"] for one in listed] == [None, "Admin"]


def test_people(shell: Shell) -> None:
    made = shell("user", "add", "Anna@Example.com", "--role", "owner", "--password-stdin", "--json", typed=PASSWORD)
    assert made.code == 0, made.err
    names = {"id", "email", "username", "email_verified", "profile", "roles", "created_at", "updated_at"}
    assert set(made.json) == {*names, "disabled", "last_used_at"}
    assert (made.json["email"], made.json["email_verified"], made.json["roles"]) == (
        "Anna@example.com",
        True,
        ["owner"],
    )
    assert made.json["created_at"].endswith("Z")
    again = shell("user", "add", "anna@example.com")
    assert (again.code, again.codes) == (1, ["conflict"])
    assert shell("user", "add", "bert@example.com").code == 0
    given = shell("role", "give", "bert@example.com", "admin", "--json")
    assert given.json["roles"] == ["admin", "user"]
    taken = shell("role", "take", "bert@example.com", "user", "--json")
    assert taken.json["roles"] == ["admin"]
    assert shell("user", "disable", "bert@example.com", "--json").json["disabled"] is True
    assert shell("user", "enable", "bert@example.com", "--json").json["disabled"] is False
    assert shell("user", "disable", "bert@example.com").code == 0
    listed = shell("user", "list", "--json").json
    assert [(one["email"], one["disabled"]) for one in listed["items"]] == [
        ("Anna@example.com", False),
        ("bert@example.com", True),
    ]
    found = shell("user", "list", "--search", "ANN", "--json").json
    assert [one["email"] for one in found["items"]] == ["Anna@example.com"]
    link = shell("user", "signin-link", "anna@example.com")
    assert re.fullmatch(r"http://localhost(:\d+)?/signin/link/pg_lnk_[\w-]{70}\n", link.out)
    assert shell("user", "signin-link", "anna@example.com", "--json").json["url"] != link.out.strip()
    assert shell("user", "signin-link", "bert@example.com").codes == ["conflict"]
    assert shell("user", "signin-link", "nobody@example.com").codes == ["not_found"]
    assert len(shell("user", "list").out.splitlines()) == 2
    events = [row["event"] for row in shell("audit", "tail", "-n", "100", "--json").json["items"]]
    assert events == [
        "account:created",
        "role:given",
        "account:password:set",
        "account:created",
        "role:given",
        "role:given",
        "role:taken",
        "account:disabled",
        "account:enabled",
        "account:disabled",
        "users:listed",
        "users:listed",
        "signin:link:made",
        "signin:link:made",
        "users:listed",
    ]


def test_roles_of_a_tenant(shell: Shell) -> None:
    """Each tenant has its own, and one that somebody has goes only when it is taken from them."""
    assert shell("tenant", "add", "acme").code == 0
    for at, permission in (("main", "audit:read"), ("acme", "users:read")):
        made = shell(
            *("role", "add", "auditor", "--permission", "me:read", "--permission", permission),
            *("--description", "Looks", "--tenant", at, "--json"),
        )
        assert made.code == 0, made.err
        assert made.json["permissions"] == sorted(["me:read", permission])
        assert (made.json["description"], made.json["built_in"], made.json["created_at"][-1]) == ("Looks", False, "Z")
    assert shell("user", "add", "anna@example.com", "--role", "auditor", "--json").json["roles"] == ["auditor"]
    assert shell("user", "add", "ben@example.com").code == 0
    assert shell("role", "give", "ben@example.com", "auditor", "--json").json["roles"] == ["auditor", "user"]
    items = shell("role", "list", "--tenant", "acme", "--json").json["items"]
    assert [one["name"] for one in items] == ["owner", "admin", "user", "read_only", "auditor"]
    assert shell("role", "list").out.splitlines()[-1].split() == ["auditor", "audit:read", "me:read"]
    for argv, code in (
        (("add", "auditor"), "conflict"),
        (("add", "owner"), "invalid"),
        (("add", "other", "--permission", "users:fly"), "invalid"),
        (("remove", "nobody"), "not_found"),
        (("remove", "admin"), "conflict"),
        (("remove", "auditor"), "conflict"),
        (("list", "--tenant", "ghost"), "not_found"),
    ):
        assert shell("role", *argv).codes[:1] == [code], argv
    assert shell("role", "remove", "auditor", "--tenant", "acme", "--json").json == {"taken": 0}
    assert shell("role", "remove", "auditor", "--take", "--json").json == {"taken": 2}
    assert [one["roles"] for one in shell("user", "list", "--json").json["items"]] == [[], ["user"]]
    assert shell("role", "add", "auditor").out.split() == ["auditor", "-"]


def test_sessions_of_a_user(shell: Shell) -> None:
    """Newest first, with what carries each, and without anything that opens one."""
    shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD)
    assert shell("user", "sessions", "anna@example.com", "--json").json == {"items": [], "next": None}
    carriers = ("bearer", "cookie", "jwt")
    answers = asyncio.run(_signed_in(shell, "anna@example.com", *carriers))
    listed = shell("user", "sessions", "anna@example.com", "--json")
    items = listed.json["items"]
    assert [item["carrier"] for item in items] == [*reversed(carriers)]
    assert [item["id"] for item in items] == [answer["session"]["id"] for answer in reversed(answers)]
    assert {(item["acr"], item["client"]["browser"]) for item in items} == {("urn:passgate:aal1", "Firefox")}
    assert {item["created_at"][-1] for item in items} == {"Z"}
    lines = shell("user", "sessions", "anna@example.com").out.splitlines()
    assert [line.split()[:2] for line in lines] == [[item["id"], item["carrier"]] for item in items]
    secrets = [value for answer in answers for name, value in answer.items() if name.endswith("token")]
    assert len(secrets) == 3
    assert shell("user", "sign-out", "anna@example.com", "--json").json == {"ended": 3}
    assert shell("user", "sessions", "anna@example.com", "--json").json["items"] == []
    assert [secret for secret in secrets if secret in listed.out] == []
    assert shell("user", "disable", "anna@example.com").code == 0
    assert shell("user", "sessions", "anna@example.com", "--json").json["items"] == []
    assert shell("user", "sessions", "nobody@example.com").codes == ["not_found"]


async def _signed_in(shell: Shell, email: str, *carriers: str) -> list[dict[str, Any]]:
    """What each sign-in answered."""
    settings = settings_for(shell.data, shell.env.get("PASSGATE_DATABASE_URL"))
    answers = []
    async with running(settings, real_world=True) as the:
        for carrier in carriers:
            handle = handle_of(await the.start(email))
            assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
            answers.append((await the.finish(handle, carrier)).json())
            the.http.cookies.clear()
    return answers


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("user", "disable", "anna@example.com"), "conflict"),  # the last owner
        (("role", "take", "anna@example.com", "owner"), "conflict"),
        (("user", "disable", "nobody@example.com"), "not_found"),
        (("role", "give", "anna@example.com", "emperor"), "invalid"),
        (("user", "add", "no address"), "invalid"),
        (("user", "add", "\udcff@example.com"), "invalid"),
        (("user", "add", "carl@example.com", "--role", "emperor"), "invalid"),
        (("user", "add", "carl@example.com", "--tenant", "ghost"), "not_found"),
        (("tenant", "add", "main"), "invalid"),
        (("tenant", "add", "acme", "--signup", "perhaps"), "invalid"),
        (("tenant", "rename", "ghost", "Ghost"), "not_found"),
        (("tenant", "rename", "main", "Pass\ngate"), "invalid"),
        (("tenant", "rename", "main", "\udcff"), "invalid"),
        (("tenant", "rename", "main", " "), "invalid"),
        (("audit", "tail", "--tenant", "ghost"), "not_found"),
    ],
)
def test_refusals_change_nothing(lite_shell: Shell, argv: tuple[str, ...], code: str) -> None:
    lite_shell("user", "add", "anna@example.com", "--role", "owner")
    before = _rows(lite_shell.data)
    refused = lite_shell(*argv)
    assert (refused.code, refused.codes[:1], refused.out) == (1, [code], "")
    assert _rows(lite_shell.data) == before


def _rows(data: Path) -> list[object]:
    with closing(sqlite3.connect(data / "passgate.db")) as db:
        tables = ("person", "role_grant", "tenant", "audit_event", "credential")
        return [db.execute(f"SELECT * FROM {name}").fetchall() for name in tables]


def test_a_password_follows_the_rules_and_is_never_printed(lite_shell: Shell) -> None:
    weak = lite_shell("user", "add", "anna@example.com", "--password-stdin", typed="password1\n")
    assert (weak.code, weak.codes) == (1, ["password_refused"])
    assert "password: short" in weak.err
    for done in (weak, lite_shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD + "\n")):
        assert PASSWORD not in done.out + done.err
        assert "password1" not in done.out + done.err


@pytest.mark.parametrize(
    "argv", [("user", "ad"), ("user", "add"), ("audit", "tail", "-n", "none"), ("--what",), ("demo", "--port", "70000")]
)
def test_bad_usage_is_2(lite_shell: Shell, argv: tuple[str, ...]) -> None:
    assert lite_shell(*argv).code == 2
    assert not lite_shell.data.exists()


def test_tenants(shell: Shell) -> None:
    made = shell("tenant", "add", "acme", "--display", "Acme GmbH", "--signup", "closed", "--json")
    assert made.code == 0, made.err
    assert set(made.json) == {"id", "name", "display_name"}
    assert made.json["display_name"] == "Acme GmbH"
    assert shell("tenant", "add", "beta", "--signup", "shut").codes == ["invalid"]
    assert shell("tenant", "add", "ACME").codes == ["tenant_name_taken"]
    renamed = shell("tenant", "rename", "acme", "Acme AG", "--json")
    assert renamed.json == {**made.json, "display_name": "Acme AG"}
    assert shell("tenant", "rename", "ACME", "Acme AG").out.split() == [made.json["id"], "acme", "Acme", "AG"]
    assert shell("user", "add", "anna@example.com", "--tenant", "acme").code == 0
    assert shell("user", "list", "--json").json["items"] == []
    assert len(shell("user", "list", "--tenant", "acme", "--json").json["items"]) == 1
    assert len(shell("audit", "tail", "--tenant", "acme", "--json").json["items"]) == 5


def test_main_is_named_before_the_first_start(lite_shell: Shell) -> None:
    """A deployment's script does it once, and each time again."""
    for _ in range(2):
        done = lite_shell("tenant", "rename", "main", " Acme ", "--json")
        assert (done.code, done.json["name"], done.json["display_name"]) == (0, "main", "Acme"), done.err
    events = [one["event"] for one in lite_shell("audit", "tail", "--json").json["items"]]
    assert events.count("tenant:changed") == 1


def test_keys_turn(shell: Shell) -> None:
    shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD)
    first = json.loads((shell.data / "passgate.keys").read_text())["keys"]
    done = shell("key", "rotate", "--json").json
    assert (done["made"], done["rewrapped"]) == (True, 1)
    second = json.loads((shell.data / "passgate.keys").read_text())["keys"]
    assert (second[1:], len(second)) == (first, 2)
    assert all(key not in json.dumps(done) for key in second)
    assert _mode(shell.data / "passgate.keys") == 0o600
    assert shell("audit", "verify").code == 0
    assert shell("audit", "tail", "-n", "1", "--json").json["items"][0]["event"] == "key:rotated"


def test_keys_from_the_settings_turn_there(lite_shell: Shell) -> None:
    newer = SECRET[::-1]
    lite_shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD, SECRETS=SECRET)
    done = lite_shell("key", "rotate", "--json", SECRETS=f"{newer},{SECRET}").json
    assert (done["made"], done["rewrapped"]) == (False, 1)
    assert not (lite_shell.data / "passgate.keys").exists()


def test_signing_keys_turn(shell: Shell) -> None:
    """The first signs at once, the next one later; asked for again, it stays the next. The key file is not touched."""
    shell("user", "add", "anna@example.com")
    root = (shell.data / "passgate.keys").read_bytes()
    began = datetime.now(UTC)
    first, second, third = (shell("key", "rotate", "--signing", "--json").json for _ in range(3))
    assert set(first) == {"key_id", "algorithm", "made", "signs_at"}
    assert [one["algorithm"] for one in (first, second, third)] == ["ES256"] * 3
    assert [one["made"] for one in (first, second, third)] == [True, True, False]
    assert first["key_id"] != second["key_id"] == third["key_id"]
    waits = [(datetime.fromisoformat(one["signs_at"]) - began).total_seconds() for one in (first, second)]
    assert (waits[0] < WAIT, waits[1] >= WAIT) == (True, True)
    again = shell("key", "rotate", "--signing")
    assert (second["key_id"] in again.out, second["signs_at"] in again.out, again.err != "") == (True, True, True)
    other = shell("key", "rotate", "--signing", "--json", TOKEN__ALGORITHM="EdDSA").json
    assert (other["algorithm"], other["made"]) == ("EdDSA", True)
    assert (shell.data / "passgate.keys").read_bytes() == root
    events = [row["event"] for row in shell("audit", "tail", "-n", "100", "--json").json["items"]]
    assert (events.count("key:signing:added"), events.count("key:rotated")) == (3, 0)
    assert shell("audit", "verify").code == 0


def test_a_key_file_of_yesterday(shell: Shell) -> None:
    """`doctor` says that the keys don't open the database, and names each that should sign and cannot, and what to do.
    A server would start; commands are refused, because they would write with a key that verifies nothing."""
    shell("user", "add", "anna@example.com")
    keys = shell.data / "passgate.keys"
    yesterday = keys.read_bytes()
    signing = shell("key", "rotate", "--signing", "--json").json["key_id"]
    assert shell("doctor").out == "ok\n"
    assert shell("key", "rotate").code == 0
    newest = keys.read_bytes()
    keys.write_bytes(yesterday)
    examined = shell("doctor", "--json")
    wrong, item = examined.json["items"]
    assert (examined.code, wrong["code"]) == (1, "KEYS_WRONG")
    assert (item["code"], signing in item["text"]) == ("SIGNING_KEY_UNREADABLE", True)
    assert shell("doctor").out == "".join(f"{one['code']} {one['text']}\n" for one in (wrong, item))
    assert shell("user", "list").codes == ["KEYS_WRONG"]
    keys.write_bytes(newest)
    assert shell("doctor").out == "ok\n"


ALL = (
    ("user", "add", "ben@example.com"),
    ("user", "list"),
    ("role", "give", "anna@example.com", "owner"),
    ("tenant", "add", "acme"),
    ("policy", "explain"),
    ("audit", "verify"),
    ("audit", "tail"),
    ("audit", "export"),
    ("key", "rotate"),
    ("key", "rotate", "--signing"),
)


@pytest.mark.parametrize("has_served", [False, True])
def test_no_second_root_key_is_made(shell: Shell, tmp_path: Path, *, has_served: bool) -> None:
    """The keys of a host's program come from elsewhere. Commands that don't find them make none and write nothing: one
    trail under two keys could be verified with neither."""
    shell("user", "add", "anna@example.com", SECRETS=SECRET)
    if has_served:
        asyncio.run(_served(shell, SECRET))
    keys, before = shell.data / "passgate.keys", shell("audit", "tail", "--json", SECRETS=SECRET).json
    for other, code in (({}, "KEYS_MISSING"), ({"SECRETS": SECRET[::-1]}, "KEYS_WRONG")):
        for command in ALL:
            refused = shell(*command, **other)
            assert (refused.code, refused.codes, refused.out) == (1, [code], ""), command
            assert "PASSGATE_SECRETS" in refused.err
        examined = shell("doctor", "--json", **other)
        assert (examined.code, [item["code"] for item in examined.json["items"]]) == (1, [code])
        if "PASSGATE_DATABASE_URL" not in shell.env:
            copied = shell("backup", str(tmp_path / f"{code}.db"), **other)
            assert (copied.code, code in copied.err) == (0, True)
        assert not keys.exists()
    lost = shell("serve")
    assert (lost.code, lost.codes, str(keys) in lost.err) == (1, ["KEYS_MISSING"], True)
    assert shell("worker").codes == ["KEYS_MISSING"]
    assert not keys.exists()
    assert shell("audit", "tail", "--json", SECRETS=SECRET).json == before
    assert shell("audit", "verify", SECRETS=SECRET).code == 0


async def _served(shell: Shell, secret: str) -> None:
    settings = settings_for(shell.data, shell.env.get("PASSGATE_DATABASE_URL"), secrets=(secret,))
    async with Passgate(settings).running(work=False):
        pass


def test_the_trail_names_what_was_changed(lite_shell: Shell, tmp_path: Path) -> None:
    lite_shell("user", "add", "anna@example.com")
    fine = lite_shell("audit", "verify", "--json")
    assert (fine.code, fine.json["ok"], fine.json["waiting"]) == (0, True, 2)
    with closing(sqlite3.connect(lite_shell.data / "passgate.db")) as db, db:
        db.execute("UPDATE audit_event SET facts = '{}' WHERE event = 'role:given'")
    wrong = lite_shell("audit", "verify", "--json")
    assert (wrong.code, [one["what"] for one in wrong.json["findings"]]) == (1, ["changed"])
    stored = tmp_path / "trail.jsonl"
    assert lite_shell("audit", "export", str(stored)).code == 0
    assert _mode(stored) == 0o600
    lines = [json.loads(line) for line in stored.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["account:created", "role:given", "audit:exported"]
    assert lite_shell("audit", "export", str(stored)).codes == ["conflict"]
    assert lite_shell("audit", "export").out.splitlines()[:3] == stored.read_text().splitlines()


def test_backup_and_restore(lite_shell: Shell, tmp_path: Path) -> None:
    lite_shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD)
    folder = tmp_path / "copy"
    folder.mkdir()
    done = lite_shell("backup", str(folder), "--with-keys", "--json")
    assert done.json == {"database": str(folder / "passgate.db"), "keys": str(folder / "passgate.keys")}
    assert sorted(path.name for path in folder.iterdir()) == ["passgate.db", "passgate.keys"]
    assert {_mode(path) for path in folder.iterdir()} == {0o600}
    assert lite_shell("backup", str(folder)).codes == ["conflict"]
    restored = lite_shell("--data", str(folder), "user", "list", "--json")
    assert [one["email"] for one in restored.json["items"]] == ["anna@example.com"]
    assert lite_shell("--data", str(folder), "audit", "verify").code == 0
    single = lite_shell("backup", str(tmp_path / "one.db"), "--with-keys", "--json").json
    assert single["keys"] == str(tmp_path / "one.db.keys")


def test_backup_leaves_the_keys_where_they_are(lite_shell: Shell, tmp_path: Path) -> None:
    """Unless asked for; and it says where they are, because without them the copy is of no use."""
    lite_shell("user", "add", "anna@example.com")
    folder = tmp_path / "copy"
    folder.mkdir()
    for target, where in ((folder, folder / "passgate.db"), (tmp_path / "one.db", tmp_path / "one.db")):
        done = lite_shell("backup", str(target), "--json")
        assert done.json == {"database": str(where), "keys": None}
        assert str(lite_shell.data / "passgate.keys") in done.err
    assert sorted(tmp_path.rglob("*keys*")) == [lite_shell.data / "passgate.keys"]
    apart = lite_shell("backup", str(tmp_path / "two.db"), "--with-keys", "--json", SECRETS=SECRET)
    assert apart.json["keys"] is None
    assert "passgate.keys" not in apart.err
    (lite_shell.data / "passgate.keys").unlink()
    assert lite_shell("backup", str(tmp_path / "three.db"), "--with-keys").code == 1
    assert list(tmp_path.glob("three*")) == []


def test_a_backup_is_recorded(lite_shell: Shell, tmp_path: Path) -> None:
    lite_shell("user", "add", "anna@example.com")
    for number, argv in enumerate(((), ("--with-keys",))):
        assert "trail" not in lite_shell("backup", str(tmp_path / f"{number}.db"), *argv).err
    rows = lite_shell("audit", "tail", "-n", "2", "--json").json["items"]
    assert [(row["event"], row["facts"], row["subject_id"]) for row in rows] == [
        ("backup:made", {"keys": keys, "principal": "operator"}, None) for keys in (False, True)
    ]


@pytest.mark.parametrize("broken", ["no keys", "bad keys", "older schema", "no trail"])
def test_a_backup_needs_no_trail(lite_shell: Shell, tmp_path: Path, broken: str) -> None:
    """It is made all the same, says so, and neither migrates the database nor makes a key."""
    lite_shell("user", "add", "anna@example.com")
    keys, database = lite_shell.data / "passgate.keys", lite_shell.data / "passgate.db"
    match broken:
        case "no keys":
            keys.unlink()
        case "bad keys":
            keys.write_text("{}")
        case statement:
            with closing(sqlite3.connect(database)) as db, db:
                older = "UPDATE alembic_version SET version_num = '0004'"
                db.execute(older if statement == "older schema" else "DROP TABLE audit_event")
    before = _schema(database), keys.exists() and keys.read_bytes()
    done = lite_shell("backup", str(tmp_path / "copy.db"))
    assert (done.code, "trail" in done.err, "Traceback" in done.err) == (0, True, False)
    assert (_schema(database), keys.exists() and keys.read_bytes()) == before
    assert _schema(tmp_path / "copy.db") == before[0]


def _schema(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
        return [*tables, *db.execute("SELECT version_num FROM alembic_version").fetchall()]


def test_nothing_is_made_by_looking(lite_shell: Shell) -> None:
    reads = (("user", "list"), ("user", "disable", "a@example.com"), ("audit", "verify"), ("key", "rotate"))
    later = (("key", "rotate", "--signing"), ("user", "sessions", "a@example.com"), ("backup", "copy.db"))
    for argv in (*reads, *later, ("role", "give", "a@example.com", "owner")):
        assert lite_shell(*argv).codes == ["not_found"], argv
    assert lite_shell("doctor").out == "ok\n"
    assert not lite_shell.data.exists()


def test_doctor_names_every_reason(lite_shell: Shell) -> None:
    unsafe = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "http://localhost:8000",
        "SECRETS": "changeme",
        "NODES": "2",
        "CORS__ORIGINS": "*",
    }
    result = lite_shell("doctor", "--json", **unsafe)
    assert result.code == 1
    assert {item["code"] for item in result.json["items"]} == {
        "SECRETS_SHORT",
        "SECRETS_DEFAULT",
        "URL_NOT_HTTPS",
        "URL_LOCALHOST",
        "MAIL_NOT_REAL",
        "CORS_ANY",
        "SQLITE_NODES",
        "HASH_WEAK",
        "METRICS_OPEN",
    }
    for url in ("console:", "dev+console:"):
        named = lite_shell("doctor", "--json", **unsafe, MAIL__URL=url)
        assert {item["code"] for item in named.json["items"]} == {item["code"] for item in result.json["items"]}, url
    served = lite_shell("serve", **unsafe)
    assert served.code == 1
    assert set(served.codes) == {item["code"] for item in result.json["items"]}
    assert "changeme" not in result.out + served.err
    assert not lite_shell.data.exists()


def test_doctor_reminds_of_the_proxy(lite_shell: Shell) -> None:
    """A note on standard error, in production alone, and no reason not to start."""
    for settings, is_printed in (
        ({"ENVIRONMENT": "production"}, True),
        ({"ENVIRONMENT": "production", "TRUSTED_PROXIES": "10.0.0.0/8"}, False),
        ({}, False),
    ):
        result = lite_shell("doctor", "--json", **settings)
        assert ("PASSGATE_TRUSTED_PROXIES" in result.err) is is_printed
        assert "TRUSTED_PROXIES" not in result.out


def test_production_refuses_a_stored_policy(shell: Shell) -> None:
    """A short password as the only factor, or one that is hardly checked: named by tenant. Commands still work, and so
    does development."""
    production = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "https://id.example.com",
        "SECRETS": SECRET,
        "MAIL__URL": "smtps://mail.example.com",
        "METRICS__TOKEN": SECRET,
        "HASH__MEMORY_KIB": str(19 * 1024),
        "HASH__PASSES": "2",
    }
    for name in ("acme", "globex", "umbrella"):
        shell("tenant", "add", name, SECRETS=SECRET)
    assert shell("doctor", **production).code == 0
    asyncio.run(_policies(shell, acme={"password_alone": 14}, globex={"password_alone": 15}, umbrella={"second": "x"}))
    for command in ("serve", "worker", "doctor"):
        refused = shell(command, **production)
        assert (refused.code, re.findall("[A-Z]+_[A-Z]+ ", refused.out + refused.err)[:1]) == (1, ["PASSWORD_SHORT "])
        assert [name for name in ("acme", "globex", "umbrella") if name in refused.out + refused.err] == ["acme"]
    assert shell("user", "list", **production).code == 0
    assert shell("doctor", SECRETS=SECRET).code == 0
    asyncio.run(_policies(shell, acme={}, globex={"password_checks": "length"}))
    refused = shell("doctor", **production)
    assert (refused.code, re.findall("PASSWORD_[A-Z]+", refused.out + refused.err)) == (1, ["PASSWORD_UNCHECKED"])
    assert [name for name in ("acme", "globex", "umbrella") if name in refused.out + refused.err] == ["globex"]


async def _policies(shell: Shell, **policies: dict[str, object]) -> None:
    store = Store(settings_for(shell.data, shell.env.get("PASSGATE_DATABASE_URL")).database, SCHEMA)
    try:
        async with store.write() as db:
            for name, policy in policies.items():
                await db.change(update(tenant).where(tenant.c.name == name).values(policy=json.dumps(policy)))
    finally:
        await store.close()


def test_serve_refuses(lite_shell: Shell) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert lite_shell("serve", HOST=host).codes == ["DEVELOPMENT_BIND"]
    assert lite_shell("serve", PUBLIC_URL="https://id.example.com").codes == ["DEVELOPMENT_URL"]
    down = lite_shell("serve", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert (down.code, down.codes) == (1, ["DATABASE_DOWN"])
    assert "hunter2" not in down.err
    for command in (("migrate",), ("worker",), ("user", "list")):
        assert lite_shell(*command, DATABASE_URL="postgresql://u@127.0.0.1:1/x").codes == ["DATABASE_DOWN"]
    for url in ("nonsense", "mysql://u@h/d", "postgresql://h:port/d"):
        assert lite_shell("serve", DATABASE_URL=url).codes == ["DATABASE_URL"], url
    wrong = lite_shell("serve", PORT="many", SESSION__IDLE="soon", MAIL__WHAT="1")
    assert wrong.codes == ["SETTING_UNKNOWN", "SETTING_INVALID", "SETTING_INVALID"]


def test_a_folder_that_cannot_be_made_is_reported(lite_shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for command in (("serve",), ("migrate",), ("user", "add", "anna@example.com")):
        refused = lite_shell("--data", str(tmp_path / "file" / "x"), *command)
        assert (refused.code, refused.codes) == (1, ["DATA_NO_FOLDER"]), command
    assert lite_shell("--data", str(tmp_path / "file" / "x"), "demo", "--port", "0").codes == ["FILE_REFUSED"]


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        ('{"keys": ["Zm9v"', 0o600, "KEYS_UNREADABLE"),
        ('{"keys": ["Zm9v"]}', 0o600, "KEYS_SHORT"),
        (json.dumps({"keys": ["A" * 43 + "="]}), 0o600, "KEYS_WEAK"),
        (None, 0o640, "KEYS_OPEN"),
    ],
)
def test_bad_keys_stop_every_start(lite_shell: Shell, content: str | None, mode: int, code: str) -> None:
    lite_shell("user", "add", "anna@example.com")
    keys = lite_shell.data / "passgate.keys"
    if content is not None:
        keys.write_text(content)
    keys.chmod(mode)
    for command in (("serve",), ("worker",), ("user", "list"), ("user", "add", "bert@example.com"), ("key", "rotate")):
        refused = lite_shell(*command)
        assert refused.code == 1
        assert code in refused.codes
        assert [name for name in ("Zm9v", "Traceback", "fault") if name in refused.err] == [], command
    examined = lite_shell("doctor", "--json")
    assert (examined.code, code in [item["code"] for item in examined.json["items"]]) == (1, True)
    assert lite_shell("--data", str(lite_shell.data), "demo", "--port", "0").codes[:1] == [code]
    other = lite_shell("doctor", "--json", SECRETS=SECRET).json["items"]
    assert [item["code"] for item in other] == ["KEYS_WRONG"]  # the file is not used, and the database was


def test_migrate(lite_shell: Shell) -> None:
    done, again = lite_shell("migrate"), lite_shell("migrate")
    assert done.code == again.code == 0
    assert done.out != again.out
    assert _mode(lite_shell.data / "passgate.db") == 0o600
    assert not (lite_shell.data / "passgate.keys").exists()


@pytest.mark.pg
def test_migrate_a_server(lite_shell: Shell, postgres: Postgres) -> None:
    url = postgres.create_database()
    for command in (("serve",), ("worker",), ("user", "list"), ("user", "add", "anna@example.com")):
        behind = lite_shell(*command, DATABASE_URL=url)
        assert (behind.code, behind.codes) == (1, ["DATABASE_BEHIND"]), command
    result = lite_shell("doctor", "--json", DATABASE_URL=url).json
    assert [item["code"] for item in result["items"]] == ["DATABASE_BEHIND"]
    done, again = (lite_shell("migrate", DATABASE_URL=url) for _ in range(2))
    assert done.code == again.code == 0
    assert done.out != again.out
    assert lite_shell("doctor", DATABASE_URL=url).code == 0
    assert lite_shell("backup", "copy.db", DATABASE_URL=url).code == 2
    wrong = url.replace("postgres:", "postgres:not", 1)
    assert lite_shell("serve", DATABASE_URL=wrong).codes == ["DATABASE_REFUSED"]
    postgres.drop_database(url)


def test_hash_suggestions_meet_owasp(lite_shell: Shell) -> None:
    rows = lite_shell("doctor", "--tune-hash", "--json").json["items"]
    assert [row["suggested"] for row in rows].count(True) == 1
    for row in rows:
        assert HashSettings(memory_kib=row["memory_kib"], passes=row["passes"]).meets_owasp
        assert row["ms"] > 0


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
