"""Request targets, escapes, routing (RFC 9112, 3.2; design section 3: @http.route)."""

from __future__ import annotations

import json

import pytest

from .launch import Server
from .wire import Wire, check_error_body, one, refused, request

AFTER = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"


def get(target: bytes, host: bytes = b"t") -> bytes:
    """Return a GET with the target as it stands."""
    return b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


DECODED = {
    "plain": (b"abc", "abc"),
    "escaped letter": (b"%41bc", "Abc"),
    "escaped letter, lower-case digits": (b"%6a", "j"),
    "escaped slash is no separator": (b"a%2Fb", "a/b"),
    "escaped slash, lower case": (b"a%2fb", "a/b"),
    "plus stays": (b"a+b", "a+b"),
    "escaped plus": (b"a%2Bb", "a+b"),
    "escaped space": (b"a%20b", "a b"),
    "escaped percent": (b"100%25", "100%"),
    "decoded once": (b"%2541", "%41"),
    "decoded once, slash": (b"a%252Fb", "a%2Fb"),
    "two bytes of UTF-8": (b"J%C3%BCrg", "Jürg"),
    "three bytes of UTF-8": (b"%E2%82%AC", "€"),
    "four bytes of UTF-8": (b"%F0%9F%98%80", "😀"),
    "escaped question mark": (b"a%3Fb", "a?b"),
    "escaped hash": (b"a%23b", "a#b"),
    "dot": (b".", "."),
    "two dots": (b"..", ".."),
    "escaped dots": (b"%2e%2E", ".."),
    "colon and at": (b"a:b@c", "a:b@c"),
    "sub-delims": (b"!$&'()*,;=", "!$&'()*,;="),
    "unreserved": (b"-._~", "-._~"),
    "semicolon parameters": (b"a;v=1", "a;v=1"),
    "48 escapes": (b"%41" * 48, "A" * 48),
    "last code point": (b"%F4%8F%BF%BF", "\U0010ffff"),
}


@pytest.mark.parametrize("name", DECODED)
def test_a_path_parameter_is_decoded_once_as_utf_8(main: Server, name: str) -> None:
    raw, value = DECODED[name]
    answer = json.loads(one(main["plain"], get(b"/seen/" + raw)).body)
    assert answer["path_params"] == {"name": value}
    assert answer["raw_path"].startswith("/seen/" + raw.decode())
    assert answer["route"] == "/seen/{name}"


@pytest.mark.parametrize("name", DECODED)
def test_a_catch_all_is_decoded_once_as_utf_8(main: Server, name: str) -> None:
    raw, value = DECODED[name]
    answer = json.loads(one(main["plain"], get(b"/rest/a/" + raw + b"/b")).body)
    assert answer["path_params"] == {"rest": f"a/{value}/b"}


BAD_ESCAPES = {
    "no hexadecimal": b"%zz",
    "one digit": b"%4",
    "no digits": b"%",
    "no digits, more behind": b"%-more",
    "second digit bad": b"%4g",
    "percent before an escape": b"%%41",
    "unicode escape": b"%u0041",
    "lone continuation": b"%80",
    "lone lead": b"%C3",
    "lead and letter": b"%C3a",
    "overlong slash": b"%C0%AF",
    "overlong NUL": b"%C0%80",
    "overlong three": b"%E0%80%AF",
    "surrogate": b"%ED%A0%80",
    "above the last code point": b"%F4%90%80%80",
    "five bytes": b"%F8%88%80%80%80",
    "0xff": b"%FF",
    "latin-1": b"%E4",
    "cut four": b"%F0%9F%98",
}


@pytest.mark.parametrize("name", BAD_ESCAPES)
@pytest.mark.parametrize("prefix", [b"/seen/", b"/seen/a", b"/rest/a/", b"/two/a/"], ids=repr)
def test_a_bad_escape_or_bad_utf_8_in_a_path_is_answered_400(main: Server, name: str, prefix: bytes) -> None:
    answer = one(main["plain"], get(prefix + BAD_ESCAPES[name]))
    assert answer.status == 400
    check_error_body(answer)


def test_a_good_parameter_does_not_excuse_a_bad_one(main: Server) -> None:
    assert one(main["plain"], get(b"/two/%zz/b")).status == 400


@pytest.mark.parametrize("raw", [b"\xc3\xbc", b"\xff", b"\x80a"], ids=repr)
def test_raw_bytes_above_ascii_in_a_target_are_decoded_or_refused(main: Server, raw: bytes) -> None:
    """Outside the grammar of RFC 3986; as UTF-8 they may be shown, else 400."""
    answer = one(main["plain"], get(b"/seen/" + raw))
    assert answer.status == 400 or (raw == b"\xc3\xbc" and json.loads(answer.body)["path_params"] == {"name": "ü"})


