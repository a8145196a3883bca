"""Mail for whoever watches the terminal: each message is printed to standard output.

Nothing leaves the machine from here, and production refuses to start with it.
"""

from __future__ import annotations

import sys

from passgate.core.message import Message

_RULE = "─" * 72


class Console:
    async def send(self, message: Message) -> None:
        """Prints the text part only; never fails."""
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
    """Without what would steer the terminal or what it cannot show: part of a mail is a stranger's words."""
    printable = "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
    coding = sys.stdout.encoding or "utf-8"
    return printable.encode(coding, "replace").decode(coding)
