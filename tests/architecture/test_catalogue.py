"""The catalogue knows every endpoint, page and typed factor of the application, and each gap is reported once.

What the entries contain is used by the matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import Depends

from passgate.app import Passgate
from passgate.web.guards import stranger
from passgate.web.routes import Endpoint, Page
from tests import catalogue
from tests.architecture.population import Ask, Population
from tests.browser.person import Person
from tests.catalogue import factors
from tests.catalogue.entry import Entry
from tests.catalogue.factors import Typed, factor_entries
from tests.catalogue.gaps import gaps
from tests.catalogue.own import Own
from tests.core.behind import Folk
from tests.kit import settings_for
from tests.library.codeword import CODEWORD


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Passgate]:
    made = Passgate(settings_for(tmp_path))
    yield made
    made.services.hasher.close()


def test_every_endpoint_is_in_the_catalogue(gate: Passgate) -> None:
    assert gaps(gate, catalogue.entries(gate)) == []


# -- gaps are found --------------------------------------------------------------------------------


def named(gate: Passgate, known: dict[str, Entry], *more: Typed) -> list[str]:
    """The gaps that the test itself made; gaps of the real catalogue fail the test above."""
    there = gaps(catalogue.application(), catalogue.catalogue())
    return [gap for gap in gaps(gate, known, *more) if gap not in there]


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/new"), ("GET", "/account/new")])
def test_a_new_endpoint_is_named(gate: Passgate, method: str, path: str) -> None:
    async def new() -> None:
        """An endpoint without an entry."""

    kind = Endpoint if method == "POST" else Page
    gate.api.router.routes.append(kind(path, new, methods=[method], dependencies=[Depends(stranger)]))
    assert named(gate, catalogue.entries(gate)) == [f"{method} {path}: no entry"]


@pytest.mark.parametrize(
    ("key", "changes", "lacking"),
    [
        ("PATCH /api/v1/me", {"rights": ()}, "no right request"),
        ("PATCH /api/v1/me", {"writes": ()}, "no action that writes"),
        ("PATCH /api/v1/me", {"who": "stranger"}, "its guard is session, not stranger"),
        ("DELETE /api/v1/me", {"fresh": None}, "no action that wants a fresh proof"),
        ("GET /account", {"stops": ()}, "no way for a browser to get there"),
        ("GET /account", {"leads_on": True}, "it leads on and has stops"),
    ],
)
def test_what_an_entry_lacks_is_named(gate: Passgate, key: str, changes: dict[str, object], lacking: str) -> None:
    known = catalogue.entries(gate)
    known[key] = replace(known[key], **changes)  # type: ignore[arg-type]
    assert named(gate, known) == [f"{key}: {lacking}"]


def test_an_entry_of_nothing_is_named(gate: Passgate) -> None:
    known = catalogue.entries(gate)
    known["GET /gone"] = known["GET /healthz"]
    assert named(gate, known) == ["GET /gone: no such endpoint"]


# -- factors ---------------------------------------------------------------------------------------


async def _asks(_population: Population) -> Ask:
    return Ask("/api/v1/signin/prove", {"factor": "codeword", "answer": "umbrella"})


async def _asked(_folk: Folk) -> factors.Asked:
    raise LookupError


async def _way(anna: Person) -> None:
    await anna.open("/signin/codeword")


KNOWN = Typed("codeword", _asks, _asked, _way, "parasol", own=Own("umbrella", _asks, _asks))


def test_a_factor_brings_its_row_to_every_matrix() -> None:
    """An entry that the endpoint already had keeps its requests."""
    made = factor_entries(KNOWN, CODEWORD)
    assert {key for key in made if "codeword" not in key} == {"POST /api/v1/signin/prove"}
    proving = catalogue.catalogue()["POST /api/v1/signin/prove"] + made["POST /api/v1/signin/prove"]
    assert {right.name for right in proving.rights} >= {"gives_passkey", "gives_app", "_asks"}
    assert [right.name for right in made["POST /signin/codeword"].rights] == ["page_codeword"]
    assert [one.name for one in made["POST /api/v1/signin/prove"].writes] == ["codeword_right", "codeword_wrong"]
    stops = [stop.where for stop in made["GET /signin/codeword"].stops]
    assert stops == ["signin-codeword", "signin-codeword:proof_refused"]
    assert all(right.row for entry in made.values() for right in entry.rights)


def test_a_factor_whose_answer_nobody_knows_is_named(tmp_path: Path) -> None:
    gate = Passgate(settings_for(tmp_path), factors=[CODEWORD])
    found = gaps(gate, catalogue.entries(gate))
    assert "factor codeword: nobody knows an answer" in found
    assert "POST /signin/codeword: no entry" in found
    assert named(gate, catalogue.entries(gate, KNOWN), KNOWN) == []
    gate.services.hasher.close()
