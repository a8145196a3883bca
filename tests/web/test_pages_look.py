"""What pages consist of: complete translations, readable colours, small files, header fields, landmarks.

Not here: whether pages look good, which people have to judge.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from markupsafe import escape

from passgate import i18n, theme
from passgate.core.ctx import Ctx
from passgate.core.mail import LETTERS, render
from passgate.settings import ThemeSettings
from passgate.web.guards import BINDING
from passgate.web.pages.page import STATIC
from tests import operating
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, The, running, settings_for
from tests.web.browsing import Browser, Page, app, browser, rule

ROOT = Path(__file__).parents[2]


def _catalog_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalog", ROOT / "tools" / "catalog.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


# -- translations ----------------------------------------------------------------------------------

TOOL = _catalog_tool()
PO = i18n.LOCALES / "de" / "LC_MESSAGES" / "passgate.po"
_PLACES = re.compile(r"%\(\w+\)s|</?b>")


def test_the_german_catalog_is_complete() -> None:
    needed = TOOL.needed()
    assert len(needed) > 150
    translated = set(TOOL.read(PO)) - {""}
    assert needed - translated == set(), "not translated"
    assert translated - needed == set(), "said nowhere"


def test_each_translation_fills_the_same_places() -> None:
    for english, german in TOOL.read(PO).items():
        if not english:
            continue
        forms, theirs = english.split("\0"), german.split("\0")
        assert len(forms) == len(theirs)
        for one, other in zip(forms, theirs, strict=True):
            assert other.strip(), one
            assert sorted(set(_PLACES.findall(one))) == sorted(set(_PLACES.findall(other))), one


def test_the_compiled_catalog_is_the_written_one() -> None:
    assert PO.with_suffix(".mo").read_bytes() == TOOL.compiled(TOOL.read(PO)), "run tools/catalog.py"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH,en;q=0.5", "de"),
        ("en,de;q=0.9", "en"),
        ("fr, de;q=0.3, en;q=0.2", "de"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("de;q=x", "en"),
        ("DE_de", "en"),
        ("x" * 5000, "en"),
        ("fr", "en"),
    ],
)
def test_the_best_language_is_chosen(accept: str, language: str) -> None:
    assert i18n.choose(accept) == language


_AT = 1_795_615_500_000_000  # 2026-11-25T14:05:00Z
_MINUTE = 60_000_000
_DAY = 1440 * _MINUTE


def test_a_date_in_the_readers_language() -> None:
    english, german = i18n.catalog("en"), i18n.catalog("de")
    assert i18n.date(english, _AT) == "25 November 2026"
    assert i18n.date(german, _AT) == "25. November 2026"
    for month in range(12):
        at = _AT + month * 30 * _DAY
        assert len(i18n.date(english, at).split()) == 3
    assert i18n.date(english, _AT) in i18n.moment(english, _AT)
    assert "14:05" in i18n.moment(german, _AT)


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_recent_times_are_relative(language: str) -> None:
    catalog = i18n.catalog(language)
    ages = [0, _MINUTE, 2 * _MINUTE, 60 * _MINUTE, 23 * 60 * _MINUTE, _DAY, 2 * _DAY, 6 * _DAY, 7 * _DAY - 1]
    translated = [i18n.ago(catalog, _AT, _AT - age) for age in ages]
    assert len(set(translated[:-1])) == len(translated) - 1, "each age has its own word"
    assert translated[-1] == translated[-2], "six days and some hours are six days"
    assert i18n.ago(catalog, _AT, _AT + _DAY) == translated[0], "a clock may be behind"
    for age in (7 * _DAY, 400 * _DAY):
        assert i18n.ago(catalog, _AT, _AT - age) == i18n.date(catalog, _AT - age)


async def test_pages_and_mails_speak_german(lite: The) -> None:
    async with browser(lite, **{"accept-language": "de-CH"}) as anna:
        assert (await anna.page("/signup")).language == "de"
        await anna.send("/signup", email="anna@example.com", password=PASSWORD)
        [mail] = await lite.mails("anna@example.com")
        assert '<html lang="de">' in mail["html"]
        subject = i18n.catalog("de").gettext(LETTERS["signup_code"].subject)
        assert mail["subject"] == subject % {"service": "Passgate", "code": mail["code"]}


async def test_a_host_replaces_texts(tmp_path: Path) -> None:
    texts, templates = tmp_path / "texts.json", tmp_path / "templates"
    texts.write_text(json.dumps({"en": {text: f"{text} as ours" for text in TOOL.needed()}}))
    templates.mkdir()
    (templates / "recover.html").write_text('{% extends "task.html" %}{% block title %}Ours{% endblock %}')
    own = {"texts": texts, "templates": templates, "hue": 20, "chroma": 0.1}
    async with running(settings_for(tmp_path, look=own)) as the:
        assert " as ours" in (await the.http.get("/signin")).text
        assert "<h1>Ours</h1>" in (await the.http.get("/recover")).text
        assert (await the.http.get("/static/passgate.css")).text.endswith(":root{--hue:20;--chroma:0.1}\n")


async def test_every_mail_has_both_parts_with_the_same_facts(lite: The) -> None:
    for language in i18n.LANGUAGES:
        for kind, letter in LETTERS.items():
            ctx = Ctx(lite.gate.services, language=language)
            code = "12345678" if "code" in letter.subject else None
            made = render(ctx, kind, "a@example.com", service="A & <B>", code=code, link=None)
            assert made.html is not None
            assert "A &amp; &lt;B&gt;" in made.html and "A & <B>" in made.text
            for fact in (code, made.link, "a@example.com"):
                assert fact is None or (fact in made.text and fact in made.html), kind
            assert "%(" not in made.text + made.html + made.subject
            assert made.link is None or made.link.startswith("http://localhost:8000/")


# -- colours ---------------------------------------------------------------------------------------

_TOKEN = re.compile(r"--([\w-]+): light-dark\(oklch\((.+?)\), oklch\((.+)\)\);")
PAIRS = [
    ("ink", "card"),
    ("ink", "ground"),
    ("ink", "well"),
    ("soft", "card"),
    ("soft", "ground"),
    ("soft", "well"),
    ("brand", "card"),
    ("brand", "ground"),
    ("on-brand", "brand"),
    ("bad", "bad-ground"),
    ("bad", "card"),
    ("good", "good-ground"),
    ("good", "card"),
]
EDGES = [("field", "card"), ("field", "well"), ("bad", "well"), ("brand", "well")]


def _colour(text: str, hue: float, chroma: float) -> tuple[float, float, float]:
    text = text.replace("calc(var(--chroma) * .8)", str(chroma * 0.8)).replace("var(--chroma)", str(chroma))
    lightness, colourful, turned = text.replace("var(--hue)", str(hue)).split()
    return theme.linear(float(lightness.rstrip("%")) / 100, float(colourful), float(turned))


def _contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """The contrast ratio (WCAG 2.2, relative luminance)."""
    bright, dark = sorted(
        (0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other)), reverse=True
    )
    return (bright + 0.05) / (dark + 0.05)


def _tokens() -> dict[str, tuple[str, str]]:
    found = {name: (light, dark) for name, light, dark in _TOKEN.findall((STATIC / "passgate.css").read_text())}
    assert {name for pair in PAIRS + EDGES for name in pair} <= set(found)
    return found


@pytest.mark.parametrize("chroma", [0.0, 0.08, 0.16, 0.2])
def test_every_brand_can_be_read(chroma: float) -> None:
    tokens = _tokens()
    for hue in range(0, 361, 2):
        for mode in (0, 1):
            colours = {name: _colour(pair[mode], hue, chroma) for name, pair in tokens.items()}
            for pairs, floor in ((PAIRS, 4.5), (EDGES, 3.0)):
                for one, other in pairs:
                    found = _contrast(colours[one], colours[other])
                    assert found >= floor, f"{one} on {other}, hue {hue}, {('light', 'dark')[mode]}: {found:.2f}"


def test_mails_can_be_read() -> None:
    for hue in range(0, 361, 5):
        colours = theme.mail_colours(ThemeSettings(hue=hue, chroma=0.2))
        rgb = {name: tuple(_unhex(text)) for name, text in colours.items()}
        for one, other in (
            ("ink", "card"),
            ("soft", "card"),
            ("brand", "card"),
            ("on_brand", "brand"),
            ("ink", "ground"),
        ):
            assert _contrast(rgb[one], rgb[other]) >= 4.5, (one, other, hue)  # type: ignore[arg-type]


def _unhex(text: str) -> list[float]:
    parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


# -- every page ------------------------------------------------------------------------------------


async def every_page(the: The, anna: Browser) -> dict[str, str]:
    """path → text of every page, of a person with a session and of pending sign-ins."""
    await rule(the, second_among=["passkey", "totp", "recovery_code", "email_code"])
    await anna.sign_up()
    phone = Authenticator()
    await anna.use(phone, "/account/passkeys/new")
    mine = next(link for link in (await anna.page("/account/factors")).links if link.endswith("/remove"))
    await anna.send("/account/totp/offer", at="/account/totp")
    drawn = (await anna.get("/account/totp")).text
    await anna.send("/account/totp", code=app(the, Page(drawn).secret))
    made = (await anna.send("/account/recovery-codes")).text
    await anna.send("/account/address", email="new@example.com")
    paths = [
        "/signin",
        "/signup",
        "/recover",
        "/signout",
        "/account",
        "/account/sessions",
        "/account/activity",
        "/account/password",
        "/account/address",
        "/account/address/code",
        "/account/address/undo",
        "/account/export",
        "/account/delete",
        "/account/factors",
        "/account/passkeys/new",
        mine,
        mine.removesuffix("/remove"),
        "/account/totp",
        "/account/totp/remove",
        "/account/recovery-codes",
        "/signin/link",
        "/recover/stop",
        "/recover/stop?done=stopped",
        "/dev/mail",
        "/account/nothing",
    ]
    displayed = {path: (await anna.get(path)).text for path in paths} | {"drawn": drawn, "made": made}
    await anna.send("/signin", email="anna@example.com")
    displayed["/signin/password"] = (await anna.get("/signin/password")).text
    await anna.send("/signin/password", password=PASSWORD)
    for path in ("/signin/totp", "/signin/passkey", "/signin/recovery-code"):
        displayed[f"second {path}"] = (await anna.get(path)).text
    sent = await anna.send("/signin/email-code/again", at="/signin/totp")
    displayed["second /signin/email-code"] = (await anna.get(sent.headers["location"])).text
    await anna.get((await operating.signin_link(Ctx(the.gate.services), "anna@example.com", "main")).url)
    displayed["a link"] = (await anna.get("/signin/link")).text
    await anna.send("/recover", email="anna@example.com")
    displayed["/signin/email-code"] = (await anna.get("/signin/email-code")).text
    await anna.send("/signin/email-code", code=await the.code("anna@example.com"))
    displayed["another sign"] = (await anna.get("/signin/password")).text
    await anna.send("/recover", email="anna@example.com")
    await anna.send("/signin/email-code", code=await the.code("anna@example.com"))
    await anna.use(phone, "/signin/passkey")
    displayed["new password"] = (await anna.get("/signin/password")).text
    return displayed


async def test_every_page_is_small_whole_and_of_our_own(lite: The) -> None:
    async with browser(lite) as anna:
        for path, text in (await every_page(lite, anna)).items():
            page = Page(text)
            assert page.name, path
            assert len(text.encode()) < 20_000, path
            names = [tag for tag, _ in page.tags]
            assert (names.count("h1"), names.count("main"), page.language) == (1, 1, "en"), path
            for tag, given in page.tags:
                assert not {name for name in given if name.startswith("on") or name == "style"}, (path, tag)
                assert tag not in ("style", "iframe", "object", "base"), path
                for name in ("src", "action", "href"):
                    where = given.get(name, "/")
                    is_ours = where.startswith(("/", lite.gate.settings.url))
                    assert is_ours or (path == "made" and where.startswith("data:text/plain;")), (path, where)
            assert all("src" in given for tag, given in page.tags if tag == "script"), path
            assert all("csrf_token" in form.names for form in page.forms if form.method == "post"), path
            assert text.count("<label for=") == len([g for t, g in page.tags if t == "input" and "id" in g]), path
            ids = [given["id"] for _, given in page.tags if "id" in given]
            assert len(ids) == len(set(ids)), path
            described = [given["aria-describedby"] for _, given in page.tags if "aria-describedby" in given]
            assert set(described) <= set(ids), path


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_every_date_carries_its_instant(lite: The) -> None:
    async with browser(lite) as anna:
        displayed = {path: Page(text).tags for path, text in (await every_page(lite, anna)).items()}
    times = [(path, given) for path, tags in displayed.items() for tag, given in tags if tag == "time"]
    assert {path for path, _ in times} >= {"/account", "/account/sessions", "/account/activity", "/account/factors"}
    for path, given in times:
        assert _INSTANT.fullmatch(given["datetime"]), path
        assert given["title"], path


async def test_no_page_is_partly_translated(lite: The) -> None:
    """A German page contains none of our English texts. The mailbox is left out, because mails caused by the command
    line are in English."""
    translated = [
        (form, other)
        for english, german in TOOL.read(PO).items()
        for form, other in zip(english.split("\0"), german.split("\0"), strict=True)
    ]
    whole = {form for form, other in translated if other != form and len(form.split()) > 2 and "%(" not in form}
    assert len(whole) > 100
    async with browser(lite, **{"accept-language": "de"}) as anna:
        for path, text in (await every_page(lite, anna)).items():
            assert Page(text).language == "de"
            assert path == "/dev/mail" or not {one for one in whole if str(escape(one)) in text}, path


async def test_every_page_carries_its_header_fields(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        asking = {"/signin", "/signup", "/account/passkeys/new"}
        for path in (
            *sorted(asking),
            "/recover",
            "/signout",
            "/account",
            "/account/password",
            "/account/factors",
            "/account/recovery-codes",
            "/dev/mail",
            "/account/x",
        ):
            sent = (await anna.get(path)).headers
            policy = (
                "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; "
                "frame-ancestors 'none'; base-uri 'none'"
            )
            # On these pages the passkey script sends requests to our own endpoints.
            assert sent["content-security-policy"] == policy + ("; connect-src 'self'" if path in asking else ""), path
            assert sent["referrer-policy"] == "same-origin"
            assert (sent["x-robots-tag"], sent["cache-control"]) == ("noindex", "no-store")
            assert sent["x-content-type-options"] == "nosniff"


async def test_the_files_are_small_and_cached(lite: The) -> None:
    assert len((await lite.http.get("/static/passgate.css")).content) < 15_000
    for address in [link for link in Page((await lite.http.get("/signin")).text).links if link.startswith("/static/")]:
        stored = await lite.http.get(address)
        assert stored.headers["cache-control"].endswith("immutable")
        again = await lite.http.get(address.partition("?")[0] + "?v=old")
        assert again.headers["cache-control"] == "no-store"
    sheet = (STATIC / "passgate.css").read_text()
    assert "@import" not in sheet and "url(" not in sheet


async def test_where_passwords_are_changed(lite: The) -> None:
    answer = await lite.http.get("/.well-known/change-password")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")


async def test_cookies_over_https_are_bound_to_the_host(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, public_url="https://id.localhost")) as the:
        set_cookie = (await the.http.get("/signin")).headers["set-cookie"]
        name, _, rest = set_cookie.partition("=")
        assert name == "__Host-passgate_signin"
        assert rest.startswith(BINDING)
        assert rest.partition("; ")[2] == "Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure"
