"""No test contains a text that people read: tests recognise a page or message by its code, path, fields and kind.

Texts can then be reworded without changing a test. The content of the message catalog is tested in tests/web.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.web.test_pages_look import PO, TOOL

TESTS = Path(__file__).parents[1]
_PLACE = re.compile(r"%\(\w+\)s")


def texts() -> frozenset[str]:
    """Every text of the catalog in both languages that is longer than two words; of a text with placeholders, its fixed
    parts. Shorter texts are words that a test may need for itself."""
    outcomes = [form for pair in TOOL.read(PO).items() if pair[0] for text in pair for form in text.split("\0")]
    parts = (part.strip(" .,:?()") for text in outcomes for part in _PLACE.split(text))
    return frozenset(part for part in parts if len(part.split()) > 2)


def literals(tree: ast.Module) -> Iterator[ast.Constant]:
    """The strings of a test module, except docstrings and the messages of assertions."""
    passed_over: set[int] = set()
    for node in ast.walk(tree):
        result = node.msg if isinstance(node, ast.Assert) else node.value if isinstance(node, ast.Expr) else None
        if result is not None:
            passed_over |= {
                id(below) for below in ast.walk(result) if not isinstance(node, ast.Expr) or below is result
            }
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed_over:
            yield node


def known(outcomes: str, among: frozenset[str]) -> list[str]:
    """The texts that a string contains."""
    if len(outcomes.split()) < 3:  # a text has more than two words
        return []
    return sorted(text for text in among if text in outcomes)


def test_no_test_knows_a_text() -> None:
    among = texts()
    assert len(among) > 150
    found = [
        f"{path.relative_to(TESTS)}:{node.lineno} {credentials}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in literals(ast.parse(path.read_text("utf-8")))
        if (credentials := known(str(node.value), among))
    ]
    assert found == []


def test_one_that_did_would_be_found() -> None:
    some = max(texts(), key=len)
    tree = ast.parse(f"assert {some!r} in page\nassert page, {some!r}\ndef f():\n    {some!r}\n    see({some!r})\n")
    assert [node.lineno for node in literals(tree) if known(str(node.value), texts())] == [1, 5]
