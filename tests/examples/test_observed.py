"""The examples `observed` and `extension`, as an operator meets them: admin, metrics, access log, ids, own packages."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux import IS_LINUX
from tests.process_stage import free_port, wait_until

from .serving import ROOT, Served, command, environment, serving

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.wire


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, int, int, Path]]:
    folder = tmp_path_factory.mktemp("observed")
    admin, metrics, log = free_port(), free_port(), folder / "access.log"
    environ = {"ADMIN_PORT": str(admin), "METRICS_PORT": str(metrics), "ACCESS_LOG": str(log)}
    with serving(EXAMPLES / "observed", environ) as served:
        yield served, admin, metrics, log


def test_a_request_is_seen_in_metrics_access_log_and_admin(observed: tuple[Served, int, int, Path]) -> None:
    served, admin, metrics, log = observed
    answers = [served.ask("/calls/bob", "POST", headers={"x-request-id": f"call-{i}"}) for i in range(3)]
    assert [a.status for a in answers] == [201, 200, 200]
    assert (
        [a.headers["x-request-id"] for a in answers]
        == ["call-0", "call-1", "call-2"]
        == [a.body.decode() for a in answers]
    )
    assert served.ask("/nothing?token=hush").status == 404
    for port in (admin, metrics):
        status, text = get(port, "/metrics")
        assert status == 200
        for line in (
            'siphon_http_requests_total{route="/calls/{caller}",code="200"} 2',
            'siphon_http_requests_total{route="/calls/{caller}",code="201"} 1',
            'siphon_http_requests_total{route="",code="404"} 1',
            'siphon_http_request_duration_seconds_count{route="/calls/{caller}"} 3',
            "siphon_http_requests_in_flight 0",
            'calls_total{caller="bob"} 3',
            "setup_seconds_count 3",
            *["process_resident_memory_bytes "] * IS_LINUX,
            "siphon_http_loop_lag_seconds ",
        ):
            assert f"\n{line}" in text
    wait_until(lambda: "queue_depth 2" in get(metrics, "/metrics")[1])  # the same key: one timer took another's place
    wait_until(lambda: log.exists() and log.read_text().count("\n") >= 4)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["request_id"], one["route"], one["status"]) for one in lines[:3]] == [
        (f"call-{i}", "/calls/{caller}", 201 if i == 0 else 200) for i in range(3)
    ]
    assert "hush" not in log.read_text()


def test_health_and_stats(observed: tuple[Served, int, int, Path]) -> None:
    _, admin, metrics, _ = observed
    assert json.loads(get(admin, "/admin/health")[1])["status"] == "ok"
    assert get(admin, "/admin/ready") == (200, '{"status": "ready"}\n')
    assert json.loads(get(admin, "/admin/stats")[1])["metrics"]["siphon_http_connections_total"] >= 0
    assert get(metrics, "/admin/health")[0] == 404


def test_readiness_flips_before_the_drain_and_logs_have_the_id(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "observed", tmp_path / "site")
    routes = tmp_path / "site" / "routes.py"
    slow = "\n\n@http.route('/slow')\nasync def slow(req):\n    import asyncio\n    log.info('begins')\n"
    routes.write_text(routes.read_text() + slow + "    await asyncio.sleep(1)\n    return http.Response(200)\n")
    admin = free_port()
    environ = environment(
        {"ADMIN_PORT": str(admin), "METRICS_PORT": str(free_port()), "ACCESS_LOG": str(tmp_path / "access.log")}
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "siphon_http", "run"],
        cwd=tmp_path / "site",
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "http://127.0.0.1" in line:
                port = int(json.loads(line)["message"].split("http://127.0.0.1:")[1].split()[0].split("/")[0])
            if "ready in" in line:
                break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/slow", headers={"x-request-id": "me"})
        wait_until(lambda: "siphon_http_requests_in_flight 1\n" in get(admin, "/metrics")[1])
        process.terminate()
        wait_until(lambda: get(admin, "/admin/ready") == (503, '{"status": "draining"}\n'), 0.8)
        assert get(admin, "/admin/health")[0] == 200
        assert connection.getresponse().status == 200
        assert process.wait(10) == 0
        assert process.stderr is not None
        records = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert {"request_id": "me"} in [one.get("fields") for one in records if one["message"] == "begins"]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the extension out as an installation does: its package, and its metadata beside it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLES / "extension" / "src" / "siphon_beacon", folder / "siphon_beacon")
    info = folder / "siphon_beacon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: siphon-beacon\nVersion: 1.0\n")
    project = (EXAMPLES / "extension" / "pyproject.toml").read_text()
    [entry] = [line for line in project.splitlines() if line.startswith("beacon = ")]
    (info / "entry_points.txt").write_text(f"[siphon.extensions]\n{entry.replace(chr(34), '')}\n")
    return folder


def test_an_extension_of_somebody_else_is_found_runs_and_is_counted(site: Path) -> None:
    admin = free_port()
    environ = {"PYTHONPATH": str(site), "ADMIN_PORT": str(admin)}
    environ["PYTHONPATH"] = f"{site}:{environment()['PYTHONPATH']}"
    folder = EXAMPLES / "extension"
    checked = command(folder, "routes", environ=environ)
    assert checked.returncode == 0 and "ping  pong" in checked.stdout
    assert "ok    beacon" in command(folder, "doctor", environ=environ).stdout
    process = subprocess.Popen(
        [sys.executable, "-m", "siphon_http", "run"],
        cwd=folder,
        env=environment(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "ready in" in line:
                break
        port = int("".join(lines).split("udp://127.0.0.1:")[1].split()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"ping", ("127.0.0.1", port))
            assert client.recv(100) == b"pong"
        assert 'beacon_datagrams_total{word="ping"} 1' in get(admin, "/metrics")[1]
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_mistake_in_its_settings_is_shown_with_its_place(site: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "extension", tmp_path / "project")
    text = (tmp_path / "project" / "siphon.yaml").read_text().replace("port: 0", "prot: 0")
    (tmp_path / "project" / "siphon.yaml").write_text(text)
    found = command(tmp_path / "project", "check", environ={"PYTHONPATH": f"{site}:{environment()['PYTHONPATH']}"})
    assert found.returncode == 2 and "siphon.yaml:6:5" in found.stderr and "did you mean `port`?" in found.stderr
