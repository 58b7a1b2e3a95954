"""The dispatcher ``process``: handlers run in child processes, and can be killed for real.

For work that holds the interpreter's lock, for native code that may crash, and for whatever has to
end when it is told to. The children are spawned (never forked), pooled, one for each worker thread
of the pool, and end with the system.

What crosses is pickled. Of an agent that is the handler (a function from the top of a module) and
the payload. Of an actor it is the class, its attributes and the message: `on_receive`, a behaviour
or a proxied method runs in the child on a copy of the actor, and the attributes that it has changed
are carried back when it has ended; what is killed has changed nothing. The hooks `on_start`,
`on_stop` and `on_failure` run in a thread of the parent, where the system is; a handler in a child
that uses the system gets `NotInChild`.

A child that dies while it works (SIGKILL, out of memory, a segmentation fault, ``os._exit``) ends its
actor with `ProcessDied`, which its asker gets too. A kill of the actor, and the end of an asker's
patience (`request(..., timeout)`), kill the child at once. What an actor's handler did not finish in
``ActorSystem.cancel_grace_s`` after an exit signal is killed as well.

The children are `multiprocessing` processes and pipes, waited for together with the process' own
sentinel. Pebble's pool was tried first: in version 5.2 the death of an idle worker ends the whole
pool, a handler that calls ``os._exit(0)`` is waited for without an end, deaths and cancellations are
found by polling ten times a second, and a call takes 0.74 ms instead of 0.16.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final, cast

from ..errors import AgenticError
from ..kernel.base import ActorBase
from ..kernel.behavior import behavior_of
from ..kernel.carried import Carried
from ..kernel.cell import Cell
from ..kernel.job import Job
from ..kernel.pykka_seam import HANDLE, PROXY_MESSAGES
from ..kernel.request import Request
from ..looks import is_a
from .process_child import (
    READY,
    NotPicklable,
    pickle_each,
    pickle_tuple,
    put_state,
    serve,
    state_of,
)
from .workers import ThreadPool, Worker

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

LOOK_S: Final = 0.1
"""How soon a child is killed after the asker of its work has stopped waiting."""

START_S: Final = 60.0
"""How long a child may take to start; it imports the program's main module."""

REAPED_MS: Final = 1_000
"""How long another thread may take to tell the exit code that it was given."""

GOODBYE_S: Final = 0.5
"""How long an idle child may take to end by itself."""


class ProcessDied(AgenticError):
    """The child process that ran an actor's handler has died. It is the actor's exit reason.

    *exitcode* is the process' own, negative for a signal; *signal* is that signal's name, or None.
    """

    ends_actor = True

    def __init__(
        self, actor: str, exitcode: int | None, doing: str = "it handled a message"
    ) -> None:
        self.actor = actor
        self.exitcode = exitcode
        self.signal = _signal_name(exitcode)
        self.doing = doing
        how = f"by {self.signal}" if self.signal else f"with exit code {exitcode}"
        hint = ""
        if self.signal == "SIGKILL":
            hint = " (killed from outside, or out of memory)"
        super().__init__(f"The child process of {actor} died {how}{hint} while {doing}.")


def check_portable(what: str, thing: Any) -> None:
    """Raise `NotPicklable` if *thing*, called *what*, could not go to a child."""
    pickle_each({"": thing}, lambda _name: what)


class ProcessPool(ThreadPool):
    """At most *size* threads, each with a child process in which it has handlers run."""

    settle_s = 5.0  # Each waits for the end of its child, which is idle, or has been killed.

    def submit(self, job: Job, /) -> None:
        """Have *job* run by the next free thread, and its handlers in that thread's child."""
        job.call = call_in_child
        super().submit(job)

    def _make_worker(self, name: str) -> Worker:
        return ProcessWorker(self, name)

    def _has_room(self) -> bool:
        return True  # a stuck process is killed


class ProcessWorker(Worker):
    """A thread of the pool, and the owner of one child process."""

    stays_behind = False

    def __init__(self, pool: ThreadPool, name: str) -> None:
        super().__init__(pool, name)
        self._child: Child | None = None

    def work(self) -> None:
        try:
            super().work()
        finally:
            child, self._child = self._child, None
            if child is not None:
                child.close()

    def retire(self) -> None:
        """Kill the child in the middle of its work."""
        super().retire()
        child = self._child
        if child is not None:
            child.kill()

    def call(self, work: bytes, actor: str, request: Any) -> bytes:
        """Return the child's answer to *work*."""
        child = self._child
        if child is not None and not child.process.is_alive():
            self._child = None
            child.close()  # it has died since its last work
            child = None
        if child is None:
            child = self._child = Child(self._idle_name)
        if self.retired:
            child.kill()
        try:
            return child.call(work, actor, request)
        except BaseException:
            self._child = None
            child.close(kill=True)
            raise


class AskerGone(Exception):
    """A child was killed because its work was not waited for any more."""


