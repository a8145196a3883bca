"""Generates the pages under docs/reference from the code: settings, policy, errors, events,
permissions, schema, endpoints.

`make reference` writes them, and an architecture test compares them with the code. They are never edited by hand.
"""

from __future__ import annotations

import ast
import gc
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from sqlalchemy import Column, ForeignKeyConstraint, Table, UniqueConstraint

import passgate
from passgate import errors
from passgate.app import Passgate
from passgate.core.events import Event
from passgate.core.factor import Factors
from passgate.core.factors import FACTORS
from passgate.core.journey import JOURNEYS
from passgate.core.permissions import DESCRIPTIONS, PERMISSIONS, ROLES
from passgate.core.policy import CHECKS
from passgate.core.roles import MOST as MOST_ROLES
from passgate.core.rules import NESTED, OneOf, Rules
from passgate.reasons import GROUPS
from passgate.settings import Settings
from passgate.store import tables
from passgate.web.api.hot import HOT
from passgate.web.guards import GUARDS
from passgate.web.routes import Body, Declared, Face

SRC = Path(passgate.__file__).parent
ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
_HEADER = "Written by `make reference` from {source}; a test compares. Do not edit."


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def code(text: object) -> str:
    return f"`{text}`"


# -- settings --------------------------------------------------------------------------------------


def _kind(annotation: Any) -> str:
    text = str(annotation) if get_origin(annotation) else getattr(annotation, "__name__", str(annotation))
    if get_args(annotation) and "Literal" in text:
        return " or ".join(str(value) for value in get_args(annotation))
    for word, displayed in (("SecretStr", "secret"), ("Path", "path"), ("tuple", "list"), ("bool", "yes or no")):
        if word in text:
            return displayed
    return "number" if re.search(r"\b(int|float)\b", text) else "text"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == ():
        return "empty"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(value)


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[object, ...]]:
    for name, field in model.model_fields.items():
        variable = prefix + (field.alias or name).upper()
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _settings(inner, variable + "__")
            continue
        is_duration = any("function seconds" in repr(extra) for extra in (*field.metadata, inner))
        kind = "duration in seconds, or `90s 60m 24h 30d`" if is_duration else _kind(inner)
        yield code(variable), kind, _default(field), field.description or ""


def settings() -> str:
    rows = list(_settings(Settings, "PASSGATE_"))
    rows.append((code("PASSGATE_SECRETS_DIR"), "path", "empty", "A folder with one file for each setting"))
    return table(("Variable", "Kind", "Default", "What it is"), rows)


# -- policy ----------------------------------------------------------------------------------------


def _bounds(name: str, field: FieldInfo) -> str:
    """The values that the field allows, besides its kind."""
    if name in (lists := {"first": FACTORS.first, "second_among": FACTORS.second}):
        return ", ".join(code(word) for word in lists[name])
    steps = [one.func for one in field.metadata if isinstance(one, BeforeValidator)]
    listed = [value for step in steps if isinstance(step, OneOf) for value in step.values]
    bounds = {key: getattr(one, key) for one in field.metadata for key in ("ge", "le") if hasattr(one, key)}
    return f"{bounds['ge']} to {bounds['le']}" if bounds else ", ".join(code(word) for word in listed)


def _field_default(value: object) -> str:
    return ", ".join(code(word) for word in value) if isinstance(value, tuple) else code(json.dumps(value).strip('"'))


def _policy_fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every field, and the members of those that have some."""
    for name, field in Rules.model_fields.items():
        members = NESTED[name].model_fields if name in NESTED else {}
        yield from [(f"{name}.{member}", one) for member, one in members.items()] or [(name, field)]


def policy_page() -> str:
    fields: list[tuple[object, ...]] = [
        (code(name), _kind(field.annotation), _field_default(field.default), _bounds(name, field), field.description)
        for name, field in _policy_fields()
    ]
    asked = {name: [one.name for one in JOURNEYS.values() if check in one.checks] for name, check in CHECKS.items()}
    # In each list, the checks that every journey has come last.
    ordered = sorted(CHECKS.values(), key=lambda check: len(asked[check.name]) == len(JOURNEYS))
    checks: list[tuple[object, ...]] = [
        (code(check.name), check.why, ", ".join(code(name) for name in asked[check.name])) for check in ordered
    ]
    result = table(("Field", "Kind", "Default", "Values", "What it says"), fields)
    return f"{result}\n\n{_CHECKS}\n\n" + table(("Check", "Why", "Journeys"), checks)


_CHECKS = """## Checks

