"""Profiles: validation by the host's model, and stable error codes for what does not fit.

Not here: where a profile is stored, which is `people`. Without a model any JSON object is accepted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from annotated_types import MaxLen
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from passgate.errors import Invalid

log = logging.getLogger(__name__)

Model = type[BaseModel]

_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown",
    "string_too_short": "length",
    "string_too_long": "length",
    "too_long": "length",
    "json_invalid": "format",
}


SEVERAL_LINES = "multiline"
"""In the JSON schema of a text that may have several lines:
`bio: str = Field("", json_schema_extra={"multiline": True})`."""
_BREAK = re.compile("[\n\t]")
"""What the edge lets through in a profile and nowhere else (`wire.body`), because only here is it known."""
Place = tuple[str | int, ...]


def fault_codes(faults: Iterable[Mapping[str, Any]], *, under: str = "", skip: int = 0) -> dict[str, str]:
    """Field paths and stable codes; never the values or the library's messages. For an unknown member only its parent's
    path, because the name is input too. `under` prefixes each path; `skip` drops leading parts of each location that
    the caller did not send."""
    fields: dict[str, str] = {}
    for fault in faults:
        kind = str(fault["type"])
        place = fault["loc"][skip:-1] if kind == "extra_forbidden" else fault["loc"][skip:]
        path = ".".join(filter(None, (under, *map(str, place)))) or "body"
        fields[path[:100]] = _CODES.get(kind, "type" if kind.endswith(("_type", "_parsing")) else "value")
    return fields


def checked(model: Model | None, given: dict[str, Any] | None) -> dict[str, Any]:
    """The profile as stored, or Invalid with `profile.<field>`. The model's configuration decides on strictness and
    unknown members."""
    if model is None:
        _refuse_breaks(given or {}, set())
        return given or {}
    try:
        made = model.model_validate_json(msgspec.json.encode(given or {}))
        stored: dict[str, Any] = made.model_dump(mode="json", by_alias=True)
    except ValidationError as wrong:
        raise Invalid(fault_codes(wrong.errors(include_input=False, include_url=False), under="profile")) from None
    _refuse_breaks(stored, set(_with_lines(made)))
    return stored


def _refuse_breaks(stored: dict[str, Any], allowed: set[Place]) -> None:
    """Line breaks and tabs are for texts that may have them: others are headings, labels, cells of a list."""
    broken = [at for at, text in _texts(stored, ()) if _BREAK.search(text)]
    faults = [at for at in broken if not any(at[:end] in allowed for end in range(len(at) + 1))]
    if faults:
        raise Invalid({".".join(["profile", *map(str, at)])[:100]: "format" for at in faults})


def _texts(value: Any, at: Place) -> Iterator[tuple[Place, str]]:
    """Every text in a JSON value, and where it stands."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(member, (*at, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, (*at, index))


def _with_lines(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where in a profile as stored there may be several lines: the members of models that say so."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            place = (*at, info.serialization_alias or info.alias or name)
            yield from [place] if has_lines(info) else _with_lines(getattr(value, name), place)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _with_lines(member, (*at, str(name)))
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _with_lines(member, (*at, index))


def has_lines(info: FieldInfo) -> bool:
    return isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(SEVERAL_LINES) is True


def _kinds(annotation: Any) -> set[Any]:
    """What a member may be."""
    return {*get_args(annotation)} if get_origin(annotation) in (Union, UnionType) else {annotation}


@dataclass(frozen=True, slots=True)
class Lines:
    """A text of a profile that may have several lines: the name that it is stored under, its label on pages, how long
    it may be, if the model says so, and whether there may be none."""

    name: str
    label: str
    longest: int | None
    is_optional: bool


def lines(model: Model | None) -> list[Lines]:
    """Those that stand in the profile itself, and are one text each."""
    fields = model.model_fields.items() if model else ()
    return [
        Lines(
            info.serialization_alias or info.alias or name,
            info.title or name.replace("_", " ").capitalize(),
            next((one.max_length for one in info.metadata if isinstance(one, MaxLen)), None),
            type(None) in _kinds(info.annotation),
        )
        for name, info in fields
        if has_lines(info) and {str} == _kinds(info.annotation) - {type(None)}
    ]


def as_value(model: Model | None, text: str) -> Any:
    """The host application's view: an instance of its model, or the JSON object if it gave none. None if the stored
    profile does not fit: the model has changed since, or the person was created without one."""
    if model is None:
        return msgspec.json.decode(text)
    try:
        return model.model_validate_json(text, by_alias=True, by_name=True)
    except ValidationError as wrong:
        log.warning("a stored profile doesn't match the model", extra={"faults": wrong.error_count()})
        return None
