"""Answers that the client does not take: their content is counted, and requests are held back while it is much."""

from __future__ import annotations

import tracemalloc

import pytest
from h2.connection import H2Connection

from siphon_http._core.message import Request, Response
from siphon_http._core.traffic import RouteCounts, Traffic
from siphon_http.testing import BufferDriver
from tests.http2_frames import frames
from tests.protocol.http2_pair import Answer, Owner, Pair, always, fields, keep

MIB = 1_048_576
WINDOW = 4  # SETTINGS_INITIAL_WINDOW_SIZE


def own(size: int) -> Answer:
    """Return an answer function that makes new content for each request."""
    return lambda driver, request: driver.respond(request, Response(body=b"x" * size))


def stuck(size: int = MIB, streams: int = 1000, window: int = 0, answer: Answer | None = None) -> Pair:
    """Return a pair with `streams` requests whose answers find little window."""
    pair = Pair(answer or own(size), settings={WINDOW: window, 3: streams}, takes=False, max_streams=streams)
    for _ in range(streams):
        pair.send(fields())
    return pair.run()


def test_what_answers_keep_is_counted() -> None:
    pair = stuck(100, 3, window=60)
    assert pair.server.owed == 300  # an object costs all of it until its last byte is sent
    pair.client.increment_flow_control_window(40, 3)
    pair.run()
    assert pair.server.owed == 200
    pair.client.reset_stream(1)
    pair.run()
    assert pair.server.owed == 100
    pair.server.detach()
    assert pair.server.owed == 0


def test_pieces_of_a_streamed_answer_are_counted() -> None:
    pair = Pair(keep, settings={WINDOW: 15}, takes=False)
    pair.get()
    driver, request = pair.owner.drivers[0], pair.owner.requests[0]
    driver.start(request, Response())
    for _ in range(3):
        driver.chunk(request, b"x" * 10)
    assert pair.server.owed == 20
    driver.fail(request)
    assert pair.server.owed == 0


@pytest.mark.parametrize("step", [0, 1])
def test_a_thousand_answers_of_a_mebibyte_each_stay_small(step: int) -> None:
    tracemalloc.start()
    pair = stuck()
    for id in range(1, 2000, 2) if step else ():
        pair.client.increment_flow_control_window(step, id)
    pair.run()
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pair.server.streams) == 1000 and pair.server.sent_bytes == step
    assert len(pair.owner.requests) == 1 and len(pair.server.waiting) == 999
    assert grown < 16 * MIB


def test_dribbled_windows_let_nothing_more_in() -> None:
    """The client's default windows, and then a byte now and then: more is sent, and no more is kept."""
    pair = stuck(window=65535, streams=100)
    for _ in range(30):
        pair.client.increment_flow_control_window(1)
        for id in range(1, 200, 2):
            pair.client.increment_flow_control_window(1, id)
        pair.run()
    assert len(pair.owner.requests) == 1 and pair.server.sent_bytes == 65535 + 30
    assert pair.server.owed == MIB


def test_many_small_answers_are_kept_up_to_a_limit() -> None:
    pair = stuck(10_000, 200)
    assert len(pair.owner.requests) == 53 and pair.server.owed == 530_000


def test_handlers_that_suspend_run_one_by_one_when_the_client_opens_narrow_windows() -> None:
    pair = stuck(streams=100, answer=keep)
    for n in range(1, 4):
        assert len(pair.owner.requests) == n
        pair.owner.drivers[-1].respond(pair.owner.requests[-1], Response(body=b"x"))
    pair.client.reset_stream(7)
    pair.run()
    assert len(pair.owner.requests) == 4  # its handler has not ended
    pair.owner.drivers[3].respond(pair.owner.requests[3], Response())
    assert len(pair.owner.requests) == 5


def test_a_handler_that_ends_without_an_answer_makes_room() -> None:
    pair = stuck(streams=2, answer=keep)
    pair.client.reset_stream(1)
    pair.run()
    assert len(pair.owner.requests) == 1
    pair.owner.drivers.clear()
    assert pair.server.expire(200.0) == 0 and len(pair.owner.requests) == 2


