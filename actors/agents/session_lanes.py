"""Messages of a pool that wait because their session is in hand: one turn at a time, and no place taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from ..kernel.delivery import is_ask
from .agent_context import SESSION
from .agent_request import Work


class SessionLanes:
    """The messages of sessions that have one in hand, in order. Owned by the pool."""

    __slots__ = ("_lanes", "kept")

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Any] | None] = {}
        """By session in hand: what waits behind that."""
        self.kept = 0
        """How many wait. Each has left the mailbox, whose bound counts them as well."""

    def enter(self, session: str, item: Any) -> bool:
        """Tell whether *item* may be handled now; else it waits here."""
        if session not in self._lanes:
            self._lanes[session] = None
            return True
        lane = self._lanes[session]
        if lane is None:
            lane = self._lanes[session] = deque()
        lane.append(item)
        self.kept += 1
        return False

    def withdraw(self, session: str) -> Any:
        """Return what came last in *session*, which waits no more."""
        lane = self._lanes[session]
        assert lane, "it has entered it"
        self.kept -= 1
        return lane.pop()

    def leave(self, session: str) -> Any:
        """What was in hand is over: return the next, which is in hand now; None where there is none."""
        lane = self._lanes[session]
        while lane:
            item = lane.popleft()
            self.kept -= 1
            if not is_ask(item) or item.asker_waiting:
                return item
        del self._lanes[session]
        return None

    def waits(self, request: Any) -> str | None:
        """Return the session that *request* waits for; None if it does not wait here."""
        for session, lane in self._lanes.items():
            if lane is not None and any(item is request for item in lane):
                return session
        return None

    def take_all(self) -> list[Any]:
        """Return all that wait, and keep none."""
        waiting = [item for lane in self._lanes.values() for item in lane or ()]
        self._lanes.clear()
        self.kept = 0
        return waiting


def session_of(item: Any) -> str | None:
    """Return the session that *item*, a message or a request with one, belongs to."""
    work: Any = item.message if is_ask(item) else item
    if type(work) is not Work:
        return None
    context: Mapping[str, Any] | None = work.context
    session = None if context is None else context.get(SESSION)
    return session if type(session) is str and session else None


__all__ = ["SessionLanes", "session_of"]
