"""What an agent asks its model's answers to be, and what happens to those that are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

pytest.importorskip("pydantic_ai")

import pydantic_ai
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, AgentDefinitionError, AgentFailed
from agenticaiframework.models import UnfitAnswer
from agenticaiframework.testing import scripted_model


class Report(BaseModel):
    title: str
    score: int = Field(ge=0, le=10)


@dataclass
class Point:
    x: int
    y: int


class Row(TypedDict):
    name: str


def in_system(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ActorSystem():
            return await work()

    return asyncio.run(main())


class Says:
    """A model that gives *answers* in turn, through the output tool or as text, and keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.seen: list[list[ModelMessage]] = []
        self.told: list[AgentInfo] = []
        self.model = FunctionModel(self._answer)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.seen.append(list(messages))
        self.told.append(info)
        answer = self.answers.pop(0)
        if isinstance(answer, ModelResponse):
            return answer
        if isinstance(answer, str):
            return ModelResponse(parts=[TextPart(answer)])
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])


@pytest.mark.parametrize(
    ("output_type", "said", "expected"),
    [
        (Report, {"title": "Rivers", "score": 7}, Report(title="Rivers", score=7)),
        (Point, {"x": 1, "y": 2}, Point(1, 2)),
        (Row, {"name": "a"}, {"name": "a"}),
        (list[Point], {"response": [{"x": 1, "y": 2}]}, [Point(1, 2)]),
        (Literal["yes", "no"], {"response": "no"}, "no"),
        (int, {"response": 3}, 3),
        (bool, {"response": False}, False),
        (dict[str, int], {"response": {"a": 1}}, {"a": 1}),
    ],
)
def test_an_answer_is_of_the_type_that_was_asked_for(
    output_type: Any, said: Any, expected: Any
) -> None:
    agent = Agent("analyst", model=Says(said).model, output_type=output_type)
    answer = in_system(lambda: agent.ask("go"))
    assert answer == expected
    assert type(answer) is type(expected)


def test_of_a_union_the_model_chooses_one() -> None:
    async def choose(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        tool = next(each for each in info.output_tools if "Point" in each.name)
        return ModelResponse(parts=[ToolCallPart(tool.name, {"x": 1, "y": 2})])

    for union in (Report | Point, [Report, Point]):
        agent = Agent("analyst", model=FunctionModel(choose), output_type=union)
        assert in_system(lambda agent=agent: agent.ask("go")) == Point(1, 2)


def test_a_function_gets_what_the_model_says_and_gives_the_answer() -> None:
    def double(number: int) -> int:
        """Take a number."""
        return 2 * number

    agent = Agent("analyst", model=Says({"number": 21}).model, output_type=double)
    assert in_system(lambda: agent.ask("go")) == 42


@pytest.mark.parametrize(
    "text", ['{"trigger": "done", "data": 1}', '{"emit": "x"}', "```json\n{}\n```", " spaced "]
)
def test_text_stays_text_when_text_was_asked_for(text: str) -> None:
    agent = Agent("writer", model=Says(text).model, output_type=str)
    assert in_system(lambda: agent.ask("go")) == text

    other = Agent("writer", model="gpt-4", output_type=str)
    with scripted_model(lambda agent, payload: text):
        assert in_system(lambda: other.ask("go")) == text


def test_an_answer_that_does_not_fit_goes_back_to_the_model_with_what_is_wrong() -> None:
    says = Says({"title": "Rivers", "score": 70}, {"title": "Rivers", "score": 7})
    agent = Agent("analyst", model=says.model, output_type=Report)
    assert in_system(lambda: agent.ask("go")) == Report(title="Rivers", score=7)
    assert "less than or equal to 10" in str(says.seen[1][-1])


@pytest.mark.parametrize("retries", [0, 2, {"output": 2}, {"tools": 5}])
def test_it_goes_back_so_often_and_then_the_request_has_failed(retries: Any) -> None:
    tries = {0: 1, 2: 3}.get(retries, 0) if isinstance(retries, int) else 0
    tries = tries or retries.get("output", 1) + 1
    says = Says(*[{"title": "Rivers", "score": 70}] * 9)
    agent = Agent("analyst", model=says.model, output_type=Report, retries=retries)

    async def work() -> tuple[AgentFailed, bool]:
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("go")
        return caught.value, agent.is_alive

    failed, alive = in_system(work)
    assert failed.expected
    assert alive
    unfit = failed.__cause__
    assert isinstance(unfit, UnfitAnswer)
    assert unfit.tries == tries == len(says.seen)
    assert unfit.problems == ("score: Input should be less than or equal to 10",)
    assert "'analyst'" in str(unfit)
    assert "output type Report" in str(unfit)


ROUTE = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "enum": ["sales", "support"]},
        "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True},
    },
    "required": ["to", "urgency"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "pattern": "^[a-z]+$"}},
}
GOOD = {"to": "sales", "urgency": 2, "tags": ["a", "b"]}
BAD: list[tuple[Mapping[str, Any], str]] = [
    ({"to": "nobody", "urgency": 2}, "to: 'nobody' is not one of"),
    ({"to": "sales"}, "'urgency' is missing"),
    ({"to": "sales", "urgency": 9}, "urgency: 9 is more than 5"),
    ({"to": "sales", "urgency": "2"}, "urgency: '2' is not of type integer"),
    ({"to": "sales", "urgency": 2, "why": ""}, "'why' is not one of its properties"),
    ({"to": "sales", "urgency": 2, "tags": ["A"]}, "tags[0]: 'A' does not match"),
    ({"to": "sales", "urgency": 2, "tags": ["a", "a"]}, "tags[1]: 'a' is there already"),
]


