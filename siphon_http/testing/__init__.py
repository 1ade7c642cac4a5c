"""What tests of siphon-http, and of what is built on it, drive its parts with."""

from __future__ import annotations

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
from siphon_http.testing.http2_client_driver import Http2ClientDriver

__all__ = [
    "BufferDriver",
    "CallbackDeadline",
    "DeadlinesDriver",
    "ExchangeDriver",
    "Http2ClientDriver",
    "ManualClock",
    "MemoryTransport",
    "Received",
    "RecordingHandler",
    "RecordingSink",
    "prepare_request",
    "request_facts",
]
