"""Counters, gauges and histograms of this script, for Prometheus."""

from siphon_http.host.metrics import MetricsNamespace

_namespace: MetricsNamespace

counter = _namespace.counter
gauge = _namespace.gauge
histogram = _namespace.histogram
