"""Whole servers against each other, in one interleaved run: CPU microseconds of the server for each request.

    python benchmarks/load/run.py [--cases a,b] [--contenders a,b] [--rival-python PATH] [--json FILE] [--markdown]

README.md beside this file says what is measured and how to repeat it. Exit code: 0, 1 when one of our bars was missed or
could not be judged, 2 when nothing can be run, 130 after a signal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ask import WrongAnswerError, check, idle_bytes, seconds_to_first_answer
from ask_http2 import check_http2, wait_for_listener
from cases import CASES, IDLE, OURS, PLAIN, START, Case, Question
from contenders import CONTENDERS, Contender, MissingError, Place, find_program, make_certificate
from h2load import run_h2load
from measure import Interrupts, Loaded, LoadError, Server, free_port, pinned, run_wrk, two_cpus
from report import Cell, Results, as_json, bars_of, table_text

HERE = Path(__file__).parent
LUA = HERE / "lua"
FILES = 4096  # descriptors that the idle connections ask for
STARTS = 5  # measured starts of each contender
IDLE_CONNECTIONS = 1000
CASE_NAMES = [*(case.name for case in CASES), START, IDLE]


class Bench:
    """One run: its settings, its temporary folder and its certificate."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, server: set[int], load: set[int]) -> None:
        self.arguments = arguments
        self.folder = folder
        self.server_cpus = server
        self.load_cpus = load
        chosen = [case for case in CASES if case.name in arguments.cases]
        self.wrk = find_program("wrk") if any(not case.streams for case in chosen) else ""
        self.h2load = find_program("h2load", "nghttp2-client") if any(case.streams for case in chosen) else ""
        self.certificate, self.key = make_certificate(folder)
        self.interrupts = Interrupts()
        self._serial = 0
        self._running: list[Server] = []

    def start(
        self, contender: Contender, stack: contextlib.ExitStack, tls: bool = False, http2: bool = False
    ) -> tuple[Server, int]:
        """Start `contender` on a free port, to be stopped with `stack`; return it and the port."""
        self._serial += 1
        folder = self.folder / f"{self._serial}-{contender.name}"
        folder.mkdir()
        place = Place(
            port=free_port(),
            folder=folder,
            rival_python=self.arguments.rival_python,
            certificate=self.certificate if tls else None,
            key=self.key if tls else None,
            http2=http2,
        )
        command = contender.command(place)
        where = command.folder or folder
        with self.interrupts.held():
            server = Server(command.arguments, where, dict(command.environment), self.server_cpus, folder / "log")
            self._running.append(server)
        stack.callback(self.stop, server)
        return server, place.port

    def stop(self, server: Server) -> None:
        """End a server, if it was not ended before."""
        with self.interrupts.held():
            if server in self._running:
                server.stop()
                self._running.remove(server)

    def stop_all(self) -> None:
        """End what an interrupt left behind."""
        for server in self._running:
            server.stop()
        self._running.clear()

    def load(
        self, case: Case, name: str, server: Server, port: int, seconds: int, requests: int = 0
    ) -> tuple[float, float, float]:
        """Load one contender once; return CPU microseconds a request, requests a second, share of the CPU used.

        requests: how many over HTTP/2, 0 = as many as there is time for.
        """
        question = case.question_for(name)
        url = f"{'https' if case.tls else 'http'}://127.0.0.1:{port}{question.path}"
        before = server.cpu_seconds()
        if case.streams:
            loaded = run_h2load(
                self.h2load, question, url, case.streams, seconds, requests, self.folder, self.load_cpus
            )
        else:
            loaded = self.wrk_load(question, url, seconds)
        used = server.cpu_seconds() - before
        if not server.is_alive():
            raise LoadError(f"ended under load: {server.last_words()}")
        if loaded.errors:
            raise LoadError(loaded.errors)
        if not loaded.requests:
            raise LoadError("no request was completed")
        return used / loaded.requests * 1e6, loaded.requests / loaded.seconds, used / loaded.seconds

    def wrk_load(self, question: Question, url: str, seconds: int) -> Loaded:
        """Load a server over HTTP/1.1 for `seconds`. Raises LoadError."""
        command = [self.wrk, "-t1", f"-c{self.arguments.connections}", f"-d{seconds}s", url]
        if question.script:
            command += ["-s", str(LUA / question.script)]
        return run_wrk(command, seconds, self.load_cpus)

    def check(self, case: Case, name: str, server: Server, port: int) -> None:
        """Wait until a contender is there, and compare its answers. Raises LoadError, WrongAnswerError."""
        certificate = self.certificate if case.tls else None
        if case.streams:
            wait_for_listener(server, port)
            check_http2(case.question_for(name), case.streams, port, certificate)
        else:
            seconds_to_first_answer(server, port, certificate)
            check(case.question_for(name), port, certificate)

    def run_case(self, case: Case, contenders: list[Contender]) -> dict[str, Cell]:
        """Start all, check their answers, then load them in turn, round by round."""
        cells = {c.name: Cell() for c in contenders}
        running: dict[str, tuple[Server, int, int]] = {}
        with contextlib.ExitStack() as stack:
            for contender in contenders:
                server, port = self.start(contender, stack, case.tls, case.streams > 0)
                try:
                    self.check(case, contender.name, server, port)
                    _micros, rate, _busy = self.load(case, contender.name, server, port, 1)
                except (LoadError, WrongAnswerError) as exc:
                    void(cells, case.name, contender.name, exc)
                else:
                    running[contender.name] = server, port, int(rate * self.arguments.seconds)
            for number in range(self.arguments.rounds):
                for name, (server, port, requests) in running.items():
                    if cells[name].void:
                        continue
                    try:
                        micros, rate, busy = self.load(case, name, server, port, self.arguments.seconds, requests)
                    except LoadError as exc:
                        void(cells, case.name, name, exc)
                        continue
                    cells[name].figures.append(micros)
                    cells[name].rates.append(rate)
                    cells[name].busy.append(busy)
                    tell(f"{case.name} round {number + 1}: {name} {micros:.2f} us, {rate:.0f}/s, CPU {busy:.0%}")
        return cells

    def run_starts(self, contenders: list[Contender]) -> dict[str, Cell]:
        """Measure seconds from start to first answer, in turn; the first start of each only fills the page cache."""
        cells = {c.name: Cell() for c in contenders}
        for number in range(STARTS + 1):
            for contender in contenders:
                if cells[contender.name].void:
                    continue
                with contextlib.ExitStack() as stack:
                    server, port = self.start(contender, stack)
                    try:
                        seconds = seconds_to_first_answer(server, port, None)
                    except (LoadError, WrongAnswerError) as exc:
                        void(cells, START, contender.name, exc)
                        continue
                if number:
                    cells[contender.name].figures.append(seconds)
                    tell(f"{START} {number}: {contender.name} {seconds:.3f} s")
        return cells

    def run_idle(self, contenders: list[Contender]) -> dict[str, Cell]:
        """Measure the bytes that an idle keep-alive connection holds, one contender after the other."""
        cells = {c.name: Cell() for c in contenders}
        for contender in contenders:
            with contextlib.ExitStack() as stack:
                server, port = self.start(contender, stack)
                try:
                    seconds_to_first_answer(server, port, None)
                    held = idle_bytes(server, PLAIN, port, IDLE_CONNECTIONS)
                except (LoadError, WrongAnswerError) as exc:
                    void(cells, IDLE, contender.name, exc)
                    continue
            cells[contender.name].figures.append(held)
            tell(f"{IDLE}: {contender.name} {held / 1024:.1f} KiB a connection")
        return cells


