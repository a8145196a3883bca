"""Settings: every reason to refuse to start, alone and together; accepted spellings; the sources of values.

What a setting does is tested where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import passgate
from passgate.settings import Settings, refusals

ROOT = Path(__file__).parents[2]
SOURCE = "\n".join(path.read_text() for path in Path(passgate.__path__[0]).rglob("*.py"))
SECRET = "9fK2vB7qLx0ZtR4nYw8mDc3hJs6pGa1u"
GOOD: dict[str, Any] = {
    "public_url": "https://id.example.com",
    "secrets": (SECRET,),
    "mail": {"url": "smtp+starttls://mail.example.com:587"},
    "metrics": {"token": "kPz4-Qw8x-Yt2b-Lm6n"},
}


def codes(**given: Any) -> list[str]:
    return [code for code, _ in refusals(Settings.production(**{**GOOD, **given}))]


def test_a_good_production_starts() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("SECRETS_MISSING", {"secrets": ()}),
        ("SECRETS_MISSING", {"secrets": (), "secrets_file": Path("no/such/file")}),
        ("SECRETS_SHORT", {"secrets": (SECRET[:31],)}),
        ("SECRETS_SHORT", {"secrets": (SECRET, SECRET[:16])}),
        ("SECRETS_DEFAULT", {"secrets": ("changeme-" + SECRET,)}),
        ("SECRETS_DEFAULT", {"secrets": ("x" * 40,)}),
        ("PEPPER_SHORT", {"hash": {"pepper": ("short",)}}),
        ("URL_NOT_HTTPS", {"public_url": None, "port": 443}),
        ("URL_NOT_HTTPS", {"public_url": "http://id.example.com"}),
        ("URL_LOCALHOST", {"public_url": "https://localhost"}),
        ("URL_LOCALHOST", {"public_url": "https://id.localhost"}),
        ("URL_ADDRESS", {"public_url": "https://192.0.2.1"}),
        ("URL_LOCALHOST", {"public_url": "https://127.0.0.1"}),
        ("URL_LOCALHOST", {"public_url": "https://[::1]:8443"}),
        ("MAIL_NOT_REAL", {"mail": {"url": "dev:"}}),
        ("MAIL_NOT_REAL", {"mail": {"url": "console:"}}),
        ("MAIL_NOT_REAL", {"mail": {"url": "dev+console:"}}),
        ("CORS_ANY", {"cors": {"origins": ("https://app.example.com", "*")}}),
        ("CORS_INSECURE", {"cors": {"origins": ("https://app.example.com", "http://app.example.com")}}),
        ("CORS_INSECURE", {"cors": {"origins": "HTTP://localhost:3000"}}),
        ("CORS_INSECURE", {"cors": {"origins": "null"}}),
        ("MAIL_CLEAR", {"mail": {"url": "smtp://user:pass@mail.example.com"}}),
        ("MAIL_CLEAR", {"mail": {"url": "smtp://user@mail.example.com"}}),
        ("SESSION_LONG", {"session": {"absolute": 90 * 86400 + 1}}),
        ("SESSION_LONG", {"session": {"idle": "91d"}}),
        ("FRESH_LONG", {"signin": {"fresh": "61m"}}),
        ("RECOVERY_WAIT", {"recovery": {"wait": 0}}),
        ("ERASE_WAIT", {"erase": {"wait": "0s"}}),
        ("SQLITE_NODES", {"nodes": 2}),
        ("HASH_WEAK", {"hash": {"memory_kib": 19455, "passes": 2}}),
        ("METRICS_OPEN", {"metrics": {}}),
        ("METRICS_OPEN", {"metrics": {"token": "short"}}),
    ],
)
def test_each_reason_alone(code: str, given: dict[str, Any]) -> None:
    found = codes(**given)
    assert code in found
    assert set(found) <= {code, "URL_LOCALHOST"} if given.get("public_url", "") is None else found == [code]


@pytest.mark.parametrize(
    "given",
    [
        {"session": {"absolute": "90d", "idle": "90d"}, "signin": {"fresh": "1h"}},
        {"recovery": {"wait": "1s"}, "erase": {"wait": "1s"}},
        {"mail": {"url": "smtps://user:pass@mail.example.com"}},
        {"mail": {"url": "smtp://mail.example.com"}},
    ],
)
def test_what_is_just_allowed(given: dict[str, Any]) -> None:
    assert codes(**given) == []


@pytest.mark.parametrize(
    ("networks", "is_everybody"),
    [
        ("0.0.0.0/0", True),
        ("::/0", True),
        ("2000::/3", True),
        ("0.0.0.0/1, 10.0.0.1, 128.0.0.0/1", True),
        ("0.0.0.0/1, 128.0.0.0/2, 192.0.0.0/3", True),
        ("2000::/4, 3000::/4", True),
        ("192.0.2.1, ::/1, 8000::/1", True),
        ("128.0.0.0/1", False),
        ("10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 127.0.0.0/8, fd00::/8, ::1", False),
        ("0.0.0.0/1, 8000::/1", False),
        ("", False),
    ],
)
def test_nobody_trusts_everybody(networks: str, is_everybody: bool) -> None:
    assert codes(trusted_proxies=networks) == (["PROXIES_ANY"] if is_everybody else [])


def test_development_may_do_what_production_refuses() -> None:
    loose = {"absolute": "400d", "idle": "400d"}
    settings = Settings.development(
        session=loose,
        signin={"fresh": "1d"},
        recovery={"wait": 0},
        erase={"wait": 0},
        mail={"url": "smtp://user:pass@mail.example.com"},
        cors={"origins": "http://localhost:3000"},
        trusted_proxies="0.0.0.0/0",
    )
    assert refusals(settings) == []


def test_all_reasons_at_once() -> None:
    bad = Settings.production(
        secrets=("changeme",),
        public_url="http://localhost:8000",
        cors={"origins": "*"},
        nodes=2,
        hash={"memory_kib": 1024, "passes": 1, "pepper": ("short",)},
    )
    assert {code for code, _ in refusals(bad)} == {
        "SECRETS_SHORT",
        "SECRETS_DEFAULT",
        "PEPPER_SHORT",
        "URL_NOT_HTTPS",
        "URL_LOCALHOST",
        "MAIL_NOT_REAL",
        "CORS_ANY",
        "SQLITE_NODES",
        "HASH_WEAK",
        "METRICS_OPEN",
    }


def test_reasons_repeat_no_secret() -> None:
    bad = Settings.production(
        secrets=("changeme-hunter2",), hash={"pepper": ("hunter2",)}, metrics={"token": "hunter2"}
    )
    assert not [text for _, text in refusals(bad) if "hunter2" in text]


def test_repr_hides_secrets() -> None:
    settings = Settings.production(
        **GOOD | {"hash": {"pepper": (SECRET[::-1],)}, "database_url": f"postgresql://u:{SECRET[:9]}@db/x"}
    )
    displayed = repr(settings) + str(settings)
    assert not [secret for secret in (SECRET, SECRET[::-1], SECRET[:9], "kPz4") if secret in displayed]


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("DEVELOPMENT_BIND", {"host": "0.0.0.0"}),
        ("DEVELOPMENT_BIND", {"host": "192.0.2.1"}),
        ("DEVELOPMENT_BIND", {"host": "id.example.com"}),
        ("DEVELOPMENT_URL", {"public_url": "http://id.example.com"}),
        ("DEVELOPMENT_URL", {"public_url": "http://localhost.example.com"}),
        ("DEVELOPMENT_URL", {"public_url": "http://notlocalhost"}),
    ],
)
def test_development_is_for_this_machine(code: str, given: dict[str, Any]) -> None:
    assert [code for code, _ in refusals(Settings.development(**given))] == [code]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.53"])
def test_development_may_bind_loopback(host: str) -> None:
    assert refusals(Settings.development(host=host, public_url="http://id.localhost:8000")) == []


# -- spelling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("90s", 90), ("60m", 3600), ("24h", 86400), ("30d", 2592000), ("45", 45), (44, 44), ("2w", 1209600)],
        *[("90S", 90), ("90 s", 90), ("1h30m", 5400), ("1H 30M", 5400), ("1d12h", 129600), ("5 minutes", 300)],
        *[("1 hour", 3600), ("10min", 600), (" 45 ", 45), ("36500d", 36500 * 86400)],
    ],
)
def test_durations(text: object, seconds: int) -> None:
    assert Settings.development(session={"idle": text}).session.idle == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "-1s", "0s", "1.5h", "30m1h", "1h1h", "1y", "500ms", "1h30", "١s", "9999999999s", "36526d", None],
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValidationError):
        Settings.development(session={"idle": text})


def test_a_pause_may_be_nothing() -> None:
    assert Settings.development(session={"touch": "0s"}).session.touch_every == 0
    assert Settings.development(session={"idle": "100s"}).session.touch_every == 10
    assert Settings.development().session.touch_every == 60


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example, https://b.example",
        "https://a.example https://b.example",
        '["https://a.example","https://b.example"]',
        "https://a.example,\nhttps://b.example,",
    ],
)
def test_lists(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSGATE_CORS__ORIGINS", text)
    assert Settings.load().cors.origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://ID.Example.com", "https://id.example.com"),
        ("https://id.example.com/", "https://id.example.com"),
        ("https://id.example.com:8443", "https://id.example.com:8443"),
    ],
)
def test_the_public_url_is_an_origin(given: str, url: str) -> None:
    assert Settings.production(**{**GOOD, "public_url": given}).url == url


@pytest.mark.parametrize(
    "given",
    ["id.example.com", "ftp://id.example.com", "https://id.example.com/auth", "https://id.example.com?a=1", "https://"],
)
def test_what_is_no_origin(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings.development(public_url=given)


def test_unknown_names_inside_a_group_are_refused() -> None:
    with pytest.raises(ValidationError):
        Settings.development(session={"idel": "1h"})


def test_settings_cannot_be_changed() -> None:
    settings = Settings.development()
    with pytest.raises(ValidationError):
        settings.__setattr__("port", 1)  # bypasses the type checker
    with pytest.raises(ValidationError):
        settings.session.__setattr__("idle", 1)


# -- sources of values -----------------------------------------------------------------------------


def test_from_the_environment_and_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two underscores separate the names of nested settings; a variable takes precedence over `.env`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PASSGATE_PORT=9001\nPASSGATE_SESSION__IDLE=5m\nPASSGATE_MAIL__FROM=a@b.example\n")
    monkeypatch.setenv("PASSGATE_SESSION__IDLE", "7m")
    monkeypatch.setenv("PASSGATE_TRUSTED_PROXIES", "10.0.0.1/8, ::1")
    settings = Settings.load()
    assert (settings.port, settings.session.idle, settings.mail.sender) == (9001, 420, "a@b.example")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_from_a_folder_of_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run" / "secrets"
    folder.mkdir(parents=True)
    (folder / "passgate_secrets").write_text(SECRET)
    (folder / "passgate_metrics__token").write_text("from a file")
    monkeypatch.setenv("PASSGATE_SECRETS_DIR", str(folder))
    settings = Settings.load()
    assert settings.root_secrets() == (SECRET,)
    assert settings.metrics.token is not None
    assert settings.metrics.token.get_secret_value() == "from a file"


def test_secrets_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text(f"{SECRET}\n\n  {SECRET[::-1]}  \n")
    path.chmod(0o600)
    settings = Settings.production(**{**GOOD, "secrets": (), "secrets_file": path})
    assert settings.root_secrets() == (SECRET, SECRET[::-1])
    assert refusals(settings) == []


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o444, False), (0o602, True), (0o666, True)])
def test_who_may_change_the_file_with_the_secrets(tmp_path: Path, mode: int, is_open: bool) -> None:
    path = tmp_path / "secrets"
    path.write_text(SECRET)
    path.chmod(mode)
    for preset in (Settings.production, Settings.development):
        made = preset(**{**(GOOD if preset is Settings.production else {}), "secrets": (), "secrets_file": path})
        assert [code for code, _ in refusals(made)] == (["SECRETS_OPEN"] if is_open else [])
    assert codes(secrets=(SECRET,), secrets_file=path) == []  # not read


def test_a_file_that_holds_no_text_has_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_bytes(b"\xff\xfe\x00" * 20)
    assert codes(secrets=(), secrets_file=tmp_path / "secrets") == ["SECRETS_MISSING"]


def test_the_presets_read_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PASSGATE_PORT=9001\n")
    monkeypatch.setenv("PASSGATE_PORT", "9002")
    monkeypatch.setenv("PASSGATE_SESSION__IDLE", "7m")
    settings = Settings.development()
    assert (settings.port, settings.session.idle) == (8000, 3600)


@pytest.mark.parametrize(
    ("given", "is_sqlite"),
    [(None, True), ("sqlite:///x.db", True), ("postgresql://db/x", False), ("postgres://db/x", False)],
)
def test_the_database(given: str | None, is_sqlite: bool) -> None:
    assert Settings.development(database_url=given).is_sqlite is is_sqlite


def _names(part: type[BaseModel]) -> Iterator[str]:
    for name, field in part.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation)


@pytest.mark.parametrize("name", sorted(set(_names(Settings))))
def test_every_setting_is_read(name: str) -> None:
    """Each name is used as an attribute somewhere. A setting that nothing reads would mislead operators."""
    assert re.search(rf"\.{name}\b", SOURCE)
