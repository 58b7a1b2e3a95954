"""`sys.exit` in a handler of an agent, or in a thread, is that handler's crash, and not the program's end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loguru import logger
from loops import LOOPS
from puppets import ended

from agenticaiframework.actors import (
    CALL,
    Actor,
    ActorSystem,
    Agent,
    AgentFailed,
    FunctionActor,
    HandlerExited,
)
from agenticaiframework.orchestration import SequentialOrchestration
from agenticaiframework.patterns import PatternFailed
from agenticaiframework.patterns.engine import OrchestrationEngine, WorkflowFailed
from agenticaiframework.supervision import AgentSupervisor, TaskSupervisor


async def later(_payload: Any = None) -> None:
    await asyncio.sleep(0)
    sys.exit(0)


async def at_once(_payload: Any = None) -> None:
    sys.exit("usage: ...")


async def off_the_loop(_payload: Any = None) -> None:
    await asyncio.to_thread(sys.exit, 2)


def blocking(_payload: Any = None) -> None:
    sys.exit(3)


class Unshown:
    def __repr__(self) -> str:
        raise ValueError("cannot be shown")


async def with_a_hostile_code(_payload: Any = None) -> None:
    raise SystemExit(Unshown())


FORMS: dict[str, Callable[..., Any]] = {
    fn.__name__: fn for fn in (later, at_once, off_the_loop, blocking, with_a_hostile_code)
}


@pytest.fixture(params=sorted(FORMS))
def exits(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return FORMS[str(request.param)]


def run(main: Callable[[ActorSystem], Coroutine[Any, Any, Any]], loop: str = "asyncio") -> Any:
    async def body() -> Any:
        async with asyncio.timeout(120), ActorSystem("exits") as system:
            return await main(system)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(body())


async def echo(payload: Any) -> Any:
    return payload


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_a_supervised_agent_is_restarted_and_answers_on(
    exits: Callable[..., Any], loop: str
) -> None:
    async def main(_system: ActorSystem) -> None:
        blocks = exits is blocking

        async def handle(payload: Any) -> Any:
            return await exits() if payload == "--help" else payload

        def handle_blocking(payload: Any) -> Any:
            return exits() if payload == "--help" else payload

        agent = Agent("parser", handler=handle_blocking if blocks else handle)
        async with AgentSupervisor("desk") as supervisor:
            supervisor.add_child("parser", agent)
            with pytest.raises(AgentFailed) as failed:
                await agent.ask("--help")
            assert isinstance(failed.value.__cause__, HandlerExited)
            assert isinstance(failed.value.__cause__.__cause__, SystemExit)
            assert await agent.ask("next") == "next"

    run(main, loop)


def test_a_told_agent_crashes_with_a_record_that_says_so(
    exits: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def main(_system: ActorSystem) -> None:
        agent = Agent("told", handler=exits)
        agent.tell(1)
        async with asyncio.timeout(120):
            while "Unhandled exception" not in caplog.text:
                await asyncio.sleep(0.001)
        assert "A handler of told raised SystemExit" in caplog.text
        assert await Agent("other", handler=echo).ask("alive") == "alive"

    run(main)


def test_hooks_that_exit(exits: Callable[..., Any]) -> None:
    async def main(_system: ActorSystem) -> None:
        starts = Agent("starts", handler=echo, on_start=lambda: exits())
        with pytest.raises(AgentFailed) as failed:
            await starts.ask(1)
        assert isinstance(failed.value.__cause__, HandlerExited)
        stops = Agent("stops", handler=echo, on_stop=lambda: exits())
        async with AgentSupervisor("desk") as supervisor:
            supervisor.add_child("stops", stops)
            assert await stops.ask(1) == 1
        assert await Agent("other", handler=echo).ask("alive") == "alive"

    run(main)


def test_a_step_and_a_pattern_that_exit_fail(exits: Callable[..., Any]) -> None:
    async def main(_system: ActorSystem) -> None:
        for work in (exits, Agent("worker", handler=exits)):
            workflow = {"name": "flow", "steps": [{"id": "only", "agent": work}]}
            with pytest.raises(WorkflowFailed, match="HandlerExited"):
                await OrchestrationEngine().execute(workflow=workflow, input_data={})
            with pytest.raises(PatternFailed, match="raised SystemExit"):
                await SequentialOrchestration("row", [work, echo]).execute(1)
        assert await Agent("other", handler=echo).ask("alive") == "alive"

    run(main)


def test_a_task_that_exits_fails(exits: Callable[..., Any]) -> None:
    async def main(_system: ActorSystem) -> None:
        async with TaskSupervisor("tasks") as tasks:
            with pytest.raises(HandlerExited):
                await (await tasks.async_nolink(exits))
            assert await (await tasks.async_nolink(echo, 1)) == 1

    run(main)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_function_actor_that_exits_ends_with_its_crash(
    exits: Callable[..., Any], at_once: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(FunctionActor, exits, at_once=at_once)
        if not at_once:
            with pytest.raises(HandlerExited):
                await one.request(CALL)
        assert isinstance(await ended(one), HandlerExited)

    run(main)


def test_a_cancelled_handler_that_exits_in_its_cleanup() -> None:
    async def main(_system: ActorSystem) -> None:
        begun = asyncio.Event()

        async def handle(payload: Any) -> Any:
            if payload == "next":
                return payload
            begun.set()
            try:
                await asyncio.sleep(1000)
            finally:
                sys.exit(9)

        agent = Agent("parser", handler=handle)
        async with AgentSupervisor("desk") as supervisor:
            supervisor.add_child("parser", agent)
            asked = asyncio.ensure_future(agent.ask("wait"))
            await begun.wait()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            assert await agent.ask("next") == "next"

    run(main)


# -- what still ends the program -------------------------------------------------------------------


class Exits(Actor):
    def on_receive(self, message: Any) -> Any:
        raise message


class ExitsInAThread(Exits):
    dispatcher = "thread"


def test_an_actor_in_a_thread_crashes() -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(ExitsInAThread)
        with pytest.raises(HandlerExited):
            await one.request(SystemExit(1))
        one.tell(SystemExit(1))
        assert isinstance(await ended(one), HandlerExited)

    run(main)


PROGRAM = """
import asyncio
from agenticaiframework.actors import Actor, ActorSystem, Agent

