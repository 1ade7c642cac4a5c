"""Runs what a Dockerfile says in a plain folder: no image, no other root, no daemon.

Each stage begins with an empty folder that stands for the root of its file system; absolute paths that belong to the
Dockerfile are mapped into it. FROM, USER and the like change nothing here, and are there to be looked at.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHANGES_THE_MACHINE = ("apt-get ", "groupadd ")
"""What RUN steps that only a machine of one's own can take begin with; they are left out."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: `COPY`, "a b"."""

    word: str
    text: str


@dataclass(slots=True)
class Stage:
    """What follows one FROM. name: as `AS` says, or its number."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> str:
        """Return the text of the last instruction `word`."""
        return [step.text for step in self.steps if step.word == word][-1]

    def command(self, word: str) -> list[str]:
        """Return what ENTRYPOINT, CMD or HEALTHCHECK execute; only the exec form is taken."""
        words = json.loads(re.sub(r"^(?:--\S+\s+)*CMD\s+", "", self.last(word)))
        assert isinstance(words, list)
        return words


def parse(text: str) -> list[Stage]:
    """Return the stages."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "ARG" and not stages:
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
            stages.append(Stage(base, name or str(len(stages))))
        elif word:
            stages[-1].steps.append(Step(word, rest.strip()))
    return stages


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a .dockerignore of these lines keeps `path` from the builder; the last line that matches decides."""
    ignored = False
    places = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for line in patterns:
        pattern = line.removeprefix("!").strip("/")
        parts = re.split(r"(\*\*/|\*)", pattern)
        regex = "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
        if any(re.fullmatch(regex, place) for place in places):
            ignored = not line.startswith("!")
    return ignored


class Run:
    """Takes the steps of all stages. context: what is sent to the builder. folder: everything is made in it.

    paths: absolute paths of the Dockerfile that are mapped; others, as `/usr/bin`, are the machine's.
    """

    def __init__(self, context: Path, folder: Path, paths: Sequence[str]) -> None:
        self.context = context
        self.root = folder / "root"
        self.left_out: list[str] = []
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self._folder = folder
        names = "|".join(re.escape(path) for path in paths)
        self._path = re.compile(rf"(?<![\w./-])(?:{names})(?=[/\s:\"']|$)")
        file = context / ".dockerignore"
        lines = file.read_text().splitlines() if file.exists() else []
        self._ignore = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        self._work = self.root

    def mapped(self, text: str) -> str:
        """Return `text` with the Dockerfile's paths inside of the folder."""
        return self._path.sub(lambda match: f"{self.root}{match[0]}", text)

    def all(self, stages: Sequence[Stage]) -> None:
        """Run every stage. A later one finds the earlier ones' files by COPY --from alone."""
        for number, stage in enumerate(stages):
            if number:
                self.root.rename(self._folder / f"stage-{stages[number - 1].name}")
            self.root.mkdir()
            self._work = self.root
            self.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            for step in stage.steps:
                self._take(step)

    def _take(self, step: Step) -> None:
        if step.word == "RUN" and step.text.startswith(CHANGES_THE_MACHINE):
            self.left_out.append(step.text)
        elif step.word == "RUN":
            done = subprocess.run(
                ["/bin/sh", "-c", self.mapped(step.text)],
                cwd=self._work,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"RUN {step.text}\n{done.stdout}"
        elif step.word == "COPY":
            self._copy(step.text.split())
        elif step.word == "WORKDIR":
            self._work = Path(self.mapped(step.text))
            self._work.mkdir(parents=True, exist_ok=True)
        elif step.word == "ENV":
            for assignment in step.text.split():
                name, _, value = assignment.partition("=")
                self.environ[name] = self.mapped(value)

    def _copy(self, words: list[str]) -> None:
        source_root = None
        if words[0].startswith("--from="):
            source_root = self._folder / f"stage-{words.pop(0).removeprefix('--from=')}"
        *sources, target = words
        into = self._work / self.mapped(target)
        for source in sources:
            if source_root is not None:
                found = source_root / source.lstrip("/")
                shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True)
                continue
            found = self.context / source
            files = [found] if found.is_file() else sorted(path for path in found.rglob("*") if path.is_file())
            wanted = [file for file in files if not is_ignored(str(file.relative_to(self.context)), self._ignore)]
            assert wanted, f"COPY {source}: nothing of it is sent to the builder"
            for file in wanted:
                place = into / (file.name if found.is_file() else file.relative_to(found))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place)
