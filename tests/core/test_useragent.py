"""Real and hostile User-Agent fields, and the labels that they are described with."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.core.useragent import describe

WIN = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
TUX = "Mozilla/5.0 (X11; Linux x86_64)"
BOT = "Mozilla/5.0 (Linux; Android 10; K)"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
PAD = "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"

REAL = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
        "Firefox",
        "Windows",
    ),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Firefox", "Linux"),
    ("Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0", "Firefox", "Android"),
    (f"{PHONE} FxiOS/133.0 Mobile/15E148 Safari/605.1.15", "Firefox", "iOS"),
    (f"{WIN} {KIT} Chrome/131.0.0.0 Safari/537.36", "Chrome", "Windows"),
    (f"{BOT} {KIT} Chrome/131.0.0.0 Mobile Safari/537.36", "Chrome", "Android"),
    (f"{PHONE} CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1", "Chrome", "iOS"),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {KIT} Chrome/131.0.0.0 Safari/537.36", "Chrome", "ChromeOS"),
    (f"{TUX} {KIT} HeadlessChrome/131.0.0.0 Safari/537.36", "Chrome", "Linux"),
    (f"{WIN} {KIT} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0", "Edge", "Windows"),
    (f"{BOT} {KIT} Chrome/131.0.0.0 Mobile Safari/537.36 EdgA/131.0.0.0", "Edge", "Android"),
    (f"{WIN} {KIT} Chrome/131.0.0.0 Safari/537.36 OPR/115.0.0.0", "Opera", "Windows"),
    ("Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18", "Opera", "Windows"),
    (
        f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {KIT} SamsungBrowser/27.0 Chrome/125.0 Safari/537.36",
        "Samsung Internet",
        "Android",
    ),
    (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15", "Safari", "macOS"),
    (f"{PHONE} Version/18.1 Mobile/15E148 Safari/604.1", "Safari", "iOS"),
    (f"{PAD} Version/17.6 Mobile/15E148 Safari/604.1", "Safari", "iOS"),
    (f"{PHONE} Mobile/15E148", "WebKit", "iOS"),
    ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", "Windows"),
    ("curl/8.5.0", "curl", ""),
    ("python-httpx/0.28.1", "python-httpx", ""),
    ("Wget/1.21.4", "Wget", ""),
    ("okhttp/4.12.0", "okhttp", ""),
    ("Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)", "Dalvik", "Android"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Mozilla", ""),
    ("", "unknown", ""),
    (" \t/(;", "unknown", ""),
    ("\x00\x1b\xe9\ud800", "unknown", ""),
    ("My\x1bTool\xe9/1.0", "MyTool", ""),
]


@pytest.mark.parametrize(("field", "browser", "system"), REAL)
def test_labels(field: str, browser: str, system: str) -> None:
    assert describe(field) == (browser, system)


@given(st.text(st.characters()))
def test_anything_gives_short_printable_labels(field: str) -> None:
    browser, system = describe(field)
    assert browser
    for label in (browser, system):
        assert len(label) <= 40
        assert label.isascii()
        assert label.isprintable() or not label


@pytest.mark.parametrize("unit", ["x", " ", "/", "(", "Mozilla/5.0 ", "Edg", "\x00"])
def test_hostile_length(unit: str) -> None:
    began = time.perf_counter()
    describe(unit * 1_000_000)
    assert time.perf_counter() - began < 0.1
