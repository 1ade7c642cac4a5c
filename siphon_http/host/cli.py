"""The command `siphon-http`: arguments only. What they ask for is imported when it is needed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from siphon_http import __version__

if TYPE_CHECKING:
    from siphon_http.host.prepare import Options

__all__ = ["main"]

HELP = """\
siphon-http: serve and call HTTP from a siphon script

usage: siphon-http COMMAND [options]

commands:
  run [FILE]      serve what FILE describes (default: siphon.yaml) until Ctrl-C
  check [FILE]    check FILE, the extensions' files and the script; bind nothing
  routes [FILE]   print the routes of the script; bind nothing
  doctor [FILE]   look at the machine and the configuration, and say what to do
  new NAME        make a folder with both YAML files, a script and its test

options of run, check, routes and doctor:
  -v, --verbose           whole tracebacks instead of the script's own lines
  --log-level LEVEL       debug, info, warn or error (default: as in FILE)
  --log-format FORMAT     pretty or json (default: as in FILE)

options of one of them:
  --workers N|auto        run: how many processes serve (default: as in FILE)
  --json                  check: print the findings as one JSON object

everywhere:
  -h, --help              print this
  --version               print the version

examples:
  siphon-http new hello && cd hello && siphon-http run
  siphon-http check /etc/siphon/siphon.yaml --json
  PORT=9000 siphon-http run --log-level debug

exit codes:
  0  stopped as asked              3  an address cannot be bound
  1  any other error               4  the script fails to load or to start
  2  wrong usage or configuration  5  unusable TLS certificates or keys
  130, 143  ended at once by a second SIGINT or SIGTERM

NO_COLOR=1 switches colours off. Logs go to standard error.
"""


class _Parser(argparse.ArgumentParser):
    """argparse with short errors, exit code 2 and did-you-mean for options."""

    def error(self, message: str) -> NoReturn:
        """Print `message` and where help is, and exit."""
        _fail(f"{self.prog}: {message}")

    def parse(self, args: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments; what is unknown ends the program, with the closest option named."""
        known, unknown = self.parse_known_args(args)
        if unknown:
            first = unknown[0]
            if first.startswith("-"):
                options = [o for action in self._actions for o in action.option_strings]
                self.error(f"unknown option {first}{_did_you_mean(first.partition('=')[0], options)}")
            self.error(f"unexpected argument {first!r}")
        return known