def test_an_escaped_nul_reaches_no_c_string(main: Server) -> None:
    """%00 is UTF-8 of U+0000; refusing it is as good, cutting at it is not."""
    answer = one(main["plain"], get(b"/seen/a%00b"))
    assert answer.status == 400 or json.loads(answer.body)["path_params"] == {"name": "a\0b"}


QUERIES = {
    "none": (b"", {}, []),
    "empty": (b"?", {}, []),
    "one": (b"?a=1", {"a": "1"}, ["1"]),
    "two": (b"?a=1&b=2", {"a": "1", "b": "2"}, ["1"]),
    "last of duplicates": (b"?a=1&a=2&a=3", {"a": "3"}, ["1", "2", "3"]),
    "plus is a space": (b"?a=1+2", {"a": "1 2"}, ["1 2"]),
    "escaped plus": (b"?a=1%2B2", {"a": "1+2"}, ["1+2"]),
    "escaped space": (b"?a=1%202", {"a": "1 2"}, ["1 2"]),
    "UTF-8": (b"?a=%C3%BC", {"a": "ü"}, ["ü"]),
    "escaped name": (b"?%61=1", {"a": "1"}, ["1"]),
    "no value": (b"?a=", {"a": ""}, [""]),
    "no equals": (b"?a", {"a": ""}, [""]),
    "two equals": (b"?a=1=2", {"a": "1=2"}, ["1=2"]),
    "escaped ampersand": (b"?a=1%262", {"a": "1&2"}, ["1&2"]),
    "question mark inside": (b"?a=1?2", {"a": "1?2"}, ["1?2"]),
    "slash inside": (b"?a=/x/y", {"a": "/x/y"}, ["/x/y"]),
    "semicolon is no separator": (b"?a=1;b=2", {"a": "1;b=2"}, ["1;b=2"]),
    "bad escape is kept": (b"?a=%zz", {"a": "%zz"}, ["%zz"]),
    "cut escape is kept": (b"?a=100%", {"a": "100%"}, ["100%"]),
    "cut escape with a digit is kept": (b"?a=%4", {"a": "%4"}, ["%4"]),
    "decoded once": (b"?a=%2541", {"a": "%41"}, ["%41"]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_query_is_decoded_like_a_form(main: Server, name: str) -> None:
    raw, params, a_values = QUERIES[name]
    answer = json.loads(one(main["plain"], get(b"/seen" + raw)).body)
    assert answer["query_params"] == params
    assert answer["query_list_a"] == a_values
    assert answer["path"] == "/seen"


ROUTED = {
    "static beats a parameter": (b"/prec/static", b"static"),
    "parameter beats a catch-all": (b"/prec/other", b"param"),
    "catch-all takes the rest": (b"/prec/a/b", b"rest"),
    "back from a parameter to its continuation": (b"/prec/a/end", b"end"),
    "back from a static edge": (b"/prec/static/end", b"end"),
    "back to the catch-all": (b"/prec/static/more", b"rest"),
    "longer than static": (b"/prec/statics", b"param"),
    "shorter than static": (b"/prec/stati", b"param"),
}


@pytest.mark.parametrize("name", ROUTED)
def test_precedence(main: Server, name: str) -> None:
    target, body = ROUTED[name]
    assert one(main["plain"], get(target)).body == body


NOT_FOUND = {
    "unknown": b"/nothing-here",
    "trailing slash": b"/seen/a/",
    "trailing slash on static": b"/put-only/",
    "empty parameter": b"/seen/",
    "empty first parameter": b"/two//b",
    "empty catch-all": b"/rest/",
    "catch-all without slash": b"/rest",
    "double slash": b"//",
    "double slash in front": b"//seen",
    "double slash inside": b"/two/a//b",
    "not cleaned": b"/seen/../seen",
    "dot segment": b"/./seen",
    "other case": b"/SEEN",
    "prefix": b"/see",
    "longer": b"/seenx",
    "too many segments": b"/seen/a/b",
}


@pytest.mark.parametrize("name", NOT_FOUND)
def test_an_unknown_path_is_answered_404_without_redirect(main: Server, name: str) -> None:
    answer = one(main["plain"], get(NOT_FOUND[name]))
    assert answer.status == 404
    assert answer.header("location") is None
    check_error_body(answer)
    assert not answer.closes, "framing is not in doubt: the connection goes on"


@pytest.mark.parametrize("rest", ["..", "../x", "a//b", "a/", "/", "a/./b", "%2e%2e/x", "?"[:0] + "x"])
def test_a_catch_all_is_not_cleaned(main: Server, rest: str) -> None:
    answer = json.loads(one(main["plain"], get(b"/rest/" + rest.encode())).body)
    assert answer["path_params"]["rest"] == rest.replace("%2e", ".")


def test_parameter_names_belong_to_the_route(main: Server) -> None:
    assert json.loads(request(main["plain"], "/names/1").body) == {"a": "1"}
    assert json.loads(request(main["plain"], "/names/1", "POST", body=b"").body) == {"b": "1"}


ABSOLUTE = {
    "plain": (b"http://t/seen", "/seen", {}),
    "with port": (b"http://t:80/seen", "/seen", {}),
    "with query": (b"http://t/seen?a=1", "/seen", {"a": "1"}),
    "upper-case scheme": (b"HTTP://t/seen", "/seen", {}),
    "address 6": (b"http://[::1]:80/seen", "/seen", {}),
    "other host": (b"http://elsewhere.example/seen", "/seen", {}),
    "double slash in the path": (b"http://t/rest/a//b", "/rest/a//b", {}),
}


@pytest.mark.parametrize("name", ABSOLUTE)
def test_an_absolute_target_is_routed_by_its_path(main: Server, name: str) -> None:
    """RFC 9112, 3.2.2: a server MUST accept it."""
    target, path, query = ABSOLUTE[name]
    answer = one(main["plain"], get(target))
    assert answer.status == 200
    seen = json.loads(answer.body)
    assert (seen["path"], seen["query_params"]) == (path, query)


@pytest.mark.parametrize("target", [b"http://t", b"http://t/", b"http://t:80", b"http://t?a=1"], ids=repr)
def test_an_absolute_target_without_path_means_the_root(main: Server, target: bytes) -> None:
    answer = one(main["plain"], get(target))
    assert (answer.status, answer.body) == (200, b"ok")


BAD_TARGETS = {
    "no slash": b"seen",
    "relative": b"./seen",
    "only a query": b"?a=1",
    "only a fragment": b"#a",
    "scheme without authority": b"http:/seen",
    "scheme with empty authority": b"http:///seen",
    "only a scheme": b"http://",
    "authority form with GET": b"t:80",
    "asterisk with GET": b"*",
    "asterisk and more": b"*x",
    "bad port": b"http://t:x/seen",
    "host with a space escape": b"http://a%zz/seen",
    "open bracket": b"http://[::1/seen",
    "backslash": b"\\seen",
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_a_target_of_no_allowed_form_is_refused(main: Server, name: str) -> None:
    """RFC 9112, 3.2: 400; one that merely matches no route may be 404."""
    answer = one(main["plain"], get(BAD_TARGETS[name]))
    assert answer.status in ({400} if name not in ("asterisk with GET", "asterisk and more") else {400, 404, 405})


DEBATABLE = {
    # RFC 9110, 4.2.4 (userinfo), 7.4 (421 for another scheme), RFC 3986 (fragment, raw delimiters).
    "userinfo": (b"http://user@t/seen", {200, 400}),
    "https on a plain port": (b"https://t/seen", {200, 400, 421}),
    "another scheme": (b"ftp://t/seen", {200, 400, 404, 421, 501}),
    "fragment": (b"/seen#a", {200, 400, 404}),
    "quote": (b'/seen/"', {200, 400}),
    "angle brackets": (b"/seen/<a>", {200, 400}),
    "braces": (b"/seen/{name}", {200, 400}),
    "pipe": (b"/seen/a|b", {200, 400}),
    "caret": (b"/seen/a^b", {200, 400}),
    "back-tick": (b"/seen/a`b", {200, 400}),
    "backslash": (b"/seen/a\\b", {200, 400}),
    "brackets": (b"/seen/[a]", {200, 400}),
}


@pytest.mark.parametrize("name", DEBATABLE)
def test_a_debatable_target_gets_one_clean_answer(main: Server, name: str) -> None:
    target, allowed = DEBATABLE[name]
    assert one(main["plain"], get(target)).status in allowed


def test_options_asterisk_is_answered(main: Server) -> None:
    """RFC 9110, 9.3.7: about the server as a whole; 404 is a poor answer, not a forbidden one."""
    answer = one(main["plain"], b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", "OPTIONS")
    assert answer.status in (200, 204, 404)


@pytest.mark.parametrize("target", [b"t:443", b"t", b"/", b"http://t/", b"[::1]:443"], ids=repr)
def test_connect_is_refused_and_closed(main: Server, target: bytes) -> None:
    """refs: seams, section 4: never fed; 400 or 501 and close. What follows is no message of HTTP."""
    refused(main["plain"], b"CONNECT " + target + b" HTTP/1.1\r\nHost: t\r\n\r\n" + AFTER, {400, 405, 501})


@pytest.mark.parametrize("size", [1000, 8000, 30_000, 60_000])
def test_a_long_target_is_served(main: Server, size: int) -> None:
    """Below max_header_bytes, 65,536."""
    answer = json.loads(one(main["plain"], get(b"/seen/" + b"x" * size)).body)
    assert len(answer["path_params"]["name"]) == size


@pytest.mark.parametrize("size", [70_000, 200_000])
def test_a_target_beyond_the_limit_is_answered_414(main: Server, size: int) -> None:
    with Wire(main["plain"]) as wire:
        wire.send(b"GET /seen/" + b"x" * size)
        answer = wire.read()
        assert answer.status == 414
        check_error_body(answer)
        assert answer.closes
        wire.expect_end()
