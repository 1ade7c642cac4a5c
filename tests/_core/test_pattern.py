from __future__ import annotations

import pytest

from siphon_http._core.pattern import MAX_PARAMETERS, Slot, parse_pattern
from siphon_http.errors import RouteSyntaxError


@pytest.mark.parametrize(
    ("text", "parts", "names"),
    [
        ("/", (b"/",), ()),
        ("/a//b/", (b"/a//b/",), ()),
        ("/orders/{id}", (b"/orders/", Slot.SEGMENT), ("id",)),
        ("/{a}/b/{c}", (b"/", Slot.SEGMENT, b"/b/", Slot.SEGMENT), ("a", "c")),
        ("/static/{*rest}", (b"/static/", Slot.REST), ("rest",)),
        ("/{größe}/{class}", (b"/", Slot.SEGMENT, b"/", Slot.SEGMENT), ("größe", "class")),
        ("/café/%2f%7E", (b"/caf%C3%A9/%2F~",), ()),
        ("/a|b:c@d;e=f", (b"/a|b:c@d;e=f",), ()),
        ("/{x}/", (b"/", Slot.SEGMENT, b"/"), ("x",)),
    ],
)
def test_a_pattern_is_cut_into_static_parts_and_slots(text, parts, names):
    pattern = parse_pattern(text)
    assert pattern.text == text
    assert pattern.parts == parts
    assert pattern.names == names


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ("", 0, "must begin with '/'"),
        ("orders", 0, "must begin with '/'"),
        ("{id}", 0, "must begin with '/'"),
        ("/a/{id", 3, "never closed"),
        ("/a/{", 3, "never closed"),
        ("/a/{}", 3, "no name"),
        ("/a/{*}", 3, "no name"),
        ("/a/{1x}", 4, "'1x' is no name"),
        ("/a/{*1x}", 5, "'1x' is no name"),
        ("/a/{id:int}", 4, "'id:int' is no name"),
        ("/a/{ id }", 4, "' id ' is no name"),
        ("/a/{{id}}", 4, "'{id' is no name"),
        ("/a/x{id}", 4, "text before '{'"),
        ("/a/{x}{y}", 6, "text after '}'"),
        ("/a/{id}.json", 7, "text after '}'"),
        ("/a/{id}}", 7, "text after '}'"),
        ("/a/b}", 4, "without a '{'"),
        ("/{a}/{b}/{a}", 9, "a second parameter is called 'a'"),
        ("/{a}/{*a}", 5, "a second parameter is called 'a'"),
        ("/{*rest}/x", 8, "nothing may follow"),
        ("/{*rest}/", 8, "nothing may follow"),
        ("/a?b=1", 2, "begins the query"),
        ("/{x}/a?", 6, "begins the query"),
        ("/a#b", 2, "begins the fragment"),
        ("/a b", 2, "write %20"),
        ("/a\tb", 2, "cannot be in a path"),
        ("/a\x7f", 2, "cannot be in a path"),
        ("/a\r\n", 2, "cannot be in a path"),
        ("/a\ud800", 2, "cannot be in a path"),
        ("/100%", 4, "two hex digits"),
        ("/{x}/%4", 5, "two hex digits"),
        ("/a%FF", 2, "no UTF-8"),
        ("/" + "/".join(f"{{p{i}}}" for i in range(MAX_PARAMETERS + 1)), 87, "more than 16 parameters"),
    ],
)
def test_a_mistake_is_named_with_its_offset(text, offset, reason):
    with pytest.raises(RouteSyntaxError) as caught:
        parse_pattern(text)
    assert reason in str(caught.value)
    assert caught.value.offset == offset
    assert caught.value.pattern == text


def test_the_shape_leaves_the_names_out():
    assert parse_pattern("/a/{x}/{*y}").shape == parse_pattern("/%61/{p}/{*q}").shape == "/a/{}/{*}"
    assert parse_pattern("/a/{x}").shape != parse_pattern("/a/%7B%7D").shape
