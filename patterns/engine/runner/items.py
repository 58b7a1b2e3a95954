"""Steps with ``for_each``: items at the same time, in the list's order, each with its own attempts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from ..definition.shapes import kind_of
from ..state.events import EventKind
from ..state.status import StepState
from ..state.step_run import RUNNING, StepRun

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from .coordinator import Coordinator
    from .work import Unit

MAX_ITEMS: Final = 1_000_000
"""Items of one ``for_each``."""


class Fan:
    """A step with ``for_each`` under way."""

    __slots__ = ("done", "items", "limit", "plan", "running", "waiting")

    def __init__(self, plan: StepPlan, items: list[Any]) -> None:
        self.plan = plan
        self.items = items
        self.limit = plan.max_concurrency or len(items)
        self.done = 0
        self.running = 0
        self.waiting: deque[int] = deque()
        """Items that have not been started, by index."""


def expand(c: Coordinator, plan: StepPlan) -> None:
    """Start as many items of a step as may run at the same time."""
    run = c.run
    assert plan.for_each is not None, "called for steps that have it"
    items: Any = plan.for_each.build(run.scope)
    if not isinstance(items, (list, tuple)):
        raise TypeError(
            f"for_each of step {plan.id!r} needs a list, and "
            f"{plan.definition.for_each} is {kind_of(items)}"
        )
    found = run.step(plan.index)
    if found.items is None:
        found.items = {}
    fan = Fan(plan, list(cast("list[Any]", items)))
    if len(fan.items) > MAX_ITEMS:
        raise ValueError(
            f"for_each of step {plan.id!r} has {len(fan.items):,} items, over {MAX_ITEMS:,}"
        )
    if c._fans is None:
        c._fans = {}
    c._fans[plan.index] = fan
    found.state = RUNNING
    for index in range(len(fan.items)):
        state = found.items.get(index)
        if state is None or (not state.done and state.due_at is None):
            fan.waiting.append(index)
        elif state.done:
            fan.done += 1
        else:
            fan.running += 1
    if fan.done == len(fan.items):
        fan_done(c, fan, found)
    else:
        more_items(c, fan)


def more_items(c: Coordinator, fan: Fan) -> None:
    plan = fan.plan
    states = c.run.step(plan.index).items or {}
    while fan.waiting and fan.running < fan.limit and not c._closing:
        index = fan.waiting.popleft()
        fan.running += 1
        state = states.get(index)
        attempt = 1
        via = "agent"
        if state is not None:
            # One that was under way when the last coordinator ended is the same attempt again.
            attempt = state.attempts if state.running else state.attempts + 1
            via = state.via
        launch_item(c, plan, index, fan.items[index], attempt, via)


def launch_item(
    c: Coordinator, plan: StepPlan, index: int, item: Any, attempt: int, via: str
) -> None:
    if plan.build is None:
        payload = item
    else:
        payload = plan.build({**c.run.scope, "item": item, "index": index})
    c._launch(plan, c.run.step(plan.index), attempt, payload, index, via)


def item_done(c: Coordinator, unit: Unit, data: dict[str, Any]) -> None:
    """Note the outcome of one item, and end the step after the last one."""
    plan = unit.plan
    data["item"] = unit.item
    c._happened(EventKind.ITEM_COMPLETED, plan.id, unit.attempt, data)
    found = c.run.step(plan.index)
    fan = None if c._fans is None else c._fans.get(plan.index)
    if fan is None or found.state is StepState.FAILED:
        return
    fan.done += 1
    fan.running -= 1
    if fan.done == len(fan.items):
        fan_done(c, fan, found)
    elif fan.waiting:
        c._guarded(plan, more_items, c, fan)


def fan_done(c: Coordinator, fan: Fan, found: StepRun) -> None:
    if c._fans is not None:
        c._fans.pop(fan.plan.index, None)
    c._ended(EventKind.STEP_COMPLETED, fan.plan, found.attempts, {"items": fan.done})


def tick_items(c: Coordinator, plan: StepPlan, found: StepRun, now: float) -> None:
    states = found.items or {}
    due = [i for i, item in states.items() if item.due_at is not None and item.due_at <= now]
    fan = None if c._fans is None else c._fans.get(plan.index)
    if fan is None:
        return
    for index in due:
        state = states[index]
        state.due_at = None
        attempt = state.attempts + 1
        c._guarded(plan, launch_item, c, plan, index, fan.items[index], attempt, state.via)
