"""What is shown of events and sessions where their owner reads them: the labels that events and factors bring.

Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable

from passgate.core.events import Event
from passgate.core.factor import Factors
from passgate.i18n import N_

_LABELS = {event.value: event.label for event in Event}


def label_of(event: str, factors: Factors) -> str:
    """The English words; whatever has none is shown by its name."""
    for factor in factors:
        if event == factor.proved_event:
            return factor.texts.proved
        if event == factor.refused_event:
            return factor.texts.refused
    return _LABELS.get(event) or event


_AMR_LABELS = {"pwd": N_("password"), "user": N_("passkey"), "pop": "", "otp": N_("verification code")}


def labels_of_amr(amr: Iterable[str]) -> list[str]:
    """The English words of how a session was proved (RFC 8176); a passkey is two of them."""
    return [word for way in amr if (word := _AMR_LABELS.get(way, way))]
