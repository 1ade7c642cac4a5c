"""A cache in Redis, by the package `redis` (an extra: `pip install siphon-http[redis]`).

Redis that is down, slow or wrong costs a script its value, never its time: each command has `timeout_ms` in all, and
after a failure nothing is tried for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from siphon_http.host.cache import MemoryCache
from siphon_http.host.config_admin import CacheConfig

__all__ = ["RedisCache", "ping"]

logger = logging.getLogger("siphon_http.cache")

T = TypeVar("T")

SAID_EVERY_SECS = 60.0
PAUSE_SECS = 0.5
"""After a failure: requests that all wait for a dead server would pile up."""
BATCH = 500
CONNECTIONS = 32
"""At most; calls beyond wait for one, within their time."""

_USERINFO = re.compile(r"//[^/@]*@")


class RedisCache:
    """One named cache in Redis, with a near cache of values where `local_ttl_secs` says so. Belongs to one loop.

    The near cache is this worker's own: what others change is seen when its copy has become old.
    """

    def __init__(self, config: CacheConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = config.name
        self._url = config.url or ""
        self._timeout = config.timeout_ms / 1000
        self._clock = clock
        self._near = MemoryCache(config.local_max_entries, config.local_ttl_secs, clock)
        self._keeps_near = config.local_ttl_secs is not None
        self._client: Any = None
        self._said = -math.inf
        self._again = -math.inf

    def _connection(self) -> Any:
        if self._client is None:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            pool = BlockingConnectionPool.from_url(
                self._url,
                decode_responses=True,
                encoding_errors="surrogateescape",
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 1),  # a connection that went stale while idle is replaced
                max_connections=CONNECTIONS,
                timeout=self._timeout,
            )
            self._client = Redis.from_pool(pool)
        return self._client

    async def _ask(self, command: Callable[[Any], Awaitable[T]], otherwise: T) -> T:
        """Return what `command(client)` gives, or `otherwise` when Redis does not do its part in time."""
        if self._clock() < self._again:
            return otherwise
        try:
            async with asyncio.timeout(self._timeout):
                return await command(self._connection())
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever the package raises: the script goes on without its value
            if type(error).__name__ != "ResponseError":
                self._again = self._clock() + PAUSE_SECS
            self._say(error)
            return otherwise

    def _say(self, error: Exception) -> None:
        now = self._clock()
        if now - self._said >= SAID_EVERY_SECS:
            self._said = now
            reason = str(error) or f"no answer within {self._timeout:g} s"
            place = _USERINFO.sub("//***@", self._url)
            logger.warning("cache `%s` cannot use %s: %s: %s", self._name, place, type(error).__name__, reason)

    async def fetch(self, key: str) -> str | None:
        """Return the value, from near when it is there."""
        if self._keeps_near and (near := await self._near.fetch(key)) is not None:
            return near
        found: str | None = await self._ask(lambda redis: redis.get(key), None)
        if found is not None and self._keeps_near:
            await self._near.store(key, found, None)
        return found

    async def store(self, key: str, value: str, ttl: float | None) -> bool:
        """Set the value (SET with PX)."""
        self._near.forget(key)
        milliseconds = None if ttl is None else max(1, round(ttl * 1000))
        return bool(await self._ask(lambda redis: redis.set(key, value, px=milliseconds), None))

    async def delete(self, key: str) -> bool:
        """Remove the key (DEL)."""
        self._near.forget(key)
        return bool(await self._ask(lambda redis: redis.delete(key), 0))

    async def list_push(self, key: str, item: str) -> int | None:
        """Append (RPUSH)."""
        self._near.forget(key)
        return await self._ask(lambda redis: redis.rpush(key, item), None)

    async def list_pop_all(self, key: str) -> list[str]:
        """Take the whole list (LRANGE and DEL in one transaction)."""

        async def both(redis: Any) -> list[str]:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.lrange(key, 0, -1)
                pipe.delete(key)
                found: list[list[str]] = await pipe.execute()
            return found[0]

        return await self._ask(both, [])

    async def expire(self, key: str, ttl: float) -> bool:
        """Set how long the key lives (PEXPIRE)."""
        self._near.forget(key)
        return bool(await self._ask(lambda redis: redis.pexpire(key, max(1, round(ttl * 1000))), False))

    async def list_len(self, key: str) -> int | None:
        """Return the length of a list (LLEN)."""
        return await self._ask(lambda redis: redis.llen(key), None)

    async def list_len_sum(self, prefix: str) -> int | None:
        """Return the lengths of all lists whose keys begin with `prefix` (SCAN and LLEN, in batches)."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"

        async def all_of(redis: Any) -> int | None:
            total, cursor = 0, 0
            seen: set[str] = set()
            while True:
                cursor, keys = await redis.scan(cursor, match=pattern, count=BATCH, _type="list")
                new = [key for key in keys if key not in seen]
                seen.update(new)
                if new:
                    async with redis.pipeline(transaction=False) as pipe:
                        for key in new:
                            pipe.llen(key)
                        total += sum(await pipe.execute())
                if not cursor:
                    return total

        return await self._ask(all_of, None)

    async def exists(self, key: str) -> bool:
        """Tell whether the key is there (EXISTS)."""
        return bool(await self._ask(lambda redis: redis.exists(key), 0))

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            try:
                async with asyncio.timeout(self._timeout):
                    await client.aclose()
            except Exception as error:  # the end must go on
                logger.debug("cache `%s`: closing its connections failed: %r", self._name, error)


async def ping(config: CacheConfig) -> str:
    """Ask the server of a cache whether it is there; return what is wrong, or ""."""
    cache = RedisCache(config)
    try:
        async with asyncio.timeout(config.timeout_ms / 1000):
            await cache._connection().ping()
    except Exception as error:  # whatever it is, the operator reads it
        place = _USERINFO.sub("//***@", config.url or "")
        return f"{place}: {type(error).__name__}: {error or f'no answer within {config.timeout_ms} ms'}"
    finally:
        await cache.close()
    return ""
