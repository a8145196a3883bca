"""Example 4's variables: which values the program starts with, what it says of the others, and what is made of them.

Not here: a start as a process, and Passgate's own settings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from pydantic_settings import BaseSettings

from passgate import errors
from tests.authenticator import Authenticator
from tests.examples.passkey_audit import ROOT_SECRET, options_of, service, variables
from tests.examples.programs import folder_of, module

NAMES = ("JWT_SECRET", "JWT_ALGORITHM", "JWT_EXPIRATION_MINUTES", "RP_ID", "RP_NAME", "ORIGIN")
"""The service's own."""
SAMPLES = ("your-secret-key-change-in-production", "your-secure-random-secret-key")
"""What its README has in place of a secret."""
OTHER_SECRET = "another-root-secret-of-the-tests-9Zt4Qm1Lx8"


@pytest.fixture
def of_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, in an empty folder and without any of its variables."""
    found = module(4, "variables")
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, *found.REFUSED, "PASSGATE_ENVIRONMENT", "PASSGATE_SECRETS", "PASSGATE_SECRETS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return found


def reasons(found: ModuleType) -> dict[str, str]:
    """What the start is refused for; nothing if it is not."""
    try:
        found.Variables.load().settings()
    except errors.UnsafeSettings as refused:
        return dict(refused.reasons)
    return {}


def given(monkeypatch: pytest.MonkeyPatch, where: str, **named: str) -> None:
    if where == "file":
        Path(".env").write_text("".join(f"{name}={value}\n" for name, value in named.items()))
    else:
        for name, value in named.items():
            monkeypatch.setenv(name.lower() if where == "lower case" else name, value)


# -- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["environment", "file", "lower case"])
@pytest.mark.parametrize(
    "name",
    [
        *("PASSGATE_PUBLIC_URL", "PASSGATE_TOKEN__ACCESS", "PASSGATE_TOKEN__ALGORITHM"),
        *("PASSGATE_SESSION__IDLE", "PASSGATE_SESSION__ABSOLUTE"),
    ],
)
def test_a_variable_that_would_be_ignored_is_refused(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    assert reasons(of_variables) == {}
    given(monkeypatch, where, **{name: "sesame"})
    found = reasons(of_variables)
    assert [*found] == [f"OTHER_{name}"]
    assert re.search(r"set (ORIGIN|JWT_\w+)", found[f"OTHER_{name}"])
    assert "sesame" not in str(found)


VALUES = {
    "JWT_ALGORITHM": ["HS256", "HS384", "hs512", "none", "ES384", "es256", "RS256 ", ""],
    "JWT_EXPIRATION_MINUTES": ["0", "-1", "1441", "an hour", "1.5", "", "60m", "1e9"],
    "RP_ID": ["example.com", "http://localhost", "localhost:8000", "LOCALHOST."],
    "RP_NAME": ["", "x" * 201],
}


@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name in VALUES for value in VALUES[name]])
def test_a_value_that_is_refused(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, value: str, where: str
) -> None:
    given(monkeypatch, where, **{name: f'"{value}"' if where == "file" else value})
    found = reasons(of_variables)
    assert [*found] == [f"VALUE_{name}"]
    assert name in found[f"VALUE_{name}"]


@pytest.mark.parametrize("value", ["HS256", "hs384", "HS512"])
def test_why_hs256_is_refused(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With what to take instead, and where others find the public key."""
    given(monkeypatch, "environment", JWT_ALGORITHM=value)
    text = reasons(of_variables)["VALUE_JWT_ALGORITHM"]
    monkeypatch.delenv("JWT_ALGORITHM")
    assert all(word in text for word in ("ES256", "EdDSA", "RS256"))
    [place] = re.findall(r"/auth/\S+\w", text)
    with service() as made:
        assert made.ask("GET", place).json().keys() == {"keys"}


def test_all_are_named_at_once(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "environment", **dict.fromkeys(of_variables.REFUSED, ""))
    given(monkeypatch, "environment", **{name: values[0] for name, values in VALUES.items()})
    refused = {f"OTHER_{name}" for name in of_variables.REFUSED}
    assert reasons(of_variables).keys() == refused | {f"VALUE_{name}" for name in VALUES}


