"""A factor of one's own: a word that person and service agree on. Its page is templates/signin_codeword.html.

Only public names are used, and nothing else is written for it.
"""

import hmac
from typing import Any

from passgate.factors import (
    Compared,
    Enrolling,
    Factor,
    Order,
    SetUp,
    Texts,
    Trait,
    find,
    is_usable,
    replace,
    secret_of,
    typed,
    use,
    wrong,
)


def read(answer: object) -> bytes:
    return typed(answer).lower().encode()


async def budget(ctx: Any, sign_in: Any) -> tuple[Any, Any]:
    return await find(ctx, sign_in, "codeword")


async def compare(ctx: Any, _sign_in: Any, answer: object, seen: Any, *, is_locked: bool) -> Compared:
    expected = secret_of(ctx, seen) if is_usable(seen) and not is_locked else b""
    if not expected or not hmac.compare_digest(read(answer), expected):
        return wrong(seen["person_id"] if seen else None)

    async def mark(db: Any) -> str | None:
        return await use(ctx, db, seen)

    return Compared(True, seen["person_id"], mark)


async def accept(ctx: Any, who: Enrolling, answer: object) -> Compared:
    if len(read(answer)) < 4:
        return wrong(who.person_id)

    async def mark(db: Any) -> str | None:
        return await replace(ctx, db, who, "codeword", secret=read(answer))

    return Compared(True, who.person_id, mark)


CODEWORD = Factor(
    name="codeword",
    amr=("kba",),
    traits=frozenset({Trait.KNOWS}),
    is_first=True,
    is_second=True,
    recovers=True,
    needs_address=True,
    order=Order(first=1, second=6, recovery=6, signup=1),
    budget=budget,
    compare=compare,
    set_up=SetUp(accept=accept, replaced="Your word was replaced"),
    texts=Texts(
        name="a codeword",
        use="Say your codeword",
        set_up="Agree on a codeword instead",
        proved="Word said",
        refused="Wrong word said",
        wrong="That is not your word.",
        proved_meaning="A word was right.",
        refused_meaning="A word was refused: wrong, no such person, disabled, or locked.",
    ),
)
