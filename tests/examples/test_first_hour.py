"""Each example's README, lived through: an empty home, the PATH of a fresh machine, nothing that the page doesn't say.

Not here: what the endpoints do.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.docs.blocks import Block
from tests.docs.terminal import BIN
from tests.examples.first_hour import ENDS_WITHIN, PORTS, Hour, hour, lived, machine, stored
from tests.examples.programs import copy_of, folder_of
from tests.servers import free_port

STARTS_WITHIN, TRIES = 3.0, 4


@pytest.mark.foreign
@pytest.mark.parametrize("number", PORTS)
def test_the_first_hour(number: int) -> None:
    """If it differs on purpose: `.venv/bin/python -m tests.examples.first_hour` with the number."""
    with hour(number) as one:
        assert lived(one) == stored(number).read_text()
        assert list((one.project.parent / "home").iterdir()) == []
        data = one.folder / ".passgate" if number == 4 else one.project / ".passgate" / f"example-{number}"
        made = sorted(path.name for path in data.iterdir() if path.suffix in (".db", ".keys"))
        assert made == (["passgate.keys"] if number == 4 else ["passgate.db", "passgate.keys"])
        assert not (one.folder / "app.db").exists()
        assert "Traceback" not in one.complaints


@pytest.mark.parametrize("number", PORTS)
def test_it_starts_at_once_and_ends_in_order(tmp_path: Path, number: int) -> None:
    """The second start and later ones; the best of some, since other tests run beside it."""
    env = machine(tmp_path, free_port())
    env |= {"PASSGATE_DATA": str(tmp_path / "data"), "PASSGATE_PORT": env["PORT"]}
    folder = copy_of(number, tmp_path / "example")
    started(number, folder, env)
    took: list[float] = []
    while len(took) < TRIES and min(took, default=STARTS_WITHIN) >= STARTS_WITHIN:
        took.append(started(number, folder, env))
    assert min(took) < STARTS_WITHIN, took


def started(number: int, folder: Path, env: dict[str, str]) -> float:
    """Start it and press Ctrl+C; seconds until it was ready, without those in which other programs had the
    processor."""
    began = time.monotonic()
    command = [str(BIN / "passgate"), "serve", "--app", "main:app", "--name", f"Example {number}"]
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"Example {number} is ready: http://localhost:{env['PORT']}\n"
            took = time.monotonic() - began - _delayed(process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(ENDS_WITHIN) == 0
        finally:
            process.kill()
    return took


def _delayed(pid: int) -> float:
    """Seconds that a process could have run and did not (Linux)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def test_a_wrong_line_of_the_page_is_found(tmp_path: Path) -> None:
    one = Hour(2, tmp_path, machine(tmp_path, free_port()), 0)
    page = folder_of(2) / "README.md"
    with pytest.raises(AssertionError, match="false"):
        one.follow(Block(page, 1, "sh", "false\n", ""))
    with pytest.raises(AssertionError, match="success"):
        one.follow(Block(page, 2, "sh", """echo '{"success":false}'\n""", ""))
    one.follow(Block(page, 3, "sh", "echo one\n", ""))
    with pytest.raises(AssertionError, match=r"README\.md:4"):
        one.follow(Block(page, 4, "text", "two\n", ""))
    with pytest.raises(AssertionError, match=r"README\.md:5"):
        one.follow(Block(page, 5, "brainfuck", "+", ""))
