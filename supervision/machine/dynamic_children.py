"""The children of a supervisor that have no ids: any number, told apart by their refs.

``simple_one_for_one`` makes them all from one template; a `DynamicSupervisor` takes a specification
for each. They are restarted one by one, and stopped all at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pykka

from agenticaiframework.actors import ActorRef, is_a, shown

from ..policy.child_spec import ChildSpec, check_child_spec
from ..vocabulary.kinds import ChildType, RestartType
from ..vocabulary.problems import SpecError, SpecProblem
from .child import Child
from .owner import ChildOwner
from .reports import ReportKind
from .results import (
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
)
from .starting import start_process


class DynamicChildren:
    """The children of one supervisor, by ref. Owned by that supervisor.

    *template* is the specification of all of them; None lets each bring its own. *max_children*
    limits how many there are, those between two incarnations included.
    """

    def __init__(
        self,
        owner: ChildOwner,
        template: ChildSpec | None,
        max_children: int | None = None,
    ) -> None:
        self._owner = owner
        self._template = template
        self.max_children = max_children
        self.by_ref: dict[pykka.ActorRef[Any], Child] = {}
        """The children that have a process (which may have died without our having read it)."""
        self._restarting: dict[pykka.ActorRef[Any], Child] = {}
        """The children between two incarnations, by the last ref that they had."""

    def __iter__(self) -> Iterator[Child]:
        # Copies, each in one step: a tree may be looked at from another thread.
        return iter([*self.by_ref.values(), *self._restarting.values()])

    def __len__(self) -> int:
        return len(self.by_ref) + len(self._restarting)

    @property
    def is_full(self) -> bool:
        """Whether there are as many children as there may be."""
        return self.max_children is not None and len(self) >= self.max_children

    # -- requests ------------------------------------------------------------------------------

    async def start_child(self, given: Any) -> StartChildResult:
        child = self._child_for(given)
        if isinstance(child, SpecError):
            return Error(child)
        if self.is_full:
            limit = f"{self._owner.actor_ref.label} has {len(self)} children (max_children={self.max_children})"
            return Error(ChildProblem.MAX_CHILDREN, limit)
        failed = await start_process(self._owner, child)
        if failed is not None:
            return Error(failed)
        if child.spec.restart is RestartType.TEMPORARY:
            # It is never started again, so what it was started with need not be kept.
            child.args = ()
        return Ok(child.ref, child.info)

    def _child_for(self, given: Any) -> Child | SpecError:
        if self._template is None:
            spec = check_child_spec(given, self._owner.flags.auto_shutdown)
            return spec if isinstance(spec, SpecError) else Child(spec)
        if type(given) not in (tuple, list):
            return SpecError(SpecProblem.NOT_ARGUMENTS, given)
        return Child(self._template, tuple(given))

    async def terminate_child(self, id: Any) -> DoneResult:
        ref = _as_ref(id)
        if ref is None:
            return Error(self._no_id)
        child = self.by_ref.get(ref)
        if child is not None:
            await self._owner.stop_in_turn((child,))
            self._owner.child_closed(child)
            return Ok(None)
        child = self._restarting.pop(ref, None)
        if child is not None:
            child.stopped()
            self._owner.child_closed(child)
            return Ok(None)
        # A dead process may have been our child a moment ago; then its end is what was asked for.
        if self._template is not None and not ref.is_alive():
            return Ok(None)
        return Error(ChildProblem.NOT_FOUND)

    async def restart_child(self, id: Any) -> RestartChildResult:
        return Error(self._no_id)

    def delete_child(self, id: Any) -> DoneResult:
        return Error(self._no_id)

    @property
    def _no_id(self) -> ChildProblem:
        if self._template is not None:
            return ChildProblem.SIMPLE_ONE_FOR_ONE
        return ChildProblem.NOT_FOUND

    def get_childspec(self, id: Any) -> ChildSpecResult:
        template = self._template
        ref = _as_ref(id)
        if ref is not None:
            child = self.by_ref.get(ref) or self._restarting.get(ref)
            if child is not None:
                return Ok(child.spec)
            if template is not None and not ref.is_alive():
                return Ok(template)
        elif template is not None and id == template.id:
            return Ok(template)
        return Error(ChildProblem.NOT_FOUND)

    def which_children(self) -> list[ChildInfo]:
        return [_info(child) for child in self.by_ref.values()] + [
            _info(child) for child in self._restarting.values()
        ]

    def which_child(self, id: Any) -> ChildInfoResult:
        child = self.by_ref.get(id) or self._restarting.get(id)
        return Error(ChildProblem.NOT_FOUND) if child is None else Ok(_info(child))

    def count_children(self) -> Counts:
        size = len(self)
        template = self._template
        if template is None:
            supervisors = sum(child.spec.type is ChildType.SUPERVISOR for child in self)
            specs = size
        else:
            supervisors = size if template.type is ChildType.SUPERVISOR else 0
            specs = 1
        return Counts(specs, len(self.by_ref), supervisors, size - supervisors)

    # -- the index -----------------------------------------------------------------------------

    def forget(self, child: Child) -> None:
        """Note that *child* stays down; a dynamic child is then gone."""
        child.stopped()

    def await_start(self, child: Child) -> None:
        child.restarting = True
        assert child.last_ref is not None
        self._restarting[child.last_ref] = child

    def start_begins(self, child: Child) -> None:
        if child.last_ref is not None:
            self._restarting.pop(child.last_ref, None)
        child.stopped()

    def any_significant(self) -> bool:
        """Tell whether any child is still there, since one template speaks for all."""
        return len(self) > 0

    # -- stopping ------------------------------------------------------------------------------

    async def stop_all(self) -> None:
        """Stop all children at the same time; report each unexpected reason once."""
        for child in self._restarting.values():
            child.stopped()
        self._restarting.clear()
        unexpected: dict[Hashable, list[Child]] = {}
        for child in await self._owner.stop_together(list(self.by_ref.values())):
            unexpected.setdefault(_alike(child.last_reason), []).append(child)
        for children in unexpected.values():
            self._owner.report(
                ReportKind.SHUTDOWN_ERROR,
                children[0],
                children[0].last_reason,
                "it is stopped",
                children=len(children),
            )


def _as_ref(value: Any) -> pykka.ActorRef[Any] | None:
    if not isinstance(value, pykka.ActorRef):
        return None
    ref: pykka.ActorRef[Any] = value  # pyright: ignore[reportUnknownVariableType]
    return ref


def _alike(reason: Any) -> Hashable:
    """Return a key under which equal reasons meet; exceptions are equal by type and arguments."""
    if is_a(reason, BaseException):
        return (type(reason), shown(reason.args))
    return shown(reason)


def _info(child: Child) -> ChildInfo:
    spec = child.spec
    shown: ActorRef[Any] | Restarting | None = "restarting" if child.restarting else child.ref
    return ChildInfo(None, shown, spec.type, spec.modules or ())
