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
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import passgate
from passgate.testing import gate as make_gate
from tests.docs.blocks import ROOT

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if list(path.glob("*.py")))
FRAMEWORK = {"fastapi", "starlette", "pydantic", "pydantic_settings", "msgspec", "jinja2"}
BANNED = {
    *("sqlite3", "hashlib", "hmac", "secrets", "random", "crypt", "uuid.uuid4", "ssl", "base64", "binascii"),
    *("importlib", "ctypes", "subprocess", "socket", "http.client", "urllib.request", "pickle", "inspect", "gc"),
    *("fcntl", "dbm", "shelve", "mmap"),
}
"""Of the standard library: what stores, hashes, makes tokens, talks to others, or gets at what is private."""
ITS_OWN = {"4-passkey-audit/database.py": {"sqlite3"}, "4-passkey-audit/lock.py": {"fcntl"}}
"""What one module may import all the same, because it is what the example shows: views over app.db, for whoever has
sqlite3, and the lock of reset_db.py, which runs without Passgate."""
SQL_FILES = {"4-passkey-audit": ["views.sql"]}
READS = re.compile(r"BEGIN IMMEDIATE|COMMIT|DROP VIEW IF EXISTS \w+|CREATE VIEW \w+ AS\s.+", re.DOTALL)
"""A statement of such a file: nothing but views."""
WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|REPLACE|ALTER|ATTACH|PRAGMA|TABLE|TRIGGER|VACUUM)\b(?!\()", re.IGNORECASE)
GATE = {
    *("mount", "docs", "requests", "user", "public", "may", "fresh", "at", "record", "job", "start_job", "on"),
    *("send_mail", "settings", "unguarded", "bearer"),
}
"""What a host uses of a Passgate, as docs/guide says."""
SQL = re.compile(
    r"\b(SELECT\b.+\bFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(?:CREATE|ALTER|DROP)\s+(?:TABLE|VIEW|TRIGGER)|PRAGMA\s+\w+)\b",
    re.IGNORECASE | re.DOTALL,
)
CALLS = {"eval", "exec", "compile", "__import__", "globals", "vars", "setattr", "delattr", "open"}
REFLECTING = {"getattr", "hasattr"}
PAGES = {"page.py", "pages.py"}
LINES = {"2-session-rbac": 400, "3-two-factor-mail": 390, "4-passkey-audit": 465}
"""The most lines of code of a program, without pages, blank lines, comments and docstrings. Aimed at: 150."""


def faults(source: str, own: set[str], name: str = "") -> list[str]:
    """What the source uses and may not. `own`: the modules of its folder; `name`: folder and file."""
    tree = ast.parse(source)
    allowed = {f"import {one}" for one in ITS_OWN.get(name, ())}
    return [f"line {node.lineno}: {fault}" for node, fault in _faults(tree, own) if fault not in allowed]


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
    own = {one.stem for one in modules(path.parent)}
    assert faults(path.read_text(), own, f"{path.parent.name}/{path.name}") == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_it_is_short(example: Path) -> None:
    counted = {path.name: code_lines(path.read_text()) for path in modules(example) if path.name not in PAGES}
    assert sum(counted.values()) <= LINES[example.name], counted


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_sql_is_in_its_own_file_and_only_reads(example: Path) -> None:
    found = [path for path in example.rglob("*.sql") if ".passgate" not in path.parts]
    assert [path.name for path in found] == SQL_FILES.get(example.name, [])
    assert [fault for path in found for fault in sql_faults(path.read_text())] == []


def sql_faults(text: str) -> list[str]:
    """Statements that do more than make views anew."""
    plain = re.sub(r"--[^\n]*", "", text)
    statements = [one.strip() for one in plain.split(";") if one.strip()]
    return [one for one in statements if not READS.fullmatch(one) or WRITES.search(one)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_pages_need_no_script_and_no_other_site(example: Path) -> None:
    """But for those of a folder `page`, whose script is in files of its own."""
    found = [*example.glob("templates/*.html"), *example.glob("static/*")]
    assert {path.name: page_faults(path.read_text()) for path in found if page_faults(path.read_text())} == {}
    own = [path for path in example.glob("page/*") if path.is_file()]
    faulty = {path.name: page_faults(path.read_text(), with_script=True) for path in own}
    assert {name: one for name, one in faulty.items() if one} == {}


PAGE_FAULTS = re.compile(r"\son\w+=|\sstyle=|https?://|javascript:|\|\s*safe\b|autoescape")
SCRIPT_FAULTS = re.compile(
    r"\b(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write|\beval\(|\bFunction\(|\.setAttribute\(.on|\bcookie\b"
    r"|localStorage|\bimport\(|srcdoc"
)
"""What makes a program or a page of a text, or keeps something for longer than a tab."""
NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


def page_faults(text: str, *, with_script: bool = False) -> list[str]:
    """`with_script`: it may have script in files of its own, but none inside it."""
    plain = text.replace(NAMESPACE, "")
    found = [one[0] for one in PAGE_FAULTS.finditer(plain)]
    if not with_script:
        return found + re.findall("<script", plain)
    inside = [one for one in re.findall(r"<script[^>]*>[^<]*", plain) if not re.fullmatch(SCRIPT_FILE, one)]
    return found + inside + re.findall("<style", plain) + [one[0] for one in SCRIPT_FAULTS.finditer(plain)]


SCRIPT_FILE = r'<script type="module" src="/page/[\w.]+\.js"[\w\s="]*>'


def test_what_a_host_uses_of_a_gate_is_there() -> None:
    there = make_gate()
    assert [name for name in GATE if not hasattr(there, name)] == []


# -- planted faults --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import sqlite3", "import sqlite3"),
        ("from sqlite3 import connect", "from sqlite3 import"),
        ("import fcntl", "import fcntl"),
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
        ("'CREATE VIEW a'", "SQL"),
    ],
)
def test_a_planted_fault_is_found(source: str, named: str) -> None:
    assert any(named in fault for fault in faults(source, set()))


