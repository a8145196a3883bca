"""The samples of docs/operate for what does not run here: Traefik, Kubernetes, a container engine. Each is read as its
program reads it and compared with what Passgate has: settings, endpoints, ports, files.

Not here: proxies and services that do run (test_proxies, test_services).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from passgate.app import Passgate
from passgate.cli.server import GRACE
from passgate.settings import Settings, refusals
from passgate.settings.database import read_database
from passgate.store import SCHEMA, Store
from tests.cli.shell import Running
from tests.docs import samples
from tests.docs.blocks import PAGES, ROOT, blocks, name_of
from tests.docs.samples import sample, unknown, variables
from tests.servers import free_port

SECRET = "Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA"
LANGUAGES = {language for _, language in samples.TRIED}


def test_every_sample_is_tried() -> None:
    """And every test that is named is there, and names the page."""
    found = {(name_of(page), block.language) for page in PAGES for block in blocks(page)}
    assert {one for one in found if one[1] in LANGUAGES - {"ini"}} == {one for one in samples.TRIED if one[1] != "ini"}
    for (page, _), module in samples.TRIED.items():
        assert f'"{Path(page).name}"' in (Path(__file__).parent / f"{module}.py").read_text(), page


@pytest.mark.parametrize("page", samples.page_names(), ids=name_of)
def test_every_variable_of_a_page_is_a_setting(page: Path) -> None:
    assert unknown(page.read_text()) == set()


def test_a_variable_that_is_none_is_found() -> None:
    assert unknown("PASSGATE_SESION__IDLE=1h, PASSGATE_HASH__…, PASSGATE_PORT") == {"PASSGATE_SESION__IDLE"}


def loaded(env: dict[str, str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    for name in [name for name in os.environ if name.startswith("PASSGATE_")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return Settings.load()


def answers(settings: Settings, *paths: str) -> None:
    """Each path is an endpoint that anybody may ask."""
    known = {getattr(route, "path", "") for route in Passgate(settings).api.routes}
    assert set(paths) <= known


# -- Traefik ---------------------------------------------------------------------------------------


def test_traefik(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = yaml.safe_load(sample("traefik.md", "yaml"))["http"]
    (router,), (service,) = parts["routers"].values(), parts["services"].values()
    assert {router["service"]} == parts["services"].keys()
    assert set(router["middlewares"]) == parts["middlewares"].keys()
    settings = loaded(variables(sample("traefik.md", "ini")), monkeypatch, tmp_path)
    balancer = service["loadBalancer"]
    assert [one["url"] for one in balancer["servers"]] == [f"http://127.0.0.1:{settings.port}"]
    assert settings.trusted_proxies == ("127.0.0.1/32",)
    answers(Settings.development(data=tmp_path / "data"), balancer["healthCheck"]["path"])
    headers = parts["middlewares"]["no-request-id"]["headers"]["customRequestHeaders"]
    assert headers == {"X-Request-ID": ""}


# -- Kubernetes ------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(sample("kubernetes.md", "yaml"))}


def test_kubernetes_gives_settings_that_start(
    cluster: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container's variables and the secret's files: everything that production asks for, and nothing unknown."""
    pod = cluster["Deployment"]["spec"]["template"]["spec"]
    (first,), (main,) = pod["initContainers"], pod["containers"]
    assert first["env"] == main["env"]
    env = {one["name"]: one["value"] for one in main["env"]}
    mounts = {one["mountPath"]: one["name"] for one in main["volumeMounts"]}
    assert {mounts[env["PASSGATE_SECRETS_DIR"]], mounts[env["PASSGATE_DATA"]]} == {
        one["name"] for one in pod["volumes"]
    }
    files = cluster["Secret"]["stringData"]
    assert {name.upper() for name in files} | env.keys() <= samples.VARIABLES
    (tmp_path / "files").mkdir()
    for name, value in files.items():
        (tmp_path / "files" / name).write_text(SECRET if name == "passgate_secrets" else value)
    settings = loaded({**env, "PASSGATE_SECRETS_DIR": str(tmp_path / "files")}, monkeypatch, tmp_path)
    assert refusals(settings) == []
    assert settings.nodes == cluster["Deployment"]["spec"]["replicas"] > 1
    assert not settings.is_sqlite


