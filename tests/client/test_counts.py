"""What is counted of calls and pools: each call once, however it ends, and gauges that come back to where they were."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siphon_http._core.client_traffic import ClientTraffic
from siphon_http._core.counters import LEDGER_BYTES, Counters
from siphon_http.client.api import Clients, client_class
from siphon_http.client.pool import PoolTransport
from siphon_http.config import ClientConfig
from siphon_http.errors import ConnectError, PoolTimeout, ReadError, ReadTimeout, TotalTimeout
from siphon_http.host.ledger import Ledgers, series_of
from tests.client.same_loop import Backend
from tests.stage import until

PREFIX = "siphon_http_client_"


class Numbers:
    """Clients that are counted, and what was."""

    def __init__(self, **configs: ClientConfig) -> None:
        self._memory = memoryview(bytearray(LEDGER_BYTES))
        self.traffic = ClientTraffic()
        self.traffic.attach(Counters(Ledgers(self._memory).of("http")))
        self.clients = Clients(configs, lambda name, config: PoolTransport(name, config, self.traffic.client(name)))
        self.Client = client_class(self.clients)

    @property
    def all(self) -> dict[str, float]:
        """Each number that is not 0: `calls_total{method="GET",code="2xx"}`; a histogram's count."""
        found = {}
        for one in series_of(self._memory):
            labels = one.labels.replace('client="api"', "").strip(",")
            value = sum(one.values[:-1]) if one.bounds else one.values[0]
            if value and not one.name.endswith("bytes_total"):
                found[one.name.removeprefix(PREFIX) + (f"{{{labels}}}" if labels else "")] = value
        return found

    def bytes(self) -> dict[str, float]:
        """Return bytes in both directions."""
        found = {one.name.removeprefix(PREFIX): one.values[0] for one in series_of(self._memory)}
        return {name: value for name, value in found.items() if name.endswith("bytes_total")}


@contextlib.asynccontextmanager
async def counted(**config: Any) -> AsyncIterator[tuple[Backend, Any, Numbers]]:
    """Give a backend, a client for it, and its numbers."""
    backend = Backend()
    await backend.start()
    numbers = Numbers(api=ClientConfig(base_url=backend.url, **config))
    try:
        yield backend, numbers.Client("api"), numbers
    finally:
        await numbers.clients.close()
        await backend.stop()
        await until(lambda: numbers.all.get("connections_open", 0) == 0)
    gauges = {name for name in numbers.all if not name.startswith(("calls_total", "errors", "retries", "call_d"))}
    assert {name.partition("{")[0] for name in gauges} <= {"connections_total"}, "what goes up comes down again"


async def test_answers_are_counted_by_method_and_first_digit_of_the_status() -> None:
    async with counted() as (_, api, numbers):
        for path in ("/", "/status/201", "/status/404", "/status/503"):
            await api.get(path)
        await api.post("/echo", body=b"x")
        await api.request("PROPFIND", "/")
        await api.request("MKCOL", "/")
        assert numbers.all == {
            'calls_total{method="GET",code="2xx"}': 2,
            'calls_total{method="GET",code="4xx"}': 1,
            'calls_total{method="GET",code="5xx"}': 1,
            'calls_total{method="POST",code="2xx"}': 1,
            'calls_total{method="other",code="2xx"}': 2,
            "call_duration_seconds": 7,
            "connections_total": 1,
            "connections_open": 1,
            "connections_idle": 1,
        }


async def test_bytes_are_those_on_the_wire() -> None:
    async with counted() as (_, api, numbers):
        await api.get("/echo")
        before = numbers.bytes()
        await api.post("/echo", body=b"x" * 5000)
        after = numbers.bytes()
        assert 5000 < after["sent_bytes_total"] - before["sent_bytes_total"] < 5500
        assert 5000 < after["received_bytes_total"] - before["received_bytes_total"] < 5500


