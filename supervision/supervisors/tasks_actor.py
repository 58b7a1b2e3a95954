"""The actor behind a `TaskSupervisor`: a dynamic supervisor whose starts may wait for room."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agenticaiframework.actors import ActorFuture, Request, is_a

from ..machine.child import Child
from ..machine.dynamic_children import DynamicChildren
from ..machine.dynamic_supervisor import DynamicSupervisor
from ..machine.results import StartChildResult
from ..policy.child_spec import ChildSpec
from ..policy.flags import SupervisorFlags
from ..vocabulary.kinds import ChildState


@dataclass(frozen=True, slots=True)
class StartWhenRoom:
    """Start a child as `StartChild` does, but wait while there are as many as there may be."""

    spec: ChildSpec


class RoomMade:
    """To itself: a child has ended, so one of those that wait may start."""

    __slots__ = ()


class TasksActor(DynamicSupervisor):
    """One incarnation of a `TaskSupervisor`. It owns the list of the starts that wait for room."""

    _requests: ClassVar[Mapping[type, str]] = {
        **DynamicSupervisor._requests,
        StartWhenRoom: "_on_start_when_room",
        RoomMade: "_on_room_made",
    }
    children: DynamicChildren

    def __init__(self, flags: SupervisorFlags, max_children: int | None) -> None:
        super().__init__(flags, max_children=max_children)
        self._waiting: deque[tuple[Request | ActorFuture, ChildSpec]] = deque()

    async def _on_start_when_room(self, request: StartWhenRoom) -> StartChildResult | None:
        if self.children.is_full or self._waiting:
            self._waiting.append((self.defer_reply(), request.spec))
            return None
        return await self.children.start_child(request.spec)

    def child_closed(self, child: Child, state: ChildState = ChildState.STOPPED) -> None:
        super().child_closed(child, state)
        if self._waiting and self.exit_reason is None:
            self.actor_ref.tell(RoomMade())

    async def end(self, reason: Any) -> None:
        # Void now, and not dead letters; those that wait learn of the end by it.
        self.flush(lambda message: is_a(message, RoomMade))
        await super().end(reason)

    async def _on_room_made(self, _message: RoomMade) -> None:
        while self._waiting and not self.children.is_full:
            request, spec = self._waiting.popleft()
            if request.asker_waiting:
                request.reply(await self.children.start_child(spec))