def void(cells: dict[str, Cell], case: str, name: str, reason: Exception) -> None:
    """Take a contender's figures of a case away, and say so at once."""
    cells[name].void = str(reason)
    tell(f"{case}: {name} is void: {reason}")


def tell(text: str) -> None:
    """Print progress where it does not get into the table."""
    print(text, file=sys.stderr, flush=True)


def names(known: list[str]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated names that must all be known."""

    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        wrong = [name for name in chosen if name not in known]
        if wrong or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong) or 'nothing'}; known are {', '.join(known)}")
        return [name for name in known if name in chosen]

    return parse


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="CPU time for each request: siphon-http and its rivals, interleaved.")
    parser.add_argument("--cases", type=names(CASE_NAMES), default=CASE_NAMES, help=", ".join(CASE_NAMES))
    known = list(CONTENDERS)
    parser.add_argument("--contenders", type=names(known), default=known, help=", ".join(known))
    parser.add_argument("--seconds", type=positive, default=4, help="of each load (4)")
    parser.add_argument("--rounds", type=positive, default=3, help="loads of each contender in each case (3)")
    parser.add_argument("--connections", type=positive, default=64, help="of wrk (64); h2load has 32")
    parser.add_argument(
        "--rival-python", default=sys.executable, metavar="PATH", help="interpreter that has the rivals"
    )
    parser.add_argument("--server-cpu", type=int, metavar="N", help="CPU of the servers (the first that we may use)")
    parser.add_argument("--load-cpu", type=int, metavar="N", help="CPU of wrk and h2load (the second)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as markdown")
    return parser.parse_args(argv)


def find_contenders(chosen: list[str], rival_python: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return name -> version of those that can run, and name -> reason of those that cannot."""
    versions: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in chosen:
        try:
            versions[name] = CONTENDERS[name].version(rival_python)
        except (MissingError, OSError) as exc:
            skipped[name] = str(exc)
            tell(f"skipped: {name}: {exc}")
    return versions, skipped


def python_version(python: str) -> str:
    """Return the version of an interpreter."""
    done = subprocess.run([python, "-V"], capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("Python ")


def run_all(bench: Bench, results: Results) -> None:
    """Run every chosen case, with those of its contenders that are there."""
    arguments = bench.arguments
    present = {name: CONTENDERS[name] for name in results.versions}
    for case in CASES:
        if case.name in arguments.cases:
            results.cells[case.name] = bench.run_case(case, [present[n] for n in case.contenders if n in present])
            results.bars += bars_of(case.name, case.bars, results.cells[case.name])
    if START in arguments.cases:
        results.cells[START] = bench.run_starts(list(present.values()))
    if IDLE in arguments.cases:
        results.cells[IDLE] = bench.run_idle(list(present.values()))


def describe(arguments: argparse.Namespace, server: set[int], load: set[int]) -> dict[str, Any]:
    """Return what a reader must know to repeat the run."""
    return {
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "connections": arguments.connections,
        "contenders": arguments.contenders,
        "server_cpu": min(server),
        "load_cpu": min(load),
        "python": platform.python_version(),
        "rival_python": python_version(arguments.rival_python),
        "machine": platform.machine(),
        "kernel": platform.release(),
    }


def main(argv: list[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = parse_arguments(argv)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard))
    with tempfile.TemporaryDirectory(prefix="siphon-load-") as name:
        try:
            server, load = two_cpus(arguments.server_cpu, arguments.load_cpu)
            versions, skipped = find_contenders(arguments.contenders, arguments.rival_python)
            if not versions:
                raise MissingError("none of the contenders is there")
            bench = Bench(arguments, Path(name), server, load)
        except (LoadError, MissingError) as exc:
            tell(f"cannot run: {exc}")
            return 2
        results = Results(describe(arguments, server, load), versions, skipped)
        try:
            with pinned(load):
                run_all(bench, results)
        except KeyboardInterrupt:
            tell("stopped; every server was ended")
            return 130
        finally:
            bench.stop_all()
    print(table_text(results, CASES, arguments.markdown), end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    verdicts = {bar["verdict"] for bar in as_json(results)["bars"]}
    return 1 if OURS in arguments.contenders and verdicts - {"ok"} else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
