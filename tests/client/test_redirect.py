"""The next request after a redirect: methods, targets, what is left behind, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon_http.client.redirect import NextRequest, next_request, origin_of
from siphon_http.errors import ReadError

BASE = "https://a.example/b/c/d;p?q"


def follow(status: int = 302, location: str | None = "/x", **changes: Any) -> NextRequest | None:
    given: dict[str, Any] = {"method": "GET", "url": BASE, "fields": (), "replayable": True, "followed": 0, "limit": 10}
    return next_request(status, location, **given | changes)


def target(location: str, url: str = BASE) -> str:
    found = follow(location=location, url=url)
    assert found is not None
    return found.url


def kept(location: str, *names: str, status: int = 302, method: str = "GET") -> list[str]:
    found = follow(status, location, fields=[(name, "x") for name in names], method=method)
    assert found is not None
    return [name for name, _ in found.fields]


# ---- methods and content


@pytest.mark.parametrize(
    ("status", "method", "after", "keeps"),
    [
        (301, "GET", "GET", True),
        (301, "HEAD", "HEAD", True),
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (302, "DELETE", "DELETE", True),
        (302, "PATCH", "PATCH", True),
        (303, "GET", "GET", True),
        (303, "HEAD", "HEAD", True),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "DELETE", "GET", False),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (308, "GET", "GET", True),
    ],
)
def test_methods_follow_the_status(status: int, method: str, after: str, keeps: bool) -> None:
    found = follow(status, method=method)
    assert found is not None
    assert (found.method, found.keeps_content) == (after, keeps)


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 400, 503])
def test_other_statuses_are_no_redirect(status: int) -> None:
    assert follow(status) is None


@pytest.mark.parametrize("location", [None, ""])
def test_a_redirect_to_nowhere_is_the_callers(location: str | None) -> None:
    assert follow(302, location) is None


def test_a_limit_of_zero_follows_nothing() -> None:
    assert follow(limit=0) is None


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "PUT"), (301, "PUT"), (302, "PATCH")])
def test_consumed_content_is_not_sent_again(status: int, method: str) -> None:
    assert follow(status, method=method, replayable=False) is None


@pytest.mark.parametrize(("status", "method"), [(303, "POST"), (301, "POST"), (302, "POST"), (303, "PUT")])
def test_consumed_content_is_no_matter_for_a_get(status: int, method: str) -> None:
    found = follow(status, method=method, replayable=False)
    assert found is not None and not found.keeps_content


# ---- targets


@pytest.mark.parametrize(  # RFC 3986, 5.4
    ("location", "expected"),
    [
        ("g", "https://a.example/b/c/g"),
        ("./g", "https://a.example/b/c/g"),
        ("g/", "https://a.example/b/c/g/"),
        ("/g", "https://a.example/g"),
        ("//g.example", "https://g.example/"),
        ("?y", "https://a.example/b/c/d;p?y"),
        ("g?y", "https://a.example/b/c/g?y"),
        ("#s", "https://a.example/b/c/d;p?q"),
        ("g#s", "https://a.example/b/c/g"),
        ("g?y#s", "https://a.example/b/c/g?y"),
        (";x", "https://a.example/b/c/;x"),
        (".", "https://a.example/b/c/"),
        ("..", "https://a.example/b/"),
        ("../g", "https://a.example/b/g"),
        ("../../g", "https://a.example/g"),
        ("../../../g", "https://a.example/g"),
        ("/./g", "https://a.example/g"),
        ("/../g", "https://a.example/g"),
        ("g.", "https://a.example/b/c/g."),
        ("./../g", "https://a.example/b/g"),
        ("g;x=1/../y", "https://a.example/b/c/y"),
        ("g?y/../x", "https://a.example/b/c/g?y/../x"),
    ],
)
def test_relative_references_are_resolved(location: str, expected: str) -> None:
    assert target(location) == expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://B.example:8443/x?y=1#z", "https://b.example:8443/x?y=1"),
        ("https://b.example", "https://b.example/"),
        ("HTTPS://b.example/", "https://b.example/"),
        ("https://[::1]:81/", "https://[::1]:81/"),
        ("https://user:pw@b.example/", "https://b.example/"),
        ("https://b.example\\@c.example", "https://c.example/"),
        ("https://b.example?x", "https://b.example/?x"),
        (" /x\t", "https://a.example/x"),
        ("/a b", "https://a.example/a%20b"),
        ("/%20%zz", "https://a.example/%20%zz"),
        ("/\xc3\xa9", "https://a.example/%C3%A9"),
        ("/a\\b", "https://a.example/a%5Cb"),
        ("/a\r\nb", "https://a.example/a%0D%0Ab"),
    ],
)
def test_targets_are_made_fit_to_send(location: str, expected: str) -> None:
    assert target(location) == expected


@pytest.mark.parametrize(
    "location",
    [
        "https://",
        "https:///x",
        "https:x",
        "https://b.example:port/",
        "https://b.example:99999/",
        "https://b.example:0/",
        "https://[::1/",
        "https://b ad.example/",
        "https://\xfc.example/",
        "http://[::1%2@x]281/",  # without what stands before "@" its host cannot be read again
        "//b.(1)",
    ],
)
def test_what_is_no_url_is_an_error(location: str) -> None:
    with pytest.raises(ReadError, match="which is no URL"):
        follow(location=location)


@pytest.mark.parametrize("location", ["ftp://a.example/", "file:///etc/passwd", "javascript:alert(1)", "mailto:x@y"])
def test_other_schemes_are_refused(location: str) -> None:
    with pytest.raises(ReadError, match="only http and https"):
        follow(location=location)


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_location_is_followed_safely_or_refused(location: str) -> None:
    try:
        found = follow(location=location, url="http://a.example/b")
    except ReadError:
        return
    if found is None:
        assert not location
        return
    assert found.url.isascii() and found.url.isprintable() and " " not in found.url and "#" not in found.url
    assert origin_of(found.url)[0] in {"http", "https"}
    assert "@" not in found.url.split("/")[2]


# ---- refusals


def test_a_step_down_from_https_is_refused() -> None:
    with pytest.raises(ReadError, match="it would be in clear") as caught:
        follow(location="http://a.example/x?token=1")
    assert str(caught.value).startswith(f"GET {BASE}: redirect from https to 'http://a.example/x?...'")


def test_a_step_up_to_https_is_followed() -> None:
    assert target("https://a.example/", url="http://a.example/") == "https://a.example/"


def test_the_limit_bounds_loops() -> None:
    assert follow(followed=9) is not None
    with pytest.raises(ReadError, match="more than 10 redirects, the last to '/x'"):
        follow(followed=10)


def test_messages_hold_no_secrets_of_a_location() -> None:
    with pytest.raises(ReadError) as caught:
        follow(location="ftp://user:s3cret@x/p?t=s3cret#s3cret")
    assert "s3cret" not in str(caught.value)


# ---- fields


CREDENTIALS = [
    "Authorization",
    "cookie",
    "Proxy-Authorization",
    "Host",
    "X-Api-Key",
    "apikey",
    "X-Auth-Token",
    "x_secret",
]


@pytest.mark.parametrize("location", ["https://b.example/", "https://a.example:444/", "https://x.a.example/"])
def test_credentials_stay_within_their_origin(location: str) -> None:
    assert kept(location, *CREDENTIALS, "accept", "X-Trace") == ["accept", "X-Trace"]


@pytest.mark.parametrize("location", ["/x", "https://A.example/", "https://a.example:443/x", "//a.example"])
def test_credentials_are_kept_on_the_same_origin(location: str) -> None:
    assert kept(location, *CREDENTIALS) == CREDENTIALS


def test_an_address_has_one_origin_however_it_is_written() -> None:
    assert origin_of("http://[::09]/") == origin_of("http://[0:0::9]:80/") == ("http", "::9", 80)
    assert origin_of("http://[::9]/") != origin_of("http://[::9]:81/")


def test_http_and_https_of_one_host_are_two_origins() -> None:
    found = follow(location="https://a.example/", url="http://a.example/", fields=[("authorization", "x")])
    assert found is not None and found.fields == ()


def test_fields_of_the_content_go_with_it() -> None:
    names = ["Content-Type", "content-length", "Content-Encoding", "Transfer-Encoding", "expect", "accept"]
    assert kept("/x", *names, status=303, method="POST") == ["accept"]
    assert kept("/x", *names, status=307, method="POST") == names
