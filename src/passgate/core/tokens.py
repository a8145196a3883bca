"""One session shown to programs: an access token for a few minutes, and the refresh token of its family. A family is a
carrier of its session and ends with it; a refresh is a use of the session. A refresh token that is used a second time
ends both, because somebody else may have it.

Not here: what a refresh token consists of (`refresh_token`), and keys (`keys`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from passgate import access_token
from passgate.access_token import AccessToken
from passgate.core import access, binding, keys, mail, people, refresh_token, session_lives, sessions
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Person
from passgate.core.events import Event
from passgate.core.refresh_token import RefreshToken
from passgate.core.rules import Rules
from passgate.errors import CredentialExpired, CredentialInvalid, RefreshReused, SessionEnded, SessionSuperseded
from passgate.jose import PrivateKey, Refused, header_of
from passgate.seal import digest
from passgate.store import Db
from passgate.world import SECOND

ACCESS = "eyJ"
"""How every access token begins: with the header, a JSON object."""
RETRY = 10
"""Seconds in which a family that is bound to a key gets the same successor again (RFC 9700 §4.14.2)."""
MOST_CLAIMS = 4096
"""Bytes of a host's claims, as JSON."""
_REMEMBERED = 4096
"""Verified access tokens that one process remembers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`expires_in`: seconds that the access token is valid."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


# -- access tokens ---------------------------------------------------------------------------------


async def find(ctx: Ctx, token: str, *, at_any_level: bool = False) -> Person:
    """The person of the live session behind an access token. The signature is checked first; session, person, tenant
    and roles are looked up at every call. CredentialInvalid, SessionEnded, StepUpNeeded."""
    given = await _verified(ctx, token)
    found = await sessions.of_family(ctx, given.session_id)
    if (found.tenant_id, found.person_id) != (given.tenant_id, given.subject):
        raise CredentialInvalid
    if found.auth_time // SECOND != given.auth_time:  # a step-up has replaced it
        raise SessionSuperseded
    return found if at_any_level else sessions.leveled(ctx, found)


async def _verified(ctx: Ctx, token: str) -> AccessToken:
    """The claims, if the signature is right and it is valid now. That these very bytes were right before is remembered,
    and nothing else."""
    now, remembered, name = ctx.now() / SECOND, ctx.services.keys.verified, digest(token.encode(errors="replace"))
    try:
        kid, given = remembered.get(name, ("", None))
        if given is not None and ctx.services.keys.find(kid, ctx.now()) is not None:
            access_token.check_times(given, now)
            return given
        kid = header_of(token).get("kid", "")
        await keys.look(ctx.services, kid)
        given = access_token.read(
            token, lambda kid: ctx.services.keys.find(kid, ctx.now()), issuer=ctx.issuer, audience=ctx.issuer, now=now
        )
    except Refused as wrong:
        raise (CredentialExpired if wrong.reason == access_token.EXPIRED else CredentialInvalid) from None
    if len(remembered) >= _REMEMBERED:
        remembered.clear()
    remembered[name] = (kid, given)
    return given


def _access(ctx: Ctx, key: PrivateKey, person: Person) -> tuple[str, int]:
    """An access token and how many seconds it is valid: never longer than its session."""
    now = ctx.now() // SECOND
    most, rules = ctx.settings.token.access, Rules.parsed(person.row["policy"], ctx.factors)
    life = min(rules.access_life or most, most, session_lives.until(ctx, person) // SECOND - now)
    token = AccessToken(
        issuer=ctx.issuer,
        audience=ctx.issuer,
        subject=person.person_id,
        client_id=access_token.CLIENT,
        token_id=ctx.world.text(16),
        session_id=person.session_id,
        tenant_id=person.tenant_id,
        acr=person.acr,
        amr=person.amr,
        roles=person.roles,
        auth_time=person.auth_time // SECOND,
        issued_at=now,
        expires_at=now + life,
        more=_claims(ctx, person),
        permissions=_permissions(ctx, person),
    )
    return access_token.signed(key, token), life


def _permissions(ctx: Ctx, person: Person) -> tuple[str, ...] | None:
    """Those of the host's own, for programs that only verify: ours are looked up wherever they are asked."""
    own = ctx.services.permissions
    return tuple(sorted(access.found_with(ctx.services, person) & own.keys())) if own else None


