"""Clients against each other, in one interleaved run: CPU microseconds of the client for each request, against nginx.

    python benchmarks/load/clients.py [--cases a,b] [--contenders a,b] [--rival-python PATH] [--json FILE] [--markdown]

README.md beside this file says what is measured and how to repeat it. Exit code: 0, 1 when one of our bars was missed or
could not be judged, 2 when nothing can be run, 130 after a signal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cases import OURS
from contenders import MissingError, find_program, module_version, nginx_version, our_version
from measure import Interrupts, LoadError, Server, free_port, pinned, two_cpus
from report import Cell, Results, aligned, as_json, bar_rows, bars_of, ended
from run import names, positive, python_version, tell, void

HERE = Path(__file__).parent
APPS = HERE / "apps"
PROTOCOLS = ("h1", "h1-tls", "h2c", "h2-tls")
METHODS = ("GET", "POST")
FLIGHTS = (1, 32, 256)
CONTENDERS = (OURS, "pyreqwest", "aiohttp", "httpx2", "niquests")
PACKAGES = {"httpx2": "httpx2[http2]"}  # what pip is asked for, where that is not the name
ONLY_HTTP1 = {"aiohttp"}
BARS = {
    "h1 GET 32": {"pyreqwest": 0.45, "aiohttp": 0.25},
    "h1 POST 32": {"pyreqwest": 0.45, "aiohttp": 0.25},
    "h1-tls GET 32": {"pyreqwest": 0.7},
    "h2c GET 32": {"pyreqwest": 0.6},
    "h2-tls GET 32": {"pyreqwest": 0.6},
}
CASES = [f"{protocol} {method} {flight}" for protocol in PROTOCOLS for method in METHODS for flight in FLIGHTS]
START_SECS = 30.0  # a caller that is not ready by then is not measured
LATE_SECS = 30.0  # nor is one that answers so much later than it was told to


class Caller:
    """One client's process."""

    def __init__(self, arguments: list[str], cpus: set[int], log: Path) -> None:
        self._log = log
        with log.open("wb") as errors, pinned(cpus):
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                start_new_session=True,
            )

    def read(self, seconds: float) -> str:
        """Return its next line. Raises LoadError when none comes in time."""
        out = self._process.stdout
        assert out is not None
        if not select.select([out], [], [], seconds)[0]:
            raise LoadError(f"said nothing for {seconds:g} s")
        line = out.readline()
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LoadError(f"ended: {(last or ['it printed nothing'])[0][-300:]}")
        return line

    def load(self, seconds: float) -> dict[str, Any]:
        """Let it call for `seconds`; return what it reports. Raises LoadError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LoadError(f"has ended: {error}") from error
        report: dict[str, Any] = json.loads(self.read(seconds + LATE_SECS))
        if report["errors"]:
            raise LoadError(report["errors"][0])
        if not report["requests"]:
            raise LoadError("no request was completed")
        return report

    def stop(self) -> None:
        """End it. Safe to call twice."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Bench:
    """One run: its settings, its folder, its certificate, and nginx."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, server: set[int], load: set[int]) -> None:
        self.arguments = arguments
        self.folder = folder
        self.client_cpus = load
        self.authority, certificate, key = make_certificates(folder)
        self.ports = {protocol: free_port() for protocol in PROTOCOLS}
        values = {"FOLDER": folder, "CERTIFICATE": certificate, "KEY": key}
        values |= {protocol.upper().replace("-", "_"): port for protocol, port in self.ports.items()}
        text = (APPS / "nginx-clients.conf.in").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        file = folder / "nginx.conf"
        file.write_text(text)
        command = [find_program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(file)]
        self.nginx = Server(command, folder, {}, server, folder / "nginx.log")
        self._callers: list[Caller] = []

    def start(self, name: str, protocol: str, method: str, flight: int) -> Caller:
        """Start one client."""
        python = sys.executable if name == OURS else str(Path(self.arguments.rival_python).absolute())
        scheme = "https" if protocol.endswith("-tls") else "http"
        url = f"{scheme}://127.0.0.1:{self.ports[protocol]}/"
        command = [python, str(APPS / "caller.py"), name, protocol, method, str(flight), url]
        if scheme == "https":
            command.append(str(self.authority))
        caller = Caller(command, self.client_cpus, self.folder / f"{name}.log")
        self._callers.append(caller)
        return caller

    def stop_callers(self) -> None:
        """End every client."""
        for caller in self._callers:
            caller.stop()
        self._callers.clear()

    def run_case(self, case: str, contenders: list[str]) -> dict[str, Cell]:
        """Start all clients, let each answer once, then load them in turn, round by round."""
        protocol, method, flight = case.split()
        able = [name for name in contenders if name not in ONLY_HTTP1 or protocol.startswith("h1")]
        cells = {name: Cell() for name in able}
        running: dict[str, Caller] = {}
        for name in able:
            caller = self.start(name, protocol, method, int(flight))
            try:
                caller.read(START_SECS)
                caller.load(0.5)
            except LoadError as error:
                void(cells, case, name, error)
            else:
                running[name] = caller
        for number in range(self.arguments.rounds):
            for name, caller in running.items():
                if cells[name].void:
                    continue
                try:
                    report = caller.load(self.arguments.seconds)
                except LoadError as error:
                    void(cells, case, name, error)
                    continue
                cell = cells[name]
                cell.figures.append(report["cpu"] / report["requests"] * 1e6)
                cell.rates.append(report["requests"] / report["seconds"])
                cell.busy.append(report["cpu"] / report["seconds"])
                text = f"{cell.figures[-1]:.2f} us, {cell.rates[-1]:.0f}/s, CPU {cell.busy[-1]:.0%}"
                tell(f"{case} round {number + 1}: {name} {text}")
        self.stop_callers()
        return cells


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Write an authority and a certificate of it for 127.0.0.1; return authority, certificate, key. Raises MissingError.

    Two files and not one that signs itself: some clients take no authority's certificate for a server's.
    """
    ca, ca_key, certificate, key = (folder / name for name in ("ca.pem", "ca.key", "cert.pem", "key.pem"))
    new = [find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    new += ["-nodes", "-days", "2"]
    authority = [*new, "-subj", "/CN=siphon load", "-keyout", str(ca_key), "-out", str(ca)]
    signed = [*new, "-subj", "/CN=127.0.0.1", "-CA", str(ca), "-CAkey", str(ca_key)]
    signed += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    for command in (authority, [*signed, "-keyout", str(key), "-out", str(certificate)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingError(f"openssl makes no certificate: {done.stderr.strip()}")
    return ca, certificate, key


def shown(cell: Cell | None) -> str:
    """Return one cell as text: median and span."""
    if cell is None:
        return ""
    if cell.median is None:
        return "void"
    spread = f" ({min(cell.figures):.1f}-{max(cell.figures):.1f})" if len(cell.figures) > 1 else ""
    return f"{cell.median:.2f}{spread}"


def table_text(results: Results, markdown: bool) -> str:
    """Return all that is printed at the end."""
    s = results.settings
    columns = [name for name in CONTENDERS if name in results.versions]
    rows = [["case", *columns]]
    rows += [[case, *(shown(cells.get(name)) for name in columns)] for case, cells in results.cells.items()]
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [
        f"CPU microseconds of the client for each request, user and system: median of {s['rounds']} rounds of "
        f"{s['seconds']} s (smallest-largest); client on CPU {s['client_cpu']}, nginx on CPU {s['server_cpu']}. "
        "A case is protocol, method, calls in flight.",
        f"Python {s['python']}, rivals' Python {s['rival_python']}, all on uvloop; {versions}.",
        "",
        *aligned(rows, markdown),
        "",
    ]
    return ended(lines, results, bar_rows(results), markdown)


def find_contenders(chosen: list[str], rival_python: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return name -> version of those that can run, and name -> reason of those that cannot."""
    versions: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in chosen:
        try:
            if name == OURS:
                versions[name] = our_version(rival_python)
            else:
                module_version(rival_python, "uvloop", "uvloop")
                versions[name] = module_version(rival_python, name, PACKAGES.get(name, name))
        except (MissingError, OSError) as error:
            skipped[name] = str(error)
            tell(f"skipped: {name}: {error}")
    return versions, skipped


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="CPU time for each request: http.Client and its rivals, interleaved.")
    parser.add_argument("--cases", type=names(CASES), default=CASES, help=", ".join(CASES))
    known = list(CONTENDERS)
    parser.add_argument("--contenders", type=names(known), default=known, help=", ".join(known))
    parser.add_argument("--seconds", type=positive, default=3, help="of each load (3)")
    parser.add_argument("--rounds", type=positive, default=3, help="loads of each contender in each case (3)")
    parser.add_argument(
        "--rival-python", default=sys.executable, metavar="PATH", help="interpreter that has the rivals"
    )
    parser.add_argument("--server-cpu", type=int, metavar="N", help="CPU of nginx (the first that we may use)")
    parser.add_argument("--client-cpu", type=int, metavar="N", help="CPU of the clients (the second)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as markdown")
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace, folder: Path, results: Results, cpus: tuple[set[int], set[int]]) -> int:
    """Run every case; return the exit code."""
    interrupts = Interrupts()
    try:
        with interrupts.held():
            bench = Bench(arguments, folder, *cpus)
    except (LoadError, MissingError) as error:
        tell(f"cannot run: {error}")
        return 2
    try:
        for case in arguments.cases:
            results.cells[case] = bench.run_case(case, list(results.versions))
            if OURS in results.cells[case]:
                results.bars += bars_of(case, BARS.get(case, {}), results.cells[case])
    except KeyboardInterrupt:
        tell("stopped; every process was ended")
        return 130
    finally:
        bench.stop_callers()
        bench.nginx.stop()
    return 0 if all(bar.verdict == "ok" for bar in results.bars) else 1


def main(argv: list[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = parse_arguments(argv)
    try:
        server, client = two_cpus(arguments.server_cpu, arguments.client_cpu)
        versions, skipped = find_contenders(arguments.contenders, arguments.rival_python)
        if not versions:
            raise MissingError("none of the contenders is there")
        nginx = nginx_version("")
    except (LoadError, MissingError) as error:
        tell(f"cannot run: {error}")
        return 2
    settings = {
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "server_cpu": min(server),
        "client_cpu": min(client),
        "python": platform.python_version(),
        "rival_python": python_version(arguments.rival_python),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "nginx": nginx,
    }
    results = Results(settings, versions, skipped)
    with tempfile.TemporaryDirectory(prefix="siphon-clients-") as name:
        code = run(arguments, Path(name), results, (server, client))
    if code in (0, 1):
        print(table_text(results, arguments.markdown), end="")
        if arguments.json:
            arguments.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
