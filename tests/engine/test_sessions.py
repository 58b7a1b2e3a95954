"""The session of a step: what it asks belongs to that conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, agent_context
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import (
    OrchestrationEngine,
    WorkflowFailed,
    load_workflow,
)


def run(workflow: str, given: Any, **options: Any) -> list[tuple[str, Any]]:
    """Run a workflow, and return what its agents were asked, and in which session."""
    asked: list[tuple[str, Any]] = []

    async def nested(payload: Any) -> Any:
        asked.append(("nested", agent_context().get("session")))
        return payload

    inner = Agent("inner", nested)

    async def answer(payload: Any) -> Any:
        asked.append((str(payload), agent_context().get("session")))
        return await inner.ask(payload)

    async def main() -> None:
        async with ActorSystem():
            engine = OrchestrationEngine()
            engine.register_agent("clerk", Agent("clerk", answer))
            await engine.execute(load_workflow(workflow), given, **options)

    asyncio.run(main())
    return asked


def test_a_step_names_its_session() -> None:
    flow = """
name: flow
steps:
  - {id: one, agent: clerk, input: first, session: $input.user}
  - {id: two, agent: clerk, input: second}
  - {id: three, agent: clerk, input: third, session: fixed}
"""
    assert run(flow, {"user": "ann"}, context={"session": "around"}) == [
        *(("first", "ann"), ("nested", "ann")),
        *(("second", "around"), ("nested", "around")),
        *(("third", "fixed"), ("nested", "fixed")),
    ]
    assert run(flow, {"user": 17})[0] == ("first", "17")


def test_each_item_has_its_own_session() -> None:
    flow = """
name: flow
steps:
  - {id: all, agent: clerk, for_each: $input.users, input: $item.said, session: $item.name}
"""
    users = [{"name": "ann", "said": "hello"}, {"name": "bob", "said": "hi"}]
    asked = run(flow, {"users": users}, persist_state=False)
    assert sorted(each for each in asked if each[0] != "nested") == [
        ("hello", "ann"),
        ("hi", "bob"),
    ]


def test_a_nested_workflow_is_in_the_session_of_its_step() -> None:
    flow = """
name: flow
steps:
  - id: part
    session: $input.user
    input: {said: hello}
    workflow:
      name: part
      steps:
        - {id: ask, agent: clerk, input: $input.said}
"""
    assert run(flow, {"user": "ann"}) == [("hello", "ann"), ("nested", "ann")]


@pytest.mark.parametrize("user", ["", {"id": 1}, [1], True])
def test_what_names_no_session_fails_the_step(user: Any) -> None:
    flow = "name: flow\nsteps:\n  - {id: one, agent: clerk, session: $input.user}\n"
    with pytest.raises(WorkflowFailed, match="the session of step 'one'"):
        run(flow, {"user": user})


def test_a_session_that_reads_what_is_not_there_is_refused_before_anything_runs() -> None:
    with pytest.raises(DefinitionError, match="'usr', which is not a step"):
        run("name: flow\nsteps:\n  - {id: one, agent: clerk, session: $usr.name}\n", {})
