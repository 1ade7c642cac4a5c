"""Fuzz targets: each takes bytes, and raises where ours and its judge differ, or anything comes out that must not.

A target reads its input in the plainest way that can reach everything: cuts, choices and texts are taken from the bytes
themselves. They are run in three ways: over the corpus and seeded mutations of it with the suite (test_targets.py), and
guided by coverage of the C code under sanitizers (`make fuzz`). What was found lies in corpus/<target>/ for good.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import hpack

from siphon_http._core.hpack import Decoder
from siphon_http._core.pattern import parse_pattern
from siphon_http._core.router import Router
from siphon_http._core.urldecode import (
    canonical,
    decode_path,
    is_valid,
    parse_query,
    parse_query_list,
    parse_query_pairs,
)
from siphon_http.config import load_config
from siphon_http.errors import ConfigError, RouteConflictError, RouteError
from siphon_http.host import config as host
from siphon_http.testing import RecordingSink
from tests.fuzz import client_targets as client
from tests.fuzz import edge_targets as edge
from tests.fuzz import field_targets as field
from tests.fuzz import test_http1_differential as http1
from tests.http2_floods import GOAWAY
from tests.oracle import router as router_oracle
from tests.oracle import urldecode as url_oracle
from tests.protocol import http2_pair
from tests.protocol.test_http2_differential import Side

__all__ = ["TARGETS"]


def paths(data: bytes) -> None:
    """Percent-decoding and the canonical spelling of paths, against the oracle (RFC 3986, 2.1 and 6.2.2)."""
    assert is_valid(data) == url_oracle.is_valid(data)
    assert canonical(data) == url_oracle.canonical(data)
    try:
        expected: str | None = url_oracle.decode_path(data)
    except ValueError:
        expected = None
    try:
        found: str | None = decode_path(data)
    except ValueError:
        found = None
    assert found == expected


def queries(data: bytes) -> None:
    """Query strings, against the oracle."""
    pairs = url_oracle.parse_query_pairs(data)
    assert parse_query_pairs(data) == pairs
    assert parse_query(data) == dict(pairs)
    for name, _ in pairs[:3]:
        assert parse_query_list(data, name) == [value for key, value in pairs if key == name]


def routes(data: bytes) -> None:
    """A table of patterns and paths, one a line, the first letter of each choosing: against a list that is searched."""
    table = Router()
    entries = []
    asked = []
    for line in data.split(b"\n")[:40]:
        if line[:1] != b"+":
            asked.append(line)
            continue
        text = line[1:].decode("latin-1")
        try:
            pattern = parse_pattern(text)
            table.insert(pattern, "GET", text, "here")
        except RouteConflictError:
            continue
        except RouteError:
            continue
        entries.append(router_oracle.compile_entry(text, text))
    table.freeze()
    for path in asked:
        assert table.find(path) == router_oracle.find(entries, path), path


def http1_server(data: bytes) -> None:
    """A stream of requests, against httptools with every callback, whole and in pieces."""
    whole = RecordingSink(http1.answer).receive(data)
    http1.compare(data, whole)
    draw = random.Random(len(data) * 31 + sum(data[:64]))
    cut = RecordingSink(http1.answer).receive(*http1.pieces(draw, data)) if data else whole
    assert http1.what_counts(cut) == http1.what_counts(whole)
    for one in whole.requests:
        assert one.fields is not None


def header_blocks(data: bytes) -> None:
    """HPACK blocks, each after a byte of its size, against hpack with one table for all (RFC 7541)."""
    ours, theirs = Decoder(4096), hpack.Decoder(4096)
    at = 0
    while at < len(data):
        size = data[at]
        block = data[at + 1 : at + 1 + size]
        at += 1 + size
        results: list[object] = []
        for decoder in (ours, theirs):
            try:
                results.append([(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)])
            except hpack.HPACKError as error:
                results.append(isinstance(error, hpack.OversizedHeaderListError))
        assert results[0] == results[1]
        if isinstance(results[0], bool):
            return
        assert ours.entries() == [(bytes(n), bytes(v)) for n, v in theirs.header_table.dynamic_entries]


def http2_server(data: bytes) -> None:
    """What follows a preface, to hot streams and to h2 alone: the same requests, the same end or both none."""
    sides = [Side(False), Side(True)]
    for side in sides:
        side.server.receive_data(http2_pair.PREFACE + http2_pair.SETTINGS)
        side.server.receive_data(data)
    hot, slow = (side.owner for side in sides)
    assert [(r.method, r.raw_path, r.headers) for r in hot.requests] == [
        (r.method, r.raw_path, r.headers) for r in slow.requests
    ]
    assert [name for name in hot.names if name in {"close", "abort"}] == [
        name for name in slow.names if name in {"close", "abort"}
    ]
    assert sides[0].server.state == sides[1].server.state


def http2_server_pieces(data: bytes) -> None:
    """The same bytes in one read and byte by byte, up to the client's own GOAWAY: it is let go as soon as nothing runs."""
    whole, cut = Side(False), Side(False)
    data = data[:600]
    at = 0
    while at + 9 <= len(data):
        kind, at = data[at + 3], at + 9 + int.from_bytes(data[at : at + 3], "big")
        if kind == GOAWAY:
            data = data[:at]
    for side in (whole, cut):
        side.server.receive_data(http2_pair.PREFACE + http2_pair.SETTINGS)
    whole.server.receive_data(data)
    for i in range(len(data)):
        cut.server.receive_data(data[i : i + 1])
    assert [r.raw_path for r in whole.owner.requests] == [r.raw_path for r in cut.owner.requests]
    assert whole.server.state == cut.server.state


def http_yaml(data: bytes) -> None:
    """http.yaml: checked, or refused with places inside the file."""
    _read(data, lambda file: load_config(file, environ={"PORT": "80"}))


def siphon_yaml(data: bytes) -> None:
    """siphon.yaml: checked, or refused with places inside the file."""
    _read(data, host.parse)


def _read(data: bytes, load: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.yaml")
        file.write_bytes(data)
        refused: ConfigError | None = None
        try:
            load(file)
        except ConfigError as error:
            refused = error
    if refused is not None:
        lines = data.count(b"\n") + data.count(b"\r") + 2
        assert refused.problems
        assert all(0 <= problem.line <= lines for problem in refused.problems)
        assert str(refused)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "paths": paths,
    "queries": queries,
    "routes": routes,
    "http1_server": http1_server,
    "header_blocks": header_blocks,
    "http2_server": http2_server,
    "http2_server_pieces": http2_server_pieces,
    "http_yaml": http_yaml,
    "siphon_yaml": siphon_yaml,
    "inline_clients": edge.inline_clients,
    "ledgers": edge.ledgers,
    "proxy_headers": edge.proxy_headers,
    "forwarded_fields": edge.forwarded_fields,
    "urls": client.urls,
    "redirects": client.redirects,
    "http1_client": client.http1_client,
    "http2_client": client.http2_client,
    "http2_client_pieces": client.http2_client_pieces,
    "header_encoder": client.header_encoder,
    "contents": client.contents,
    "fields": field.fields,
    "answer_heads": field.answer_heads,
    "access_lines": field.access_lines,
}
