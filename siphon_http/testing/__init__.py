"""What tests of siphon-http, and of what is built on it, drive its parts with."""

from __future__ import annotations

from siphon_http.testing.client_driver import ClientDriver
from siphon_http.testing.driver import (
    BufferDriver,
    CallbackDeadline,
    DeadlinesDriver,
    ExchangeDriver,
    RecordingHandler,
    prepare_request,
    request_facts,
)
from siphon_http.testing.fakes import ManualClock, MemoryTransport, Received, RecordingSink
from siphon_http.testing.harness import Exchange, HttpTestHarness
from siphon_http.testing.request_double import make_request
from siphon_http.testing.sdk_alias import install_sdk_alias

__all__ = [
    "BufferDriver",
    "CallbackDeadline",
    "ClientDriver",
    "DeadlinesDriver",
    "Exchange",
    "ExchangeDriver",
    "HttpTestHarness",
    "ManualClock",
    "MemoryTransport",
    "Received",
    "RecordingHandler",
    "RecordingSink",
    "install_sdk_alias",
    "make_request",
    "prepare_request",
    "request_facts",
]
