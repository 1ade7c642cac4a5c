"""The real program, as a service manager starts it: its words, its sockets, alone and with workers."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux import linux_only

pytestmark = linux_only("systemd's ways")

REPOSITORY = Path(__file__).parents[2]
LAUNCH = (
    "import os, sys\n"
    "if sys.argv[1] != '-': os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'siphon_http', 'run', *sys.argv[2:]])"
)
"""As systemd passes sockets: from descriptor 3 on, to the process whose id it names."""


class Service:
    """A folder, a manager that listens, and the program between them."""

    def __init__(self, folder: Path, manager: socket.socket) -> None:
        self.folder = folder
        self.manager = manager
        (folder / "siphon.yaml").write_text(
            "script: {path: routes.py, reload: sighup}\nserver: {drain_secs: 3}\nextensions: {http: http.yaml}\n"
        )
        self.script("first")

    def script(self, text: str) -> None:
        (self.folder / "routes.py").write_text(
            "import os\nfrom siphon import http\n\n\n@http.route('/', methods=['GET'])\nasync def index(req):\n"
            f"    seen = [k for k in os.environ if k.startswith(('LISTEN_', 'NOTIFY_', 'WATCHDOG_'))]\n"
            f"    return http.Response(status=200, body=f'{text} {{seen}}'.encode())\n"
        )

    @contextlib.contextmanager
    def running(
        self, *words: str, passed: socket.socket | None = None, **environ: str
    ) -> Iterator[subprocess.Popen[str]]:
        fd = "-" if passed is None else str(passed.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, fd, *words],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "NOTIFY_SOCKET": str(self.manager.getsockname()),
                **environ,
            },
            pass_fds=[] if passed is None else [passed.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def hears(self, key: str) -> dict[str, str]:
        """Return the next message that has `key`."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            told = dict(line.split("=", 1) for line in self.manager.recv(4096).decode().split("\n"))
            if key in told:
                return told
        raise AssertionError(f"{key} was not said")


def get(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        (tmp_path / "site").mkdir()
        yield Service(tmp_path / "site", manager)


@pytest.fixture
def passed(service: Service) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        (service.folder / "http.yaml").write_text(f'servers: [{{listen: "127.0.0.1:{sock.getsockname()[1]}"}}]\n')
        yield sock


@pytest.mark.parametrize("workers", ["1", "2"])
def test_start_reload_and_end_are_told_and_the_socket_of_the_manager_is_served(
    service: Service, passed: socket.socket, workers: str
) -> None:
    port = passed.getsockname()[1]
    with service.running("--workers", workers, passed=passed) as process:
        told = service.hears("READY")
        assert (told["MAINPID"], told["STATUS"]) == (str(process.pid), "serving")
        assert get(port) == "first []", "neither script nor workers see what is the main process's"

        service.script("second")
        process.send_signal(signal.SIGHUP)
        assert int(service.hears("RELOADING")["MONOTONIC_USEC"]) > 0
        assert service.hears("READY")["STATUS"] == "serving"
        assert get(port) == "second []"

        (service.folder / "routes.py").write_text("1 / 0\n")
        process.send_signal(signal.SIGHUP)
        assert "the last reload failed" in service.hears("READY")["STATUS"]
        assert get(port) == "second []"

        process.terminate()
        assert int(service.hears("STOPPING")["EXTEND_TIMEOUT_USEC"]) >= 5_000_000
        assert process.wait(15) == 0
        assert process.stderr is not None
        assert "is used by no listener" not in process.stderr.read()
    # Connections wait in the socket for the next process.
    with socket.create_connection(("127.0.0.1", port)) as early:
        early.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        service.script("third")
        with service.running(passed=passed):
            assert early.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("shared", [True, False], ids=["ReusePort=yes", "ReusePort=no"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_listener_that_shares_its_port_serves_the_socket_of_the_manager(
    service: Service, workers: str, shared: bool
) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        sock.bind(("127.0.0.1", 0))
        sock.listen(8)
        port = sock.getsockname()[1]
        (service.folder / "http.yaml").write_text(f'servers: [{{listen: "127.0.0.1:{port}", reuse_port: true}}]\n')
        with service.running("--workers", workers, passed=sock) as process:
            service.hears("READY")
            for _ in range(30):  # a second socket of its own would get some, and the manager's would answer none
                assert get(port) == "first []"
            (service.folder / "http.yaml").write_text(
                f'servers: [{{listen: "127.0.0.1:{port}", reuse_port: true, max_headers: 50}}]\n'
            )
            process.send_signal(signal.SIGHUP)
            assert service.hears("READY")["STATUS"] == "serving"
            for _ in range(30):
                assert get(port) == "first []"
            process.terminate()
            _, err = process.communicate(timeout=15)
    assert process.returncode == 0 and "is used by no listener" not in err and "cannot bind" not in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_socket_without_a_listener_is_named(service: Service, passed: socket.socket, workers: str) -> None:
    (service.folder / "http.yaml").write_text('servers: [{listen: "127.0.0.1:0"}]\n')
    with service.running("--workers", workers, passed=passed) as process:
        service.hears("READY")
        process.terminate()
        _, err = process.communicate(timeout=15)
    assert f"(127.0.0.1:{passed.getsockname()[1]}) of the service manager is used by no listener" in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_watchdog_is_fed_while_the_loop_turns(service: Service, workers: str) -> None:
    (service.folder / "http.yaml").write_text('servers: [{listen: "127.0.0.1:0"}]\n')
    with service.running("--workers", workers, WATCHDOG_USEC="100000") as process:
        service.hears("READY")
        for _ in range(3):
            service.hears("WATCHDOG")
        process.terminate()
        assert process.wait(15) == 0
