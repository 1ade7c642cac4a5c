"""`siphon-http doctor`: looks at the machine and the configuration, and says what to do about what it finds.

It binds nothing for longer than a look, runs no script, and sends nothing but look-ups of names and a PING to Redis.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from siphon_http import __version__
from siphon_http.errors import ConfigError
from siphon_http.host import config
from siphon_http.host.api import Examined, Finding, Place
from siphon_http.host.cache_redis import ping
from siphon_http.host.config import HostConfig, Parsed
from siphon_http.host.config_admin import CacheConfig, Endpoint
from siphon_http.host.discovery import discover
from siphon_http.host.prepare import HostContext, Options, new_context
from siphon_http.host.script import Script

__all__ = ["doctor"]

ENOUGH_FILES = 4_096
ENOUGH_BACKLOG = 4_096
ENOUGH_DISK_BYTES = 256 * 1024 * 1024

Check = Callable[[], Iterator[Finding]]


def doctor(options: Options, out: TextIO, *, file_given: bool) -> int:
    """Print the findings; return 1 if something fails, else 0. Without a siphon.yaml only the machine is looked at."""
    checks: list[tuple[str, Check]] = [
        ("Python", _python),
        ("packages", _packages),
        ("open files", _files),
        ("backlog", _backlog),
    ]
    findings: list[Finding] = []
    if options.file.exists() or file_given:
        checks += [("configuration", lambda: _configuration(options))]
    else:
        text = "there is no siphon.yaml in this folder: only the machine was looked at"
        findings.append(Finding(level="warn", subject="configuration", text=text, fix="siphon-http doctor FILE"))
    for subject, check in checks:
        try:
            findings += check()
        except Exception as error:  # a look that fails is a finding, and the others go on
            findings.append(Finding(level="warn", subject=subject, text=f"cannot be looked at: {error!r}"))
    for line in _lines(findings):
        out.write(line + "\n")
    return 1 if any(one.level == "fail" for one in findings) else 0


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(one.subject) for one in findings)
    for one in findings:
        first, *more = one.text.splitlines() or [""]
        yield f"{one.level:<4}  {one.subject.ljust(width)}  {first}"
        indent = " " * (8 + width)
        yield from (indent + line for line in more)
        if one.fix:
            yield f"{indent}-> {one.fix}"
    fails, warns = (sum(one.level == level for one in findings) for level in ("fail", "warn"))
    yield f"{fails} failed, {warns} warnings" if fails or warns else "all is well"


# ---- the machine


def _python() -> Iterator[Finding]:
    words = [f"siphon-http {__version__}", sys.version.split()[0], sys.executable]
    is_free = "t" in getattr(sys, "abiflags", "")
    if is_free:
        enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
        words.append("free-threaded, GIL " + ("on" if enabled else "off"))
        if not enabled:
            fix = "PYTHON_GIL=1: siphon-http has not been tried without the GIL"
            yield Finding(level="warn", subject="Python", text=", ".join(words), fix=fix)
            return
    yield Finding(level="ok", subject="Python", text=", ".join(words))


def _packages() -> Iterator[Finding]:
    for name, why in (("uvloop", "asyncio's own loop is used, which is slower"), ("httptools", ""), ("h2", "")):
        try:
            import_module(name)
            yield Finding(level="ok", subject=name, text=version(name))
        except (ImportError, PackageNotFoundError) as error:
            text = f"cannot be imported: {error}" + (f"; {why}" if why else "")
            fix = f"{sys.executable} -m pip install --force-reinstall {name}"
            yield Finding(level="warn" if why else "fail", subject=name, text=text, fix=fix)
    try:
        import ssl

        old = ssl.OPENSSL_VERSION_INFO < (1, 1, 1)
        fix = "a Python that is linked with OpenSSL 1.1.1 or later" if old else ""
        yield Finding(level="fail" if old else "ok", subject="OpenSSL", text=ssl.OPENSSL_VERSION, fix=fix)
    except ImportError as error:
        yield Finding(level="warn", subject="OpenSSL", text=f"no TLS: {error}", fix="a Python with the ssl module")


def _files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{_limit(soft)} (hard limit {_limit(hard)})"
    if soft != resource.RLIM_INFINITY and soft < ENOUGH_FILES:
        fix = "`ulimit -n 65536`, or LimitNOFILE=65536 in the systemd unit"
        yield Finding(level="warn", subject="open files", text=f"{text}: so many connections less 64", fix=fix)
    else:
        yield Finding(level="ok", subject="open files", text=text)


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)


def _backlog() -> Iterator[Finding]:
    path = Path("/proc/sys/net/core/somaxconn")
    if not path.exists():
        return
    number = int(path.read_text(encoding="ascii"))
    if number < ENOUGH_BACKLOG:
        text = f"{number}: a burst of more connections is refused by the kernel"
        fix = f"sysctl -w net.core.somaxconn={ENOUGH_BACKLOG}"
        yield Finding(level="warn", subject="somaxconn", text=text, fix=fix)
    else:
        yield Finding(level="ok", subject="somaxconn", text=str(number))


# ---- the configuration


def _configuration(options: Options) -> Iterator[Finding]:
    try:
        read = config.parse(options.file)
    except ConfigError as error:
        yield Finding(level="fail", subject="siphon.yaml", text=str(error))
        return
    for problem in read.problems:
        yield Finding(level="fail", subject="siphon.yaml", text=str(problem))
    for warning in read.warnings:
        yield Finding(level="warn", subject="siphon.yaml", text=warning)
    if not read.problems:
        yield Finding(level="ok", subject="siphon.yaml", text=str(options.file))
        yield from _log_files(read.config)
        yield from _own_listeners(read.config)
        for cache in read.config.cache:
            yield from _cache(cache)
    yield from _extensions(read, options)


def _log_files(parsed: HostConfig) -> Iterator[Finding]:
    for key, path in (("log.file", parsed.log.file), ("log.access_file", parsed.log.access_file)):
        if path is None:
            continue
        folder = path.parent
        if not folder.is_dir():
            yield Finding(level="fail", subject=key, text=f"{folder} is no folder", fix=f"mkdir -p {folder}")
        elif not os.access(path if path.exists() else folder, os.W_OK):
            yield Finding(
                level="fail", subject=key, text=f"{path} cannot be written by this user", fix="chown or chmod"
            )
        else:
            free = shutil.disk_usage(folder).free
            text = f"{path}, {free // 1024**2} MiB free"
            low = free < ENOUGH_DISK_BYTES
            fix = "make room, or rotate the file" if low else ""
            yield Finding(level="warn" if low else "ok", subject=key, text=text, fix=fix)


def _own_listeners(parsed: HostConfig) -> Iterator[Finding]:
    for key, place in (("admin.listen", parsed.admin.listen), ("metrics.listen", parsed.metrics.prometheus.listen)):
        if place is not None and place.path:
            folder = Path(place.path).parent
            is_there = os.access(folder, os.W_OK | os.X_OK)
            text = f"{place} can be made" if is_there else f"{folder} is no folder that this user may write in"
            fix = "" if is_there else f"mkdir -p {folder}, chown or chmod"
            yield Finding(level="ok" if is_there else "fail", subject=key, text=text, fix=fix)
        elif place is not None:
            error = _cannot_bind(place)
            fix = "end who has it, or choose another address" if error else ""
            yield Finding(level="fail" if error else "ok", subject=key, text=error or f"{place} is free", fix=fix)


def _cannot_bind(place: Endpoint) -> str:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
    except OSError as error:
        return f"{place} cannot be bound: {error.strerror or error}"
    return ""


def _cache(cache: CacheConfig) -> Iterator[Finding]:
    subject = f"cache {cache.name}"
    if cache.url is None:
        yield Finding(level="ok", subject=subject, text=f"in memory, {cache.local_max_entries} entries at most")
        return
    error = asyncio.run(ping(cache))
    fix = "start it, or correct `url`; until then look-ups find nothing" if error else ""
    yield Finding(level="fail" if error else "ok", subject=subject, text=error or "Redis answers", fix=fix)


def _extensions(read: Parsed, options: Options) -> Iterator[Finding]:
    found = discover(read.extensions)
    for name, reason in found.missing.items():
        fix = f"install its package, or remove `extensions.{name}`"
        yield Finding(level="warn", subject=name, text=f"is skipped: {reason}", fix=fix)
    script = Script(read.config.script.path, read.config.script.include_paths, keep=frozenset(sys.modules))
    place = options.place or Place()
    options.builtins.configure(place, read.config, script.user_traceback)
    for name, extension in found.found.items():
        context: HostContext = new_context(name, read, script, options, place)
        try:
            extension.namespace(context)
        except ConfigError as error:
            for problem in error.problems:
                yield Finding(level="fail", subject=name, text=str(problem))
            continue
        yield Finding(level="ok", subject=name, text=f"its configuration is in order ({_shown(read, name)})")
        if isinstance(extension, Examined):
            yield from extension.doctor(context)


def _shown(read: Parsed, name: str) -> str:
    found = read.extensions[name]
    return str(found) if isinstance(found, Path) else "inline"
