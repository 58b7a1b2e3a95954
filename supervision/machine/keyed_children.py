"""The children of a supervisor that have ids and an order, and the groups in which they restart.

All look-ups are by hash: one restart among a hundred thousand children costs what it costs among
ten. Only strategies that concern all children, or all later ones, walk over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pykka

from agenticaiframework.actors import ActorRef

from ..policy.child_spec import check_child_spec
from ..vocabulary.kinds import ChildType, RestartType, SupervisionStrategy
from ..vocabulary.problems import SpecError
from .child import Child
from .owner import ChildOwner
from .reports import ReportKind
from .results import (
    AlreadyStarted,
    ChildInfo,
    ChildInfoResult,
    ChildProblem,
    ChildSpecResult,
    Counts,
    DoneResult,
    Error,
    Ok,
    RestartChildResult,
    Restarting,
    StartChildResult,
    StartError,
)
from .starting import start_process


class KeyedChildren:
    """The children of one supervisor, by id and in start order. Owned by that supervisor."""

    def __init__(self, owner: ChildOwner, children: Iterable[Child] = ()) -> None:
        self._owner = owner
        self.by_id: dict[Any, Child] = {child.spec.id: child for child in children}
        """In start order, oldest first."""
        self.by_ref: dict[pykka.ActorRef[Any], Child] = {}

    def __iter__(self) -> Iterator[Child]:
        # A copy, in one step: a tree may be looked at from another thread.
        return iter(list(self.by_id.values()))

    # -- the index -----------------------------------------------------------------------------

    def add(self, child: Child) -> None:
        """Take over *child*, whose id is new, without starting it."""
        self.by_id[child.spec.id] = child

    def holds(self, child: Child) -> bool:
        """Tell whether *child* still belongs to the supervisor."""
        return self.by_id.get(child.spec.id) is child

    def forget(self, child: Child) -> None:
        """Note that *child* stays down; a temporary one is removed."""
        child.stopped()
        if child.spec.restart is RestartType.TEMPORARY:
            self.by_id.pop(child.spec.id, None)

    def await_start(self, child: Child) -> None:
        child.restarting = True

    def start_begins(self, child: Child) -> None:
        child.stopped()

    def group_of(self, child: Child) -> list[Child]:
        """Return those that the strategy restarts with *child*, and it, in start order."""
        if self._owner.flags.strategy is SupervisionStrategy.ONE_FOR_ALL:
            return list(self.by_id.values())
        group: list[Child] = []
        for member in reversed(self.by_id.values()):
            group.append(member)
            if member is child:
                break
        return group[::-1]

    def any_significant(self) -> bool:
        return any(
            child.spec.significant and (child.ref is not None or child.restarting)
            for child in self.by_id.values()
        )

    async def stop_all(self) -> None:
        """Stop all children, the one started last first, each before the next.

        A supervisor whose children have no order stops them all at the same time.
        """
        children = list(reversed(self.by_id.values()))
        owner = self._owner
        if not owner.stops_together:
            await owner.stop_in_turn(children)
            return
        for child in await owner.stop_together(children):
            owner.report(ReportKind.SHUTDOWN_ERROR, child, child.last_reason, "it is stopped")
        for child in children:
            self.forget(child)

    # -- requests ------------------------------------------------------------------------------

    async def start_child(self, given: Any) -> StartChildResult:
        owner = self._owner
        spec = check_child_spec(given, owner.flags.auto_shutdown)
        if isinstance(spec, SpecError):
            return Error(spec)
        present = self.by_id.get(spec.id)
        if present is not None:
            if present.ref is not None:
                return Error(AlreadyStarted(present.ref))
            return Error(ChildProblem.ALREADY_PRESENT)
        child = Child(spec)
        error = await start_process(owner, child)
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
        await self._owner.stop_in_turn((child,))
        self._owner.child_closed(child)
        return Ok(None)

    async def restart_child(self, id: Any) -> RestartChildResult:
        child = self.by_id.get(id)
        problem = self._not_down(child)
        if problem is not None or child is None:
            return Error(problem or ChildProblem.NOT_FOUND)
        error = await start_process(self._owner, child)
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
        """Return why a request that is only for children that are down is refused, if it is."""
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

    def which_child(self, id: Any) -> ChildInfoResult:
        child = self.by_id.get(id)
        return Error(ChildProblem.NOT_FOUND) if child is None else Ok(info(child))

    def count_children(self) -> Counts:
        children = self.by_id.values()
        supervisors = sum(child.spec.type is ChildType.SUPERVISOR for child in children)
        active = sum(child.ref is not None and child.ref.is_alive() for child in children)
        return Counts(len(children), active, supervisors, len(children) - supervisors)


def info(child: Child) -> ChildInfo:
    """Return *child*'s line of `which_children`."""
    spec = child.spec
    shown: ActorRef[Any] | Restarting | None = "restarting" if child.restarting else child.ref
    return ChildInfo(spec.id, shown, spec.type, spec.modules or ())
