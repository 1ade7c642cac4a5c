"""Listeners that follow others without a stop, and sockets that other processes have bound."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from siphon_http._core.message import Response
from siphon_http.config import ServerConfig, TlsConfig
from siphon_http.dispatch import Dispatcher
from siphon_http.errors import BindError, TlsMaterialError
from siphon_http.registry import Registry
from siphon_http.server.lifecycle import Server
from siphon_http.server.listener import turn_away
from tests.process_stage import free_port
from tests.stage import Line, on_each_loop, play, tcp, unix


def config(port: int, **settings: Any) -> ServerConfig:
    return ServerConfig(listen=tcp(port=port), **settings)


class Stand:
    """A dispatcher that answers `/` with the size of what was sent, and servers that come and go."""

    def __init__(self) -> None:
        registry = Registry()
        registry.add_route(self.answer, "/", ["GET", "POST"])
        self.generation = registry.freeze()
        self.lines: list[Line] = []
        self.servers: list[Server] = []

    async def answer(self, req: Any) -> Response:
        return Response(200, None, str(len(req.body())))

    async def __aenter__(self) -> Stand:
        self.dispatcher = Dispatcher(self.generation, asyncio.get_running_loop())
        return self

    async def __aexit__(self, *exc: object) -> None:
        for line in self.lines:
            line.reset()
        for server in self.servers:
            server.close()
        self.dispatcher.close()
        await asyncio.sleep(0.01)  # connections end in the loop's next turns

    async def begin(self, *configs: ServerConfig) -> Server:
        server = Server(configs)
        server.bind()
        await server.serve(self.dispatcher)
        self.servers.append(server)
        return server

    async def follow(self, earlier: Server, *configs: ServerConfig) -> Server:
        server = Server(configs)
        server.follow(earlier)
        await server.serve(self.dispatcher)
        self.servers.append(server)
        return server

    async def line(self, port: int) -> Line:
        line = Line(*await asyncio.open_connection("127.0.0.1", port))
        self.lines.append(line)
        return line


@on_each_loop
def test_a_listener_of_the_same_address_keeps_its_socket_and_its_connections(loop: str) -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            port = free_port()
            first = await stand.begin(config(port))
            kept, (listener,) = await stand.line(port), first.listeners
            assert (await kept.ask("POST", "/", b"x" * 10)).body == b"10"
            second = await stand.follow(first, config(port, max_body_bytes=5))
            assert second.listeners == [listener] and first.listeners == []
            assert (await kept.ask("POST", "/", b"x" * 5)).body == b"5"
            assert (await (await stand.line(port)).ask("POST", "/", b"x" * 10)).status == 413
            assert listener.config.max_body_bytes == 5
            first.close()
            assert (await kept.ask("GET", "/")).status == 200

    play(scenario, loop)


@on_each_loop
def test_an_added_listener_opens_and_a_removed_one_drains(loop: str) -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            a, b, c = free_port(), free_port(), free_port()
            first = await stand.begin(config(a), config(b))
            idle = await stand.line(b)
            assert (await idle.ask("GET", "/")).status == 200
            second = await stand.follow(first, config(c), config(a))
            assert [one.config.listen.port for one in second.listeners] == [c, a]
            assert [one.config.listen.port for one in first.listeners] == [b]
            assert (await (await stand.line(c)).ask("GET", "/")).status == 200
            assert (await idle.ask("GET", "/")).status == 200
            assert await first.drain(3)
            assert await idle.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", b)
            first.close()
            assert (await (await stand.line(a)).ask("GET", "/")).status == 200

    play(scenario, loop)


def test_an_address_that_cannot_be_bound_leaves_everything_as_it_was() -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            a, b = free_port(), free_port()
            first = await stand.begin(config(a))
            with socket.create_server(("127.0.0.1", 0)) as holder:
                server = Server([config(b), config(a, max_body_bytes=1), config(holder.getsockname()[1])])
                with pytest.raises(BindError):
                    server.follow(first)
            with socket.create_server(("127.0.0.1", b)):
                pass
            assert (await (await stand.line(a)).ask("POST", "/", b"xx")).body == b"2"
            assert len(first.listeners) == 1

    play(scenario)


def test_port_0_keeps_the_port_that_it_got_even_twice() -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            first = await stand.begin(config(0), config(0))
            ports = [one.port for one in first.listeners]
            second = await stand.follow(first, config(0), config(0))
            assert [one.port for one in second.listeners] == ports

    play(scenario)


def test_a_unix_socket_keeps_its_file_and_gets_its_new_mode(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            path = tmp_path / "s"
            first = await stand.begin(ServerConfig(listen=unix(path), unix_mode=0o600))
            inode = path.stat().st_ino
            second = await stand.follow(first, ServerConfig(listen=unix(path), unix_mode=0o660))
            first.close()
            assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (inode, 0o660)
            second.close()
            assert not path.exists()

    play(scenario)


class Tls:
    """A certificate authority and files of its certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder

    def issue(self, name: str) -> TlsConfig:
        leaf = self.authority.issue_cert("localhost", common_name=name)
        leaf.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
        leaf.private_key_pem.write_to_path(self.folder / f"{name}.key")
        return TlsConfig(cert_path=self.folder / f"{name}.pem", key_path=self.folder / f"{name}.key")

    async def shown(self, port: int) -> str:
        """Return the common name that a new connection is shown."""
        import ssl

        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        subject = writer.get_extra_info("peercert")["subject"]
        writer.transport.abort()
        return str(dict(pair for pairs in subject for pair in pairs)["commonName"])


