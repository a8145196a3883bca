"""Behind a proxy that is not named in the settings all visitors are one origin: the log says so, once a minute.

Which headers are read from a trusted proxy is tested in tests/web.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.kit import client_for, running
from tests.web.test_contract_signin import production

FIELDS: tuple[dict[str, str], ...] = (
    {},
    {"X-Forwarded-For": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"X-Forwarded-Proto": "https"},
)


async def warnings(
    caplog: pytest.LogCaptureFixture, data: Path, peer: str, *, minutes: int = 1, **settings: object
) -> list[str]:
    """The addresses that warnings name after some requests a minute, most of them forwarded."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        async with running(production(data, **settings), ip=peer) as the:
            for _ in range(minutes):
                for headers in FIELDS:
                    async with client_for(the.gate, peer) as http:
                        await http.get("/healthz", headers=headers)
                the.clock.forward(61)
    found = [vars(line) for line in caplog.records if line.name == "passgate.web.origin"]
    assert not any("203.0.113.9" in str(line) for line in found)
    return [str(line["address"]) for line in found]


async def test_an_unknown_proxy_is_named_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, tmp_path / "a", "10.0.0.1", minutes=2) == ["10.0.0.1"] * 2


async def test_a_known_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, tmp_path / "b", "10.0.0.1", trusted_proxies=("10.0.0.0/8",)) == []


async def test_a_second_one_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, tmp_path / "c", "192.0.2.1", trusted_proxies=("10.0.0.0/8",)) == ["192.0.2.1"]
