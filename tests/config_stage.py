"""An http.yaml to load."""

from __future__ import annotations

from pathlib import Path

import pytest

from siphon_http.config import HttpConfig, ServerConfig, load_config
from siphon_http.errors import ConfigError, Problem


class HttpYaml:
    """Writes http.yaml and loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []

    def load(self, text: str, **environ: str) -> HttpConfig:
        path = self.folder / "http.yaml"
        path.write_text(text)
        return load_config(path, shown="http.yaml", environ=environ, warnings=self.warnings)

    def server(self, lines: str) -> ServerConfig:
        return self.load(f"servers:\n- {{{lines}}}\n").servers[0]

    def problems(self, text: str, **environ: str) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            self.load(text, **environ)
        assert caught.value.exit_code == 2
        return caught.value.problems

    def problem(self, text: str) -> Problem:
        (problem,) = self.problems(text)
        return problem

    def listen_problem(self, listen: str) -> Problem:
        return self.problem(f"servers:\n- listen: {listen}\n")
