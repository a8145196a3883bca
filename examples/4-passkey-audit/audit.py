"""The audit log of the service: its events, and app.log.

Not here: when an event is recorded (program.py), and the tables to query (database.py).
"""

import logging
from pathlib import Path

from passgate import Happened, Passgate

EVENTS = {
    "webauthn:registration_begin": "Registration started",
    "webauthn:registration_refused": "Somebody tried to register with your address",
    "webauthn:login_begin": "Login started",
    "webauthn:login_refused": "Login refused",
    "webauthn:user_access": "User data requested",
    "webauthn:user_promote": "Promoted to admin",
}
"""With what their person reads in their activity."""
PASSGATES = ("signup:completed", "signin:completed", "signin:passkey:refused")
"""Events that Passgate records itself."""

log = logging.getLogger("audit")


def to_file(gate: Passgate, path: str = "app.log") -> None:
    """Have every event written to a file too. It has ids: the addresses of people and networks are in app.db."""
    Path(path).touch(mode=0o600)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for event in (*EVENTS, *PASSGATES):
        gate.on(event, _write, name="app.log")


def _write(one: Happened) -> None:
    is_right = not one.event.endswith(":refused") and one.facts.get("ok", True)
    why, outcome = one.facts.get("why"), "success" if is_right else "failure"
    who = one.actor_id or one.user_id or "nobody"
    log.info("%s %s user=%s%s id=%s", one.event, outcome, who, f" why={why}" if why else "", one.id)
