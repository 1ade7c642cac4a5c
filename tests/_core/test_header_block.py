from __future__ import annotations

import hpack
import pytest
from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, validate_headers
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon_http._core.header_block import inspect_fields
from siphon_http._core.hpack import Decoder

M, S, A, P = (b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a.example"), (b":path", b"/p?q=1")
GOOD = [M, S, A, P]


def verdict(fields, trailers=False):
    """Return the facts, after making sure that a block of these fields gives the same as the fields do."""
    facts = inspect_fields(fields, trailers)
    block = hpack.Encoder().encode(fields)
    decoder = Decoder()
    assert decoder.inspect(block, trailers) == facts
    # From the table, too: the second time every field that is not too large is an index.
    assert decoder.inspect(hpack.Encoder().encode(fields), trailers) == facts
    return facts


def test_a_request_is_laid_out_as_lines_with_its_parts_known():
    assert verdict([P, A, M, S, (b"accept", b"*/*"), (b"empty", b""), (b"accept", b"a/b")]) == {
        "result": "done",
        "size": 102,
        "reason": None,
        "method": b"GET",
        "scheme": b"http",
        "authority": b"a.example",
        "target": b"/p?q=1",
        "path": b"/p",
        "query": b"q=1",
        "host": b"",
        "fields": b"accept: */*\r\nempty: \r\naccept: a/b\r\n",
        "content_length": None,
        "expects": False,
        "bad_expect": False,
        "bad_target": False,
    }


@pytest.mark.parametrize("target, path, query", [
    (b"/", b"/", b""), (b"/?", b"/", b""), (b"/a?b?c", b"/a", b"b?c"), (b"/a/b", b"/a/b", b""), (b"/?/?", b"/", b"/?"),
])  # fmt: skip
def test_the_query_begins_after_the_first_question_mark(target, path, query):
    facts = verdict([M, S, A, (b":path", target)])
    assert (facts["target"], facts["path"], facts["query"]) == (target, path, query)


MALFORMED = [
    ("a pseudo field comes after other fields", [M, S, A, (b"x", b"1"), P]),
    ("a pseudo field comes after other fields", [M, S, P, (b"host", b"a.example"), A]),
    *(("a pseudo field comes twice", [*GOOD, twice]) for twice in GOOD),
    ("a pseudo field comes twice", [M, M, S, A, P]),
    *(("a pseudo field that no request has", [*GOOD, (name, b"200")]) for name in (b":status", b":protocol", b":", b":Method", b":x")),
    ("no :method", []),
    ("no :method", [S, A, P]),
    ("no :scheme, or no :path", [M, A, P]),
    ("no :scheme, or no :path", [M, S, A]),
    ("neither :authority nor host", [M, S, P]),
    ("a field value is not valid", [M, S, A, (b":path", b"")]),
    ("a field value is not valid", [M, A, P, (b":scheme", b"")]),
    ("a field value is not valid", [S, A, P, (b":method", b"")]),
    ("a field value is not valid", [S, A, P, (b":method", b"GE T")]),
    ("host differs from :authority", [*GOOD, (b"host", b"b.example")]),
    ("host differs from :authority", [*GOOD, (b"host", b"")]),
    ("host differs from :authority", [*GOOD, (b"host", b"a.example:80")]),
    ("more than one host", [*GOOD, (b"host", b"a.example"), (b"host", b"a.example")]),
    ("more than one host", [M, S, P, (b"host", b"a.example"), (b"host", b"b.example")]),
    *(("a field that belongs to a connection", [*GOOD, (name, b"close")])
      for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")),
    *(("a field value is not valid", [*GOOD, (b"te", value)]) for value in (b"", b"gzip", b"trailers, gzip", b"trailersx")),
    *(("a field name is no lower-case token", [*GOOD, (name, b"1")])
      for name in (b"", b"X", b"x-Y", b"a b", b"a\x00", b"a:b", b"\xe9", b"a\x7f", b"(a)", b" a", b"a\r\nb")),
    *(("a field value is not valid", [*GOOD, (b"x", value)])
      for value in (b"a\r\nb: c", b"a\nb", b"a\rb", b"\x00", b"a\x1b", b"\x7f", b" a", b"a ", b"\ta", b"a\t", b" ")),
    ("a field value is not valid", [M, S, P, (b":authority", b"a\r\nb")]),
    *(("a field value is not valid", [*GOOD, (b"content-length", value)])
      for value in (b"", b"-1", b"+1", b"1,1", b"0x1", b"1 1", b"9" * 19, b"\xb2")),
    *((":path does not begin with a slash", [M, S, A, (b":path", target)])
      for target in (b"*", b"p", b"http://a.example/", b"?a", b"**")),
    (":path does not begin with a slash", [(b":method", b"OPTIONS"), S, A, (b":path", b"*?")]),
    ("two content-length fields that differ", [*GOOD, (b"content-length", b"1"), (b"content-length", b"2")]),
    *(("CONNECT has :authority, but neither :scheme nor :path", fields) for fields in (
        [(b":method", b"CONNECT"), S, A, P], [(b":method", b"CONNECT"), A, P], [(b":method", b"CONNECT"), S, A],
        [(b":method", b"CONNECT"), (b"host", b"a.example")])),
]  # fmt: skip


@pytest.mark.parametrize("reason, fields", MALFORMED)
def test_a_malformed_request_is_refused_with_its_reason(reason, fields):
    facts = verdict(fields)
    assert (facts["result"], facts["reason"]) == ("malformed", reason)


@pytest.mark.parametrize("fields", [
    [M, S, P, (b"host", b"a.example")],
    [*GOOD, (b"host", b"a.example")],
    [M, S, P, (b":authority", b"")],
    [*GOOD, (b"te", b"trailers"), (b"te", b"Trailers")],
    [*GOOD, (b"x", b"tab\tand space \xff \x80.")],
    [*GOOD, (b"!#$%&'*+-.^_`|~09az", b"1")],
    [*GOOD, (b"cookie", b"a=1"), (b"cookie", b"b=2")],
    [*GOOD, (b"content-length", b"12"), (b"content-length", b"012")],
    [(b":method", b"CONNECT"), A],
    [(b":method", b"M-SEARCH"), S, A, P],
    [(b":method", b"OPTIONS"), S, A, (b":path", b"*")],
])  # fmt: skip
def test_a_request_within_the_rules_is_taken(fields):
    facts = verdict(fields)
    assert facts["result"] == "done"
    assert not facts["bad_target"]


@pytest.mark.parametrize("target", [b"/a b", b"/#a", b"/\xc3\xa9", b"/\t."])
def test_a_path_with_bytes_that_no_target_has_is_flagged_for_400(target):
    facts = verdict([M, S, A, (b":path", target)])
    assert facts["result"] == "done"
    assert facts["bad_target"]


@pytest.mark.parametrize(
    "value, expects, bad", [(b"100-continue", 1, 0), (b"100-Continue", 1, 0), (b"", 0, 0), (b"200-ok", 0, 1)]
)
def test_an_expectation_is_told(value, expects, bad):
    facts = verdict([*GOOD, (b"expect", value)])
    assert (facts["expects"], facts["bad_expect"]) == (expects, bad)


@pytest.mark.parametrize("value, number", [(b"0", 0), (b"42", 42), (b"000", 0), (b"9" * 18, 10**18 - 1)])
def test_the_value_of_content_length_is_told(value, number):
    assert verdict([*GOOD, (b"content-length", value)])["content_length"] == number


def test_trailers_have_no_pseudo_fields():
    facts = verdict([(b"x-sum", b"1"), (b"x-more", b"2")], trailers=True)
    assert (facts["result"], facts["fields"]) == ("done", b"x-sum: 1\r\nx-more: 2\r\n")
    assert verdict([], trailers=True)["result"] == "done"
    assert verdict([(b":path", b"/")], trailers=True)["reason"] == "a pseudo field among trailers"
    assert verdict([(b":status", b"200")], trailers=True)["result"] == "malformed"
    assert verdict([(b"connection", b"close")], trailers=True)["result"] == "malformed"


def test_limits_hold_for_fields_that_h2_has_decoded():
    exact = sum(len(name) + len(value) + 32 for name, value in GOOD)
    assert inspect_fields(GOOD, limit=exact, max_fields=0)["result"] == "done"
    assert inspect_fields(GOOD, limit=exact - 1)["result"] == "too large"
    assert inspect_fields([*GOOD, (b"x", b"1")], max_fields=0)["reason"] == "the header section has too many fields"
    large = [*GOOD, *((b"x-%d" % i, b"v" * 5000) for i in range(300))]
    assert len(inspect_fields(large, limit=1 << 30, max_fields=1000)["fields"]) > 300 * 5000


def test_fields_that_are_no_pairs_of_bytes_are_refused():
    with pytest.raises(TypeError):
        inspect_fields([("a", "b")])  # type: ignore[list-item]


# ---- against h2

NAMES = st.sampled_from([
    b":method", b":scheme", b":authority", b":path", b":status", b":protocol", b"host", b"te", b"connection", b"upgrade",
    b"cookie", b"content-length", b"expect", b"x-a", b"X", b"", b"a:b", b"a b", b"a\x7f",
])  # fmt: skip
VALUES = st.sampled_from(
    [b"", b"GET", b"CONNECT", b"/", b"a.example", b"trailers", b"1", b" a", b"a\t", b"a\x00", b"a\nb", b"\xff"]
)
FIELDS = st.tuples(
    st.sampled_from([GOOD, GOOD, [M, S, P], [(b":method", b"CONNECT"), A], []]),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
)


def stricter(fields):
    """Tell whether we refuse these for a reason that h2 does not have (RFC 9110, 5.1, 5.5 and 9.1; no RFC 8441)."""
    values = {name: [v for n, v in fields if n == name] for name, _ in fields}
    return (
        b":protocol" in values
        or b"" in values.get(b":scheme", [])
        or (b"CONNECT" in values.get(b":method", []) and b"" in values.get(b":authority", [b""]))
        or any(not v or set(v) & set(b"/ \t\x00\n\xff") for v in values.get(b":method", []))
        or any(not v.startswith(b"/") for v in values.get(b":path", []))
        or any(not v.isdigit() for v in values.get(b"content-length", []))
    )  # fmt: skip


@pytest.mark.parametrize("trailers", [False, True])
@given(FIELDS)
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_the_verdict_is_that_of_h2(trailers, parts):
    fields = [*(() if trailers else parts[0]), *parts[1]]
    flags = HeaderValidationFlags(is_client=False, is_trailer=trailers, is_response_header=False, is_push_promise=False)
    try:
        list(validate_headers(fields, flags))
        expected = "malformed" if stricter(fields) else "done"
    except ProtocolError:
        expected = "malformed"
    assert inspect_fields(fields, trailers)["result"] == expected
