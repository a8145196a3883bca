"""`gate.bearer`: a route for tokens alone, where the cookie of the pages opens nothing; and cookies of a program's own
on a machine that several share.

Not here: what makes a session live, and the guards that take both.
"""

from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request

from passgate import Settings, User, testing
from passgate.testing import Gate
from passgate.web import cookies
from tests.kit import bearer
from tests.library.program import asked

NAMES = (cookies.session_name, cookies.signin_name, cookies.link_name, cookies.browser_name, cookies.known_name)


def service(gate: Gate) -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[User, Depends(gate.bearer)]) -> str:
        return user.email

    @app.get("/people")
    async def people(request: Request, user: Annotated[User, Depends(gate.bearer)]) -> str:
        return (await gate.may("users:read")(request, user)).id

    gate.mount(app)
    return app


@pytest.mark.parametrize("carrier", ["bearer", "jwt"])
async def test_a_token_opens_it(carrier: testing.Carrier) -> None:
    gate = testing.gate()
    app = service(gate)
    async with asked(app, gate) as http:
        await testing.sign_in(http, "anna@example.com", carrier=carrier)
        assert (await http.get("/me")).json() == "anna@example.com"
        assert (await http.get("/people")).json()["code"] == "permission_missing"
        assert gate.unguarded(app) == []


async def test_a_cookie_does_not() -> None:
    gate = testing.gate()
    async with asked(service(gate), gate) as http:
        await testing.sign_in(http, "anna@example.com", carrier="cookie")
        refused = await http.get("/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "credential_missing")
        wrong = await http.get("/me", headers=bearer("pg_ses_nothing"))
        assert (wrong.status_code, wrong.json()["code"]) == (401, "credential_invalid")


def test_the_document_has_one_scheme() -> None:
    gate = testing.gate()
    document = service(gate).openapi()
    assert document["paths"]["/me"]["get"]["security"] == [{"session": []}]
    assert [*document["components"]["securitySchemes"]] == ["session"]


def test_cookies_over_http_have_the_prefix() -> None:
    settings = Settings.development(cookie_prefix="shop_")
    assert {name(settings).startswith("shop_passgate_") for name in NAMES} == {True}
    https = settings.model_copy(update={"public_url": "https://id.example.com"})
    assert {name(https).startswith("__Host-passgate_") for name in NAMES} == {True}


async def test_two_programs_in_one_jar() -> None:
    """One browser is signed in to both, and neither reads what the other has set."""
    jar, programs = httpx2.Cookies(), {}
    for email, prefix in (("anna@example.com", ""), ("ben@example.com", "shop_")):
        gate = testing.gate(cookie_prefix=prefix)
        programs[email] = gate, service(gate)
        async with asked(programs[email][1], gate) as http:
            await testing.sign_in(http, email, carrier="cookie")
            jar.update(http.cookies)
    for email, (gate, app) in programs.items():
        async with asked(app, gate) as http:
            http.cookies = jar
            assert (await http.get("/auth/api/v1/me")).json()["user"]["email"] == email


@pytest.mark.parametrize(
    "prefix", ["Shop", "a b", "a=b", "a;b", "ä", "x" * 41, "__host-", "__secure-", "_", "-a", "1a"]
)
def test_what_cannot_be_a_prefix(prefix: str) -> None:
    with pytest.raises(ValueError, match="cookie_prefix"):
        Settings.development(cookie_prefix=prefix)
