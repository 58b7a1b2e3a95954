"""The options of an engine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, cast

from pydantic import Field, field_validator

from ...definition.definition import Definition
from ...definition.fields import LimitsField, Seconds
from ..store import Durability, Retention
from ..store.url_parts import without_password
from ..store.urls import check_url, resolve_url
from .queues import Queue

DEFAULT_STORE: Final = "sqlite:///.workflows/workflows.sqlite"
"""Beside the program that runs, in a folder of its own, which is made when first needed."""

STORE_VARIABLE: Final = "AGENTICAI_STORE"
"""The variable of the environment that names the store of engines which are given none."""


def default_store() -> str:
    """Return the URL of the store of an engine that is given none."""
    return os.environ.get(STORE_VARIABLE, "").strip() or DEFAULT_STORE


class EngineConfig(Definition):
    """The options of an `OrchestrationEngine`; all have a default.

    ::

        EngineConfig(max_concurrent_workflows=100, default_timeout_seconds=300, enable_tracing=True)
    """

    max_concurrent_workflows: int = Field(default=100, ge=1)
    """Workflows that run at the same time. Those that wait for a signal or a time do not count."""
    max_queued_workflows: int = Field(default=10_000, ge=0)
    """Workflows that wait for their turn, before more are refused."""
    queue_reserve: int | None = Field(default=None, ge=0)
    """Places beyond those, for workflows of which few wait: one may have an eighth of them, at least
    one, so that a flood of another takes no place of its own away. None: half of `max_queued_workflows`."""
    max_nested_workflows: int = Field(default=64, ge=1)
    """How deep workflows may stand in one another: one that contains itself would have no end."""
    agents: Literal["any", "registered"] | None = None
    """Which agents a name in a workflow may mean beside what is registered here: ``any`` that lives in
    the system, or none (``registered``). None decides by where the workflow was made: one that was
    loaded from a text (`load_workflow`, a project file) names only what is registered, also when it
    comes back out of a store; one that the program made, any."""
    default_timeout_seconds: Seconds | None = 300.0
    """The time limit of an attempt of a step without its own. A model that never answers must not
    hold a workflow for ever; None says that it may."""

    usage_limits: LimitsField = None
    """What a run may spend on models that has no limits of its own: pydantic-ai's `UsageLimits`, or a
    mapping."""

    persist_state: bool = False
    """Whether workflows are stored where `persist_state` is not given to the call."""
    state_store: Any = Field(default_factory=default_store, validate_default=True)
    """Where runs are stored: ``sqlite:///path``, ``postgresql://...``, ``memory://``, a store, or
    ``$DATABASE_URL`` for the URL in a variable of the environment. The default is what
    ``AGENTICAI_STORE`` holds there, or else a file of SQLite's beside the program."""
    durability: Durability = Durability.FULL
    """When a write counts as done: ``full`` (it survives a power cut), ``normal`` (it survives the
    process), ``none`` (it is on its way)."""
    recover_on_start: bool = False
    """Whether the engine picks up what a dead process left at its start: as it is entered by
    ``async with``, or first used."""
    recover_every_seconds: Seconds | None = None
    """How often runs of engines that have died are looked for, from the start of the engine on; None:
    only when told to."""
    changed_definition: Literal["old", "new", "fail"] = "fail"
    """How a run goes on that was started with another definition than its name stands for now."""
    max_recoveries: int | None = Field(default=3, ge=0)
    """How often a run that was at work is taken over in a row, from engines that died, without getting
    on meanwhile, before it is failed: it may be what ends them. None: without a limit."""
    lease_seconds: Seconds = 30.0
    """How long a silent engine keeps its runs; a killed one on this machine loses them at once."""
    poll_seconds: Seconds = 0.5
    """How often the store is asked for signals and cancellations from other processes."""
    queues: tuple[Queue, ...] = ()
    """The queues that the engine serves: from its start on it takes runs of them when it has room, and
    takes over those of engines that have died. A name alone stands for a queue without limits."""
    retention: Retention | None = None
    """Which finished runs the store forgets, from the start of the engine on, a few at a time; parts go
    with the run that they are a part of. None keeps them all."""

    run_schedules: bool | None = None
    """Whether the engine starts what is due by the schedules in its store, from its start on. None: if it
    recovers runs by itself, or once `schedule` was called on it."""

    enable_tracing: bool = False
    """Whether runs, and attempts at their steps, are spans."""
    trace_content: bool = False
    """Whether the spans of model agents hold what is said in their conversations, where runs are traced."""
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

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return what stands in the repr: a URL without its password."""
        for name, value in super().__repr_args__():
            hidden = name == "state_store" and isinstance(value, str)
            yield name, without_password(value) if hidden else value

    @property
    def reserved(self) -> int:
        """The places that are kept for workflows of which few wait."""
        if self.queue_reserve is None:
            return (self.max_queued_workflows + 1) // 2
        return self.queue_reserve

    @property
    def stores_runs(self) -> bool:
        """Whether the engine was given a store, or stores its runs by itself."""
        return self.persist_state or self.state_store != DEFAULT_STORE

    @property
    def keeps_house(self) -> bool:
        """Whether the engine has something to do in its store that no run of its own asks for."""
        return (
            self.recovers
            or self.retention is not None
            or self.run_schedules is True
            or bool(self.queues)
        )

    @property
    def recovers(self) -> bool:
        """Whether the engine looks by itself for what dead processes have left."""
        return self.recover_on_start or self.recover_every_seconds is not None

    @field_validator("agent_limits")
    @classmethod
    def _check_limits(cls, value: Mapping[str, int]) -> Mapping[str, int]:
        for name, limit in value.items():
            if limit < 1:
                raise ValueError(f"the limit of {name!r} is {limit}, and must be at least 1")
        return value

    @field_validator("queues", mode="before")
    @classmethod
    def _read_queues(cls, value: Any) -> Any:
        if isinstance(value, (str, Queue)):
            value = (value,)
        if not isinstance(value, (list, tuple)):
            return value
        given = cast("Sequence[Any]", value)
        return tuple(Queue(each) if isinstance(each, str) else each for each in given)

    @field_validator("queues")
    @classmethod
    def _check_queues(cls, value: tuple[Queue, ...]) -> tuple[Queue, ...]:
        names = [queue.name for queue in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the queue {name!r} is given twice")
        return value

    @field_validator("state_store")
    @classmethod
    def _check_store(cls, value: Any) -> Any:
        if isinstance(value, str):
            given, value = value, resolve_url(value)
            if "://" not in value:
                if value != given:  # what stands in a variable may be a key
                    raise ValueError(
                        f"the variable that {given!r} names does not hold the URL of a store. "
                        "One begins with sqlite://, postgresql:// or memory://"
                    )
                value = without_password(value)
                raise ValueError(
                    f"{value!r} is not the URL of a store. Write 'sqlite:///{value}', "
                    "'postgresql://user@host/database' or 'memory://'"
                )
            check_url(value)
        elif not hasattr(value, "claim_abandoned"):
            raise ValueError(f"{value!r} is not a store. Give its URL: 'sqlite:///state.db'")
        return value
