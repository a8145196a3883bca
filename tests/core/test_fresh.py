"""What counts as a fresh proof: one answer for endpoints, pages and a host's guards. Which actions want one is in
`test_enrolment`; here is which sessions have one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx2
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from passgate import testing
from passgate.core import account, policy, signin, starts
from passgate.core.ctx import Person as Actor
from passgate.core.factor import BY_LINK, LINK, NEW, REMEMBERED, proved_of
from passgate.core.factors import FACTORS
from passgate.core.rules import AAL1, AAL2, Rules
from passgate.errors import StepUpNeeded
from passgate.world import SECOND
from tests import operating
from tests.core.behind import Folk
from tests.core.having import policy as rules
from tests.kit import PASSWORD, The
from tests.web.browsing import Page

Arrange = Callable[[Folk], Awaitable[tuple[str, bool]]]
"""Makes a session; returns its token and whether it is fresh."""

OURS = FACTORS.proofs


@given(
    st.dictionaries(
        st.sampled_from([*OURS, "totp+new", "password+new", "email_code+link", REMEMBERED]), st.integers(0, 900)
    ),
    st.sampled_from([AAL1, AAL2]),
    st.integers(1, 600),
)
def test_only_recent_proofs_count_and_no_link(ages: dict[str, int], level: str, seconds: int) -> None:
    now = 10**15
    proofs = {proof: now - age * SECOND for proof, age in ages.items()}
    counted = policy.recent(proofs, now, seconds)
    assert all(ages[proof] <= seconds for proof in counted)
    assert not set(counted) & {LINK, REMEMBERED} and not any(proof.endswith(BY_LINK) for proof in counted)
    is_fresh = policy.is_fresh(FACTORS, proofs, level, now, seconds)
    assert is_fresh is (bool(counted) and policy.meets(FACTORS, counted, level))


# -- sessions that lack something ------------------------------------------------------------------


async def of(folk: Folk, handle: str) -> str:
    return (await signin.finish(folk.ctx, handle, carrier="bearer")).opened.token


async def by_password(folk: Folk) -> tuple[str, bool]:
    begun = await starts.sign_in(folk.ctx, await folk.email(await folk.create()), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return await of(folk, begun.handle), True


async def by_password_long_ago(folk: Folk) -> tuple[str, bool]:
    token, _ = await by_password(folk)
    folk.the.clock.forward(301)
    return token, False


async def by_operators_link(folk: Folk) -> tuple[str, bool]:
    email = await folk.email(await folk.create())
    link = await operating.signin_link(folk.ctx, email, "main")
    begun = await starts.by_link(folk.ctx, link.url.rpartition("/")[2])
    return await of(folk, begun.handle), False


async def by_mailed_link(folk: Folk) -> tuple[str, bool]:
    await rules(folk.the, first=["email_code", "password"])
    email = await folk.email(await folk.create())
    begun = await starts.sign_in(folk.ctx, email, None)
    await signin.challenge(folk.ctx, begun.handle, "email_code")
    link = str((await folk.newest()).link)
    begun = await starts.by_link(folk.ctx, link.rpartition("/")[2])
    return await of(folk, begun.handle), False


async def by_mailed_code(folk: Folk) -> tuple[str, bool]:
    await rules(folk.the, first=["email_code", "password"])
    begun = await starts.sign_in(folk.ctx, await folk.email(await folk.create()), None)
    await signin.challenge(folk.ctx, begun.handle, "email_code")
    await signin.prove(folk.ctx, begun.handle, "email_code", await folk.code())
    return await of(folk, begun.handle), True


async def with_app_unproved(folk: Folk) -> tuple[str, bool]:
    """A session by password, whose person has set up an app since in another one."""
    actor = await folk.create()
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    token = await of(folk, begun.handle)
    await folk.add_app(actor)
    return token, False


async def by_remembered_browser(folk: Folk) -> tuple[str, bool]:
    actor = await folk.create()
    await folk.add_app(actor)
    email = await folk.email(actor)
    begun = await starts.sign_in(folk.ctx, email, None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    await signin.prove(folk.ctx, begun.handle, "totp", await folk.app_code(actor))
    browser = (await signin.finish(folk.ctx, begun.handle, carrier="cookie", remember=True)).browser
    begun = await starts.sign_in(folk.ctx, email, None, browser=browser)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    return await of(folk, begun.handle), False


SESSIONS: tuple[Arrange, ...] = (
    by_password,
    by_password_long_ago,
    by_operators_link,
    by_mailed_link,
    by_mailed_code,
    with_app_unproved,
    by_remembered_browser,
)


@pytest.mark.parametrize("arrange", SESSIONS, ids=lambda one: one.__name__)
async def test_endpoint_page_and_guard_give_one_answer(arrange: Arrange) -> None:
    gate, app = testing.gate(), FastAPI()
    gate.mount(app)
    app.get("/vault", dependencies=[Depends(gate.fresh(minutes=5))])(lambda: {})
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 5000))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as http,
    ):
        folk = Folk(The(gate, gate.clock, http))
        token, is_fresh = await arrange(folk)
        mine = {"Authorization": f"Bearer {token}"}
        address = {"email": "elsewhere@example.com"}
        asked = await http.post("/auth/api/v1/me/address", json=address, headers=mine)
        vault = await http.get("/vault", headers=mine)
        page = await http.get("/auth/account/password", headers={"cookie": f"passgate_session={token}"})
        found = [
            asked.status_code == 202,
            vault.status_code == 200,
            "/auth/account/confirm" not in Page(page.text).actions,
        ]
        assert found == [is_fresh] * 3, (asked.text, vault.text)
        if not is_fresh:
            assert asked.json()["code"] == vault.json()["code"] == "insufficient_user_authentication"
            assert asked.headers["www-authenticate"] == vault.headers["www-authenticate"]


@pytest.fixture
async def folk(lite: The) -> Folk:
    return Folk(lite)


async def test_an_address_confirmed_with_a_password_counts_for_more(folk: Folk) -> None:
    """The step-up that confirms the address asks for the code as well, and then the mailbox alone can't undo."""
    actor = await folk.create()
    acting = folk.acting(actor)
    assert await account.can_mail_undo(acting)
    begun = await starts.step_up(acting, None, address=True)
    assert begun.need.listed() == [["password"]]
    asked = await signin.prove(acting, begun.handle, "password", PASSWORD)
    assert isinstance(asked, policy.Need)
    assert asked.listed() == [["email_code"]]
    await signin.challenge(acting, begun.handle, "email_code")
    assert isinstance(await signin.prove(acting, begun.handle, "email_code", await folk.code()), policy.Enough)
    opened = (await signin.finish(acting, begun.handle, carrier="bearer")).opened
    now = await folk.actor_of(opened.token)
    assert now.session_id == actor.session_id
    assert account.proved_lately(folk.acting(now), Rules()) == {"password", "email_code"}
    assert not await account.can_mail_undo(folk.acting(now))
    folk.the.clock.forward(301)
    with pytest.raises(StepUpNeeded):
        await account.fresh(folk.acting(now))


def test_what_was_only_set_up_proves_nothing_about_its_owner() -> None:
    now = 10**15
    actor = Actor("t", "p", "s", "c", 1, AAL1, (), now, {"email_code": now, f"password{NEW}": now})
    assert policy.is_fresh(FACTORS, actor.proofs, AAL1, now, 300)
    assert proved_of(policy.recent(actor.proofs, now, 300)) == {"email_code"}
