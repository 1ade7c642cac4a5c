from __future__ import annotations

import gc
import random
import re
import threading
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siphon_http._core.pattern import MAX_PARAMETERS, Pattern, Slot, parse_pattern
from siphon_http._core.router import Leaf, Router
from siphon_http.errors import RouteConflictError, RouteError
from tests.oracle import router as oracle
from tests.oracle.urldecode import canonical


def router_of(*patterns: str) -> Router:
    """Return a frozen router whose routes are the patterns themselves, all GET."""
    router = Router()
    for text in patterns:
        router.insert(parse_pattern(text), "GET", text, "app.py:1")
    router.freeze()
    return router


def found(router: Router, path: bytes) -> tuple[object, list[bytes]] | None:
    """Return the route and its parameters, still escaped."""
    result = router.find(path)
    if result is None:
        return None
    return result[0], [canonical(path)[start:end] for start, end in result[1]]


# -- what matches


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/orders", ("/orders", [])),
        (b"/orders/7", ("/orders/{id}", [b"7"])),
        (b"/orders/7/lines", ("/orders/{id}/lines", [b"7"])),
        (b"/static/css/a.css", ("/static/{*rest}", [b"css/a.css"])),
        (b"/static//", ("/static/{*rest}", [b"/"])),
        (b"/orders/a%2Fb", ("/orders/{id}", [b"a%2Fb"])),
        (b"/orders/a+b", ("/orders/{id}", [b"a+b"])),
        (b"/orders/", None),
        (b"/orders//lines", None),
        (b"/orders/7/", None),
        (b"/orders/7/lines/", None),
        (b"/static/", None),
        (b"/static", None),
        (b"/order", None),
        (b"/Orders", None),
        (b"//orders", None),
        (b"/", None),
        (b"", None),
        (b"*", None),
        (b"orders", None),
    ],
)
def test_the_routes_of_the_picture(path, expected):
    router = router_of("/orders", "/orders/{id}", "/orders/{id}/lines", "/static/{*rest}")
    assert found(router, path) == expected


def test_static_beats_a_segment_and_a_segment_beats_the_rest():
    router = router_of("/a/b", "/a/{x}", "/a/{*rest}")
    assert found(router, b"/a/b") == ("/a/b", [])
    assert found(router, b"/a/c") == ("/a/{x}", [b"c"])
    assert found(router, b"/a/b/c") == ("/a/{*rest}", [b"b/c"])


def test_a_way_that_leads_nowhere_is_left_again():
    router = router_of("/a/b/c", "/a/{x}/d", "/{y}/b/e", "/{*rest}")
    assert found(router, b"/a/b/d") == ("/a/{x}/d", [b"b"])
    assert found(router, b"/a/b/e") == ("/{y}/b/e", [b"a"])
    assert found(router, b"/a/b/f") == ("/{*rest}", [b"a/b/f"])


def test_the_first_segment_that_differs_decides_whatever_follows():
    router = router_of("/{x}/b", "/a/{*rest}")
    assert found(router, b"/a/b") == ("/a/{*rest}", [b"a/b"[2:]])


def test_a_static_text_that_goes_on_inside_the_segment_is_another_segment():
    router = router_of("/new", "/news", "/{x}")
    assert found(router, b"/new") == ("/new", [])
    assert found(router, b"/news") == ("/news", [])
    assert found(router, b"/newsletter") == ("/{x}", [b"newsletter"])
    assert found(router, b"/ne") == ("/{x}", [b"ne"])


def test_names_may_differ_between_routes_of_one_prefix():
    router = router_of("/c/{a}", "/c/{b}/d", "/c/{x}/{*y}")
    assert found(router, b"/c/1") == ("/c/{a}", [b"1"])
    assert found(router, b"/c/1/d") == ("/c/{b}/d", [b"1"])
    assert found(router, b"/c/1/e") == ("/c/{x}/{*y}", [b"1", b"e"])


def test_a_trailing_slash_and_empty_segments_are_part_of_the_path():
    router = router_of("/a", "/b/", "/c//d", "/", "/{x}/")
    assert found(router, b"/") == ("/", [])
    assert found(router, b"/a") == ("/a", [])
    assert found(router, b"/a/") == ("/{x}/", [b"a"])
    assert found(router, b"/b/") == ("/b/", [])
    assert found(router, b"/b") is None
    assert found(router, b"/c//d") == ("/c//d", [])
    assert found(router, b"/c/d") is None
    assert found(router, b"//") is None


@pytest.mark.parametrize("path", [b"/hello", b"/hell%6f", b"/hell%6F", b"/%68%65llo"])
def test_an_escape_of_an_unreserved_character_changes_nothing(path):
    assert found(router_of("/hello", "/{x}"), path) == ("/hello", [])