class Child:
    """One child process. Owned by its worker's thread; `kill` is safe from any."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        # Not a daemon: a handler may start processes of its own. `_end_all` sees to the end.
        self.process: SpawnProcess = context.Process(
            target=serve, args=(there,), name=name, daemon=False
        )
        self._ready = False
        _children.add(self)
        try:
            self.process.start()
        except BaseException:
            _children.discard(self)
            raise
        there.close()

    def _wait_until_ready(self, actor: str) -> None:
        """Wait until it has started; in this time too it can be killed."""
        if not self._answers(START_S) or self._receive() != READY:
            raise ProcessDied(
                actor,
                self._exitcode(),
                "it started. It imports the program's main module first: start actors there only "
                'under `if __name__ == "__main__":`',
            )
        self._ready = True

    def call(self, work: bytes, actor: str, request: Any) -> bytes:
        """Return the answer to *work*. Raises `ProcessDied`, and `AskerGone`."""
        watched = isinstance(request, Request)
        if not self._ready:
            self._wait_until_ready(actor)
        try:
            self._pipe.send_bytes(work)
            while not self._answers(LOOK_S if watched else None):
                if watched and not request.asker_waiting:
                    raise AskerGone
            answer = self._receive()
        except OSError:
            answer = None
        if answer is None:
            raise ProcessDied(actor, self._exitcode())
        return answer

    def _answers(self, timeout_s: float | None) -> bool:
        """Wait until the child says something or dies; False if the time is over."""
        return bool(wait([self._pipe, self.process.sentinel], timeout_s))

    def _receive(self) -> bytes | None:
        """Return what the child says, or None if it is dead."""
        try:
            return self._pipe.recv_bytes() if self._pipe.poll() else None
        except (EOFError, OSError):
            return None

    def _exitcode(self) -> int | None:
        """Wait for the end, after a while by force; return the exit code, None if it is not known."""
        process = self.process
        if not wait([process.sentinel], GOODBYE_S):
            process.kill()
            wait([process.sentinel])
        # Another thread that starts a process, or asks for the active ones, may have been told
        # of this end by the operating system, and tell the process object in a moment. If it was
        # other code (`os.wait()`), it is never told.
        for _ in range(REAPED_MS):
            if process.exitcode is not None:
                break
            time.sleep(0.001)
        return process.exitcode

    def kill(self) -> None:
        """Kill the process, unless it has been closed by its owner, or was never started."""
        with suppress(ValueError, AttributeError):
            self.process.kill()

    def close(self, *, kill: bool = False) -> None:
        """End the process and wait for it; an idle one may end by itself."""
        self._pipe.close()
        if kill:
            self.process.kill()
        if self._exitcode() is not None:
            self.process.close()
        _children.discard(self)


_children: set[Child] = set()
"""Those that may be alive. Its changes and its copy are single steps, safe from any thread."""


def _end_all() -> None:
    """Kill what is left, so that multiprocessing's own end of the program does not wait for it."""
    for child in list(_children):
        child.kill()


# Registered after multiprocessing's own, and so called before it.
atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_children.clear)  # they are the parent's


# -- one message ---------------------------------------------------------------------------------


def call_in_child(job: Job, local: Any, message: Any, request: Any) -> Any:
    """Have *message* handled in the child of this worker, and return the result.

    *local* handles it here, for what belongs to the parent.
    """
    work = job.work_for_child(message)
    if work is None:
        return local()
    worker = cast("ProcessWorker", threading.current_thread())
    try:
        answer = worker.call(work, job.label, request)
    except AskerGone:
        return None
    well, value, state = pickle.loads(answer)
    if state is not None and not job.abandoned:
        put_state(job.actor, pickle.loads(state))
    if well:
        return value
    error, *causes = value
    link = error
    for cause in causes:
        link.__cause__ = cause
        link = cause
    raise error


def actor_work(ref: Cell, actor: ActorBase, message: Any) -> bytes:
    """Return a message to *actor*, and as much of it as the handler needs, pickled."""
    label = ref.label
    if is_a(message, Carried):
        raise NotPicklable(
            f"A message with_context(...) to {label}", "context variables stay in their process"
        )
    behavior: Any = behavior_of(ref)
    method = "on_receive"
    if behavior is not None:
        if getattr(behavior, "__self__", None) is not actor:
            raise NotPicklable(
                f"The behaviour of {label}", "a behaviour must be a method of the actor itself"
            )
        method = behavior.__name__
    if is_a(message, *PROXY_MESSAGES):
        method = HANDLE
    state = pickle_each(state_of(actor), lambda name: f"{type(actor).__name__}.{name} of {label}")
    parts = {
        "kind": "actor",
        f"The class {type(actor).__qualname__} of {label}": type(actor),
        "identity": (label, ref.name, ref.pid),
        "state": state,
        "method": method,
        f"The message {type(message).__name__} to {label}": message,
    }
    return pickle_tuple(parts)


def _signal_name(exitcode: int | None) -> str | None:
    if exitcode is None or exitcode >= 0:
        return None
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


__all__ = ["ProcessDied", "ProcessPool", "actor_work", "check_portable"]
