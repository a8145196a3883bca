"""The pages that the examples answer for ("seeds"): every shell, curl and Python line that they print, and the numbered
promises of a section. They stand beside the checkout, in ../shared/seeds. Their fingerprints are kept here, so that a
test knows what it can't check where they are missing, and that they haven't changed where they are there:
`python -m tests.examples.seed_readme` writes them anew.

Not here: running the lines, which is each example's own test.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.docs.blocks import ROOT

SEEDS = ROOT.parent / "shared" / "seeds"
STORED = Path(__file__).with_name("seeds.json")
NUMBERS = range(5)
SECTIONS = {2: "Session Id Auth Flow"}
"""Whose numbered promises an example keeps one by one."""
Kind = Literal["shell", "python"]

SHELLS = frozenset({"sh", "bash", "shell", "console", "zsh"})
PYTHONS = frozenset({"python", "py", "python3"})
_FENCE = re.compile(r"^\s*(?P<fence>```+|~~~+)\s*(?P<language>[\w+-]*)\s*$")
_COMMAND = re.compile(
    r"(?:\$ )?(?:curl|wget|http|pip3?|pipx|uv|poetry|python3?|uvicorn|gunicorn|hypercorn|fastapi|sqlite3|psql|redis-cli"
    r"|openssl|docker(?:-compose)?|npm|npx|yarn|pnpm|node|make|git|cd|export|source|cp|mkdir|cat|celery|alembic|pytest"
    r"|\./\S+)(?: .*)?"
)
"""How a line begins that somebody types into a terminal. Of a page without fences nothing else says so."""
_PYTHON = re.compile(r"(?:from [\w.]+ import .+|import [\w., ]+|(?:async )?def \w+\(.*|class \w+.*:|@\w[\w.]*\(.*\))")
_PROSE = re.compile(r".*[a-z]{2,}\.?\s+(?:the|this|that|your|you|to|and)\b.*[.:]?")
"""A sentence that begins like a command: "make this repository your own"."""


@dataclass(frozen=True, slots=True)
class Line:
    """One command or line of a program; a command that goes over several lines is one. `number`: of its first line."""

    number: int
    kind: Kind
    text: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.text)


def fingerprint(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def seed(number: int, folder: Path = SEEDS) -> str | None:
    """The text of a seed, or None where it is not beside the checkout, which the summary of the test run says."""
    return next((path.read_text() for path in sorted(folder.glob(f"{number:03}_*.txt"))), None)


def missing(folder: Path = SEEDS) -> str:
    """What can't be checked, for the summary of the test run; empty if all is there."""
    absent = [number for number in NUMBERS if seed(number, folder) is None]
    if not absent:
        return ""
    count = sum(len(stored()[str(number)]["shell"]) + len(stored()[str(number)]["python"]) for number in absent)
    named = ", ".join(map(str, absent))
    return f"{folder} has no seeds {named}: their {count} lines were not read, only their fingerprints compared"


# -- lines -----------------------------------------------------------------------------------------


def lines(page: str) -> list[Line]:
    """Every shell and Python line of a page: those of its fences by their language, and those outside of any fence, as
    pages have them that were copied from a browser, by how they begin."""
    found: list[Line] = []
    for kind, numbered in _runs(page):
        found += (
            _commands(numbered) if kind == "shell" else [Line(n, kind, t.strip()) for n, t in numbered if t.strip()]
        )
    return sorted(found, key=lambda line: line.number)


def commands(text: str) -> list[str]:
    """The commands of a block, each with all its lines."""
    return [line.text for line in _commands(list(enumerate(text.splitlines(), 1)))]


Numbered = list[tuple[int, str]]


def _runs(page: str) -> Iterator[tuple[Kind, Numbered]]:
    """Consecutive lines of one kind, without prose."""
    fence, language, inside, outside = "", "", Numbered(), Numbered()
    for number, text in enumerate(page.splitlines(), 1):
        marked = _FENCE.match(text)
        if fence:
            if marked and marked["fence"] == fence and not marked["language"]:
                yield from _fenced(language, inside)
                fence, inside = "", Numbered()
            else:
                inside.append((number, text))
        elif marked:
            fence, language = marked["fence"], marked["language"].lower()
            outside.append((number, ""))
        else:
            outside.append((number, text))
    yield from _fenced(language, inside)
    yield from _bare(outside)


