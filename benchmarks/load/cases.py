"""What is asked of the servers: the cases, the right answer to each, and the bars they are judged by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "CASES",
    "HTTP2_CONNECTIONS",
    "IDLE",
    "IDLE_BAR_KIB",
    "OURS",
    "PLAIN",
    "START",
    "START_BAR_SECS",
    "Case",
    "Question",
    "browser_headers",
]

HERE = Path(__file__).parent
OURS = "siphon-http"
START = "start"  # the case that measures start to first answer
IDLE = "idle"  # the case that measures memory of idle connections
START_BAR_SECS = 0.15
IDLE_BAR_KIB = 4.0
HTTP2_CONNECTIONS = 32  # of h2load; its bars are stated for so many
FIELD = re.compile(r'wrk\.headers\["([^"]+)"\] = "((?:[^"\\]|\\.)*)"')


def browser_headers() -> dict[str, str]:
    """Return the header fields that lua/headers20.lua sends."""
    text = (HERE / "lua" / "headers20.lua").read_text()
    return {name: value.replace('\\"', '"') for name, value in FIELD.findall(text)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, and the answer that it must get."""

    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    answer: bytes = b"Hello, World!"
    content_type: str = "text/plain"
    depth: int = 1  # requests in one write
    script: str = ""  # file in lua/ that makes wrk send this; "" = a plain GET of `path`


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One column of figures.

    stand_ins: contender -> the question that it is loaded with instead, where the bar compares different work;
    bars: rival -> largest ratio of our CPU time to its; tls: every contender of the case speaks TLS;
    streams: requests at once on each connection of HTTP/2, which h2load sends then; 0 = HTTP/1.1 and wrk.
    """

    name: str
    question: Question
    contenders: tuple[str, ...]
    bars: Mapping[str, float]
    stand_ins: Mapping[str, Question] = field(default_factory=dict)
    tls: bool = False
    streams: int = 0

    def question_for(self, contender: str) -> Question:
        """Return what `contender` is asked in this case."""
        return self.stand_ins.get(contender, self.question)


PLAIN = Question()
HEADERS = browser_headers()
FRAMEWORKS = ("granian", "uvicorn", "aiohttp")
HTTP2_FRAMEWORKS = ("granian", "hypercorn")
PARAMS_JSON = Question(
    path="/users/42/orders/7", answer=b'{"user": "42", "order": "7"}', content_type="application/json"
)
ECHO = Question(
    method="POST",
    path="/echo",
    headers={"Content-Type": "application/octet-stream"},
    body=b"x" * 1024,
    answer=b"x" * 1024,
    content_type="application/octet-stream",
    script="echo.lua",
)

CASES: tuple[Case, ...] = (
    Case(
        name="plaintext",
        question=PLAIN,
        contenders=(OURS, "nginx", *FRAMEWORKS, "uvloop-floor"),
        bars={"nginx": 1.25, "granian": 0.5},
    ),
    Case(
        name="params_json",
        question=PARAMS_JSON,
        contenders=(OURS, "nginx", *FRAMEWORKS),
        bars={"granian": 0.55},
    ),
    Case(
        name="echo",
        question=ECHO,
        contenders=(OURS, "nginx", *FRAMEWORKS),
        bars={"nginx": 1.45, "granian": 0.5},
        stand_ins={"nginx": PLAIN},
    ),
    Case(
        name="headers20",
        question=Question(
            path="/headers", headers=HEADERS, answer=HEADERS["User-Agent"].encode(), script="headers20.lua"
        ),
        contenders=(OURS, "nginx", *FRAMEWORKS),
        bars={"granian": 0.55},
    ),
    Case(
        name="pipelined",
        question=Question(depth=16, script="pipelined.lua"),
        contenders=(OURS, "nginx", *FRAMEWORKS, "uvloop-floor"),
        bars={"nginx": 0.25},
    ),
    Case(
        name="suspend",
        question=Question(path="/suspend"),
        contenders=(OURS, *FRAMEWORKS),
        bars={"granian": 0.7},
    ),
    Case(
        name="tls",
        question=PLAIN,
        contenders=(OURS, "nginx", *FRAMEWORKS, "uvloop-floor"),
        bars={"granian": 0.7},
        tls=True,
    ),
    Case(
        name="sync_threads",
        question=Question(path="/threads"),
        contenders=(OURS, "granian"),
        bars={"granian": 1.3},
        stand_ins={"granian": PLAIN},
    ),
    Case(
        name="sync_direct",
        question=Question(path="/direct"),
        contenders=(OURS, "granian"),
        bars={"granian": 0.5},
        stand_ins={"granian": PLAIN},
    ),
    Case(
        name="h2c_32x32",
        question=PLAIN,
        contenders=(OURS, "nginx", *HTTP2_FRAMEWORKS),
        bars={"granian": 0.4},
        streams=32,
    ),
    Case(
        name="h2c_32x1",
        question=PLAIN,
        contenders=(OURS, "nginx", *HTTP2_FRAMEWORKS),
        bars={"granian": 0.5},
        streams=1,
    ),
    Case(
        name="h2c_params_json",
        question=PARAMS_JSON,
        contenders=(OURS, "nginx", *HTTP2_FRAMEWORKS),
        bars={"granian": 0.5},
        streams=32,
    ),
    Case(
        name="h2c_echo",
        question=ECHO,
        contenders=(OURS, *HTTP2_FRAMEWORKS),
        bars={"granian": 0.5},
        streams=32,
    ),
    Case(
        name="h2_tls_32x32",
        question=PLAIN,
        contenders=(OURS, "nginx", *HTTP2_FRAMEWORKS),
        bars={"granian": 0.6},
        tls=True,
        streams=32,
    ),
)
