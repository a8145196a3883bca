"""A host's program, as `passgate serve --app` runs it: found by name, started and stopped by its ASGI lifespan.

Not here: serving it (`server`), and whether it mounts Passgate, which is its own affair.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from passgate.errors import Unavailable, UnsafeSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

PATIENCE = 2.0
"""Seconds that a cancelled lifespan has to end."""
_FAILED = "APP_FAILED"
_TARGET = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")


class Fault(Exception):
    """The program itself failed or left; `__cause__` is what it raised."""

    def show(self, target: str, *, in_full: bool) -> int:
        """Print what was given to `sys.exit`, or the reason, without any value that the error has; `in_full`, then the
        traceback as Python prints it, without our own frames. Returns the exit code."""
        error = self.__cause__
        if isinstance(error, SystemExit):
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        print(*self.reason(target), file=sys.stderr)
        if error is not None and in_full:
            traceback.print_exception(error.with_traceback(_theirs(error.__traceback__)))
        return 1

    def reason(self, target: str) -> tuple[str, str]:
        """APP_FAILED, with the innermost place in the program's own folder."""
        error = self.__cause__
        kind = type(error).__name__
        if isinstance(error, SyntaxError):
            return _FAILED, f"{target} raised {kind}: {error.filename}, line {error.lineno}. Mend it there."
        frames = traceback.extract_tb(_theirs(error.__traceback__)) if error is not None else []
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())] or frames
        place = f"{own[-1].filename}, line {own[-1].lineno}" if own else "at no known line"
        return _FAILED, f"{target} raised {kind}: {place}. Mend it there."


def _theirs(frames: TracebackType | None) -> TracebackType | None:
    """From the first frame on that is neither ours nor of the import system; all of them if there is none."""
    found = frames
    while found is not None:
        name = found.tb_frame.f_code.co_filename
        if name != __file__ and not name.startswith("<frozen importlib") and name != importlib.__file__:
            return found
        found = found.tb_next
    return frames


def load(target: str) -> ASGIApp:
    """The ASGI application `MODULE:NAME`; modules of the current folder come first. Raises UnsafeSettings with an
    `APP_…` code, and Fault for what the module itself raises."""
    parsed = _TARGET.fullmatch(target)
    if parsed is None:
        raise _refused("APP_NAME", f"--app must be like main:app, not {target!a}.")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found = getattr(_module(parsed["module"]), parsed["name"], None)
    if found is None:
        raise _refused("APP_MISSING", f"The module {parsed['module']} has no {parsed['name']}.")
    if not _is_asgi(found):
        raise _refused("APP_KIND", f"{target} isn't an ASGI application, such as FastAPI().")
    return found  # type: ignore[no-any-return]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (UnsafeSettings, Unavailable):
        raise
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{name}.".startswith(f"{missing.name}."):
            raise Fault from missing
        raise _refused("APP_NOT_FOUND", f"There is no module {name} in this folder.") from None
    except (Exception, SystemExit) as error:
        raise Fault from error


def _is_asgi(found: Any) -> bool:
    """Whether it can be called as ASGI calls: with scope, receive and send."""
    if inspect.isclass(found) or not callable(found):
        return False
    try:
        inspect.signature(found).bind(None, None, None)
    except (TypeError, ValueError):
        return False
    return True


def _refused(code: str, text: str) -> UnsafeSettings:
    return UnsafeSettings([(code, text)])


# -- lifespan --------------------------------------------------------------------------------------


class Lifespan:
    """The lifespan of one ASGI application (ASGI, "Lifespan Protocol"). What the application raises is raised here."""

    def __init__(self, app: ASGIApp, forced: asyncio.Event) -> None:
        """Nothing is awaited any longer once `forced` is set."""
        self._app, self._forced = app, forced
        self._state: dict[str, Any] = {}
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[str] = asyncio.Queue()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, Any]]:
        """Started; stopped at the end. Gives the state that it leaves for requests. Raises Fault, and UnsafeSettings
        with APP_LIFESPAN for an application that has none or reports that it failed."""
        task = asyncio.ensure_future(self._run())
        try:
            await self._step("startup", task)
            yield self._state
            await self._step("shutdown", task)
        finally:
            await self._end(task)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._asked.get, self._answer)
        except (UnsafeSettings, Unavailable):
            raise
        except (Exception, SystemExit) as error:
            raise Fault from error

    async def _answer(self, message: Message) -> None:
        self._answers.put_nowait(message["type"])

    async def _step(self, step: str, task: asyncio.Task[None]) -> None:
        """Ask, and wait for the answer, for the end of the application, or for force. What failed raises as soon as it
        has been reported."""
        self._asked.put_nowait({"type": f"lifespan.{step}"})
        answer, force = asyncio.ensure_future(self._answers.get()), asyncio.ensure_future(self._forced.wait())
        await asyncio.wait([answer, force, task], return_when=asyncio.FIRST_COMPLETED)
        is_done = answer.done() and answer.result() == f"lifespan.{step}.complete"
        answer.cancel()
        force.cancel()
        if not is_done and not self._forced.is_set():
            await asyncio.wait([task], timeout=PATIENCE)
        if task.done():
            task.result()
        if not is_done and not self._forced.is_set():
            raise _refused("APP_LIFESPAN", f"The application did not complete its {step}.")

    async def _end(self, task: asyncio.Task[None]) -> None:
        """An application that has answered the last question ends by itself; another one is cancelled."""
        await asyncio.wait([task], timeout=0 if self._forced.is_set() else PATIENCE)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        if task.done() and not task.cancelled() and isinstance(task.exception(), Fault | UnsafeSettings | Unavailable):
            task.result()
