"""The entries of the API's endpoints.

Pages are in `pages`; what a typed factor adds to an endpoint comes from `factors`. Actions without an endpoint are in
`actions_operator`.
"""

from __future__ import annotations

from passgate.core import account, address, admin, enrolment
from tests import operating
from tests.architecture.population import Ask, Population
from tests.catalogue import actions_account as own
from tests.catalogue import actions_factors as credentials
from tests.catalogue import actions_proofs as proofs
from tests.catalogue import actions_signin as ways
from tests.catalogue import asks
from tests.catalogue.asks import API, NEVER, RULES
from tests.catalogue.entry import NOTHING, Entry, Fresh, Right, Writes
from tests.catalogue.invitations import FINISHED, INVITATIONS, PROVED
from tests.catalogue.outcomes import (
    ALIKE,
    ASK,
    BIRTH,
    BY_CODE,
    BY_ID,
    BY_MAILED_CODE,
    CARRIED,
    COMPLETE,
    ENDED,
    FINISH,
    FRESH,
    INVALID,
    NEW_PASSWORD,
    PROVE,
    REFUSED,
    SET_UP,
    STALE_OR_OUT,
    UNOFFERED,
    Rule,
)
from tests.catalogue.people import PEOPLE
from tests.catalogue.roles import ROLES
from tests.kit import OTHER_PASSWORD

STRANGER, HOLDER, PEEK, SESSION, LEAVING = "stranger", "handle", "peek", "session", "leaving"
OPERATOR, DEVELOPER = "operator", "developer"

_ANSWER = (
    "answer.authenticatorAttachment answer.clientExtensionResults answer.response.authenticatorData"
    " answer.response.publicKey answer.response.transports answer.response.publicKeyAlgorithm"
    " answer.clientExtensionResults.credProps answer.clientExtensionResults.credProps.rk"
)
"""Members that a browser may leave out of its answer when it made a passkey."""

_ASSERTED = "answer.authenticatorAttachment answer.clientExtensionResults"
"""The same for an answer of one that it has."""


def reads(path: str) -> Right:
    """A request of a signed-in person that only reads something of their own."""

    async def reads(population: Population) -> Ask:
        return asks.mine(population, path)

    return Right(reads, 200)


async def reads_tenant(population: Population) -> Ask:
    return asks.mine(population, f"/tenants/{population.anna.tenant_id}")


async def reads_policy(population: Population) -> Ask:
    return asks.mine(population, f"/tenants/{population.anna.tenant_id}/policy")


async def explains_policy(population: Population) -> Ask:
    return asks.mine(population, f"/tenants/{population.anna.tenant_id}/policy/explain")


async def asks_health(population: Population) -> Ask:
    return Ask("/healthz")


async def asks_keys(_population: Population) -> Ask:
    return Ask("/oauth2/jwks")


async def asks_readiness(population: Population) -> Ask:
    return Ask("/readyz")


