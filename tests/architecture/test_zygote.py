"""Processes that are forked (tests/zygote.py) are what `python -m` starts: both are asked about themselves.

Not here: Passgate in such a process, which the tests with servers see.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import zygote

ABOUT = """
import json, os, signal, sys

import helper

about = {
    "argv": sys.argv,
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "helper": helper.__file__,
    "name": __name__,
    "typed": sys.stdin.read(),
    "leads": os.getsid(0) == os.getpgrp() == os.getpid(),
    "files": sorted(os.listdir("/proc/self/fd"))[:3],
    "descriptors": len(os.listdir("/proc/self/fd")),
    "handlers": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "encodings": [(stream.encoding, stream.errors) for stream in (sys.stdin, sys.stdout, sys.stderr)],
}
print(json.dumps(about))
print("wrong", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def started(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "about.py").write_text(ABOUT)
    (tmp_path / "waits.py").write_text("import signal\n\nprint('ready', flush=True)\nsignal.pause()\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "helper.py").write_text("")
    env = {"PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8", "PYTHONPATH": str(tmp_path / "more"), "PASSGATE_X": "é"}
    return {"cwd": tmp_path, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.mark.parametrize("code", [0, 3])
def test_it_is_like_an_interpreter_that_was_started(started: dict[str, Any], code: int) -> None:
    command = [sys.executable, "-m", "about", str(code), "two words"]
    real = subprocess.run(command, **started, stdin=subprocess.DEVNULL, text=True, check=False, start_new_session=True)
    forked = zygote.Process("about", str(code), "two words", **started)
    assert forked.wait(20) == real.returncode == code
    assert forked.poll() == code
    with forked.stdout as out, forked.stderr as err:  # type: ignore[union-attr]
        assert json.loads(out.read()) == json.loads(real.stdout)
        assert err.read() == real.stderr == "wrong\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(started: dict[str, Any], number: int) -> None:
    forked = zygote.Process("waits", **started)
    with forked.stdout as out, forked.stderr:  # type: ignore[union-attr]
        assert out.readline() == "ready\n"
        assert forked.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            forked.wait(0.05)
        forked.send_signal(number)
        assert forked.wait(20) == -number
        forked.kill()  # of what has ended: nothing
    with pytest.raises(ProcessLookupError):
        os.kill(forked.pid, 0)


def test_many_at_once_end_with_their_own_codes(started: dict[str, Any]) -> None:
    several = [zygote.Process("about", str(code), **started) for code in range(8)]
    assert [one.wait(20) for one in several] == list(range(8))
    for one in several:
        one.stdout.close()  # type: ignore[union-attr]
        one.stderr.close()  # type: ignore[union-attr]
