"""Every reason not to start with these settings.

Not here: what only the database can tell, which the caller who opened it adds.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from passgate import files, mail_oauth
from passgate.settings.model import Settings
from passgate.settings.origins import can_have_passkeys, is_localhost, is_loopback, unix_path
from passgate.settings.values import UNIX

LONGEST_SESSION = 90 * 86400
"""In production, of both lives of a session."""
LONGEST_FRESH = 3600
"""In production, the age of a proof that counts as recent."""
SHORTEST_PASSWORD_ALONE = 15
"""In production, of a password used on its own (NIST SP 800-63B-4 §3.1.1.2)."""


_DEFAULTS = re.compile(r"change|default|secret|example|password|your[-_ ]|(.)\1{15}", re.IGNORECASE)


def refusals(settings: Settings) -> list[tuple[str, str]]:
    """Every reason not to start with these settings, as (CODE, text); empty if there is none. Reads no file except
    SECRETS_FILE, and no socket. The caller that opened the database adds what only the database can tell."""
    mail = settings.mail
    found = _secret_refusals(settings)
    found += mail_oauth.refusals(mail.url, mail.oauth, is_development=settings.is_development)
    if settings.is_development:
        return found + _development_refusals(settings)
    return [*found, *_reach_refusals(settings), *_lifetime_refusals(settings), *_operation_refusals(settings)]


def _development_refusals(settings: Settings) -> list[tuple[str, str]]:
    found = []
    host = settings.host
    if host is not None and not (unix_path(host) or is_localhost(host) or is_loopback(host)):
        found.append(("DEVELOPMENT_BIND", "Development binds to 127.0.0.1 and ::1 only. Unset PASSGATE_HOST."))
    if not is_localhost(urlsplit(settings.url).hostname or ""):
        found.append(
            ("DEVELOPMENT_URL", "Development works on localhost or *.localhost only. Change PASSGATE_PUBLIC_URL.")
        )
    return found


def _reach_refusals(settings: Settings) -> Iterator[tuple[str, str]]:
    """Who reaches this installation, whom it believes, and how its mail leaves."""
    host = urlsplit(settings.url).hostname or ""
    if settings.public_url is None or not settings.https:
        yield "URL_NOT_HTTPS", "Set PASSGATE_PUBLIC_URL to your public https:// origin."
    if is_localhost(host) or is_loopback(host):
        yield "URL_LOCALHOST", "PASSGATE_PUBLIC_URL must not be localhost."
    elif not can_have_passkeys(host):
        yield "URL_ADDRESS", "PASSGATE_PUBLIC_URL must have a name as its host: addresses cannot have passkeys."
    if not settings.mail.url.startswith(("smtp:", "smtps:", "smtp+starttls:")):
        yield (
            "MAIL_NOT_REAL",
            ("Set PASSGATE_MAIL__URL to an SMTP server. dev:, console: and dev+console: deliver to no one."),
        )
    if _sends_login_in_clear(settings.mail.url):
        yield (
            "MAIL_CLEAR",
            "PASSGATE_MAIL__URL would send its user and password unencrypted. Use smtp+starttls:// or smtps://.",
        )
    if "*" in settings.cors.origins:
        yield "CORS_ANY", "List the origins in PASSGATE_CORS__ORIGINS. * would open the API to every site."
    if any(origin.lower() == "null" or origin.lower().startswith("http:") for origin in settings.cors.origins):
        yield (
            "CORS_INSECURE",
            "PASSGATE_CORS__ORIGINS must list https:// origins only. Anyone on the network can pose as http:// ones, "
            "and any page can send null.",
        )
    if _trusts_everybody(settings.trusted_proxies):
        yield (
            "PROXIES_ANY",
            "PASSGATE_TRUSTED_PROXIES trusts every address, so visitors could claim any. List your proxies only.",
        )


def _lifetime_refusals(settings: Settings) -> Iterator[tuple[str, str]]:
    """How long proofs and sessions last, and how long an owner can object."""
    for name, life in (("ABSOLUTE", settings.session.absolute), ("IDLE", settings.session.idle)):
        if life > LONGEST_SESSION:
            yield "SESSION_LONG", f"PASSGATE_SESSION__{name} must be at most 90d."
    if settings.signin.fresh > LONGEST_FRESH:
        yield "FRESH_LONG", "PASSGATE_SIGNIN__FRESH must be at most 1h."
    if settings.recovery.waiting(settings) == 0:
        yield (
            "RECOVERY_WAIT",
            "PASSGATE_RECOVERY__WAIT must not be 0: in this time, owners stop the recovery of someone else.",
        )
    if settings.erase.waiting(settings) == 0:
        yield "ERASE_WAIT", "PASSGATE_ERASE__WAIT must not be 0: in this time, owners restore a deleted account."


def _operation_refusals(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.is_sqlite and settings.nodes > 1:
        yield "SQLITE_NODES", "SQLite works on one machine only. Set PASSGATE_DATABASE_URL to use more."
    if not settings.hash.meets_owasp:
        yield "HASH_WEAK", "PASSGATE_HASH__… is below OWASP's minimum (19 MiB with two passes)."
    token = settings.metrics.token
    if token is None or len(token.get_secret_value()) < 16:
        yield "METRICS_OPEN", "Set PASSGATE_METRICS__TOKEN to 16 characters or more."


def _sends_login_in_clear(url: str) -> bool:
    """`smtp://user:password@…`, whose connection is never encrypted."""
    scheme, _, rest = url.partition(":")
    return scheme.lower() == "smtp" and "@" in rest


_NOT_PUBLIC = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
)
"""IPv4 networks from which no visitor comes."""
_EVERYBODY_6 = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is assigned to the Internet."""


