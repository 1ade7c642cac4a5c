"""The floor: uvloop's transport and a protocol that parses nothing and answers from a constant.

Arguments: port, and for TLS the certificate's and the key's file. Every blank line that ends a head is one request, so
pipelined ones are all answered, with one write per read. Requests with a body are not understood.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\ncontent-type: text/plain\r\n\r\nHello, World!"
BLANK = b"\r\n\r\n"


class Floor(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_tail", "_transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports derive from nothing of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        if self._tail:
            data = self._tail + data
        ended = data.count(BLANK)
        # Three bytes cannot hold a blank line, so what is kept for a split one is never counted twice.
        self._tail = b"" if data.endswith(BLANK) else data[-3:]
        if ended == 1:
            self._transport.write(ANSWER)
        elif ended:
            self._transport.write(ANSWER * ended)


async def serve(port: str, *material: str) -> None:
    context = None
    if material:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*material)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(Floor, "127.0.0.1", int(port), ssl=context, backlog=1024)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
