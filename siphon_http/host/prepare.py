"""All that comes before sockets: configuration, extensions, the script. `run`, `check` and `routes` share it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from siphon_http.errors import ConfigError, HttpError, Problem, ScriptError, TlsMaterialError
from siphon_http.host import config, log
from siphon_http.host.api import Extension, LogsFields, Place
from siphon_http.host.builtin import Builtins
from siphon_http.host.config import HostConfig
from siphon_http.host.discovery import discover
from siphon_http.host.metrics import MetricsNamespace
from siphon_http.host.namespace import Namespaces
from siphon_http.host.notify import Activation
from siphon_http.host.script import Script
from siphon_http.records import dataclass
from siphon_http.settings import sorted_problems

__all__ = ["HostContext", "Options", "Part", "Prepared", "new_context", "prepare", "processors", "read"]

logger = logging.getLogger("siphon_http.host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; None leaves the choice to siphon.yaml."""

    file: Path = Path("siphon.yaml")
    verbose: bool = False
    """Show whole tracebacks."""
    log_level: str | None = None
    log_format: log.LogFormat | None = None
    workers: int | Literal["auto"] | None = None
    place: Place | None = None
    """Which of the processes that serve together this one is; None: the first, or only, one, which counts them."""
    inherited: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    """Sockets that another process has bound for each extension."""
    activation: Activation = field(default_factory=Activation)
    """Sockets of the service manager, for whichever extension has their address."""
    contents: Mapping[Path, bytes] = field(default_factory=dict)
    """What was in the configuration's files when the supervisor checked them: they may have changed since."""
    builtins: Builtins = field(default_factory=Builtins)
    """The host's own namespaces, which outlive a reload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostContext:
    """What an extension is told; see `api.Context`."""

    name: str
    config: Path | Mapping[str, Any]
    content: bytes | None
    drain_secs: float
    sync_pool_max: int
    sync_queue_max: int
    script: Script
    worker: Place
    inherited: Mapping[str, Sequence[int]]
    counters: memoryview

    builtins: Builtins

    @property
    def metrics(self) -> MetricsNamespace:
        """The extension's own numbers."""
        return self.builtins.metrics_of(self.name)

    def user_traceback(self, error: BaseException) -> str:
        """Return the traceback of `error` for the log, cut to frames of the script and its helpers."""
        return self.script.user_traceback(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One extension in use, with its context."""

    name: str
    extension: Extension
    context: HostContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A process that only lacks its sockets: everything is checked, the script is loaded (by `read`: not yet)."""

    config: HostConfig
    form: log.LogFormat
    parts: tuple[Part, ...]
    script: Script
    namespaces: Namespaces
    options: Options
    place: Place

    def load(self) -> None:
        """Execute the script once, between the extensions' `load_begins` and `load_ends`. Raises ScriptError.

        Modules of an earlier load stay in place then; what extensions have noted of the failed one does not count.
        """
        if any(cache.url is not None for cache in self.config.cache):
            # A fifth of a second, which the loop would pay with the first look-up. What is wrong with it, that says.
            with contextlib.suppress(Exception):
                import_module("redis.asyncio")
        self.namespaces.install()
        self.options.builtins.load_begins()
        for part in self.parts:
            part.extension.load_begins()
        self.script.load()
        try:
            for part in self.parts:
                part.extension.load_ends()
        except BaseException as error:
            self.script.undo()
            if isinstance(error, HttpError) and not isinstance(error, ScriptError):
                raise ScriptError(self.script.explain(error)) from error
            raise

    def settle(self) -> None:
        """The load counts from now on. On the loop's thread, or before there is a loop."""
        builtins = self.options.builtins
        self.script.settle()
        builtins.configure(self.place, self.config, self.script.user_traceback)
        builtins.load_ends()
        builtins.log.sources = tuple(p.extension.log_fields for p in self.parts if isinstance(p.extension, LogsFields))

    def configure_log(self) -> None:
        """Log as the configuration says, to a file that is opened anew. Raises OSError; nothing is changed then."""
        kept = self.config.log
        log.configure(self.options.log_level or kept.level, self.form, kept.file, access_file=kept.access_file)


def prepare(options: Options, warnings: list[str]) -> Prepared:
    """Parse and check siphon.yaml and every extension's file, then load the script.

    warnings: gets every warning of the host; they are logged too. Logging is configured on the way.
    Raises ConfigError (TlsMaterialError if all mistakes are of certificates) with the mistakes of all files at once,
    and ScriptError.
    """
    prepared = read(options, warnings)
    prepared.load()
    prepared.settle()
    return prepared


def read(options: Options, warnings: list[str], earlier: Prepared | None = None) -> Prepared:
    """Do what `prepare` does, but for the script.

    earlier: what is in use when the configuration is read again; logging is then left as it is.
    """
    if earlier is not None:
        options = replace(
            options, activation=Activation()
        )  # its sockets belong to listeners, which may have closed them
    found = config.parse(options.file, options.contents)
    problems = list(found.problems)
    form = options.log_format or found.config.log.format
    if earlier is None:
        try:
            log.configure(
                options.log_level or found.config.log.level,
                form,
                found.config.log.file,
                access_file=found.config.log.access_file,
            )
        except OSError as error:
            log.configure(options.log_level or "info", form, None)
            problems.append(Problem(str(options.file), 0, 0, "", f"log: {error.filename}: {error.strerror}"))
    place = _place(options, found.config.workers, earlier)
    discovery = discover(found.extensions)
    said = list(found.warnings)
    for name, reason in discovery.missing.items():
        said.append(f"extension `{name}` is configured but cannot be used, and is skipped: {reason}")
    if not discovery.found:
        said.append("no extension is in use: this process serves nothing")
    warnings += said
    if place.is_first:
        for text in said:
            logger.warning("%s", text)
    script = Script(
        found.config.script.path,
        found.config.script.include_paths,
        keep=frozenset(sys.modules) if earlier is None else earlier.script.keep,
        verbose=options.verbose,
        earlier=None if earlier is None else earlier.script,
    )
    if earlier is None:
        options.builtins.configure(place, found.config, script.user_traceback)
    parts = tuple(
        Part(name=name, extension=extension, context=new_context(name, found, script, options, place))
        for name, extension in discovery.found.items()
    )
    names = _namespaces(parts, problems, found.absent, options.builtins, earlier)
    namespaces = Namespaces(names, missing=discovery.missing, installed=discovery.installed, shown=str(options.file))
    return Prepared(
        config=found.config,
        form=form,
        parts=parts,
        script=script,
        namespaces=namespaces,
        options=options,
        place=place,
    )


def _place(options: Options, workers: int | Literal["auto"], earlier: Prepared | None) -> Place:
    """Return the place of this process: what it was told, or the first, which counts the others."""
    wanted = options.workers or workers
    count = processors() if wanted == "auto" else wanted
    if options.place is not None:
        return options.place
    if earlier is not None:
        return replace(earlier.place, count=count) if earlier.place.index == -1 else earlier.place
    return Place(index=-1 if count > 1 else 0, count=count)


def processors() -> int:
    """Return how many processors this process may use: by affinity, and by the quota of its container (cgroup 2)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return count


def new_context(name: str, read: config.Parsed, script: Script, options: Options, place: Place) -> HostContext:
    """Return what the extension `name` is told."""
    source = read.extensions[name]
    return HostContext(
        name=name,
        config=source,
        content=options.contents.get(source) if isinstance(source, Path) else None,
        drain_secs=read.config.server.drain_secs,
        sync_pool_max=read.config.script.sync_pool_max,
        sync_queue_max=read.config.script.executor_queue_capacity,
        script=script,
        worker=place,
        inherited={**options.activation.by_address, **options.inherited.get(name, {})},
        counters=options.builtins.counters(name),
        builtins=options.builtins,
    )


def _namespaces(
    parts: tuple[Part, ...],
    problems: list[Problem],
    absent: Mapping[str, Problem],
    builtins: Builtins,
    earlier: Prepared | None,
) -> dict[str, object]:
    """Let each extension check its file; raise everything that is wrong anywhere."""
    namespaces: dict[str, object] = builtins.namespaces()
    problems += [absent[part.name] for part in parts if part.name in absent]
    only_tls = not problems
    for part in parts:
        if part.name in absent:
            continue
        if earlier is not None and any(part.extension is one.extension for one in earlier.parts):
            namespaces[part.name] = earlier.namespaces.available[part.name]  # an object: see api.Extension
            continue
        try:
            namespaces[part.name] = part.extension.namespace(part.context)
        except ConfigError as error:
            problems += error.problems
            only_tls = only_tls and isinstance(error, TlsMaterialError)
    if problems:
        problems = sorted_problems(problems)
        raise TlsMaterialError(problems) if only_tls else ConfigError(problems)
    return namespaces
