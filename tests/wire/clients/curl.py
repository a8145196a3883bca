"""curl as a program: as it is, with --http2 and with --http1.0. Arguments are name=URL; every exchange prints one line
of JSON.

Not here: what is right; `test_clients` knows that.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = {"curl": [], "curl-http2": ["--http2"], "curl-http1.0": ["--http1.0"]}
SIGN_IN, HEALTH = "/api/v1/signin", "/healthz"
SMALL, LARGE, NOTHING = (
    ["-H", "Content-Type: application/json", "--data-binary", what] for what in ("@small", "@large", "")
)
CHUNKED = ["-H", "Transfer-Encoding: chunked"]
EXPECT = ["-H", "Expect: 100-continue"]
EXCHANGES = {
    "signin": (SIGN_IN, SMALL),
    "again": (HEALTH, []),
    "head": (HEALTH, ["--head"]),
    "large": (SIGN_IN, LARGE),
    "after": (HEALTH, []),
    "empty": (SIGN_IN, NOTHING),
    "chunked": (SIGN_IN, [*SMALL, *CHUNKED]),
    "large-chunked": (SIGN_IN, [*LARGE, *CHUNKED]),
    "expect": (SIGN_IN, [*SMALL, *EXPECT]),
    "large-expect": (SIGN_IN, [*LARGE, *EXPECT]),
}
OF_1_1 = {"chunked", "large-chunked", "expect", "large-expect"}
"""HTTP/1.0 has neither chunks nor expectations."""


def run(client: str, targets: dict[str, str], folder: Path) -> None:
    """All exchanges in one process, so that connections are used again."""
    wanted = [name for name in EXCHANGES if client != "curl-http1.0" or name not in OF_1_1]
    asked = [(target, name) for target in targets for name in wanted]
    command = ["curl"]
    for number, (target, name) in enumerate(asked):
        path, options = EXCHANGES[name]
        # With --head, curl writes the head of the answer where its body would be.
        out = os.devnull if name == "head" else str(number)
        command += ["--next"] if number else []
        command += ["--silent", "--max-time", "5", "-w", "%{json}\n", "-o", out]
        command += [*FLAGS[client], *options, targets[target] + path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    for number, ((target, name), written) in enumerate(zip(asked, done.stdout.splitlines(), strict=True)):
        found, answer = json.loads(written), folder / str(number)
        body = base64.b64encode(answer.read_bytes() if answer.exists() else b"").decode()
        line = {"client": client, "target": target, "exchange": name, "status": found["http_code"]}
        line |= {"type": found["content_type"] or found["errormsg"], "body": body, "connection": found["local_port"]}
        print(json.dumps(line))


def main() -> None:
    targets = dict(given.split("=", 1) for given in sys.argv[1:])
    for client in FLAGS:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "small").write_text('{"email":"you@example.com"}')
            (folder / "large").write_text("x" * 500_000)
            run(client, targets, folder)


if __name__ == "__main__":
    main()
