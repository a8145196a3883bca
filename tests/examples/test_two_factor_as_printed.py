"""Each command that the README of the service prints, as printed and in its order, at example 3 served as a process.
Only what stands between braces is filled in, and the port is the test's.

Not here: what else the endpoints do.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser.device import App
from tests.examples.programs import Served, running, until
from tests.examples.seed_readme import lines, missing, seed
from tests.examples.two_factor_served import SHORT, Face, scanned, served
from tests.processes import client_for

LINES = {
    "5f304650554c5baf": "signup",
    "34de5ee593362734": "login",
    "f6c1b07020d133aa": "test_token",
    "8d7047cd230990c6": "refresh",
    "0b27715a9d29e119": "login_tfa",
    "e0f104d8564389c1": "recover_tfa",
    "94573ffef8c6ecdb": "get_my_qrcode",
    "2df7a9ee6fe4c54a": "enable_tfa",
    "cd36c3d05e465749": "users-list",
    "464a3acc8ee563de": "test_celery",
    "8d96e6d521177243": "taskstatus",
    "626dbea484e176d6": "docker",
    "558329084e8e3ddb": "docker",
    "a9396304ddf7371e": "docker",
}
"""By fingerprint, in the order of the page: the method of `Reader` that runs a line and checks its answer, or the tag
of the line of the example's README that says why it is answered otherwise."""
QUIETLY: Any = {"capture_output": True, "text": True, "check": False}
USER = "user@example.com"
"""Whom the page signs up."""
WITH_APP, CODE_GENERATOR = "app@example.com", '"device_type": "code_generator"'
"""Somebody else, and what the page says to send for them."""


@dataclass
class Answer:
    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Reader:
    """Somebody with a terminal in an empty folder, who copies from answers and mails."""

    folder: Path
    server: Served
    face: Face
    app: App | None = None
    task_id: str = ""

    def __post_init__(self) -> None:
        (self.folder / ".curlrc").write_text('silent\nwrite-out = "%{stderr}%{http_code}"\n')

    async def run(self, command: str, **filled: str) -> Answer:
        asked = command.replace("localhost:5555", f"localhost:{self.server.port}")
        asked = re.sub(r"\{\{ (\w+) \}\}", lambda found: filled[found[1]], asked)
        assert "{{" not in asked
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "CURL_HOME": str(self.folder)}
        done = await asyncio.to_thread(
            partial(subprocess.run, ["sh", "-c", asked], cwd=self.folder, env=env, **QUIETLY)
        )
        assert done.returncode == 0, done.stderr
        return Answer(int(done.stderr), done.stdout)

    async def signed_in(self) -> dict[str, str]:
        """The pair of whom the page signs up."""
        first = await self.face.first_of(USER)
        found: dict[str, str] = (await self.face.second(first, await self.face.code_of(USER))).json()
        return found

    # -- one method for each line ------------------------------------------------------------------

    async def signup(self, command: str) -> None:
        answer = await self.run(command)
        assert (answer.status, answer.text) == (200, "")
        file = self.folder / "my_qrcode.png"
        assert not file.exists() or file.read_bytes() == b"", "an address gets no picture"
        with_app = command.replace(USER, WITH_APP).replace('"device_type": "email"', CODE_GENERATOR)
        assert (await self.run(with_app)).status == 200
        self.app = scanned(file.read_bytes())
        assert (await self.run(command)).status == 400, "the address is taken"

    async def login(self, command: str) -> None:
        answer = await self.run(command, USERNAME=USER, PASSWORD=SHORT)
        assert answer.status == 202
        assert answer.json["access_token"]
        assert answer.json["refresh_token"] is None
        wrong = await self.run(command, USERNAME=USER, PASSWORD="654321")
        assert (wrong.status, wrong.json) == (401, {"detail": "Incorrect email or password"})

    async def test_token(self, command: str) -> None:
        answer = await self.run(command, MY_ACCESS_JWT_TOKEN=(await self.signed_in())["access_token"])
        assert answer.status == 200
        assert (answer.json["email"], answer.json["device"]["device_type"]) == (USER, "email")

    async def refresh(self, command: str) -> None:
        old = (await self.signed_in())["refresh_token"]
        answer = await self.run(command, MY_JWT_REFRESH_TOKEN=old)
        assert answer.status == 200
        assert answer.json.keys() == {"access_token", "refresh_token"}
        assert answer.json["refresh_token"] != old

    async def login_tfa(self, command: str) -> None:
        first = await self.face.first_of(USER)
        code = await self.face.code_of(USER)
        answer = await self.run(command, MY_TOTP_TOKEN=code, MY_PRE_TFA_JWT_ACCESS_TOKEN=first)
        assert answer.status == 200
        assert answer.json["refresh_token"]

    async def recover_tfa(self, command: str) -> None:
        codes = await self.face.backups_of(USER)
        assert len(set(codes)) == 5
        for status in (200, 403):
            first = await self.face.first_of(USER)
            filled = {"MY_BACKUP_TOTP_TOKEN": codes[0], "MY_PRE_TFA_JWT_ACCESS_TOKEN": first}
            assert (await self.run(command, **filled)).status == status

    async def get_my_qrcode(self, command: str) -> None:
        assert self.app is not None
        pair = (await self.face.second(await self.face.first_of(WITH_APP), self.app.code())).json()
        assert (await self.run(command, MY_JWT_ACCESS_TOKEN=pair["access_token"])).status == 200
        assert scanned((self.folder / "my_recovered_qr_code.png").read_bytes()) == self.app

    async def enable_tfa(self, command: str) -> None:
        email = await self.face.new()
        access = await self.face.access_of(email)
        assert (await self.run(command, MY_JWT_ACCESS_TOKEN=access)).status == 200
        app = scanned((self.folder / "my_new_qr_code.png").read_bytes())
        assert (await self.face.second(await self.face.first_of(email), app.code())).status_code == 200
        assert (await self.run(command, MY_JWT_ACCESS_TOKEN=access)).status == 400

    async def test_celery(self, command: str) -> None:
        answer = await self.run(command)
        assert answer.status == 200
        self.task_id = answer.json["task_id"]

    async def taskstatus(self, command: str) -> None:
        states = set()

        async def asked() -> Answer:
            found = await self.run(command, TASK_ID=self.task_id)
            states.add(found.json["state"])
            return found

        answer = await until(asked, lambda found: bool(found.json["state"] == "SUCCESS"))
        assert answer.json == {"state": "SUCCESS", "result": "Email sent"}
        assert states <= {"PENDING", "STARTED", "SUCCESS"}
        assert await self.face.mails_of("fake@mail.com")


@pytest.mark.foreign
async def test_every_line_in_the_order_of_the_page(tmp_path: Path) -> None:
    """Where the page is not beside the checkout, the summary of the run says so."""
    page = seed(3)
    if page is None:
        assert "3" in missing()
        return
    folder = tmp_path / "reader"
    folder.mkdir()
    server = served(tmp_path / "data")
    async with running(server), client_for(server) as http:
        reader, done = Reader(folder, server, Face(http)), []
        for line in lines(page):
            how = LINES[line.fingerprint]
            if how == "users-list":
                assert (await reader.run(line.text)).status == 401
            elif how != "docker":
                await getattr(reader, how)(line.text)
            done.append(line.fingerprint)
        assert done == list(LINES)
