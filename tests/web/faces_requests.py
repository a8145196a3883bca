"""The requests that show the face of every route: its right request, and those that the edge and the guards refuse.
Paths without a route are asked for too.

Not here: what is answered (`faces`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from passgate.app import Passgate
from passgate.web.routes import Body, Declared
from passgate.wire.body import MAX_BODY
from tests import catalogue
from tests.architecture.population import Ask, Population
from tests.catalogue import SAFE, asks
from tests.catalogue.asks_pages import LINK, SESSION, SIGNIN, form
from tests.catalogue.entry import Asks
from tests.kit import bearer
from tests.web.browsing import SAME

JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
ALLOWED, FOREIGN = "https://app.example", "https://elsewhere.example"
"""An origin that may call the endpoints for everybody, and one that may not."""

# -- operations ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """A method of a route. `kind`: page, endpoint, service or file."""

    method: str
    path: str
    kind: str
    guard: str
    takes_body: bool

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> tuple[str, ...]:
        """From itself alone to all of its kind."""
        return self.key, f"{self.kind}, {self.guard}, {self.method}", f"{self.kind}, {self.guard}", self.kind


def operations(gate: Passgate) -> list[Operation]:
    found = []
    for route in gate.api.routes:
        assert isinstance(route, Declared)
        [guard] = route.guards
        kind, takes_body = type(route).__name__.lower(), route.body is not Body.NONE
        found += [Operation(method, route.path, kind, guard, takes_body) for method in route.methods or ()]
    return sorted(found, key=lambda one: (one.path, one.method))


# -- right requests --------------------------------------------------------------------------------


async def _stops(population: Population) -> Ask:
    """The link in the mail about a sign-in link."""
    await population.done("POST", f"/users/{population.ben.id}/signin-link", None, population.anna.token)
    [mail, *_] = await population.the.mails(population.ben.email)
    return form("/recover/stop", mail["link"].rpartition("/")[2], LINK)


async def _names(population: Population) -> Ask:
    return form("/account", population.anna.token, SESSION, name="Anna")


def _as_page(asks_endpoint: Asks) -> Asks:
    """The form of the account pages that does the same."""

    async def asks_page(population: Population) -> Ask:
        asked = await asks_endpoint(population)
        return form(asked.path.replace(f"{asks.API}/me", "/account"), asked.secret, SESSION)

    return asks_page


FORMS: dict[str, Asks] = {
    "POST /recover/stop": _stops,
    "POST /account": _names,
    "POST /account/sessions/{id}": _as_page(asks.ends_one),
    "POST /account/browsers/{id}": _as_page(asks.forgets_browser),
}
"""Forms that the catalogue has no right request for, because they yield nothing, and that need more than a cookie."""


def right(operation: Operation) -> Asks:
    """Its right request. A page is opened with the cookie that its form is sent with."""
    known = catalogue.catalogue()
    for key in (operation.key, f"POST {operation.path}"):
        if key in FORMS:
            return FORMS[key]
        if key in known and known[key].rights:
            return known[key].rights[0].asks
    return _plain(operation)


def _plain(operation: Operation) -> Asks:
    """A request with the credential that the guard asks for, and nothing else."""

    async def asks_plainly(population: Population) -> Ask:
        path = operation.path.replace("{token}", "nonsense")
        match operation.guard:
            case "pending_visitor":
                return form(path, await population.after_password(population.anna), SIGNIN)
            case "visitor" | "leaving_visitor":
                return form(path, population.anna.token, SESSION)
            case _:
                return Ask(path)

    return asks_plainly


# -- what is sent ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """`like`: the case whose answer at the same route this one may equal."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    like: str = ""


@dataclass(frozen=True)
class Prepared:
    """An operation and a right request to it."""

    operation: Operation
    ask: Ask

    @property
    def is_page(self) -> bool:
        return self.operation.kind == "page"

    @property
    def kind(self) -> str:
        return FORM if self.is_page else JSON

    @property
    def some(self) -> bytes:
        """A body that decodes."""
        return b"a=b" if self.is_page else b"{}"

    def body(self) -> bytes:
        if self.operation.method in SAFE or self.ask.body is None:
            return b""
        return urlencode(self.ask.body).encode() if self.is_page else json.dumps(self.ask.body).encode()

    def credential(self) -> dict[str, str]:
        if self.ask.cookie:
            return {"cookie": f"{self.ask.cookie}={self.ask.secret}"}
        return bearer(self.ask.secret) if self.ask.secret else {}

    def sent(self, headers: dict[str, str], content: bytes = b"", kind: str = "", like: str = "bare") -> Sent:
        """To this route, from a page of ours unless an origin is named. `kind`: the content type, if it is not that of
        the face."""
        made = headers if "origin" in headers or not self.is_page else {**SAME, **headers}
        if content or kind:
            made = {**made, "content-type": kind or self.kind}
        return Sent(self.operation.method, self.ask.path, made, content, like)


