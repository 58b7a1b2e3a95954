"""Several pieces of work at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import Agent, gather

from ..vocabulary.errors import NO_OUTCOMES
from ..vocabulary.outcome import Cancelled, Outcome
from ..vocabulary.target import target_name
from . import attempts
from .asking import Asking
from .task_bag import TaskBag
from .work import Work

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from ..vocabulary.target import Target


async def perform_all(
    run: Asking,
    works: Sequence[Work],
    limit: int | None,
    enough: Callable[[Outcome], str | None] | None,
) -> list[Outcome]:
    """Do all *works*, a task each, and return the outcomes; see `Execution.perform_all`."""
    async with TaskBag(limit, race=enough is not None) as bag:

        async def do(work: Work) -> None:
            outcome = await attempts.perform(run, work)
            if enough is not None and not bag.stopped:
                reason = enough(outcome)
                if reason is not None:
                    run.stopping = reason
                    bag.stop()

        for work in works:
            if limit is not None and not await bag.room():
                break
            bag.start(do(work))
        await bag.settled()
    outcomes = run.outcomes
    for work in works:
        if work.name not in outcomes:
            now = run.clock()
            never = Cancelled(target_name(work.target), now, now, 0, reason=run.stopping)
            run.settle(work.name, never)
    run.stopping = "cancelled"
    return [outcomes[work.name] for work in works]


def agents_of(run: Asking, targets: Iterable[Target]) -> list[Agent] | None:
    """Return *targets*, resolved, if all are agents and the execution is not streamed."""
    if not run.plain:
        return None
    agents: list[Agent] = []
    for target in targets:
        askable: Any = target if target.__class__ is Agent else run.resolve(target)
        if not isinstance(askable, Agent):
            return None
        agents.append(askable)
    return agents


async def ask_all(
    run: Asking, names: Sequence[str], agents: Sequence[Agent], payloads: Sequence[Any]
) -> tuple[list[Any], str | None]:
    """Return the answers of *agents*, all asked at once, and the first name that has none, if any.

    The fast path of `perform_all` for work without policies: no task for each, which makes a fan-out 2.3
    times as fast. What became of each is in the outcomes of *run*.
    """
    clock, system = run.clock, run.system
    started = clock()
    ended: dict[Request, float] = {}
    if run.scope.context is None:
        requests: list[Request] = [
            agent.request(payload, system=system)
            for agent, payload in zip(agents, payloads, strict=True)
        ]
    else:
        requests = [
            agent.request(payload, context=run.context_of(name), system=system)
            for name, agent, payload in zip(names, agents, payloads, strict=True)
        ]

    def note(request: Request) -> None:
        ended[request] = clock()

    try:
        answers = await gather(*requests, return_exceptions=True, on_reply=note, race=False)
    except asyncio.CancelledError:
        for name, agent, request in zip(names, agents, requests, strict=True):
            if request in ended:
                await _keep(run, name, agent, started, ended[request], request)
            else:
                run.interrupted(name, agent, started, 1)
        raise
    failed: str | None = None
    for name, agent, request, answer in zip(names, agents, requests, answers, strict=True):
        if isinstance(answer, BaseException):
            at = ended.get(request, started)
            if not await _keep(run, name, agent, started, at, request) and failed is None:
                failed = name
        else:
            run.keep(name, agent, started, ended[request], answer)
    return answers, failed


async def _keep(
    run: Asking, name: str, agent: Agent, started: float, ended: float, request: Request
) -> bool:
    """Keep what became of *request*, which is done; return whether it has an answer.

    Awaiting it tells an error that was raised from one that was returned as a value.
    """
    try:
        answer = await request
    except NO_OUTCOMES:
        raise
    except BaseException as error:
        run.settle(name, run.failure(agent, started, 1, error, ended=ended))
        return False
    run.keep(name, agent, started, ended, answer)
    return True
