"""What keeps Passgate from starting: `doctor` names it, `serve` refuses with the same code, and neither prints a stack
trace. Each case is a real one: a file, a folder, a disk, a socket, a database as they are found.

Not here: folders, disks and sockets (test_machine), values of settings (tests/ground), and the codes' page
(tests/architecture).
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from passgate import startup
from passgate.app import Passgate
from passgate.cli import desk, examine, server
from passgate.cli.desk import Given
from passgate.errors import Unavailable, UnsafeSettings
from passgate.settings import Settings
from passgate.settings.database import SqliteFile
from passgate.store import SCHEMA, Store
from passgate.store.faults import reason
from passgate.world import World
from tests.cli.shell import Shell
from tests.servers import Postgres, free_port

SECRET = "Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA"
OTHER = "Xm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jB"
NOBODY = 65534
Fault = Callable[[Shell, Path], dict[str, str]]
"""Breaks something; the settings that lead there."""


def _file(content: str | bytes, setting: str) -> Fault:
    def broken(_shell: Shell, folder: Path) -> dict[str, str]:
        (folder / "given").write_bytes(content.encode() if isinstance(content, str) else content)
        return {setting: str(folder / "given")}

    return broken


def _template(text: str) -> Fault:
    def broken(_shell: Shell, folder: Path) -> dict[str, str]:
        (folder / "look" / "mail").mkdir(parents=True)
        (folder / "look" / "mail" / "own.html").write_text(text)
        return {"LOOK__TEMPLATES": str(folder / "look")}

    return broken


def _database(content: bytes) -> Fault:
    def broken(shell: Shell, _folder: Path) -> dict[str, str]:
        shell.data.mkdir()
        (shell.data / "passgate.db").write_bytes(content)
        return {}

    return broken


def _damaged_later(shell: Shell, _folder: Path) -> dict[str, str]:
    """In pages that hold rows of the start."""
    assert shell("user", "add", "anna@example.com").code == 0
    file = shell.data / "passgate.db"
    whole = file.read_bytes()
    file.write_bytes(whole[: 3 * 4096] + b"x" * (len(whole) - 3 * 4096))
    return {}


def _a_folder_as_file(shell: Shell, _folder: Path) -> dict[str, str]:
    (shell.data / "passgate.db").mkdir(parents=True)
    return {}


def _a_link_to_nowhere(shell: Shell, folder: Path) -> dict[str, str]:
    shell.data.symlink_to(folder / "no" / "such")
    return {}


def _newer(shell: Shell, _folder: Path) -> dict[str, str]:
    assert shell("migrate").code == 0
    with closing(sqlite3.connect(shell.data / "passgate.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    return {}


def _a_file_as_folder(shell: Shell, _folder: Path) -> dict[str, str]:
    shell.data.write_text("")
    return {}


def _keys(shell: Shell, _folder: Path) -> dict[str, str]:
    shell.data.mkdir()
    (shell.data / "passgate.keys").write_bytes(b"")
    return {}


def _set(**settings: str) -> Fault:
    return lambda _shell, _folder: settings


HASH = "0" * 39
FAULTS: dict[str, tuple[str, Fault]] = {
    "a file as folder": ("DATA_NO_FOLDER", _a_file_as_folder),
    "a link to nowhere": ("DATA_NO_FOLDER", _a_link_to_nowhere),
    "a name that is too long": ("DATA_REFUSED", _set(DATA="x" * 300)),
    "a folder as database": ("DATABASE_REFUSED", _a_folder_as_file),
    "one whose pages are damaged": ("DATABASE_DAMAGED", _damaged_later),
    "a variable without a value of its kind": ("SETTING_INVALID", _set(WORKERS="0")),
    "no database": ("DATABASE_DAMAGED", _database(b"no database at all" * 100)),
    "a damaged one": (
        "DATABASE_DAMAGED",
        _database(b"SQLite format 3\0" + b"\x10\0\x01\x01" + bytes(4080) + b"x" * 4096),
    ),
    "a newer schema": ("DATABASE_AHEAD", _newer),
    "empty keys": ("KEYS_UNREADABLE", _keys),
    "no such texts": ("LOOK_TEXTS", _set(LOOK__TEXTS="nowhere.json")),
    "texts that are no JSON": ("LOOK_TEXTS", _file("{'de': {}}", "LOOK__TEXTS")),
    "texts that are binary": ("LOOK_TEXTS", _file(b"\xff\xfe\0", "LOOK__TEXTS")),
    "texts of another shape": ("LOOK_TEXTS", _file('{"de": ["Hallo"]}', "LOOK__TEXTS")),
    "a placeholder of theirs": ("LOOK_TEXTS", _file('{"de": {"%(n)s ago": "vor %(m)s"}}', "LOOK__TEXTS")),
    "no such templates": ("LOOK_TEMPLATES", _set(LOOK__TEMPLATES="nowhere")),
    "a file as templates": ("LOOK_TEMPLATES", _file("", "LOOK__TEMPLATES")),
    "a template with an error": ("LOOK_TEMPLATES", _template("{% if %}")),
    "no such ranges": ("BREACH_RANGES", _set(BREACH__RANGES="nowhere")),
    "empty ranges": ("BREACH_RANGES", _file("", "BREACH__RANGES")),
    "ranges of something else": ("BREACH_RANGES", _file("hello\n" * 9, "BREACH__RANGES")),
    "ranges out of order": (
        "BREACH_RANGES",
        _file("".join(f"{HASH}{n}:1\n" for n in "0143"), "BREACH__RANGES"),
    ),
    "a password with a slash": ("MAIL_UNREADABLE", _set(MAIL__URL="smtps://user:p/hunter2@mail.example.com")),
    "no sender": ("MAIL_UNREADABLE", _set(MAIL__URL="smtps://mail.example.com", MAIL__FROM="a@b_c.example")),
    "no address of ours": ("ADDRESS_UNKNOWN", _set(HOST="no.such.host.localhost")),
    "a path that is too long": ("ADDRESS_REFUSED", _set(HOST="unix:/tmp/" + "x" * 120)),
    "a path in no folder": ("ADDRESS_REFUSED", _set(HOST="unix:/nowhere/at/all/socket")),
    "a path that is a file": ("ADDRESS_TAKEN", _set(HOST="unix:/etc/hosts")),
    "a program without a name": ("APP_NAME", _set()),
}


@pytest.mark.parametrize(("code", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_doctor_names_what_serve_refuses(code: str, fault: Fault, lite_shell: Shell, tmp_path: Path) -> None:
    settings = fault(lite_shell, tmp_path)
    argv = ["--app", "nonsense"] if code == "APP_NAME" else []
    before = sorted(lite_shell.data.rglob("*")) if lite_shell.data.is_dir() else None
    examined = lite_shell("doctor", "--json", *argv, **settings)
    assert (examined.code, [item["code"] for item in examined.json["items"]]) == (1, [code])
    assert (sorted(lite_shell.data.rglob("*")) if lite_shell.data.is_dir() else None) == before
    refused = lite_shell("serve", *argv, **settings)
    assert (refused.code, refused.codes) == (1, [code])
    assert "Traceback" not in refused.err + examined.err
    assert "hunter2" not in refused.err + examined.out
    assert "PASSGATE_" in refused.err or code in ("DATABASE_AHEAD", "KEYS_UNREADABLE", "APP_NAME", "ADDRESS_TAKEN")


def test_what_is_whole_is_fine(lite_shell: Shell, tmp_path: Path) -> None:
    """The same settings with good files: no reason, and Passgate is made of them."""
    (tmp_path / "texts").write_text('{"de": {"%(num)s days ago": "vor %(num)s Tagen"}}')
    (tmp_path / "ranges").write_text("".join(f"{HASH}{n}:1\n" for n in "0123"))
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "own.html").write_text("{{ language }}")
    names = {"LOOK__TEXTS": "texts", "LOOK__TEMPLATES": "look", "BREACH__RANGES": "ranges"}
    given = {name: str(tmp_path / file) for name, file in names.items()}
    assert lite_shell("doctor", **given, HOST=f"unix:{tmp_path}/socket").out == "ok\n"
    assert not lite_shell.data.exists()
    assert not (tmp_path / "socket").exists()


def test_a_worker_refuses_too(lite_shell: Shell) -> None:
    refused = lite_shell("worker", LOOK__TEXTS="nowhere.json")
    assert (refused.code, refused.codes) == (1, ["LOOK_TEXTS"])


def test_a_library_refuses_too(tmp_path: Path) -> None:
    with pytest.raises(UnsafeSettings) as refused:
        Passgate(Settings.development(data=tmp_path / "data", look={"texts": tmp_path / "none"}))
    assert [code for code, _ in refused.value.reasons] == ["LOOK_TEXTS"]


@pytest.mark.parametrize(("year", "is_fine"), [(1970, False), (2024, False), (2026, True), (2100, True), (2300, False)])
def test_the_clock(year: int, is_fine: bool) -> None:
    class Elsewhen(World):
        def now(self) -> int:
            return (year - 1970) * 31_556_952_000_000 + 1

    assert [code for code, _ in startup.clock_reasons(Elsewhen.real())] == ([] if is_fine else ["CLOCK_WRONG"])


# -- pairs of real processes -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a newer schema", "a template with an error", "a path in no folder"])
def test_real_processes_agree(name: str, lite_shell: Shell, tmp_path: Path) -> None:
    code, fault = FAULTS[name]
    env = {**lite_shell.env, "PATH": os.environ["PATH"]}
    env |= {f"PASSGATE_{key}": value for key, value in fault(lite_shell, tmp_path).items()}
    for command in ("doctor", "serve"):
        argv = [sys.executable, "-m", "passgate.cli", command]
        done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        lines = (done.stdout if command == "doctor" else done.stderr).splitlines()
        assert (done.returncode, [line.split()[0] for line in lines]) == (1, [code]), command


def test_what_nobody_foresaw(lite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack trace, and no value of the error."""

    def load(_given: Given) -> Settings:
        raise LookupError("hunter2")

    monkeypatch.setattr(desk, "load", load)
    for command in ("doctor", "serve"):
        done = lite_shell(command)
        assert (done.code, "FAULT" in done.codes) == (1, True)
        assert "hunter2" not in done.out + done.err
        assert "Traceback" not in done.err


