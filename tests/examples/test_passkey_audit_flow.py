"""Example 4: registering and logging in with a passkey: the ceremonies, the token, and what neither of them accepts.

Not here: who may see whom (roles), rows of the audit log (log), and bodies of the wrong form (forms, hostile).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from passgate.jose import PublicKey
from passgate.verify import Refused, Verifier
from passgate.world import SECOND
from tests.authenticator import OMIT, Authenticator, b64, unb64
from tests.examples.passkey_audit import FIELDS, Service, Who, about, options_of, service
from tests.neutrality.watch import watched

ELSEWHERE = "https://evil.example"
LIFE = 300
"""Seconds of a challenge."""
MANY = 20


def accounts(made: Service, email: str) -> int:
    return int(made.query("SELECT count(*) AS n FROM person WHERE email_key = ?", email.lower())[0]["n"])


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unb64(token.split(".")[1]))
    return found


def refused(answer: httpx2.Response, status: int, detail: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {"detail": detail}), answer.text


def not_registered(answer: httpx2.Response) -> None:
    refused(answer, 400, "Registration failed")


def not_logged_in(answer: httpx2.Response) -> None:
    refused(answer, 401, "Authentication failed")


def no_registration(answer: httpx2.Response) -> None:
    refused(answer, 400, "No registration in progress for this email")


def no_login(answer: httpx2.Response) -> None:
    refused(answer, 400, "No login in progress for this email")


# -- the story -------------------------------------------------------------------------------------


def test_register_log_in_and_see_oneself(keyed: Service) -> None:
    email, key = keyed.new(), Authenticator()
    options = options_of(keyed.register_begin(email))
    assert accounts(keyed, email) == 0, "begin makes nobody"
    answer = keyed.register_complete(email, key.create(options, keyed.origin))
    assert answer.status_code == 201
    user = answer.json()
    assert user.keys() == {"id", "role", "created_at", *FIELDS}
    assert {name: user[name] for name in FIELDS} == about(email)
    assert user["role"] == "user"
    alive = keyed.query("SELECT id FROM session WHERE person_id = ? AND ended_at IS NULL", user["id"])
    assert alive == [], "registering does not log in"
    assert keyed.show(user["id"]).status_code == 401
    done = keyed.enter(Who(email, key))
    assert done.status_code == 200
    assert done.json().keys() == {"access_token", "token_type", "user"}
    assert done.json()["token_type"] == "bearer"
    mine = {name: user[name] for name in ("id", "first_name", "last_name", "email", "role")}
    assert done.json()["user"] == mine
    again = keyed.show(user["id"], done.json()["access_token"])
    assert (again.status_code, again.json()) == (200, user)


def test_options_of_a_registration(keyed: Service) -> None:
    email = keyed.new()
    options = options_of(keyed.register_begin(email, first_name="Zoë", last_name="O'Hara"))
    assert options["rp"] == {"id": "localhost", "name": "Auth Example"}
    assert (options["user"]["name"], options["user"]["displayName"]) == (email, "Zoë O'Hara")
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert "authenticatorAttachment" not in options["authenticatorSelection"]
    assert (options["attestation"], options["excludeCredentials"]) == ("none", [])
    assert {one["alg"] for one in options["pubKeyCredParams"]} == {-7, -8, -257}
    assert len(unb64(options["challenge"])) >= 32
    assert options["timeout"] == 60_000
    assert email.encode() not in unb64(options["user"]["id"])


def test_options_of_a_login_name_nobody(keyed: Service) -> None:
    who = keyed.person()
    for email in (who.email, who.email.upper(), keyed.new()):
        options = options_of(keyed.login_begin(email))
        assert (options["allowCredentials"], options["userVerification"]) == ([], "required")
        assert options["rpId"] == "localhost"
        assert options.keys() == {"challenge", "timeout", "rpId", "allowCredentials", "userVerification"}


def test_challenges_are_never_the_same(keyed: Service) -> None:
    who = keyed.person()
    begun = [keyed.login_begin(who.email) for _ in range(MANY)] + [keyed.register_begin(who.email) for _ in range(MANY)]
    assert len({options_of(answer)["challenge"] for answer in begun}) == 2 * MANY


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256"])
def test_every_kind_of_key_that_is_offered(keyed: Service, alg: Any) -> None:
    who = keyed.person(key=Authenticator(alg=alg))
    assert keyed.enter(who).status_code == 200


@pytest.mark.parametrize("begin", ["/users", "/login"])
def test_aliases_keep_method_and_body(keyed: Service, begin: str) -> None:
    """A client that follows is where it would be by the endpoint itself."""
    email, key = keyed.new(), Authenticator()
    if begin == "/login":
        key = keyed.person(email).key
    body = about(email) if begin == "/users" else {"email": email}
    answer = keyed.ask("POST", begin, json=body)
    there = {"/users": "/register/begin", "/login": "/login/begin"}[begin]
    assert (answer.status_code, answer.headers["location"]) == (307, there)
    options = options_of(keyed.ask("POST", begin, json=body, follow_redirects=True))
    if begin == "/users":
        assert keyed.register_complete(email, key.create(options, keyed.origin)).status_code == 201
    else:
        assert keyed.login_complete(email, key.get(options, keyed.origin)).status_code == 200


@pytest.mark.parametrize("path", ["/users", "/login"])
def test_an_alias_does_nothing_by_itself(keyed: Service, path: str) -> None:
    before = keyed.logs()
    assert keyed.ask("POST", path, content=b"not read").status_code == 307
    assert keyed.ask("GET", path).status_code == 405
    assert keyed.logs() == before


def test_an_address_is_the_same_in_any_case(keyed: Service) -> None:
    email = f"Jane.{keyed.new()}"
    who = keyed.person(email)
    assert who.user["email"] == email
    for typed in (email.upper(), email.lower(), f" {email} "):
        assert keyed.login_complete(typed, keyed.signed(typed, who.key)).status_code == 200
    assert keyed.login_complete(email.upper(), keyed.signed(email.lower(), who.key)).status_code == 200


def test_a_date_of_birth_is_one_of_utc(keyed: Service) -> None:
    given = {"1990-01-15": "00:00:00", "1990-01-15T10:30:00": "10:30:00", "1990-01-15T10:30:00+02:00": "08:30:00"}
    for text, time in given.items():
        assert keyed.person(date_of_birth=text).user["date_of_birth"] == f"1990-01-15T{time}Z", text


# -- the token -------------------------------------------------------------------------------------


def test_claims(keyed: Service) -> None:
    who = keyed.person(first_name="Zoë", last_name="O'Hara")
    now = keyed.gate.clock.now // SECOND
    found = claims_of(keyed.token(who))
    named = {name: found[name] for name in ("sub", "email", "first_name", "last_name", "role")}
    mine = {"sub": who.id, "email": who.email, "first_name": "Zoë", "last_name": "O'Hara", "role": "user"}
    assert named == mine
    assert (found["iat"], found["exp"] - found["iat"]) == (now, 3600)
    assert found["iss"] == found["aud"] == f"{keyed.origin}/auth"
    assert (found["amr"], found["acr"]) == (["pop", "user"], "urn:passgate:aal2")
    assert "date_of_birth" not in found
    assert "job_title" not in found


def test_an_expired_token(keyed: Service) -> None:
    who = keyed.person()
    token = keyed.token(who)
    keyed.forward(3590)
    assert keyed.show(who.id, token).status_code == 200
    keyed.forward(20)
    refused(keyed.show(who.id, token), 401, "Could not validate credentials")


@pytest.mark.parametrize(("algorithm", "minutes"), [("ES256", 1), ("EdDSA", 5), ("RS256", 1440)])
def test_others_verify_a_token_by_the_public_key(algorithm: str, minutes: int) -> None:
    with service(jwt_algorithm=algorithm, jwt_expiration_minutes=minutes) as made:
        who = made.person()
        token = made.token(who)
        assert json.loads(unb64(token.split(".")[0]))["alg"] == algorithm
        assert claims_of(token)["exp"] - claims_of(token)["iat"] == minutes * 60
        keys = [PublicKey.of(one) for one in made.ask("GET", "/auth/oauth2/jwks").json()["keys"]]
        verifier = Verifier(f"{made.origin}/auth", clock=lambda: made.gate.clock.now / SECOND)
        verifier.know(keys)
        verified = verifier.verify_sync(token)
        assert (verified.subject, verified.more["email"], verified.more["role"]) == (who.id, who.email, "user")
        made.forward(minutes * 60 - 5)
        assert made.show(who.id, token).status_code == 200
        made.forward(10)
        assert made.show(who.id, token).status_code == 401
        with pytest.raises(Refused):
            verifier.verify_sync(token)


def test_a_token_that_somebody_has_changed(keyed: Service) -> None:
    """Another claim, another key, no signature, the signature of another."""
    who, other = keyed.person(), keyed.person()
    head, payload, signature = keyed.token(who).split(".")
    raised = b64(json.dumps({**claims_of(f".{payload}."), "role": "admin", "sub": other.id}).encode())
    none = b64(b'{"alg":"none","typ":"at+jwt"}')
    hs256 = b64(json.dumps({**json.loads(unb64(head)), "alg": "HS256"}).encode())
    turned = b64(bytes([unb64(signature)[0] ^ 1, *unb64(signature)[1:]]))
    theirs = keyed.token(other).split(".")[2]
    for token in (
        *(f"{head}.{raised}.{signature}", f"{none}.{payload}.", f"{none}.{raised}.{signature}"),
        *(f"{hs256}.{payload}.{signature}", f"{head}.{payload}.{turned}", f"{head}.{payload}.{theirs}"),
        *(f"{head}.{payload}", f"{head}.{payload}.", payload, "."),
    ):
        for asked in (who, other):
            refused(keyed.show(asked.id, token), 401, "Could not validate credentials")


# -- what a passkey is refused for -------------------------------------------------------------------


def foreign(raw: bytes) -> bytes:
    """A signature of nobody's key: another byte in it."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


