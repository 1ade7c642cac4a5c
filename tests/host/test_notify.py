"""The service manager's side is a real datagram socket; passed sockets are real ones, at descriptors of their own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from siphon_http.errors import BindError
from siphon_http.host.notify import Activation, Notifier
from tests.linux import linux_only

REPOSITORY = Path(__file__).parents[2]
passes_sockets = linux_only("elsewhere no socket tells whether it listens (SO_ACCEPTCONN)")


class Manager:
    """Hears what is said to it."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        sock.settimeout(5)

    def heard(self) -> dict[str, str]:
        """Return the assignments of the next datagram."""
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().split("\n"))

    def is_quiet(self) -> bool:
        self.sock.setblocking(False)
        try:
            return not self.sock.recv(4096)
        except BlockingIOError:
            return True


@pytest.fixture(params=["path", pytest.param("abstract", marks=linux_only("abstract addresses"))])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@siphon-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0") if request.param == "abstract" else address)
        yield Manager(sock, address)


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address})
    yield notifier
    notifier.close()


# ---- what is said


def test_a_start_that_has_ended_is_told_with_the_main_process(manager: Manager, notifier: Notifier) -> None:
    notifier.ready("2 listeners")
    assert manager.heard() == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "2 listeners"}


def test_a_reload_says_when_it_began_by_the_monotonic_clock(manager: Manager, notifier: Notifier) -> None:
    before = time.monotonic() * 1e6
    notifier.reloading()
    told = manager.heard()
    assert told["RELOADING"] == "1"
    assert before - 1 <= int(told["MONOTONIC_USEC"]) <= time.monotonic() * 1e6


def test_a_stop_asks_for_the_time_of_the_drain(manager: Manager, notifier: Notifier) -> None:
    notifier.stopping(31.5)
    assert manager.heard() == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "31500000", "STATUS": "draining"}


def test_a_status_stays_one_line(manager: Manager, notifier: Notifier) -> None:
    notifier.status("first\nREADY=1\r\n second")
    assert manager.heard() == {"STATUS": "first READY=1 second"}


def test_without_a_manager_nothing_is_said_and_nothing_fails() -> None:
    notifier = Notifier.from_environment({})
    assert not notifier.is_on
    notifier.ready()
    notifier.reloading()
    notifier.stopping(1)
    notifier.status("x")
    notifier.close()


def test_a_manager_that_has_gone_is_noted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.ready()
    notifier.status("x")
    notifier.close()
    assert [r.getMessage() for r in caplog.records] == [
        "the service manager cannot be told (No such file or directory): READY=1"
    ]


def test_an_address_of_another_kind_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert not Notifier("vsock:2:1234").is_on
    assert "NOTIFY_SOCKET='vsock:2:1234' is no absolute path and no @name" in caplog.text


def test_the_environment_is_left_clean_for_children(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier.from_environment(environ).close()
    assert environ == {"HOME": "/"}


# ---- the watchdog


def test_the_watchdog_is_fed_from_the_loop_until_the_end(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier.from_environment(environ)

    async def live() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        notifier.watch(loop)
        for _ in range(3):
            assert await asyncio.to_thread(manager.heard) == {"WATCHDOG": "1"}
        took = loop.time() - began
        notifier.close()
        return took

    assert asyncio.run(live()) >= 0.039, "at half the interval: at once, and twice more"
    assert manager.is_quiet()


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}], ids=str
)
def test_no_watchdog_or_one_of_another_process_is_not_fed(manager: Manager, environ: dict[str, str]) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address, **environ})

    async def live() -> None:
        notifier.watch(asyncio.get_running_loop())

    asyncio.run(live())
    notifier.close()
    assert manager.is_quiet()


# ---- sockets that are passed


def listening(family: int, where: object, *, v6only: bool = True) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    sock.bind(where)  # type: ignore[arg-type]
    sock.listen()
    return sock


