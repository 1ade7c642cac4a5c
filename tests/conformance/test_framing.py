"""Content-Length and Transfer-Encoding (RFC 9112, 6; design section 5): what could be read in two ways is refused."""

from __future__ import annotations

import pytest

from .launch import Server
from .wire import Wire, exchange, one, refused

POST = b"POST /echo HTTP/1.1\r\nHost: t\r\n"
AFTER = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
CODED = {400, 501}
"""RFC 9112, 6.1: 501 for a coding that is not known; 6.3: 400 where the length cannot be told. Either is right for junk."""

BAD_CODINGS = {
    "gzip": b"gzip",
    "gzip, chunked": b"gzip, chunked",
    "chunked, gzip": b"chunked, gzip",
    "chunked twice": b"chunked, chunked",
    "identity": b"identity",
    "identity, chunked": b"identity, chunked",
    "chunked, identity": b"chunked, identity",
    "deflate": b"deflate",
    "trailing comma": b"chunked,",
    "leading comma": b", chunked",
    "empty": b"",
    "only white space": b" \t ",
    "prefix": b"xchunked",
    "suffix": b"chunkedx",
    "cut": b"chunke",
    "quoted": b'"chunked"',
    "single quotes": b"'chunked'",
    "parameter": b"chunked;q=1",
    "parameter with space": b"chunked ; a=b",
    "vertical tab before": b"\x0bchunked",
    "vertical tab behind": b"chunked\x0b",
    "form feed before": b"\x0cchunked",
    "form feed behind": b"chunked\x0c",
    "NUL behind": b"chunked\0",
    "NUL before": b"\0chunked",
    "NUL inside": b"chun\0ked",
    "space inside": b"ch unked",
    "twice with a space": b"chunked chunked",
    "equals": b"=chunked",
    "delete behind": b"chunked\x7f",
    "no-break space": b"chunked\xa0",
    "no-break space before": b"\xa0chunked",
    "UTF-8 look-alike": "сhunked".encode(),
    "soft hyphen": b"chunked\xad",
    "bell": b"\x07chunked",
    "parenthesis": b"(chunked)",
    "colon": b": chunked",
    "number": b"0",
    "bare CR behind": b"chunked\rX: y",
    "bare CR before": b"\rchunked",
    "bare LF before": b"\nchunked",
    "folded": b"\r\n chunked",
    "folded with a tab": b"\r\n\tchunked",
    "folded behind": b"chunked\r\n , identity",
}


@pytest.mark.parametrize("name", BAD_CODINGS)
def test_a_transfer_encoding_that_is_not_exactly_chunked_is_refused(main: Server, name: str) -> None:
    refused(main["plain"], POST + b"Transfer-Encoding: " + BAD_CODINGS[name] + b"\r\n\r\n" + CHUNKS + AFTER, CODED)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br"])
def test_an_unknown_transfer_coding_is_answered_501(main: Server, name: str) -> None:
    """Design section 5: 501 unknown transfer coding (and close)."""
    refused(main["plain"], POST + b"Transfer-Encoding: " + name.encode() + b", chunked\r\n\r\n" + CHUNKS + AFTER, {501})


