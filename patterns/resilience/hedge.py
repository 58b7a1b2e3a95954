"""Hedged requests: when the first is slow, another is asked too, and the quicker answer counts."""

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
from ..execution.task_bag import TaskBag
from ..vocabulary.errors import PatternFailed
from ..vocabulary.outcome import Completed
from ..vocabulary.target import Target


class HedgedRequestDefinition(PatternDefinition):
    """A hedged request: the agents, in order, and the wait before the next one is asked."""

    agents: tuple[AskField, ...] = Field(min_length=2)
    after_s: Seconds


class HedgedRequest(OrchestrationPattern):
    """The first of *agents* is asked; every *after_s* seconds without an answer, the next one too.

    One that fails is followed by the next at once. The first answer is the result, and the others
    are stopped. When all have failed, so has the whole. The agents should be able to do the same
    work, and doing it twice should do no harm; an agent handles one message at a time, so asking the
    same one again would only wait behind itself.

    Source: "The Tail at Scale" (Dean and Barroso, 2013); a good *after_s* is what 95 % of answers need.
    """

    kind: ClassVar[str] = "hedge"
    definition_type = HedgedRequestDefinition
    example = 'HedgedRequest(name="quick answer", agents=["near", "far"], after_s=0.5)'

    def __init__(
        self,
        name: str,
        agents: Sequence[Target | Ask | Mapping[str, Any]],
        after_s: float,
        *,
        timeout: float | None = None,
        usage_limits: Any = None,
    ) -> None:
        super().__init__(
            self._define(
                {
                    "name": name,
                    "agents": agents,
                    "after_s": after_s,
                    "timeout": timeout,
                    "usage_limits": usage_limits,
                }
            )
        )

    def _prepare(self) -> None:
        labels = [ask.label for ask in self._spec.agents]
        if len(set(labels)) == 1:
            raise self._wrong(
                f"all its agents are {labels[0]!r}, which handles one message at a time; "
                "give another agent that can do the same"
            )
        self._asks = tuple(zip(unique_names(labels), self._spec.agents, strict=True))

    @property
    def _spec(self) -> HedgedRequestDefinition:
        return cast(HedgedRequestDefinition, self._definition)

    def targets(self) -> Iterable[Target]:
        for ask in self._spec.agents:
            yield from ask.targets()

    async def coordinate(self, run: Execution) -> Any:
        answers: list[Completed] = []
        loop = asyncio.get_running_loop()
        next_one = asyncio.Event()
        async with TaskBag(race=True) as bag:

            async def ask(name: str, ask: Ask) -> None:
                outcome = await run.perform(name, ask.agent, run.input, ask.policy)
                if isinstance(outcome, Completed):
                    answers.append(outcome)
                    run.stopping = "another was quicker"
                    bag.stop()
                next_one.set()

            for name, asked in self._asks:
                next_one.clear()
                bag.start(ask(name, asked))
                timer = loop.call_later(self._spec.after_s, next_one.set)
                try:
                    await next_one.wait()
                finally:
                    timer.cancel()
                if answers:
                    break
            await bag.settled()
        run.stopping = "cancelled"
        for name, asked in self._asks:
            if name not in run.outcomes:
                run.skip(name, asked.agent, "not needed")
        if answers:
            return answers[0].value
        causes = [o.cause for o in run.outcomes.values() if o.cause is not None]
        raise PatternFailed(
            self.name,
            "failed: none of its agents answered",
            run.outcomes,
            cause=causes[0] if causes else None,
        )

    def draw(self, drawing: Drawing) -> None:
        start = drawing.node("input", "end")
        first = drawing.node("first answer", "join")
        for index, ask in enumerate(self._spec.agents):
            node = drawing.target(ask.agent)
            label = f"after {index * self._spec.after_s:g} s" if index else ""
            drawing.edge(start, node, label, dotted=bool(index))
            drawing.edge(node, first)
        drawing.edge(first, drawing.node("result", "end"))
