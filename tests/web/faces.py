"""The face of every route: of each answer the status, the code and the header fields, with the values that are always
the same.

Not here: the requests (`faces_requests`), the file of the answers, and how it is compared with them (`faces_file`).
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx2

from tests.architecture.population import Population
from tests.catalogue.settled import HOURS
from tests.kit import running, settings_for
from tests.web.faces_requests import ALLOWED, NOWHERE, Prepared, Sent, cases_of, nowhere, operations, right

# -- what is answered ------------------------------------------------------------------------------

Names = tuple[str, ...]
Answer = dict[str, str]
"""`is`: the status, with the code of the refusal or the name of the page; and each header field."""

_VARYING = ("content-length", "etag", "last-modified", "x-request-id")
"""Of these fields only the presence is recorded."""
_PAGE, _ALERT = re.compile(r'<main[^>]* data-page="([^"]+)"'), re.compile(r'role="alert"[^>]* data-code="([^"]+)"')
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Recorded:
    """An answer. `names`: those of its operation, or of a path without a route. `like`: as in `Sent`."""

    case: str
    names: Names
    like: str
    answer: Answer


def facts(answer: httpx2.Response, path: str, allowed: str) -> Answer:
    """`path` and `allowed`: the path that was asked for, and its methods as Allow names them."""
    found = {"is": f"{answer.status_code} {_word(answer)}".strip()}
    for name in sorted(answer.headers):
        values = answer.headers.get_list(name)
        found[name] = " + ".join(_constant(name, value, path) for value in values)
    if found.get("allow") == allowed:
        found["allow"] = "{methods}"
    return found


def _word(answer: httpx2.Response) -> str:
    """The code of a problem document; of a page its name, and the code of its alert."""
    if found := _PAGE.search(answer.text):
        alert = _ALERT.search(answer.text)
        return f"{found[1]}:{alert[1]}" if alert else found[1]
    is_problem = answer.headers.get("content-type") == "application/problem+json" and answer.content
    return str(answer.json()["code"]) if is_problem else ""


def _constant(name: str, value: str, path: str) -> str:
    if name in _VARYING:
        return "…"
    if name == "set-cookie":
        return re.sub(r"^([^=]+)=[^;]+", r"\1=…", value)
    if name == "location":
        where = "{path}" if value == path else value.replace(quote(path, safe=""), "{path}")
        return _ID.sub("{id}", where)
    return value


# -- recording -------------------------------------------------------------------------------------


@dataclass
class Recorder:
    """Sends everything to one application. `before`: its database, which is copied back for each route. A transport
    without a client stores no cookie, and takes a third less time."""

    population: Population
    before: sqlite3.Connection
    began: int
    url: str
    transport: httpx2.ASGITransport

    async def all(self) -> list[Recorded]:
        found = []
        every = operations(self.population.the.gate)
        for operation in every:
            to = Prepared(operation, await right(operation)(self._anew()))
            allowed = _allowed({one.method for one in every if one.path == operation.path})
            found += await self._answers(operation.names, to.ask.path, allowed, cases_of(to))
        for path in NOWHERE:
            found += await self._answers((path, "nowhere"), path, "", nowhere(path))
        return found

    async def _answers(self, names: Names, path: str, allowed: str, cases: dict[str, Sent]) -> list[Recorded]:
        found = []
        for case, sent in cases.items():
            headers = {"accept": "*/*", **sent.headers}
            request = httpx2.Request(sent.method, f"{self.url}{sent.path}", headers=headers, content=sent.content)
            answer = await self.transport.handle_async_request(request)
            await answer.aread()
            found.append(Recorded(case, names, sent.like, facts(answer, path, allowed)))
        return found

    def _anew(self) -> Population:
        with closing(_database(self.population)) as file:
            self.before.backup(file)
        self.population.the.http.cookies.clear()
        self.population.the.clock.now = self.began
        return self.population.moved(self.population.the)


def _allowed(methods: set[str]) -> str:
    return ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))


def _database(population: Population) -> sqlite3.Connection:
    return sqlite3.connect(population.the.gate.settings.data / "passgate.db")


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    """For a new application and its population."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(":memory:")) as before:
        settings = settings_for(Path(folder), cors={"origins": [ALLOWED]}, **HOURS)
        async with running(settings) as the:
            population = await Population.settled(the)
            with closing(_database(population)) as file:
                file.backup(before)
            transport = httpx2.ASGITransport(the.gate, client=("127.0.0.1", 50000))
            yield Recorder(population, before, the.clock.now, settings.url, transport)


async def record() -> list[Recorded]:
    async with recorder() as made:
        return await made.all()
