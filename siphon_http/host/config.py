"""siphon.yaml -> frozen dataclasses. Every key of the original host's file is accepted; none is ignored in silence.

A key that is unknown there and here is a mistake. One that only means something to SIP is named in one warning, and one
whose feature this version lacks in a warning of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from siphon_http import settings
from siphon_http.errors import Problem
from siphon_http.host.config_admin import AdminConfig, CacheConfig, MetricsConfig
from siphon_http.records import dataclass
from siphon_http.settings import Findings, MappingNode, Node, ScalarNode, SequenceNode, optional, required, where_else

__all__ = ["HostConfig", "LogConfig", "Parsed", "ScriptConfig", "ServerConfig", "parse"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SIP_ONLY: Mapping[str, frozenset[str]] = {
    "": _words(
        "advertised_address auth b2bua cdr control dialog diameter domain gateway header_policies ipsec isc "
        "lawful_intercept lcr li listen media memory nat number_policies numbering numbers presence proxy qos "
        "registrant registrar registration rf ro rtpengine sbi sdp security session_timer srs stir subscribe_state "
        "timer tls tracing transaction"
    ),
    "script": frozenset({"handler_timeout_secs"}),
    "server": frozenset({"auto_options", "server_header", "teardown_secs", "user_agent_header"}),
}
"""Keys of the original host that are taken without a look, by block."""

NO_EFFECT: Mapping[str, frozenset[str]] = {
    "script": frozenset({"async_pool_size", "sync_pool_size"}),
    "server": frozenset({"instance_id"}),
}
"""Keys that are checked but change nothing here."""

HOST_NAMES = frozenset({"log", "cache", "metrics", "timer"})
"""Names in `siphon` that belong to the host; no extension may take them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptConfig:
    """Block `script:`."""

    path: Path = required("names the script, relative to this file", is_file=True)
    reload: Literal["auto", "sighup", "off"] = optional(
        "auto", "when the script is loaded again: on a change and SIGHUP, on SIGHUP, never"
    )
    include_paths: tuple[Path, ...] = optional((), "folders of further helper modules")
    sync_pool_max: int = optional(32, "threads that blocking handlers may use at most", low=1, high=4096)
    executor_queue_capacity: int = optional(1024, "blocking calls that may wait for a thread", low=1, high=1_000_000)
    async_pool_size: int | None = optional(None, "no effect: there is one event loop", low=1)
    sync_pool_size: int | None = optional(None, "no effect: threads are started when needed", low=1)
    handler_stall_abort_secs: int = optional(
        30, "a worker whose event loop is held for so long is ended, and another one started; 0: never", low=0
    )

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse include_paths that are no folders."""
        if isinstance(block := node.get("include_paths"), SequenceNode):
            for item, folder in zip(block.items, values.get("include_paths", ()), strict=False):
                if not folder.is_dir():
                    findings.refuse(item, f"{folder} is not a folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Block `log:`."""

    level: Literal["debug", "info", "warn", "error"] = optional("info", "the least level that is logged")
    format: Literal["pretty", "json"] = optional("pretty", "text for people, or one JSON object a line")
    file: Path | None = optional(None, "a file that gets every line too, without colours")
    access_file: Path | None = optional(None, "a file for the lines of access logs, in the place of standard error")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Block `server:`."""

    drain_secs: float = optional(30.0, "what is in flight may take so long to end at a stop", low=0, high=86_400)
    instance_id: str | None = optional(None, "no effect: names SIP registrations")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """All of siphon.yaml, but for the blocks that only the original host reads."""

    script: ScriptConfig = required("holds the script's place, as in `script: {path: routes.py}`")
    log: LogConfig = optional(LogConfig(), "what is logged, and where to")
    server: ServerConfig = optional(ServerConfig(), "the process")
    workers: int | Literal["auto"] = optional(1, "processes that serve together; auto: one a CPU", low=1, high=1024)
    worker_max_requests: int = optional(0, "a worker is replaced after so many, and up to 10 % more; 0: never", low=0)
    worker_max_rss_mb: int = optional(0, "a worker that holds more memory, MiB, is replaced; 0: never", low=0)
    extensions: Mapping[str, Node] = optional(dict, "each extension's own file, or its settings")
    admin: AdminConfig = optional(AdminConfig(), "health, readiness and numbers for operators")
    metrics: MetricsConfig = optional(MetricsConfig(), "what is counted")
    cache: tuple[CacheConfig, ...] = optional((), "stores of the `cache` namespace")

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse two caches of one name."""
        block = node.get("cache")
        seen: set[str] = set()
        for entry in block.items if isinstance(block, SequenceNode) else ():
            name = entry.get("name") if isinstance(entry, MappingNode) else None
            if isinstance(name, ScalarNode) and name.text in seen:
                findings.refuse(name, f"a cache called {name.text!r} is there already", "give each its own name")
            elif isinstance(name, ScalarNode):
                seen.add(name.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What siphon.yaml says, as far as it can be read."""

    config: HostConfig
    """Of use only without problems; defaults otherwise, so that the extensions' files can be checked too."""
    extensions: Mapping[str, Path | MappingNode] = field(default_factory=dict)
    """Each extension's own file (absolute), or its inline mapping; in the order of the file."""
    absent: Mapping[str, Problem] = field(default_factory=dict)
    """What is wrong when an extension's own file is not there: a mistake only if the extension is."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def parse(path: Path, contents: Mapping[Path, bytes] | None = None) -> Parsed:
    """Read and check the siphon.yaml at `path`. contents: what was read of files before.

    Raises ConfigError only for a file that cannot be read as YAML at all; other mistakes are in `problems`.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    contents = contents or {}
    root = settings.load(path, content=contents.get(path), problems=problems, warnings=warnings)
    ours = root
    if isinstance(root, MappingNode):
        ignored = _ignored(root)
        if ignored:
            warnings.append(f"{path}: {', '.join(ignored)}: without effect, since this host speaks no SIP")
        ours = _without_sip(root)
    config = settings.read(ours, HostConfig, problems, warnings)
    absent: dict[str, Problem] = {}
    extensions = _extensions(root, problems, absent, contents)
    if config is None:
        config = HostConfig(script=ScriptConfig(path=path.absolute().parent / "script.py"))
    return Parsed(config=config, extensions=extensions, absent=absent, problems=problems, warnings=warnings)


def _block(root: MappingNode, name: str) -> MappingNode | None:
    node = root if name == "" else root.get(name)
    return node if isinstance(node, MappingNode) else None


def _ignored(root: MappingNode) -> list[str]:
    """Return the keys that change nothing here, in the order of the file."""
    found: list[tuple[int, int, str]] = []
    for block in ("", "script", "server"):
        node = _block(root, block)
        names = SIP_ONLY.get(block, frozenset()) | NO_EFFECT.get(block, frozenset())
        for name in node or ():
            if node is not None and name in names:
                place = node.key(name)
                found.append((place.line, place.column, f"{block}.{name}" if block else name))
    return [name for _, _, name in sorted(found)]


def _without_sip(root: MappingNode, block: str = "") -> MappingNode:
    """Return `root` without the keys that are taken without a look."""
    entries: dict[str, tuple[ScalarNode, Node]] = {}
    for name, node in root.items():
        if name in SIP_ONLY.get(block, ()):
            continue
        inner = not block and name in SIP_ONLY and isinstance(node, MappingNode)
        entries[name] = (root.key(name), _without_sip(node, name) if inner else node)  # type: ignore[arg-type]
    return MappingNode(root.document, root.line, root.column, root.path, entries)


def _extensions(
    root: Node, problems: list[Problem], absent: dict[str, Problem], contents: Mapping[Path, bytes]
) -> dict[str, Path | MappingNode]:
    """Return what is configured for each extension; also where other parts of the file have mistakes."""
    block = _block(root, "extensions") if isinstance(root, MappingNode) else None
    if block is None:
        return {}
    extensions: dict[str, Path | MappingNode] = {}
    for name, node in block.items():
        if name in HOST_NAMES or not name.isidentifier():
            reason = (
                f"`{name}` belongs to the host" if name in HOST_NAMES else f"`{name}` is no name for scripts to import"
            )
            problems.append(block.key(name).problem(reason, "the key is the name of the extension's entry point"))
        elif isinstance(node, MappingNode):
            extensions[name] = node
        elif isinstance(node, ScalarNode) and isinstance(node.value, str) and node.text.strip():
            extensions[name] = path = node.relative(node.text)
            if path not in contents and not path.exists():
                absent[name] = node.problem(
                    f"file {node.text} does not exist", where_else(node, path) or f"looked for {path}"
                )
        else:
            problems.append(
                node.problem(f"expected a path or a mapping, got {node.got()}", f"write `{name}: {name}.yaml`")
            )
    return extensions
