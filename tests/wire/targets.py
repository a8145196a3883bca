"""Where the requests of these tests go besides `passgate serve`: a host's own uvicorn, and proxies of others; and how a
program of others is found.

Not here: requests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI

from passgate import testing
from tests.servers import free_port

Kind = Literal["httptools", "h11"]
PACKAGES = {"java": "default-jdk-headless", "node": "nodejs"}
"""Packages of Debian whose program has another name."""
NGINX = """
daemon off; pid {here}/pid; error_log {here}/error.log; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/f;
    uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
    upstream passgate {{ server {upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://passgate;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
    option http-keep-alive
frontend all
    bind 127.0.0.1:{port}
    {writes}
    default_backend passgate
backend passgate
    server one {upstream}
"""
X_FORWARDED_FOR = "option forwardfor"
FORWARDED = 'http-request set-header Forwarded "for=%[src];proto=http"\n    http-request del-header X-Forwarded-For'


def located(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    assert found, f"{program} is needed; on Debian: apt install {PACKAGES.get(program, program)}"
    return found


# -- a host's own server ---------------------------------------------------------------------------


@asynccontextmanager
async def serving(app: FastAPI, **config: Any) -> AsyncIterator[None]:
    """A host's program as uvicorn runs it."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, **config))
    running = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn calls nobody
        await asyncio.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def hosted(kind: Kind, at: str = "/auth") -> AsyncIterator[int]:
    """The port of a host's program that has a Passgate at this path."""
    app, gate, port = FastAPI(), testing.gate(), free_port()
    gate.mount(app, at=at)
    async with serving(app, port=port, http=kind):
        yield port


# -- proxies ---------------------------------------------------------------------------------------


@contextmanager
def proxy(program: str, config: str, here: Path, upstream: str, **more: str) -> Iterator[int]:
    """The port of a running proxy."""
    found = located(program)
    here.mkdir()
    port, file = free_port(), here / "config"
    user = "user root;" if Path("/").owner() == here.owner() else ""
    file.write_text(config.format(here=here, port=port, upstream=upstream, user=user, **more))
    command = [found, "-p", str(here), "-c", str(file)] if program == "nginx" else [found, "-db", "-f", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            give_up = time.monotonic() + 10
            while not listens(port):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < give_up
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