@pytest.mark.parametrize(
    ("origin", "rp_id", "is_right"),
    [
        (None, "localhost", True),
        ("https://id.example.com", "id.example.com", True),
        ("https://id.example.com", "", True),
        ("https://id.example.com", "example.com", False),
        ("https://id.example.com", "evil.example", False),
        ("https://id.example.com", "localhost", False),
    ],
)
def test_rp_id_is_the_host_of_origin(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, origin: str | None, rp_id: str, *, is_right: bool
) -> None:
    """The suffix of a host would take in every other host below it."""
    given(monkeypatch, "environment", RP_ID=rp_id, **({"ORIGIN": origin} if origin else {}))
    assert [*reasons(of_variables)] == ([] if is_right else ["VALUE_RP_ID"])


# -- the secret --------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [*SAMPLES, "sesame", "x" * 31, ""])
def test_a_sample_or_a_short_secret_is_not_used_in_development(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    given(monkeypatch, "environment", JWT_SECRET=secret)
    assert reasons(of_variables) == {}
    found = of_variables.Variables.load()
    assert found.jwt_secret is None
    assert found.settings().secrets == ()
    assert any("JWT_SECRET" in record.getMessage() for record in caplog.records) == bool(secret)
    assert not secret or secret not in caplog.text


@pytest.mark.parametrize("secret", [*SAMPLES, "sesame", "x" * 31])
def test_it_is_refused_in_production(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    given(monkeypatch, "environment", JWT_SECRET=secret, PASSGATE_ENVIRONMENT="production")
    found = reasons(of_variables)
    assert [*found] == ["VALUE_JWT_SECRET"]
    assert secret not in str(found)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_secret_is_the_root_of_all_keys(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    given(monkeypatch, "environment", JWT_SECRET=ROOT_SECRET, PASSGATE_ENVIRONMENT=environment)
    found = of_variables.Variables.load()
    assert found.settings().secrets == (ROOT_SECRET,)
    assert ROOT_SECRET not in repr(found)


def test_32_bytes_are_counted_and_not_characters(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "environment", JWT_SECRET="é" * 16)
    assert of_variables.Variables.load().jwt_secret is not None


@pytest.mark.parametrize(
    ("secrets", "is_right"),
    [
        (f'["{ROOT_SECRET}"]', True),
        (f'["{ROOT_SECRET}", "{OTHER_SECRET}"]', True),
        (f'["{OTHER_SECRET}", "{ROOT_SECRET}"]', True),
        (f'["{OTHER_SECRET}"]', False),
        (f'["{ROOT_SECRET}x"]', False),
        ("[]", True),
        ("", True),
        (OTHER_SECRET, False),
        (ROOT_SECRET, True),
    ],
)
def test_a_secret_that_passgate_has_otherwise(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, secrets: str, *, is_right: bool
) -> None:
    """PASSGATE_SECRETS counts; a different JWT_SECRET would be ignored."""
    given(monkeypatch, "environment", JWT_SECRET=ROOT_SECRET, PASSGATE_SECRETS=secrets)
    found = reasons(of_variables)
    assert [*found] == ([] if is_right else ["VALUE_JWT_SECRET"])
    assert ROOT_SECRET not in str(found)
    assert OTHER_SECRET not in str(found)


def test_a_file_of_secrets_is_instead(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("roots").write_text(f"{OTHER_SECRET}\n")
    given(monkeypatch, "environment", PASSGATE_SECRETS_FILE="roots")
    assert reasons(of_variables) == {}
    given(monkeypatch, "environment", JWT_SECRET=ROOT_SECRET)
    assert [*reasons(of_variables)] == ["VALUE_JWT_SECRET"]


def test_passgates_own_secrets_alone(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "environment", PASSGATE_SECRETS=f'["{OTHER_SECRET}"]')
    found = of_variables.Variables.load()
    assert found.settings().secrets == (OTHER_SECRET,)


# -- what is made of them ----------------------------------------------------------------------------


def test_without_any(of_variables: ModuleType) -> None:
    """The service's defaults, but for a key that only the program has."""
    found = of_variables.Variables.load()
    settings = found.settings()
    assert (found.jwt_expiration_minutes, found.rp_name) == (60, "Auth Example")
    assert (settings.token.access, settings.token.algorithm) == (3600, "ES256")
    assert settings.url == "http://localhost:8000"


@pytest.mark.parametrize("minutes", [1, 60, 1439, 1440])
def test_a_session_lives_as_long_as_its_token(
    of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    given(monkeypatch, "environment", JWT_EXPIRATION_MINUTES=str(minutes))
    settings = of_variables.Variables.load().settings()
    assert settings.token.access == minutes * 60
    assert settings.session.idle > settings.token.access
    assert settings.session.absolute > settings.token.access


def test_the_environment_counts_more_than_the_file(of_variables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "file", JWT_EXPIRATION_MINUTES="5", RP_NAME="Of the file")
    given(monkeypatch, "environment", JWT_EXPIRATION_MINUTES="7")
    found = of_variables.Variables.load()
    assert (found.jwt_expiration_minutes, found.rp_name) == (7, "Of the file")


def test_names_and_origin_are_those_of_the_ceremonies() -> None:
    with service(origin="http://app.localhost:8000", rp_name="The Service") as made:
        options = options_of(made.register_begin(made.new()))
        assert options["rp"] == {"id": "app.localhost", "name": "The Service"}
        who = made.person()
        assert made.enter(who).status_code == 200
        there = made.signed(who.email, Authenticator(credentials=who.key.credentials), origin="http://localhost:8000")
        assert made.login_complete(who.email, there).status_code == 401


def test_the_policy_is_made_anew_at_each_start() -> None:
    """Whatever an admin has changed of it."""
    with service() as made:

        async def change() -> None:
            admin = made.gate.at(None, tenant="main").admin
            await admin.change_policy("own", passkey_counter="note", first=["password", "passkey"])
            await admin.change_tenant("own", display_name="Another")
            await made.variables.prepare(made.gate)

        made.run(change)
        [found] = made.query("SELECT display_name, policy FROM tenant WHERE name = 'main'")
        policy = json.loads(found["policy"])
        assert found["display_name"] == "Auth Example"
        assert (policy["first"], policy.get("passkey_counter", "refuse")) == (["passkey"], "refuse")


# -- what the README says ----------------------------------------------------------------------------


def section(heading: str) -> str:
    page = (folder_of(4) / "README.md").read_text()
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_variable_has_its_line_and_each_line_its_variable(of_variables: ModuleType) -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Variables"), re.MULTILINE)
    assert tuple(listed) == NAMES
    own = {name.upper() for name in of_variables.Variables.model_fields}
    assert own == {*NAMES, "PASSGATE_ENVIRONMENT"}


def test_every_refused_variable_is_named(of_variables: ModuleType) -> None:
    named = set(re.findall(r"PASSGATE_[A-Z_]+", section("Variables")))
    assert named == {*of_variables.REFUSED, "PASSGATE_SECRETS", "PASSGATE_SECRETS_FILE", "PASSGATE_DATABASE_URL"}


def test_the_sample_starts_it(of_variables: ModuleType) -> None:
    """`.env` of the folder, whose every variable is known to somebody."""
    sample = folder_of(4) / ".env"
    Path(".env").write_text(sample.read_text())
    assert reasons(of_variables) == {}
    found: BaseSettings = of_variables.Variables.load()
    assert isinstance(found, BaseSettings)
    names = re.findall(r"^([A-Z_0-9]+)=", sample.read_text(), re.MULTILINE)
    assert {name for name in names if not name.startswith("PASSGATE_")} <= {*NAMES}


def test_what_tests_hand_in_is_checked_too() -> None:
    with pytest.raises(ValueError, match="ES256"):
        variables(jwt_algorithm="HS256")
