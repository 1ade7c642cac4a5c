"""What handlers do well and badly: exceptions, wrong values, threads, tasks, contexts."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading

from siphon import http

current = contextvars.ContextVar("current", default="unset")
kept: list[object] = []
threads: set[str] = set()


def as_json(value):
    return http.Response(headers={"Content-Type": "application/json"}, body=json.dumps(value))


@http.route("/")
async def index(req):
    return http.Response(body=b"ok")


RAISES = {
    "value-error": ValueError("secret-detail"),
    "key-error": KeyError("secret-detail"),
    "assertion": AssertionError("secret-detail"),
    "base-exception": BaseException("secret-detail"),
    "system-exit": SystemExit(3),
    "keyboard-interrupt": KeyboardInterrupt(),
    "cancelled": asyncio.CancelledError(),
    "generator-exit": GeneratorExit(),
    "stop-iteration": StopIteration(5),
    "stop-async-iteration": StopAsyncIteration(),
    "timeout": TimeoutError("secret-detail"),
    "memory": MemoryError("secret-detail"),
    "recursion": RecursionError("secret-detail"),
    "os-error": OSError(5, "secret-detail"),
}


def fail(req):
    error = RAISES[req.path_params["what"]]
    raise type(error)(*error.args)


@http.route("/raise/thread/{what}")
def raise_thread(req):
    fail(req)


@http.route("/raise/inline/{what}", blocking=False)
def raise_inline(req):
    fail(req)


@http.route("/raise/async/{what}")
async def raise_async(req):
    fail(req)


@http.route("/raise/late/{what}")
async def raise_late(req):
    await asyncio.sleep(0)
    fail(req)


VALUES = {
    "none": None,
    "str": "text",
    "bytes": b"bytes",
    "int": 200,
    "true": True,
    "dict": {"a": 1},
    "list": [],
    "tuple": (200, {}, b"x"),
    "class": http.Response,
    "exception": ValueError("secret-detail"),
    "function": fail,
}


@http.route("/value/thread/{what}")
def value_thread(req):
    return VALUES[req.path_params["what"]]


@http.route("/value/inline/{what}", blocking=False)
def value_inline(req):
    return VALUES[req.path_params["what"]]


@http.route("/value/async/{what}")
async def value_async(req):
    return VALUES[req.path_params["what"]]


@http.route("/value/late/{what}")
async def value_late(req):
    await asyncio.sleep(0)
    return VALUES[req.path_params["what"]]


@http.route("/where/thread")
def where_thread(req):
    return http.Response(body=str(threading.get_ident()))


@http.route("/where/inline", blocking=False)
def where_inline(req):
    return http.Response(body=str(threading.get_ident()))


@http.route("/where/async")
async def where_async(req):
    return http.Response(body=str(threading.get_ident()))


@http.route("/barrier")
def barrier(req):
    """Two of these at once, or neither ends."""
    meeting.wait(3)
    return http.Response(body=b"met")


meeting = threading.Barrier(2)


@http.route("/context/{kind}/{value}")
async def context_async(req):
    before = current.get()
    current.set(req.path_params["value"])
    if req.path_params["kind"] == "late":
        await asyncio.sleep(0)
    return as_json([before, current.get()])


@http.route("/context-thread/{value}")
def context_thread(req):
    before = current.get()
    current.set(req.path_params["value"])
    return as_json([before, current.get()])


@http.route("/task/current")
async def task_current(req):
    first = asyncio.current_task()
    before = isinstance(first, asyncio.Task) and not first.done()
    await asyncio.sleep(0)
    return as_json([before, asyncio.current_task() is first, first in asyncio.all_tasks()])


@http.route("/task/kept/{suspend}")
async def task_kept(req):
    """Keep the task beyond its end; a later request looks at it."""
    kept.append(asyncio.current_task())
    if req.path_params["suspend"] == "yes":
        await asyncio.sleep(0)
    return http.Response(body=b"kept")


@http.route("/task/look")
async def task_look(req):
    await asyncio.sleep(0)
    found = [[t.done(), t.cancelled(), t is asyncio.current_task()] for t in kept]
    kept.clear()
    return as_json(found)


@http.route("/task/timeout/{when}")
async def task_timeout(req):
    """asyncio.timeout that fires, entered before or after the first suspension."""
    if req.path_params["when"] == "late":
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(5)  # cut by the time-out
    except TimeoutError:
        return http.Response(body=b"timed out")
    return http.Response(body=b"not")


@http.route("/task/timeout-unused")
async def task_timeout_unused(req):
    async with asyncio.timeout(5):
        pass
    return http.Response(body=b"fine")


@http.route("/task/wait-for")
async def task_wait_for(req):
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.02)
    except TimeoutError:
        return http.Response(body=b"timed out")
    return http.Response(body=b"not")


async def double(n):
    await asyncio.sleep(0)
    return 2 * n


@http.route("/task/group/{when}")
async def task_group(req):
    if req.path_params["when"] == "late":
        await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(double(n)) for n in range(5)]
    return as_json([t.result() for t in tasks])


async def broken():
    await asyncio.sleep(0)
    raise ValueError("in a group")


@http.route("/task/group-fails")
async def task_group_fails(req):
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken())
            group.create_task(asyncio.sleep(5))  # cancelled by its sibling's end
    except* ValueError as errors:
        return_text = str(len(errors.exceptions))
    return http.Response(body=return_text)


@http.route("/task/empty-group")
async def task_empty_group(req):
    async with asyncio.TaskGroup():
        pass
    return http.Response(body=b"fine")


@http.route("/task/gather")
async def task_gather(req):
    return as_json(await asyncio.gather(*(double(n) for n in range(4))))


@http.route("/task/self-cancel/{when}")
async def task_self_cancel(req):
    """Cancels itself and catches it."""
    if req.path_params["when"] == "late":
        await asyncio.sleep(0)
    task = asyncio.current_task()
    task.cancel()
    try:
        await asyncio.sleep(1)  # is cancelled as soon as it waits
    except asyncio.CancelledError:
        task.uncancel()
        await asyncio.sleep(0)
        return http.Response(body=b"survived")
    return http.Response(body=b"not cancelled")


@http.route("/task/self-cancel-dies")
async def task_self_cancel_dies(req):
    asyncio.current_task().cancel()
    await asyncio.sleep(1)  # is cancelled as soon as it waits
    return http.Response(body=b"not cancelled")


@http.route("/task/name")
async def task_name(req):
    task = asyncio.current_task()
    task.set_name("mine")
    await asyncio.sleep(0)
    return http.Response(body=asyncio.current_task().get_name())


@http.route("/task/future")
async def task_future(req):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, future.set_result, "resolved")
    return http.Response(body=await future)


@http.route("/task/child-context/{value}")
async def child_context(req):
    current.set(req.path_params["value"])

    async def child():
        return current.get()

    return http.Response(body=await asyncio.create_task(child()))


@http.route("/task/shield/{ms}")
async def task_shield(req):
    return http.Response(body=await asyncio.shield(asyncio.sleep(int(req.path_params["ms"]) / 1000, "shielded")))


class Callable:
    """A callable object is a handler too."""

    async def __call__(self, req):
        return http.Response(body=b"called")


http.route("/callable")(Callable())


class Methods:
    @staticmethod
    async def answer(req):
        return http.Response(body=b"static")

    async def bound(self, req):
        return http.Response(body=b"bound")


http.route("/method/static")(Methods.answer)
http.route("/method/bound")(Methods().bound)
