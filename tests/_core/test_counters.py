import gc
import sys

import pytest

from siphon_http._core.counters import LEDGER_BYTES, Counters, label_text
from siphon_http._core.traffic import DURATIONS, Traffic
from siphon_http.host import ledger
from siphon_http.host.ledger import COUNTER, GAUGE, HISTOGRAM, LOCAL, Ledgers, series_of


def memory():
    return Ledgers(memoryview(bytearray(2 * LEDGER_BYTES)))


def read(counters_of):
    return {(one.name, one.labels): one for one in series_of(counters_of._memory)}


def test_what_is_counted_in_c_is_read_by_the_host():
    ledgers = memory()
    counters = Counters(ledgers.of("http"))
    calls = counters.counter("calls_total", "Calls.", client='a"b', code=200)
    calls.add()
    calls.add(4)
    lag = counters.gauge("lag_seconds", "Lag.", local=True, seconds=True)
    lag.put(1_500_000_000)
    found = read(ledgers)
    one = found["calls_total", 'client="a\\"b",code="200"']
    assert (one.help, one.kind, one.values) == ("Calls.", COUNTER, (5.0,))
    one = found["lag_seconds", ""]
    assert (one.kind, one.values) == (LOCAL, (1.5,))


def test_the_sizes_of_both_sides_agree():
    assert LEDGER_BYTES == ledger.LEDGER_BYTES


def test_the_same_name_and_labels_are_the_same_number():
    counters = Counters()
    counters.counter("a_total", "A.", x=1).add(2)
    assert counters.counter("a_total", "A.", x=1).get() == 2
    assert counters.counter("a_total", "A.", x=2).get() == 0
    with pytest.raises(ValueError, match="a_total is there already as something else"):
        counters.gauge("a_total", "A.", x=1)


def test_the_next_process_goes_on_from_the_counts_but_not_from_the_gauges():
    ledgers = memory()
    before = Counters(ledgers.of("http"))
    before.counter("a_total", "A.").add(7)
    before.gauge("open", "Open.").add(3)
    after = Counters(ledgers.of("http"))
    assert after.counter("a_total", "A.").get() == 7
    assert after.gauge("open", "Open.").get() == 0
    after.counter("b_total", "B.").add(1)
    assert {name for name, _ in read(ledgers)} == {"a_total", "b_total", "open", "siphon_metrics_dropped_total"}


def test_a_full_ledger_counts_where_nobody_looks_and_says_so():
    counters = Counters(bytearray(1024))
    cells = [counters.counter("name_total", "Help.", number=i) for i in range(40)]
    for cell in cells:
        cell.add()
    assert 0 < counters.dropped < 40
    assert cells[0].get() == 1


@pytest.mark.parametrize("buffer", [bytearray(512), bytearray(b"\x01" * 2048)], ids=["small", "foreign"])
def test_memory_that_is_no_ledger_is_refused(buffer):
    with pytest.raises(ValueError):
        Counters(buffer)


GUARD = b"\xa5" * 64


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 960 + 8), (6, 0), (6, (64 + 960) // 8 + 1), (8, 65535), (10, 65535)],
    ids=["longer than the ledger", "no cells", "cells from before the ledger on", "name", "labels"],
)
def test_a_damaged_record_is_refused_and_nothing_around_the_ledger_is_touched(at, value):
    memory = bytearray(GUARD + bytes(1024) + GUARD)
    with memoryview(memory)[64 : 64 + 1024] as ledger:
        Counters(ledger).gauge("a", "h" * 935).put(7)  # one record, to the ledger's last byte
        assert int.from_bytes(ledger[64:68], sys.byteorder) == 960
        ledger[64 + at : 64 + at + 2] = value.to_bytes(2, sys.byteorder)
        with pytest.raises(ValueError, match="the ledger is damaged"):
            Counters(ledger)
        left = bytes(ledger)
    assert memory[:64] == memory[-64:] == GUARD
    found = [one.name for one in series_of(memoryview(left.ljust(LEDGER_BYTES, b"\0")))]
    assert found == ["siphon_metrics_dropped_total"], "the host passes it over"


def test_a_record_of_an_unknown_kind_is_nobodys_number():
    memory = bytearray(1024)
    Counters(memory).counter("a_total", "A.").add(7)
    memory[64 + 4] = 255
    with pytest.raises(ValueError, match="a_total is there already as something else"):
        Counters(memory).counter("a_total", "A.")


@pytest.mark.parametrize("used", [0, 56, 65, LEDGER_BYTES + 8, 1 << 62])
def test_a_ledger_that_is_used_to_beyond_its_end_is_refused(used):
    memory = bytearray(LEDGER_BYTES)
    Counters(memory).gauge("a", "A.")
    memory[16:24] = used.to_bytes(8, sys.byteorder)
    with pytest.raises(ValueError, match="damaged"):
        Counters(memory)


def test_a_gauge_without_a_cell_is_not_set_behind_the_end():
    memory = bytearray(1024 + 64)
    with memoryview(memory)[:1024] as ledger:
        Counters(ledger)
        memory[16:24] = (1024).to_bytes(8, sys.byteorder)
        memory[64:72] = (1024 - 64).to_bytes(4, sys.byteorder) + bytes((2, 0, 0, 0))
        memory[1024:] = b"x" * 64
        with pytest.raises(ValueError, match="damaged"):
            Counters(ledger)
    assert memory[1024:] == b"x" * 64
    found = [one.name for one in series_of(memoryview(bytes(memory).ljust(LEDGER_BYTES, b"\0")))]
    assert found == ["siphon_metrics_dropped_total"], "the host reads no series without a number"


def test_a_cell_keeps_its_memory_alive():
    cell = Counters().counter("a_total", "A.")
    gc.collect()
    cell.add(3)
    assert cell.get() == 3 and cell.owner.dropped == 0


def test_labels_are_escaped_as_prometheus_asks():
    assert label_text({"a": 'x"\\\n', "b": 1}) == 'a="x\\"\\\\\\n",b="1"'


def test_traffic_has_its_series_at_once():
    ledgers = memory()
    traffic = Traffic(Counters(ledgers.of("http")))
    assert traffic.route("/a/{x}") is traffic.route("/a/{x}")
    found = read(ledgers)
    durations = found["siphon_http_request_duration_seconds", 'route="/a/{x}"']
    assert durations.kind == HISTOGRAM and tuple(map(float, durations.bounds)) == DURATIONS
    assert durations.values == (0.0,) * (len(DURATIONS) + 2)
    assert found["siphon_http_connections_open", ""].kind == GAUGE