@pytest.mark.parametrize("pattern", ["/café", "/caf%C3%A9", "/caf%c3%a9", "/c%61f%c3%a9"])
@pytest.mark.parametrize("path", [b"/caf%C3%A9", b"/caf%c3%a9", b"/caf\xc3\xa9", b"/%63af%C3%a9"])
def test_every_spelling_of_a_pattern_fits_every_spelling_of_a_path(pattern, path):
    assert found(router_of(pattern), path) == (pattern, [])


def test_an_escaped_slash_is_never_a_separator_nor_is_a_slash_an_escaped_one():
    router = router_of("/a/b", "/x%2Fy")
    assert found(router, b"/a%2Fb") is None
    assert found(router, b"/x%2fy") == ("/x%2Fy", [])
    assert found(router, b"/x/y") is None


def test_the_offsets_count_in_the_canonical_path():
    router = router_of("/h\xe9llo/{id}/{*rest}")
    assert found(router, b"/h\xc3\xa9ll%6f/J%c3%bcrg/%41/b") == ("/h\xe9llo/{id}/{*rest}", [b"J%C3%BCrg", b"A/b"])


def test_an_invalid_path_is_matched_as_it_stands():
    assert found(router_of("/{x}"), b"/%zz%6f") == ("/{x}", [b"%zz%6f"])


def test_sixteen_parameters_are_all_found():
    pattern = "/" + "/".join(f"{{p{i}}}" for i in range(MAX_PARAMETERS - 1)) + "/{*rest}"
    path = b"/" + b"/".join(b"v%d" % i for i in range(MAX_PARAMETERS + 3))
    route, values = found(router_of(pattern), path)
    assert route == pattern
    assert values == [b"v%d" % i for i in range(MAX_PARAMETERS - 1)] + [b"v15/v16/v17/v18"]


def test_a_node_with_many_children_finds_each_of_them():
    words = [f"/{a}{b}" for a in "abcdefghijklmnopqrstuvwxyz0123456789-._~" for b in ("", "x", "y")]
    random.Random(1).shuffle(words)
    router = router_of(*words, "/{x}")
    for word in words:
        assert found(router, word.encode()) == (word, [])
    assert found(router, b"/az") == ("/{x}", [b"az"])
    assert found(router, b"/Z") == ("/{x}", [b"Z"])


# -- methods


def leaf_with(*methods: str) -> Leaf:
    router = Router()
    for method in methods:
        router.insert(parse_pattern("/c/{id}"), method, method.lower(), "app.py:1")
    leaf = router.lookup(b"/c/1")
    assert leaf is not None
    return leaf


def test_a_shape_may_serve_several_methods():
    leaf = leaf_with("POST", "DELETE")
    assert leaf.find("POST") == "post"
    assert leaf.find("DELETE") == "delete"
    assert leaf.find("GET") is None
    assert leaf.find("HEAD") is None
    assert leaf.find("post") is None
    assert leaf.parameters == 1
    assert leaf.routes == {"POST": "post", "DELETE": "delete"}


def test_get_serves_head_unless_head_has_a_route():
    assert leaf_with("GET").find("HEAD") == "get"
    assert leaf_with("GET", "HEAD").find("HEAD") == "head"


@pytest.mark.parametrize(
    ("methods", "allow"),
    [
        (["POST"], b"OPTIONS, POST"),
        (["PUT", "GET"], b"GET, HEAD, OPTIONS, PUT"),
        (["OPTIONS", "HEAD"], b"HEAD, OPTIONS"),
    ],
)
def test_allow_names_what_is_answered(methods, allow):
    assert leaf_with(*methods).allow == allow


def test_find_tells_a_method_that_is_not_served_by_none_and_lookup_by_a_leaf():
    router = router_of("/a")
    assert router.find(b"/a", "POST") is None
    assert router.lookup(b"/a") is not None
    assert router.lookup(b"/b") is None


def test_a_more_general_shape_is_not_asked_when_the_method_is_missing():
    router = Router()
    router.insert(parse_pattern("/a/b"), "GET", 1, "app.py:1")
    router.insert(parse_pattern("/a/{x}"), "POST", 2, "app.py:2")
    assert router.find(b"/a/b", "POST") is None
    assert router.find(b"/a/c", "POST") == (2, [(3, 4)])


# -- what cannot be inserted


