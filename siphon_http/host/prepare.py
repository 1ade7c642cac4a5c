"""All that comes before sockets: configuration, extensions, the script. `run`, `check` and `routes` share it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siphon_http.errors import ConfigError, HttpError, Problem, ScriptError, TlsMaterialError
from siphon_http.host import config, log
from siphon_http.host.api import Extension, LogsFields, Place
from siphon_http.host.builtin import Builtins
from siphon_http.host.config import HostConfig
from siphon_http.host.discovery import Discovery, discover
from siphon_http.host.metrics import MetricsNamespace
from siphon_http.host.namespace import Namespaces
from siphon_http.host.script import Script
from siphon_http.settings import sorted_problems

__all__ = ["HostContext", "Options", "Part", "Prepared", "new_context", "prepare"]

logger = logging.getLogger("siphon_http.host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; None leaves the choice to siphon.yaml."""

    file: Path = Path("siphon.yaml")
    verbose: bool = False
    """Show whole tracebacks."""
    log_level: str | None = None
    log_format: log.LogFormat | None = None
    place: Place = field(default_factory=Place)
    """Which of the processes that serve together this one is."""
    builtins: Builtins = field(default_factory=Builtins)
    """The host's own namespaces, which outlive a reload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostContext:
    """What an extension is told; see `api.Context`."""

    name: str
    config: Path | Mapping[str, Any]
    drain_secs: float
    sync_pool_max: int
    sync_queue_max: int
    script: Script
    worker: Place
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
    """A process that only lacks its sockets: everything is checked, the script is loaded."""

    config: HostConfig
    form: log.LogFormat
    parts: tuple[Part, ...]
    script: Script


def prepare(options: Options, warnings: list[str]) -> Prepared:
    """Parse and check siphon.yaml and every extension's file, then load the script.

    warnings: gets every warning of the host; they are logged too. Logging is configured on the way.
    Raises ConfigError (TlsMaterialError if all mistakes are of certificates) with the mistakes of all files at once,
    and ScriptError.
    """
    read = config.parse(options.file)
    problems = list(read.problems)
    form = options.log_format or read.config.log.format
    try:
        log.configure(
            options.log_level or read.config.log.level,
            form,
            read.config.log.file,
            access_file=read.config.log.access_file,
        )
    except OSError as error:
        log.configure(options.log_level or "info", form, None)
        problems.append(Problem(str(options.file), 0, 0, "", f"log: {error.filename}: {error.strerror}"))
    discovery = discover(read.extensions)
    found = list(read.warnings)
    for name, reason in discovery.missing.items():
        found.append(f"extension `{name}` is configured but cannot be used, and is skipped: {reason}")
    if not discovery.found:
        found.append("no extension is in use: this process serves nothing")
    warnings += found
    for text in found:
        logger.warning("%s", text)
    script = Script(
        read.config.script.path,
        read.config.script.include_paths,
        keep=frozenset(sys.modules),
        verbose=options.verbose,
    )
    options.builtins.configure(options.place, read.config, script.user_traceback)
    parts = tuple(
        Part(name=name, extension=extension, context=new_context(name, read, script, options))
        for name, extension in discovery.found.items()
    )
    namespaces = _namespaces(parts, problems, options.builtins)
    _load(script, parts, namespaces, discovery, options)
    return Prepared(config=read.config, form=form, parts=parts, script=script)


def new_context(name: str, read: config.Parsed, script: Script, options: Options) -> HostContext:
    """Return what the extension `name` is told."""
    return HostContext(
        name=name,
        config=read.extensions[name],
        drain_secs=read.config.server.drain_secs,
        sync_pool_max=read.config.script.sync_pool_max,
        sync_queue_max=read.config.script.executor_queue_capacity,
        script=script,
        worker=options.place,
        counters=options.builtins.counters(name),
        builtins=options.builtins,
    )


def _namespaces(parts: tuple[Part, ...], problems: list[Problem], builtins: Builtins) -> dict[str, object]:
    """Let each extension check its file; raise everything that is wrong anywhere."""
    namespaces: dict[str, object] = builtins.namespaces()
    only_tls = not problems
    for part in parts:
        try:
            namespaces[part.name] = part.extension.namespace(part.context)
        except ConfigError as error:
            problems += error.problems
            only_tls = only_tls and isinstance(error, TlsMaterialError)
    if problems:
        problems = sorted_problems(problems)
        raise TlsMaterialError(problems) if only_tls else ConfigError(problems)
    return namespaces


def _load(
    script: Script, parts: tuple[Part, ...], namespaces: dict[str, object], discovery: Discovery, options: Options
) -> None:
    """Execute the script once, between the extensions' `load_begins` and `load_ends`."""
    Namespaces(namespaces, missing=discovery.missing, installed=discovery.installed, shown=str(options.file)).install()
    options.builtins.load_begins()
    for part in parts:
        part.extension.load_begins()
    script.load()
    for part in parts:
        try:
            part.extension.load_ends()
        except ScriptError:
            raise
        except HttpError as error:
            raise ScriptError(script.explain(error)) from error
    options.builtins.load_ends()
    options.builtins.log.sources = tuple(p.extension.log_fields for p in parts if isinstance(p.extension, LogsFields))