@pytest.mark.parametrize(
    "path, more, config, error",
    [
        ("/close", {}, {}, ReadError),
        ("/silent", {"timeout_ms": 30}, {}, TotalTimeout),
        ("/silent", {}, {"read_timeout_ms": 30}, ReadTimeout),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_errors_are_counted_by_their_class(path: str, more: Any, config: Any, error: type[Exception]) -> None:
    async with counted(**config) as (_, api, numbers):
        with pytest.raises(error):
            await api.post(path, body=b"", **more)
        assert numbers.all[f'errors_total{{error="{error.__name__}"}}'] == 1
        assert numbers.all['calls_total{method="POST",code="error"}'] == 1
        assert numbers.all["call_duration_seconds"] == 1 and "calls_in_flight" not in numbers.all


async def test_a_server_that_is_not_there_is_a_connect_error() -> None:
    async with counted() as (backend, api, numbers):
        await backend.stop()
        with pytest.raises(ConnectError):
            await api.get("/")
        assert numbers.all['errors_total{error="ConnectError"}'] == 1
        await backend.start()


async def test_what_a_body_raises_is_an_error_of_no_class_of_ours() -> None:
    async with counted() as (_, api, numbers):

        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            raise KeyError("mine")

        with pytest.raises(KeyError):
            await api.post("/echo", body=body())
        assert numbers.all['errors_total{error="other"}'] == 1


async def test_a_caller_that_goes_away_is_counted_as_that() -> None:
    async with counted() as (backend, api, numbers):
        task = asyncio.ensure_future(api.get("/gate"))
        await until(lambda: backend.requests)
        assert numbers.all["calls_in_flight"] == 1 and "connections_idle" not in numbers.all
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert numbers.all['calls_total{method="GET",code="left"}'] == 1
        await until(lambda: "connections_open" not in numbers.all)


async def test_a_streamed_answer_is_under_way_until_its_end_and_counts_by_its_status() -> None:
    async with counted() as (_, api, numbers):
        answer = await api.get("/trickle/1", stream=True)
        assert numbers.all["calls_in_flight"] == 1
        await answer.close()
        await (await api.get("/pieces/5", stream=True)).read()
        assert numbers.all['calls_total{method="GET",code="2xx"}'] == 2 and "calls_in_flight" not in numbers.all


async def test_those_who_wait_for_a_connection_are_seen() -> None:
    async with counted(max_connections=1, pool_timeout_ms=60_000) as (backend, api, numbers):
        tasks = [asyncio.ensure_future(api.get("/gate")) for _ in range(4)]
        await until(lambda: backend.requests)
        assert {k: numbers.all[k] for k in ("calls_in_flight", "calls_waiting", "connections_open")} == {
            "calls_in_flight": 4, "calls_waiting": 3, "connections_open": 1,
        }  # fmt: skip
        tasks[1].cancel()
        await asyncio.sleep(0)
        await until(lambda: numbers.all["calls_waiting"] == 2)
        backend.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert "calls_waiting" not in numbers.all


async def test_who_waits_in_vain_is_a_pool_timeout() -> None:
    async with counted(max_connections=1, pool_timeout_ms=30) as (backend, api, numbers):
        first = asyncio.ensure_future(api.get("/gate"))
        await until(lambda: backend.requests)
        with pytest.raises(PoolTimeout):
            await api.get("/")
        assert numbers.all['errors_total{error="PoolTimeout"}'] == 1 and "calls_waiting" not in numbers.all
        backend.gate.set()
        await first


async def test_what_is_sent_again_is_counted_beside_the_one_call() -> None:
    async with counted(retries=2) as (_, api, numbers):
        await api.get("/status/503")
        assert numbers.all["retries_total"] == 2
        assert numbers.all['calls_total{method="GET",code="5xx"}'] == 1


async def test_clients_without_a_name_share_one_series() -> None:
    async with counted() as (backend, _, numbers):
        for _ in range(2):
            async with numbers.Client(base_url=backend.url) as own:
                await own.get("/")
        assert numbers.all['calls_total{client="other",method="GET",code="2xx"}'] == 2


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_loop_that_has_ended_leaves_no_open_connections_behind() -> None:
    open_at_once: list[float] = []
    async with counted() as (_, api, numbers):

        async def ask() -> None:
            await api.get("/")
            open_at_once.append(numbers.all["connections_open"])

        for _ in range(3):
            await asyncio.to_thread(lambda: asyncio.run(ask()))
        assert numbers.all['calls_total{method="GET",code="2xx"}'] == 3 and open_at_once == [1, 1, 1]
        await numbers.clients.close()
        gc.collect()  # what those loops have left open


async def test_a_change_of_place_takes_the_numbers_along() -> None:
    async with counted() as (_, api, numbers):
        await api.get("/")
        with pytest.raises(ReadError):
            await api.post("/close", body=b"")
        before = numbers.all
        memory = memoryview(bytearray(LEDGER_BYTES))
        numbers.traffic.attach(Counters(Ledgers(memory).of("http")))
        numbers._memory = memory
        assert numbers.all == before
        await api.get("/")
        assert numbers.all['calls_total{method="GET",code="2xx"}'] == before['calls_total{method="GET",code="2xx"}'] + 1
