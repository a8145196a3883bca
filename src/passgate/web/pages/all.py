"""The list of all page routers, used when the application is assembled. Not here: any page."""

from collections.abc import Iterator

from fastapi import APIRouter

from passgate.core.factor import Factors
from passgate.web.pages import (
    account,
    address,
    admin,
    admin_invitations,
    admin_people,
    admin_person,
    admin_policy,
    admin_roles,
    factors,
    files,
    invitation,
    link,
    mailed_codes,
    own,
    passkey,
    prove,
    recover,
    signin,
    signup,
    undo,
    username,
)


def pages(of: Factors) -> Iterator[APIRouter]:
    """The routers of the fixed pages, and those of each factor."""
    for module in (
        signin,
        passkey,
        link,
        invitation,
        signup,
        recover,
        account,
        factors,
        mailed_codes,
        address,
        username,
        undo,
        files,
    ):
        yield module.router
    for module in (admin, admin_people, admin_person, admin_policy, admin_roles, admin_invitations):
        yield module.router
    yield account.at_well_known
    yield files.at_root
    yield prove.pages_of(of)
    yield own.pages_of(of.own)