SIGNING_IN: dict[str, Entry] = {
    f"POST {API}/signup": Entry(
        STRANGER,
        (Right(asks.signs_up, 202, ALIKE[202], "password profile profile.name tenant email-"),),
        (Writes(ways.start_signup, 10), Writes(ways.start_signup_known, 10)),
    ),
    f"POST {API}/signin": Entry(
        STRANGER,
        (
            Right(asks.signs_in, 201, ALIKE[201], "email tenant email-"),
            Right(asks.signs_in_by_username, 201, ALIKE[201], "username username- tenant"),
            Right(asks.steps_up, 201, CARRIED, "step_up step_up.acr step_up.max_age"),
        ),
        (
            Writes(ways.start, 4),
            Writes(ways.start_by_username, 4),
            Writes(ways.start_in_known_browser, 2),
            Writes(ways.start_step_up, 2),
        ),
    ),
    f"POST {API}/recover": Entry(
        STRANGER,
        (Right(asks.recovers, 202, ALIKE[202], "tenant email-"),),
        (Writes(ways.start_recovery, 11),),
    ),
    f"POST {API}/signin/challenge": Entry(
        HOLDER,
        (
            Right(asks.asks_passkey, 200, ASK),
            Right(asks.asks_passkey_second, 200, ASK, None),
            Right(asks.asks_code, 200, ASK, None),
            Right(asks.asks_to_enrol_passkey, 200, {**ASK, Rule.PERSON: INVALID, Rule.SECOND: UNOFFERED}, None),
            Right(asks.asks_to_enrol_app, 200, {**ASK, Rule.PERSON: INVALID}, None),
        ),
        (Writes(ways.challenge, 7), Writes(ways.passkey_challenge, 3)),
    ),
    f"POST {API}/signin/prove": Entry(
        HOLDER,
        (
            Right(asks.gives_passkey, 200, PROVE, _ASSERTED),
            Right(asks.gives_passkey_second, 200, PROVE, None),
            Right(asks.completes_signup, 200, BIRTH, None),
            Right(asks.gives_new_password, 200, NEW_PASSWORD, None),
            Right(asks.sets_up_passkey, 200, {**SET_UP, Rule.SECOND: UNOFFERED}, None),
            Right(asks.sets_up_app, 200, SET_UP, None),
        ),
        (
            Writes(proofs.password_rehashed, 11),
            Writes(proofs.password_of_nobody, 6),
            Writes(proofs.password_too_soon, 4, on_postgres=True),
            Writes(proofs.password_in_known_browser, 8, on_postgres=True),
            Writes(proofs.wrong_in_known_browser, 5),
            Writes(proofs.step_up_right, 6),
            Writes(proofs.step_up_wrong, 4),
            Writes(proofs.signup_right, 17),
            Writes(proofs.signup_with_a_tenant, 19, on_postgres=True),
            Writes(proofs.signup_wrong, 5),
            Writes(proofs.signup_set_up, 6),
            Writes(proofs.recovery_set_up, 10, on_postgres=True),
            Writes(proofs.passkey_right, 7, on_postgres=True),
            Writes(proofs.passkey_wrong, 5),
            Writes(proofs.passkey_behind, 7),
            Writes(proofs.passkey_behind_recorded, 10),
            Writes(proofs.app_on_the_way, 7),
            Writes(proofs.passkey_on_the_way, 7),
            Writes(proofs.passkey_at_birth, 7),
            Writes(proofs.drop_lost, 12, on_postgres=True),
            Writes(proofs.drop_asked, 10),
            *PROVED,
        ),
    ),
    f"POST {API}/signin/finish": Entry(
        HOLDER,
        (
            Right(asks.finishes_by_cookie, 201, FINISH, "remember"),
            Right(asks.finishes, 201, FINISH, None),
            Right(asks.finishes_by_tokens, 201, FINISH, None),
            Right(asks.finishes_recovered, 201, FINISH, None),
        ),
        (
            Writes(ways.finish_signin, 5),
            Writes(ways.finish_by_tokens, 5),
            Writes(ways.finish_link_of_admins, 3),
            Writes(ways.finish_signup, 5),
            Writes(ways.finish_recovery, 5),
            Writes(ways.finish_step_up, 4, on_postgres=True),
            Writes(ways.finish_and_remember, 6, on_postgres=True),
            Writes(ways.finish_remembered, 5),
            Writes(ways.finish_found_again, 7),
            *FINISHED,
        ),
    ),
    f"POST {API}/signin/complete": Entry(
        STRANGER,
        (
            Right(asks.completes, 201, COMPLETE, f"email purpose tenant {_ASSERTED}"),
            Right(
                asks.completes_signup_with_passkey, 201, {**COMPLETE, Rule.PERSON: INVALID, Rule.OTHERS: INVALID}, None
            ),
        ),
        (Writes(ways.complete, 20, on_postgres=True), Writes(ways.complete_wrong, 6)),
    ),
    f"GET {API}/session": Entry(PEEK, (reads("/session"),)),
    f"DELETE {API}/session": Entry(LEAVING, (Right(asks.ends_session, 204),), (Writes(own.end_session, 2),)),
}