@pytest.mark.parametrize(("bad", "said"), BAD)
def test_a_json_schema_is_as_strict(bad: Any, said: str) -> None:
    says = Says(bad, GOOD)
    agent = Agent("router", model=says.model, output_schema=ROUTE)
    assert in_system(lambda: agent.ask("go")) == GOOD
    assert said in str(says.seen[1][-1]).replace("\\'", "'")
    told = says.told[0].output_tools[0].parameters_json_schema
    assert told["properties"]["to"]["enum"] == ["sales", "support"]
    assert "$defs" not in json.dumps(told)


@pytest.mark.parametrize(("bad", "said"), BAD)
def test_a_json_schema_is_as_strict_for_other_runners(bad: Any, said: str) -> None:
    agent = Agent("router", model="gpt-4", output_schema=ROUTE)

    async def work() -> BaseException | None:
        with scripted_model(lambda agent, payload: json.dumps(payload)):
            assert await agent.ask(GOOD) == GOOD
            with pytest.raises(AgentFailed) as caught:
                await agent.ask(bad)
            assert caught.value.expected
            return caught.value.__cause__

    unfit = in_system(work)
    assert isinstance(unfit, UnfitAnswer)
    assert said in str(unfit)


def test_other_runners_answers_are_of_the_type_that_was_asked_for() -> None:
    agent = Agent("analyst", model="gpt-4", output_type=Report)
    for said in (
        {"title": "R", "score": 1},
        '{"title": "R", "score": 1}',
        '```json\n{"title": "R", "score": 1}\n```',
        Report(title="R", score=1),
    ):
        with scripted_model(lambda agent, payload, said=said: said):
            assert in_system(lambda: agent.ask("go")) == Report(title="R", score=1)
    with scripted_model(lambda agent, payload: "no idea"), pytest.raises(AgentFailed) as caught:
        in_system(lambda: agent.ask("go"))
    assert isinstance(caught.value.__cause__, UnfitAnswer)


@pytest.mark.parametrize(
    ("output", "kind"), [({"output_type": Report}, Report), ({"output_schema": ROUTE}, dict)]
)
def test_the_model_scripted_answers_in_the_form_that_was_asked_for(output: Any, kind: Any) -> None:
    answer = in_system(lambda: Agent("analyst", model="scripted", **output).ask("go"))
    assert isinstance(answer, kind)


@pytest.mark.parametrize(
    ("schema", "said", "expected"),
    [
        ({"type": "array", "items": {"type": "integer"}}, {"response": [1, 2]}, [1, 2]),
        ({"enum": ["a", "b"]}, {"response": "b"}, "b"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, {"response": 3}, 3),
    ],
)
def test_a_schema_may_be_of_something_else_than_an_object(
    schema: Any, said: Any, expected: Any
) -> None:
    agent = Agent("analyst", model=Says(said).model, output_schema=schema)
    assert in_system(lambda: agent.ask("go")) == expected


def test_a_schema_may_contain_itself() -> None:
    tree = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kids": {"type": "array", "items": {"$ref": "#"}},
        },
        "required": ["name"],
    }
    deep: dict[str, Any] = {"name": "0"}
    for number in range(1, 9):
        deep = {"name": str(number), "kids": [deep]}
    bad = json.loads(json.dumps(deep).replace('"name": "0"', '"nom": "0"'))
    says = Says(bad, deep)
    assert in_system(lambda: Agent("a", model=says.model, output_schema=tree).ask("go")) == deep
    assert "'name' is missing" in str(says.seen[1][-1])


