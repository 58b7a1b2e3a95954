"""How a supervisor starts a child's process, whatever the child is."""

from __future__ import annotations

import inspect
from asyncio import timeout as time_limit
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import pykka

from agenticaiframework.actors import (
    Actor,
    ActorExit,
    ActorRef,
    NameTaken,
    StartFailed,
    elsewhere,
)

from ..vocabulary.reasons import START_TIMEOUT, BadStartReturn, StartCrashed
from .child import Child
from .owner import ChildOwner
from .results import AlreadyStarted, StartError


@dataclass(frozen=True, slots=True)
class Started:
    """What a start function may return instead of the bare ref: the ref, and something beside it.

    *info* is passed on by `start_child` and means nothing to the owner.
    """

    ref: ActorRef[Any]
    info: Any = None


StartReturn: TypeAlias = ActorRef[Any] | Started | StartError | None
StartFunction: TypeAlias = Callable[..., StartReturn | Awaitable[StartReturn]]
"""Starts a child of the `Supervisor` that it is given, and links it: mostly by
``await supervisor.start_link(SomeActor, ...)``.

It returns the ref or `Started`, None if the child declines to start, or `StartError`; it may also
raise `StartFailed`, as `start_link` does, ``ActorExit(reason)``, which fails with that reason, and
`NameTaken`, which fails with `AlreadyStarted`. Anything else that it raises or returns is a failed
start.
"""


async def start_process(owner: ChildOwner, child: Child) -> StartError | None:
    """Run the start of *child*: set `child.ref` and `child.info`, or return why it failed.

    A success with `child.ref` None means that the child declined to start.
    """
    child.info = None
    started: Any
    try:
        actor_class = child.actor_class
        if actor_class is None:
            started = await _call(owner, child)
        elif issubclass(actor_class, Actor):
            args: tuple[Any, ...] = tuple(child.args)
            if child.spec.node is not None:
                actor_class, args = elsewhere(
                    owner.actor_ref, child.spec.node, str(child.spec.id), actor_class, args
                )
            started = await owner.start_link(actor_class, *args, timeout=child.spec.start_timeout_s)
        else:
            # A plain pykka actor runs in its own way; that it ended, we learn by the link.
            plain: Any = actor_class.start(*child.args)
            owner.link(plain)
            started = plain
    except (StartFailed, ActorExit) as error:
        return StartError(error.reason)
    except NameTaken as taken:
        return StartError(AlreadyStarted(taken.ref))
    except Exception as error:
        return StartError(StartCrashed(error))
    if started is None:
        owner.child_declined(child)
        return None
    if type(started) is Started:
        child.info = started.info
        started = started.ref
    elif not _is_ref(started):
        return started if isinstance(started, StartError) else StartError(BadStartReturn(started))
    owner.process_started(child, cast("ActorRef[Any]", started))
    return None


async def _call(owner: ChildOwner, child: Child) -> Any:
    """Call the start function, within the time that the specification gives it."""
    start = child.spec.start
    limit_s = child.spec.start_timeout_s
    if hasattr(start, "start_under"):
        await _orphan_ended(owner, start.address(owner.system).ref)
        return await start.start_under(owner, limit_s)
    started: Any = start(owner, *child.args)
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
        owner.link(ref)
    return started


def _is_ref(value: object) -> bool:
    return isinstance(value, pykka.ActorRef)


async def _orphan_ended(owner: ChildOwner, ref: ActorRef[Any] | None) -> None:
    """Wait until *ref*, left over by a supervisor that was killed, has ended, as its link makes it.

    The next incarnation must not begin before: a named child is one actor at a time.
    """
    if ref is None or ref.exit_reason is not None:
        return
    system = owner.system
    parent = system.info(ref).parent
    if parent is None or parent.is_alive():
        return
    if not await system.wait_ended(ref, system.cancel_grace_s + 1.0):
        ref.kill()