OWN: dict[str, Entry] = {
    f"GET {API}/me": Entry(SESSION, (reads("/me"),)),
    f"PATCH {API}/me": Entry(
        SESSION, (Right(asks.changes_profile, 200, optional="profile.name"),), (Writes(own.set_profile, 2),)
    ),
    f"DELETE {API}/me": Entry(
        SESSION,
        (Right(asks.leaves, 204, FRESH),),
        (Writes(own.delete, 4, on_postgres=True),),
        Fresh(lambda folk, who: account.delete(folk.acting(who))),
    ),
    f"GET {API}/me/export": Entry(SESSION, (reads("/me/export"),), (Writes(own.exported, 1),)),
    f"GET {API}/me/activity": Entry(SESSION, (reads("/me/activity"),)),
    f"POST {API}/me/password": Entry(
        SESSION,
        (Right(asks.sets_password, 204, FRESH, "password-"),),
        (Writes(own.set_password, 10, on_postgres=True), Writes(credentials.set_first_password, 9)),
        Fresh(lambda folk, who: account.set_password(folk.acting(who), OTHER_PASSWORD)),
    ),
    f"POST {API}/me/address": Entry(
        SESSION,
        (Right(asks.moves, 202, FRESH, "email-"),),
        (Writes(own.address_start, 5),),
        Fresh(lambda folk, who: address.start(folk.acting(who), "elsewhere@example.com")),
    ),
    f"POST {API}/me/address/prove": Entry(
        SESSION,
        (Right(asks.has_moved, 204, BY_MAILED_CODE),),
        (Writes(own.address_prove, 9),),
        Fresh(lambda folk, who: address.prove(folk.acting(who), "12345678")),
    ),
    f"GET {API}/me/sessions": Entry(SESSION, (reads("/me/sessions"),)),
    f"DELETE {API}/me/sessions": Entry(SESSION, (Right(asks.ends_others, 204),), (Writes(own.end_other_sessions, 2),)),
    f"DELETE {API}/me/sessions/{{id}}": Entry(SESSION, (Right(asks.ends_one, 204),), (Writes(own.end_session, 2),)),
    f"GET {API}/me/factors": Entry(SESSION, (reads("/me/factors"),)),
    f"GET {API}/me/passkeys": Entry(SESSION, (reads("/me/passkeys"),)),
    f"POST {API}/me/passkeys": Entry(
        SESSION,
        (Right(asks.adds_passkey, 201, FRESH),),
        (Writes(credentials.add_passkey, 10, on_postgres=True),),
        Fresh(lambda folk, who: enrolment.offer(folk.acting(who), "passkey")),
    ),
    f"POST {API}/me/passkeys/prove": Entry(
        SESSION,
        (Right(asks.proves_passkey, 201, BY_CODE, f"label label- {_ANSWER}"),),
        (Writes(credentials.add_passkey, 10, on_postgres=True),),
        Fresh(lambda folk, who: enrolment.prove(folk.acting(who), "passkey", {})),
    ),
    f"PATCH {API}/me/passkeys/{{id}}": Entry(
        SESSION,
        (Right(asks.renames_passkey, 200, BY_ID, "label-"),),
        (Writes(credentials.rename, 2),),
        Fresh(lambda folk, who: enrolment.rename(folk.acting(who), NEVER, "My key")),
    ),
    f"DELETE {API}/me/passkeys/{{id}}": Entry(
        SESSION,
        (Right(asks.removes_passkey, 204, BY_ID),),
        (Writes(credentials.remove_passkey, 5),),
        Fresh(lambda folk, who: enrolment.remove(folk.acting(who), "passkey", NEVER)),
    ),
    f"POST {API}/me/totp": Entry(
        SESSION,
        (Right(asks.begins_app, 201, FRESH),),
        (Writes(credentials.offer_app, 3), Writes(credentials.offer_app_at_once, 6)),
        Fresh(lambda folk, who: enrolment.offer(folk.acting(who), "totp")),
    ),
    f"GET {API}/me/totp/qr": Entry(
        SESSION,
        (Right(asks.shows_picture, 200, FRESH),),
        fresh=Fresh(lambda folk, who: enrolment.offered(folk.acting(who), "totp")),
    ),
    f"POST {API}/me/totp/prove": Entry(
        SESSION,
        (Right(asks.proves_app, 204, BY_CODE),),
        (Writes(credentials.add_app, 11, on_postgres=True),),
        Fresh(lambda folk, who: enrolment.prove(folk.acting(who), "totp", "123456")),
    ),
    f"DELETE {API}/me/totp": Entry(
        SESSION,
        (Right(asks.removes_app, 204, FRESH),),
        (Writes(credentials.remove_app, 6),),
        Fresh(lambda folk, who: enrolment.remove(folk.acting(who), "totp")),
    ),
    f"POST {API}/me/totp/show": Entry(
        SESSION,
        (Right(asks.displays_app, 200, FRESH),),
        (Writes(credentials.display_app, 2),),
        Fresh(lambda folk, who: enrolment.totp_again(folk.acting(who))),
    ),
    f"POST {API}/me/email-code": Entry(
        SESSION,
        (Right(asks.begins_mailed_codes, 201, STALE_OR_OUT),),
        (Writes(credentials.send_code, 5, on_postgres=True), Writes(credentials.turn_on_at_once, 6)),
        Fresh(lambda folk, who: enrolment.offer(folk.acting(who), "email_code")),
    ),
    f"POST {API}/me/email-code/prove": Entry(
        SESSION,
        (Right(asks.turns_on_mailed_codes, 204, {**STALE_OR_OUT, Rule.OTHERS: REFUSED, Rule.LOCKED: REFUSED}),),
        (Writes(credentials.turn_on_mailed_codes, 8, on_postgres=True),),
        Fresh(lambda folk, who: enrolment.prove(folk.acting(who), "email_code", "12345678")),
    ),
    f"DELETE {API}/me/email-code": Entry(
        SESSION,
        (Right(asks.turns_off_mailed_codes, 204, STALE_OR_OUT),),
        (Writes(credentials.turn_off_mailed_codes, 5),),
        Fresh(lambda folk, who: enrolment.remove(folk.acting(who), "email_code")),
    ),
    f"POST {API}/me/recovery-codes": Entry(
        SESSION,
        (Right(asks.makes_codes, 201, FRESH),),
        (
            Writes(credentials.make_codes, 15, on_postgres=True),
            Writes(credentials.make_mailed_codes, 10),
            Writes(credentials.make_unseen_codes, 10),
        ),
        Fresh(lambda folk, who: enrolment.recovery_codes(folk.acting(who))),
    ),
    f"POST {API}/me/unlock": Entry(
        SESSION,
        (Right(asks.unlocks, 204, BY_ID, "factor-"),),
        (Writes(credentials.unlock, 2),),
        Fresh(lambda folk, who: enrolment.unlock(folk.acting(who), "password")),
    ),
    f"GET {API}/me/browsers": Entry(SESSION, (reads("/me/browsers"),)),
    f"DELETE {API}/me/browsers": Entry(
        SESSION, (Right(asks.forgets_browsers, 204),), (Writes(credentials.forget_all, 2),)
    ),
    f"DELETE {API}/me/browsers/{{id}}": Entry(
        SESSION, (Right(asks.forgets_browser, 204),), (Writes(credentials.forget_one, 2),)
    ),
}