# -- the database ----------------------------------------------------------------------------------


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_locked_database_is_called_so(lite_shell: Shell) -> None:
    assert lite_shell("migrate").code == 0
    file = lite_shell.data / "passgate.db"
    with locked(file), closing(sqlite3.connect(file, timeout=0)) as mine, pytest.raises(sqlite3.Error) as refused:
        mine.execute("BEGIN IMMEDIATE")
    assert reason(refused.value)[0] == "DATABASE_LOCKED"


@pytest.mark.soak
def test_a_locked_database_stops_a_start(lite_shell: Shell) -> None:
    """After the ten seconds that SQLite waits."""
    assert lite_shell("migrate").code == 0
    with locked(lite_shell.data / "passgate.db"):
        for command in ("doctor", "serve"):
            done = lite_shell(command)
            assert (done.code, "DATABASE_LOCKED" in done.out + done.err) == (1, True)


async def test_only_faults_of_the_database_are_called_so(tmp_path: Path) -> None:
    """A file that something else reads within a transaction isn't the database's."""
    made = Store(SqliteFile(tmp_path / "db"), SCHEMA)
    for opened in (made.write, made.read):
        with pytest.raises(FileNotFoundError):
            async with opened():
                (tmp_path / "keys").read_bytes()
    with pytest.raises(TimeoutError):
        async with made.write():
            raise TimeoutError
    await made.close()
    elsewhere = Store(SqliteFile(tmp_path / "none" / "db"), SCHEMA)
    with pytest.raises(Unavailable) as down:
        async with elsewhere.write():
            pass
    await elsewhere.close()
    assert (down.value.down, reason(down.value)[0]) == ("database", "DATABASE_REFUSED")


