"""The configuration of a client that a script makes itself, `http.Client(base_url=...)`, by the rules of http.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from siphon_http.config import ClientConfig
from siphon_http.errors import ConfigError, Problem
from siphon_http.settings import Document, MappingNode, Node, ScalarNode, SequenceNode, read, sorted_problems

__all__ = ["inline_client"]


def inline_client(given: Mapping[str, object]) -> ClientConfig:
    """Return the configuration of a client whose keys a script gives in Python, checked like those of http.yaml.

    Relative paths begin at the working directory.

    Raises:
        ConfigError: with everything that is wrong.
    """
    problems: list[Problem] = []
    config = read(_node_of("", given, Document("http.Client(...)", Path.cwd(), ())), ClientConfig, problems)
    if problems or config is None:
        raise ConfigError(sorted_problems(problems))
    return config


def _node_of(path: str, value: object, document: Document) -> Node:
    """Return the node that YAML of this value would have made."""
    if isinstance(value, Mapping):
        entries = {
            str(name): (
                ScalarNode(document, 0, 0, str(name), str(name), quoted=True, variables=()),
                _node_of(f"{path}.{name}" if path else str(name), one, document),
            )
            for name, one in value.items()
        }
        return MappingNode(document, 0, 0, path, entries)
    if isinstance(value, (list, tuple)):
        items = [_node_of(f"{path}[{i}]", one, document) for i, one in enumerate(value)]
        return SequenceNode(document, 0, 0, path, items)
    quoted = not (value is None or isinstance(value, (bool, int, float)))
    text = str(value) if quoted or not isinstance(value, bool) else str(value).lower()
    return ScalarNode(document, 0, 0, path, "null" if value is None else text, quoted=quoted, variables=())
