"""Links in the mails of a sign-in or a recovery. The link proves what the code beside it proves, control of the address
(`email_code`), and begins the reader's own sign-in or recovery in the browser that opens it. It never advances the one
that asked for the mail: whoever asked may be somebody else.

Not here: links that an operator or an admin makes (`links`), and opening one (`starts`).
"""

from __future__ import annotations

from sqlalchemy import RowMapping

from passgate.core import once, tenants
from passgate.core.ctx import Ctx
from passgate.core.pending import SignIn
from passgate.errors import HandleInvalid
from passgate.store import Db

PREFIX = "pg_eml_"
KIND = "email_link"
LIFE = 3600
"""Seconds."""


async def issue(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str | None, *, is_meant: bool) -> str | None:
    """The URL for the mail of this sign-in; older links stay valid, since any of several mails may be the one that is
    opened. With `is_meant` false writes the same row with a secret that nothing matches, and returns None."""
    minted = ctx.ring.mint(PREFIX)
    secret = minted.hash if is_meant else ctx.world.bytes(32)
    await once.issue(
        ctx,
        db,
        sign_in.tenant_id,
        KIND,
        sign_in.id,
        secret,
        life=LIFE,
        data={"purpose": sign_in.journey.name},
        person_id=person_id,
        keep_older=True,
    )
    return await tenants.link(ctx, db, sign_in.tenant_id, f"/signin/link/{minted.token}") if is_meant else None


async def find(ctx: Ctx, token: str) -> RowMapping:
    """The ticket behind a link. HandleInvalid for one that is unknown, used, ended or too old."""
    secret_hash = ctx.ring.presented(PREFIX, token)
    if secret_hash is None:
        raise HandleInvalid
    async with ctx.read() as db:
        row = await once.by_secret(ctx, db, KIND, secret_hash)
    if row is None or row["person_id"] is None:
        raise HandleInvalid
    return row


def purpose(ctx: Ctx, ticket: RowMapping) -> str:
    """The name of the journey that asked for it. HandleInvalid if that can no longer be read."""
    found = once.carried(ctx, ticket).get("purpose")
    if not isinstance(found, str):
        raise HandleInvalid
    return found