def _trusts_everybody(networks: tuple[str, ...]) -> bool:
    """Whether the networks together cover all of IPv4 or IPv6 from which visitors come, in whatever parts."""
    parts = [ipaddress.ip_network(network) for network in networks if network != UNIX]
    four = [part for part in parts if isinstance(part, ipaddress.IPv4Network)]
    six = [part for part in parts if isinstance(part, ipaddress.IPv6Network)]
    if four:
        four += map(ipaddress.IPv4Network, _NOT_PUBLIC)
    return any(part.prefixlen == 0 for part in ipaddress.collapse_addresses(four)) or any(
        _EVERYBODY_6.subnet_of(part) for part in ipaddress.collapse_addresses(six)
    )


def _secret_refusals(settings: Settings) -> list[tuple[str, str]]:
    found = []
    try:
        roots = settings.root_secrets()
    except (OSError, ValueError) as fault:
        return [("SECRETS_MISSING", f"PASSGATE_SECRETS_FILE can't be read: {files.why(fault)}.")]
    # Others may read it: containers mount secrets with mode 444, and nobody else is in there.
    if not settings.secrets and settings.secrets_file and settings.secrets_file.stat().st_mode & 0o002:
        found.append(
            ("SECRETS_OPEN", "Every user of this machine can change PASSGATE_SECRETS_FILE. Set its mode to 600.")
        )
    if not roots and not settings.is_development:
        found.append(
            ("SECRETS_MISSING", "Set PASSGATE_SECRETS or PASSGATE_SECRETS_FILE, and include it in your backups.")
        )
    if any(len(root.encode()) < 32 for root in roots):
        found.append(("SECRETS_SHORT", "Each secret must be at least 32 bytes long."))
    if any(_DEFAULTS.search(root) for root in roots):
        found.append(("SECRETS_DEFAULT", "A secret looks like a placeholder. Use random bytes."))
    if any(len(pepper.encode()) < 32 for pepper in settings.hash.pepper):
        found.append(("PEPPER_SHORT", "Each pepper must be at least 32 bytes long."))
    return found
