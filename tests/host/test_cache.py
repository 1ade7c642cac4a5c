import pytest

from siphon_http.host.cache import CacheNamespace, MemoryCache
from siphon_http.host.config_admin import CacheConfig


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def cache():
    made = CacheNamespace()
    made.configure([CacheConfig(name="c")])
    return made


async def test_values_are_stored_fetched_and_deleted(cache):
    assert await cache.fetch("c", "k") is None and not await cache.exists("c", "k")
    assert await cache.store("c", "k", "välue") is True
    assert await cache.fetch("c", "k") == "välue" and await cache.exists("c", "k")
    assert await cache.delete("c", "k") is True and await cache.delete("c", "k") is False


async def test_lists_are_pushed_counted_and_popped(cache):
    assert await cache.list_len("c", "q:1") == 0 and await cache.list_pop_all("c", "q:1") == []
    assert [await cache.list_push("c", "q:1", item) for item in "ab"] == [1, 2]
    await cache.list_push("c", "q:2", "x")
    await cache.store("c", "q:3", "no list")
    assert await cache.list_len("c", "q:1") == 2 and await cache.list_len_sum("c", "q:") == 3
    assert await cache.list_push("c", "q:3", "x") is None and await cache.list_len("c", "q:3") is None
    assert await cache.fetch("c", "q:1") is None
    assert await cache.list_pop_all("c", "q:1") == ["a", "b"] and await cache.list_len("c", "q:1") == 0


async def test_an_unknown_cache_finds_nothing_and_raises_nothing(cache):
    assert cache.has_cache("c") and not cache.has_cache("no")
    assert await cache.fetch("no", "k") is None and await cache.list_len("no", "k") is None
    assert await cache.store("no", "k", "v") is False and await cache.exists("no", "k") is False
    assert await cache.list_pop_all("no", "k") == [] and await cache.list_len_sum("no", "") is None


async def test_the_hosts_keys_are_refused(cache):
    for name in ("c", "no"):
        with pytest.raises(ValueError, match="siphon:"):
            await cache.fetch(name, "siphon:dialog:1")
    with pytest.raises(TypeError, match="json"):
        await cache.store("c", "k", {"a": 1})
    for ttl in (0, -1, "5", float("nan")):
        with pytest.raises(ValueError, match="ttl"):
            await cache.store("c", "k", "v", ttl)


async def test_what_is_old_is_gone():
    clock = Clock()
    store = MemoryCache(10, ttl=60, clock=clock)
    await store.store("short", "v", 5)
    await store.store("usual", "v", None)
    clock.now += 5
    assert (
        await store.fetch(
            "short",
        )
        is None
        and await store.fetch("usual") == "v"
    )
    assert await store.expire("usual", 100) is True and await store.expire("short", 100) is False
    clock.now += 99
    assert await store.exists("usual")
    clock.now += 1
    assert not await store.exists("usual") and len(store) == 0


async def test_the_least_recently_used_entry_makes_room_but_what_is_old_goes_first():
    clock = Clock()
    store = MemoryCache(3, clock=clock)
    for key in "abc":
        await store.store(key, key, None)
    await store.fetch("a")
    await store.store("d", "d", None)
    assert [await store.fetch(key) for key in "abcd"] == ["a", None, "c", "d"]
    await store.store("old", "x", 1)
    clock.now += 2
    await store.store("e", "e", None)
    assert len(store) == 3 and await store.fetch("d") == "d" and await store.fetch("e") == "e"


async def test_a_store_that_did_not_change_outlives_a_reload(cache):
    await cache.store("c", "k", "v")
    cache.configure([CacheConfig(name="c"), CacheConfig(name="d")])
    assert await cache.fetch("c", "k") == "v" and cache.has_cache("d")
    cache.configure([CacheConfig(name="c", local_max_entries=5)])
    assert await cache.fetch("c", "k") is None and not cache.has_cache("d")
    await cache.close()
    assert not cache.has_cache("c")
