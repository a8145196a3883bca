"""The answers of the JSON API as frozen values: one class for each response model, with the same field names. Lists are
tuples, instants aware datetimes, and free JSON stays as it is.

Not here: the models themselves, which stand at each endpoint, and calling one (`web.twins`).
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.routing import BaseRoute

from passgate import qr
from passgate.web.api import factors, signin
from passgate.web.api.shapes import AN_INSTANT, is_instant
from passgate.web.carried import Carried

MODULE = "passgate.operations"
"""Where a host finds the classes."""


class WithQr:
    """A setup key, which an authenticator app reads from a picture; also in a challenge, where a sign-in sets one
    up."""

    __slots__ = ()

    def qr_png(self) -> bytes:
        """The QR code of the setup key, as PNG. Raises ValueError for the challenge of another factor."""
        uri = getattr(self, "otpauth_uri", None) or getattr(self, "challenge", {}).get("otpauth_uri")
        if not isinstance(uri, str):
            raise ValueError("there is no setup key")  # noqa: TRY004  its type is right, its content is another's
        return qr.png(uri)


_BASES: dict[type[BaseModel], type] = {
    signin.Finished: Carried,
    signin.Challenged: WithQr,
    factors.Secret: WithQr,
}
"""The models whose values can do something."""


@cache
def value_of(model: type[BaseModel]) -> type:
    """The class of a response model's values. Its repr has ids, instants, numbers and flags, and no other text: what
    is secret or personal gets into no log. Two are equal if everything in them is, and all have a hash."""
    own = [(name, kind := _kind_of_field(name, info), _field(name, kind, info)) for name, info in _fields(model)]
    bases = (_BASES[model],) if model in _BASES else ()
    made = make_dataclass(model.__name__, own, bases=bases, frozen=True, slots=True, kw_only=True)
    made.__module__, made.__doc__ = MODULE, model.__doc__
    return made


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return list(model.model_fields.items())


def _kind_of_field(name: str, info: FieldInfo) -> Any:
    return kind_of(info.annotation, instant=is_instant(name) or AN_INSTANT in info.metadata)


def _field(name: str, kind: Any, info: FieldInfo) -> Any:
    default = MISSING if info.is_required() else info.get_default()
    return field(default=default, repr=name == "id" or _is_plain(kind), hash=None if _has_hash(kind) else False)


def _is_plain(kind: Any) -> bool:
    """Whether values of this type can be read by anyone: none has a text or free JSON in it, but as its repr lets."""
    if isinstance(kind, types.UnionType) or get_origin(kind) in (tuple, Union):
        return all(_is_plain(part) for part in get_args(kind) if part is not Ellipsis)
    return get_origin(kind) is Literal or kind in (bool, int, float, datetime, types.NoneType) or is_value(kind)


def _has_hash(kind: Any) -> bool:
    """Free JSON has none: a value that has some in it is told from others by the rest."""
    return kind is not Any and get_origin(kind) not in (dict, list) and all(map(_has_hash, get_args(kind)))


def is_value(kind: Any) -> TypeGuard[type]:
    """Whether a type is one of these classes."""
    return isinstance(kind, type) and is_dataclass(kind)


def kind_of(annotation: Any, *, instant: bool = False) -> Any:
    """The type of a value, by the annotation of its member."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(parts[0], instant=instant)
    if origin in (list, tuple):
        return tuple[kind_of(parts[0]), ...]  # type: ignore[misc]  # made at run time
    if origin in (Union, types.UnionType):
        return Union[tuple(kind_of(part, instant=instant) for part in parts)]  # noqa: UP007  of a list
    if isinstance(annotation, type) and origin is None and issubclass(annotation, BaseModel):
        return value_of(annotation)
    return datetime if instant and annotation is str else annotation


def built(kind: Any, data: Any) -> Any:
    """The value of this type, from JSON that an endpoint answered."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if data is None else built(_fitting(parts, data), data)
    if origin is tuple:
        return tuple(built(parts[0], item) for item in data)
    if is_value(kind):
        return kind(**{name: built(of, data[name]) for name, of in _types(kind).items() if name in data})
    return datetime.fromisoformat(data) if kind is datetime else data


def _fitting(parts: tuple[Any, ...], data: Any) -> Any:
    """The member of a union: the class that has exactly these fields, or the only one that is not None."""
    found = [part for part in parts if part is not types.NoneType]
    of_these = [part for part in found if is_value(part) and data.keys() <= _types(part).keys()]
    return (of_these or found)[0]


@cache
def _types(kind: type) -> dict[str, Any]:
    """The fields that an answer fills."""
    return {one.name: one.type for one in fields(kind) if not one.name.startswith("_")}


def answer_models(routes: Iterable[BaseRoute]) -> Iterator[type[BaseModel]]:
    """Every model of an answer, those that it names before it, some more than once."""
    for route in routes:
        yield from models_in(getattr(route, "response_model", None))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, those that they name first."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if not issubclass(annotation, BaseModel):
            return []
        below = [model for _, info in _fields(annotation) for model in models_in(info.annotation)]
        return [*below, annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
