"""Who tries, and what a try, a start and a mail cost: the one place where our limits are decided. Three kinds are
counted apart, so that strangers cannot use up what the owner needs: strangers, browsers that completed a sign-in
before, and step-ups of a live session. `docs/threat-model.md` has the arithmetic.

Not here: how a counter works (`throttle`), the attempts of one pending sign-in (`pending`), and what a host's events
and jobs cost (`host_budgets`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache

from passgate.core import known, throttle
from passgate.core.audit import record
from passgate.core.ctx import Client, Ctx, Person
from passgate.core.events import Event
from passgate.core.throttle import Counted
from passgate.errors import Throttled
from passgate.hashing import Queue
from passgate.store import Db
from passgate.world import SECOND


class Kind(StrEnum):
    """Who tries."""

    STRANGER = "stranger"
    KNOWN = "known"
    STEP_UP = "step_up"


SHARES = {Kind.STRANGER: 70, Kind.KNOWN: 20, Kind.STEP_UP: 10}
"""Consecutive refusals of one authenticator by each kind; a used-up share closes it for that kind. Together a hundred,
after which it is disabled (NIST SP 800-63B-4 §3.2.2)."""
CODES_A_DAY = 50
"""Refused mailed codes of one mailbox and purpose; after that mails carry only a link."""
MAILS_AN_HOUR_OF_OWNERS = 5
MAILS_AFTER_PROOF = 20
"""In an hour to one proved address, by sign-ins that have proved another factor of its owner."""
INVITATIONS_AN_HOUR, INVITATIONS_OF_ADDRESS = 100, 5
"""Mailed in an hour by one person, and to one address."""
USERNAMES_AN_HOUR = 20
"""That one person may try for themselves."""
SET_UPS_AN_HOUR = 10
"""Second factors that are on at once, and sets of backup codes, of one person: each is mailed."""
UNDO_STARTS = 20
"""Starts in an hour by one link that undoes a change."""

TEN_MINUTES, HOUR, DAY = 600, 3600, 24 * 3600
REFUSALS = 100
"""Of one origin in ten minutes."""
ROWS, BYTES = 200, 1_000_000
"""Unfinished sign-ins of one origin in an hour, and what they store."""
STARTS_OF_KNOWN = 60
"""Starts of one person's known browsers in ten minutes; after that they spend their origin's."""
_OF_A_48 = 10
"""How many times the limit of a /64 a /48 has: a small provider's whole network, or one rented host."""
HERE = 100
"""How many times more loopback may in development, where everybody is one machine."""


class Guess(Enum):
    """How an answer can be guessed, which decides what limits it."""

    NOT = "not"
    """It cannot, like a signature. Only the sign-in's own attempts count."""
    AUTHENTICATOR = "authenticator"
    """It stays the same until its owner changes it: a hundred consecutive refusals, with waits."""
    SET_UP = "set_up"
    """The person was just shown what to answer with, in a session of theirs: waits, and never closed."""
    MAILED = "mailed"
    """A mailed code: new each time, so a number of refusals a day and no waits."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an answer is checked against: `name` is a factor or the purpose of a mailed code. `identifier_key`: the
    address or username that was typed. An unknown one has no person, and the same counters under its keyed hash."""

    guess: Guess
    tenant_id: str
    name: str = ""
    person_id: str | None = None
    identifier_key: str = ""


@dataclass(frozen=True, slots=True)
class Who:
    """Who tries here, from which known browser."""

    kind: Kind
    entry: known.Entry | None = None
    has_proved: bool = False
    """Another factor of whoever has the address, in this very sign-in."""

    @property
    def queue(self) -> Queue:
        return Queue.STRANGERS if self.kind is Kind.STRANGER else Queue.OWNERS


STEP_UP = Who(Kind.STEP_UP)


@dataclass(frozen=True, slots=True)
class Spent:
    """What an attempt has cost. `is_closed`: compare all the same and answer as if wrong. `wait`: seconds; if not 0,
    compare nothing."""

    who: Who
    is_closed: bool = False
    wait: int = 0
    windows: tuple[str, ...] = ()
    """Counted by one each; taken back after a right answer."""
    ladder: tuple[str, Counted] | None = None
    counts: tuple[str, ...] = ()
    """Consecutive refusals; reset by a right answer."""
    counted: tuple[str, Counted] | None = None
    is_last: bool = False
    """If this one is refused too, the share is used up."""


