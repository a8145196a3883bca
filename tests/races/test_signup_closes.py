"""A sign-up is proved while its tenant is closed: once the answer to that is there, no account is created any more.

Not here: what the rule means by itself (`tests/web/test_contract_signup_rule`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2

from passgate.core import admin
from passgate.core.ctx import Ctx, Operator
from passgate.store.tables import person
from tests.kit import code_of, handle_of
from tests.processes import Deployment


async def test_proofs_around_the_closing(pair: Deployment) -> None:
    """Twenty codes in two processes, each in one of them."""
    name = f"t{next(pair.numbers)}"
    operator = replace(Ctx(pair.inside.services), principal=Operator())
    made = await admin.add_tenant(operator, name, name, "open")
    waiting = []
    for _ in range(20):
        email = pair.address()
        waiting.append((email, handle_of(await pair.a.signup(email, tenant=name)), await pair.a.code(email)))
    closed, late = asyncio.Event(), list[str]()

    async def prove(number: int) -> httpx2.Response:
        email, handle, code = waiting[number]
        was_closed = closed.is_set()
        answer = await pair.each(20)[number].prove(handle, "email_code", code)
        if was_closed and answer.status_code == 200:
            late.append(email)
        return answer

    early = [asyncio.create_task(prove(number)) for number in range(10)]
    await asyncio.sleep(0)
    await admin.change_policy(operator, made["id"], {"signup": "closed"})
    closed.set()
    answers = await asyncio.gather(*early, *(prove(number) for number in range(10, 20)))
    assert late == []
    assert [code_of(answer) for answer in answers[10:]] == ["signup_closed"] * 10
    assert {answer.status_code for answer in answers[:10]} <= {200, 403}
    proved = {email for (email, _, _), answer in zip(waiting, answers, strict=True) if answer.status_code == 200}
    assert {row["email"] for row in await pair.a.rows(person) if row["tenant_id"] == made["id"]} == proved
