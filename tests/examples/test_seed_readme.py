"""The pages that the examples answer for: what the reader finds, and that each promise and each line has its test.

Not here: those tests.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.examples import seed_readme, test_session_rbac_flow
from tests.examples.seed_readme import NUMBERS, SECTIONS, extract, lines, missing, promises, seed, stored

README = ROOT / "examples" / "2-session-rbac" / "README.md"
RUN: dict[int, dict[str, str]] = {2: {}}
"""Of each example: the fingerprint of every line that its seed prints, and the test that runs it, or the tag of the
line of the README that says why it is answered otherwise. Seed 2 prints none."""
ALLOWED = {"docker", "users-list", "ids", "sign-up"}
INSTEAD = {"repository", "openapi-export", "secrets-script"}
"""The only differences that there may be, by tag; and what there is instead of a part."""
VARIABLES = (
    *("DEBUG", "TESTING", "ALLOW_OPENAPI_ROUTES", "SECRET_KEY", "SIGNATURE_SALT", "ENCRYPTION_KEY", "ENCRYPTION_SALT"),
    *("CORS_ALLOW_ORIGINS", "CORS_ALLOW_METHODS", "CORS_ALLOW_HEADERS", "CORS_ALLOW_CREDENTIALS"),
    *("DATABASE_FILE_NAME", "DATABASE_DIRECTORY", "SQLALCHEMY_ECHO"),
    *("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"),
)

FENCED = """\
Intro with `code`.

```bash
# a comment
pip install one
curl -X 'POST' \\
  'http://localhost:8000/a' \\
  -d '{
    "a": 1
  }'
```

    ```shell
    docker ps
    ```

```json
{"curl": 1}
```

```python
import one

one.two()
```
"""
BARE = """\
Installation

# Install what is needed
pip install -r requirements.txt

sqlite3 app.db "SELECT a
                FROM b;"

  3. Try it:
    curl -H "Authorization: Bearer <token>" \\
         http://localhost:8000/users/<id>
    Expected: 200 OK

@app.get("/one")
def one(a: int = 1):
    return a

python is a language that you may know.
make this repository your own and export the results to your team.
"""


# -- the reader ------------------------------------------------------------------------------------


def test_lines_of_fences() -> None:
    assert [(one.number, one.kind, one.text) for one in lines(FENCED)] == [
        (5, "shell", "pip install one"),
        (6, "shell", "curl -X 'POST' \\\n'http://localhost:8000/a' \\\n-d '{\n\"a\": 1\n}'"),
        (14, "shell", "docker ps"),
        (22, "python", "import one"),
        (24, "python", "one.two()"),
    ]


def test_lines_of_a_page_without_fences() -> None:
    assert [(one.number, one.kind, one.text.split()[0]) for one in lines(BARE)] == [
        (4, "shell", "pip"),
        (6, "shell", "sqlite3"),
        (10, "shell", "curl"),
        (14, "python", '@app.get("/one")'),
        (15, "python", "def"),
    ]


def test_a_fence_that_never_ends_keeps_its_lines() -> None:
    assert [one.text for one in lines("```sh\ncurl one\n")] == ["curl one"]


def test_promises_are_numbered_by_place() -> None:
    page = "## A\n1. x\n## Flow\n### One\n1. a\n2. b\n   - A. c\n2. d\n### Two\n1. e\n"
    assert promises(page, "Flow") == {"1.1": "a", "1.2": "b", "1.2 A": "c", "1.3": "d", "2.1": "e"}


# -- the seeds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_a_seed_is_what_is_stored_of_it(number: int) -> None:
    """Where the seed is missing, what is stored has to do, and the summary of the run says so."""
    page = seed(number)
    if page is None:
        assert str(number) in missing()
    else:
        assert extract(number, page) == stored()[str(number)]


def test_the_reader_finds_the_lines_of_the_seeds() -> None:
    found = {int(number): (len(one["shell"]), len(one["python"])) for number, one in stored().items()}
    assert found == {0: (5, 0), 1: (28, 14), 2: (0, 0), 3: (14, 0), 4: (21, 3)}


@pytest.mark.parametrize("number", RUN)
def test_every_line_has_a_test_or_a_line_of_the_readme(number: int) -> None:
    printed = [*stored()[str(number)]["shell"], *stored()[str(number)]["python"]]
    assert sorted(RUN[number]) == sorted(printed)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert missing(tmp_path).count("0, 1, 2, 3, 4: their 85 lines") == 1
    (tmp_path / "002_x.txt").write_text("a")
    assert "0, 1, 3, 4:" in missing(tmp_path)


def test_every_promise_has_its_test() -> None:
    for number, flow in ((2, test_session_rbac_flow),):
        assert list(flow.PROMISES) == list(stored()[str(number)]["promises"]), SECTIONS[number]
        tree = ast.parse(Path(str(flow.__file__)).read_text())
        tests = {node.name.removeprefix("test_") for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {name for names in flow.PROMISES.values() for name in names} <= tests


# -- the README of the example ---------------------------------------------------------------------


def rows(heading: str, page: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def differences(page: str) -> list[str]:
    section = page.partition("\n## Differences\n")[2].partition("\n## ")[0]
    items = re.findall(r"^- (.*)$", section, re.MULTILINE)
    tags = [re.match(r"`([a-z-]+)`: ", item) for item in items]
    assert all(tags), items
    return [tag[1] for tag in tags if tag]


def test_every_old_variable_has_its_line() -> None:
    assert tuple(name.strip("`") for name, *_ in rows("Old variables", README.read_text())) == VARIABLES
    design = seed_readme.SEEDS.parent / "design" / "seeds.md"
    if design.exists():
        section = design.read_text().partition("## 3. Seed 2")[2].partition("### 3b.")[2].partition("Constants")[0]
        named = set(re.findall(r"[A-Z]{2,}(?:_[A-Z]+)+|\bDEBUG\b|\bTESTING\b", section))
        assert {name for name in named if not name.startswith("WAL")} <= {*VARIABLES}


def test_old_variables_are_refused_or_named_as_in_the_readme() -> None:
    from tests.examples.programs import module  # noqa: PLC0415

    old_names = module(2, "old_names")
    for cell, text in rows("Old variables", README.read_text()):
        name = cell.strip("`")
        is_ignored = "has no effect" in text
        assert name in (old_names.IGNORED if is_ignored else old_names.REFUSED), name


def test_no_difference_but_those_allowed() -> None:
    found = differences(README.read_text())
    assert len(found) == len(set(found))
    assert set(found) <= ALLOWED | INSTEAD
    assert set(found) >= INSTEAD


def test_another_difference_is_found() -> None:
    assert differences("\n## Differences\n\n- `ids`: x\n- `new-one`: y\n\n## More\n- `no`: z") == ["ids", "new-one"]
    assert not {"new-one"} <= ALLOWED
    with pytest.raises(AssertionError):
        differences("\n## Differences\n\n- something else\n")
