"""The settings for access tokens: what is refused, in production and in development, and what shows no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from passgate.mail_oauth import MailOAuthSettings
from passgate.settings import Settings, refusals
from tests.ground.test_settings import GOOD
from tests.mail_servers import CLIENT_SECRET, REFRESH_TOKEN

URL = "smtp+starttls://smtp.example.com"
WHOLE: dict[str, Any] = {
    "token_url": "https://login.example.com/{tenant}/token",
    "tenant": "acme.example",
    "client_id": "passgate",
    "client_secret": CLIENT_SECRET,
}


def both(url: str = URL, **oauth: Any) -> list[list[str]]:
    """The reasons in production and in development."""
    mail = {"url": url, "oauth": {name: value for name, value in oauth.items() if value is not None}}
    made = (Settings.production(**{**GOOD, "mail": mail}), Settings.development(mail=mail))
    return [[code for code, _ in refusals(settings)] for settings in made]


@pytest.mark.parametrize(
    ("code", "url", "given"),
    [
        ("MAIL_OAUTH_INCOMPLETE", URL, {"client_secret": None}),
        ("MAIL_OAUTH_INCOMPLETE", URL, {"client_id": None}),
        ("MAIL_OAUTH_INCOMPLETE", URL, {"token_url": None, "tenant": None}),
        ("MAIL_OAUTH_TENANT", URL, {"tenant": None, "token_url": "https://login.example.com/{tenant}/"}),
        ("MAIL_OAUTH_TENANT", URL, {"token_url": "https://login.example.com/common/token"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "http://login.example.com/{tenant}"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "https://user@login.example.com/{tenant}"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "https://login.example.com/{tenant}#x"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "https://login.example.com:99999/{tenant}"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "https:///{tenant}"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "login.example.com/{tenant}"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "https://login.example.com/{tenant}/{x}"}),
        ("MAIL_OAUTH_URL", URL, {"token_url": "https://[::1/{tenant}"}),
        ("MAIL_OAUTH_CLEAR", "smtp://smtp.example.com", {}),
        ("MAIL_OAUTH_PASSWORD", "smtp+starttls://user:pass@smtp.example.com", {}),
        ("MAIL_OAUTH_PASSWORD", "smtps://user@smtp.example.com", {}),
    ],
)
def test_each_reason_alone(code: str, url: str, given: dict[str, Any]) -> None:
    for found in both(url, **{**WHOLE, **given}):
        # A URL whose tenant is missing is no URL either.
        assert set(found) - {"MAIL_OAUTH_URL"} == ({code} - {"MAIL_OAUTH_URL"})
        assert code in found


@pytest.mark.parametrize("name", sorted(set(MailOAuthSettings.model_fields) - {"mechanism"}))
def test_one_alone_is_not_enough(name: str) -> None:
    for found in both(**{name: WHOLE.get(name, "x")}):
        assert "MAIL_OAUTH_INCOMPLETE" in found


@pytest.mark.parametrize(
    "given",
    [
        WHOLE,
        {**WHOLE, "client_secret": None, "refresh_token": REFRESH_TOKEN},
        {**WHOLE, "refresh_token": REFRESH_TOKEN, "scope": "a b", "user": "id@acme.example", "mechanism": "XOAUTH2"},
        {**WHOLE, "tenant": None, "token_url": "https://login.example.com/token"},
        {"mechanism": "XOAUTH2"},
    ],
)
def test_what_is_enough(given: dict[str, Any]) -> None:
    assert both(**given) == [[], []]


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:1"])
def test_a_token_endpoint_on_this_machine(host: str) -> None:
    """Only development may do without encryption."""
    given = {**WHOLE, "token_url": f"http://{host}/{{tenant}}"}
    assert both(**given) == [["MAIL_OAUTH_URL"], []]


@pytest.mark.parametrize(
    "wrong",
    [{"mechanism": "PLAIN"}, {"user": "a\x01b"}, {"user": ""}, {"tenant": "a/b"}, {"client_secret": ""}, {"x": "y"}],
)
def test_what_cannot_be_read(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        MailOAuthSettings.model_validate({**WHOLE, **wrong})


def test_nothing_shows_a_secret() -> None:
    secret = "smtp+starttls://user:hunter2@smtp.example.com"
    oauth = {**WHOLE, "refresh_token": REFRESH_TOKEN, "token_url": None, "tenant": "a"}
    settings = Settings.development(mail={"url": secret, "oauth": {k: v for k, v in oauth.items() if v is not None}})
    texts = repr(settings) + str(settings) + "".join(text for _, text in refusals(settings))
    assert not [word for word in (CLIENT_SECRET, REFRESH_TOKEN, "hunter2") if word in texts]


def test_from_variables_and_a_folder_of_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "passgate_mail__oauth__client_secret").write_text(CLIENT_SECRET)
    monkeypatch.setenv("PASSGATE_SECRETS_DIR", str(tmp_path / "secrets"))
    for name in ("TOKEN_URL", "TENANT", "CLIENT_ID"):
        monkeypatch.setenv(f"PASSGATE_MAIL__OAUTH__{name}", WHOLE[name.lower()])
    oauth = Settings.load().mail.oauth
    assert oauth.endpoint == "https://login.example.com/acme.example/token"
    assert oauth.client_secret is not None
    assert oauth.client_secret.get_secret_value() == CLIENT_SECRET
