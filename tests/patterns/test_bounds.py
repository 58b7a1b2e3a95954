"""How deep and how large a definition may be, and what is never control."""

from __future__ import annotations

import time
from typing import Any

import pytest

from agenticaiframework.actors import read_answer
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.definition.bounds import DEFINITIONS
from agenticaiframework.patterns.engine import define_workflow, load_workflow
from agenticaiframework.patterns.kinds.event_matching import read_event_key


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def workflow(value: Any) -> dict[str, Any]:
    return {"name": "w", "steps": [{"id": "a", "agent": "x", "input": {"v": value}}]}


def test_what_contains_itself_is_refused_with_its_place() -> None:
    loop: dict[str, Any] = {"id": "a", "agent": "x"}
    loop["input"] = [loop]
    with pytest.raises(DefinitionError, match=r"steps\[0\]\.input\[0\]: it contains itself"):
        define_workflow({"name": "w", "steps": [loop]})
    shared = {"k": [1]}
    define_workflow(workflow([shared, shared]))


@pytest.mark.parametrize("depth", [101, 5_000, 100_000])
def test_what_is_too_deep_is_refused(depth: int) -> None:
    with pytest.raises(DefinitionError, match="levels deep"):
        define_workflow(workflow(nested(depth)))
    for text in ("[" * depth, '{"a":' * depth, "- " * depth + "x"):
        with pytest.raises(DefinitionError):
            load_workflow(text)


def test_what_is_too_large_is_refused() -> None:
    values = ["z"] * 9
    for _ in range(6):
        values = [values] * 9
    assert "more than 200,000 values" in str(DEFINITIONS.problem(values))
    assert "characters" in str(DEFINITIONS.problem(["x" * 6_000_000] * 2))
    with pytest.raises(DefinitionError, match="characters"):
        load_workflow("name: w\n" + "#" * 4_000_001)


@pytest.mark.parametrize(
    "text",
    [
        "name: w\nname: v\nsteps: [{id: a, agent: x}]",
        "name: w\nsteps: [{id: a, agent: x, input: {k: 1, k: 2}}]",
        '{"name": "w", "steps": [{"id": "a", "id": "b", "agent": "x"}]}',
        "name: w\nsteps: [{id: a, agent: x, input: {1: a, 1.0: b}}]",
    ],
)
def test_a_key_that_stands_twice_is_an_error(text: str) -> None:
    with pytest.raises(DefinitionError, match="twice"):
        load_workflow(text)


def test_a_merge_may_be_overridden() -> None:
    text = "name: w\nsteps:\n  - &a {id: a, agent: x, input: {k: 1}}\n  - {<<: *a, id: b}\n"
    assert [step.id for step in load_workflow(text).steps] == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["a: 2001-99-99", "a: " + "9" * 1_000, "a: !!python/object:os.system x", '{"a": NaN}']
)
def test_what_is_no_plain_data_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError):
        load_workflow(text)


def growth(work: Any, size: int) -> float:
    """Return how many times as long *work* takes for *size* doubled thrice.

    Linear work takes 8 times as long, quadratic work 64 times: far enough apart for a busy machine.
    What takes less than 5 ms counts as 5 ms: there copies and pages of memory are all that is measured.
    """

    def took(n: int) -> float:
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            work(n)
            best = min(best, time.process_time() - began)
        return best

    return took(8 * size) / max(took(size), 0.005)


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda n: read_answer("```\n" + " " * n + "x"), id="fence and spaces"),
        pytest.param(lambda n: read_answer("```json\n" * n), id="fences"),
        pytest.param(lambda n: read_answer("{" * n + "}"), id="braces"),
        pytest.param(lambda n: read_event_key("a*b*c*d*e").match("abcd" * n), id="stars"),
    ],
)
def test_reading_what_others_wrote_takes_linear_time(work: Any) -> None:
    assert growth(work, 2_000) < 24
