"""CHANGELOG.md has the present version.

Not here: what it says.
"""

import re

import passgate
from tests.docs.blocks import ROOT


def test_the_changelog_has_this_version() -> None:
    """Below what is not released yet: each version once, the newest first, with its day."""
    first, *released = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == "Unreleased"
    found = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - \d{4}-\d\d-\d\d", one) for one in released]
    assert all(found)
    versions = [tuple(map(int, one.group(1, 2, 3))) for one in found if one]
    assert versions == sorted({*versions}, reverse=True)
    assert released[0].partition(" ")[0] == passgate.__version__


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
