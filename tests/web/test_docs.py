"""/docs: the page, its files, their hashes and the descriptions of the endpoints it displays. Its look is checked by
hand.

Not here: what the endpoints do. docs/decisions/0007 tells what was checked in a browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from fastapi.routing import APIRoute

from passgate.web import docs, guards
from tests import kit
from tests.kit import The, code_of

ROOT = Path(__file__).resolve().parents[2]
VENDOR = docs.STATIC / "vendor"
POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'none'"],
}
IMMUTABLE = "public, max-age=31536000, immutable"


class Page(HTMLParser):
    """Collects what a page loads, and everything in it that a policy without 'unsafe-inline' would block."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.refused: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = dict(attrs)
        self.asked += [str(given[name]) for name in ("src", "href") if name in given]
        self.refused += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.refused.append(self._inside)


def policy_of(header: str) -> dict[str, list[str]]:
    return {part.split()[0]: part.split()[1:] for part in header.split(";") if part.strip()}


async def test_the_page_asks_only_for_what_is_served_here(lite: The) -> None:
    answer = await lite.http.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert policy_of(answer.headers["content-security-policy"]) == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Page(answer.text)
    assert page.refused == []
    asked = [address for address in page.asked if not address.startswith("data:")]
    assert len(asked) == 5
    for address in asked:
        found = await lite.http.get(f"/{address}")  # relative to /docs
        assert found.status_code == 200, address


async def test_each_file_is_served_unchanged(lite: The) -> None:
    for address, (name, kind) in docs.FILES.items():
        answer = await lite.http.get(address)
        assert answer.status_code == 200
        assert answer.content == (docs.STATIC / name).read_bytes()
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        versioned = "@" in address
        assert answer.headers["cache-control"] == (IMMUTABLE if versioned else "no-store")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "path",
    [
        "/docs/",
        "/docs/vendor",
        "/docs/../passgate.keys",
        "/docs/%2e%2e/docs.py",
        "/docs/..%2fdocs.py",
        "/docs//etc/passwd",
        f"/docs/{docs.VIEWER}/",
        f"/docs/{docs.VIEWER}/VENDOR.toml",
        f"/docs/{docs.VIEWER}/../start.js",
        f"/docs/{docs.VIEWER}/%2e%2e/%2e%2e/docs/start.js",
        f"/docs/{docs.VIEWER}/swagger-ui.css%00",
        "/docs/start.js/",
        "/redoc",
    ],
)
async def test_nothing_else_is(lite: The, path: str) -> None:
    # Sent as a server would pass it on, because httpx2 would normalize the dots in the path.
    status = await raw_status(lite, path)
    assert status == 404


async def raw_status(the: The, path: str) -> int:
    seen: list[int] = []
    raw = path.encode()
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote_to_bytes(raw).decode(),
        "raw_path": raw,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost:8000")],
        "client": ("127.0.0.1", 50000),
        "server": ("localhost", 8000),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    await the.gate(scope, receive, send)
    return seen[0]


async def test_files_are_only_read(lite: The) -> None:
    for address in ("/docs", "/docs/start.js"):
        assert code_of(await lite.http.post(address)) == "method_not_allowed"


async def test_switched_off_all_of_it_is_gone(tmp_path: Path) -> None:
    async with kit.running(kit.settings_for(tmp_path, docs=False)) as the:
        for address in ("/docs", "/openapi.json", *docs.FILES):
            assert code_of(await the.http.get(address)) == "not_found"


async def test_every_route_names_its_guard(lite: The) -> None:
    ours = [route for route in lite.gate.api.routes if isinstance(route, APIRoute) and route.path.startswith("/docs")]
    assert {route.path for route in ours} == {"/docs", *docs.FILES}
    for route in ours:
        assert [need.dependency for need in route.dependencies] == [guards.stranger]
        assert not route.include_in_schema


