"""Who may ask how a host's job goes: whoever started it, and people of its tenant who may read users. All others get
one answer.

Not here: running jobs (`tests/library/test_jobs`).
"""

from __future__ import annotations

import pytest

from passgate.core import host_jobs
from passgate.core.ctx import Person as Actor
from passgate.core.host_jobs import HostJob
from passgate.core.permissions import ROLES
from passgate.core.sessions import end
from passgate.errors import CredentialMissing, NotFound, SessionEnded
from passgate.store.tables import audit_event, job, role_grant, session
from tests import operating
from tests.catalogue.asks import API, NEVER
from tests.core.behind import Folk
from tests.kit import The, bearer, code_of

REPORT = HostJob("tests.report", print, 5, for_strangers=False)
OPEN = HostJob("tests.open", print, 5, for_strangers=True)


async def may_see(folk: Folk, who: Actor, job_id: str) -> bool:
    try:
        return bool((await host_jobs.show(folk.acting(who), job_id))["id"] == job_id)
    except NotFound as refused:
        assert str(refused) == str(NotFound()), "one text"
        return False


async def test_the_roles(lite: The) -> None:
    folk = Folk(lite)
    await operating.add_tenant(folk.ctx, "other", None, "open")
    anna = await folk.create()
    mine = await host_jobs.start(folk.acting(anna), REPORT, {})
    of_stranger = await host_jobs.start(folk.ctx, OPEN, {})
    assert await may_see(folk, anna, mine)
    assert not await may_see(folk, anna, of_stranger), "a stranger's belongs to nobody"
    assert not await may_see(folk, anna, NEVER)
    seen = {role for role in ROLES if await may_see(folk, await folk.create(None, role), mine)}
    assert seen == {"owner", "admin", "read_only"} == {role for role in ROLES if "users:read" in ROLES[role]}
    for role in ROLES:
        foreign = await folk.create(None, role, at="other")
        assert not await may_see(folk, foreign, mine)
        assert not await may_see(folk, foreign, of_stranger)
    admin = await folk.create(None, "admin")
    assert await may_see(folk, admin, of_stranger)
    async with folk.ctx.write() as db:
        await db.change(role_grant.delete().where(role_grant.c.person_id == admin.person_id))
    assert not await may_see(folk, admin, mine), "the roles of now count"
    assert "access:refused" not in await lite.events()


async def test_a_stranger_has_none_and_an_operator_sees_those_of_a_tenant(lite: The) -> None:
    folk = Folk(lite)
    with pytest.raises(CredentialMissing):
        await host_jobs.show(folk.ctx, NEVER)
    with pytest.raises(NotFound):
        await host_jobs.show(operating.operator(folk.ctx), NEVER)
    with pytest.raises(CredentialMissing):
        await host_jobs.start(folk.ctx, REPORT, {})
    await host_jobs.start(operating.operator(folk.ctx), REPORT, {})
    [row] = await lite.rows(job)
    assert row["person_id"] is None
    assert (await host_jobs.show(operating.operator(folk.ctx), row["id"]))["state"] == "PENDING"


async def test_a_session_that_ended_meanwhile_starts_nothing(the: The) -> None:
    folk = Folk(the)
    anna = await folk.create()
    async with folk.ctx.write() as db:
        await end(folk.acting(anna), db, anna.session_id)
    with pytest.raises(SessionEnded):
        await host_jobs.start(folk.acting(anna), REPORT, {})
    assert await the.rows(job) == []


async def test_asking_over_http(lite: The) -> None:
    """The same answer for what is another tenant's, another person's, or not there; and no trace."""
    folk = Folk(lite)
    await operating.add_tenant(folk.ctx, "other", None, "open")
    anna, ben = await folk.create(), await folk.create()
    otto = await folk.create(None, "owner", at="other")
    job_id = await host_jobs.start(folk.acting(anna), REPORT, {})
    tokens = [(await folk.opened(who.tenant_id, who.person_id))[1] for who in (anna, ben, otto)]
    before = await lite.rows(session), len(await lite.rows(audit_event))
    lite.clock.forward(minutes=5)
    answers = [await lite.http.get(f"{API}/jobs/{job_id}", headers=bearer(token)) for token in tokens]
    answers.append(await lite.http.get(f"{API}/jobs/{NEVER}", headers=bearer(tokens[0])))
    assert [answer.status_code for answer in answers] == [200, 404, 404, 404]
    problems = [{**answer.json(), "request_id": ""} for answer in answers[1:]]
    assert problems[0] == problems[1] == problems[2]
    assert code_of(answers[1]) == NotFound.code
    assert (await lite.rows(session), len(await lite.rows(audit_event))) == before, "asking extends no session"
    assert (await lite.http.get(f"{API}/jobs/x", headers=bearer(tokens[0]))).status_code == 422
    assert (await lite.http.get(f"{API}/jobs/{job_id}")).status_code == 401
