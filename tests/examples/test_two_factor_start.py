"""How example 3 starts: variables that are gone, production with all that it asks for, and a mail
server that is slow.

Not here: what each variable does (policy), what its log has (access_log), and two first starts at once (races).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from passgate import errors
from tests.adapters.test_mail import Sink
from tests.adapters.test_mail import serving as serving_mail
from tests.examples.programs import Served, folder_of, module
from tests.examples.test_two_factor_policy import WRONG
from tests.examples.two_factor_served import Face, served
from tests.faults.test_parts import Sink as SlowSink
from tests.faults.test_parts import serving as slowly
from tests.kit import PASSWORD, bearer
from tests.processes import ROOT, client_for
from tests.servers import Postgres, free_port

GONE = (
    *("JWT_SECRET_KEY", "JWT_SECRET_KEY_REFRESH", "PRE_TFA_SECRET_KEY", "FERNET_KEY_TFA_TOKEN", "ALGORITHM"),
    *("SQLALCHEMY_DATABASE_URI", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_SERVER", "POSTGRES_HOST"),
    *("POSTGRES_PORT", "POSTGRES_DB", "RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "CELERY_BROKER_URL"),
    *("CELERY_RESULT_BACKEND", "RESULT_BACKEND", "REDIS_HOST", "REDIS_PORT", "REDIS_URL"),
    *("PASSGATE_REDIS_URL", "PASSGATE_BROKER_URL", "CELERY_FLOWER_USER", "CELERY_FLOWER_PASSWORD"),
    *("PASSGATE_TOKEN__ACCESS", "PASSGATE_TOKEN__REFRESH", "PASSGATE_SESSION__IDLE", "PASSGATE_SESSION__ABSOLUTE"),
    *("PASSGATE_SIGNIN__LIFE", "PASSGATE_MAIL__CODE_LIFE", "PASSGATE_MAIL__FROM", "PASSGATE_CORS__ORIGINS"),
)


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    for name in (*GONE, *WRONG):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def reasons() -> list[str]:
    try:
        module(3, "variables").Variables.load()
    except errors.UnsafeSettings as refused:
        assert "sesame" not in str(refused.reasons)
        return [code for code, _ in refused.reasons]
    return []


@pytest.mark.parametrize("name", GONE)
@pytest.mark.parametrize("where", ["environment", "file", "lower case"])
def test_a_variable_that_is_gone_stops_the_start(nothing_set: pytest.MonkeyPatch, name: str, where: str) -> None:
    assert reasons() == []
    if where == "file":
        Path(".env").write_text(f"{name}=sesame\n")
    else:
        nothing_set.setenv(name.lower() if where == "lower case" else name, "sesame")
    assert reasons() == [f"OLD_{name}"]


def test_all_are_named_at_once(nothing_set: pytest.MonkeyPatch) -> None:
    for name in GONE:
        nothing_set.setenv(name, "")
    for name, values in WRONG.items():
        nothing_set.setenv(name, values[0])
    assert sorted(reasons()) == sorted([*(f"OLD_{name}" for name in GONE), *(f"VALUE_{name}" for name in WRONG)])


def test_every_variable_has_an_answer() -> None:
    assert module(3, "variables").REFUSED.keys() == set(GONE)


def test_what_pip_installs_is_this_checkout() -> None:
    """A bare name would be somebody else's package of a public index."""
    lines = [line for line in (folder_of(3) / "requirements.txt").read_text().splitlines() if line[:1] not in ("", "#")]
    assert (folder_of(3) / lines[0]).resolve() == ROOT
    assert [line.partition(">=")[0] for line in lines[1:]] == ["python-multipart", "pydantic-settings"]


# -- as a process ----------------------------------------------------------------------------------


async def test_refused_by_name(tmp_path: Path) -> None:
    env = {"JWT_SECRET_KEY": "sesame", "CELERY_BROKER_URL": "sesame", "TFA_TOKEN_LENGTH": "sesame"}
    server = served(tmp_path / "data", env=env)
    assert await server.refused() == {"OLD_JWT_SECRET_KEY", "OLD_CELERY_BROKER_URL", "VALUE_TFA_TOKEN_LENGTH"}
    assert "sesame" not in server.log()


