"""Types of answer.pyx. The methods of Answer and Link are for Cython only; Python owners go through PyAnswer, PyLink."""

from typing import Protocol, final

from typing_extensions import disjoint_base

__all__ = ["Answer", "ClientProtocol", "Link", "NoAnswer", "PyAnswer", "PyLink"]

class _AnswerTarget(Protocol):
    def head_received(self, status: int, head: bytes, fields: int, fields_end: int, version: int, /) -> object: ...
    def content_received(self, data: bytes, /) -> object: ...
    def answer_ended(self) -> object: ...
    def answer_failed(self, failure: int, unprocessed: bool, reason: str, /) -> object: ...
    def content_wanted(self) -> object: ...

class _LinkTarget(Protocol):
    def write(self, data: bytes, /) -> object: ...
    def hold(self, stop: bool, /) -> object: ...
    def close(self) -> object: ...
    def abort(self) -> object: ...
    def room_changed(self) -> object: ...

@disjoint_base
class Answer:
    """The caller's end of one exchange."""

@final
class NoAnswer(Answer):
    """Takes every call and does nothing."""

@disjoint_base
class PyAnswer(Answer):
    """Forwards every call to a Python object."""

    def __init__(self, target: _AnswerTarget) -> None: ...

@disjoint_base
class Link:
    """The owner of a client's connection."""

@disjoint_base
class PyLink(Link):
    """Forwards every call to a Python object."""

    def __init__(self, target: _LinkTarget) -> None: ...

@disjoint_base
class ClientProtocol:
    """One connection as a client."""