def test_a_conflict_names_both_routes_and_changes_nothing():
    router = Router()
    router.insert(parse_pattern("/c/{a}/café"), "GET", 1, "one.py:3")
    router.insert(parse_pattern("/c/{b}/café"), "POST", 2, "one.py:9")
    message = "GET /c/{b}/caf%C3%A9 (two.py:5) has the same method and path shape as GET /c/{a}/café (one.py:3)"
    with pytest.raises(RouteConflictError, match=re.escape(message)) as caught:
        router.insert(parse_pattern("/c/{b}/caf%C3%A9"), "GET", 3, "two.py:5")
    assert caught.value.other == "GET /c/{a}/café (one.py:3)"
    assert router.find(b"/c/1/caf%C3%A9") == (1, [(3, 4)])
    assert router.lookup(b"/c/1/caf%C3%A9").allow == b"GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("pair", [("/", "/"), ("/a/{x}", "/a/{y}"), ("/{*x}", "/{*y}"), ("/hello", "/hell%6f")])
def test_the_same_shape_and_method_twice_is_a_conflict(pair):
    router = Router()
    router.insert(parse_pattern(pair[0]), "GET", 1, "a.py:1")
    with pytest.raises(RouteConflictError):
        router.insert(parse_pattern(pair[1]), "GET", 2, "a.py:2")


def test_a_segment_and_the_rest_at_one_place_are_two_shapes():
    router = router_of("/a/{x}", "/a/{*x}", "/a/", "/a")
    assert len({id(router.lookup(p)) for p in (b"/a/1", b"/a/1/2", b"/a/", b"/a")}) == 4


def test_a_frozen_router_takes_no_routes():
    router = router_of("/a")
    assert router.frozen
    with pytest.raises(RouteError, match=r"GET /b \(late.py:4\) comes too late"):
        router.insert(parse_pattern("/b"), "GET", 1, "late.py:4")
    assert router.lookup(b"/b") is None


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GÉT", "G,T"])
def test_a_method_that_is_no_token_is_refused(method):
    with pytest.raises(RouteError, match="is no HTTP method"):
        Router().insert(parse_pattern("/a"), method, 1, "app.py:1")


@pytest.mark.parametrize(
    "pattern",
    [
        Pattern("/x", (b"/", *[Slot.SEGMENT, b"/"] * 17), tuple(f"p{i}" for i in range(17))),
        Pattern("/x", (b"/", *[Slot.SEGMENT, b"/"] * 17), ()),
        Pattern("/x", (b"/", Slot.REST, b"/", Slot.SEGMENT), ("a", "b")),
    ],
)
def test_a_pattern_that_would_write_past_the_offsets_is_refused(pattern):
    with pytest.raises(RouteError, match="not made by parse_pattern"):
        Router().insert(pattern, "GET", 1, "app.py:1")


def test_a_part_that_is_not_bytes_is_refused():
    with pytest.raises(TypeError):
        Router().insert(Pattern("/x", ("/x",), ()), "GET", 1, "app.py:1")


# -- dump


def test_the_dump_shows_the_tree():
    router = Router()
    for method, text in [("GET", "/orders"), ("GET", "/orders/{id}"), ("DELETE", "/orders/{key}")]:
        router.insert(parse_pattern(text), method, 1, "app.py:1")
    for text in ["/orders/{id}/lines", "/orders/new", "/static/{*rest}"]:
        router.insert(parse_pattern(text), "GET", 1, "app.py:1")
    assert router.dump().splitlines() == [
        '"/"',
        '|-- "orders"  leaf: GET',
        '|   \'-- "/"',
        '|       |-- "new"  leaf: GET',
        "|       '-- {}  leaf: DELETE, GET",
        '|           \'-- "/lines"  leaf: GET',
        '\'-- "static/"',
        "    '-- {*}  leaf: GET",
    ]
    assert Router().dump() == ""


def test_the_tree_does_not_depend_on_the_order_of_inserts():
    patterns = ["/a", "/ab", "/abc/{x}", "/abd", "/b", "/c", "/d", "/e/{x}/f", "/e/{*y}", "/"]
    dumps = set()
    for seed in range(20):
        random.Random(seed).shuffle(patterns)
        dumps.add(router_of(*patterns).dump())
    assert len(dumps) == 1


# -- against the oracle

SEGMENTS = ["", "a", "ab", "abc", "b", "ba", "%2F", "é", "%C3%A9", "~", "."]
PATTERN_SEGMENTS = st.lists(st.sampled_from([*SEGMENTS, "{}", "{}", "{}"]), min_size=1, max_size=5)
PATH_SEGMENTS = st.sampled_from(
    [
        b"",
        b"a",
        b"ab",
        b"abc",
        b"abcd",
        b"b",
        b"ba",
        b"%61",
        b"%2f",
        b"%2F",
        b"\xc3\xa9",
        b"%c3%a9",
        b"%7e",
        b"%2e",
        b"%zz",
    ]
)


