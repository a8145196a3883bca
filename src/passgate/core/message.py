"""One mail as a value, the port that carries it away, and how that fails.

Wording, templates and the outbox live in `mail`; no socket and no database is ever opened here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Protocol

from passgate.world import Instant


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is a UUID and stays the same over every attempt. `to` is one bare address. `code` and `link`
    repeat what the text carries, for the development mailbox; whatever may hold a secret stays out of
    `repr`."""

    id: str
    kind: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str | None = field(repr=False)
    code: str | None = field(repr=False)
    link: str | None = field(repr=False)
    created_at: Instant

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Message:
        """What `to_json` wrote. Anything else is a fault of ours: TypeError or ValueError."""
        return cls(**json.loads(raw))


class MailFailed(Exception):
    """`permanent`: trying this message again cannot help. Otherwise the trouble is passing, or the
    operator's."""

    def __init__(self, permanent: bool) -> None:
        super().__init__("permanent" if permanent else "transient")
        self.permanent = permanent


class Mailer(Protocol):
    async def send(self, message: Message) -> None:
        """Hand the message on. Raises MailFailed; sending the same `id` twice must do no harm."""
