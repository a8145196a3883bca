"""`passgate invite`: the link alone, what is listed, what is cancelled. Not here: what an invitation gives."""

from __future__ import annotations

import asyncio

from tests.cli.shell import Shell
from tests.kit import running, settings_for

FIELDS = {"id", "email", "roles", "inviter", "created_at", "expires_at"}


def test_the_link_opens(shell: Shell) -> None:
    [url] = shell("invite", "ben@example.com", "--role", "owner").out.splitlines()
    assert "/invitation/pg_inv_" in url
    asyncio.run(opens(shell, url.rpartition("/")[2]))


async def opens(shell: Shell, token: str) -> None:
    settings = settings_for(shell.data, shell.env.get("PASSGATE_DATABASE_URL"))
    async with running(settings, real_world=True) as the:
        assert await the.mails() == []
        begun = await the.http.post("/api/v1/invitations/accept", json={"token": token})
        assert (begun.status_code, begun.json()["enrol"]) == (201, True), begun.text


def test_list_and_cancel(shell: Shell) -> None:
    made = shell("invite", "ben@example.com", "--role", "admin", "--role", "user", "--json").json
    assert made.keys() == FIELDS | {"url"}
    assert (made["email"], made["roles"], made["inviter"]) == ("ben@example.com", ["admin", "user"], None)
    shell("invite", "create", "c@example.com")
    listed = shell("invite", "list", "--json").json
    assert [one["email"] for one in listed["items"]] == ["c@example.com", "ben@example.com"]
    assert listed["items"][1] == {name: made[name] for name in FIELDS}
    assert len(shell("invite", "list").out.splitlines()) == 2
    assert shell("invite", "cancel", made["id"], "--json").json == {"id": made["id"]}
    assert shell("invite", "cancel", made["id"]).codes == ["not_found"]
    assert len(shell("invite", "list").out.splitlines()) == 1


def test_of_a_tenant(shell: Shell) -> None:
    shell("tenant", "add", "acme", TENANCY="multi")
    assert shell("invite", "ben@example.com", "--tenant", "acme").code == 0
    assert shell("invite", "list").out.strip() == ""
    assert len(shell("invite", "list", "--tenant", "acme").out.splitlines()) == 1


def test_refusals(shell: Shell) -> None:
    for argv, code in (
        (("ben@example.com", "--tenant", "nowhere"), "not_found"),
        (("ben@example.com", "--role", "emperor"), "invalid"),
        (("ben@",), "invalid"),
    ):
        refused = shell("invite", *argv)
        assert (refused.code, refused.codes[0]) == (1, code)
    assert shell("invite", "ben").code == 2
