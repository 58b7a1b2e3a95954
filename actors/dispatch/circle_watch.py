"""A watch over handlers that wait by way of asyncio: it ends circles in which no handler can go on.

Where a handler awaits a request, the kernel finds the circle that this closes at once (`kernel.circle`).
Where it awaits a task, a `gather` or a task group, which asks for it, it is not known at that moment
whether it will wait; so those are looked at now and then, by the ways that asyncio's futures refer to one
another. What has been a circle for long is reported once, in one record, and its youngest ask ends with
`CallingSelf`. What cannot be followed (a queue, an event, a thread of one's own) is not
taken for a circle.

The looks are made in the system's own time, while handlers wait in this way, by a timer that wakes no
simulated run which has nothing else to do. They cost a comparison for each such handler that has not
waited for something else than at the last look, and nothing on the path of messages.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import thread as executor
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from ..kernel.circle import awaited, calling_self, end_ask, find_circle, steps_of
from ..kernel.future import ActorFuture
from ..kernel.here import is_main
from ..kernel.home import Home
from ..kernel.look import job_loop_of, since_of, task_of, works_for
from ..kernel.request import Gathering, Request

if TYPE_CHECKING:
    from types import FrameType

LOOKS: Final = 4
"""Looks in the time that a circle has to stand."""

EXECUTOR_FILE: Final = executor.__file__

DEPTH: Final = 64
"""Tasks that wait for one another are followed so far."""

Found = tuple[Sequence[Any], bool]
NOTHING: Final[Found] = ((), False)


class WatchedHost(Protocol):
    """What a `CircleWatch` wants of its system."""

    name: str
    log: Any

    @property
    def scheduler(self) -> Home: ...


class CircleWatch:
    """Looks for circles among the handlers of *host* that have waited for *stood_s* seconds.

    Owned by the loop's thread.
    """

    def __init__(self, host: WatchedHost, stood_s: float) -> None:
        self._host = host
        self._stood_s = stood_s
        home = host.scheduler
        self._home = home
        self._seen: dict[Any, tuple[Any, float, bool]] = {}
        """What each cell has awaited since when, and whether that can be followed."""
        self._circles: dict[frozenset[Any], bool] = {}
        """The circles that the last look found."""
        home.on_outside = self._begin

    def _begin(self) -> None:
        """A handler waits for something of asyncio's: look after it."""
        self._home.on_outside = None
        self._home.call_aside(self._stood_s / LOOKS, self._look)

    def _look(self) -> None:
        home = self._home
        if home.closed:
            return
        now = home.loop.time()
        reader = Reader()
        before, self._seen = self._seen, {}
        circles: dict[frozenset[Any], bool] = {}
        for cell in tuple(home.outside):
            what = waits_outside(cell)
            if what is None:
                home.outside.pop(cell, None)
                continue
            known = before.get(cell)
            if known is None or known[0] is not what:
                self._seen[cell] = what, now, True
                continue
            _, since, leads = known
            if leads:
                requests, _race = reader.look(cell)
                leads = bool(requests) or may_lead(what)
                for request in requests:
                    way = find_circle(request, cell, reader.look)
                    if way is not None:
                        stood = now - since >= self._stood_s * 0.99
                        self._found(list(steps_of(way, reader.look)), circles, stood=stood)
            self._seen[cell] = what, since, leads
        self._circles = circles
        if home.outside:
            self._home.call_aside(self._stood_s / LOOKS, self._look)
        else:
            home.on_outside = self._begin

    def _found(self, steps: list[Any], circles: dict[frozenset[Any], bool], *, stood: bool) -> None:
        """Remember the circle *steps*; end it if it was there at the last look, and has *stood* long."""
        if not steps:
            return
        key = frozenset(request for _, request in steps)
        if key in circles:
            return  # another handler of it led here
        circles[key] = True
        if not stood or key not in self._circles:
            return
        # From the one that works for none of the others, or has waited longest.
        first = min(
            range(len(steps)),
            key=lambda place: (works_for(steps[place][0]) in key, since_of(steps[place][0])),
        )
        steps = steps[first:] + steps[:first]
        advice = getattr(steps[-1][1], "advice", "")
        error = calling_self([asker for asker, _ in steps], advice)
        self._host.log.error(
            "Handlers of {} have waited for one another for {:g} s. {} The last of these asks ends "
            "with CallingSelf.",
            self._host.name, self._stood_s, error,
        )  # fmt: skip
        end_ask(steps[-1][1], error)


def waits_outside(cell: Any) -> Any:
    """Return what of asyncio's the handler of *cell* waits for; None if it does not."""
    task = task_of(cell)
    if task is not None:
        return getattr(task, "_fut_waiter", None)
    return job_loop_of(cell)


