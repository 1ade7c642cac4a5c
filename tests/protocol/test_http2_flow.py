"""Windows both ways, turns, and bounded memory."""

from __future__ import annotations

import pytest

from siphon_http._core.message import Request, Response
from siphon_http.errors import RemoteProtocolError
from siphon_http.testing import ExchangeDriver
from tests.http2_frames import frame
from tests.protocol.http2_pair import Pair, always, fields, keep

WINDOW = 4  # SETTINGS_INITIAL_WINDOW_SIZE
MIB = 1 << 20


# ---- answers


def test_a_large_answer_comes_in_frames_and_whole() -> None:
    content = bytes(range(256)) * 4000
    got = Pair(always(body=content)).get()
    assert got.body == content and got.ended
    assert max(got.frames) <= 16384


def test_nothing_is_sent_beyond_a_streams_window() -> None:
    pair = Pair(always(body=b"x" * 1000), settings={WINDOW: 300}, takes=False)
    got = pair.get()
    assert got.frames == [300] and not got.ended
    pair.client.increment_flow_control_window(1, 1)
    pair.run()
    assert got.frames == [300, 1]
    pair.client.increment_flow_control_window(5000, 1)
    pair.run()
    assert got.frames == [300, 1, 699] and got.ended


def test_nothing_is_sent_beyond_the_connections_window() -> None:
    pair = Pair(always(body=b"x" * 100_000), settings={WINDOW: MIB}, takes=False)
    ids = [pair.send(fields()) for _ in range(3)]
    pair.run()
    assert sum(len(pair.answers[id].body) for id in ids) == 65535
    pair.client.increment_flow_control_window(MIB)
    pair.run()
    assert all(pair.answers[id].ended for id in ids)


def test_streams_take_turns() -> None:
    pair = Pair(keep, settings={WINDOW: MIB})
    ids = [pair.send(fields()) for _ in range(4)]
    pair.run()
    pair.server.pause()
    for driver, request in zip(pair.owner.drivers, pair.owner.requests, strict=True):
        driver.respond(request, Response(body=b"x" * 40_000))
    pair.takes = False
    pair.server.resume()
    pair.run()
    sizes = [len(pair.answers[id].body) for id in ids]
    assert sum(sizes) == 65535
    assert max(sizes) - min(sizes) <= 16384


def test_a_small_answer_overtakes_one_that_waits_for_its_window() -> None:
    pair = Pair(
        lambda driver, request: driver.respond(request, Response(body=b"x" * int(request.path[1:]))),
        settings={WINDOW: 100},
        takes=False,
    )
    large = pair.get("/1000")
    assert pair.get("/50").ended and not large.ended


def test_a_window_that_a_setting_opens_is_used() -> None:
    pair = Pair(always(body=b"x" * 1000), settings={WINDOW: 0}, takes=False)
    got = pair.get()
    assert got.status == "200" and got.frames == []
    pair.client.update_settings({WINDOW: 400})
    pair.run()
    assert got.frames == [400]
    pair.client.update_settings({WINDOW: 100})  # the stream's window is negative now
    pair.run()
    pair.client.increment_flow_control_window(299, 1)
    pair.run()
    assert got.frames == [400]
    pair.client.increment_flow_control_window(1000, 1)
    pair.run()
    assert got.ended


def test_a_full_transport_stops_answers_and_new_requests() -> None:
    pair = Pair(always(body=b"x" * 50_000))
    pair.server.pause()
    pair.send(fields("/a"))
    pair.run()
    assert pair.owner.names == []
    pair.server.resume()
    pair.run()
    assert pair.answers[1].ended


def test_reading_stops_while_the_transport_is_full_and_much_waits() -> None:
    pair = Pair()
    pair.server.pause()
    data = frame(99, 0, 0, bytes(8192 - 9))
    for _ in range(7):
        pair.server.receive_data(data, 100.0)
    assert pair.owner.names == []
    pair.server.receive_data(data, 100.0)
    assert pair.owner.calls == [("hold", True)]
    pair.server.resume()
    assert pair.owner.calls == [("hold", True), ("hold", False)]


def test_a_large_answer_leaves_in_writes_of_bounded_size() -> None:
    pair = Pair(keep, settings={WINDOW: 2 * MIB})
    pair.client.increment_flow_control_window(2 * MIB)
    pair.get()
    before = len(pair.owner.writes)
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=b"x" * MIB))
    sizes = [len(data) for data in pair.owner.writes[before:]]
    assert max(sizes) < 100_000 and len(sizes) < 25


def test_a_write_that_fills_the_transport_is_the_last_for_now() -> None:
    pair = Pair(keep, settings={WINDOW: 2 * MIB})
    pair.client.increment_flow_control_window(2 * MIB)
    pair.get()
    writes = pair.owner.writes

    def write(data: bytes) -> None:
        writes.append(data)
        pair.server.pause()

    pair.owner.write = write  # type: ignore[method-assign]
    before = len(writes)
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=b"x" * MIB))
    assert len(writes) == before + 1
    pair.server.resume()
    assert len(writes) == before + 2


