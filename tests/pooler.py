"""A real PgBouncer before the PostgreSQL of the tests. Not here: what must hold behind it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import STOP_WITHIN, ServerFault, _run_as, free_port

READY_WITHIN = 15.0


@contextmanager
def pooled(url: str, *, mode: str = "transaction", sessions: int = 20, tls: Path | None = None) -> Iterator[str]:
    """The address of the same database through a pooler with this mode and as many sessions of the server. `tls`: a
    folder with its certificate and that of the authority for clients, both of which it then demands."""
    there = urlsplit(url)
    home = Path(tempfile.mkdtemp(prefix="passgate-pooler-"))
    port = free_port()
    (home / "users").write_text(f'"{there.username}" "{there.password}"\n')
    (home / "pgbouncer.ini").write_text(
        f"""[databases]
* = host=127.0.0.1 port={there.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home / "users"}
pool_mode = {mode}
default_pool_size = {sessions}
max_client_conn = 400
"""
        + (_tls(home, tls) if tls else "")
    )
    as_user = _run_as()  # as root it refuses to run
    for one in (home, *home.iterdir()) if as_user else ():
        os.chown(one, as_user["user"], as_user["group"])
    path = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
    assert path is not None, "apt install pgbouncer"
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [path, home / "pgbouncer.ini"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **as_user
        )
    try:
        _wait(process, port, Path(log.name))
        yield url.replace(f":{there.port}/", f":{port}/")
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)
        Path(log.name).unlink(missing_ok=True)


def _tls(home: Path, certificates: Path) -> str:
    for name in ("server.crt", "server.key", "authority.crt"):
        (home / name).write_bytes((certificates / name).read_bytes())
        (home / name).chmod(0o600)
    return f"""client_tls_sslmode = verify-ca
client_tls_cert_file = {home}/server.crt
client_tls_key_file = {home}/server.key
client_tls_ca_file = {home}/authority.crt
"""


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN
    while process.poll() is None and time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise ServerFault(f"PgBouncer did not start: {log.read_text(errors='replace')[-2000:]}")
