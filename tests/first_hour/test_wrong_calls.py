"""What is tried in the first hour and is wrong: each error says what, where, and what works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import agenticaiframework
from agenticaiframework import (
    Agent,
    AgentSupervisor,
    AgentTeam,
    EngineConfig,
    OrchestrationEngine,
    ParallelOrchestration,
    RestartPolicy,
    SequentialOrchestration,
    WaitFor,
    run_sync,
)


def shout(text: str) -> str:
    return text.upper()


class Stateless:
    """A class, given where an object of it is meant."""


loud = Agent("loud", shout)


def unchecked(call: Any, *args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: call(*args, **kwargs)


WRONG = {
    "a near option": (
        unchecked(Agent, "x", shout, instruction="hi"),
        "Agent(): 'instruction' is not an option. Did you mean 'instructions'?",
    ),
    "an option of another framework": (
        unchecked(Agent, "x", model="scripted", system_prompt="hi"),
        "It is called 'instructions' here.",
    ),
    "an option that belongs elsewhere": (
        unchecked(Agent, "x", model="scripted", temperature=0.2),
        "model_settings={'temperature': ...}",
    ),
    "no name": (unchecked(Agent, handler=shout), "missing a required argument: 'name'"),
    "instructions in the place of the handler": (
        unchecked(Agent, "x", "You are kind"),
        "Agent('x', model='gpt-4o-mini', instructions='You are kind')",
    ),
    "a handler of two arguments": (
        unchecked(Agent, "x", lambda text, context: text),
        "called with one argument, the payload, and <lambda>(text, context) does not take that",
    ),
    "a handler of none": (unchecked(Agent, "x", lambda: 1), "agent_context()"),
    "a class as handler": (unchecked(Agent, "x", Stateless), "Stateless()"),
    "children of a supervisor": (
        unchecked(AgentSupervisor, "desk", children=[loud]),
        "supervisor.add_child('worker', agent)",
    ),
    "a budget of a supervisor": (
        unchecked(AgentSupervisor, "desk", max_restarts=3),
        "restart_policy=RestartPolicy(max_restarts=3)",
    ),
    "a misspelt strategy": (
        unchecked(AgentSupervisor, "desk", "one_for_al"),
        "AgentSupervisor 'desk': strategy='one_for_al' is unknown. Did you mean 'one_for_all'",
    ),
    "a child without a name": (
        unchecked(AgentSupervisor("desk").add_child, loud),
        "AgentSupervisor.add_child(): missing a required argument: 'child'",
    ),
    "a policy's near field": (unchecked(RestartPolicy, max_restart=3), "'max_restarts'"),
    "members of a team": (
        unchecked(AgentTeam, "writers", members=[loud]),
        "team.assign_agent(agent, 'writer')",
    ),
    "steps of a pattern that has branches": (
        unchecked(ParallelOrchestration, name="p", steps=["a"]),
        "ParallelOrchestration(): 'steps' is not an option. It is called 'branches' here.",
    ),
    "a pattern's near option": (
        unchecked(SequentialOrchestration, name="p", step=["a"]),
        "Did you mean 'steps'?",
    ),
    "a field of the config": (
        unchecked(OrchestrationEngine, state_store="memory://"),
        "OrchestrationEngine(EngineConfig(state_store=...))",
    ),
    "a config that is a mapping": (
        unchecked(OrchestrationEngine, {"state_store": "memory://"}),
        "its config is an EngineConfig",
    ),
    "a config's near field": (
        unchecked(EngineConfig, max_concurent_workflows=3),
        "Did you mean 'max_concurrent_workflows'",
    ),
    "a definition's field without its name": (
        unchecked(WaitFor, "ok"),
        "WaitFor: its fields are given by name, such as WaitFor(",
    ),
    "a policy's field without its name": (unchecked(RestartPolicy, 3), "given by name, not 3"),
    "run_sync of what is not awaited": (
        unchecked(run_sync, 3),
        "as in run_sync(agent.ask('tea')), not 3",
    ),
    "run_sync of an agent": (lambda: getattr(loud, "run_sync"), "agent.ask_sync(payload)"),  # noqa: B009
    "starting an agent": (lambda: getattr(loud, "start"), "starts with its first message"),  # noqa: B009
    "run of an engine": (
        lambda: getattr(OrchestrationEngine(), "run"),  # noqa: B009
        "engine.execute_sync(workflow, input)",
    ),
    "kickoff of a team": (lambda: getattr(AgentTeam("t"), "kickoff"), "team.execute_task(task)"),  # noqa: B009
    "the function of an agent": (
        unchecked(Agent, name="x", function=shout),
        "'handler' here. For example: Agent('writer', handler=write)",
    ),
    "a system prompt": (
        unchecked(Agent, "x", system_prompt="You are kind"),
        "For example: Agent('writer', model='gpt-4o-mini', instructions='Write clearly')",
    ),
    "members in the place of a team's config": (
        unchecked(AgentTeam, "writers", [loud]),
        "its config is a TeamConfig or a mapping, not [<Agent 'loud'",
    ),
    "add of a team": (lambda: getattr(AgentTeam("t"), "add"), "team.assign_agent(agent, 'writer')"),  # noqa: B009
    "add of a supervisor": (
        lambda: getattr(AgentSupervisor("s"), "add"),  # noqa: B009
        "supervisor.add_child('worker', agent)",
    ),
    "close of an engine": (
        lambda: getattr(OrchestrationEngine(), "close"),  # noqa: B009
        "`await engine.stop()`",
    ),
    "run_sync of a pattern": (
        lambda: getattr(SequentialOrchestration("p", [loud]), "run_sync"),  # noqa: B009
        "pattern.execute_sync(input)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_told_with_what_works(case: str) -> None:
    call, said = WRONG[case]
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        call()
    assert said in str(caught.value)


def test_an_error_within_a_constructor_is_not_taken_for_a_wrong_call() -> None:
    class Strict(Agent):
        def __init__(self) -> None:
            super().__init__("strict", shout)
            raise TypeError("its own")

    with pytest.raises(TypeError, match="^its own$"):
        Strict()


def test_what_no_one_tries_is_an_attribute_error_as_everywhere() -> None:
    for thing in (loud, AgentSupervisor("desk"), SequentialOrchestration("p", [loud])):
        assert not hasattr(thing, "bogus")
        with pytest.raises(AttributeError, match="has no attribute 'bogus'$"):
            getattr(thing, "bogus")  # noqa: B009


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from agenticaiframework import Agnet", "Did you mean 'Agent'?"),
        ("from agenticaiframework import Crew", "Here that is AgentTeam"),
        ("from agenticaiframework import StateGraph", "WorkflowDefinition"),
        (
            "from agenticaiframework import WorkflowStream",
            "from agenticaiframework.orchestration import WorkflowStream",
        ),
        ("from agenticaiframework import Scripted", "agenticaiframework.models"),
        ("import agenticaiframework as a; a.AgentTem", "Did you mean 'AgentTeam'"),
    ],
)
def test_a_name_that_is_not_here_is_told_where_it_is(line: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]


def test_everything_that_a_program_needs_is_in_the_package_itself() -> None:
    for name in agenticaiframework.__all__:
        assert getattr(agenticaiframework, name) is not None
    assert set(agenticaiframework.__all__) <= set(dir(agenticaiframework))
    assert not hasattr(agenticaiframework, "Bogus")


def test_the_package_is_quick_to_import_until_patterns_are_used() -> None:
    lines = (
        "import sys, agenticaiframework as a; print(f'{a.__name__}.orchestration' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_classes_show_their_options_to_inspect() -> None:
    import inspect

    for kind, options in {
        Agent: ("name", "handler", "model", "instructions", "concurrency"),
        AgentSupervisor: ("name", "strategy", "restart_policy", "exhausted"),
        EngineConfig: ("state_store", "durability", "default_timeout_seconds"),
        RestartPolicy: ("max_restarts", "within_seconds", "backoff_type"),
        SequentialOrchestration: ("name", "steps", "timeout"),
        ParallelOrchestration: ("name", "branches", "aggregator"),
    }.items():
        assert set(options) <= set(inspect.signature(kind).parameters), kind
