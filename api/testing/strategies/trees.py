"""Strategies for supervision trees, as data that builds `AgentSupervisor`s."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from agenticaiframework.supervision import AgentSupervisor, RestartPolicy, RestartType

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """A worker of a tree; *name* is unique in the tree."""

    name: str
    restart: str = "permanent"


@dataclass(frozen=True, slots=True)
class TreePlan:
    """A supervisor of a tree, with what is below it."""

    name: str
    strategy: str = "one_for_one"
    max_restarts: int = 5
    within_seconds: float = 60.0
    initial_delay_ms: float = 0.0
    children: tuple[TreePlan | WorkerPlan, ...] = ()
    exhausted: str | None = None

    def workers(self) -> Iterator[WorkerPlan]:
        """Yield the workers of the whole tree, in start order."""
        for child in self.children:
            if isinstance(child, WorkerPlan):
                yield child
            else:
                yield from child.workers()


def supervision_trees(
    *, depth: int = 2, width: int = 3, delays_ms: tuple[float, ...] = (0.0, 100.0)
) -> st.SearchStrategy[TreePlan]:
    """Trees of up to *depth* supervisors in a line, each with up to *width* children.

    Names are paths such as ``root-a-b``. Shrinks to one supervisor with one permanent worker.
    """
    return _tree("root", depth, width, delays_ms)


def _tree(
    name: str, depth: int, width: int, delays_ms: tuple[float, ...]
) -> st.SearchStrategy[TreePlan]:
    def child(number: int) -> st.SearchStrategy[Any]:
        below = f"{name}-{chr(ord('a') + number)}"
        worker = st.builds(
            WorkerPlan, st.just(below), st.sampled_from([kind.value for kind in RestartType])
        )
        return worker if depth <= 1 else worker | _tree(below, depth - 1, width, delays_ms)

    children = st.integers(1, width).flatmap(
        lambda count: st.tuples(*(child(number) for number in range(count)))
    )
    return st.builds(
        TreePlan,
        name=st.just(name),
        strategy=st.sampled_from(STRATEGIES),
        max_restarts=st.integers(0, 5),
        within_seconds=st.sampled_from([60.0, 1.0, 3600.0]),
        initial_delay_ms=st.sampled_from(delays_ms),
        children=children,
    )


def build_tree(plan: TreePlan, make_worker: Callable[[WorkerPlan], Any]) -> AgentSupervisor:
    """Return the supervisor that *plan* describes; *make_worker* makes the agents or actors."""
    supervisor = AgentSupervisor(
        plan.name,
        plan.strategy,
        RestartPolicy(
            max_restarts=plan.max_restarts,
            within_seconds=plan.within_seconds,
            initial_delay_ms=plan.initial_delay_ms,
        ),
        exhausted=plan.exhausted,
    )
    for child in plan.children:
        if isinstance(child, TreePlan):
            supervisor.add_supervisor(child.name, build_tree(child, make_worker))
        else:
            supervisor.add_child(child.name, make_worker(child), restart=child.restart)
    return supervisor