def _claims(ctx: Ctx, person: Person) -> Mapping[str, Any]:
    """What the host adds. ValueError for a claim of ours, and for more than 4 KiB in all."""
    given = ctx.services.claims(person) if ctx.services.claims else {}
    if taken := sorted(access_token.OURS & given.keys()):
        raise ValueError(f"claims= must not set {', '.join(taken)}")
    if len(json.dumps(dict(given))) > MOST_CLAIMS:
        raise ValueError(f"claims= is larger than {MOST_CLAIMS} bytes")
    return given


# -- refresh families ------------------------------------------------------------------------------


async def first(ctx: Ctx, db: Db, key: PrivateKey, tenant_id: str, opened: sessions.Opened) -> Pair:
    """The first pair of a session that this transaction has opened, or stepped up: if the host's claims cannot be had,
    nothing is opened. SessionEnded."""
    token, life = _access(ctx, key, await sessions.opened_family(ctx, db, tenant_id, opened.carrier_id))
    return Pair(token, opened.token, life)


async def refresh(ctx: Ctx, token: str, *, thumbprint: str | None = None) -> Pair:
    """A new pair for a refresh token, which works once. `thumbprint`: of the key that the client has proved (RFC 9449).
    CredentialInvalid, SessionEnded, ClientChanged, StepUpNeeded; RefreshReused for a token that was used before, which
    ends the session."""
    given = refresh_token.presented(ctx.ring, token)
    if given is None:
        raise CredentialInvalid
    key = await keys.signer(ctx.services)
    person, row = await sessions.family(ctx, given.family_id)
    if ctx.site.tenant not in (None, row["name"]):  # as in `carriers`
        raise CredentialInvalid
    if not _is_current(given, row) and not _is_retry(ctx, given, row, thumbprint):
        raise await _reused(ctx, person)
    if person is None or _is_over(ctx, person, row):
        raise SessionEnded
    if row["key_thumbprint"] not in (None, thumbprint):
        raise CredentialInvalid
    sessions.leveled(ctx, await binding.checked(ctx, person))
    access, life = _access(ctx, key, person)
    successor = given.successor(ctx.ring)
    if _is_current(given, row):
        async with ctx.write() as db:
            is_first = await sessions.rotate(ctx, db, person, given, successor)
        if not is_first:  # another use of it came first, or the session ended
            return await refresh(ctx, token, thumbprint=thumbprint)
    return Pair(access, successor.token, life)


def _is_current(given: RefreshToken, row: Mapping[str, Any]) -> bool:
    return (given.rotation, given.hash) == (row["rotation"], row["secret_hash"])


def _is_retry(ctx: Ctx, given: RefreshToken, row: Mapping[str, Any], thumbprint: str | None) -> bool:
    """Whether the client that has the family's key asks again for the successor that it may not have received."""
    is_bound = row["key_thumbprint"] is not None and row["key_thumbprint"] == thumbprint
    is_last = given.rotation + 1 == row["rotation"] and ctx.now() - row["rotated_at"] <= RETRY * SECOND
    return is_bound and is_last and given.successor(ctx.ring).hash == row["secret_hash"]


def _is_over(ctx: Ctx, person: Person, row: Mapping[str, Any]) -> bool:
    """Whether the refresh token has expired."""
    most, rules = ctx.settings.token.refresh, Rules.parsed(row["policy"], ctx.factors)
    since = row["rotated_at"] or person.auth_time
    return bool(ctx.now() - since >= min(rules.refresh_life or most, most) * SECOND)


async def _reused(ctx: Ctx, person: Person | None) -> RefreshReused:
    """End the session, and tell its owner once."""
    if person is None:
        return RefreshReused()
    about: dict[str, Any] = {"tenant_id": person.tenant_id, "subject_id": person.person_id}
    async with ctx.write() as db:
        owner = await people.lock(db, *person.key)
        if owner is not None and await sessions.end_one(ctx, db, person, "refresh_reused"):
            await record(ctx, db, Event.REFRESH_REUSED, **about, session_id=person.session_id)
            service = person.row["display_name"]
            await mail.enqueue(ctx, db, person.tenant_id, "refresh_reused", owner["email"], service=service)
    return RefreshReused()
