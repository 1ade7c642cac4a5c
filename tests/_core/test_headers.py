from __future__ import annotations

import enum
import re

import pytest

from siphon_http._core.headers import Headers, check_name, check_value, serialise_head
from siphon_http._core.message import Response

CLOSE, KEEP_ALIVE, CHUNKED, NO_LENGTH = 1, 2, 4, 8
TOKEN = set(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Name(str, enum.Enum):  # noqa: UP042 - its str() is not its value: the point
    TYPE = "Content-Type"
    BAD = "a\r\nb"


class Sly(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "fine"

    def lower(self) -> str:
        return "x\r\ny"


# ---- checks


def test_a_name_is_a_token_and_becomes_lower_case() -> None:
    for byte in range(256):
        name = "X-" + chr(byte)
        if byte in TOKEN:
            assert check_name(name) == name.lower()
        else:
            with pytest.raises(ValueError, match="token"):
                check_name(name)
    for bad in ("", "ä", "€", "a b", "a:", "a\r\nb", "\u212a"):  # the last lowers to "k"
        with pytest.raises(ValueError, match="token"):
            check_name(bad)
    for wrong in (b"a", None, 1):
        with pytest.raises(TypeError):
            check_name(wrong)  # type: ignore[arg-type]


def test_a_value_has_no_control_characters_and_no_outer_white_space() -> None:
    for byte in range(256):
        value = "a" + chr(byte) + "b"
        if byte == 9 or (byte >= 32 and byte != 127):
            assert check_value(value) == value
        else:
            with pytest.raises(ValueError, match="control"):
                check_value(value)
    assert check_value(" \ta b\t ") == "a b"
    assert check_value("") == check_value("  ") == ""
    with pytest.raises(ValueError, match="latin-1"):
        check_value("€")
    for wrong in (b"a", None, 1):
        with pytest.raises(TypeError):
            check_value(wrong)  # type: ignore[arg-type]


def test_of_a_str_subclass_its_characters_count_and_not_what_it_says_of_itself() -> None:
    assert check_name(Name.TYPE) == "content-type"
    assert check_value(Name.TYPE) == "Content-Type"
    assert check_name(Sly("X-A")) == "x-a" and type(check_name(Sly("x-a"))) is str
    for check in (check_name, check_value):
        for bad in (Name.BAD, Sly("a\r\nb")):
            with pytest.raises(ValueError):
                check(bad)


def test_a_message_about_a_long_value_is_short() -> None:
    with pytest.raises(ValueError) as caught:
        check_value("x" * 10_000 + "\n")
    assert len(str(caught.value)) < 150


# ---- the mapping


def test_headers_are_a_mapping_of_any_case() -> None:
    headers = Response(200, [("A", "1"), ("B", "2"), ("a", "3")]).headers
    assert headers["a"] == headers["A"] == "1, 3"
    assert "A" in headers and "c" not in headers and 1 not in headers
    assert list(headers) == headers.keys() == ["a", "b"]
    assert len(headers) == 2
    assert headers.items() == [("a", "1, 3"), ("b", "2")]
    assert headers.values() == ["1, 3", "2"]
    assert headers.pairs() == [("a", "1"), ("b", "2"), ("a", "3")]
    assert headers.getlist("A") == ["1", "3"]
    assert headers == {"A": "1, 3", "b": "2"} and headers != {"a": "1"} and headers != 1
    assert headers == Response(200, headers).headers
    assert headers.get("c") is None and headers.get("c", "x") == "x"
    with pytest.raises(KeyError):
        headers["c"]
    with pytest.raises(TypeError):
        hash(headers)


def test_headers_change_in_place_and_every_change_is_checked() -> None:
    response = Response(200, {"a": "1", "b": "2"})
    headers = response.headers
    headers["A"] = ["3", "4"]
    headers.add("a", "5")
    assert response.headers.pairs() == [("a", "3"), ("a", "4"), ("b", "2"), ("a", "5")]
    headers["a"] = "6"
    assert headers.pairs() == [("a", "6"), ("b", "2")]
    assert headers.setdefault("a", "x") == "6" and headers.setdefault("c", "7") == "7"
    headers.update({"b": "8"}, d="9")
    assert headers.pop("D") == "9" and headers.pop("d", None) is None
    assert headers.popitem() == ("c", "7")
    del headers["B"]
    assert headers.pairs() == [("a", "6")]
    for change in (
        lambda: headers.__setitem__("a", "x\r\ny"),
        lambda: headers.__setitem__("a", ["fine", "x\ny"]),
        lambda: headers.__setitem__("a\n", "x"),
        lambda: headers.add("a", "\0"),
        lambda: headers.setdefault("q", "\r"),
        lambda: headers.update(z="\n"),
    ):
        with pytest.raises(ValueError):
            change()
    assert headers.pairs() == [("a", "6")]
    for missing in (lambda: headers.pop("x"), lambda: headers.__delitem__("x"), lambda: headers.__delitem__(1)):  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            missing()
    headers.clear()
    assert not headers and response.header("a") is None
    with pytest.raises(KeyError):
        headers.popitem()


def test_set_cookie_is_never_joined() -> None:
    headers = Response(200, {"Set-Cookie": ["a=b", "c=d"]}).headers
    assert headers["set-cookie"] == "a=b"
    assert headers.getlist("set-cookie") == ["a=b", "c=d"]
    assert serialise_head(200, ["Set-Cookie", "a=b", "Set-Cookie", "c=d"], 0).count(b"set-cookie: ") == 2


# ---- the head of an answer


def test_a_head_has_its_status_line_fields_length_and_date() -> None:
    head = serialise_head(200, ["X-A", "b", "X-L", "\xe4"], 12)
    assert re.fullmatch(
        rb"HTTP/1\.1 200 OK\r\nx-a: b\r\nx-l: \xe4\r\ncontent-length: 12\r\n"
        rb"date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT\r\n\r\n",
        head,
    )


def test_a_date_of_the_script_takes_the_place_of_ours() -> None:
    head = serialise_head(200, ["Date", "Tue, 15 Nov 1994 08:12:31 GMT"], 0)
    assert head.count(b"date: ") == 1 and b"1994" in head


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status_has_a_line_with_its_number_and_a_space(status: int) -> None:
    assert re.match(rb"HTTP/1\.1 %d [A-Za-z0-9 '\-]*\r\n" % status, serialise_head(status, [], 0))


@pytest.mark.parametrize(
    "flags, expected, absent",
    [
        (0, b"content-length: 7\r\n", b"connection"),
        (CLOSE, b"connection: close\r\n", b"keep-alive"),
        (KEEP_ALIVE, b"connection: keep-alive\r\n", b"close"),
        (CHUNKED, b"transfer-encoding: chunked\r\n", b"content-length"),
        (NO_LENGTH, b"date: ", b"content-length"),
    ],
)
def test_framing_fields_are_ours(flags: int, expected: bytes, absent: bytes) -> None:
    head = serialise_head(200, ["Content-Length", "3", "Transfer-Encoding", "gzip"], 7, flags)
    assert expected in head and absent not in head
    assert b"gzip" not in head and b"content-length: 3" not in head


def test_a_connection_field_of_the_script_stays_unless_ours_says_more() -> None:
    assert serialise_head(200, ["Connection", "x"], 0).count(b"connection: x") == 1
    assert serialise_head(200, ["Connection", "x"], 0, CLOSE).count(b"connection: ") == 1


def test_a_length_near_the_largest_integer_is_written_whole() -> None:
    assert b"content-length: 9223372036854775807\r\n" in serialise_head(200, [], 2**63 - 1)


def test_a_head_of_any_size_fits() -> None:
    for size in (3_500, 4_000, 4_090, 4_096, 100_000):
        head = serialise_head(200, ["a", "x" * size, "b", ""], 0)
        assert b"\r\na: " + b"x" * size + b"\r\nb: \r\n" in head and head.endswith(b"\r\n\r\n")
    many = serialise_head(200, ["a", "b"] * 10_000, 0)
    assert many.count(b"a: b\r\n") == 10_000


@pytest.mark.parametrize("status", [-1, 0, 100, 199, 600, 2**31])
def test_no_head_is_written_for_what_is_no_final_status(status: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        serialise_head(status, [], 0)


def test_headers_made_alone_are_empty() -> None:
    assert len(Headers()) == 0
