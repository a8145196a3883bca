"""Where settings come from: every variable, with every kind of value that people write or mistype.

The list of variables is made from the settings themselves. Not here: what a setting does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passgate import startup
from passgate.core.site import Site
from passgate.errors import UnsafeSettings
from passgate.settings import Settings, refusals, variables
from passgate.settings.origins import origin
from passgate.settings.values import sender_parts
from passgate.world import World

NAMES = sorted(variable for variable, _, _ in variables.names(Settings))
PLACES = {variable: place for variable, place, _ in variables.names(Settings)}
PATHS = sorted(variable for variable, _, is_path in variables.names(Settings) if is_path)
TEXTS = {
    *("PASSGATE_MAIL__URL", "PASSGATE_BREACH__URL", "PASSGATE_METRICS__TOKEN"),
    *("PASSGATE_MAIL__OAUTH__CLIENT_SECRET", "PASSGATE_MAIL__OAUTH__REFRESH_TOKEN"),
}
"""Any text is one; whoever uses it checks it."""
LISTS = {"PASSGATE_SECRETS", "PASSGATE_HASH__PEPPER"}
WRONG = ("@", "<x>", "a b!", "https://u:p@h/x?y#z%41", "tcp://1", "-1 parsec", "\x01", "[1]", "{", "NaN", "9" * 30)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("PASSGATE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield


def value_of(settings: Settings, variable: str) -> Any:
    found: Any = settings
    for name in PLACES[variable]:
        found = getattr(found, "sender" if name == "from" else name)
    return found


def reasons() -> list[tuple[str, str]]:
    with pytest.raises(UnsafeSettings) as refused:
        Settings.load()
    return refused.value.reasons


@pytest.mark.parametrize("variable", NAMES)
@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_empty_is_unset(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"{variable}=\n")
    monkeypatch.setenv(variable, value)
    assert Settings.load() == Settings.development()


@pytest.mark.parametrize("variable", NAMES)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, or refused with its name and without its value; nothing else is ever raised, here or by what asks later."""
    refused = 0
    for value in WRONG:
        try:
            monkeypatch.setenv(variable, value)
        except ValueError:
            continue
        try:
            settings = Settings.load()
        except UnsafeSettings as unsafe:
            [(code, text)] = unsafe.reasons
            assert code in ("SETTING_INVALID", "DATABASE_URL") or code == "SETTING_UNKNOWN"
            assert text.startswith(variable)
            assert value not in text.removeprefix(variable) or len(value) < 3
            refused += 1
        else:
            assert all("PASSGATE_" in text for _, text in startup.reasons(settings, World.real()))
            assert isinstance(refusals(settings), list)
            assert settings.database is not None
    assert refused or variable in {*PATHS, *TEXTS, *LISTS}


