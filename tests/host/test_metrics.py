import math
import os
import threading
from itertools import permutations

import pytest

from siphon_http.host.ledger import LEDGER_BYTES, LOCAL, Ledger, Ledgers, Series
from siphon_http.host.metrics import MetricsNamespace, as_json, as_text, processes, summed
from tests.linux import needs_proc


def process():
    memory = memoryview(bytearray(2 * LEDGER_BYTES))
    return memory, MetricsNamespace(Ledger(Ledgers(memory).of("host")))


def lines(*slots, ended=()):
    text = as_text(summed({str(i): slot for i, slot in enumerate(slots)}, ended))
    return [line for line in text.splitlines() if "siphon_metrics_dropped" not in line]


def test_the_text_of_each_kind():
    memory, metrics = process()
    metrics.counter("jobs_total", "Jobs\ndone.").inc()
    metrics.gauge("depth", "Depth.").set(2.5)
    waits = metrics.histogram("wait_seconds", "Waits.", buckets=[0.1, 1])
    for value in (0.1, 0.5, 3):
        waits.observe(value)
    assert lines(memory) == [
        "# HELP depth Depth.",
        "# TYPE depth gauge",
        "depth 2.5",
        "# HELP jobs_total Jobs done.",
        "# TYPE jobs_total counter",
        "jobs_total 1",
        "# HELP wait_seconds Waits.",
        "# TYPE wait_seconds histogram",
        'wait_seconds_bucket{le="0.1"} 1',
        'wait_seconds_bucket{le="1"} 2',
        'wait_seconds_bucket{le="+Inf"} 3',
        "wait_seconds_sum 3.6",
        "wait_seconds_count 3",
    ]


def test_labels_make_series_of_their_own():
    memory, metrics = process()
    calls = metrics.counter("calls_total", "Calls.", ["peer", "code"])
    calls.labels(peer='a"b', code=200).inc(2)
    calls.labels(code=200, peer='a"b').inc()
    calls.labels(peer="c", code=500).inc()
    assert lines(memory)[2:] == ['calls_total{peer="a\\"b",code="200"} 3', 'calls_total{peer="c",code="500"} 1']
    with pytest.raises(ValueError, match="labels"):
        calls.inc()
    with pytest.raises(ValueError, match=r"takes the labels \('peer', 'code'\)"):
        calls.labels(peer="a")


def test_workers_are_summed_and_gauges_are_each_workers_own():
    (first, one), (second, two) = process(), process()
    for metrics, amount in ((one, 2), (two, 3)):
        metrics.counter("jobs_total", "Jobs.").inc(amount)
        metrics.gauge("depth", "Depth.").set(amount)
        metrics.histogram("wait", "Waits.", buckets=[1]).observe(amount)
    found = lines(first, second)
    assert "jobs_total 5" in found
    assert {'depth{worker="0"} 2', 'depth{worker="1"} 3'} <= set(found)
    assert {"wait_sum 5", "wait_count 2"} <= set(found)


def test_a_sum_is_the_same_in_whatever_order_workers_stand():
    made = [process() for _ in range(3)]
    for (_, metrics), amount in zip(made, (0.1, 0.2, 0.3), strict=True):
        metrics.counter("jobs_total", "Jobs.").inc(amount)
        metrics.histogram("wait", "Waits.", buckets=[1]).observe(amount)
    slots = [memory for memory, _ in made]
    texts = {tuple(lines(*order[:alive], ended=order[alive:])) for order in permutations(slots) for alive in (1, 2)}
    assert len(texts) == 1, "less by its last digit, a counter has begun anew for Prometheus"
    for (_, metrics), amount in zip(made, (math.inf, -math.inf), strict=False):
        metrics.histogram("wait", "Waits.", buckets=[1]).observe(amount)
    assert "wait_sum NaN" in lines(*slots)


def test_what_a_dead_worker_counted_stays_and_its_gauges_go():
    (alive, one), (dead, two) = process(), process()
    one.counter("jobs_total", "Jobs.").inc()
    two.counter("jobs_total", "Jobs.").inc(4)
    two.gauge("depth", "Depth.").set(9)
    found = lines(alive, ended=[dead])
    assert "jobs_total 5" in found and not any(line.startswith("depth") for line in found)


def test_the_same_name_is_the_same_number_also_after_a_reload():
    memory, metrics = process()
    metrics.counter("jobs_total", "Jobs.").inc()
    again = metrics.counter("jobs_total", "Jobs.")
    again.inc(math.pi)
    assert f"jobs_total {1 + math.pi}" in lines(memory)
    with pytest.raises(ValueError, match="jobs_total is a counter"):
        metrics.gauge("jobs_total", "Jobs.")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.counter("two words", "x"),
        lambda m: m.counter("siphon_mine", "x"),
        lambda m: m.counter("a", "x", "label"),
        lambda m: m.counter("a", "x", ["le"]),
        lambda m: m.counter("a", "x").inc(-1),
        lambda m: m.counter("a", "x").inc(math.nan),
        lambda m: m.histogram("a", "x", buckets=[2, 1]),
        lambda m: m.histogram("a", "x", buckets=[]),
    ],
)
def test_what_cannot_be_a_metric_is_refused_where_it_is_made(wrong):
    _, metrics = process()
    with pytest.raises(ValueError):
        wrong(metrics)


def test_more_series_than_there_is_room_for_are_counted_and_cost_nothing_else():
    memory, metrics = process()
    calls = metrics.counter("calls_total", "Calls.", ["caller"])
    for number in range(5000):
        calls.labels(caller=number).inc()
    text = as_text(summed({"0": memory}))
    dropped = int(text.split("\nsiphon_metrics_dropped_total ")[1].split()[0])
    assert dropped + text.count("calls_total{") == 5000 and dropped > 100


def test_threads_lose_no_count():
    memory, metrics = process()
    jobs = metrics.counter("jobs_total", "Jobs.")
    threads = [threading.Thread(target=lambda: [jobs.inc() for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "jobs_total 8000" in lines(memory)


def test_a_process_without_any_ledger_left_counts_for_itself():
    ledgers = Ledgers(memoryview(bytearray(LEDGER_BYTES)))
    ledgers.of("a")
    assert len(ledgers.of("b")) == LEDGER_BYTES
    ledgers.of("a")[100] = 1
    assert ledgers.of("a")[100] == 1


@needs_proc
def test_memory_and_time_of_processes_are_told():
    found = {one.name: one.values[0] for one in processes({"0": os.getpid()})}
    assert found["process_resident_memory_bytes"] > 1_000_000 and found["process_open_fds"] > 2
    assert not list(processes({"0": 2**22 + 1}))


def test_numbers_as_json_and_odd_ones_as_text():
    series = [Series("a", "", "A", LOCAL, (), (value,)) for value in (math.nan, math.inf, -math.inf, 1e300)]
    assert [line.split()[-1] for line in as_text(series).splitlines()[2:]] == ["NaN", "+Inf", "-Inf", "1e+300"]
    memory, metrics = process()
    metrics.histogram("wait", "W", buckets=[1]).observe(2)
    assert as_json(summed({"0": memory}))["wait"] == {"count": 1.0, "sum": 2.0}
