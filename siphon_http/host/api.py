"""Extension and Context protocols: all that an extension may import from the host.

An extension is an object found through the entry point group `siphon.extensions`; the entry's name is the key under
`extensions:` in siphon.yaml and the name that scripts import from `siphon`. Two hooks, as in the original host:
`namespace` (what scripts import) and `task` (what runs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from siphon_http.records import dataclass

__all__ = [
    "Context",
    "Examined",
    "Extension",
    "Finding",
    "LogsFields",
    "Metrics",
    "Place",
    "SharedTask",
    "SuccessorTask",
    "Task",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where a process stands among those that serve together."""

    index: int = 0
    """0 to count - 1; -1 in the supervisor, which serves nothing itself. A replaced worker's successor has its index."""
    count: int = 1
    """Processes that serve."""
    counters: memoryview = field(default_factory=lambda: memoryview(bytearray(2_097_152)))
    """2 MiB that this process alone writes and the supervisor reads; what an earlier process counted may be in it."""

    @property
    def is_first(self) -> bool:
        """Whether this process says what all would say alike: warnings of the configuration, for example."""
        return self.index == -1 or self.count == 1


class Metrics(Protocol):
    """Makes counters (`inc`), gauges (`inc`, `dec`, `set`) and histograms (`observe`), each with `labels(**values)`.

    They are summed over the processes, and shown where Prometheus looks.
    """

    def counter(self, name: str, help: str, labels: Sequence[str] | None = None) -> Any:
        """Return a counter."""
        ...

    def gauge(self, name: str, help: str, labels: Sequence[str] | None = None) -> Any:
        """Return a gauge."""
        ...

    def histogram(
        self, name: str, help: str, labels: Sequence[str] | None = None, buckets: Sequence[float] | None = None
    ) -> Any:
        """Return a histogram. buckets: upper bounds."""
        ...


class Context(Protocol):
    """What the host tells an extension about the process that it runs in. Made once; read only."""

    @property
    def name(self) -> str:
        """Key under `extensions:`."""
        ...

    @property
    def config(self) -> Path | Mapping[str, Any]:
        """The extension's own file (absolute path), or its inline mapping.

        An inline mapping is a `settings.Node` of kind mapping, so that mistakes in it can be shown with file and line.
        """
        ...

    @property
    def content(self) -> bytes | None:
        """What was in the file `config` when a supervisor checked it, for its workers: to be used in its place.

        None: read the file. It may be changed at any time, but takes effect in all workers together, by a reload.
        """
        ...

    @property
    def drain_secs(self) -> float:
        """Seconds that requests in flight may take to end once the process was told to stop."""
        ...

    @property
    def sync_pool_max(self) -> int:
        """Threads that blocking handlers may use at most."""
        ...

    @property
    def sync_queue_max(self) -> int:
        """Blocking calls that may wait for a thread; more are refused."""
        ...

    @property
    def worker(self) -> Place:
        """Which of the processes this is."""
        ...

    @property
    def counters(self) -> memoryview:
        """Memory for the extension's numbers, laid out as `host/ledger.py` says; for those that write it in C."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The extension's own numbers, for those that do not write `counters` themselves. The same at every load."""
        ...

    @property
    def inherited(self) -> Mapping[str, Sequence[int]]:
        """Descriptors of sockets that another process has bound for this one; see `SharedTask`. Empty: bind them."""
        ...

    def user_traceback(self, error: BaseException) -> str:
        """Return the traceback of `error` for the log, cut to frames of the script and its helpers. Thread-safe."""
        ...


@runtime_checkable
class Task(Protocol):
    """What runs for an extension. Made after the script was loaded; called on the event loop's thread, in this order.

    Of several extensions each step is done for all before the next begins. A start that fails, or is told to stop,
    goes on with `shutdown`: an extension may then have been bound, or not even that.
    """

    def bind(self) -> None:
        """Bind sockets without listening. Raises BindError."""
        ...

    async def startup(self) -> None:
        """Run what must be complete before anything is accepted. Raises ScriptError to stop the start.

        Cancelled when the process is told to stop meanwhile.
        """
        ...

    async def serve(self) -> None:
        """Listen and accept; returns at once."""
        ...

    def describe(self) -> Sequence[str]:
        """Lines for the start-up output: one for each listener as a URL with its protocols, then one of counts.

        The host prints four lines at most: it joins listeners that are too many, but never the last one before the
        counts, so a line to try (`curl ...`) belongs there. Asked once, after `serve`.
        """
        ...

    async def drain(self, seconds: float) -> None:
        """Stop accepting; return when everything in flight has ended or `seconds` have passed."""
        ...

    async def shutdown(self) -> None:
        """Run the script's shutdown hooks if `startup` was begun, then close everything that `bind` opened.

        Called once for every task, in reverse order, also when the start failed.
        """
        ...


