"""Who the client is, behind proxies or not (design section 5: `client`)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .launch import Server, serving
from .wire import Wire, polite

TRUSTED = ["127.0.0.0/8", "10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
LISTENERS = {
    "xff": {"trusted_proxies": TRUSTED},
    "forwarded": {"trusted_proxies": TRUSTED, "forwarded_header": "forwarded"},
    "untrusted": {"trusted_proxies": ["10.0.0.0/8", "127.0.0.2"]},
    "none": {},
    "single": {"trusted_proxies": ["127.0.0.1"]},
}
PEER = "the peer itself"


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/peers.py behind different proxy settings."""
    yield from serving(tmp_path_factory.mktemp("proxies"), "peers.py", LISTENERS)


def client(server: Server, listener: str, fields: list[tuple[str, str]]) -> str:
    """Return req.client; PEER if it is our own address and port. Middleware must see the same."""
    with Wire(server[listener]) as wire:
        wire.send(polite("/peer", headers=fields))
        found = json.loads(wire.read().body)
        own = f"127.0.0.1:{wire.sock.getsockname()[1]}"
    assert found["in_middleware"] == found["client"]
    return PEER if found["client"] == own else str(found["client"])


WALKS = {
    "one": ("203.0.113.9", "203.0.113.9:0"),
    "right-most untrusted": ("1.1.1.1, 203.0.113.9", "203.0.113.9:0"),
    "trusted ones are skipped": ("203.0.113.9, 10.1.1.1", "203.0.113.9:0"),
    "two trusted ones are skipped": ("6.6.6.6, 203.0.113.9, 10.1.1.1, 10.2.2.2", "203.0.113.9:0"),
    "a spoofed trusted one on the left": ("10.9.9.9, 203.0.113.9", "203.0.113.9:0"),
    "no space": ("1.1.1.1,203.0.113.9,10.0.0.1", "203.0.113.9:0"),
    "much space": ("  203.0.113.9  ,\t10.0.0.1 ", "203.0.113.9:0"),
    "single trusted address": ("203.0.113.9, 192.0.2.7", "203.0.113.9:0"),
    "neighbour of a trusted address": ("203.0.113.9, 192.0.2.8", "192.0.2.8:0"),
    "edge of a network": ("203.0.113.9, 10.255.255.255", "203.0.113.9:0"),
    "behind the edge of a network": ("203.0.113.9, 11.0.0.0", "11.0.0.0:0"),
    "with port": ("203.0.113.9:4711", "203.0.113.9:4711"),
    "trusted with port": ("203.0.113.9, 10.0.0.1:555", "203.0.113.9:0"),
    "version 6": ("2001:db9::1", "[2001:db9::1]:0"),
    "version 6 in brackets": ("[2001:db9::1]", "[2001:db9::1]:0"),
    "version 6 with port": ("[2001:db9::1]:4711", "[2001:db9::1]:4711"),
    "version 6, trusted": ("203.0.113.9, 2001:db8::5", "203.0.113.9:0"),
    "version 6, trusted, with port": ("203.0.113.9, [2001:db8::5]:99", "203.0.113.9:0"),
    "mapped": ("::ffff:203.0.113.9", "203.0.113.9:0"),
    "mapped, trusted": ("203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9:0"),
    "junk": ("junk", PEER),
    "junk at the right": ("203.0.113.9, junk", PEER),
    "junk behind a trusted one": ("203.0.113.9, junk, 10.0.0.1", "10.0.0.1:0"),
    "junk at the left": ("junk, 203.0.113.9", "203.0.113.9:0"),
    "unknown": ("unknown, 10.0.0.1", "10.0.0.1:0"),
    "number too large": ("203.0.113.9, 300.1.1.1", PEER),
    "short address": ("203.0.113.9, 10.1", PEER),
    "leading zeros": ("203.0.113.9, 010.000.000.001", PEER),
    "decimal": ("203.0.113.9, 167772161", PEER),
    "a name": ("203.0.113.9, localhost", PEER),
    "a network": ("203.0.113.9, 10.0.0.0/8", PEER),
    "quoted": ('"203.0.113.9"', PEER),
    "port too large": ("203.0.113.9:99999, 10.0.0.1", "10.0.0.1:0"),
    "empty": ("", PEER),
    "many": (", ".join(["6.6.6.6"] * 200 + ["203.0.113.9", "10.0.0.1"]), "203.0.113.9:0"),
}