def test_a_listener_can_change_its_certificate_and_get_or_lose_tls(tmp_path: Path) -> None:
    files = Tls(tmp_path)

    async def scenario() -> None:
        async with Stand() as stand:
            port = free_port()
            server = await stand.begin(config(port, tls=files.issue("one")))
            assert await files.shown(port) == "one"
            server = await stand.follow(server, config(port, tls=files.issue("two")))
            assert await files.shown(port) == "two"
            server = await stand.follow(server, config(port))
            assert (await (await stand.line(port)).ask("GET", "/")).status == 200
            server = await stand.follow(server, config(port, tls=files.issue("two")))
            assert await files.shown(port) == "two"
            assert server.listeners[0].url.startswith("https:")

    play(scenario)


def test_a_certificate_that_cannot_be_used_leaves_the_old_one(tmp_path: Path) -> None:
    files = Tls(tmp_path)

    async def scenario() -> None:
        async with Stand() as stand:
            port, other = free_port(), free_port()
            first = await stand.begin(config(port, tls=files.issue("one")))
            bad = files.issue("bad")
            bad.key_path.write_text("junk")
            with pytest.raises(TlsMaterialError):
                Server([config(other), config(port, tls=bad)]).follow(first)
            assert await files.shown(port) == "one"
            with socket.create_server(("127.0.0.1", other)):
                pass

    play(scenario)


# ---- sockets of another process


def test_inherited_sockets_are_served_and_their_owner_can_go_on() -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            owner = Server([config(0)])
            owner.bind()
            ((name, (fd,)),) = owner.handles.items()
            worker = Server([config(0)], {name: [os.dup(fd)]})
            worker.bind()
            await worker.serve(stand.dispatcher)
            port = owner.listeners[0].port
            assert worker.listeners[0].port == port
            assert (await (await stand.line(port)).ask("GET", "/")).status == 200
            worker.close()
            waits = await asyncio.open_connection("127.0.0.1", port)  # still listening: nobody is refused
            waits[1].close()
            owner.close()

    play(scenario)


def test_with_reuse_port_each_process_has_sockets_of_its_own() -> None:
    async def scenario() -> None:
        async with Stand() as stand:
            owner = Server([config(0, reuse_port=True)], copies=3)
            owner.bind()
            names = list(owner.handles)
            assert [name.rpartition("@")[2] for name in names] == ["0", "1", "2"]
            port = owner.listeners[0].port
            workers = []
            for name, fds in owner.handles.items():
                worker = Server([config(0, reuse_port=True)], {name.rpartition("@")[0]: [os.dup(fds[0])]})
                worker.bind()
                await worker.serve(stand.dispatcher)
                assert worker.listeners[0].port == port
                workers.append(worker)
            for _ in range(40):
                assert (await (await stand.line(port)).ask("GET", "/")).status == 200
            served = [worker.listeners[0].endpoint for worker in workers]
            assert sum(one.accepted for one in served if one is not None) == 40
            assert all(one is not None and one.accepted for one in served)
            for worker in [*workers, owner]:
                worker.close()

    play(scenario)


