"""Teams at work: tasks, workflows, handoffs, shared notes, and members that fail."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorSystem, Address, ModelFields, agent_context
from agenticaiframework.patterns import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    Completed,
    DefinitionError,
    Failed,
    Finished,
    HandedOff,
    Handoff,
    LimitReached,
    NotesUnavailable,
    ParallelOrchestration,
    PatternFailed,
    SequentialOrchestration,
    TeamConfig,
    TeamError,
    TeamIncomplete,
    UnknownMember,
    WrongHandoff,
    shared_notes,
)
from agenticaiframework.patterns.teams.team_actor import Busy, TakeSeat, TeamActor
from agenticaiframework.supervision import (
    AgentSupervisor,
    RestartPolicy,
    RestartType,
)

from .conftest import left_over


def boom(payload: Any) -> None:
    raise ValueError("no idea")


def team_of(cast: Any, config: TeamConfig | None = None, **answers: Any) -> AgentTeam:
    """A team of two researchers, an analyst and a writer."""
    roles = [AgentRole(name=role) for role in dict.fromkeys(ROLES.values())]
    team = AgentTeam("desk", config, roles=roles)
    for name, role in ROLES.items():
        default = f"{name} did it"
        team.assign_agent(cast.agent(name, answers.get(name, answers.get(role, default))), role)
    return team


ROLES = {"r1": "researcher", "r2": "researcher", "an": "analyst", "wr": "writer"}
STEPS = [
    {"role": "researcher", "action": "gather"},
    {"role": "analyst", "action": "analyse"},
    {"role": "writer", "action": "draft"},
]


# -- tasks -----------------------------------------------------------------------------------------


def test_the_coordinator_sees_the_task_first_and_the_others_contribute(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast, an=lambda p: asyncio.sleep(5, "insight"))
        result = await team.execute_task("report", coordinator="researcher")
        assert cast.log[0] == ("r1", "report")
        assert sorted(cast.asked[1:]) == ["an", "r2", "wr"]
        assert cast.payloads("wr") == [{"task": "report", "lead": "r1 did it"}]
        # In the team's order, whoever was quicker.
        assert list(result) == ["r1", "r2", "an", "wr"]
        assert result["an"] == "insight"
        assert result.complete
        assert result.final == "wr did it"
        assert await left_over(system) == []

    sim(main)


def test_a_member_may_coordinate_by_name_and_the_default_is_the_first_role(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        await team.execute_task("t", coordinator="wr")
        assert cast.asked[0] == "wr"
        cast.log.clear()
        await team.ask("t")
        assert cast.asked[0] == "r1"
        with pytest.raises(UnknownMember, match=r"'writter'.*Did you mean 'writer'"):
            await team.execute_task("t", coordinator="writter")
        empty = AgentTeam("empty", roles=[AgentRole(name="lonely")])
        with pytest.raises(TeamIncomplete, match="no member has the role 'lonely'"):
            await empty.execute_task("t")

    sim_once(main)


def test_the_leader_makes_the_result_of_the_contributions_where_asked_to(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        def lead(payload: Any) -> Any:
            if isinstance(payload, dict):
                return f"all of {sorted(payload['contributions'])}"
            return "plan"

        result = await team_of(cast, TeamConfig(synthesis=True), r1=lead).execute_task("t")
        assert result.final == "all of ['an', 'r1', 'r2', 'wr']"
        assert result["synthesis"] == result.final

    sim_once(main)


def test_the_least_busy_of_a_role_takes_the_turn(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def slow(payload: Any) -> str:
            await asyncio.sleep(10)
            return "done"

        team = team_of(cast, researcher=slow)
        only = [{"role": "researcher", "action": "gather"}]
        first = asyncio.ensure_future(team.execute_workflow(only, 1))
        await asyncio.sleep(1)
        assert await team.busy() == {"r1": 1, "r2": 0, "an": 0, "wr": 0}
        second = asyncio.ensure_future(team.execute_workflow(only, 2))
        await asyncio.sleep(1)
        await first
        third = asyncio.ensure_future(team.execute_workflow(only, 3))
        await asyncio.gather(second, third)
        assert cast.asked == ["r1", "r2", "r1"]
        assert set((await team.busy()).values()) == {0}

    sim(main)


def test_a_turn_that_is_over_makes_nobody_busy(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        await team.execute_workflow([{"role": "researcher", "action": a} for a in "abc"])
        assert cast.asked == ["r1", "r1", "r1"]

    sim(main)


def test_a_leader_whose_coordinator_is_killed_is_not_busy_for_ever(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast, r1=lambda p: asyncio.sleep(3600))
        task = asyncio.ensure_future(team.execute_task("t"))
        await asyncio.sleep(1)
        (ref,) = [r for r in system.actors() if r.actor_class.__name__ == "TeamCoordinator"]
        ref.kill()
        with pytest.raises(PatternFailed):
            await task
        await asyncio.sleep(0.1)
        assert set((await team.busy()).values()) == {0}

    sim(main)


def test_a_turn_asked_for_by_the_work_of_an_earlier_incarnation_counts_for_nobody(
    sim_once: Any,
) -> None:
    # Its message was kept over the team's restart, while it is itself about to end.
    async def main(system: ActorSystem) -> None:
        team = system.start(TeamActor, Address("team", system))
        earlier = system.start(Actor)
        assert await team.request(TakeSeat(("r1", "r2"), earlier)) == "r1"
        assert await team.request(Busy(("r1", "r2"))) == {"r1": 0, "r2": 0}

    sim_once(main)


# -- workflows -------------------------------------------------------------------------------------


def test_a_workflow_tells_each_its_action_and_shows_it_the_previous_output(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        seen: list[Any] = []
        team = team_of(
            cast,
            researcher={"facts": 3},
            an=lambda p: seen.append(agent_context()["action"]) or "insight",
            wr={"draft": "words"},
        )
        result = await team.execute_workflow(STEPS, {"topic": "AI"})
        assert cast.log == [
            ("r1", {"topic": "AI", "action": "gather", "role": "researcher", "previous": None}),
            (
                "an",
                {"topic": "AI", "action": "analyse", "role": "analyst", "previous": {"facts": 3}},
            ),
            ("wr", {"topic": "AI", "action": "draft", "role": "writer", "previous": "insight"}),
        ]
        assert seen == ["analyse"]
        # The field of a mapping, and plain text under its action, are found the same way.
        assert result["draft"] == "words"
        assert result["analyse"] == "insight"
        assert result["facts"] == 3
        assert result.final == {"draft": "words"}
        assert await left_over(system) == []

    sim(main)


def test_a_workflow_is_checked_before_anybody_works(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        team.add_role(AgentRole(name="editor"))
        with pytest.raises(UnknownMember, match=r"'wrter'.*Did you mean 'writer'"):
            await team.execute_workflow([*STEPS, {"role": "wrter", "action": "x"}])
        with pytest.raises(TeamIncomplete, match="'editor'"):
            await team.execute_workflow([*STEPS, {"role": "editor", "action": "x"}])
        with pytest.raises(DefinitionError, match=r"workflow\[0\]: unknown field 'rol'"):
            await team.execute_workflow([{"rol": "writer", "action": "x"}])
        with pytest.raises(DefinitionError, match="at least 1 item"):
            await team.execute_workflow([])
        assert cast.log == []

    sim_once(main)


def test_a_workflow_step_may_be_conditional(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast, researcher={"enough": True})
        steps = [STEPS[0], {**STEPS[1], "condition": "not output.enough"}, STEPS[2]]
        result = await team.execute_workflow(steps, "plain input")
        assert cast.asked == ["r1", "wr"]
        assert cast.payloads("wr")[0]["input"] == "plain input"
        assert "analyse" not in result

    sim_once(main)


# -- handoffs --------------------------------------------------------------------------------------


def handing(team: AgentTeam, *more: AgentHandoff) -> AgentTeam:
    team.configure_handoffs(
        [
            AgentHandoff(
                from_role="researcher",
                to_role="analyst",
                trigger="research_complete",
                data_transform=lambda data: {"research_data": data},
            ),
            AgentHandoff(from_role="analyst", to_role="writer", trigger="analysis_complete"),
            *more,
        ]
    )
    return team


def test_handoffs_are_followed_and_only_those_take_part(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = handing(
            team_of(
                cast,
                researcher=Handoff("research_complete", ["fact"]),
                an=ModelFields(trigger="analysis_complete", insight=1),
            )
        )
        result = await team.execute_task("t", "researcher")
        assert cast.asked == ["r1", "an", "wr"]
        assert cast.payloads("an") == [{"research_data": ["fact"]}]
        assert cast.payloads("wr") == [{"insight": 1}]
        assert [(h.from_agent, h.to_role, h.trigger) for h in result.handoffs] == [
            ("r1", "analyst", "research_complete"),
            ("an", "writer", "analysis_complete"),
        ]
        assert result["r1"] == ["fact"]
        assert result.final == "wr did it"

    sim(main)


def test_a_handoff_to_the_role_whose_step_is_next_merges_into_that_step(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        team = handing(team_of(cast, researcher=Handoff("research_complete", "facts")))
        result = await team.execute_workflow(STEPS, {"topic": "AI"})
        assert cast.asked == ["r1", "an", "wr"]
        (payload,) = cast.payloads("an")
        assert payload["research_data"] == "facts"
        assert payload["action"] == "analyse"
        assert payload["topic"] == "AI"
        assert result["gather"] == "facts"

    sim(main)


def test_the_fields_of_what_was_handed_on_reach_the_next_step_and_no_later_one(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        team = handing(
            team_of(cast, researcher=Handoff("research_complete", "facts"), an={"insight": "deep"})
        )
        await team.execute_workflow(STEPS, {"topic": "AI"})
        assert "research_data" in cast.payloads("an")[0]
        assert cast.payloads("wr") == [
            {"topic": "AI", "action": "draft", "role": "writer", "previous": {"insight": "deep"}}
        ]

    sim_once(main)


def test_a_message_that_is_not_a_teams_is_a_dead_letter_of_the_team(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = AgentTeam("desk", roles=[AgentRole(name="a")])
        assert await team.busy() == {}
        ref = team.address(system).live
        assert ref is not None
        assert await ref.request("stray") is None
        (letter,) = [letter for letter in system.dead_letters if letter.recipient == "desk"]
        assert letter.message == "stray"
        assert ref.is_alive()

    sim_once(main)


def test_a_handoff_to_another_role_runs_a_turn_in_between(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = handing(
            team_of(cast, researcher=Handoff("publish", "early"), an="analysed"),
            AgentHandoff(from_role="researcher", to_role="writer", trigger="publish"),
        )
        result = await team.execute_workflow(STEPS[:2], None)
        assert cast.asked == ["r1", "wr", "an"]
        assert cast.payloads("wr") == ["early"]
        assert cast.payloads("an")[0]["previous"] == "wr did it"
        assert result["wr"] == "wr did it"

    sim_once(main)


def test_untriggered_rules_never_run_and_an_ordinary_trigger_field_is_no_handoff(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        team = handing(team_of(cast, researcher={"trigger": "a finger"}))
        result = await team.execute_workflow(STEPS[:1])
        assert result.handoffs == ()
        assert result["trigger"] == "a finger"
        wrong = handing(team_of(cast, researcher=Handoff("research_done", 1)))
        with pytest.raises(PatternFailed, match="Did you mean 'research_complete'") as caught:
            await wrong.execute_task("t")
        assert isinstance(caught.value.__cause__, WrongHandoff)
        greedy = handing(team_of(cast, researcher=[Handoff("a", 1), Handoff("b", 2)]))
        with pytest.raises(PatternFailed, match="A turn ends with one"):
            await greedy.execute_task("t")

    sim_once(main)


def test_a_circle_of_handoffs_ends_with_an_error(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(
            cast,
            TeamConfig(max_handoffs=6),
            researcher=Handoff("on", 1),
            an=Handoff("back", 2),
        )
        team.configure_handoffs(
            [
                AgentHandoff(from_role="researcher", to_role="analyst", trigger="on"),
                AgentHandoff(from_role="analyst", to_role="researcher", trigger="back"),
            ]
        )
        with pytest.raises(LimitReached, match=r"6 handoffs.*max_handoffs"):
            await team.execute_task("t")
        assert len(cast.log) == 7
        assert await left_over(system) == []

    sim(main)


# -- shared notes ----------------------------------------------------------------------------------


def test_members_share_notes_and_two_tasks_never_see_each_others(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async def note(payload: Any) -> Any:
            notes = shared_notes()
            task = payload["task"] if isinstance(payload, dict) else payload
            for _ in range(3):
                await asyncio.sleep(system.random.random())
                await notes.append("said", task)
            assert set(await notes.read("said")) == {task}
            version = await notes.version("counter")
            if not await notes.write_if("counter", task, version):
                await notes.write("counter", task)
            return len(await notes.all())

        team = team_of(cast, r1=note, r2=note, an=note, wr=note)
        first, second = await asyncio.gather(team.execute_task("x"), team.execute_task("y"))
        assert first.notes == {"said": ["x"] * 12, "counter": "x"}
        assert second.notes == {"said": ["y"] * 12, "counter": "y"}
        assert await left_over(system) == []

    sim(main)


def test_plain_handlers_use_the_blocking_notes() -> None:
    async def main() -> None:
        async with ActorSystem():
            from agenticaiframework.actors import Agent

            def work(payload: Any) -> Any:
                notes = shared_notes().blocking
                assert notes.read("x", 1) == 1
                assert notes.write_if("x", 2, 0)
                assert not notes.write_if("x", 3, 0)
                assert notes.append("list", 1) == 1
                return notes.all()

            team = AgentTeam("t", roles=[AgentRole(name="r")])
            team.assign_agent(Agent("blocking", handler=work), "r")
            result = await team.execute_task("t")
            assert result["blocking"] == {"x": 2, "list": [1]}

    asyncio.run(main())


def test_outside_a_teams_work_there_are_no_notes(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        cast.agent("a", lambda p: shared_notes())
        with pytest.raises(PatternFailed, match="no shared notes here") as caught:
            await SequentialOrchestration("s", ["a"]).execute(1)
        assert isinstance(caught.value.__cause__.__cause__, NotesUnavailable)

    sim_once(main)


# -- failure ---------------------------------------------------------------------------------------


def test_a_crash_in_the_middle_of_a_task_is_mended_by_the_supervisor_and_the_retry_policy(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        crashes: list[int] = []

        def flaky(payload: Any) -> str:
            if len(crashes) < 2:
                crashes.append(1)
                raise ValueError("crash")
            return "insight"

        config = TeamConfig(retry={"attempts": 3, "initial_delay_s": 1})
        team = team_of(cast, config, an=flaky)
        supervisor = AgentSupervisor(
            name="s", restart_policy=RestartPolicy(max_restarts=5, within_seconds=60)
        )
        supervisor.add_child("an", cast.agents["an"])
        await supervisor.start()
        result = await team.execute_workflow(STEPS)
        assert result["analyse"] == "insight"
        outcome = result.outcomes["analyse"]
        assert (outcome.attempts, outcome.incarnation) == (3, 3)
        await supervisor.stop()

    sim(main)


async def lose(cast: Any, name: str) -> AgentSupervisor:
    """Have an agent stopped for good by its supervisor."""
    supervisor = AgentSupervisor(
        name=f"of {name}", restart_policy=RestartPolicy(type=RestartType.TEMPORARY)
    )
    supervisor.add_child(name, cast.agents[name])
    await supervisor.start()
    await cast.agents[name].stop("shutdown")
    await asyncio.sleep(0.1)
    return supervisor


def test_a_member_lost_for_good_is_replaced_by_another_of_its_role(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        supervisor = await lose(cast, "r1")
        stream = team.stream_workflow(STEPS, None)
        events = [event async for event in stream]
        result = stream.result()
        assert result["gather"] == "r2 did it"
        assert any(isinstance(e, HandedOff) and e.trigger == "lost" for e in events)
        assert isinstance(events[-1], Finished)
        await supervisor.stop()

    sim(main)


def test_without_another_of_the_role_the_result_says_what_is_missing(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        supervisor = await lose(cast, "an")
        result = await team.execute_task("t")
        assert list(result.missing) == ["an"]
        outcome = result.missing["an"]
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.cause, TeamIncomplete)
        assert not result.complete
        assert "wr" in result
        # A step of a workflow that nobody can do is an error, unless it may be left out.
        with pytest.raises(PatternFailed, match="no member with the role 'analyst' is left"):
            await team.execute_workflow(STEPS)
        spared = await team.execute_workflow([STEPS[0], {**STEPS[1], "on_error": "skip"}, STEPS[2]])
        assert list(spared.missing) == ["analyse"]
        assert spared["draft"] == "wr did it"
        await supervisor.stop()

    sim(main)


def test_a_failing_leader_contributor_and_step_are_errors_with_all_outcomes(
    cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(PatternFailed, match=r"'r1' \(the coordinator\).*no idea"):
            await team_of(cast, r1=boom).execute_task("t")
        with pytest.raises(PatternFailed, match=r"'an' \(a contributor\).*no idea") as caught:
            await team_of(cast, an=boom, wr=lambda p: asyncio.sleep(9, "late")).execute_task("t")
        assert caught.value.completed == {"r1": "r1 did it", "r2": "r2 did it", "wr": "late"}
        with pytest.raises(PatternFailed, match=r"'analyse' \(step 2 of 3, by 'an'\).*no idea"):
            await team_of(cast, an=boom).execute_workflow(STEPS)
        left_out = await team_of(cast, TeamConfig(on_error="skip"), an=boom).execute_task("t")
        assert list(left_out.missing) == ["an"]
        spare = cast.agent("spare", "spared")
        saved = await team_of(
            cast, TeamConfig(on_error={"fallback": spare}), an=boom
        ).execute_workflow(STEPS)
        assert saved["analyse"] == "spared"
        assert await left_over(system) == []

    sim(main)


def test_a_hanging_member_is_stopped_at_its_timeout(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast, TeamConfig(timeout=5), wr=lambda p: asyncio.sleep(3600))
        with pytest.raises(PatternFailed, match="'draft'.*timed out after 5 s"):
            await team.execute_workflow(STEPS)
        patient = team_of(cast, wr=lambda p: asyncio.sleep(3600))
        with pytest.raises(TimeoutError):
            await patient.execute_workflow(STEPS, timeout=7)
        assert set((await patient.busy()).values()) == {0}
        assert await left_over(system) == []

    sim(main)


@pytest.mark.parametrize("how", ["cancel", "kill coordinator", "kill team", "stop team"])
def test_a_teams_work_ends_with_its_caller_its_coordinator_and_its_team(
    how: str, cast: Any, sim: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        stopped: list[str] = []

        async def hang(payload: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append("an")

        team = team_of(cast, an=hang)
        task = asyncio.ensure_future(team.execute_task("t"))
        await asyncio.sleep(1)
        refs = {r.actor_class.__name__: r for r in system.actors()}
        if how == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            if how == "kill coordinator":
                refs["TeamCoordinator"].kill()
            elif how == "kill team":
                refs["TeamActor"].kill()
            else:
                await team.stop()
            with pytest.raises(PatternFailed):
                await task
        assert await left_over(system) == []
        assert stopped == ["an"]
        # The team is there for the next task, with nobody counted as busy.
        assert set((await team.busy()).values()) == {0}
        cast.agent("an", "fine")
        assert (await team.execute_workflow(STEPS[:1]))["gather"] == "r1 did it"

    sim(main)


# -- teams among the others ------------------------------------------------------------------------


def test_a_team_is_supervised_like_any_child(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        supervisor = AgentSupervisor(name="s", restart_policy=RestartPolicy(max_restarts=3))
        supervisor.add_child("desk", team)
        await supervisor.start()
        assert (await team.execute_task("t")).complete
        (ref,) = [r for r in system.actors() if r.actor_class.__name__ == "TeamActor"]
        ref.kill()
        await asyncio.sleep(1)
        assert (await supervisor.ask("desk", "t2"))["r1"] == "r1 did it"
        assert team.address().incarnation == 2
        await supervisor.stop()
        assert [r for r in system.actors() if r.actor_class.__name__ == "TeamActor"] == []
        # As an agent does, it works by itself where no supervisor decides about it.
        assert (await team.execute_task("t3")).complete

    sim(main)


def test_a_team_that_its_supervisor_has_given_up_says_so_at_once(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        supervisor = AgentSupervisor(
            name="s", restart_policy=RestartPolicy(type=RestartType.TEMPORARY)
        )
        supervisor.add_child("desk", team)
        await supervisor.start()
        await team.stop()
        await asyncio.sleep(0.1)
        with pytest.raises(TeamError, match="cannot work: its actor is gone"):
            await team.execute_task("t")
        await supervisor.stop()

    sim(main)


def test_teams_patterns_and_teams_of_teams_nest(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        inner = team_of(cast)
        outer = AgentTeam("outer", roles=[AgentRole(name="lead"), AgentRole(name="group")])
        outer.assign_agent(cast.agent("boss", "go"), "lead")
        outer.assign_agent(inner, "group")
        outer.assign_agent(ParallelOrchestration("both", ["r1", "wr"]), "group")
        result = await SequentialOrchestration("s", [outer]).execute("t")
        assert result["desk"]["wr"] == "wr did it"
        assert result["both"] == {"r1": "r1 did it", "wr": "wr did it"}
        assert await left_over(system) == []

    sim(main)


def test_changes_of_the_team_do_not_reach_work_that_has_started(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast, researcher=lambda p: asyncio.sleep(5, "slow"))
        work = asyncio.ensure_future(team.execute_workflow(STEPS))
        await asyncio.sleep(1)
        team.unassign_agent("wr")
        assert (await work)["draft"] == "wr did it"
        with pytest.raises(TeamIncomplete):
            await team.execute_workflow(STEPS)

    sim_once(main)


def test_a_dropped_team_leaves_no_actor_behind(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        for _ in range(3):
            team = team_of(cast)
            await team.execute_workflow(STEPS)
            del team
        await asyncio.sleep(0.1)
        assert [r for r in system.actors() if r.actor_class.__name__ == "TeamActor"] == []

    sim_once(main)


def test_outcomes_of_turns_tell_who_and_how(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = team_of(cast)
        result = await team.execute_workflow(STEPS)
        outcome = result.outcomes["gather"]
        assert isinstance(outcome, Completed)
        assert (outcome.agent, outcome.value) == ("r1", "r1 did it")

    sim_once(main)


def test_a_mapping_that_hands_off_contributes_its_data(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        model = cast.agent("model", ModelFields(trigger="found", data={"facts": 2}))
        other = cast.agent("other", lambda work: work)
        team = AgentTeam("team", roles=[AgentRole(name="finder"), AgentRole(name="user")])
        team.assign_agent(model, role="finder")
        team.assign_agent(other, role="user")
        team.configure_handoffs([AgentHandoff(from_role="finder", to_role="user", trigger="found")])
        assert await team.execute_task("x") == {"model": {"facts": 2}, "other": {"facts": 2}}
        result = await team.execute_workflow(
            [{"role": "finder", "action": "find"}, {"role": "user", "action": "use"}]
        )
        assert result["find"] == {"facts": 2}
        assert "trigger" not in result

    sim_once(main)


def test_a_transform_that_fails_is_an_error_that_names_the_handoff(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        team = AgentTeam("team", roles=[AgentRole(name="a"), AgentRole(name="b")])
        team.assign_agent(cast.agent("ann", Handoff("go", {})), role="a")
        team.assign_agent(cast.agent("bob", 1), role="b")
        team.configure_handoffs(
            [
                AgentHandoff(
                    from_role="a", to_role="b", trigger="go", data_transform=lambda d: d["k"]
                )
            ]
        )
        with pytest.raises(
            PatternFailed, match="handoff 'go' from 'a' to 'b' raised KeyError: 'k'"
        ):
            await team.execute_task("x")
        assert cast.asked == ["ann"]

    sim_once(main)


def test_a_team_without_anybody_says_what_to_do(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(TeamIncomplete, match="no roles and no members"):
            await AgentTeam("nobody").execute_task("x")
        with pytest.raises(DefinitionError, match="a list is needed, not None"):
            await AgentTeam("nobody").execute_workflow(None)  # type: ignore[arg-type]

    sim_once(main)


def test_a_team_that_goes_in_a_circle_of_garbage_leaves_no_actor_behind(
    cast: Any, sim_once: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        team: AgentTeam | None = AgentTeam("team", roles=[AgentRole(name="a")])
        assert team is not None
        team.assign_agent(cast.agent("ann", 1), role="a")
        assert await team.execute_task("x") == {"ann": 1}
        circle: list[Any] = [team]
        circle.append(circle)
        assert "team" in [ref.label for ref in system.actors()]
        del team, circle
        gc.collect()
        await asyncio.sleep(0.01)
        assert "team" not in [ref.label for ref in system.actors()]

    sim_once(main)


@pytest.mark.parametrize("look", [1, 2])
def test_threads_that_use_a_team_at_the_same_time_have_one_actor_of_it_each(
    cast: Any, look: int
) -> None:
    class Watched(ActorSystem):
        """Tells when it is looked whether it runs, which is where threads get in each other's way."""

        looks: list[Callable[[], Any]]

        @property
        def running(self) -> bool:
            if self.looks:
                self.looks.pop()()
            return super().running

    async def main() -> None:
        team = AgentTeam("team", roles=[AgentRole(name="a")])
        team.assign_agent(cast.agent("ann", 1), role="a")
        Watched.looks = []
        async with Watched() as first, ActorSystem() as second, ActorSystem() as third:
            team.address(first)
            meanwhile: list[Any] = []
            Watched.looks = [lambda: meanwhile.append(team.address(second)), *[list] * (look - 1)]
            found = team.address(third)
            Watched.looks = []
            assert all(team.address(second) is seen for seen in meanwhile)
            assert meanwhile or look == 2
            assert team.address(third) is found

    asyncio.run(main())


