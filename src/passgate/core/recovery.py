"""Recovery: a mailed code, then a new password; all sessions end, the owner is told. One proof, never a second factor.

Running the sign-in that carries it is `signin`'s. Nothing here tells anybody whether an address has an account.
"""

from __future__ import annotations

from passgate.core import mail, people, sessions
from passgate.core.audit import Event, note
from passgate.core.ctx import Ctx
from passgate.core.factors import SignIn, email_code
from passgate.store import Db


async def announce(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """The mail: a code for a live account, a friendly word for everybody else."""
    found = await people.by_key(db, sign_in.tenant_id, sign_in.email_key)
    await email_code.send(ctx, db, sign_in, is_meant=found is not None and found["disabled_at"] is None)
    await note(
        ctx, db, Event.RECOVERY_STARTED, tenant_id=sign_in.tenant_id, subject_id=found["id"] if found else None,
        personal={"email": sign_in.email},
    )  # fmt: skip


async def complete(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """The new password stands: whoever came in with the old one is out, and the owner hears of it."""
    if sign_in.person_id is None:
        return
    ended = await sessions.end_all(ctx, db, sign_in.tenant_id, sign_in.person_id, "recovered")
    if ended:
        await note(
            ctx, db, Event.SESSIONS_ENDED, tenant_id=sign_in.tenant_id, subject_id=sign_in.person_id,
            reason="recovered", count=ended,
        )  # fmt: skip
    await mail.lay(ctx, db, sign_in.tenant_id, "recovered", sign_in.email, service=sign_in.service)
