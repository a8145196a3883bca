"""Languages: which one somebody reads, and the words of each, as gettext catalogs. English is the source.

What is said stands where it is said, in templates and modules; nothing here knows a page or a mail.
"""

from __future__ import annotations

import gettext
import json
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "de")
LOCALES = Path(__file__).parent / "web" / "locales"
DOMAIN = "passgate"


def N_(text: str) -> str:  # noqa: N802  the name gettext's tools know
    """Marks a text that is translated later, where it is shown."""
    return text


@lru_cache(256)
def choose(accept: str) -> str:
    """The language of an Accept-Language field (RFC 9110 §12.5.4): the best one we have, else English."""
    best, weight = LANGUAGES[0], 0.0
    for part in accept[:200].split(","):
        tag, _, rest = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(rest)
        if language in LANGUAGES and quality > weight:
            best, weight = language, quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


class _Own(gettext.NullTranslations):
    """A host's own texts before ours."""

    def __init__(self, texts: dict[str, str], fallback: gettext.NullTranslations) -> None:
        super().__init__()
        self._texts = texts
        self.add_fallback(fallback)

    def gettext(self, message: str) -> str:
        return self._texts.get(message) or super().gettext(message)


@lru_cache(16)
def catalog(language: str, texts: Path | None = None) -> gettext.NullTranslations:
    """The words of one language. `texts`: a host's JSON file {"de": {"our English text": "their text"}}."""
    ours = gettext.translation(DOMAIN, LOCALES, [language], fallback=language == LANGUAGES[0])
    if texts is None:
        return ours
    own = json.loads(texts.read_text("utf-8")).get(language, {})
    return _Own({str(key): str(value) for key, value in own.items()}, ours)
