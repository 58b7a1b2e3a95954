"""An agent with a node is asked, supervised, cancelled and found like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from far_actors import STATE, work

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    AgentTimeout,
    CannotTravel,
    NotInCluster,
    WrongUse,
)
from agenticaiframework.actors.simulation import SimCluster
from agenticaiframework.orchestration import AgentSupervisor, OrchestrationEngine, RestartPolicy

Run = Callable[..., Any]


def test_it_answers_on_its_node(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="gpu")
        assert await agent.ask(1) == (1, "node a#1")
        result = await agent.run(2)
        assert result.output == (2, "node a#1")
        assert agent.is_alive
        await agent.stop()
        assert not agent.is_alive
        assert not cluster.node("a").system.whereis("far")
        assert (await agent.ask(3))[0] == 3  # started afresh, on demand

    in_cluster(main)


def test_its_error_is_the_cause_and_its_crash_the_supervisors_matter(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="gpu")
        supervisor = AgentSupervisor("s", restart_policy=RestartPolicy(max_restarts=3))
        supervisor.add_child("far", agent)
        async with supervisor:
            with pytest.raises(AgentFailed) as caught:
                await agent.ask(("raise", ValueError("bad")))
            assert repr(caught.value.__cause__) == "ValueError('bad')"
            assert (await agent.ask(2))[0] == 2
            assert agent.address().incarnation == 2

    in_cluster(main)


def test_an_expected_error_leaves_it_alive(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="gpu", expected_errors=(KeyError,))
        await agent.ask(0)
        before = agent.address().ref
        with pytest.raises(AgentFailed) as caught:
            await agent.ask(("raise", KeyError("k")))
        assert caught.value.expected
        assert agent.address().ref is before
        assert agent.is_alive

    in_cluster(main)


@pytest.mark.parametrize("way", ["timeout", "cancel"])
def test_work_that_nobody_waits_for_is_cancelled_there(in_cluster: Run, way: str) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="gpu")
        STATE.pop(way, None)
        if way == "timeout":
            with pytest.raises(AgentTimeout):
                await agent.ask(("sleep", 60, way), timeout=1)
        else:
            task = asyncio.create_task(agent.ask(("sleep", 60, way)))
            await asyncio.sleep(1)
            task.cancel()
        await asyncio.sleep(1)
        assert STATE[way] == ["cancelled"]
        assert (await agent.ask(2))[0] == 2

    in_cluster(main)


def test_several_at_once_and_a_crash_costs_only_its_own_request(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="gpu", concurrency=3)
        began = system.clock()
        sleeps = [agent.request(("sleep", 10, "several")) for _ in range(2)]
        with pytest.raises(AgentFailed):
            await agent.ask(("raise", ValueError("bad")))
        for request in sleeps:
            assert (await request)[0] == ("sleep", 10, "several")
        assert system.clock() - began < 12

    in_cluster(main)


def test_what_cannot_work_is_said_at_once(in_cluster: Run) -> None:
    async def closure(payload: Any) -> Any:
        return payload

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        with pytest.raises(CannotTravel, match="The handler of agent 'local'"):
            await Agent("local", handler=closure, node="gpu").ask(1)

    with pytest.raises(AgentDefinitionError, match="node"):
        Agent("x", handler=work, node=3)  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="cluster=3"):
        ActorSystem(cluster=3)  # type: ignore[arg-type]
    in_cluster(main)


def test_without_a_cluster_an_agent_with_a_node_says_what_is_missing(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(NotInCluster, match="RayCluster"):
            await Agent("far", handler=work, node="gpu").ask(1)

    in_sim(main)


def test_a_supervisor_ends_its_children_on_other_nodes(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agents = [Agent(f"far{n}", handler=work, node="*") for n in range(4)]
        supervisor = AgentSupervisor("s")
        for agent in agents:
            supervisor.add_child(agent.name, agent)
        await supervisor.start()
        assert len({(await agent.ask(0))[1] for agent in agents}) == 3
        await supervisor.stop()
        for name in "abc":
            left = [ref.name for ref in cluster.node(name).system.actors()]
            assert not [label for label in left if label and label.startswith("far")]

    in_cluster(main)


def test_the_time_of_a_step_counts_from_when_its_agent_takes_it_up(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="gpu")
        one = agent.request_step(("sleep", 3, "x"), 4)
        other = agent.request_step(("sleep", 3, "x"), 4)
        assert (await one)[0] == (await other)[0] == ("sleep", 3, "x")
        with pytest.raises(AgentTimeout):
            await agent.request_step(("sleep", 5, "x"), 4)

    in_cluster(main)


def test_a_run_goes_on_when_the_node_of_a_step_is_killed(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        engine = OrchestrationEngine()
        agent = Agent("far", handler=work, node="gpu")
        supervisor = AgentSupervisor("s")
        supervisor.add_child("far", agent)
        engine.register_agent("far", agent)
        await supervisor.start()
        step = {"id": "one", "agent": "far", "input": {"n": 1}, "retry": {"attempts": 3}}
        run = asyncio.create_task(engine.execute({"name": "w", "steps": [step]}, {}))
        await asyncio.sleep(0)
        where = next(n for n in "ab" if cluster.node(n).system.whereis("far"))
        cluster.kill(where, after_entries=0)
        result = await run
        assert result["one"][0] == {"n": 1}
        assert result["one"][1] != f"node {cluster.node(where).info.id}"
        await supervisor.stop()
        await engine.stop()

    in_cluster(main)
