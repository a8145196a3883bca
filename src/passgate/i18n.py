"""The reader's language, and the gettext catalog of each language. English is the source.

Not here: the texts, which are in the templates and modules that use them.
"""

from __future__ import annotations

import gettext
import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from passgate import files

LANGUAGES = ("en", "de")
LOCALES = Path(__file__).parent / "web" / "locales"
DOMAIN = "passgate"
_LARGEST = 16 * 1024 * 1024
"""Bytes of a file of texts."""
_PLACEHOLDER = re.compile(r"%\((\w+)\)")


def N_(text: str) -> str:  # noqa: N802  the name gettext's tools know
    """Marks a text that is translated later, where it is displayed."""
    return text


@lru_cache(256)
def choose(accept: str) -> str:
    """The best language of an Accept-Language field (RFC 9110 §12.5.4) that we have; English if there is none."""
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
    """A host's own texts, which precede ours."""

    def __init__(self, texts: dict[str, str], fallback: gettext.NullTranslations) -> None:
        super().__init__()
        self._texts = texts
        self.add_fallback(fallback)

    def gettext(self, message: str) -> str:
        return self._texts.get(message) or super().gettext(message)


@lru_cache(16)
def catalog(language: str, texts: Path | None = None) -> gettext.NullTranslations:
    """The catalog of one language. `texts`: a host's JSON file {"de": {"our English text": "their text"}}."""
    ours = gettext.translation(DOMAIN, LOCALES, [language], fallback=language == LANGUAGES[0])
    if texts is None:
        return ours
    return _Own(own_texts(texts).get(language, {}), ours)


def own_texts(path: Path) -> dict[str, dict[str, str]]:
    """A host's file, by language. OSError; ValueError for what is no such file, and for a text that could not be filled
    in where ours can."""
    try:
        texts = json.loads(files.read_text(path, limit=_LARGEST))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(texts, dict) or not all(isinstance(own, dict) for own in texts.values()):
        raise ValueError('it must be like {"de": {"our text": "your text"}}')
    found = {language: {ours: str(theirs) for ours, theirs in own.items()} for language, own in texts.items()}
    for own in found.values():
        for ours, theirs in own.items():
            _check_text(ours, theirs)
    return found


def _check_text(ours: str, theirs: str) -> None:
    try:
        theirs % dict.fromkeys(_PLACEHOLDER.findall(ours), "")
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the text for {ours!a} has other placeholders") from None


# -- dates -----------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = (
    N_("January"),
    N_("February"),
    N_("March"),
    N_("April"),
    N_("May"),
    N_("June"),
    N_("July"),
    N_("August"),
    N_("September"),
    N_("October"),
    N_("November"),
    N_("December"),
)


def date(catalog: gettext.NullTranslations, instant: int) -> str:
    """`25 November 2026`, in UTC. Instants are microseconds, as in `world`."""
    at = _EPOCH + timedelta(microseconds=instant)
    month = catalog.gettext(_MONTHS[at.month - 1])
    return catalog.gettext(N_("%(day)s %(month)s %(year)s")) % {"day": at.day, "month": month, "year": at.year}


def moment(catalog: gettext.NullTranslations, instant: int) -> str:
    """`25 November 2026 at 14:05 UTC`: for readers who need the minute."""
    at = _EPOCH + timedelta(microseconds=instant)
    given = {"date": date(catalog, instant), "time": f"{at:%H:%M}"}
    return catalog.gettext(N_("%(date)s at %(time)s UTC")) % given


def ago(catalog: gettext.NullTranslations, now: int, then: int) -> str:
    """`3 hours ago`, `yesterday`; after a week, the date."""
    minutes = max(0, now - then) // 60_000_000
    hours, days = minutes // 60, minutes // 1440
    if days >= 7:
        return date(catalog, then)
    if days > 1:
        return catalog.ngettext("%(num)s day ago", "%(num)s days ago", days) % {"num": days}
    if days == 1:
        return catalog.gettext(N_("yesterday"))
    if hours:
        return catalog.ngettext("%(num)s hour ago", "%(num)s hours ago", hours) % {"num": hours}
    if minutes:
        return catalog.ngettext("%(num)s minute ago", "%(num)s minutes ago", minutes) % {"num": minutes}
    return catalog.gettext(N_("just now"))
