"""How many attempts may ask one agent at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..runner.work import Unit


class AgentLimits:
    """A number of places for each limited agent, given out in the order of asking.

    Owned by the engine's actor. A place belongs to an attempt from `enter` to `leave`.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self._inside: dict[str, set[Unit]] = {name: set() for name in limits}
        self._waiting: dict[str, deque[Unit]] = {name: deque() for name in limits}

    def change(self, limits: Mapping[str, int]) -> None:
        """Let other limits hold for those who ask from now on."""
        self._limits.update(limits)
        for name in limits:
            self._inside.setdefault(name, set())
            self._waiting.setdefault(name, deque())

    def enter(self, name: str, unit: Unit) -> bool:
        """Give *unit* a place at the agent *name*, or a place in its queue (False)."""
        inside = self._inside.get(name)
        if inside is None or unit in inside:
            return True
        if len(inside) < self._limits[name]:
            inside.add(unit)
            return True
        self._waiting[name].append(unit)
        return False

    def leave(self, name: str, unit: Unit) -> Unit | None:
        """Take the place, or the wish for one, back; return the attempt whose turn it is then."""
        inside = self._inside.get(name)
        if inside is None:
            return None
        waiting = self._waiting[name]
        if unit not in inside:
            if unit in waiting:
                waiting.remove(unit)
            return None
        inside.discard(unit)
        if not waiting:
            return None
        following = waiting.popleft()
        inside.add(following)
        return following

    def drop(self, coordinator: Any) -> list[Unit]:
        """Take back all places of a coordinator that has ended; return whose turn it is then."""
        following: list[Unit] = []
        for name, inside in self._inside.items():
            held = [u for u in (*self._waiting[name], *inside) if u.coordinator is coordinator]
            for unit in held:
                turn = self.leave(name, unit)
                if turn is not None and turn.coordinator is not coordinator:
                    following.append(turn)
                elif turn is not None:
                    nxt = self.leave(name, turn)
                    if nxt is not None:
                        following.append(nxt)
        return following
