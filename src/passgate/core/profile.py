"""Profiles: validation by the host's model, and stable error codes for what does not fit.

Not here: where a profile is stored, which is `people`. Without a model any JSON object is accepted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

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
        return given or {}
    try:
        made = model.model_validate_json(msgspec.json.encode(given or {}))
        stored: dict[str, Any] = made.model_dump(mode="json", by_alias=True)
    except ValidationError as wrong:
        raise Invalid(fault_codes(wrong.errors(include_input=False, include_url=False), under="profile")) from None
    return stored


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
