"""Agents that ask one another along random ways, which may come back to one that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agenticaiframework.actors import Agent, AgentError, CallingSelf, gather
from agenticaiframework.actors.simulation import Simulation
from agenticaiframework.patterns import (
    OrchestrationPattern,
    ParallelOrchestration,
    PatternFailed,
    SequentialOrchestration,
)

Way = tuple[tuple[int, str], ...]
"""Whom the first one asks, how, and so on."""


async def ask(agent: Agent, rest: Way) -> Any:
    return await agent.ask(rest)


def begin(agent: Agent, rest: Way) -> asyncio.Task[Any]:
    """Ask in a task, which may outlive a handler that is killed."""
    task = asyncio.create_task(agent.ask(rest))
    BESIDE.add(task)
    task.add_done_callback(BESIDE.discard)
    return task


async def ask_in_gather(agent: Agent, rest: Way) -> Any:
    answers = await asyncio.gather(begin(agent, rest), asyncio.sleep(0.01))
    return answers[0]


async def ask_in_own_gather(agent: Agent, rest: Way) -> Any:
    return (await gather(agent.request(rest)))[0]


async def ask_in_task(agent: Agent, rest: Way) -> Any:
    task = begin(agent, rest)
    await asyncio.sleep(0.01)
    return await task


async def ask_in_group(agent: Agent, rest: Way) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(agent.ask(rest))
    return task.result()


async def ask_behind(agent: Agent, rest: Way) -> Any:
    """Ask without waiting for it: such an ask holds nobody up."""
    begin(agent, rest)
    await asyncio.sleep(5)
    return 0


async def ask_in_sequence(agent: Agent, rest: Way) -> Any:
    return await SequentialOrchestration("sequence", [agent]).execute(rest)


async def ask_beside(agent: Agent, rest: Way) -> Any:
    pattern: OrchestrationPattern = ParallelOrchestration(
        "beside", [{"agent": agent, "on_error": {"default": 0}}]
    )
    return sum((await pattern.execute(rest)).values())


BESIDE: set[asyncio.Task[Any]] = set()

HOW: dict[str, Callable[[Agent, Way], Awaitable[Any]]] = {
    "ask": ask,
    "behind": ask_behind,
    "beside": ask_beside,
    "gather": ask_in_gather,
    "group": ask_in_group,
    "own gather": ask_in_own_gather,
    "sequence": ask_in_sequence,
    "task": ask_in_task,
}


AT_ONCE = ("ask", "beside", "own gather", "sequence")
"""The ways in which who waits for whom is known when the circle is closed."""


def closed_a_circle(error: BaseException | None) -> bool:
    """Tell whether *error* came of one that waited for itself."""
    while error is not None:
        if isinstance(error, CallingSelf):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(closed_a_circle(one) for one in error.exceptions)
        error = error.__cause__ or getattr(error, "cause", None)
    return False


async def waiting(sim: Simulation) -> None:
    """Each ask ends; and one that no circle can hold up is never told that it is in one."""
    rng = sim.random
    BESIDE.clear()
    agents: list[Agent] = []

    async def handle(rest: Way) -> Any:
        if not rest:
            if not at_once:
                await asyncio.sleep(rng.choice([0, 0, 1]))
            return 1
        (following, how), *others = rest
        return 1 + await HOW[how](agents[following], tuple(others))

    count = rng.randint(2, 4)
    agents += [Agent(f"agent{number}", handler=handle) for number in range(count)]
    upwards = rng.random() < 0.4  # then nobody ever asks one that may wait for it
    at_once = rng.random() < 0.3
    names = AT_ONCE if at_once else sorted(HOW)
    asking: list[asyncio.Task[Any]] = []
    for _ in range(rng.randint(1, 6)):
        way = [rng.randrange(count) for _ in range(rng.randint(1, count + 1))]
        if upwards:
            way = sorted(set(way))
        steps = tuple((number, rng.choice(names)) for number in way[1:])
        asking.append(asyncio.create_task(agents[way[0]].ask(steps)))
        if not at_once and rng.random() < 0.3:
            await asyncio.sleep(rng.choice([0, 0.01, 1]))
    for task in asking:
        try:
            await task
        except (AgentError, CallingSelf, PatternFailed, BaseExceptionGroup) as error:
            sim.expect(
                not (upwards and closed_a_circle(error)),
                "no circle is seen where none is",
                repr(error),
            )
    sim.expect(
        not at_once or bool(sim.injector.landed) or sim.time() == 0,
        "a circle that is known is told at once",
        f"after {sim.time():g} s",
    )
    while BESIDE:
        (task, *_) = BESIDE
        await asyncio.wait({task})
        BESIDE.discard(task)
        if not task.cancelled():
            task.exception()
    await asyncio.sleep(1)  # what was gathered beside a failure ends too
