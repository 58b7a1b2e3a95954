"""Routers over groups and lists: who gets which message."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from puppets import Crash, Puppet, do, ended

from agenticaiframework.actors import (
    Actor,
    ActorRef,
    ActorSystem,
    Agent,
    AgentFailed,
    AgenticError,
    AgentStopped,
    Mailbox,
    MailboxFull,
    NoRoutee,
    Router,
)
from agenticaiframework.actors.system.routers import ConsistentHash

Run = Callable[..., Any]


class Named(Actor):
    """Answers its name; a number makes it wait so long first."""

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, float):
            await asyncio.sleep(message)
        if message == "crash":
            raise Crash(self.actor_ref.name)
        return self.actor_ref.name


def start(system: ActorSystem, count: int) -> list[ActorRef[Any]]:
    return [system.start(Named, _name=f"w{n}") for n in range(count)]


async def answers(router: Router, count: int) -> list[Any]:
    return [await router.request("who") for _ in range(count)]


def test_round_robin_takes_each_in_turn(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        router = Router(system, start(system, 3))
        assert await answers(router, 7) == ["w0", "w1", "w2", "w0", "w1", "w2", "w0"]

    in_sim(main)


def test_round_robin_goes_on_when_members_leave_and_join(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        refs = start(system, 4)
        router = Router(system, refs)
        assert await answers(router, 2) == ["w0", "w1"]
        refs[0].kill()
        await ended(refs[0])
        assert await answers(router, 4) == ["w2", "w3", "w1", "w2"]
        refs[2].kill()
        await ended(refs[2])
        assert len(set(await answers(router, 2))) == 2
        router.add(system.start(Named, _name="new"))
        assert set(await answers(router, 3)) == {"w1", "w3", "new"}
        router.remove(refs[1])
        assert set(await answers(router, 2)) == {"w3", "new"}

    in_sim(main)


def test_members_of_a_group_come_and_go_by_themselves(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        router = Router(system, "workers")
        with pytest.raises(NoRoutee, match=r"system\.groups\.join"):
            router.tell("nobody there")
        refs = start(system, 2)
        for ref in refs:
            router.add(ref)
        assert system.groups.members("workers") == router.members == refs
        assert set(await answers(router, 2)) == {"w0", "w1"}
        refs[0].exit("gone")
        await ended(refs[0])
        assert await answers(router, 2) == ["w1", "w1"]
        router.remove(refs[1])
        with pytest.raises(NoRoutee):
            await router.request("nobody there")

    in_sim(main)


def test_the_smallest_mailbox_gets_the_message(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        refs = start(system, 3)
        router = Router(system, refs, "smallest_mailbox")
        for ref, waiting in zip(refs, (3, 1, 2), strict=True):
            system.suspend(ref)
            for _ in range(waiting):
                ref.tell("x")
        assert router.choose("x") == [refs[1]]
        refs[1].tell("x")
        refs[1].tell("x")
        assert router.choose("x") == [refs[2]]

    in_sim(main)


def test_who_is_at_work_counts_as_fuller_than_who_is_idle(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        refs = start(system, 3)
        router = Router(system, refs, "smallest_mailbox")
        began = system.clock()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(_await(router.request(5.0)))
                await asyncio.sleep(0.001)
        assert system.clock() - began < 6, "each got one"

    in_sim(main)


async def _await(awaitable: Any) -> Any:
    return await awaitable


def test_broadcast_reaches_all_and_gathers_their_answers(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        refs = start(system, 3)
        router = Router(system, refs, "broadcast")
        assert await router.request("who") == ["w0", "w1", "w2"]
        router.tell("x")
        await asyncio.sleep(0)
        await do_nothing(router)
        assert [system.info(ref).handled for ref in refs] == [3, 3, 3]
        outcome = await router.request("crash")
        assert [str(error) for error in outcome] == ["w0", "w1", "w2"]
        refs[1].kill()
        await ended(refs[1])
        assert await router.request("who", timeout=5) == ["w0", "w2"]

    async def do_nothing(router: Router) -> None:
        await router.request("who")

    in_sim(main)


def test_a_broadcast_reaches_the_others_when_one_mailbox_is_full(in_sim: Run) -> None:
    class Small(Puppet):
        mailbox = Mailbox(1)

    async def main(system: ActorSystem) -> None:
        small, roomy = system.start(Small), system.start(Puppet)
        system.suspend(small)
        small.tell("in the way")
        router = Router(system, [small, roomy], "broadcast")
        router.tell("hello")
        assert await do(roomy, lambda puppet: puppet.seen) == ["hello"]
        [letter] = system.dead_letters
        assert letter.message == "hello"
        full, answer = await router.request("asked")
        assert isinstance(full, MailboxFull)
        assert answer == "asked"
        with pytest.raises(MailboxFull):
            Router(system, [small]).tell("to one, who refuses")

    in_sim(main)


def test_random_is_the_systems_randomness(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> list[Any]:
        return await answers(Router(system, start(system, 4), "random"), 40)

    first, second = in_sim(main, seed=5), in_sim(main, seed=5)
    assert first == second
    assert first != in_sim(main, seed=6)
    assert set(first) == {"w0", "w1", "w2", "w3"}


def test_a_key_goes_to_the_same_member_as_long_as_it_lives(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        refs = start(system, 10)
        router = Router(system, refs, "consistent_hash", key=lambda order: order["customer"])
        orders = [{"customer": f"c{n}", "item": n} for n in range(1000)]
        before = [router.choose(order)[0] for order in orders]
        assert [router.choose({**order, "item": 0})[0] for order in orders] == before
        shares = Counter(before)
        assert len(shares) == 10
        assert max(shares.values()) < 250

        refs[3].kill()
        await ended(refs[3])
        after = [router.choose(order)[0] for order in orders]
        moved = {o for o, n in zip(before, after, strict=True) if o is not n}
        assert moved == {refs[3]}, "only the keys of the one that left have moved"

        router.add(system.start(Named, _name="new"))
        again = [router.choose(order)[0] for order in orders]
        gained = {n for o, n in zip(after, again, strict=True) if o is not n}
        assert {ref.name for ref in gained} == {"new"}, "and only to the one that came"

    in_sim(main)


class Member:
    """As much of a ref as the hash looks at."""

    def __init__(self, number: int) -> None:
        self.label = f"m{number}"
        self.pid = number


@settings(max_examples=50, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 50), unique=True, min_size=2, max_size=8),
    keys=st.lists(st.text(max_size=5), min_size=1, max_size=40),
    data=st.data(),
)
def test_leaving_moves_only_the_keys_of_who_left(
    numbers: list[int], keys: list[str], data: st.DataObject
) -> None:
    members: list[Any] = [Member(number) for number in numbers]
    left = data.draw(st.sampled_from(members))
    ring = ConsistentHash(key=lambda message: message)
    before = [ring.choose(members, key)[0] for key in keys]
    after = [ring.choose([m for m in members if m is not left], key)[0] for key in keys]
    for old, new in zip(before, after, strict=True):
        assert new is not left
        assert old is left or old is new


def test_a_policy_of_ones_own(in_sim: Run) -> None:
    class Last:
        def choose(self, members: list[ActorRef[Any]], message: Any, /) -> list[ActorRef[Any]]:
            return members[-1:]

    async def main(system: ActorSystem) -> None:
        router = Router(system, start(system, 3), Last())
        assert await answers(router, 2) == ["w2", "w2"]

    in_sim(main)


def test_a_router_waits_for_room_like_a_ref(in_sim: Run) -> None:
    class Small(Puppet):
        mailbox = Mailbox(1, overflow="backpressure")

    async def main(system: ActorSystem) -> None:
        one = system.start(Small)
        system.suspend(one)
        router = Router(system, [one])
        await router.send("first")
        second = asyncio.ensure_future(_await(router.send("second")))
        await asyncio.sleep(1)
        assert not second.done()
        system.resume(one)
        await second

    in_sim(main)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "round-robin"}, "'round_robin'"),
        ({"policy": "consistent_hash"}, "needs key="),
        ({"policy": "random", "key": len}, "uses no key"),
    ],
)
def test_a_wrong_policy_is_refused_when_the_router_is_made(
    in_sim: Run, arguments: dict[str, Any], message: str
) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(ValueError, match=message) as wrong:
            Router(system, "workers", **arguments)
        assert isinstance(wrong.value, AgenticError)

    in_sim(main)


# -- agents as members ---------------------------------------------------------------------------


async def _shout(payload: Any) -> str:
    if payload == "crash":
        raise Crash("boom")
    await asyncio.sleep(0.1)
    return f"{payload}!"


def test_agents_are_members_beside_actors(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=_shout) for n in range(2)]
        router = Router(system, [*agents, *start(system, 1)])
        assert await answers(router, 4) == ["who!", "who!", "w0", "who!"]
        assert router.members[:2] == agents
        assert all(agent.is_alive for agent in agents)

    in_sim(main)


def test_an_agent_that_crashed_stays_a_member_and_one_that_is_down_does_not(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=_shout) for n in range(2)]
        router = Router(system, agents)
        with pytest.raises(AgentFailed):
            await router.request("crash")
        assert router.members == agents
        agents[0].address().close("stopped")
        assert router.members == agents[1:]
        assert await answers(router, 2) == ["who!", "who!"]

    in_sim(main)


@pytest.mark.parametrize("policy", ["smallest_mailbox", "random", "round_robin"])
def test_an_agent_that_cools_down_is_passed_over_while_another_works(
    policy: str, in_sim: Run
) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=_shout) for n in range(2)]
        router = Router(system, agents, policy)
        agents[0].address().pause("failed too often", system.clock() + 60)
        assert await answers(router, 6) == ["who!"] * 6
        assert agents[0].address().incarnation == 0
        agents[1].address().close("stopped")
        with pytest.raises(AgentStopped, match="cools down"):
            await router.request("who")

    in_sim(main)


@pytest.mark.parametrize("policy", ["smallest_mailbox", "random", "round_robin"])
def test_every_policy_takes_agents(policy: str, in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=_shout, concurrency=n + 1) for n in range(3)]
        router = Router(system, agents, policy)
        asks = [router.request(n) for n in range(30)]
        assert await asyncio.gather(*asks) == [f"{n}!" for n in range(30)]
        router.tell("told")
        await router.send("sent")

    in_sim(main)


def test_a_broadcast_asks_all_agents_and_tells_their_errors(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=_shout) for n in range(3)]
        router = Router(system, agents, "broadcast")
        assert await router.request("hey") == ["hey!"] * 3
        assert all(isinstance(error, AgentFailed) for error in await router.request("crash"))
        router.remove(agents[0])
        router.add(agents[0])
        assert len(await router.request("hey")) == 3

    in_sim(main)


def test_a_consistent_hash_keeps_a_key_at_its_agent(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"a{n}", handler=_shout) for n in range(4)]
        router = Router(system, agents, "consistent_hash", key=lambda order: order)
        chosen = [router.choose(n)[0] for n in range(40)]
        assert len({id(agent) for agent in chosen}) == 4
        assert [router.choose(n)[0] for n in range(40)] == chosen

    in_sim(main)


def test_a_group_has_no_agents(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent: Any = Agent("a", handler=_shout)
        with pytest.raises(AgenticError):
            Router(system, "workers").add(agent)

    in_sim(main)
