"""What an application knows of an event, a policy field and a factor, printed as one JSON document by `python -m
tests.architecture.asked EVENT FIELD FACTOR`. It runs in a copy of the project that has one more of each.

What the document must contain is asserted in test_places.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import passgate
from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.core.factors import FACTORS
from passgate.core.observers import Happened
from passgate.core.rules import Rules
from passgate.store.tables import tenant
from passgate.web.docs import described
from passgate.web.pages.event_labels import label_of
from tests import catalogue, operating
from tests.architecture import reference
from tests.kit import running, settings_for


def of_event(name: str) -> dict[str, Any]:
    """Its row in the reference and its label. `on` raises if a host could not observe the event."""

    def result(happened: Happened) -> None: ...

    catalogue.application().on(name, result, name="asked")
    return {"rows": rows("events.md", f"| `{name}` |"), "label": label_of(name, FACTORS)}


async def of_field(name: str, good: object, *bad: object) -> dict[str, Any]:
    """Its row in the reference, its description in the OpenAPI document, the responses to changes and the stored
    value."""
    schemas = described(catalogue.application().api)["components"]["schemas"]
    described_by = [schemas[schema]["properties"][name]["description"] for schema in ("Policy", "PolicyChange")]
    with tempfile.TemporaryDirectory() as folder:
        async with running(settings_for(Path(folder))) as the:
            anna = await the.person()
            await operating.give_role(Ctx(the.gate.services), anna.email, "owner", tenants.MAIN)
            mine = (await the.session(anna.token)).json()["tenant"]["id"]
            path = f"/api/v1/tenants/{mine}/policy"
            answers = [await the.http.patch(path, json={name: one}, headers=anna.auth) for one in (good, *bad)]
            [row] = await the.rows(tenant)
    return {
        "rows": rows("policy.md", f"| `{name}` |"),
        "described_by": described_by,
        "taken": answers[0].json()[name],
        "refused": [answer.json()["fields"] for answer in answers[1:]],
        "kept": json.loads(row["policy"]),
    }


def of_factor(name: str) -> dict[str, Any]:
    """Its rows in the references, the labels of its events, and the rules that may name it."""
    factor = FACTORS[name]
    rules = Rules().changed({"first": [name], "second_among": [name]}, FACTORS)
    return {
        "events": rows("events.md", name),
        "endpoints": rows("endpoints.md", f"/{factor.path}"),
        "fields": rows("policy.md", f"`{name}`"),
        "labels": [label_of(event, FACTORS) for event in (factor.proved_event, factor.refused_event)],
        "rules": [*rules.first, *rules.second_among],
    }


def rows(page: str, word: str) -> list[str]:
    return [line for line in (reference.PAGES / page).read_text().splitlines() if word in line]


def main(event: str, field: str, factor: str) -> None:
    """Write the references first, as `make reference` does, then print the document."""
    reference.main()
    result = {"event": of_event(event), "field": asyncio.run(of_field(field, 5, 10, "5")), "factor": of_factor(factor)}
    sys.stdout.write(json.dumps({"package": str(Path(passgate.__file__).parent), **result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
