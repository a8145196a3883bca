"""The policy of an organization for its admins: read, changed, and explained.

Not here: the words of its fields (`policy_texts`), and what they mean, which the operations decide.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any

from fastapi import Request
from starlette.responses import Response

from passgate.errors import Invalid, PassgateError
from passgate.i18n import N_
from passgate.web import routes
from passgate.web.guards import Visitor, form_of
from passgate.web.pages import admin
from passgate.web.pages.account import is_fresh
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go
from passgate.web.pages.policy_texts import FieldTexts, label_of, policy_fields

router = routes.pages()

HERE = "/admin/policy"
PURPOSES = (
    ("signin", N_("Sign in")),
    ("signup", N_("Sign up")),
    ("recovery", N_("Recover an account")),
    ("step_up", N_("Confirm it's them")),
)
_NEEDED_FOR_WHO = frozenset({"users:read", "factors:read"})


@router.get(HERE)
async def policy(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Shows the policy, in a form for those who may change it."""
    mine = await admin.permissions(request, ctx)
    now = await admin.at(request, ctx).admin.policy(ctx.person.tenant_id)
    every = [(one, attrgetter(one.name)(now)) for one in policy_fields(ctx.factors) if _has(now, one.name)]
    was = typed(request, "was") or json.dumps({one.name: value for one, value in every}, separators=(",", ":"))
    return admin.page(
        request,
        "admin-policy",
        ctx,
        mine,
        error,
        fields=[(one, _typed(form_of(request), one) if error else value) for one, value in every],
        was=was,
        fresh=await is_fresh(ctx),
    )


def _has(now: Any, name: str) -> bool:
    return hasattr(now, name.partition(".")[0])


def _typed(given: dict[str, str], one: FieldTexts) -> Any:
    """What was typed into a field, to fill in the form again."""
    if one.kind == "some":
        return tuple(value for value, _ in one.choices if given.get(f"{one.name}.{value}"))
    return given.get(one.name, "")


@router.post(HERE)
@form(policy)
async def change(request: Request, ctx: Visitor) -> Response:
    """Changes the fields that differ from those displayed, so that what others have changed meanwhile stays."""
    every = policy_fields(ctx.factors)
    given = fields(request, "was", optional=tuple(name for one in every for name in one.names()))
    was = admin.sent_as_json(given["was"])
    changed = {one.name: value for one in every if _differs(value := one.read(given), was.get(one.name))}
    if changed:
        await admin.at(request, ctx).admin.change_policy(ctx.person.tenant_id, **_with_members(changed))
    return go(ctx, f"{HERE}?done=policy")


def _with_members(changed: dict[str, Any]) -> dict[str, Any]:
    """The same where `field.member` is a member of its field."""
    found = {name: value for name, value in changed.items() if "." not in name}
    for name in changed.keys() - found.keys():
        field, _, member = name.partition(".")
        found.setdefault(field, {})[member] = changed[name]
    return found


def _differs(value: Any, before: Any) -> bool:
    """Of a list its order does not count: a form has none."""
    if isinstance(value, list) and isinstance(before, list):
        return sorted(value) != sorted(map(str, before))
    return bool(value != before or type(value) is not type(before))


# -- why -------------------------------------------------------------------------------------------


@router.get(f"{HERE}/why")
async def ask_why(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks for a case that the policy is to be explained for."""
    return await _why(request, ctx, error)


async def _why(request: Request, ctx: Visitor, error: PassgateError | None = None, found: Any = None) -> Response:
    mine = await admin.permissions(request, ctx, "policy:read")
    labels = {name: label_of(ctx.factors, name) for name in (*(one.name for one in ctx.factors), "link")}
    given = form_of(request)
    return admin.page(
        request,
        "admin-policy-why",
        ctx,
        mine,
        error,
        found=found,
        purposes=PURPOSES,
        purpose=typed(request, "purpose", "signin"),
        labels=labels,
        proofs=[*labels],
        enrolled=ctx.factors.enrolled,
        checked=frozenset(name for name, value in given.items() if value),
        who=typed(request, "who"),
        may_name=mine >= _NEEDED_FOR_WHO,
    )


@router.post(f"{HERE}/why")
@form(ask_why)
async def why(request: Request, ctx: Visitor) -> Response:
    """Explains what the policy decides in this case."""
    proofs = [*(one.name for one in ctx.factors), "link"]
    controls = (*(f"proof.{name}" for name in proofs), *(f"has.{name}" for name in ctx.factors.enrolled))
    given = fields(request, "purpose", optional=("who", "remembered", *controls))
    asked: dict[str, Any] = {
        "purpose": given["purpose"],
        "proofs": ",".join(name for name in proofs if given[f"proof.{name}"]),
        "remembered": bool(given["remembered"]),
    }
    if given["who"].strip():
        asked["user"] = await _id_of(request, ctx, given["who"].strip())
    else:
        asked["has"] = ",".join(name for name in ctx.factors.enrolled if given[f"has.{name}"])
    found = await admin.at(request, ctx).admin.explain(ctx.person.tenant_id, **asked)
    return await _why(request, ctx, found=found)


async def _id_of(request: Request, ctx: Visitor, who: str) -> str:
    """The id of a user, by id or by address. Raises Invalid."""
    if len(who) == len(ctx.person.person_id) and "@" not in who:
        return who
    found = (await admin.at(request, ctx).users.list(search=who, sort="email", limit=1)).items
    if not found or found[0].email.casefold() != who.casefold():
        raise Invalid({"who": "value"})
    return found[0].id
