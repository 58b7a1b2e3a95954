"""What stands in a step without being an agent: a workflow in a workflow, a team with its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...vocabulary.target import Scope, target_name

if TYPE_CHECKING:
    from ...teams import AgentTeam
    from ..definition.plan import Plan
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
        return await self.ask_within(payload, timeout, Scope(self._setup.resolve, context))

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the workflow's result, as a part of the execution around it."""
        from .launching import run_nested

        async with asyncio.timeout(timeout):
            return await run_nested(self._setup, self.plan, payload, scope)


class TeamStep:
    """A team, and what its roles do in one step of a workflow."""

    def __init__(self, team: AgentTeam, actions: Sequence[Mapping[str, Any]], setup: Setup) -> None:
        self.team = team
        self.actions = tuple(actions)
        self.name = target_name(team)
        self._setup = setup

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the team makes of *payload*."""
        scope = Scope(self._setup.resolve, context)
        return await self.ask_within(payload, timeout, scope)

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return what the team makes of *payload*, as a part of the execution around it."""
        return await self.team.workflow_within(self.actions, payload, timeout, scope)
