"""Nodes, and what runs where, as trees, the observer and metrics show them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from far_actors import Far, work

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import SimCluster
from agenticaiframework.orchestration import AgentSupervisor

Run = Callable[..., Any]


def test_a_tree_names_the_nodes_of_its_children_and_each_start_anew(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        supervisor = AgentSupervisor("s")
        supervisor.add_child("far", Agent("far", handler=work, node="gpu"))
        supervisor.add_child("near", Agent("near", handler=work))
        async with supervisor:
            nodes = {node.name: node.node for _, node in supervisor.tree().walk()}
            assert nodes["s"] is nodes["near"] is None
            first = nodes["far"]
            assert first in ("a", "b")
            assert f"on {first}" in str(supervisor.tree())
            assert f"on {first}" in supervisor.tree().mermaid()
            cluster.kill(first)
            await asyncio.sleep(5)
            [second] = {"a", "b"} - {first}
            assert supervisor.tree().find("far").node == second

    in_cluster(main)


def test_the_states_of_nodes_count_actors_messages_and_losses(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        await ref.request(("where",))
        states = {state.node.name: state for state in system.cluster.states()}
        assert list(states) == ["head", "a", "b", "c"]
        assert states["head"].is_head
        assert states["head"].is_here
        assert states["a"].actors == states["b"].actors + 1
        assert states["a"].sent > 0
        cluster.cut("head", "a")
        for number in range(5):
            ref.tell(number)
        await asyncio.sleep(0.1)
        assert system.cluster.states()[1].waiting >= 5
        await asyncio.sleep(10)
        *members, lost = system.cluster.states()
        assert [state.node.name for state in members] == ["head", "b", "c"]
        assert (lost.node.name, lost.lost.node) == ("a", lost.node)
        assert lost.lost.never_sent + lost.lost.maybe_delivered == 5
        assert lost.lost_at < system.clock()

    in_cluster(main)


def test_the_observer_tells_nodes_and_what_runs_where(in_cluster: Run) -> None:
    pytest.importorskip("starlette")
    from agenticaiframework.observer.data import Observed

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("far", handler=work, node="a")
        supervisor = AgentSupervisor("s")
        supervisor.add_child("far", agent)
        async with supervisor:
            await agent.ask(1)
            observed = Observed(system)
            nodes = await observed.nodes()
            assert [(node["name"], node["state"]) for node in nodes] == [
                ("head", "up"), ("a", "up"), ("b", "up"), ("c", "up"),
            ]  # fmt: skip
            assert nodes[1]["labels"] == ["gpu"]
            tree = await observed.tree()
            assert [child["node"] for child in tree["rows"][0]["children"]] == ["a"]
            found = await observed.actors(query="far")
            assert [row["node"] for row in found["rows"]] == ["a"]
            cluster.kill("a")
            await asyncio.sleep(3)
            assert (await observed.nodes())[-1]["state"] == "down"
            await observed.close()

    in_cluster(main)


def test_metrics_count_nodes_messages_and_losses(in_cluster: Run) -> None:
    pytest.importorskip("prometheus_client")
    from agenticaiframework.metrics import measure, metrics_text

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        measures = measure(system)
        agent = Agent("far", handler=work, node="a")
        await agent.ask(1)
        measures.refresh()
        lines = metrics_text(measures).splitlines()
        assert 'agenticaiframework_cluster_nodes{system="head"} 4.0' in lines
        assert 'agenticaiframework_actors{actor="far",system="head"} 1.0' in lines
        cluster.kill("a")
        await asyncio.sleep(3)
        measures.refresh()
        lines = metrics_text(measures).splitlines()
        assert 'agenticaiframework_cluster_nodes{system="head"} 3.0' in lines
        assert 'agenticaiframework_cluster_losses_total{node="a",system="head"} 1.0' in lines
        measures.stop()

    in_cluster(main)