class Raises(Actor):
    def on_receive(self, message):
        raise message

async def handle(payload):
    raise payload

async def main():
    async with ActorSystem() as system:
        await {asked}

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("asked", "returns"),
    [
        ("system.start(Raises).request(SystemExit(7))", 7),
        ("Agent('agent', handler=handle).ask(SystemExit(7))", 1),
        ("Agent('agent', handler=handle).ask(KeyboardInterrupt())", -2),
    ],
)
def test_what_ends_the_program(asked: str, returns: int) -> None:
    """An actor on the loop keeps pykka's contract, and a keyboard interrupt is for the program."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(asked=asked)], capture_output=True, timeout=60
    )
    assert ran.returncode == returns, ran.stderr.decode()


def test_an_actor_may_say_that_its_exit_is_a_crash() -> None:
    class Contained(Exits):
        exit_is_crash = True

    async def main(system: ActorSystem) -> None:
        one = system.start(Contained)
        with pytest.raises(HandlerExited):
            await one.request(SystemExit(7))

    run(main)


def test_a_record_says_so() -> None:
    records: list[str] = []

    async def main() -> None:
        async with ActorSystem():
            with pytest.raises(AgentFailed):
                await Agent("parser", handler=at_once).ask("leave")

    logger.enable("agenticaiframework")
    sink = logger.add(records.append, level="WARNING", format="{level} {message}")
    try:
        asyncio.run(main())
    finally:
        logger.remove(sink)
    [record] = records
    assert record.startswith(
        "WARNING parser crashed: HandlerExited: A handler of parser raised SystemExit"
    )
