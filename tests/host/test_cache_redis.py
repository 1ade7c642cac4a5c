"""Against a real redis-server, in a folder of its own, on a unix socket and a free port."""

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import time

import pytest

pytest.importorskip("redis", reason="the extra `redis` is not installed")

from siphon_http.host.cache import CacheNamespace
from siphon_http.host.cache_redis import RedisCache
from siphon_http.host.config_admin import CacheConfig

SERVER = shutil.which("redis-server")
if SERVER is None and os.environ.get("SIPHON_HTTP_CI"):
    raise RuntimeError("redis-server is missing: apt-get install redis-server")
needs_server = pytest.mark.skipif(SERVER is None, reason="no redis-server here: apt-get install redis-server")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    place = folder / "redis.sock"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [SERVER, "--port", str(port), "--unixsocket", str(place), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while not place.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"redis://127.0.0.1:{port}/0", f"unix://{place}"
    process.terminate()
    process.wait(10)


@pytest.fixture
async def cache(server):
    made = CacheNamespace()
    far = CacheConfig(name="c", url=server[0], timeout_ms=20_000)
    made.configure([far, CacheConfig(name="near", url=server[1], local_ttl_secs=60, timeout_ms=20_000)])
    yield made
    await made.close()


@needs_server
async def test_values_and_how_long_they_live(cache):
    assert await cache.fetch("c", "k") is None
    assert await cache.store("c", "k", "välue \udcff") is True
    assert await cache.fetch("c", "k") == "välue \udcff" and await cache.exists("c", "k")
    assert await cache.expire("c", "k", 0.02) is True and await cache.expire("c", "none", 5) is False
    assert await cache.store("c", "short", "v", ttl=0.02)
    await asyncio.sleep(0.05)  # beyond what `expire` and `ttl` gave
    assert await cache.fetch("c", "k") is None and not await cache.exists("c", "short")
    await cache.store("c", "k", "v")
    assert await cache.delete("c", "k") is True and await cache.delete("c", "k") is False


@needs_server
async def test_lists(cache):
    assert [await cache.list_push("c", "q*:1", item) for item in "ab"] == [1, 2]
    await cache.list_push("c", "q*:2", "x")
    await cache.list_push("c", "qq:3", "x")
    assert await cache.list_len("c", "q*:1") == 2 and await cache.list_len_sum("c", "q*:") == 3
    assert await cache.list_pop_all("c", "q*:1") == ["a", "b"] and await cache.list_pop_all("c", "q*:1") == []


@needs_server
async def test_a_value_that_is_no_list_is_an_error_of_that_call_only(cache, caplog):
    await cache.store("c", "text", "v")
    with caplog.at_level(logging.WARNING):
        assert await cache.list_push("c", "text", "x") is None
        assert await cache.list_len("c", "text") is None
    assert await cache.fetch("c", "text") == "v"
    assert len(caplog.records) == 1 and "WRONGTYPE" in caplog.text


@needs_server
async def test_a_near_copy_is_used_until_it_is_old_or_changed_here(cache):
    await cache.store("near", "k", "one")
    assert await cache.fetch("near", "k") == "one"
    await cache.store("c", "k", "two")  # by somebody else, in the same Redis
    assert await cache.fetch("near", "k") == "one"
    await cache.store("near", "k", "three")
    assert await cache.fetch("near", "k") == "three"
    await cache.delete("near", "k")
    assert await cache.fetch("near", "k") is None


@needs_server
async def test_many_at_once(cache):
    await asyncio.gather(*(cache.store("c", f"many:{i}", str(i)) for i in range(200)))
    found = await asyncio.gather(*(cache.fetch("c", f"many:{i}") for i in range(200)))
    assert found == [str(i) for i in range(200)]


async def test_a_server_that_is_down_costs_the_value_and_one_line_of_the_log(caplog):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://user:hush@127.0.0.1:{probe.getsockname()[1]}/0"
    cache = CacheNamespace()
    cache.configure([CacheConfig(name="c", url=url)])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await cache.fetch("c", "k") is None and await cache.store("c", "k", "v") is False
            assert await cache.list_push("c", "k", "v") is None and await cache.list_pop_all("c", "k") == []
    assert len(caplog.records) == 1 and "cannot use redis://***@127.0.0.1" in caplog.text and "hush" not in caplog.text
    await cache.close()


async def test_a_server_that_says_nothing_costs_no_more_than_the_time_out():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        store = RedisCache(CacheConfig(name="c", url=url, timeout_ms=100))
        began = time.monotonic()
        assert await store.fetch("k") is None
        assert 0.09 < time.monotonic() - began < 2
        began = time.monotonic()
        assert await store.fetch("k") is None  # not tried again at once
        assert time.monotonic() - began < 0.05
        await store.close()


@needs_server
async def test_a_server_that_comes_back_is_used_again(server):
    clock = [0.0]
    store = RedisCache(CacheConfig(name="c", url=server[0]), clock=lambda: clock[0])
    good, store._url = store._url, "redis://127.0.0.1:1/0"
    assert await store.store("k", "v", None) is False
    await store.close()
    store._url = good
    assert await store.store("k", "v", None) is False
    clock[0] += 1
    assert await store.store("k", "v", None) is True
    await store.close()
