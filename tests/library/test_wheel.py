"""What is shipped: the README's example as printed, and a wheel that serves in an environment with nothing else in it.

Not here: what the endpoints do; one person signs up and is greeted.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit import PASSWORD, bearer, handle_of, token_of
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


def example() -> str:
    """The first Python block of the README's section, as printed."""
    section = (ROOT / "README.md").read_text().partition("## In your own program")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@contextmanager
def served(folder: Path, *command: str | Path, **settings: object) -> Iterator[int]:
    """A server process on its own port, with `folder` as its working directory."""
    port = free_port()
    env = {"PATH": os.defpath, "PASSGATE_PORT": str(port), "PASSGATE_HASH__MEMORY_KIB": "8192"}
    env |= {name: str(value) for name, value in settings.items()}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(word).format(port=port) for word in command], cwd=folder, env=env, stdout=log, stderr=log
        )
        try:
            yield port
            process.terminate()
            assert process.wait(20) in (0, -15), (folder / "log").read_text()[-2000:]
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def client(port: int) -> Any:
    headers = {"Host": f"localhost:{port}"}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as http:
        yield http


async def ready(http: httpx2.AsyncClient, at: str) -> None:
    for _ in range(300):
        try:
            if (await http.get(f"{at}/readyz")).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError("it does not serve")


async def signed_up(http: httpx2.AsyncClient, at: str) -> str:
    """Sign up a new person; the token of their session."""
    await ready(http, at)
    body = {"email": "anna@example.com", "password": PASSWORD}
    handle = bearer(handle_of(await http.post(f"{at}/api/v1/signup", json=body)))
    proof = {"factor": "email_code", "answer": (await http.get(f"{at}/dev/mail.json")).json()[0]["code"]}
    assert (await http.post(f"{at}/api/v1/signin/prove", json=proof, headers=handle)).status_code == 200
    return token_of(await http.post(f"{at}/api/v1/signin/finish", json={"carrier": "bearer"}, headers=handle))


async def greets(python: Path, folder: Path, **settings: object) -> None:
    """Serve the README's example with uvicorn, and send its requests."""
    (folder / "main.py").write_text(example())
    command = (python, "-m", "uvicorn", "main:app", "--port", "{port}", "--log-level", "warning")
    with served(folder, *command, **settings) as port:
        async with client(port) as http:
            token = await signed_up(http, "/auth")
            assert (await http.get("/hello")).status_code == 401
            assert (await http.get("/hello", headers=bearer(token))).json() == "Hello anna@example.com"
            assert (await http.get("/nowhere")).json() == {"detail": "Not Found"}
    assert (folder / "log").read_text() == ""


def test_the_readmes_example_is_short() -> None:
    assert len(example().splitlines()) <= 15


async def test_the_readmes_example_runs_as_printed(tmp_path: Path) -> None:
    await greets(Path(sys.executable), tmp_path, PYTHONPATH=ROOT / "src")


# -- the wheel -------------------------------------------------------------------------------------


def done(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that must succeed; its output. `uv` finds packages in its cache and only otherwise asks an
    index."""
    found = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
    return found.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and its dependencies, with hashes checked."""
    folder = tmp_path_factory.mktemp("wheel")
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (wheel,) = folder.glob("*.whl")
    done(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    install = (UV, "pip", "install", "--quiet", "--python", python)
    locked = ("--require-hashes", "-r", ROOT / "requirements" / "run.txt")
    offline = subprocess.run([str(word) for word in (*install, "--offline", *locked)], check=False, capture_output=True)
    if offline.returncode != 0:
        done(*install, *locked)
    done(*install, "--offline", "--no-deps", wheel)
    done(UV, "pip", "check", "--quiet", "--python", python)
    return python


def test_the_wheel_is_the_package_and_nothing_else(installed: Path) -> None:
    where = done(installed, "-I", "-c", "import passgate; print(passgate.__file__)", cwd=installed.parent)
    inside = Path(where.strip()).parent
    assert installed.parents[1] in inside.parents
    ours = ROOT / "src" / "passgate"

    def files(folder: Path) -> set[str]:
        return {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(inside) == files(ours)
    assert "py.typed" in files(inside)


async def test_the_wheel_serves(installed: Path, tmp_path: Path) -> None:
    with served(tmp_path, installed.parent / "passgate", "--data", tmp_path / "data", "serve") as port:
        async with client(port) as http:
            token = await signed_up(http, "")
            displayed = (await http.get("/api/v1/session", headers=bearer(token))).json()
            assert displayed["user"]["email"] == "anna@example.com"
            assert (await http.get("/docs")).status_code == 200


async def test_the_readmes_example_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    await greets(installed, tmp_path)