TWISTS: dict[str, dict[str, Any]] = {
    "no user verification": {"uv": False},
    "no user presence": {"up": False},
    "another origin": {"origin": ELSEWHERE},
    "plain http of another port": {"origin": "http://localhost:9999"},
    "another relying party": {"rp_id": "evil.example"},
    "of another ceremony": {"type": "webauthn.other"},
    "embedded elsewhere": {"cross_origin": True, "top_origin": ELSEWHERE},
}


@pytest.mark.parametrize("twist", TWISTS)
def test_a_login_that_is_refused(keyed: Service, twist: str) -> None:
    who = keyed.person()
    not_logged_in(keyed.enter(who, **TWISTS[twist]))
    assert keyed.enter(who).status_code == 200, "nobody is locked out by it"


@pytest.mark.parametrize("twist", TWISTS)
def test_a_registration_that_is_refused(keyed: Service, twist: str) -> None:
    email = keyed.new()
    not_registered(keyed.register_complete(email, keyed.created(email, Authenticator(), **TWISTS[twist])))
    assert accounts(keyed, email) == 0
    keyed.person(email)


def test_a_signature_that_is_wrong(keyed: Service) -> None:
    who = keyed.person()
    not_logged_in(keyed.enter(who, signature=foreign))
    email, key = keyed.new(), Authenticator(fmt="packed")
    not_registered(keyed.register_complete(email, keyed.created(email, key, signature=foreign)))
    assert accounts(keyed, email) == 0


