"""What holds whatever happens to nodes and network: asks end, order, dead letters, one incarnation a child.

Each seed is a plan of its own: which nodes die, also in the middle of a batch, which come back, what is
cut and for how long, what comes twice or late, and whose acknowledgement gets lost.
"""

from __future__ import annotations

import asyncio
import pickle
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from far_actors import Far, Noting, alive, began, ended, work

from agenticaiframework import Agent
from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorSystem,
    MailboxFull,
    NodeDown,
    NodeUp,
    NotInCluster,
)
from agenticaiframework.actors.cluster.entries import TELL
from agenticaiframework.actors.simulation import (
    SimCluster,
    SimNetwork,
    Simulation,
    simulate_once,
)
from agenticaiframework.orchestration import AgentSupervisor, RestartPolicy
from agenticaiframework.supervision import SupervisorReport

Run = Callable[..., Any]

LEASE_S = 1.0
LONG_S = 8.0


class Plan:
    """What goes wrong in one run, from its seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"plan {seed}")
        chance = self.random.random
        self.network = SimNetwork(
            delay_s=self.random.choice([0.001, 0.02, 0.05]),
            lost_acks=self.random.choice([0.0, 0.1, 0.3]),
            repeated=self.random.choice([0.0, 0.3]),
            detect_s=self.random.choice([0.01, 0.3]),
        )
        self.partitions = chance() < 0.5

    async def carry_out(self, cluster: SimCluster) -> None:
        for _ in range(self.random.randint(1, 4)):
            await asyncio.sleep(self.random.uniform(0.05, 0.8))
            name = self.random.choice(["a", "b", "c"])
            if cluster.node(name).dead:
                await cluster.start_host(name)
            elif self.partitions and self.random.random() < 0.5:
                cluster.cut("head", name)
                await asyncio.sleep(self.random.choice([0.2, LEASE_S * 2]))
                cluster.heal()
            else:
                after = self.random.choice([None, 0, 1, 5])
                cluster.kill(name, after_entries=after)


class Sender(Actor):
    """Tells one actor numbers, and notes which were taken."""

    def __init__(self, name: str, target: Any, rng: random.Random) -> None:
        super().__init__()
        self.name = name
        self.target = target
        self.random = rng
        self.told: list[Any] = []
        self.refused = 0

    async def on_receive(self, message: Any) -> Any:
        for number in range(60):
            letter = (self.name, number)
            try:
                self.target.tell(letter)
                self.told.append(letter)
            except Exception:
                self.refused += 1  # dead, or full: its sender knows
            if self.random.random() < 0.3:
                await asyncio.sleep(self.random.uniform(0, 0.1))
        return self.told


@pytest.mark.parametrize("seed", range(40))
def test_each_told_message_is_accounted_for(in_cluster: Run, seed: int) -> None:
    plan = Plan(seed)
    arrived: set[Any] = set()
    letters: dict[str, Counter[Any]] = {}
    downs: list[Any] = []

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        def on_arrival(name: str, batch: Any) -> None:
            for entry in batch.entries:
                if entry[0] == TELL:
                    arrived.add(pickle.loads(entry[3]))

        cluster.on_arrival = on_arrival

        system.dead_letters.subscribe(
            lambda letter: letters.setdefault(letter.reason, Counter()).update([letter.message])
        )
        system.subscribe(downs.append, NodeDown)
        told: list[Any] = []
        noting = [
            await system.cluster.start(Noting, f"n{seed}-{number}", node=node)
            for number, node in enumerate("abcabc")
        ]
        senders = [
            system.start(Sender, f"s{number}", noting[number % 6], random.Random(number))
            for number in range(12)
        ]
        asked = [sender.request("go") for sender in senders]
        trouble = asyncio.create_task(plan.carry_out(cluster))
        for request in asked:
            told += await request
        await trouble
        await asyncio.sleep(LONG_S)
        by_sender: dict[tuple[str, int], list[int]] = {}
        handled: Counter[Any] = Counter()
        for number in range(6):
            for sender, index in Noting.NOTED.pop(f"n{seed}-{number}", []):
                handled[sender, index] += 1
                by_sender.setdefault((sender, number), []).append(index)
        never = letters.get("never_sent", Counter())
        maybe = letters.get("maybe_delivered", Counter())
        # In order for each pair, and each at most once.
        for indexes in by_sender.values():
            assert indexes == sorted(set(indexes))
        # What was never sent was not handled; the others may be lost with their node, or in doubt.
        assert not set(never) & set(handled)
        assert not set(never) & (set(maybe) | arrived)
        assert max([*never.values(), *maybe.values(), *handled.values()], default=0) <= 1
        # What is in no dead letter was taken by its node; and that handled it, or is lost itself.
        dead = {node.info.name for node in cluster.lost_nodes()}
        in_letters = {letter for counted in letters.values() for letter in counted}
        assert set(told) - arrived <= in_letters
        for sender, index in set(told) - in_letters - set(handled):
            assert "abc"[int(sender[1:]) % 3] in dead, (sender, index)
        assert sum(down.never_sent + down.maybe_delivered for down in downs) == sum(
            (never + maybe).values()
        )

    in_cluster(main, seed=seed, network=plan.network, lease_s=LEASE_S)


@pytest.mark.parametrize("seed", range(40))
def test_every_ask_ends_and_a_child_has_one_incarnation(in_cluster: Run, seed: int) -> None:
    plan = Plan(1000 + seed)
    names = [f"child{number}" for number in range(4)]

    async def asking(agent: Agent, outcomes: list[Any]) -> None:
        for number in range(25):
            try:
                outcomes.append((await agent.ask(number, timeout=3.0))[0] == number)
            except Exception as error:
                outcomes.append(error)
            await asyncio.sleep(0.05)

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        alive.clear()
        agents = [
            Agent(
                name, handler=work, node="*",
                on_start=partial(began, name), on_stop=partial(ended, name),
            )
            for name in names
        ]  # fmt: skip
        supervisor = AgentSupervisor(
            f"sup{seed}", restart_policy=RestartPolicy(max_restarts=30, within_seconds=1)
        )
        for agent in agents:
            supervisor.add_child(agent.name, agent)
        await supervisor.start()
        outcomes: list[Any] = []
        tasks = [asyncio.create_task(asking(agent, outcomes)) for agent in agents]
        await plan.carry_out(cluster)
        if plan.random.random() < 0.3:
            for name in "abc":
                cluster.kill(name)
        cluster.heal()
        cluster.network = SimNetwork()
        await cluster.start_host("a")  # at the latest now somebody puts a machine up again
        await asyncio.gather(*tasks)
        assert len(outcomes) == 4 * 25  # every ask has ended
        assert True in outcomes
        assert False not in outcomes
        await asyncio.sleep(LONG_S)
        assert [(await agent.ask("now", timeout=60))[0] for agent in agents] == ["now"] * 4
        assert {name: len(where) for name, where in alive.items()} == dict.fromkeys(names, 1)
        await supervisor.stop()
        assert not any(alive.values())

    in_cluster(main, seed=seed, network=plan.network, lease_s=LEASE_S)
    assert began.most <= 1


def test_the_loss_of_a_node_is_one_event_for_the_restart_budget(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        agents = [Agent(f"m{number}", handler=work, node="gpu") for number in range(10)]
        supervisor = AgentSupervisor(
            "sup", restart_policy=RestartPolicy(max_restarts=1, within_seconds=60)
        )
        for agent in agents:
            supervisor.add_child(agent.name, agent)
        await supervisor.start()
        reports: list[str] = []
        system.subscribe(lambda report: reports.append(str(report)), SupervisorReport)
        assert {(await agent.ask(0))[1] for agent in agents} == {"node a#1", "node b#2"}
        cluster.kill("a")
        await asyncio.sleep(1)
        failed = [report for report in reports if "noconnection" in report]
        assert failed
        assert all("restart 1 of 1 in 60 s" in report for report in failed), failed
        assert {(await agent.ask(0))[1] for agent in agents} == {"node b#2"}
        await supervisor.stop()

    in_cluster(main)


def test_a_node_that_comes_back_is_a_new_node(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        seen: list[Any] = []
        system.subscribe(seen.append, NodeUp)
        system.subscribe(seen.append, NodeDown)
        ref = await system.cluster.start(Far, node="a")
        before = cluster.node("a").info
        cluster.kill("a")
        await asyncio.sleep(1)
        again = await cluster.start_host("a")
        assert again.info != before
        assert [type(event) for event in seen] == [NodeDown, NodeUp]
        assert ref.exit_reason == "noconnection"
        assert ref.exit_reason.node == "a"
        new = await system.cluster.start(Far, node="a")
        assert await new.request(("where",)) == f"node {again.info.id}"

    in_cluster(main)


def test_the_side_without_the_head_serves_no_names_and_ends_its_actors(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        await system.cluster.register("boss", ref)
        await ref.request(("spawn", "on its own"))  # nobody's child, and linked with nobody
        side = cluster.node("a")
        assert [actor.actor_class for actor in side.system.actors()].count(Far) == 2
        cluster.cut("head", "a")
        began_at = system.clock()
        while ref.is_alive():
            await asyncio.sleep(0.05)
        # The head takes it for lost only after it has ended its actors itself.
        assert LEASE_S <= system.clock() - began_at <= 2 * LEASE_S
        assert side.system.actors() == []
        assert await system.cluster.whereis("boss") is None
        with pytest.raises(NotInCluster):
            await side.cluster.whereis("boss")
        cluster.heal()
        await asyncio.sleep(2)
        assert [node.name for node in system.cluster.nodes] == ["head", "b", "c"]

    in_cluster(main, lease_s=LEASE_S)


def test_a_node_that_is_welcomed_late_and_cut_off_at_once_ends_before_it_is_taken_for_lost(
    in_cluster: Run,
) -> None:
    """Its first lease begins when it is welcomed, which the head does not see."""

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        downs: list[Any] = []
        system.subscribe(downs.append, NodeDown)
        welcomed: list[str] = []

        def cut_again(node: str, _batch: Any) -> None:
            if node == "d":
                welcomed.append(node)
                cluster.cut("head", "d")

        cluster.on_arrival = cut_again
        side = await cluster.start_host("d")
        cluster.cut("head", "d")  # before anything has arrived
        own = side.system.start(Far)
        await asyncio.sleep(0.8 * LEASE_S)
        assert not welcomed
        cluster.heal()
        async with asyncio.timeout(10 * LEASE_S):
            while not downs:
                await asyncio.sleep(0.01)
        assert welcomed
        assert side.cluster.closed
        assert own.ended

    in_cluster(main, lease_s=LEASE_S, network=SimNetwork(timeout_s=0.1))


def test_a_cut_that_is_mended_in_time_costs_nothing(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        cluster.cut("head", "a")
        asked = ref.request(("where",))
        ref.tell("hello")
        await asyncio.sleep(LEASE_S / 2)
        cluster.heal()
        assert await asked == "node a#1"
        assert await ref.request(("seen",)) == ["hello"]
        assert not system.dead_letters.count

    in_cluster(main, lease_s=LEASE_S, network=SimNetwork(timeout_s=0.1))


def test_a_full_queue_is_lost_as_never_sent_and_the_batch_as_maybe_delivered(
    in_cluster: Run,
) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        cluster.cut("head", "a")
        ref.tell("under way")
        await asyncio.sleep(0.05)
        for number in range(3):
            ref.tell(number)
        ref.tell(3)
        ref.tell(4)
        with pytest.raises(MailboxFull):
            ref.tell(5)
        await asyncio.sleep(3 * LEASE_S)
        told = [(letter.message, letter.reason) for letter in system.dead_letters]
        assert told == [
            ("under way", "maybe_delivered"), *[(number, "never_sent") for number in range(5)]
        ]  # fmt: skip

    in_cluster(main, lease_s=LEASE_S, queue_limit=5)


@pytest.mark.parametrize("seed", range(10))
def test_a_simulated_scenario_can_be_a_cluster(seed: int) -> None:
    async def scenario(sim: Simulation) -> Any:
        agent = Agent("far", handler=work, node="a")
        near = Agent("near", handler=work)
        far, here = await agent.ask(1), await near.ask(2)
        return far, here

    cluster = SimCluster({"a": [], "b": []}, seed=seed)
    report = simulate_once(scenario, seed=seed, system_options={"cluster": cluster})
    assert not report.violations, report.violations
    assert report.error is None
    assert report.value == ((1, "node a#1"), (2, "sim"))


def test_a_stale_ref_names_the_lost_node_and_no_name_or_group_leads_there(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="c", name="far")
        await system.cluster.register("service", ref)
        await system.cluster.join("workers", ref)
        assert await system.cluster.whereis("service") is ref
        cluster.kill("c")
        with pytest.raises(ActorDied, match="node 'c' is lost"):
            await ref.request(("sleep", 60))
        with pytest.raises(ActorDied, match="node 'c' is lost"):
            await ref.request(("where",))
        assert await system.cluster.whereis("service") is None
        assert await system.cluster.members("workers") == []
        # The name is free for the next.
        other = await system.cluster.start(Far, node="a")
        await system.cluster.register("service", other)
        assert await system.cluster.whereis("service") is other

    in_cluster(main)
