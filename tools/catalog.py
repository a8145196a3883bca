"""Compile the gettext catalogs (each passgate.po into the passgate.mo beside it) and list missing and unused
translations.

Run it as `python tools/catalog.py`. The standard library reads .mo files but cannot write them; this does. Nothing here
is part of the package.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterator
from pathlib import Path

from jinja2.ext import extract_from_ast

from passgate import errors, theme
from passgate.settings import ThemeSettings

SRC = Path(__file__).parents[1] / "src" / "passgate"
LOCALES = SRC / "web" / "locales"


def read(path: Path) -> dict[str, str]:
    """msgid → msgstr; plural forms joined with NUL, as the .mo format requires. Raises ValueError for a duplicate
    msgid."""
    found: dict[str, str] = {}
    for block in path.read_text("utf-8").split("\n\n"):
        parts: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if not line.startswith('"'):
                name, _, line = line.partition(" ")  # noqa: PLW2901
            parts[name] = parts.get(name, "") + ast.literal_eval(line)
        if "msgid" not in parts:
            continue
        key = "\0".join(parts[name] for name in ("msgid", "msgid_plural") if name in parts)
        if key in found:
            raise ValueError(f"twice: {key}")
        found[key] = "\0".join(parts[name] for name in sorted(parts) if name.startswith("msgstr"))
    return found


def compiled(texts: dict[str, str]) -> bytes:
    """The .mo file (GNU gettext manual, §10.3), without the optional hash table."""
    pairs = sorted((key.encode(), text.encode()) for key, text in texts.items())
    count, head = len(pairs), 7 * 4
    at = head + count * 16
    tables: list[bytes] = []
    data = b""
    for column in (0, 1):
        table = b""
        for pair in pairs:
            table += struct.pack("<II", len(pair[column]), at + len(data))
            data += pair[column] + b"\0"
        tables.append(table)
    return struct.pack("<7I", 0x950412DE, 0, count, head, head + count * 8, 0, at) + b"".join(tables) + data


# -- texts that need a translation -----------------------------------------------------------------


def needed() -> set[str]:
    """Every text that is shown translated: in templates, in marked strings and in errors. Plural forms joined by
    NUL."""
    found = set(_of_errors())
    for path in SRC.rglob("*.py"):
        found |= set(_of_module(ast.parse(path.read_text("utf-8"))))
    environment = theme.environment(ThemeSettings(), "en")
    for path in theme.TEMPLATES.rglob("*.*"):
        for _, _, message in extract_from_ast(environment.parse(path.read_text("utf-8"))):
            parts = (message,) if isinstance(message, str) else message or ()
            found |= {"\0".join(part for part in parts if part is not None)} if parts else set()
    return found


def _of_errors(top: type[errors.PassgateError] = errors.PassgateError) -> Iterator[str]:
    yield from (top.title, top.message)
    for below in top.__subclasses__():
        yield from _of_errors(below)
    yield from errors.PASSWORD_REASONS.values()


def _of_module(tree: ast.Module) -> Iterator[str]:
    """N_("…"), ngettext("…", "…", n), and the texts that errors are raised with."""
    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if name == "N_" or (name in raised and name not in _NAMED):
            yield from texts[:1]
        elif name == "ngettext":
            yield "\0".join(texts[:2])


_NAMED = {"Unavailable", "PasswordRefused", "StepUpNeeded", "MethodNotAllowed"}
"""Errors whose first argument is a machine-readable word and not a text."""


def main() -> None:
    for path in LOCALES.rglob("*.po"):
        texts = read(path)
        path.with_suffix(".mo").write_bytes(compiled(texts))
        for text in sorted(needed() - set(texts)):
            print(f"{path.parts[-3]} does not say: {text!r}")
        for text in sorted(set(texts) - needed() - {""}):
            print(f"{path.parts[-3]} says what nobody shows: {text!r}")


if __name__ == "__main__":
    main()
