"""Turns: the least busy member takes the next one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


class Seats:
    """Counts the turns that each member is taking. Owned by the team's actor.

    A *holder* took a turn for a member: it is the coordinator of a piece of the team's work. When it
    ends without having given its turns back, `forget` gives them back.
    """

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}
        self._held: dict[Hashable, list[str]] = {}

    def take(self, members: Sequence[str], holder: Hashable) -> str:
        """Return the least busy of *members* (the first of several), which is one turn busier now."""
        name = min(members, key=lambda member: self._turns.get(member, 0))
        self._turns[name] = self._turns.get(name, 0) + 1
        self._held.setdefault(holder, []).append(name)
        return name

    def leave(self, name: str, holder: Hashable) -> None:
        """Give back one turn of *name*; harmless if *holder* has none."""
        held = self._held.get(holder, [])
        if name in held:
            held.remove(name)
            self._less(name)
            if not held:
                del self._held[holder]

    def forget(self, holder: Hashable) -> None:
        """Give back all that *holder* has."""
        for name in self._held.pop(holder, ()):
            self._less(name)

    def busy(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many turns each of *names* is taking."""
        return {name: self._turns.get(name, 0) for name in names}

    def _less(self, name: str) -> None:
        left = self._turns[name] - 1
        if left:
            self._turns[name] = left
        else:
            # A member that left the team long ago must not stay here.
            del self._turns[name]
