"""What the tests of workflows that are code share: engines over one medium, and the orders of a simulation."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store.urls import open_store

from ..conftest import Cast, Main, run_in_virtual_time
from ..test_durable import virtual_clock

OpenEngine = Callable[..., OrchestrationEngine]


@pytest.fixture
def cast() -> Cast:
    gc.collect()
    return Cast()


@pytest.fixture(params=[None, 1], ids=lambda seed: f"seed-{seed}")
def sim(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    """Run a test in virtual time, in several orders of what could happen at once."""
    return lambda main: run_in_virtual_time(main, request.param)


@pytest.fixture(params=["none", "memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> OpenEngine:
    """Return what makes engines over the same medium; "none" stores nothing."""
    kept = open_store("memory://", clock=virtual_clock)

    def open_engine(**config: Any) -> OrchestrationEngine:
        options: dict[str, Any] = {"wall_clock": virtual_clock, "lease_seconds": 10}
        if request.param != "none":
            url = f"sqlite:///{tmp_path}/engine.sqlite"
            store = kept
            if request.param == "sqlite":
                store = open_store(url, clock=virtual_clock, inline=True)
            options |= {"state_store": store, "persist_state": True}
        return OrchestrationEngine(EngineConfig(**{**options, **config}))

    open_engine.stored = request.param != "none"  # type: ignore[attr-defined]
    return open_engine
