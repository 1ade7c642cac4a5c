"""TLS between transport and connection: real sockets, a real client of the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import struct

import pytest
import trustme

from siphon_http._core.message import Response
from siphon_http.config import Address, ServerConfig, TlsConfig
from siphon_http.dispatch import Dispatcher
from siphon_http.registry import Registry
from siphon_http.server.lifecycle import Server
from siphon_http.server.secure import SecureTransport
from tests.stage import until

REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
BIG = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    pair = authority.issue_cert("localhost")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


def registry() -> Registry:
    found = Registry()

    async def hello(req):
        return Response(body=b"hi")

    async def echo(req):
        return Response(body=req.body())

    async def big(req):
        return Response(body=BIG)

    async def who(req):
        subject = dict(pair[0] for pair in req.peer_certificate["subject"])
        return Response(body=f"{req.scheme} {sorted(subject)}")

    found.add_route(hello, "/hello")
    found.add_route(echo, "/echo", ["POST"], max_body_bytes=4_000_000)
    found.add_route(big, "/big")
    found.add_route(who, "/who")
    return found


@contextlib.asynccontextmanager
async def serving(files, *, client_ca=False, min_version="1.2", **limits):
    loop = asyncio.get_running_loop()
    tls = TlsConfig(
        cert_path=files / "cert.pem",
        key_path=files / "key.pem",
        client_ca=files / "ca.pem" if client_ca else None,
        min_version=min_version,
    )
    address = Address(kind="tcp", host="127.0.0.1", port=0, path="", text="127.0.0.1:0")
    server = Server([ServerConfig(listen=address, tls=tls, **limits)])
    server.bind()
    port = server.listeners[0].port
    dispatcher = Dispatcher(registry().freeze(), loop)
    await server.serve(dispatcher)
    try:
        yield server, port
    finally:
        server.close()
        dispatcher.close()
        await asyncio.sleep(0)


def trusting(authority, *, version=None, identity=None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    context.set_alpn_protocols(["http/1.1"])
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if identity is not None:
        identity.configure_cert(context)
    return context


async def connect(port, context):
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def answer(reader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1])
    return head, await reader.readexactly(length)


async def closed(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_requests_are_answered_and_alpn_chooses_http_1_1(files, authority, version):
    async with serving(files) as (_, port):
        reader, writer = await connect(port, trusting(authority, version=version))
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            writer.write(REQUEST)
            head, body = await answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK") and body == b"hi"
        await closed(writer)


async def test_large_bodies_arrive_whole_in_both_directions(files, authority):
    async with serving(files) as (_, port):
        reader, writer = await connect(port, trusting(authority))
        writer.write(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
        _, body = await answer(reader)
        assert body == BIG
        writer.write(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        assert (await answer(reader))[1] == BIG
        assert (await answer(reader))[1] == BIG
        await closed(writer)


async def test_many_requests_in_one_record_are_answered_in_order(files, authority):
    async with serving(files) as (_, port):
        reader, writer = await connect(port, trusting(authority))
        writer.write(REQUEST * 500)
        for _ in range(500):
            assert (await answer(reader))[1] == b"hi"
        await closed(writer)


async def test_records_cut_at_any_byte_are_put_together(files, authority):
    async with serving(files) as (_, port):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send_slowly(step):
            data = outgoing.read()
            for at in range(0, len(data), step):
                writer.write(data[at : at + step])
                await asyncio.sleep(0)

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await send_slowly(7)
                incoming.write(await reader.read(65536))
        tls.write(REQUEST)
        await send_slowly(1)
        got = b""
        while not got.endswith(b"hi"):
            incoming.write(await reader.read(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                got += tls.read(65536)
        assert got.startswith(b"HTTP/1.1 200")
        await closed(writer)


async def test_a_client_certificate_is_required_and_shown_to_the_handler(files, authority):
    async with serving(files, client_ca=True) as (_, port):
        identity = authority.issue_cert("client.example")
        reader, writer = await connect(port, trusting(authority, identity=identity))
        writer.write(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, body = await answer(reader)
        assert head.startswith(b"HTTP/1.1 200") and body.startswith(b"https ")
        await closed(writer)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            reader, writer = await connect(port, trusting(authority))
            writer.write(REQUEST)
            await answer(reader)
        await closed(writer)


async def test_an_old_version_is_refused(files, authority):
    async with serving(files, min_version="1.3") as (server, port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(port, trusting(authority, version=ssl.TLSVersion.TLSv1_2))
        await until(lambda: not server.listeners[0].endpoint.handshakes)


async def test_plain_http_on_a_tls_port_is_closed_and_nobody_else_notices(files, authority):
    async with serving(files) as (server, port):
        plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
        plain_writer.write(REQUEST)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/1.1" not in await asyncio.wait_for(plain_reader.read(), 2)
        await closed(plain_writer)
        reader, writer = await connect(port, trusting(authority))
        writer.write(REQUEST)
        assert (await answer(reader))[1] == b"hi"
        await closed(writer)
        assert not server.listeners[0].endpoint.handshakes


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["silent", "half a hello"])
async def test_a_stalled_handshake_is_cut_by_the_header_timeout(files, sent):
    async with serving(files, header_timeout_ms=100) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        begun = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        assert 0.05 < asyncio.get_running_loop().time() - begun < 1
        assert not server.listeners[0].endpoint.handshakes
        await closed(writer)


async def test_a_handshake_counts_as_a_connection(files, authority):
    async with serving(files, max_connections=1) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        while not server.listeners[0].endpoint.handshakes:
            await asyncio.sleep(0.001)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(port, trusting(authority))
        await closed(writer)
        while server.listeners[0].endpoint.handshakes:
            await asyncio.sleep(0.001)
        reader, writer = await connect(port, trusting(authority))
        writer.write(REQUEST)
        assert (await answer(reader))[1] == b"hi"
        await closed(writer)


async def test_the_server_says_goodbye_before_it_closes(files, authority):
    async with serving(files) as (_, port):
        context = trusting(authority)
        with socket.create_connection(("127.0.0.1", port)) as raw:
            loop = asyncio.get_running_loop()

            def talk():
                with context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                    tls.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    got = b""
                    while piece := tls.recv(65536):  # a cut without close_notify raises SSLEOFError
                        got += piece
                    return got

            got = await loop.run_in_executor(None, talk)
        assert got.endswith(b"\r\n\r\nhi") and b"connection: close" in got


async def test_a_refused_upload_can_still_read_why(files, authority):
    async with serving(files, max_body_bytes=10) as (_, port):
        reader, writer = await connect(port, trusting(authority))
        writer.write(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(40):
            writer.write(b"x" * 65536)
            await asyncio.sleep(0)
        head, _ = await asyncio.wait_for(answer(reader), 5)
        assert head.startswith(b"HTTP/1.1 413")
        await closed(writer)


async def test_a_reset_in_the_middle_leaves_nothing_behind(files, authority):
    async with serving(files) as (server, port):
        for _ in range(5):
            _, writer = await connect(port, trusting(authority))
            writer.write(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)
            await asyncio.sleep(0.01)  # answers are on their way
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        await until(lambda: not server.open_connections)


async def test_drain_ends_handshakes_and_idle_connections(files, authority):
    async with serving(files) as (server, port):
        reader, writer = await connect(port, trusting(authority))
        writer.write(REQUEST)
        await answer(reader)
        stalled, stalled_writer = await asyncio.open_connection("127.0.0.1", port)
        while not server.listeners[0].endpoint.handshakes:
            await asyncio.sleep(0.001)
        assert await server.drain(2)
        assert await asyncio.wait_for(reader.read(), 2) == b""
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(stalled.read(), 2) == b""
        await closed(writer)
        await closed(stalled_writer)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_who_is_in_its_handshake_when_a_drain_begins_is_answered(files, authority, version):
    async with serving(files) as (server, port):
        sock = socket.create_connection(("127.0.0.1", port))
        while not server.listeners[0].endpoint.handshakes:
            await asyncio.sleep(0.001)
        draining = asyncio.ensure_future(server.drain(5))
        while not server.listeners[0].endpoint.draining:
            await asyncio.sleep(0.001)
        context = trusting(authority, version=version)
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost")
        writer.write(REQUEST)
        head, _ = await answer(reader)
        assert b"connection: close" in head
        assert await draining
        await closed(writer)


async def test_closed_connections_leave_no_cycles(files, authority):
    async with serving(files) as (server, port):

        async def one():
            reader, writer = await connect(port, trusting(authority))
            writer.write(REQUEST)
            await answer(reader)
            await closed(writer)

        await one()
        while server.open_connections:
            await asyncio.sleep(0.001)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await one()
            while server.open_connections:
                await asyncio.sleep(0.001)
            assert not [thing for thing in gc.get_objects() if isinstance(thing, SecureTransport)]
        finally:
            gc.enable()
