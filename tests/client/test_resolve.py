"""Look-ups and happy eyeballs; the system's resolver is a double, sockets are real and on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import uvloop

from siphon_http.client import resolve
from siphon_http.client.resolve import Address, Resolver, open_socket

V4, V6 = socket.AF_INET, socket.AF_INET6


class System:
    """A loop whose look-ups are answered by the test: `release` lets those that wait go on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: list[str] | Exception = ["192.0.2.1"]
        self.gate = asyncio.Event()
        self.gate.set()

    def create_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine)

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[Any]:
        self.asked.append(host)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        found = []
        for text in self.answer:
            address = (text, port, 0, 7) if ":" in text else (text, port)
            found.append((V6 if ":" in text else V4, type, 6, "", address))
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    def __init__(self) -> None:
        self.system = System()
        self.clock = Clock()
        self.resolver = Resolver(cast(asyncio.AbstractEventLoop, self.system), clock=self.clock)

    async def ask(self, host: str = "a.example", port: int = 80) -> list[Address]:
        return await self.resolver.resolve(host, port)

    async def hosts(self, host: str = "a.example") -> list[str]:
        return [address[0] for _, address in await self.ask(host)]


@pytest.fixture
async def rig() -> Rig:
    return Rig()


# ---- names


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", (V4, ("127.0.0.1", 81))), ("::1", (V6, ("::1", 81, 0, 0))), ("::ffff:1.2.3.4", None)],
)
async def test_an_ip_address_is_not_looked_up(rig: Rig, host: str, expected: Address | None) -> None:
    assert await rig.ask(host, 81) == [expected or (V6, (host, 81, 0, 0))]
    assert rig.system.asked == []


async def test_a_name_is_looked_up_once_for_every_port(rig: Rig) -> None:
    rig.system.answer = ["192.0.2.1", "2001:db8::1", "192.0.2.1"]
    assert await rig.ask(port=80) == [(V4, ("192.0.2.1", 80)), (V6, ("2001:db8::1", 80, 0, 7))]
    assert await rig.ask(port=81) == [(V4, ("192.0.2.1", 81)), (V6, ("2001:db8::1", 81, 0, 7))]
    assert rig.system.asked == ["a.example"]


