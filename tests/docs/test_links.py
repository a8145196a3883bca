"""Every link and every path in the documentation leads to something that exists. Nothing is run or fetched here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, name_of, parts

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/README.md")])

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:tests|src|docs|tools)/[\w./-]+\.\w+)(?:::?(\w+))?`")


def prose(page: Path) -> str:
    return "\n".join(part for part in parts(page) if not isinstance(part, Block))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_is_there(page: Path) -> None:
    lost = []
    for path, name in _PATH.findall(prose(page)):
        file = ROOT / path
        if not file.is_file() or (name and not re.search(rf"\b{name}\b", file.read_text())):
            lost.append(f"{path}:{name}")
    assert lost == []


def test_twelve_questions_each_lead_to_one_place() -> None:
    section = (ROOT / "docs/MAP.md").read_text().partition("## Twelve questions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (Where|What|How) .*\? \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) == 12
    assert all(re.fullmatch(r"`[\w/.]+\.py:\w+`", place) for _, place in rows)
