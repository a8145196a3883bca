"""`gate.docs(app)`: a host's own document in our viewer, and nothing that is loaded from elsewhere.

Not here: the viewer at work, which is in tests/browser; our own /docs, which is in tests/web.
"""

from __future__ import annotations

import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

from passgate import testing
from passgate.testing import Gate
from passgate.web import docs
from tests.library.program import asked
from tests.web.test_docs import IMMUTABLE, POLICY, Page, policy_of


def program(gate: Gate, at: str = "/docs", title: str = "Host & <sons>") -> FastAPI:
    app = FastAPI(title=title, description="What it does.", docs_url=None, redoc_url=None, openapi_url=None)
    gate.mount(app)
    gate.docs(app, at=at)
    app.get("/me", dependencies=[Depends(gate.user)])(lambda: "me")
    return app


@pytest.mark.parametrize("at", ["/docs", "/api/v2/manual"])
async def test_the_page_loads_only_what_is_served_here(at: str) -> None:
    gate = testing.gate()
    app = program(gate, at)
    above = at.rpartition("/")[0]
    async with asked(app, gate) as http:
        answer = await http.get(at)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert policy_of(answer.headers["content-security-policy"]) == POLICY
        assert "<title>Host &amp; &lt;sons&gt;</title>" in answer.text
        page = Page(answer.text)
        assert page.refused == []
        loaded = [address for address in page.asked if not address.startswith("data:")]
        assert len(loaded) == 5
        for address in loaded:
            found = await http.get(f"{above}/{address}")
            assert found.status_code == 200, address
            assert found.headers["cache-control"] == (IMMUTABLE if "@" in address else "no-store")
            assert found.headers["x-content-type-options"] == "nosniff"
        assert (await http.head(at)).status_code == 200
        document = (await http.get(f"{above}/openapi.json")).json()
    assert (document["info"]["title"], document["info"]["description"]) == ("Host & <sons>", "What it does.")
    assert list(document["paths"]) == ["/me"]
    assert document["components"]["securitySchemes"]["session"]["scheme"] == "bearer"
    assert {"session": []} in document["paths"]["/me"]["get"]["security"]
    assert gate.unguarded(app) == []


async def test_each_file_is_served_unchanged() -> None:
    gate = testing.gate()
    async with asked(program(gate), gate) as http:
        for address, (name, _) in docs.FILES.items():
            assert (await http.get(address)).content == (docs.STATIC / name).read_bytes()


async def test_the_framework_may_serve_the_document() -> None:
    gate = testing.gate()
    app = FastAPI(title="Host", docs_url=None, redoc_url=None)
    gate.docs(app)
    gate.mount(app)
    async with asked(app, gate) as http:
        assert (await http.get("/docs")).status_code == 200
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "Host"
        assert (await http.get("/auth/openapi.json")).json()["info"]["title"] == "Passgate API"
    assert gate.unguarded(app) == []


async def test_below_another_application() -> None:
    gate, outer = testing.gate(), FastAPI()
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gate.docs(inner)
    outer.mount("/inner", inner)
    async with asked(outer, gate) as http:
        assert (await http.get("/inner/docs")).status_code == 200
        assert (await http.get("/inner/docs/start.js")).status_code == 200
        assert (await http.get("/inner/openapi.json")).json()["servers"] == [{"url": "/inner"}]
        assert (await http.get("/inner/openapi.json")).json()["servers"] == [{"url": "/inner"}]


async def test_no_docs_by_setting() -> None:
    gate = testing.gate(docs=False)
    async with asked(program(gate), gate) as http:
        assert {(await http.get(path)).status_code for path in ("/docs", "/openapi.json", "/docs/start.js")} == {404}


@pytest.mark.parametrize("at", ["", "docs", "/docs/", "/do cs"])
def test_a_path_that_is_none(at: str) -> None:
    with pytest.raises(ValueError, match="path"):
        program(testing.gate(), at)


def test_nothing_else_may_be_there() -> None:
    """The framework's own pages would answer instead, and load scripts from elsewhere."""
    gate = testing.gate()
    for app in (FastAPI(), FastAPI(docs_url=None), FastAPI(redoc_url=None)):
        with pytest.raises(RuntimeError):
            gate.docs(app, at="/manual")
    taken, files = (FastAPI(docs_url=None, redoc_url=None) for _ in range(2))
    taken.get("/docs/start.js")(lambda: PlainTextResponse("mine"))
    files.mount("/", StaticFiles(directory=docs.STATIC))
    for app in (taken, files):
        with pytest.raises(RuntimeError):
            gate.docs(app)
    twice = FastAPI(openapi_url=None)
    gate.docs(twice)
    with pytest.raises(RuntimeError):
        gate.docs(twice)
    gate.mount(at_the_root := FastAPI(openapi_url=None), at="")
    with pytest.raises(RuntimeError):
        gate.docs(at_the_root)
