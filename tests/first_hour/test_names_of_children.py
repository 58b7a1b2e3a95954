"""A pattern finds a supervised agent by the name that it has as a child."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from agenticaiframework import (
    Agent,
    AgentRole,
    AgentSupervisor,
    AgentTeam,
    OrchestrationEngine,
    SequentialOrchestration,
)
from agenticaiframework.actors import UnknownAgent, find_agent


def shout(text: str) -> str:
    return text.upper()


def desk(name: str) -> AgentSupervisor:
    supervisor = AgentSupervisor("desk")
    supervisor.add_child(name, Agent("Loudspeaker", shout))
    return supervisor


def test_a_step_names_the_child_before_and_after_the_supervisor_has_started() -> None:
    async def main() -> None:
        supervisor = desk("speaker")
        before = SequentialOrchestration("before", ["speaker"])
        async with supervisor:
            after = SequentialOrchestration("after", ["speaker", "Loudspeaker"])
            assert await before.execute("tea") == "TEA"
            assert await after.execute("tea") == "TEA"

    asyncio.run(main())


def test_a_child_that_was_removed_is_not_found_any_more_and_its_agent_is() -> None:
    async def main() -> None:
        supervisor = desk("removed")
        agent = find_agent("removed")
        await supervisor.remove_child("removed")
        with pytest.raises(UnknownAgent):
            find_agent("removed")
        assert find_agent("Loudspeaker") is agent
        supervisor.add_child("removed", agent)
        assert find_agent("removed") is agent

    asyncio.run(main())


def test_the_name_keeps_no_agent_alive() -> None:
    supervisor = desk("dropped")
    agent = weakref.ref(find_agent("dropped"))
    del supervisor
    gc.collect()
    assert agent() is None
    with pytest.raises(UnknownAgent):
        find_agent("dropped")


def writers() -> AgentTeam:
    team = AgentTeam("writers", roles=[AgentRole(name="writer")])
    team.assign_agent(Agent("typist", shout), "writer")
    return team


def test_a_supervised_team_is_found_by_its_name_and_no_longer_once_it_is_removed() -> None:
    async def main() -> None:
        supervisor = AgentSupervisor("desk")
        supervisor.add_child("press", writers())
        workflow = {"name": "w", "steps": [{"id": "print", "agent": "press"}]}
        async with supervisor, OrchestrationEngine() as engine:
            answer = await SequentialOrchestration("p", ["press"]).execute("tea")
            assert answer["typist"] == "TEA"
            result = await engine.execute(workflow, "milk")
            assert result["print"]["typist"] == "MILK"
            await supervisor.remove_child("press")
            with pytest.raises(UnknownAgent):
                find_agent("press")

    asyncio.run(main())


def test_a_supervised_supervisor_is_not_taken_for_what_can_be_asked() -> None:
    inner, outer = AgentSupervisor("inner"), AgentSupervisor("outer")
    outer.add_child("inner", inner)
    with pytest.raises(UnknownAgent):
        find_agent("inner")


def test_of_two_supervisors_each_context_finds_its_own_child() -> None:
    async def serve(answer: str) -> str:
        supervisor = AgentSupervisor(f"desk {answer}")
        supervisor.add_child("worker", Agent(f"agent {answer}", lambda _: answer))
        async with supervisor:
            await asyncio.sleep(0)
            found: str = await SequentialOrchestration("p", ["worker"]).execute("?")
        return found

    async def main() -> None:
        assert await asyncio.gather(*map(serve, "abc")) == ["a", "b", "c"]

    asyncio.run(main())
