"""Which listening sockets systemd opened for this process (sd_listen_fds(3)).

Not here: what is done with them, which is in `cli.sockets`.
"""

from __future__ import annotations

import os

FIRST = 3
"""The first descriptor."""


def take_descriptors() -> list[int]:
    """Those meant for this very process. Only the first call has them: no process that this one starts takes them for
    its own."""
    process, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    is_ours = process == str(os.getpid()) and count.isascii() and count.isdigit()
    return [FIRST + number for number in range(int(count[:4]))] if is_ours else []