class Reader:
    """Reads at one moment what asyncio's tasks and futures wait for, as they refer to one another."""

    def __init__(self) -> None:
        self._threads: dict[Any, list[FrameType]] | None = None

    def look(self, waiting: Any) -> Found:
        """Return the requests that *waiting* waits for, also by way of asyncio."""
        found = awaited(waiting)
        if found[0]:
            return found
        task = task_of(waiting)
        if task is not None:
            return self._of_task(task, DEPTH)
        loop = job_loop_of(waiting)
        if loop is not None:
            try:
                for one in asyncio.all_tasks(loop):
                    if is_main(one, alone=False):
                        return self._of_task(one, DEPTH)
            except RuntimeError:
                pass  # its thread goes on just now
        return NOTHING

    def _of_task(self, task: Any, depth: int) -> Found:
        """Return the requests that *task* waits for."""
        future = getattr(task, "_fut_waiter", None)
        if future is None or depth == 0:
            return NOTHING
        found = self._of_future(future, depth - 1)
        return found if found[0] else self._of_frames(task.get_coro(), depth - 1)

    def _of_future(self, future: Any, depth: int) -> Found:
        """Return the requests that have to be answered before *future* is done."""
        if isinstance(future, Request):
            return future.pending(), False
        if isinstance(future, asyncio.Task):
            return self._of_task(future, depth)
        children = getattr(future, "_children", None)  # what `asyncio.gather` returns
        if children is not None:
            return self._of_several(children, depth), False
        for name, inner in _referred(future):
            if name == "_outer_done_callback" and asyncio.isfuture(inner):  # `asyncio.shield`
                return self._of_several([inner], depth), False
            if name == "_call_check_cancel" and isinstance(inner, ThreadFuture):
                return self._of_thread(inner, depth)
        return NOTHING

    def _of_several(self, futures: Any, depth: int) -> list[Any]:
        return [
            request
            for future in tuple(futures)
            if depth and not future.done()
            for request in self._of_future(future, depth - 1)[0]
        ]

    def _of_frames(self, coro: Any, depth: int) -> Found:
        """Return the requests that *coro* waits for where it awaits several things at once."""
        for name, file, scope in reversed(list(_frames(coro))[-4:]):
            owner: Any = scope.get("self")
            if isinstance(owner, Request | Gathering | ActorFuture):
                return owner.pending(), owner.race
            if "asyncio" not in file:
                continue
            if name == "_wait":
                race = scope.get("return_when") == asyncio.FIRST_COMPLETED
                return self._of_several(scope.get("fs", ()), depth), race
            if name == "wait_for" and asyncio.isfuture(scope.get("fut")):
                return self._of_several([scope["fut"]], depth), False
            tasks = getattr(owner, "_tasks", None)  # a task group, of asyncio's or of anyio's
            if tasks and name in ("__aexit__", "_aexit"):
                return self._of_several(tasks, depth), False
        return NOTHING

    def _of_thread(self, work: Any, depth: int) -> Found:
        """Return the requests that the thread waits for which does *work* (`asyncio.to_thread`)."""
        if self._threads is None:
            self._threads = {}
            for frame in sys._current_frames().values():  # pyright: ignore[reportPrivateUsage]
                done = _work_of(frame)
                if done is not None:
                    self._threads[done[0]] = done[1]
        for frame in self._threads.get(work, ()):
            owner: Any = frame.f_locals.get("self")
            if frame.f_code.co_name == "get" and isinstance(owner, ActorFuture):
                return owner.pending(), False
            if frame.f_code.co_name == "run_until_complete":
                main = frame.f_locals.get("future")
                return self._of_task(main, depth) if isinstance(main, asyncio.Task) else NOTHING
        return NOTHING


def may_lead(awaited: object) -> bool:
    """Tell whether *awaited*, which leads to no request, may lead to one later.

    A plain future stays what it is as long as it is awaited.
    """
    what: Any = awaited
    return (
        isinstance(awaited, asyncio.Task)
        or not isinstance(awaited, asyncio.Future)
        or getattr(what, "_children", None) is not None
        or any(
            name in ("_outer_done_callback", "_call_check_cancel") for name, _ in _referred(what)
        )
    )


def _referred(future: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the callbacks of *future* refer to, with their names."""
    for entry in getattr(future, "_callbacks", None) or ():
        fn: Any = cast("tuple[Any, ...]", entry)[0] if isinstance(entry, tuple) else entry
        for cell in getattr(fn, "__closure__", None) or ():
            try:
                yield getattr(fn, "__name__", ""), cell.cell_contents
            except ValueError:
                pass  # it has nothing in it yet


def _work_of(frame: FrameType | None) -> tuple[Any, list[FrameType]] | None:
    """Return the work of a thread of an executor, which is at *frame*, and its frames, the innermost first."""
    frames: list[FrameType] = []
    while frame is not None:
        if frame.f_code.co_name == "run" and frame.f_code.co_filename == EXECUTOR_FILE:
            work = getattr(frame.f_locals.get("self"), "future", None)
            return None if work is None else (work, frames)
        frames.append(frame)
        frame = frame.f_back
    return None


def _frames(coro: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the frames of *coro* and of what it awaits: function, file, variables."""
    while coro is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coro, f"{kind}_frame", None)
            if frame is not None:
                yield frame.f_code.co_name, frame.f_code.co_filename, frame.f_locals
                break
        coro = (
            getattr(coro, "cr_await", None)
            or getattr(coro, "gi_yieldfrom", None)
            or getattr(coro, "ag_await", None)
        )


__all__ = ["CircleWatch"]
