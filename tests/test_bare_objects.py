"""What scripts can get hold of, made or called in ways that nobody means: an exception, and never a crash of the process.

Objects are made without their `__init__`, their methods are called with whatever there is. In a process of its own each,
since a crash would be the end of all tests.
"""

from __future__ import annotations

import pytest

from tests.process_stage import survives

POKE = """
import gc, importlib, sys, warnings

warnings.simplefilter("ignore")
place, name = sys.argv[1].rsplit(".", 1)
cls = getattr(importlib.import_module(place), name)
ARGUMENTS = [(), (None,), (b"",), ("",), (1,), (None, None), (b"x", b"x"), ("x", 1), (object(),), (None,) * 3, (-1,) * 3,
             (None,) * 5, (b"x",) * 5]
SPARED = {"__class__", "__new__", "__init_subclass__", "__subclasshook__"}
USES = [repr, str, hash, len, iter, list, bool, next, lambda o: o == o, lambda o: o[0], lambda o: o["a"], lambda o: "a" in o,
        lambda o: o(), lambda o: o(None), lambda o: o(1), lambda o: o + o]


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except BaseException:
        return None


def use(one, name, arguments):
    value = getattr(one, name)
    result = value(*arguments) if callable(value) else None
    if hasattr(result, "send") and hasattr(result, "close"):
        attempt(result.send, None)
        result.close()


made = 0
for how in (lambda: cls.__new__(cls), lambda: cls(), lambda: cls(None), lambda: cls(None, None)):
    if attempt(how) is None:
        continue
    made += 1
    for name in dir(cls):
        for arguments in ARGUMENTS if name not in SPARED else ():
            attempt(use, how(), name, arguments)
    for function in USES:
        attempt(function, how())
gc.collect()
print("alive", made)
"""


@pytest.mark.parametrize(
    "name",
    [
        "siphon_http._core.message.Request",
        "siphon_http._core.message.Peer",
        "siphon_http._core.response.Response",
        "siphon_http._core.response.OnePiece",
        "siphon_http._core.headers.Headers",
        "siphon_http._core.url.Url",
        "siphon_http.client.api.Client",
        "siphon_http.client.call.Call",
        "siphon_http.client.content.ContentReader",
        "siphon_http.client.request.ClientHandle",
        "siphon_http.client.request.ClientRequest",
        "siphon_http.dispatch.Completion",
        "siphon_http.dispatch.ThreadCompletion",
        "siphon_http.dispatch._CallNext",
        "siphon_http.dispatch_streams.ContentStream",
        "siphon_http.dispatch_streams.ThreadIterator",
        "siphon_http.dispatch_streams.Waker",
        "siphon_http.task_resume.Resume",
        "siphon_http.threads.Job",
    ],
)
def test_no_way_to_make_or_call_it_crashes(name: str) -> None:
    assert survives(POKE, name).startswith("alive ")