A journey asks its own from top to bottom. The first that answers decides; its name is the reason that the audit row and
`passgate policy explain` print."""


# -- errors and events -----------------------------------------------------------------------------


def all_errors(top: type[errors.PassgateError] = errors.PassgateError) -> list[type[errors.PassgateError]]:
    found = [] if top.__name__.startswith("_") or top.__module__ != errors.__name__ else [top]
    for below in top.__subclasses__():
        found += all_errors(below)
    return found


def coded_errors() -> list[type[errors.PassgateError]]:
    """The errors that a caller may meet: those with a code of their own."""
    return [kind for kind in all_errors() if "code" in vars(kind)]


def error_page() -> str:
    rows: list[tuple[object, ...]] = [
        (code(kind.code), kind.status, kind.title, kind.message)
        for kind in sorted(coded_errors(), key=lambda kind: (kind.status, kind.code))
    ]
    listed: list[tuple[object, ...]] = [(code(word), text) for word, text in errors.PASSWORD_REASONS.items()]
    refused = "## Why a password is refused\n\n`fields.password` of `password_refused` is one of these words.\n\n"
    return table(("Code", "Status", "Title", "Message"), rows) + "\n\n" + refused + table(("Word", "Message"), listed)


def used_in(event: Event) -> list[str]:
    """The modules that use an event, as paths below src/passgate."""
    word = re.compile(rf"\bEvent\.{event.name}\b")
    return sorted(name for name, text in _texts().items() if word.search(text))


def event_page(factors: Factors = FACTORS) -> str:
    meanings = {event.value: event.meaning for event in Event} | factors.events
    rows: list[tuple[object, ...]] = [(code(event), meanings[event]) for event in sorted(meanings)]
    return table(("Event", "What happened"), rows)


# -- permissions -----------------------------------------------------------------------------------


def permission_page() -> str:
    rows: list[tuple[object, ...]] = [
        (code(name), text, *("yes" if name in allowed else "" for allowed in ROLES.values()))
        for name, text in PERMISSIONS.items()
    ]
    roles: list[tuple[object, ...]] = [(code(name), text) for name, text in DESCRIPTIONS.items()]
    own = f"A tenant adds up to {MOST_ROLES} roles of its own. A host adds permissions; owners have those too."
    head = ("Permission", "What it allows", *map(code, ROLES))
    return f"{table(head, rows)}\n\n## Built-in roles\n\n{table(('Role', 'Who it is for'), roles)}\n\n{own}"


# -- schema ----------------------------------------------------------------------------------------


def _owners() -> dict[str, str]:
    """The comment above each table in `tables.py`: who owns its rows and what a row means."""
    text = Path(tables.__file__).read_text()
    found = re.findall(r"^((?:# .*\n)+)\w+ = Table\(\s*\"(\w+)\"", text, re.MULTILINE)
    return {name: " ".join(line.removeprefix("# ") for line in lines.splitlines()) for lines, name in found}


def _column(table_: Table, column: Column[Any]) -> tuple[object, ...]:
    notes = []
    if column.primary_key:
        notes.append("primary key")
    notes += [f"of {code(key.target_fullname)}" for key in column.foreign_keys]
    alone = any(isinstance(rule, UniqueConstraint) and list(rule.columns) == [column] for rule in table_.constraints)
    if column.unique or alone:
        notes.append("unique")
    return code(column.name), code(column.type), "yes" if column.nullable else "", ", ".join(notes)


def _table(table_: Table) -> Iterator[str]:
    yield f"## {table_.name}\n\n{_owners()[table_.name]}\n"
    yield table(("Column", "Type", "Null", ""), [_column(table_, column) for column in table_.columns])
    extra = [
        f"unique: {', '.join(rule.columns.keys())}"
        for rule in sorted(table_.constraints, key=lambda rule: str(rule.name))
        if isinstance(rule, UniqueConstraint) and len(rule.columns) > 1
    ]
    for index in sorted(table_.indexes, key=lambda index: str(index.name)):
        where = index.dialect_options["postgresql"]["where"]
        names = ", ".join(column.name for column in index.columns)
        part = f" where {where}" if where is not None else ""
        extra.append(f"{'unique ' if index.unique else ''}index: {names}{part}")
    cascades = [
        f"goes with its {rule.elements[0].target_fullname.partition('.')[0]}"
        for rule in table_.constraints
        if isinstance(rule, ForeignKeyConstraint) and rule.ondelete == "CASCADE"
    ]
    if extra or cascades:
        yield "\n" + "\n".join(f"- {line}" for line in (*extra, *cascades))
    yield ""


def schema() -> str:
    return "\n".join(line for table_ in tables.metadata.tables.values() for line in _table(table_)).rstrip()


# -- endpoints -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    guards: tuple[str, ...]
    face: Face
    body: Body
    operation: str
    summary: str
    is_hot: bool


def endpoints(gate: Passgate) -> list[Endpoint]:
    found = []
    for route in iter_route_contexts(gate.api.routes):
        if not isinstance(route.original_route, Declared) or route.path is None:
            raise TypeError(f"a route that declares nothing: {route}")
        endpoint = route.original_route.endpoint
        # The docstring of a `functools.partial` object is Python's own and differs between versions; take the
        # function's.
        result = getattr(endpoint, "func", endpoint).__doc__ or ""
        summary = route.original_route.summary or result.strip().split("\n")[0]
        for method in sorted(route.methods or ()):
            operation = route.unique_id if route.include_in_schema else ""
            is_hot = (method, route.path) in HOT
            made = route.original_route
            face, body = made.face, made.body
            found.append(Endpoint(method, route.path, made.guards, face, body, operation, summary, is_hot))
    return sorted(found, key=lambda endpoint: (endpoint.path, endpoint.method))


def endpoint_page(gate: Passgate | None = None) -> str:
    if gate is None:
        with tempfile.TemporaryDirectory() as folder:
            made = Passgate(Settings.development(data=Path(folder)))
            page = endpoint_page(made)
            made.services.hasher.close()
            return page
    rows: list[tuple[object, ...]] = [
        (
            code(endpoint.method),
            code(endpoint.path),
            ", ".join(endpoint.guards),
            endpoint.body,
            endpoint.face,
            code(endpoint.operation) if endpoint.operation else "",
            endpoint.summary,
        )
        for endpoint in endpoints(gate)
    ]
    guards: list[tuple[object, ...]] = [(guard.__name__, " ".join((guard.__doc__ or "").split())) for guard in GUARDS]
    page = table(("Method", "Path", "Guard", "Body", "Errors", "Operation", "What it does"), rows)
    return page + "\n\n## Guards\n\n" + table(("Guard", "Who passes"), guards)


GENERATED: dict[str, tuple[str, str, Callable[[], str]]] = {
    "settings.md": ("Settings", "`settings/`", settings),
    "policy.md": ("A tenant's policy", "`core/rules.py` and `core/policy.py`", policy_page),
    "errors.md": ("Errors", "`errors.py`", error_page),
    "events.md": ("Audit events", "`core/events.py` and the factors", event_page),
    "permissions.md": ("Permissions", "`core/permissions.py`", permission_page),
    "schema.md": ("Schema", "`store/tables.py`", schema),
    "endpoints.md": ("Endpoints", "the routes of a development server", endpoint_page),
}


def starts_page() -> str:
    """docs/operate/it-does-not-start.md, which is for reading, so it stands among the operator's pages."""
    found = ["# It does not start", _HEADER.format(source="`reasons.py`"), _STARTS]
    for title, group in GROUPS.items():
        rows: list[tuple[object, ...]] = [(code(name), text) for name, text in group.items()]
        found += [f"## {title}", table(("Code", "What is wrong, and what to do"), rows)]
    return "\n\n".join(found) + "\n"


