"""Definitions as data: round trips, schemas, pictures, and kinds of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from agenticaiframework.actors import Agent, Usage
from agenticaiframework.patterns import (
    AgentTeam,
    Bulkhead,
    Cancelled,
    ChoreographyOrchestration,
    CircuitBreaker,
    Completed,
    DebateOrchestration,
    DefinitionError,
    Execution,
    Failed,
    HedgedRequest,
    HierarchicalOrchestration,
    LoopOrchestration,
    MapReduceOrchestration,
    OrchestrationPattern,
    ParallelOrchestration,
    PatternDefinition,
    RateLimiter,
    ReflectionOrchestration,
    Report,
    Retry,
    RouterOrchestration,
    SagaOrchestration,
    ScatterGatherOrchestration,
    SequentialOrchestration,
    Skipped,
    TimedOut,
    VoteOrchestration,
    describe_outcome,
    outcome_to_dict,
    pattern_from_dict,
    pattern_kinds,
    quorum,
    target_name,
)
from agenticaiframework.patterns.definition.drawing import Drawing

EXAMPLES: list[OrchestrationPattern] = [
    SequentialOrchestration(
        "sequential",
        [
            {"agent": "a", "input_key": "text", "condition": "input.x", "output_key": "y"},
            {
                "agent": ParallelOrchestration("inner", ["b", "c"]),
                "timeout": 5,
                "retry": Retry(attempts=2, on=(ValueError, "OSError")),
                "on_error": {"fallback": "spare"},
                "stop_if": "output.done",
            },
        ],
        timeout=60,
    ),
    ParallelOrchestration(
        "parallel",
        ["a", {"agent": "b", "on_error": {"default": {"n": 0}}}],
        aggregator={"agent": "merger", "timeout": 3},
        join=quorum(2),
        max_concurrency=2,
    ),
    ParallelOrchestration("each", ["a"], for_each="items", join="collect"),
    HierarchicalOrchestration(
        "hierarchical",
        "root",
        [
            {"parent": "root", "children": ["a", "b"], "condition": "task.deep"},
            {"parent": "a", "children": "c", "pick": True},
        ],
        aggregator="root",
        join="collect",
    ),
    ChoreographyOrchestration(
        "choreography",
        ["a", "b"],
        {"go": "a", "x & y": ["b"], "z.*": {"agent": "b", "timeout": 1}},
        start_event="go",
        dead_letter="lost",
    ),
    LoopOrchestration("loop", "a", "output.score > 3", max_iterations=4, exhausted="fail"),
    RouterOrchestration(
        "router", [{"agent": "a", "condition": "x == 1"}, {"agent": "b"}], classifier="c"
    ),
    ReflectionOrchestration("reflection", "a", "b", max_rounds=5),
    ScatterGatherOrchestration("scatter", ["a", "b"], 2.5, at_least=2, aggregator="c"),
    SagaOrchestration("saga", [{"agent": "a", "compensate": "undo a"}, {"agent": "b"}]),
    DebateOrchestration("debate", ["a", "b"], rounds=3, judge="c"),
    VoteOrchestration("vote", ["a", "b", "c"], quorum=2),
    MapReduceOrchestration("map", "a", "b", source="items", batch_size=8, chunk_size=2),
    CircuitBreaker("breaker", "a", failure_threshold=2, ignore=[KeyError], circuit="shared"),
    RateLimiter("limiter", {"agent": "a", "retry": 3}, rate=5, limiter="shared"),
    Bulkhead("bulkhead", "a", 3, max_queue=4),
    HedgedRequest("hedge", ["a", "b"], after_s=0.5),
]


@pytest.mark.parametrize("pattern", EXAMPLES, ids=lambda p: p.name)
def test_every_kind_is_written_as_json_and_read_back(pattern: OrchestrationPattern) -> None:
    data = pattern.to_dict()
    again = pattern_from_dict(json.loads(json.dumps(data)))
    assert type(again) is type(pattern)
    assert again.to_dict() == data
    assert again.mermaid() == pattern.mermaid()
    assert [target_name(t) for t in again.targets()] == [target_name(t) for t in pattern.targets()]


@pytest.mark.parametrize("pattern", EXAMPLES, ids=lambda p: p.name)
def test_every_kind_has_a_schema_and_an_example_that_works(pattern: OrchestrationPattern) -> None:
    schema = pattern.json_schema()
    assert schema["properties"]["pattern"] == {"const": pattern.kind}
    assert set(pattern.to_dict()) <= set(schema["properties"])
    json.dumps(schema)
    kinds: dict[str, Any] = {kind.__name__: kind for kind in pattern_kinds().values()}
    made = eval(pattern.example, kinds)
    assert type(made) is type(pattern)


@pytest.mark.parametrize("pattern", EXAMPLES, ids=lambda p: p.name)
def test_every_kind_draws_itself(pattern: OrchestrationPattern) -> None:
    lines = pattern.mermaid().splitlines()
    assert lines[0].startswith("flowchart ")
    drawn = {line.split("[")[0].split("(")[0].split("{")[0].strip() for line in lines[1:]}
    for line in lines[1:]:
        if "--" in line or "-." in line:
            start, end = line.split()[0], line.split()[-1]
            assert {start, end} <= drawn | {"end"}
    assert "inner" not in pattern.mermaid() or '"inner<br/>(parallel)"' in pattern.mermaid()


def test_labels_cannot_break_a_picture() -> None:
    nasty = SequentialOrchestration("n", [{"agent": 'a"]; click n1 "x', "condition": "x == '<b>'"}])
    picture = nasty.mermaid()
    assert 'a"]' not in picture
    assert "<b>" not in picture
    assert "#quot;" in picture


def test_what_has_no_name_cannot_be_written_and_the_error_says_where() -> None:
    with pytest.raises(DefinitionError, match=r"'s'.*steps\[0\], agent.*cannot be written as data"):
        SequentialOrchestration("s", [lambda payload: payload]).to_dict()
    with pytest.raises(DefinitionError, match="condition"):
        SequentialOrchestration("s", [{"agent": "a", "condition": lambda scope: True}]).to_dict()
    agent = Agent("kept", handler=lambda payload: payload)
    assert SequentialOrchestration("s", [agent]).to_dict()["steps"] == [{"agent": "kept"}]


def test_a_team_in_a_pattern_is_written_as_its_name_and_a_pattern_as_its_definition() -> None:
    class Own(SequentialOrchestration):
        """A user's pattern, without a kind of its own."""

    steps = SequentialOrchestration("s", [AgentTeam("team"), Own("inner", ["a"])]).to_dict()[
        "steps"
    ]
    assert steps[0] == {"agent": "team"}
    assert steps[1]["agent"]["name"] == "inner"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, 'needs its kind under "pattern"'),
        ({"pattern": "sequentiel", "name": "x"}, "Did you mean 'sequential'"),
        ({"pattern": "sequential"}, "name: is missing"),
        ({"pattern": "sequential", "name": "x", "stepz": []}, "Did you mean 'steps'"),
        ({"pattern": "sequential", "name": "x", "steps": "a"}, "steps: "),
        (
            {"pattern": "sequential", "name": "x", "steps": [{"pattern": "paralel", "name": "y"}]},
            "Did you mean 'parallel'",
        ),
    ],
)
def test_wrong_data_is_refused_with_the_right_form(data: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        pattern_from_dict(data)


def test_a_definition_of_another_kind_is_refused_by_a_class() -> None:
    data = ParallelOrchestration("p", ["a"]).to_dict()
    assert type(OrchestrationPattern.from_dict(data)) is ParallelOrchestration
    with pytest.raises(DefinitionError, match="is one of ParallelOrchestration"):
        SequentialOrchestration.from_dict(data)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        SequentialOrchestration("s", [{"agnt": "a"}, {"agent": "b", "timeout": -1}], timeout=0)
    assert len(caught.value.problems) == 3
    assert "too_short" not in str(caught.value)
    assert "at least 1 item" not in str(caught.value)


def test_a_pattern_of_ones_own_runs_nests_and_is_data(cast: Any, sim: Any) -> None:
    class TwiceDefinition(PatternDefinition):
        agent: str

    class Twice(OrchestrationPattern):
        """Asks its agent twice."""

        kind = "twice"
        definition_type = TwiceDefinition

        def __init__(self, name: str, agent: str) -> None:
            super().__init__(self._define({"name": name, "agent": agent}))

        def targets(self) -> Iterable[Any]:
            return [self.definition.agent]  # type: ignore[attr-defined]

        async def coordinate(self, run: Execution) -> Any:
            (agent,) = self.targets()
            once = await run.ask("once", agent, run.input)
            return await run.ask("twice", agent, once)

        def draw(self, drawing: Drawing) -> None:
            for agent in self.targets():
                drawing.target(agent)

    async def main(system: Any) -> None:
        cast.echoes("a")
        assert await SequentialOrchestration("s", [Twice("t", "a"), "a"]).execute(1) == "a(a(a(1)))"
        data = {"pattern": "twice", "name": "t", "agent": "a"}
        assert await pattern_from_dict(data).execute(2) == "a(a(2))"

    sim(main)


def test_a_report_prints_as_one_line() -> None:
    done = Report("sum", Completed("sum", value=3), {"a": Completed("a", value=1)})
    assert str(done) == "'sum' completed: 3"
    spent = Usage(requests=1, input_tokens=9, output_tokens=1)
    failed = Report("sum", Failed("sum", cause=ValueError("no text")), usage=spent)
    assert str(failed) == (
        "'sum' failed (ValueError: no text) (1 request, 10 tokens (9 in, 1 out))"
    )


def test_outcomes_describe_themselves() -> None:
    error = ValueError("no text\nsecond line")
    assert [
        describe_outcome(outcome)
        for outcome in (
            Completed("a", value=1),
            Completed("a", value=1, via="fallback"),
            Failed("a", cause=error),
            TimedOut("a", timeout_s=2.5),
            TimedOut("a"),
            Cancelled("a"),
            Cancelled("a", reason="another was first"),
            Skipped("a", reason="not needed"),
        )
    ] == [
        "completed",
        "completed by its fallback",
        "failed (ValueError: no text)",
        "timed out after 2.5 s",
        "timed out",
        "cancelled",
        "cancelled (another was first)",
        "skipped (not needed)",
    ]
    assert outcome_to_dict(TimedOut("a", 1.0, 3.0, 2, 4, error, 2.0)) == {
        "outcome": "timed_out",
        "agent": "a",
        "started_at": 1.0,
        "ended_at": 3.0,
        "attempts": 2,
        "incarnation": 4,
        "timeout_s": 2.0,
        "cause": "ValueError: no text",
    }
    with pytest.raises(AttributeError):
        Completed("a").value = 2  # type: ignore[misc]
