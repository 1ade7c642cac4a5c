"""A YAML file to read with `settings`, and the schema that it is read with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from siphon_http.errors import ConfigError, Problem
from siphon_http.settings import (
    Findings,
    MappingNode,
    Node,
    load,
    optional,
    read,
    required,
    sorted_problems,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    cert_path: Path = required("the certificate")
    token: str = optional("", "a secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    listen: str = required("where to listen")
    wait_ms: int = optional(10, "how long", low=1, high=1000)
    size_bytes: int = optional(5, "how much", low=0)
    ratio: float = optional(0.5, "share")
    loud: bool = optional(False, "noise")
    mode: Literal["fast", "slow"] = optional("fast", "pace")
    tls: Tls | None = optional(None, "TLS")
    tags: tuple[str, ...] = optional((), "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    servers: tuple[Server, ...] = optional((), "listeners")
    clients: Mapping[str, Tls] = optional(dict, "clients")
    workers: int | Literal["auto"] = optional(1, "processes", low=1)
    extra: str | MappingNode | None = optional(None, "path or mapping")
    file: Path | None = optional(None, "a file", is_file=True)

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        if values.get("workers") == 13:
            findings.refuse(node["workers"], "is unlucky")
        if values.get("workers") == 99:
            findings.warn(node["workers"], "is a lot")


@contextmanager
def without_root() -> Iterator[None]:
    """Run as `nobody` if this is root, who may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


class Yaml:
    """Writes one file and reads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "http.yaml"
        self.warnings: list[str] = []

    def node(self, text: str | bytes, **environ: str) -> Node:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(self.path, shown="http.yaml", environ=environ, warnings=self.warnings)

    def plain(self, text: str, **environ: str) -> Any:
        return self.node(text, **environ).plain()

    def problems(self, text: str | bytes, **environ: str) -> list[Problem]:
        problems: list[Problem] = []
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            node = load(self.path, shown="http.yaml", environ=environ, problems=problems, warnings=self.warnings)
        except ConfigError as exc:
            return exc.problems
        before = len(problems)
        result = read(node, Whole, problems, self.warnings)
        assert (result is None) == (len(problems) > before)
        return sorted_problems(problems)

    def problem(self, text: str | bytes, **environ: str) -> Problem:
        (problem,) = self.problems(text, **environ)
        return problem

    def whole(self, text: str, **environ: str) -> Whole:
        problems: list[Problem] = []
        result = read(self.node(text, **environ), Whole, problems, self.warnings)
        assert not problems, problems
        assert result is not None
        return result
