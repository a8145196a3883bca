"""The labels of events and sessions on the pages of their owner; events and factors define them.

Not here: any decision.
"""

from __future__ import annotations

from collections.abc import Iterable

from passgate.core.events import Event
from passgate.core.factor import Factors
from passgate.i18n import N_

_LABELS = {event.value: event.label for event in Event}


def label_of(event: str, factors: Factors) -> str:
    """The English label of an event; its name if it has none."""
    for factor in factors:
        if event == factor.proved_event:
            return factor.texts.proved
        if event == factor.refused_event:
            return factor.texts.refused
    return _LABELS.get(event) or event


_AMR_LABELS = {"pwd": N_("password"), "user": N_("passkey"), "pop": "", "otp": N_("verification code")}


def labels_of_amr(amr: Iterable[str]) -> list[str]:
    """The English labels of the methods of a session (RFC 8176). A passkey counts as two methods and has one label."""
    return [word for way in amr if (word := _AMR_LABELS.get(way, way))]
