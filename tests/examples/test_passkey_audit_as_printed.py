"""Each command that the README of the service prints, as printed and in its order, at example 4 in a copy of its
folder, with the real sqlite3 and curl. Only what stands between angle brackets is filled in, and the port where 8000 is
taken.

Not here: what else the endpoints do.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.docs.terminal import BIN
from tests.examples.first_hour import machine
from tests.examples.passkey_audit import Who
from tests.examples.passkey_audit_served import Face, at
from tests.examples.programs import Served, copy_of
from tests.examples.seed_readme import lines, missing, seed
from tests.processes import ROOT
from tests.servers import free_port

LINES = {
    "c0ebfec15236b258": "failed_logins",
    "3e6aac22b745d128": "several_networks",
    "322ca6a63649c95b": "unauthorized",
    "94099776eb229ef4": "code",
    "d08905bb41ce9d2c": "code",
    "ceb105881c989117": "code",
    "e3d2001056473551": "install",
    "5e3f756079516732": "install",
    "dae4a6e04b717fe6": "install",
    "f634394e6be6cb44": "install",
    "1c2f58ddd2ab5b07": "install",
    "ae91ef046d7098dd": "serve",
    "418c2f46ca0fb424": "update-users",
    "7fd2d25b74adc6af": "accesses",
    "f46d33a736168a5a": "everybody",
    "9e3e47150f84a43d": "reset_db",
    "f9cfe9280f2d9381": "reset_sh",
    "d26707d58556c561": "all_events",
    "1e3996c3e7a2800d": "failed_logins",
    "1ce8ab419615224f": "several_networks",
    "95baf5c191371ad2": "unauthorized",
    "f8122b9587fea931": "update-users",
    "4f7774a8513f0724": "as_user",
    "d42822c81a49b644": "as_admin",
}
"""By fingerprint, in the order of the page: the method of `Reader` that runs a line and checks its answer, or the tag
of the line of the example's README that says why it is answered otherwise."""
CHECKOUT = ("pyproject.toml", "README.md", "LICENSE", "src")
"""What pip reads of the checkout."""
JANE, ADMIN, USER1, USER2 = (f"{name}@example.com" for name in ("jane", "admin", "user1", "user2"))
"""Whom the page names."""


def port_of_the_page() -> int:
    """8000, or another one where it is taken."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", 8000))
        return 8000
    return free_port()


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Of sqlite3, with or without its columns aligned."""
        assert self.code == 0, self.err
        return [line.split("|") for line in self.out.splitlines()]


