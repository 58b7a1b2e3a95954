"""What a supervisor needs of a child that is more than an actor class: agents, teams, supervisors."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from agenticaiframework.actors import Actor, ActorRef, ActorSystem, Address

from ..vocabulary.kinds import ChildType


@runtime_checkable
class Supervisable(Protocol):
    """Something that can be started under a supervisor, and has an address.

    All is called on the loop of the system. A class may also have

    - an attribute ``child_type``: ``"supervisor"`` gives its subtree the time it needs to stop;
    - a method ``ask(payload, timeout)``, if it is asked in a way of its own;
    - a method ``ended_for_good(reason)``, called when no supervisor will start it again by itself;
    - a method ``cools_down(cause, back_at)``, called when its supervisor starts it only then.
    """

    async def start_under(
        self, parent: Actor, timeout: float | None = None
    ) -> ActorRef[Any] | None:
        """Start a fresh incarnation linked to *parent*, and return its ref once it has started.

        Binds the ref to `address`. Raises `StartFailed`; returns None to decline.
        """
        ...

    def address(self, system: ActorSystem | None = None) -> Address:
        """Return its address in *system*, the same at every call."""
        ...

    def release(self, system: ActorSystem) -> None:
        """Belong to no supervisor any more."""
        ...


def close_target(target: Any, system: ActorSystem, reason: Any) -> None:
    """Make what waits for *target* fail, if it is `Supervisable`: no incarnation comes for it."""
    # Not `isinstance`: on a protocol that costs as much as a message.
    if hasattr(target, "start_under"):
        target.address(system).close(reason)
        ended_for_good = getattr(target, "ended_for_good", None)
        if ended_for_good is not None:
            ended_for_good(reason)


def pause_target(target: Any, system: ActorSystem, cause: Any, back_at: float) -> None:
    """Make what is asked of *target* fail, if it is `Supervisable`: no incarnation comes yet."""
    if hasattr(target, "start_under"):
        target.address(system).pause(cause, back_at)
        cools_down = getattr(target, "cools_down", None)
        if cools_down is not None:
            cools_down(cause, back_at)


def reopen_target(target: Any, system: ActorSystem) -> None:
    """Keep what is asked of *target* again, if it is `Supervisable`: an incarnation is about to come."""
    if hasattr(target, "start_under"):
        target.address(system).reopen()


def child_type_of(target: Any) -> ChildType:
    """Return whether *target* is a worker or a supervisor."""
    return ChildType(getattr(target, "child_type", ChildType.WORKER))
