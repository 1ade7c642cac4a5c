"""Content codings of answers: gzip and deflate, bounded in what they may become (RFC 9110, 8.4.1)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

from siphon_http.errors import ReadError

__all__ = ["ACCEPT_ENCODING", "CODINGS_LIMIT", "ContentDecoder", "decoder"]

ACCEPT_ENCODING: Final = "gzip, deflate"
"""Sent by default, so that servers use what `decoder` knows."""

CODINGS_LIMIT: Final = 2
"""Codings on top of each other that are taken off; each multiplies what a bomb can become."""

PIECE_BYTES: Final = 65_536
"""Largest piece that is decoded at once."""

_BITE = 32_768


class _Stage(Protocol):
    """One coding."""

    def pieces(self, data: bytes) -> Iterator[bytes]: ...
    def end(self) -> None: ...


def decoder(coding: str, limit: int) -> ContentDecoder | None:
    """Return what takes `coding` off, or None: there is nothing to do, or it is unknown and the content stays as it is.

    coding: value of Content-Encoding, the first coding applied first; limit: largest decoded content in bytes.
    """
    names = [name for name in (part.strip().lower() for part in coding.split(",")) if name not in {"", "identity"}]
    if not names or len(names) > CODINGS_LIMIT or not _KINDS.keys() >= set(names):
        return None
    return ContentDecoder([_KINDS[name]() for name in reversed(names)], limit)


class ContentDecoder:
    """Takes the codings of one answer off, as it arrives.

    stages: in the order in which they are taken off; limit: largest content after any of them, in bytes. Errors are
    ReadError; after one it is of no more use.
    """

    def __init__(self, stages: list[Any], limit: int) -> None:
        self._stages: list[_Stage] = stages
        self._limit = limit
        self._sizes = [0] * len(stages)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode `data` piece by piece, none empty or above PIECE_BYTES, each when it is asked for: what streams slowly
        holds no more than that. All of them must be taken before the next call.

        Raises ReadError: damaged content, bytes after its end, or more than the limit.
        """
        # zlib hands back a copy of what it has not used with each piece: small bites keep that linear.
        for start in range(0, len(data), _BITE):
            yield from self._taken_off(data[start : start + _BITE], 0)

    def feed(self, data: bytes) -> bytes:
        """Return all that `data` decodes to. Raises ReadError, as `pieces`."""
        return b"".join(self.pieces(data))

    def end(self) -> None:
        """Say that the content has ended. None at all is fine (HEAD, 204, 304). Raises ReadError: it is cut."""
        for stage in self._stages:
            stage.end()

    def _taken_off(self, data: bytes, index: int) -> Iterator[bytes]:
        is_last = index == len(self._stages) - 1
        for piece in self._stages[index].pieces(data):
            self._sizes[index] += len(piece)
            if self._sizes[index] > self._limit:
                raise ReadError(f"the content decodes to more than {self._limit} bytes (max_response_bytes)")
            if is_last:
                yield piece
            else:
                yield from self._taken_off(piece, index + 1)


def _inflated(inflater: Any, data: bytes, name: str) -> Iterator[bytes]:
    """Yield what `data` decodes to, until the end of the stream or of the data."""
    while True:
        try:
            piece = inflater.decompress(data, PIECE_BYTES)
        except zlib.error as exc:
            raise ReadError(f"the {name} content is damaged: {_reason(exc)}") from exc
        if piece:
            yield piece
        data = inflater.unconsumed_tail
        if inflater.eof or (not data and len(piece) < PIECE_BYTES):
            return


def _reason(exc: zlib.error) -> str:
    """Return what zlib says, without its numbers."""
    return str(exc).rpartition(": ")[2]


class _Gzip:
    """`gzip`: one or more members (RFC 1952, section 2.2)."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._is_begun = False  # whether the current member has a byte

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self._is_begun = True
            yield from _inflated(self._inflater, data, "gzip")
            data = self._inflater.unused_data

    def end(self) -> None:
        if self._is_begun and not self._inflater.eof:
            raise ReadError("the gzip content is cut: its end is missing")


class _Deflate:
    """`deflate`: the zlib format (RFC 1950), or what many servers send instead, a bare stream (RFC 1951)."""

    def __init__(self) -> None:
        self._inflater: Any = None
        self._start = b""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inflater is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return
            # RFC 1950, 2.2: method 8, window of at most 2^15, and a check that makes the first two bytes divisible by 31.
            is_zlib = data[0] & 0x8F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
            self._start = b""
        if self._inflater.eof:
            if data:
                raise ReadError(f"{len(data)} bytes follow the end of the deflate content")
            return
        yield from _inflated(self._inflater, data, "deflate")
        if self._inflater.unused_data:
            raise ReadError(f"{len(self._inflater.unused_data)} bytes follow the end of the deflate content")

    def end(self) -> None:
        if self._start or (self._inflater is not None and not self._inflater.eof):
            raise ReadError("the deflate content is cut: its end is missing")


_KINDS: Final = {"gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate}
