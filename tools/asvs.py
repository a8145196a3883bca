"""Writes docs/security/asvs.md from docs/security/asvs.csv: each requirement with its state and what proves it.

It decides nothing: state and proof are written into the list by hand, and a test resolves every name in it.

    python tools/asvs.py    write the page anew
"""

from __future__ import annotations

import csv
from collections import Counter
from itertools import groupby
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs/security"
LIST, PAGE = FOLDER / "asvs.csv", FOLDER / "asvs.md"

STATES = {
    "proved": ("proved by", "a test asserts it of everything that exists today"),
    "design": ("by design", "no test, but code that can be pointed at"),
    "later": ("later", "comes, or is completed, with the named part; what stands already is named behind it"),
    "document": ("operator/document", "a page says it, or the operator does it"),
    "machine": ("not by machine", "no test can tell, for the reason given"),
}

HEAD = """# OWASP ASVS 5.0, requirement by requirement

Written by `tools/asvs.py` from [asvs.csv](asvs.csv); change the list, never this page. A test resolves every
test, name and page given as a proof.

Identifiers, levels and chapters are those of the
[OWASP Application Security Verification Standard](https://owasp.org/www-project-application-security-verification-standard/)
5.0, © OWASP Foundation, [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/). The summaries are our own
words and short; the standard's text decides. This is a self-assessment of the requirements that were chosen for a
sign-in system, not a certificate. A requirement that is only half met counts as *later*.
"""


def rows() -> list[dict[str, str]]:
    """The list without its first lines, which say where it comes from."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def page() -> str:
    found = rows()
    counts = Counter(row["state"] for row in found)
    parts = [HEAD, "| State | Requirements | Means |\n|---|---:|---|"]
    parts += [f"| {name} | {counts[state]} | {means} |" for state, (name, means) in STATES.items()]
    parts.append(f"| all | {len(found)} | |")
    for chapter, group in groupby(found, key=lambda row: row["chapter"]):
        parts.append(f"\n## {chapter}\n\n| Requirement | Level | In our words | State | Proof |\n|---|---|---|---|---|")
        parts += [
            f"| {row['id']} | {row['level']} | {row['summary']} | {STATES[row['state']][0]} | {row['proof']} |"
            for row in group
        ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
