"""The code blocks of the documentation, read from its Markdown: the position of each, its language, and the file it is
saved as.

Not here: running them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
FOLDERS = ("guide", "operate", "explanation")
PAGES = [ROOT / "README.md", *sorted(page for part in FOLDERS for page in (ROOT / "docs" / part).glob("*.md"))]
"""Every page whose blocks are run one by one. The tutorial is followed as a whole."""

_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\S*)\s*$")
_SAVED = re.compile(r"(?:Save|saved?) (?:this|it|them|all of it)?\s*(?:again )?as `(?P<file>[\w./-]+)`[^`]*$")


@dataclass(frozen=True, slots=True)
class Block:
    """`lead` is the paragraph before the block; `line` counts from one."""

    page: Path
    line: int
    language: str
    text: str
    lead: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line} ({self.language or 'no language'})"

    @property
    def file(self) -> str | None:
        """The name that the reader is told to save the block as: "Save this as `main.py`:"."""
        found = _SAVED.search(self.lead)
        return found["file"] if found else None


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def parts(page: Path) -> Iterator[Block | str]:
    """The page from top to bottom: blocks, and the lines of text between them."""
    lead, fence, language, began, inside, is_over = "", "", "", 0, list[str](), True
    for number, line in enumerate(page.read_text().splitlines(), 1):
        found = _FENCE.match(line.strip())
        if fence:
            if found and found["fence"] == fence and not found["language"]:
                yield Block(page, began, language, "".join(f"{each}\n" for each in inside), lead)
                fence, lead = "", ""
            else:
                inside.append(line)
        elif found:
            fence, language, began, inside = found["fence"], found["language"], number, []
        else:
            if line.strip():
                lead = line.strip() if is_over else f"{lead} {line.strip()}"
            is_over = not line.strip()
            yield line
    assert not fence, f"{name_of(page)}:{began}: the block never ends"


def blocks(page: Path) -> list[Block]:
    return [part for part in parts(page) if isinstance(part, Block)]
