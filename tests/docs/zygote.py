"""The command line of Passgate without the second that its imports take: a process that has imported everything and
forks for each command.

Run as a module, it is that process and listens on the given socket; `client.py` is the command. The command itself is
unchanged: it gets the caller's arguments, folder, variables and streams.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import NoReturn

import passgate.app
import passgate.cli
import passgate.core.operate
import passgate.store.migrate

LONGEST = 1 << 20


def main(path: str) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(connection)
            connection.close()


def answer(connection: socket.socket) -> NoReturn:
    """In the child process: run the command and send back its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, streams, _, _ = socket.recv_fds(connection, LONGEST, 3)
    given = json.loads(asked)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    os.chdir(given["cwd"])
    os.environ.clear()
    os.environ.update(given["env"])
    sys.argv = ["passgate", *given["argv"]]
    code = 0
    try:
        passgate.cli.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
