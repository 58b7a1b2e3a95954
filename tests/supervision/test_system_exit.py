"""`sys.exit` in a handler is that handler's crash; raw actors on the loop keep pykka's contract."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loguru import logger

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem, AgentFailed, HandlerExited
from agenticaiframework.orchestration import (
    AgentSupervisor,
    OrchestrationEngine,
    PatternFailed,
    SequentialOrchestration,
    WorkflowFailed,
)
from agenticaiframework.supervision import TaskSupervisor


def leave(payload: Any) -> Any:
    if payload == "leave":
        sys.exit(3)
    return payload


async def leave_async(payload: Any) -> Any:
    return leave(payload)


async def leave_in_a_thread(payload: Any) -> Any:
    return await asyncio.to_thread(leave, payload)


HANDLERS: list[tuple[Callable[[Any], Any], str | None]] = [
    (leave, None),
    (leave, "pinned"),
    (leave_async, None),
    (leave_async, "thread"),
    (leave_async, "pinned"),
    (leave_in_a_thread, None),
]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20), ActorSystem():
            await main()

    asyncio.run(limited())


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
@pytest.mark.parametrize("supervised", [True, False], ids=["supervised", "alone"])
@pytest.mark.parametrize(("handler", "dispatcher"), HANDLERS)
def test_an_agent_that_calls_it_crashes(
    handler: Callable[[Any], Any], dispatcher: str | None, supervised: bool, asked: bool
) -> None:
    async def main() -> None:
        agent = Agent("parser", handler=handler, dispatcher=dispatcher)
        async with AgentSupervisor("desk") as desk:
            if supervised:
                desk.add_child("parser", agent)
            if asked:
                with pytest.raises(AgentFailed, match=r"sys\.exit\(3\)") as failed:
                    await agent.ask("leave")
                cause = failed.value.__cause__
                assert isinstance(cause, HandlerExited)
                assert cause.code == 3
                assert isinstance(cause.__cause__, SystemExit)
            else:
                agent.tell("leave")
            assert await agent.ask("next") == "next"
            if supervised:
                assert desk.child("parser").restarts == 1

    run(main)


def test_a_record_says_so() -> None:
    records: list[str] = []

    async def main() -> None:
        agent = Agent("parser", handler=leave_async)
        with pytest.raises(AgentFailed):
            await agent.ask("leave")

    logger.enable("agenticaiframework")
    sink = logger.add(records.append, level="WARNING", format="{level} {message}")
    try:
        run(main)
    finally:
        logger.remove(sink)
    [record] = records
    assert record.startswith("WARNING A handler of parser called sys.exit(3)")


@pytest.mark.parametrize("hook", ["on_start", "on_stop"])
@pytest.mark.parametrize("handler", [leave, leave_async])
def test_a_hook_that_calls_it_fails(handler: Callable[[Any], Any], hook: str) -> None:
    async def main() -> None:
        agent = Agent("parser", handler=handler, **{hook: sys.exit})
        if hook == "on_start":
            with pytest.raises(AgentFailed, match=r"sys\.exit\(\)"):
                await agent.ask("next")
        else:
            assert await agent.ask("next") == "next"
        await agent.stop()

    run(main)


@pytest.mark.parametrize("step", [leave, leave_async])
def test_functions_of_patterns_workflows_and_tasks(step: Callable[[Any], Any]) -> None:
    async def main() -> None:
        pattern = SequentialOrchestration(name="line", steps=[step])
        with pytest.raises(PatternFailed, match=r"sys\.exit\(3\)"):
            await pattern.execute("leave")
        async with OrchestrationEngine() as engine:
            engine.register_agent("parser", Agent("parser", handler=step))
            flow = {"name": "flow", "steps": [{"id": "one", "agent": "parser"}]}
            with pytest.raises(WorkflowFailed, match=r"sys\.exit\(3\)"):
                await engine.execute(flow, "leave")
        async with TaskSupervisor("tasks") as tasks:
            task = await tasks.async_nolink(step, "leave")
            with pytest.raises(HandlerExited):
                await task

    run(main)


class RawInThread(Actor):
    dispatcher = "thread"

    def on_receive(self, message: Any) -> Any:
        return leave(message)


def test_a_raw_actor_in_a_thread_crashes() -> None:
    async def main() -> None:
        ref = RawInThread.start()
        with pytest.raises(HandlerExited):
            await ref.request("leave")
        assert await ref.request("next") == "next"

    run(main)


def test_a_raw_actor_on_the_loop_ends_the_program() -> None:
    program = """
import asyncio, sys
from agenticaiframework.actors import Actor

class Raw(Actor):
    def on_receive(self, message):
        sys.exit(3)

async def main():
    Raw.start().tell("leave")
    await asyncio.sleep(20)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert ended.returncode == 3
