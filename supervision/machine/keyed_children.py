"""The children of a supervisor that have ids and an order, and the strategies that use the order.

All look-ups are by hash: one restart among a hundred thousand children costs what it costs among
ten. Only strategies that concern all children, or all later ones, walk over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pykka

from agenticaiframework.actors import ActorRef

from ..policy.child_spec import ChildSpec, check_child_spec
from ..vocabulary.kinds import ChildType, RestartType, SupervisionStrategy
from ..vocabulary.problems import SpecError
from .child import Child
from .messages import TryAgain
from .reports import ReportKind
from .results import (
    AlreadyStarted,
    ChildInfo,
    ChildProblem,
    ChildSpecResult,
    Counts,
    DoneResult,
    Error,
    FailedToStartChild,
    Ok,
    RestartChildResult,
    Restarting,
    StartChildResult,
    StartError,
)
from .starting import start_process

if TYPE_CHECKING:
    from .supervisor import Supervisor


class KeyedChildren:
    """The children of one supervisor, by id and in start order. Owned by that supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.by_id: dict[Any, Child] = {}
        """In start order, oldest first."""
        self.by_ref: dict[pykka.ActorRef[Any], Child] = {}
        """The children that have a process (which may have died without our having read it)."""

    def __iter__(self) -> Iterator[Child]:
        # A copy, in one step: a tree may be looked at from another thread.
        return iter(list(self.by_id.values()))

    # -- starting ------------------------------------------------------------------------------

    async def start_all(self, specs: Sequence[ChildSpec]) -> FailedToStartChild | None:
        """Take over *specs* and start them in order; return the failure that stopped it."""
        children = [Child(spec) for spec in specs]
        self.by_id = {child.spec.id: child for child in children}
        failed = await self._start_group(children)
        if failed is None:
            return None
        child, error = failed
        return FailedToStartChild(child.spec.id, error.reason)

    async def _start_group(self, group: Iterable[Child]) -> tuple[Child, StartError] | None:
        """Start all of *group* in order, up to the first that fails; return that one."""
        supervisor = self._supervisor
        for child in group:
            error = await start_process(supervisor, child)
            if error is not None:
                self._supervisor.report(
                    ReportKind.START_ERROR, child, error.reason, "nothing after it is started"
                )
                return child, error
            if child.ref is None and child.spec.restart is RestartType.TEMPORARY:
                del self.by_id[child.spec.id]
        return None

    def add(self, spec: ChildSpec) -> Child:
        """Take over *spec*, whose id is new, without starting it."""
        child = self.by_id[spec.id] = Child(spec)
        return child

    # -- requests ------------------------------------------------------------------------------

    async def start_child(self, given: Any) -> StartChildResult:
        supervisor = self._supervisor
        spec = check_child_spec(given, supervisor.flags.auto_shutdown)
        if isinstance(spec, SpecError):
            return Error(spec)
        present = self.by_id.get(spec.id)
        if present is not None:
            if present.ref is not None:
                return Error(AlreadyStarted(present.ref))
            return Error(ChildProblem.ALREADY_PRESENT)
        child = Child(spec)
        error = await start_process(supervisor, child)
        if error is not None:
            if isinstance(error.reason, AlreadyStarted):
                return Error(error.reason)
            return Error(StartError(error.reason, spec))
        if child.ref is not None or spec.restart is not RestartType.TEMPORARY:
            self.by_id[spec.id] = child
        return Ok(child.ref, child.info)

    async def terminate_child(self, id: Any) -> DoneResult:
        child = self.by_id.get(id)
        if child is None:
            return Error(ChildProblem.NOT_FOUND)
        await self._supervisor.stopper.stop(child)
        self.forget(child)
        self._supervisor.child_closed(child)
        return Ok(None)

    async def restart_child(self, id: Any) -> RestartChildResult:
        child = self.by_id.get(id)
        problem = self._not_down(child)
        if problem is not None or child is None:
            return Error(problem or ChildProblem.NOT_FOUND)
        error = await start_process(self._supervisor, child)
        if error is not None:
            return Error(error)
        return Ok(child.ref, child.info)

    def delete_child(self, id: Any) -> DoneResult:
        problem = self._not_down(self.by_id.get(id))
        if problem is not None:
            return Error(problem)
        del self.by_id[id]
        return Ok(None)

    def _not_down(self, child: Child | None) -> ChildProblem | None:
        """Return what stands against a request that is only for children that are down."""
        if child is None:
            return ChildProblem.NOT_FOUND
        if child.restarting:
            return ChildProblem.RESTARTING
        return None if child.ref is None else ChildProblem.RUNNING

    def get_childspec(self, id: Any) -> ChildSpecResult:
        child = self.by_id.get(id)
        return Error(ChildProblem.NOT_FOUND) if child is None else Ok(child.spec)

    def which_children(self) -> list[ChildInfo]:
        return [info(child) for child in reversed(self.by_id.values())]

    def which_child(self, id: Any) -> Ok[ChildInfo] | Error[ChildProblem]:
        child = self.by_id.get(id)
        return Error(ChildProblem.NOT_FOUND) if child is None else Ok(info(child))

    def count_children(self) -> Counts:
        children = self.by_id.values()
        supervisors = sum(child.spec.type is ChildType.SUPERVISOR for child in children)
        active = sum(child.ref is not None and child.ref.is_alive() for child in children)
        return Counts(len(children), active, supervisors, len(children) - supervisors)

    # -- failures ------------------------------------------------------------------------------

    def forget(self, child: Child) -> None:
        """Note that *child* stays down; a temporary one is removed."""
        child.stopped()
        if child.spec.restart is RestartType.TEMPORARY:
            self.by_id.pop(child.spec.id, None)

    def any_significant(self) -> bool:
        """Tell whether a significant child is still there, running or between two incarnations."""
        return any(
            child.spec.significant and (child.ref is not None or child.restarting)
            for child in self.by_id.values()
        )

    def waiting(self, message: TryAgain) -> Child | None:
        """Return the child whose restart is to be tried again, unless that is obsolete."""
        child = self.by_id.get(message.key)
        return child if child is not None and child.is_to_be_tried else None

    async def hold(self, child: Child) -> None:
        """Put *child* between two incarnations for its backoff.

        Who is restarted together with it is stopped now, not when the time is over: it must not run
        on without the one that it depends on.
        """
        if self._supervisor.flags.strategy is not SupervisionStrategy.ONE_FOR_ONE:
            group = self._group_of(child)
            await self._stop_group(group)
            self._close_dropped(group)
        child.restarting = True

    async def restart(self, child: Child) -> None:
        """Restart after the strategy. The restart has been counted and allowed."""
        supervisor = self._supervisor
        child.stopped()
        if supervisor.flags.strategy is SupervisionStrategy.ONE_FOR_ONE:
            error = await start_process(supervisor, child)
            if error is not None:
                supervisor.report(ReportKind.START_ERROR, child, error.reason, "it is tried again")
                self._try_again(child, error)
            return
        group = self._group_of(child)
        await self._stop_group(group)
        staying = [member for member in reversed(group) if member.spec.id in self.by_id]
        self._close_dropped(group)
        await self.start_again(staying)

    async def start_again(self, group: Iterable[Child]) -> None:
        """Start all of *group* in order; one that does not start is tried again, and the rest later."""
        failed = await self._start_group(group)
        if failed is not None:
            self._try_again(*failed)

    def _group_of(self, child: Child) -> list[Child]:
        """Return who is restarted together with *child*, and *child*, the one started last first."""
        everyone = reversed(self.by_id.values())
        if self._supervisor.flags.strategy is SupervisionStrategy.ONE_FOR_ALL:
            return list(everyone)
        group: list[Child] = []
        for member in everyone:
            group.append(member)
            if member is child:
                break
        return group

    def _close_dropped(self, group: Iterable[Child]) -> None:
        """Let nobody wait for those of *group*, the temporary ones, that no longer belong to us."""
        for member in group:
            if self.by_id.get(member.spec.id) is not member:
                self._supervisor.child_closed(member)

    def _try_again(self, child: Child, error: StartError) -> None:
        child.restarting = True
        child.last_reason = error.reason
        self._supervisor.try_again(TryAgain(child.spec.id))

    # -- stopping ------------------------------------------------------------------------------

    async def stop_all(self) -> None:
        """Stop all children, the one started last first, each before the next.

        A supervisor whose children have no order stops them all at the same time.
        """
        children = list(reversed(self.by_id.values()))
        if not self._supervisor.stops_together:
            await self._stop_group(children)
            return
        for child in await self._supervisor.stopper.stop_together(children):
            self._supervisor.report(
                ReportKind.SHUTDOWN_ERROR, child, child.last_reason, "it is stopped"
            )
        for child in children:
            self.forget(child)

    async def _stop_group(self, group: Sequence[Child]) -> None:
        await self._supervisor.stopper.stop_in_turn(group, self.forget)


def info(child: Child) -> ChildInfo:
    """Return *child*'s line of `which_children`."""
    spec = child.spec
    shown: ActorRef[Any] | Restarting | None = "restarting" if child.restarting else child.ref
    return ChildInfo(spec.id, shown, spec.type, spec.modules or ())
