"""A copy of the project, and the new things that tests add to it, one of each kind, as edits to files.

`asked` reports what the copy knows of them and test_places asserts it. Here it is only asserted that an edit finds its
anchor.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.architecture.reference import ROOT

Edit = Callable[[str], str]
Plant = dict[str, Edit]
"""By path: the edit that a new thing makes to each file."""

NEEDED = ("src", "tests", "docs", "tools", "requirements", "pyproject.toml")
_IN_WRITING = shutil.ignore_patterns("*.pyc.*", ".*_cache", ".hypothesis")
"""Temporary files of other processes. Bytecode is copied too: it stays valid because copying keeps modification
times."""


class Copy:
    """The project in a folder of its own, with commands run there in subprocesses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in NEEDED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=_IN_WRITING)
            else:
                shutil.copy2(ROOT / name, root / name)

    def plant(self, *plants: Plant) -> None:
        for plant in plants:
            for path, edit in plant.items():
                file = self.root / path
                file.write_text(edit(file.read_text() if file.exists() else ""))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the copy's package ahead of the installed one."""
        # The copy is ours: what one run compiles the next one need not.
        result = {**os.environ, "PYTHONPATH": str(self.root / "src"), "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.root, env=result, capture_output=True, text=True, check=False)


def new(text: str) -> Edit:
    def made(before: str) -> str:
        assert not before, "there is such a file already"
        return text

    return made


def at_end(text: str) -> Edit:
    return lambda before: f"{before}\n\n{text}"


def above(anchor: str, text: str) -> Edit:
    return instead((anchor, text + anchor))


def instead(*changes: tuple[str, str]) -> Edit:
    def made(text: str) -> str:
        for old, fresh in changes:
            assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
            text = text.replace(old, fresh)
        return text

    return made


# -- an event, a policy field ----------------------------------------------------------------------

WAVED = "account:waved"
EVENT: Plant = {
    "src/passgate/core/events.py": above(
        "    ACCOUNT_EXPORTED = ", f'    WAVED = "{WAVED}", "A person waved.", "You waved"\n'
    )
}
FIELD: Plant = {
    "src/passgate/core/rules.py": above(
        "    remember_days: int = ", '    waves: int = Field(3, ge=0, le=9, description="How often one may wave")\n'
    )
}

# -- an endpoint -----------------------------------------------------------------------------------

ENDPOINT: Plant = {
    "src/passgate/core/account.py": at_end('''\
async def wave(ctx: Ctx) -> None:
    """It is noted, and nothing else moves."""
    async with action(ctx) as acting:
        await record(ctx, acting.db, Event.WAVED)
'''),
    "src/passgate/web/api/account.py": at_end('''\
@router.post("/wave", responses=refuses(*SESSION, CsrfRefused), status_code=204, name="wave", summary="Wave")
async def wave(ctx: Live) -> Response:
    """Whoever waves is noted."""
    await account.wave(ctx)
    return Response(status_code=204)
'''),
}
ENDPOINT_ENTRY: Plant = {
    "tests/catalogue/asks.py": at_end("""\
async def waves(population: Population) -> Ask:
    return mine(population, "/me/wave")
"""),
    "tests/catalogue/actions_account.py": at_end("""\
async def wave(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: account.wave(folk.acting(actor))
"""),
    "tests/catalogue/api.py": at_end("""\
ENDPOINTS[f"POST {API}/me/wave"] = Entry(SESSION, (Right(asks.waves, 204),), (Writes(own.wave, 1),))
"""),
}

# -- a page ----------------------------------------------------------------------------------------

PAGE: Plant = {
    "src/passgate/web/pages/account.py": at_end('''\
@router.get("/account/wave")
async def ask_wave(request: Request, ctx: Visitor) -> Response:
    """Where one waves."""
    return page(request, "account-wave", ctx)
'''),
    "src/passgate/web/templates/account_wave.html": new(
        '{% extends "account_base.html" %}\n{% block title %}Wave{% endblock %}\n'
    ),
}
PAGE_ENTRY: Plant = {
    "tests/catalogue/pages.py": at_end("""\
PAGES["GET /account/wave"] = shows(Stop("account-wave", lambda anna: anna.open("/account/wave"), MEMBER, "peek"))
""")
}

# -- a factor: the host factor of tests/library as a built-in one ------------------------------------

_OF_A_HOST = ROOT / "tests" / "library"
_FROM_CORE = """\
from passgate.core.authenticator import find, is_usable
from passgate.core.credentials import replace, secret_of, use
from passgate.core.factor import Compared, Enrolling, Factor, Order, SetUp, Texts, Trait, typed, wrong
"""


def _renamed(path: str) -> str:
    return (_OF_A_HOST / path).read_text().replace("codeword", "motto").replace("CODEWORD", "MOTTO")


def _module() -> str:
    head, _, rest = _renamed("codeword.py").partition("from passgate.factors import (\n")
    return head + _FROM_CORE + rest.partition(")\n")[2]


FACTOR: Plant = {
    "src/passgate/core/factors/motto.py": new(_module()),
    "src/passgate/core/factors/__init__.py": instead(
        ("import email_code, ", "import email_code, motto, "), ("email_code.FACTOR)", "email_code.FACTOR, motto.MOTTO)")
    ),
}
FACTOR_PAGE: Plant = {"src/passgate/web/templates/signin_motto.html": new(_renamed("templates/signin_codeword.html"))}
WITH_FACTOR = "tests.library.with_motto"
"""The plugin that tells the tests how to answer the factor. The application has the factor without it."""
FACTOR_ENTRY: Plant = {
    "tests/library/with_motto.py": lambda _: instead(
        ("kit.OWN_FACTORS.append(MOTTO)\n", ""), ("from tests.library.motto import MOTTO\n", "")
    )(_renamed("with_codeword.py"))
}
TOUCHING: Plant = {
    "src/passgate/core/factors/motto.py": instead((_FROM_CORE, "from passgate.core.factors import totp\n" + _FROM_CORE))
}
"""One factor that imports another, which the import contract forbids."""
