"""Which agents a workflow may name beside those that its engine has registered, by where it was made."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import Agent
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    UnknownName,
    WorkflowDefinition,
    define_workflow,
    load_workflow,
)

ONE = {"name": "w", "steps": [{"id": "s", "agent": "other-tenant"}]}
NESTED = {"name": "w", "steps": [{"id": "s", "workflow": ONE, "input": "$input"}]}
BESIDE = {
    "name": "w",
    "steps": [{"id": "s", "pattern": "parallel", "agents": ["mine", "other-tenant"]}],
}
FALLBACK = {
    "name": "w",
    "steps": [{"id": "s", "agent": "mine", "on_error": {"fallback": "other-tenant"}}],
}
UNDONE = {"name": "w", "steps": [{"id": "s", "agent": "mine", "compensate": "other-tenant"}]}
FORMS = {
    "step": ONE,
    "nested": NESTED,
    "pattern": BESIDE,
    "fallback": FALLBACK,
    "compensation": UNDONE,
}


async def secret(payload: Any) -> Any:
    return "secret"


async def mine(payload: Any) -> Any:
    return "mine"


def engine(agents: Any = None, **more: Any) -> OrchestrationEngine:
    e = OrchestrationEngine(EngineConfig(agents=agents, **more))
    e.register_agent("mine", mine)
    return e


def refused(workflow: Any, agents: Any = None) -> bool:
    """Tell whether *workflow* may not name another's agent."""

    async def main() -> bool:
        other = Agent("other-tenant", handler=secret)
        async with engine(agents) as e:
            try:
                await e.execute(workflow=workflow, input_data={})
            except Exception as error:
                told: BaseException | None = error
                while told is not None and not isinstance(told, UnknownName):
                    told = told.__cause__
                assert told is not None, repr(error)
                assert "EngineConfig(agents='any')" in str(told)
                return True
            finally:
                await other.stop()
            return False

    return asyncio.run(main())


@pytest.mark.parametrize("form", FORMS)
def test_by_origin_a_text_names_only_what_is_registered(form: str) -> None:
    text = json.dumps(FORMS[form])
    assert refused(load_workflow(text))
    assert refused(copy.deepcopy(load_workflow(text)))
    assert not refused(define_workflow(FORMS[form]))
    assert not refused(FORMS[form])


@pytest.mark.parametrize("form", FORMS)
def test_the_setting_decides_for_all(form: str) -> None:
    text = json.dumps(FORMS[form])
    assert refused(load_workflow(text), "registered")
    assert refused(FORMS[form], "registered")
    assert not refused(load_workflow(text), "any")
    assert not refused(FORMS[form], "any")


def test_a_text_in_a_program_s_own_workflow_stays_a_text() -> None:
    inner = load_workflow(json.dumps(ONE))
    assert refused(WorkflowDefinition(name="o", steps=[{"id": "in", "workflow": inner}]))


def test_a_text_may_name_a_registered_workflow_that_names_any_agent() -> None:
    async def main() -> None:
        other = Agent("other-tenant", handler=secret)
        async with engine(None) as e:
            e.register_workflow("known", ONE)
            late = {"name": "late", "steps": [{"id": "s", "agent": "made-later"}]}
            e.register_workflow("late", late)
            later = Agent("made-later", handler=secret)
            for name, how in (("known", "workflow"), ("known", "agent"), ("late", "workflow")):
                text = json.dumps({"name": "t", "steps": [{"id": "in", how: name}]})
                result = await e.execute(workflow=load_workflow(text), input_data={})
                assert result == {"in": {"s": "secret"}}
            await later.stop()
        await other.stop()

    asyncio.run(main())


@pytest.mark.parametrize("origin", ["text", "program"])
def test_where_it_comes_from_is_kept_in_a_store(tmp_path: Path, origin: str) -> None:
    url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    flow = {"name": "w", "steps": [{"id": "wait", "wait_for": "go"}, *ONE["steps"]]}

    async def first() -> None:
        other = Agent("other-tenant", handler=secret)
        async with engine("any", state_store=url, persist_state=True) as e:
            given = load_workflow(json.dumps(flow)) if origin == "text" else flow
            await e.start_workflow(given, {}, workflow_id="r")
            while (await e.get_workflow_status("r")).state != "waiting":
                await asyncio.sleep(0.01)
        await other.stop()

    async def second(agents: Any, known: bool) -> bool:
        other = Agent("other-tenant", handler=secret)
        async with engine(agents, state_store=url, persist_state=True) as e:
            if known:
                e.register_workflow("w", flow)
            report = await e.recover()
        await other.stop()
        return "r" in report.recovered

    asyncio.run(first())
    assert asyncio.run(second(None, known=False)) == (origin == "program")
    assert not asyncio.run(second("registered", known=True))
    assert asyncio.run(second(None, known=True)), "the program's own definition stands for it"
    assert asyncio.run(second("any", known=False))


def test_by_default_the_origin_decides() -> None:
    assert EngineConfig().agents is None


def test_the_origin_is_no_part_of_what_a_definition_says() -> None:
    loaded, made = load_workflow(json.dumps(NESTED)), define_workflow(NESTED)
    assert loaded == made
    assert loaded.to_dict() == made.to_dict()
