"""Load the user's script, and show its errors as its author wants to see them: their lines, not ours.

The script runs as in the original host: compiled and executed in a fresh module `siphon_user_script`, with its own
folder and `include_paths` at the front of `sys.path`, and with helper modules from there imported anew at every load.
"""

from __future__ import annotations

import linecache
import os
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from siphon_http.errors import ScriptError

__all__ = ["SCRIPT_MODULE", "Script", "is_user_file", "user_frames"]

SCRIPT_MODULE = "siphon_user_script"
MAX_LINES = 6
"""Lines of a start-up error."""
MAX_CHAIN = 5
"""Exceptions of one chain, or of one group, that are shown."""


class Script:
    """One script file and the folders of its helper modules.

    path: the script, absolute. include_paths: further folders. keep: names of modules that no load may drop, for what
    the host itself has imported. verbose: errors show the whole traceback. earlier: the script that this one follows.
    files: those that the last load, even one that failed, has read: the script, then its helper modules. began: when it
    began, as `time.time_ns()`.
    """

    def __init__(
        self,
        path: Path,
        include_paths: Sequence[Path] = (),
        *,
        keep: Iterable[str] = (),
        verbose: bool = False,
        earlier: Script | None = None,
    ) -> None:
        # Python names the script's frames by its path: it has to begin as its folder does.
        self.path = _plain(path.parent) / path.name
        self.dirs = tuple(dict.fromkeys(str(_plain(d)) for d in (path.parent, *include_paths)))
        self.keep = frozenset(keep) | {"__main__", "siphon", "_siphon_registry", SCRIPT_MODULE}
        self._all_dirs = tuple(dict.fromkeys((*self.dirs, *(earlier.dirs if earlier is not None else ()))))
        self._replaced: tuple[list[str], dict[str, ModuleType]] | None = None
        self.files: tuple[str, ...] = (str(self.path),)
        self.began = 0
        self._verbose = verbose

    def load(self) -> ModuleType:
        """Execute the script once and return its module; on failure all modules of an earlier load stay in place.

        Raises ScriptError with a text of at most six lines, ready for printing (verbose: the whole traceback).
        """
        self.began = time.time_ns()
        self._replaced = (list(sys.path), self._take_away())
        self._prepare_imports()
        module = ModuleType(SCRIPT_MODULE)
        module.__file__ = str(self.path)
        # The original leaves the script out of sys.modules; dataclasses, pickle and typing look their classes up there.
        sys.modules[SCRIPT_MODULE] = module
        try:
            code = compile(self.path.read_bytes(), str(self.path), "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102  the script is the operator's own code
        except BaseException as error:
            self._note_files(error)
            self.undo()
            if isinstance(error, (Exception, SystemExit)):
                raise ScriptError(self.explain(error)) from error
            raise
        self._note_files()
        return module

    def undo(self) -> None:
        """Put everything back as it was before the last load."""
        if self._replaced is not None:
            self._take_away()
            sys.path[:], modules = self._replaced
            sys.modules.update(modules)
            self._replaced = None

    def settle(self) -> None:
        """The last load counts: let go of what it has replaced."""
        self._replaced = None

    def explain(self, error: BaseException) -> str:
        """Return what a start-up error says: file:line, exception, source line, callers; at most six lines."""
        if self._verbose:
            return "".join(traceback.format_exception(error)).rstrip()
        if isinstance(error, SyntaxError) and error.lineno:
            lines = _syntax_lines(error)
        else:
            lines = _error_lines(error, self.path, self.dirs)
        return "\n".join(lines[:MAX_LINES])

    def user_traceback(self, error: BaseException) -> str:
        """Return the traceback of `error`, cut to the script's own frames."""
        return user_frames(error, self.dirs)

    def _note_files(self, error: BaseException | None = None) -> None:
        """Note what the load has read. A module that failed leaves no trace but in its `error`."""
        files = {f for _, module in self._own_modules() for f in _places(module) if not f.endswith(os.sep)}
        if error is not None:
            found = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
            found += [error.filename] if isinstance(error, SyntaxError) and error.filename else []
            files |= {*self.files, *(f for f in found if is_user_file(f, self.dirs))}
        self.files = (str(self.path), *sorted(files - {str(self.path)}))

    def _own_modules(self) -> list[tuple[str, ModuleType]]:
        """Return the modules that a load has brought, from the script's folders, and that the next may drop."""
        return [
            (name, module)
            for name, module in list(sys.modules.items())
            if name not in self.keep and any(is_user_file(f, self._all_dirs) for f in _places(module))
        ]

    def _take_away(self) -> dict[str, ModuleType]:
        """Remove what an earlier load has brought into `sys.modules`; return it."""
        taken = dict(self._own_modules())
        if (module := sys.modules.get(SCRIPT_MODULE)) is not None:
            taken[SCRIPT_MODULE] = module
        for name, module in taken.items():
            sys.modules.pop(name, None)
            _forget_stale_bytecode(module)
        return taken

    def _prepare_imports(self) -> None:
        sys.path[:] = [*self.dirs, *(p for p in sys.path if p not in self.dirs)]
        _forget_listings()
        linecache.checkcache()


def _forget_listings() -> None:
    """Let imports see files that were made a moment ago, as `importlib.invalidate_caches` does.

    From Python 3.12 on that loads importlib.metadata, too, which takes longer than the extension itself.
    """
    for finder in sys.meta_path:
        if finder is not PathFinder and (forget := getattr(finder, "invalidate_caches", None)) is not None:
            forget()
    for folder, inside in list(sys.path_importer_cache.items()):
        if inside is None:
            del sys.path_importer_cache[folder]
        elif (forget := getattr(inside, "invalidate_caches", None)) is not None:
            forget()


def _plain(folder: Path) -> Path:
    """Return the absolute path of a folder without ".."; only with the links resolved is that the same folder."""
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def is_user_file(file: str, dirs: Sequence[str]) -> bool:
    """Whether `file` lies below one of the script's folders and belongs to the user.

    Not the user's, even below the script's folder: the standard library, a virtual environment, installed packages,
    siphon-http itself. Relative names (frozen modules, Cython) are never the user's.
    """
    if not os.path.isabs(file):
        return False
    return any(_below(file, folder) and not _is_foreign(file, folder) for folder in dirs)


def _below(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip(os.sep) + os.sep)


def _is_foreign(file: str, folder: str) -> bool:
    parts = file[len(folder.rstrip(os.sep)) :].split(os.sep)
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    import sysconfig  # only who has modules below the script's folder that are no helpers

    paths = sysconfig.get_paths()
    roots = [paths[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots += [sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    # Only roots inside the script's folder matter: a script may itself lie inside one, below /usr for example.
    return any(_below(root, folder) and _below(file, root) for root in roots)


def _places(module: ModuleType) -> list[str]:
    """Return where a module comes from: its file, or the folders of a namespace package."""
    try:
        if file := getattr(module, "__file__", None):
            return [str(file)]
        return [os.path.join(str(p), "") for p in getattr(module, "__path__", ())]
    except Exception:  # lazy modules may raise whatever they like; they are no helpers of the script
        return []


def _forget_stale_bytecode(module: ModuleType) -> None:
    """Remove the bytecode of a source that was changed after it: Python itself only compares whole seconds and sizes."""
    source, cached = getattr(module, "__file__", None), getattr(module, "__cached__", None)
    try:
        if source and cached and os.stat(source).st_mtime_ns > os.stat(cached).st_mtime_ns:
            os.unlink(cached)
    except OSError:
        pass  # there is none, or its folder is not ours


def shown_path(file: str | Path) -> str:
    """Return `file` relative to the working directory when it lies below it, else as it is."""
    try:
        here = os.getcwd()
    except OSError:  # the folder was removed under us
        return str(file)
    return os.path.relpath(file, here) if _below(str(file), here) else str(file)


def _message(error: BaseException) -> list[str]:
    if isinstance(error, SystemExit):
        return [f"SystemExit: the script ended itself while it was loaded (exit code {error.code!r})"]
    try:
        text = str(error)
    except Exception:  # a broken __str__ must not hide the error
        text = "<no text: its __str__ raises>"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name).splitlines() or [name]


def _syntax_lines(error: SyntaxError) -> list[str]:
    file = shown_path(error.filename or "")
    lines = [f"{file}:{error.lineno}:{error.offset or 1}: {type(error).__name__}: {error.msg}"]
    source = (error.text or "").rstrip()
    if source.strip():
        column = min(max(error.offset or 1, 1), len(source) + 1)
        pad = "".join("\t" if c == "\t" else " " for c in source[: column - 1])
        lines += [f"    {source}", f"    {pad}^"]
    return lines


def _error_lines(error: BaseException, path: Path, dirs: Sequence[str]) -> list[str]:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_user_file(f.filename, dirs)]
    message = _message(error)
    if not frames:
        return [f"{shown_path(path)}: {message[0]}", *(f"    {m}" for m in message[1:])]
    last = frames[-1]
    lines = [f"{shown_path(last.filename)}:{last.lineno}: {message[0]}"]
    lines += [f"    {m}" for m in message[1:3]]
    if last.line:
        lines.append(f"    {last.line}")
    lines += [f"    called from {shown_path(f.filename)}:{f.lineno} in {f.name}" for f in frames[-2:-4:-1]]
    missing = error.name if isinstance(error, ImportError) and error.name else ""
    if missing.partition(".")[0] == "siphon":
        return lines  # the message itself says what to do
    if isinstance(error, ModuleNotFoundError):
        lines.append(f"    install it for {sys.executable}, or name its folder in script.include_paths")
    elif len(lines) < MAX_LINES:
        lines.append("    run with -v for the whole traceback")
    return lines


def user_frames(error: BaseException, script_dirs: Sequence[str]) -> str:
    """Return `error` as Python prints it, cut to frames of files below `script_dirs` (absolute), causes first.

    Where the innermost frame is not the user's, one line says where that was. An exception that never passed through
    the user's code is shown whole.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain and len(chain) < MAX_CHAIN:
        chain.append(link)
        link = link.__cause__ if link.__cause__ is not None or link.__suppress_context__ else link.__context__
    parts = [_one(e, script_dirs) for e in reversed(chain)]
    return "\nwhich led to:\n".join(parts)


def _one(error: BaseException, dirs: Sequence[str]) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if is_user_file(f.filename, dirs)]
    lines = ["Traceback (most recent call last):"] if frames else []
    lines += "".join(traceback.format_list(mine or frames)).splitlines()
    if mine and frames[-1] is not mine[-1]:
        lines.append(f"  raised in {frames[-1].filename}:{frames[-1].lineno}, {frames[-1].name}")
    lines += "".join(traceback.format_exception_only(type(error), error)).splitlines()
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions[:MAX_CHAIN], 1):
            lines.append(f"  {number} of {len(error.exceptions)}:")
            lines += [f"    {line}" for line in _one(inner, dirs).splitlines()]
    return "\n".join(lines)