def test_a_schema_with_one_field_of_free_text_needs_no_json() -> None:
    schema = {"type": "object", "properties": {"report": {"type": "string"}}}
    agent = Agent("writer", model=Says("All is well.").model, output_schema=schema)
    assert in_system(lambda: agent.ask("go")) == {"report": "All is well."}


def test_a_field_of_text_that_is_bounded_is_not_free() -> None:
    schema = {"type": "object", "properties": {"report": {"type": "string", "maxLength": 3}}}
    says = Says({"report": "too long"}, {"report": "ok"})
    agent = Agent("writer", model=says.model, output_schema=schema)
    assert in_system(lambda: agent.ask("go")) == {"report": "ok"}


class Opaque:
    pass


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"output_type": {"type": "object"}}, "output_schema="),
        ({"output_type": "Report"}, "output_type=Report"),
        ({"output_type": Opaque}, "pydantic has no schema"),
        ({"output_type": Opaque()}, "an instance"),
        ({"output_type": []}, "is empty"),
        ({"output_schema": Report}, "output_type="),
        ({"output_schema": {"type": "objekt"}}, "'objekt'"),
        ({"output_schema": {"properties": {"a": {"pattern": "("}}}}, "the pattern '('"),
        ({"output_schema": {"$ref": "#/$defs/no"}}, "names nothing"),
        ({"output_schema": {"$ref": "http://x/y"}}, "not within the schema"),
        ({"output_schema": {}, "output_type": str}, "both"),
        ({"retries": -1}, "retries=2"),
        ({"retries": True}, "retries=2"),
        ({"retries": {"outputs": 1}}, "retries=2"),
        ({"model_settings": {"temprature": 0.2}}, "Did you mean 'temperature'?"),
        ({"model_settings": {"max_token": 2}}, "Did you mean 'max_tokens'?"),
        ({"model_settings": 0.2}, "model_settings={'temperature': 0.2}"),
        ({"tools": "search"}, "tools=['search']"),
    ],
)
def test_what_cannot_work_is_refused_when_the_agent_is_made(parameters: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError) as caught:
        Agent("analyst", model="gpt-4", **parameters)
    assert said in str(caught.value)
    assert "'analyst'" in str(caught.value)


def test_a_schema_whose_references_write_out_to_millions_is_refused() -> None:
    parts: dict[str, Any] = {"d40": {"type": "string"}}
    for number in range(40):
        next_one = {"$ref": f"#/$defs/d{number + 1}"}
        parts[f"d{number}"] = {"properties": {"left": next_one, "right": next_one}}
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": parts}
    with pytest.raises(AgentDefinitionError, match="its references make more than 200,000 values"):
        Agent("a", model="scripted", output_schema=schema)


def test_a_schema_that_asks_a_value_to_fit_itself_is_refused() -> None:
    again = {"$ref": "#/$defs/again"}
    schema = {
        "type": "object",
        "properties": {"x": again},
        "$defs": {"again": {"anyOf": [{"not": again}, again]}},
    }
    with pytest.raises(AgentDefinitionError, match="#/\\$defs/again > #/\\$defs/again"):
        Agent("a", model="scripted", output_schema=schema)


def test_the_names_of_settings_are_those_of_pydantic_ai() -> None:
    from agenticaiframework.models.checking import MODEL_SETTINGS

    assert set(pydantic_ai.ModelSettings.__annotations__) == MODEL_SETTINGS


def test_a_providers_own_settings_are_let_through() -> None:
    Agent("analyst", model="gpt-4", model_settings={"openai_reasoning_effort": "low"})


@pytest.mark.parametrize("key", ["tools", "output_type", "deps", "retries", "history"])
def test_what_belongs_to_a_model_is_refused_beside_a_handler(key: str) -> None:
    with pytest.raises(AgentDefinitionError, match=f"{key}= is for agents with a model"):
        Agent("plain", len, **{key: [1]})


def test_a_models_name_as_the_handler_is_told_apart() -> None:
    with pytest.raises(AgentDefinitionError, match="model='gpt-4'"):
        Agent("writer", "gpt-4")


def test_marks_of_pydantic_ai_stand_round_the_type() -> None:
    marked = pydantic_ai.ToolOutput(Report, name="give_report")
    agent = Agent("analyst", model=Says({"title": "R", "score": 1}).model, output_type=marked)
    assert in_system(lambda: agent.ask("go")) == Report(title="R", score=1)
    with scripted_model(lambda agent, payload: {"title": "R", "score": 1}):
        assert in_system(lambda: agent.ask("go")) == Report(title="R", score=1)
    prompted = Says('{"title": "R", "score": 1}')
    agent = Agent("p", model=prompted.model, output_type=pydantic_ai.PromptedOutput(Report))
    assert in_system(lambda: agent.ask("go")) == Report(title="R", score=1)


