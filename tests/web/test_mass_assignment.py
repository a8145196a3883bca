"""Members that a body does not have: every field of every model, in every body, at the top and nested in every object.
They are refused, or documented as free (a profile), and nothing changes.

Not here: members of the wrong shape (`test_hostile_input`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from passgate.core.profile import checked
from passgate.store.tables import metadata
from tests import catalogue
from tests.architecture.population import Population
from tests.catalogue.settled import lite_population, settled
from tests.kit import code_of

__all__ = ["lite_population", "settled"]

FREE = {"profile", "answer"}
"""Objects whose members are their own: a profile without a model, and what a browser answers with."""
VALUE = "00000000-0000-7000-8000-000000000001"
MESSAGES = catalogue.messages()


def names() -> list[str]:
    """Every member of every model of the document, and what rows have besides."""
    found: set[str] = set()
    for schema in catalogue._document()["components"]["schemas"].values():
        found |= schema.get("properties", {}).keys()
    for table in ("person", "session", "carrier", "credential", "tenant", "sign_in", "role_grant"):
        found |= {*metadata.tables[table].columns.keys()}
    return sorted(found)


def places(body: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where a body has an object that is not free."""
    if isinstance(body, dict) and not (path and path[-1] in FREE):
        yield path
        for name, value in body.items():
            yield from places(value, (*path, name))


@pytest.mark.parametrize(("endpoint", "right"), MESSAGES, ids=[f"{key} {right.name}" for key, right in MESSAGES])
async def test_no_body_takes_more_than_its_own(lite_population: Population, endpoint: str, right: Any) -> None:
    population, method = lite_population, endpoint.partition(" ")[0]
    ask = await right.asks(population)
    known = catalogue.schema_of(endpoint)["properties"].keys()
    before = await population.the.everything(but=("budget",))
    tried = 0
    for path in places(ask.body):
        for name in names():
            changed = copy.deepcopy(ask.body)
            inner: Any = changed
            for step in path:
                inner = inner[step]
            if name in inner or (not path and name in known):
                continue
            inner[name] = VALUE
            answer = await population.the.http.request(
                method, ask.path, json=changed, headers={"authorization": f"Bearer {ask.secret}"} if ask.secret else {}
            )
            assert (answer.status_code, code_of(answer)) == (422, "invalid"), (path, name)
            tried += 1
    assert tried >= len(names()) - len(known) - 1
    assert await population.the.everything(but=("budget",)) == before


def test_a_profile_with_a_model_has_its_fields_alone() -> None:
    """Without one its members are the host's own, and nothing of ours is read from it."""
    assert checked(None, {"roles": ["owner"], "id": VALUE}) == {"roles": ["owner"], "id": VALUE}
