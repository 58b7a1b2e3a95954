"""The page's blocks on teams, run as they stand."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from blocks import block, run_block

from agenticaiframework.actors import ModelFields
from agenticaiframework.orchestration import Handoff


async def team_of(cast: Any, **answers: Any) -> tuple[Any, dict[str, Any]]:
    """The team of the page's first two blocks, with agents that answer by *answers*."""
    names = await run_block(block("Agent Teams / Basic Usage"))
    agents = {
        "research_agent_1": cast.agent(
            "research_agent_1",
            answers.get("researcher"),
            capabilities=["web_search", "document_analysis"],
        ),
        "research_agent_2": cast.agent(
            "research_agent_2",
            answers.get("researcher"),
            capabilities=["web_search", "document_analysis"],
        ),
        "analyst_agent": cast.agent(
            "analyst_agent",
            answers.get("analyst"),
            capabilities=["data_analysis", "visualization"],
        ),
        "writer_agent": cast.agent(
            "writer_agent", answers.get("writer"), capabilities=["writing", "formatting"]
        ),
    }
    team = names["team"]
    return team, agents


async def assigned_team(cast: Any, **answers: Any) -> tuple[Any, dict[str, Any]]:
    team, agents = await team_of(cast, **answers)
    await run_block(block("Agent Teams / Assign Agents to Roles"), {"team": team, **agents})
    return team, agents


def test_the_basic_block_makes_three_roles(in_system: Any) -> None:
    async def main() -> None:
        names = await run_block(block("Agent Teams / Basic Usage"))
        team = names["team"]
        assert team.name == "research_team"
        assert set(team.roles) == {"researcher", "analyst", "writer"}

    in_system(main)


def test_the_assignment_block_gives_each_agent_its_role(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        team, agents = await assigned_team(cast)
        # Both of its ways together leave every agent where its capabilities put it.
        found = {role: {a.name for a in team.agents_in(role)} for role in team.roles}
        assert found == {
            "researcher": {"research_agent_1", "research_agent_2"},
            "analyst": {"analyst_agent"},
            "writer": {"writer_agent"},
        }
        with pytest.raises(Exception, match="reviewer"):
            team.assign_agent(agents["writer_agent"], role="reviewer")

    in_system(main)


def test_the_execution_block_is_led_by_a_researcher_and_goes_through_the_roles(
    cast: Any, in_system: Any
) -> None:
    async def main() -> None:
        team, _ = await assigned_team(
            cast,
            researcher=lambda p: {"facts": "many"},
            analyst=lambda p: {"insight": "one"},
            writer=lambda p: {"report": "words"},
        )
        names = await run_block(block("Agent Teams / Team Execution"), {"team": team})
        # execute_task: someone of the coordinator's role saw the task first.
        assert cast.asked[0] in ("research_agent_1", "research_agent_2")
        assert "Research AI trends" in str(cast.log[0][1])
        # execute_workflow: the last three, in the order of its steps.
        order = [name.rstrip("_12") for name in cast.asked[-3:]]
        assert order == ["research_agent", "analyst_agent", "writer_agent"]
        assert "AI trends 2024" in str(cast.log[-3][1])
        assert "many" in str(cast.log[-2][1])
        assert "one" in str(cast.log[-1][1])
        assert "words" in str(names["result"])

    in_system(main)


def test_the_handoffs_block_transforms_the_data_on_its_way(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        team, _ = await assigned_team(
            cast,
            researcher=lambda p: Handoff("research_complete", ["fact"]),
            analyst=lambda p: ModelFields(trigger="analysis_complete", data="insight"),
            writer=lambda p: {"report": "words"},
        )
        await run_block(block("Agent Teams / Agent Handoffs"), {"team": team})
        result = await team.execute_task(task="Report", coordinator="researcher")
        (analysed,) = cast.payloads("analyst_agent")
        (written,) = cast.payloads("writer_agent")
        assert "'research_data': ['fact']" in str(analysed)
        assert "'analysis'" in str(written)
        assert "insight" in str(written)
        assert "words" in str(result)

    in_system(main)


def test_untriggered_handoffs_never_run(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        transformed: list[Any] = []
        from agenticaiframework.orchestration import AgentHandoff

        team, _ = await assigned_team(cast, researcher=lambda p: {"facts": "many"})
        team.configure_handoffs(
            [
                AgentHandoff(
                    from_role="researcher",
                    to_role="analyst",
                    trigger="never_returned",
                    data_transform=transformed.append,
                )
            ]
        )
        await team.execute_task(task="Report", coordinator="researcher")
        assert transformed == []

    in_system(main)


def test_the_communication_block_answers_a_question_to_everybody_else_and_discusses(
    cast: Any, in_system: Any
) -> None:
    async def main() -> None:
        team, agents = await assigned_team(
            cast, analyst=lambda p: "include them", writer=lambda p: "include them"
        )
        heard: dict[str, list[Any]] = {name: [] for name in agents}
        writer_heard = asyncio.Event()
        for name, agent in agents.items():

            @agent.on_message
            async def listen(msg: Any, name: str = name) -> None:
                heard[name].append(msg.content)
                if name == "writer_agent":
                    writer_heard.set()

        async def generate_response(content: Any) -> str:
            return f"answer to {content}"

        names = await run_block(
            block("Agent Teams / Team Communication"),
            {
                "team": team,
                "researcher_agent": agents["research_agent_1"],
                "generate_response": generate_response,
            },
        )
        asked = [name for name in cast.asked if name in ("analyst_agent", "writer_agent")]
        assert set(asked) == {"analyst_agent", "writer_agent"}
        assert 2 <= len(asked) <= 6
        assert names["discussion"].rounds <= 3

        await team.send("research_agent_1", "why?", type="question", sender="analyst")
        await writer_heard.wait()
        assert heard["writer_agent"] == ["answer to why?"]
        assert "answer to why?" not in heard["research_agent_1"]

    in_system(main)
