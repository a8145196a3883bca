"""The fixtures of the whole test suite, and the rule that a skipped test counts as failed.

Not here: mocks of our own code, and fixtures that only one folder needs.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from passgate.parts import build_services
from passgate.store.migrate import upgrade
from passgate.web import repeat
from passgate.world import World
from tests import groups, kit, seconds, storage, tenancy
from tests.examples import seed_readme
from tests.servers import Postgres

tenancy.watch()
kit.make_gates_quick()
if importlib.util.find_spec("sniffio") is None:
    # httpx2 imports it for every request over ASGI; here that fails at once, not after a search of all folders.
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # as documented for modules that are not there


def pytest_configure(config: pytest.Config) -> None:
    storage.choose()
    if not hasattr(config, "workerinput"):  # workers of xdist print no summary
        config.pluginmanager.register(seconds.Seconds())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups.rename_duplicates(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> groups.InGroups | None:
    return groups.InGroups(config, log) if config.getvalue("dist") == "load" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing := seed_readme.missing():
        terminalreporter.write_line(missing, yellow=True)


def pytest_collection_finish() -> None:
    # All modules are loaded and stay, so exempt them from garbage collection, which would traverse them repeatedly.
    gc.collect()
    gc.freeze()


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A skipped test checks nothing. An expected failure (`xfail`) does, so it is allowed.
    if not report.skipped or hasattr(report, "wasxfail") or os.environ.get("TESTS_ALLOW_SKIP") == "1":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    report.outcome = "failed"
    report.longrepr = f"{reason}\nA skip counts as a failure here; TESTS_ALLOW_SKIP=1 lets it pass."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Passgate runs on asyncio alone, so its tests do too."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[dict[str, int]]:
    """How often a form that was refused waits for the answer that another process may be giving to the same form: here
    not at all, because most tests run in one process. It would take up to a second each time. Yields the tries of the
    product, for the tests that have two."""
    real = {name: getattr(repeat, name) for name in ("_TRIES_IF_OVER", "_TRIES_IF_TURNED_AWAY", "_TRIES")}
    with pytest.MonkeyPatch.context() as patched:
        for name in real:
            patched.setattr(repeat, name, 1)
        yield real


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for each test process; a test creates its own database on it."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
async def pg_template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated, empty database to copy: 20 ms instead of a migration for each test."""
    folder = tmp_path_factory.mktemp("template")
    url = postgres.create_database()
    services = build_services(kit.settings_for(folder, url), World.real())
    await upgrade(services.store, lock=folder / "lock")
    await services.store.close()
    services.hasher.close()
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Runs the test on both databases: None stands for SQLite in the test's own folder."""
    if request.param == "sqlite":
        yield None
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create_database(template=request.getfixturevalue("pg_template"))
    yield url
    server.drop_database(url)


@pytest.fixture
async def the(tmp_path: Path, database_url: str | None) -> AsyncIterator[kit.The]:
    """A Passgate on each database, with a clock that the test controls."""
    async with kit.running(kit.settings_for(tmp_path, database_url)) as made:
        yield made


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncIterator[kit.The]:
    """A Passgate on SQLite alone, for tests whose outcome does not depend on the database."""
    async with kit.running(kit.settings_for(tmp_path)) as made:
        yield made
