"""What the machine refuses to a start: folders of others, full disks, addresses and paths that are taken.

Not here: everything else that keeps Passgate from starting (test_starts).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import typer

from passgate import startup
from passgate.cli import app, examine, sockets
from passgate.cli.desk import Given
from passgate.errors import UnsafeSettings
from passgate.settings import Settings
from tests.cli.shell import Running, Shell
from tests.servers import free_port

NOBODY = 65534


# -- the folder and the disk -----------------------------------------------------------------------


def as_nobody(work: Callable[[], list[str]]) -> list[str]:
    """The codes that `work` finds as a user without rights, in a process of its own."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writes, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        found: list[str] = json.loads(answer.read())
    os.waitpid(child, 0)
    return found


def reachable(folder: Path) -> Path:
    """By a user without rights."""
    for one in (folder, *folder.parents):
        if not one.stat().st_mode & 0o001 and os.geteuid() == 0 and one != Path("/"):
            one.chmod(one.stat().st_mode | 0o011)
    return folder


def _data_codes(data: Path) -> list[str]:
    return [code for code, _ in startup.data_reasons(Settings.development(data=data))]


def test_a_folder_of_somebody_else() -> None:
    """Here /proc, which nobody may write in, not even root; below it nothing can be made."""
    assert as_nobody(lambda: _data_codes(Path("/proc/self"))) == ["DATA_REFUSED"]
    assert as_nobody(lambda: _data_codes(Path("/usr/nothing/here"))) == ["DATA_REFUSED"]
    ((_, text),) = startup.data_reasons(Settings.development(data=Path("/proc/self/nothing/here")))
    assert "install -d" in text
    assert "chown" not in text, "the folder above belongs to others"


def test_a_folder_in_one_that_is_closed(tmp_path: Path) -> None:
    """Whether it is there can't be seen."""
    (tmp_path / "closed" / "data").mkdir(parents=True)
    (tmp_path / "closed").chmod(0 if os.geteuid() else 0o700)
    for name in ("data", "nothing"):
        assert as_nobody(partial(_data_codes, tmp_path / "closed" / name)) == ["DATA_REFUSED"]
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_that_is_closed_and_named_by_option(tmp_path: Path) -> None:
    """The option takes it, so that it is a reason with a code and no wrong usage."""
    data = reachable(tmp_path) / "data"
    data.mkdir(mode=0o700 if os.geteuid() == 0 else 0)

    def codes() -> list[str]:
        command = typer.main.get_command(app)
        given = command.make_context("passgate", ["--data", str(data), "doctor"]).params["data"]
        return [code for code, _ in examine.all_reasons(Given(given), None)[0]]

    assert as_nobody(codes) == ["DATA_REFUSED"]


def test_files_of_somebody_else(tmp_path: Path) -> None:
    """What `sudo passgate …` leaves behind."""
    data = tmp_path / "data"
    data.mkdir()
    reachable(tmp_path)
    data.chmod(0o777)
    (data / "passgate.lock").touch(mode=0o600 if os.geteuid() == 0 else 0)
    assert as_nobody(lambda: _data_codes(data)) == ["DATA_REFUSED"]
    (data / "passgate.lock").unlink()
    assert as_nobody(lambda: _data_codes(data)) == []


@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="this user may not mount anything",
)
@pytest.mark.parametrize(
    ("options", "code"), [("size=8k", "DISK_FULL"), ("size=512k", "DISK_FULL"), ("ro", "DATA_REFUSED")]
)
def test_a_disk_that_takes_nothing(options: str, code: str, tmp_path: Path) -> None:
    """A file system of its own, seen by these processes alone: full, or mounted read-only."""
    fill = f"mount -t tmpfs -o {options} none {tmp_path}"
    for command in ("doctor", "serve"):
        script = f"{fill}; exec {sys.executable} -m passgate.cli --data {tmp_path} {command}"
        env = {"PATH": os.environ["PATH"], "PASSGATE_PORT": "0"}
        argv = ["unshare", "-m", "sh", "-c", script]
        done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False, timeout=60)
        lines = (done.stdout if command == "doctor" else done.stderr).splitlines()
        assert (done.returncode, [line.split()[0] for line in lines]) == (1, [code]), done.stderr


