"""One mailbox never counts twice: a mail's code and its link are one proof, for one sign-in, in one browser. The table
says what opens after what; scanners that open links change nothing; nobody's link or code advances another's sign-in.

Budgets of mails and codes are tested in tests/core/test_budgets and test_day.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, client_for, code_of, handle_of
from tests.web.browsing import Browser, Page, app, browser, rule

BASE = "http://localhost:8000"
FIRST_WITH_MAIL = {"first": ["password", "passkey", "email_code"]}
SECOND_WITH_MAIL = {"second": "always", "second_among": ["email_code", "totp"]}


@dataclass
class Mailbox:
    """Anna's mailbox and the sign-ins that asked for its mails. `mails` is oldest first."""

    the: The
    email: str
    secret: bytes = b""
    handles: list[str] = field(default_factory=list)
    mails: list[dict[str, Any]] = field(default_factory=list)

    async def ask(self, journey: str) -> None:
        """One more mail, asked for by somebody's browser."""
        if journey == "recovery":
            self.handles.append(handle_of(await self.the.recover(self.email)))
        else:
            self.handles.append(handle_of(await self.the.start(self.email)))
            if journey == "second":
                assert (await self.the.prove(self.handles[-1], "password", PASSWORD)).status_code == 200
            assert (await self.the.challenge(self.handles[-1], "email_code")).status_code == 200
        self.mails.append((await self.the.mails(self.email))[0])

    async def do(self, step: str) -> str:
        """`code0`: type the code of the first mail where it was asked for. `link0`: open its link in a new browser.
        `done0`: open its link and complete what it began. "opens", "enough", or the code of the refusal."""
        number = int(step[-1])
        if step.startswith("code"):
            answer = await self.the.prove(self.handles[number], "email_code", str(self.mails[number]["code"]))
            return _outcome(answer)
        async with client_for(self.the.gate, f"203.0.113.{number + 1}") as http:
            reader = Browser(http, self.the)
            page = await opened(reader, str(self.mails[number]["link"]))
            if page.alert:
                return page.alert
            answer = await reader.send("/signin/link", **decision_of(page))
            assert answer.status_code == 303, answer.text
            if step.startswith("link"):
                return "enough" if answer.headers["location"] == "/account" else "opens"
            return await self._complete(reader, answer.headers["location"])

    async def _complete(self, reader: Browser, at: str) -> str:
        while at != "/account":
            at = "/signin/password" if at == "/signin/passkey" else at
            typed = {
                "/signin/password": {"new_password": OTHER_PASSWORD},
                "/signin/totp": {"code": app(self.the, self.secret) if self.secret else ""},
            }[at]
            if "new_password" in typed and "new_password" not in (await reader.page(at)).forms[0].names:
                typed = {"password": PASSWORD}
            answer = await reader.send(at, **typed)
            assert answer.status_code == 303, answer.text
            at = answer.headers["location"]
        return "enough"


def _outcome(answer: httpx2.Response) -> str:
    if answer.status_code != 200:
        return code_of(answer)
    return "enough" if answer.json()["enough"] else "opens"


def decision_of(page: Page) -> dict[str, str]:
    """The only decision that the page of a mailed link offers."""
    [decision] = [given["value"] for tag, given in page.tags if tag == "button" and given.get("name") == "decision"]
    return {"decision": decision}


async def opened(reader: Browser, link: str) -> Page:
    """The page behind a link."""
    assert link.startswith(f"{BASE}/signin/link/pg_eml_")
    return await reader.page(link.removeprefix(BASE))


TABLE = [
    # journey, has an app, how many mails, steps, what each yields
    ("recovery", False, 1, "code0 link0", "opens handle_invalid"),
    ("recovery", False, 1, "link0 code0", "opens handle_invalid"),
    ("recovery", False, 1, "link0 link0", "opens handle_invalid"),
    ("recovery", False, 1, "code0 code0", "opens already_proved"),
    ("recovery", False, 2, "code0 link1", "opens opens"),
    ("recovery", False, 2, "link0 code1", "opens opens"),
    ("recovery", False, 2, "done0 link1 code1", "enough handle_invalid proof_refused"),
    ("recovery", False, 2, "link0 link1 link0", "opens opens handle_invalid"),
    ("recovery", True, 1, "link0 code0", "opens handle_invalid"),
    ("recovery", True, 2, "code0 code1 link0 link1", "opens opens handle_invalid handle_invalid"),
    ("recovery", True, 2, "done1 code0 link0", "enough proof_refused handle_invalid"),
    ("signin", False, 1, "link0 code0", "enough handle_invalid"),
    ("signin", False, 1, "code0 link0", "enough handle_invalid"),
    ("signin", False, 2, "link0 code1", "enough proof_refused"),
    ("signin", False, 2, "done1 link0", "enough handle_invalid"),
    ("signin", True, 1, "link0 code0", "opens handle_invalid"),
    ("signin", True, 1, "code0 link0", "opens handle_invalid"),
    ("signin", True, 2, "done0 link1 code1", "enough handle_invalid proof_refused"),
    ("second", False, 1, "code0 link0", "enough handle_invalid"),
    ("second", False, 1, "link0 code0", "opens handle_invalid"),
    ("second", False, 2, "done0 code1", "enough proof_refused"),
]


