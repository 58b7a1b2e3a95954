"""Steps with ``for_each``: items at the same time, in the list's order, each with its own attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ..definition.shapes import kind_of

if TYPE_CHECKING:
    from ..definition.plan import StepPlan
    from ..state.run import Run
    from ..state.step_run import Item

MAX_ITEMS: Final = 1_000_000
"""Items of one ``for_each``."""


class ItemStart(NamedTuple):
    """An item whose attempt is to begin."""

    place: int
    """Its index in the list."""
    payload: Any
    number: int
    via: str


class Fan:
    """A step with ``for_each`` under way: which of its items may start. Part of the run's machine."""

    __slots__ = ("_items", "_run", "_under_way", "_waiting", "plan")

    def __init__(self, run: Run, plan: StepPlan) -> None:
        """Raises what is wrong with the list."""
        assert plan.for_each is not None, "only such steps have items"
        found: Any = plan.for_each.build(run.scope)
        if not isinstance(found, (list, tuple)):
            raise TypeError(
                f"for_each of step {plan.id!r} needs a list, and "
                f"{plan.definition.for_each} is {kind_of(found)}"
            )
        items = list(cast("list[Any]", found))
        if len(items) > MAX_ITEMS:
            raise ValueError(
                f"for_each of step {plan.id!r} has {len(items):,} items, over {MAX_ITEMS:,}"
            )
        self.plan = plan
        self._run = run
        self._items = items
        self._under_way: set[int] = set()
        """Items that have begun and not ended, those between two attempts included, by index."""
        self._waiting: deque[int] = deque()
        """Items that have not begun, by index."""
        states = self._states()
        for index in range(len(self._items)):
            state = states.get(index)
            if state is None or (not state.done and state.due_at is None):
                self._waiting.append(index)
            elif not state.done:
                self._under_way.add(index)

    def _states(self) -> Mapping[int, Item]:
        return self._run.step(self.plan.index).items or {}

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self._items)

    @property
    def done(self) -> bool:
        """Whether all items have ended."""
        return not self._waiting and not self._under_way

    def next(self) -> ItemStart | None:
        """Return an item that may start now; None while as many are under way as may be.

        Raises what is wrong with its input.
        """
        limit = self.plan.max_concurrency
        if not self._waiting or (limit is not None and len(self._under_way) >= limit):
            return None
        index = self._waiting.popleft()
        self._under_way.add(index)
        state = self._states().get(index)
        if state is None:
            return self._start(index, 1, "agent")
        # One that was under way when the last coordinator ended is the same attempt again.
        number = state.attempts if state.running else state.attempts + 1
        return self._start(index, number, state.via)

    def due(self, now: float) -> list[ItemStart]:
        """Return the items whose time for another attempt has come."""
        return [
            self._start(index, state.attempts + 1, state.via)
            for index, state in self._states().items()
            if state.due_at is not None and state.due_at <= now
        ]

    def ended(self, index: int) -> None:
        """Take note that an item has ended."""
        self._under_way.discard(index)

    def _start(self, index: int, number: int, via: str) -> ItemStart:
        build, item = self.plan.build, self._items[index]
        if build is None:
            return ItemStart(index, item, number, via)
        payload = build({**self._run.scope, "item": item, "index": index})
        return ItemStart(index, payload, number, via)
