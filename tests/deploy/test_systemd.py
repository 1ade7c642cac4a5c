"""The units: systemd's own judgement where it is installed, and that they agree with the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from siphon_http.errors import BindError, ConfigError, ScriptError, TlsMaterialError
from siphon_http.host.config import ServerConfig

from ..examples.serving import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("siphon-http.*"))
KNOWN = {
    "Unit": "Description Wants After StartLimitIntervalSec StartLimitBurst",
    "Install": "WantedBy",
    "Socket": "ListenStream FileDescriptorName Backlog NoDelay Accept",
    "Service": (
        "Type NotifyAccess ExecStart ExecReload EnvironmentFile WorkingDirectory User Group WatchdogSec "
        "TimeoutStartSec TimeoutStopSec KillMode Restart RestartSec RestartPreventExitStatus LimitNOFILE TasksMax UMask "
        "StateDirectory RuntimeDirectory LogsDirectory AmbientCapabilities CapabilityBoundingSet NoNewPrivileges ProtectSystem "
        "ProtectHome ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules "
        "ProtectKernelTunables PrivateDevices PrivateTmp LockPersonality RemoveIPC RestrictNamespaces RestrictRealtime "
        "RestrictSUIDSGID RestrictAddressFamilies SystemCallArchitectures SystemCallFilter SystemCallErrorNumber"
    ),
}
"""Directives of systemd.unit(5), .service(5), .socket(5) and .exec(5) that may stand in each section."""


def sections(path: Path) -> dict[str, dict[str, str]]:
    """Return what a unit says; every key stands there once."""
    found: dict[str, dict[str, str]] = {}
    for line in path.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(header[1], {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals and key not in section, line
            section[key] = value
    return found


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    return sections(FOLDER / "siphon-http.service")["Service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.suffix)
def test_every_directive_is_one_of_its_section(unit: Path) -> None:
    for name, keys in sections(unit).items():
        assert keys.keys() <= set(KNOWN[name].split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_mistake(tmp_path: Path) -> None:
    for unit in UNITS:
        # The program is not installed where the unit says; that is all that may be otherwise.
        text = re.sub(r"(?m)^ExecStart=/\S+", "ExecStart=/bin/sh", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    files = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "siphon-http" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_what_a_start_without_a_change_cannot_mend_is_not_tried_again(service: dict[str, str]) -> None:
    codes = sorted(error.exit_code for error in (ConfigError, BindError, ScriptError, TlsMaterialError))
    assert [int(code) for code in service["RestartPreventExitStatus"].split()] == codes
    assert service["Restart"] == "on-failure"


def test_the_drain_has_its_time(service: dict[str, str]) -> None:
    assert int(service["TimeoutStopSec"]) >= ServerConfig().drain_secs + 10
    assert service["KillMode"] == "mixed", "workers are told by their supervisor"


def test_the_manager_is_told_and_tells(service: dict[str, str]) -> None:
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) >= 10
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_it_may_do_nothing_but_serve(service: dict[str, str]) -> None:
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert (service["ProtectSystem"], service["NoNewPrivileges"], service["ProtectHome"]) == ("strict", "yes", "yes")
    assert int(service["LimitNOFILE"]) >= 65_536


def test_the_socket_is_the_address_that_the_other_files_serve() -> None:
    socket = sections(FOLDER / "siphon-http.socket")["Socket"]
    assert socket["ListenStream"] == "0.0.0.0:8080"
    assert "0.0.0.0:${PORT:-8080}" in (ROOT / "deploy" / "container" / "app" / "http.yaml").read_text()
    assert socket["Accept"] == "no"
