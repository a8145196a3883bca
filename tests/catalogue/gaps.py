"""What is missing or wrong in the catalogue of an application, as a list of messages for one test.

Whether the requests of an entry yield what it says is tested by the matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from passgate.app import Passgate
from passgate.web.routes import Face
from tests.architecture.reference import Endpoint, endpoints
from tests.catalogue import SAFE
from tests.catalogue.entry import Entry
from tests.catalogue.factors import TYPED, Typed, typed_factors
from tests.catalogue.outcomes import STEP_UP, Rule

FILES = ("GET /docs", "GET /static/", "GET /favicon.ico")
"""Static files, the same for everybody, need no entry."""


def gaps(gate: Passgate, known: Mapping[str, Entry], *more: Typed) -> list[str]:
    """One message for each gap; none if the catalogue is complete."""
    routes = {f"{one.method} {one.path}": one for one in endpoints(gate)}
    routes = {key: one for key, one in routes.items() if not key.startswith(FILES) and one.method != "HEAD"}
    answered = {factor.name for factor in (*TYPED, *more)}
    found = [f"factor {name}: nobody knows an answer" for name in typed_factors(gate) if name not in answered]
    found += [f"{key}: no entry" for key in routes if key not in known]
    found += [f"{key}: no such endpoint" for key in known if key not in routes]
    return found + [f"{key}: {what}" for key in routes if key in known for what in lacking(routes[key], known[key])]


def lacking(route: Endpoint, entry: Entry) -> Iterator[str]:
    """What one entry lacks or contradicts."""
    is_safe, is_asked_by_programs = route.method in SAFE, bool(route.operation)
    if route.guards != (entry.who,):
        yield f"its guard is {', '.join(route.guards)}, not {entry.who}"
    if is_asked_by_programs and not entry.rights:
        yield "no right request"
    if is_asked_by_programs and not is_safe and not entry.writes:
        yield "no action that writes"
    wants_fresh_proof = any((right.row or {}).get(Rule.STALE) == STEP_UP for right in entry.rights)
    if is_asked_by_programs and wants_fresh_proof != (entry.fresh is not None):
        yield "no action that wants a fresh proof" if wants_fresh_proof else "an action that wants what no row says"
    is_looked_at = route.method == "GET" and route.face is Face.PAGE
    if is_looked_at and bool(entry.stops) == entry.leads_on:
        yield "no way for a browser to get there" if not entry.stops else "it leads on and has stops"
    if entry.stops and not is_looked_at:
        yield "stops, and no page"
