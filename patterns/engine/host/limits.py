"""How many attempts may ask one agent at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..runner.attempt import StepAttempt


class AgentLimits:
    """A number of places for each limited agent, given out in the order of asking.

    Owned by the engine's actor. A place belongs to an attempt from `enter` to `leave`.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._inside: dict[str, set[StepAttempt]] = {name: set() for name in limits}
        self._waiting: dict[str, deque[StepAttempt]] = {name: deque() for name in limits}

    def change(self, limits: Mapping[str, int]) -> None:
        """Let other limits hold for attempts that ask from now on."""
        self._limits.update(limits)
        for name in limits:
            self._inside.setdefault(name, set())
            self._waiting.setdefault(name, deque())

    def enter(self, name: str, attempt: StepAttempt) -> bool:
        """Give *attempt* a place at the agent *name*, or a place in its queue (False)."""
        inside = self._inside.get(name)
        if inside is None or attempt in inside:
            return True
        if len(inside) < self._limits[name]:
            inside.add(attempt)
            return True
        self._waiting[name].append(attempt)
        attempt.places = lambda: tuple(inside)
        return False

    def leave(self, name: str, attempt: StepAttempt) -> StepAttempt | None:
        """Take the place, or the wish for one, back; return the attempt whose turn it is then."""
        inside = self._inside.get(name)
        if inside is None:
            return None
        waiting = self._waiting[name]
        if attempt not in inside:
            if attempt in waiting:
                waiting.remove(attempt)
            return None
        inside.discard(attempt)
        if not waiting:
            return None
        following = waiting.popleft()
        following.places = None
        inside.add(following)
        return following

    def drop(self, coordinator: Any) -> list[StepAttempt]:
        """Take back all places of a coordinator that has ended; return whose turn it is then."""
        following: list[StepAttempt] = []
        for name, inside in self._inside.items():
            held = [u for u in (*self._waiting[name], *inside) if u.coordinator is coordinator]
            for attempt in held:
                turn = self.leave(name, attempt)
                if turn is not None and turn.coordinator is not coordinator:
                    following.append(turn)
                elif turn is not None:
                    nxt = self.leave(name, turn)
                    if nxt is not None:
                        following.append(nxt)
        return following
