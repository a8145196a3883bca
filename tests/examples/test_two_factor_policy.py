"""Example 3: what each variable does: the policy after a start, the lives of tokens, the name in apps and mails; and
which variables stop it.

Not here: the program as its folder runs it, with a file (start).
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from passgate import errors
from passgate.settings import Settings
from passgate.store.tables import audit_event
from passgate.testing import Gate
from tests.examples.programs import client_of, folder_of, module
from tests.examples.test_two_factor_flow import claims
from tests.examples.two_factor import (
    MINUTE,
    SHORT,
    App,
    Service,
    Who,
    new_gate,
    production,
    program,
    service,
    variables,
)
from tests.kit import PASSWORD

POLICY = {
    "first": ("password", "passkey"),
    "second": "if_enrolled",
    "second_among": ("totp", "email_code", "recovery_code"),
    "mailed_second_factor": "at_once",
    "totp_at_once": True,
    "totp_shown_again": True,
    "totp_window": 2,
    "address_proof": "later",
    "signup": "open",
    "password_checks": "length",
    "password_alone": 6,
}
CODES = {"count": 5, "mailed": True}


def policy_of(made: Service) -> dict[str, Any]:
    found = made.run(made.gate.at(None, tenant="main").admin.policy, "own")
    return {name: getattr(found, name) for name in (*POLICY, "recovery_codes")}


def has(found: dict[str, Any], **changed: Any) -> bool:
    codes = found.pop("recovery_codes")
    codes = codes if isinstance(codes, dict) else {name: getattr(codes, name) for name in CODES}
    assert {name: codes[name] for name in CODES} == CODES | changed.pop("recovery_codes", {})
    return found == POLICY | changed


def test_after_the_start(mailed: Service) -> None:
    assert has(policy_of(mailed))


def test_in_production() -> None:
    found, gate = production()
    with service(gate, found) as made:
        assert has(policy_of(made), password_checks="full", password_alone=15)
        assert made.signup(made.new(), password=SHORT).status_code == 422
        assert made.http.get("/auth/dev/mail.json").status_code == 404


def test_in_development_six_digits_do(mailed: Service) -> None:
    mailed.login(mailed.person(password=SHORT))


def test_a_start_sets_the_policy_again() -> None:
    """And changes nothing, nor writes a line of the audit trail, if it is so already."""
    found = variables()
    gate = new_gate(found)
    app = program(gate, found)
    with client_of(app, gate) as http:
        made = Service(gate, http, found)
        at = gate.at(None, tenant="main")
        made.run(lambda: at.admin.change_policy("own", second="always", totp_window=0))
        assert not has(policy_of(made))
        for written in (True, False):
            before = made.run(events, gate)
            made.run(found.prepare, gate)
            assert has(policy_of(made))
            assert (made.run(events, gate) > before) == written


async def events(gate: Gate) -> int:
    async with gate.services.store.read() as db:
        return len(await db.rows(select(audit_event.c.id)))


def test_people_stay_as_they_are_when_it_starts_again() -> None:
    found = variables()
    gate = new_gate(found)
    app = program(gate, found)
    with client_of(app, gate) as http:
        who = Service(gate, http, found).person("code_generator", "ann@example.com")
    with client_of(app, gate) as http:
        again = Service(gate, http, found)
        assert again.show(again.login(who).access).json()["tfa_enabled"] is True


@pytest.mark.parametrize("tolerance", [0, 1])
def test_tolerance(tolerance: int) -> None:
    with service(totp_token_tolerance=tolerance) as made:
        assert has(policy_of(made), totp_window=tolerance)
        for later in (-2, -1, 0, 1, 2):
            who = made.person("code_generator")
            assert who.app is not None
            status = made.second(made.first(who), who.app.code(later)).status_code
            assert status == (200 if abs(later) <= tolerance else 403)


def test_lives_and_numbers() -> None:
    lives = {"access_token_expire_minutes": 7, "refresh_token_expire_minutes": 90, "pre_tfa_token_expire_minutes": 2}
    with service(found=variables(**lives, tfa_backup_tokens_nr=8)) as made:
        assert has(policy_of(made), recovery_codes={"count": 8})
        who = made.person("code_generator")
        assert len({*made.backup(who.email)}) == 8
        tokens = made.login(who)
        found = claims(tokens.access)
        assert found["exp"] - found["iat"] == 7 * MINUTE
        first = made.first(who)
        made.forward(minutes=2.1)
        late = made.second(first, made.code(who))
        assert (late.status_code, "2" in late.json()["detail"]) == (401, True)
        made.forward(minutes=85)
        assert made.refresh(tokens.refresh).status_code == 200
        made.forward(minutes=91)
        assert made.refresh(tokens.refresh).status_code == 403


def test_a_refresh_token_may_live_for_ninety_days() -> None:
    with service(refresh_token_expire_minutes=129_600) as made:
        _, tokens = made.signed_in()
        made.forward(hours=24 * 89)
        assert made.refresh(tokens.refresh).status_code == 200


@pytest.mark.parametrize("name", ["Acme, Inc.", "Ümlaut & Söhne", "a:b", "x" * 200])
def test_the_name_in_apps_and_mails(name: str) -> None:
    with service(totp_issuer_name=name, project_name="A project") as made:
        who = made.person("code_generator")
        assert who.app is not None
        issuer = name.replace(":", " ")
        assert who.app.query["issuer"] == issuer
        assert who.app.label == f"/{issuer}:{who.email}"
        assert name in made.mails(who.email, "recovery_codes")[0].text
        assert made.http.get("/").json() == "A project"
        assert made.http.get("/openapi.json").json()["info"]["title"] == "A project"


def test_the_path_before_the_endpoints() -> None:
    found = variables(api_v1_str="/two/factor")
    gate = new_gate(found)
    with client_of(program(gate, found), gate) as http:
        given = {"email": "ann@example.com", "full_name": "Ann", "password": PASSWORD}
        assert http.post("/two/factor/auth/signup", json=given).status_code == 200
        assert http.post("/api/v1/auth/signup", json=given).status_code == 404
        document = http.get("/openapi.json").json()
        assert all(path == "/" or path.startswith("/two/factor/") for path in document["paths"])


def test_origins() -> None:
    front, foreign = "https://front.example.com", "https://foreign.example.com"
    with service(backend_cors_origins=f"{front},http://localhost:5555") as made:
        asks = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization"}
        path = "/api/v1/tfa/enable_tfa"
        there = made.http.options(path, headers={"origin": front, **asks})
        assert there.status_code == 200
        assert there.headers["access-control-allow-origin"] == front
        assert "access-control-allow-credentials" not in there.headers
        assert made.http.options(path, headers={"origin": foreign, **asks}).status_code == 400
        for url in (path, "/auth/api/v1/session", "/nowhere"):
            answer = made.http.get(url, headers={"origin": front})
            assert answer.headers.get_list("access-control-allow-origin") == [front], url
            assert "access-control-allow-origin" not in made.http.get(url, headers={"origin": foreign}).headers


def test_who_mails_are_from() -> None:
    assert variables(fake_email_sender="ann@example.com").settings().mail.sender == "ann@example.com"
    with service(fake_email_sender="ann@example.com") as made:
        made.ask("GET", "/tasks/test-celery")
        assert len(made.mails("ann@example.com")) == 1


# -- what stops it ---------------------------------------------------------------------------------

WRONG = {
    "FASTAPI_CONFIG": ("testing", "", "Production"),
    "ACCESS_TOKEN_EXPIRE_MINUTES": ("0", "-1", "1441", "x", "1.5", ""),
    "REFRESH_TOKEN_EXPIRE_MINUTES": ("0", "129601"),
    "PRE_TFA_TOKEN_EXPIRE_MINUTES": ("0", "16"),
    "TFA_BACKUP_TOKENS_NR": ("4", "17"),
    "TFA_TOKEN_LENGTH": ("8", "06", ""),
    "TOTP_TOKEN_TOLERANCE": ("3", "-1"),
    "TOTP_ISSUER_NAME": ("", "x" * 201),
    "API_V1_STR": ("", "/", "api", "/api/", "/Api", "//", "/a b", "/auth", "/auth/v1", "/docs"),
    "PROJECT_NAME": ("",),
    "FAKE_EMAIL_SENDER": ("nope", "", "ann@", "ann@example.com, ben@example.com"),
    "BACKEND_CORS_ORIGINS": ("*", "http://localhost:5555/", "localhost:5555", "https://a.example.com,*"),
}


def reasons() -> list[str]:
    try:
        module(3).Variables.load()
    except errors.UnsafeSettings as refused:
        assert "sesame" not in str(refused)
        return [code for code, _ in refused.reasons]
    return []


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_that_can_not_be_used(nothing_set: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert reasons() == []
    nothing_set.setenv(name, value)
    assert reasons() == [f"VALUE_{name}"]


@pytest.mark.parametrize("name", ["JWT_SECRET_KEY", "CELERY_BROKER_URL", "POSTGRES_HOST", "ALGORITHM"])
def test_a_variable_that_is_gone(nothing_set: pytest.MonkeyPatch, name: str) -> None:
    nothing_set.setenv(name, "sesame")
    nothing_set.setenv("TOTP_TOKEN_TOLERANCE", "sesame")
    assert reasons() == [f"OLD_{name}", "VALUE_TOTP_TOKEN_TOLERANCE"], "all are named at once"


def test_the_sample_has_what_the_service_has(nothing_set: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """And what the program does without it."""
    (tmp_path / ".env").write_text((folder_of(3) / ".env").read_text())
    found = module(3).Variables.load()
    assert found == variables(backend_cors_origins="http://localhost:5555")
    settings: Settings = found.settings()
    assert (settings.port, settings.environment, settings.mail.url) == (5555, "development", "dev+console:")
    assert (settings.token.access, settings.token.refresh, settings.signin.life) == (1800, 86_400, 300)
    assert settings.cors.origins == ("http://localhost:5555",)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_passgates_environment_is_the_same(nothing_set: pytest.MonkeyPatch, environment: str) -> None:
    nothing_set.setenv("PASSGATE_ENVIRONMENT", environment)
    nothing_set.setenv("FAKE_EMAIL_SENDER", "post@example.com")
    with pytest.raises(errors.UnsafeSettings) as refused:
        nothing_set.setenv("FASTAPI_CONFIG", {"development": "production"}.get(environment, "development"))
        module(3).Variables.load()
    assert [code for code, _ in refused.value.reasons] == ["VALUE_PASSGATE_ENVIRONMENT"]
    nothing_set.setenv("FASTAPI_CONFIG", environment)
    assert module(3).Variables.load().settings().environment == environment


def test_an_app_scanned_before_a_new_name_still_works() -> None:
    found = variables(totp_issuer_name="Before")
    gate = new_gate(found)
    with client_of(program(gate, found), gate) as http:
        made = Service(gate, http, found)
        who = made.person("code_generator", "ann@example.com")
        made.run(variables(totp_issuer_name="After").prepare, gate)
        tokens = made.login(Who(who.email, app=who.app))
        again = App.scan(made.ask("GET", "/tfa/get_my_qrcode", tokens.access).content, gate.clock)
        assert who.app is not None
        assert (who.app.query["issuer"], again.query["issuer"]) == ("Before", "After")
        assert again.query["secret"] == who.app.query["secret"]
