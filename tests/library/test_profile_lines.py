"""Texts of several lines in a profile: where the model says so they are stored as they are, and the account page has a
text area; everywhere else a line break is refused.

Not here: other rules of a model (`test_profile`), and the decoder (`tests/web/test_body`).
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from passgate import testing
from passgate.testing import PASSWORD, Gate
from tests.kit import code_of
from tests.library.program import asked, guarded, program
from tests.web.browsing import Page

Lines: JsonDict = {"multiline": True}
ANNA = "anna@example.com"


class Part(BaseModel):
    title: str = ""
    text: Annotated[str, Field(json_schema_extra=Lines)] = ""


class Profile(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str = ""
    about_me: str = Field("", alias="aboutMe", json_schema_extra=Lines, title="About <you>", max_length=40)
    motto: Annotated[str | None, Field(json_schema_extra=Lines)] = None
    notes: Annotated[list[str], Field(json_schema_extra=Lines)] = []
    parts: list[Part] = []
    by_name: dict[str, Part] = Field({}, alias="byName")


@pytest.fixture
def gate() -> Gate:
    return testing.gate(profile=Profile)


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx2.AsyncClient]:
    app = program()
    gate.mount(app)
    async with asked(guarded(gate, app), gate) as made:
        yield made


TEXT = "one\ntwo\t2\n\nfour"
WITH: list[dict[str, Any]] = [
    {"aboutMe": TEXT},
    {"motto": TEXT},
    {"notes": ["a", TEXT]},
    {"parts": [{"title": "a"}, {"title": "b", "text": TEXT}]},
    {"byName": {"x": {"text": TEXT}}},
]


@pytest.mark.parametrize("given", WITH)
async def test_where_the_model_allows_it(http: httpx2.AsyncClient, gate: Gate, given: dict[str, Any]) -> None:
    await testing.sign_in(http, ANNA, profile={"name": "Anna", **given})
    stored = (await http.get("/auth/api/v1/session")).json()["user"]["profile"]
    [name] = given
    assert TEXT in str(stored[name]) or repr(TEXT) in repr(stored[name])
    again = await http.patch("/auth/api/v1/me", json={"profile": stored})
    assert again.json()["user"]["profile"] == stored
    exported = (await http.get("/auth/api/v1/me/export")).json()
    assert exported["user"]["profile"] == stored
    by_admin = await gate.at(None, tenant="main").users.create(email="b@example.com", profile=given)
    assert by_admin.profile[name] == stored[name]


ELSEWHERE: list[tuple[dict[str, Any], str]] = [
    ({"name": "a\nb"}, "profile.name"),
    ({"name": "a\tb"}, "profile.name"),
    ({"more": "a\nb"}, "profile.more"),
    ({"more": {"deep": ["", "a\nb"]}}, "profile.more.deep.1"),
    ({"parts": [{"title": "a\nb", "text": TEXT}]}, "profile.parts.0.title"),
    ({"byName": {"x": {"title": "a\n"}}}, "profile.byName.x.title"),
]


@pytest.mark.parametrize(("given", "field"), ELSEWHERE)
async def test_elsewhere_in_a_profile(http: httpx2.AsyncClient, given: dict[str, Any], field: str) -> None:
    body = {"email": ANNA, "password": PASSWORD, "profile": given}
    refused = await http.post("/auth/api/v1/signup", json=body)
    assert (refused.status_code, refused.json()["fields"]) == (422, {field: "format"})
    await testing.sign_in(http, ANNA, profile={"name": "Anna"})
    before = (await http.get("/auth/api/v1/me")).json()
    changed = await http.patch("/auth/api/v1/me", json={"profile": given})
    assert (changed.status_code, changed.json()["fields"]) == (422, {field: "format"})
    assert (await http.get("/auth/api/v1/me")).json() == before


@pytest.mark.parametrize("broken", ["a\rb", "a\r\nb", "a\0b", "a\x0bb", "a\x85b", "a\x7fb", "a\ud800"])
async def test_other_control_characters_never(http: httpx2.AsyncClient, broken: str) -> None:
    for profile in ({"aboutMe": broken}, {"a\nb": "x"}):
        body = json.dumps({"email": ANNA, "password": PASSWORD, "profile": profile}).encode()
        headers = {"content-type": "application/json"}
        refused = await http.post("/auth/api/v1/signup", content=body, headers=headers)
        assert (refused.status_code, code_of(refused)) == (400, "malformed")


async def test_without_a_model_never() -> None:
    gate = testing.gate()
    app = program()
    gate.mount(app)
    async with asked(app, gate) as http:
        body = {"email": ANNA, "password": PASSWORD, "profile": {"about": ["a\nb"]}}
        refused = await http.post("/auth/api/v1/signup", json=body)
        assert (refused.status_code, refused.json()["fields"]) == (422, {"profile.about.0": "format"})
        other = await http.post("/auth/api/v1/signup", json={"email": ANNA, "password": "a\nb" * 8})
        assert (other.status_code, code_of(other)) == (400, "malformed")


# -- the page --------------------------------------------------------------------------------------


async def saved(http: httpx2.AsyncClient, **typed: str) -> httpx2.Response:
    found = Page((await http.get("/auth/account")).text)
    [form] = [form for form in found.forms if form.action == "/auth/account"]
    assert {*typed} <= form.names
    return await http.post(form.action, data={**form.fields, **typed})


async def test_the_page_has_text_areas(http: httpx2.AsyncClient) -> None:
    """For texts in the profile itself; the others, and parts of the profile, stay as they are."""
    parts = [{"title": "a", "text": TEXT}]
    await testing.sign_in(http, ANNA, profile={"name": "Anna", "aboutMe": "\n<b>\n", "notes": [TEXT], "parts": parts})
    displayed = await http.get("/auth/account")
    areas = [given for tag, given in Page(displayed.text).tags if tag == "textarea"]
    assert [(one["name"], one.get("maxlength")) for one in areas] == [
        ("profile.aboutMe", "40"),
        ("profile.motto", None),
    ]
    assert "About &lt;you&gt;" in displayed.text
    assert ">\n\n&lt;b&gt;\n</textarea>" in displayed.text, "a browser drops the first line break and keeps the others"
    done = await saved(http, name="Ann", **{"profile.aboutMe": " a\r\nb\r\n\r\n", "profile.motto": ""})
    assert (done.status_code, done.headers["location"]) == (303, "/auth/account?done=profile")
    stored = (await http.get("/auth/api/v1/me")).json()["user"]["profile"]
    assert (stored["name"], stored["aboutMe"], stored["motto"]) == ("Ann", "a\nb", None)
    assert (stored["notes"], stored["parts"]) == ([TEXT], parts)


async def test_what_the_page_refuses(http: httpx2.AsyncClient) -> None:
    await testing.sign_in(http, ANNA, profile={"name": "Anna"})
    long = await saved(http, **{"profile.aboutMe": "a\r\n" * 30, "profile.motto": "m\r\nm"})
    found = Page(long.text)
    assert (long.status_code, found.marked) == (422, {"profile.aboutMe"})
    assert "m\nm</textarea>" in long.text, "what was typed is not lost"
    broken = await saved(http, name="a\nb")
    assert broken.status_code == 400
    alone = await saved(http, **{"profile.aboutMe": "a\rb"})
    assert alone.status_code == 400
    assert (await http.get("/auth/api/v1/me")).json()["user"]["profile"]["aboutMe"] == ""


def test_the_document_names_it(gate: Gate) -> None:
    displayed = Profile.model_json_schema()["properties"]
    assert displayed["aboutMe"]["multiline"] is True
    assert "multiline" not in displayed["name"]
