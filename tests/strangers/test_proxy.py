"""Behind a proxy that is not named in the settings all visitors are one origin: the log says so, once.

Which headers are read from a trusted proxy is tested in tests/web.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.kit import client_for, running
from tests.web.test_contract_signin import production


async def warnings(caplog: pytest.LogCaptureFixture, data: Path, **settings: object) -> list[str]:
    """The addresses that warnings name after three requests, two of them forwarded."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        async with running(production(data, **settings), ip="10.0.0.1") as the:
            for headers in ({}, {"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}):
                async with client_for(the.gate, "10.0.0.1") as http:
                    await http.get("/healthz", headers=headers)
    return [str(vars(line)["address"]) for line in caplog.records if line.name == "passgate.web.origin"]


async def test_an_unknown_proxy_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, tmp_path / "a") == ["10.0.0.1"]


async def test_a_known_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, tmp_path / "b", trusted_proxies=("10.0.0.0/8",)) == []
