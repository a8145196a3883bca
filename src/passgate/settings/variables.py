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
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from passgate import files

PREFIX = "PASSGATE_"
SECRETS_DIR = "PASSGATE_SECRETS_DIR"
_DOT_ENV = Path(".env")
LARGEST = 1024 * 1024
"""Bytes of a file with values."""

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
            elif variable in known and (known[variable][1] or _is_text(value)):
                given.setdefault(variable, value)
            elif variable in known:
                found.reasons.append(("SETTING_INVALID", f"{variable} isn't UTF-8. Write random bytes as hex digits."))
            else:
                found.reasons.append(("SETTING_UNKNOWN", _unknown(variable, where, [*known, SECRETS_DIR])))
    for variable, value in given.items():
        place, is_path = known[variable]
        _put(found.values, place, value if is_path else value.strip())
    return found


def _is_text(value: str) -> bool:
    """Not so for bytes of the environment that aren't UTF-8, which only a path may have."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        text = files.read_text(_DOT_ENV, limit=LARGEST)
    except (OSError, ValueError) as fault:
        found.reasons.append(("SETTINGS_FILE", f"The file .env in this folder can't be read: {files.why(fault)}."))
        return {}
    from dotenv.parser import parse_stream  # noqa: PLC0415  few have such a file

    values: dict[str, str | None] = {}
    for line in parse_stream(StringIO(text)):
        # `${…}` stays as it is: systemd and Docker, which read the same file, don't fill it in either.
        if line.key is not None:
            values[line.key] = line.value
        elif line.error and PREFIX in line.original.string.upper():
            wrong = f"Line {line.original.line} of the file .env in this folder isn't of the form NAME=value."
            found.reasons.append(("SETTINGS_FILE", wrong))
    return values


def _folder(folder: str, known: Mapping[str, Any], found: Found) -> Mapping[str, str | None]:
    """One file per setting, named like its variable; other files are somebody else's."""
    if not folder:
        return {}
    try:
        paths = sorted(Path(folder).iterdir())
    except (OSError, ValueError) as fault:
        found.reasons.append(("SETTINGS_FILE", f"The folder of {SECRETS_DIR} can't be read: {files.why(fault)}."))
        return {}
    values: dict[str, str | None] = {}
    for path in paths:
        if not path.name.upper().startswith(PREFIX):
            continue
        try:
            if not path.is_dir():
                is_known = path.name.upper() in known
                values[path.name] = files.read_text(path, limit=LARGEST).strip() if is_known else "?"
        except (OSError, ValueError) as fault:
            text = f"{ascii(path.name)[1:-1]} in {SECRETS_DIR} can't be read: {files.why(fault)}."
            found.reasons.append(("SETTINGS_FILE", text))
    return values


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


def _unknown(variable: str, where: str, known: list[str]) -> str:
    name = variable if re.fullmatch(r"\w{1,80}", variable, re.ASCII) else f"{PREFIX}…"
    group = [name for name in known if name.startswith(f"{variable}__")]
    if group:
        return f"{name}{where} is a group of settings. Set {group[0]} and others of it one by one."
    if variable.removeprefix(PREFIX) in LATER:
        return f"{name}{where} is no setting of this version, which has nothing to set there. Remove it."
    if (whole := variable.removesuffix("_FILE")) in known:
        return f"{name}{where} is no setting. Put a file called {whole} into a folder that {SECRETS_DIR} names."
    near = get_close_matches(variable.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1, 0.65)
    advice = f"Did you mean {PREFIX}{near[0]}?" if near else "docs/reference/settings.md lists all names."
    return f"{name}{where} is no setting. {advice}"


LATER = frozenset(
    {"REDIS_URL", "BROKER_URL", "JOBS", "DISCOVERY", "HASH__BINDING", "HOSTS__PARENT"}
    | {"CHECKPOINT__TO", "CHECKPOINT__EVERY", "AUDIT__KEEP"}
)
"""Names that have a meaning and no code yet, so none of ours is meant."""
