"""The restart window: how many restarts within how many seconds are too many.

The arithmetic is a pure function of times. `RestartWindow` keeps the times that it needs, never more
than the limit, and counts a storm (many deaths with one cause) as one event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from agenticaiframework.actors import attribute_of


def recent(restarts: Iterable[float], now: float, period_s: float) -> list[float]:
    """Return the restarts that still count at *now*: those made at most *period_s* ago.

    One made exactly *period_s* ago counts (source: OTP's supervisor).

    >>> recent([0.0, 4.0, 10.0], now=10.0, period_s=10.0)
    [0.0, 4.0, 10.0]
    >>> recent([0.0, 4.0, 10.0], now=10.5, period_s=10.0)
    [4.0, 10.0]
    """
    return [made for made in restarts if now - made <= period_s]


def allows(restarts: Iterable[float], now: float, intensity: int, period_s: float) -> bool:
    """Tell whether one more restart at *now* stays within *intensity* restarts in *period_s*.

    >>> allows([0.0, 4.0], now=8.0, intensity=3, period_s=10.0)
    True
    >>> allows([0.0, 4.0, 8.0], now=10.0, intensity=3, period_s=10.0)
    False
    """
    return len(recent(restarts, now, period_s)) < intensity


def cause_token(reason: Any) -> Hashable | None:
    """Return the token that says which common cause *reason* has, or None.

    An exit reason carries one as an attribute `cause_token`; of a chain of exceptions the outermost
    that has one counts. A pair ``("shutdown", x)`` is asked for its x.
    """
    kind = cast(Any, type(reason))
    if kind is str:
        return None
    if kind is tuple and reason:
        reason = reason[-1]
    # Chains are short; the bound is against one that bites its own tail.
    for _ in range(16):
        token: Hashable | None = attribute_of(reason, "cause_token")
        if token is not None:
            return token
        reason = attribute_of(reason, "__cause__")
        if reason is None:
            break
    return None


@dataclass(slots=True)
class _Storm:
    """One event in the window that several children's deaths share."""

    at: float
    children: set[Hashable] = field(default_factory=set[Hashable])


class RestartWindow:
    """The restarts of one supervisor, or of one child with a budget of its own.

    Owned by its supervisor. With intensity N, N restarts within the period are allowed.
    """

    __slots__ = ("_restarts", "_storms", "intensity", "period_s", "total")

    def __init__(self, intensity: int, period_s: float) -> None:
        self.intensity = intensity
        self.period_s = period_s
        self.total = 0
        """Events counted since the start, expired ones included."""
        self._restarts: deque[tuple[float, Hashable]] = deque()
        """When, and of which child; oldest first."""
        self._storms: dict[Hashable, _Storm] | None = None

    def admit(self, now: float, child: Hashable = None, token: Hashable | None = None) -> bool:
        """Count a restart at *now* and return True; or return False, counting nothing.

        With a *token*, the deaths of different children from that one cause are one event: the
        first is counted, and each other child's first death within the period goes with it. A
        child that dies a second time of the same cause opens a new event, so a cause that does
        not go away still uses up the budget.
        """
        if not self.admits(now, child, token):
            return False
        storm = None if token is None else self._storm_of(now, child, token)
        if storm is not None:
            storm.children.add(child)
            return True
        counted = self._current(now)
        counted.append((now, child))
        self.total += 1
        if token is not None:
            self._open_storm(now, child, token)
        return True

    def _open_storm(self, now: float, child: Hashable, token: Hashable) -> None:
        if self._storms is None:
            self._storms = {}
        storms = self._storms
        storms.pop(token, None)
        # The oldest stand first, so the expired ones are found without a walk over all.
        while storms and now - next(iter(storms.values())).at > self.period_s:
            del storms[next(iter(storms))]
        storms[token] = _Storm(now, {child})

    def admits(self, now: float, child: Hashable = None, token: Hashable | None = None) -> bool:
        """Return what `admit` would, and count nothing."""
        if token is not None and self._storm_of(now, child, token) is not None:
            return True
        return len(self._current(now)) < self.intensity

    def adds(self, now: float, child: Hashable = None, token: Hashable | None = None) -> int:
        """Return by how much `admit` would raise the count: 0 for a death that goes with a counted event."""
        return int(token is None or self._storm_of(now, child, token) is None)

    def _storm_of(self, now: float, child: Hashable, token: Hashable) -> _Storm | None:
        """Return the event that the death of *child* is a part of, if it is of one that was counted."""
        storm = self._storms.get(token) if self._storms is not None else None
        if storm is None or now - storm.at > self.period_s or child in storm.children:
            return None
        return storm

    def forget(self, children: Container[Hashable]) -> None:
        """Count no restart of *children* any more: they begin anew."""
        self._restarts = deque(entry for entry in self._restarts if entry[1] not in children)

    def count(self, now: float) -> int:
        """Return how many restarts count at *now*."""
        return len(self._current(now))

    def look(self, now: float) -> int:
        """Return what `count` returns, from any thread: changes nothing, and goes through them all."""
        return len(recent([made for made, _ in tuple(self._restarts)], now, self.period_s))

    def _current(self, now: float) -> deque[tuple[float, Hashable]]:
        """Return the restarts that still count, as `recent` does, without going through them all."""
        restarts = self._restarts
        while restarts and now - restarts[0][0] > self.period_s:
            restarts.popleft()
        return restarts
