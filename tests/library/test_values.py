"""Every public value returned from a route, copied, pickled, hashed, compared and printed: those of `passgate.__all__`,
of `operations.pyi` and of `passgate.verify`, so that a new one is tried too.

Not here: where a value comes from.
"""

import ast
import copy
import dataclasses
import json
import pickle
import subprocess
import sys
import types
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, TypeAdapter
from starlette.responses import Response
from starlette.testclient import TestClient

import passgate
from passgate import User, operations, testing, verify
from passgate.web.carried import Carried, with_cookies
from passgate.web.host_values import ReadOnly
from tests.architecture.twins_file import PATH
from tests.library.program import asked

WHEN = datetime(2026, 12, 1, 8, 30, tzinfo=UTC)
SECRET = "pg_ses_sentinel"
COOKIE = f"__Host-passgate_session={SECRET}; Path=/"


def _typed_names() -> list[str]:
    """The values of `operations.pyi`: classes that are no namespace of functions and no argument."""
    found = ast.parse(PATH.read_text()).body
    return [one.name for one in found if isinstance(one, ast.ClassDef) and one.decorator_list]


def _kinds() -> dict[str, type]:
    named = {f"passgate.{name}": getattr(passgate, name) for name in passgate.__all__}
    named |= {f"passgate.operations.{name}": getattr(operations, name) for name in _typed_names()}
    named |= {f"passgate.verify.{name}": getattr(verify, name) for name in verify.__all__}
    return {name: kind for name, kind in named.items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


KINDS = _kinds()
NO_VALUES = {"Passgate", "Settings", "__version__", "errors"}


def test_none_is_left_out() -> None:
    assert {name.rpartition(".")[2] for name in KINDS} >= {*passgate.__all__} - NO_VALUES
    assert {name for name in KINDS if ".operations." in name} == {
        f"passgate.operations.{name}" for name in _typed_names()
    }
    assert "passgate.verify.AccessToken" in KINDS


def filled(kind: Any, name: str = "") -> Any:
    """A value of this type, with something in every part of it."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any and name == "session":
        return filled(operations.Session)
    if origin is Annotated:
        return filled(parts[0], name)
    if origin in (Union, types.UnionType):
        return filled(parts[0], name)
    if origin is Literal:
        return parts[0]
    if origin is tuple:
        return (filled(parts[0], name),)
    if origin is frozenset:
        return frozenset({"notes:read"})
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, vars(__import__(kind.__module__, fromlist=["_"])))
        made: Any = kind(**{one.name: filled(hints[one.name], one.name) for one in dataclasses.fields(kind)})
        return with_cookies(made, [COOKIE], "cleared") if isinstance(made, Carried) else made
    if kind in (Any, dict, Mapping) or origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        return {"a": [1, {"b": SECRET}]}
    of = {str: f"{SECRET}_{name}", bool: True, int: 7, float: 0.5, datetime: WHEN, types.NoneType: None}
    return of[kind]


def test_what_the_test_fills() -> None:
    """Free JSON, which has no hash, a time, a list and a cookie are among what is tried."""
    user = filled(User)
    assert (user.session.auth_time, user.claims["a"]) == (WHEN, [1, {"b": SECRET}])
    assert filled(operations.Finished)._set_cookies == (COOKIE,)


@pytest.fixture(params=KINDS)
def value(request: pytest.FixtureRequest) -> Any:
    return filled(KINDS[request.param])


def test_copied(value: Any) -> None:
    for other in (copy.copy(value), copy.deepcopy(value), dataclasses.replace(value)):
        assert other == value
        assert type(other) is type(value)
    assert copy.deepcopy(value) is not value


def test_pickled(value: Any) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        other = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  our own
        assert (other, type(other)) == (value, type(value))


def test_pickled_for_another_process() -> None:
    """One that has imported nothing yet."""
    blobs = [pickle.dumps(filled(kind)) for kind in KINDS.values()]
    code = "import pickle, sys; [hash(pickle.loads(each)) for each in pickle.load(sys.stdin.buffer)]"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(blobs), check=True, timeout=60)


def test_hashed(value: Any) -> None:
    """Equal ones have the same hash; what differs in free JSON alone is another value."""
    other = copy.deepcopy(value)
    assert len({value, other}) == 1
    assert {value: 1}[other] == 1
    for one in dataclasses.fields(value):
        if isinstance(getattr(value, one.name), dict):
            changed = dataclasses.replace(value, **{one.name: {"a": 2}})
            assert changed != value
            assert len({changed, value}) == 2


def test_frozen(value: Any) -> None:
    for one in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, one.name, None)


def test_returned(value: Any) -> None:
    """By itself, as the annotation says, and within something else; the document says what comes."""
    app, kind = FastAPI(), type(value)

    async def alone() -> Any:
        return value

    alone.__annotations__["return"] = kind
    app.get("/alone")(alone)
    app.get("/within")(lambda: {"items": [value]})
    with TestClient(app) as http, warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = [http.get("/alone").json(), http.get("/within").json()["items"][0]]
    names = {one.name for one in dataclasses.fields(value)}
    for answer in answers:
        assert {*answer} == names
        assert COOKIE not in json.dumps(answer)
    document = app.openapi()
    schema = document["paths"]["/alone"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    found = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert {*found["properties"]} == names
    times = [name for name in names if isinstance(getattr(value, name), datetime)]
    for name in times:
        assert json.dumps(found["properties"][name]).count('"date-time"') == 1
        assert {datetime.fromisoformat(answer[name]) for answer in answers} == {WHEN}


def test_as_json(value: Any) -> None:
    kind: TypeAdapter[Any] = TypeAdapter(type(value))
    names = {one.name for one in dataclasses.fields(value)}
    for written in (kind.dump_json(value), msgspec.json.encode(value)):
        assert {*json.loads(written)} == names
        assert COOKIE.encode() not in written
    assert COOKIE not in str(dataclasses.asdict(value))


OPEN = {"passgate.User", "passgate.Happened", "passgate.verify.AccessToken"}
"""Their repr has what they say of a person, and nothing that opens anything."""


@pytest.mark.parametrize("name", sorted({*KINDS} - OPEN))
def test_no_secret_is_printed(name: str) -> None:
    """Ids, instants and numbers are; of a text nobody knows what it is."""
    printed = repr(filled(KINDS[name]))
    assert SECRET not in printed.replace(f"id='{SECRET}_id'", "")


@pytest.mark.parametrize("name", sorted(OPEN))
def test_there_is_none_in_these(name: str) -> None:
    secrets = ("secret", "password", "_hash", "refresh", "access_token", "cookie")
    names = [one.name for one in dataclasses.fields(KINDS[name])]
    assert [one for one in names if any(part in one for part in secrets)] == []


class Profile(BaseModel):
    name: str = ""


async def test_a_real_user_is_returned_and_stored() -> None:
    gate = testing.gate(profile=Profile, claims=lambda _user: {"plan": ["gold"]})
    app, seen = FastAPI(), list[User]()

    @app.get("/me")
    async def me(user: Annotated[User, Depends(gate.user)]) -> User:
        seen.append(user)
        return user

    gate.mount(app)
    async with asked(app, gate) as http:
        who = await testing.sign_in(http, "anna@example.com", profile={"name": "Anna"}, carrier="bearer")
        answer = await http.get("/me")
        await http.get("/me")
    first, second = seen
    assert first == second
    assert len({first, second}) == 1
    assert pickle.loads(pickle.dumps(first)) == copy.deepcopy(first) == first  # noqa: S301  our own
    answered = answer.json()
    assert (answered["id"], answered["profile"], answered["claims"]) == (who.id, {"name": "Anna"}, {"plan": ["gold"]})
    assert answered["tenant"]["name"] == "main"
    assert (who.token or "-") not in f"{answer.text} {first!r}"


def test_claims_stay_as_they_are() -> None:
    user = pickle.loads(pickle.dumps(dataclasses.replace(filled(User), claims=ReadOnly(plan="gold"))))  # noqa: S301
    changes: list[Any] = [
        lambda claims: claims.update(a=1),
        lambda claims: claims.setdefault("a", 1),
        lambda claims: claims.__setitem__("a", 1),
        lambda claims: claims.__ior__({"a": 1}),
        lambda claims: claims.pop("a", None),
        lambda claims: claims.clear(),
    ]
    for change in changes:
        with pytest.raises(TypeError):
            change(user.claims)
    assert dict(user.claims) == {"plan": "gold"}


def test_cookies_are_handed_over_and_nothing_else() -> None:
    """A copy and a pickle set them too; `replace` makes another answer, which has none."""
    made = filled(operations.Finished)
    for one in (made, copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301  our own
        response = Response()
        one.set_on(response)
        assert response.headers["set-cookie"] == COOKIE
    with pytest.raises(RuntimeError):
        dataclasses.replace(made, expires_in=1).set_on(Response())