def test_a_streamed_answer_waits_for_the_client() -> None:
    pair = Pair(keep, settings={WINDOW: 10}, takes=False)
    pair.get()
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    driver.start(request, Response())
    assert driver.is_writable(request)
    driver.chunk(request, b"a" * 40_000)
    assert not driver.is_writable(request)
    woken: list[int] = []
    driver.wait(request, lambda: woken.append(len(pair.answers[1].body)))
    driver.wait(request, lambda: woken.append(-1))
    pair.client.increment_flow_control_window(5000, 1)
    pair.run()
    assert woken == [] and not driver.is_writable(request)
    pair.client.increment_flow_control_window(5000, 1)
    pair.run()
    assert len(woken) == 2 and driver.is_writable(request)
    for _ in range(50):
        driver.chunk(request, b"b" * 10)
    driver.end(request)
    pair.client.increment_flow_control_window(50_000, 1)
    pair.run()
    assert pair.answers[1].body == b"a" * 40_000 + b"b" * 500 and pair.answers[1].ended
    assert pair.answers[1].frames[-1] == 40_500 - 10_010 - 16384


def test_an_answer_that_the_client_does_not_take_is_reset_in_time() -> None:
    pair = Pair(always(body=b"x" * 1000), settings={WINDOW: 10}, takes=False, write_timeout=30.0)
    got = pair.get()
    assert pair.server.expire(100.0) == 130.0
    pair.client.increment_flow_control_window(1, 1)
    pair.run()
    assert pair.server.expire(130.0) == 160.0
    assert pair.server.expire(160.0) == 0.0
    pair.run()
    assert got.reset == 8 and pair.server.is_quiet() and not pair.is_closed()


# ---- content


def reading(pair: Pair) -> tuple[ExchangeDriver, Request]:
    return pair.owner.drivers[-1], pair.owner.requests[-1]


def test_streamed_content_opens_the_window_only_as_it_is_taken() -> None:
    pair = Pair(keep, streams=True)
    id = pair.send(fields("/", "POST"), b"x" * 65535, end=False)
    pair.run()
    assert pair.client.local_flow_control_window(id) == 0
    driver, request = reading(pair)
    assert driver.read_content(request) == b"x" * 65535
    assert driver.read_content(request) is None
    pair.run()
    assert pair.client.local_flow_control_window(id) == 65535
    woken: list[bool] = []
    driver.wait(request, lambda: woken.append(True))
    pair.client.send_data(id, b"end", end_stream=True)
    pair.run()
    assert woken == [True]
    assert driver.read_content(request) == b"end"
    assert driver.read_content(request) == driver.read_content(request) == b""


def test_a_stream_that_is_not_read_holds_up_no_other() -> None:
    pair = Pair(keep, streams=True, max_streams=4)
    for _ in range(3):
        pair.send(fields("/", "POST"), b"x" * 65535, end=False)
        pair.run()
    id = pair.send(fields("/", "POST"), b"y" * 65535)
    pair.run()
    driver, request = reading(pair)
    assert driver.read_content(request) == b"y" * 65535
    driver.respond(request, Response())
    pair.run()
    assert pair.answers[id].ended
    for n in range(3):
        pair.owner.drivers[n].respond(pair.owner.requests[n], Response())
    pair.run()
    assert pair.client.outbound_flow_control_window >= 3 * 65535  # what nobody read was given back


def test_reading_after_the_client_has_gone_raises() -> None:
    pair = Pair(keep, streams=True)
    id = pair.send(fields("/", "POST"), b"abc", end=False)
    pair.run()
    driver, request = reading(pair)
    woken: list[bool] = []
    driver.wait(request, lambda: woken.append(True))
    pair.client.reset_stream(id)
    pair.run()
    assert woken == [True]
    with pytest.raises(RemoteProtocolError, match="before its content was complete"):
        driver.read_content(request)
    driver.wait(request, lambda: woken.append(True))
    assert woken == [True, True]


@pytest.mark.parametrize("streams", [False, True])
def test_content_is_asked_for_when_it_is_wanted(streams: bool) -> None:
    pair = Pair(keep, streams=streams)
    id = pair.send(fields("/", "POST", ("expect", "100-continue")), end=False)
    pair.run()
    if streams:
        assert 1 not in pair.answers
        driver, request = reading(pair)
        assert driver.read_content(request) is None
        assert driver.read_content(request) is None
        pair.run()
    assert pair.answers[id].informational == ["100"]
    pair.client.send_data(id, b"abc", end_stream=True)
    pair.run()
    driver, request = reading(pair)
    assert (driver.read_content(request) if streams else request.body()) == b"abc"
    driver.respond(request, Response())
    pair.run()
    assert pair.answers[id].status == "200"


def test_buffered_content_is_bounded_and_the_oldest_gets_on() -> None:
    pair = Pair(lambda driver, request: driver.respond(request, Response(body=str(len(request.body())))))
    size, count = 900_000, 12
    ids = [pair.send(fields("/", "POST"), end=False) for _ in range(count)]
    left = dict.fromkeys(ids, size)
    most = 0
    while left:
        before = sum(left.values())
        for id in list(left):
            part = min(left[id], pair.client.local_flow_control_window(id), 16384)
            if part:
                left[id] -= part
                pair.client.send_data(id, b"x" * part, end_stream=not left[id])
                if not left[id]:
                    del left[id]
        pair.run()
        under_way = [id for id in ids if id in left]
        most = max(most, sum(size - left[id] for id in under_way))
        assert sum(left.values()) < before, "nobody gets on"
    assert [pair.answers[id].body for id in ids] == [b"900000"] * count
    assert most < 4 * MIB + count * 65536 + size


def test_content_that_nobody_wants_is_not_read_on() -> None:
    pair = Pair(keep, streams=True)
    id = pair.send(fields("/", "POST"), b"x" * 10, end=False)
    pair.run()
    driver, request = reading(pair)
    driver.respond(request, Response(body=b"no"))
    pair.run()
    got = pair.answers[id]
    assert (got.status, got.body, got.ended, got.reset) == ("200", b"no", True, 0)
    assert pair.server.is_quiet()