async def who(
    ctx: Ctx,
    db: Db,
    tenant_id: str,
    *,
    is_step_up: bool,
    person_id: str | None = None,
    identifier_key: str | None = None,
) -> Who:
    """Who tries something for this person, or for this address or username. Without a cookie it is decided without
    a statement."""
    if is_step_up:
        return STEP_UP
    found = await known.entry(ctx, db, tenant_id, person_id=person_id, identifier_key=identifier_key)
    return Who(Kind.KNOWN, found) if found else Who(Kind.STRANGER)


# -- an answer -------------------------------------------------------------------------------------


async def spend(ctx: Ctx, db: Db, target: Target, tries: Who) -> Spent:
    """Debit everything that an attempt at `target` costs. What is refused costs all the same."""
    windows: tuple[str, ...] = ()
    if tries.kind is Kind.STRANGER:
        windows, wait = await of_origin(ctx, db, "refusals", limit=REFUSALS, seconds=TEN_MINUTES)
        if wait:
            return Spent(tries, wait=wait)
    match target.guess:
        case Guess.NOT:
            return Spent(tries, windows=windows)
        case Guess.SET_UP:
            key, day = _set_up_key(target.name, target.person_id), ctx.now() + DAY * SECOND
            step = await throttle.climb(ctx, db, key, expires_at=day)
            return Spent(tries, wait=step.wait, windows=windows, ladder=(key, step))
        case Guess.MAILED:
            codes = mailed_key(ctx, target)
            is_over = (await throttle.window(ctx, db, codes, limit=CODES_A_DAY, seconds=DAY)).used is None
            return Spent(tries, is_over, windows=windows if is_over else (*windows, codes))
        case Guess.AUTHENTICATOR:
            return await _authenticator(ctx, db, target, tries, windows)


async def _authenticator(ctx: Ctx, db: Db, target: Target, tries: Who, windows: tuple[str, ...]) -> Spent:
    """One more refusal of this kind, unless it has to wait. The waits of strangers are those of the address, known or
    not, and end by time alone; for the others one row is both."""
    mine = count_key(ctx, target, tries.kind)
    counts = tuple(count_key(ctx, target, kind) for kind in Kind)
    if tries.kind is not Kind.STRANGER:
        step = await throttle.climb(ctx, db, mine)
        if step.used is None:
            return Spent(tries, wait=step.wait)
        if tries.entry is not None:
            await throttle.count(ctx, db, tries.entry.key, expires_at=tries.entry.at + known.LIFE * SECOND)
        is_closed, is_last = step.used > SHARES[tries.kind], step.used == SHARES[tries.kind]
        return Spent(tries, is_closed, counts=counts, counted=(mine, step), is_last=is_last)
    ladder, day = _ladder_key(ctx, target), ctx.now() + DAY * SECOND
    step = await throttle.climb(ctx, db, ladder, expires_at=day)
    if step.used is None:
        return Spent(tries, wait=step.wait)
    used = await throttle.count(ctx, db, mine, expires_at=throttle.NEVER if target.person_id else day)
    is_closed, is_last = used > SHARES[tries.kind], used == SHARES[tries.kind]
    return Spent(tries, is_closed, 0, windows, (ladder, step), counts, (mine, Counted(used)), is_last)


async def right(db: Db, spent: Spent) -> None:
    """The answer was right: it costs nothing, and ends the row of refusals of that authenticator."""
    await _take_back(db, spent)
    if spent.counts:
        await throttle.reset(db, spent.counts)
    await _take_back_entry(db, spent)


async def undo(db: Db, spent: Spent) -> None:
    """The attempt was no refusal and no success: a duplicate, or an answer that could not be right by its form."""
    await _take_back(db, spent)
    if spent.counted is not None:
        await throttle.step_back(db, *spent.counted)
    await _take_back_entry(db, spent)


async def _take_back(db: Db, spent: Spent) -> None:
    for key in spent.windows:
        await throttle.take_back(db, key)
    if spent.ladder is not None:
        await throttle.step_back(db, *spent.ladder)


async def _take_back_entry(db: Db, spent: Spent) -> None:
    if spent.who.entry is not None and spent.counted is not None:
        await throttle.take_back(db, spent.who.entry.key)


