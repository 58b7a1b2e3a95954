"""A team, and what its roles do in one step of a workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import nested_context

from ...vocabulary.target import Resolver, Scope, target_name

if TYPE_CHECKING:
    from ...teams import AgentTeam


class TeamActions:
    """A team with its actions as something that can be asked."""

    def __init__(
        self, team: AgentTeam, actions: Sequence[Mapping[str, Any]], resolve: Resolver
    ) -> None:
        self.team = team
        self.actions = tuple(actions)
        self.name = target_name(team)
        self._resolve = resolve

    async def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the team makes of *payload*."""
        inherited = nested_context(self.name, context)
        return await self.ask_within(payload, timeout, Scope(self._resolve, inherited))

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return what the team makes of *payload*, as a part of the execution around it."""
        return await self.team.workflow_within(self.actions, payload, timeout, scope)
