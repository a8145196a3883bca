"""Every kind of secret that Passgate gives out: which there are, read from the source, and a live one of each.

Not here: where each is due, and what happens to it anywhere else, which is in test_kinds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from passgate.core import (
    invitation_link,
    keys,
    known,
    links,
    mailed_link,
    pending,
    recovery,
    refresh_token,
    sessions,
    tokens,
    undo_link,
)
from passgate.core.carriers import CARRIERS
from passgate.core.factors import device
from passgate.core.rules import AAL2
from passgate.web.guards import BINDING
from tests.architecture.population import Population
from tests.architecture.reference import modules, nodes
from tests.catalogue.asks_pages import page_undoes
from tests.kit import bearer

_PREFIX = re.compile(r"pg_[a-z]+_")

Values = Mapping[str, str]


def in_source(source: Mapping[str, ast.Module] | None = None) -> set[str]:
    """How the secrets of each kind begin: every text of the source that is a prefix, and whatever names a carrier."""
    texts = {
        node.value
        for tree in (source or modules()).values()
        for node in nodes(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if _PREFIX.fullmatch(text)} | set(CARRIERS)


async def one_of_each(population: Population) -> Values:
    """A live secret of each kind, by how it begins."""
    found = {undo_link.PREFIX: (await page_undoes(population)).secret}  # it changes Anna's address, so it comes first
    found |= await _mailed(population)
    found |= await _in_browser(population)
    pair = await pair_of(population, population.anna.tenant_id, population.anna.id)
    return found | {
        sessions.PREFIX: population.anna.token,
        tokens.ACCESS: pair.access_token,
        refresh_token.PREFIX: pair.refresh_token,
        pending.PREFIX: await population.after_app(population.anna),
        BINDING: population.the.gate.services.ring.mint(BINDING).token,
    }


async def pair_of(population: Population, tenant_id: str, person_id: str) -> tokens.Pair:
    """Access and refresh token of one more session of a person, at their own level."""
    ctx, now = population.folk.ctx, population.the.clock()
    proved = sessions.Proved("jwt", {"password": now, "totp": now}, ("pwd", "otp"), AAL2)
    key = await keys.signer(ctx.services)
    async with ctx.write() as db:
        opened = await sessions.open_session(ctx, db, tenant_id, person_id, proved)
        return await tokens.first(ctx, db, key, tenant_id, opened)


async def _mailed(population: Population) -> dict[str, str]:
    """An admin's link for Ben, the one that stops it, the link of Cara's recovery, and an invitation."""
    made = await population.done("POST", f"/users/{population.ben.id}/signin-link", None, population.anna.token)
    [about, *_] = await population.the.mails(population.ben.email)
    await population.the.recover(population.cara.email)
    [recovering, *_] = await population.the.mails(population.cara.email)
    invited = population.fresh_address()
    await population.done("POST", "/invitations", {"email": invited}, population.anna.token)
    [inviting] = await population.the.mails(invited)
    urls = {links.PREFIX: made["url"], recovery.STOP: about["link"], mailed_link.PREFIX: recovering["link"]}
    urls[invitation_link.PREFIX] = inviting["link"]
    return {prefix: str(url).rpartition("/")[2] for prefix, url in urls.items()}


async def _in_browser(population: Population) -> dict[str, str]:
    """What a browser has after a sign-in that it is remembered for."""
    await population.rules(remember_days=30)
    asked: dict[str, Any] = {"carrier": "cookie", "remember": True}
    headers = {**bearer(await population.after_app(population.anna)), "sec-fetch-site": "same-origin"}
    done = await population.the.http.post("/api/v1/signin/finish", json=asked, headers=headers)
    cookies = dict(done.cookies)
    population.the.http.cookies.clear()  # else the next sign-in is remembered
    return {device.PREFIX: cookies["passgate_browser"], known.PREFIX: cookies["passgate_known"]}