@st.composite
def patterns(draw):
    segments = draw(PATTERN_SEGMENTS)
    named = [f"{{p{i}}}" if s == "{}" else s for i, s in enumerate(segments)]
    return "/" + "/".join([*named, "{*rest}"] if draw(st.booleans()) and draw(st.booleans()) else named)


def check(texts, paths):
    router, entries, seen = Router(), [], set()
    for text in texts:
        pattern = parse_pattern(text)
        if pattern.shape not in seen:
            seen.add(pattern.shape)
            router.insert(pattern, "GET", text, "app.py:1")
            entries.append(oracle.compile_entry(text, text))
        else:
            with pytest.raises(RouteConflictError):
                router.insert(pattern, "GET", text, "app.py:2")
    for path in paths:
        assert router.find(path) == oracle.find(entries, path), (path, texts)


@given(
    st.lists(patterns(), max_size=14),
    st.lists(
        st.lists(PATH_SEGMENTS, min_size=1, max_size=6).map(lambda s: b"/" + b"/".join(s)), min_size=1, max_size=12
    ),
)
@example(["/{a}/b", "/a/{*r}"], [b"/a/b"])
@settings(max_examples=600, deadline=None, derandomize=True)
def test_any_routes_and_any_path_agree_with_the_oracle(texts, paths):
    check(texts, paths)


@given(st.lists(patterns(), min_size=1, max_size=8), st.lists(st.binary(max_size=20), max_size=8))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_agree_with_the_oracle(texts, paths):
    check(texts, [*paths, *(b"/" + p for p in paths)])


def test_random_tables_and_random_bytes_agree_with_the_oracle():
    rng = random.Random(7)
    for _ in range(60):
        texts = {
            "/" + "/".join(rng.choice(["a", "aa", "ab", "b", "", f"{{p{i}}}"]) for i in range(rng.randint(1, 6)))
            for _ in range(40)
        }
        alphabet = b"aaabb///" if rng.random() < 0.7 else bytes(range(256))
        check(sorted(texts), [b"/" + bytes(rng.choices(alphabet, k=rng.randint(0, 14))) for _ in range(150)])


# -- cost and memory


def test_a_table_made_for_blowing_up_does_not():
    levels = 11
    texts = []
    for bits in range(2**levels):
        segments = [f"{{p{i}}}" if bits >> i & 1 else "a" for i in range(levels)]
        texts.append("/" + "/".join(segments) + "/end")
    router = router_of(*texts)
    assert router.match_often(b"/a" * levels + b"/enx", 200) == 0
    assert router.match_often(b"/a" * 30_000, 200) == 0
    assert router.match_often(b"/a" * levels + b"/end", 200) == 200


def test_long_and_deep_patterns_need_no_stack():
    deep = "".join(f"/s{i}" for i in range(5_000))
    router = router_of(*(deep[:k] for k in range(10, len(deep), 97) if deep[k] == "/"), deep, "/{*rest}")
    assert found(router, deep.encode()) == (deep, [])
    assert found(router, deep.encode() + b"x") == ("/{*rest}", [deep.encode()[1:] + b"x"])
    del router


def test_nothing_is_left_of_a_router_that_is_gone():
    def use() -> None:
        router = Router()
        for i in range(30):
            router.insert(parse_pattern(f"/r{i * 7919 % 1000}/{{x}}/t{i}"), "GET", object(), "app.py:1")
            router.lookup(b"/r1/2/t3")
        with pytest.raises(RouteConflictError):
            router.insert(parse_pattern("/r0/{y}/t0"), "GET", 1, "app.py:1")
        router.match_often(b"/r0/1/t0", 10)

    use()
    gc.collect()
    tracemalloc.start()
    try:
        use()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            use()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4_000


def test_a_route_that_knows_its_router_does_not_keep_it_alive():
    class Route:
        router: Router
        alive = 0

        def __init__(self) -> None:
            type(self).alive += 1

        def __del__(self) -> None:
            type(self).alive -= 1

    route = Route()
    route.router = Router()
    route.router.insert(parse_pattern("/a/{x}"), "GET", route, "app.py:1")
    del route
    gc.collect()
    assert Route.alive == 0


def test_threads_may_match_a_frozen_router_together():
    router = router_of("/a/{x}", "/a/b", "/{*rest}")
    counts: list[int] = []

    def run(path: bytes) -> None:
        counts.extend(router.match_often(path, 5_000) for _ in range(4))

    threads = [threading.Thread(target=run, args=(p,)) for p in (b"/a/1", b"/a/b", b"/x/y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [5_000] * 12


def test_a_leaf_shows_its_routes():
    assert repr(leaf_with("GET")) == "Leaf(GET /c/{id} (app.py:1))"
