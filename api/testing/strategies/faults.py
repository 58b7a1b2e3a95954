"""Strategies for what goes wrong, and in which order everything happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from agenticaiframework.actors.simulation import (
    ACTOR_FAULTS,
    BadSimulation,
    BlockLoop,
    ClockSkew,
    Crash,
    FailStart,
    FailStore,
    FaultModel,
    FaultPlan,
    FillDisk,
    FillMailbox,
    Garbage,
    Hang,
    Kill,
    LateAnswer,
    LoseNode,
    Partition,
    PowerCut,
    Schedule,
    Slow,
    SlowStore,
    StopMachine,
    SwallowCancel,
    TornWrite,
)

DELAYS_S = (0.0, 1.0, 10.0, 60.0, 600.0)
"""Delays worth trying, the simplest first: shorter and longer than usual timeouts."""


def seeds() -> st.SearchStrategy[int]:
    """Seeds of random orders; shrinks to 0."""
    return st.integers(0, 2**32 - 1)


def schedules(*, choices: int = 200, width: int = 4, most: int = 8) -> st.SearchStrategy[Schedule]:
    """Orders that leave the plain one at up to *most* of the first *choices* choices.

    Shrinks to the plain order, which no seed does: prefer it to `seeds` for small systems.
    """
    return st.dictionaries(
        st.integers(0, choices - 1), st.integers(1, max(width - 1, 1)), max_size=most
    ).map(lambda made: Schedule(choices=made))


def faults(
    *,
    actors: Sequence[str] = ("*",),
    kinds: Sequence[type[FaultModel]] = ACTOR_FAULTS,
    messages: int = 10,
    seconds: float = 60.0,
    operations: int = 50,
    steps: int = 200,
) -> st.SearchStrategy[Any]:
    """Faults of *actors* (labels or patterns), within their first *messages* messages or *seconds*.

    *operations* bounds the operations of stores, *steps* those of the machine.
    """
    unknown = [kind.__name__ for kind in kinds if kind not in _MAKE]
    if unknown:
        raise BadSimulation(
            f"faults(kinds=...) cannot make {', '.join(unknown)}. "
            f"It makes {', '.join(kind.__name__ for kind in _MAKE)}."
        )
    bounds = _Bounds(
        st.sampled_from(list(actors)),
        st.integers(1, messages),
        st.integers(0, int(seconds)).map(float),
        st.integers(1, operations),
        st.integers(1, steps),
    )
    return st.one_of([_MAKE[kind](bounds) for kind in kinds])


def fault_plans(*, most: int = 3, **bounds: Any) -> st.SearchStrategy[FaultPlan]:
    """Plans of up to *most* faults; *bounds* are those of `faults`. Shrinks to the empty plan."""
    return st.lists(faults(**bounds), max_size=most).map(lambda made: FaultPlan(faults=tuple(made)))


class _Bounds:
    def __init__(self, actor: Any, message: Any, time_s: Any, operation: Any, step: Any) -> None:
        self.actor = actor
        self.message = message
        self.time_s = time_s
        self.operation = operation
        self.step = step


_delays = st.sampled_from(DELAYS_S)
_times = st.integers(1, 5)
Maker = Callable[[_Bounds], st.SearchStrategy[Any]]


def _at_message(kind: type[FaultModel], **more: Any) -> Maker:
    return lambda b: st.builds(kind, actor=b.actor, at_message=b.message, **more)


def _at_time(kind: type[FaultModel], **more: Any) -> Maker:
    return lambda b: st.builds(kind, actor=b.actor, at_time_s=b.time_s, **more)


def _either(one: Maker, other: Maker) -> Maker:
    return lambda b: one(b) | other(b)


def _store(kind: type[FaultModel], **more: Any) -> Maker:
    return lambda b: st.builds(kind, at_operation=b.operation, **more)


_MAKE: dict[type[FaultModel], Maker] = {
    Crash: _either(_at_message(Crash, times=_times, after=st.booleans()), _at_time(Crash)),
    Kill: _either(_at_message(Kill), _at_time(Kill)),
    Hang: _at_message(Hang),
    Slow: _at_message(Slow, delay_s=_delays),
    LateAnswer: _at_message(LateAnswer, delay_s=_delays),
    Garbage: _at_message(Garbage),
    SwallowCancel: _at_message(SwallowCancel, delay_s=_delays),
    BlockLoop: _at_message(BlockLoop, delay_s=_delays),
    FillMailbox: _at_message(FillMailbox, count=st.integers(1, 1000)),
    FailStart: lambda b: st.builds(
        FailStart, actor=b.actor, at_start=st.integers(1, 3), times=_times
    ),
    LoseNode: _at_time(LoseNode),
    Partition: lambda b: st.builds(
        Partition, between=b.actor, at_time_s=b.time_s, heal_after_s=_delays
    ),
    ClockSkew: lambda b: st.builds(ClockSkew, at_time_s=b.time_s, by_s=_delays),
    StopMachine: lambda b: st.builds(StopMachine, at_step=b.step),
    FailStore: _store(FailStore, times=_times),
    SlowStore: _store(SlowStore, delay_s=_delays),
    FillDisk: _store(FillDisk, times=_times),
    TornWrite: _store(TornWrite),
    PowerCut: _store(PowerCut),
}