async def reopen(db: Db, person_id: str, name: str) -> None:
    """End the row of refusals of an authenticator that was replaced, or that its owner wants back."""
    await throttle.reset(db, [f"n:{kind}:{name}:{person_id}" for kind in Kind])


async def locked(ctx: Ctx, db: Db, person_id: str, names: Iterable[str]) -> set[str]:
    """Which of a person's authenticators are closed for somebody."""
    keys = {f"n:{kind}:{name}:{person_id}": (name, SHARES[kind]) for kind in Kind for name in names}
    found = await throttle.several(ctx, db, keys)
    return {name for key, (name, share) in keys.items() if found.get(key, 0) >= share}


async def forget(db: Db, person_id: str, names: tuple[str, ...]) -> None:
    """Delete the counters of a person's authenticators: they are erased, or somebody else has the account now."""
    counts = [f"n:{kind}:{name}:{person_id}" for kind in Kind for name in names]
    await throttle.reset(db, [*(_set_up_key(name, person_id) for name in names), *counts])


# -- a start ---------------------------------------------------------------------------------------


async def start(ctx: Ctx, db: Db, tries: Who) -> None:
    """Debit one start of a sign-in, or one challenge, before it costs any work. Throttled."""
    if tries.kind is Kind.STEP_UP:
        return
    if tries.entry is not None:
        key = f"s:{tries.entry.person_id}"  # not the browser's, which is a new one with each sign-in
        if (await throttle.window(ctx, db, key, limit=STARTS_OF_KNOWN, seconds=TEN_MINUTES)).used is not None:
            return
    await _or_throttled(ctx, db, "starts", limit=ctx.settings.limit.starts, seconds=TEN_MINUTES)


async def pending_row(ctx: Ctx, db: Db, tries: Who, size: int) -> tuple[str, ...]:
    """Debit one unfinished sign-in of `size` bytes, in the transaction that inserts it; returns what `finished` gives
    back. Throttled."""
    if tries.kind is not Kind.STRANGER:
        return ()
    rows = await _or_throttled(ctx, db, "rows", limit=ROWS, seconds=HOUR)
    await _or_throttled(ctx, db, "bytes", limit=BYTES, seconds=HOUR, amount=size)
    return rows


async def may_insert(ctx: Ctx, db: Db, tries: Who) -> None:
    """Throttled if one more unfinished sign-in would be too many: asked before a password is hashed for it."""
    for what, limit in (("rows", ROWS), ("bytes", BYTES)) if tries.kind is Kind.STRANGER else ():
        for key, most in _limits(ctx, what, limit):
            if await throttle.used(ctx, db, key) >= most:
                raise Throttled(HOUR)


async def finished(db: Db, rows: tuple[str, ...]) -> None:
    """The sign-in is finished: its row is no longer waiting for anybody."""
    for key in rows:
        await throttle.take_back(db, key)


# -- a mail ----------------------------------------------------------------------------------------


async def mail(
    ctx: Ctx, db: Db, tenant_id: str, email_key: str, tries: Who, *, is_seen: bool, person_id: str | None = None
) -> bool:
    """Whether one more mail may be sent to this address. Strangers share its mails of an hour, and may cause only so
    many to addresses that belong to nobody; known browsers, step-ups, and sign-ins that have proved another factor have
    mails of their own. `person_id`: whose it is, for the row that says that a mail was held back."""
    limit = ctx.settings.mail.per_hour if tries.kind is Kind.STRANGER else MAILS_AN_HOUR_OF_OWNERS
    whose, limit = ("proved", MAILS_AFTER_PROOF) if tries.has_proved else (tries.kind.value, limit)
    mac, wait = address_mac(ctx, tenant_id, email_key), 0
    is_free = (await throttle.window(ctx, db, f"m:{whose}:{mac}", limit=limit, seconds=HOUR)).used is not None
    if tries.kind is Kind.STRANGER:
        # Counted under a name of its own for an address that is seen: the same work, and no limit.
        most = throttle.NO_LIMIT if is_seen else ctx.settings.limit.stranger_mails
        _, wait = await of_origin(ctx, db, "seen" if is_seen else "mails", limit=most, seconds=HOUR)
    if is_free and not wait:
        return True
    # What a network causes at addresses that it makes up is one row for all of them.
    limited, once = ("origin", networks(ctx.origin.ip)[-1][0]) if is_free else ("address", mac)
    await _record_withheld(ctx, db, once, tenant_id, person_id, limit=limited, kind=tries.kind)
    return False


