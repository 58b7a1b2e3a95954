"""How a supervisor stops children: one after the other, or many at the same time.

A child is told to end by the exit signal ``shutdown`` (or killed at once), and killed when its time
is over. While the supervisor waits for the end, other messages stay in its mailbox, in order.
"""

from __future__ import annotations

import math
from asyncio import TimerHandle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agenticaiframework.actors import (
    KILL,
    KILLED,
    NOPROC,
    SHUTDOWN,
    ActorRef,
    Exit,
    is_normal,
    is_word,
    send_exit,
)

from ..policy.child_spec import BRUTAL_KILL, ChildSpec, Shutdown
from ..vocabulary.kinds import RestartType
from .child import Child
from .owner import ChildOwner
from .reports import ReportKind


def is_expected(reason: Any, spec: ChildSpec) -> bool:
    """Tell whether a child that its supervisor stopped ended as it should.

    ``shutdown`` (``killed`` where the child is killed at once) is always right. An orderly end of
    its own is right for a child that would not have been restarted after it.
    """
    if is_word(reason, KILLED if spec.shutdown_ms == BRUTAL_KILL else SHUTDOWN):
        return True
    return spec.restart is not RestartType.PERMANENT and is_normal(reason)


@dataclass(slots=True)
class _Stopping:
    """A child that has been told to end, and until when it may take."""

    child: Child
    ref: ActorRef[Any]
    was_alive: bool
    deadline: float


class Stopper:
    """Stops the children of one supervisor, which owns it."""

    def __init__(self, owner: ChildOwner) -> None:
        self._owner = owner
        self._told: Sequence[_Stopping] = ()
        """The children that have been told to end and may be late."""
        self._timer: TimerHandle | None = None
        self._timer_at = math.inf
        """When it fires: what uvloop returns for a moment that is over does not know."""
        """Fires at the earliest deadline or before; one for all, since few are ever late."""
        self._unread: dict[Any, Any] = {}
        """Exit reasons taken from the mailbox ahead of time; see `_unread_reason`."""

    async def stop_in_turn(self, children: Sequence[Child]) -> None:
        """Stop *children* one after the other; forget each when it is down.

        An unexpected reason is reported.
        """
        for child in children:
            child.stopping = True
        try:
            for child in children:
                ref = child.ref
                if ref is not None:
                    stopping = self._tell(child, ref)
                    self._told = (stopping,)
                    await self._wait(stopping)
                    if not is_expected(child.last_reason, child.spec):
                        self._owner.report(
                            ReportKind.SHUTDOWN_ERROR, child, child.last_reason, "it is stopped"
                        )
                self._owner.children.forget(child)
        finally:
            self._finish()

    async def stop_together(self, children: Sequence[Child]) -> list[Child]:
        """Stop all of *children* at the same time; return those that ended unexpectedly."""
        told = [self._tell(child, child.ref) for child in children if child.ref is not None]
        self._told = told
        try:
            for stopping in told:
                await self._wait(stopping)
                stopping.child.stopped()
        finally:
            self._finish()
        return [
            stopping.child
            for stopping in told
            if not is_expected(stopping.child.last_reason, stopping.child.spec)
        ]

    def _tell(self, child: Child, ref: ActorRef[Any]) -> _Stopping:
        child.stopping = True
        shutdown_ms = child.spec.shutdown_ms
        stopping = _Stopping(child, ref, ref.is_alive(), self._deadline(shutdown_ms))
        self._signal(ref, KILL if shutdown_ms == BRUTAL_KILL else SHUTDOWN)
        return stopping

    def _deadline(self, shutdown_ms: Shutdown | None) -> float:
        """Return when a child that is told to end now is late, and see that this is noticed."""
        if not isinstance(shutdown_ms, int):
            return math.inf
        system = self._owner.system
        deadline = system.clock() + shutdown_ms / 1000
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(deadline)
        return deadline

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        system = self._owner.system
        self._timer_at = deadline
        self._timer = system.call_later(max(deadline - system.clock(), 0.0), self._kill_the_late)

    def _kill_the_late(self) -> None:
        self._timer = None
        now = self._owner.system.clock()
        earliest = math.inf
        for stopping in self._told:
            if stopping.child.ref is None:
                continue
            if stopping.deadline <= now:
                self._signal(stopping.ref, KILL)
            else:
                earliest = min(earliest, stopping.deadline)
        if earliest != math.inf:
            self._set_timer(earliest)

    def _finish(self) -> None:
        self._told = ()
        self._unread.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _signal(self, ref: ActorRef[Any], reason: Any) -> None:
        # Not `ref.exit`, which plain pykka actors do not have.
        send_exit(ref, self._owner.actor_ref, reason, False)

    async def _wait(self, stopping: _Stopping) -> None:
        ref = stopping.ref
        reason = getattr(ref, "exit_reason", None) if stopping.was_alive else None
        if reason is None:
            reason = await self._owner.wait_down(ref)
        if is_word(reason, NOPROC):
            reason = self._reason_of_dead(stopping)
        self._owner.process_ended(stopping.child, ref, reason)

    def _reason_of_dead(self, stopping: _Stopping) -> Any:
        """Return why a child ended that was dead when we came to wait for it."""
        ref = stopping.ref
        if stopping.was_alive:
            # It ended at our signal, before we could watch it.
            told = KILLED if stopping.child.spec.shutdown_ms == BRUTAL_KILL else SHUTDOWN
            return getattr(ref, "exit_reason", told)
        return self._unread_reason(ref)

    def _unread_reason(self, ref: ActorRef[Any]) -> Any:
        """Return why *ref*, which was dead before we told it to end, ended.

        Its exit signal in the mailbox says so; ``noproc`` if there is none, because the child had
        unlinked itself. The mailbox is gone through once for all children that are being stopped:
        after a common failure there may be thousands of them, and of signals.
        """
        owner = self._owner
        if owner.exit_reason is not None:
            # In `on_stop`: the mailbox is closed.
            return getattr(ref, "exit_reason", NOPROC)
        unread = self._unread
        if ref not in unread:
            child_of = owner.children.by_ref.get

            def is_theirs(message: Any) -> bool:
                if message.__class__ is not Exit:
                    return False
                ref: Any = message.ref
                child = child_of(ref)
                return child is not None and child.stopping

            for message in owner.flush(is_theirs):
                unread.setdefault(message.ref, message.reason)
        return unread.pop(ref, NOPROC)
