"""What a workflow promises to run at once, held against what its agents can handle at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import Agent

from ...execution.promises import Demand, Load, loads_of
from ..definition.plan import ASK

if TYPE_CHECKING:
    from ..definition.plan import Plan, StepPlan


def unkept_by(
    plan: Plan,
    bound: tuple[Any, ...],
    resolve: Callable[[str], Any],
    limit_of: Callable[[Agent], int | None],
) -> list[str]:
    """Return what *plan*, bound to its targets, promises and these cannot keep, a sentence each.

    What an engine's limit for an agent keeps apart is not promised.
    """
    heaviest: dict[int, Load] = {}
    for demands in _together(plan, bound):
        for load in loads_of(demands, resolve):
            limit = limit_of(load.agent)
            if limit is not None:
                load.at_once = min(load.at_once, limit)
            before = heaviest.get(id(load.agent))
            if load.exceeds and (before is None or before.at_once < load.at_once):
                heaviest[id(load.agent)] = load
    return [load.told(f"workflow {plan.name!r}") for load in heaviest.values()]


def too_high(name: str, agent: Any, limit: int) -> str | None:
    """Return what is to be said of *limit* steps that may ask *agent* at once, if it handles fewer."""
    if not isinstance(agent, Agent) or limit <= agent.concurrency:
        return None
    return (
        f"max_concurrent={limit} steps may ask agent {name!r} at the same time, and it handles "
        f"{agent.concurrency} at a time: the others wait. Make it Agent({agent.name!r}, ..., "
        f"concurrency={limit}), or lower the limit."
    )


def _together(plan: Plan, bound: tuple[Any, ...]) -> Iterator[list[Demand]]:
    """Yield sets of demands that are there at the same time, each a lower bound of what may be.

    Steps that are equally far from the beginning never wait for each other. Steps with conditions may
    exclude each other, so each of them counts alone.
    """
    depths: list[int] = []
    levels: dict[int, list[Demand]] = {}
    for step in plan.steps:
        depth = 1 + max((depths[index] for index in step.depends), default=0)
        depths.append(depth)
        if step.kind != ASK or bound[step.index] is None:
            continue
        demand = _demand(step, bound[step.index])
        if step.condition is None:
            levels.setdefault(depth, []).append(demand)
        else:
            yield [demand]
    yield from levels.values()


def _demand(step: StepPlan, target: Any) -> Demand:
    width = step.max_concurrency
    if step.for_each is not None and width is not None:
        return Demand(target, width, f"step {step.id!r}, for_each with max_concurrency={width}")
    return Demand(target, 1, f"step {step.id!r}")
