"""The catalogue of all endpoints, pages and actions: the right request of each endpoint, its guard, what the request
yields, the actions behind it, and how a browser gets to the page. Every matrix is built from it.

A new endpoint or page is one entry in `api` or `pages`, a new typed factor one value in `factors`. No test lives here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from passgate.app import Passgate
from passgate.web.docs import described
from tests.catalogue.actions_operator import BEHIND
from tests.catalogue.api import ENDPOINTS
from tests.catalogue.entry import Entry, Fresh, Right, Stop, Writes
from tests.catalogue.factors import TYPED, Typed, factor_entries, typed_factors
from tests.catalogue.pages import PAGES
from tests.kit import OWN_FACTORS, settings_for

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def entries(gate: Passgate, *more: Typed) -> dict[str, Entry]:
    """The entry of every endpoint of an application, by `POST /signin` and so on. `more`: a host's own typed
    factors."""
    made = ENDPOINTS | PAGES
    typed = typed_factors(gate)
    for factor in (*TYPED, *more):
        if factor.name in typed:
            for key, entry in factor_entries(factor, typed[factor.name]).items():
                made[key] = made[key] + entry if key in made else entry
    return made


@cache
def application() -> Passgate:
    """The application whose catalogue parametrizes the tests; made at collection time and never started."""
    with tempfile.TemporaryDirectory() as folder:
        gate = Passgate(settings_for(Path(folder)), factors=OWN_FACTORS)
        gate.services.hasher.close()
    return gate


@cache
def catalogue() -> dict[str, Entry]:
    return entries(application())


@cache
def _document() -> dict[str, Any]:
    return described(application().api)


@cache
def operations() -> dict[str, dict[str, Any]]:
    """The operations of the OpenAPI document, by the catalogue's keys."""
    paths = _document()["paths"]
    return {f"{method.upper()} {path}": result for path, methods in paths.items() for method, result in methods.items()}


def schema_of(key: str) -> dict[str, Any]:
    """The schema of an endpoint's request body."""
    reference = operations()[key]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    found: dict[str, Any] = _document()["components"]["schemas"][reference.rpartition("/")[2]]
    return found


# -- what the matrices are built from --------------------------------------------------------------


def yielding() -> list[tuple[str, Right]]:
    """Every right request that yields something, with its endpoint."""
    return [(key, right) for key, entry in catalogue().items() for right in entry.rights if right.row]


def asked() -> dict[str, Right]:
    """One right request for each endpoint of the OpenAPI document."""
    return {key: catalogue()[key].rights[0] for key in operations() if key in catalogue() and catalogue()[key].rights}


def messages() -> list[tuple[str, Right]]:
    """One right request for each different request body of the API."""
    with_body = [key for key, result in operations().items() if "requestBody" in result and key in catalogue()]
    return [(key, right) for key in with_body for right in catalogue()[key].rights if right.optional is not None]


def writing() -> dict[str, Writes]:
    """Every action that writes, by name, including those that no endpoint calls."""
    made: dict[str, Writes] = {}
    for one in (*(one for entry in catalogue().values() for one in entry.writes), *BEHIND):
        assert made.setdefault(one.name, one) == one, f"two actions are called {one.name}"
    return made


def fresh() -> dict[str, Fresh]:
    """Every action that needs a fresh proof, by endpoint."""
    return {key: entry.fresh for key, entry in catalogue().items() if entry.fresh}


def stops() -> Iterator[Stop]:
    """Every page in every state."""
    return (stop for entry in catalogue().values() for stop in entry.stops)