_STARTS = """`passgate doctor` makes all that `passgate serve` makes, puts it away again, and prints each reason not
to start as `CODE text`, or `ok`. `serve` and `worker` refuse with the same lines, all of them at once, and exit with 1.
With `--app main:app`, `doctor` imports your program as `serve` does.

Development asks only for what it needs itself: settings that can be read, good keys, a database, a folder to write in,
and an address of this machine."""
STARTS = PAGES.parent / "operate" / "it-does-not-start.md"


def page(name: str) -> str:
    title, source, body = GENERATED[name]
    return f"# {title}\n\n{_HEADER.format(source=source)}\n\n{body()}\n"


# -- reading the source ----------------------------------------------------------------------------


@cache
def _texts() -> dict[str, str]:
    return {str(path.relative_to(SRC)): path.read_text() for path in sorted(SRC.rglob("*.py"))}


@cache
def _parsed() -> dict[str, ast.Module]:
    parsed = {name: ast.parse(text) for name, text in _texts().items()}
    for tree in parsed.values():
        nodes(tree)
    gc.collect()
    gc.freeze()  # they stay, so the collector need not traverse them again and again
    return parsed


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its path below src/passgate, parsed once. Nobody changes the trees."""
    return dict(_parsed())


@cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Every node of a tree, for those that walk it again and again."""
    return tuple(ast.walk(tree))


def main() -> None:
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in GENERATED:
        (PAGES / name).write_text(page(name))
    STARTS.write_text(starts_page())


if __name__ == "__main__":
    main()
