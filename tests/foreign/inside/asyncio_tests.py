"""Runs one module of CPython's tests, with what its tests give to a loop to run put inside a place.

``python -m inside.asyncio_tests test.test_asyncio.test_locks``
"""

from __future__ import annotations

import asyncio
import sys
import unittest
import warnings
from collections.abc import Iterator
from typing import Any

from .lines import LOOP, PLACE, done_before, say
from .places import run_inside


def put_inside() -> None:
    """Have each coroutine that a loop is to run until its end run inside the place."""
    runner_run = asyncio.Runner.run

    def run(self: Any, coro: Any, **kwargs: Any) -> Any:
        return runner_run(self, _inside(coro), **kwargs)

    asyncio.Runner.run = run  # type: ignore[method-assign]
    base = asyncio.BaseEventLoop
    base.run_until_complete = _wrapped(base.run_until_complete)  # type: ignore[method-assign]
    if LOOP == "uvloop":
        import uvloop

        class Loop(uvloop.Loop):
            run_until_complete = _wrapped(uvloop.Loop.run_until_complete)

        _new_loops(Loop)
    elif LOOP == "eager":

        def eager() -> asyncio.AbstractEventLoop:
            loop = asyncio.SelectorEventLoop()
            loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
            return loop

        _new_loops(eager)


def _wrapped(run_until_complete: Any) -> Any:
    def run_inside_until_complete(self: Any, future: Any) -> Any:
        # The loops of CPython's tests whose clock is a script take no timer that it does not foresee.
        return run_until_complete(self, future if hasattr(self, "_gen") else _inside(future))

    return run_inside_until_complete


def _inside(coroutine: Any) -> Any:
    if (
        asyncio.iscoroutine(coroutine)
        and asyncio._get_running_loop() is None
        and getattr(coroutine, "__name__", "") not in PLUMBING
    ):
        return run_inside(PLACE, coroutine)
    return coroutine


PLUMBING = {"run_inside", "shutdown_asyncgens", "shutdown_default_executor"}
"""Coroutines that are the loop's own, or inside already."""


def _new_loops(make: Any) -> None:
    """Have new loops made by *make*, also after a test has set asyncio's own policy again."""
    policy = asyncio.get_event_loop_policy().__class__
    policy._loop_factory = staticmethod(make)  # type: ignore[attr-defined]


def tests_of(suite: Any) -> Iterator[Any]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


class Told(unittest.TestResult):
    """Tells the parent of each test as it begins and ends."""

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        say(begins=test.id())
        self._outcome = ("ok", "")

    def stopTest(self, test: Any) -> None:
        super().stopTest(test)
        say(ends=test.id(), how=self._outcome[0], detail=self._outcome[1])

    def _bad(self, test: Any, err: Any) -> None:
        self._outcome = ("failed", self._exc_info_to_string(err, test)[-2000:])  # type: ignore[attr-defined]

    addFailure = addError = _bad

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._bad(test, err)

    def addSkip(self, test: Any, reason: str) -> None:
        self._outcome = ("skipped", reason)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._outcome = ("failed", "unexpected success")


def main(module: str) -> None:
    warnings.simplefilter("default")
    warnings.simplefilter("ignore", ResourceWarning)
    done = done_before()
    put_inside()
    loaded = unittest.defaultTestLoader.loadTestsFromName(module)
    wanted = unittest.TestSuite(test for test in tests_of(loaded) if test.id() not in done)
    wanted.run(Told())
    say(over=True)


if __name__ == "__main__":
    main(sys.argv[1])
