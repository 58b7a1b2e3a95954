"""What an actor is doing, as data: for people, metrics and the observer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import check_ref
from ..kernel.carried import Carried
from ..kernel.links import links_of
from ..kernel.phase import (
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
from ..kernel.request import ActorFuture, Request
from ..ref import ActorRef

_STATES = {IDLE: "idle", QUEUED: "ready", RUNNING: "running", PARKED: "waiting", HELD: "suspended"}


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One look at an actor. *state* is ``starting``, ``idle``, ``ready``, ``running``, ``waiting``
    (its handler awaits something), ``suspended``, ``cancelling``, ``stopping`` or ``dead``.

    *busy_s* is the time in the current message or hook, to about a millisecond; None if there is none.
    """

    ref: ActorRef[Any]
    name: str | None
    state: str
    dispatcher: str
    incarnation: int
    mailbox_length: int
    handled: int
    current_message: Any
    busy_s: float | None
    parent: ActorRef[Any] | None
    links: tuple[Any, ...]
    monitors: tuple[Any, ...]
    monitored_by: tuple[Any, ...]
    trap_exit: bool
    timers: int
    exit_reason: Any


def unwrap(message: Any) -> Any:
    """Return the user's message, without what it travels in."""
    if isinstance(message, Request | ActorFuture):
        message = message.message
    return message.message if isinstance(message, Carried) else message


def inspect_actor(ref: ActorRef[Any]) -> ActorInfo:
    """Return what the actor of *ref* is doing now; a dead one has the state ``dead``."""
    check_ref("system.info", ref)
    actor = ref._actor
    if actor is None:
        return ActorInfo(
            ref, ref.name, "dead", ref.actor_class.dispatcher, ref.incarnation,
            0, 0, None, None, None, (), (), (), False, 0, ref.exit_reason,
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
    busy = actor._state in (RUNNING, PARKED) or actor._coro is not None
    message = actor._message if busy else None
    # A worker is handed several messages at once; those that it has not begun still wait.
    job = None if ext is None else ext.job
    handed_over = 0 if job is None else len(job.items)
    return ActorInfo(
        ref=ref,
        name=ref.name,
        state=state,
        dispatcher=actor.dispatcher,
        incarnation=ref.incarnation,
        mailbox_length=len(actor._mailbox or ()) + handed_over,
        handled=actor._handled,
        current_message=unwrap(message),
        busy_s=max(0.0, actor._sched.loop.time() - getattr(ref, "_since", 0.0)) if busy else None,
        parent=actor._parent,
        links=tuple(links_of(actor)),
        # Copied in one step each, before they are gone through: this may be another thread's look.
        monitors=tuple(m.target for m in tuple(ext.monitors or ())) if ext is not None else (),
        monitored_by=tuple(m.watcher for m in tuple(actor._watchers or ())),
        trap_exit=actor._trap,
        timers=len(ext.timers or ()) if ext is not None else 0,
        exit_reason=actor._exit_reason,
    )
