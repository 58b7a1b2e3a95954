"""The caller of a task: the actor whose handler asks for it, or the asyncio task where no actor does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agenticaiframework.actors import ActorRef, ActorSystem, running_here


@dataclass(frozen=True, slots=True)
class Caller:
    """What asks for a task: *task* inside the handler of *actor*, or outside of actors.

    Inside a handler, *task* is the handling of one message.
    """

    actor: ActorRef[Any] | None
    task: asyncio.Task[Any] | None

    @property
    def label(self) -> str:
        """The caller, for people."""
        if self.actor is not None:
            return str(self.actor.label)
        return "the caller" if self.task is None else self.task.get_name()

    @property
    def has_failed(self) -> bool:
        """Whether it has ended, and not because it was through."""
        dead = self.actor is not None and not self.actor.is_alive()
        return dead or (self.task is not None and _came_to_nothing(self.task))

    def when_gone(self, system: ActorSystem, fn: Callable[[], object]) -> Callable[[], object]:
        """Call *fn* on this loop once the caller has ended; return what takes that back.

        An actor that goes on has ended for us if its asker has withdrawn the message. The actor of
        another system, and the asyncio task of another loop than this, are not watched.
        """
        undo: list[Callable[[], object]] = []
        actor, task = self.actor, self.task
        if actor is not None and actor.system is system:
            undo.append(asyncio.ensure_future(_watch(actor, system, fn)).cancel)
        if task is not None and task.get_loop() is asyncio.get_running_loop():

            def ended(done: asyncio.Task[Any]) -> None:
                if actor is None or _came_to_nothing(done):
                    fn()

            task.add_done_callback(ended)
            undo.append(lambda: task.remove_done_callback(ended))
        return lambda: [step() for step in undo]


def caller_here() -> Caller:
    """Return the caller at this place."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None  # no loop runs here
    return Caller(running_here(), task)


async def _watch(actor: ActorRef[Any], system: ActorSystem, fn: Callable[[], object]) -> None:
    await system.wait_ended(actor)
    fn()


def _came_to_nothing(task: asyncio.Task[Any]) -> bool:
    if not task.done():
        return False
    # Not all of this is there in what stands for a task inside of handlers.
    if task.cancelled() or getattr(task, "work_cancelled", False):
        return True
    exception: Any = getattr(task, "exception", None)
    return exception is not None and exception() is not None
