"""What the parts of a supervisor ask of it, and what it asks of its children's index.

Both stand below the parts, so that these know nothing of the supervisor itself.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Protocol

import pykka

from agenticaiframework.actors import Actor, ActorRef

from ..policy.flags import SupervisorFlags
from ..vocabulary.kinds import ChildState
from .child import Child
from .reports import ReportKind
from .results import (
    ChildInfo,
    ChildInfoResult,
    ChildSpecResult,
    Counts,
    DoneResult,
    RestartChildResult,
    StartChildResult,
)


class Children(Protocol):
    """An index of the children of one supervisor, which owns it, and answers to requests for them.

    `KeyedChildren` and `DynamicChildren` are the two kinds.
    """

    @property
    def by_ref(self) -> dict[pykka.ActorRef[Any], Child]:
        """The children that have a process (which may have died without our having read it)."""
        ...

    def __iter__(self) -> Iterator[Child]: ...
    def forget(self, child: Child) -> None:
        """Note that *child* stays down; some kinds of children are then gone."""
        ...

    def await_start(self, child: Child) -> None:
        """Note that *child* is between two incarnations."""
        ...

    def start_begins(self, child: Child) -> None:
        """Note that *child* is not between two incarnations any more."""
        ...

    def any_significant(self) -> bool:
        """Tell whether a significant child is still there, running or between two incarnations."""
        ...

    def stop_all(self) -> Coroutine[Any, Any, None]:
        """Stop all children."""
        ...

    def start_child(self, given: Any) -> Coroutine[Any, Any, StartChildResult]: ...
    def terminate_child(self, id: Any) -> Coroutine[Any, Any, DoneResult]: ...
    def restart_child(self, id: Any) -> Coroutine[Any, Any, RestartChildResult]: ...
    def delete_child(self, id: Any) -> DoneResult: ...
    def get_childspec(self, id: Any) -> ChildSpecResult: ...
    def which_children(self) -> list[ChildInfo]: ...
    def which_child(self, id: Any) -> ChildInfoResult: ...
    def count_children(self) -> Counts: ...


class ChildOwner(Actor):
    """A supervisor, as its parts see it that start, stop and index its children."""

    flags: SupervisorFlags
    children: Children
    stops_together = False
    """Whether children that have ids are stopped all at the same time."""

    def process_started(self, child: Child, ref: ActorRef[Any]) -> None:
        """Note that *child* has a process."""
        raise NotImplementedError

    def process_ended(self, child: Child, ref: ActorRef[Any], reason: Any) -> None:
        """Note that the process of *child* has ended."""
        raise NotImplementedError

    def child_declined(self, child: Child) -> None:
        """Note that *child* declined to start."""
        raise NotImplementedError

    def child_closed(self, child: Child, state: ChildState = ChildState.STOPPED) -> None:
        """Note that *child* stays down, in *state*, until it is started again."""
        raise NotImplementedError

    async def stop_in_turn(self, children: Sequence[Child]) -> None:
        """Stop *children* one after the other, and forget each when it is down."""
        raise NotImplementedError

    async def stop_together(self, children: Sequence[Child]) -> list[Child]:
        """Stop *children* at the same time; return those that ended unexpectedly."""
        raise NotImplementedError

    def report(
        self,
        kind: ReportKind,
        child: Child,
        reason: Any,
        next: str,
        *,
        children: int = 1,
        back_in_s: float | None = None,
    ) -> None:
        """Publish and log what happened to *child*, and what is done about it."""
        raise NotImplementedError
