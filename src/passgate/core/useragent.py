"""Short browser and system names for a User-Agent header, for display only.

Not here: version numbers, or any access decision: a client can send any value.
"""

from __future__ import annotations

import re

_READ = 512  # characters read: real headers are shorter
_LABEL = 40

# The first match wins, so a browser that imitates another precedes it.
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
    """(browser, system): ("Firefox", "Windows"), ("curl", ""), or ("unknown", "") for an empty header.

    Both are printable ASCII of at most 40 characters. Never raises.
    """
    head = user_agent[:_READ]
    return _first(head, _BROWSERS) or _product(head) or "unknown", _first(head, _SYSTEMS)


def _first(head: str, table: tuple[tuple[str, str], ...]) -> str:
    return next((label for needle, label in table if needle in head), "")


def _product(head: str) -> str:
    """The name of the first product (RFC 9110 §10.1.5), printable ASCII only."""
    found = _PRODUCT.search(head)
    return "".join(char for char in found[0] if "!" <= char <= "~")[:_LABEL] if found else ""
