"""The pytest plugin of the testing kit: ``--sim-seed``, ``--sim-runs`` and ``--sim-replay``.

pytest finds it by itself where the distribution is installed; where the package is only on the path,
``-p agenticaiframework.testing.pytest_plugin`` loads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors.simulation import Failure

from .settings import settings

DIRECTORY = ".simulation"
_COUNTS = "agenticaiframework.simulation"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of simulated tests."""
    group = parser.getgroup("simulation", "simulated tests (agenticaiframework.testing)")
    group.addoption("--sim-seed", type=int, metavar="N", help="first seed of every simulated test")
    group.addoption("--sim-runs", type=int, metavar="N", help="runs of every simulated test")
    group.addoption(
        "--sim-replay", type=Path, metavar="FILE", help="repeat a saved failure, and only that"
    )
    group.addoption(
        "--sim-dir",
        type=Path,
        metavar="DIR",
        default=Path(DIRECTORY),
        help=f"where failures are saved (default: {DIRECTORY})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hand the options to `@simulate`."""
    settings.seed = config.getoption("--sim-seed")
    settings.runs = config.getoption("--sim-runs")
    if settings.runs is not None and settings.runs < 1:
        raise pytest.UsageError("--sim-runs counts from 1, as in --sim-runs 1000")
    settings.directory = config.getoption("--sim-dir")
    replay: Path | None = config.getoption("--sim-replay")
    settings.replay = None
    if replay is not None:
        try:
            settings.replay = Failure.load(replay)
        except (OSError, ValueError) as error:
            raise pytest.UsageError(f"--sim-replay {replay}: no saved failure: {error}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a replay, keep only the test that it is about."""
    failure = settings.replay
    if failure is None:
        return
    kept = [item for item in items if _is_about(failure, item)]
    if not kept:
        raise pytest.UsageError(
            f"--sim-replay is about {failure.scenario}, which is not among the collected tests. "
            "Name its file on the command line."
        )
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _is_about(failure: Failure, item: pytest.Item) -> bool:
    test: Any = getattr(item, "obj", None)
    if not getattr(test, "simulated", False):
        return False
    module, _, name = failure.scenario.partition(":")
    # The same file may be imported under a longer or a shorter name.
    there = str(test.__module__)
    same = there == module or there.endswith(f".{module}") or module.endswith(f".{there}")
    return same and name.removesuffix(".scenario") == test.__qualname__


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist: send what was simulated to the process that reports."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_COUNTS] = settings.counts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker of pytest-xdist has simulated; one that died has sent nothing."""
    counts = getattr(node, "workeroutput", {}).get(_COUNTS)
    if counts:
        settings.count_all(counts)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was simulated, and which faults landed."""
    if settings.tests:
        terminalreporter.section("simulation")
        terminalreporter.write_line(f"{settings.tests} tests, {settings.total.summary()}")
        if settings.incomplete:
            terminalreporter.write_line(
                f"{settings.incomplete} explorations ended before every order was tried"
            )