def at_the_edge(to: Prepared) -> dict[str, Sent]:
    """What is refused whoever asks, so it is sent without a credential."""
    doubled, no_text = (b"a=b&a=c", b"a=%ff") if to.is_page else (b'{"a":1,"a":2}', b'{"a":"\xff"}')
    bare, path = to.sent({}, like=""), to.ask.path
    wrong = replace(bare, method="PUT")
    return {
        "bare": bare,
        "wrong method": wrong,
        "wrong method in a browser": replace(wrong, headers={"accept": "text/html"}, like="wrong method"),
        "slash at the end": replace(bare, path=f"{path}/"),
        "wrong type": to.sent({}, to.some, TEXT),
        "bad UTF-8": to.sent({}, no_text),
        "doubled name": to.sent({}, doubled),
        "too large": to.sent({}, b" " * (MAX_BODY + 1)),
        "bad query": replace(bare, path=f"{path}?return_to=%zz&v=%zz", like="bare"),
        "doubled query": replace(bare, path=f"{path}?return_to=a&return_to=b&v=a&v=b", like="bare"),
        "preflight": Sent("OPTIONS", path, {"origin": ALLOWED, "access-control-request-method": to.operation.method}),
    }


def at_the_guard(to: Prepared) -> dict[str, Sent]:
    """What gets as far as the guard: without a credential, and the right request with another one."""
    bare = to.sent({})
    cases = {
        "undeclared query": replace(bare, path=f"{to.ask.path}?x=%zz&x=a"),
        "quoted charset": to.sent({}, to.some, f'{to.kind}; charset="utf-8"'),
        "type alone": to.sent({}, kind=TEXT),
        "allowed origin": to.sent({"origin": ALLOWED}),
    }
    if not to.operation.takes_body:
        cases["with a body"] = to.sent({}, to.some)
    if to.operation.method == "GET":
        cases["HEAD"] = replace(bare, method="HEAD")
    if not to.ask.secret:
        return cases
    name, body, is_safe = to.ask.cookie or SESSION, to.body(), to.operation.method in SAFE
    mine = f"{name}={to.ask.secret}"
    cases |= {"no credential": to.sent({}, body), "cookie twice": to.sent({"cookie": f"{mine}; {mine}"}, body)}
    if is_safe or not to.is_page:  # a form whose sign-in is over waits a second for another process to answer it
        cases["wrong cookie"] = to.sent({"cookie": f"{name}=nonsense"}, body)
    if not is_safe:
        cases["foreign origin"] = to.sent({"cookie": mine, "origin": FOREIGN}, body)
    return cases if to.is_page else {**cases, "wrong token": to.sent(bearer("nonsense"), body)}


def cases_of(to: Prepared) -> dict[str, Sent]:
    """All cases of an operation; the right request last, because it may end what it was prepared with."""
    return at_the_edge(to) | at_the_guard(to) | {"right": to.sent(to.credential(), to.body(), like="")}


NEAR = ("/", "/api/v1/", "/signin/", "/account/", "/static/", "/docs/", "/dev/", "/.well-known/", "/oauth2/")
NOWHERE = tuple(f"{near}nothing" for near in NEAR)
"""Paths without a route, near routes of each kind."""


def nowhere(path: str) -> dict[str, Sent]:
    """Requests to such a path."""
    first = "nowhere"
    return {
        first: Sent("GET", path),
        "nowhere, in a browser": Sent("GET", path, {"accept": "text/html"}, like=first),
        "nowhere, with JSON": Sent("POST", path, {"content-type": JSON}, b"{}", first),
        "nowhere, with a form": Sent("POST", path, {"content-type": FORM}, b"a=b", first),
        "nowhere, bad query": Sent("GET", f"{path}?a=%zz", like=first),
    }
