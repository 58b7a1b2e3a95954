"""Where a coroutine of somebody else's test is run: in a task, or in a handler of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agenticaiframework.actors import Actor, ActorSystem, Agent
from agenticaiframework.patterns.engine import OrchestrationEngine

Body = Callable[[], Coroutine[Any, Any, None]]
Place = Callable[[Body], Awaitable[object]]


class Runs(Actor):
    """Awaits the coroutine function that it is sent."""

    async def on_receive(self, message: Any) -> Any:
        return await message()


async def in_a_task(body: Body) -> None:
    await asyncio.get_running_loop().create_task(body())


async def in_an_actor(body: Body) -> None:
    async with ActorSystem() as system:
        await system.start(Runs).request(body)


async def in_an_agent(body: Body) -> None:
    async def handler(payload: Any) -> None:
        await payload()

    async with ActorSystem():
        await Agent("runs", handler=handler).ask(body)


async def in_a_step(body: Body) -> None:
    async def step(_payload: Any) -> None:
        await body()

    async with ActorSystem():
        workflow = {"name": "runs", "steps": [{"id": "only", "agent": step}]}
        await OrchestrationEngine().execute(workflow=workflow, input_data={})


PLACES: dict[str, Place] = {
    "task": in_a_task,
    "actor": in_an_actor,
    "agent": in_an_agent,
    "step": in_a_step,
}


async def run_inside(place: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run *coroutine* at *place*, and return or raise what it returns or raises itself.

    How a handler's error reaches its asker is tested elsewhere.
    """
    ended: list[tuple[Any, BaseException | None]] = []

    async def body() -> None:
        try:
            ended.append((await coroutine, None))
        except BaseException as error:
            ended.append((None, error))
            raise

    try:
        await PLACES[place](body)
    except BaseException:
        if not ended:
            raise
    value, error = ended.pop()
    if error is not None:
        try:
            raise error
        finally:
            del error
    return value
