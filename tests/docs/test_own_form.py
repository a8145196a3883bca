"""The guide's program with a form of its own asks for a second factor where somebody has one.

Not here: that the page's blocks run (`test_blocks`).
"""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from passgate import testing
from passgate.core.factors.totp import code_at
from passgate.world import SECOND
from tests.core.having import unspelled
from tests.docs.blocks import ROOT, blocks

EMAIL = "anna@example.com"


def program() -> Any:
    [block] = [one for one in blocks(ROOT / "docs/guide/python.md") if one.file == "program.py"]
    made: dict[str, Any] = {"__name__": "program"}
    exec(compile(block.text, block.name, "exec"), made)  # noqa: S102  the page tells the reader to run it
    return made["build"]


def test_the_form_asks_for_a_second_factor() -> None:
    gate = testing.gate(events={"team:viewed": "Someone looked at the team."})
    with TestClient(program()(gate), base_url=gate.settings.url, follow_redirects=False) as client:
        testing.sign_in(client, EMAIL)
        setup = client.post("/auth/api/v1/me/totp").json()

        def answer() -> dict[str, str]:
            gate.clock.forward(30)
            return {"answer": code_at(unspelled(setup["secret"]), gate.clock.now // SECOND // 30)}

        assert client.post("/auth/api/v1/me/totp/prove", json=answer()).status_code == 204
        client.cookies.clear()
        client.post("/enter", data={"email": EMAIL})
        page = client.post("/prove/password", data={"answer": testing.PASSWORD})
        assert (page.status_code, 'action="/prove/totp"' in page.text) == (200, True)
        assert client.get("/auth/api/v1/session").status_code == 401
        assert client.post("/prove/totp", data={"answer": "000000"}).status_code == 403
        assert client.post("/prove/totp", data=answer()).status_code == 303
        assert client.get("/auth/api/v1/session").json()["session"]["acr"] == "urn:passgate:aal2"