@pytest.mark.parametrize(
    ("journey", "has_app", "mails", "steps", "yields"), TABLE, ids=[f"{row[0]}-{row[1]}-{row[3]}" for row in TABLE]
)
async def test_what_opens(lite: The, journey: str, has_app: bool, mails: int, steps: str, yields: str) -> None:
    box = await settled(lite, has_app=has_app)
    await rule(lite, **(SECOND_WITH_MAIL if journey == "second" else FIRST_WITH_MAIL if journey == "signin" else {}))
    for _ in range(mails):
        await box.ask(journey)
    assert [await box.do(step) for step in steps.split()] == yields.split()


async def settled(the: The, *, has_app: bool = False) -> Mailbox:
    async with browser(the) as anna:
        await anna.sign_up()
        secret = await anna.add_app() if has_app else b""
    return Mailbox(the, "anna@example.com", secret)


async def test_a_link_is_no_second_way_back(lite: The) -> None:
    """In a recovery the link of one mail and the code of another are never two ways of one sign-in: with an app set up,
    what the link begins asks for the app or another way, and not for a code."""
    box = await settled(lite, has_app=True)
    await box.ask("recovery")
    async with browser(lite, "203.0.113.9") as reader:
        page = await opened(reader, str(box.mails[0]["link"]))
        answer = await reader.send("/signin/link", **decision_of(page))
        assert answer.headers["location"] == "/signin/totp"
        handle = str(reader.http.cookies.get("passgate_signin"))
        for ask in (lite.challenge(handle, "email_code"), lite.prove(handle, "email_code", "12345678")):
            assert code_of(await ask) == "already_proved"
        assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200  # a second, different way


async def test_where_mail_is_no_way_in_its_link_opens_nothing(lite: The) -> None:
    """E-mail sign-in is switched off after the mail has left; switched on again, the same link opens."""
    box = await settled(lite)
    await rule(lite, **FIRST_WITH_MAIL)
    await box.ask("signin")
    await rule(lite)
    async with browser(lite, "203.0.113.9") as reader:
        page = await opened(reader, str(box.mails[0]["link"]))
        answer = await reader.send("/signin/link", **decision_of(page))
        assert Page(answer.text).alert == "handle_invalid"
    await rule(lite, **FIRST_WITH_MAIL)
    assert await box.do("link0") == "enough"


async def test_a_scanner_changes_nothing(the: The) -> None:
    """A mail scanner opens the link, twice, with GET and HEAD, and follows it."""
    box = await settled(the)
    await box.ask("recovery")
    before = await the.everything()
    for _ in range(2):
        async with browser(the, "198.51.100.9") as scanner:
            for method in ("GET", "HEAD"):
                path = str(box.mails[0]["link"]).removeprefix(BASE)
                got = await scanner.http.request(method, path)
                if method == "GET":
                    assert (got.status_code, got.headers["location"]) == (303, "/signin/link")
                    displayed = Page((await scanner.http.get("/signin/link")).text)
                    assert (displayed.alert, len(displayed.forms)) == ("", 1)
    assert await the.everything() == before
    assert await box.do("done0") == "enough"


async def test_the_page_names_whose_it_is(lite: The) -> None:
    box = await settled(lite)
    await box.ask("recovery")
    async with browser(lite) as reader:
        await reader.http.get(str(box.mails[0]["link"]).removeprefix(BASE))
        displayed = (await reader.http.get("/signin/link")).text
    assert "a…@example.com" in displayed
    assert box.email not in displayed


async def test_the_victims_link_never_advances_the_attackers_sign_in(the: The) -> None:
    """The attacker asks for a recovery; the victim opens the link of that mail. The attacker's handle ends."""
    box = await settled(the)
    await box.ask("recovery")  # this handle is the attacker's
    assert await box.do("done0") == "enough"
    for ask in (the.finish(box.handles[0]), the.challenge(box.handles[0], "email_code")):
        assert code_of(await ask) == "handle_invalid"


async def test_the_attackers_code_never_advances_the_victims_sign_in(the: The) -> None:
    """The attacker sends the victim a code of the attacker's own account; typed in the victim's sign-in it is wrong."""
    box = await settled(the)
    await the.person("mallory@example.com")
    await the.recover("mallory@example.com")
    foreign = await the.code("mallory@example.com")
    await box.ask("recovery")
    assert code_of(await the.prove(box.handles[0], "email_code", foreign)) == "proof_refused"
    assert await box.do("code0") == "opens"


async def test_a_link_lives_an_hour_and_its_code_ten_minutes(the: The) -> None:
    box = await settled(the)
    await box.ask("recovery")
    the.clock.forward(600)
    assert await box.do("code0") == "proof_refused"
    the.clock.forward(3600 - 600 - 30)
    assert await box.do("link0") == "opens"
    await box.ask("recovery")
    the.clock.forward(3600)
    assert await box.do("link1") == "handle_invalid"


async def test_a_disabled_or_deleted_person_has_no_link(the: The) -> None:
    anna = await the.person()
    box = Mailbox(the, anna.email)
    await box.ask("recovery")
    assert (await the.http.delete("/api/v1/me", headers=bearer(anna.token))).status_code == 204
    assert await box.do("link0") == "handle_invalid"


@pytest.mark.parametrize("token", ["", "x", "pg_eml_", "pg_eml_" + "A" * 70, "pg_lnk_" + "A" * 70])
async def test_odd_links_open_nothing(lite: The, token: str) -> None:
    async with browser(lite) as reader:
        reader.http.cookies.set("passgate_link", token)
        displayed = await reader.http.get("/signin/link")
        assert Page(displayed.text).alert == "handle_invalid"
