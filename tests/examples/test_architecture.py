"""What the programs of examples/ may import and call: public names alone. If one needs more, the library is to change.

Not here: what they do.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import passgate
from passgate.testing import gate as make_gate
from tests.docs.blocks import ROOT

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if list(path.glob("*.py")))
FRAMEWORK = {"fastapi", "starlette", "pydantic", "pydantic_settings", "msgspec", "jinja2"}
BANNED = {
    *("sqlite3", "hashlib", "hmac", "secrets", "random", "crypt", "uuid.uuid4", "ssl", "base64", "binascii"),
    *("importlib", "ctypes", "subprocess", "socket", "http.client", "urllib.request", "pickle", "inspect", "gc"),
}
"""Of the standard library: what stores, hashes, makes tokens, talks to others, or gets at what is private."""
GATE = {
    *("mount", "docs", "requests", "user", "public", "may", "fresh", "at", "record", "job", "start_job", "on"),
    *("send_mail", "settings", "unguarded", "bearer"),
}
"""What a host uses of a Passgate, as docs/guide says."""
SQL = re.compile(
    r"\b(SELECT\b.+\bFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(?:CREATE|ALTER|DROP)\s+TABLE|PRAGMA\s+\w+)\b",
    re.IGNORECASE | re.DOTALL,
)
CALLS = {"eval", "exec", "compile", "__import__", "globals", "vars", "setattr", "delattr", "open"}
REFLECTING = {"getattr", "hasattr"}
PAGES = {"page.py", "pages.py"}
LINES = {"2-session-rbac": 400, "3-two-factor-mail": 390}
"""The most lines of code of a program, without pages, blank lines, comments and docstrings. Aimed at: 150."""


def faults(source: str, own: set[str]) -> list[str]:
    """What the source uses and may not. `own`: the modules of its folder."""
    tree = ast.parse(source)
    return [f"line {node.lineno}: {fault}" for node, fault in _faults(tree, own)]


def _faults(tree: ast.Module, own: set[str]) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node, f"import {one.name}") for one in node.names if not _may(one.name, own))
            case ast.ImportFrom(module=module, names=names, level=level):
                yield from ((node, fault) for fault in _imported(module or "", [one.name for one in names], level, own))
            case ast.Attribute(attr=name) if name.startswith("_") and not _is_own(node):
                yield node, f"private: {name}"
            case ast.Attribute(value=ast.Name(id="gate"), attr=name) if name not in GATE:
                yield node, f"not public: gate.{name}"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield node, f"call: {name}"
            case ast.Call(func=ast.Name(id=name), args=[_, ast.Constant(value=str(of)), *_]) if name in REFLECTING:
                if of.startswith("_") or of in ("services", "scope"):
                    yield node, f"private: {of}"
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="gate"), *_]) if name in REFLECTING:
                yield node, f"call: {name}"
            case ast.Constant(value=str(text)) if SQL.search(text):
                yield node, "SQL"
            case ast.Constant(value=str(text)) if re.match(r"passgate\.\w", text) and " " not in text:
                yield node, f"inside: {text}"


def _is_own(node: ast.Attribute) -> bool:
    """`self._x`, `cls._x` and dunder names that a class has anyway."""
    is_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    return is_self or node.attr in ("__name__", "__doc__", "__base__")


def _may(name: str, own: set[str]) -> bool:
    first = name.partition(".")[0]
    if name in BANNED or first in BANNED:
        return False
    return first in FRAMEWORK | own or first in sys.stdlib_module_names


def _imported(module: str, names: list[str], level: int, own: set[str]) -> Iterator[str]:
    if module == "passgate" and not level:
        yield from (f"from passgate import {name}" for name in names if name not in passgate.__all__)
    elif level or module.partition(".")[0] == "passgate" or not _may(module, own):
        yield f"from {'.' * level}{module} import"
    else:
        yield from (f"from {module} import {name}" for name in names if f"{module}.{name}" in BANNED)
        yield from (f"from {module} import {name}" for name in names if name.startswith("_"))


def modules(example: Path) -> list[Path]:
    return sorted(path for path in example.rglob("*.py") if "__pycache__" not in path.parts)


def code_lines(source: str) -> int:
    """Lines of code, without blank ones, comments and docstrings."""
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    counted: set[int] = set()
    is_first = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in skip:
            is_first = is_first or token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        elif not (token.type == tokenize.STRING and is_first):
            counted.update(range(token.start[0], token.end[0] + 1))
            is_first = False
    return len(counted)


# -- the examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [one for example in EXAMPLES for one in modules(example)],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_public_names_alone(path: Path) -> None:
    assert faults(path.read_text(), {one.stem for one in modules(path.parent)}) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_it_is_short(example: Path) -> None:
    counted = {path.name: code_lines(path.read_text()) for path in modules(example) if path.name not in PAGES}
    assert sum(counted.values()) <= LINES[example.name], counted


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_pages_need_no_script_and_no_other_site(example: Path) -> None:
    for path in (*example.glob("templates/*.html"), *example.glob("static/*")):
        text = path.read_text()
        assert not re.search(r"<script|\son\w+=|\sstyle=|https?://|javascript:|\|\s*safe\b|autoescape", text), path.name


def test_what_a_host_uses_of_a_gate_is_there() -> None:
    there = make_gate()
    assert [name for name in GATE if not hasattr(there, name)] == []


# -- planted faults --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import sqlite3", "import sqlite3"),
        ("import sqlalchemy.orm", "import sqlalchemy.orm"),
        ("from sqlalchemy import text", "from sqlalchemy import"),
        ("import hashlib", "import hashlib"),
        ("from hmac import digest", "from hmac import"),
        ("import secrets", "import secrets"),
        ("from uuid import uuid4", "from uuid import uuid4"),
        ("import jwt", "import jwt"),
        ("from itsdangerous import URLSafeTimedSerializer", "from itsdangerous import"),
        ("from passlib.context import CryptContext", "from passlib.context import"),
        ("import passgate.core.sessions", "import passgate.core.sessions"),
        ("import passgate", "import passgate"),
        ("from passgate.core import sessions", "from passgate.core import"),
        ("from passgate import core", "from passgate import core"),
        ("from .. import tests", "from .. import"),
        ("import importlib", "import importlib"),
        ("def f():\n    from passgate.store import Store", "from passgate.store import"),
        ("gate.services.store", "not public: gate.services"),
        ("gate._inside", "private: _inside"),
        ("request.scope['passgate.ctx']", "inside: passgate.ctx"),
        ("getattr(gate, name)", "call: getattr"),
        ("getattr(one, '_inside')", "private: _inside"),
        ("user.session._secret", "private: _secret"),
        ("eval('1')", "call: eval"),
        ("__import__('passgate.core')", "call: __import__"),
        ("db.run('select a\\n from b')", "SQL"),
        ("db.run('DELETE FROM person')", "SQL"),
        ("'PRAGMA journal_mode'", "SQL"),
    ],
)
def test_a_planted_fault_is_found(source: str, named: str) -> None:
    assert any(named in fault for fault in faults(source, set()))


def test_ordinary_code_has_no_fault() -> None:
    source = (
        "from passgate import Passgate, errors\nimport shapes\n'Select one from the list'[0]\nself._x = gate.at(None)\n"
    )
    assert faults(source.replace("Select one from", "Pick one of"), {"shapes"}) == []


def test_lines_of_code() -> None:
    assert (
        code_lines('"""Doc."""\n\n# no\nx = 1  # yes\n\ndef f():\n    """Doc\n    more."""\n    return """a\nb"""\n')
        == 4
    )
