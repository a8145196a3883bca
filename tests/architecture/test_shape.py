"""Structural rules: one way to open a session, sizes, docstrings, pinned names and requirements.

Nothing here sends requests. The source is parsed, and modules are imported and inspected.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions

import pytest

import passgate
from passgate import errors
from passgate.core.events import Event
from passgate.core.factors import FACTORS
from tests.architecture.reference import PAGES, ROOT, SRC, coded_errors, modules, nodes, used_in

FILE_LINES, FUNCTION_LINES = 500, 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module")
def source() -> dict[str, ast.Module]:
    return modules()


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in nodes(tree) if isinstance(node, Function))


def uses(tree: ast.AST, name: str) -> list[ast.AST]:
    """Every use of a name, alone or as an attribute. The definition does not count."""
    return [
        node
        for node in nodes(tree)
        if (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)
    ]


# -- one way to open a session --------------------------------------------------------------------------------


def test_only_one_function_opens_a_session(source: dict[str, ast.Module]) -> None:
    mentions = {(name, mention.lineno) for name, tree in source.items() for mention in uses(tree, "open_session")}  # type: ignore[attr-defined]
    assert {name for name, _ in mentions} == {"core/signin.py"}
    assert len(mentions) == 1
    callers = [function.name for function in functions(source["core/signin.py"]) if uses(function, "open_session")]
    assert callers == ["_session"]
    for name, caller in (("_session", "_open"), ("_open", "finish")):
        assert [one.name for one in functions(source["core/signin.py"]) if uses(one, name)] == [caller]


def test_only_one_module_writes_the_session_table(source: dict[str, ast.Module]) -> None:
    """An INSERT into `session` outside core/sessions would be a second way to open a session."""
    inserting = re.compile(r"\badd\(\s*session\b|\bupsert\(\s*session\b|\binsert\(\s*session\b|\bsession\.insert\(")
    found = {name for name in source if inserting.search((SRC / name).read_text())}
    assert found == {"core/sessions.py"}


def test_only_one_function_finds_a_session(source: dict[str, ast.Module]) -> None:
    """Whoever asks who acts asks the table of carriers, so that a new kind of secret counts everywhere at once."""
    assert callers_of_find(source) == {"core/carriers.py"}
    planted = {**source, "web/planted.py": ast.parse("async def f(ctx): return await sessions.find(ctx, 'x')")}
    assert callers_of_find(planted) == {"core/carriers.py", "web/planted.py"}


def callers_of_find(source: dict[str, ast.Module]) -> set[str]:
    return {name for name, tree in source.items() if any(_dotted(node) == "sessions.find" for node in nodes(tree))}


def test_only_one_module_reaches_a_sign_in_without_its_handle(source: dict[str, ast.Module]) -> None:
    """An id is no secret: whoever names a sign-in by it could prove and finish it."""
    assert makers_of_by_challenge(source) == {"core/by_challenge.py"}
    planted = {**source, "web/planted.py": ast.parse("def f(one): return pending.ByChallenge(one.tenant_id, one.id)")}
    assert makers_of_by_challenge(planted) == {"core/by_challenge.py", "web/planted.py"}


def makers_of_by_challenge(source: dict[str, ast.Module]) -> set[str]:
    """Its two other users only name its type."""
    users = {name for name, tree in source.items() if uses(tree, "ByChallenge")} - {"core/pending.py", "core/signin.py"}
    calls = {
        name
        for name, tree in source.items()
        for node in nodes(tree)
        if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] == "ByChallenge"
    }
    return users | calls


def test_the_web_opens_no_transaction(source: dict[str, ast.Module]) -> None:
    assert opening(source) == set()
    planted = {
        "web/one.py": ast.parse("async def f(ctx):\n async with ctx.read() as db: pass"),
        "web/two.py": ast.parse("async def f(services):\n async with services.store.write() as db: pass"),
        "core/three.py": ast.parse("async def f(ctx):\n async with ctx.read() as db: pass"),
    }
    assert opening(planted) == {"web/one.py", "web/two.py"}


def opening(source: dict[str, ast.Module]) -> set[str]:
    """The modules of the web that enter a `read()` or `write()`."""
    entered = {
        (name, _dotted(item.context_expr.func).rpartition(".")[2])
        for name, tree in source.items()
        if name.startswith("web/")
        for node in nodes(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.context_expr, ast.Call)
    }
    return {name for name, method in entered if method in ("read", "write")}


# -- sizes and docstrings --------------------------------------------------------------------------


def test_files_are_short(source: dict[str, ast.Module]) -> None:
    long = {name: lines for name in source if (lines := len((SRC / name).read_text().splitlines())) > FILE_LINES}
    assert long == {}


def test_functions_are_short(source: dict[str, ast.Module]) -> None:
    """Migrations are exempt: they are a list of statements."""
    long = {
        f"{name}:{function.name}": lines
        for name, tree in source.items()
        for function in functions(tree)
        if "migrations/versions" not in name
        and (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_every_module_has_a_docstring_of_two_sentences(source: dict[str, ast.Module]) -> None:
    """The two sentences say what lives in the module and what does not. An empty `__init__` is exempt."""
    speaking = {name for name, tree in source.items() if len(_sentences(ast.get_docstring(tree))) >= 2}
    excused = {name for name, tree in source.items() if name.endswith("__init__.py") and len(tree.body) <= 1}
    excused |= {name for name in source if "migrations/versions" in name}  # their docstring is Alembic's message
    assert set(source) - speaking - excused == set()


def _sentences(text: str | None) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text or "") if len(part) > 8]


# -- functions that never return -------------------------------------------------------------------


def _own(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of a function's body, without those of nested functions."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def never_returns(function: Function) -> bool:
    """It ends in a `raise` and nothing in it returns or yields."""
    answers = any(isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) for node in _own(function.body))
    return isinstance(function.body[-1], ast.Raise) and not answers


def test_functions_that_never_return_are_annotated(source: dict[str, ast.Module]) -> None:
    """Without NoReturn, mypy takes the code after a call for reachable, so a caller's missing `raise` would go
    unnoticed."""
    silent = {
        f"{name}:{function.name}"
        for name, tree in source.items()
        for function in functions(tree)
        if never_returns(function) and "NoReturn" not in ast.unparse(function.returns or ast.Constant(None))
    }
    assert silent == set()


# -- clock, randomness, environment and hashing --------------------------------------------------------

OUTSIDE = {
    "time.time": {"world.py"},
    "time.time_ns": {"world.py"},
    "datetime.now": {"world.py"},
    "datetime.utcnow": {"world.py"},
    "secrets": {"world.py"},
    "random": {"world.py"},
    "os.urandom": {"world.py", "seal.py"},
    "uuid": set(),
    "os.environ": {"settings/model.py", "settings/variables.py", "settings/inherited.py"},
    "os.getenv": {"settings/model.py", "settings/variables.py"},
    "nacl": {"hashing.py"},
}


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


@cache
def _touched(tree: ast.Module) -> set[str]:
    """Imported modules, names imported from them and attribute accesses, all as dotted names."""
    found = set()
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(_dotted(node))
    return found


@pytest.mark.parametrize("outside", OUTSIDE)
def test_clock_dice_environment_and_hashing_have_one_module_each(source: dict[str, ast.Module], outside: str) -> None:
    for name, tree in source.items():
        # `ctx.world.uuid` and `settings.secrets` are our own attributes; only a leading module name is the library's.
        touched = {word for word in _touched(tree) if word == outside or word.startswith(outside + ".")}
        assert not touched or name in OUTSIDE[outside], f"{name} touches {touched}"


def test_the_rules_speak_no_http(source: dict[str, ast.Module]) -> None:
    """Names and strings of core, store, seal and hashing contain no HTTP status, header or framework."""
    word = re.compile(r"fastapi|starlette|status_code|Set-Cookie|WWW-Authenticate|\bHTTP_?\d{3}\b", re.IGNORECASE)
    for name, tree in source.items():
        if name.startswith(("core/", "store/")) or name in ("seal.py", "hashing.py"):
            texts = {node.value for node in nodes(tree) if isinstance(node, ast.Constant)}
            spoken = {str(text) for text in texts} | _touched(tree)
            assert not {text for text in spoken if word.search(text)}, name


# -- errors and events -----------------------------------------------------------------------------


def test_error_codes_are_unique_documented_and_raised(source: dict[str, ast.Module]) -> None:
    kinds = coded_errors()
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))
    page = (PAGES / "errors.md").read_text()
    raised = {name for path, tree in source.items() if path != "errors.py" for name in _made(tree)}
    for kind in kinds:
        assert re.fullmatch(r"[a-z][a-z_]+", kind.code)
        assert f"| `{kind.code}` | {kind.status} |" in page
        assert kind.message.endswith((".", "!"))
        assert kind.__name__ in raised, f"{kind.__name__} is never raised"


def _made(tree: ast.Module) -> Iterator[str]:
    """Names that are raised, called or returned: `raise X`, `raise X(…)`, `return X()`."""
    for node in nodes(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
            yield node.exc.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_statuses_match_the_kind_of_refusal() -> None:
    for kind in coded_errors():
        if issubclass(kind, errors.Refusal):
            assert 400 <= kind.status < 500
        else:
            assert kind.status >= 500


def test_every_documented_password_reason_is_used() -> None:
    text = (SRC / "core/factors/password.py").read_text()
    assert {word for word in errors.PASSWORD_REASONS if f'"{word}"' in text} == set(errors.PASSWORD_REASONS)


def test_events_are_unique_documented_and_recorded() -> None:
    values = [event.value for event in Event.__members__.values()]
    assert len(values) == len(set(values)) == len(list(Event)), "an alias hides an event"
    assert all(event.meaning for event in Event)
    for event in Event:
        assert re.fullmatch(r"[a-z_]+(:[a-z_]+){1,2}", event.value)
        assert used_in(event), f"{event} is never noted"


# -- map, public names, requirements ---------------------------------------------------------------


def _anchors() -> list[tuple[str, str]]:
    return re.findall(r"`([\w/.-]+\.(?:py|md|txt))(?::(\w+))?`", (ROOT / "docs/MAP.md").read_text())


def test_the_map_is_true() -> None:
    anchors = _anchors()
    assert len(anchors) > 30
    for path, name in anchors:
        file = (ROOT if path.startswith(("tests/", "docs/", "requirements/")) else SRC) / path
        assert file.is_file(), path
        if name:
            assert re.search(rf"^(?:async def |def |class |){name}\b(?:\(| =|:)", file.read_text(), re.MULTILINE), (
                f"{path}:{name}"
            )


def test_the_map_shows_every_room_of_the_rules(source: dict[str, ast.Module]) -> None:
    """Every module of core is on the map, except plain data shapes and the factors, whose list is on it."""
    shapes = {"core/ctx.py", "core/message.py", "core/useragent.py"}
    listed = {f"core/factors/{one.name}.py" for one in FACTORS}
    rooms = {name for name in source if name.startswith("core/") and not name.endswith("core/__init__.py")}
    assert rooms - shapes - listed - {path for path, _ in _anchors()} == set()


def test_public_names_are_pinned() -> None:
    """The names that a host may import. A change of this list belongs in the changelog."""
    public = {name for name in vars(passgate) if not name.startswith("_")}
    submodules = {path.stem for path in SRC.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert public - submodules == set()


LOOKED_AT = """
import os
class Watched(dict):
    def __getitem__(self, key): seen.append(key); return super().__getitem__(key)
    def get(self, key, default=None): seen.append(key); return super().get(key, default)
    def __contains__(self, key): seen.append(key); return super().__contains__(key)
