"""Patterns ask agents with models for choices and verdicts as typed outputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

pytest.importorskip("pydantic_ai")

from pydantic_ai.messages import ToolCallPart

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    DebateOrchestration,
    HierarchicalOrchestration,
    NotAccepted,
    PatternFailed,
    ReflectionOrchestration,
    RouterOrchestration,
    TeamConfig,
    UnexpectedAnswer,
)
from agenticaiframework.testing import scripted_model

sys.path.insert(0, str(Path(__file__).parent))
from speaking import Speaker, call, simulated, speaker


def echo(name: str, description: str = "") -> Agent:
    async def handler(payload: Any) -> str:
        return f"{name}: {payload}"

    return Agent(name, handler, description=description)


def schema_of(asked: Speaker) -> Any:
    (tool,) = asked.infos[0].output_tools
    return tool.parameters_json_schema


def router(chooser: Speaker, *routes: Any, **options: Any) -> RouterOrchestration:
    return RouterOrchestration(
        "desk",
        list(routes) or [echo("billing", "Invoices"), echo("tech")],
        classifier=Agent("chooser", model=chooser.model, **options),
    )


# -- router ----------------------------------------------------------------------------------------


@simulated
async def test_a_router_asks_its_model_for_one_of_the_names() -> None:
    model = speaker(call("final_result", route="tech"))
    async with ActorSystem():
        assert await router(model).execute("it is broken") == "tech: it is broken"
    route = schema_of(model)["properties"]["route"]
    assert route["enum"] == ["billing", "tech"]
    assert "billing: Invoices" in route["description"]
    assert not model.infos[0].allow_text_output


@simulated
async def test_a_name_that_there_is_not_goes_back_to_the_model() -> None:
    model = speaker(call("final_result", route="sales"), call("final_result", route="billing"))
    async with ActorSystem():
        assert await router(model).execute("hm") == "billing: hm"
    assert "Input should be 'billing' or 'tech'" in str(model.asked[1])


@simulated
async def test_words_are_not_a_choice() -> None:
    model = speaker("I would say tech, or billing", call("final_result", route="billing"))
    async with ActorSystem():
        assert await router(model).execute("hm") == "billing: hm"
    assert len(model.asked) == 2


@simulated
async def test_a_model_that_never_chooses_is_an_error_and_never_a_guess() -> None:
    model = speaker("billing, I guess")
    async with ActorSystem():
        with pytest.raises(PatternFailed) as failed:
            await router(model).execute("hm")
    assert failed.value.expected
    assert len(model.asked) == 2


@simulated
async def test_where_rules_read_the_answer_the_classifier_answers_as_it_likes() -> None:
    model = speaker('{"topic": "money"}')
    routes = [
        {"condition": "output.topic == 'money'", "agent": echo("billing")},
        {"condition": "default", "agent": echo("tech")},
    ]
    async with ActorSystem():
        assert await router(model, *routes).execute("hm") == "billing: hm"
    assert model.infos[0].output_tools == []


@simulated
async def test_a_classifier_with_an_output_type_of_its_own_keeps_it() -> None:
    class Way(BaseModel):
        way: str

    model = speaker(call("final_result", way="tech"))
    async with ActorSystem():
        with pytest.raises(UnexpectedAnswer):
            await router(model, output_type=Way).execute("hm")
    assert list(schema_of(model)["properties"]) == ["way"]


@simulated
async def test_a_function_in_the_place_of_the_model_answers_with_a_name() -> None:
    desk = router(speaker("unused"))
    async with ActorSystem():
        with scripted_model(lambda agent, payload: " Tech "):
            assert await desk.execute("hm") == "tech: hm"


@simulated
async def test_a_name_alone_is_a_choice_and_a_yes_is_a_verdict() -> None:
    desk = router(speaker(ToolCallPart("final_result", '" Tech "')))
    critic = speaker(
        ToolCallPart("final_result", '"shorter"'), ToolCallPart("final_result", "true")
    )
    drafts = iter(["one", "two"])
    essay = ReflectionOrchestration(
        "post", maker=lambda p: next(drafts), reviewer=Agent("critic", model=critic.model)
    )
    async with ActorSystem():
        assert await desk.execute("hm") == "tech: hm"
        assert await essay.execute("x") == "two"


@simulated
async def test_a_pattern_as_classifier_hands_nothing_of_it_on() -> None:
    inner = speaker("billing")
    first = ReflectionOrchestration(
        "inner", maker=Agent("maker", model=inner.model), reviewer=lambda p: True
    )
    desk = RouterOrchestration("desk", [echo("billing"), echo("tech")], classifier=first)
    async with ActorSystem():
        assert await desk.execute("hm") == "billing: hm"
    assert inner.infos[0].output_tools == []


# -- reflection ------------------------------------------------------------------------------------


@simulated
async def test_a_critic_is_asked_for_a_verdict_and_its_feedback_goes_to_the_writer() -> None:
    poet = speaker("a long draft", "short")
    critic = speaker(
        call("final_result", approved=False, feedback="shorter"),
        call("final_result", approved=True, feedback=""),
    )
    essay = ReflectionOrchestration(
        "post",
        maker=Agent("poet", model=poet.model),
        reviewer=Agent("critic", model=critic.model),
    )
    async with ActorSystem():
        report = await essay.run("Flying cars")
    assert report.result() == "short"
    assert "shorter" in str(poet.asked[1])
    assert [*report.outcomes] == [
        "maker poet[1]",
        "reviewer critic[1]",
        "maker poet[2]",
        "reviewer critic[2]",
    ]


@simulated
async def test_a_critic_that_never_agrees_ends_with_the_last_draft_and_feedback() -> None:
    drafts = iter(["one", "two", "three"])
    essay = ReflectionOrchestration(
        "post",
        maker=lambda p: next(drafts),
        reviewer=Agent(
            "critic", model=speaker(call("final_result", approved=False, feedback="no")).model
        ),
        exhausted="fail",
    )
    async with ActorSystem():
        with pytest.raises(NotAccepted, match="limit of 3 rounds") as failed:
            await essay.execute("Flying cars")
    error = failed.value
    assert (error.draft, error.feedback, error.rounds) == ("three", "no", 3)


@simulated
async def test_free_words_of_a_critic_approve_nothing() -> None:
    critic = speaker("approved!", call("final_result", approved=False, feedback="no"))
    essay = ReflectionOrchestration(
        "post",
        maker=lambda p: "draft",
        reviewer=Agent("critic", model=critic.model),
        max_rounds=1,
        exhausted="fail",
    )
    async with ActorSystem():
        with pytest.raises(NotAccepted):
            await essay.execute("x")


# -- debate, hierarchy, discussion -----------------------------------------------------------------


@simulated
async def test_a_judge_decides_for_one_of_the_positions() -> None:
    judge = speaker(
        call("final_result", reason="both", decision="maybe"),
        call("final_result", reason="cheap", decision="no"),
    )
    debate = DebateOrchestration(
        "verdict",
        [Agent("ann", lambda p: "Yes"), Agent("bob", lambda p: "no")],
        rounds=1,
        judge=Agent("judge", model=judge.model),
    )
    async with ActorSystem():
        verdict = await debate.execute("buy it?")
    assert (verdict.decision, verdict.ended) == ("no", "judge")
    assert len(judge.asked) == 2


@simulated
async def test_a_judge_of_long_texts_decides_in_its_own_words() -> None:
    judge = speaker(call("final_result", reason="x", decision="buy half of it"))
    debate = DebateOrchestration(
        "verdict",
        [Agent("ann", lambda p: "Yes " * 100), Agent("bob", lambda p: "no " * 100)],
        rounds=1,
        judge=Agent("judge", model=judge.model),
    )
    async with ActorSystem():
        assert (await debate.execute("buy it?")).decision == "buy half of it"


@simulated
async def test_a_root_that_picks_is_asked_for_its_picks() -> None:
    root = speaker(
        call("final_result", answer="split", delegate=[{"agent": "editr"}]),
        call("final_result", answer="split", delegate=[{"agent": "writer", "task": "page 1"}]),
    )
    tree = HierarchicalOrchestration(
        "book",
        Agent("root", model=root.model),
        [{"parent": "root", "children": [echo("writer"), echo("editor")], "pick": True}],
    )
    async with ActorSystem():
        result = await tree.execute("a book")
    assert result == {"root": "split", "writer": "writer: page 1"}
    assert len(root.asked) == 2


@simulated
async def test_a_moderator_names_who_speaks_and_decides() -> None:
    moderator = speaker(
        call("final_result", reason="hear bob", next=["carl"]),
        call("final_result", reason="hear bob", next=["bob"]),
        call("final_result", reason="heard", decision="go"),
    )
    team = AgentTeam(
        "board",
        TeamConfig(
            decision_making="moderator",
            speaker_policy="moderator",
            moderator=Agent("chair", model=moderator.model),
        ),
        roles=[AgentRole(name="member")],
    )
    team.assign_agent(echo("ann"), "member")
    team.assign_agent(echo("bob"), "member")
    async with ActorSystem():
        talk = await team.discuss("launch?")
    assert (talk.decision, talk.ended, talk.rounds) == ("go", "moderator", 2)
    assert [c.speaker for c in talk.contributions] == ["ann", "bob", "bob"]


@simulated
async def test_a_moderator_has_to_decide_in_the_last_round() -> None:
    moderator = speaker(
        call("final_result", reason="not sure"), call("final_result", reason="well", decision="go")
    )
    team = AgentTeam(
        "board",
        TeamConfig(decision_making="moderator", moderator=Agent("chair", model=moderator.model)),
        roles=[AgentRole(name="member")],
    )
    team.assign_agent(echo("ann"), "member")
    async with ActorSystem():
        talk = await team.discuss("launch?", max_rounds=1)
    assert talk.decision == "go"
    assert len(moderator.asked) == 2
