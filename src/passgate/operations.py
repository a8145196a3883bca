"""What `gate.at(request)` gives: one async function for each operation of the API document. The attribute is the tag of
the operation, the function its name, so `signin-prove` is `gate.at(request).signin.prove`. Types are in
`operations.pyi`, which `python -m tests.architecture.twins_file` writes.

Not here: how an operation is called (`web.twins`), and how its answer becomes a value (`web.values`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passgate.web.api.all import ROUTERS
from passgate.web.carried import Carried
from passgate.web.twins import Caller, Operation
from passgate.web.values import answer_models, value_of


class Operations:
    """The operations of one request or operator, by tag."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __getattr__(self, tag: str) -> _Tagged:
        by_tag = self._caller.inside().operations
        return _Tagged(tag, _found(by_tag, tag, "tag"), self._caller)

    def __dir__(self) -> list[str]:
        return sorted(self._caller.inside().operations)


class _Tagged:
    """The operations of one tag, by name."""

    __slots__ = ("_by_name", "_caller", "_tag")

    def __init__(self, tag: str, by_name: Mapping[str, Operation], caller: Caller) -> None:
        self._tag, self._by_name, self._caller = tag, by_name, caller

    def __getattr__(self, name: str) -> Any:
        operation, caller = _found(self._by_name, name, f"operation of {self._tag}"), self._caller

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await caller.call(operation, *args, **kwargs)

        call.__name__ = call.__qualname__ = name
        call.__doc__, call.__signature__ = operation.route.summary, operation.signature  # type: ignore[attr-defined]
        return call

    def __dir__(self) -> list[str]:
        return sorted(self._by_name)


def _found(among: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in among:
        raise AttributeError(f"no {what} is named {name!r}: there are {', '.join(sorted(among))}")
    return among[name]


def __getattr__(name: str) -> type:
    """The class of the values of one response model, by the name of the model. The import system asks for names of its
    own, and for these alone no model has to be known."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for model in answer_models(route for router in ROUTERS for route in router.routes):
        if model.__name__ == name:
            return value_of(model)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Carried", "Operations"]
