"""Copies the pinned front-end files from npm into the package, with a manifest of what they are and their hashes.

It never chooses a version: package.json and package-lock.json do. Nothing of what it fetches is run.

    python tools/vendor.py           fetch what the lock names and copy it
    python tools/vendor.py --check   fetch it and only compare with what is kept
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
VENDOR = HERE / "src/passgate/web/static/vendor"
PINS = ("package.json", "package-lock.json", ".npmrc")

# Source maps are not copied (they are larger than the code), so the line that makes developer tools request them goes
# too.
_SOURCE_MAP = re.compile(rb"\n?(?://|/\*)# sourceMappingURL=[^\s*]+(?:\s*\*/)?\s*\Z")


@dataclass(frozen=True)
class Wanted:
    """The files to copy from one package, by their path in it."""

    folder: str
    files: tuple[str, ...]


WANTED = {
    "swagger-ui-dist": Wanted(
        "swagger-ui",
        ("LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        made = made_from_npm(Path(scratch))
    vendored = {str(path.relative_to(VENDOR)): path.read_bytes() for path in VENDOR.rglob("*") if path.is_file()}
    if check:
        different = sorted(name for name in made.keys() | vendored.keys() if made.get(name) != vendored.get(name))
        print("\n".join(f"differs: {name}" for name in different) or "The vendored files are those of the lock.")
        return 1 if different else 0
    shutil.rmtree(VENDOR, ignore_errors=True)
    for name, content in made.items():
        (VENDOR / name).parent.mkdir(parents=True, exist_ok=True)
        (VENDOR / name).write_bytes(content)
    print("\n".join(sorted(made)))
    return 0


def made_from_npm(scratch: Path) -> dict[str, bytes]:
    """All files to store. `npm ci` refuses a package whose sha512 differs from the lock file."""
    for name in PINS:
        shutil.copy(HERE / name, scratch)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--silent"], cwd=scratch, check=True)  # noqa: S607
    lock = json.loads((scratch / "package-lock.json").read_text())["packages"]
    made: dict[str, bytes] = {}
    for package, wanted in WANTED.items():
        pin = lock[f"node_modules/{package}"]
        folder = f"{wanted.folder}@{pin['version']}"
        source = scratch / "node_modules" / package
        files = {name: _SOURCE_MAP.sub(b"\n", (source / name).read_bytes()) for name in wanted.files}
        made |= {f"{folder}/{name}": content for name, content in files.items()}
        made[f"{folder}/VENDOR.toml"] = manifest(package, pin, files).encode()
    return made


def manifest(package: str, pin: dict[str, str], files: dict[str, bytes]) -> str:
    lines = [
        "# Written by tools/vendor.py; a test re-hashes the files beside it.",
        "# They are npm's, but for sourceMappingURL comments, which were removed.",
        f'name = "{package}"',
        f'version = "{pin["version"]}"',
        f'licence = "{pin["license"]}"',
        f'integrity = "{pin["integrity"]}"',
        "",
        "[sha256]",
        *(f'"{name}" = "{hashlib.sha256(files[name]).hexdigest()}"' for name in sorted(files)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
