"""What clients count, and where: before a process counts for others to see, and after."""

from siphon_http._core.client_traffic import OTHER, ClientTraffic
from siphon_http._core.counters import LEDGER_BYTES, Counters
from siphon_http.host.ledger import Ledgers, series_of


def read(memory):
    return {one.name.removeprefix("siphon_http_client_") for one in series_of(memory)}


def test_a_client_has_one_set_of_numbers_and_those_without_a_name_share_theirs():
    traffic = ClientTraffic()
    assert traffic.client("api") is traffic.client("api")
    assert traffic.client("api").client == "api"
    assert traffic.client(None) is traffic.client(OTHER)


def test_numbers_are_seen_once_they_are_attached_and_not_before():
    memory = memoryview(bytearray(LEDGER_BYTES))
    counters = Counters(Ledgers(memory).of("http"))
    traffic = ClientTraffic()
    traffic.client("api")
    assert read(memory) == {"siphon_metrics_dropped_total"}
    traffic.attach(counters)
    traffic.attach(counters)
    assert traffic.counters is counters
    assert read(memory) >= {
        "calls_in_flight", "calls_waiting", "call_duration_seconds", "connections_open", "connections_idle",
        "connections_total", "received_bytes_total", "sent_bytes_total", "retries_total",
    }  # fmt: skip


def test_two_loads_of_a_configuration_count_in_the_same_cells():
    counters = Counters()
    for _ in range(2):
        traffic = ClientTraffic()
        traffic.attach(counters)
        traffic.client("api")
        counters.gauge("siphon_http_client_connections_open", "Open connections to servers.", client="api").add(1)
    assert counters.gauge("siphon_http_client_connections_open", "x", client="api").get() == 2
