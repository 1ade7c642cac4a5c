"""What a bad server does: the cases of the backend that break something."""

from __future__ import annotations

import asyncio
import json

from tests.client.backend import Good

_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nx-field: value\r\n\r\nhello world"
_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
_RAW: dict[str, bytes] = {
    "garbage": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "http09": b"<html>0.9</html>",
    "two_lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
    "bad_length": b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nab",
    "negative_length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nab",
    "huge_length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nab",
    "length_and_chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown_coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bad_chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "chunk_without_end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "huge_chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "bad_status": b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    "status_99": b"HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n",
    "bad_version": b"HTTP/3.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "nul_in_field": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
    "space_in_name": b"HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 0\r\n\r\n",
    "no_colon": b"HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "unasked": _WHOLE + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
    "too_long": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello and more",
}
"""Answers that are sent as they are; the connection stays open."""


class Faulty(Good):
    """All cases, good and bad."""

    async def do_raw(self) -> bool:
        """/raw/NAME: see _RAW."""
        await self.content()
        await self.send(_RAW[self.path[1]])
        return True

    async def do_close(self) -> bool:
        """Close before any answer."""
        await self.content()
        return False

    async def do_reset(self) -> bool:
        """/reset, or /reset/20: after so many bytes of an answer."""
        await self.content()
        if len(self.path) > 1:
            await self.send(_WHOLE[: int(self.path[1])])
            await asyncio.sleep(0.02)  # the client reads this before a reset takes it away
        self.reset()
        return False

    async def do_cut(self) -> bool:
        """/cut/20?chunked=1: close after so many bytes of an answer."""
        await self.content()
        await self.send((_CHUNKED if "chunked" in self.query else _WHOLE)[: int(self.path[1])])
        return False

    async def do_silent(self) -> bool:
        """Never answer."""
        await asyncio.sleep(3600)  # until its client leaves
        return False

    async def do_stall(self) -> bool:
        """/stall/20: fall silent after so many bytes of an answer."""
        await self.send(_WHOLE[: int(self.path[1])])
        await asyncio.sleep(3600)  # until its client leaves
        return False

    async def do_trickle(self) -> bool:
        """/trickle/5: one byte in so many milliseconds, head first, for ever."""
        await self.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" if "head" not in self.query else b"")
        text = b"HTTP/1.1 200 OK\r\nx: " if "head" in self.query else b""
        for i in range(100_000):
            await self.send(text[i : i + 1] or b"t")
            await asyncio.sleep(int(self.path[1]) / 1000)
        return False

    async def do_giant_head(self) -> bool:
        """/giant_head/BYTES"""
        await self.send(b"HTTP/1.1 200 OK\r\nx-big: " + b"a" * int(self.path[1]) + b"\r\ncontent-length: 2\r\n\r\nok")
        return True

    async def do_many_fields(self) -> bool:
        """/many_fields/COUNT"""
        lines = b"".join(b"x-%d: 1\r\n" % i for i in range(int(self.path[1])))
        await self.send(b"HTTP/1.1 200 OK\r\n" + lines + b"content-length: 2\r\n\r\nok")
        return True

    async def do_endless_head(self) -> bool:
        await self.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await self.send(b"x: " + b"a" * 1000 + b"\r\n")

    async def do_endless_interim(self) -> bool:
        while True:
            await self.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 20)

    async def do_endless_body(self) -> bool:
        await self.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await self.send(b"4000\r\n" + b"b" * 0x4000 + b"\r\n")

    async def do_lie(self) -> bool:
        """Answer as if the connection stayed, and close it."""
        await self.content()
        await self.answer(b"lie")
        return False

    async def do_bye(self) -> bool:
        await self.content()
        await self.answer(b"bye", 200, ("connection: close",))
        return False

    async def do_half_close(self) -> bool:
        """Answer, and send the end of our side; go on reading."""
        await self.content()
        await self.answer(b"half")
        if self.writer.can_write_eof():
            self.writer.write_eof()
        await asyncio.sleep(3600)  # until its client leaves
        return False

    async def do_close_later(self) -> bool:
        """/close_later/50: answer, and close the idle connection after so many milliseconds."""
        await self.content()
        await self.answer(b"later")
        await asyncio.sleep(int(self.path[1]) / 1000)
        return False

    async def do_early(self) -> bool:
        """/early/413?drain=1: answer before the content has come; then read it and go on, or read on and on."""
        await self.answer(b"too large", int(self.path[1]), () if "drain" in self.query else ("connection: close",))
        if "drain" in self.query:
            await self.content()
            return True
        if self.writer.can_write_eof():
            self.writer.write_eof()
        while await self.reader.read(65536):
            pass
        return False

    async def do_early_reset(self) -> bool:
        """Answer 413 before the content has come, and close with bytes unread: the client sees a reset while it sends."""
        await self.reader.read(1000)
        await self.answer(b"too large", 413, ("connection: close",))
        self.writer.transport.abort()
        return False

    async def do_no_read(self) -> bool:
        """Read nothing of the content, answer nothing."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(3600)  # until its client leaves
        return False

    async def do_bomb(self) -> bool:
        """/bomb/MIB: gzip of so many MiB of zeros."""
        import gzip

        packed = gzip.compress(bytes(int(self.path[1]) << 20), 1)
        return await self.answer(packed, 200, ("content-encoding: gzip",))

    async def do_storm(self) -> bool:
        """/storm/ID: answer; but close at random moments: before the answer on a used connection, or after it."""
        await self.content()
        key, chance = self.path[1], self.backend.random.random()
        if self.served and chance < 0.1:
            if chance < 0.05:
                self.reset()
            return False  # as if the connection's idle time had run out while the request was under way
        self.backend.asked[key] += 1
        body = json.dumps({"id": key, "body": self.seen.body.decode("latin-1")}).encode()
        if chance < 0.15:
            await self.answer(body, 200, ("connection: close",))
            return False
        await self.answer(body)
        if chance < 0.25:
            return False
        if chance < 0.35:
            await asyncio.sleep(self.backend.random.random() * 0.004)
            self.reset()
            return False
        return True
