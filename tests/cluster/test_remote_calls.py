"""What an agent's handler on another node has of its caller: streams, inner steps, meters, errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import far_handlers
import pytest
from far_actors import STATE
from pydantic_ai import Tool

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentFailed,
    AgentTimeout,
    Answer,
    Guardrail,
    GuardrailTripped,
    ModelRequestEnded,
    RequestRejected,
    TextDelta,
    ToolCall,
    UsageLimitReached,
    metered,
)
from agenticaiframework.actors.simulation import SimCluster, SimNetwork
from agenticaiframework.orchestration import (
    AgentSupervisor,
    ChoreographyOrchestration,
    OrchestrationEngine,
    RestartPolicy,
    WorkflowFailed,
)
from agenticaiframework.testing import scripted_model

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_noted() -> Iterator[None]:
    STATE.clear()
    yield
    STATE.clear()


def far(handler: Any, **options: Any) -> Agent:
    return Agent(handler.__name__, handler=handler, node="gpu", **options)


# -- streams ---------------------------------------------------------------------------------------


def test_the_parts_of_a_remote_answer_come_in_order_and_then_the_answer(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        parts = [part async for part in far(far_handlers.counts).stream(600)]
        assert parts[:-1] == [TextDelta(str(number)) for number in range(600)]
        assert parts[-1] == Answer("".join(map(str, range(600))))

    in_cluster(main, network=SimNetwork(lost_acks=0.3, repeated=0.3))


def test_parts_come_while_the_remote_agent_still_works(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        came = [system.clock() async for _ in far(far_handlers.counts_slowly).stream(5)]
        assert [round(at - came[0]) for at in came] == [0, 1, 2, 3, 4, 5]

    in_cluster(main)


def test_a_remote_generator_waits_for_a_slow_reader(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        stream = far(far_handlers.counts).stream(5000)
        assert await anext(stream) == TextDelta("0")
        await asyncio.sleep(60)
        assert len(STATE["counted"]) <= 300
        assert len([part async for part in stream]) == 5000  # the rest, and the answer

    in_cluster(main)


def test_leaving_a_stream_cancels_the_remote_handler(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.counts_slowly)
        async for _ in agent.stream(100):
            break
        await asyncio.sleep(1.5)
        assert STATE["counts_slowly"] == ["cancelled"]
        # Also one that waits for its reader.
        async with far(far_handlers.counts).stream(5000) as stream:
            await anext(stream)
            await asyncio.sleep(5)
        await asyncio.sleep(5)
        assert STATE["counts"] == ["cancelled"]
        for name in "ab":
            for ref in cluster.node(name).system.actors():
                assert not getattr(ref._actor, "_sides", None)

    in_cluster(main)


def test_a_stream_ends_with_an_error_when_its_node_is_lost(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.counts_slowly)
        stream = agent.stream(100)
        assert [(await anext(stream)).text for _ in range(3)] == ["0", "1", "2"]
        cluster.kill(where(cluster, agent))
        with pytest.raises(AgentFailed, match="node '[ab]' is lost"):
            await anext(stream)
        assert [part async for part in stream] == []

    in_cluster(main)


def test_a_chunk_that_cannot_travel_is_refused_where_it_is_sent(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        stream = far(far_handlers.sends).stream("lambda")
        assert await anext(stream) == {"n": 1}
        with pytest.raises(AgentFailed, match="cannot go to another node"):
            await anext(stream)
        assert await far(far_handlers.sends).ask("lambda") == "sent (False, False)"

    in_cluster(main)


def test_a_workflow_streams_the_parts_of_its_remote_agents(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            engine.register_agent("counts", far(far_handlers.counts))
            step = {"id": "one", "agent": "counts", "input": 3}
            events = [
                event async for event in engine.stream(workflow={"name": "w", "steps": [step]})
            ]
        chunks = [
            event.data.data
            for event in events
            if event.kind.value == "work" and hasattr(event.data, "data")
        ]
        assert [chunk.text for chunk in chunks] == ["0", "1", "2"]

    in_cluster(main)


def where(cluster: SimCluster, agent: Agent) -> str:
    """Return the name of the node that *agent* is on."""
    return next(n for n in "abc" if cluster.node(n).system.whereis(agent.name))


# -- inner steps -----------------------------------------------------------------------------------


async def run_steps(engine: OrchestrationEngine, agent: Agent, **step: Any) -> Any:
    engine.register_agent(agent.name, agent)
    given = {"id": "one", "agent": agent.name, "input": 7, **step}
    result = await engine.execute({"name": "w", "steps": [given]}, {}, workflow_id="run")
    return result["one"]


def test_inner_steps_of_a_remote_handler_are_not_made_again_after_its_node_is_lost(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.steps)
        supervisor = AgentSupervisor("s")
        supervisor.add_child(agent.name, agent)
        await supervisor.start()
        async with OrchestrationEngine() as engine:
            run = asyncio.create_task(run_steps(engine, agent, retry={"attempts": 3}))
            while len(STATE.get("steps", ())) < 3:
                await asyncio.sleep(0.05)
            first = where(cluster, agent)
            cluster.kill(first)
            one, two, three, node = await run
            assert node != f"node {cluster.node(first).info.id}"
            assert [one["step"], two["step"], three["step"]] == ["first", "first#2", "last"]
            assert STATE["steps"] == [
                ("first", "run:one/first"),
                ("first#2", "run:one/first#2"),
                ("last", "run:one/last"),
                ("last", "run:one/last"),  # it was under way
            ]
        await supervisor.stop()

    in_cluster(main)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_network_does_a_finished_step_is_not_made_again(
    in_cluster: Run, seed: int
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.steps)
        supervisor = AgentSupervisor("s", restart_policy=RestartPolicy(max_restarts=50))
        supervisor.add_child(agent.name, agent)
        await supervisor.start()
        async with OrchestrationEngine() as engine:
            run = asyncio.create_task(run_steps(engine, agent, retry={"attempts": 9}))
            chance = random.Random(seed)
            kept: dict[str, int] = {}
            for _ in range(3):
                await asyncio.sleep(chance.uniform(0.2, 1.5))
                made = [name for name, _ in STATE.get("steps", ())]
                for name in (await engine.get_workflow_status("run")).steps["one"].inner:
                    kept.setdefault(name, made.count(name))
                for node in "ab":
                    if cluster.node(node).system.whereis(agent.name) and not run.done():
                        cluster.kill(node, after_entries=chance.randrange(3))
                        await asyncio.sleep(1)
                        await cluster.start_host(node)
                        break
            assert len(await run) == 4
            made = [name for name, _ in STATE["steps"]]
            assert kept
            assert {name: made.count(name) for name in kept} == kept
        await supervisor.stop()

    in_cluster(main, seed=seed, network=SimNetwork(lost_acks=0.3, repeated=0.3, delay_s=0.05))


def test_an_agent_that_a_remote_handler_asks_makes_inner_steps_of_its_own_place(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.steps_beneath)
        async with OrchestrationEngine() as engine:
            answer = await run_steps(engine, agent)
            assert len(answer["inner"]) == 4
            status = await engine.get_workflow_status("run")
            assert status.steps["one"].inner_count == 3
        assert [key for _, key in STATE["steps"]] == [
            "run:one/inner/first",
            "run:one/inner/first#2",
            "run:one/inner/last",
        ]

    in_cluster(main)


def test_a_remote_inner_step_that_raises_raises_its_own_error_and_is_made_again(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            agent = far(far_handlers.failing_step)
            assert await run_steps(engine, agent, retry={"attempts": 2}) == "well"
        assert [name for name, _ in STATE["steps"]] == ["well"]
        assert STATE["fails_once"] == [7, 7]

    in_cluster(main)


def test_a_person_is_asked_in_the_middle_of_a_remote_handler(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            run = asyncio.create_task(run_steps(engine, far(far_handlers.asks_a_person)))
            await asyncio.sleep(0.5)
            question = await engine.next_question("run")
            assert question.data == {"sum": 7}
            await asyncio.sleep(100)
            await engine.answer("run", question.id, "yes")
            assert await run == {"said": "yes"}
        assert [name for name, _ in STATE["steps"]] == ["before", "after"]

    in_cluster(main)


def test_what_comes_with_a_step_reaches_its_remote_handler(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            seen = await run_steps(engine, far(far_handlers.sees))
            assert seen["workflow_id"] == "run"
            assert (seen["workflow"], seen["step"], seen["attempt"]) == ("w", "one", 1)
            assert seen["idempotency_key"] == "run:one"
        seen = await far(far_handlers.sees).ask(1, session="u", context={"tenant": "t", "n": 3})
        assert (seen["tenant"], seen["n"], seen["session"]) == ("t", 3, "u")

    in_cluster(main)


# -- what is spent ---------------------------------------------------------------------------------


def model_agent(**options: Any) -> Agent:
    return Agent("writer", model="openai:gpt-4o", instructions="Write.", node="gpu", **options)


def test_what_a_remote_agent_spends_is_its_usage_here_and_counts_in_the_block(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = model_agent()
        with scripted_model(lambda seen: "rivers bend"), metered() as meter:
            result = await agent.run("rivers")
            assert result.output == "rivers bend"
            assert result.usage.requests == 1
            assert agent.usage == meter.spent == result.usage
            await asyncio.gather(*(agent.ask("more") for _ in range(3)))
        assert agent.usage.requests == meter.spent.requests == 4

    in_cluster(main)


def test_a_limit_is_shared_with_agents_on_other_nodes(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = model_agent()
        with (
            scripted_model(lambda seen: "rivers bend"),
            metered("budget", usage_limits={"request_limit": 2}) as meter,
        ):
            asked = [agent.request("rivers") for _ in range(4)]
            ended = await asyncio.gather(*asked, return_exceptions=True)
        failed = [error.__cause__ for error in ended if isinstance(error, AgentFailed)]
        assert len(failed) == 2
        assert all(isinstance(error, UsageLimitReached) for error in failed)
        assert failed[0].name == "budget"
        assert meter.spent.requests == 2
        assert agent.is_alive

    in_cluster(main)


def test_a_run_counts_what_its_remote_agents_spend(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            with scripted_model(lambda seen: "rivers bend"):
                assert await run_steps(engine, model_agent()) == "rivers bend"
            status = await engine.get_workflow_status("run")
            assert status.usage.requests == status.steps["one"].usage.requests == 1

    in_cluster(main)


def test_what_a_remote_handler_spends_itself_counts_where_it_was_asked(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.spends)
        assert await agent.ask(5) is None  # nothing counts here
        with metered() as meter:
            assert await agent.ask(5) == "spent"
        assert meter.spent.input_tokens == 5

    in_cluster(main)


# -- errors, and the end of work -------------------------------------------------------------------


def test_a_cancelled_ask_cancels_the_remote_handler_and_leaves_nothing(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.waits)
        task = asyncio.create_task(agent.ask("task"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(AgentTimeout):
            await agent.ask("timeout", 1)
        await asyncio.sleep(1)
        assert (STATE["task"], STATE["timeout"]) == (["cancelled"], ["cancelled"])
        for peer in system.cluster._peers.values():
            assert not [*peer._asks, *peer._numbers, *peer.incoming]

    in_cluster(main)


def test_errors_of_a_remote_handler_are_those_of_a_local_one(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.raises, expected_errors=(KeyError,))
        for error, expected in ((RequestRejected("no"), True), (KeyError("k"), True)):
            with pytest.raises(AgentFailed) as failed:
                await agent.ask(error)
            assert type(failed.value.__cause__) is type(error)
            assert failed.value.expected is expected
            assert agent.is_alive
        with pytest.raises(AgentFailed) as failed:
            await agent.ask(RuntimeError("bug"))
        assert type(failed.value.__cause__) is RuntimeError
        assert not failed.value.expected

    in_cluster(main)


def test_a_guardrail_of_a_remote_agent_trips_with_the_same_error(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = far(far_handlers.sees, guardrails=[Guardrail(far_handlers.no_secrets, name="no")])
        with pytest.raises(AgentFailed) as failed:
            await agent.ask("secret")
        assert type(failed.value.__cause__) is GuardrailTripped
        assert failed.value.expected
        assert await agent.ask("fine") is not None
        assert [type(part) async for part in agent.stream("fine")] == [Answer]

    in_cluster(main)


def test_requests_of_a_remote_agent_to_its_model_are_events_here(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        events: list[ModelRequestEnded] = []
        system.subscribe(events.append, ModelRequestEnded)
        with scripted_model(lambda seen: "rivers bend"):
            await model_agent().ask("rivers", session="s")
        assert [(event.agent, event.usage.requests, event.session) for event in events] == [
            ("writer", 1, "s")
        ]

    in_cluster(main)


def test_the_answers_of_a_remote_model_are_recorded_in_its_step(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        asked: list[Any] = []

        async def script(seen: Any) -> Any:
            asked.append(seen.prompt)
            if len(asked) == 1:
                return ToolCall("slow_tool", {"n": 1}, "c1")
            return "done"

        agent = model_agent(tools=[far_handlers.slow_tool])
        supervisor = AgentSupervisor("s")
        supervisor.add_child(agent.name, agent)
        await supervisor.start()
        async with OrchestrationEngine() as engine:
            with scripted_model(script):
                run = asyncio.create_task(run_steps(engine, agent, retry={"attempts": 3}))
                while "slow_tool" not in STATE:
                    await asyncio.sleep(0.05)
                cluster.kill(where(cluster, agent))
                assert await run == "done"
            assert len(asked) == 2  # the first request was not sent again
            assert STATE["slow_tool"] == [1, 1]
            status = await engine.get_workflow_status("run")
            assert status.usage.requests == 2
        await supervisor.stop()

    in_cluster(main)


def test_a_person_approves_the_tool_of_a_remote_model(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        def script(seen: Any) -> Any:
            return "paid" if STATE.get("pays") else ToolCall("pays", {"sum": 120}, "c1")

        agent = model_agent(tools=[Tool(far_handlers.pays, requires_approval=True)])
        async with OrchestrationEngine() as engine:
            with scripted_model(script):
                run = asyncio.create_task(run_steps(engine, agent))
                await asyncio.sleep(0.5)
                question = await engine.next_question("run")
                assert question.data["arguments"] == {"sum": 120}
                await engine.approve("run", "c1", True)
                assert await run == "paid"
        assert STATE["pays"] == [120]

    in_cluster(main)


def test_a_remote_model_keeps_its_session_and_streams_its_text(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        heard: list[int] = []

        def script(seen: Any) -> Any:
            heard.append(len(seen.messages))
            return "one two"

        agent = model_agent()
        with scripted_model(script):
            await agent.ask("hello", session="u")
            parts = [part async for part in agent.stream("again", session="u")]
        assert heard == [1, 3]
        assert parts[-1].output == "one two"
        assert "".join(part.text for part in parts[:-1]) == "one two"

    in_cluster(main)


def in_real_time(main: Callable[..., Any]) -> None:
    """Run ``main(system, cluster)`` with real threads and files, and so in real time."""

    async def inside() -> None:
        cluster = SimCluster({"a": ["gpu"], "b": ["gpu"], "c": []})
        async with ActorSystem("head", cluster=cluster) as system, asyncio.timeout(30):
            await main(system, cluster)

    asyncio.run(inside())


def test_a_remote_handler_in_a_thread_makes_inner_steps_and_asks_a_person() -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            agent = far(far_handlers.steps_in_a_thread)
            run = asyncio.create_task(run_steps(engine, agent))
            while not STATE.get("steps"):
                await asyncio.sleep(0.01)
            question = await engine.next_question("run", 20)
            await engine.answer("run", question.id, "yes")
            assert await run == ["one", "yes", "well"]
        assert STATE["steps"] == [("one", "run:one/one"), "once"]

    in_real_time(main)


def test_a_remote_handler_causes_events_of_a_choreography(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        emits = Agent("emits", handler=far_handlers.emits, node="a")
        sees = Agent("hears", handler=far_handlers.hears, node="b")
        choreography = ChoreographyOrchestration("c", [emits, sees], {"ask": emits, "found": sees})
        reaction = await choreography.emit_event("ask", {"n": 1})
        assert [h.work for h in reaction.happenings] == ["emits", "hears"]
        assert reaction.results["hears"] == {"facts": {"n": 1}}

    in_cluster(main)


def test_a_session_in_a_store_moves_with_its_agent_and_is_read_here(
    tmp_path: Path,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        heard: list[int] = []

        def script(seen: Any) -> Any:
            heard.append(len(seen.messages))
            return "well"

        agent = model_agent(history=f"sqlite:///{tmp_path}/chats.db")
        supervisor = AgentSupervisor("s")
        supervisor.add_child(agent.name, agent)
        await supervisor.start()
        with scripted_model(script):
            await agent.ask("hello", session="u")
            cluster.kill(where(cluster, agent))
            await asyncio.sleep(1)
            await agent.ask("again", session="u")
        assert heard == [1, 3]
        assert len(await agent.session("u").messages()) == 4
        await supervisor.stop()

    in_real_time(main)


def test_a_remote_handler_that_goes_another_way_is_told_and_tasks_may_come_in_any_order(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        async with OrchestrationEngine() as engine:
            with pytest.raises(WorkflowFailed, match=r"'other'.*'one'|'one'.*'other'"):
                await run_steps(engine, far(far_handlers.goes_another_way), retry={"attempts": 2})
        assert [name for name, _ in STATE["steps"]] == ["zero", "one"]
        async with OrchestrationEngine() as engine:
            agent = far(far_handlers.steps_at_once)
            assert await run_steps(engine, agent, retry={"attempts": 2}) == ["z", "y", "x"]
        assert sorted(name for name, _ in STATE["steps"]) == ["one", "w", "x", "y", "z", "zero"]

    in_cluster(main)
