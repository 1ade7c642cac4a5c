"""The parts of a head, and what is refused in it (RFC 9112, sections 2 to 6; RFC 9110, 7.2)."""

from __future__ import annotations

import random

import pytest

from siphon_http.protocol.http1_head import inspect_head

MORE, DONE = 0, 1


def head(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: t\r\n") -> bytes:
    """Return a head with these field lines."""
    return line + b"\r\n" + host + b"".join(one + b"\r\n" for one in lines) + b"\r\n"


def status(data: bytes) -> int:
    """Return 1 or the status of the refusal."""
    result, facts = inspect_head(data)
    assert (facts["reason"] is None) == (result in (MORE, DONE))
    return result


def test_the_offsets_of_an_origin_form() -> None:
    data = b"POST /a/b?c=?d HTTP/1.1\r\nHost: t\r\nContent-Length: 12\r\n\r\nrest"
    result, at = inspect_head(b"\r\n\r\n" + data)
    assert (result, at["skipped"], at["size"]) == (DONE, 4, len(data) - 4)
    assert data[: at["method_end"]] == b"POST"
    assert data[at["target"] : at["target_end"]] == b"/a/b?c=?d"
    assert data[at["path"] : at["path_end"]] == b"/a/b"
    assert data[at["query"] : at["query_end"]] == b"c=?d"
    assert at["authority"] == at["authority_end"]
    assert data[at["fields"] : at["fields_end"]] == b"Host: t\r\nContent-Length: 12\r\n"
    assert (at["length"], at["version"]) == (12, 11)


@pytest.mark.parametrize(
    "target, authority, path, query",
    [
        (b"http://u:80/x?y", b"u:80", b"/x", b"y"),
        (b"HTTPS://u", b"u", b"", b""),
        (b"http://u?y", b"u", b"", b"y"),
        (b"http://[::1]:1//x", b"[::1]:1", b"//x", b""),
        (b"*", b"", b"*", b""),
        (b"//x", b"", b"//x", b""),
        (b"/?", b"", b"/", b""),
    ],
)
def test_the_parts_of_other_forms(target: bytes, authority: bytes, path: bytes, query: bytes) -> None:
    data = head(line=b"OPTIONS " + target + b" HTTP/1.1")
    result, at = inspect_head(data)
    assert result == DONE
    assert data[at["authority"] : at["authority_end"]] == authority
    assert data[at["path"] : at["path_end"]] == path
    assert data[at["query"] : at["query_end"]] == query


@pytest.mark.parametrize(
    "line, expected",
    [
        (b"GET  / HTTP/1.1", 400), (b"GET / HTTP/1.1 ", 400), (b"GET /  HTTP/1.1", 400), (b"GET /", 400), (b"GET", 400), (b"GET ", 400),
        (b"GET  HTTP/1.1", 400), (b"G@T / HTTP/1.1", 400), (b" GET / HTTP/1.1", 400), (b"GET\t/ HTTP/1.1", 400), (b"GET / HTTP/11", 400),
        (b"GET / HTTP/1.1x", 400), (b"GET / http/1.1", 400), (b"GET / HTTP/1.x", 400), (b"GET / HTTP/2.0", 505), (b"GET / HTTP/0.9", 505),
        (b"GET / ICE/1.0", 400), (b"GET /\x01 HTTP/1.1", 400), (b"GET /\x7f HTTP/1.1", 400), (b"GET /\xe4 HTTP/1.1", 400),
        (b"GET /#a HTTP/1.1", 400), (b"GET * HTTP/1.1", 400), (b"GET x HTTP/1.1", 400), (b"GET t:80 HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400), (b"GET http:// HTTP/1.1", 400), (b"GET http://a@b/ HTTP/1.1", 400), (b"GET ftp://t/ HTTP/1.1", 400),
        (b"CONNECT t:80 HTTP/1.1", 501), (b"GET / HTTP/1.0", DONE), (b"GET / HTTP/1.2", DONE), (b"BREW / HTTP/1.1", DONE),
    ],
)  # fmt: skip
def test_request_lines(line: bytes, expected: int) -> None:
    assert status(head(line=line)) == expected


@pytest.mark.parametrize(
    "value", [b"t", b"", b"t:80", b"t:", b"T.example.", b"1.2.3.4:65535", b"[::1]", b"[::1]:80", b"[1:2:3:4:5:6:7:8]", b"[::ffff:1.2.3.4]",
              b"[v1.a:b]", b"[VF.x]", b"a%41b", b"a_b~c!$&'()*+,;=", b" \t t \t"],
)  # fmt: skip
def test_a_host_that_is_one_is_taken(value: bytes) -> None:
    assert status(head(host=b"Host:" + value + b"\r\n")) == DONE


@pytest.mark.parametrize(
    "value", [b"a b", b"a@b", b"a/b", b"a?b", b"a#b", b"t:x", b"t:80:1", b":80", b"t:65536", b"t:99999999999999999999", b"[::1", b"::1", b"[]",
              b"[::g]", b"[::1]x", b"[::1]:x", b"[1]", b"[face]", b"[:]", b"[1:2:3:4:5:6:7:8:9]", b"[1::2::3]", b"[::1%25eth0]", b"[v1]",
              b"[v1.]", b"[v.a]", b"[vx.a]", b"[", b"]", b"[::1\0]", b"a%4", b"a%zz", b"%", b"a\\b", b"a<b", b'"a"', b"a^b", b"a`b", b"a|b",
              b"\xe4", b"[" + b":" * 200 + b"]", b"[v1." + b"a" * 300 + b"^]"],
)  # fmt: skip
def test_a_host_that_is_none_is_refused(value: bytes) -> None:
    assert status(head(host=b"Host: " + value + b"\r\n")) == 400
    if value not in (b"a/b", b"a?b"):  # there a path and a query begin
        assert status(head(line=b"GET http://" + value + b"/ HTTP/1.1")) == 400


@pytest.mark.parametrize(
    "fields, expected",
    [(b"Host: t:80\r\n", 501), (b"", 400), (b"Host: t\r\nHost: t\r\n", 400), (b"Host: a b\r\n", 400)],
)
def test_the_rules_of_host_come_before_what_is_not_implemented(fields: bytes, expected: int) -> None:
    """RFC 9112, 3.2: MUST be 400, whatever the method."""
    assert status(head(line=b"CONNECT t:80 HTTP/1.1", host=fields)) == expected


@pytest.mark.parametrize(
    "lines, expected, length",
    [
        ([], DONE, -1),
        ([b"Content-Length: 0"], DONE, 0),
        ([b"content-LENGTH:\t007 "], DONE, 7),
        ([b"Content-Length: " + b"9" * 18], DONE, 10**18 - 1),
        ([b"Content-Length: " + b"9" * 19], 400, None),
        ([b"Content-Length: 5", b"Content-Length: 5"], 400, None),
        ([b"Content-Length: 5, 5"], 400, None),
        ([b"Content-Length:"], 400, None),
        ([b"Content-Length: +5"], 400, None),
        ([b"Content-Length: 5a"], 400, None),
        ([b"Content-Length: 5 5"], 400, None),
        ([b"Transfer-Encoding: chunked"], DONE, -2),
        ([b"TRANSFER-encoding:\t Chunked\t"], DONE, -2),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400, None),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 5"], 400, None),
        ([b"Content-Length: 5", b"Transfer-Encoding: gzip"], 400, None),
        ([b"Transfer-Encoding:"], 400, None),
        ([b"Transfer-Encoding: gzip"], 501, None),
        ([b"Transfer-Encoding: identity"], 501, None),
        ([b"Transfer-Encoding: gzip, chunked"], 501, None),
        ([b"Transfer-Encoding: xchunked"], 501, None),
        ([b"Transfer-Encoding: chunkedx"], 501, None),
        ([b"Transfer-Encoding: chunked, gzip"], 400, None),
        ([b"Transfer-Encoding: chunked, chunked"], 400, None),
        ([b"Transfer-Encoding: chunked;a=b"], 400, None),
        ([b"Transfer-Encoding: \x0bchunked"], 400, None),
        ([b'Transfer-Encoding: "chunked"'], 400, None),
        ([b"Expect: 100-Continue"], DONE, -1),
        ([b"Expect: 100-continue, x"], 417, None),
        ([b"Expect:"], 417, None),
        ([b"Host: t"], 400, None),
        ([b"X: y", b" z"], 400, None),
    ],
)
def test_framing_fields(lines: list[bytes], expected: int, length: int | None) -> None:
    result, facts = inspect_head(head(*lines))
    assert result == expected
    if length is not None:
        assert facts["length"] == length


def test_a_1_0_message_needs_no_host_knows_no_coding_and_expects_nothing() -> None:
    assert status(b"GET / HTTP/1.0\r\n\r\n") == DONE
    assert status(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n") == 400
    assert status(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400
    result, facts = inspect_head(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n")
    assert (result, facts["expects"]) == (DONE, False)


@pytest.mark.parametrize(
    "data", [b"\n", b"\rG", b"\r\n\n", b"\r\r\n", b"\0", b" ", b":", b"\x16\x03\x01", b"\r\n" * 5, b"\xef\xbb\xbfGET"]
)
def test_a_first_byte_that_begins_no_request_is_refused_at_once(data: bytes) -> None:
    assert status(data) == 400


def test_limits_count_the_request_line_and_the_fields() -> None:
    data = head(b"A: b")
    for size in range(len(data)):
        assert inspect_head(data, size)[0] in (414, 431)
        assert inspect_head(data, size)[0] == (414 if size < 16 else 431)
    assert inspect_head(data, len(data))[0] == DONE
    assert inspect_head(data, 65536, 2)[0] == DONE
    assert inspect_head(data, 65536, 1)[0] == 431
    assert inspect_head(b"GET /" + b"x" * 100, 100)[0] == 414


def test_random_heads_never_read_as_longer_than_they_are() -> None:
    draw = random.Random(3)
    pieces = [
        b"GET / HTTP/1.1\r\n",
        b"Host: t\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"Upgrade:\r\n",
        b"u:\r\n",
        b"Expect: x\r\n",
        b"H",
        b"Host:",
        b"[",
        b":",
        b"%",
    ]
    for _ in range(30_000):
        data = b"".join(draw.choice(pieces) for _ in range(draw.randrange(1, 9)))
        result, facts = inspect_head(data)
        if result == DONE:
            assert 0 < facts["skipped"] + facts["size"] <= len(data)
            assert data[facts["skipped"] :][: facts["size"]].endswith(b"\r\n\r\n")
