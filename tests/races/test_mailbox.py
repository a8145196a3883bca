"""The code and the link of one mail, and the links of several, used at the same moment in two Passgates over one
database: one of them opens something.

What opens after what is the table of tests/strangers/test_mailbox.
"""

from __future__ import annotations

from collections import Counter

import pytest

from passgate.core import signin, starts
from passgate.core.ctx import Ctx
from passgate.core.message import Message
from passgate.errors import Refusal
from passgate.store.tables import outbox, session
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD
from tests.processes import together
from tests.races.test_used_once import MANY, Twins, twins

__all__ = ["twins"]


async def mailed(twins: Twins, email: str) -> tuple[str, str, str]:
    """A recovery that somebody asked for: its handle, and the code and link of its mail."""
    begun = await starts.recover(twins.ctxs[0], email, None)
    rows = [row for row in await twins.the.rows(outbox) if row["kind"] == "recovery_code"]
    newest = max(rows, key=lambda row: str(row["id"]))
    ring = twins.ctxs[0].ring
    mail = Message.from_json(ring.unseal("outbox", f"outbox:{newest['id']}", newest["message_sealed"]))
    return begun.handle, str(mail.code), str(mail.link).rpartition("/")[2]


async def test_a_mailed_link(twins: Twins) -> None:
    folk = Folk(twins.the)
    _, _, token = await mailed(twins, await folk.email(await folk.create()))
    outcomes = await twins.at_once(lambda ctx, _number: starts.by_link(ctx, token))
    assert outcomes == {"done": 1, "handle_invalid": MANY - 1}
    assert await twins.counted("signin:email_code:proved") == 1


async def test_the_code_and_the_link_of_one_mail(twins: Twins) -> None:
    """Again and again, since either may be first: never both."""
    folk, first = Folk(twins.the), Counter[str]()
    for _ in range(12):
        handle, code, token = await mailed(twins, await folk.email(await folk.create()))

        async def use(ctx: Ctx, name: str, handle: str = handle, code: str = code, token: str = token) -> str:
            try:
                if name == "link":
                    await starts.by_link(ctx, token)
                else:
                    await signin.prove(ctx, handle, "email_code", code)
            except Refusal:
                return ""
            return name

        one, two = twins.ctxs
        opened = await together(
            *(use(one, name) for name in ("link", "code")), *(use(two, n) for n in ("code", "link"))
        )
        assert len([name for name in opened if name]) == 1
        first.update(name for name in opened if name)
    assert first.total() == 12


@pytest.mark.parametrize("mails", [2, 5])
async def test_links_of_several_mails(twins: Twins, mails: int) -> None:
    """Each begins a recovery of its own; the first that is completed ends all others and their sessions."""
    folk = Folk(twins.the)
    actor = await folk.create()
    email = await folk.email(actor)
    tokens = [(await mailed(twins, email))[2] for _ in range(mails)]
    handles = [(await starts.by_link(twins.ctxs[0], token)).handle for token in tokens]

    async def complete(ctx: Ctx, handle: str) -> str:
        try:
            await signin.prove(ctx, handle, "password", OTHER_PASSWORD)
            await signin.finish(ctx, handle, carrier="bearer")
        except Refusal as refused:
            return refused.code
        return "done"

    ended = await together(*(complete(twins.ctxs[number % 2], handle) for number, handle in enumerate(handles)))
    assert Counter(ended) == {"done": 1, "handle_invalid": mails - 1}
    live = [row for row in await twins.the.rows(session) if row["person_id"] == actor.person_id and not row["ended_at"]]
    assert len(live) == 1