BAD_FIELDS = {
    "space before the colon": b"Transfer-Encoding : chunked\r\n",
    "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
    "vertical tab before the colon": b"Transfer-Encoding\x0b: chunked\r\n",
    "line break before the colon": b"Transfer-Encoding\r\n : chunked\r\n",
    "leading space": b" Transfer-Encoding: chunked\r\n",
    "leading tab": b"\tTransfer-Encoding: chunked\r\n",
    "NUL before the colon": b"Transfer-Encoding\0: chunked\r\n",
    "NUL inside the name": b"Transfer\0-Encoding: chunked\r\n",
    "high byte in the name": b"Transfer-Encoding\xff: chunked\r\n",
    "semicolon in the name": b"Transfer-Encoding;: chunked\r\n",
    "parentheses": b"(Transfer-Encoding): chunked\r\n",
    "quotes": b'"Transfer-Encoding": chunked\r\n',
    "space inside the name": b"Transfer Encoding: chunked\r\n",
    "no colon": b"Transfer-Encoding chunked\r\n",
    "colon first": b":Transfer-Encoding: chunked\r\n",
    "empty name": b": chunked\r\n",
    "behind a bare LF": b"X: y\nTransfer-Encoding: chunked\r\n",
    "behind a bare CR": b"X: y\rTransfer-Encoding: chunked\r\n",
    "behind LF CR": b"X: y\n\rTransfer-Encoding: chunked\r\n",
    "behind CR CR LF": b"X: y\r\r\nTransfer-Encoding: chunked\r\n",
    "behind NUL": b"X: y\0Transfer-Encoding: chunked\r\n",
    "ended by bare LF": b"Transfer-Encoding: chunked\n",
    "ended by bare CR": b"Transfer-Encoding: chunked\rX: y\r\n",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "twice, apart": b"Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: chunked\r\n",
    "identity, then chunked": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "chunked, then identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "gzip, then chunked": b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    "chunked, then nothing": b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
    "nothing, then chunked": b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_disguised_or_repeated_transfer_encoding_is_refused(main: Server, name: str) -> None:
    refused(main["plain"], POST + BAD_FIELDS[name] + b"\r\n" + CHUNKS + AFTER, CODED)


BOTH = {
    "length first": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "coding first": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "length 0": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "length right": b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
    "apart": b"Content-Length: 5\r\nX: y\r\nZ: w\r\nTransfer-Encoding: chunked\r\n",
    "other case": b"content-length: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n",
    "unknown coding": b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n",
    "identity": b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
    "empty coding": b"Content-Length: 5\r\nTransfer-Encoding:\r\n",
}


@pytest.mark.parametrize("name", BOTH)
def test_length_and_coding_together_are_refused(main: Server, name: str) -> None:
    allowed = CODED if name in ("unknown coding", "identity", "empty coding") else {400}
    refused(main["plain"], POST + BOTH[name] + b"\r\n" + CHUNKS + AFTER, allowed)


@pytest.mark.parametrize("keep", [b"", b"Connection: keep-alive\r\n"], ids=["plain", "keep-alive"])
def test_a_transfer_encoding_in_http_1_0_is_refused(main: Server, keep: bytes) -> None:
    """RFC 9112, 6.1: its framing is faulty."""
    data = b"POST /echo HTTP/1.0\r\nHost: t\r\n" + keep + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS + AFTER
    refused(main["plain"], data, CODED)


BAD_LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "minus zero": b"-0",
    "two numbers": b"5 5",
    "list of equal": b"5, 5",
    "list without space": b"5,5",
    "list of different": b"5, 6",
    "trailing comma": b"5,",
    "leading comma": b",5",
    "hexadecimal": b"0x5",
    "hexadecimal digit": b"a",
    "octal prefix": b"0o5",
    "fraction": b"5.0",
    "exponent": b"5e0",
    "empty": b"",
    "only white space": b" \t ",
    "word": b"five",
    "semicolon": b"5;",
    "underscore": b"1_0",
    "quoted": b'"5"',
    "arabic digit": "٥".encode(),
    "wide digit": "５".encode(),
    "superscript": b"\xb2",
    "vertical tab before": b"\x0b5",
    "vertical tab behind": b"5\x0b",
    "form feed behind": b"5\x0c",
    "NUL behind": b"5\0",
    "NUL before": b"\x005",
    "no-break space": b"5\xa0",
    "bare CR": b"5\rX: y",
    "folded": b"\r\n 5",
    "folded number": b"5\r\n 5",
    "letter behind": b"5x",
    "parenthesis": b"(5)",
}


@pytest.mark.parametrize("name", BAD_LENGTHS)
def test_a_malformed_content_length_is_refused(main: Server, name: str) -> None:
    refused(main["plain"], POST + b"Content-Length: " + BAD_LENGTHS[name] + b"\r\n\r\nhello" + AFTER)


