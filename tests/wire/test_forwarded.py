"""Forwarding fields as proxies write them: the address that is believed, and nothing that a visitor writes.

Through real proxies they come in test_proxies. Not here: what is counted by address.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from passgate.settings import Settings
from passgate.wire.forwarded import Proxies, address

OURS = Proxies(("10.0.0.0/8", "fd00::/8"))
PEER = "10.0.0.1"

FOR = "x-forwarded-for"
CHAINS: list[tuple[str, list[str], str]] = [
    # field, its lines, and whose request it is
    (FOR, ["198.51.100.9"], "198.51.100.9"),
    (FOR, ["203.0.113.1, 198.51.100.9"], "198.51.100.9"),
    (FOR, ["203.0.113.1", "198.51.100.9"], "198.51.100.9"),
    (FOR, ["203.0.113.1, 198.51.100.9, 10.9.9.9"], "198.51.100.9"),
    (FOR, ["198.51.100.9:4711"], "198.51.100.9"),
    (FOR, ["[2001:db8::1]:4711"], "2001:db8::1"),
    (FOR, ["[2001:DB8:0:0::1]"], "2001:db8::1"),
    (FOR, ["2001:db8::1"], "2001:db8::1"),
    (FOR, ['"198.51.100.9:4711"'], "198.51.100.9"),
    (FOR, ['"[2001:db8::1]:4711"'], "2001:db8::1"),
    (FOR, ["::ffff:198.51.100.9"], "198.51.100.9"),
    (FOR, [" , ,198.51.100.9, ,"], "198.51.100.9"),
    (FOR, [""], PEER),
    (FOR, ["unknown"], PEER),
    (FOR, ["198.51.100.9, unknown"], PEER),
    (FOR, ["198.51.100.9, _hidden"], PEER),
    (FOR, ["198.51.100.9, 10.9.9.9, x"], PEER),
    (FOR, ["198.51.100.9, unknown, 10.9.9.9"], "10.9.9.9"),
    (FOR, ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
    (FOR, ["198.51.100.9:x"], PEER),
    (FOR, ["[2001:db8::1"], PEER),
    (FOR, ["[2001:db8::1]x"], PEER),
    (FOR, ["198.51.100.9 10.0.0.1"], PEER),
    (FOR, ["0198.51.100.9"], PEER),
    (FOR, ["x" * 9000 + ", 198.51.100.9"], "198.51.100.9"),
    ("forwarded", ["for=198.51.100.9"], "198.51.100.9"),
    ("forwarded", ["For=198.51.100.9;Proto=https;by=10.0.0.1"], "198.51.100.9"),
    ("forwarded", ['for="[2001:db8::1]:4711"'], "2001:db8::1"),
    ("forwarded", ['for="198.51.100.9:80"; host="a,b;c"'], "198.51.100.9"),
    ("forwarded", ["for=203.0.113.1, for=198.51.100.9"], "198.51.100.9"),
    ("forwarded", ["for=203.0.113.1", "for=198.51.100.9;proto=http, for=10.9.9.9"], "198.51.100.9"),
    ("forwarded", ['for=203.0.113.1;x=", for=198.51.100.1", for=198.51.100.9'], "198.51.100.9"),
    ("forwarded", ['for="\\198.51.100.9"'], "198.51.100.9"),
    ("forwarded", ["for=198.51.100.9, proto=https"], PEER),
    ("forwarded", ["for=198.51.100.9, for=_gateway"], PEER),
    ("forwarded", ["for=198.51.100.9;for=203.0.113.1"], PEER),
    ("forwarded", ['for="198.51.100.9'], PEER),
    ("forwarded", ["198.51.100.9"], PEER),
    ("forwarded", [""], PEER),
    ("forwarded", ["for=198.51.100.9, " + "x" * 9000], PEER),
]


def fields(name: str, lines: list[str]) -> Headers:
    return Headers(raw=[(name.encode(), line.encode()) for line in lines])


@pytest.mark.parametrize(("name", "lines", "whose"), CHAINS)
def test_the_nearest_that_is_not_ours(name: str, lines: list[str], whose: str) -> None:
    assert OURS.client(PEER, fields(name, lines)) == whose
    assert OURS.client("198.51.100.77", fields(name, lines)) == "198.51.100.77", "a stranger's word"
    assert OURS.client("", fields(name, lines)) == "", "no Unix socket is trusted"
    assert not Proxies(())


def test_one_field_counts() -> None:
    """A proxy that writes X-Forwarded-For may pass on what a visitor wrote into Forwarded."""
    both = Headers(raw=[(b"forwarded", b"for=203.0.113.1"), (FOR.encode(), b"198.51.100.9")])
    assert OURS.client(PEER, both) == "198.51.100.9"


def test_a_unix_socket_is_trusted_by_name() -> None:
    settings = Settings.development(trusted_proxies="unix, 10.0.0.1")
    assert settings.trusted_proxies == ("unix", "10.0.0.1/32")
    proxies = Proxies(settings.trusted_proxies)
    assert proxies.client("", fields(FOR, ["203.0.113.1, 198.51.100.9"])) == "198.51.100.9"
    assert proxies.client("", fields(FOR, [])) == ""


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from([FOR, "forwarded"]))
@example('"' * 59, "forwarded")
def test_whatever_is_written_it_is_an_address(text: str, name: str) -> None:
    found = OURS.client(PEER, Headers(raw=[(name.encode(), text.encode("latin-1"))]))
    assert found == address(found) != ""