def test_a_user_handle_of_somebody_else(keyed: Service) -> None:
    who, other = keyed.person(), keyed.person()
    not_logged_in(keyed.enter(who, user_handle=other.key.credentials[-1].user_handle))
    not_logged_in(keyed.enter(who, user_handle=OMIT))
    assert keyed.enter(who).status_code == 200


@pytest.mark.parametrize(("counter", "step"), [(7, 1), (7, 5), (0, 1), (0, 0)])
def test_a_counter_that_grows_or_stays_0(keyed: Service, counter: int, step: int) -> None:
    who = keyed.person(key=Authenticator(counter=counter, step=step))
    assert [keyed.enter(who).status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("back", [0, 6, 7])
def test_a_counter_that_goes_back_or_stays(keyed: Service, back: int) -> None:
    """A clone: refused without the numbers, and the owner hears of it."""
    who = keyed.person(key=Authenticator(counter=7))
    not_logged_in(keyed.enter(who, counter=back))
    assert len(keyed.mails(who.email, "passkey_counter")) == 1
    [stored] = keyed.query("SELECT sign_count FROM webauthn_credentials WHERE user_id = ?", who.id)
    assert stored == {"sign_count": 7}
    assert keyed.enter(who, counter=8).status_code == 200


def test_a_passkey_that_is_not_known_here(keyed: Service) -> None:
    """Made for a registration that was never completed."""
    who = keyed.person()
    key = Authenticator()
    keyed.created(who.email, key)
    not_logged_in(keyed.enter(Who(who.email, key)))
    unknown = keyed.new()
    keyed.created(unknown, key)
    not_logged_in(keyed.enter(Who(unknown, key)))


def test_a_passkey_of_another_address_than_the_one_named(keyed: Service) -> None:
    who, other = keyed.person(), keyed.person()
    for email in (other.email, keyed.new()):
        not_logged_in(keyed.login_complete(email, keyed.signed(email, who.key)))
    assert keyed.enter(who).status_code == 200


def test_a_passkey_of_another_site_is_not_registered_again(keyed: Service) -> None:
    """Somebody else's credential id with a key of one's own."""
    who, email = keyed.person(), keyed.new()
    key = Authenticator()
    options = options_of(keyed.register_begin(email))
    old, lengths = who.key.credentials[-1].id, []

    def renamed(raw: bytes) -> bytes:
        lengths.append(len(raw))
        return raw[:55] + old + raw[55 + len(old) :]

    answer = key.create(options, keyed.origin, auth_data=renamed)
    answer["id"] = answer["rawId"] = b64(old)
    not_registered(keyed.register_complete(email, answer))
    assert lengths
    assert accounts(keyed, email) == 0
    assert keyed.enter(who).status_code == 200


# -- what is in progress -----------------------------------------------------------------------------


def test_completed_for_another_address_than_begun(keyed: Service) -> None:
    """The challenge is still there for the right one."""
    email, other = keyed.new(), keyed.person()
    credential = keyed.created(email, Authenticator())
    for wrong in (keyed.new(), other.email):
        no_registration(keyed.register_complete(wrong, credential))
    assert keyed.register_complete(email, credential).status_code == 201
    assertion = keyed.signed(other.email, other.key)
    for wrong in (keyed.new(), email):
        no_login(keyed.login_complete(wrong, assertion))
    assert keyed.login_complete(other.email, assertion).status_code == 200


def test_nothing_in_progress(keyed: Service) -> None:
    who = keyed.person()
    assertion, credential = keyed.signed(who.email, who.key), keyed.created(keyed.new(), Authenticator())
    for challenge in (b"", b"x", bytes(32), b"y" * 400, 7, None, "é"):
        options = {"challenge": "", "rpId": "localhost"}
        no_login(keyed.login_complete(who.email, who.key.get(options, keyed.origin, challenge=challenge)))
    for broken in (b"", b"{", b"[]", b"\xff", b'{"challenge": {}}'):
        for ceremony in (assertion, credential):
            ceremony["response"]["clientDataJSON"] = b64(broken) or "A"
        no_login(keyed.login_complete(who.email, assertion))
        no_registration(keyed.register_complete(who.email, credential))


def test_a_challenge_works_once(keyed: Service) -> None:
    email, key = keyed.new(), Authenticator()
    credential = keyed.created(email, key)
    assert keyed.register_complete(email, credential).status_code == 201
    no_registration(keyed.register_complete(email, credential))
    assertion = keyed.signed(email, key)
    assert keyed.login_complete(email, assertion).status_code == 200
    no_login(keyed.login_complete(email, assertion))


def test_a_refusal_uses_up_its_challenge(keyed: Service) -> None:
    who = keyed.person()
    options = options_of(keyed.login_begin(who.email))
    not_logged_in(keyed.login_complete(who.email, who.key.get(options, keyed.origin, uv=False)))
    no_login(keyed.login_complete(who.email, who.key.get(options, keyed.origin)))
    email, key = keyed.new(), Authenticator()
    options = options_of(keyed.register_begin(email))
    not_registered(keyed.register_complete(email, key.create(options, keyed.origin, uv=False)))
    no_registration(keyed.register_complete(email, key.create(options, keyed.origin)))


@pytest.mark.parametrize("seconds", [LIFE - 5, LIFE + 5])
def test_a_challenge_lives_for_five_minutes(keyed: Service, seconds: int) -> None:
    who, email, is_alive = keyed.person(), keyed.new(), seconds < LIFE
    credential, assertion = keyed.created(email, Authenticator()), keyed.signed(who.email, who.key)
    keyed.forward(seconds)
    registered, logged_in = keyed.register_complete(email, credential), keyed.login_complete(who.email, assertion)
    assert (registered.status_code, logged_in.status_code) == ((201, 200) if is_alive else (400, 400))
    if not is_alive:
        no_registration(registered)
        no_login(logged_in)


def test_a_challenge_of_the_other_ceremony(keyed: Service) -> None:
    who, email, key = keyed.person(), keyed.new(), Authenticator()
    login, registration = options_of(keyed.login_begin(who.email)), options_of(keyed.register_begin(email))
    created = key.create({**registration, "challenge": login["challenge"]}, keyed.origin)
    signed = who.key.get({**login, "challenge": registration["challenge"]}, keyed.origin)
    for of in (email, who.email):
        not_done(keyed.register_complete(of, created), 400)
        not_done(keyed.login_complete(of, signed), 400, 401)
    assert accounts(keyed, email) == 0


def test_a_ceremony_is_completed_where_it_was_begun(keyed: Service) -> None:
    """A right answer of the other ceremony, with members added to it that a schema asks for, uses nothing up."""
    who, email, key = keyed.person(), keyed.new(), Authenticator()
    created, signed = keyed.created(email, key), keyed.signed(who.email, who.key)
    both = {**created["response"], **signed["response"]}
    mixed = {**created, "response": {**both, **created["response"]}}
    assert keyed.login_complete(email, mixed).status_code == 400
    mixed = {**signed, "response": {**both, **signed["response"]}}
    assert keyed.register_complete(who.email, mixed).status_code == 400
    assert keyed.register_complete(email, created).status_code == 201
    assert keyed.login_complete(who.email, signed).status_code == 200


def not_done(answer: httpx2.Response, *among: int) -> None:
    assert answer.status_code in among, answer.text
    assert answer.json().keys() == {"detail"}


def test_what_somebody_else_begins_changes_nothing(keyed: Service) -> None:
    """Neither with an address that is registered meanwhile nor at a login, before or after."""
    email, mine, theirs = keyed.new(), Authenticator(), Authenticator()
    first = keyed.created(email, mine, origin=keyed.origin)
    second = keyed.created(email, theirs, origin=keyed.origin)
    keyed.login_begin(email)
    assert keyed.register_complete(email, first).status_code == 201
    not_registered(keyed.register_complete(email, second))
    assert accounts(keyed, email) == 1
    login = keyed.signed(email, mine)
    for _ in range(MANY):
        keyed.login_begin(email)
        keyed.register_begin(email)
    assert keyed.login_complete(email, login).status_code == 200
    not_logged_in(keyed.enter(Who(email, theirs)))


# -- addresses ---------------------------------------------------------------------------------------


def test_a_taken_address(keyed: Service) -> None:
    """One account in any spelling, in the words of any other refusal; the owner of the mailbox hears of it."""
    who = keyed.person()
    before = len(keyed.mails(who.email))
    for email in (who.email, who.email.upper(), f" {who.email} "):
        key = Authenticator()
        not_registered(keyed.register_complete(email, keyed.created(email, key, origin=keyed.origin)))
        not_logged_in(keyed.enter(Who(email, key)))
    assert accounts(keyed, who.email) == 1
    assert len(keyed.mails(who.email)) > before
    assert keyed.show(who.id, keyed.token(who)).json() == who.user


def test_begin_answers_alike_and_does_the_same_work_for_every_address(keyed: Service) -> None:
    """The statements are counted, which does not depend on the load of the machine."""
    there, nobody = "known.one@example.com", "nobodys.1@example.com"
    keyed.person(there)
    begins: list[Callable[[str], httpx2.Response]] = [keyed.register_begin, keyed.login_begin]
    for begin in begins:
        begin(there), begin(nobody)
        seen = []
        for email in (there, nobody):
            with watched(keyed) as work:  # type: ignore[arg-type]
                answer = begin(email)
            options = options_of(answer)
            lengths = [len(answer.content), *(len(str(value)) for value in options.values())]
            headers = [name for name in answer.headers if name != "x-request-id"]
            seen.append((answer.status_code, [*options], lengths, headers, work.statements, work.checks, work.rows))
        assert seen[0] == seen[1]


def test_a_refused_login_does_the_same_work_for_every_address(keyed: Service) -> None:
    who, other = keyed.person("known.two@example.com"), keyed.person()
    seen = []
    for email in (who.email, "nobodys.2@example.com"):
        assertion = keyed.signed(email, other.key)
        with watched(keyed) as work:  # type: ignore[arg-type]
            not_logged_in(keyed.login_complete(email, assertion))
        seen.append((work.statements, work.checks, work.rows))
    assert seen[0] == seen[1]
    assert seen[0][1] == 1
