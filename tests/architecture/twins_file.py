"""Writes `src/passgate/operations.pyi`, the types of the Python twins, from the routes:
`python -m tests.architecture.twins_file`.

Not here: what the twins do when called.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from datetime import datetime
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from passgate.app import Passgate
from passgate.settings import Settings
from passgate.web.api.all import ROUTERS
from passgate.web.carried import Carried
from passgate.web.twins import Operation, operations
from passgate.web.values import WithQr, answer_models, is_value, models_in, value_of
from tests.architecture.reference import SRC

PATH = SRC / "operations.pyi"

_HEAD = '''\
"""The types of the Python twins, written by `python -m tests.architecture.twins_file`: change the endpoints instead."""

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict

from starlette.responses import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The answer of a twin that signs somebody in or out. What carries the session is `token`, or `access_token` and
    `refresh_token`, or a cookie, which `set_on` sets."""

    @property
    def session(self) -> Session | None: ...
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    def set_on(self, response: Response) -> None:
        """Set the cookies of this answer on a response to the same browser; after signing out, they clear its session.
        Raises RuntimeError for an answer without any."""

    def clear_on(self, response: Response) -> None:
        """Clear the session cookie of the browser that gets this response."""
'''
_QR = '''\
    def qr_png(self) -> bytes:
        """The QR code of the setup key, as PNG. Raises ValueError for the challenge of another factor."""
'''


def written() -> str:
    """The whole file, formatted as the project is."""
    with tempfile.TemporaryDirectory() as folder:
        gate = Passgate(Settings.development(data=Path(folder)))
        by_tag = operations(gate.api.routes)
        gate.services.hasher.close()
    parts = [_HEAD, *_values(), *_inputs(by_tag), *(part for tag in by_tag for part in _tag(tag, by_tag[tag]))]
    tags = "".join(f"    @property\n    def {tag}(self) -> _{tag.title()}: ...\n" for tag in by_tag)
    about = '    """The operations of one request or operator, by tag."""\n\n'
    parts.append(f"class Operations:\n{about}    def __init__(self, caller: object) -> None: ...\n{tags}")
    return _formatted("\n".join(parts))


def _formatted(text: str) -> str:
    command = [str(Path(sys.executable).with_name("ruff")), "format", "--stdin-filename", str(PATH), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


Tags = dict[str, dict[str, Operation]]


def answer_models_of_all() -> list[type[BaseModel]]:
    return list(dict.fromkeys(answer_models(route for router in ROUTERS for route in router.routes)))


def _values() -> Iterator[str]:
    for model in answer_models_of_all():
        kind = value_of(model)
        bases = "(Carried)" if issubclass(kind, Carried) else ""
        yield f"@dataclass(frozen=True, slots=True, kw_only=True)\nclass {model.__name__}{bases}:"
        yield from (f"    {_member(one)}" for one in _own(kind))
        yield _QR if issubclass(kind, WithQr) else ""


def _own(kind: type) -> Iterator[Field[Any]]:
    """The fields that the class does not have from `Carried`, or that are narrower there."""
    base = {one.name: one.type for one in fields(Carried)} if issubclass(kind, Carried) else {}
    yield from (one for one in fields(kind) if one.name not in base or one.name == "session")


def _member(one: Field[Any]) -> str:
    return f"{one.name}: {type_text(one.type)}" + ("" if one.default is MISSING else f" = {one.default!r}")


def _inputs(by_tag: Tags) -> Iterator[str]:
    """The models within a body, which a host gives as dicts."""
    bodies = [one.model for by_name in by_tag.values() for one in by_name.values() if one.model]
    for model in dict.fromkeys(below for body in bodies for below in models_in(body) if below is not body):
        yield f"class _{model.__name__}(TypedDict, total=False):"
        yield from (f"    {name}: {type_text(info.annotation)}" for name, info in model.model_fields.items())


def _tag(tag: str, by_name: dict[str, Operation]) -> Iterator[str]:
    yield f"class _{tag.title()}:"
    for one in by_name.values():
        positional = [name for name in one.signature.parameters if name in (*one.path_names, "handle")]
        given = [*(f"{name}: str" for name in positional), *(["/"] if positional else []), *_keywords(one)]
        yield f"    async def {one.name}({', '.join(['self', *given])}) -> {type_text(one.answer)}:"
        yield f'        """{one.route.summary}"""\n'
    if tag == "factors":
        yield "    # a factor of the host's own adds operations"
        yield "    def __getattr__(self, name: str) -> Any: ...\n"


def _keywords(one: Operation) -> list[str]:
    named = [given for given in one.signature.parameters.values() if given.kind is Parameter.KEYWORD_ONLY]
    defaults = {given.name: "" if given.default is Parameter.empty else f" = {given.default!r}" for given in named}
    found = [f"{given.name}: {type_text(given.annotation)}{defaults[given.name]}" for given in named]
    return ["*", *found] if found else []


def type_text(kind: Any) -> str:
    """A type as a stub writes it. A list that a host gives may be a tuple: a sequence
    could be a text. An operation may be named `list`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_text(parts[0])
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(part) for part in parts)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin is tuple:
        return f"tuple[{type_text(parts[0])}, ...]"
    if origin is list:
        return f"builtins.list[{type_text(parts[0])}] | tuple[{type_text(parts[0])}, ...]"
    if origin is dict:
        return f"dict[{', '.join(type_text(part) for part in parts)}]"
    if kind is types.NoneType or kind is None:
        return "None"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"_{kind.__name__}"
    if is_value(kind) or kind in (str, int, float, bool, bytes, datetime):
        return str(kind.__name__)
    if kind is Any:
        return "Any"
    raise TypeError(f"no way to write {kind}")


def main() -> None:
    PATH.write_text(written())


if __name__ == "__main__":
    main()