@pytest.mark.parametrize("variable", NAMES)
def test_only_a_path_may_have_any_bytes(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `PASSGATE_SECRETS=$(head -c 32 /dev/urandom)` has them."""
    monkeypatch.setenv(variable, os.fsdecode(b"ab\xff\xfe" * 10))
    if variable in PATHS:
        assert os.fsencode(value_of(Settings.load(), variable)) == b"ab\xff\xfe" * 10
    else:
        assert [(code, text.split()[0]) for code, text in reasons()] == [("SETTING_INVALID", variable)]


@pytest.mark.parametrize("variable", PATHS)
def test_a_path_is_taken_letter_by_letter(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a?b", "a#b", "%41", " a ", "a b", "~", "$HOME", "'a'", "ü"):
        monkeypatch.setenv(variable, str(tmp_path / name))
        assert value_of(Settings.load(), variable) == tmp_path / name


def test_secrets_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 20)
    for name in ("missing", "loop", "binary", "."):
        settings = Settings.development(secrets_file=tmp_path / name)
        assert [code for code, _ in refusals(settings)] == ["SECRETS_MISSING"], name


def test_a_mark_at_the_start_is_no_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_bytes(b"\xef\xbb\xbf" + b"x" * 40)
    assert Settings.development(secrets_file=tmp_path / "secrets").root_secrets() == ("x" * 40,)


# -- spellings -------------------------------------------------------------------------------------


def _durations() -> list[str]:
    found = []
    for variable in NAMES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(variable, "1H30M")
            try:
                found += [variable] if value_of(Settings.load(), variable) == 5400 else []
            except UnsafeSettings:
                continue
    return found


def test_every_duration_is_written_with_units(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = _durations()
    assert {"PASSGATE_SESSION__IDLE", "PASSGATE_RECOVERY__WAIT", "PASSGATE_SERVE__HEAD"} <= set(durations)
    assert len(durations) >= 16
    for variable in durations:
        for text, seconds in {"90S": 90, "60m": 3600, "1 h": 3600, "5 minutes": 300, " 45 ": 45}.items():
            with monkeypatch.context() as patch:
                patch.setenv(variable, text)
                assert value_of(Settings.load(), variable) == seconds


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("PASSGATE_LOG_LEVEL", "INFO", "info"),
        ("PASSGATE_LOG_LEVEL", " Warning ", "warning"),
        ("PASSGATE_ENVIRONMENT", "Production", "production"),
        ("PASSGATE_TENANCY", "MULTI", "multi"),
        ("PASSGATE_TOKEN__ALGORITHM", "es256", "ES256"),
        ("PASSGATE_TOKEN__ALGORITHM", "EDDSA", "EdDSA"),
        ("PASSGATE_DOCS", "Off", False),
        ("PASSGATE_DOCS", " yes ", True),
        ("PASSGATE_PORT", " 9000 ", 9000),
        ("PASSGATE_HASH__MEMORY_KIB", "64MiB", 65536),
        ("PASSGATE_HASH__MEMORY_KIB", "1 g", 1048576),
        ("PASSGATE_HASH__MEMORY_KIB", "19456KiB", 19456),
        ("PASSGATE_HOST", "[::1]", "::1"),
        ("PASSGATE_HOST", "Localhost", "localhost"),
        ("PASSGATE_HOST", "unix:/run/passgate.sock", "unix:/run/passgate.sock"),
        ("PASSGATE_TRUSTED_PROXIES", "UNIX, 10.0.0.1/8", ("unix", "10.0.0.0/8")),
        ("PASSGATE_CORS__ORIGINS", "https://App.example.org/", ("https://app.example.org",)),
    ],
)
def test_as_people_write_it(variable: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, text)
    assert value_of(Settings.load(), variable) == value


@pytest.mark.parametrize(
    "host", ["http://0.0.0.0", "0.0.0.0:8000", "256.1.1.1", "a b", "*", "unix:relative", "::1]:80"]
)
def test_what_is_no_address_to_bind(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSGATE_HOST", host)
    assert [code for code, _ in reasons()] == ["SETTING_INVALID"]


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("id@acme.com", "", "id@acme.com"),
        (" <id@acme.com> ", "", "id@acme.com"),
        ("Acme, Inc. <id@acme.com>", "Acme, Inc.", "id@acme.com"),
        ("Example: Sign-in <id@example.org>", "Example: Sign-in", "id@example.org"),
        ('"Acme, Inc." <id@acme.com>', "Acme, Inc.", "id@acme.com"),
        (r'"The \"A\" team" <id@acme.com>', 'The "A" team', "id@acme.com"),
        ("A (b) [c]; d@e <id@acme.com>", "A (b) [c]; d@e", "id@acme.com"),
        ("Bücher <id@bücher.example>", "Bücher", "id@bücher.example"),
        ("Passgate <passgate@localhost>", "Passgate", "passgate@localhost"),
    ],
)
def test_senders(text: str, name: str, address: str) -> None:
    assert sender_parts(text) == (name, address)
    assert sender_parts(Settings.development(mail={"from": text}).mail.sender) == (name, address)


@pytest.mark.parametrize("text", [",", "Acme", "a@b, c@d", "<>", "A <a@b", "A <a b@c>", "A\nB: c <a@b>", "a@b <c@d> e"])
def test_what_is_no_sender(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSGATE_MAIL__FROM", text)
    assert [code for code, _ in reasons()] == ["SETTING_INVALID"]


# -- origins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" HTTPS://ID.Example.com/ ", "https://id.example.com"),
        ("https://id.example.com:443", "https://id.example.com"),
        ("https://id.example.com:0443", "https://id.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("https://id.example.com:8443", "https://id.example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("https://[2001:DB8:0::1]", "https://[2001:db8::1]"),
        ("https://192.0.2.1", "https://192.0.2.1"),
    ],
)
def test_one_reader_of_origins(written: str, read: str) -> None:
    assert origin(written) == read
    assert origin(read) == read
    assert Settings.development(public_url=written).url == read
    assert Settings.development(cors={"origins": written.strip()}).cors.origins == (read,)
    assert Site(written).origin == read


@pytest.mark.parametrize(
    "written",
    [
        *("id.example.com", "ftp://id.example.com", "https://", "https:///", "https:id.example.com", "https://:443"),
        *("https://u@id.example.com", "https://u:p@id.example.com", "https://id.example.com/auth", "https://a/?b"),
        *("https://id.example.com?", "https://id.example.com#x", "https://id.example.com:", "https://id.example.com:0"),
        *("https://id.example.com:65536", "https://id example.com", "https://*.example.com", "https://a..b"),
        *(
            "https://-a.example",
            "https://a%41.example",
            "https://a\\b",
            "https://1.2.3",
            "https://0x7f.1",
            "https://[::1",
        ),
        *("https://[1.2.3.4]", "https://" + "a" * 64 + ".example", "https://a.example."),
    ],
)
def test_what_is_no_origin(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="origin"):
        origin(written)
    with pytest.raises(ValueError, match="origin"):
        Site(written)
    monkeypatch.setenv("PASSGATE_PUBLIC_URL", written)
    assert [code for code, _ in reasons()] == ["SETTING_INVALID"]


@pytest.mark.parametrize(
    ("port", "url"), [(8000, "http://localhost:8000"), (80, "http://localhost"), (0, "http://localhost")]
)
def test_the_origin_of_development(port: int, url: str) -> None:
    assert Site(Settings.development(port=port).url).origin == url


def test_origins_of_programs_that_show_pages() -> None:
    given = ("capacitor://localhost", "https://a.example", "HTTPS://A.example/", "null", "*")
    assert Settings.development(cors={"origins": given}).cors.origins == (*given[:2], "null", "*")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("PASSGATE_SESION__IDLE", "PASSGATE_SESSION__IDLE"),
        ("PASSGATE_SESSION_IDLE", "PASSGATE_SESSION__IDLE"),
        ("PASSGATE_SMTP__URL", "PASSGATE_MAIL__URL"),
        ("PASSGATE_DB_URL", "PASSGATE_DATABASE_URL"),
        ("PASSGATE_SECRET", "PASSGATE_SECRETS"),
        ("PASSGATE_SECRET_DIR", "PASSGATE_SECRETS_DIR"),
        ("PASSGATE_SESSION", "PASSGATE_SESSION__IDLE"),
        ("PASSGATE_METRICS__TOKEN_FILE", "PASSGATE_SECRETS_DIR"),
        ("PASSGATE_", ""),
        ("PASSGATE_MAIL__SENDER", ""),
        ("PASSGATE_WHATEVER_IT_IS", ""),
    ],
)
@pytest.mark.parametrize("source", ["environment", ".env", "folder"])
def test_unknown_names_are_refused_with_the_nearest(
    written: str, right: str, source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if source == "environment":
        monkeypatch.setenv(written, "hunter2")
    elif source == ".env":
        Path(".env").write_text(f"{written}=hunter2\n")
    else:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / written.lower()).write_text("hunter2")
        monkeypatch.setenv("PASSGATE_SECRETS_DIR", str(tmp_path / "secrets"))
    [(code, text)] = reasons()
    assert (code, "hunter2" in text) == ("SETTING_UNKNOWN", False)
    assert text.startswith(written)
    assert not right or f" {right}" in text


@pytest.mark.parametrize("name", sorted(variables.LATER))
def test_names_without_a_meaning_yet_are_taken_for_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who sets PASSGATE_REDIS_URL means the nearest name, PASSGATE_BREACH__URL."""
    assert f"PASSGATE_{name}" not in NAMES
    monkeypatch.setenv(f"PASSGATE_{name}", "redis://hunter2")
    [(code, text)] = reasons()
    assert (code, text.count("PASSGATE_"), "hunter2" in text) == ("SETTING_UNKNOWN", 1, False)


def test_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSGATE_SESION__IDLE", "1h")
    monkeypatch.setenv("PASSGATE_PORT", "many")
    monkeypatch.setenv("PASSGATE_DATABASE_URL", "mysql://u:hunter2@h/d")
    assert sorted(code for code, _ in reasons()) == ["DATABASE_URL", "SETTING_INVALID", "SETTING_UNKNOWN"]
    assert "hunter2" not in str(reasons())


def test_service_links_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes makes them up for services called `passgate` and `passgate-mail`."""
    links: dict[str, str] = {}
    for name in ("PASSGATE", "PASSGATE_MAIL"):
        links |= {
            f"{name}_SERVICE_HOST": "10.0.0.11",
            f"{name}_SERVICE_PORT": "8000",
            f"{name}_SERVICE_PORT_HTTP": "8000",
            f"{name}_PORT": "tcp://10.0.0.11:8000",
            f"{name}_PORT_8000_TCP": "tcp://10.0.0.11:8000",
            f"{name}_PORT_8000_TCP_PROTO": "tcp",
            f"{name}_PORT_8000_TCP_PORT": "8000",
            f"{name}_PORT_8000_TCP_ADDR": "10.0.0.11",
        }
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PASSGATE_WORKERS", "2")
    settings = Settings.load()
    assert (settings.port, settings.workers) == (8000, 2)
    assert set(settings.ignored) == set(links)
    Path(".env").write_text("PASSGATE_PORT=9000\n")
    assert Settings.load().port == 9000
    monkeypatch.setenv("PASSGATE_PORT", "8001")
    assert Settings.load().port == 8001
    assert set(Settings.load().ignored) == set(links) - {"PASSGATE_PORT"}


# -- files -----------------------------------------------------------------------------------------


def test_which_source_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, value in {"PASSGATE_PORT": "1", "passgate_workers": "2\n", "passgate_docs": "off", "other": "x"}.items():
        (folder / name).write_text(value)
    (folder / "..data").mkdir()
    Path(".env").write_bytes(
        f"\ufeffPASSGATE_SECRETS_DIR={folder}\nPASSGATE_PORT=3\npassgate_workers=4\nOTHER=1\n".encode()
    )
    monkeypatch.setenv("PASSGATE_PORT", "5")
    settings = Settings.load(cookie_prefix="given_", session={"idle": 60})
    assert (settings.port, settings.workers, settings.docs) == (5, 4, False)
    assert (settings.cookie_prefix, settings.session.idle) == ("given_", 60)


def test_what_is_given_wins_group_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSGATE_SESSION__IDLE", "7m")
    monkeypatch.setenv("PASSGATE_SESSION__ABSOLUTE", "8h")
    session = Settings.load(session={"idle": 60}).session
    assert (session.idle, session.absolute) == (60, 8 * 3600)


@pytest.mark.parametrize("kind", ["missing", "a file", "a loop", "an unreadable file in it", "bytes in it"])
def test_a_folder_of_secrets_that_cannot_be_read(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    if kind == "a file":
        folder.write_text("x")
    elif kind == "a loop":
        folder.symlink_to("secrets")
    elif kind != "missing":
        folder.mkdir()
        if kind == "bytes in it":
            (folder / "passgate_port").write_bytes(b"\xff\xfe")
        else:
            (folder / "passgate_port").symlink_to("passgate_port")  # as root, every mode can be read
    monkeypatch.setenv("PASSGATE_SECRETS_DIR", str(folder))
    assert [code for code, _ in reasons()] == ["SETTINGS_FILE"]


def test_an_env_file_that_cannot_be_read() -> None:
    Path(".env").symlink_to(".env")
    assert [code for code, _ in reasons()] == ["SETTINGS_FILE"]
    Path(".env").unlink()
    Path(".env").write_bytes(b"PASSGATE_PORT=\xff\xfe\n")
    assert [code for code, _ in reasons()] == ["SETTINGS_FILE"]
    Path(".env").unlink()
    Path(".env").mkdir()
    assert Settings.load() == Settings.development()


@pytest.mark.parametrize(
    "line",
    [
        "PASSGATE_ENVIRONMENT: production",
        "PASSGATE_ENVIRONMENT='production",
        'export PASSGATE_ENVIRONMENT="production',
        "PASSGATE ENVIRONMENT PASSGATE_X",
    ],
)
def test_a_line_that_is_no_variable_is_not_passed_over(line: str, caplog: pytest.LogCaptureFixture) -> None:
    """It could be the one that says `production`."""
    Path(".env").write_text(f"OTHER=1\nanother program's: line\n{line}\nPASSGATE_PORT=9000\n")
    [(code, text)] = reasons()
    assert (code, "production" in text, " 3 " in text) == ("SETTINGS_FILE", False, True)
    assert not caplog.records


def test_lines_as_people_write_them() -> None:
    """As systemd and Docker read this file: a value is what is written, up to a blank with `#` after it."""
    values = ("s#p%40@h:25", "a$HOME${HOME}b", "${HOME}", "%41", "c:d@e")
    for value in values:
        for written in (value, f"'{value}'", f'"{value}"', f"{value}  # a remark"):
            Path(".env").write_bytes(f"# first\r\n\r\nexport PASSGATE_DATA = {written}\r\nPASSGATE_PORT\r\n".encode())
            assert Settings.load().data == Path(value)


def test_names_that_no_setting_has_are_refused_in_programs_too() -> None:
    with pytest.raises(ValueError, match="prot"):
        Settings.development(prot=9000)
