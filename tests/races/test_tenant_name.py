"""A tenant's display name that is changed in one process: the others have it at once, and the trail of many changes at
the same moment is one chain.

Not here: who may change it, and what is refused (`tests/web/test_contract_tenant`).
"""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import select

from passgate.core import admin
from passgate.core.ctx import Operator
from passgate.store.tables import audit_event, tenant
from tests.kit import bearer
from tests.processes import Deployment, Outcomes, together
from tests.races.test_people import member, operator

OWN = "/api/v1/tenants/own"


async def test_another_process_has_it_at_once(pair: Deployment) -> None:
    name = f"t{next(pair.numbers)}"
    made = await admin.add_tenant(operator(pair), name, "Old Heron", "open")
    _, boss = await member(pair, "owner", at=name)
    for turn, face in enumerate(pair.each(4)):
        wanted = f"Heron {turn}"
        changed = await face.http.patch(OWN, json={"display_name": wanted}, headers=bearer(boss.token))
        assert changed.status_code == 200, changed.text
        for one in pair.faces:
            assert (await one.session(boss.token)).json()["tenant"]["display_name"] == wanted
            email = pair.address()
            await one.signup(email, tenant=name)
            [mail] = await one.mails_of(email, "signup_code")
            assert wanted in mail["subject"]
    here = replace(operator(pair), principal=Operator(name))
    assert (await admin.readable(here, made["id"])).display_name == "Heron 3"


async def test_many_changes_are_one_chain(pair: Deployment) -> None:
    """Each event begins with the name that the one before has ended with, and the last is the name that stays."""
    name = f"t{next(pair.numbers)}"
    made = await admin.add_tenant(operator(pair), name, "first", "open")
    owners = [(await member(pair, "owner", at=name))[1] for _ in range(2)]
    wanted = [f"name {number % 10}" for number in range(30)]
    answers = await together(
        *(
            face.http.patch(OWN, json={"display_name": text}, headers=bearer(owners[number % 2].token))
            for number, (face, text) in enumerate(zip(pair.each(30), wanted, strict=True))
        )
    )
    assert Outcomes.of(answers) == {"200": 30}
    assert [answer.json()["display_name"] for answer in answers] == wanted
    async with pair.inside.services.store.read() as db:
        is_change = audit_event.c.tenant_id == made["id"], audit_event.c.event == "tenant:changed"
        rows = await db.rows(select(audit_event).where(*is_change))
        stored = await db.value(select(tenant.c.display_name).where(tenant.c.id == made["id"]))
    steps = [json.loads(row["facts"])["change"] for row in rows]
    edges = [(step["from"]["display_name"], step["to"]["display_name"]) for step in steps]
    assert len(edges) >= 10
    assert all(before != after for before, after in edges)
    counted = dict.fromkeys(["first", *wanted], 0)
    for before, after in edges:
        counted[before] -= 1
        counted[after] += 1
    ends = {"first": -1, stored: 1}
    assert counted == {one: ends.get(one, 0) for one in counted}, "left as often as it was reached, but for both ends"
