"""The reader of Dockerfiles that the other tests trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from .dockerfile import Run, is_ignored, parse

TEXT = """\
# a comment
ARG TAG=1
FROM base:${TAG} AS build
WORKDIR /src
COPY a.txt sub ./
RUN cat a.txt \\
    inner/b.txt > /out/both.txt && touch /out/more
FROM base:${TAG}
RUN apt-get install x
COPY --from=build /out /app
ENV WHERE=/app:/usr/bin
RUN echo "$WHERE" > /app/where
CMD ["run", "/app"]
"""


def test_stages_and_their_instructions_are_read() -> None:
    build, last = parse(TEXT)
    assert (build.base, build.name, last.base, last.name) == ("base:1", "build", "base:1", "1")
    assert [step.word for step in build.steps] == ["WORKDIR", "COPY", "RUN"]
    assert last.command("CMD") == ["run", "/app"]


def test_steps_are_run_in_a_folder(tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "sub" / "inner").mkdir(parents=True)
    (context / "a.txt").write_text("a\n")
    (context / "sub" / "inner" / "b.txt").write_text("b\n")
    (context / "sub" / "b.so").write_text("built here")
    (context / ".dockerignore").write_text("# no\n*\n!a.txt\n!sub\n**/*.so\n")
    stages = parse(TEXT.replace("WORKDIR", "WORKDIR /out\nWORKDIR", 1))
    run = Run(context, tmp_path, ["/src", "/out", "/app"])
    run.all(stages)
    assert (run.root / "app" / "both.txt").read_text() == "a\nb\n"
    assert (run.root / "app" / "where").read_text() == f"{run.root}/app:/usr/bin\n"
    assert run.left_out == ["apt-get install x"]
    assert not (run.root / "src").exists()
    assert not (tmp_path / "stage-build" / "src" / "b.so").exists()


@pytest.mark.parametrize(
    ("path", "ignored"),
    [("setup.py", True), ("pkg/a.py", False), ("pkg/a.so", True), ("pkg/deep/er/a.so", True), ("a/b/pkg", True)],
)
def test_the_last_line_that_matches_decides(path: str, ignored: bool) -> None:
    assert is_ignored(path, ["*", "!pkg", "**/*.so"]) is ignored