@dataclass
class Reader:
    """Somebody with terminals in the folder that auth-example is in, with a browser and its passkeys."""

    above: Path
    env: dict[str, str]
    port: int
    people: dict[str, Who] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    server: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self.above / "auth-example"

    @property
    def log(self) -> Path:
        """What the servers' terminal shows."""
        return self.above / "terminal.log"

    async def run(self, command: str, **filled: str) -> Done:
        asked = command.replace("localhost:8000", f"localhost:{self.port}")
        for name, value in filled.items():
            asked = asked.replace(f"<{name.replace('_', '-')}>", value)
        assert "<" not in asked
        done = await asyncio.to_thread(
            lambda: subprocess.run(["sh", "-c", asked], check=False, cwd=self.folder, env=self.env, **OUTPUT)
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Face]:
        served = Served(4, self.above / "unused")
        served.port, served._process, served._log = self.port, self.server, self.log
        await served.ready()
        async with at(served) as face:
            yield face

    async def launch(self, script: str, cwd: Path) -> None:
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(  # noqa: ASYNC220
                ["bash", "-e", "-c", script], cwd=cwd, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        await self.live()

    def interrupt(self) -> None:
        """Ctrl+C, for all that the terminal runs."""
        server, self.server = self.server, None
        if server is not None:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    async def live(self) -> None:
        """What the page is about: people register, log in, are refused, and ask for the data of others."""
        async with self.browser() as face:
            for email in (JANE, ADMIN, USER1, USER2):
                self.people[email] = await face.person_of(email)
                self.tokens[email] = await face.token_of(self.people[email])
            jane = self.people[JANE]
            assert (await face.enter(jane)).status_code == 200
            assert (await face.enter(Who(JANE, self.people[USER1].key))).status_code == 401
            assert (await face.show(self.people[USER2].id, self.tokens[JANE])).status_code == 403

    async def give_admin(self, email: str) -> None:
        done = await self.run(f"{BIN / 'passgate'} role give {email} admin")
        assert done.code == 0, done.err

    # -- one method for each line ------------------------------------------------------------------

    async def install(self, command: str) -> None:
        self.begun.append(command)

    async def serve(self, command: str) -> None:
        """All of it in one terminal."""
        await self.launch("\n".join([*self.begun, command]), self.above)

    async def failed_logins(self, command: str) -> None:
        done = await self.run(command)
        assert done.rows
        assert (JANE in done.out, "127.0.0.1" in done.out, "Firefox on Linux" in done.out) == (True, True, True)
        assert USER2 not in done.out

    async def several_networks(self, command: str) -> None:
        """Those with more than one login of an address, or everybody's."""
        columns = [line.replace("|", " ").split() for line in (await self.run(command)).out.splitlines()]
        assert [JANE, "127.0.0.1", "2"] in columns
        assert ([ADMIN, "127.0.0.1", "1"] in columns) == ("HAVING" not in command)

    async def unauthorized(self, command: str) -> None:
        out = (await self.run(command)).out
        assert JANE in out
        assert self.people[USER2].id in out

    async def accesses(self, command: str) -> None:
        await self.give_admin(JANE)
        async with self.browser() as face:
            assert (await face.show(self.people[USER2].id, self.tokens[JANE])).status_code == 200
        found = (await self.run(command)).rows
        assert len(found) == 2
        assert [row[1] for row in found] == [JANE, JANE]
        assert "(role: admin)" in found[0][2]

    async def everybody(self, command: str) -> None:
        found = {row[1]: row for row in (await self.run(command)).rows}
        assert found[JANE] == [self.people[JANE].id, JANE, "Jane", "Doe", "admin"]
        assert found[USER2] == [self.people[USER2].id, USER2, "Jane", "Doe", "user"]

    async def reset_db(self, command: str) -> None:
        assert (await self.run(command)).code == 1
        self.interrupt()
        assert (await self.run(command)).code == 0
        assert not (self.folder / "app.db").exists()
        assert not (self.folder / "app.log").exists()

    async def reset_sh(self, command: str) -> None:
        """Everybody registers again."""
        before = dict(self.people)
        await self.launch(f"exec {command}", self.folder)
        assert {who.id for who in before.values()}.isdisjoint(who.id for who in self.people.values())

    async def all_events(self, command: str) -> None:
        found = (await self.run(command)).rows
        assert [row[0] for row in found] == sorted((row[0] for row in found), reverse=True)
        assert {(row[1], row[3]) for row in found} == {
            ("registration_complete", "1"),
            ("login_begin", "1"),
            ("login_complete", "1"),
            ("login_complete", "0"),
            ("user_access", "0"),
        }

    async def refused_update(self, command: str) -> None:
        done = await self.run(command)
        assert (done.code, done.out) == (1, "")
        found = (await self.run('sqlite3 app.db "SELECT DISTINCT role FROM users;"')).rows
        assert found == [["user"]]

    async def as_user(self, command: str) -> None:
        filled = {"user1_token": self.tokens[USER1], "user2_id": self.people[USER2].id}
        assert (await self.run(command, **filled)).err == "403"

    async def as_admin(self, command: str) -> None:
        """The token of before will do, the page asks for a new one."""
        await self.give_admin(USER1)
        async with self.browser() as face:
            token = await face.token_of(self.people[USER1])
        done = await self.run(command, user1_admin_token=token, user2_id=self.people[USER2].id)
        assert (done.err, json.loads(done.out)) == ("200", self.people[USER2].user)
        [row] = (await self.run(f'sqlite3 app.db "{ACCESSED.format(USER1, self.people[USER1].id)}"')).rows[:1]
        assert "(role: admin)" in row[0]


ACCESSED = (
    "SELECT details FROM audit_logs WHERE event_type='user_access' AND user_email='{}' AND user_id='{}' AND success=1"
)
OUTPUT: Any = {"capture_output": True, "text": True}


def reader(place: Path, *, with_all: bool) -> Reader:
    """`with_all`: with everything that pip installs, otherwise with Passgate alone and the rest of this environment."""
    above, port = place / "checkout" / "examples", port_of_the_page()
    copy_of(4, above / "auth-example")
    for name in CHECKOUT:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, above.parent / name)
    env = machine(place, port)
    programs = Path(env["PATH"].partition(os.pathsep)[0])
    shutil.copy(programs / "python3", programs / "python")
    Path(env["HOME"], ".curlrc").write_text('silent\nwrite-out = "%{stderr}%{http_code}"\n')
    if port != 8000:
        env |= {"UVICORN_PORT": str(port), "PASSGATE_PORT": str(port)}
    if not with_all:
        packages = str(Path(pytest.__file__).parents[1])
        env |= {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PYTHONPATH": packages}
    env["PATH"] += os.pathsep + str(BIN)
    return Reader(above, env, port)


@pytest.mark.foreign
@pytest.mark.parametrize("with_all", [False, pytest.param(True, marks=pytest.mark.soak)])
async def test_every_line_in_the_order_of_the_page(tmp_path: Path, with_all: bool) -> None:
    """But its queries, which come first there, wait for what there is to query. Where the page is not beside the
    checkout, the summary of the run says so."""
    page = seed(4)
    if page is None:
        assert "4" in missing()
        return
    one, printed = reader(tmp_path, with_all=with_all), lines(page)
    assert [line.fingerprint for line in printed] == list(LINES)
    try:
        for line in sorted(printed, key=lambda line: LINES[line.fingerprint] not in ("install", "serve")):
            how = LINES[line.fingerprint]
            if how == "update-users":
                await one.refused_update(line.text)
            elif how != "code":
                await getattr(one, how)(line.text)
    finally:
        one.interrupt()
    assert "Traceback" not in one.log.read_text()