def _fenced(language: str, inside: Numbered) -> Iterator[tuple[Kind, Numbered]]:
    if language in SHELLS:
        yield "shell", inside
    elif language in PYTHONS:
        yield "python", inside
    elif not language:
        yield from _bare(inside)


def _bare(outside: Numbered) -> Iterator[tuple[Kind, Numbered]]:
    """Commands with what belongs to them (open quotes, a backslash at the end), and lines of Python."""
    rest = iter(outside)
    for number, text in rest:
        stripped = text.strip()
        if _PYTHON.fullmatch(stripped):
            yield "python", [(number, stripped)]
        elif _COMMAND.fullmatch(stripped) and not (_PROSE.fullmatch(stripped) and "-" not in stripped):
            whole = [(number, stripped)]
            while _is_open("\n".join(each for _, each in whole)):
                following = next(rest, None)
                if following is None:
                    break
                whole.append(following)
            yield "shell", whole


def _is_open(command: str) -> bool:
    """Whether the command goes on in the next line."""
    plain = re.sub(r"\\.", "", command.rstrip("\\"))
    return command.endswith("\\") or any(plain.count(quote) % 2 for quote in ("'", '"'))


def _commands(numbered: Numbered) -> list[Line]:
    found: list[Line] = []
    whole, began = "", 0
    for number, text in numbered:
        if not whole and (not text.strip() or text.strip().startswith("#")):
            continue
        began, whole = (number, text.strip()) if not whole else (began, f"{whole}\n{text.strip()}")
        if not _is_open(whole):
            found.append(Line(began, "shell", whole.removeprefix("$ ")))
            whole = ""
    return found + ([Line(began, "shell", whole)] if whole else [])


# -- promises --------------------------------------------------------------------------------------

_HEADING = re.compile(r"(?P<depth>#+) (?P<title>.+)")
_ITEM = re.compile(r"\s*(?:(?P<number>\d+)\.|- (?P<letter>[A-Z])\.) (?P<text>.+)")


def promises(page: str, section: str) -> dict[str, str]:
    """The numbered and lettered items of a section and of the headings below it, by place: "2.3 B" is the item B of the
    third item below the second heading. The number is the item's place: a page may number two items alike."""
    found: dict[str, str] = {}
    is_inside, heading, item = False, 0, 0
    for text in page.splitlines():
        if marked := _HEADING.fullmatch(text.strip()):
            is_inside = is_inside or marked["title"].strip() == section
            heading += is_inside and marked["title"].strip() != section
            item = 0
        elif is_inside and (found_item := _ITEM.fullmatch(text)):
            item += found_item["number"] is not None
            found[f"{heading}.{item}" + (f" {found_item['letter']}" if found_item["letter"] else "")] = found_item[
                "text"
            ]
    return found


# -- what is stored ----------------------------------------------------------------------------------


def extract(number: int, page: str) -> dict[str, Any]:
    """Counts and fingerprints, no text."""
    found = lines(page)
    kinds = {kind: [one.fingerprint for one in found if one.kind == kind] for kind in ("shell", "python")}
    promised = promises(page, SECTIONS[number]) if number in SECTIONS else {}
    marks = {place: fingerprint(text) for place, text in promised.items()}
    return {"page": fingerprint(page), "lines": len(page.splitlines()), **kinds, "promises": marks}


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(STORED.read_text())
    return found


def main() -> None:
    pages = {number: seed(number) for number in NUMBERS}
    written = {str(number): extract(number, page) for number, page in pages.items() if page is not None}
    STORED.write_text(json.dumps(written, indent=1) + "\n")
    for number, page in pages.items():
        for line in lines(page or ""):
            print(number, line.number, line.kind, repr(line.text)[:150])


if __name__ == "__main__":
    main()
