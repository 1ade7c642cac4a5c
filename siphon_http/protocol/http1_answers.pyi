"""Types of http1_answers.pyx."""

from enum import IntEnum

from typing_extensions import disjoint_base

from siphon_http._core.exchange import Exchange

__all__ = ["Http1Answers", "Http1State"]

class Http1State(IntEnum):
    """State of the connection, for the request under way."""

    IDLE = 0
    READING_HEAD = 1
    READING_BODY = 2
    RESPONDING = 3
    CLOSED = 4

@disjoint_base
class Http1Answers(Exchange):
    """The sending side of one HTTP/1.1 connection."""

    @property
    def state(self) -> Http1State: ...