async def notice(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> bool:
    """Whether one more mail may go to somebody about an account whose address nobody has proved: they may be somebody
    else, whom whoever has the account must not flood."""
    mac = address_mac(ctx, tenant_id, email_key)
    key, limit = f"m:notice:{mac}", MAILS_AN_HOUR_OF_OWNERS
    if (await throttle.window(ctx, db, key, limit=limit, seconds=HOUR)).used is not None:
        return True
    await _record_withheld(ctx, db, mac, tenant_id, None, limit="address", kind=Kind.STRANGER)
    return False


async def only_mail(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> None:
    """Debit one of the same mails that must not be held back, because nobody else is told what is in it. Throttled."""
    await _in_hour(ctx, db, f"m:notice:{address_mac(ctx, tenant_id, email_key)}", MAILS_AN_HOUR_OF_OWNERS)


async def set_up(ctx: Ctx, db: Db) -> None:
    """Debit one factor that is on at once, or one set of codes: a thief could else flood the mailbox. Throttled."""
    await _in_hour(ctx, db, _set_ups_key(ctx), SET_UPS_AN_HOUR)


def _set_ups_key(ctx: Ctx) -> str:
    return f"s:set_up:{ctx.person.person_id}"


async def may_make_codes(ctx: Ctx, db: Db, tenant_id: str, only_to: str | None) -> None:
    """Throttled if one more set of backup codes would be too many: asked before they are hashed. `only_to`: the key of
    the address that they are only mailed to."""
    limits = {_set_ups_key(ctx): SET_UPS_AN_HOUR}
    if only_to is not None:
        limits[f"m:notice:{address_mac(ctx, tenant_id, only_to)}"] = MAILS_AN_HOUR_OF_OWNERS
    found = await throttle.several(ctx, db, limits)
    if any(found.get(key, 0) >= limit for key, limit in limits.items()):
        raise Throttled(HOUR)


async def _in_hour(ctx: Ctx, db: Db, key: str, limit: int) -> None:
    if (counted := await throttle.window(ctx, db, key, limit=limit, seconds=HOUR)).used is None:
        raise Throttled(counted.wait)


async def invitation(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> None:
    """Debit one mailed invitation, of whoever makes it and of the address. Throttled."""
    limits = {f"i:{address_mac(ctx, tenant_id, email_key)}": INVITATIONS_OF_ADDRESS}
    match ctx.principal:
        case Person(person_id=whose) | Client(client_id=whose):
            limits[f"i:by:{whose}"] = INVITATIONS_AN_HOUR
    for key, limit in limits.items():
        await _in_hour(ctx, db, key, limit)


async def username(ctx: Ctx, db: Db) -> None:
    """Debit one change of a person's own username: each says whether a name is taken. Throttled."""
    await _in_hour(ctx, db, f"i:name:{ctx.person.person_id}", USERNAMES_AN_HOUR)


async def mail_of_session(ctx: Ctx, db: Db, tenant_id: str, person_id: str, email_key: str) -> bool:
    """Whether a signed-in person may have one more mail sent to an address that is not theirs yet."""
    mine = await throttle.window(ctx, db, f"m:by:{person_id}", limit=MAILS_AN_HOUR_OF_OWNERS, seconds=HOUR)
    is_free = await mail(ctx, db, tenant_id, email_key, STEP_UP, is_seen=True, person_id=person_id)
    if is_free and mine.used is None:
        await _record_withheld(ctx, db, person_id, tenant_id, person_id, limit="person", kind=Kind.STEP_UP)
    return is_free and mine.used is not None


async def _record_withheld(
    ctx: Ctx, db: Db, whose: str, tenant_id: str, subject_id: str | None, *, limit: str, kind: Kind
) -> None:
    """Record that a mail was held back, once an hour: attempts that cost nothing must not grow the trail."""
    if await throttle.count(ctx, db, f"h:{whose}", expires_at=ctx.now() + HOUR * SECOND) == 1:
        await record(
            ctx, db, Event.MAIL_WITHHELD, tenant_id=tenant_id, subject_id=subject_id, limit=limit, kind=str(kind)
        )


async def start_of_undo(ctx: Ctx, db: Db, ticket_id: str) -> None:
    """Debit one start of an undo. Its link is a secret that nobody guesses, so it spends nothing of its origin's.
    Throttled."""
    await _in_hour(ctx, db, f"s:undo:{ticket_id}", UNDO_STARTS)


async def mail_of_undo(ctx: Ctx, db: Db, ticket_id: str) -> bool:
    """Whether the pending undo of a link may have one more code mailed."""
    most = MAILS_AN_HOUR_OF_OWNERS
    return (await throttle.window(ctx, db, f"m:undo:{ticket_id}", limit=most, seconds=HOUR)).used is not None


async def has_codes_left(ctx: Ctx, db: Db, target: Target) -> bool:
    """Whether a mail may carry a code; if not, nobody could answer with it."""
    return await throttle.used(ctx, db, mailed_key(ctx, target)) < CODES_A_DAY


# -- origins ---------------------------------------------------------------------------------------


async def _or_throttled(ctx: Ctx, db: Db, what: str, *, limit: int, seconds: int, amount: int = 1) -> tuple[str, ...]:
    keys, wait = await of_origin(ctx, db, what, limit=limit, seconds=seconds, amount=amount)
    if wait:
        raise Throttled(wait)
    return keys


async def of_origin(
    ctx: Ctx, db: Db, what: str, *, limit: int, seconds: int, amount: int = 1
) -> tuple[tuple[str, ...], int]:
    """Count for the origin of this request: the keys, or how long to wait."""
    keys: list[str] = []
    for key, most in _limits(ctx, what, limit):
        counted = await throttle.window(ctx, db, key, limit=most, seconds=seconds, amount=amount)
        if counted.used is None:
            return (), counted.wait
        keys.append(key)
    return tuple(keys), 0


def _limits(ctx: Ctx, what: str, limit: int) -> list[tuple[str, int]]:
    """The counters of this request's origin, with what each may reach."""
    if ctx.settings.is_development and ctx.origin.is_loopback:
        limit *= HERE
    found = networks(ctx.origin.ip)
    return [(f"o:{what}:{network}", min(limit * factor, throttle.NO_LIMIT)) for network, factor in found]


@lru_cache(1024)
def networks(ip: str) -> tuple[tuple[str, int], ...]:
    """An IPv4 address; an IPv6 /64 (a household or a rented host) and its /48, which has ten times the limit."""
    try:
        found = ipaddress.ip_address(ip)
    except ValueError:
        return (("unknown", 1),)
    if found.version == 6 and found.ipv4_mapped:
        found = found.ipv4_mapped
    if found.version == 4:
        return ((str(found), 1),)
    sizes = ((64, 1), (48, _OF_A_48))
    return tuple((str(ipaddress.ip_network((found, size), strict=False)), factor) for size, factor in sizes)


# -- keys ------------------------------------------------------------------------------------------


def address_mac(ctx: Ctx, tenant_id: str, identifier_key: str) -> str:
    """Of an address or username. Keyed with a secret that never rotates: the table lists none of them, and a new key
    refills nothing."""
    return ctx.ring.stable_mac(f"{tenant_id} {identifier_key}".encode()).hex()


def count_key(ctx: Ctx, target: Target, kind: Kind) -> str:
    """The row of consecutive refusals of one kind."""
    return f"n:{kind}:{target.name}:{target.person_id or address_mac(ctx, target.tenant_id, target.identifier_key)}"


def _ladder_key(ctx: Ctx, target: Target) -> str:
    """The waits of strangers: those of what was typed, so that they never say which username goes with which address.
    Where nothing was typed, a proof has named the person."""
    whose = address_mac(ctx, target.tenant_id, target.identifier_key) if target.identifier_key else target.person_id
    return f"w:{target.name}:{whose}"


def _set_up_key(name: str, person_id: str | None) -> str:
    """The waits of first answers to what is being set up."""
    return f"w:set_up_{name}:{person_id}"


def mailed_key(ctx: Ctx, target: Target) -> str:
    """The refused codes of a day: those of the address, whoever has it."""
    return f"d:{target.name}:{address_mac(ctx, target.tenant_id, target.identifier_key or target.person_id or '')}"
