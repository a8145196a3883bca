"""A page with a form: what the form may contain, the page that its errors are displayed on, the step-up that a missing
fresh proof leads to, and the way back from it.

Not here: what a form does, which is in the module of its page.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import signature
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from passgate.errors import Invalid, PassgateError, StepUpNeeded
from passgate.web.guards import form_of
from passgate.web.pages.steps import step_up
from passgate.wire.body import MAX_BODY, PROFILE

Answer = Callable[..., Coroutine[Any, Any, Response]]


async def _none() -> None:
    """A page that is opened displays no error."""


Error = Annotated[PassgateError | None, Depends(_none)]
"""The last parameter of a page with a form: what its form was refused with."""


def form(page: Answer, *, passes_on: type[PassgateError] | tuple[()] = ()) -> Callable[[Answer], Answer]:
    """Decorates the action of a form. Its errors are displayed on `page`, which is called with those of the action's
    arguments that it takes, and the error. If a fresh proof is missing, a step-up follows that leads back to the page.
    `passes_on`: an error that has no page to be displayed on."""
    taken = signature(page).parameters

    def around(action: Answer) -> Answer:
        @wraps(action)
        async def answer(**given: Any) -> Response:
            try:
                return await action(**given)
            except passes_on:
                raise
            except StepUpNeeded as needed:
                request: Request = given["request"]
                back = request.state.table.path_of(page, request.path_params)
                return await step_up(given["ctx"], back, address=needed.address)
            except PassgateError as error:
                return await page(**{name: value for name, value in given.items() if name in taken}, error=error)

        return answer

    return around


# -- what a form contains --------------------------------------------------------------------------

_LONGEST = {
    "email": 320,
    "username": 64,
    "code": 40,
    "tenant": 80,
    "organisation": 80,
    "name": 200,
    "decision": 40,
    "label": 200,
    "answer": 60_000,
    "was": 20_000,
}


def fields(request: Request, *required: str, optional: tuple[str, ...] = ()) -> dict[str, str]:
    """The named fields of the form and no others; an empty field counts as missing. Raises Invalid."""
    given, known = form_of(request), {*required, *optional, "csrf_token"}
    faults = {name[:100]: "unknown" for name in given if name not in known}
    faults |= {name: "missing" for name in required if not given.get(name, "").strip()}
    faults |= {name: "length" for name in known if len(given.get(name, "")) > _longest(name)}
    if faults:
        raise Invalid(faults)
    return {name: given.get(name, "") for name in (*required, *optional)}


def _longest(name: str) -> int:
    """What a profile may have is known to its model."""
    return _LONGEST.get(name, MAX_BODY if name.startswith(f"{PROFILE}.") else 1024)


def typed(request: Request, name: str, default: str = "") -> str:
    """What was typed into a field, to fill in the form again."""
    return form_of(request).get(name, default)