def passed(*socks: socket.socket, names: str = "") -> Activation:
    """Return what is read when `socks`, whose descriptors follow each other, were passed."""
    environ = {"LISTEN_FDS": str(len(socks)), "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": names}
    found = Activation.from_environment(environ, first_fd=socks[0].fileno())
    assert environ == {}
    return found


@passes_sockets
def test_sockets_are_found_by_the_address_that_they_are_bound_to(tmp_path: Path) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert passed(sock).by_address == {f"127.0.0.1:{port}": [sock.fileno()], f"localhost:{port}": [sock.fileno()]}
    with listening(socket.AF_INET, ("0.0.0.0", 0)) as sock:
        assert list(passed(sock).by_address) == [f"0.0.0.0:{sock.getsockname()[1]}"]
    with listening(socket.AF_UNIX, str(tmp_path / "http.sock")) as sock:
        assert passed(sock).by_address == {f"unix:{tmp_path}/http.sock": [sock.fileno()]}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("v6only", "hosts"), [(True, ["::"]), (False, ["::", "0.0.0.0"])])
@passes_sockets
def test_a_bare_port_serves_both_families_unless_it_is_bound_to_one(v6only: bool, hosts: list[str]) -> None:
    with listening(socket.AF_INET6, ("::", 0), v6only=v6only) as sock:
        port = sock.getsockname()[1]
        assert list(passed(sock).by_address) == [f"{host}:{port}" for host in hosts]


@passes_sockets
def test_descriptors_become_fit_for_a_loop_and_stay_open() -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        os.set_inheritable(sock.fileno(), True)
        os.set_blocking(sock.fileno(), True)
        (found,) = passed(sock, names="http").sockets
        assert (found.name, found.fd) == ("http", sock.fileno())
        assert not os.get_inheritable(found.fd)
        assert not os.get_blocking(found.fd)


@passes_sockets
def test_a_socket_that_no_listener_uses_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        found = passed(sock)
        assert found.unclaimed([{"any": [sock.fileno()]}, {}]) == []
        assert caplog.text == ""
        assert found.unclaimed([{"other": [0]}]) == list(found.sockets)
        assert f"(127.0.0.1:{sock.getsockname()[1]}) of the service manager is used by no listener" in caplog.text


@pytest.mark.parametrize("environ", [{}, {"LISTEN_FDS": "2"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1"}], ids=str)
def test_what_was_passed_to_another_process_is_not_ours(environ: dict[str, str]) -> None:
    assert Activation.from_environment(environ) == Activation()
    assert environ == {}


@passes_sockets
def test_a_socket_that_does_not_listen_is_refused_with_the_fix() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(BindError, match=r"\(dns\) is no listening stream socket; .* ListenStream= and Accept=no"):
            passed(sock, names="dns")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock, pytest.raises(BindError, match="Accept=no"):
        passed(sock)


def test_a_descriptor_that_is_no_socket_and_a_count_that_is_no_number_are_refused(tmp_path: Path) -> None:
    ours = {"LISTEN_PID": str(os.getpid())}
    with (tmp_path / "file").open("w") as file, pytest.raises(BindError, match=r"\(unknown\) is no socket"):
        Activation.from_environment({"LISTEN_FDS": "9" * 18, **ours}, first_fd=file.fileno())
    with pytest.raises(BindError, match="LISTEN_FDS='many' is no number"):
        Activation.from_environment({"LISTEN_FDS": "many", **ours})


@passes_sockets
def test_a_process_finds_its_sockets_from_descriptor_three_on() -> None:
    program = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "from siphon_http.host.notify import Activation\n"
        "print(Activation.from_environment().by_address, [k for k in os.environ if k.startswith('LISTEN_')])"
    )
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        done = subprocess.run(
            [sys.executable, "-c", program, str(sock.fileno())],
            pass_fds=[sock.fileno()],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "LISTEN_FDS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        port = sock.getsockname()[1]
    assert done.stdout == f"{{'127.0.0.1:{port}': [3], 'localhost:{port}': [3]}} []\n"
