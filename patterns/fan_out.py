"""Several pieces of work at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from agenticaiframework.actors import Agent, gather

from . import attempts
from .outcome import Cancelled, Outcome
from .policy import NO_POLICY
from .target import target_name
from .task_bag import TaskBag

if TYPE_CHECKING:
    from agenticaiframework.actors import Request

    from .execution import Execution, Work


async def perform_all(
    run: Execution,
    works: Sequence[Work],
    limit: int | None,
    enough: Callable[[Outcome], str | None] | None,
) -> list[Outcome]:
    """Do all *works*, a task each, and return the outcomes; see `Execution.perform_all`."""
    async with TaskBag(limit) as bag:

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


def plain_agents(run: Execution, works: Sequence[Work]) -> bool:
    """Whether *works* are agents asked without policies, with nobody reading events."""
    return run.emit is None and all(
        work.policy is NO_POLICY and isinstance(run.resolve(work.target), Agent) for work in works
    )


async def ask_all(run: Execution, works: Sequence[Work]) -> list[Any] | None:
    """Return the answers of *works*, all asked at once, or None if one of them has none.

    The cheap way of `perform_all`, for `plain_agents`: no task for each of them. What became of each
    is in the outcomes of *run*.
    """
    clock = run.clock
    started = clock()
    ended: dict[Request, float] = {}
    agents = [cast(Agent, run.resolve(work.target)) for work in works]
    requests: list[Request] = [
        agent.request(work.payload, context=run.context_of(work.name, None), system=run.system)
        for agent, work in zip(agents, works, strict=True)
    ]

    def note(request: Request) -> None:
        ended[request] = clock()

    try:
        answers = await gather(*requests, return_exceptions=True, on_reply=note)
    except asyncio.CancelledError:
        for work, agent, request in zip(works, agents, requests, strict=True):
            if request in ended:
                await _keep(run, work.name, agent, started, ended[request], request)
            else:
                run.interrupted(work.name, agent, started, 1)
        raise
    complete = True
    for work, agent, request, answer in zip(works, agents, requests, answers, strict=True):
        at = ended.get(request, started)
        if isinstance(answer, BaseException):
            complete &= await _keep(run, work.name, agent, started, at, request)
        else:
            run.keep(work.name, agent, started, at, answer)
    return answers if complete else None


async def _keep(
    run: Execution, name: str, agent: Agent, started: float, ended: float, request: Request
) -> bool:
    """Keep what became of *request*, which is done; return whether it has an answer.

    Awaiting it tells an error that was raised from one that was returned as a value.
    """
    try:
        answer = await request
    except Exception as error:
        run.settle(name, run.failure(agent, started, 1, error, None, ended))
        return False
    run.keep(name, agent, started, ended, answer)
    return True