def test_kubernetes_ports_and_probes(cluster: dict[str, Any], tmp_path: Path) -> None:
    deployment = cluster["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (main,), (port,) = pod["containers"], pod["containers"][0]["ports"]
    env = {one["name"]: one["value"] for one in main["env"]}
    assert (port["containerPort"], pod["enableServiceLinks"]) == (int(env["PASSGATE_PORT"]), False)
    probes = [main[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")]
    assert {one["port"] for one in probes} == {port["name"]}
    answers(Settings.development(data=tmp_path / "data"), *(one["path"] for one in probes))
    service = cluster["Service"]["spec"]
    assert service["ports"][0]["targetPort"] == port["name"]
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"] == deployment["selector"]["matchLabels"] == labels
    # A service of this name would set the port of every container beside it.
    assert cluster["Service"]["metadata"]["name"] == "passgate"


def test_kubernetes_gives_no_rights(cluster: dict[str, Any]) -> None:
    pod = cluster["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(pod["securityContext"]["runAsUser"]) == instructions()["USER"][0].partition(":")[0]
    for one in (*pod["initContainers"], *pod["containers"]):
        assert one["securityContext"]["readOnlyRootFilesystem"]
        assert one["securityContext"]["capabilities"]["drop"] == ["ALL"]
        command = [sys.executable, "-m", "passgate.cli", *one["args"][1:], "--help"]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert GRACE < 30  # what a cluster gives a pod that it ends


# -- a container -----------------------------------------------------------------------------------


def instructions() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in sample("container.md", "dockerfile").splitlines():
        name, _, rest = line.partition(" ")
        found.setdefault(name, []).append(rest)
    return found


def test_the_image_is_made_of_what_is_there() -> None:
    copied = [shlex.split(line) for line in instructions()["COPY"]]
    for *sources, _ in copied:
        assert [one for one in sources if not (ROOT / one).exists()] == []
    # Whatever pyproject.toml reads to build is copied.
    assert {"pyproject.toml", "README.md", "LICENSE", "src", "requirements/run.txt"} == {
        one for *sources, _ in copied for one in sources
    }
    assert "/build/requirements/run.txt" in instructions()["RUN"][0]
    run = (ROOT / "requirements" / "run.txt").read_text()
    assert ("--hash=" in run, "asyncpg==" in run) == (True, True)


def test_the_image_has_settings_ports_and_a_folder_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = instructions()
    env = dict(pair.split("=", 1) for line in found["ENV"] for pair in shlex.split(line))
    assert env.keys() <= samples.VARIABLES
    settings = loaded(env, monkeypatch, tmp_path)
    assert (settings.environment, settings.host) == ("production", "0.0.0.0")
    assert found["EXPOSE"] == [str(settings.port)]
    assert found["VOLUME"] == [str(settings.data)]
    user = found["USER"][0].split(":")
    assert all(int(one) > 0 for one in user)
    owned = f"-o {user[0]} -g {user[1]} {settings.data}"
    assert any(line.startswith("install -d -m 700") and line.endswith(owned) for line in found["RUN"])
    program, *arguments = json.loads(found["CMD"][0])
    assert program == "passgate"
    done = subprocess.run(
        [sys.executable, "-m", "passgate.cli", *arguments, "--help"], check=False, capture_output=True
    )
    assert done.returncode == 0
    command = sample("container.md", "console")
    assert {"--read-only", "--cap-drop"} <= set(command.split())
    assert re.findall(r"-p 127\.0\.0\.1:(\d+):(\d+)", command) == [(str(settings.port), str(settings.port))]
    assert f":{settings.data} " in command


def test_the_health_check_of_the_image(tmp_path: Path) -> None:
    """It says 0 while a server is there, and something else when none is."""
    line = instructions()["HEALTHCHECK"][0]
    assert line.startswith("CMD [")
    _, *arguments = json.loads(line.removeprefix("CMD "))
    with Running("serve", tmp_path / "data") as server:
        there = [one.replace(":8000", f":{server.port}") for one in arguments]
        assert subprocess.run([sys.executable, *there], check=False, capture_output=True).returncode == 0
    gone = [one.replace(":8000", f":{free_port()}") for one in arguments]
    assert subprocess.run([sys.executable, *gone], check=False, capture_output=True).returncode != 0


def _may_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="this user may not mount anything")
def test_it_runs_as_nobody_on_a_read_only_system(tmp_path: Path) -> None:
    """As the container runs it: everything read-only but the data folder, as another user than root, without rights."""
    user = instructions()["USER"][0].partition(":")[0]
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    script = f"""
        mount -t tmpfs -o size=64m,mode=700 none {data}
        for point in $(awk '{{print $5}}' /proc/self/mountinfo | grep -v -e '^{data}' -e '^/proc' -e '^/sys'); do
            mount -o remount,bind,ro $point 2>/dev/null
        done
        touch {tmp_path}/x 2>/dev/null && exit 9
        exec unshare -U --map-user={user} --map-group={user} {sys.executable} -B -m passgate.cli --data {data} serve
    """
    env = {"PATH": os.environ["PATH"], "PASSGATE_PORT": str(port), "TMPDIR": "/nowhere"}
    command = ["unshare", "-m", "sh", "-c", script]
    with subprocess.Popen(
        command, env=env, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        ready = server.stdout.readline()
        assert "ready" in ready, server.stderr.read()
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert re.findall(r"CapEff:\s+(\w+)", status) == ["0" * 16]
        server.terminate()
        assert server.wait(30) == 0


# -- several workers -------------------------------------------------------------------------------


def test_connections_of_a_process() -> None:
    """The pools of writing, of reading, and of the quick look-ups."""
    made = Store(read_database("postgresql://u:p@127.0.0.1:1/x"), SCHEMA)
    pools: list[Any] = [made.writer.sync_engine.pool, made.reader.sync_engine.pool]
    most = sum(pool.size() + pool._max_overflow for pool in pools) + 8
    asyncio.run(made.close())
    assert f"up to {most} for each process" in (samples.OPERATE / "workers.md").read_text()