@pytest.mark.parametrize("name", WALKS)
def test_x_forwarded_for_is_walked_from_the_right(proxies: Server, name: str) -> None:
    """An entry that is no address ends the walk at the last good one."""
    value, wanted = WALKS[name]
    assert client(proxies, "xff", [("X-Forwarded-For", value)]) == wanted


def test_when_every_entry_is_trusted_one_of_them_or_the_peer_is_it(proxies: Server) -> None:
    """Not defined by the design: there is no untrusted one."""
    assert client(proxies, "xff", [("X-Forwarded-For", "10.0.0.1, 10.0.0.2")]) in ("10.0.0.1:0", "10.0.0.2:0", PEER)


@pytest.mark.parametrize("value", ["203.0.113.9, , 10.0.0.1", ",203.0.113.9,,10.0.0.1", "203.0.113.9, 10.0.0.1,"])
def test_empty_entries_are_skipped_or_end_the_walk(proxies: Server, value: str) -> None:
    """RFC 9110, 5.6.1.2 ignores them; as no address they end the walk: never a third thing."""
    assert client(proxies, "xff", [("X-Forwarded-For", value)]) in ("203.0.113.9:0", "10.0.0.1:0", PEER)


def test_several_fields_are_one_list(proxies: Server) -> None:
    fields = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Other", "a"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.1"),
    ]
    assert client(proxies, "xff", fields) == "203.0.113.9:0"


@pytest.mark.parametrize("listener", ["untrusted", "none"])
@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_nobody_else_may_say_who_the_client_is(proxies: Server, listener: str, field: str) -> None:
    assert client(proxies, listener, [(field, "for=203.0.113.9" if field == "Forwarded" else "203.0.113.9")]) == PEER


def test_a_single_address_is_trusted(proxies: Server) -> None:
    assert client(proxies, "single", [("X-Forwarded-For", "203.0.113.9")]) == "203.0.113.9:0"


FORWARDED = {
    "one": ("for=203.0.113.9", "203.0.113.9:0"),
    "upper case": ("For=203.0.113.9", "203.0.113.9:0"),
    "quoted": ('for="203.0.113.9"', "203.0.113.9:0"),
    "quoted with port": ('for="203.0.113.9:4711"', "203.0.113.9:4711"),
    "version 6": ('for="[2001:db9::1]"', "[2001:db9::1]:0"),
    "version 6 with port": ('for="[2001:db9::1]:4711"', "[2001:db9::1]:4711"),
    "other parameters": ("by=10.0.0.9;for=203.0.113.9;proto=https;host=x", "203.0.113.9:0"),
    "right-most untrusted": ("for=6.6.6.6, for=203.0.113.9, for=10.0.0.1", "203.0.113.9:0"),
    "no space": ("for=6.6.6.6,for=203.0.113.9,for=10.0.0.1", "203.0.113.9:0"),
    "unknown": ("for=203.0.113.9, for=unknown", PEER),
    "hidden": ("for=203.0.113.9, for=_hidden, for=10.0.0.1", "10.0.0.1:0"),
    "without for": ("for=203.0.113.9, proto=https", PEER),
    "a comma in quotes": ('for=203.0.113.9;host="a,for=6.6.6.6"', "203.0.113.9:0"),
    "only proto": ("proto=https", PEER),
    "junk": ("203.0.113.9", PEER),
    "open quote": ('for="203.0.113.9', PEER),
    "empty": ("", PEER),
}


@pytest.mark.parametrize("name", FORWARDED)
def test_forwarded_is_walked_from_the_right(proxies: Server, name: str) -> None:
    """RFC 7239, 4 and 6, on a listener with forwarded_header: forwarded."""
    value, wanted = FORWARDED[name]
    assert client(proxies, "forwarded", [("Forwarded", value)]) == wanted


def test_one_header_is_read_and_never_both(proxies: Server) -> None:
    fields = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=203.0.113.9")]
    assert client(proxies, "forwarded", fields) == "203.0.113.9:0"
    assert client(proxies, "xff", fields) == "6.6.6.6:0"
    assert client(proxies, "forwarded", fields[:1]) == PEER
    assert client(proxies, "xff", fields[1:]) == PEER


def test_the_client_belongs_to_the_request_and_not_to_the_connection(proxies: Server) -> None:
    with Wire(proxies["xff"]) as wire:
        for value in ("203.0.113.9", "203.0.113.10"):
            wire.send(polite("/peer", headers=[("X-Forwarded-For", value)]))
            assert json.loads(wire.read().body)["client"] == value + ":0"
        wire.send(polite("/peer"))
        assert json.loads(wire.read().body)["client"] == f"127.0.0.1:{wire.sock.getsockname()[1]}"
