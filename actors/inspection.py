"""What an actor is doing, as data: for people, metrics and the observer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .links import links_of
from .phase import (
    HELD,
    IDLE,
    PARKED,
    QUEUED,
    RUNNING,
    STARTING,
    STOPPING,
    SUSPENDED,
    UNWINDING,
)
from .ref import ActorRef

_STATES = {IDLE: "idle", QUEUED: "ready", RUNNING: "running", PARKED: "waiting", HELD: "suspended"}


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One look at an actor. *state* is ``starting``, ``idle``, ``ready``, ``running``, ``waiting``
    (its handler awaits something), ``suspended``, ``cancelling``, ``stopping`` or ``dead``."""

    ref: ActorRef[Any]
    name: str | None
    state: str
    dispatcher: str
    incarnation: int
    mailbox_length: int
    handled: int
    current_message: Any
    parent: ActorRef[Any] | None
    links: tuple[Any, ...]
    monitors: tuple[Any, ...]
    monitored_by: tuple[Any, ...]
    trap_exit: bool
    timers: int
    exit_reason: Any


def inspect_actor(ref: ActorRef[Any]) -> ActorInfo:
    """Return what the actor of *ref* is doing now; a dead one has the state ``dead``."""
    actor = ref._actor
    if actor is None:
        return ActorInfo(
            ref, ref.name, "dead", ref.actor_class.dispatcher, ref.incarnation,
            0, 0, None, None, (), (), (), False, 0, ref.exit_reason,
        )  # fmt: skip
    phase = actor._phase
    state = _STATES.get(actor._state, "dead")
    for flag, word in (
        (SUSPENDED, "suspended"),
        (STARTING, "starting"),
        (UNWINDING, "cancelling"),
        (STOPPING, "stopping"),
    ):
        if phase & flag:
            state = word
    ext = actor._ext
    busy = actor._state in (RUNNING, PARKED)
    message = actor._message if busy else None
    # A worker is handed several messages at once; those that it has not begun still wait.
    handed_over = len(ext.job.items) if ext is not None and ext.job is not None else 0
    return ActorInfo(
        ref=ref,
        name=ref.name,
        state=state,
        dispatcher=actor.dispatcher,
        incarnation=ref.incarnation,
        mailbox_length=len(actor._mailbox or ()) + handed_over,
        handled=actor._handled,
        current_message=getattr(message, "message", message),
        parent=actor._parent,
        links=tuple(links_of(actor)),
        monitors=tuple(m.target for m in (ext.monitors or ())) if ext is not None else (),
        monitored_by=tuple(m.watcher for m in (actor._watchers or ())),
        trap_exit=actor._trap,
        timers=len(ext.timers or ()) if ext is not None else 0,
        exit_reason=actor._exit_reason,
    )
