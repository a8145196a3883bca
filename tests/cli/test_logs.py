"""Log lines: each is one JSON object with our own facts, and without any text of an exception or of another library's
object."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

from passgate import logs
from passgate.errors import Unavailable
from tests.architecture.reference import modules

PRIVATE = "anna@example.com"


def _lines(write: Any, logger: str = "passgate.test") -> list[dict[str, Any]]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.Json())
    log = logging.getLogger(logger)
    log.addHandler(handler)
    log.propagate = False
    try:
        write(log)
    finally:
        log.removeHandler(handler)
        log.propagate = True
    return [json.loads(line) for line in out.getvalue().splitlines()]


def _fails() -> None:
    secret = PRIVATE
    try:
        int(secret)
    except ValueError as cause:
        raise Unavailable("database") from cause


def test_an_exception_is_its_classes_and_frames() -> None:
    def write(log: logging.Logger) -> None:
        try:
            _fails()
        except Unavailable:
            log.exception("fault", extra={"request_id": "r1", "password": PRIVATE})

    (line,) = _lines(write)
    assert PRIVATE not in json.dumps(line)
    assert (line["level"], line["logger"], line["message"], line["request_id"]) == (
        "error",
        "passgate.test",
        "fault",
        "r1",
    )
    found = line["exception"]
    assert (found["type"], found["code"]) == ("passgate.errors.Unavailable", "unavailable")
    assert found["cause"]["type"] == "builtins.ValueError"
    assert found["cause"]["frames"][0].endswith(" _fails")
    assert not any(frame.startswith("/") for frame in found["frames"])


def test_a_foreign_line_is_its_first_line() -> None:
    text = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{PRIVATE}')>"
    (line,) = _lines(lambda log: log.warning(text), "foreign")
    assert line["message"] == "Task exception was never retrieved"


def test_a_line_stays_one_line() -> None:
    lines = _lines(lambda log: log.warning("two\nlines", extra={"cause": "a\nb"}))
    assert len(lines) == 1
    readable = logs.Readable().format(logging.makeLogRecord({"msg": "x\x1b[2J", "name": "passgate", "down": "a\nb"}))
    assert "\n" not in readable
    assert "\x1b" not in readable


def _given(tree: ast.Module) -> Iterator[str]:
    """The names in every `extra=` of a logging call. It has to be a dict literal, or its names could not be checked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS:
            for given in (keyword.value for keyword in node.keywords if keyword.arg == "extra"):
                assert isinstance(given, ast.Dict), ast.unparse(node)
                yield from (ast.literal_eval(name) for name in given.keys if name is not None)
                assert None not in given.keys, ast.unparse(node)


_LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}


def test_what_is_given_to_a_line_is_on_the_list() -> None:
    """Every name in use is listed and every listed name is in use. A name that is not listed is dropped silently."""
    assert {name for tree in modules().values() for name in _given(tree)} == set(logs.EXTRA)
