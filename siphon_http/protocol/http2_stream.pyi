"""Types of http2_stream.pyx. What dispatch calls on a stream is for Cython only: see Exchange."""

from enum import IntEnum
from typing import final

from typing_extensions import disjoint_base

from siphon_http.protocol.http2_link import Http2Link
from siphon_http.protocol.http2_output import Http2Output

__all__ = ["Http2Flow", "Http2State", "Http2Stream"]

class Http2State(IntEnum):
    """State of the connection."""

    PREFACE = 0
    OPEN = 1
    DRAINING = 2
    CLOSED = 3

@disjoint_base
class Http2Flow(Http2Link):
    """What the streams of one connection share."""

    @property
    def state(self) -> Http2State: ...
    @property
    def streams(self) -> dict[int, Http2Stream]: ...
    @property
    def abandoned(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...
    @property
    def owed(self) -> int: ...
    @property
    def foreseen(self) -> int: ...
    @property
    def trials(self) -> int: ...
    @property
    def waiting(self) -> dict[int, Http2Stream]: ...

@final
class Http2Stream(Http2Output):
    """One request and its answer."""

    @property
    def id(self) -> int: ...
    @property
    def due(self) -> float: ...
