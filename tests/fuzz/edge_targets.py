"""Fuzz targets of what load balancers and proxies say of a connection, and of what a script configures itself."""

from __future__ import annotations

import ast
import ipaddress
import struct

from siphon_http._core.counters import LEDGER_BYTES, Counters
from siphon_http.config_inline import inline_client
from siphon_http.errors import ConfigError, RemoteProtocolError
from siphon_http.host.ledger import series_of
from siphon_http.server.forwarded import ClientAddress, entries_from_the_right, format_client, forwarded_for
from siphon_http.server.proxy_protocol import ProxyHeader, parse_header
from tests.oracle import proxy_protocol as proxy_oracle

__all__ = ["forwarded_fields", "has_words", "inline_clients", "ledgers", "proxy_headers"]


def has_words(error: Exception) -> None:
    """An error says what is wrong, and not at the length that the peer likes."""
    assert 0 < len(str(error)) < 20_000


def proxy_headers(data: bytes) -> None:
    """What a connection begins with: against the text of the protocol, and the same however much of it has come."""
    verdicts = [_header(data[:size]) for size in range(min(len(data), 300) + 1)] + [_header(data)]
    final = verdicts[-1]
    ended = False
    for verdict in verdicts:  # once it is decided, what follows changes nothing
        assert not ended or verdict == final
        ended = ended or verdict is not None
    try:
        expected: object = ProxyHeader(*proxy_oracle.whole(data))
    except ValueError:
        expected = None
    assert (final if isinstance(final, ProxyHeader) else None) == expected
    if isinstance(final, ProxyHeader) and final.client not in (None, "unix:"):
        _is_client(final.client or "")


def _header(data: bytes) -> ProxyHeader | str | None:
    try:
        return parse_header(data)
    except RemoteProtocolError as error:
        has_words(error)
        return "refused"


def _is_client(text: str) -> None:
    host, _, port = text.rpartition(":")
    assert 0 <= int(port) <= 65535
    address = ipaddress.ip_address(host.strip("[]"))
    assert format_client(str(address), int(port)) == text


LEDGER_HEAD = struct.Struct("=8sQQ40x")


class _Fields:
    def __init__(self, value: str) -> None:
        self.value = value

    def header(self, name: str) -> str | None:
        return self.value


TRUSTED = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32")]


def forwarded_fields(data: bytes) -> None:
    """A field of a trusted proxy: nobody left of the first untrusted entry is believed, whatever is sent there."""
    text = data.decode("latin-1")
    for name, separator in (("x-forwarded-for", ","), ("forwarded", ",")):
        told = ClientAddress(TRUSTED, name)  # type: ignore[arg-type]
        found = told(_Fields(text), "10.0.0.1:80")
        assert told(_Fields(text), "192.0.2.1:80") is None
        if found is not None:
            _is_client(found)
        quotes = name == "forwarded"
        entries = list(entries_from_the_right(text, separator, quotes=quotes))
        whole = [entry for entry in entries if entry is not None]
        assert text.endswith(separator.join(reversed(whole)))
        # What the nearest proxy appended stands, whatever its client sent before.
        mine = "for=192.0.2.77" if quotes else "192.0.2.77"
        assert told(_Fields(f"{text},{mine}"), "10.0.0.1:80") == "192.0.2.77:0"
        for entry in whole[:10]:
            forwarded_for(entry)


def ledgers(data: bytes) -> None:
    """Numbers that another process has left in shared memory: taken over, or refused, and read by the host, within it."""
    size = 1024 + len(data) // 8 * 8
    memory = bytearray(size + 64)
    memory[:64] = LEDGER_HEAD.pack(b"SIPHON1\n", size, 64 + int.from_bytes(data[:2], "big") * 8)
    memory[64 : 64 + len(data)] = data[2:].ljust(len(data), b"\0")
    memory[size:] = b"\xa5" * 64
    with memoryview(memory)[:size] as ledger:
        try:
            counters = Counters(ledger)
        except ValueError:
            pass
        else:
            for number in range(30):
                try:
                    counters.counter("name_total", "Help.", number=number).add()
                    counters.gauge("name", "Help.", number=number).put(-1)
                except ValueError:  # it is there as something else
                    pass
            del counters
    assert memory[size:] == b"\xa5" * 64, "written behind the end"
    padded = bytes(memory[:size]).ljust(LEDGER_BYTES, b"\0")
    list(series_of(memoryview(padded)))


def inline_clients(data: bytes) -> None:
    """What a script gives to http.Client(...), as a literal of Python: checked, or refused with all its reasons."""
    try:
        given = ast.literal_eval(data.decode("utf-8"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return
    if not isinstance(given, dict):
        return
    try:
        inline_client(given)
    except ConfigError as error:
        has_words(error)
