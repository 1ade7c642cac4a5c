"""The blocks `admin:`, `metrics:` and `cache:` of siphon.yaml."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from siphon_http.records import dataclass
from siphon_http.settings import Findings, MappingNode, Node, ScalarNode, optional, required, text_of

__all__ = ["AdminAuth", "AdminConfig", "CacheConfig", "Endpoint", "MetricsConfig", "PrometheusConfig"]

_HOST = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?"
_REDIS = r"(rediss?://([^@/?#\s]*@)?(\[[0-9a-fA-F:.]+\]|[^\s:/?#@]+)(:[0-9]{1,5})?(/[0-9]*)?|unix://\S+)(\?\S*)?"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the host itself listens. path: of a unix socket, else ""."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_endpoint(node: Node) -> Endpoint:
    """Return `host:port`, `[v6]:port` or `unix:path`. Raises ConfigError."""
    expected = "an address such as 127.0.0.1:9090, [::1]:9090 or unix:/run/siphon-admin.sock"
    text = text_of(node, expected).strip()
    if text.startswith("unix:") and isinstance(node, ScalarNode) and len(text) > 5:
        return Endpoint("", 0, str(node.relative(text[5:])))
    host, colon, port = text.rpartition(":")
    host = host or "0.0.0.0"  # `:9100` is how exporters write it
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = re.fullmatch(_HOST, bare) is not None if bare == host else _is_v6(bare)
    if not colon or not good or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise node.refusal(f"expected {expected}, got {node.got()}")
    return Endpoint(bare, int(port))


def _is_v6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _parse_path(node: Node) -> str:
    text = text_of(node, "a path such as /metrics").strip()
    if not re.fullmatch(r"/[A-Za-z0-9_./-]*", text):
        raise node.refusal(f"expected a path such as /metrics, got {node.got()}")
    return text


def _parse_redis(node: Node) -> str:
    text = text_of(node, "a URL such as redis://localhost:6379/0").strip()
    if not re.fullmatch(_REDIS, text):
        raise node.refusal("expected a URL such as redis://localhost:6379/0, rediss://... or unix:///run/redis.sock")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAuth:
    """Block `admin.auth:`."""

    token: str | None = optional(None, "what `authorization: Bearer ...` must say")
    protect_reads: bool = optional(False, "ask for the token; health and readiness stay open for probes")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """Block `admin:`."""

    listen: Endpoint | None = optional(None, "where health, readiness and numbers are served", parse=_parse_endpoint)
    auth: AdminAuth = optional(AdminAuth(), "who may read")
    cors: Node | None = optional(None, "no effect")
    ui: Node | None = optional(None, "no effect")

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse a protection without a token."""
        auth: AdminAuth | None = values.get("auth")
        if auth is not None and auth.protect_reads and not auth.token:
            findings.refuse(node["auth"], "protect_reads needs a token", "add `token: ${ADMIN_TOKEN}`")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """Block `metrics.prometheus:`."""

    listen: Endpoint | None = optional(
        None, "where metrics are served; none: at `admin.listen` only", parse=_parse_endpoint
    )
    path: str = optional("/metrics", "path of the metrics", parse=_parse_path)
    cors: Node | None = optional(None, "no effect")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Block `metrics:`."""

    prometheus: PrometheusConfig = optional(PrometheusConfig(), "metrics as Prometheus reads them")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """One entry of `cache:`."""

    name: str = required("how scripts call it")
    url: str | None = optional(None, "a Redis server; none: in this process's memory", parse=_parse_redis)
    local_ttl_secs: int | None = optional(
        None, "memory: how long entries live unless `store` says; Redis: how long a value is kept near", low=1
    )
    local_max_entries: int = optional(
        10_000, "entries in memory; the least recently used one goes", low=1, high=100_000_000
    )
    timeout_ms: int = optional(1_000, "a Redis command that takes longer has failed", low=1, high=60_000)

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse a Redis server without the package that speaks to it."""
        if values.get("url") is not None and find_spec("redis") is None:
            findings.refuse(node["url"], "the package `redis` is not installed", "pip install siphon-http[redis]")
