"""The samples of docs/operate that no terminal runs: configurations of proxies, containers and services. Which test
tries each of them, and what is true of all.

Not here: running them.
"""

from __future__ import annotations

import re
from pathlib import Path

from passgate.settings import Settings
from tests.architecture.reference import _settings
from tests.docs.blocks import ROOT, blocks

OPERATE = ROOT / "docs" / "operate"
TRIED = {
    ("docs/operate/nginx.md", "nginx"): "test_proxies",
    ("docs/operate/caddy.md", "caddyfile"): "test_proxies",
    ("docs/operate/haproxy.md", "haproxy"): "test_proxies",
    ("docs/operate/traefik.md", "yaml"): "test_samples",
    ("docs/operate/kubernetes.md", "yaml"): "test_samples",
    ("docs/operate/container.md", "dockerfile"): "test_samples",
    ("docs/operate/container.md", "console"): "test_samples",
    ("docs/operate/systemd.md", "ini"): "test_services",
}
"""Page and language, with the module beside this one that has its test."""
VARIABLES = {str(name).strip("`") for name, *_ in _settings(Settings, "PASSGATE_")} | {"PASSGATE_SECRETS_DIR"}


def sample(page: str, language: str, number: int = 0) -> str:
    found = [block.text for block in blocks(OPERATE / page) if block.language == language]
    assert found, f"{page} has no {language}"
    return found[number]


def unknown(text: str) -> set[str]:
    """Variables in a text that no setting has. `PASSGATE_HASH__…` names a family."""
    named = set(re.findall(r"PASSGATE_[A-Z_]+(?!…)\b", text))
    families = {name for name in named if name.endswith("__") and any(known.startswith(name) for known in VARIABLES)}
    return named - VARIABLES - families


def variables(text: str) -> dict[str, str]:
    """Of lines `NAME=value`."""
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def page_names() -> list[Path]:
    return sorted(OPERATE.glob("*.md"))
