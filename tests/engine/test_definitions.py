"""Definitions: what is refused and how it is said; their forms; the graph; pictures."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agenticaiframework.actors import Agent
from agenticaiframework.patterns import SequentialOrchestration
from agenticaiframework.patterns.definition.cycles import find_cycle
from agenticaiframework.patterns.definition.errors import DefinitionError
from agenticaiframework.patterns.engine import (
    EngineConfig,
    WorkflowDefinition,
    define_workflow,
    draw_mermaid,
    load_workflow,
    workflow_schema,
)
from agenticaiframework.patterns.engine.definition.cache import DefinitionCache
from agenticaiframework.patterns.engine.definition.graph import Dependencies
from agenticaiframework.patterns.engine.definition.shapes import plain, read_shape

from .conftest import steps

FULL: dict[str, Any] = {
    "name": "full",
    "description": "Everything that a workflow can have.",
    "version": "2",
    "input_model": {"query": "text", "items": "list", "limit": "number?"},
    "timeout_seconds": 600.0,
    "on_failure": "cancel",
    "labels": {"team": "red"},
    "output": {"report": "$review", "n": "$each"},
    "steps": [
        {"id": "plan", "agent": "planner", "input": {"q": "$input.query", "price": "$$5"}},
        {
            "id": "each",
            "agent": "worker",
            "for_each": "$input.items",
            "max_concurrency": 3,
            "input": {"item": "$item", "at": "$index"},
            "depends_on": ["plan"],
            "retry": {"attempts": 3, "backoff": "linear", "on": ["ValueError"]},
            "timeout_seconds": 10.0,
            "on_error": {"default": None},
        },
        {"id": "team", "team": "reds", "workflow": [{"role": "writer", "action": "draft"}],
         "depends_on": ["plan"], "output_model": {"draft": "text"}},
        {"id": "approval", "wait_for": {"signal": "ok", "timeout_seconds": 60.0, "default": False,
                                         "when": "$output == true"}},
        {"id": "pause", "delay": 1.5, "condition": "$approval and input.limit > 3"},
        {"id": "views", "pattern": "parallel", "agents": ["a", "b"]},
        {"id": "inner", "workflow": {"name": "in", "steps": [{"id": "x", "agent": "y"}]}},
        {"id": "other", "workflow": "registered", "compensate": {"agent": "undo"}},
        {
            "id": "review",
            "agent": "reviewer",
            "input": {"draft": "$team.draft", "more": "$plan.more?"},
            "until": "$output.approved and $iteration > 1",
            "max_iterations": 4,
            "on_error": {"fallback": "other reviewer"},
            "compensate": {"agent": "undo", "input": {"r": "$output", "q": "$input.query"}},
            "output_key": "report",
        },
    ],
}  # fmt: skip


# --------------------------------------------------------------------------- what is refused


def problems_of(data: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        define_workflow(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ({"name": "x"}, ["steps", "missing"]),
        ({"steps": []}, ["name", "missing"]),
        ({"name": "x", "steps": []}, ["must be 1 to"]),
        ({"name": "x", "steps": [3]}, ["steps[0]"]),
        (3, ["not 3"]),
        ({"name": "x", "setps": []}, ["'setps'", "'steps'"]),
        (steps({"id": "a", "agnt": "x"}), ["steps[0]", "'agnt'", "'agent'"]),
        (steps({"id": "a"}), ["'a'", "nothing to do", '"agent"']),
        (steps({"agent": "a"}), ["id", "missing"]),
        (steps({"id": "a b", "agent": "x"}), ["'a b'", "letters"]),
        (steps({"id": "input", "agent": "x"}), ["'input'", "meaning of its own"]),
        (steps({"id": "a", "agent": ""}), ["empty"]),
        (steps({"id": "a", "agent": 3}), ["cannot be asked"]),
        (steps({"id": "a", "agent": Agent}), ["is a class"]),
        (steps({"id": "a", "agent": "x", "team": "y"}), ["agent and team", "two steps"]),
        (steps({"id": "a", "agent": "x", "agents": ["y"]}), ["belong to a pattern"]),
        (steps({"id": "a", "workflow": [{"role": "r"}]}), ["needs the team"]),
        (steps({"id": "a", "team": "t", "workflow": ["r"]}), ["'r' is not a step of a team"]),
        (steps("a", "a"), ["two steps are called 'a'"]),
        (steps({"id": "a", "agent": "x", "timeout_seconds": 0}), ["timeout_seconds", "greater"]),
        (steps({"id": "a", "agent": "x", "retry": "often"}), ["retry", "attempts"]),
        (steps({"id": "a", "agent": "x", "retry": {"atempts": 2}}), ["'atempts'", "'attempts'"]),
        (steps({"id": "a", "agent": "x", "on_error": "skp"}), ["'skp'", "'skip'"]),
        (steps({"id": "a", "agent": "x", "max_iterations": 0}), ["max_iterations"]),
        (steps({"id": "a", "agent": "x", "max_concurrency": 2}), ["needs for_each"]),
        (steps({"id": "a", "agent": "x", "for_each": "$input", "until": "$output"}), ["nest"]),
        (steps({"id": "a", "agent": "x", "for_each": "items"}), ["for_each", "a reference"]),
        (steps({"id": "a", "wait_for": "s", "retry": 2}), ["cannot be retried"]),
        (steps({"id": "a", "wait_for": "s", "timeout_seconds": 2}), ["belongs into wait_for"]),
        (steps({"id": "a", "wait_for": {"signl": "s"}}), ["'signl'", "'signal'"]),
        (steps({"id": "a", "agent": "x", "condition": "$b.x = 1"}), ["Write '=='", "^"]),
        (steps({"id": "a", "agent": "x", "condition": 3}), ["an expression is a text"]),
        (steps({"id": "a", "agent": "x", "input": "$b."}), ["'.'", "$$"]),
        (steps({"id": "a", "agent": "x", "input": "$clasify.x"}), ["'clasify'", "not a step"]),
        (
            steps("classify", {"id": "b", "agent": "x", "input": {"d": ["$clasify.x"]}}),
            ["step 'b': input", "'classify'"],
        ),
        (steps("a", {"id": "b", "agent": "x", "condition": "$a == spam"}), ["in quotes: 'spam'"]),
        (
            steps({"id": "a", "agent": "x", "condition": "priority > 1"}),
            ["'priority'", "not a step"],
        ),
        (steps({"id": "a", "agent": "x", "input": "$item"}), ["for_each"]),
        (steps({"id": "a", "agent": "x", "condition": "$output.x"}), ["there in until"]),
        (steps({"id": "a", "agent": "x", "input": "$a.x"}), ["its own output"]),
        (steps({"id": "a", "agent": "x", "input": "$b"}, "b"), ["comes after it", "depends_on"]),
        (steps({"id": "a", "agent": "x", "depends_on": ["b"]}), ["'b', which is not a step"]),
        (steps({"id": "a", "agent": "x", "depends_on": "a"}), ["names the step itself"]),
        (
            steps(
                {"id": "a", "agent": "x", "depends_on": ["b"]},
                {"id": "b", "agent": "x", "depends_on": ["c"]},
                {"id": "c", "agent": "x", "depends_on": ["a"]},
            ),
            ["a -> b -> c -> a"],
        ),
        (
            steps({"id": "a", "agent": "x", "depends_on": ["b"]}, "b"),
            ["in a circle", "a -> b -> a"],
        ),
        (steps("a", output="$b"), ["output refers to 'b'"]),
        (steps("a", output="$a."), ["output"]),
        (
            steps({"id": "a", "agent": "x", "input": "$input.qurey"}, input_model={"query": "str"}),
            ["input_model", "'query'"],
        ),
        (steps("a", input_model={"query": "txt"}), ["'txt'", "text"]),
        (
            steps(
                {"id": "a", "agent": "x", "output_model": {"score": "number"}},
                {
                    "id": "b",
                    "agent": "x",
                    "input": {"s": "$a.scroe", "t": "$a.score"},
                    "input_model": {"t": "text", "u": "any"},
                },
            ),
            ["$a.scroe", "'score'", "is number, and should be text", "needs 'u'"],
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_right_form(
    flow: Any, said: list[str]
) -> None:
    message = problems_of(flow)
    for part in said:
        assert part in message, message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        define_workflow(
            steps(
                {"id": "a", "agent": "x", "input": "$nobody"},
                {"id": "b", "agent": "x", "depends_on": ["nowhere"]},
                {"id": "b", "agent": "x"},
            )
        )
    assert len(caught.value.problems) == 3
    assert "'test'" in str(caught.value)
    assert "For example" in str(caught.value)


def test_the_model_itself_checks_as_well() -> None:
    with pytest.raises(DefinitionError, match="which is not a step"):
        WorkflowDefinition(**steps({"id": "a", "agent": "x", "depends_on": ["b"]}))


def test_an_engines_options_are_checked_when_given() -> None:
    for options, said in (
        ({"max_concurent_workflows": 1}, "max_concurrent_workflows"),
        ({"max_concurrent_workflows": 0}, "greater"),
        ({"state_store": "file.db"}, "sqlite:///file.db"),
        ({"state_store": "postgress://host/db"}, "did you mean postgres://"),
        ({"state_store": "sqlite://file.db"}, "sqlite:///"),
        ({"state_store": 3}, "sqlite:///"),
        ({"agent_limits": {"a": 0}}, "at least 1"),
        ({"durability": "fsync"}, "full"),
        ({"changed_definition": "newest"}, "new"),
    ):
        with pytest.raises(DefinitionError, match=said):
            EngineConfig(**options)


# --------------------------------------------------------------------------- forms


def test_python_dictionaries_json_and_yaml_are_one(tmp_path: Path) -> None:
    definition = define_workflow(FULL)
    assert definition.to_dict() == FULL
    forms = {
        "json": definition.to_json(),
        "yaml": definition.to_yaml(),
    }
    for kind, text in forms.items():
        assert load_workflow(text) == definition
        path = tmp_path / f"flow.{kind}"
        path.write_text(text, encoding="utf-8")
        assert load_workflow(path) == definition
        assert load_workflow(str(path)) == definition
    assert WorkflowDefinition(**FULL) == definition
    assert define_workflow(definition) is definition
    assert define_workflow(definition.to_dict()).plan.hash == definition.plan.hash


def test_a_definition_keeps_its_hash_whatever_the_order_of_its_keys() -> None:
    turned = json.loads(json.dumps(FULL, sort_keys=True))
    assert define_workflow(turned).plan.hash == define_workflow(FULL).plan.hash
    other = {**FULL, "version": "3"}
    assert define_workflow(other).plan.hash != define_workflow(FULL).plan.hash


def test_what_was_given_itself_is_written_by_its_name() -> None:
    async def work(payload: Any) -> Any:
        return payload

    flow = steps(
        {"id": "a", "agent": Agent("writer", handler=work), "on_error": {"fallback": work}},
        {"id": "b", "agent": work, "retry": {"attempts": 2, "on": [ValueError]}},
        {"id": "c", "pattern": SequentialOrchestration(name="p", steps=["x"])},
        {"id": "d", "team": "t", "compensate": Agent("undoer", handler=work)},
    )
    written = define_workflow(flow).to_dict()["steps"]
    assert written[0]["agent"] == "writer"
    assert written[0]["on_error"] == {"fallback": "work"}
    assert written[1]["agent"] == "work"
    assert written[1]["retry"] == {"attempts": 2, "on": ["ValueError"]}
    assert written[2]["pattern"]["name"] == "p"
    assert written[3]["compensate"] == {"agent": "undoer"}
    assert define_workflow(define_workflow(flow).to_dict()) is not None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "name: [", "is not YAML at line "),
        ("a.json", '{"name": }', "is not JSON"),
        ("a.yaml", "just a text", "is a mapping"),
        ("missing.yaml", None, "cannot be read"),
        ("a.yaml", "name: x\nsteps:\n- id: a\n  agnt: b\n", "'agent'"),
    ],
)
def test_a_bad_file_is_named_with_the_place(
    name: str, text: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(DefinitionError, match=said):
        load_workflow(path)


def test_yaml_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError):
        load_workflow("name: !!python/object/apply:os.system ['true']\nsteps: []\n")


def test_the_schema_describes_what_definitions_have() -> None:
    schema = workflow_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    text = json.dumps(schema)
    for word in ("for_each", "wait_for", "compensate", "timeout_seconds", "max_iterations"):
        assert word in text


# --------------------------------------------------------------------------- shapes


def test_shapes_come_from_models_and_mappings_alike() -> None:
    class Report(BaseModel):
        title: str
        score: float
        tags: list[str] = []

    shape = read_shape(Report)
    assert shape.to_dict() == {"title": "text", "score": "number", "tags": "list?"}
    assert shape.problem({"title": "x", "score": 1}) is None
    assert "score" in str(shape.problem({"title": "x", "score": "high"}))
    assert "mapping" in str(shape.problem("text"))
    same = read_shape(shape.to_dict())
    assert same.problem({"title": "x", "score": 1, "more": 2}) is None
    assert same.problem({"tilte": "x", "score": 1}) == (
        "'title' is missing: unknown key 'tilte'; did you mean 'title'?"
    )
    assert same.problem({"score": 1}) == "'title' is missing; there is 'score'"
    assert same.problem({}) == "'title' is missing"
    assert same.problem({"title": "x", "score": 1, "tags": None}) is None
    assert read_shape({"a": str, "b": int}).to_dict() == {"a": "text", "b": "integer"}
    assert plain(Report(title="x", score=1)) == {"title": "x", "score": 1.0, "tags": []}


# --------------------------------------------------------------------------- the graph


@given(
    st.lists(st.one_of(st.none(), st.sets(st.integers(0, 9), max_size=4)), min_size=1, max_size=10)
)
def test_what_steps_wait_for_is_what_was_said_without_what_follows(
    given_: list[set[int] | None],
) -> None:
    """Against the plain definition: the transitive closure of all edges, written out."""
    names = [f"s{n}" for n in range(len(given_))]
    flow: dict[str, Any] = {"name": "t", "steps": []}
    direct: dict[str, set[str]] = {}
    for n, depends in enumerate(given_):
        step: dict[str, Any] = {"id": names[n], "agent": "x"}
        if depends is None:
            direct[names[n]] = set(names[:n])
        else:
            wanted = {names[d] for d in depends if d < len(names) and d != n}
            step["depends_on"] = sorted(wanted)
            direct[names[n]] = wanted
        flow["steps"].append(step)
    cycle = find_cycle(direct)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(b in direct[a] for a, b in pairwise(cycle))
        with pytest.raises(DefinitionError, match="circle"):
            define_workflow(flow)
        return

    def closure(edges: dict[str, Any]) -> dict[str, set[str]]:
        reach = {name: set(edges[name]) for name in names}
        for _ in names:
            for name in names:
                reach[name] |= {far for near in reach[name] for far in reach[near]}
        return reach

    reduced = define_workflow(flow).plan.depends
    assert closure(dict(reduced)) == closure(direct)
    for name in names:
        for other in reduced[name]:
            rest = {x for x in reduced[name] if x != other}
            assert not any(other in closure(direct)[x] for x in rest), "an edge too many"


def test_thousands_of_steps_are_no_burden() -> None:
    flow = steps(*(f"s{n}" for n in range(3000)))
    plan = define_workflow(flow).plan
    assert plan.depends["s2999"] == ("s2998",)
    wide = steps(*({"id": f"s{n}", "agent": "a", "depends_on": []} for n in range(3000)), "last")
    assert len(define_workflow(wide).plan.depends["last"]) == 3000


def test_a_cycle_through_the_order_of_the_page_is_found() -> None:
    definition = define_workflow(steps("a", "b"))
    assert Dependencies(definition, {}).cycle() is None


# --------------------------------------------------------------------------- the cache


def test_plans_are_kept_by_content_and_the_cache_is_bounded() -> None:
    cache = DefinitionCache()
    first = cache.get(steps("a"))
    assert cache.get(steps("a")) is first
    assert cache.get(steps("b")) is not first
    flow = steps("a")
    flow["steps"][0]["input"] = 1
    plan = cache.get(flow)
    flow["steps"][0]["input"] = True
    assert cache.get(flow) is not plan
    for n in range(1000):
        cache.get(steps(f"s{n}"))
    assert len(cache) <= 256


def test_agents_in_a_definition_count_by_identity() -> None:
    async def work(payload: Any) -> Any:
        return payload

    cache = DefinitionCache()
    one, two = Agent("same", handler=work), Agent("same", handler=work)
    first = cache.get(steps({"id": "a", "agent": one}))
    assert cache.get(steps({"id": "a", "agent": one})) is first
    assert cache.get(steps({"id": "a", "agent": two})) is not first


# --------------------------------------------------------------------------- pictures


def test_a_workflow_draws_itself() -> None:
    picture = define_workflow(FULL).to_mermaid()
    assert picture.startswith("flowchart TD\n")
    assert 's0["plan<br/>planner"]' in picture
    assert "s0 --> s1" in picture
    assert "for each" in picture
    assert "until" in picture
    assert "|undo|" in picture
    for line in picture.splitlines()[1:]:
        assert line.startswith("    ")
    coloured = draw_mermaid(define_workflow(FULL), "LR", {"plan": "completed", "each": "running"})
    assert "class s0 completed" in coloured
    assert "flowchart LR" in coloured
    with pytest.raises(ValueError, match="UP"):
        draw_mermaid(define_workflow(FULL), "UP")


def test_nothing_in_a_name_breaks_the_picture() -> None:
    flow = steps(
        {"id": "end", "agent": 'a "quoted" | name <b>', "condition": "input.x == 'a\"|b'"},
        {"id": "graph", "agent": "x\ny"},
    )
    picture = define_workflow(flow).to_mermaid()
    for line in picture.splitlines():
        assert line.count('"') % 2 == 0
        assert "<b>" not in line
