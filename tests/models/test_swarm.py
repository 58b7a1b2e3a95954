"""Teams in swarm mode: one member has the conversation at a time, and hands it over by a tool."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

pytest.importorskip("pydantic_ai")

from pydantic_ai import RunContext
from pydantic_ai.messages import ToolReturnPart, UserPromptPart

from agenticaiframework import Agent, Guardrail, GuardrailTripped
from agenticaiframework.actors import ActorSystem, agent_context, causes_of
from agenticaiframework.models import Replace, ScriptedRequest
from agenticaiframework.patterns import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    DefinitionError,
    Handoff,
    PatternFailed,
    SequentialOrchestration,
    TeamConfig,
    TeamError,
    WrongHandoff,
    team_state,
)
from agenticaiframework.patterns.teams import HandingOver, StateUnavailable
from agenticaiframework.testing import scripted_model

sys.path.insert(0, str(Path(__file__).parent))
from speaking import Speaker, call, last_part, simulated, speaker


def swarm(
    members: dict[str, Any],
    *rules: AgentHandoff,
    roles: dict[str, str] | None = None,
    **config: Any,
) -> AgentTeam:
    """Return a swarm of one member a role, called like it; a `Speaker` is made an agent with a model."""
    team = AgentTeam(
        "desk",
        TeamConfig(mode="swarm", **config),
        roles=[AgentRole(name=name, description=(roles or {}).get(name, "")) for name in members],
    )
    for name, member in members.items():
        if isinstance(member, Speaker):
            member = Agent(name, model=member.model)
        if member is not None:
            team.assign_agent(member, name)
    if rules:
        team.configure_handoffs(rules)
    return team


def outputs(asked: Speaker, request: int = 0) -> dict[str, str | None]:
    return {tool.name: tool.description for tool in asked.infos[request].output_tools}


# -- tools -----------------------------------------------------------------------------------------


@simulated
async def test_without_rules_each_role_may_hand_over_to_each_other() -> None:
    lead = speaker("hello")
    team = swarm(
        {"lead": lead, "seats": speaker("x"), "user": None}, roles={"seats": "Moves seats"}
    )
    async with ActorSystem():
        result = await team.ask("hi")
    tools = outputs(lead)
    assert list(tools) == ["transfer_to_seats", "transfer_to_user"]
    assert tools["transfer_to_seats"] == "Hand the conversation over to seats. Moves seats"
    assert (result.final, result.speaker, result.waiting) == ("hello", "lead", False)
    assert lead.infos[0].allow_text_output


@simulated
async def test_a_plain_answer_of_the_lead_asks_nobody_else() -> None:
    seats = speaker("x")
    team = swarm({"lead": speaker("hello"), "seats": seats})
    async with ActorSystem():
        result = await team.ask("hi")
    assert dict(result) == {"lead": "hello"}
    assert seats.asked == []


@simulated
async def test_rules_say_who_hands_over_to_whom_by_which_tool() -> None:
    lead, seats = speaker(call("wants_a_seat")), speaker("3A")
    team = swarm(
        {"lead": lead, "seats": seats, "refunds": speaker("x")},
        AgentHandoff(
            from_role="lead", to_role="seats", trigger="wants a seat", description="Seats."
        ),
        AgentHandoff(from_role="lead", to_role="refunds"),
    )
    async with ActorSystem():
        result = await team.ask("a seat, please")
    tools = outputs(lead)
    assert tools == {
        "wants_a_seat": "Seats.",
        "transfer_to_refunds": "Hand the conversation over to refunds.",
    }
    assert outputs(seats) == {}
    assert result.final == "3A"
    assert [(h.from_role, h.to_role, h.trigger) for h in result.handoffs] == [
        ("lead", "seats", "wants a seat")
    ]


@simulated
async def test_a_misspelt_tool_goes_back_to_the_model() -> None:
    lead = speaker(call("transfer_to_seets"), call("transfer_to_seats"))
    team = swarm({"lead": lead, "seats": speaker("3A")})
    async with ActorSystem():
        assert (await team.ask("hi")).final == "3A"
    assert "Available tools: 'transfer_to_seats'" in str(lead.asked[1])


@simulated
async def test_a_tool_that_there_never_is_is_an_expected_error() -> None:
    team = swarm({"lead": speaker(call("transfer_to_nobody")), "seats": speaker("3A")})
    async with ActorSystem():
        with pytest.raises(PatternFailed) as failed:
            await team.ask("hi")
    assert failed.value.expected


class Wish(BaseModel):
    seat: str
    window: bool = False


@simulated
async def test_what_is_handed_over_has_a_type() -> None:
    lead = speaker(call("transfer_to_seats", row=1), call("transfer_to_seats", seat="1A"))
    seen: list[Any] = []

    async def seats(payload: Any) -> str:
        seen.append(payload)
        return "done"

    team = swarm(
        {"lead": lead, "seats": Agent("seats", seats)},
        AgentHandoff(from_role="lead", to_role="seats", payload=Wish),
    )
    async with ActorSystem():
        await team.ask("a seat")
    assert seen == [Wish(seat="1A")]
    assert len(lead.asked) == 2


@simulated
async def test_free_text_that_looks_like_a_command_is_an_answer() -> None:
    text = '{"trigger": "transfer_to_seats", "data": {}}'
    team = swarm({"lead": speaker(text), "seats": speaker("x")})
    async with ActorSystem():
        result = await team.ask("hi")
    assert (result.final, result.handoffs) == (text, ())


@simulated
async def test_a_member_with_an_output_type_may_hand_over_too() -> None:
    lead = speaker(call("transfer_to_seats"), call("final_result_Wish", seat="1A"))
    team = swarm(
        {"lead": Agent("lead", model=lead.model, output_type=Wish), "seats": speaker("ok")}
    )
    async with ActorSystem():
        assert (await team.ask("hi")).final == "ok"
        result = await team.ask("hi")
    assert result.final == Wish(seat="1A")


@simulated
async def test_two_triggers_that_would_be_one_tool_are_refused() -> None:
    team = swarm(
        {"lead": speaker("x"), "a": speaker("x"), "b": speaker("x")},
        AgentHandoff(from_role="lead", to_role="a", trigger="go on"),
        AgentHandoff(from_role="lead", to_role="b", trigger="go_on"),
    )
    async with ActorSystem():
        with pytest.raises(TeamError, match="would both be the tool 'go_on'"):
            await team.ask("hi")


# -- the conversation ------------------------------------------------------------------------------


@simulated
async def test_whoever_goes_on_sees_the_whole_conversation() -> None:
    lead, seats = speaker(call("transfer_to_seats")), speaker("3A")
    team = swarm({"lead": lead, "seats": seats})
    async with ActorSystem():
        await team.ask("a seat by the window")
    first, _, handed = seats.asked[0]
    assert "a seat by the window" in str(first.parts[0])
    assert isinstance(last_part([handed]), ToolReturnPart)
    assert "handed over to seats" in last_part([handed]).content


@simulated
async def test_whoever_spoke_last_takes_the_next_message_of_the_session() -> None:
    lead, seats = speaker(call("transfer_to_seats"), "hello"), speaker("which?", "done")
    team = swarm({"lead": lead, "seats": seats})
    async with ActorSystem():
        assert (await team.ask("a seat", session="one")).final == "which?"
        assert (await team.ask("hi", session="two")).final == "hello"
        result = await team.ask("3A", session="one")
    assert (result.final, result.speaker) == ("done", "seats")
    assert "a seat" in str(seats.asked[1])
    assert "which?" in str(seats.asked[1])
    assert "hi" not in [
        p.content for m in seats.asked[1] for p in m.parts if isinstance(p, UserPromptPart)
    ]
    assert len(lead.asked) == 2


@simulated
async def test_without_a_session_each_task_begins_with_the_lead() -> None:
    lead = speaker(call("transfer_to_seats"))
    team = swarm({"lead": lead, "seats": speaker("which?")})
    async with ActorSystem():
        await team.ask("a seat")
        await team.ask("3A")
    assert len(lead.asked) == 2
    assert len(lead.asked[1]) == 1


@simulated
async def test_handed_over_to_the_user_a_team_waits_for_the_next_message() -> None:
    lead = speaker(call("transfer_to_user", message="Which flight?"), "refunded")
    team = swarm({"lead": lead, "user": None})
    async with ActorSystem():
        asked = await team.ask("a refund", session="s")
        assert (asked.final, asked.waiting) == ("Which flight?", True)
        done = await team.ask("507811", session="s")
    assert (done.final, done.waiting) == ("refunded", False)
    assert [(u.speaker, u.kind) for u in done.conversation] == [
        ("user", "message"),
        ("lead", "handoff"),
        ("user", "message"),
        ("lead", "message"),
    ]
    assert done.to_dict()["conversation"][2]["content"] == "507811"


@simulated
async def test_what_came_of_a_task_that_failed_is_no_part_of_the_conversation() -> None:
    lead = speaker(call("transfer_to_seats"), "hello again")
    team = swarm({"lead": lead, "seats": speaker(ConnectionError("down"))})
    async with ActorSystem():
        with pytest.raises(PatternFailed) as failed:
            await team.ask("a seat", session="s")
        assert failed.value.expected
        result = await team.ask("still there?", session="s")
    assert result.final == "hello again"
    assert [u.content for u in result.conversation] == ["still there?", "hello again"]


@simulated
async def test_a_session_has_one_turn_at_a_time() -> None:
    lead = speaker("one", "two")
    lead.waits = asyncio.Event()
    team = swarm({"lead": lead})
    async with ActorSystem():
        asked = [asyncio.ensure_future(team.ask(n, session="s")) for n in ("a", "b")]
        await asyncio.sleep(1)
        assert len(lead.asked) == 1
        lead.waits.set()
        first, second = await asyncio.gather(*asked)
    assert [first.final, second.final] == ["one", "two"]
    assert [u.content for u in second.conversation] == ["a", "one", "b", "two"]


@simulated
async def test_a_turn_that_is_cancelled_lets_the_next_one_of_its_session_begin() -> None:
    lead = speaker("one", "two")
    lead.waits = asyncio.Event()
    team = swarm({"lead": lead})
    async with ActorSystem():
        with pytest.raises(PatternFailed):
            await team.execute_task("a", session="s", timeout=1)
        lead.waits.set()
        result = await team.ask("b", session="s")
    assert [u.content for u in result.conversation] == ["b", "two"]


@simulated
async def test_a_circle_of_handoffs_ends_with_an_error() -> None:
    team = swarm(
        {"lead": speaker(call("transfer_to_seats")), "seats": speaker(call("transfer_to_lead"))},
        max_handoffs=4,
    )
    async with ActorSystem():
        with pytest.raises(PatternFailed, match="limit of 4 handoffs: .*seats -> lead"):
            await team.ask("hi")


# -- handlers --------------------------------------------------------------------------------------


@simulated
async def test_handlers_take_part_with_handoffs_and_are_heard() -> None:
    async def lead(payload: Any) -> Any:
        return Handoff("transfer_to_seats", {"row": 3})

    async def bags(payload: Any) -> Any:
        seen.append((payload, agent_context()["handed_off_by"], agent_context()["trigger"]))
        return "one bag"

    seen: list[Any] = []
    seats = speaker(call("transfer_to_bags"), "bye")
    team = swarm({"lead": Agent("lead", lead), "seats": seats, "bags": Agent("bags", bags)})
    async with ActorSystem():
        result = await team.ask("a seat", session="s")
        assert result.final == "one bag"
    assert "a seat" in str(seats.asked[0])
    assert "Row: 3" in str(seats.asked[0])
    assert seen == [("a seat", "seats", "transfer_to_bags")]
    assert [(u.speaker, u.kind) for u in result.conversation] == [
        ("user", "message"),
        ("lead", "handoff"),
        ("seats", "handoff"),
        ("bags", "message"),
    ]


@simulated
async def test_a_handlers_words_are_read_by_the_models() -> None:
    async def lead(payload: Any) -> Any:
        return Handoff("transfer_to_seats") if payload == "seat" else f"you said {payload}"

    seats = speaker("ok")
    team = swarm({"lead": Agent("lead", lead), "seats": seats})
    async with ActorSystem():
        await team.ask("hi", session="s")
        await team.ask("seat", session="s")
    said = str(seats.asked[0])
    assert "'hi'" in said
    assert "you said hi" in said
    assert "'seat'" in said


@simulated
async def test_a_handlers_unknown_trigger_is_an_error_with_the_near_name() -> None:
    team = swarm(
        {"lead": Agent("lead", lambda p: Handoff("transfer_to_seets")), "seats": speaker("x")}
    )
    async with ActorSystem():
        with pytest.raises(PatternFailed) as failed:
            await team.ask("hi")
    (wrong,) = [e for e in causes_of(failed.value) if isinstance(e, WrongHandoff)]
    assert "Did you mean 'transfer_to_seats'" in str(wrong)


@simulated
async def test_a_handlers_data_has_to_fit() -> None:
    team = swarm(
        {
            "lead": Agent("lead", lambda p: Handoff("transfer_to_seats", {"row": 1})),
            "seats": speaker("x"),
        },
        AgentHandoff(from_role="lead", to_role="seats", payload=Wish),
    )
    async with ActorSystem():
        with pytest.raises(PatternFailed, match="does not fit"):
            await team.ask("hi")


@simulated
async def test_a_scripted_function_hands_over_with_a_mapping() -> None:
    def script(agent: str, payload: Any) -> Any:
        return {"trigger": "transfer_to_seats"} if agent == "lead" else "3A"

    team = swarm({"lead": speaker("x"), "seats": speaker("x")})
    async with ActorSystem():
        with scripted_model(script):
            result = await team.ask("hi")
    assert (result.final, result.speaker) == ("3A", "seats")


# -- hooks and state -------------------------------------------------------------------------------


@dataclass
class Trip:
    flight: str = ""
    seats: list[str] = field(default_factory=list)


@simulated
async def test_a_hook_at_the_handoff_assigns_what_the_tools_then_find() -> None:
    async def assign(handing: HandingOver) -> None:
        assert (handing.from_agent, handing.to_role, handing.session)[:2] == ("lead", "seats")
        assert handing.session in ("s", "t")
        handing.state.flight = "FLT-123"

    async def move(ctx: RunContext[Trip], seat: str) -> str:
        """Move to a seat."""
        ctx.deps.seats.append(seat)
        assert team_state() is ctx.deps
        return f"{seat} on {ctx.deps.flight}"

    seats = speaker(call("move", seat="3A"), lambda messages: last_part(messages).content)
    team = swarm(
        {
            "lead": speaker(call("transfer_to_seats")),
            "seats": Agent("seats", model=seats.model, tools=[move]),
        },
        AgentHandoff(from_role="lead", to_role="seats", on_handoff=assign),
        state=Trip,
    )
    async with ActorSystem():
        result = await team.ask("a seat", session="s")
        again = await team.ask("another", session="s")
        other = await team.ask("hi", session="t")
    assert result.final == "3A on FLT-123"
    assert again.state.flight == "FLT-123"
    assert other.state is not again.state


@simulated
async def test_a_hook_may_change_the_data() -> None:
    team = swarm(
        {
            "lead": speaker(call("transfer_to_seats", seat="1A")),
            "seats": Agent("seats", lambda p: p),
        },
        AgentHandoff(
            from_role="lead",
            to_role="seats",
            payload=Wish,
            data_transform=lambda wish: wish.seat,
            on_handoff=lambda handing: {"seat": handing.data, "flight": 7},
        ),
    )
    async with ActorSystem():
        assert (await team.ask("hi")).final == {"seat": "1A", "flight": 7}


@simulated
async def test_changed_data_is_what_the_next_model_reads() -> None:
    seats = speaker("ok")
    team = swarm(
        {"lead": speaker(call("transfer_to_seats")), "seats": seats},
        AgentHandoff(
            from_role="lead", to_role="seats", on_handoff=lambda handing: {"flight": "FLT-7"}
        ),
    )
    async with ActorSystem():
        await team.ask("hi")
    assert "FLT-7" in last_part(seats.asked[0]).content


@simulated
async def test_a_hook_that_fails_says_where() -> None:
    def broken(handing: HandingOver) -> None:
        raise KeyError("no flight left")

    team = swarm(
        {"lead": speaker(call("transfer_to_seats")), "seats": speaker("x")},
        AgentHandoff(from_role="lead", to_role="seats", on_handoff=broken),
    )
    async with ActorSystem():
        with pytest.raises(
            PatternFailed, match="on_handoff of 'transfer_to_seats' .*no flight left"
        ):
            await team.ask("hi")


def test_there_is_no_state_outside_of_a_team() -> None:
    with pytest.raises(StateUnavailable):
        team_state()


# -- guardrails ------------------------------------------------------------------------------------


async def no_homework(task: str) -> bool:
    return "x + 2" not in task


@simulated
async def test_a_teams_guardrail_beside_stops_a_task_with_its_name() -> None:
    lead = speaker("never")
    lead.waits = asyncio.Event()
    team = swarm({"lead": lead}, guardrails=[Guardrail(no_homework, "beside")])
    async with ActorSystem():
        with pytest.raises(GuardrailTripped) as stopped:
            await team.ask("solve x + 2 = 4", session="s")
        error = stopped.value
        assert (error.name, error.when, error.expected) == ("no_homework", "beside", True)
        assert isinstance(error, PatternFailed)
        lead.waits.set()
        result = await team.ask("hi", session="s")
    assert [u.content for u in result.conversation] == ["hi", "never"]


@simulated
async def test_what_a_guardrail_has_stopped_is_not_tried_again() -> None:
    checked: list[Any] = []

    async def check(task: Any) -> bool:
        checked.append(task)
        return False

    lead = Agent("lead", model=speaker("x").model, guardrails=[check])
    async with ActorSystem():
        with pytest.raises(GuardrailTripped):
            await swarm({"lead": lead}, retry=3).ask("hi")
    assert checked == ["hi"]


@simulated
async def test_a_member_that_failed_is_asked_again_with_the_same_conversation() -> None:
    seats = speaker(ConnectionError("down"), "3A")
    team = swarm({"lead": speaker(call("transfer_to_seats")), "seats": seats}, retry=2)
    async with ActorSystem():
        result = await team.ask("hi", session="s")
    assert result.final == "3A"
    assert [str(m.parts) for m in seats.asked[0]] == [str(m.parts) for m in seats.asked[1]]
    assert len(result.conversation) == 3


@simulated
async def test_a_members_guardrail_stops_the_task_of_the_team_as_well() -> None:
    lead = Agent("lead", model=speaker("x").model, guardrails=[no_homework])
    async with ActorSystem():
        with pytest.raises(GuardrailTripped) as stopped:
            await swarm({"lead": lead}).ask("x + 2")
    assert (stopped.value.name, stopped.value.agent) == ("no_homework", "lead")


@simulated
async def test_a_handoff_is_no_answer_that_a_guardrail_checks() -> None:
    checked: list[Any] = []
    after = Guardrail(lambda answer: checked.append(answer), "after")
    lead = Agent("lead", lambda p: Handoff("transfer_to_seats"), guardrails=[after])
    seats = Agent("seats", model=speaker(call("transfer_to_bags")).model, guardrails=[after])
    bags = Agent("bags", model=speaker("one bag").model, guardrails=[after])
    async with ActorSystem():
        await swarm({"lead": lead, "seats": seats, "bags": bags}).ask("hi")
    assert checked == ["one bag"]


@simulated
async def test_a_teams_answer_is_replaced_also_in_the_conversation() -> None:
    lead = speaker("the code is 4711", "ok")
    team = swarm(
        {"lead": lead},
        guardrails=[
            lambda task: Replace(task.replace("please", "")),
            Guardrail(lambda a: Replace(a.replace("4711", "****")), "after"),
        ],
    )
    async with ActorSystem():
        result = await team.ask("the code, please", session="s")
        await team.ask("thanks", session="s")
    assert dict(result) == {"lead": "the code is ****"}
    assert result.conversation[-1].content == "the code is ****"
    assert "4711" not in str(lead.asked[1])
    assert "please" not in str(lead.asked[0])


@simulated
async def test_nothing_of_a_teams_answer_that_is_stopped_reaches_the_reader() -> None:
    team = swarm(
        {"lead": speaker("the code is 4711")},
        guardrails=[Guardrail(lambda a: "4711" not in a, "after", "no codes")],
    )
    async with ActorSystem():
        stream = team.stream_task("hi")
        events = [type(event).__name__ async for event in stream]
        with pytest.raises(GuardrailTripped):
            stream.result()
    assert events == ["Started", "Finished"]


@simulated
async def test_of_a_teams_answer_that_is_replaced_the_reader_sees_what_replaces_it() -> None:
    team = swarm(
        {"lead": speaker("the code is 4711")},
        guardrails=[Guardrail(lambda a: Replace("no code"), "after")],
    )
    async with ActorSystem():
        events = [event async for event in team.stream_task("hi")]
    assert "4711" not in str(events)
    assert [type(event).__name__ for event in events] == ["Started", "Ended", "Finished"]


@simulated
async def test_guardrails_check_the_tasks_of_other_teams_too() -> None:
    team = AgentTeam("desk", TeamConfig(guardrails=[no_homework]), roles=[AgentRole(name="lead")])
    team.assign_agent(Agent("lead", model=speaker("ho").model), "lead")
    async with ActorSystem():
        assert (await team.ask("hi")).final == "ho"
        with pytest.raises(GuardrailTripped):
            await team.ask("x + 2")
        with pytest.raises(GuardrailTripped):
            await team.execute_workflow([{"role": "lead", "action": "go"}], "x + 2")


# -- where a team stands ---------------------------------------------------------------------------


@simulated
async def test_a_swarm_is_streamed_with_what_its_members_say() -> None:
    team = swarm({"lead": speaker(call("transfer_to_seats")), "seats": speaker("one two")})
    events: list[str] = []
    text = ""
    async with ActorSystem():
        stream = team.stream_task("hi", session="s")
        async for event in stream:
            events.append(type(event).__name__)
            if events[-1] == "Chunk":
                text += event.data.text
        assert stream.result().final == "one two "
    assert text == "one two "
    assert [e for e in events if e != "Chunk"] == [
        "Started", "Ended", "HandedOff", "Started", "Ended", "Finished"
    ]  # fmt: skip


@simulated
async def test_a_swarm_is_a_step_of_a_pattern_and_knows_its_session() -> None:
    lead = speaker("one", "two")
    team = swarm({"lead": lead})
    flow = SequentialOrchestration("flow", [team, lambda result: result.final.upper()])
    async with ActorSystem():
        assert await flow.execute("a", context={"session": "s"}) == "ONE"
        assert await flow.execute("b", context={"session": "s"}) == "TWO"
    assert "'a'" in str(lead.asked[1])


@simulated
async def test_two_members_of_a_role_share_the_work_and_one_that_is_gone_is_replaced() -> None:
    team = AgentTeam("desk", TeamConfig(mode="swarm"), roles=[AgentRole(name="agent")])
    ann = Agent("ann", model=speaker("ann").model)
    team.assign_agent(ann, "agent")
    team.assign_agent(Agent("bob", model=speaker("bob").model), "agent")
    async with ActorSystem():
        assert (await team.ask("a", session="s")).speaker == "ann"
        await ann.stop()
        assert (await team.ask("b", session="s")).speaker in ("ann", "bob")


@pytest.mark.parametrize("session", ["", 7])
@simulated
async def test_a_session_is_a_name(session: Any) -> None:
    async with ActorSystem():
        with pytest.raises(TeamError, match="the name of a conversation"):
            await swarm({"lead": speaker("x")}).ask("hi", session=session)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: AgentHandoff(from_role="a", to_role="b", payload="no such type"),
            "a type is needed",
        ),
        (lambda: TeamConfig(mode="swarms"), "mode"),
        (lambda: TeamConfig(mode="swarm", guardrails=[3]), "Guardrail"),
        (lambda: AgentTeam("d", {"mode": "swarm", "history": 7}), "history"),
    ],
)
def test_wrong_definitions_are_refused(make: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


def test_a_swarm_is_plain_data_and_a_picture() -> None:
    team = AgentTeam(
        "desk",
        TeamConfig(mode="swarm"),
        roles=[AgentRole(name="lead"), AgentRole(name="seats")],
    )
    team.configure_handoffs(
        [
            AgentHandoff(from_role="lead", to_role="seats", description="Seats."),
            AgentHandoff(from_role="seats", to_role="user"),
        ]
    )
    data = team.to_dict()
    assert AgentTeam.from_dict(data).to_dict() == data
    assert "transfer_to_user" in team.mermaid()


def test_a_picture_shows_the_handoffs_that_a_swarm_without_rules_makes() -> None:
    team = AgentTeam(
        "desk",
        TeamConfig(mode="swarm"),
        roles=[AgentRole(name="travel"), AgentRole(name="refunds"), AgentRole(name="user")],
    )
    team.assign_agent("ann", role="travel")
    team.assign_agent("bob", role="refunds")
    picture = team.mermaid()
    assert '(("user"))' in picture
    assert "nobody" not in picture
    assert picture.count("transfer_to_refunds") == 1
    assert picture.count("transfer_to_user") == 2


def test_a_scripted_model_sees_the_handoffs_among_its_tools_and_calls_one_by_its_name() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def answer(request: ScriptedRequest) -> object:
        seen.append((request.agent, request.tool_names))
        handoff = "transfer_to_seats"
        return request.call(handoff, data="3A") if handoff in request.tool_names else "Done."

    def look(seat: str) -> str:
        """Look at a seat."""
        return seat

    team = AgentTeam(
        "desk",
        TeamConfig(mode="swarm"),
        roles=[AgentRole(name="triage"), AgentRole(name="seats")],
    )
    team.assign_agent(Agent("triage", model="openai:gpt-4o-mini", tools=[look]), "triage")
    team.assign_agent(Agent("seats", model="openai:gpt-4o-mini"), "seats")
    team.configure_handoffs([AgentHandoff(from_role="triage", to_role="seats", payload=str)])

    async def main() -> None:
        async with ActorSystem():
            with scripted_model(answer):
                result = await team.ask("another seat")
        assert (result.speaker, result.final) == ("seats", "Done.")
        assert seen == [("triage", ("look", "transfer_to_seats")), ("seats", ())]

    asyncio.run(main())
