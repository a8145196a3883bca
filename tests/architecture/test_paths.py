"""The route table alone decides by path, and `wire` has no rule of ours. The source is parsed, and violations that are
planted in it are found.

Not here: what the table says (`tests/web/test_routes.py`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from passgate.web.routes import Declared
from tests import catalogue
from tests.architecture.reference import modules, nodes

Source = dict[str, ast.Module]
Constants = dict[str, list[str]]
"""The strings in the value of each constant of ours, by name."""

FIRST = {route.path.split("/")[1] for route in catalogue.application().api.routes if isinstance(route, Declared)} - {""}
"""The first segments of our paths."""


@pytest.fixture(scope="module")
def source() -> Source:
    return {name: tree for name, tree in modules().items() if name.startswith(("web/", "wire/", "app.py"))}


# -- prefixes of paths -----------------------------------------------------------------------------


def written(node: ast.AST, constants: Constants) -> list[str]:
    """The strings of an expression, and those of the constants that it names."""
    found = []
    for below in ast.walk(node):
        match below:
            case ast.Constant(value=str(text)):
                found.append(text)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found += constants.get(name, [])
    return found


def constants_of(source: Source) -> Constants:
    assigned = [node for tree in source.values() for node in tree.body if isinstance(node, ast.Assign)]
    return {
        target.id: written(node.value, {})
        for node in assigned
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def deciding(source: Source) -> list[str]:
    """Modules that compare the beginning of a path with what is written there: `path.startswith("/api/")`, a slice, a
    pattern, or a first segment that is looked up in a set."""
    constants = constants_of(source)
    return [name for name, tree in source.items() if any(_decides(node, constants) for node in nodes(tree))]


def _decides(node: ast.AST, constants: Constants) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="startswith" | "match" | "fullmatch" | "compile"), args=[given, *_]):
            return any(re.match(r"/\W*\w", text) for text in written(given, constants))
        case ast.Compare(left=ast.Subscript(slice=ast.Slice()), comparators=[given]):
            return any(re.match("/.", text) for text in written(given, constants))
        case ast.Compare(left=ast.Constant(value=str(text)), ops=[ast.In() | ast.NotIn()]):
            return bool(re.match("/.", text))
        case ast.Compare(left=ast.Subscript() | ast.Call(), ops=[ast.In() | ast.NotIn()], comparators=[among]):
            return not FIRST.isdisjoint(written(among, constants))
    return False


def test_no_path_prefix_decides(source: Source) -> None:
    """`mount` alone asks for one: well-known URIs stand at the root of the host, whatever we are mounted at."""
    assert deciding(source) == ["web/mount.py"]


@pytest.mark.parametrize(
    "bad",
    [
        "def f(path): return path.startswith('/api')",
        "def f(path): return path.startswith(('/api/', '/docs'))",
        "PROGRAMS = ('/api/', '/docs')\ndef f(path): return path.startswith(PROGRAMS)",
        "from passgate.web import mount\ndef f(path): return path.startswith(mount.WELL_KNOWN)",
        "def f(path): return path[:5] == '/api/'",
        "def f(path): return '/api/' in path",
        "PAGES = frozenset({'signin', 'account'})\ndef f(path): return path.split('/', 2)[1] in PAGES",
        "OURS = re.compile(r'/(?:account|admin)(?:/.*)?')",
        "def f(path): return re.match('/account', path)",
    ],
)
def test_one_that_did_would_be_found(source: Source, bad: str) -> None:
    planted = {"web/mount.py": source["web/mount.py"], "web/planted.py": ast.parse(bad)}
    assert deciding(planted) == ["web/mount.py", "web/planted.py"]


# -- names of tenants ------------------------------------------------------------------------------


def test_no_name_stands_where_a_path_begins() -> None:
    """So the product's list of reserved names need not know our paths."""
    assert [first for first in FIRST if "{" in first] == []


# -- wire ------------------------------------------------------------------------------------------


def rules(source: Source) -> list[str]:
    """What the modules of `wire` import of ours, besides errors and each other."""
    names = {one for name, tree in source.items() if name.startswith("wire/") for one in _imported(tree)}
    return sorted(one for one in names if re.match(r"passgate\b(?!\.(errors|wire)\.)", one))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_wire_has_no_rules(source: Source) -> None:
    assert rules(source) == []


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ("from passgate.core import tenants", "passgate.core.tenants"),
        ("from passgate.web.guards import visitor", "passgate.web.guards.visitor"),
        ("def f():\n    from passgate import settings", "passgate.settings"),
        ("import passgate.core.policy", "passgate.core.policy"),
    ],
)
def test_a_rule_in_wire_would_be_found(source: Source, bad: str, found: str) -> None:
    assert rules({**source, "wire/planted.py": ast.parse(bad)}) == [found]
