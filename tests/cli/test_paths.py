"""Every path among the settings, from their own list: missing, unreadable, of another kind, without an end. What starts
names the setting and neither waits nor fails in another way.

Not here: what stands in such files (test_starts.py), and names of data folders (test_databases.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from passgate import startup
from passgate.errors import UnsafeSettings
from passgate.settings import Settings, refusals, variables
from passgate.world import World
from tests.cli.shell import Shell
from tests.cli.test_machine import as_nobody

CODES = {
    "PASSGATE_DATA": "DATA_",
    "PASSGATE_SECRETS_FILE": "SECRETS_MISSING",
    "PASSGATE_SECRETS_DIR": "SETTINGS_FILE",
    "PASSGATE_BREACH__RANGES": "BREACH_RANGES",
    "PASSGATE_LOOK__TEXTS": "LOOK_TEXTS",
    "PASSGATE_LOOK__TEMPLATES": "LOOK_TEMPLATES",
    ".env": "SETTINGS_FILE",
}
FOLDERS = {"PASSGATE_DATA", "PASSGATE_SECRETS_DIR", "PASSGATE_LOOK__TEMPLATES"}


def _missing(_path: Path, _name: str) -> None:
    """Nothing is there."""


def _another_kind(path: Path, name: str) -> None:
    path.write_text("x") if name in FOLDERS else path.mkdir()


def _loop(path: Path, _name: str) -> None:
    path.symlink_to(path.name)


def _pipe(path: Path, _name: str) -> None:
    os.mkfifo(path)


def _device(path: Path, _name: str) -> None:
    path.symlink_to("/dev/zero")


def _below_a_file(path: Path, _name: str) -> None:
    (path.parent / "file").write_text("x")
    path.symlink_to("file/x")


def _too_long(path: Path, _name: str) -> None:
    path.symlink_to("x" * 300)


def _unreadable(path: Path, name: str) -> None:
    path.mkdir(mode=0) if name in FOLDERS else path.touch(mode=0)


KINDS = (_missing, _another_kind, _loop, _pipe, _device, _below_a_file, _too_long, _unreadable)
ALLOWED = {
    (".env", _missing),
    (".env", _another_kind),  # often a virtual environment
    ("PASSGATE_DATA", _missing),
    ("PASSGATE_DATA", _below_a_file),  # a link to where nothing is
}


def found() -> list[tuple[str, str]]:
    try:
        settings = Settings.load()
    except UnsafeSettings as unsafe:
        return unsafe.reasons
    return [*refusals(settings), *startup.reasons(settings, World.real())]


def codes() -> list[str]:
    return [code for code, _ in found()]


def test_every_path_is_here() -> None:
    paths = {variable for variable, _, is_path in variables.names(Settings) if is_path}
    assert paths | {variables.SECRETS_DIR, ".env"} == CODES.keys()


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_path_that_cannot_be_used(
    name: str, kind: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("PASSGATE_")]:
        monkeypatch.delenv(variable)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if os.geteuid() == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o777)
    monkeypatch.chdir(tmp_path)
    assert codes() == []
    path = tmp_path / (".env" if name == ".env" else "given")
    kind(path, name)
    if name != ".env":
        monkeypatch.setenv(name, str(path))
    if (name, kind) in ALLOWED:
        return
    if kind is _unreadable:
        [code] = as_nobody(codes)
    else:
        [(code, text)] = found()
        assert name in text
    assert code.startswith(CODES[name])


def test_a_file_of_secrets_that_cannot_be_read_is_named(lite_shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    os.mkfifo(tmp_path / "secrets" / "passgate_port")
    (tmp_path / "secrets" / "PASSGATE_WORKERS").write_bytes(b"\xff")
    for command in ("doctor", "serve"):
        done = lite_shell(command, SECRETS_DIR=str(tmp_path / "secrets"))
        lines = (done.out or done.err).splitlines()
        assert (done.code, [line.split()[:2] for line in lines]) == (
            1,
            [["SETTINGS_FILE", "PASSGATE_WORKERS"], ["SETTINGS_FILE", "passgate_port"]],
        )


def test_doctor_has_reasons_of_settings_in_its_json(lite_shell: Shell) -> None:
    done = lite_shell("doctor", "--json", PORT="many")
    assert (done.code, [item["code"] for item in done.json["items"]]) == (1, ["SETTING_INVALID"])


def test_a_folder_that_the_system_does_not_let_us_make(lite_shell: Shell) -> None:
    """/proc takes nothing, not even from root."""
    for command in ("doctor", "serve"):
        done = lite_shell("--data", "/proc/x", command)
        assert (done.code, (done.out or done.err).split()[0]) == (1, "DATA_REFUSED")
