"""One history for a team: every member sees the whole conversation, with names, at a linear cost."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import messages as m
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns import AgentRole, AgentTeam, PatternFailed, TeamConfig
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.teams import shared_history

sys.path.insert(0, str(Path(__file__).parent))
from session_models import run, texts


class Speaker:
    """A model that says one thing after another, and keeps what it saw."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.seen: list[list[str]] = []

    def __call__(self, messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        self.seen.append(texts(messages))
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        return m.ModelResponse([m.TextPart(line)])

    def agent(self, name: str) -> Agent:
        return Agent(name, model=FunctionModel(self))


def panel(config: TeamConfig, **members: Any) -> AgentTeam:
    team = AgentTeam("panel", config)
    for name, member in members.items():
        team.add_role(AgentRole(name=f"{name} role"))
        team.assign_agent(
            member if isinstance(member, Agent) else member.agent(name), f"{name} role"
        )
    return team


def test_the_members_of_a_discussion_see_all_that_was_said() -> None:
    async def main(system: ActorSystem) -> None:
        heard: list[Any] = []

        def listen(payload: Any) -> str:
            heard.append((payload["contributions"], shared_history()))
            return "cid's word"

        ann, bob = Speaker("ann's first", "ann's second"), Speaker("bob's first", "bob's second")
        team = panel(TeamConfig(shared_history=True), ann=ann, bob=bob, cid=Agent("cid", listen))
        await team.discuss("rivers", max_rounds=2)
        assert ann.seen[0][0].startswith("u:")
        assert "contributions" not in ann.seen[1][-1].lower()
        asked_first = ann.seen[0][-1]
        assert ann.seen[1][:-1] == [
            "u:rivers",
            asked_first,
            "a:ann's first",
            "u:bob (bob role): bob's first",
            "u:cid (cid role): cid's word",
        ]
        assert bob.seen[0][:-1] == ["u:rivers", "u:ann (ann role): ann's first"]
        contributions, shared = heard[1]
        assert [each["content"] for each in contributions] == [
            *("ann's first", "bob's first", "cid's word", "ann's second", "bob's second"),
        ]
        assert [(each["speaker"], each["role"]) for each in shared[:2]] == [
            *(("user", "user"), ("ann", "ann role")),
        ]
        assert [each["content"] for each in shared[1:]] == [e["content"] for e in contributions]

    run(main)


def test_those_who_speak_at_once_do_not_hear_each_other() -> None:
    async def main(system: ActorSystem) -> None:
        ann, bob = Speaker("ann's"), Speaker("bob's")
        config = TeamConfig(shared_history=True, speaker_policy="simultaneous")
        await panel(config, ann=ann, bob=bob).discuss("rivers", max_rounds=2)
        assert [len(each) for each in ann.seen] == [2, 5]
        assert [len(each) for each in bob.seen] == [2, 5]

    run(main)


def test_a_session_goes_on_with_the_next_task(tmp_path: Path) -> None:
    ann, bob = Speaker("ann's first", "ann's second"), Speaker("bob's")
    url = f"sqlite:///{tmp_path}/runs.db"

    async def main(system: ActorSystem) -> None:
        team = panel(TeamConfig(shared_history=True), ann=ann, bob=bob)
        engine = OrchestrationEngine(EngineConfig(state_store=url))
        engine.register_team("panel", team)
        flow = {"name": "flow", "steps": [{"id": "talk", "agent": "panel"}]}
        async with engine:
            context = {"session": "user-17"}
            await engine.execute(flow, "why?", persist_state=True, context=context)
            broken = panel(TeamConfig(shared_history=True), ann=Agent("ann", fail))
            with pytest.raises(PatternFailed, match="broken"):
                await broken.execute_task("never said", context=context)

    run(main)
    run(main)
    assert ann.seen[1][0].startswith("u:")
    said = ann.seen[1]
    assert [each for each in said if "first" in each or "bob" in each] == [
        *("a:ann's first", "u:bob (bob role): bob's"),
    ]
    assert not any("never" in each for each in said)


def fail(payload: Any) -> Any:
    raise RuntimeError("broken")


def spent(turns: int, team_of: Callable[[], AgentTeam]) -> int:
    """Return how many bytes a discussion of so many turns keeps."""

    async def main(system: ActorSystem) -> int:
        team = team_of()
        gc.collect()
        tracemalloc.start()
        kept = await team.discuss("rivers", max_rounds=turns // 2)
        gc.collect()
        current, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept.contributions) == turns
        return current

    kept: int = run(main)
    return kept


def talker(name: str, config: TeamConfig) -> Agent:
    count = 0

    def answer(messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        nonlocal count
        count += 1
        return m.ModelResponse([m.TextPart(f"{name} {count} " + "x" * 1000)])

    return Agent(name, model=FunctionModel(answer))


def test_what_a_discussion_costs_doubles_with_its_length() -> None:
    def team() -> AgentTeam:
        config = TeamConfig(shared_history=True)
        return panel(config, ann=talker("ann", config), bob=talker("bob", config))

    spent(10, team)  # what is made once
    small, large = spent(50, team), spent(100, team)
    # How much that is depends on what else listens in this process; that it doubles does not.
    assert large < 2.4 * small
