"""`passgate.testing` as a host's tests use it: a program with its own routes, tested without any other helper of ours.

Its clock and mailbox are used throughout this folder; its other parts are tested here.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

import passgate
from passgate import testing
from tests.library.program import asked, guarded, program


def test_with_a_client_that_does_not_wait() -> None:
    gate = testing.gate()
    app = program()
    gate.mount(app)
    with TestClient(guarded(gate, app)) as client:
        anna = testing.sign_in(client, "anna@example.com")
        assert client.get("/me").json()["id"] == anna.id
        assert client.post("/notes", json={"a": "b"}).json() == {"by": "anna@example.com", "a": "b"}
        bert = testing.sign_in(client, "bert@example.com", carrier="bearer")
        assert client.get("/me").json()["id"] == bert.id
        again = testing.sign_in(client, "Anna@example.com")
        assert client.get("/me").json()["id"] == again.id == anna.id
        cara = testing.sign_in(client, "cara@example.com", carrier="jwt")
        renewed = client.post("/auth/api/v1/tokens/refresh", json={"refresh_token": cara.refresh_token}).json()
        client.headers["authorization"] = f"Bearer {renewed['access_token']}"
        assert client.get("/me").json()["id"] == cara.id
        gate.clock.forward(hours=25)
        assert client.get("/me").status_code == 401
        assert testing.sign_in(client, "anna@example.com").id == anna.id


async def test_a_client_that_does_not_wait_may_be_awaited() -> None:
    gate = testing.gate()
    with TestClient(gate) as client:
        assert (await testing.sign_in(client, "anna@example.com")).email == "anna@example.com"


async def test_two_clients_are_two_people() -> None:
    gate = testing.gate()
    app = program()
    gate.mount(app)
    guarded(gate, app)
    async with asked(app, gate) as one:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://elsewhere") as other:
            anna = await testing.sign_in(one, "anna@example.com")
            bert = await testing.sign_in(other, "bert@example.com")
            assert (await one.get("/me")).json()["id"] == anna.id
            assert (await other.get("/me")).json()["id"] == bert.id


def test_a_program_that_does_not_run() -> None:
    gate = testing.gate()
    app = program()
    gate.mount(app)
    with pytest.raises(AssertionError, match="503"):
        testing.sign_in(TestClient(app), "anna@example.com")
    asyncio.run(gate.close())  # nothing else closes it, because it never ran


def test_a_folder_of_its_own_that_goes_with_the_process() -> None:
    result = "from passgate import testing; g = testing.gate(); d = g.settings.data; print(d, oct(d.stat().st_mode))"
    src = Path(passgate.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", result], capture_output=True, text=True, check=True, cwd=src)
    folder, mode = done.stdout.split()
    assert mode == "0o40700"
    assert not Path(folder).exists()
    assert "passgate-" in folder


def test_no_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSGATE_TENANCY", "multi")
    monkeypatch.setenv("PASSGATE_PORT", "nonsense")
    assert testing.gate().settings.tenancy == "single"
    assert testing.gate(tenancy="multi").settings.tenancy == "multi"


def test_the_mailbox() -> None:
    box = testing.Mailbox()
    gate = testing.gate(mailbox=box)
    with TestClient(gate) as client:
        client.post("/api/v1/signup", json={"email": "Anna@example.com", "password": testing.PASSWORD})
        assert client.portal is not None
        client.portal.call(gate.settle)
        assert [mail.kind for mail in box.to("anna@EXAMPLE.com")] == ["signup_code"]
        assert len(box.code("anna@example.com")) == 8
        with pytest.raises(StopIteration):
            box.code("bert@example.com")


def test_public_names() -> None:
    """The names that a host may import. Adding or removing one is a change that the changelog must mention."""
    assert passgate.__all__ == [
        "Carried",
        "Happened",
        "JobRun",
        "Passgate",
        "Settings",
        "User",
        "__version__",
        "errors",
    ]
    for name in passgate.__all__:
        assert getattr(passgate, name)
    with pytest.raises(AttributeError):
        _ = passgate.nothing


def test_settings_alone_stay_cheap() -> None:
    result = (
        "import sys; from passgate import Settings; print([n for n in ('fastapi', 'sqlalchemy') if n in sys.modules])"
    )
    src = Path(passgate.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", result], capture_output=True, text=True, check=True, cwd=src)
    assert done.stdout.strip() == "[]"