OTHERS: dict[str, Entry] = {
    f"GET {API}/jobs/{{id}}": Entry(PEEK, (Right(asks.asks_job, 200),)),
    f"GET {API}/tenants/{{id}}": Entry(SESSION, (Right(reads_tenant, 200),)),
    f"PATCH {API}/tenants/{{id}}": Entry(
        SESSION,
        (Right(asks.renames_tenant, 200, BY_ID, "display_name-"),),
        (Writes(own.rename_tenant, 2),),
        Fresh(lambda folk, who: admin.rename_tenant(folk.acting(who), who.tenant_id, "Acme"), "owner"),
    ),
    f"GET {API}/tenants/{{id}}/policy": Entry(SESSION, (Right(reads_policy, 200),)),
    f"GET {API}/tenants/{{id}}/policy/explain": Entry(SESSION, (Right(explains_policy, 200),)),
    f"PATCH {API}/tenants/{{id}}/policy": Entry(
        SESSION,
        (Right(asks.changes_policy, 200, BY_ID, " ".join(RULES)),),
        (Writes(own.change_policy, 2),),
        Fresh(lambda folk, who: admin.change_policy(folk.acting(who), who.tenant_id, RULES), "owner"),
    ),
    f"POST {API}/users/{{id}}/signin-link": Entry(
        SESSION,
        (Right(asks.makes_link, 201, BY_ID),),
        (
            Writes(own.make_link_as_admin, 6),
            Writes(own.ask_link_for_equal, 3),
            Writes(own.approve_link_for_equal, 6),
        ),
        Fresh(lambda folk, who: operating.admins_link(folk.acting(who), NEVER), "owner"),
    ),
    f"POST {API}/tokens/refresh": Entry(
        STRANGER,
        (Right(asks.refreshes, 200, {Rule.PERSON: ENDED, Rule.TENANT: ENDED}),),
        (Writes(ways.refresh, 1, on_postgres=True), Writes(ways.refresh_again, 4, on_postgres=True)),
    ),
    "GET /oauth2/jwks": Entry(STRANGER, (Right(asks_keys, 200),)),
    "GET /healthz": Entry(STRANGER, (Right(asks_health, 200),)),
    "GET /readyz": Entry(OPERATOR, (Right(asks_readiness, 200),)),
    "GET /openapi.json": Entry(STRANGER, NOTHING),
    "GET /dev/mail.json": Entry(DEVELOPER, NOTHING),
}

ENDPOINTS = SIGNING_IN | OWN | PEOPLE | ROLES | INVITATIONS | OTHERS
