"""Messages between members: inboxes, channels, broadcast."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    DefinitionError,
    TeamError,
    TeamMessage,
    UnknownMember,
)
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy, RestartType


async def echo(payload: Any) -> Any:
    return payload


class Room:
    """A team of four, whose members note what they hear."""

    def __init__(self) -> None:
        self.heard: dict[str, list[TeamMessage]] = {}
        self.agents: dict[str, Agent] = {}
        self.team = AgentTeam("room", roles=[AgentRole(name=r) for r in ("asker", "answerer")])
        for name, role in {
            "a1": "asker",
            "a2": "asker",
            "b1": "answerer",
            "b2": "answerer",
        }.items():
            self.heard[name] = []
            agent = self.agents[name] = Agent(name, handler=echo)
            agent.on_message(self.listener(name))
            self.team.assign_agent(agent, role)

    def listener(self, name: str) -> Any:
        async def listen(message: TeamMessage) -> None:
            self.heard[name].append(message)

        return listen

    def contents(self) -> dict[str, list[Any]]:
        return {name: [m.content for m in heard] for name, heard in self.heard.items()}


def test_a_message_reaches_a_member_or_every_member_of_a_role(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        assert await room.team.send("b1", "hello", type="question", sender="a1") == ["b1"]
        assert await room.team.send("asker", "both of you") == ["a1", "a2"]
        await asyncio.sleep(0.1)
        assert room.contents() == {
            "a1": ["both of you"], "a2": ["both of you"], "b1": ["hello"], "b2": [],
        }  # fmt: skip
        (message,) = room.heard["b1"]
        assert (message.type, message.sender, message.channel) == ("question", "a1", "team")
        with pytest.raises(UnknownMember, match=r"'b3' is neither.*Known: 'a1', 'a2'"):
            await room.team.send("b3", "x")

    sim(main)


def test_a_broadcast_reaches_everybody_but_its_sender(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        assert await room.team.broadcast(from_agent="a1", message="hi") == ["a2", "b1", "b2"]
        assert await room.team.broadcast(from_agent=None, message="all") == ["a1", "a2", "b1", "b2"]
        # From outside nobody knows which of a role it was, so none of them hears it.
        assert await room.team.broadcast(from_agent="asker", message="x") == ["b1", "b2"]
        await asyncio.sleep(0.1)
        assert room.contents()["a1"] == ["all"]

    sim(main)


def test_a_member_that_broadcasts_in_its_roles_name_is_the_one_left_out(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        reached: list[Any] = []

        @room.agents["a2"].on_message
        async def answer(message: TeamMessage) -> None:
            if message.type == "question":
                reached.append(
                    await room.team.broadcast(from_agent="asker", message=f"re: {message.content}")
                )

        await room.team.send("a2", "why?", type="question")
        await asyncio.sleep(0.1)
        assert reached == [["a1", "b1", "b2"]]
        assert room.contents()["a1"] == ["re: why?"]
        assert room.heard["b1"][0].sender == "a2"

    sim(main)


def test_members_that_answer_each_other_never_wait_for_themselves(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        done = asyncio.Event()
        for name, other in (("a1", "b1"), ("b1", "a1")):

            @room.agents[name].on_message
            async def bounce(message: TeamMessage, name: str = name, other: str = other) -> None:
                if message.content == 0:
                    done.set()
                else:
                    await room.team.send(other, message.content - 1, sender=name)

        await room.team.send("a1", 50)
        await asyncio.wait_for(done.wait(), 120)
        assert len(room.heard["a1"]) + len(room.heard["b1"]) == 51

    sim(main)


def test_channels_have_protocols_and_a_history(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        room.team.enable_communication(channel="chat", protocol="text")
        room.team.enable_communication(channel="data", protocol="structured")
        await room.team.send("b1", {"n": 1})
        await room.team.send("b1", "hello", channel="chat")
        with pytest.raises(TeamError, match="carries text only, not dict"):
            await room.team.send("b1", {"n": 2}, channel="chat")
        with pytest.raises(TeamError, match=r"no channel 'chatt'.*Did you mean 'chat'"):
            await room.team.send("b1", "x", channel="chatt")
        with pytest.raises(TeamError, match="a message's type is a word"):
            await room.team.send("b1", "x", type="  ")
        with pytest.raises(DefinitionError, match="Did you mean 'structured'"):
            room.team.enable_communication(protocol="structred")  # type: ignore[arg-type]
        assert [m.content for m in await room.team.history("data")] == [{"n": 1}]
        assert [m.content for m in await room.team.history("chat")] == ["hello"]
        for n in range(1_200):
            await room.team.send("b2", n)
        assert len(await room.team.history()) == 1_000

    sim_once(main)


def test_the_inbox_is_apart_from_task_work(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        await room.team.send("a1", "a message")
        assert await room.agents["a1"].ask("work") == "work"
        assert room.contents()["a1"] == ["a message"]

    sim_once(main)


def test_who_cannot_hear_is_not_counted_as_reached(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        room.team.assign_agent(lambda payload: payload, "answerer")
        supervisor = AgentSupervisor(
            name="s", restart_policy=RestartPolicy(type=RestartType.TEMPORARY)
        )
        supervisor.add_child("b1", room.agents["b1"])
        await supervisor.start()
        await room.agents["b1"].stop("shutdown")
        await asyncio.sleep(0.1)
        assert await room.team.broadcast(None, "hi") == ["a1", "a2", "b2"]
        assert system.dead_letters.count >= 1
        await supervisor.stop()

    sim(main)


def test_a_message_waits_while_its_reader_is_restarted(sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        supervisor = AgentSupervisor(
            name="s",
            restart_policy=RestartPolicy(
                max_restarts=3, initial_delay_ms=1000, backoff_type="fixed"
            ),
        )
        supervisor.add_child("b1", room.agents["b1"])
        await supervisor.start()
        ref = room.agents["b1"].address().live
        assert ref is not None
        ref.kill()
        await asyncio.sleep(0.1)
        assert await room.team.send("b1", "are you there?") == ["b1"]
        await asyncio.sleep(2)
        assert room.contents()["b1"] == ["are you there?"]
        await supervisor.stop()

    sim(main)


@pytest.mark.parametrize("way", ["loop", "thread", "task", "to_thread"])
def test_a_broadcast_to_ones_own_role_reaches_the_others_from_wherever_it_is_sent(way: str) -> None:
    async def main() -> None:
        room = Room()

        def blocking(payload: Any) -> Any:
            return asyncio.run(room.team.broadcast("asker", "hi"))

        async def on_the_loop(payload: Any) -> Any:
            said = room.team.broadcast("asker", "hi")
            if way == "task":
                return await asyncio.create_task(said)
            return await (asyncio.to_thread(asyncio.run, said) if way == "to_thread" else said)

        loud = Agent("loud", handler=blocking if way == "thread" else on_the_loop)
        heard = asyncio.Event()
        got: list[Any] = []
        loop = asyncio.get_running_loop()
        loud.on_message(lambda m: got.append(m.content) or loop.call_soon_threadsafe(heard.set))
        room.team.assign_agent(loud, "asker")
        room.team.add_role(AgentRole(name="lead"))
        room.team.assign_agent(loud, "lead")
        async with ActorSystem():
            result = await room.team.execute_workflow([{"role": "lead", "action": "shout"}], {})
            assert result["shout"] == ["a1", "a2", "b1", "b2"]
            # Whatever was put into an inbox before this is handled before it.
            await room.team.send("loud", "the last")
            await asyncio.wait_for(heard.wait(), 120)
            assert got == ["the last"]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["killed", "stopped", "crashed"])
def test_what_an_unsupervised_team_had_not_read_when_it_ended_does_not_vanish(
    sim: Any, how: str
) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        await room.team.send("b1", "heard before")
        await asyncio.sleep(0.1)
        actor = room.team.address(system).live
        assert actor is not None
        system.suspend(actor)
        await room.team.send("b1", "not noted any more")
        asked = asyncio.create_task(room.team.history())
        worked = asyncio.create_task(room.team.execute_task("a task"))
        await asyncio.sleep(0.1)
        assert not asked.done()
        assert not worked.done()
        if how == "killed":
            actor.kill()
        elif how == "stopped":
            await room.team.stop()
        else:
            system.end_actor(actor, RuntimeError("broken"))
        await asyncio.sleep(0.1)
        # What asks is asked again; what only tells is a dead letter that says why.
        assert await asked == []
        assert set(await worked) == {"a1", "a2", "b1", "b2"}
        lost = [letter for letter in system.dead_letters if letter.recipient == "room"]
        assert [letter.message.message.content for letter in lost] == ["not noted any more"]
        assert lost[0].reason not in (None, "")

    sim(main)


def test_agents_stand_where_their_names_can(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        a1, b1 = room.agents["a1"], room.agents["b1"]
        assert await room.team.send(b1, "hello", sender=a1) == ["b1"]
        assert await room.team.broadcast(a1, "to all") == ["a2", "b1", "b2"]
        await asyncio.sleep(0.1)
        assert [message.sender for message in room.heard["b1"]] == ["a1", "a1"]
        result = await room.team.execute_task("x", coordinator=b1)
        assert next(iter(result)) == "b1"
        discussion = await room.team.discuss("tea?", participants=b1, max_rounds=1)
        assert [c.speaker for c in discussion.contributions] == ["b1"]
        by_role = await room.team.discuss("tea?", participants="asker", max_rounds=1)
        assert [c.speaker for c in by_role.contributions] == ["a1", "a2"]
        with pytest.raises(UnknownMember, match="'stranger'"):
            await room.team.send(Agent("stranger", handler=echo), "hello")

    sim_once(main)


def test_the_history_of_an_unknown_channel_is_an_error(sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        room = Room()
        room.team.enable_communication("chat")
        with pytest.raises(TeamError, match="no channel 'chta'.*'chat'"):
            await room.team.history("chta")

    sim_once(main)


@pytest.mark.parametrize("own", [False, True])
def test_a_member_given_by_name_gets_messages_through_the_teams_resolver_or_by_its_name(
    sim_once: Any, own: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        got: list[str] = []
        known = Agent("the known one", handler=str)
        other = Agent("ann", handler=str)
        known.on_message(lambda message: got.append("known"))
        other.on_message(lambda message: got.append("ann"))
        team = AgentTeam(
            "team",
            roles=[AgentRole(name="a")],
            resolver=(lambda name: {"ann": known}[name]) if own else None,
        )
        team.assign_agent("ann", role="a")
        assert await team.send("ann", "hello") == ["ann"]
        await asyncio.sleep(1)
        assert got == ["known" if own else "ann"]

    sim_once(main)
