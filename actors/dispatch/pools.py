"""The pools of one system: where the handlers of its actors run that do not run on the loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import DISPATCHERS, bad_max_threads, bad_pool_size, unknown_dispatcher
from ..kernel.job import JobRunner
from .processes import ProcessPool, check_portable
from .workers import PoolLoad, ThreadPool

MAX_THREADS = 256
"""Threads of the pool in all, where the system is not told: each may hold a loop with its files too."""


def check_pools(threads: int, max_threads: int | None, processes: int | None) -> int:
    """Return how many threads there may be in all; raise `WrongUse` for bounds that cannot be."""
    if threads < 1:
        raise bad_pool_size("threads", threads)
    if processes is not None and processes < 1:
        raise bad_pool_size("processes", processes)
    if max_threads is None:
        return max(MAX_THREADS, 2 * threads)
    if max_threads < threads:
        raise bad_max_threads(max_threads, threads)
    return max_threads


class Pools:
    """Makes each pool when it is first asked for. Owned by the loop's thread."""

    def __init__(
        self,
        name: str,
        threads: int,
        processes: int | None,
        max_threads: int,
        starved_s: float | None,
    ) -> None:
        self._name = name
        self._size = threads
        self._most = max_threads
        self._starved_s = starved_s
        self._processes = processes or os.cpu_count() or 1
        self.threads: JobRunner | None = None
        """The pool of threads, None before an actor needs it."""
        self._process_pool: JobRunner | None = None
        self._all: list[JobRunner] = []
        self._leaving: list[ThreadPool] = []
        """Those of pinned actors that have ended, while they have a thread."""

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[JobRunner]:
        self._leaving = [pool for pool in self._leaving if not pool.ended]
        return iter([*self._all, *self._leaving])

    def loads(self) -> dict[str, PoolLoad]:
        """Return how busy the pools are: ``thread``, ``process``, and ``pinned`` for all of those together."""
        loads: dict[str, PoolLoad] = {}
        for pool in self:
            if not isinstance(pool, ThreadPool):
                continue
            kind = "pinned"
            if pool is self.threads:
                kind = "thread"
            elif pool is self._process_pool:
                kind = "process"
            before = loads.get(kind, PoolLoad())
            loads[kind] = PoolLoad(*map(sum, zip(before, pool.load, strict=True)))
        return loads

    def check(self, label: str, actor: Any, loop: Any) -> None:
        """Raise what would keep the handlers of *actor* from running, before it is anywhere."""
        kind = actor.dispatcher
        if kind not in DISPATCHERS:
            raise unknown_dispatcher(label, kind)
        if kind == "process" and not hasattr(loop, "inline_pool"):
            check_portable(f"The class {type(actor).__qualname__}", type(actor))

    def choose(self, label: str, kind: str, loop: Any) -> JobRunner:
        """Return the pool for an actor with the dispatcher *kind*."""
        inline: Callable[[], JobRunner] | None = getattr(loop, "inline_pool", None)
        if kind == "thread" or inline is not None:
            if self.threads is None:
                make = inline or self._make_threads
                self.threads = self._add(make())
            return self.threads
        if kind == "pinned":
            return self._add(ThreadPool(label, 1))
        if self._process_pool is None:
            self._process_pool = self._add(ProcessPool(f"{self._name}-process", self._processes))
        return self._process_pool

    def _make_threads(self) -> JobRunner:
        return ThreadPool(self._name, self._size, self._most, self._starved_s)

    def _add(self, pool: JobRunner) -> JobRunner:
        self._all.append(pool)
        return pool

    def leave(self, pool: JobRunner) -> None:
        """End the thread of a pinned actor that has ended; a stuck one is reported at the stop."""
        if pool is self.threads or pool is self._process_pool or not isinstance(pool, ThreadPool):
            return
        pool.close()
        self._all.remove(pool)
        self._leaving = [one for one in (*self._leaving, pool) if not one.ended]
