"""One client as a process: it is told on standard input how long to call, and says what that took.

    python caller.py CONTENDER PROTOCOL METHOD IN_FLIGHT URL [CA]

PROTOCOL: h1, h1-tls, h2c or h2-tls. After "ready" each line "SECONDS" is answered by a line of JSON: requests, seconds,
cpu (user and system of the whole process, all its threads), errors. Every contender runs on uvloop, checks the status
and reads the content of each answer. Runs on the rivals' interpreter, too: nothing of ours is imported for them.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvloop

BODY = b"x" * 1024
ANSWERS = {"h1": b"Hello over HTTP/1.1", "h2": b"Hello over HTTP/2.0"}
HEADERS = {"content-type": "application/octet-stream"}

Call = Callable[[], Awaitable[None]]


class WrongAnswerError(Exception):
    """An answer was not the one that nginx gives."""


def check(protocol: str, status: int, content: bytes) -> None:
    """Compare an answer with the only right one, which names the protocol that nginx was asked over."""
    if status != 200 or content != ANSWERS[protocol[:2]]:
        raise WrongAnswerError(f"{status} {content[:80]!r}")


@asynccontextmanager
async def siphon_http(protocol: str, method: str, flight: int, url: str, ca: str | None) -> AsyncIterator[Call]:
    """http.Client of this checkout, as scripts have it."""
    from siphon_http.extension import HttpNamespace

    inline = {"max_connections": flight, "pool_size": flight, "connect_timeout_ms": 20_000, "timeout_ms": 30_000}
    if protocol == "h2c":
        inline["http2_prior_knowledge"] = True
    if ca is not None:
        inline["verify"] = ca
    async with HttpNamespace().Client(base_url=url, **inline) as client:

        async def get() -> None:
            answer = await client.get("/")
            check(protocol, answer.status, answer.body)

        async def post() -> None:
            answer = await client.post("/", body=BODY, headers=HEADERS)
            check(protocol, answer.status, answer.body)

        yield get if method == "GET" else post


@asynccontextmanager
async def pyreqwest(protocol: str, method: str, flight: int, url: str, ca: str | None) -> AsyncIterator[Call]:
    """reqwest (Rust) behind Python."""
    from datetime import timedelta

    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().pool_max_idle_per_host(flight).timeout(timedelta(seconds=30))
    if protocol == "h2c":
        builder = builder.http2_prior_knowledge()
    elif protocol == "h2-tls":
        builder = builder.http2(True)
    else:
        builder = builder.http1_only()
    if ca is not None:
        with open(ca, "rb") as file:  # noqa: ASYNC230  before anything is measured
            builder = builder.add_root_certificate_pem(file.read())
    async with builder.build() as client:

        async def get() -> None:
            answer = await client.get(url).build().send()
            check(protocol, answer.status, bytes(await answer.bytes()))

        async def post() -> None:
            answer = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
            check(protocol, answer.status, bytes(await answer.bytes()))

        yield get if method == "GET" else post


@asynccontextmanager
async def aiohttp(protocol: str, method: str, flight: int, url: str, ca: str | None) -> AsyncIterator[Call]:
    """aiohttp, which speaks HTTP/1.1 only."""
    import ssl

    from aiohttp import ClientSession, TCPConnector

    secure = True if ca is None else ssl.create_default_context(cafile=ca)
    async with ClientSession(connector=TCPConnector(limit=flight, ssl=secure)) as session:

        async def get() -> None:
            async with session.get(url) as answer:
                check(protocol, answer.status, await answer.read())

        async def post() -> None:
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                check(protocol, answer.status, await answer.read())

        yield get if method == "GET" else post


@asynccontextmanager
async def httpx2(protocol: str, method: str, flight: int, url: str, ca: str | None) -> AsyncIterator[Call]:
    """The successor of httpx."""
    import ssl

    import httpx2 as httpx

    secure = True if ca is None else ssl.create_default_context(cafile=ca)
    limits = httpx.Limits(max_connections=flight, max_keepalive_connections=flight, keepalive_expiry=3600)
    is_http2 = protocol.startswith("h2")
    async with httpx.AsyncClient(
        http1=not is_http2, http2=is_http2, verify=secure, limits=limits, timeout=30
    ) as client:

        async def get() -> None:
            answer = await client.get(url)
            check(protocol, answer.status_code, answer.content)

        async def post() -> None:
            answer = await client.post(url, content=BODY, headers=HEADERS)
            check(protocol, answer.status_code, answer.content)

        yield get if method == "GET" else post


@asynccontextmanager
async def niquests(protocol: str, method: str, flight: int, url: str, ca: str | None) -> AsyncIterator[Call]:
    """niquests, over its own urllib3."""
    import niquests as library

    is_http2 = protocol.startswith("h2")
    async with library.AsyncSession(
        disable_http1=is_http2, disable_http2=not is_http2, disable_http3=True, pool_connections=1, pool_maxsize=flight
    ) as session:
        session.trust_env = False
        if ca is not None:
            session.verify = ca

        async def get() -> None:
            answer = await session.get(url)
            check(protocol, answer.status_code or 0, answer.content or b"")

        async def post() -> None:
            answer = await session.post(url, data=BODY, headers=HEADERS)
            check(protocol, answer.status_code or 0, answer.content or b"")

        yield get if method == "GET" else post


CONTENDERS = {
    "siphon-http": siphon_http,
    "pyreqwest": pyreqwest,
    "aiohttp": aiohttp,
    "httpx2": httpx2,
    "niquests": niquests,
}


async def load(call: Call, flight: int, seconds: float) -> dict[str, object]:
    """Keep `flight` calls under way for `seconds`; return what it took."""
    done = 0
    errors: list[str] = []
    began = time.perf_counter()
    until = began + seconds

    async def worker() -> None:
        nonlocal done
        while not errors and time.perf_counter() < until:
            try:
                await call()
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
                return
            done += 1

    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(worker() for _ in range(flight)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"requests": done, "seconds": time.perf_counter() - began, "cpu": cpu, "errors": errors[:1]}


async def main(name: str, protocol: str, method: str, flight: int, url: str, ca: str | None) -> None:
    """Answer lines of standard input until it ends."""
    loop = asyncio.get_running_loop()
    async with CONTENDERS[name](protocol, method, flight, url, ca) as call:
        await call()
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await load(call, flight, float(line))), flush=True)


if __name__ == "__main__":
    _, NAME, PROTOCOL, METHOD, FLIGHT, URL, *CA = sys.argv
    uvloop.run(main(NAME, PROTOCOL, METHOD, int(FLIGHT), URL, CA[0] if CA else None))
