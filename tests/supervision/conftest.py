"""What the tests of supervision share: a simulated system, silence, and a look at its reports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

import pytest
from loguru import logger

from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import run_sim
from agenticaiframework.supervision import SupervisorReport

Main: TypeAlias = Callable[[ActorSystem], Coroutine[Any, Any, Any]]
Run: TypeAlias = Callable[[Main], Any]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Keep what supervisors log about wanted failures out of the test's output."""
    logger.disable("agenticaiframework")
    yield
    logger.enable("agenticaiframework")


@pytest.fixture
def in_sim() -> Run:
    """Run an async function with a fresh system, in virtual time."""

    def run(main: Main) -> Any:
        async def body() -> Any:
            async with ActorSystem(name="test", seed=1) as system:
                return await main(system)

        return run_sim(body)

    return run


@pytest.fixture
def reports_of() -> Callable[[ActorSystem], list[SupervisorReport]]:
    """Collect the reports of the supervisors of a system."""

    def collect(system: ActorSystem) -> list[SupervisorReport]:
        reports: list[SupervisorReport] = []
        system.subscribe(reports.append, SupervisorReport)
        return reports

    return collect
