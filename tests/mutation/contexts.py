"""A pytest plugin that records which test executes which line: ``-p tests.mutation.contexts``.

It is loaded before the library is, so that the lines of modules count too. The tests' durations and
verdicts are written as JSON beside the coverage.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

FOLDER = Path(os.environ["MUTATION_COVERAGE"])

_coverage = coverage.Coverage(
    data_file=str(FOLDER / "data"),
    data_suffix=True,
    config_file=str(FOLDER / "coveragerc"),
)
_durations: dict[str, float] = {}
_failed: set[str] = set()
_coverage.start()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Name the test, also for the processes that it starts."""
    os.environ["MUTATION_TEST"] = item.nodeid
    _coverage.switch_context(item.nodeid)
    yield
    _coverage.switch_context("")
    os.environ["MUTATION_TEST"] = ""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the durations and the verdicts."""
    _durations[report.nodeid] = _durations.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)
    if report.skipped:
        _durations.pop(report.nodeid, None)


def pytest_sessionfinish(session: Any) -> None:
    """Write it all down."""
    _coverage.stop()
    _coverage.save()
    told = {"durations": _durations, "failed": sorted(_failed)}
    (FOLDER / "tests.json").write_text(json.dumps(told), encoding="utf-8")