seen = []
os.environ = Watched(os.environ)
import passgate
print(sorted({str(key) for key in seen}), "passgate.settings" in __import__("sys").modules)
"""


def test_importing_the_package_reads_no_environment() -> None:
    """`import passgate` reads no environment variable and does not import the settings: the embedding program decides
    where settings come from."""
    result = {**os.environ, "PASSGATE_PORT": "not a number", "PASSGATE_ENVIRONMENT": "nonsense"}
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_AT], capture_output=True, text=True, env=result, cwd=ROOT, check=True
    )
    assert done.stdout.split() == ["[]", "False"]


def test_the_command_line_loads_nothing_heavy_before_a_command_needs_it() -> None:
    """`passgate --help` and a mistyped command answer at once."""
    heavy = ("fastapi", "passgate.core", "passgate.settings", "passgate.web", "pydantic", "sqlalchemy", "uvicorn")
    look = f"import sys, passgate.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_what_is_depended_on_is_imported(source: dict[str, ast.Module]) -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*named["dependencies"], *named["optional-dependencies"]["postgres"]]
    depended_on = {re.split(r"[^\w-]", text)[0] for text in wanted}
    provided_by = packages_distributions()
    roots = {word.partition(".")[0] for tree in source.values() for word in _imported(tree)}
    imported = {re.sub("[_.]", "-", name).lower() for root in roots for name in provided_by.get(root, [])}
    assert depended_on - imported == set()


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and uses(node.func, "import_module"):
            yield from (str(given.value) for given in node.args if isinstance(given, ast.Constant))


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: str(path.name))
def test_requirements_are_hashed_and_name_no_place(path: object) -> None:
    text = (ROOT / "requirements" / getattr(path, "name", "")).read_text()
    plain = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
    assert not re.search(r"https?://|file:|--index-url|--extra-index-url|--find-links|--trusted-host| @ ", plain)
    assert not re.search(r"(?:^|\s)/\w+/|\blocalhost\b|~/", plain)
    pinned = re.findall(r"^([A-Za-z0-9._-]+(?:\[[\w,]+\])?)==(\S+)", plain, re.MULTILINE)
    named = [line for line in plain.splitlines() if line and not line.startswith((" ", "\t"))]
    assert len(pinned) == len(named) > 0
    entries = re.split(r"\n(?=\S)", plain.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
