"""Every route answers as `faces.json` says: right requests, and those that the edge and the guards refuse.

Not here: the requests (`faces_requests`), and why an answer is as it is.
"""

from __future__ import annotations

import json
from dataclasses import replace

from tests.web.faces import Recorded, record
from tests.web.faces_file import PATH, File, differences, folded


async def test_every_answer_is_as_recorded() -> None:
    found = await record()
    assert len(found) > 2000
    recorded: File = json.loads(PATH.read_text())
    changed = list(differences(found, recorded))
    assert not changed, "\n".join(["if it is wanted, run `python -m tests.web.faces_file`:", *changed])


# -- differences are named -------------------------------------------------------------------------


def answered(key: str, case: str = "bare", like: str = "", **answer: str) -> Recorded:
    return Recorded(case, (key, "page, visitor, GET", "page, visitor", "page"), like, {"is": "200", **answer})


FOUND = [
    answered("GET /a", vary="Origin"),
    answered("GET /b", vary="Origin"),
    answered("GET /c", vary="Origin", location="/a"),
    answered("GET /a", "HEAD", "bare", vary="Origin"),
]


def test_what_many_answers_share_is_written_once() -> None:
    assert folded(FOUND) == {
        "routes": {"page, visitor, GET": ["GET /a", "GET /b", "GET /c"]},
        "fields": {"every answer": {"vary": "Origin"}, "no content": {}},
        "cases": {
            "bare": {"page": "200 | no content", "GET /c": "200 | no content | location: /a"},
            "HEAD": {"page": "as bare"},
        },
    }
    assert list(differences(FOUND, folded(FOUND))) == []


def test_what_has_changed_is_named() -> None:
    changed = [*FOUND[:1], replace(FOUND[1], answer={"is": "404", "vary": "Origin"}), *FOUND[3:], answered("GET /d")]
    assert list(differences(changed, folded(FOUND))) == ["GET /d: new", "GET /c: gone", "GET /b, bare: is: 200 → 404"]


def test_a_route_of_another_kind_is_compared_with_what_it_was() -> None:
    other = answered("GET /d", vary="none")
    found = [*FOUND, replace(other, names=("GET /d", "service, visitor, GET", "service, visitor", "service"))]
    moved = replace(FOUND[0], names=("GET /a", *found[-1].names[1:]), answer=other.answer)
    assert list(differences([moved, *found[1:]], folded(found))) == ["GET /a, bare: vary: Origin → none"]
