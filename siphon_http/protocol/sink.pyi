"""Types of sink.pyx. The methods of Sink are for Cython only; Python owners go through PySink."""

from typing import Protocol, final

from typing_extensions import disjoint_base

from siphon_http._core.exchange import Exchange
from siphon_http._core.message import Request

__all__ = ["NoSink", "PySink", "Sink"]

class _Target(Protocol):
    def head_received(self, request: Request, /) -> int: ...
    def request_received(self, exchange: Exchange, request: Request, /) -> object: ...
    def request_ended(self, request: Request, /) -> object: ...
    def request_abandoned(self, request: Request, /) -> object: ...
    def refused(self, status: int, /) -> object: ...
    def write(self, data: bytes, /) -> object: ...
    def hold(self, stop: bool, /) -> object: ...
    def close(self, linger: bool, /) -> object: ...
    def abort(self) -> object: ...

@disjoint_base
class Sink:
    """The owner of a connection."""

@final
class NoSink(Sink):
    """Takes every call and does nothing."""

@disjoint_base
class PySink(Sink):
    """Forwards every call to a Python object, for recorders and fakes."""

    def __init__(self, target: _Target) -> None: ...
