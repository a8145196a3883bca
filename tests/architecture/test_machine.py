"""A state machine of an attacker and a victim who send requests in any order. The attacker never acts as the victim,
and the victim's credentials change only in the victim's own steps.

The steps themselves are in `rivals`; single endpoints against single rules are in `test_matrix`.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import bindparam, select

from passgate.store.tables import credential, person, session
from tests.architecture.population import Population
from tests.architecture.rivals import FACTORS, Attacker, Owner, Power
from tests.kit import OTHER_PASSWORD, client_for, code_of, running, settings_for

HOURS: dict[str, Any] = {"tenancy": "multi", "mail": {"per_hour": 10_000}, "session": {"idle": 80_000}}
NEW_PASSWORDS = [f"{word} purple umbrellas" for word in ("eighteen", "nineteen", "twentyone", "thirteen")]
PICK = st.integers(0, 10**4)
PICKS = st.lists(PICK, min_size=1, max_size=4)
ENDPOINTS = st.sampled_from(["signin", "recover", "signin", "recover", "signup", "step_up"])
AMONG = [("anna", Power.MAILBOX), ("anna", Power.PASSWORD), ("ben", Power.NOTHING), ("anna", Power.NOTHING)]
_UNCHANGED = {"last_used_at", "counter", "data"}
"""Columns that change when a credential is used."""
_HAS = (
    select(credential).where(credential.c.person_id == bindparam("whose")).order_by(credential.c.id),
    select(person).where(person.c.id == bindparam("whose")),
    select(session.c.id).where(session.c.person_id == bindparam("whose")).order_by(session.c.id),
)


class Attack(RuleBasedStateMachine):
    """Against Anna, who has every factor, the attacker may have the password or the mailbox; against Ben, who has a
    password, she has neither."""

    settled: ClassVar[tuple[Path, Population]]
    among: ClassVar[Sequence[tuple[str, Power]]] = AMONG

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.stack = asyncio.Runner(), AsyncExitStack()
        self.is_victims_step, self.before, self.dead = True, [{"": ""}], 0

    def do(self, action: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(action)

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()

    @initialize(pick=st.integers(0, len(AMONG) - 1))
    def enter(self, pick: int) -> None:
        self.do(self._enter(*self.among[pick % len(self.among)]))

    async def _enter(self, name: str, power: Power) -> None:
        folder, population = self.settled
        data = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "population"
        shutil.copytree(folder, data)
        the = await self.stack.enter_async_context(running(settings_for(data, **HOURS)))
        self.population = population.moved(the)
        self.victim = Owner(self.population, self.population.people[name])
        self.admin = self.victim if name == "anna" else Owner(self.population, self.population.anna)
        self.new_passwords = itertools.cycle(NEW_PASSWORDS)
        assert await self.victim.sign_in(1)
        await self.victim.change_password("fourteen purple umbrellas")
        assert self.victim.password.startswith("fourteen")
        http = await self.stack.enter_async_context(client_for(the.gate, "203.0.113.9"))
        self.cara = Owner(self.population, self.population.cara)
        assert await self.cara.sign_in(1)
        self.attacker = Attacker(
            self.population, http, self.population.cara, self.victim, power, sessions=[self.population.cara.token]
        )

    def handle(self, pick: int) -> str:
        """One of the four newest handles."""
        return self.attacker.handles[-1 - pick % min(len(self.attacker.handles), 4)]

    # -- the attacker's steps ----------------------------------------------------------------------

    @rule(endpoint=ENDPOINTS, whose=st.integers(0, 3), picks=PICKS)
    def tries(self, endpoint: str, whose: int, picks: list[int]) -> None:
        """Begin a sign-in of any kind for somebody and take it as far as it goes."""
        email = [self.victim.who.email, self.victim.who.email, self.population.cara.email, None][whose]
        self.do(self.attacker.begin(endpoint, email if endpoint == "signin" else email or self.victim.who.email))
        self.do(self.attacker.go_on(self.attacker.handles[-1], picks) if self.attacker.handles else asyncio.sleep(0))

    @precondition(lambda self: self.attacker.handles)
    @rule(pick=PICK, picks=PICKS)
    def goes_on(self, pick: int, picks: list[int]) -> None:
        self.do(self.attacker.go_on(self.handle(pick), picks))

    @rule(picks=PICKS, which=PICK)
    def acts(self, picks: list[int], which: int) -> None:
        """Send requests with a session of hers, with a handle of hers, or with a handle that the victim has used up."""
        secrets = [*self.attacker.sessions[-2:], *self.attacker.handles[-1:], *self.victim.outcomes["handle"][-1:]]
        for pick in picks:
            self.do(self.attacker.action(pick, secrets[which % len(secrets)]))

    @precondition(lambda self: self.victim.outcomes["handle"])
    @rule(pick=PICK, factor=st.sampled_from(FACTORS))
    def takes_up_a_handle(self, pick: int, factor: str) -> None:
        """A handle that the victim or the attacker has used up is refused everywhere."""
        used = [*self.victim.outcomes["handle"], *self.attacker.used]
        handle = used[pick % len(used)]
        for path, body in (("challenge", {"factor": factor}), ("finish", {"carrier": "bearer"})):
            answered = self.do(self.attacker.ask("POST", f"/signin/{path}", body, handle))
            assert answered.status_code == 401

    @precondition(lambda self: self.attacker.links or self.victim.outcomes["link"])
    @rule(pick=PICK, is_recovery=st.booleans(), picks=PICKS)
    def opens_a_link(self, pick: int, is_recovery: bool, picks: list[int]) -> None:
        """Open a link of her own or one that the victim has already opened."""
        links = [*self.attacker.links[-2:], *self.victim.outcomes["link"][-2:]]
        if self.do(self.attacker.open_link(links[pick % len(links)], is_recovery=is_recovery)):
            self.do(self.attacker.go_on(self.attacker.handles[-1], picks))

    @rule(pick=PICK, picks=PICKS)
    def opens_a_mailed_link(self, pick: int, picks: list[int]) -> None:
        """Open the link of a mail that she can read, used or not."""
        links = self.do(self.attacker.mailed_links())[:4]
        if links and self.do(self.attacker.open_link(links[pick % len(links)], is_recovery=bool(pick % 2))):
            self.do(self.attacker.go_on(self.attacker.handles[-1], picks))

    # -- the victim's steps ------------------------------------------------------------------------

    @rule(pick=PICK)
    def victim_signs_in(self, pick: int) -> None:
        self.is_victims_step = True
        self.do(self.victim.sign_in(pick))

    @rule(action=st.sampled_from(["password", "passkey", "codes", "recover", "step_up", "pending"]))
    def victim_acts(self, action: str) -> None:
        self.is_victims_step = True
        new = next(self.new_passwords)
        match action:
            case "password":
                self.do(self.victim.change_password(new))
            case "passkey":
                self.do(self.victim.add_passkey())
            case "codes":
                self.do(self.victim.make_codes())
            case "recover":
                self.do(self.victim.recover(new))
            case "step_up":
                self.do(self.victim.step_up())
            case _:
                self.do(self.victim.pending_sign_in())

    @rule(is_hers=st.booleans())
    def admin_makes_a_link(self, is_hers: bool) -> None:
        """An admin makes a link, either for the attacker, who says she lost her phone, or for the victim, who opens
        it."""
        self.is_victims_step = True
        whom = self.population.cara if is_hers else self.victim.who
        made = self.do(self.admin.ask("POST", f"/users/{whom.id}/signin-link", None, self.admin.who.token))
        if made.status_code != 201:
            self.do(self.admin.sign_in(1))
        elif is_hers:
            self.attacker.links.append(made.json()["url"].rpartition("/")[2])
        else:
            self.do(self.victim.open_link(made.json()["url"]))

    @rule(seconds=st.sampled_from([1, 1, 40, 40, 200, 400, 901]))
    def time_passes(self, seconds: int) -> None:
        self.population.the.clock.forward(seconds)

    # -- invariants --------------------------------------------------------------------------------

    @invariant()
    def what_the_victim_has_is_theirs(self) -> None:
        now = self.do(self._has())
        if not self.is_victims_step:
            assert now == self.before, "changed in a step that was not the victim's"
        self.before, self.is_victims_step = now, False

    async def _has(self) -> list[dict[str, Any]]:
        async with self.population.folk.ctx.read() as db:
            return [
                {key: one for key, one in row.items() if key not in _UNCHANGED}
                for query in _HAS
                for row in await db.rows(query, whose=self.victim.who.id)
            ]

    @invariant()
    def no_handle_is_one_step_from_the_victims_session(self) -> None:
        for handle in self.attacker.handles[-4:]:
            assert not self.do(self.attacker.has_opened(handle))


# -- runs ------------------------------------------------------------------------------------------

QUICK = settings(
    max_examples=3,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
"""For each victim and power, of which a few runs would leave some out."""
LONG = settings(QUICK, max_examples=100, stateful_step_count=60, derandomize=False)


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> type[Attack]:
    """The state machine; each run works on its own copy of one population."""
    folder = tmp_path_factory.mktemp("population")

    async def settle() -> Population:
        async with running(settings_for(folder, **HOURS)) as the:
            return await Population.settled(the)

    return type("Here", (Attack,), {"settled": (folder, asyncio.run(settle()))})


@pytest.mark.parametrize("among", AMONG, ids="-".join)
def test_nobody_acts_as_the_victim(attack: type[Attack], among: tuple[str, Power]) -> None:
    run_state_machine_as_test(type("Here", (attack,), {"among": [among]}), settings=QUICK)


@pytest.mark.soak
def test_nobody_acts_as_the_victim_for_long(attack: type[Attack]) -> None:
    run_state_machine_as_test(attack, settings=LONG)


@pytest.fixture
def by_hand(attack: type[Attack]) -> Any:
    made = attack()
    yield made
    made.teardown()


def test_nothing_that_was_heard_opens_anything(by_hand: Attack) -> None:
    """An attacker who knows the password and at once repeats every answer that the owner has just sent gets nowhere."""
    by_hand.do(by_hand._enter("anna", Power.PASSWORD))
    cara, outcomes = by_hand.attacker, by_hand.victim.outcomes
    for pick in range(4):
        outcomes.clear()
        assert by_hand.do(by_hand.victim.sign_in(pick))
        [(factor, [answer])] = [
            (name, outcomes[name]) for name in ("totp", "passkey", "recovery_code") if outcomes[name]
        ]
        by_hand.do(cara.begin("signin", by_hand.victim.who.email))
        handle = cara.handles[-1]
        for one, given, status in (("password", by_hand.victim.password, 200), (factor, answer, 403)):
            body = {"factor": one, "answer": given}
            assert by_hand.do(cara.ask("POST", "/signin/prove", body, handle)).status_code == status, one
        by_hand.no_handle_is_one_step_from_the_victims_session()


def test_the_mailbox_alone_opens_nothing(by_hand: Attack) -> None:
    """A mailed link proves what its code proves, and once: both together are one way back, and replace no factor."""
    by_hand.do(by_hand._enter("anna", Power.MAILBOX))
    attacker, whose = by_hand.attacker, by_hand.victim.who.email
    by_hand.do(attacker.begin("recover", whose))
    asked, [code, *_] = attacker.handles[-1], by_hand.do(attacker.known(attacker.handles[-1], "email_code"))
    [link] = by_hand.do(attacker.mailed_links())
    assert by_hand.do(attacker.open_link(link, is_recovery=True))
    assert not by_hand.do(attacker.open_link(link, is_recovery=True)), "it is used up"
    opened = attacker.handles[-1]
    for handle, factor, answer, refused in (
        (asked, "email_code", code, "handle_invalid"),
        (opened, "email_code", code, "already_proved"),
        (opened, "password", OTHER_PASSWORD, "proof_refused"),
    ):
        body = {"factor": factor, "answer": answer}
        assert code_of(by_hand.do(attacker.ask("POST", "/signin/prove", body, handle))) == refused
    done = by_hand.do(attacker.ask("POST", "/signin/finish", {"carrier": "bearer"}, opened))
    assert code_of(done) == "proof_missing"
    by_hand.no_handle_is_one_step_from_the_victims_session()


def test_the_invariants_would_notice(by_hand: Attack) -> None:
    """An attacker who has both the password and the app gets in, and both invariants fail."""
    by_hand.do(by_hand._enter("anna", Power.PASSWORD))
    by_hand.what_the_victim_has_is_theirs()
    handle = by_hand.do(by_hand.victim.begin())
    by_hand.attacker.handles.append(handle)
    for factor in ("password", "totp"):
        answer = by_hand.do(by_hand.victim.answer(handle, factor))
        by_hand.do(by_hand.attacker.ask("POST", "/signin/prove", {"factor": factor, "answer": answer}, handle))
    with pytest.raises(AssertionError):
        by_hand.no_handle_is_one_step_from_the_victims_session()
    with pytest.raises(AssertionError, match="answers of the victim"):
        by_hand.do(by_hand.attacker.finish(handle))
    with pytest.raises(AssertionError, match="not the victim's"):
        by_hand.what_the_victim_has_is_theirs()
