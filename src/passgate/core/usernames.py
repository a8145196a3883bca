"""Usernames: which ones there may be, and how they are compared. A username is another name to sign in with than the
address. It is never equal to one, because only those have an @, nor to an id.

Not here: whose a username is (`people`), and who may change it (`account` and `user_changes`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passgate.errors import Invalid

SHORTEST, LONGEST = 2, 64
"""Characters."""
MARKS = "._-"
NEVER = frozenset(["me", "self", "null", "none", "undefined", "anonymous", "unknown"])
"""Programs mean something by these words, so nobody has them."""
OFFICIAL = frozenset(
    [
        "admin",
        "administrator",
        "root",
        "system",
        "support",
        "security",
        "help",
        "staff",
        "moderator",
        "operator",
        "owner",
        "postmaster",
        "webmaster",
        "hostmaster",
        "abuse",
        "noreply",
        "passgate",
        "info",
    ]
)
"""Who has one of these seems to speak for the service. Somebody who manages people gives them, nobody takes one."""
_TOGETHER = (frozenset({"CJK", "HIRAGANA", "KATAKANA"}), frozenset({"CJK", "HANGUL"}))
"""Scripts that one language is written in."""
_SCRIPTS = {"KATAKANA-HIRAGANA": "KATAKANA", "IDEOGRAPHIC": "CJK"}
"""Of letters whose name begins with another word: ー and 々."""
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Username:
    """`text` as it is displayed, `key` for look-ups: all spellings of a username have the same key."""

    text: str
    key: str


def typed(text: str, field: str = "username") -> Username:
    """What somebody signs in with, or Invalid for what can be nobody's username. `field`: the one that is at fault."""
    plain = unicodedata.normalize("NFKC", text).strip()
    key = folded(plain)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise Invalid({field: "length"})
    if not _is_written(plain) or not _is_written(key) or folded(key) != key or _ID.fullmatch(key.replace("-", "")):
        raise Invalid({field: "format"})
    return Username(plain, key)


def given(text: str, *, by_oneself: bool, field: str = "username") -> Username:
    """What somebody is to be called. Raises Invalid, also for a word that is reserved; marks inside do not hide it."""
    found = typed(text, field)
    word = re.sub(f"[{re.escape(MARKS)}]", "", found.key)
    if word in NEVER or (by_oneself and word in OFFICIAL):
        raise Invalid({field: "reserved"})
    return found


def folded(text: str) -> str:
    """Without the differences of width, case and form. Folding twice changes nothing more in a username."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def is_identified(row: Mapping[Any, Any], key: str) -> bool:
    """Whether somebody, of whose row both keys are there, has this address or username. Nobody has an empty one."""
    return bool(key) and key in (row["email_key"], row["username_key"])


def _is_written(text: str) -> bool:
    """Letters of one script, ASCII digits and marks, beginning with a letter or digit. Letters of several scripts look
    like each other."""
    if text[:1] in MARKS:
        return False
    letters = [one for one in text if not (one in MARKS or (one.isascii() and one.isdigit()))]
    if not all(unicodedata.category(one).startswith("L") for one in letters):
        return False
    scripts = {_script(one) for one in letters}
    return len(scripts) <= 1 or any(scripts <= language for language in _TOGETHER)


def _script(letter: str) -> str:
    word = unicodedata.name(letter, "").partition(" ")[0]
    return _SCRIPTS.get(word, word)
