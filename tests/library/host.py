"""A host's program with one route, in which a test calls twins. Not here: tests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, Request, Response

from passgate import User, testing
from passgate.operations import Operations
from passgate.testing import Gate
from tests.kit import make_quick
from tests.library.program import asked

Work = Callable[[Operations], Awaitable[Any]]


@dataclass
class Host:
    """`run` sends a request to the route, calls `work` there and returns or raises what it does."""

    gate: Gate
    http: httpx2.AsyncClient
    work: Callable[[Request, Response], Awaitable[Any]] | None = None
    outcome: Any = None
    answer: httpx2.Response | None = None

    async def run(self, work: Work, method: str = "POST", path: str = "/run", **request: Any) -> Any:
        return await self.within(lambda request, _response: work(self.gate.at(request)), method, path, **request)

    async def within(
        self,
        work: Callable[[Request, Response], Awaitable[Any]],
        method: str = "POST",
        path: str = "/run",
        **request: Any,
    ) -> Any:
        self.work = work
        self.answer = await self.http.request(method, path, **request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def do(self, request: Request, response: Response) -> None:
        assert self.work is not None
        try:
            self.outcome = await self.work(request, response)
        except Exception as error:
            self.outcome = error
            raise

    async def proved(self, email: str = "anna@example.com", **headers: str) -> str:
        """The handle of a sign-up that needs nothing more."""
        begun = await self.run(lambda at: at.signin.signup(email=email, password=testing.PASSWORD), headers=headers)
        await self.gate.settle()
        code = self.gate.mailbox.code(email)
        done = await self.run(
            lambda at: at.signin.prove(begun.handle, factor="email_code", answer=code), headers=headers
        )
        assert done.enough
        return str(begun.handle)


@asynccontextmanager
async def hosting(gate: Gate) -> AsyncIterator[Host]:
    app = FastAPI()

    @app.api_route("/run", methods=["GET", "POST"], dependencies=[Depends(gate.public)])
    async def run(request: Request, response: Response) -> None:
        await host.do(request, response)

    @app.api_route("/guarded", methods=["GET", "POST"])
    async def guarded(_user: Annotated[User, Depends(gate.user)], request: Request, response: Response) -> None:
        await host.do(request, response)

    gate.mount(app)
    await make_quick(gate)
    async with asked(app, gate) as http:
        host = Host(gate, http)
        yield host
