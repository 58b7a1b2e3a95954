"""Discussions: who hears whom, how they end, and what happens when a member cannot speak."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    Failed,
    PatternFailed,
    TeamConfig,
    TeamError,
    TimedOut,
    UnknownMember,
)

from .conftest import left_over


def panel(cast: Any, config: TeamConfig | None = None, **answers: Any) -> AgentTeam:
    """A team in which everybody has a role of the same name."""
    team = AgentTeam("panel", config)
    for name, answer in answers.items():
        team.add_role(AgentRole(name=f"{name} role"))
        team.assign_agent(cast.agent(name, answer), f"{name} role")
    return team


def in_turn(*answers: Any) -> Any:
    left = list(answers)
    return lambda payload: left.pop(0) if len(left) > 1 else left[0]


def test_later_speakers_hear_earlier_ones_and_agreement_ends_it(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = panel(cast, ann="Yes", bob=in_turn("no", {"position": "yes", "because": "ann"}))
        discussion = await team.discuss("models?", max_rounds=5)
        assert (discussion.decision, discussion.ended, discussion.rounds) == ("Yes", "consensus", 2)
        heard = [p["contributions"] for p in cast.payloads("bob")]
        assert [[c["speaker"] for c in said] for said in heard] == [["ann"], ["ann", "bob", "ann"]]
        assert heard[0][0] == {"speaker": "ann", "role": "ann role", "round": 1, "content": "Yes"}
        assert discussion.said_by("bob") == ["no", {"position": "yes", "because": "ann"}]
        assert await left_over(system) == []

    sim(main)


def test_agreeing_joins_the_position_stated_last(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = panel(cast, ann={"position": "blue"}, bob={"agree": True}, cid={"agree": True})
        discussion = await team.discuss("colour?")
        assert (discussion.decision, discussion.ended, discussion.rounds) == (
            "blue",
            "consensus",
            1,
        )
        assert discussion.tally.votes == {"blue": ("ann", "bob", "cid")}

    sim_once(main)


def test_rounds_that_are_used_up_are_no_decision(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        discussion = await panel(cast, ann="yes", bob="no").discuss("?", max_rounds=3)
        assert (discussion.decision, discussion.ended, discussion.rounds) == (None, "rounds", 3)
        assert len(cast.log) == 6

    sim_once(main)


def test_a_vote_decides_after_the_last_round(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        config = TeamConfig(decision_making="vote")
        team = panel(cast, config, ann="yes", bob="no", cid=" YES")
        discussion = await team.discuss("?", max_rounds=2)
        assert (discussion.decision, discussion.ended, discussion.rounds) == ("yes", "vote", 2)
        strict = panel(
            cast, TeamConfig(decision_making="vote", quorum=3), ann="a", bob="a", cid="b"
        )
        assert (await strict.discuss("?", max_rounds=1)).ended == "rounds"
        tied = panel(cast, config, ann="a", bob="b")
        assert (await tied.discuss("?", max_rounds=1)).decision is None
        agreed = panel(cast, config, ann="a", bob="a")
        assert (await agreed.discuss("?", max_rounds=9)).rounds == 1

    sim_once(main)


def test_a_moderator_decides_and_does_not_take_part(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        config = TeamConfig(decision_making="moderator", moderator="mod")
        team = panel(cast, config, ann="yes", bob="no", mod=in_turn("go on", {"decision": "maybe"}))
        discussion = await team.discuss("?", max_rounds=5)
        assert (discussion.decision, discussion.ended, discussion.rounds) == (
            "maybe", "moderator", 2,
        )  # fmt: skip
        assert {c.speaker for c in discussion.contributions} == {"ann", "bob"}
        assert cast.payloads("mod")[0]["participants"] == ["ann", "bob"]
        # Its last word counts, however it is put.
        undecided = panel(cast, config, ann="yes", bob="no", mod="still thinking")
        assert (await undecided.discuss("?", max_rounds=2)).decision == "still thinking"

    sim_once(main)


def test_a_moderator_picks_who_speaks_next(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        moderator = cast.agent("mod", in_turn({"next": "bob"}, {"next": ["ann", "cid role"]}, {}))
        config = TeamConfig(speaker_policy="moderator", moderator=moderator)
        team = panel(cast, config, ann="1", bob="2", cid="3")
        await team.discuss("?", max_rounds=3)
        assert [n for n in cast.asked if n != "mod"] == ["ann", "bob", "cid", "bob", "ann", "cid"]
        cast.agent("mod", {"next": "bobb"})
        lost = panel(
            cast, TeamConfig(speaker_policy="moderator", moderator="mod"), ann="1", bob="2"
        )
        with pytest.raises(PatternFailed, match="Did you mean 'bob'") as caught:
            await lost.discuss("?")
        assert isinstance(caught.value.__cause__, UnknownMember)

    sim_once(main)


def test_simultaneous_speakers_hear_only_the_rounds_before(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        config = TeamConfig(speaker_policy="simultaneous", communication_style="free")
        team = panel(
            cast,
            config,
            ann=lambda p: asyncio.sleep(2, "yes"),
            bob=lambda p: asyncio.sleep(1, "no"),
        )
        discussion = await team.discuss("?", max_rounds=2)
        assert system.clock() == pytest.approx(4)
        assert [c.speaker for c in discussion.contributions] == ["ann", "bob", "ann", "bob"]
        heard = [p["contributions"] for p in cast.payloads("ann")]
        assert heard == ["", "ann (ann role): yes\nbob (bob role): no"]

    sim(main)


def test_a_random_order_is_the_same_for_the_same_seed(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> list[str]:
        team = panel(cast, TeamConfig(speaker_policy="random"), a="1", b="2", c="3", d="4")
        cast.log.clear()
        await team.discuss("?", max_rounds=4)
        return list(cast.asked)

    order = sim_once(main)
    assert order == sim_once(main)
    rounds = [order[i : i + 4] for i in range(0, 16, 4)]
    assert all(sorted(r) == ["a", "b", "c", "d"] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1


def test_members_that_cannot_speak_are_told_and_the_others_decide(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        def boom(payload: Any) -> None:
            raise ValueError("lost my voice")

        team = panel(
            cast, TeamConfig(timeout=3), ann="yes", bob=boom, cid=lambda p: asyncio.sleep(99),
            dan="yes",
        )  # fmt: skip
        discussion = await team.discuss("?", max_rounds=4)
        assert (discussion.decision, discussion.ended, discussion.rounds) == ("yes", "consensus", 1)
        assert {n: type(o) for n, o in discussion.missing.items()} == {
            "bob": Failed,
            "cid": TimedOut,
        }
        mute = panel(cast, bob=boom)
        with pytest.raises(PatternFailed, match="no participant could speak in round 1"):
            await mute.discuss("?")
        assert await left_over(system) == []

    sim(main)


def test_silence_is_no_consent(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        config = TeamConfig(timeout=3, on_error="skip")
        team = panel(cast, config, ann="yes", bob=lambda p: asyncio.sleep(99))
        discussion = await team.discuss("?", max_rounds=2)
        assert (discussion.decision, discussion.ended, discussion.rounds) == (None, "rounds", 2)

    sim(main)


def test_a_discussion_has_participants_and_rounds(cast: Any, sim_once: Any) -> None:
    async def main(system: ActorSystem) -> None:
        team = panel(cast, ann="yes", bob="no")
        only = await team.discuss("?", participants=["ann role", "ann"], max_rounds=2)
        assert {c.speaker for c in only.contributions} == {"ann"}
        with pytest.raises(UnknownMember, match="'zed'"):
            await team.discuss("?", participants=["zed"])
        with pytest.raises(TeamError, match="at least one round, not 0"):
            await team.discuss("?", max_rounds=0)
        with pytest.raises(TeamError, match="needs at least one participant"):
            await team.discuss("?", participants=[])

    sim_once(main)


def test_cancelling_a_discussion_stops_who_is_speaking(cast: Any, sim: Any) -> None:
    async def main(system: ActorSystem) -> None:
        stopped: list[str] = []

        async def ramble(payload: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append("ann")

        team = panel(cast, ann=ramble, bob="no")
        task = asyncio.ensure_future(team.discuss("?"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left_over(system) == []
        assert stopped == ["ann"]

    sim(main)
