"""How a supervisor starts a child's process, whatever the child is."""

from __future__ import annotations

import inspect
from asyncio import timeout as time_limit
from typing import TYPE_CHECKING, Any, cast

import pykka

from agenticaiframework.actors import Actor, ActorRef, StartFailed

from ..policy.child_spec import START_TIMEOUT, Started
from .child import Child
from .results import BadStartReturn, StartCrashed, StartError

if TYPE_CHECKING:
    from .supervisor import Supervisor


async def start_process(supervisor: Supervisor, child: Child) -> StartError | None:
    """Run the start of *child*: set `child.ref` and `child.info`, or return why it failed.

    A success with `child.ref` None means that the child declined to start.
    """
    child.info = None
    started: Any
    try:
        actor_class = child.actor_class
        if actor_class is None:
            started = await _call(supervisor, child)
        elif issubclass(actor_class, Actor):
            started = await supervisor.start_link(
                actor_class, *child.args, timeout=child.spec.start_timeout_s
            )
        else:
            # A plain pykka actor runs in its own way; that it ended, we learn by the link.
            plain: Any = actor_class.start(*child.args)
            supervisor.link(plain)
            started = plain
    except StartFailed as error:
        return StartError(error.reason)
    except Exception as error:
        return StartError(StartCrashed(error))
    if started is None:
        supervisor.child_declined(child)
        return None
    if started.__class__ is Started:
        child.info = started.info
        started = started.ref
    elif not _is_ref(started):
        return started if isinstance(started, StartError) else StartError(BadStartReturn(started))
    supervisor.process_started(child, cast("ActorRef[Any]", started))
    return None


async def _call(supervisor: Supervisor, child: Child) -> Any:
    """Call the start function, within the time that the specification gives it."""
    start = child.spec.start
    limit_s = child.spec.start_timeout_s
    if hasattr(start, "start_under"):
        await _orphan_ended(supervisor, start.address(supervisor.system).ref)
        return await start.start_under(supervisor, limit_s)
    started: Any = start(supervisor, *child.args)
    if inspect.isawaitable(started):
        scope = time_limit(limit_s)
        try:
            async with scope:
                started = await started
        except TimeoutError:
            if scope.expired():
                return StartError(START_TIMEOUT)
            raise
    ref: Any = started.ref if isinstance(started, Started) else started
    if _is_ref(ref):
        # One that its start function has forgotten to link would die unnoticed.
        supervisor.link(ref)
    return started


def _is_ref(value: object) -> bool:
    return isinstance(value, pykka.ActorRef)


async def _orphan_ended(supervisor: Supervisor, ref: ActorRef[Any] | None) -> None:
    """Wait until the child of a supervisor that was killed has ended, as its link makes it.

    The next incarnation must not begin before: what has a name is one actor at a time.
    """
    if ref is None or ref.exit_reason is not None:
        return
    system = supervisor.system
    parent = system.info(ref).parent
    if parent is None or parent.is_alive():
        return
    if not await system.wait_ended(ref, system.cancel_grace_s + 1.0):
        ref.kill()
