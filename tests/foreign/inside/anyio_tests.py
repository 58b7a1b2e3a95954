"""A pytest plugin that runs the tests of anyio's suite, those that are coroutines, inside a place."""

from __future__ import annotations

from typing import Any

import pytest
from anyio._backends import _asyncio

from .lines import LOOP, PLACE, done_before, say
from .places import run_inside

LOOPS = {"asyncio": "[asyncio]", "uvloop": "[asyncio+uvloop", "eager": "[asyncio+eager"}

_run_test = _asyncio.TestRunner.run_test


def _inside(self: Any, test_func: Any, kwargs: dict[str, Any]) -> None:
    async def test(**given: Any) -> None:
        await run_inside(PLACE, test_func(**given))

    _run_test(self, test, kwargs)


_asyncio.TestRunner.run_test = _inside  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    done = done_before()
    items[:] = [
        item
        for item in items
        if item.nodeid not in done
        and f"[{item.nodeid.partition('[')[2]}".startswith(LOOPS[LOOP].rstrip("]"))
        and (LOOP != "asyncio" or "asyncio+" not in item.nodeid)
    ]


def pytest_runtest_logstart(nodeid: str) -> None:
    say(begins=nodeid)
    _outcome[nodeid] = ("ok", "")


_outcome: dict[str, tuple[str, str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _outcome[report.nodeid] = ("failed", report.longreprtext[-2000:])
    elif report.skipped:
        _outcome[report.nodeid] = ("skipped", "")


def pytest_runtest_logfinish(nodeid: str) -> None:
    how, detail = _outcome.pop(nodeid)
    say(ends=nodeid, how=how, detail=detail)


def pytest_sessionfinish() -> None:
    say(over=True)
