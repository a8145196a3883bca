"""An endpoint that bypasses the framework answers like its twin, which takes the requests that have a query.

Not here: what these endpoints do, which is tested beside every other (`tests/web`, `tests/core`).
"""

from __future__ import annotations

from typing import Any

import httpx2

from tests.kit import PASSWORD, The, bearer, code_of, handle_of


async def test_a_hot_endpoint_answers_like_its_twin(lite: The) -> None:
    """The framework handles a request with a query, the fast path one without: the responses are the same."""
    anna = await lite.person()
    gone = await lite.signed_in(anna)
    await lite.http.delete("/api/v1/session", headers=gone.auth)
    cases = [{}, bearer("nonsense"), bearer(gone.token), anna.auth, {"cookie": f"passgate_session={anna.token}"}]
    cases += [{"authorization": "Basic x"}, {"cookie": "passgate_session=a; passgate_session=b"}]
    result = []
    for headers in cases:
        hot = await lite.http.get("/api/v1/session", headers=headers)
        twin = await lite.http.get("/api/v1/session?a=1", headers=headers)
        assert _without_id(hot) == _without_id(twin)
        result.append("ok" if hot.status_code == 200 else code_of(hot))
    no = "credential_invalid"
    assert result == ["credential_missing", no, "session_ended", "ok", "ok", no, no]


BODIES: tuple[object, ...] = (
    None,
    {},
    [],
    "x",
    1,
    {"refresh_token": None},
    {"refresh_token": 5},
    {"refresh_token": ""},
    {"refresh_token": "x" * 1025},
    {"refresh_token": "é"},
    {"refresh_token": "pg_rt_x"},
    {"refresh_token": "pg_rt_x", "more": 1},
    {"more": 1},
)
RAW = (
    (b"", "application/json"),
    (b"null", "application/json"),
    (b'{"refresh_token": "a", "refresh_token": "b"}', "application/json"),
    (b'{"refresh_token": "a"', "application/json"),
    (b"refresh_token=a", "application/x-www-form-urlencoded"),
    (b'{"refresh_token": "a"}', "text/plain"),
    (b" " * 70_000, "application/json"),
)


async def test_a_hot_endpoint_refuses_bodies_like_its_twin(lite: The) -> None:
    path, statuses = "/api/v1/tokens/refresh", set()
    given: list[dict[str, Any]] = [{"json": body} for body in BODIES]
    given += [{"content": raw, "headers": {"content-type": kind}} for raw, kind in RAW]
    for case in given:
        hot, twin = await lite.http.post(path, **case), await lite.http.post(f"{path}?a=1", **case)
        assert _without_id(hot) == _without_id(twin), case
        statuses.add(hot.status_code)
    assert statuses == {400, 401, 413, 415, 422}


async def test_a_hot_endpoint_grants_like_its_twin(lite: The) -> None:
    """A pair of each in turn; then a token that was used, at each."""
    anna, path = await lite.person(), "/api/v1/tokens/refresh"
    for way, other in ((path, f"{path}?a=1"), (f"{path}?a=1", path)):
        token = (await lite.finish(await _proved(lite, anna.email), "jwt")).json()["refresh_token"]
        first = await lite.http.post(way, json={"refresh_token": token})
        then = await lite.http.post(other, json={"refresh_token": first.json()["refresh_token"]})
        assert (first.status_code, first.headers.keys()) == (then.status_code, then.headers.keys())
        assert (first.status_code, first.json().keys()) == (200, then.json().keys())
        assert code_of(await lite.http.post(way, json={"refresh_token": token})) == "refresh_reused"


async def _proved(lite: The, email: str) -> str:
    handle = handle_of(await lite.start(email))
    assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200
    return handle


def _without_id(answer: httpx2.Response) -> tuple[object, ...]:
    """The response without the id of its request."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, {**answer.json(), "request_id": None}, headers