class Item(BaseModel):
    name: str


TYPES: list[tuple[Any, str, Any]] = [
    (int, "3", 3),
    (bool, "true", True),
    (list[int], "[1, 2]", [1, 2]),
    (list[int], "```json\n[1, 2]\n```", [1, 2]),
    (Literal["red", "green"], "red", "red"),
    (Literal["red", "green"], '"red"', "red"),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (dict[str, int], '{"response": {"a": 1}}', {"a": 1}),
    (dict[str, Item], '{"a": {"name": "x"}}', {"a": Item(name="x")}),
    (dict[str, int] | None, '{"a": 1}', {"a": 1}),
    (dict[str, int] | None, "null", None),
    (Item | None, "null", None),
    (Item | None, "None", None),
    (Item | None, "", None),
    (Item | None, '{"name": "x"}', Item(name="x")),
    (Item | Report, '{"name": "x"}', Item(name="x")),
    (int | None, "3", 3),
    (int | None, "null", None),
]


@pytest.mark.parametrize(("output", "text", "answer"), TYPES)
def test_a_text_that_is_the_value_is_the_answer(output: Any, text: str, answer: Any) -> None:
    says = Says(text)
    agent = Agent("analyst", model=says.model, output_type=output)
    assert in_system(lambda: agent.ask("go")) == answer
    assert len(says.seen) == 1


CALLED: list[tuple[Any, str, dict[str, Any], Any]] = [
    (dict[str, int], "final_result", {"a": 1}, {"a": 1}),
    (dict[str, int], "final_result", {"response": {"a": 1}}, {"a": 1}),
    (Item | None, "final_result_None", {"response": None}, None),
    (Item | None, "final_result_None", {}, None),
]


@pytest.mark.parametrize(("output", "called", "arguments", "answer"), CALLED)
def test_so_is_what_the_tool_of_the_output_is_called_with(
    output: Any, called: str, arguments: dict[str, Any], answer: Any
) -> None:
    says = Says(ModelResponse([ToolCallPart(called, arguments)]))
    agent = Agent("analyst", model=says.model, output_type=output)
    assert in_system(lambda: agent.ask("go")) == answer
    assert len(says.seen) == 1


SCRIPTED: list[tuple[Any, Any]] = [
    (Item | None, None),
    (Item | None, Item(name="x")),
    (int | None, None),
    (list[Item] | None, None),
    (list[Item] | None, [Item(name="x")]),
    (dict[str, int] | None, {"a": 1}),
    (Literal["red", "green"] | None, "red"),
    (Literal["red", "green"] | None, None),
]


@pytest.mark.parametrize(("output", "answer"), SCRIPTED)
def test_a_script_answers_with_a_value_or_none(output: Any, answer: Any) -> None:
    agent = Agent("analyst", model="scripted", output_type=output)
    with scripted_model(lambda agent, payload: answer):
        assert in_system(lambda: agent.ask("go")) == answer


MISFITS: list[tuple[Any, Any, str]] = [
    (list[Item], {"name": "x"}, "list[Item]: Input should be a valid list, not {'name': 'x'}"),
    (list[Item], "two", "list[Item]: Input should be a valid list, not 'two'"),
    (list[Item], ["x"], "list[Item]: 0: Input should be a valid dictionary or instance of Item"),
    (int | None, "two", "int | None: Input should be a valid integer"),
    (Literal["a", "b"], "c", "Literal['a', 'b']: Input should be 'a' or 'b', not 'c'"),
]


@pytest.mark.parametrize(("output", "answer", "said"), MISFITS)
def test_what_does_not_fit_is_named_with_the_type_as_it_is_written(
    output: Any, answer: Any, said: str
) -> None:
    agent = Agent("analyst", model="scripted", output_type=output)

    async def work() -> str:
        with pytest.raises(AgentFailed) as caught:
            await agent.ask("go")
        return str(caught.value.__cause__)

    with scripted_model(lambda agent, payload: answer):
        told = in_system(work)
    assert f"does not fit the output type {said}" in told
    assert "json[" not in told


def test_none_alone_is_not_something_to_answer() -> None:
    with pytest.raises(AgentDefinitionError, match="None alone"):
        Agent("analyst", model="scripted", output_type=type(None))
