"""The client that a trusted proxy tells."""

from __future__ import annotations

import ipaddress
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon_http.server.forwarded import ClientAddress, entries_from_the_right, format_client, forwarded_for

PROXIES = tuple(ipaddress.ip_network(text) for text in ("127.0.0.1/32", "10.0.0.0/8", "2001:db8:1::/48"))
PEER = "10.0.0.1:4000"


class Fields:
    """A request as far as it is asked: fields by name."""

    def __init__(self, **fields: str) -> None:
        self._fields = {name.replace("_", "-"): value for name, value in fields.items()}

    def header(self, name: str) -> str | None:
        return self._fields.get(name)


def x_forwarded_for(value: str, peer: str = PEER) -> str | None:
    return ClientAddress(PROXIES)(Fields(x_forwarded_for=value), peer)


def forwarded(value: str, peer: str = PEER) -> str | None:
    return ClientAddress(PROXIES, "forwarded")(Fields(forwarded=value), peer)


# ---- X-Forwarded-For


@pytest.mark.parametrize(
    "value, client",
    [
        ("203.0.113.9", "203.0.113.9:0"),
        ("203.0.113.9:5123", "203.0.113.9:5123"),
        ("[2001:db8::7]:443", "[2001:db8::7]:443"),
        ("[2001:db8::7]", "[2001:db8::7]:0"),
        ("2001:db8::7", "[2001:db8::7]:0"),
        ("2001:DB8:0:0::7", "[2001:db8::7]:0"),
        ("::ffff:203.0.113.9", "203.0.113.9:0"),
        ("[::ffff:203.0.113.9]:77", "203.0.113.9:77"),
        ("203.0.113.9,10.1.1.1, 10.2.2.2", "203.0.113.9:0"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9:0"),
        ("10.3.3.3, 10.2.2.2", "10.3.3.3:0"),
        ("2001:db8::7, 2001:db8:1::5", "[2001:db8::7]:0"),
        ("::ffff:10.9.9.9, 10.2.2.2", "10.9.9.9:0"),
        ("203.0.113.9, ,\t, 10.2.2.2,", "203.0.113.9:0"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_not_trusted(value: str, client: str) -> None:
    assert x_forwarded_for(value) == client


@pytest.mark.parametrize(
    "junk",
    ["unknown", "_hidden", "1.2.3", "01.2.3.4", "1.2.3.4:", "1.2.3.4:70000", "1.2.3.4:x", "[1.2.3.4]:80", "[::1", "[::1]80",
     "[::1]:", "fe80::1%eth0", "http://1.2.3.4", "1.2.3.4 5.6.7.8", "localhost", '"1.2.3.4"', "1.2.3.4;", "²",
     "1.2.3.4:-1"],
)  # fmt: skip
def test_an_entry_that_is_no_address_ends_the_walk_at_the_last_good_one(junk: str) -> None:
    assert x_forwarded_for(f"203.0.113.9, {junk}") is None
    assert x_forwarded_for(f"203.0.113.9, {junk}, 10.7.7.7") == "10.7.7.7:0"


def test_what_a_client_writes_itself_stays_behind_its_own_address() -> None:
    assert x_forwarded_for("127.0.0.1, 10.0.0.5, 203.0.113.66") == "203.0.113.66:0"


@pytest.mark.parametrize("peer", ["203.0.113.1:9", "[2001:db8:2::1]:9", "0.0.0.0:0", "[fe80::1%eth0]:80", ""])
def test_a_peer_that_is_not_trusted_is_not_asked(peer: str) -> None:
    assert x_forwarded_for("198.51.100.7", peer) is None


@pytest.mark.parametrize("peer", ["10.0.0.1:80", "127.0.0.1:1", "[2001:db8:1::9]:80", "unix:"])
def test_a_trusted_peer_is_believed(peer: str) -> None:
    assert x_forwarded_for("198.51.100.7", peer) == "198.51.100.7:0"


def test_a_unix_peer_is_trusted_only_with_the_loopback_address() -> None:
    client = ClientAddress([ipaddress.ip_network("10.0.0.0/8")])
    assert client(Fields(x_forwarded_for="198.51.100.7"), "unix:") is None


@pytest.mark.parametrize(
    "fields", [{}, {"x_forwarded_for": ""}, {"x_forwarded_for": " , "}, {"forwarded": "for=1.2.3.4"}]
)
def test_without_the_field_the_peer_is_the_client(fields: dict[str, str]) -> None:
    assert ClientAddress(PROXIES)(Fields(**fields), PEER) is None


def test_only_the_configured_field_is_read() -> None:
    both = Fields(x_forwarded_for="198.51.100.1", forwarded="for=198.51.100.2")
    assert ClientAddress(PROXIES)(both, PEER) == "198.51.100.1:0"
    assert ClientAddress(PROXIES, "forwarded")(both, PEER) == "198.51.100.2:0"


def test_many_peers_do_not_grow_the_memory_without_bound() -> None:
    client = ClientAddress(PROXIES)
    for port in range(10_000):
        assert client(Fields(x_forwarded_for="198.51.100.7"), f"10.0.0.1:{port}") == "198.51.100.7:0"
    assert len(client._peers) <= 4096


# ---- Forwarded


@pytest.mark.parametrize(
    "value, client",
    [
        ("for=203.0.113.9", "203.0.113.9:0"),
        ("For=203.0.113.9;Proto=https", "203.0.113.9:0"),
        ('for="203.0.113.9:5123"', "203.0.113.9:5123"),
        ('proto=http; by=10.0.0.1 ;for="[2001:db8::7]:4711"', "[2001:db8::7]:4711"),
        (r'for="\2\03.0.113.9"', "203.0.113.9:0"),
        ('for=203.0.113.9;host="a,b;for=1.1.1.1", for=10.1.1.1', "203.0.113.9:0"),
        ("for=198.51.100.1, for=203.0.113.9", "203.0.113.9:0"),
        ("for=203.0.113.9,,for=10.2.2.2,", "203.0.113.9:0"),
        ("for=203.0.113.9;;proto=http", "203.0.113.9:0"),
    ],
)
def test_the_for_parameter_of_an_element_names_the_client(value: str, client: str) -> None:
    assert forwarded(value) == client


@pytest.mark.parametrize(
    "element",
    ["for=unknown", "for=_secret", "proto=https", "for=203.0.113.8:80", "for=[2001:db8::7]", 'for="1.2.3.4', "for", "=",
     "for=1.2.3.4;for=1.2.3.5", 'for="1.2.3.4"x', "for=1.2.3.4;junk", 'for="1.2"3.4"', "for=", 'for=""'],
)  # fmt: skip
def test_an_element_that_names_no_address_ends_the_walk(element: str) -> None:
    assert forwarded(f"for=198.51.100.1, {element}") is None
    assert forwarded(f"for=198.51.100.1, {element}, for=10.4.4.4") == "10.4.4.4:0"


@pytest.mark.parametrize(
    "evil", ['for="', 'for="x', '"', 'for=x;host="', 'for="\\', 'a"b"c"', ',"', 'for="1.1.1.1, for="']
)
@pytest.mark.parametrize("proxy", ["for=203.0.113.9", 'for="203.0.113.9"', 'for="203.0.113.9:80";proto=http'])
def test_a_quote_that_a_client_left_open_cannot_swallow_what_the_proxy_says(evil: str, proxy: str) -> None:
    found = forwarded(f"{evil}, {proxy}")
    assert found is not None and found.startswith("203.0.113.9:")


def test_a_long_field_costs_little_since_the_walk_ends_early() -> None:
    client = ClientAddress(PROXIES, "forwarded")
    fields = Fields(forwarded='for="a\\"b",' * 6000 + "for=203.0.113.9")
    client(fields, PEER)
    began = time.perf_counter()
    for _ in range(100):
        assert client(fields, PEER) == "203.0.113.9:0"
    assert time.perf_counter() - began < 0.5


def oracle_entries(value: str) -> list[str | None]:
    """Cut a well-formed field from the left, character by character."""
    parts, quoted, at = [""], False, 0
    while at < len(value):
        if quoted and value[at] == "\\":
            parts[-1] += value[at : at + 2]
            at += 2
            continue
        if value[at] == '"':
            quoted = not quoted
        if value[at] == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += value[at]
        at += 1
    return list(reversed(parts))


quoted = st.lists(st.sampled_from(['\\"', "\\\\", "\\,", ",", ";", "a", "="])).map(lambda parts: f'"{"".join(parts)}"')
element = st.lists(st.one_of(st.sampled_from(["for=", "a", ";", " "]), quoted)).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(element, min_size=1).map(",".join))
def test_from_the_right_a_well_formed_field_has_the_same_entries_as_from_the_left(value: str) -> None:
    assert list(entries_from_the_right(value)) == oracle_entries(value)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='ab,;="\\ ', max_size=40), st.text(alphabet="ab;=. ", max_size=10))
def test_whatever_stands_left_of_it_the_last_entry_is_read_alone(left: str, last: str) -> None:
    assert next(entries_from_the_right(f"{left},{last}")) == last


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='for=,;"\\[]:.1 ', max_size=60))
def test_no_field_raises(value: str) -> None:
    forwarded(value)
    forwarded_for(value)
    x_forwarded_for(value)


address = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.sampled_from(["10.1.2.3", "127.0.0.1", "2001:db8:1::4", "::ffff:10.0.0.9"]),
)


def oracle_client(entries: list[str]) -> str | None:
    """Walk as the documentation says, over entries without ports."""
    found = None
    for entry in reversed(entries):
        try:
            parsed = ipaddress.ip_address(entry)
        except ValueError:
            break
        found = getattr(parsed, "ipv4_mapped", None) or parsed
        if not any(found.version == network.version and found in network for network in PROXIES):
            break
    return None if found is None else f"{found}:0" if found.version == 4 else f"[{found}]:0"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(address, st.sampled_from(["unknown", "x", "1.2.3.400"])), min_size=1))
def test_the_walk_agrees_with_a_slow_one(entries: list[str]) -> None:
    assert x_forwarded_for(", ".join(entries)) == oracle_client(entries)
    elements = ", ".join(f'for="[{entry}]"' if ":" in entry else f"for={entry}" for entry in entries)
    assert forwarded(elements) == oracle_client(entries)


# ---- the text


@pytest.mark.parametrize(
    "host, port, text",
    [
        ("127.0.0.1", 80, "127.0.0.1:80"),
        ("::1", 80, "[::1]:80"),
        ("::ffff:192.0.2.1", 5, "192.0.2.1:5"),
        ("fe80::1%eth0", 7, "[fe80::1%eth0]:7"),
    ],
)
def test_addresses_are_written_with_their_port(host: str, port: int, text: str) -> None:
    assert format_client(host, port) == text
    assert re.fullmatch(r"(\[[^\]]+\]|[0-9.]+):\d+", text)
