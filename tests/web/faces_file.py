"""The file with the answers of every route (`faces.json`), and what has changed since it was written.
`python -m tests.web.faces_file` writes it anew.

Header fields that many answers share are written once, and so is an answer that all routes of a group share, such as
`page, visitor, GET`, `page, visitor` or `page`: the entry of the route counts, or of the first of its groups. `as bare`
is what the same route answers in the case `bare`. Not here: what is sent (`faces_requests`) and recorded (`faces`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TypedDict

from tests.web.faces import Answer, Names, Recorded, record

PATH = Path(__file__).with_name("faces.json")

_OWN = ("allow", "location", "set-cookie", "www-authenticate", "access-control-")
"""How the names begin of fields that are written with each answer. The others are those of a kind of answers."""
_EVERY = "every answer"


class File(TypedDict):
    """`routes`: those of each group. `fields`: the header fields of each kind of answers. `cases`: of each case, the
    answers by route or group."""

    routes: dict[str, list[str]]
    fields: dict[str, Answer]
    cases: dict[str, dict[str, str]]


Shared = tuple[tuple[str, str], ...]
"""The header fields of a kind of answers."""


def _shared(answer: Answer) -> Shared:
    return tuple((name, value) for name, value in answer.items() if name != "is" and not name.startswith(_OWN))


# -- writing ---------------------------------------------------------------------------------------


def folded(found: list[Recorded]) -> File:
    kinds = _kinds(found)
    every = dict(set.intersection(*(set(shared) for shared in kinds)))
    fields = {_EVERY: dict(sorted(every.items()))}
    for shared, kind in sorted(kinds.items(), key=lambda pair: pair[1]):
        fields[kind] = {name: value for name, value in shared if name not in every}
    at = {(one.case, one.names[0]): one.answer for one in found}
    cases: dict[str, list[tuple[Names, str]]] = {}
    for one in found:
        is_alike = one.like and one.answer == _seen_by(one.case, at[one.like, one.names[0]])
        text = f"as {one.like}" if is_alike else _text(one.answer, kinds)
        cases.setdefault(one.case, []).append((one.names, text))
    routes = {group: sorted({one.names[0] for one in found if one.names[1] == group}) for group in _groups(found)}
    return {"routes": routes, "fields": fields, "cases": {case: _fewest(texts) for case, texts in cases.items()}}


def _groups(found: list[Recorded]) -> list[str]:
    return sorted({one.names[1] for one in found})


def _seen_by(case: str, answer: Answer) -> Answer:
    """An answer to HEAD has no body to read a code in."""
    return {**answer, "is": answer["is"].split()[0]} if case == "HEAD" else answer


def _kinds(found: list[Recorded]) -> dict[Shared, str]:
    """A name for each set of header fields: the most frequent of a media type is called by it, any other also by its
    first route."""
    first = {_shared(one.answer): one.names[0] for one in reversed(found)}
    kinds: dict[Shared, str] = {}
    for shared, _ in Counter(_shared(one.answer) for one in found).most_common():
        kind = dict(shared).get("content-type", "no content").partition(";")[0].rpartition("/")[2]
        kinds[shared] = kind if kind not in kinds.values() else f"{kind} of {first[shared]}"
    assert len(set(kinds.values())) == len(kinds)
    return kinds


def _text(answer: Answer, kinds: dict[Shared, str]) -> str:
    own = [f"{name}: {value}" for name, value in answer.items() if name.startswith(_OWN)]
    return " | ".join([answer["is"], kinds[_shared(answer)], *own])


def _fewest(answers: list[tuple[Names, str]]) -> dict[str, str]:
    """From the last of the names to the first: an entry where the most frequent answer is not that of the entry
    above."""
    entries: dict[str, str] = {}
    for level in range(-1, -5, -1):
        groups: dict[Names, Counter[str]] = {}
        for names, text in answers:
            if len(names) >= -level:
                groups.setdefault(names[level:], Counter())[text] += 1
        for names, texts in groups.items():
            [(text, _)] = texts.most_common(1)
            name = _entry(entries, names)
            if name is None or entries[name] != text:
                entries[names[0]] = text
    used = {_entry(entries, names) for names, _ in answers}
    return {name: text for name, text in entries.items() if name in used}


def _entry(entries: Container[str], names: Names) -> str | None:
    return next((name for name in names if name in entries), None)


# -- comparing -------------------------------------------------------------------------------------


def differences(found: list[Recorded], file: File) -> Iterator[str]:
    """Routes that are new or gone, and each field of each answer that is not as the file says."""
    known = {key: _names(key, group) for group, keys in file["routes"].items() for key in keys}
    present = {one.names[0] for one in found}
    yield from (f"{key}: new" for key in sorted(present - known.keys()))
    yield from (f"{key}: gone" for key in sorted(known.keys() - present))
    for one in (one for one in found if one.names[0] in known):
        before = _before(file, one.case, known[one.names[0]])
        for name in sorted({*before, *one.answer}):
            if before.get(name) != one.answer.get(name):
                yield f"{one.names[0]}, {one.case}: {name}: {before.get(name)} → {one.answer.get(name)}"


def _names(key: str, group: str) -> Names:
    levels = group.split(", ")
    return key, *(", ".join(levels[:count]) for count in range(len(levels), 0, -1))


def _before(file: File, case: str, names: Names) -> Answer:
    """The answer that the file has; empty without one."""
    entries = file["cases"].get(case, {})
    name = _entry(entries, names)
    if name is None:
        return {}
    if entries[name].startswith("as "):
        return _seen_by(case, _before(file, entries[name].removeprefix("as "), names))
    what, kind, *own = entries[name].split(" | ")
    return {"is": what, **file["fields"][_EVERY], **file["fields"][kind], **dict(one.split(": ", 1) for one in own)}


def main() -> None:
    PATH.write_text(json.dumps(folded(asyncio.run(record())), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
