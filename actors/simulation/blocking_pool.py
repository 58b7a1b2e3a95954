"""Blocking handlers under simulation: a pool without threads."""

from __future__ import annotations

import asyncio
import contextvars
import math
from typing import Any, Protocol

from agenticaiframework.actors.kernel.job import Job
from agenticaiframework.actors.kernel.lifecycle import job_finished

from .blocking import run_inline


class _Loop(Protocol):
    def add_candidate(self, candidate: Any, /) -> None: ...
    def call_later(self, delay: float, callback: Any, /, *args: Any) -> Any: ...


class InlinePool:
    """Runs each job in the loop's thread, as a step of its own.

    A handler's effects happen at once, its end comes after the virtual seconds that it slept. What it
    sends and answers is posted to the loop, as from a thread. What really blocks (a lock that another
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
        if job.abandoned:
            return
        _, error, slept_s = run_inline(self._loop, job.home.from_outside, (job.run,))
        if error is not None:
            raise error
        if slept_s == math.inf:
            return  # it blocks for ever, and never comes back
        if slept_s:
            self._loop.call_later(slept_s, job.home.post, job_finished, job)
        else:
            job.home.post(job_finished, job)

    def stop(self, wait_s: float, /) -> list[str]:
        """Return nothing: there is no thread that could be stuck."""
        return []
