from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors.agents.models import (
    ModelRequest,
    ModelUnavailable,
    as_mapping,
    override_model_runner,
    read_answer,
    run_model,
    set_model_runner_factory,
)
from agenticaiframework.models.content.prompts import only_text_field, render_prompt
from agenticaiframework.models.scripted.fixed_answers import fixed_answer


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '  {"a": 1}\n',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}\n```',
        '```JSON \r\n{"a": 1}```',
    ],
)
def test_a_json_object_becomes_a_mapping(text: str) -> None:
    assert read_answer(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        "[1, 2]",
        "7",
        '"text"',
        '{"a": 1',
        '{"a": 1} and more',
        'Here: {"a": 1}',
        "{not json}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_other_text_stays_the_text_it_was(text: str) -> None:
    assert read_answer(text) == text
    assert as_mapping(read_answer(text)) == {"result": text}


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    answer = read_answer(text)
    assert answer == text or isinstance(answer, dict)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_every_object_comes_back_as_it_was_written(value: dict[str, object]) -> None:
    assert read_answer(json.dumps(value)) == value
    assert read_answer(f"```json\n{json.dumps(value, indent=1)}\n```") == value


def test_a_mapping_stays_the_mapping_it_was() -> None:
    answer = {"a": 1}
    assert read_answer(answer) is answer
    assert as_mapping(answer) is answer


def test_without_a_factory_the_error_names_agent_and_model() -> None:
    previous = set_model_runner_factory(None)
    try:
        with pytest.raises(ModelUnavailable, match=r"'Reviewer'.*'gpt-4'"):
            asyncio.run(run_model(ModelRequest("Reviewer", "gpt-4", None, "x")))
    finally:
        set_model_runner_factory(previous)


def test_the_latest_override_wins_and_they_end_in_any_order() -> None:
    def saying(word: str):  # type: ignore[no-untyped-def]
        async def run(request: ModelRequest) -> str:
            return word

        return run

    def answer() -> object:
        return asyncio.run(run_model(ModelRequest("a", "scripted", None, "x")))

    end_first = override_model_runner(saying("first"))
    end_second = override_model_runner(saying("second"))
    assert answer() == "second"
    end_first()
    assert answer() == "second"
    end_second()
    end_second()
    assert str(answer()).startswith("[a]")


def test_a_prompt_has_a_line_a_field() -> None:
    payload = {"user_topic": "AI", "notes": None, "draft": {"result": "text"}, "n": [1, "é"]}
    assert render_prompt(payload) == 'User topic: AI\nDraft: text\nN: [1, "é"]'
    assert render_prompt("as it is") == "as it is"
    assert render_prompt(7) == "7"


def test_one_free_text_field_needs_no_json() -> None:
    def of(**fields: object) -> dict[str, object]:
        return {"type": "object", "properties": fields}

    assert only_text_field(of(draft={"type": "string"})) == "draft"
    assert only_text_field(of(draft={"type": "string"}, more={"type": "string"})) is None
    assert only_text_field(of(kind={"type": "string", "enum": ["a", "b"]})) is None
    assert only_text_field(None) is None


def test_scripted_answers_repeat_and_fit_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "category": {"enum": ["health", "other"]},
            "score": {"type": "number", "minimum": 2},
            "done": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "fixed": {"const": 4},
        },
    }
    rivers = {"topic": "rivers " * 100}
    first, second = (fixed_answer("Writer", "Write", rivers, None) for _ in range(2))
    assert first == second
    assert isinstance(first, str)
    assert first.startswith("[Writer] Write | Topic: rivers")
    assert len(first) < 200
    assert fixed_answer("Writer", None, "x", schema) == {
        "category": "health",
        "score": 2,
        "done": True,
        "tags": ["[Wr"],
        "maybe": None,
        "fixed": 4,
    }
