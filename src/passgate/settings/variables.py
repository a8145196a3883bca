"""Where values come from: the environment, then `.env`, then one file per setting in a folder of secrets. An empty
value is an unset one; a name that no setting has is refused, unless a container platform made it up.

Not here: what a value means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PREFIX = "PASSGATE_"
SECRETS_DIR = "PASSGATE_SECRETS_DIR"
_DOT_ENV = Path(".env")
_LARGEST = 64 * 1024
"""Bytes of a file with one value."""

Reasons = list[tuple[str, str]]


@dataclass(slots=True)
class Found:
    """`values` is nested as the model is. `reasons`: why not to start. `ignored`: names of service links."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: Reasons = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def names(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Each variable, where its value belongs in the model, and whether it is a path."""
    for name, one in model.model_fields.items():
        key = one.alias or name
        variable = prefix + key.upper()
        if isinstance(one.annotation, type) and issubclass(one.annotation, BaseModel):
            for inner, place, is_path in names(one.annotation, f"{variable}__"):
                yield inner, (key, *place), is_path
        else:
            yield variable, (key,), "Path" in str(one.annotation)


def read(model: type[BaseModel]) -> Found:
    found = Found()
    known = {variable: (place, is_path) for variable, place, is_path in names(model)}
    environment = _ours(os.environ)
    from_file = _ours(_dot_env(found))
    folder = environment.get(SECRETS_DIR, "").strip() or from_file.get(SECRETS_DIR, "").strip()
    sources: tuple[tuple[str, dict[str, str]], ...] = (
        ("", environment),
        (" in .env", from_file),
        (f" in {SECRETS_DIR}", _ours(_folder(folder, known, found))),
    )
    given: dict[str, str] = {}
    for where, source in sources:
        for variable, value in source.items():
            if variable == SECRETS_DIR or not value.strip():
                continue
            if _is_service_link(variable, value, is_known=variable in known):
                found.ignored.append(variable)
            elif variable in known:
                given.setdefault(variable, value)
            else:
                found.reasons.append(("SETTING_UNKNOWN", _unknown(variable, where, known)))
    for variable, value in given.items():
        place, is_path = known[variable]
        _put(found.values, place, value if is_path else value.strip())
    return found


def _put(values: dict[str, Any], place: tuple[str, ...], value: str) -> None:
    *groups, last = place
    for group in groups:
        values = values.setdefault(group, {})
    values[last] = value


def merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` wins, group by group."""
    both = {**values, **over}
    for name in values.keys() & over.keys():
        if isinstance(values[name], Mapping) and isinstance(over[name], Mapping):
            both[name] = merged(values[name], over[name])
    return both


# -- the sources -----------------------------------------------------------------------------------


def _ours(source: Mapping[str, str | None]) -> dict[str, str]:
    """By their names in capitals, as files in folders of secrets are often in small letters."""
    return {name.upper(): value or "" for name, value in source.items() if name.upper().startswith(PREFIX)}


def _dot_env(found: Found) -> Mapping[str, str | None]:
    try:
        if not os.path.lexists(_DOT_ENV) or _DOT_ENV.is_dir():  # a folder of this name is often a virtual environment
            return {}
        from dotenv import dotenv_values  # noqa: PLC0415  few have such a file

        with _DOT_ENV.open(encoding="utf-8-sig") as stream:
            return dotenv_values(stream=stream)
    except (OSError, ValueError) as fault:
        found.reasons.append(("SETTINGS_FILE", f"The file .env in this folder can't be read ({_kind(fault)})."))
        return {}


def _folder(folder: str, known: Mapping[str, Any], found: Found) -> Mapping[str, str | None]:
    """One file per setting, named like its variable; other files are somebody else's."""
    if not folder:
        return {}
    values: dict[str, str | None] = {}
    try:
        for path in sorted(Path(folder).iterdir()):
            if path.name.upper().startswith(PREFIX) and not path.is_dir():
                values[path.name] = _content(path) if path.name.upper() in known else "?"
    except (OSError, ValueError) as fault:
        found.reasons.append(("SETTINGS_FILE", f"{SECRETS_DIR} or a file in it can't be read ({_kind(fault)})."))
    return values


def _content(path: Path) -> str:
    with path.open("rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError("too large")
    return content.decode("utf-8-sig").strip()


def _kind(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or ("not UTF-8" if isinstance(fault, UnicodeDecodeError) else "too large")


# -- names -----------------------------------------------------------------------------------------

_LINK = re.compile(r"PASSGATE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_LINK_PORT = re.compile(r"PASSGATE_(\w+_)?PORT")
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


def _is_service_link(variable: str, value: str, *, is_known: bool) -> bool:
    """Kubernetes tells each container of each service: of one called `passgate` or `passgate-mail` by names
    like ours."""
    if _LINK_VALUE.match(value) and _LINK_PORT.fullmatch(variable):
        return True
    return not is_known and _LINK.fullmatch(variable) is not None


def _unknown(variable: str, where: str, known: Mapping[str, Any]) -> str:
    name = variable if re.fullmatch(r"\w{1,80}", variable, re.ASCII) else f"{PREFIX}…"
    group = [name for name in known if name.startswith(f"{variable}__")]
    if group:
        return f"{name}{where} is a group of settings. Set {group[0]} and others of it one by one."
    near = get_close_matches(variable, [*known, SECRETS_DIR], 1, 0.7)
    advice = f"Did you mean {near[0]}?" if near else "docs/reference/settings.md lists all names."
    return f"{name}{where} is no setting. {advice}"
