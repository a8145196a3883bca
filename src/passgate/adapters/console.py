"""A mailer for local use that prints each message to standard output.

Not here: anything that leaves the machine. Production refuses to start with this mailer.
"""

from __future__ import annotations

import sys

from passgate.core.message import Message

_RULE = "─" * 72


class Console:
    async def send(self, message: Message) -> None:
        """Print the text part only; never fails."""
        lines = [
            _RULE,
            f"To:      {_line(message.to)}",
            f"Subject: {_line(message.subject)}",
            "",
            *(_line(line) for line in message.text.splitlines()),
            _RULE,
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def _line(text: str) -> str:
    """Replace control characters and what the terminal cannot encode: parts of a mail are untrusted input."""
    printable = "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
    coding = sys.stdout.encoding or "utf-8"
    return printable.encode(coding, "replace").decode(coding)