def test_vendored_files_are_those_of_the_manifest_and_of_the_lock() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    pins = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    folders = [folder for folder in VENDOR.iterdir() if folder.is_dir()]
    assert [folder.name for folder in folders] == [docs.VIEWER]
    for folder in folders:
        manifest = tomllib.loads((folder / "VENDOR.toml").read_text())
        stored = {path.name for path in folder.iterdir()} - {"VENDOR.toml"}
        assert stored == set(manifest["sha256"])
        assert "LICENSE" in stored
        for name in stored:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == manifest["sha256"][name], name
        pin = lock[f"node_modules/{manifest['name']}"]
        assert folder.name.endswith(f"@{manifest['version']}")
        assert (pin["version"], pin["integrity"], pin["license"]) == (
            manifest["version"],
            manifest["integrity"],
            manifest["licence"],
        )
        assert pins[manifest["name"]] == manifest["version"]  # an exact version, not a range


def test_the_lock_names_no_index_and_hashes_everything() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, pin in lock.items():
        assert "resolved" not in pin, name
        if name:
            algorithm, _, digest = pin["integrity"].partition("-")
            assert (algorithm, len(base64.b64decode(digest))) == ("sha512", 64)
    npmrc = (ROOT / ".npmrc").read_text().splitlines()
    assert {"omit-lockfile-registry-resolved=true", "ignore-scripts=true"} <= set(npmrc)


def test_no_served_file_makes_a_browser_ask_for_another() -> None:
    for name, kind in docs.FILES.values():
        text = (docs.STATIC / name).read_text()
        assert "sourceMappingURL" not in text
        if kind == "text/css":
            assert "@import" not in text
            assert set(re.findall(r"""url\(["'\s]*(.{5})""", text)) <= {"data:"}


def test_the_wheel_holds_static_files_and_migrations(tmp_path: Path) -> None:
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(built, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("web/static", "store/migrations"):
        here = [path for path in (ROOT / "src/passgate" / folder).rglob("*") if path.is_file()]
        wanted = {str(path.relative_to(ROOT / "src")) for path in here if path.suffix != ".pyc"}
        assert wanted
        assert wanted <= inside, wanted - inside


async def test_every_endpoint_has_a_description(lite: The) -> None:
    document = (await lite.http.get("/openapi.json")).json()
    result = {tag["name"] for tag in document["tags"] if tag["description"]}
    ids = []
    for path, endpoints in document["paths"].items():
        for method, endpoint in endpoints.items():
            [tag] = endpoint["tags"]
            assert tag in result, (method, path)
            assert endpoint["summary"] and endpoint["description"], (method, path)
            assert re.fullmatch(rf"{tag}-[a-z][a-z_]*", endpoint["operationId"]), endpoint["operationId"]
            ids.append(endpoint["operationId"])
    assert len(ids) == len(set(ids))


async def test_every_body_offers_an_example_an_endpoint_takes_or_one_value_each(lite: The) -> None:
    """Without examples the viewer fills in "string", and every member at once: a body that no endpoint accepts."""
    document = (await lite.http.get("/openapi.json")).json()
    schemas, bodies = document["components"]["schemas"], 0
    for path, endpoints in document["paths"].items():
        for endpoint in endpoints.values():
            if "requestBody" not in endpoint:
                continue
            bodies += 1
            shape = endpoint["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            schema = schemas[shape]
            whole = "examples" in schema
            each = all("examples" in part or "enum" in part for part in schema["properties"].values())
            assert whole or each, (path, shape)
    assert bodies > 10


async def test_the_examples_work(lite: The) -> None:
    schemas = (await lite.http.get("/openapi.json")).json()["components"]["schemas"]

    def example(shape: str) -> Any:
        return schemas[shape]["examples"][0]

    assert (await lite.http.post("/api/v1/signup", json=example("Signup"))).status_code == 202
    anna = await lite.person()
    assert (await lite.http.post("/api/v1/signin", json=example("Signin"))).status_code == 201
    assert (await lite.http.post("/api/v1/recover", json=example("Recover"))).status_code == 202
    changed = await lite.http.patch("/api/v1/me", json=example("ProfileChange"), headers=anna.auth)
    assert changed.json()["user"]["profile"] == example("ProfileChange")["profile"]


async def test_the_viewer_finds_its_place(lite: The) -> None:
    """The page contains the element that the script looks up by id."""
    page = (await lite.http.get("/docs")).text
    script = (await lite.http.get("/docs/start.js")).text
    [wanted] = re.findall(r'dom_id: "#([a-z]+)"', script)
    assert f'id="{wanted}"' in page
