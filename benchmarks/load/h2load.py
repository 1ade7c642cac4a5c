"""HTTP/2 load: h2load's command line, and what its report says."""

from __future__ import annotations

import re
from pathlib import Path

from cases import HTTP2_CONNECTIONS, Question
from measure import UNIT_SECS, Loaded, LoadError, run_generator

__all__ = ["run_h2load"]

SPOKEN = re.compile(r"^Application protocol: (\S+)", re.MULTILINE)
FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
REQUESTS = re.compile(
    r"^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
    re.MULTILINE,
)
STATUSES = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", re.MULTILINE)


def read_report(text: str, protocol: str) -> Loaded:
    """Read what h2load printed. protocol: "h2c" or "h2", what it must have spoken. Raises LoadError without figures."""
    spoken, finished, requests, statuses = (p.search(text) for p in (SPOKEN, FINISHED, REQUESTS, STATUSES))
    if finished is None or requests is None or statuses is None:
        raise LoadError(f"h2load reported nothing: {text.strip()[-200:] or 'no output'}")
    if spoken is None or spoken[1] != protocol:
        raise LoadError(f"h2load spoke {spoken[1] if spoken else 'nothing'}, not {protocol}")
    total, succeeded, failed, broke, late = map(int, requests.groups())
    errors = []
    if total != succeeded or failed or broke or late:
        errors.append(
            f"{succeeded} of {total} requests succeeded; {failed} failed, {broke} of them broke, {late} too late"
        )
    if refused := sum(map(int, statuses.groups()[1:])):
        errors.append(f"{refused} answers were no 2xx")
    return Loaded(succeeded, float(finished[1]) * UNIT_SECS[finished[2]], ", ".join(errors))


def run_h2load(
    program: str,
    question: Question,
    url: str,
    streams: int,
    seconds: int,
    requests: int,
    folder: Path,
    cpus: set[int],
) -> Loaded:
    """Load a server with h2load on `cpus`: 32 connections, `streams` requests at once on each. Raises LoadError.

    seconds: about how long; requests: how many, all of which must be answered, or 0 for as many as there is time for;
    folder: where the request's body is put for h2load to read.
    """
    command = [program, "-t1", f"-c{HTTP2_CONNECTIONS}", f"-m{streams}"]
    # By number where a figure is taken: by time, up to 1024 requests in flight at the end would be work that is not counted,
    # left over for the next load, and a connection that got stuck would not be seen.
    fewest = HTTP2_CONNECTIONS * streams
    command.append(f"-n{max(requests, fewest)}" if requests else f"-D{seconds}s")
    command.append("--npn-list=h2")  # else it would fall back to HTTP/1.1 over TLS
    for name, value in question.headers.items():
        command += ["-H", f"{name.lower()}: {value}"]
    if question.body:
        body = folder / "request-body"
        body.write_bytes(question.body)
        command += ["-d", str(body)]
    report = run_generator("h2load", [*command, url], seconds, cpus)
    return read_report(report, "h2" if url.startswith("https:") else "h2c")