def test_what_is_bound_can_be_adopted_and_given_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "s"
        first = Server([config(0), ServerConfig(listen=unix(path))])
        first.bind()
        port = first.listeners[0].port
        second = Server([ServerConfig(listen=unix(path)), config(0, max_body_bytes=3), config(0)])
        second.adopt(first)
        assert second.listeners[1].port == port and second.listeners[1].config.max_body_bytes == 3
        assert first.listeners == []
        first.adopt(second)
        assert [one.config.max_body_bytes for one in first.listeners] == [1_048_576, 1_048_576]
        assert first.listeners[0].port == port and len(second.listeners) == 1
        second.close()
        assert path.exists()
        first.close()
        assert not path.exists()

    play(scenario)


def test_an_adoption_that_fails_takes_nothing() -> None:
    async def scenario() -> None:
        first = Server([config(0)])
        first.bind()
        handles = first.handles
        with socket.create_server(("127.0.0.1", 0)) as holder:
            second = Server([config(0), config(holder.getsockname()[1])])
            with pytest.raises(BindError, match=str(holder.getsockname()[1])):
                second.adopt(first)
        assert len(first.listeners) == 1 and first.listeners[0].port
        first.adopt(second)  # as a supervisor does, which does not know how far it came
        assert first.handles == handles != {"127.0.0.1:0": []}
        first.close()

    play(scenario)


@pytest.mark.parametrize("reuse_port", [True, None])
def test_there_are_as_many_sockets_as_processes_when_their_number_changes(reuse_port: bool | None) -> None:
    server = Server([config(0, reuse_port=reuse_port)], copies=2)
    server.bind()
    port = server.listeners[0].port
    for copies in (4, 1, 3):
        earlier, server = server, Server([config(0, reuse_port=reuse_port)], copies=copies)
        server.adopt(earlier)
        assert (len(server.handles), server.listeners[0].port) == (copies, port)
        earlier.close()
    server.close()


def test_sockets_of_processes_that_would_be_no_more_are_given_back() -> None:
    first = Server([config(0, reuse_port=True)], copies=3)
    first.bind()
    handles = first.handles
    second = Server([config(0, reuse_port=True)], copies=1)
    second.adopt(first)
    assert len(second.handles) == 1
    first.adopt(second)
    assert first.handles == handles
    second.close()
    first.close()


def connected(client: socket.socket, within: float) -> bool:
    """Whether a connection is made in so many seconds."""
    _, done, _ = select.select([], [client], [], within)
    return bool(done) and client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="filters of sockets are Linux's")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_is_turned_away_comes_to_another_socket(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    closing = socket.create_server((host, 0), family=family, reuse_port=True)
    address = closing.getsockname()
    with socket.create_connection(address[:2]) as early, socket.socket(family) as late:
        turn_away(closing)
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(address)
        assert not connected(late, 0.1)
        with closing.accept()[0] as served:  # who was there before is served, both ways
            early.sendall(b"question")
            assert served.recv(99) == b"question"
            served.sendall(b"answer")
            assert early.recv(99) == b"answer"
        with socket.create_server(address[:2], family=family, reuse_port=True) as other:
            closing.close()
            assert connected(late, 5)
            other.accept()[0].close()


def test_processes_share_a_socket_when_they_are_told_to() -> None:
    server = Server([config(0, reuse_port=False)], copies=3)
    server.bind()
    assert list(server.handles) == ["127.0.0.1:0"]
    server.close()


@pytest.mark.parametrize("theirs", [True, False])
def test_a_socket_for_each_process_is_no_way_into_the_port_of_another_server(theirs: bool) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, theirs)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        server = Server([config(holder.getsockname()[1])], copies=2)
        with pytest.raises(BindError, match="Address already in use"):
            server.bind()