async def test_production_names_all_that_is_missing(tmp_path: Path) -> None:
    """Whichever of the two variables says that it is production."""
    wanted = {"SECRETS_MISSING", "URL_NOT_HTTPS", "URL_LOCALHOST", "MAIL_NOT_REAL", "HASH_WEAK", "METRICS_OPEN"}
    bare = served(tmp_path / "bare", env={"FASTAPI_CONFIG": "production"})
    assert await bare.refused() == {"VALUE_FAKE_EMAIL_SENDER"}
    own = served(tmp_path / "own", env={"FASTAPI_CONFIG": "production", "FAKE_EMAIL_SENDER": "post@example.com"})
    assert await own.refused() == {*wanted, "CORS_INSECURE"}
    passgates = served(tmp_path / "passgates", ENVIRONMENT="production")
    assert await passgates.refused() == wanted


PUBLIC = "https://id.passgate.test"


def production(data: Path, database_url: str | None, mail_port: int) -> Served:
    env = {
        "FASTAPI_CONFIG": "production",
        "FAKE_EMAIL_SENDER": "post@example.com",
        "BACKEND_CORS_ORIGINS": "https://app.passgate.test",
    }
    given = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": PUBLIC,
        "SECRETS": secrets.token_hex(32),
        "MAIL__URL": f"smtp://127.0.0.1:{mail_port}",
        "METRICS__TOKEN": secrets.token_hex(16),
        "HASH__MEMORY_KIB": "19456",
        "HASH__PASSES": "2",
    }
    return served(data, database_url, env=env, **given)


@asynccontextmanager
async def public_client(server: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(server) as http:
        http.headers["host"] = "id.passgate.test"
        yield http


@pytest.mark.pg
async def test_production_with_all_of_it(tmp_path: Path, postgres: Postgres, pg_template: str) -> None:
    sink, url = Sink(), postgres.create_database(template=pg_template)
    async with serving_mail(sink, enable_SMTPUTF8=True) as port:
        server = production(tmp_path / "data", url, port)
        try:
            await server.start()
            async with public_client(server) as http:
                face = Face(http)
                assert (await face.signup("short@example.com", "email")).status_code == 422
                assert (await face.signup("anna@example.com", "email", PASSWORD)).status_code == 200
                first = (await face.login("anna@example.com", PASSWORD)).json()["access_token"]
                code = await mailed_code(sink)
                pair = (await face.second(first, code)).json()
                assert (await face.show(pair["access_token"]))["device"]["device_type"] == "email"
                for token, status in (("", 401), (pair["access_token"], 403)):
                    for path in ("/tasks/test-celery", f"/tasks/taskstatus?task_id={'0' * 32}", "/users/users"):
                        assert (await face.ask("GET", path, token)).status_code == status
                assert (await http.get("/auth/dev/mail.json", headers=bearer(pair["access_token"]))).status_code == 404
            await server.stop()
        finally:
            server.kill9()
    server.no_faults()
    assert PASSWORD not in server.log()
    assert code not in server.log()


async def mailed_code(sink: Sink) -> str:
    for _ in range(600):
        for envelope in sink.got:
            assert envelope.original_content is not None
            sink_mail = Sink(got=[envelope]).mail()
            if (digits := str(sink_mail["Subject"]).rpartition(" ")[2]).isdigit():
                return digits
        await asyncio.sleep(0.05)
    raise AssertionError("no code was mailed")


async def test_a_database_of_development_is_not_served_to_the_public(tmp_path: Path) -> None:
    """Its rules are development's, and passwords that these allowed are in it."""
    server = served(tmp_path / "data")
    try:
        await server.start()
        await server.stop()
    finally:
        server.kill9()
    assert await production(tmp_path / "data", None, 25).refused() == {"PASSWORD_SHORT", "PASSWORD_UNCHECKED"}


async def test_a_slow_mail_server_slows_no_login(tmp_path: Path) -> None:
    """It takes two seconds for each mail, and an answer less than half a second; the best of some, since other tests
    run beside it."""
    port, sink = free_port(), SlowSink(pause=2)
    async with slowly(sink, port):
        server = served(tmp_path / "data", MAIL__URL=f"smtp://127.0.0.1:{port}")
        try:
            await server.start()
            async with client_for(server) as http:
                face, took = Face(http), list[float]()
                email = await face.new("email")
                while len(took) < 8 and min(took, default=1) >= 0.5:
                    began = time.monotonic()
                    await face.first_of(email)
                    took.append(time.monotonic() - began)
                assert min(took) < 0.5, took
            await server.stop()
        finally:
            server.kill9()
    assert sink.offered
    server.no_faults()