@runtime_checkable
class LogsFields(Protocol):
    """What an extension may have beside: fields for what the script logs."""

    def log_fields(self) -> Mapping[str, object]:
        """Return fields of what runs now, such as the id of a request. Called for each line, on any thread."""
        ...


@runtime_checkable
class SharedTask(Task, Protocol):
    """A Task whose sockets several processes can share: a supervisor binds, its workers serve. Optional.

    Without it each worker binds for itself.
    """

    @property
    def handles(self) -> Mapping[str, Sequence[int]]:
        """The descriptors of what `bind` has bound, by names of the extension's choice.

        Workers are started with the same configuration, and find these names and descriptors in `Context.inherited`. A
        name `x@0`, `x@1` ... is for the worker of that index alone, as `x`.
        """
        ...

    @property
    def served(self) -> int:
        """How much work was done so far (requests, messages): for `worker_max_requests`. Asked in the worker."""
        ...

    def adopt(self, earlier: Any) -> None:
        """Bind, but for what `earlier`, a bound task of the same class, has: that is taken from it. Raises BindError.

        In the place of `bind`, in a supervisor, for a changed configuration; `earlier.adopt(self)` takes it back.
        """
        ...


@runtime_checkable
class Examined(Protocol):
    """What an extension may have beside: checks for `siphon-http doctor`."""

    def doctor(self, context: Context) -> Sequence[Finding]:
        """Look at what `namespace` has read and at the machine. Called after `namespace`; may take a few seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `siphon-http doctor`."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    """What was looked at, in a few words."""
    text: str
    """What was found."""
    fix: str = ""
    """What to do about it."""


@runtime_checkable
class SuccessorTask(Task, Protocol):
    """A Task that can follow another one of its extension without a stop: what a reload needs. Optional.

    Called in this order: `follow` in the place of `bind`, `startup`, `serve`, then `retire` of the earlier one. Where one
    of the first three fails, `shutdown` of the new one follows, and the earlier one goes on as if nothing had been.
    """

    def follow(self, earlier: Any) -> None:
        """Bind what `earlier`, a task of the same class that serves, has not bound; change nothing else yet.

        `serve` then takes everything else over from it in one step. Raises BindError and the like.
        """
        ...

    async def retire(self, seconds: float) -> None:
        """Another task has followed: end when what began under this one has ended, or after `seconds`.

        Then run the script's shutdown hooks, and close what was not taken over. Neither `drain` nor `shutdown` follows.
        """
        ...


@runtime_checkable
class Extension(Protocol):
    """One extension, as its entry point gives it (the object itself, or a class without arguments).

    The script is loaded again with further `load_begins` and `load_ends` and a further `task`; where one fails, what was
    there before stays in use. When the configuration is read again, a class is made anew and begins with `namespace`; an
    object cannot be, so changes of its configuration need a restart.
    """

    def namespace(self, context: Context) -> object:
        """Read and check the configuration, and return what scripts import.

        Raises ConfigError (TlsMaterialError for certificates) with every mistake found. Called once, before the script
        is loaded, also when siphon.yaml has mistakes of its own: all are reported together.
        """
        ...

    def load_begins(self) -> None:
        """Start of one execution of the script: what decorators store from now on belongs to it."""
        ...

    def load_ends(self) -> None:
        """The script ran to its end. Raises RouteError and the like for what can only be seen then."""
        ...

    def task(self, context: Context) -> Task:
        """Return what runs, for what the script registered."""
        ...

    def table(self) -> Sequence[Sequence[str]]:
        """Rows for `siphon-http routes`; the first row is the heading."""
        ...
