"""A host's own factor needs one file and a template. With it people sign up, sign in, step up and recover, and it
appears in the audit trail, on the pages and in the reference without further code.

Not here: the factor itself (`codeword`), and that every matrix includes each factor (tests/architecture).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from passgate import factors
from passgate.app import Passgate
from passgate.core.factor import Factors
from passgate.core.factors import FACTORS
from passgate.core.rules import Rules
from passgate.errors import Invalid
from passgate.world import World
from tests.architecture.reference import ROOT, endpoint_page, event_page
from tests.kit import Clock, Dice, The, bearer, client_for, code_of, handle_of, settings_for, token_of
from tests.library.codeword import CODEWORD
from tests.web.browsing import Browser, Page, browser, led, outcome, rule

TEMPLATES = Path(__file__).parent / "templates"
MINE = "umbrella"


@pytest.fixture
async def the(tmp_path: Path, database_url: str | None) -> AsyncIterator[The]:
    clock = Clock()
    settings = settings_for(tmp_path, database_url, look={"templates": TEMPLATES})
    gate = Passgate(settings, World(clock, Dice()), factors=[CODEWORD])
    async with gate.running(work=False), client_for(gate) as http:
        yield The(gate, clock, http)


async def signed_up(the: The, email: str = "anna@example.com", word: str = MINE) -> str:
    handle = handle_of(await the.signup(email, None))
    proved = await the.prove(handle, "email_code", await the.code(email))
    assert proved.json() == {"enough": False, "need": [["codeword"]], "enrol": True}
    assert (await the.prove(handle, "codeword", word)).json()["amr"] == ["otp", "kba"]
    return token_of(await the.finish(handle))


async def test_over_json(the: The) -> None:
    await rule(the, first=["codeword"])
    token = await signed_up(the)
    handle = handle_of(await the.start("anna@example.com"))
    wrong = await the.prove(handle, "codeword", "parasol")
    assert (wrong.status_code, code_of(wrong)) == (403, "proof_refused")
    assert (await the.prove(handle, "codeword", "Um-brella")).json()["enough"]
    assert (await the.finish(handle)).status_code == 201
    up = await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=bearer(token))
    assert up.json()["need"] == [["codeword"]]
    assert (await the.prove(up.json()["handle"], "codeword", MINE)).json()["enough"]
    assert (await the.finish(up.json()["handle"])).status_code == 201
    back = handle_of(await the.recover("anna@example.com"))
    asked = await the.prove(back, "email_code", await the.code("anna@example.com"))
    assert asked.json() == {"enough": False, "need": [["codeword"]], "enrol": True}
    assert (await the.prove(back, "codeword", "sunshade")).json()["enough"]
    assert (await the.finish(back)).status_code == 201
    again = handle_of(await the.start("anna@example.com"))
    assert (await the.prove(again, "codeword", MINE)).status_code == 403, "the old one opens nothing any more"
    events = await the.events()
    assert events.count("signin:codeword:proved") == 2
    assert events.count("signin:codeword:refused") == 2
    assert events.count("account:factor:added") == 2


async def test_unknown_addresses_are_indistinguishable(the: The) -> None:
    await rule(the, first=["codeword"])
    await signed_up(the)
    answers = []
    for email in ("anna@example.com", "nobody@example.com"):
        handle = handle_of(await the.start(email))
        answers.append([(await the.prove(handle, "codeword", f"no {n}")).status_code for n in range(11)])
    assert answers[0] == answers[1] == [403] * 10 + [401]


async def test_on_pages(the: The) -> None:
    await rule(the, first=["codeword"])
    async with browser(the) as anna:
        await sign_up(anna)
        anna.http.cookies.clear()
        assert led(await anna.send("/signin", email="anna@example.com")) == "/signin/codeword"
        assert outcome(await anna.send("/signin/codeword", code="parasol")) == (403, "signin-codeword", "proof_refused")
        assert led(await anna.send("/signin/codeword", code=MINE)) == "/account"
        rows = (await anna.get("/account/activity")).text
        assert CODEWORD.texts.proved in rows
        assert CODEWORD.texts.refused in rows


async def sign_up(anna: Browser) -> None:
    await anna.send("/signup", email="anna@example.com")
    code = await anna.the.code("anna@example.com")
    assert led(await anna.send("/signin/email-code", code=code)) == "/signin/codeword"
    assert led(await anna.send("/signin/codeword", code=MINE)) == "/account"


async def test_with_a_password(the: The) -> None:
    """Both factors are knowledge, so the level stays the same. The account page and its endpoints set the factor up and
    remove it."""
    await rule(the, second="if_enrolled", second_among=["codeword", "totp"])
    async with browser(the) as anna:
        await anna.sign_up()
        assert "/account/codeword" in (await anna.page("/account/factors")).links
        assert outcome(await anna.send("/account/codeword", code="abc")) == (403, "account-factor", "proof_refused")
        assert led(await anna.send("/account/codeword", code=MINE)) == "/account/factors?done=own"
        assert led(await anna.give_password()) == "/signin/codeword"
        assert led(await anna.send("/signin/codeword", code=MINE)) == "/account"
        bert = await the.person("bert@example.com")
        made = await the.http.post("/api/v1/me/codeword/prove", json={"answer": MINE}, headers=bert.auth)
        assert made.status_code == 204, made.text
        assert (await the.http.delete("/api/v1/me/codeword", headers=bert.auth)).status_code == 204
        assert code_of(await the.http.delete("/api/v1/me/codeword", headers=bert.auth)) == "not_found"
        assert (
            led(await anna.send("/account/codeword/remove", at="/account/codeword")) == "/account/factors?done=no-own"
        )
        assert Page((await anna.give_password()).text).alert == ""


async def test_the_reference_has_its_rows(the: The) -> None:
    events, endpoints = event_page(the.gate.services.factors), endpoint_page(the.gate)
    assert "`signin:codeword:proved` | A word was right." in events
    assert "`signin:codeword:refused`" in events
    for row in ("`GET` | `/signin/codeword`", "`POST` | `/signin/codeword`", "`POST` | `/api/v1/me/codeword/prove`"):
        assert row in endpoints


@pytest.mark.parametrize("file", ["codeword.py", "templates/signin_codeword.html"])
def test_the_guide_shows_the_tested_file(file: str) -> None:
    blocks = re.findall(r"```\w+\n(.*?)```", (ROOT / "docs/guide/factors.md").read_text(), re.DOTALL)
    assert (TEMPLATES.parent / file).read_text() in blocks


def test_it_is_made_of_public_names() -> None:
    source = (TEMPLATES.parent / "codeword.py").read_text()
    assert set(re.findall(r"^(?:from|import) (passgate[\w.]*)", source, re.MULTILINE)) == {"passgate.factors"}
    for name in re.findall(r"^    (\w+),$", source.partition("import (")[2].partition(")")[0], re.MULTILINE):
        assert name in factors.__all__


def test_what_rules_may_contain() -> None:
    both = Factors(FACTORS, [CODEWORD])
    assert Rules().changed({"first": ["codeword"]}, both).first == ("codeword",)
    with pytest.raises(Invalid):
        Rules().changed({"first": ["codeword"]}, FACTORS)
    assert Rules.from_json({"first": ["codeword", "password"]}, FACTORS).first == ("password",), (
        "a host that dropped it"
    )


def test_names_that_cannot_be() -> None:
    for name in ("password", "link", "browser", "Word", "a word", "", "x" * 25):
        with pytest.raises(ValueError, match=r"factor|name"):
            Factors(FACTORS, [replace(CODEWORD, name=name)])


MATRICES = (
    "tests/core/test_enrolment.py",
    "tests/architecture/test_catalogue.py",
    "tests/architecture/test_matrix.py",
    "tests/architecture/test_order.py",
    "tests/architecture/test_refusals.py",
    "tests/web/test_hostile_input.py",
    "tests/web/test_omission.py",
    "tests/web/test_pages_csrf.py",
)
AXE = ("tests/browser/test_access.py",)


@pytest.mark.parametrize(
    ("files", "least"),
    [
        pytest.param(MATRICES, 25, id="matrices"),
        pytest.param(AXE, 4, id="axe", marks=(pytest.mark.browser, pytest.mark.soak)),
    ],
)
def test_every_matrix_has_its_rows(files: tuple[str, ...], least: int) -> None:
    """A test run in which every Passgate has the factor. Only `with_codeword` was written for it, and every matrix
    includes it."""
    asked = ("-p", "tests.library.with_codeword", "-k", "codeword", "-m", "not soak and not pg", *files)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed, done.stdout[-3000:]
    assert int(passed[1]) >= least
