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

MOST_AT_ONCE: Final = 1_000
"""Items under way at once of a ``for_each`` that does not say: enough to keep any agent busy, and few beside
what a mailbox holds, which other runs share."""


def session_name(plan: StepPlan, scope: Mapping[str, Any]) -> str | None:
    """Return the session that *plan* names; None where it names none. Raises what is wrong with it."""
    named = None if plan.session is None else plan.session(scope)
    if named is None:
        return None
    if named.__class__ is int:
        return str(named)  # most users have a number
    if not isinstance(named, str) or not named.strip():
        raise ValueError(
            f"the session of step {plan.id!r} is the name of a conversation, a text, and "
            f"{plan.definition.session} is {kind_of(named)}"
        )
    return named


class ItemStart(NamedTuple):
    """An item whose attempt is to begin."""

    place: int
    """Its index in the list."""
    payload: Any
    number: int
    via: str
    session: str | None = None
    """The conversation that it belongs to, if its step names one."""


class Fan:
    """A step with ``for_each`` under way: which of its items may start. Part of the run's machine."""

    __slots__ = (
        "_again",
        "_asks",
        "_items",
        "_left",
        "_limit",
        "_next",
        "_passed",
        "_run",
        "_under_way",
        "plan",
    )

    def __init__(self, run: Run, plan: StepPlan) -> None:
        """Raises what is wrong with the list."""
        assert plan.for_each is not None, "only such steps have items"
        found: Any = plan.for_each.build(run.scope)
        if not isinstance(found, (list, tuple)):
            raise TypeError(
                f"for_each of step {plan.id!r} needs a list, and "
                f"{plan.definition.for_each} is {kind_of(found)}"
            )
        items = cast("list[Any] | tuple[Any, ...]", found)
        if len(items) > MAX_ITEMS:
            raise ValueError(
                f"for_each of step {plan.id!r} has {len(items):,} items, over {MAX_ITEMS:,}"
            )
        self.plan = plan
        self._run = run
        # Nothing here goes through the whole list: it may have a million items.
        self._items = items[:]
        self._next = 0
        """Items from here on have not been looked at."""
        self._passed: set[int] = set()
        """Items from there on that are not to begin: they have begun, or ended."""
        self._under_way: set[int] = set()
        """Items that have begun and not ended, those between two attempts included, by index."""
        self._asks: set[int] = set()
        """Items that wait for answers, and have given their places away, by index."""
        self._again: deque[int] = deque()
        """Those of them that have been answered, and start before others begin."""
        for index, state in self._states().items():
            if index >= len(items):
                continue
            # A part that was running has a time limit that is due, not a pause.
            if state.done:
                self._passed.add(index)
            elif state.asks:
                self._passed.add(index)
                self._asks.add(index)
            elif state.due_at is not None and not state.running:
                self._passed.add(index)
                self._under_way.add(index)
        self._left = len(items) - len(self._passed)
        """How many items have not begun."""
        # Workflows may all wait at once, for a signal each, and cost no mailbox anything.
        most = len(items) if plan.definition.workflow is not None else MOST_AT_ONCE
        self._limit = plan.max_concurrency or most

    def _states(self) -> Mapping[int, Item]:
        return self._run.step(self.plan.index).items or {}

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self._items)

    @property
    def done(self) -> bool:
        """Whether all items have ended."""
        return not (self._left or self._under_way or self._asks or self._again)

    @property
    def asks(self) -> bool:
        """Whether items wait for answers."""
        return bool(self._asks)

    def next(self) -> ItemStart | None:
        """Return an item that may start now; None while as many are under way as may be.

        Raises what is wrong with its input.
        """
        if len(self._under_way) >= self._limit:
            return None
        if self._again:
            index = self._again.popleft()
            self._under_way.add(index)
            answered = self._states()[index]
            return self._start(index, answered.attempts, answered.via)
        if not self._left:
            return None
        while self._next in self._passed:
            self._passed.discard(self._next)
            self._next += 1
        index = self._next
        self._next += 1
        self._begin(index)
        state = self._states().get(index)
        if state is None:
            return self._start(index, 1, "agent")
        # One that was under way when the last coordinator ended is the same attempt again.
        number = state.attempts if state.running else state.attempts + 1
        return self._start(index, number, state.via)

    def _begin(self, index: int) -> None:
        self._under_way.add(index)
        self._left -= 1

    def begun(self) -> list[ItemStart]:
        """Return the items that were under way before: they are the same attempts again."""
        states = self._states()
        again = sorted(
            index
            for index, state in states.items()
            if state.running and index < len(self._items) and not self._has_begun(index)
        )
        for index in again:
            self._passed.add(index)
            self._begin(index)
        return [self._start(i, states[i].attempts, states[i].via) for i in again]

    def _has_begun(self, index: int) -> bool:
        return index < self._next or index in self._passed

    def due(self, now: float) -> list[ItemStart]:
        """Return the items whose time for another attempt has come."""
        return [
            self._start(index, state.attempts + 1, state.via)
            for index, state in self._states().items()
            if state.due_at is not None and not state.running and state.due_at <= now
        ]

    def park(self, index: int) -> None:
        """Take note that an item waits for answers, and needs no place meanwhile."""
        self._under_way.discard(index)
        self._asks.add(index)

    def again(self, index: int) -> None:
        """Let an item start again, as the same attempt."""
        self._asks.discard(index)
        self._under_way.discard(index)
        self._again.append(index)

    def ended(self, index: int) -> None:
        """Take note that an item has ended."""
        self._under_way.discard(index)

    def _start(self, index: int, number: int, via: str) -> ItemStart:
        plan, item = self.plan, self._items[index]
        if plan.build is None and plan.session is None:
            return ItemStart(index, item, number, via)
        scope = {**self._run.scope, "item": item, "index": index}
        payload = item if plan.build is None else plan.build(scope)
        return ItemStart(index, payload, number, via, session_name(plan, scope))
