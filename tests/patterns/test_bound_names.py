"""Which agent a name means: in patterns, teams and workflows, at concurrent requests, and in loaded ones."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AmbiguousAgent,
    UnknownAgent,
    agent_names,
    find_agent,
)
from agenticaiframework.orchestration import (
    AgentRole,
    AgentTeam,
    ChoreographyOrchestration,
    EngineConfig,
    HierarchicalOrchestration,
    MapReduceOrchestration,
    OrchestrationEngine,
    ParallelOrchestration,
    RouterOrchestration,
    SequentialOrchestration,
    WorkflowDefinition,
    load_workflow,
)

USERS = ("alice", "bob", "carol", "dave")
STEPS: dict[str, Any] = {
    "name": "w",
    "steps": [{"id": "help", "agent": "standin"}],
    "output": "$help",
}
BESIDE: dict[str, Any] = {
    "name": "w",
    "steps": [{"id": "help", "pattern": "parallel", "agents": ["standin"], "input": "$input"}],
    "output": "$help.standin",
}
ENGINES: list[OrchestrationEngine] = []
LOADED = SequentialOrchestration.from_dict({"name": "loaded", "steps": ["standin"]})
AROUND = SequentialOrchestration("around", [LOADED])


def helper_of(user: str) -> Agent:
    async def answer(_: Any) -> str:
        await asyncio.sleep(0)
        return f"the secret of {user}"

    return Agent("standin", handler=answer)


@pytest.fixture(autouse=True)
def no_helpers() -> None:
    ENGINES.clear()  # a run that is over keeps its definition, and what is bound there
    gc.collect()
    assert "standin" not in agent_names()
    ENGINES.append(OrchestrationEngine())
    ENGINES[0].register_workflow("registered", STEPS)


def shared_engine() -> OrchestrationEngine:
    """Return the one engine of all requests of a test; what is registered was so without a helper."""
    return ENGINES[0]


async def helping_team() -> AgentTeam:
    team = AgentTeam("team", roles=[AgentRole(name="helping")])
    team.assign_agent("standin", "helping")
    return team


async def told_by_team() -> str:
    team = await helping_team()
    await asyncio.sleep(0.01)
    result = await team.execute_task("hello")
    return str(result)


async def fails(_: Any) -> None:
    raise ValueError("no")


def made(pattern: Any) -> Callable[[], Awaitable[Any]]:
    """Have the pattern made at once, and executed when others have made theirs."""

    async def ask() -> Any:
        it = pattern()
        await asyncio.sleep(0.01)
        return await it.ask(["hello"])

    return ask


async def executed(engine: OrchestrationEngine, **what: Any) -> Any:
    await asyncio.sleep(0.01)
    return await engine.execute(input_data="hello", **what)


async def in_background(workflow: Any) -> Any:
    engine = OrchestrationEngine()
    run = await engine.start_workflow(workflow, "hello")
    return await engine.wait(run)


WAYS: dict[str, Callable[[], Awaitable[Any]]] = {
    "sequential": made(lambda: SequentialOrchestration("p", ["standin"])),
    "parallel": made(lambda: ParallelOrchestration("p", ["standin", repr])),
    "hierarchical": made(
        lambda: HierarchicalOrchestration("p", repr, [{"parent": repr, "children": ["standin"]}])
    ),
    "router": made(lambda: RouterOrchestration("p", [{"agent": "standin"}])),
    "map_reduce": made(lambda: MapReduceOrchestration("p", "standin")),
    "choreography": made(
        lambda: ChoreographyOrchestration(
            "p", event_handlers={"start": "standin"}, start_event="start"
        )
    ),
    "nested": made(
        lambda: SequentialOrchestration("p", [ParallelOrchestration("in", ["standin"])])
    ),
    "nested data": made(
        lambda: SequentialOrchestration(
            "p", [{"pattern": "sequential", "name": "in", "steps": ["standin"]}]
        )
    ),
    "fallback": made(
        lambda: SequentialOrchestration(
            "p", [{"agent": fails, "on_error": {"fallback": "standin"}}]
        )
    ),
    "loaded": made(lambda: LOADED),
    "loaded in another": made(lambda: AROUND),
    "loaded in one that is made": made(lambda: SequentialOrchestration("p", [LOADED])),
    "team": told_by_team,
    "team in a pattern": lambda: _team_in_a_pattern(),
    "workflow": lambda: executed(OrchestrationEngine(), workflow=WorkflowDefinition(**STEPS)),
    "workflow as data": lambda: executed(shared_engine(), workflow=STEPS),
    "pattern step as data": lambda: executed(shared_engine(), workflow=BESIDE),
    "registered beforehand": lambda: executed(shared_engine(), workflow="registered"),
    "loaded workflow": lambda: executed(
        OrchestrationEngine(EngineConfig(agents="any")), workflow=load_workflow(json.dumps(STEPS))
    ),
    "in the background": lambda: in_background(STEPS),
    "pattern given": lambda: executed(
        shared_engine(), pattern=SequentialOrchestration("p", ["standin"])
    ),
    "loaded pattern given": lambda: executed(shared_engine(), pattern=LOADED),
    "nested workflow": lambda: executed(
        shared_engine(),
        workflow={"name": "o", "steps": [{"id": "in", "workflow": STEPS, "input": "$input"}]},
    ),
    "workflow's fallback": lambda: executed(
        shared_engine(),
        workflow={
            "name": "f",
            "steps": [{"id": "a", "agent": fails, "on_error": {"fallback": "standin"}}],
        },
    ),
    "routed": lambda: _routed(),
    "found": lambda: _found(),
}


async def _team_in_a_pattern() -> Any:
    return await made(lambda: SequentialOrchestration("p", [_team()]))()


def _team() -> AgentTeam:
    team = AgentTeam("team", roles=[AgentRole(name="helping")])
    team.assign_agent("standin", "helping")
    return team


async def _routed() -> Any:
    engine = OrchestrationEngine()
    engine.configure_routing([{"condition": "default", "agent": "standin"}])
    return await executed(engine)


async def _found() -> Any:
    await asyncio.sleep(0.01)
    return await find_agent("standin").ask("hello")


@pytest.mark.parametrize("way", WAYS)
def test_requests_at_the_same_time_get_their_own_agents(way: str) -> None:
    async def request(user: str) -> str:
        helper = helper_of(user)
        answer = await WAYS[way]()
        return f"{helper.name}: {answer}"

    async def main() -> list[str]:
        async with ActorSystem():
            tasks = [asyncio.create_task(request(user)) for user in USERS]
            return [await task for task in tasks]

    for user, answer in zip(USERS, asyncio.run(main()), strict=True):
        assert [name for name in USERS if name in answer] == [user]


@pytest.mark.parametrize("how", ["awaited", "task", "gather", "group", "thread"])
def test_what_a_request_starts_sees_its_agents(how: str) -> None:
    async def ask() -> Any:
        pattern = SequentialOrchestration("p", ["standin"])
        await asyncio.sleep(0.01)
        return await pattern.execute("hello")

    async def request(user: str) -> Any:
        helper = helper_of(user)
        assert helper.name == "standin"
        if how == "awaited":
            return await ask()
        if how == "task":
            return await asyncio.create_task(ask())
        if how == "gather":
            return (await asyncio.gather(ask()))[0]
        if how == "thread":
            pattern = await asyncio.to_thread(SequentialOrchestration, "p", ["standin"])
            return await pattern.execute("hello")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ask())
        return task.result()

    async def main() -> list[Any]:
        async with ActorSystem():
            return await asyncio.gather(*(request(user) for user in USERS))

    assert asyncio.run(main()) == [f"the secret of {user}" for user in USERS]


@pytest.mark.parametrize("how", ["task", "gather", "thread"])
def test_an_agent_that_a_child_has_made_is_never_taken_for_another_request_s(how: str) -> None:
    together = asyncio.Barrier(len(USERS))

    async def make(user: str) -> Agent:
        return helper_of(user)

    async def request(user: str) -> str:
        if how == "task":
            helper = await asyncio.create_task(make(user))
        elif how == "gather":
            [helper] = await asyncio.gather(make(user))
        else:
            helper = await asyncio.to_thread(helper_of, user)
        await together.wait()
        with pytest.raises(AmbiguousAgent, match="Pass the Agent itself") as caught:
            await SequentialOrchestration("p", ["standin"]).execute("hello")
        assert len(caught.value.made_at) == len(USERS)
        await together.wait()
        return str(await SequentialOrchestration("p", [helper]).execute("hello"))

    async def main() -> list[str]:
        async with ActorSystem():
            alone = await asyncio.create_task(make("zoe"))
            # The only living one is found by whoever asks for it.
            assert await SequentialOrchestration("p", ["standin"]).execute(1) == "the secret of zoe"
            del alone
            gc.collect()
            return await asyncio.gather(*(request(user) for user in USERS))

    assert asyncio.run(main()) == [f"the secret of {user}" for user in USERS]


def test_what_an_engine_has_registered_comes_before_what_is_bound() -> None:
    async def main() -> list[Any]:
        own, registered = helper_of("own"), Agent("another", handler=lambda _: "registered")
        pattern = SequentialOrchestration("p", [SequentialOrchestration("in", ["standin"])])
        workflow = WorkflowDefinition(**STEPS)
        engine = OrchestrationEngine()
        assert await engine.execute(workflow=workflow) == "the secret of own"
        engine.register_agent("standin", registered)
        return [
            await engine.execute(workflow=workflow),
            await engine.execute(pattern=pattern),
            await pattern.execute(1),
            own.name,
        ]

    assert asyncio.run(main()) == ["registered", "registered", "the secret of own", "standin"]


def test_several_agents_made_elsewhere_are_an_error_unless_one_is_registered() -> None:
    async def make(user: str) -> Agent:
        return helper_of(user)

    async def main() -> None:
        kept = await asyncio.gather(make("alice"), make("bob"))
        pattern = SequentialOrchestration("p", ["standin"])  # an engine may still register it
        for ask in (pattern.execute, partial(OrchestrationEngine().execute, STEPS)):
            with pytest.raises(
                AmbiguousAgent, match=r"2 agents are called 'standin'.*py:\d+"
            ) as it:
                await ask(1)
            assert "engine.register_agent('standin', agent)" in str(it.value)
        engine = OrchestrationEngine()
        engine.register_agent("standin", kept[1])
        assert await engine.execute(pattern=pattern) == "the secret of bob"
        assert await engine.execute(workflow=STEPS) == "the secret of bob"

    asyncio.run(main())


def test_a_name_of_nobody_yet_is_looked_up_at_execution() -> None:
    async def main() -> tuple[Any, ...]:
        pattern = SequentialOrchestration("p", ["standin"])
        team = await helping_team()
        workflow = WorkflowDefinition(**STEPS)
        with pytest.raises(UnknownAgent):
            await pattern.execute(1)
        helper = helper_of("later")
        return (
            await pattern.execute(1),
            str(await team.execute_task(1)),
            await OrchestrationEngine().execute(workflow=workflow),
            helper.name,
        )

    first, second, third, _ = asyncio.run(main())
    assert first == third == "the secret of later"
    assert "the secret of later" in second


def test_what_names_an_agent_keeps_it_and_still_shows_its_name() -> None:
    def pattern() -> Any:
        helper_of("nobody")
        agent = helper_of("pattern")
        return SequentialOrchestration("p", [agent.name])

    def team() -> Any:
        agent = helper_of("team")
        made = AgentTeam("t", roles=[AgentRole(name="helping")])
        made.assign_agent(agent.name, "helping")
        return made

    def workflow() -> Any:
        agent = helper_of("workflow")
        return WorkflowDefinition(**{**STEPS, "steps": [{"id": "help", "agent": agent.name}]})

    def registered() -> Any:
        agent = helper_of("registered")
        engine = OrchestrationEngine()
        engine.register_workflow("w", {**STEPS, "steps": [{"id": "help", "agent": agent.name}]})
        return engine

    async def main() -> None:
        one = pattern()
        gc.collect()
        assert await one.execute(1) == "the secret of pattern"
        assert one.to_dict()["steps"] == [{"agent": "standin"}]
        del one
        gc.collect()
        two = team()
        gc.collect()
        assert "the secret of team" in str(await two.execute_task(1))
        assert two.to_dict()["members"] == {"helping": ["standin"]}
        two.unassign_agent("standin")
        gc.collect()
        with pytest.raises(UnknownAgent):
            find_agent("standin")
        three = workflow()
        gc.collect()
        assert await OrchestrationEngine().execute(workflow=three) == "the secret of workflow"
        assert three.to_dict()["steps"] == [{"id": "help", "agent": "standin"}]
        assert three == WorkflowDefinition.model_validate(three.to_dict())
        del three
        gc.collect()
        four = registered()
        gc.collect()
        assert await four.execute(workflow="w") == "the secret of registered"

    asyncio.run(main())
    gc.collect()
    with pytest.raises(UnknownAgent):
        find_agent("standin")


def test_what_was_loaded_binds_nothing_and_copies_are_as_if_loaded() -> None:
    async def main() -> None:
        first = helper_of("first")
        loaded = SequentialOrchestration.from_dict({"name": "p", "steps": ["standin"]})
        text = load_workflow(json.dumps(STEPS))
        team = AgentTeam.from_dict(
            {"name": "t", "roles": [{"name": "r"}], "members": {"r": ["standin"]}}
        )
        bound = SequentialOrchestration("p", ["standin"])
        copies = [copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))]
        second = helper_of("second")
        engine = OrchestrationEngine(EngineConfig(agents="any"))
        for pattern in (loaded, *copies):
            assert await pattern.execute(1) == "the secret of second"
        assert await bound.execute(1) == "the secret of first"
        assert await engine.execute(workflow=text) == "the secret of second"
        assert "second" in str(await team.execute_task(1))
        assert first is not second

    asyncio.run(main())


def test_a_run_keeps_the_agents_that_it_may_need_later() -> None:
    async def main() -> Any:
        engine = OrchestrationEngine()
        going = asyncio.Event()

        async def slow(_: Any) -> None:
            await going.wait()
            raise ValueError("no")

        async def start() -> str:
            helper = helper_of("start")
            workflow = {
                "name": "f",
                "steps": [{"id": "a", "agent": slow, "on_error": {"fallback": helper.name}}],
                "output": "$a",
            }
            return await engine.start_workflow(workflow)

        run = await start()
        gc.collect()
        going.set()
        return await engine.wait(run)

    assert asyncio.run(main()) == "the secret of start"


def test_making_agents_patterns_and_requests_for_ever_keeps_nothing() -> None:
    async def request(number: int) -> None:
        helper = helper_of(str(number))
        pattern = SequentialOrchestration("p", ["standin"])
        assert await pattern.execute(1) == f"the secret of {number}"
        assert helper.name

    def count() -> int:
        gc.collect()
        return len(gc.get_objects())

    async def main() -> list[int]:
        counts: list[int] = []
        async with ActorSystem():
            kept = helper_of("the service")
            for _ in range(4):
                for number in range(50):
                    # In one task for ever, and in one each, several at a time.
                    await request(number)
                    await asyncio.gather(*(request(n) for n in range(4)))
                await asyncio.sleep(0.05)
                counts.append(count())
            assert kept.name == "standin"
        return counts

    counts = asyncio.run(main())
    assert counts[-1] - counts[1] < 60, counts