def test_handlers_run_at_once_when_the_windows_are_the_usual_ones() -> None:
    assert len(stuck(window=65535, streams=100, answer=keep).owner.requests) == 100


def known(size: int) -> RouteCounts:
    """Return the numbers of a route whose answers had `size` bytes lately."""
    counts = Traffic().route("/known")
    pair = Pair(own(size))
    pair.owner.counts = counts
    assert len(pair.get().body) == size and counts.content == size
    return counts


def suspended(counts: RouteCounts, count: int, taken: int = 0) -> Pair:
    """Return a pair with requests of one route whose handlers suspend; its client has `taken` so many bytes before."""
    pair = Pair(own(MIB), settings={WINDOW: 65535 + MIB}, max_streams=1000)
    for _ in range(taken // MIB):
        pair.client.increment_flow_control_window(MIB)
        pair.get()
    pair.owner.counts, pair.owner.answer, pair.takes = counts, keep, False
    for _ in range(count):
        pair.send(fields())
    return pair.run()


@pytest.mark.parametrize(
    ("size", "taken", "running"),
    [
        (MIB, 0, 1),
        (100_000, 0, 6),
        (16_384, 0, 32),
        (16_383, 0, 100),
        (MIB, 3 * MIB, 3),
        (MIB, 18 * MIB, 16),
        (100_000, 3 * MIB, 32),
    ],
)
def test_handlers_that_suspend_run_as_far_as_what_is_foreseen(size: int, taken: int, running: int) -> None:
    """As much as may be owed anyway, or as much as the client has taken before."""
    pair = suspended(known(size), 100, taken)
    assert len(pair.owner.requests) - taken // MIB == running
    assert pair.server.foreseen == (running * size if size >= 16_384 else 0)
    for driver, request in zip(pair.owner.drivers, pair.owner.requests, strict=True):
        driver.fail(request)
    pair.server.detach()
    assert pair.server.foreseen == 0


def test_a_thousand_answers_of_handlers_that_suspend_stay_small() -> None:
    """The usual windows, of which the client gives no more."""
    pair = suspended(known(MIB), 1000)
    pair.owner.drivers[-1].respond(pair.owner.requests[-1], Response(body=bytes(MIB)))
    pair.run()
    assert len(pair.owner.requests) == 1 and pair.server.owed == MIB and len(pair.server.waiting) == 999


def test_light_requests_pass_by_those_that_wait_for_what_is_foreseen() -> None:
    pair = suspended(known(MIB), 5)
    assert len(pair.server.waiting) == 4
    pair.owner.counts, pair.owner.answer = known(100), always(body=b"x")
    assert pair.get().body == b"x" and len(pair.server.waiting) == 4


def test_few_handlers_begin_before_their_route_has_ever_answered() -> None:
    """Four at first, of all connections; more in time; all that the client takes once it is known how large answers are."""
    counts = Traffic().route("/new")
    assert counts.content == -1
    pair = suspended(counts, 40)
    assert len(pair.owner.requests) == counts.trials == 4 and len(pair.server.waiting) == 36
    for seconds, running in ((0.1, 4), (0.15, 8), (0.25, 16), (0.4, 32), (0.5, 40)):
        pair.server.expire(100.0 + seconds)
        assert len(pair.owner.requests) == running
    pair.client.reset_stream(1)
    pair.run()
    assert counts.trials == pair.server.trials == 39


@pytest.mark.parametrize("size,running", [(MIB, 4), (300_000, 5), (10, 40), (0, 40)])
def test_the_first_answer_tells_how_many_may_run(size: int, running: int) -> None:
    counts = Traffic().route("/new")
    pair = suspended(counts, 40)
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(body=bytes(size)))
    pair.run()
    assert len(pair.owner.requests) == running and counts.content == size


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_an_answer_that_is_no_measure_ends_the_trial_too(status: int) -> None:
    counts = Traffic().route("/new")
    pair = suspended(counts, 40)
    pair.owner.drivers[0].respond(pair.owner.requests[0], Response(status))
    assert len(pair.owner.requests) == 40 and counts.content == 0