def test_a_database_that_goes_away_meanwhile(lite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks of one doctor: it is named, beside whatever else was found."""
    assert lite_shell("migrate").code == 0

    async def late(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(desk, "lost_reasons", late)
    for command in (["doctor"], ["serve"]):
        done = lite_shell(*command, LOOK__TEXTS="nowhere")
        assert re.findall(r"^[A-Z_]+(?= )", done.out + done.err, re.MULTILINE) == ["LOOK_TEXTS", "DATABASE_DOWN"]


def test_a_driver_that_is_missing(lite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    done = lite_shell("doctor", "--json", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/d")
    assert (done.code, [item["code"] for item in done.json["items"]]) == (1, ["DATABASE_DRIVER"])
    assert "hunter2" not in done.out + done.err


@pytest.mark.pg
def test_a_server_that_refuses(lite_shell: Shell, postgres: Postgres) -> None:
    """A wrong password, no such database, no TLS, a newer schema, nobody there."""
    url = postgres.create_database()
    assert lite_shell("migrate", DATABASE_URL=url).code == 0
    name = url.rpartition("/")[2].partition("?")[0]
    cases = {
        "DATABASE_MISSING": url.replace(name, "no_such_database"),
        "DATABASE_DOWN": f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x",
    }
    for code, wrong in cases.items():
        examined = lite_shell("doctor", "--json", DATABASE_URL=wrong)
        assert [item["code"] for item in examined.json["items"]] == [code], code
        refused = lite_shell("serve", DATABASE_URL=wrong)
        assert (refused.codes, "hunter2" in refused.err) == ([code], False)
        assert lite_shell("user", "list", DATABASE_URL=wrong).codes == [code]
    postgres.drop_database(url)


# -- a program of others ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import nothing_of_that_name", "APP_FAILED"),
        ("x = 'hunter2' +", "APP_FAILED"),
        ("raise SystemExit('hunter2')", "APP_FAILED"),
        ("x = 1", "APP_MISSING"),
        ("app = 1", "APP_KIND"),
    ],
)
def test_doctor_imports_a_program(
    source: str, code: str, lite_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "app_of_doctor.py").write_text(source)
    monkeypatch.delitem(sys.modules, "app_of_doctor", raising=False)
    examined = lite_shell("doctor", "--json", "--app", "app_of_doctor:app")
    (item,) = examined.json["items"]
    assert (item["code"], "hunter2" in item["text"]) == (code, False)
    assert code != "APP_FAILED" or "app_of_doctor.py, line 1" in item["text"]
    sys.modules.pop("app_of_doctor", None)


# -- what is no reason -----------------------------------------------------------------------------


def test_without_uvloop_it_runs_on_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert server._loop_factory() is None


def test_remarks_name_the_setting() -> None:
    here = Settings.production(public_url="https://id.example.com")
    assert ["PASSGATE_TRUSTED_PROXIES" in line for line in examine._proxy_notes(here)] == [True]
    by_path = Settings.production(host="unix:/run/passgate/socket", trusted_proxies="127.0.0.1")
    assert ["PASSGATE_TRUSTED_PROXIES=unix" in line for line in examine._proxy_notes(by_path)] == [True]
    assert examine._proxy_notes(Settings.production(trusted_proxies="127.0.0.1")) == []
    assert examine._proxy_notes(Settings.development()) == []
