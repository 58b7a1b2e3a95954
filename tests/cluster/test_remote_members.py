"""Teams and patterns whose agents with models work on other nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import far_handlers
from far_actors import STATE

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.actors.simulation import SimCluster
from agenticaiframework.orchestration import AgentRole, AgentTeam, RouterOrchestration, TeamConfig
from agenticaiframework.testing import scripted_model

Run = Callable[..., Any]
MODEL = "openai:gpt-4o"


def test_members_on_other_nodes_hand_a_conversation_over(in_cluster: Run) -> None:
    def script(request: Any) -> Any:
        done = any(result.tool == "pays" for result in request.results)
        if request.agent == "travel agent":
            return "Your flight is refunded" if done else request.call("transfer_to_refunder")
        if done:
            return request.call("transfer_to_travel_agent")
        if request.payload.isdigit():
            return request.call("pays", sum=int(request.payload))
        return request.call("transfer_to_user", message="What is its number?")

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        STATE.clear()
        roles = [AgentRole(name=name) for name in ("travel_agent", "refunder", "user")]
        team = AgentTeam("desk", TeamConfig(mode="swarm"), roles=roles)
        team.assign_agent(Agent("travel agent", model=MODEL, node="a"), "travel_agent")
        refunder = Agent("refunder", model=MODEL, tools=[far_handlers.pays], node="b")
        team.assign_agent(refunder, "refunder")
        with scripted_model(script):
            first = await team.ask("I need to refund my flight.", session="c")
            assert (first.waiting, first.final) == (True, "What is its number?")
            result = await team.ask("507811", session="c")
        assert (result.waiting, result.final) == (False, "Your flight is refunded")
        assert STATE["pays"] == [507811]
        said = [(one.role, one.kind) for one in result.conversation]
        assert said[:2] == [("user", "message"), ("travel_agent", "handoff")]
        assert ("refunder", "tool") in said

    in_cluster(main)


def test_what_a_member_on_another_node_does_to_the_teams_state_comes_back(in_cluster: Run) -> None:
    def script(request: Any) -> Any:
        done = any(result.tool == "counts_a_visit" for result in request.results)
        return "counted" if done else request.call("counts_a_visit")

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        roles = [AgentRole(name="desk"), AgentRole(name="other")]
        team = AgentTeam("desk", TeamConfig(mode="swarm", state=dict), roles=roles)
        desk = Agent("desk", model=MODEL, tools=[far_handlers.counts_a_visit], node="a")
        team.assign_agent(desk, "desk")
        team.assign_agent(Agent("other", model=MODEL, node="b"), "other")
        with scripted_model(script):
            for visits in (1, 2):
                result = await team.ask("hello", session="c")
                assert result.state == {"visits": visits}

    in_cluster(main)


def test_a_classifier_on_another_node_chooses_one_of_the_routes(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        classifier = Agent("classifier", model=MODEL, node="gpu")
        router = RouterOrchestration(
            "r",
            [
                Agent("sees", handler=far_handlers.sees, node="gpu"),
                Agent("raises", handler=far_handlers.raises),
            ],
            classifier=classifier,
        )
        seen: list[Any] = []

        def script(request: Any) -> Any:
            seen.append(request.schema)
            return {"route": "sees"}

        with scripted_model(script):
            assert await router.execute("anything") == {}
        assert "sees" in str(seen[0])

    in_cluster(main)
