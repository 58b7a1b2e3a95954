"""The options of an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, field_validator

from ...definition.definition import Definition
from ...definition.fields import Seconds
from ..store import Durability, Retention
from ..store.urls import check_url

DEFAULT_STORE: Final = "sqlite:///.workflows/workflows.sqlite"
"""Beside the program that runs, in a folder of its own, which is made when first needed."""


class EngineConfig(Definition):
    """The options of an `OrchestrationEngine`; all have a default.

    ::

        EngineConfig(max_concurrent_workflows=100, default_timeout_seconds=300, enable_tracing=True)
    """

    max_concurrent_workflows: int = Field(default=100, ge=1)
    """Workflows that run at the same time. Those that wait for a signal or a time do not count."""
    max_queued_workflows: int = Field(default=10_000, ge=0)
    """Workflows that wait for their turn, before more are refused."""
    default_timeout_seconds: Seconds | None = 300.0
    """The time limit of an attempt of a step without its own. A model that never answers must not
    hold a workflow for ever; None says that it may."""

    persist_state: bool = False
    """Whether workflows are stored where `persist_state` is not given to the call."""
    state_store: Any = DEFAULT_STORE
    """Where runs are stored: ``sqlite:///path``, ``postgresql://...``, ``memory://``, or a store."""
    durability: Durability = Durability.FULL
    recover_on_start: bool = False
    """Whether the first use of the engine picks up what a dead process left."""
    recover_every_seconds: Seconds | None = None
    """How often runs of engines that have died meanwhile are looked for; None: only when told to."""
    changed_definition: Literal["old", "new", "fail"] = "fail"
    """How a run goes on that was started with another definition than its name stands for now."""
    lease_seconds: Seconds = 30.0
    """How long a silent engine keeps its runs; a killed one on this machine loses them at once."""
    poll_seconds: Seconds = 0.5
    """How often the store is asked for signals and cancellations from other processes."""
    retention: Retention | None = None
    """Which finished runs the store forgets; None keeps them all."""

    enable_tracing: bool = False
    max_spans: int = Field(default=10_000, ge=1)
    """Spans kept in memory, the latest; an exporter gets them all."""
    keep_finished: int = Field(default=1_000, ge=0)
    """Finished runs whose status and result stay readable in memory, the latest."""
    agent_limits: Mapping[str, int] = Field(default_factory=dict[str, int])
    """How many steps at the same time may ask an agent, by its name; the others wait in order."""

    wall_clock: Callable[[], float] = time.time
    """Seconds since the epoch, for what outlives the process: dates and deadlines in the store."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "store": "state_store",
        "store_url": "state_store",
    }

    @field_validator("agent_limits")
    @classmethod
    def _check_limits(cls, value: Mapping[str, int]) -> Mapping[str, int]:
        for name, limit in value.items():
            if limit < 1:
                raise ValueError(f"the limit of {name!r} is {limit}, and must be at least 1")
        return value

    @field_validator("state_store")
    @classmethod
    def _check_store(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" not in value:
            raise ValueError(
                f"{value!r} is not the URL of a store. Write 'sqlite:///{value}', "
                "'postgresql://user@host/database' or 'memory://'"
            )
        if isinstance(value, str):
            check_url(value)
        elif not hasattr(value, "claim_abandoned"):
            raise ValueError(f"{value!r} is not a store. Give its URL: 'sqlite:///state.db'")
        return value
