"""The pages that the examples answer for: what the reader finds, and that each promise and each line has its test.

Not here: those tests.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.examples import (
    seed_readme,
    test_passkey_audit_as_printed,
    test_session_rbac_flow,
    test_two_factor_as_printed,
)
from tests.examples.programs import folder_of, module
from tests.examples.seed_readme import NUMBERS, SECTIONS, extract, lines, missing, promises, seed, stored

RUN: dict[int, dict[str, str]] = {
    2: {},
    3: test_two_factor_as_printed.LINES,
    4: test_passkey_audit_as_printed.LINES,
}
"""Of each example: the fingerprint of every line that its seed prints, and what runs it, or the tag of the line of the
README that says why it is answered otherwise. Seed 2 prints none."""


@dataclass(frozen=True)
class Page:
    """The README of an example. `allowed`: the only differences that there may be, by tag; `instead`: what there is
    instead of a part. `variables`: the seed's own, which the table below `heading` lists."""

    number: int
    heading: str
    variables: tuple[str, ...]
    allowed: frozenset[str]
    instead: frozenset[str]
    seed_section: str
    """The heading of the design's list of variables, and the word after it."""

    @property
    def text(self) -> str:
        return (folder_of(self.number) / "README.md").read_text()


PAGES = {
    2: Page(
        2,
        "Old variables",
        (
            *("DEBUG", "TESTING", "ALLOW_OPENAPI_ROUTES", "SECRET_KEY", "SIGNATURE_SALT"),
            *("ENCRYPTION_KEY", "ENCRYPTION_SALT"),
            *("CORS_ALLOW_ORIGINS", "CORS_ALLOW_METHODS", "CORS_ALLOW_HEADERS", "CORS_ALLOW_CREDENTIALS"),
            *("DATABASE_FILE_NAME", "DATABASE_DIRECTORY", "SQLALCHEMY_ECHO"),
            *("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"),
        ),
        frozenset({"docker", "users-list", "ids", "sign-up"}),
        frozenset({"repository", "openapi-export", "secrets-script"}),
        "3b",
    ),
    3: Page(
        3,
        "Variables",
        (
            *("FASTAPI_CONFIG", "FAKE_EMAIL_SENDER", "API_V1_STR", "PROJECT_NAME"),
            *("JWT_SECRET_KEY", "JWT_SECRET_KEY_REFRESH", "PRE_TFA_SECRET_KEY", "FERNET_KEY_TFA_TOKEN", "ALGORITHM"),
            *("ACCESS_TOKEN_EXPIRE_MINUTES", "REFRESH_TOKEN_EXPIRE_MINUTES", "PRE_TFA_TOKEN_EXPIRE_MINUTES"),
            *("TFA_BACKUP_TOKENS_NR", "TFA_TOKEN_LENGTH", "TOTP_TOKEN_TOLERANCE", "TOTP_ISSUER_NAME"),
            *("BACKEND_CORS_ORIGINS", "SQLALCHEMY_DATABASE_URI"),
            *("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_SERVER", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB"),
            *("RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"),
            *("RESULT_BACKEND", "CELERY_FLOWER_USER", "CELERY_FLOWER_PASSWORD"),
        ),
        frozenset({"users-list", "tasks", "neutral", "fresh", "backup", "mailed", "once", "ids", "at-once"}),
        frozenset({"docker"}),
        "4b",
    ),
    4: Page(
        4,
        "Variables",
        ("JWT_SECRET", "JWT_ALGORITHM", "JWT_EXPIRATION_MINUTES", "RP_ID", "RP_NAME", "ORIGIN"),
        frozenset(
            {
                *("views", "public-key", "role", "stateful", "algorithm", "issuer", "taken", "created", "unknown"),
                *("claimed", "limits", "platform", "strict", "times", "agent", "forwarded", "nobody", "log"),
                *("variables", "cors", "reset", "python", "code", "elsewhere", "today"),
            }
        ),
        frozenset({"update-users"}),
        "5b",
    ),
}

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
    methods = {**vars(test_two_factor_as_printed.Reader), **vars(test_passkey_audit_as_printed.Reader)}
    assert {how for how in RUN[number].values() if how not in methods} <= {*differences(PAGES[number].text)}


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
    tags = [re.match(r"`([a-z0-9-]+)`: ", item) for item in items]
    assert all(tags), items
    return [tag[1] for tag in tags if tag]


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: str(page.number))
def test_every_variable_has_its_line(page: Page) -> None:
    assert tuple(name.strip("`") for name, *_ in rows(page.heading, page.text)) == page.variables
    design = seed_readme.SEEDS.parent / "design" / "seeds.md"
    if design.exists():
        section = design.read_text().partition(f"### {page.seed_section}.")[2].partition("### ")[0]
        section = section.partition("Constants")[0].partition("Ports:")[0].replace("USER/PASS", "USER`, `PASS")
        named = set(re.findall(r"[A-Z]{2,}(?:_[A-Z0-9]+)+|\bDEBUG\b|\bTESTING\b|\bALGORITHM\b", section))
        assert {name for name in named if not name.startswith("WAL")} <= {*page.variables}


def test_old_variables_are_refused_or_named_as_in_the_readme() -> None:
    """Of example 2."""
    old_names = module(2, "old_names")
    for cell, text in rows("Old variables", PAGES[2].text):
        name = cell.strip("`")
        is_ignored = "has no effect" in text
        assert name in (old_names.IGNORED if is_ignored else old_names.REFUSED), name


def test_variables_count_or_are_refused_as_in_the_readme() -> None:
    """Of example 3: those without a variable of Passgate's in their line, and none that is gone or comes later, are
    read."""
    variables = module(3, "variables")
    gone = re.compile(r"Gone|Later|`PASSGATE_(TOKEN__ALGORITHM|DATABASE_URL)`")
    for cell, text in rows("Variables", PAGES[3].text):
        name = cell.strip("`")
        assert (name in variables.REFUSED) == bool(gone.match(text)), name
        assert (name.lower() in variables.Variables.model_fields) != (name in variables.REFUSED), name
    assert {name.upper() for name in variables.Variables.model_fields} <= {*PAGES[3].variables, "PASSGATE_ENVIRONMENT"}


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: str(page.number))
def test_no_difference_but_those_allowed(page: Page) -> None:
    found = differences(page.text)
    assert len(found) == len(set(found))
    assert set(found) <= page.allowed | page.instead
    assert set(found) >= page.instead


def test_another_difference_is_found() -> None:
    assert differences("\n## Differences\n\n- `ids`: x\n- `new-one`: y\n\n## More\n- `no`: z") == ["ids", "new-one"]
    assert all("new-one" not in page.allowed | page.instead for page in PAGES.values())
    with pytest.raises(AssertionError):
        differences("\n## Differences\n\n- something else\n")
