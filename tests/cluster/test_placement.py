"""Where agents and children run: near another actor, spread by groups, and an agent over several nodes."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from far_actors import STATE, Far, work
from far_handlers import counts, slow_tool, spends, steps

from agenticaiframework import Agent
from agenticaiframework.actors import (
    ActorSystem,
    AgentDefinitionError,
    AgentFailed,
    AgentTimeout,
    NoNode,
    NotInCluster,
    StartFailed,
    TextDelta,
    WrongUse,
    metered,
    near,
    spread,
)
from agenticaiframework.actors.simulation import SimCluster, SimNetwork
from agenticaiframework.orchestration import AgentSupervisor, OrchestrationEngine, RestartPolicy
from agenticaiframework.supervision import (
    BadOption,
    ChildSpec,
    Supervisor,
    SupervisorFlags,
    which_children,
)

Run = Callable[..., Any]


async def place_of(agent: Any) -> str:
    """Return the name of the node that *agent* answers from."""
    return str((await agent.ask(0))[1]).partition("#")[0].removeprefix("node ")


class Embedders(Supervisor):
    """Has an index on a node with a GPU, a reader beside it, and embedders that are spread."""

    def init(self) -> Any:
        flags = SupervisorFlags(intensity=9, period_s=60)
        return flags, [
            ChildSpec("index", Far, node="gpu"),
            *(ChildSpec(f"embedder-{n}", (Far, n), node=spread("gpu")) for n in range(4)),
        ]


# -- near --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["agent", "ref", "name", "name in the cluster"])
def test_an_agent_near_another_runs_on_its_node(in_cluster: Run, kind: str) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        index = Agent("index", handler=work, node="b")
        await index.ask(0)
        other: Any = index
        if kind == "ref":
            other = await system.cluster.start(Far, node="b")
        elif kind == "name":
            other = "index"
        elif kind == "name in the cluster":
            await system.cluster.register("the index", index.address().ref)
            other = "the index"
        agents = [Agent(f"reader-{n}", handler=work, node=near(other)) for n in range(3)]
        assert [await place_of(agent) for agent in agents] == ["b", "b", "b"]
        ref = await system.cluster.start(Far, node=near(other))
        assert system.cluster.node_of(ref).name == "b"

    in_cluster(main)


def test_what_is_near_an_actor_of_this_node_runs_on_this_node(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        here = Agent("here", handler=work)
        await here.ask(0)
        ref = await system.cluster.start(Far, "x", node=near(here))
        assert await ref.request(("where",)) == "head"
        assert await ref.request(("tag",)) == "x"
        assert (await Agent("beside", handler=work, node=near(here)).ask(0))[1] == "head"
        await system.cluster.register("named", ref)
        assert (await Agent("too", handler=work, node=near("named")).ask(0))[1] == "head"

    in_cluster(main)


def test_after_a_loss_both_run_on_another_node_again_beside_each_other(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        index = Agent("index", handler=work, node="gpu")
        reader = Agent("reader", handler=work, node=near(index))
        supervisor = AgentSupervisor("s", strategy="rest_for_one")
        supervisor.add_child("index", index)
        supervisor.add_child("reader", reader)
        async with supervisor:
            before = await place_of(index)
            assert await place_of(reader) == before
            cluster.kill(before)
            await asyncio.sleep(3)
            after = await place_of(index)
            assert after != before
            assert await place_of(reader) == after

    in_cluster(main)


def test_what_a_child_is_near_is_started_first_after_a_loss_although_it_is_younger(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        index = Agent("index", handler=work, node="gpu")
        reader = Agent("reader", handler=work, node=near(index))
        supervisor = AgentSupervisor("s", restart_policy=RestartPolicy(max_restarts=3))
        supervisor.add_child("index", index)
        supervisor.add_child("reader", reader)
        async with supervisor:
            with pytest.raises(AgentFailed):
                await index.ask(("raise", ValueError("bad")))
            assert (await place_of(index), await place_of(reader)) == ("a", "a")
            cluster.kill("a")
            await asyncio.sleep(1)
            await cluster.start_host("a")
            began = system.clock()
            assert (await place_of(index), await place_of(reader)) == ("a", "a")
            assert system.clock() - began < 1

    in_cluster(main, hosts={"a": ["gpu"], "b": []})


def test_a_restart_looks_anew_for_what_it_is_near(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        index = await system.cluster.start(Far, node="a")
        await system.cluster.register("index", index)
        reader = Agent("reader", handler=work, node=near("index"))
        assert await place_of(reader) == "a"
        index.exit("over")
        await system.wait_ended(index)
        await system.cluster.register("index", await system.cluster.start(Far, node="c"))
        assert await place_of(reader) == "a"  # it does not move while it runs
        await reader.stop()
        assert await place_of(reader) == "c"

    in_cluster(main)


def test_what_is_near_something_waits_for_it(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        index = Agent("index", handler=work, node="b")
        asked = Agent("reader", handler=work, node=near(index)).request(0)
        await asyncio.sleep(3)
        await index.ask(0)
        assert (await asked)[1].startswith("node b")

    in_cluster(main)


def test_near_what_runs_nowhere_is_an_error_that_says_so(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        idle = Agent("index", handler=work, node="b")
        began = system.clock()
        with pytest.raises(AgentFailed) as caught:
            await Agent("reader", handler=work, node=near(idle)).ask(0)
        assert isinstance(caught.value.__cause__, NoNode)
        assert "'index' runs nowhere" in str(caught.value)
        assert 9 < system.clock() - began < 12
        with pytest.raises(NoNode, match="'nobody' runs nowhere"):
            await system.cluster.start(Far, node=near("nobody"))
        ref = await system.cluster.start(Far, node="b")
        ref.exit("over")
        await system.wait_ended(ref)
        began = system.clock()
        with pytest.raises(NoNode, match="has ended"):
            await system.cluster.start(Far, node=near(ref))
        assert system.clock() - began < 1  # it will not come back, so nothing is waited for

    in_cluster(main)


def test_near_and_spread_refuse_what_they_cannot_mean() -> None:
    for wrong in (3, "", None, Agent, near):
        with pytest.raises(WrongUse, match=r"node=near\(index\)"):
            near(wrong)
    with pytest.raises(WrongUse, match=r"spread\('gpu'\)"):
        spread(3)  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="group"):
        spread("gpu", group="")
    with pytest.raises(AgentDefinitionError, match=r"near\(\.\.\.\)"):
        Agent("x", handler=work, node=near)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="near"):
        ChildSpec("x", Far, node=near)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="Actor class"):
        ChildSpec("x", Agent("x", handler=work), node=spread("gpu"))


def test_without_a_cluster_near_and_spread_say_what_is_missing(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for node in (spread("gpu"), near("x")):
            with pytest.raises(NotInCluster, match="RayCluster"):
                await Agent("far", handler=work, node=node).ask(1)

    in_sim(main)


def test_what_is_sent_to_an_agent_that_finds_no_node_fails_or_is_a_dead_letter(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        letters: list[Any] = []
        system.dead_letters.subscribe(letters.append)
        asked = Agent("asked", handler=work, node="tpu")
        with pytest.raises(AgentFailed, match="answers to 'tpu'"):
            await asked.ask("asked", timeout=60)
        told = Agent("told", handler=work, node="tpu")
        told.tell("told")
        await asyncio.sleep(1)
        assert [letter.message.payload for letter in letters] == ["told"]

    in_cluster(main)


# -- spread ------------------------------------------------------------------------------------------


def test_a_group_is_spread_however_busy_the_nodes_are_otherwise(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        for _ in range(6):
            await system.cluster.start(Far, node="a")
        plain = [Agent(f"plain-{n}", handler=work, node="gpu") for n in range(4)]
        assert Counter([await place_of(agent) for agent in plain]) == {"b": 4}
        readers = [Agent(f"reader-{n}", handler=work, node=spread("gpu")) for n in range(4)]
        assert Counter([await place_of(agent) for agent in readers]) == {"a": 2, "b": 2}
        writers = [Agent(f"w{n}", handler=work, node=spread("gpu", group="w")) for n in range(4)]
        assert Counter([await place_of(agent) for agent in writers]) == {"a": 2, "b": 2}
        refs = [await system.cluster.start(Far, node=spread()) for _ in range(6)]
        places = Counter(system.cluster.node_of(ref).name for ref in refs)
        assert places == {"a": 2, "b": 2, "c": 2}

    in_cluster(main)


def test_what_has_ended_does_not_count_for_its_group(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        refs = [await system.cluster.start(Far, node=spread("gpu")) for _ in range(4)]
        on_a = [ref for ref in refs if system.cluster.node_of(ref).name == "a"]
        for ref in on_a:
            ref.exit("over")
            await system.wait_ended(ref)
        with pytest.raises(StartFailed, match="no"):
            await system.cluster.start(Far, None, False, "no", node=spread("gpu"))
        again = [await system.cluster.start(Far, node=spread("gpu")) for _ in range(2)]
        assert [system.cluster.node_of(ref).name for ref in again] == ["a", "a"]

    in_cluster(main)


def test_children_of_a_group_are_spread_and_stay_so_after_losses(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = system.start(Embedders)

        async def places() -> Counter[str]:
            children = [c for c in await which_children(ref) if c.id != "index"]
            return Counter(system.cluster.node_of(child.child).name for child in children)

        assert await places() == {"a": 2, "b": 2}
        cluster.kill("a")
        await asyncio.sleep(3)
        assert await places() == {"b": 4}
        await cluster.start_host("a")
        for child in await which_children(ref):
            if child.id in ("embedder-0", "embedder-1"):
                embedder: Any = child.child
                embedder.kill()
                await asyncio.sleep(1)
        assert await places() == {"a": 2, "b": 2}

    in_cluster(main)


# -- an agent over several nodes ---------------------------------------------------------------------


def counted(outcomes: Any) -> Counter[str]:
    """Count *outcomes* by the node that they came from, or the error."""
    return Counter(
        str(o) if isinstance(o, Exception) else str(o[1]).partition("#")[0].removeprefix("node ")
        for o in outcomes
    )


def left_on(cluster: SimCluster) -> list[str]:
    """Return the names of what runs on the other nodes, beside what stands for actors here."""
    return [
        str(ref.name)
        for name in "abc"
        for ref in cluster.node(name).system.actors()
        if not ref.actor_class.stands_for_remote
    ]


def test_its_concurrency_is_shared_by_all_nodes_with_the_label(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("x", handler=work, node=spread("gpu"), concurrency=8)
        began = system.clock()
        asked = [agent.request(("sleep", 10, "x")) for _ in range(8)]
        await asyncio.sleep(1)
        assert agent.busy == 8
        assert counted(await asyncio.gather(*asked)) == {"a": 4, "b": 4}
        assert system.clock() - began < 11
        for n in range(5):
            agent.tell(("sleep", 5, "told"))
            assert (await agent.ask(n))[0] == n  # one is free, wherever
        await asyncio.sleep(6)
        assert agent.busy == 0
        await agent.stop()
        await asyncio.sleep(1)
        assert left_on(cluster) == []
        assert [ref.name for ref in system.actors() if ref.actor_class.stands_for_remote] == []

    in_cluster(main)


def test_what_waits_is_taken_by_the_first_that_is_free_on_any_node(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("x", handler=work, node=spread("gpu"), concurrency=2)
        began = system.clock()
        long = agent.request(("sleep", 100, "x"))
        short = [agent.request(("sleep", 1, "x")) for _ in range(10)]
        places = counted(await asyncio.gather(*short))
        assert len(places) == 1
        assert system.clock() - began < 12
        await long

    in_cluster(main)


def test_a_node_killed_with_eight_under_way_costs_its_four_and_one_event(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("x", handler=work, node=spread("gpu"), concurrency=8)
        supervisor = AgentSupervisor(
            "s", restart_policy=RestartPolicy(max_restarts=1, within_seconds=60)
        )
        supervisor.add_child("x", agent)
        async with supervisor:
            asked = [agent.request(("sleep", 10, "x")) for _ in range(12)]
            await asyncio.sleep(1)
            cluster.kill("a")
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            lost = [o for o in outcomes if isinstance(o, Exception)]
            assert len(lost) == 4
            assert all("noconnection: node 'a' is lost" in str(error) for error in lost)
            assert counted([o for o in outcomes if o not in lost]) == {"b": 8}
            began = system.clock()
            again = [agent.request(("sleep", 10, "x")) for _ in range(8)]
            assert counted(await asyncio.gather(*again)) == {"b": 8}
            assert system.clock() - began < 11  # all eight places are there again
            node = supervisor.tree().find("x")
            assert node is not None
            assert node.restarts == 1
            await cluster.start_host("a")
            await asyncio.sleep(100)  # all but one have been idle, and ended
            back = [agent.request(("sleep", 10, "x")) for _ in range(8)]
            assert counted(await asyncio.gather(*back)) == {"a": 4, "b": 4}
        await asyncio.sleep(1)
        assert left_on(cluster) == []

    in_cluster(main)


def test_without_a_supervisor_it_goes_on_after_the_loss_of_a_node(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("x", handler=work, node=spread("gpu"), concurrency=4)
        asked = [agent.request(("sleep", 10, "x")) for _ in range(6)]
        await asyncio.sleep(1)
        cluster.kill("b", after_entries=0)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert len([o for o in outcomes if isinstance(o, AgentFailed)]) == 2
        again = await asyncio.gather(*(agent.ask(("sleep", 10, "x")) for _ in range(4)))
        assert counted(list(again)) == {"a": 4}
        cluster.kill("a")
        with pytest.raises(AgentFailed):
            await agent.ask(("sleep", 10, "x"))

    in_cluster(main)


def test_a_crash_a_timeout_and_a_cancellation_cost_their_own_request(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent(
            "x", handler=work, node=spread("gpu"), concurrency=4, expected_errors=KeyError
        )
        asked = [agent.request(("sleep", 10, "x")) for _ in range(3)]
        for _ in range(10):
            with pytest.raises(AgentFailed, match="bad"):
                await agent.ask(("raise", ValueError("bad")))
            assert (await agent.ask(1))[0] == 1
            with pytest.raises(AgentFailed) as caught:
                await agent.ask(("raise", KeyError("k")))
            assert caught.value.expected
        with pytest.raises(TimeoutError):
            await agent.ask(("sleep", 100, "pool"), timeout=1)
        task = asyncio.create_task(agent.ask(("sleep", 100, "pool")))
        await asyncio.sleep(1)
        task.cancel()
        assert (await agent.ask(2, timeout=5))[0] == 2
        assert counted(await asyncio.gather(*asked)).total() == 3
        assert agent.busy == 0
        await agent.stop()
        await asyncio.sleep(1)
        assert left_on(cluster) == []

    in_cluster(main)


def test_what_it_was_told_is_done_when_nothing_refers_to_it_any_more(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        STATE.pop("slow_tool", None)
        letters: list[Any] = []
        system.dead_letters.subscribe(letters.append)
        agent = Agent("x", handler=slow_tool, node=spread("gpu"), concurrency=2)
        for n in range(5):
            agent.tell(n)
        del agent
        gc.collect()
        await asyncio.sleep(20)
        assert sorted(STATE["slow_tool"]) == [0, 1, 2, 3, 4]
        assert letters == []
        assert left_on(cluster) == []

    in_cluster(main)


def test_a_start_that_fails_is_the_error_of_the_request(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        for n in range(2):
            agent = Agent(f"x{n}", handler=work, node=spread("tpu"), concurrency=4)
            with pytest.raises(AgentFailed, match="answers to 'tpu'"):
                await agent.ask(1)
        agent = Agent("y", handler=work, node=spread("gpu"), concurrency=4)
        with pytest.raises(AgentFailed, match="cannot go to another node"):
            await agent.ask(lambda: None)
        assert (await agent.ask(1))[0] == 1
        assert agent.busy == 0

    in_cluster(main)


def test_one_whose_conversations_are_in_memory_is_refused() -> None:
    given: dict[str, Any] = {"model": "test", "node": spread("gpu"), "concurrency": 4}
    with pytest.raises(AgentDefinitionError, match="history=False"):
        Agent("x", **given)
    Agent("x", **given, history=False)
    Agent("x", model="test", node=spread("gpu"))  # one actor, with the concurrency of a model


def test_streams_inner_steps_and_usage_work_from_all_nodes(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        parts = Agent("parts", handler=counts, node=spread("gpu"), concurrency=4)
        read: list[list[Any]] = []

        async def reads() -> None:
            read.append(
                [part.text async for part in parts.stream(3) if isinstance(part, TextDelta)]
            )

        await asyncio.gather(*(reads() for _ in range(6)))
        assert read == [["0", "1", "2"]] * 6
        assert parts.busy == 0

        STATE.pop("steps", None)
        stepping = Agent("stepping", handler=steps, node=spread("gpu"), concurrency=2)
        engine = OrchestrationEngine()
        engine.register_agent("stepping", stepping)
        plan = {"name": "w", "steps": [{"id": "s", "agent": "stepping", "input": {"n": 1}}]}
        results = await asyncio.gather(*(engine.execute(plan, {}) for _ in range(2)))
        assert {result["s"][3][:6] for result in results} == {"node a", "node b"}
        assert [one["step"] for one in results[0]["s"][:3]] == ["first", "first#2", "last"]
        assert len({key for _, key in STATE["steps"]}) == 6  # each has the key of its own run
        await engine.stop()

        paying = Agent("paying", handler=spends, node=spread("gpu"), concurrency=2)
        with metered("all") as meter:
            assert await asyncio.gather(*(paying.ask(5) for _ in range(4))) == ["spent"] * 4
        assert meter.spent.input_tokens == 20

    in_cluster(main)


@pytest.mark.parametrize("seed", range(4))
def test_kills_of_nodes_under_load_end_every_request_and_leave_nothing(
    in_cluster: Run, seed: int
) -> None:
    chance = random.Random(f"load {seed}")
    ended = Counter[str]()

    async def asks(agent: Agent) -> None:
        for _ in range(20):
            payload = chance.choice([("sleep", chance.random() * 2, "x"), ("raise", OSError()), 1])
            try:
                await agent.ask(payload, timeout=chance.choice([None, 0.5, 60]))
                ended["answered"] += 1
            except (AgentFailed, AgentTimeout) as error:
                ended[type(error).__name__] += 1

    async def kills(cluster: SimCluster) -> None:
        for _ in range(4):
            await asyncio.sleep(chance.random() * 4)
            name = chance.choice("ab")
            cluster.kill(name, after_entries=chance.choice([0, 1, 2]))
            await asyncio.sleep(3)
            await cluster.start_host(name)

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agent = Agent("x", handler=work, node=spread("gpu"), concurrency=6)
        supervisor = AgentSupervisor("s", restart_policy=RestartPolicy(max_restarts=1000))
        if seed % 2:
            supervisor.add_child("x", agent)
        await supervisor.start()
        await asyncio.gather(kills(cluster), *(asks(agent) for _ in range(12)))
        assert ended.total() == 240
        await asyncio.sleep(5)
        assert agent.busy == 0
        again = await asyncio.gather(*(agent.ask(("sleep", 10, "x")) for _ in range(6)))
        assert counted(again).total() == 6
        await supervisor.stop()
        await agent.stop()
        await asyncio.sleep(5)
        assert left_on(cluster) == []

    in_cluster(main, seed=seed, network=SimNetwork(lost_acks=0.2, repeated=0.2))
