"""A supervisor for children that come and go, each with a specification of its own.

Source: Elixir's DynamicSupervisor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agenticaiframework.actors import ActorExit

from ..policy.flags import SupervisorFlags, check_flags
from ..vocabulary.checks import check_count
from ..vocabulary.errors import BadOption
from ..vocabulary.kinds import AutoShutdown, SupervisionStrategy
from ..vocabulary.problems import FlagError, FlagProblem
from ..vocabulary.reasons import SupervisorData
from .dynamic_children import DynamicChildren
from .supervisor import Supervisor


class DynamicSupervisor(Supervisor):
    """Starts without children; `start_child` adds them, up to *max_children*.

        pool = DynamicSupervisor.start(max_children=100)
        result = await start_child(pool, ChildSpec("any", (Session, user), restart="temporary"))
        await terminate_child(pool, result.unwrap())

    Children have no ids here: they are told apart by their refs, and the id in a specification serves
    reports only. Each is restarted by itself, and all are stopped at the same time. With *max_children*
    reached, `start_child` answers ``Error(ChildProblem.MAX_CHILDREN)``. No child can be significant, so
    there is no `auto_shutdown`. Raises `BadOption`.
    """

    def __init__(
        self,
        flags: SupervisorFlags | Mapping[str, Any] | None = None,
        *,
        max_children: int | None = None,
    ) -> None:
        super().__init__(flags)
        checked = check_flags(self._given[0])
        if isinstance(checked, SupervisorFlags) and checked.auto_shutdown is not AutoShutdown.NEVER:
            error = FlagError(FlagProblem.NO_AUTO_SHUTDOWN, checked.auto_shutdown)
            example = "DynamicSupervisor.start(SupervisorFlags(intensity=3))"
            raise BadOption("DynamicSupervisor", str(error), example, error)
        if max_children is not None:
            example = "DynamicSupervisor.start(max_children=100)"
            check_count("DynamicSupervisor", "max_children", max_children, 0, example)
        self._max_children = max_children

    async def take_children(self, given: Any) -> None:
        strategy = self.flags.strategy
        if strategy is not SupervisionStrategy.ONE_FOR_ONE:
            raise ActorExit(SupervisorData(FlagError(FlagProblem.INVALID_STRATEGY, strategy)))
        automatic = self.flags.auto_shutdown
        if automatic is not AutoShutdown.NEVER:
            raise ActorExit(SupervisorData(FlagError(FlagProblem.NO_AUTO_SHUTDOWN, automatic)))
        children = self.children = DynamicChildren(self, None, self._max_children)
        for spec in given:
            result = await children.start_child(spec)
            if not result.is_ok:
                await children.stop_all()
                raise ActorExit(result)
