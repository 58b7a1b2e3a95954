"""What is served is checked when it is given, and says the form that works."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.actors import WrongUse
from agenticaiframework.faces import FaceLimits, openai_app, serve, serve_workflow
from agenticaiframework.orchestration import OrchestrationEngine
from agenticaiframework.patterns.engine import UnknownName, WorkflowRun, workflow


class Order(BaseModel):
    item: str
    count: int = 1


@workflow(name="refund")
async def refund(run: WorkflowRun, amount: int) -> str:
    """Pays back.

    As much as that.
    """
    return f"paid {amount}"


async def echo(payload: Any) -> Any:
    return payload


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: openai_app(), "nothing is served"),
        (lambda: serve("writer"), "serve_workflow"),
        (lambda: serve(echo), "Agent('name', handler=function)"),
        (lambda: serve(OrchestrationEngine()), "which workflow"),
        (lambda: serve(Agent("a", handler=echo), name="a b"), "1 to 64 letters"),
        (lambda: serve(Agent("a", handler=echo), input=object()), "a pydantic model"),
        (lambda: serve_workflow(OrchestrationEngine(), refund), "the name of a registered"),
        (lambda: FaceLimits(max_calls=0), "above 0"),
        (lambda: FaceLimits(max_calls=1.5), "a whole number"),
        (lambda: FaceLimits(timeout_s=float("inf")), "not infinite"),
    ],
)
def test_what_cannot_be_meant_is_told_with_the_form_that_works(wrong: Any, said: str) -> None:
    with pytest.raises(WrongUse) as raised:
        wrong()
    assert said in str(raised.value)


def test_two_targets_of_one_name_are_told_apart_or_refused() -> None:
    one, two = Agent("a", handler=echo), Agent("a", handler=echo)
    with pytest.raises(WrongUse, match="two targets are called 'a'"):
        openai_app(one, two)
    assert set(openai_app(one, serve(two, name="b")).served) == {"a", "b"}


def test_a_workflow_that_is_not_registered_is_told_with_the_names_that_are() -> None:
    engine = OrchestrationEngine()
    engine.register_workflow(refund)
    with pytest.raises(UnknownName, match="refund"):
        serve_workflow(engine, "refnd")


def test_schemas_come_from_types_and_from_what_steps_read() -> None:
    engine = OrchestrationEngine()
    engine.register_agent("echo", echo)
    engine.register_workflow(refund)
    steps = [{"id": "one", "agent": "echo", "input": {"x": "$input.word", "y": "$input.more?"}}]
    engine.register_workflow("reads", {"name": "reads", "steps": steps})
    shaped = {"name": "shaped", "steps": steps, "input_model": {"word": "text", "more": "number?"}}
    engine.register_workflow("shaped", shaped)
    code = serve_workflow(engine, "refund")
    assert code.input_schema["properties"] == {"input": {"type": "integer"}}
    assert code.output_schema is not None
    assert code.output_schema["properties"] == {"result": {"type": "string"}}
    assert code.description == "Pays back."
    assert serve_workflow(engine, "reads").input_schema["required"] == ["word"]
    fields = serve_workflow(engine, "shaped").input_schema
    assert fields["required"] == ["word"]
    assert fields["properties"] == {"word": {"type": "string"}, "more": {"type": "number"}}
    typed = serve(Agent("ann's desk", handler=echo), input=Order)
    assert typed.name == "ann_s_desk"
    assert typed.form.read({"item": "tea"}) == Order(item="tea")
    assert typed.form.read_text("tea") == Order(item="tea")
    assert typed.form.read_text('{"item": "tea", "count": 2}') == Order(item="tea", count=2)