def test_no_role_takes_the_place_of_anothers_output(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        judge = cast.agent("judge", {"verdict": "guilty", "by": "the judge"})
        clerk = cast.agent(
            "clerk", {"verdict": "free", "judge": "bought", "note": "n", "decide": 1}
        )
        team = AgentTeam("court", roles=[AgentRole(name="judge"), AgentRole(name="clerk")])
        team.assign_agent(judge, role="judge")
        team.assign_agent(clerk, role="clerk")
        result = await team.execute_workflow(
            [
                {"role": "judge", "action": "decide"},
                {"role": "clerk", "action": "file"},
                {"role": "clerk", "action": "free", "condition": "verdict == 'free'"},
                {"role": "clerk", "action": "jail", "condition": "judge.verdict == 'guilty'"},
            ],
            {"verdict": "free"},
        )
        assert result["verdict"] == "guilty"
        assert result["decide"] == {"verdict": "guilty", "by": "the judge"}
        assert result["note"] == "n"
        assert "free" not in result
        assert "jail" in result

    sim_once(main)


@pytest.mark.parametrize("key", ["input", "output", "input_data", "around", "self"])
def test_a_field_of_an_output_takes_no_place_in_a_condition(
    cast: Any, sim_once: Any, key: str
) -> None:
    async def main(system: ActorSystem) -> None:
        clerk = cast.agent("clerk", {key: {"paid": True}})
        team = AgentTeam("desk", roles=[AgentRole(name="clerk")])
        team.assign_agent(clerk, role="clerk")
        result = await team.execute_workflow(
            [
                {"role": "clerk", "action": "file"},
                {"role": "clerk", "action": "ship", "condition": "input.paid or output.paid"},
            ],
            {"paid": False},
        )
        assert "ship" not in result
        kept = SequentialOrchestration(
            name="kept",
            steps=[
                {"agent": "clerk", "output_key": key},
                {"agent": "clerk", "condition": "input.paid"},
            ],
        )
        assert await kept.execute({"paid": False}) == {key: {"paid": True}}

    sim_once(main)
