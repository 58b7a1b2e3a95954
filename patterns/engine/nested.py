"""What stands in a step without being an agent: a workflow in a workflow, a team with its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..target import Scope, target_name

if TYPE_CHECKING:
    from .plan import Plan
    from .setup import Setup


class NestedWorkflow:
    """A workflow as something that can be asked: each time it is a run of its own.

    Inside a stored run it is stored too, under an id that follows from the step and the attempt: an
    attempt that a crash cut off finds the run that it had begun, and goes on with that.
    """

    def __init__(self, setup: Setup, plan: Plan) -> None:
        self._setup = setup
        self.plan = plan
        self.name = plan.name

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the workflow's result for *payload*."""
        from .launching import run_nested

        async with asyncio.timeout(timeout):
            return await run_nested(self._setup, self.plan, payload, context or {})

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the workflow's result, as a part of the execution around it."""
        return await self.ask(payload, timeout, context=scope.context)


class TeamStep:
    """A team, and what its roles do in one step of a workflow."""

    def __init__(self, team: Any, actions: Sequence[Mapping[str, Any]]) -> None:
        self.team = team
        self.actions = tuple(actions)
        self.name = target_name(team)

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the team makes of *payload*."""
        if not self.actions:
            return await self.team.ask(payload, timeout, context=context)
        async with asyncio.timeout(timeout):
            return await self.team.execute_workflow(
                workflow=[dict(action) for action in self.actions], input_data=payload
            )

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return what the team makes of *payload*, as a part of the execution around it."""
        if self.actions:
            within = getattr(self.team, "workflow_within", None)
            if within is not None:
                return await within([dict(a) for a in self.actions], payload, timeout, scope)
        else:
            within = getattr(self.team, "ask_within", None)
            if within is not None:
                return await within(payload, timeout, scope)
        return await self.ask(payload, timeout, context=scope.context)
