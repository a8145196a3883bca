"""The types of the Python twins are those of the routes, and a type checker finds a host's mistakes by them.

Not here: what the twins do (`tests/library/test_twins.py`).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from passgate import operations
from passgate.web.carried import Carried
from passgate.web.values import value_of
from tests.architecture.reference import ROOT
from tests.architecture.twins_file import PATH, answer_models_of_all, written


def test_the_types_match_the_routes() -> None:
    assert PATH.read_text() == written(), "run `make reference`"


def test_every_class_can_be_imported_by_its_name() -> None:
    models = answer_models_of_all()
    assert len(models) == len({model.__name__ for model in models}) > 20
    for model in models:
        assert getattr(operations, model.__name__) is value_of(model)
    own = {one.name for one in fields(Carried) if not one.name.startswith("_")}
    assert own == {one.name for one in fields(operations.Finished) if not one.name.startswith("_")}


def test_a_host_program_passes_the_type_checker(tmp_path: Path) -> None:
    """Alone, because the whole project takes a minute; `make check` reads the program too."""
    sources = [
        "src/passgate/__init__.py",
        "src/passgate/app.py",
        "src/passgate/errors.py",
        "src/passgate/operations.pyi",
    ]
    options = ["--strict", "--follow-imports=skip", "--config-file=", f"--cache-dir={tmp_path}"]
    program = "tests/library/typed_host.py"
    command = [sys.executable, "-m", "mypy", *options, *sources, program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(program)] == []
    assert "checked 5 source files" in done.stdout
