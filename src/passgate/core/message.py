"""One mail as a value, the port that sends it, and its error.

Not here: wording, templates and the outbox (`mail`). No socket and no database is opened here.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass, field
from typing import Protocol

from passgate.world import Instant

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no header contains: control characters, line breaks, and halves of characters, which have no encoding."""


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is a UUID and stays the same across attempts. `to` is one bare address. `code` and `link` repeat what the
    text contains, for the development mailbox; fields that may contain a secret are excluded from `repr`."""

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
        """Parse the output of `to_json`. Anything else is a bug: TypeError or ValueError."""
        return cls(**json.loads(raw))


class MailFailed(Exception):
    """`permanent`: retrying this message cannot help. Otherwise the problem is temporary, or the operator's to fix;
    `needs_operator` says which. `step` is where it failed (`token` is the provider's token endpoint, every other one
    the mail server), `why` a few words for the log: neither contains what somebody sent us."""

    def __init__(self, permanent: bool, *, step: str = "", why: str = "", needs_operator: bool = False) -> None:
        super().__init__("permanent" if permanent else "transient")
        self.permanent, self.step, self.why, self.needs_operator = permanent, step, why, needs_operator

    def log(self, logger: logging.Logger, *, mail: str, kind: str) -> None:
        """One line about this mail: an error if it needs the operator, a warning otherwise."""
        logger.log(
            logging.ERROR if self.needs_operator else logging.WARNING,
            "mail not sent",
            extra={"mail": mail, "kind": kind, "permanent": self.permanent, "step": self.step, "why": self.why},
        )


class Mailer(Protocol):
    async def send(self, message: Message) -> None:
        """Send the message. Raises MailFailed; sending the same `id` twice must be harmless."""