def test_a_streamed_answer_ends_the_trial_too() -> None:
    counts = Traffic().route("/new")
    pair = suspended(counts, 40)
    pair.owner.drivers[0].start(pair.owner.requests[0], Response())
    assert len(pair.owner.requests) == 40 and counts.content == 0


def test_each_connection_may_try_one_handler() -> None:
    """... of a route that has never answered, and one of a connection that has a route to itself is not held up."""
    counts = Traffic().route("/new")
    pairs = [suspended(counts, 10) for _ in range(8)]
    assert [len(pair.owner.requests) for pair in pairs] == [4, *[1] * 7] and counts.trials == 11
    pairs[0].owner.counts = Traffic().route("/other")
    pairs[0].get("/other")
    assert pairs[0].owner.requests[-1].path == "/other"
    for pair in pairs:
        pair.owner.connection.detach()
    assert counts.trials == 0


def test_what_was_foreseen_is_forgotten_when_it_is_known() -> None:
    """A handler that streams, one that is reset, one that times out: each lets the next one run."""
    pair = suspended(known(MIB), 5)
    assert len(pair.owner.requests) == 1 and pair.server.foreseen == MIB
    pair.owner.drivers[0].start(pair.owner.requests[0], Response())
    assert len(pair.owner.requests) == 2
    pair.client.reset_stream(3)
    pair.run()
    assert len(pair.owner.requests) == 3
    pair.server.time_out(pair.owner.requests[2])
    pair.run()
    assert len(pair.owner.requests) == 4 and pair.server.foreseen == MIB
    pair.client.reset_stream(9)  # it waits
    pair.run()
    assert pair.server.foreseen == MIB and not pair.server.waiting