@pytest.mark.parametrize("name", ["plus", "minus", "list of different", "word", "empty"])
def test_a_malformed_content_length_on_get_is_refused(main: Server, name: str) -> None:
    refused(main["plain"], b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: " + BAD_LENGTHS[name] + b"\r\n\r\n" + AFTER)


HUGE = [2**31, 2**32, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 5, 10**30, 10**300]


@pytest.mark.parametrize("length", HUGE, ids=lambda n: f"{n:.3g}" if n < 10**30 else f"{len(str(n))} digits")
def test_a_huge_content_length_is_refused_before_any_body(main: Server, length: int) -> None:
    """413 by its value, or 400 where it is no number of ours."""
    refused(main["plain"], POST + b"Content-Length: %d\r\n\r\n" % length, {400, 413})


TWO_LENGTHS = {
    "different": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "different, apart": b"Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n",
    "second bad": b"Content-Length: 5\r\nContent-Length: x\r\n",
    "second empty": b"Content-Length: 5\r\nContent-Length:\r\n",
    "first empty": b"Content-Length:\r\nContent-Length: 5\r\n",
    "written differently": b"Content-Length: 5\r\nContent-Length: +5\r\n",
}


@pytest.mark.parametrize("name", TWO_LENGTHS)
def test_two_content_lengths_that_differ_are_refused(main: Server, name: str) -> None:
    refused(main["plain"], POST + TWO_LENGTHS[name] + b"\r\nhello" + AFTER)


def test_two_equal_content_lengths_are_refused_or_taken_as_one(main: Server) -> None:
    """RFC 9110, 8.6 allows both; what matters is that the next request is not misread."""
    with Wire(main["plain"]) as wire:
        wire.send(POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + b"GET / HTTP/1.0\r\n\r\n")
        assert [a.status for a in wire.read_all()] in ([400], [200, 200])


GOOD_LENGTHS = {
    "plain": b"Content-Length: 5\r\n",
    "white space around": b"Content-Length: \t 5 \t \r\n",
    "no space": b"Content-Length:5\r\n",
    "leading zero": b"Content-Length: 05\r\n",
    "lower case": b"content-length: 5\r\n",
}


@pytest.mark.parametrize("name", GOOD_LENGTHS)
def test_a_body_of_known_length_is_read(main: Server, name: str) -> None:
    data = POST + GOOD_LENGTHS[name] + b"\r\nhello"
    assert [a.body for a in exchange(main["plain"], data * 2, ("POST", "POST"))] == [b"hello", b"hello"]


GOOD_CODINGS = {
    "plain": b"Transfer-Encoding: chunked\r\n",
    "upper case": b"TRANSFER-ENCODING: CHUNKED\r\n",
    "mixed case": b"transfer-Encoding: cHuNkEd\r\n",
    "white space around": b"Transfer-Encoding: \t chunked \t\r\n",
    "no space": b"Transfer-Encoding:chunked\r\n",
}


@pytest.mark.parametrize("name", GOOD_CODINGS)
def test_a_chunked_body_is_read(main: Server, name: str) -> None:
    data = POST + GOOD_CODINGS[name] + b"\r\n" + CHUNKS
    assert [a.body for a in exchange(main["plain"], data * 2, ("POST", "POST"))] == [b"hello", b"hello"]


OTHER_NAMES = [
    b"Transfer_Encoding: chunked",
    b"X-Transfer-Encoding: chunked",
    b"Transfer-Encodin: chunked",
    b"Content_Length: 5",
]


@pytest.mark.parametrize("line", OTHER_NAMES, ids=repr)
def test_a_field_that_only_looks_like_framing_frames_nothing(main: Server, line: bytes) -> None:
    """They are tokens and legal; the body that the sender means is the next, and bad, message."""
    refused(main["plain"], b"GET / HTTP/1.1\r\nHost: t\r\n" + line + b"\r\n\r\n" + CHUNKS + AFTER, before=(200,))


def test_a_post_without_length_has_no_body(main: Server) -> None:
    """RFC 9112, 6.3: zero."""
    assert one(main["plain"], POST + b"\r\n").body == b""


def test_a_get_may_have_a_body(main: Server) -> None:
    data = b"GET /seen HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
    answers = exchange(main["plain"], data * 2, ("GET", "GET"))
    assert all(b'"body": "hello"' in a.body for a in answers)


@pytest.mark.parametrize("target", ["/", "/nothing-here", "/put-only", "/raise"])
def test_a_body_that_nobody_reads_is_no_second_request(main: Server, target: str) -> None:
    """Whatever the answer, the bytes of the body are never taken for a message."""
    body = AFTER
    data = f"GET {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    answers = exchange(main["plain"], data)
    assert answers[0].body != b"smuggled"
