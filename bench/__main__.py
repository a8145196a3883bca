"""`make bench`: CPU per request, and its ratio to a bare server measured in the same run. No figure fails the run.

A ratio is the baseline's CPU per request divided by ours: 1 would mean no cost at all, and higher is better.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import crowd, examples, flood, load, people, servers, start, steps, tokens
from bench.people import create_person, json_request, sign_ins, sign_up
from bench.servers import Server
from tests.authenticator import Authenticator
from tests.servers import Postgres

TINY = {"PASSGATE_HASH__MEMORY_KIB": "8", "PASSGATE_HASH__PASSES": "1"}


def per_request(server: Server, raw: bytes, count: int) -> tuple[float, float]:
    """CPU µs per request, and requests per second."""
    before = server.cpu()
    seconds = asyncio.run(load.storm(server.port, raw, count=count))
    return (server.cpu() - before) / count * 1e6, count / seconds


def rounds(times: int, measure: Callable[[], tuple[float, float]]) -> tuple[float, float, str]:
    """The medians of both figures, and the range of the first."""
    got = [measure() for _ in range(times)]
    first = [one for one, _ in got]
    return statistics.median(first), statistics.median(two for _, two in got), f"{min(first):.4g}–{max(first):.4g}"


def heading(*names: str) -> None:
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")


def row(name: str, *cells: float | str) -> None:
    print(f"| {name} | {' | '.join(_formatted(cell) for cell in cells)} |", flush=True)


def _formatted(cell: float | str) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if cell >= 100 else f"{cell:.3g}"


def session_checks(stack: ExitStack, postgres: Postgres, times: int, count: int) -> None:
    granian, uvicorn = stack.enter_context(servers.granian_hello()), stack.enter_context(servers.uvicorn_hello())
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sqlite = stack.enter_context(servers.passgate(data / "sqlite"))
    on_postgres = stack.enter_context(servers.passgate_on(data / "postgres", postgres.create_database()))
    hello = load.request("GET", "/")
    heading(
        "asked again and again, one process", "CPU µs", "spread", "req/s", "ratio to granian hello", "to uvicorn hello"
    )
    bare = {}
    for name, server in (("granian", granian), ("uvicorn", uvicorn)):
        per_request(server, hello, count // 4)
        cpu, rate, spread = rounds(times, lambda server=server: per_request(server, hello, count))  # type: ignore[misc]
        bare[name] = cpu
        row(f"hello on {name}", cpu, spread, rate, "", "")
    for name, server in (("SQLite", sqlite), ("PostgreSQL", on_postgres)):
        token = asyncio.run(sign_up(server.port, "bench@example.com"))
        raw = json_request("GET", "/api/v1/session", token=token)
        per_request(server, raw, count // 4)
        cpu, rate, spread = rounds(times, lambda server=server, raw=raw: per_request(server, raw, count))  # type: ignore[misc]
        row(f"GET /api/v1/session by bearer, {name}", cpu, spread, rate, bare["granian"] / cpu, bare["uvicorn"] / cpu)
        pair = asyncio.run(tokens.pair_of(server.port, people.Person("bench@example.com", Authenticator())))
        others = {
            "GET /api/v1/session by access token": json_request("GET", "/api/v1/session", token=pair["access_token"]),
            "GET /api/v1/session by cookie": load.request("GET", "/api/v1/session", Cookie=f"passgate_session={token}"),
            "the sign-in page": load.request("GET", "/signin"),
            "the page of sessions": load.request("GET", "/account/sessions", Cookie=f"passgate_session={token}"),
        }
        for what, ask in others.items():
            cpu, rate, spread = rounds(times, lambda server=server, ask=ask: per_request(server, ask, count // 4))  # type: ignore[misc]
            row(f"{what}, {name}", cpu, spread, rate, bare["granian"] / cpu, bare["uvicorn"] / cpu)


def sign_in_rows(stack: ExitStack, times: int, count: int) -> None:
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    names = [f"p{number}@example.com" for number in range(8)]
    heading("sign-in (start, prove, finish)", "per second", "CPU ms", "spread", "of what the hash alone allows")
    alone = steps.hashes_per_second(os.cpu_count() or 1)
    row("Argon2id 19 MiB t=2 p=1, nothing else", alone, (os.cpu_count() or 1) / alone * 1e3, "", "100 %")
    whole = stack.enter_context(servers.passgate(data / "whole"))
    tiny = stack.enter_context(servers.passgate(data / "tiny", **TINY))
    crowd = {server.port: [asyncio.run(create_person(server.port, name)) for name in names] for server in (whole, tiny)}
    cpu, rate, spread = rounds(times, lambda: sign_ins(whole, crowd[whole.port], people.sign_in, count, 16))
    row("passgate, 19 MiB t=2 p=1", rate, cpu, spread, f"{rate / alone:.0%}")
    cpu, rate, spread = rounds(times, lambda: sign_ins(tiny, crowd[tiny.port], people.sign_in, count, 16))
    row("passgate, outside the hash (8 KiB t=1)", rate, cpu, spread, "")


def factor_rows(stack: ExitStack, times: int, count: int) -> None:
    """Sign-ins with a passkey, and with password and app, at negligible cost of the hash, compared with the bare check
    of the answer."""
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(servers.passgate(data / "tiny", **TINY))
    heading("sign-in outside the hash", "per second", "CPU ms", "spread", "the bare check, µs", "ratio to it")
    bare = steps.bare_checks()
    origin = f"http://localhost:{server.port}"

    async def by_passkey(link: load.Connection, who: people.Person) -> None:
        await people.by_passkey(link, who, origin)

    for factor, action, name in (
        ("passkey", by_passkey, "with a passkey (start, challenge, prove, finish)"),
        ("totp", people.by_app, "with password and app (start, prove, prove, finish)"),
    ):
        crowd = [
            asyncio.run(create_person(server.port, f"{factor}{number}@example.com", factor)) for number in range(count)
        ]

        def measure(crowd: list[people.Person] = crowd, action: people.Action = action) -> tuple[float, float]:
            people.forget_codes(data / "tiny")
            return sign_ins(server, crowd, action, count, 8)

        measure()
        cpu, rate, spread = rounds(times, measure)
        row(name, rate, cpu, spread, bare[factor], bare[factor] / cpu / 1e3)


def flood_rows(stack: ExitStack, crowds: tuple[int, ...]) -> None:
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(servers.passgate(data / "flooded"))
    who = asyncio.run(create_person(server.port, "anna@example.com"))
    heading("sign-in by password during a flood (19 MiB t=2 p=1)", "median, ms", "worst, ms", "ratio to a quiet server")
    flood.report(server, who.email, row, crowds=crowds)


def example_rows(stack: ExitStack, times: int, count: int) -> None:
    """What an example's own endpoint costs beside Passgate's in the same process, which answers the same question."""
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    heading("in a host's program, one process, SQLite", "CPU µs", "spread", "req/s", "times Passgate's own endpoint")
    server = stack.enter_context(examples.session_rbac(data / "example-2"))
    compared(server, asyncio.run(examples.people_in(server.port)), examples.PAIRS, times, count)
    server = stack.enter_context(examples.two_factor(data / "example-3"))
    compared(server, asyncio.run(examples.access_token(server.port)), examples.TOKENS, times, count)


def compared(server: Server, token: str, pairs: dict[str, tuple[str, str, int]], times: int, count: int) -> None:
    for what, (theirs, ours, share) in pairs.items():
        costs, some = [], count // share
        for path in (ours, theirs):
            raw = json_request("GET", path, token=token)
            per_request(server, raw, some // 4)
            cpu, rate, spread = rounds(times, lambda raw=raw, some=some: per_request(server, raw, some))  # type: ignore[misc]
            costs.append(cpu)
            row(f"{what}: GET {path}", cpu, spread, rate, cpu / costs[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it runs")
    parser.add_argument("--start", action="store_true", help="only what starts and commands cost")
    given = parser.parse_args()
    times, count, ins = (1, 2000, 60) if given.quick else (5, 12_000, 300)
    print(f"{os.cpu_count()} cores; CPU of the server process tree; medians of {times} rounds; of starts the least")
    heading("process", "first answer, s", "CPU s", "times FastAPI hello", "idle PSS, MB")
    start.start_rows(row, times=3 if given.quick else 15)
    heading("command", "s", "CPU s", "times `import fastapi`")
    start.command_rows(row, times=3 if given.quick else 15)
    if given.start:
        return
    with ExitStack() as stack, Postgres() as postgres:
        session_checks(stack, postgres, times, count)
    heading("access token verified, one core", "joserfc bare, µs", "our signature, µs", "passgate.verify, µs", "ratio")
    tokens.verify_rows(row)
    with ExitStack() as stack, Postgres() as postgres:
        heading("refresh of a pair, committed", "per second", "CPU µs")
        tokens.refresh_rows(stack, postgres, row, families=16, count=count // 4)
    with ExitStack() as stack:
        sign_in_rows(stack, times, ins)
    with ExitStack() as stack:
        factor_rows(stack, times, min(ins, 100))
    with ExitStack() as stack:
        flood_rows(stack, (0, 50) if given.quick else (0, 200, 500))
    with ExitStack() as stack:
        example_rows(stack, times, count // 4)
    with Postgres() as postgres:
        heading("a tenant of many people", "median, ms", "worst, ms")
        crowd.crowd_rows(postgres, row, count=100_000 if given.quick else 1_000_000, times=20)
    steps.report()


if __name__ == "__main__":
    main()