async def test_callers_at_the_same_time_share_one_look_up(rig: Rig) -> None:
    rig.system.gate.clear()
    callers = [asyncio.ensure_future(rig.hosts()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.system.gate.set()
    assert await asyncio.gather(*callers) == [["192.0.2.1"]] * 5
    assert rig.system.asked == ["a.example"]


async def test_a_cancelled_caller_does_not_end_the_look_up_of_others(rig: Rig) -> None:
    rig.system.gate.clear()
    first, second = asyncio.ensure_future(rig.hosts()), asyncio.ensure_future(rig.hosts())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    rig.system.gate.set()
    assert await second == ["192.0.2.1"]
    assert first.cancelled()
    assert rig.system.asked == ["a.example"]


async def test_an_old_answer_serves_while_it_is_renewed(rig: Rig) -> None:
    await rig.ask()
    rig.system.answer = ["192.0.2.2"]
    rig.clock.now += resolve.FRESH_SECS
    assert await rig.hosts() == ["192.0.2.1"]
    for _ in range(5):
        await asyncio.sleep(0)
    assert await rig.hosts() == ["192.0.2.2"]
    assert len(rig.system.asked) == 2


async def test_a_very_old_answer_does_not_serve(rig: Rig) -> None:
    await rig.ask()
    rig.system.answer = ["192.0.2.2"]
    rig.clock.now += resolve.STALE_SECS
    assert await rig.hosts() == ["192.0.2.2"]


async def test_an_old_answer_survives_name_servers_that_are_away(rig: Rig) -> None:
    await rig.ask()
    rig.system.answer = socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
    rig.clock.now += resolve.FRESH_SECS
    for _ in range(10):
        assert await rig.hosts() == ["192.0.2.1"]
        await asyncio.sleep(0)
    rig.clock.now += resolve.STALE_SECS
    with pytest.raises(OSError, match="Temporary failure"):
        await rig.ask()


async def test_a_failure_is_told_and_remembered_for_a_moment(rig: Rig) -> None:
    rig.system.answer = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            await rig.ask()
        assert str(caught.value) == "the name 'a.example' cannot be resolved: Name or service not known"
    assert len(rig.system.asked) == 1
    rig.system.answer = ["192.0.2.1"]
    rig.clock.now += resolve.NEGATIVE_SECS
    assert await rig.hosts() == ["192.0.2.1"]


async def test_a_name_that_is_gone_takes_the_old_answer_away(rig: Rig) -> None:
    await rig.ask()
    rig.system.answer = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    rig.clock.now += resolve.FRESH_SECS
    await rig.ask()
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(OSError, match="cannot be resolved"):
        await rig.ask()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a\0b", "x" * 300, "ü" * 70 + ".example"])
def test_what_is_no_host_name_is_an_oserror(host: str, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        with pytest.raises(OSError, match=r"is not a host name|cannot be resolved"):
            runner.run(Resolver().resolve(host, 80))


async def test_a_name_without_ip_addresses_is_told(rig: Rig) -> None:
    rig.system.answer = []
    with pytest.raises(OSError, match="has no IP address"):
        await rig.ask()


async def test_the_number_of_names_kept_is_bounded(rig: Rig) -> None:
    for i in range(resolve.NAMES_KEPT + 1):
        await rig.ask(f"h{i}.example")
    await rig.ask(f"h{resolve.NAMES_KEPT}.example")
    await rig.ask("h0.example")
    assert rig.system.asked.count("h0.example") == 2
    assert len(rig.system.asked) == resolve.NAMES_KEPT + 2


async def test_close_ends_look_ups_and_tells_who_waits(rig: Rig) -> None:
    rig.system.gate.clear()
    caller = asyncio.ensure_future(rig.ask())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.resolver.close()
    with pytest.raises(OSError, match="closed"):
        await caller


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_system_is_asked(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        found = runner.run(Resolver().resolve("localhost", 80))
    assert found[0] in [(V4, ("127.0.0.1", 80)), (V6, ("::1", 80, 0, 0))]


# ---- sockets


class Connects:
    """A loop whose connects are decided by address: "ok", "hang", or an errno's name."""

    def __init__(self, outcome: dict[str, str]) -> None:
        self.outcome = outcome
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []

    def create_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine)

    async def sock_connect(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        import errno

        self.tried.append(address[0])
        self.sockets.append(sock)
        outcome = self.outcome[address[0]]
        if outcome == "hang":
            await asyncio.Event().wait()
        elif outcome != "ok":
            code = getattr(errno, outcome)
            raise OSError(code, "x")

    async def open(self, delay: float = 0.01) -> socket.socket:
        addresses: list[Address] = [(V6, (a, 80, 0, 0)) if ":" in a else (V4, (a, 80)) for a in self.outcome]
        return await open_socket(cast(asyncio.AbstractEventLoop, self), addresses, delay=delay)

    def open_ones(self) -> list[socket.socket]:
        return [sock for sock in self.sockets if sock.fileno() != -1]


@contextmanager
def connects(**outcome: str) -> Iterator[Connects]:
    names = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3", "x": "2001:db8::1", "y": "2001:db8::2"}
    rig = Connects({names[key]: value for key, value in outcome.items()})
    yield rig
    for sock in rig.open_ones():
        sock.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_families_alternate_from_the_first() -> None:
    with connects(x="EHOSTUNREACH", y="EHOSTUNREACH", a="EHOSTUNREACH", b="EHOSTUNREACH", c="ok") as rig:
        (await rig.open()).close()
        assert rig.tried == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]


async def test_a_silent_address_is_overtaken_and_closed() -> None:
    with connects(x="hang", a="ok", b="ok") as rig:
        sock = await rig.open()
        await settle()
        assert rig.tried == ["2001:db8::1", "192.0.2.1"]
        assert rig.open_ones() == [sock]


async def test_a_refusal_lets_the_next_try_begin_at_once() -> None:
    with connects(x="ECONNREFUSED", a="ok") as rig:
        async with asyncio.timeout(5):
            (await rig.open(delay=60)).close()


async def test_the_first_address_wins_without_a_second_try() -> None:
    with connects(a="ok", x="ok") as rig:
        await rig.open(delay=60)
        assert rig.tried == ["192.0.2.1"]


async def test_a_failure_names_every_address_with_its_reason() -> None:
    with connects(x="ENETUNREACH", a="ECONNREFUSED") as rig:
        with pytest.raises(OSError) as caught:
            await rig.open()
        assert str(caught.value) == "[2001:db8::1]:80: network is unreachable; 192.0.2.1:80: connection refused"
        assert rig.open_ones() == []


@pytest.mark.parametrize("addresses", [{"a": "hang"}, {"a": "hang", "x": "hang", "b": "hang"}])
async def test_a_cancelled_caller_leaves_no_socket(addresses: dict[str, str]) -> None:
    with connects(**addresses) as rig:
        caller = asyncio.ensure_future(rig.open(delay=0.001))
        while len(rig.tried) < len(addresses):
            await asyncio.sleep(0.001)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await settle()
        assert rig.open_ones() == []


async def test_a_connect_that_ends_with_the_cancellation_is_closed() -> None:
    with connects(a="hang", x="ok") as rig:
        caller = asyncio.ensure_future(rig.open(delay=0.001))
        while len(rig.tried) < 2:
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await settle()
        assert rig.open_ones() == []


async def test_no_address_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await open_socket(asyncio.get_running_loop(), [])


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_real_socket_is_connected_without_delay(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario(addresses: list[Address]) -> None:
        sock = await open_socket(asyncio.get_running_loop(), addresses)
        with sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.getblocking()
            assert sock.getpeername() == listener.getsockname()

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # not listening: refused
        good: Address = (V4, listener.getsockname())
        bad: Address = (V4, closed.getsockname())
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(scenario([good]))
            runner.run(scenario([bad, good]))
            with pytest.raises(OSError, match=r"127\.0\.0\.1:\d+: connection refused"):
                runner.run(scenario([bad]))
