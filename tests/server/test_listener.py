"""Binding, and what is said when it cannot be done."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siphon_http._core.message import Response
from siphon_http.config import Address, ServerConfig
from siphon_http.errors import BindError
from siphon_http.server.listener import Listener, holder_of
from tests.linux import needs_proc, proc
from tests.process_stage import free_port
from tests.stage import Site, on_each_loop, play, tcp, unix


def listener(listen: Address, **settings: Any) -> Listener:
    return Listener(ServerConfig(listen=listen, **settings))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def refusal(one: Listener) -> str:
    with pytest.raises(BindError) as caught:
        one.bind()
    assert caught.value.exit_code == 3
    assert one.port == 0
    return str(caught.value)


def site() -> Site:
    made = Site()

    @made.route("/")
    async def root(req: Any) -> Response:
        return Response(200, None, req.client)

    return made


# ---- TCP


def test_port_0_takes_a_free_port_and_the_url_shows_it() -> None:
    one = listener(tcp())
    assert one.url == "http://127.0.0.1:0"
    one.bind()
    assert one.port > 0
    assert one.url == f"http://127.0.0.1:{one.port}"
    one.close()
    assert one.port == 0


def test_nobody_is_accepted_before_serve() -> None:
    one = listener(tcp())
    one.bind()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.port), timeout=2)
    one.close()


@needs_proc
def test_a_port_that_this_process_has_is_not_blamed_on_another(taken: int) -> None:
    text = refusal(listener(tcp(port=taken)))
    assert text.startswith(f"cannot bind 127.0.0.1:{taken}: Address already in use: this process itself has it (")
    assert "admin.listen" in text and "end that process" not in text


@needs_proc
def test_a_port_in_use_is_refused_with_its_holder_and_a_free_one() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        text = refusal(listener(tcp(port=port)))
        name = proc(other.pid, "comm").read_text().strip()
        assert text.startswith(
            f"cannot bind 127.0.0.1:{port}: Address already in use (pid {other.pid} ({name}) has it); end that process"
        )
        free = int(text.rpartition("port ")[2].removesuffix(" is free"))
        assert port < free <= port + 10
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", free))
        other.communicate("\n")


def test_a_port_that_nobody_listens_on_has_no_holder() -> None:
    assert holder_of(1) is None


def test_an_address_that_is_not_ours_is_said_to_be_so() -> None:
    assert refusal(listener(tcp("192.0.2.1", 80))).endswith("; this machine has no such address")


def test_a_name_that_cannot_be_resolved_is_said_to_be_so() -> None:
    assert "`no-such-host.invalid` is no host name that can be resolved here" in refusal(
        listener(tcp("no-such-host.invalid", 80))
    )


def failing(monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
    """Let the next binds fail with `codes`, one after the other."""
    left = list(codes)
    real = Listener._bound

    def bound(self: Listener, sock: socket.socket, where: Any, *, dual: bool) -> socket.socket:
        if left:
            sock.close()
            code = left.pop(0)
            raise OSError(code, os.strerror(code))
        return real(self, sock, where, dual=dual)

    monkeypatch.setattr(Listener, "_bound", bound)


def test_a_port_below_1024_that_is_not_allowed_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EACCES)
    assert refusal(listener(tcp(port=80))).endswith("; ports below 1024 need CAP_NET_BIND_SERVICE")


def both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_name_with_an_address_that_is_not_here_is_served_on_its_others(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    both_families(monkeypatch)
    failing(monkeypatch, code)
    one = listener(tcp("localhost"))
    one.bind()
    assert [sock.getsockname()[0] for sock in one._sockets] == ["127.0.0.1"]
    one.close()


def test_a_name_without_any_address_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both_families(monkeypatch)
    failing(monkeypatch, errno.EADDRNOTAVAIL, errno.EADDRNOTAVAIL)
    assert refusal(listener(tcp("localhost"))).endswith("; this machine has no such address")


def test_an_address_in_use_among_those_of_a_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    both_families(monkeypatch)
    failing(monkeypatch, errno.EADDRINUSE)
    assert "Address already in use" in refusal(listener(tcp("localhost")))


def test_all_addresses_of_a_name_get_the_same_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    both_families(monkeypatch)
    one = listener(tcp("localhost"))
    one.bind()
    assert [sock.getsockname()[1] for sock in one._sockets] == [one.port, one.port]
    one.close()


@on_each_loop
def test_two_colons_take_ipv4_too_and_show_it_unmapped(loop: str) -> None:
    made = site()
    made.settings["listen"] = tcp("::")

    async def scenario() -> None:
        port = made.server.listeners[0].port
        assert made.server.listeners[0].url == f"http://[::]:{port}"
        for host, client in (("127.0.0.1", b"127.0.0.1:"), ("::1", b"[::1]:")):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).partition(b"\r\n\r\n")[2].startswith(client)
            writer.close()

    made.play(scenario, loop)


def test_a_v6_address_that_is_not_the_wildcard_leaves_ipv4_alone() -> None:
    one = listener(tcp("::1"))
    one.bind()
    assert one._sockets[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    one.close()


def test_reuse_port_lets_two_listen() -> None:
    first = listener(tcp(), reuse_port=True)
    first.bind()
    second = listener(tcp(port=first.port), reuse_port=True)
    second.bind()
    assert second.port == first.port
    for one in (first, second):
        one._sockets[0].listen()
    assert "Address already in use" in refusal(listener(tcp(port=first.port)))
    first.close()
    second.close()


@needs_proc
@on_each_loop
def test_a_port_that_was_taken_between_bind_and_serve_is_a_bind_error(loop: str) -> None:
    async def scenario() -> None:
        first, second = Site(), Site()
        async with first.serving():
            pass
        first.settings["listen"] = second.settings["listen"] = tcp(port=free_port())
        late = listener(first.settings["listen"])
        late.bind()
        async with second.serving():
            with pytest.raises(BindError, match="Address already in use: this process itself has it"):
                await late.serve(second.dispatcher, second.endpoint.state)
        late.close()

    play(scenario, loop)


# ---- unix


@on_each_loop
def test_a_unix_socket_serves_and_is_removed_at_the_end(loop: str, tmp_path: Path) -> None:
    made = site()
    made.settings["listen"] = unix(tmp_path / "s")

    async def scenario() -> None:
        one = made.server.listeners[0]
        assert (one.url, one.port) == (f"unix:{tmp_path / 's'}", 0)
        assert (await made.ask("GET", "/")).body == b"unix:"

    made.play(scenario, loop)
    assert not (tmp_path / "s").exists()


def test_the_socket_of_a_process_that_has_gone_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    one = listener(unix(path))
    one.bind()
    one.close()
    assert not path.exists()


def test_a_socket_on_which_somebody_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        text = refusal(listener(unix(path)))
        assert text == f"cannot bind unix:{path}: Address already in use; end that process or choose another address"
        assert path.exists()


def test_a_socket_whose_queue_is_full_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            real = socket.socket.settimeout
            monkeypatch.setattr(socket.socket, "settimeout", lambda sock, seconds: real(sock, 0.01))
            assert "Address already in use" in refusal(listener(unix(path)))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    assert refusal(listener(unix(path))).endswith(
        "a file of that name exists and is no socket; remove it or choose another path"
    )
    assert path.read_text() == "precious"


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    assert refusal(listener(unix(tmp_path / "no" / "s"))).endswith(
        "No such file or directory; its folder does not exist"
    )


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_the_mode_of_a_unix_socket_is_as_configured(tmp_path: Path, mode: int) -> None:
    one = listener(unix(tmp_path / "s"), unix_mode=mode)
    one.bind()
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
    one.close()


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    one = listener(unix(path))
    one.bind()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        one.close()
        assert path.exists()


@on_each_loop
def test_the_file_of_an_inherited_socket_stays_when_we_stop(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def scenario() -> None:
        with socket.socket(socket.AF_UNIX) as owner:
            owner.bind(str(path))
            made = Site()
            one = Listener(ServerConfig(listen=unix(path)), inherited=[owner.dup()])
            one.bind()
            async with made.serving():
                await one.serve(made.dispatcher, made.endpoint.state)
                one.close()
                await asyncio.sleep(0.01)  # what closing leaves to the loop's next turns is done
        assert path.exists()

    play(scenario, loop)


def test_a_socket_that_another_process_replaced_meanwhile_is_not_served(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def scenario() -> None:
        made = Site()
        one = listener(unix(path))
        one.bind()
        other = listener(unix(path))
        other.bind()  # ours does not listen yet, so it looks dead
        async with made.serving():
            with pytest.raises(BindError, match="Address already in use"):
                await one.serve(made.dispatcher, made.endpoint.state)
        one.close()
        assert path.exists()
        other.close()

    play(scenario)