def _did_you_mean(word: str, words: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _fail(message: str) -> NoReturn:
    print(f"{message}\n`siphon-http --help` shows how it is used", file=sys.stderr)
    raise SystemExit(2)


def _parser(command: str, *, settings_file: bool = True) -> _Parser:
    # argparse formats each option once to check it: without a width it imports shutil, and with that four packers.
    width = partial(argparse.HelpFormatter, width=80)
    parser = _Parser(prog=f"siphon-http {command}", add_help=False, allow_abbrev=False, formatter_class=width)
    parser.add_argument("-h", "--help", action="store_true")
    if settings_file:
        parser.add_argument("file", nargs="?", default="siphon.yaml")
        parser.add_argument("-v", "--verbose", action="store_true")
        parser.add_argument("--log-level", choices=("debug", "info", "warn", "error"))
        parser.add_argument("--log-format", choices=("pretty", "json"))
    return parser


def _options(args: argparse.Namespace) -> Options:
    from siphon_http.host.prepare import Options

    path = Path(args.file)
    if path.is_dir():
        path /= "siphon.yaml"
    if not path.exists() and args.file == "siphon.yaml":
        _fail("siphon.yaml: does not exist in this folder; name the file, or `siphon-http new NAME` makes one")
    return Options(
        file=path,
        verbose=args.verbose,
        log_level=args.log_level,
        log_format=args.log_format,
        workers=getattr(args, "workers", None),
    )


def _run(args: Sequence[str], began: float) -> int:
    parser = _parser("run")
    parser.add_argument("--workers", type=_workers)
    parsed = parser.parse(args)
    if parsed.help:
        return _help()
    options = _options(parsed)
    import gc

    gc.disable()  # what a start makes stays; the worker enables it before it loads the script
    import faulthandler

    from siphon_http.host.worker import Worker

    faulthandler.enable()  # a crash in an extension module then says where
    return Worker(options, began=began).run()


def _workers(text: str) -> int | str:
    """Return what --workers says; ValueError makes argparse refuse it."""
    if text == "auto":
        return text
    if not 1 <= (count := int(text)) <= 1024:
        raise ValueError
    return count


_workers.__name__ = "number of workers (1 to 1024, or auto)"  # as argparse names it in its message


def _worker(args: Sequence[str]) -> int:
    """Be a worker: what a supervisor executes, not the user."""
    if len(args) != 1 or not args[0].isdigit():
        _fail("siphon-http _worker is started by `siphon-http run` only")
    import gc

    gc.disable()  # as above
    import faulthandler

    from siphon_http.host.supervised import serve

    faulthandler.enable()
    return serve(int(args[0]))


def _check(args: Sequence[str], began: float) -> int:
    parser = _parser("check")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse(args)
    if parsed.help:
        return _help()
    options = _options(parsed)
    from siphon_http.host.report import check

    return check(options, sys.stdout, as_json=parsed.json)


def _routes(args: Sequence[str], began: float) -> int:
    parsed = _parser("routes").parse(args)
    if parsed.help:
        return _help()
    options = _options(parsed)
    from siphon_http.host.report import routes

    return routes(options, sys.stdout)


def _doctor(args: Sequence[str], began: float) -> int:
    parsed = _parser("doctor").parse(args)
    if parsed.help:
        return _help()
    from siphon_http.host.doctor import doctor
    from siphon_http.host.prepare import Options

    path = Path(parsed.file)
    file = path / "siphon.yaml" if path.is_dir() else path
    return doctor(Options(file=file), sys.stdout, file_given=parsed.file != "siphon.yaml")


def _new(args: Sequence[str], began: float) -> int:
    parser = _parser("new", settings_file=False)
    parser.add_argument("name", nargs="?")
    parsed = parser.parse(args)
    if parsed.help:
        return _help()
    if not parsed.name:
        parser.error("a NAME is missing: `siphon-http new hello`")
    from siphon_http.host.scaffold import create

    try:
        written = create(Path(parsed.name))
    except OSError as error:
        _fail(f"siphon-http new: {error.filename or parsed.name}: {error.strerror or error}")
    print("\n".join(str(path) for path in written))
    print(f"next: cd {parsed.name} && siphon-http run")
    return 0


COMMANDS: dict[str, Callable[[Sequence[str], float], int]] = {
    "run": _run,
    "check": _check,
    "routes": _routes,
    "doctor": _doctor,
    "new": _new,
}


def _help() -> int:
    print(HELP, end="")
    return 0


def _dispatch(args: Sequence[str], began: float) -> int:
    if not args:
        print(HELP, end="", file=sys.stderr)
        return 2
    first, rest = args[0], args[1:]
    if first in {"-h", "--help", "help"}:
        return _help()
    if first == "--version":
        print(f"siphon-http {__version__}")
        return 0
    if first == "_worker":
        return _worker(rest)
    if first in COMMANDS:
        return COMMANDS[first](rest, began)
    if first.startswith("-"):
        _fail(
            f"siphon-http: unknown option {first}{_did_you_mean(first, ['--help', '--version'])}; a command comes first"
        )
    _fail(f"siphon-http: unknown command {first!r}{_did_you_mean(first, list(COMMANDS))}")


def _replace_closed_streams() -> None:
    """Put /dev/null where a standard stream is closed, else a socket gets its number, and what was meant for a person."""
    if sys.stdin is not None and sys.stdout is not None and sys.stderr is not None:
        return
    while (extra := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(extra)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command that `args` (default: the process's) name, and return its exit code."""
    began = time.monotonic()
    _replace_closed_streams()
    try:
        code = _dispatch(sys.argv[1:] if args is None else args, began)
        sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted. Python flushes once more at its end: give it a place to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
