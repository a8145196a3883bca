"""Short names for the browser and the system behind a User-Agent field, for lists that people read.

No version numbers, and never a decision about what anybody may do: a client says whatever it likes.
"""

from __future__ import annotations

import re

_READ = 512  # characters looked at: real fields are shorter
_LABEL = 40

# The first needle found wins, so whoever pretends to be another browser stands above it.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex"),
    ("UCBrowser/", "UC Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Focus/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
    ("Epiphany/", "Epiphany"),
    ("Safari/", "Safari"),
    ("AppleWebKit/", "WebKit"),
)

_SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("iPod", "iOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
    ("X11", "Linux"),
)

_PRODUCT = re.compile(r"[^\s/(;]+")


def describe(user_agent: str) -> tuple[str, str]:
    """(browser, system): ("Firefox", "Windows"), ("curl", ""), or ("unknown", "") where nothing was said.

    Both are printable ASCII of at most 40 characters. Never raises.
    """
    head = user_agent[:_READ]
    return _first(head, _BROWSERS) or _product(head) or "unknown", _first(head, _SYSTEMS)


def _first(head: str, table: tuple[tuple[str, str], ...]) -> str:
    return next((label for needle, label in table if needle in head), "")


def _product(head: str) -> str:
    """The name of the first product (RFC 9110 §10.1.5), without what could not be printed."""
    found = _PRODUCT.search(head)
    return "".join(char for char in found[0] if "!" <= char <= "~")[:_LABEL] if found else ""