@pytest.mark.parametrize(
    "name", ["4-passkey-audit/program.py", "4-passkey-audit/lock.py", "3-two-factor-mail/database.py"]
)
def test_what_one_module_may_import_no_other_may(name: str) -> None:
    assert faults("import sqlite3", set(), name) == ["line 1: import sqlite3"]
    assert faults("import fcntl", set(), name.replace("lock", "database")) == ["line 1: import fcntl"]
    assert faults("import sqlite3, secrets", set(), "4-passkey-audit/database.py") == ["line 1: import secrets"]


@pytest.mark.parametrize(
    "sql",
    [
        *("DELETE FROM person", "CREATE TABLE a (b)", "DROP VIEW users", "PRAGMA user_version = 1", "SELECT 1"),
        *("CREATE VIEW a AS SELECT 1 FROM b; DROP TABLE b", "CREATE TEMP TRIGGER a INSERT ON b", "ATTACH 'x' AS y"),
    ],
)
def test_sql_that_writes_is_found(sql: str) -> None:
    assert sql_faults(sql)
    assert not sql_faults("-- DELETE\nDROP VIEW IF EXISTS a;\nCREATE VIEW a AS\nSELECT replace(b, 'x', 'y') FROM c;")


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ('<script type="module" src="/page/app.js" blocking="render"></script>', True),
        (f"<svg {NAMESPACE}></svg>", True),
        *((text, False) for text in ("<script>a()</script>", '<script src="https://a.example/x.js"></script>')),
        *((text, False) for text in ('<script type="module" src="/other/app.js"></script>', "<style>a{}</style>")),
        *(
            (text, False)
            for text in ('<p onclick="a()">', '<p style="a">', '<a href="javascript:a">', "a.innerHTML = b")
        ),
        *((text, False) for text in ("eval(a)", "localStorage.a", "fetch('https://a.example')", "import('x')")),
        ('<script type="module" src="/page/app.js">a()</script>', False),
    ],
)
def test_a_planted_fault_of_a_page_is_found(text: str, *, is_allowed: bool) -> None:
    assert (page_faults(text, with_script=True) == []) is is_allowed
    assert page_faults("<script") == ["<script"]


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


# -- what they import is what they install ---------------------------------------------------------


def installed(name: str, found: set[str]) -> set[str]:
    """A distribution and all that it needs."""
    if (key := canonicalize_name(name)) not in found:
        found.add(key)
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                installed(needed.name, found)
    return found


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_requirements_have_what_a_program_imports(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text().splitlines()
    found = installed("passgate", set())
    for line in lines:
        if line[:1].isalpha():
            found = installed(Requirement(line).name, found)
    own = {path.stem for path in folder.glob("*.py")} | sys.stdlib_module_names | {"passgate"}
    named = {name.partition(".")[0] for path in folder.glob("*.py") for name in imported(path)} - own
    providers = metadata.packages_distributions()
    assert [name for name in sorted(named) if not found & set(map(canonicalize_name, providers[name]))] == []


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                yield from (one.name for one in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
