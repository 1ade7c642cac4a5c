"""`from siphon import cache`: named stores of text, in memory or in Redis.

    await cache.store("sessions", "42", "alice", ttl=300)
    await cache.fetch("sessions", "42")                       "alice", or None

No method raises because a store cannot be reached, or is not configured: a look-up finds nothing then, and a change says
False. Why is in the log, once a minute. Keys that begin with `siphon:` belong to the host (ValueError).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from siphon_http.host.config_admin import CacheConfig

__all__ = ["CacheNamespace", "MemoryCache", "Store"]

RESERVED = "siphon:"
MANY = 1_000
"""Entries that are looked at together for those whose time is over, when room is needed."""


class Store(Protocol):
    """One named cache. Methods as in CacheNamespace; none raises because of the store."""

    async def fetch(self, key: str) -> str | None:
        """Return the value."""
        ...

    async def store(self, key: str, value: str, ttl: float | None) -> bool:
        """Set the value."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove the key."""
        ...

    async def list_push(self, key: str, item: str) -> int | None:
        """Append to a list."""
        ...

    async def list_pop_all(self, key: str) -> list[str]:
        """Take all of a list."""
        ...

    async def expire(self, key: str, ttl: float) -> bool:
        """Set how long the key lives."""
        ...

    async def list_len(self, key: str) -> int | None:
        """Return the length of a list."""
        ...

    async def list_len_sum(self, prefix: str) -> int | None:
        """Return the lengths of all lists whose keys begin so, together."""
        ...

    async def exists(self, key: str) -> bool:
        """Tell whether the key is there."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class MemoryCache:
    """A store in this process's memory: each worker has its own. Belongs to the loop's thread.

    most: entries; the least recently used one makes room. ttl: seconds that an entry lives unless `store` says, or None.
    clock: seconds that never go back.
    """

    def __init__(
        self, most: int = 10_000, ttl: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._ttl = ttl
        self._clock = clock
        self._entries: OrderedDict[str, tuple[str | list[str], float | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def _live(self, key: str) -> str | list[str] | None:
        found = self._entries.get(key)
        if found is None:
            return None
        if found[1] is not None and found[1] <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return found[0]

    def _put(self, key: str, value: str | list[str], ttl: float | None) -> None:
        self._entries[key] = (value, None if ttl is None else self._clock() + ttl)
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            now = self._clock()
            oldest = [k for k, _ in zip(self._entries, range(MANY), strict=False)]
            for old in oldest:
                due = self._entries[old][1]
                if due is not None and due <= now:
                    del self._entries[old]
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    async def fetch(self, key: str) -> str | None:
        """Return the value, or None; a list is no value."""
        found = self._live(key)
        return found if isinstance(found, str) else None

    async def store(self, key: str, value: str, ttl: float | None) -> bool:
        """Set the value, in the place of whatever was there."""
        self._put(key, value, self._ttl if ttl is None else ttl)
        return True

    async def delete(self, key: str) -> bool:
        """Remove the key; False when there was none."""
        found = self._live(key) is not None
        self._entries.pop(key, None)
        return found

    async def list_push(self, key: str, item: str) -> int | None:
        """Append, and return the new length; None when the key holds no list."""
        found = self._live(key)
        if isinstance(found, str):
            return None
        if found is None:
            found = []
            self._put(key, found, self._ttl)
        found.append(item)
        return len(found)

    async def list_pop_all(self, key: str) -> list[str]:
        """Take the whole list, oldest first."""
        found = self._live(key)
        if not isinstance(found, list):
            return []
        del self._entries[key]
        return found

    async def expire(self, key: str, ttl: float) -> bool:
        """Let the key live for `ttl` seconds from now; False when there is none."""
        found = self._live(key)
        if found is None:
            return False
        self._entries[key] = (found, self._clock() + ttl)
        return True

    async def list_len(self, key: str) -> int | None:
        """Return the length of a list; 0 for no key, None for a value."""
        found = self._live(key)
        return 0 if found is None else len(found) if isinstance(found, list) else None

    async def list_len_sum(self, prefix: str) -> int | None:
        """Return the lengths of all lists whose keys begin with `prefix`, together."""
        keys = [key for key in self._entries if key.startswith(prefix)]
        return sum(len(found) for key in keys if isinstance(found := self._live(key), list))

    async def exists(self, key: str) -> bool:
        """Tell whether the key is there."""
        return self._live(key) is not None

    def forget(self, key: str) -> None:
        """Remove the key without a word."""
        self._entries.pop(key, None)

    async def close(self) -> None:
        """Nothing is to be let go of."""


class CacheNamespace:
    """What scripts import as `cache`. All methods but `has_cache` are awaited."""

    def __init__(self) -> None:
        self._stores: dict[str, Store] = {}
        self._configs: dict[str, CacheConfig] = {}
        self._old: list[Store] = []

    def configure(self, configs: Iterable[CacheConfig]) -> None:
        """Have the stores of `configs`. One whose settings did not change goes on as it is, with what is in it."""
        wanted = {config.name: config for config in configs}
        for name in list(self._stores):
            if self._configs[name] != wanted.get(name):
                self._old.append(self._stores.pop(name))
                del self._configs[name]
        for name, config in wanted.items():
            if name not in self._stores:
                self._stores[name] = _store(config)
                self._configs[name] = config

    async def close_old(self) -> None:
        """Close the stores that `configure` has put out of use."""
        old, self._old = self._old, []
        for store in old:
            await store.close()

    async def close(self) -> None:
        """Close every store."""
        self.configure(())
        await self.close_old()

    # ---- what scripts call

    def has_cache(self, name: str) -> bool:
        """Tell whether a cache of this name is configured."""
        return name in self._stores

    async def fetch(self, name: str, key: str) -> str | None:
        """Return the value of `key`, or None."""
        store = self._store(name, key)
        return None if store is None else await store.fetch(key)

    async def store(self, name: str, key: str, value: str, ttl: float | None = None) -> bool:
        """Set `key` to `value`, for `ttl` seconds; False when it could not be."""
        if not isinstance(value, str):
            raise TypeError(f"cache.store() takes a str as value, not {type(value).__name__}; use json.dumps(...)")
        store = self._store(name, key)
        return False if store is None else await store.store(key, value, _seconds(ttl))

    async def delete(self, name: str, key: str) -> bool:
        """Remove `key`; False when there was none."""
        store = self._store(name, key)
        return False if store is None else await store.delete(key)

    async def list_push(self, name: str, key: str, item: str) -> int | None:
        """Append `item` to the list `key`, and return its length; None when it could not be."""
        if not isinstance(item, str):
            raise TypeError(f"cache.list_push() takes a str as item, not {type(item).__name__}")
        store = self._store(name, key)
        return None if store is None else await store.list_push(key, item)

    async def list_pop_all(self, name: str, key: str) -> list[str]:
        """Take the whole list `key` in one step, oldest first."""
        store = self._store(name, key)
        return [] if store is None else await store.list_pop_all(key)

    async def expire(self, name: str, key: str, ttl: float) -> bool:
        """Let `key` live for `ttl` seconds from now; False when there is none."""
        store = self._store(name, key)
        return False if store is None else await store.expire(key, _seconds(ttl) or 0)

    async def list_len(self, name: str, key: str) -> int | None:
        """Return the length of the list `key`; 0 when there is none, None when it is no list or cannot be asked for."""
        store = self._store(name, key)
        return None if store is None else await store.list_len(key)

    async def list_len_sum(self, name: str, prefix: str) -> int | None:
        """Return the lengths of all lists whose keys begin with `prefix`, together; None when they cannot be had."""
        store = self._store(name, prefix)
        return None if store is None else await store.list_len_sum(prefix)

    async def exists(self, name: str, key: str) -> bool:
        """Tell whether `key` is there."""
        store = self._store(name, key)
        return False if store is None else await store.exists(key)

    def _store(self, name: str, key: str) -> Store | None:
        if not isinstance(name, str) or not isinstance(key, str):
            raise TypeError(f"cache: name and key are str, not {type(name).__name__} and {type(key).__name__}")
        if key.startswith(RESERVED):
            raise ValueError(f"cache: keys that begin with {RESERVED!r} belong to the host, got {key!r}")
        return self._stores.get(name)


def _seconds(ttl: float | None) -> float | None:
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl <= 10_000_000_000:
        raise ValueError(f"cache: ttl is seconds above 0, got {ttl!r}")
    return float(ttl)


def _store(config: CacheConfig) -> Store:
    if config.url is None:
        return MemoryCache(config.local_max_entries, config.local_ttl_secs)
    from siphon_http.host.cache_redis import RedisCache  # redis is an extra

    return RedisCache(config)
