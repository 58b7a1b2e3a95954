"""Code without an event loop: `ask_sync`, `execute_sync`, `run_sync`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from agenticaiframework import (
    ActorSystem,
    Agent,
    AgentFailed,
    AgentSupervisor,
    AgentTimeout,
    OrchestrationEngine,
    SequentialOrchestration,
    WorkflowFailed,
    run_sync,
)
from agenticaiframework.actors import CallingSelf, WouldBlock


@pytest.fixture(autouse=True)
def system() -> Iterator[ActorSystem]:
    """Start the only system of the process in the background, as a program without a loop has one."""
    with ActorSystem.in_background() as background:
        yield background


def shout(text: str) -> str:
    return text.upper()


def test_an_agent_answers_a_caller_without_a_loop(system: ActorSystem) -> None:
    agent = Agent("loud", shout)
    assert agent.ask_sync("tea") == "TEA"
    assert agent.ask_sync("more") == "MORE"
    assert agent.address(system).incarnation == 1


def test_what_asking_raises_is_raised_there_too() -> None:
    def fail(_: object) -> None:
        raise ValueError("no tea")

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(AgentFailed, match="no tea") as caught:
        Agent("kettle", fail).ask_sync("tea")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(AgentTimeout):
        Agent("sleeper", never).ask_sync("tea", timeout=0.05)


def test_a_pattern_and_a_workflow_are_executed_from_plain_code() -> None:
    agent = Agent("loud", shout)
    assert SequentialOrchestration("p", [agent]).execute_sync("tea") == "TEA"
    engine = OrchestrationEngine()
    engine.register_agent("loud", agent)
    flow = {"name": "w", "steps": [{"id": "one", "agent": "loud", "input": "$input"}]}
    result = engine.execute_sync(flow, "tea")
    assert result["one"] == "TEA"
    # The engine lives on in the same system, so that the next call finds the run.
    assert run_sync(engine.get_workflow_status(result.workflow_id)).progress == 100
    with pytest.raises(WorkflowFailed):
        engine.execute_sync({"name": "x", "steps": [{"id": "a", "agent": lambda _: 1 // 0}]}, 1)
    run_sync(engine.stop())


def test_a_supervisor_lives_from_one_call_to_the_next() -> None:
    supervisor = AgentSupervisor("desk")
    supervisor.add_child("loud", Agent("loud", shout))
    run_sync(supervisor.start())
    assert run_sync(supervisor.ask("loud", "tea")) == "TEA"
    run_sync(supervisor.stop())


def test_on_a_loop_each_is_refused_with_the_call_that_works() -> None:
    agent = Agent("loud", shout)

    async def main() -> None:
        with pytest.raises(WouldBlock, match=r"`await agent\.ask\(\.\.\.\)`"):
            agent.ask_sync("tea")
        with pytest.raises(WouldBlock, match=r"`await engine\.execute\(\.\.\.\)`"):
            OrchestrationEngine().execute_sync("w")
        with pytest.raises(WouldBlock, match=r"`await pattern\.execute\(\.\.\.\)`"):
            SequentialOrchestration("p", [agent]).execute_sync("tea")
        # Without a warning about a coroutine that was never awaited, which would be an error here.
        with pytest.raises(WouldBlock, match="run_sync"):
            run_sync(agent.ask("tea"))

    asyncio.run(main())


def test_many_threads_ask_at_the_same_time() -> None:
    agent = Agent("loud", shout)
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = agent.ask_sync(f"tea {number}")

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: f"TEA {n}" for n in range(8)}


def test_a_plain_handler_asks_another_agent() -> None:
    inner = Agent("inner", shout)
    outer = Agent("outer", lambda text: inner.ask_sync(text) + "!")
    assert outer.ask_sync("tea") == "TEA!"
    pattern = SequentialOrchestration("p", [inner])
    by_pattern = Agent("by pattern", lambda text: pattern.execute_sync(text) + "?")
    assert by_pattern.ask_sync("tea") == "TEA?"


def test_handlers_that_wait_for_each_other_in_a_circle_are_told_so() -> None:
    agents: dict[str, Agent] = {}
    agents["a"] = Agent("a", lambda text: agents["b"].ask_sync(text))
    agents["b"] = Agent("b", lambda text: agents["a"].ask_sync(text))
    with pytest.raises(AgentFailed) as caught:
        agents["a"].ask_sync("tea")
    causes: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert any(isinstance(each, CallingSelf) for each in causes)
