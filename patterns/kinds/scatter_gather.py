"""All are asked, and the answers that have come by the deadline count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, cast

from pydantic import Field

from ..definition.drawing import Drawing
from ..definition.fields import Seconds
from ..definition.step import Ask, AskField, unique_names
from ..execution.execution import Execution
from ..execution.pattern import OrchestrationPattern, PatternDefinition
from ..execution.promises import Demand
from ..execution.task_bag import TaskBag
from ..vocabulary.errors import PatternFailed
from ..vocabulary.report import PartialResults
from ..vocabulary.target import Target
from .aggregation import aggregate


class ScatterGatherDefinition(PatternDefinition):
    """A scatter-gather: its agents, the deadline, and how many answers are enough to go on."""

    agents: tuple[AskField, ...] = Field(min_length=1)
    deadline_s: Seconds
    at_least: int = Field(default=1, ge=0)
    aggregator: AskField | None = None


class ScatterGatherOrchestration(OrchestrationPattern):
    """All *agents* get the input; the result is what has come within *deadline_s* seconds.

    It comes earlier when all have answered. An agent that is late is stopped. Fewer than *at_least*
    answers are an error. The result is a `PartialResults`: a mapping from agent to answer, whose
    ``missing`` says why the others are not in it. *aggregator* makes the result of that mapping.
    """

    kind: ClassVar[str] = "scatter_gather"
    definition_type = ScatterGatherDefinition
    example = (
        'ScatterGatherOrchestration(name="quotes", agents=["shop_a", "shop_b"], deadline_s=2.0)'
    )

    def __init__(
        self,
        name: str,
        agents: Sequence[Target | Ask | Mapping[str, Any]],
        deadline_s: float,
        *,
        at_least: int = 1,
        aggregator: Target | Ask | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agents": agents,
                    "deadline_s": deadline_s,
                    "at_least": at_least,
                    "aggregator": aggregator,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        spec = self._spec
        if spec.at_least > len(spec.agents):
            raise self._wrong(
                f"at_least={spec.at_least} answers can never come from {len(spec.agents)} agents"
            )
        names = unique_names(ask.label for ask in spec.agents)
        self._asks = tuple(zip(names, spec.agents, strict=True))

    @property
    def _spec(self) -> ScatterGatherDefinition:
        return cast(ScatterGatherDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        for ask in self._spec.agents:
            yield from ask.targets()
        if self._spec.aggregator is not None:
            yield from self._spec.aggregator.targets()

    def demands(self) -> Iterable[Demand]:
        return [Demand(ask.agent, 1, "agents") for ask in self._spec.agents]

    async def coordinate(self, run: Execution) -> Any:
        spec = self._spec
        run.stopping = "the deadline has passed"
        async with TaskBag(race=True) as bag:
            for name, ask in self._asks:
                bag.start(run.perform(name, ask.agent, run.input, ask.policy))
            loop = asyncio.get_running_loop()
            timer = loop.call_later(spec.deadline_s, bag.stop)
            try:
                await bag.settled()
            finally:
                timer.cancel()
        run.stopping = "cancelled"
        results = PartialResults(
            {name: run.outcomes[name] for name, _ in self._asks if name in run.outcomes}
        )
        if len(results) < spec.at_least:
            causes = [o.cause for o in results.missing.values() if o.cause is not None]
            raise PatternFailed(
                self.name,
                f"failed: {len(results)} of the {spec.at_least} answers that it needs came within "
                f"{spec.deadline_s:g} s",
                run.outcomes,
                cause=causes[0] if causes else None,
            )
        return await aggregate(run, spec.aggregator, results)

    def draw(self, drawing: Drawing) -> None:
        spec = self._spec
        start = drawing.node("input", "end")
        gather = drawing.node(f"within {spec.deadline_s:g} s, at least {spec.at_least}", "join")
        for _, ask in self._asks:
            node = drawing.target(ask.agent)
            drawing.edge(start, node)
            drawing.edge(node, gather)
        last = gather
        if spec.aggregator is not None:
            last = drawing.target(spec.aggregator.agent)
            drawing.edge(gather, last)
        drawing.edge(last, drawing.node("result", "end"))
