"""Blocking handlers under simulation: a pool without threads."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Iterator
from typing import Any, Final, Protocol

from agenticaiframework.actors.kernel.job import Job
from agenticaiframework.actors.kernel.lifecycle import job_finished

from .blocking import run_inline

_OVER: Final = object()


class _Loop(Protocol):
    def add_candidate(self, candidate: Any, /) -> None: ...
    def call_later(self, delay: float, callback: Any, /, *args: Any) -> Any: ...


class InlinePool:
    """Runs each job in the loop's thread, as a step of its own.

    A handler's effects happen at once, its end, and with it its answer, comes after the virtual seconds
    that it slept. What it sends and answers is posted to the loop, as from a thread. What really blocks (a lock that another
    job holds, a blocking `ask`) would block the whole run.
    """

    settle_s = 0.0

    def __init__(self, loop: Any) -> None:
        self._loop: _Loop = loop

    def submit(self, job: Job, /) -> None:
        """Have *job* run as one of the candidates of the loop."""
        self._loop.add_candidate(
            asyncio.Handle(self._run, (job,), self._loop, contextvars.Context())  # type: ignore[arg-type]
        )

    def _run(self, job: Job) -> None:
        if not job.abandoned:
            self._go_on(job, job.steps())

    def _go_on(self, job: Job, steps: Iterator[None]) -> None:
        """Take steps of *job* until one has slept: the next is then taken after that time.

        So what a handler answers comes when it would, and finds that its asker has given up meanwhile.
        """
        over: list[None] = []

        def step() -> None:
            over[:] = [None] if next(steps, _OVER) is _OVER else []

        while True:
            _, error, slept_s = run_inline(self._loop, job.home.from_outside, (step,))
            if error is not None:
                raise error
            if slept_s == math.inf:
                return  # it blocks for ever, and never comes back
            if over:
                break
            if slept_s:
                self._loop.call_later(slept_s, self._go_on, job, steps)
                return
        if slept_s:
            self._loop.call_later(slept_s, job.home.post, job_finished, job)
        else:
            job.home.post(job_finished, job)

    def stop(self, wait_s: float, /) -> list[str]:
        """Return nothing: there is no thread that could be stuck."""
        return []
