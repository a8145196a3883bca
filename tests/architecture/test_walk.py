"""The path of a TOTP answer through the source: the functions that the decision record lists, in that order and in few
modules.

What the answer does is tested elsewhere; here only how many places a reader has to visit.
"""

from __future__ import annotations

import re
import sys
from types import FrameType
from typing import Any

from passgate.core.factors import totp
from tests.architecture.reference import ROOT, SRC
from tests.core.behind import Folk
from tests.kit import PASSWORD, The, handle_of

RECORD = ROOT / "docs/decisions/0048-one-way-to-prove.md"
MOST_PLACES, MOST_RETURNS = 9, 2


def recorded() -> list[tuple[str, str]]:
    """The modules and functions of the record's numbered list."""
    return re.findall(r"^\d+\. `([\w/.]+\.py):(\w+)`", RECORD.read_text(), re.MULTILINE)


def test_the_walk_is_short() -> None:
    places = [path for path, _ in recorded()]
    assert 0 < len(places) <= MOST_PLACES
    visits = [path for at, path in enumerate(places) if at == 0 or places[at - 1] != path]
    assert len(visits) - len(set(visits)) <= MOST_RETURNS


async def test_it_is_the_walk_that_is_gone(lite: The) -> None:
    folk = Folk(lite)
    actor = await folk.create()
    await folk.add_app(actor)
    handle = handle_of(await lite.start(await folk.email(actor)))
    assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200
    lite.clock.forward(totp.PERIOD)
    code = await folk.app_code(actor)
    asked = recorded()
    seen: list[tuple[str, str]] = []

    def watch(frame: FrameType, event: str, _arg: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(SRC)):
            place = (path.removeprefix(f"{SRC}/"), frame.f_code.co_name)
            if place in asked and place not in seen:
                seen.append(place)

    sys.setprofile(watch)
    try:
        answer = await lite.prove(handle, "totp", code)
    finally:
        sys.setprofile(None)
    assert answer.status_code == 200, answer.text
    assert seen == asked
