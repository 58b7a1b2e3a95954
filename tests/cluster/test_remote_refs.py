"""The ref of an actor on another node is used as any other, and means the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from far_actors import Far, Wide

from agenticaiframework.actors import (
    ActorDied,
    ActorSystem,
    CannotTravel,
    Down,
    Exit,
    MailboxFull,
    NameTaken,
    NoNode,
    RequestTimeout,
    StartFailed,
)
from agenticaiframework.actors.simulation import SimCluster, SimNetwork

Run = Callable[..., Any]


async def ended(ref: Any) -> Any:
    assert await ref.system.wait_ended(ref, 30)
    return ref.exit_reason


async def seen(ref: Any, count: int) -> list[Any]:
    """Return what *ref* has seen, once that is *count* messages."""
    for _ in range(1000):
        got = await ref.request(("seen",))
        if len(got) >= count:
            return list(got)
        await asyncio.sleep(0.01)
    raise AssertionError(got)


def test_an_ask_is_answered_on_the_other_node(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, "x", node="gpu")
        assert await ref.request(("where",)) == "node a#1"
        assert system.cluster.node_of(ref).name == "a"
        assert await ref.request(("tag",)) == "x"

    in_cluster(main)


def test_messages_keep_their_order(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        for number in range(500):
            ref.tell(number)
            if number % 50 == 0:
                await asyncio.sleep(0.003)
        assert await ref.request(("seen",)) == list(range(500))

    in_cluster(main, network=SimNetwork(delay_s=0.01, lost_acks=0.3, repeated=0.3))


def test_an_error_of_the_handler_is_raised_with_its_cause(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        error = ValueError("no")
        error.__cause__ = KeyError("why")
        with pytest.raises(ValueError, match="no") as caught:
            await ref.request(("raise", error))
        assert caught.value is not error
        assert ref.is_alive()

    in_cluster(main)


def test_an_ask_of_one_that_dies_of_it_fails_at_once(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        asked = ref.request(("exit", "bye"))
        with pytest.raises(ActorDied) as caught:
            await asked
        assert caught.value.reason == "bye"
        assert await ended(ref) == "bye"
        with pytest.raises(ActorDied):
            ref.tell(1)
        with pytest.raises(ActorDied):
            await ref.request(1)

    in_cluster(main)


def test_a_timeout_is_the_askers(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        with pytest.raises(RequestTimeout):
            await ref.request(("sleep", 5), 0.5)

    in_cluster(main)


def test_stop_comes_after_the_messages_before_it(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        sink = system.start(Far)
        ref = await system.cluster.start(Far, node="a")
        for number in range(10):
            ref.tell(("tell", sink, number))
        await ref.ask(__import__("pykka").messages._ActorStop(), block=False)
        assert not ref.is_alive()
        assert await ended(ref) == "normal"
        assert await seen(sink, 10) == list(range(10))

    in_cluster(main)


@pytest.mark.parametrize(("sent", "reason"), [("kill", "killed"), ("over", "over")])
def test_an_exit_signal_ends_it(in_cluster: Run, sent: str, reason: str) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        ref.exit("normal")
        assert await ref.request(("seen",)) == []
        ref.exit(sent)
        assert await ended(ref) == reason
        assert not cluster.node("a").system.whereis("x")

    in_cluster(main)


def test_one_that_traps_exits_sees_who_sent_the_signal(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, None, True, node="a")
        ref.exit("hint")
        assert await seen(ref, 1) == [Exit(None, "hint")]
        ref.kill()
        assert await ended(ref) == "killed"

    in_cluster(main)


@pytest.mark.parametrize("who", ["near", "far"])
def test_a_link_ends_the_other_whichever_ends(in_cluster: Run, who: str) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        near = system.start(Far)
        far = await system.cluster.start(Far, node="a")
        await near.request(("link", far))
        first, other = (near, far) if who == "near" else (far, near)
        first.tell(("exit", "boom"))
        assert await ended(other) == "boom"
        assert await ended(first) == "boom"

    in_cluster(main)


def test_a_link_is_a_message_to_one_that_traps(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        near = system.start(Far)
        far = await system.cluster.start(Far, None, True, node="a")
        await far.request(("link", near))
        near.tell(("exit", "boom"))
        [message] = await seen(far, 1)
        assert (type(message), message.reason) == (Exit, "boom")
        assert (message.ref.label, message.ref.ended) == (near.label, True)

    in_cluster(main)


@pytest.mark.parametrize("undone_by", ["near", "far"])
def test_an_undone_link_sends_nothing(in_cluster: Run, undone_by: str) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        near = system.start(Far)
        far = await system.cluster.start(Far, node="a")
        await near.request(("link", far))
        if undone_by == "near":
            await near.request(("unlink", far))
        else:
            await far.request(("unlink", near))
        await asyncio.sleep(0.1)
        near.tell(("exit", "boom"))
        assert await ended(near) == "boom"
        await asyncio.sleep(0.1)
        assert await far.request(("where",)) == "node a#1"

    in_cluster(main)


def test_monitors_stack_and_one_can_be_taken_back(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        near, other = system.start(Far), system.start(Far)
        far = await system.cluster.start(Far, node="a")
        for _ in range(2):
            await near.request(("monitor", far))
        await other.request(("monitor", far))
        await other.request(("demonitor", far))
        far.tell(("exit", "boom"))
        downs = await seen(near, 2)
        assert [type(down) for down in downs] == [Down, Down]
        assert {down.reason for down in downs} == {"boom"}
        await asyncio.sleep(0.1)
        assert await other.request(("seen",)) == []

    in_cluster(main)


def test_actors_of_two_hosts_talk_to_each_other_directly(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        one = await system.cluster.start(Far, node="a")
        other = await system.cluster.start(Far, "other", node="b")
        assert await one.request(("ask", other, ("tag",))) == "other"
        assert await one.request(("ask", other, ("where",))) == "node b#2"
        await one.request(("link", other))
        await asyncio.sleep(0.1)
        other.tell(("exit", "boom"))
        assert await ended(one) == "boom"

    in_cluster(main)


def test_a_ref_that_has_gone_round_is_the_same(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        one = await system.cluster.start(Far, node="a")
        other = await system.cluster.start(Far, node="b")
        assert await one.request(("ref",)) is one
        assert await one.request(("ask", other, ("ref",))) is other
        child = await one.request(("spawn", "made there"))
        assert await child.request(("tag",)) == "made there"
        assert await other.request(("ask", child, ("where",))) == "node a#1"

    in_cluster(main)


def test_the_ref_of_a_dead_actor_is_dead_elsewhere(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        dead = system.start(Far)
        dead.kill()
        await ended(dead)
        far = await system.cluster.start(Far, None, True, node="a")
        with pytest.raises(ActorDied):
            await far.request(("ask", dead, ("where",)))
        await far.request(("link", dead))
        assert [message.reason for message in await seen(far, 1)] == ["noproc"]

    in_cluster(main)


def test_what_does_not_start_says_why(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        with pytest.raises(StartFailed, match="no disk"):
            await system.cluster.start(Far, None, False, "no disk", node="a")
        with pytest.raises(NoNode, match=r"'moon'.*head, a \(gpu\), b \(gpu\), c"):
            await system.cluster.start(Far, node="moon")
        assert not [ref for ref in cluster.node("a").system.actors() if ref.actor_class is Far]

    in_cluster(main)


def test_what_cannot_travel_is_refused_where_it_is_given(in_cluster: Run) -> None:
    class Local(Far):
        pass

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        with pytest.raises(CannotTravel, match="closure"):
            await system.cluster.start(Local, node="a")
        ref = await system.cluster.start(Wide, node="a")
        with pytest.raises(CannotTravel, match="The message to"):
            ref.tell(lambda: None)
        with pytest.raises(CannotTravel, match="The message to"):
            await ref.request(lambda: None)
        with pytest.raises(CannotTravel, match="The answer of"):
            await ref.request("lambda")
        assert await ref.request(("seen",)) == []

    in_cluster(main)


def test_a_name_is_one_actor_in_the_cluster(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        one = await system.cluster.start(Far, node="a")
        other = await system.cluster.start(Far, node="b")
        await system.cluster.register("boss", one)
        with pytest.raises(NameTaken):
            await other.request(("register", "boss"))
        assert await system.cluster.whereis("boss") is one
        assert await system.cluster.whereis("nobody") is None
        there = await cluster.node("b").cluster.whereis("boss")
        assert there.label == one.label
        one.kill()
        await ended(one)
        await asyncio.sleep(0.1)
        assert await system.cluster.whereis("boss") is None
        await system.cluster.register("boss", other)
        await system.cluster.unregister("boss")
        await system.cluster.join("staff", one)
        await system.cluster.join("staff", other)
        assert await system.cluster.members("staff") == [other]

    in_cluster(main)


def test_a_full_queue_refuses_messages_and_holds_those_who_wait(in_cluster: Run) -> None:
    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        ref = await system.cluster.start(Far, node="a")
        cluster.cut("head", "a")
        ref.tell("first")
        await asyncio.sleep(0.1)  # under way, and so no longer in the queue
        for number in range(20):
            ref.tell(number)
        with pytest.raises(MailboxFull):
            ref.tell("one too many")
        waiting = ref.send("waited")
        asked = ref.request(("seen",))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        cluster.heal()
        await waiting
        assert await asked == ["first", *range(20), "waited"]

    in_cluster(main, queue_limit=20)


def test_stopping_the_system_ends_what_it_has_started_elsewhere(in_cluster: Run) -> None:
    left: list[Any] = []

    async def main(system: ActorSystem, cluster: SimCluster) -> None:
        await system.cluster.start(Far, node="a")
        left.append(cluster.node("a").system)

    in_cluster(main)
    assert left[0].actors() == []
