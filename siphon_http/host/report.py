"""`siphon-http check` and `siphon-http routes`: what the files and the script say, without a socket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from siphon_http.errors import ConfigError
from siphon_http.host import log
from siphon_http.host.prepare import Options, Prepared, prepare
from siphon_http.host.worker import error_text

__all__ = ["aligned", "check", "routes"]


def check(options: Options, out: TextIO, *, as_json: bool) -> int:
    """Check everything that a start would check before it binds; return the exit code that the start would have.

    as_json: print `{"ok", "exit_code", "problems", "error", "warnings"}` instead of text; `error` is what is no mistake
    of configuration, such as one in the script.
    """
    warnings: list[str] = []
    failure: Exception | None = None
    try:
        prepare(options, warnings)
    except Exception as error:  # a check reports whatever a start would fail with
        failure = error
    log.flush()
    code = 0 if failure is None else getattr(failure, "exit_code", 1)
    if as_json:
        out.write(json.dumps(_findings(failure, code, warnings, options), indent=2) + "\n")
    elif failure is None:
        out.write(f"{options.file}: ok\n")
    else:
        _complain(failure, options)
    return code


def _findings(failure: Exception | None, code: int, warnings: list[str], options: Options) -> dict[str, Any]:
    problems = failure.problems if isinstance(failure, ConfigError) else []
    other = failure is not None and not problems
    return {
        "ok": failure is None,
        "exit_code": code,
        "problems": [
            {"file": p.file, "line": p.line, "column": p.column, "reason": p.reason, "hint": p.hint} for p in problems
        ],
        "error": error_text(failure, verbose=options.verbose) if failure is not None and other else None,
        "warnings": warnings,
    }


def routes(options: Options, out: TextIO) -> int:
    """Load the script and print every extension's table; return the exit code."""
    try:
        prepared = prepare(options, [])
        text = "\n".join(_tables(prepared))
    except Exception as error:  # as in `check`
        _complain(error, options)
        return int(getattr(error, "exit_code", 1))
    finally:
        log.flush()
    out.write(text)
    return 0


def _tables(prepared: Prepared) -> list[str]:
    tables: list[str] = []
    for part in prepared.parts:
        title = f"{part.name}:\n" if len(prepared.parts) > 1 else ""
        tables.append(title + aligned(part.extension.table()))
    return tables


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` as lines whose columns begin at the same place; "" for no rows."""
    columns = max((len(row) for row in rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    lines = ["  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows]
    return "".join(line + "\n" for line in lines)


def _complain(error: Exception, options: Options) -> None:
    import sys

    log.flush()
    sys.stderr.write(error_text(error, verbose=options.verbose) + "\n")
