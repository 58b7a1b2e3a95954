"""A workflow in a workflow, or wherever an agent can stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import agents_from_here, nested_context

from ...vocabulary.target import Scope
from .launching import run_nested

if TYPE_CHECKING:
    from ..definition.plan import Plan
    from .core import EngineCore
    from .setup import Setup


class NestedWorkflow:
    """A workflow as something that can be asked: each time it is a run of its own.

    Inside a stored run it is stored too, under an id that follows from the step and the attempt: an
    attempt that a crash cut off finds the run that it had begun, and goes on with that.
    """

    def __init__(self, plan: Plan, core: Callable[[], EngineCore], setup: Setup) -> None:
        self._core = core
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
        inherited = nested_context(self.name, context)
        return await self.ask_within(payload, timeout, Scope(agents_from_here(), inherited))

    async def ask_within(self, payload: Any, timeout: float | None, scope: Scope) -> Any:
        """Return the workflow's result, as a part of the execution around it."""
        async with asyncio.timeout(timeout):
            return await run_nested(self._core(), self.plan, payload, scope)
