"""Actions on one's own account, and an admin's on the accounts of others, each as a function that can be called
repeatedly.

How often each writes is in `api` and `pages`.
"""

from __future__ import annotations

from passgate.core import account, address, admin, signin, starts, tenants
from tests import operating
from tests.catalogue.entry import Action
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD


async def set_profile(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: account.set_profile(folk.acting(actor), {"nickname": "Anna"})


async def set_password(folk: Folk) -> Action:
    actor = await folk.create()
    await folk.session(actor.tenant_id, actor.person_id)
    return lambda: account.set_password(folk.acting(actor), OTHER_PASSWORD)


async def address_start(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: address.start(folk.acting(actor), f"new{next(folk.numbers)}@example.com")


async def address_prove(folk: Folk) -> Action:
    actor = await folk.create()
    await address.start(folk.acting(actor), f"new{next(folk.numbers)}@example.com")
    code = await folk.code()
    return lambda: address.prove(folk.acting(actor), code)


async def undo_begins(folk: Folk) -> Action:
    actor = await folk.create()
    before = await folk.email(actor)
    await folk.new_password(actor, "another horse battery staple")
    token = await folk.undo_token(before)
    return lambda: starts.by_undo(folk.ctx, token)


async def undo(folk: Folk) -> Action:
    """A change of address, which needs nothing but the mailed code."""
    actor = await folk.create()
    before = await folk.email(actor)
    await address.start(folk.acting(actor), f"new{next(folk.numbers)}@example.com")
    await address.prove(folk.acting(actor), await folk.code())
    handle, code = await folk.undoing(await folk.undo_token(before))
    return lambda: signin.prove(folk.ctx, handle, "email_code", code)


async def end_session(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: account.end_session(folk.acting(actor), actor.session_id)


async def end_other_sessions(folk: Folk) -> Action:
    actor = await folk.create()
    await folk.session(actor.tenant_id, actor.person_id)
    return lambda: account.end_other_sessions(folk.acting(actor))


async def exported(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: account.exported(folk.acting(actor))


async def delete(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: account.delete(folk.acting(actor))


async def make_link_as_admin(folk: Folk) -> Action:
    boss, other = await folk.create(None, "admin"), await folk.create()
    return lambda: operating.admins_link(folk.acting(boss), other.person_id)


async def ask_link_for_equal(folk: Folk) -> Action:
    boss, equal = await folk.create(None, "admin"), await folk.create(None, "admin")
    return lambda: operating.admins_link(folk.acting(boss), equal.person_id)


async def approve_link_for_equal(folk: Folk) -> Action:
    boss, equal = await folk.create(None, "admin"), await folk.create(None, "admin")
    second = await folk.create(None, "admin")
    await operating.admins_link(folk.acting(boss), equal.person_id)
    return lambda: operating.admins_link(folk.acting(second), equal.person_id)


async def rename_tenant(folk: Folk) -> Action:
    boss = await folk.create(None, "owner")
    return lambda: admin.rename_tenant(folk.acting(boss), boss.tenant_id, f"Tenant {next(folk.numbers)}")


async def change_policy(folk: Folk) -> Action:
    boss = await folk.create(None, "owner")
    tenant = await folk.tenant(tenants.MAIN)
    data = {"remember_days": 29 if tenant.rules.remember_days != 29 else 30}
    return lambda: admin.change_policy(folk.acting(boss), tenant.id, data)
