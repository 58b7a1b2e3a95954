"""What one simulated run did: its outcome, what broke, which faults landed, and how to repeat it."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .plan import FaultPlan, Landed
from .schedule import Schedule
from .trace import Event, Trace
from .violations import Violation

_ROOT = Path(__file__).parents[2]
_LIBRARY = (
    *(
        f"{_ROOT / part}{os.sep}"
        for part in ("actors", "supervision", "patterns", "testing", "api")
    ),
    str(Path(asyncio.__file__).parent),
)
"""What the files of this library, and of asyncio, begin with."""


@dataclass(slots=True)
class Report:
    """One run. `failed` says whether anything broke; the rest says what, when and how."""

    seed: int | None
    plan: FaultPlan
    #: Whether the actors took turns as in production: see `simulate_once`.
    batched: bool = False
    #: What the scenario returned; None if it raised.
    value: Any = None
    #: What the scenario raised.
    error: BaseException | None = None
    violations: list[Violation] = field(default_factory=list[Violation])
    landed: list[Landed] = field(default_factory=list[Landed])
    #: Faults of the plan whose moment never came: such a run says nothing about them.
    missed: list[Any] = field(default_factory=list[Any])
    #: Every answer of the chooser, in order.
    decisions: Sequence[int] = ()
    trace: Trace | None = None
    trace_hash: str = ""
    #: Virtual seconds that the run took.
    time_s: float = 0.0
    messages: int = 0
    steps: int = 0
    boots: int = 1
    #: Operations of the stores that took part.
    store_operations: int = 0
    #: Agent -> requests to its model, and agent and tool -> calls.
    model_requests: dict[str, int] = field(default_factory=dict[str, int])
    tool_calls: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    #: Label -> messages handled; tells which faults could land.
    handled: dict[str, int] = field(default_factory=dict[str, int])
    #: The labels of the library's own actors: supervisors, coordinators, engines.
    library: frozenset[str] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether the scenario raised or an invariant was violated."""
        return self.error is not None or bool(self.violations)

    @property
    def failure(self) -> str:
        """The kind of failure in a few words, equal for equal kinds; empty if all is well."""
        if self.violations:
            return self.violations[0].rule
        if self.error is not None:
            return type(self.error).__name__
        return ""

    @property
    def choices(self) -> int:
        """How often the chooser had a choice."""
        return len(self.decisions)

    @property
    def schedule(self) -> Schedule:
        """The order of the run, as data for a replay."""
        return Schedule.of(self.decisions)

    @property
    def events(self) -> list[Event]:
        """What happened, but for what the library's own actors did among themselves: `trace` has that, too."""
        library = self.library
        return [
            event
            for event in self.trace or ()
            if event.actor not in library or (event.peer and event.peer not in library)
        ]

    def narrative(self, *, last: int = 40) -> str:
        """Return a short text: what broke, which faults hit, and the last events before it."""
        lines: list[str] = []
        if self.error is not None:
            lines.append(f"The scenario raised {type(self.error).__name__}: {self.error}")
            place = _place_of(self.error)
            if place:
                lines.append(f"  {place}")
        lines += [f"Violated: {violation}" for violation in self.violations]
        if not lines:
            lines.append("Nothing broke.")
        order = f"seed {self.seed}" if self.seed is not None else "plain order"
        lines.append(
            f"{order}, {self.messages} messages, {self.choices} choices, "
            f"{self.time_s:g} virtual seconds, trace {self.trace_hash}"
        )
        lines += [f"  {landed}" for landed in self.landed]
        lines += [f"  {fault.code()} did not land" for fault in self.missed]
        events = self.events
        if events:
            shown = events[-last:]
            lines.append(f"The last {len(shown)} of {len(events)} events:")
            lines += [f"  {event}" for event in shown]
        return "\n".join(lines)


def _place_of(error: BaseException) -> str:
    """Return where in the code under test *error* came up; empty if it never was there."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith(_LIBRARY):
            place = f"at {Path(frame.filename).name}:{frame.lineno} in {frame.name}: {frame.line}"
    return place.removesuffix(": ")