def test_a_client_that_takes_gets_what_is_foreseen_faster_and_faster() -> None:
    pair = suspended(known(MIB // 2), 16)
    pair.client.increment_flow_control_window(100 * MIB)
    pair.client.update_settings({WINDOW: 2 * MIB})
    pair.takes = True
    most = 0
    while pair.server.streams:
        running = [
            (driver, request)
            for driver, request in zip(pair.owner.drivers, pair.owner.requests, strict=True)
            if driver.is_open(request)
        ]
        most = max(most, len(running))
        for driver, request in running:
            driver.respond(request, Response(body=bytes(MIB // 2)))
        pair.run()
    assert sum(one.ended for one in pair.answers.values()) == 16 and most > 4


def test_slow_handlers_do_not_make_those_late_that_wait_for_them() -> None:
    """After an eighth of its time a request runs, unless the client has to take something first."""
    pair = suspended(known(MIB), 0)
    received = pair.owner.head_received
    heads: list[Request] = []

    def note(request: Request) -> int:
        heads.append(request)
        return received(request)

    pair.owner.head_received = note  # type: ignore[method-assign]
    for _ in range(4):
        pair.send(fields())
        pair.run()
        pair.server.arm(heads[-1], 108.0)
    assert len(pair.owner.requests) == 1 and len(pair.server.waiting) == 3
    pair.server.expire(100.9)
    assert len(pair.owner.requests) == 1
    pair.owner.answer = lambda driver, request: driver.respond(request, Response(body=bytes(MIB)))
    pair.server.expire(101.0)
    assert len(pair.owner.requests) == 2 and pair.server.owed == MIB
    pair.server.expire(107.0)
    assert len(pair.owner.requests) == 2


def test_only_good_answers_of_handlers_tell_what_a_route_weighs() -> None:
    counts = known(MIB)
    pair = Pair(keep)
    pair.owner.counts = counts
    for status in (404, 500):
        pair.get()
        pair.owner.drivers[-1].respond(pair.owner.requests[-1], Response(status, body=b"no"))
    pair.get()
    pair.server.time_out(pair.owner.requests[-1])
    assert counts.content == MIB
    pair.get()
    pair.owner.drivers[-1].respond(pair.owner.requests[-1], Response(body=b""))
    assert counts.content == MIB - MIB // 8


def test_a_client_that_takes_gets_everything() -> None:
    pair = stuck(300_000, 20)
    pair.takes = True
    assert len(pair.owner.requests) == 2
    pair.client.update_settings({WINDOW: 65535})
    pair.run()
    assert [len(pair.answers[id].body) for id in range(1, 41, 2)] == [300_000] * 20
    assert all(pair.answers[id].ended for id in range(1, 41, 2)) and pair.server.owed == 0


def test_a_large_answer_does_not_hold_up_the_others_for_good() -> None:
    """A download of 8 MiB, and small requests beside it: one of them for each eighth of what is owed."""
    pair = Pair(
        lambda driver, request: driver.respond(request, Response(body=b"x" * int(request.path[1:]))), takes=False
    )
    large = pair.get("/8388608")
    small = [pair.send(fields("/5")) for _ in range(3)]
    pair.run()
    assert len(pair.server.waiting) == 3
    pair.client.increment_flow_control_window(100_000_000)
    for step, answered in ((MIB - 1, 0), (1, 1), (MIB, 2), (MIB, 3)):
        pair.client.increment_flow_control_window(step, 1)
        pair.run()
        assert sum(pair.answers[id].body == b"xxxxx" for id in small if id in pair.answers) == answered
    assert not large.ended


def test_a_request_that_is_held_back_can_be_reset_and_a_drain_waits_for_it() -> None:
    pair = stuck(streams=3)
    pair.client.reset_stream(3)
    pair.run()
    assert list(pair.server.waiting) == [5] and pair.owner.calls[-1] == ("request_abandoned", "/")
    pair.server.drain()
    pair.server.drain()
    pair.client.update_settings({WINDOW: 2 * MIB})
    pair.client.increment_flow_control_window(4 * MIB)
    pair.run()
    assert len(pair.answers[5].body) == MIB and len(pair.owner.requests) == 2 and pair.is_closed()


def test_a_request_that_is_held_back_is_answered_504_in_its_time() -> None:
    pair = Pair(own(MIB), settings={WINDOW: 0}, takes=False)
    heads: list[Request] = []
    received = pair.owner.head_received

    def note(request: Request) -> int:
        heads.append(request)
        return received(request)

    pair.owner.head_received = note  # type: ignore[method-assign]
    pair.get()
    late = pair.get("/late")
    pair.server.arm(heads[1], 101.0)
    pair.server.expire(101.0)
    pair.run()
    assert late.status == "504" and not pair.server.waiting and len(pair.owner.requests) == 1


def test_a_full_loop_leaves_each_connection_one_answer() -> None:
    """Nine clients that take nothing; the tenth is served, and gets no second answer before it has taken the first."""
    buffer = BufferDriver().buffer
    owners = [Owner(own(1000 if n == 9 else MIB), buffer=buffer) for n in range(10)]
    for owner in owners:
        client = H2Connection()
        client.initiate_connection()
        client.update_settings({WINDOW: 100 if owner is owners[9] else 0})
        for id in (1, 3):
            client.send_headers(id, fields(), end_stream=True)
        owner.connection.receive_data(client.data_to_send(), 100.0)
        assert len(owner.requests) == 1
    for owner in owners[:9]:
        owner.connection.detach()
    assert len(owners[9].requests) == 1
    owners[9].connection.receive_data(b"\0\0\4\x08\0\0\0\0\1\0\0\0\1", 100.0)
    assert len(owners[9].requests) == 2


def test_the_window_of_a_connection_does_not_grow_with_its_streams() -> None:
    pair = Pair(keep, max_streams=1000)
    updates = [payload for kind, _, id, payload in frames(pair.owner.written) if kind == 8 and id == 0]
    assert 65535 + int.from_bytes(updates[0], "big") == 8 * MIB
    assert Pair(always(body=b"x"), max_streams=10).get().body == b"x"