@pytest.mark.parametrize("command", ["doctor", "serve"])
def test_a_disk_without_room_for_a_start(command: str, tmp_path: Path) -> None:
    """Here a limit of the user, met before the folder is made."""
    limited = 'ulimit -f 200; exec "$@"'
    argv = ["sh", "-c", limited, "sh", sys.executable, "-m", "passgate.cli", "--data", str(tmp_path / "data"), command]
    env = {"PATH": os.environ["PATH"], "PASSGATE_PORT": "0"}
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, (done.stdout + done.stderr).split()[0]) == (1, "DISK_FULL"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_files_of_other_commands(lite_shell: Shell, tmp_path: Path) -> None:
    assert lite_shell("user", "add", "anna@example.com").code == 0
    with pytest.raises(OSError, match="space") as full, Path("/dev/full").open("wb", buffering=0) as disk:
        disk.write(b"x")
    assert startup.of_file(full.value)[0] == "DISK_FULL"
    refused = lite_shell("audit", "export", str(tmp_path / "no" / "folder"))
    assert (refused.code, refused.codes) == (1, ["FILE_REFUSED"])


# -- sockets ---------------------------------------------------------------------------------------


def test_a_port_in_use(lite_shell: Shell) -> None:
    """A reason if somebody else has it, and a note if it is a Passgate."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        examined = lite_shell("doctor", "--json", PORT=port)
        assert (examined.code, [item["code"] for item in examined.json["items"]]) == (1, ["ADDRESS_TAKEN"])
        assert lite_shell("serve", PORT=port).codes == ["ADDRESS_TAKEN"]
    with Running("serve", lite_shell.data) as running:
        examined = lite_shell("doctor", PORT=str(running.port))
        assert (examined.code, examined.out, str(running.port) in examined.err) == (0, "ok\n", True)


def test_a_passgate_at_another_address_is_no_excuse(lite_shell: Shell) -> None:
    """What is asked is whoever has the very address."""
    with Running("serve", lite_shell.data) as running, socket.create_server(("127.0.0.6", running.port)):
        port = str(running.port)
        examined = lite_shell("doctor", "--json", HOST="127.0.0.6", PORT=port)
        assert (examined.code, [item["code"] for item in examined.json["items"]]) == (1, ["ADDRESS_TAKEN"])
    with Running("serve", lite_shell.data, HOST="127.0.0.5", PORT=str(free_port())) as running:
        assert lite_shell("doctor", HOST="127.0.0.5", PORT=str(running.port)).out == "ok\n"


def test_an_address_is_taken_from_the_moment_it_is_bound() -> None:
    """Two starts at once: the second is refused, before either is ready."""
    with sockets.bound(Settings.development(port=0)) as first:
        settings = Settings.development(port=int(first[0].getsockname()[1]))
        with pytest.raises(UnsafeSettings) as refused:
            sockets.bind(settings)
    assert [code for code, _ in refused.value.reasons] == ["ADDRESS_TAKEN"]


def test_a_port_that_needs_a_right() -> None:
    def codes() -> list[str]:
        return [code for code, _ in examine._socket_reasons(Settings.development(port=81))]

    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("on this machine no port needs a right")
    assert as_nobody(codes) == ["ADDRESS_REFUSED"]


def test_a_path_in_use_and_one_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    settings = Settings.development(host=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with sockets.bound(settings) as made:
        assert (sockets.addresses_of(made), path.stat().st_mode & 0o777) == (f"unix:{path}", 0o660)
        with pytest.raises(UnsafeSettings) as refused:
            sockets.bind(settings)
    assert [code for code, _ in refused.value.reasons] == ["ADDRESS_TAKEN"]
    assert not path.exists()


def test_a_path_of_a_successor_stays(tmp_path: Path) -> None:
    """A server that ends takes no new visitors, so another one may have its path before it has ended."""
    settings = Settings.development(host=f"unix:{tmp_path}/socket")
    with sockets.bound(settings) as first:
        first[0].close()
        successor = sockets.bind(settings)
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(f"{tmp_path}/socket")
    successor[0].close()
