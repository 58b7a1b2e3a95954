"""Inner steps: what a handler has done in an attempt that is cut off is not done again by the next."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem, WouldBlock, agent_context
from agenticaiframework.patterns import LoopOrchestration, SequentialOrchestration
from agenticaiframework.patterns.engine import (
    EngineConfig,
    EventKind,
    InnerStepRefused,
    InnerStepsDiffer,
    OrchestrationEngine,
    WorkflowFailed,
    WorkflowState,
)
from agenticaiframework.patterns.engine.store import ValueNotStorable, ValueTooLarge, open_store
from agenticaiframework.patterns.teams import AgentRole, AgentTeam

from .conftest import run_in_virtual_time
from .test_durable import virtual_clock

RETRY = {"attempts": 3, "initial_delay_s": 0.001}


class Effects:
    """What inner steps did, once for each time they were called."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.keys: list[str] = []
        self.tries = 0

    async def act(self, what: str, value: Any = None) -> Any:
        self.keys.append(agent_context()["idempotency_key"])
        self.log.append(what)
        return what if value is None else value

    def act_now(self, what: str, value: Any = None) -> Any:
        self.keys.append(agent_context()["idempotency_key"])
        self.log.append(what)
        return what if value is None else value

    def fail_until(self, times: int) -> None:
        """Raise as often as that over all attempts."""
        self.tries += 1
        if self.tries < times:
            raise RuntimeError(f"attempt {self.tries} is cut off")


@pytest.fixture
def effects() -> Effects:
    gc.collect()
    return Effects()


@pytest.fixture(params=["memory", "stored"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> OrchestrationEngine:
    return OrchestrationEngine(
        EngineConfig(
            persist_state=request.param == "stored",
            state_store=f"sqlite:///{tmp_path}/inner.sqlite",
            durability="normal",
        )
    )


def run(main: Callable[[], Awaitable[Any]], engine: OrchestrationEngine) -> Any:
    async def inside() -> Any:
        async with ActorSystem("test"), engine:
            return await main()

    return asyncio.run(inside())


def one_step(target: Any, **more: Any) -> dict[str, Any]:
    return {"name": "flow", "steps": [{"id": "work", "agent": target, "retry": RETRY, **more}]}


# -- an attempt that is cut off ------------------------------------------------------------------------


def test_a_retry_does_not_repeat_what_has_returned(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def handler(payload: Any) -> Any:
        context = agent_context()
        first = await context.step("charge", effects.act, "charge", {"paid": payload})
        second = await context.step("mail", effects.act, "mail")
        effects.fail_until(3)
        third = await context.step("charge", effects.act, "charge again")
        return [first, second, third]

    async def main() -> None:
        result = await engine.execute(one_step(Agent("teller", handler=handler)), 7)
        assert result["work"] == [{"paid": 7}, "mail", "charge again"]

    run(main, engine)
    assert effects.log == ["charge", "mail", "charge again"]
    assert [key.rsplit("/", 1)[1] for key in effects.keys] == ["charge", "mail", "charge#2"]


def test_a_plain_handler_has_the_blocking_form(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    threads: set[str] = set()

    def handler(payload: Any) -> Any:
        context = agent_context()
        first = context.step_sync("one", effects.act_now, "one")
        threads.add(threading.current_thread().name)
        second = context.step_sync("two", effects.act, "two")
        effects.fail_until(2)
        return [first, second, payload]

    async def main() -> None:
        result = await engine.execute(one_step(Agent("plain", handler=handler)), 7)
        assert result["work"] == ["one", "two", 7]

    run(main, engine)
    assert effects.log == ["one", "two"]
    assert threading.main_thread().name not in threads


@pytest.mark.parametrize("dispatcher", ["event_loop", "thread", "pinned"])
def test_an_async_handler_on_any_dispatcher(
    effects: Effects, engine: OrchestrationEngine, dispatcher: str
) -> None:
    async def handler(payload: Any) -> Any:
        context = agent_context()
        first = await context.step("one", effects.act, "one")
        rest = await asyncio.gather(*(context.step("many", effects.act, f"{n}") for n in range(5)))
        effects.fail_until(2)
        return [first, rest]

    async def main() -> None:
        agent = Agent("any", handler=handler, dispatcher=dispatcher)
        result = await engine.execute(one_step(agent), 7)
        assert result["work"] == ["one", ["0", "1", "2", "3", "4"]]

    run(main, engine)
    assert effects.log == ["one", "0", "1", "2", "3", "4"]


def test_a_plain_function_does_not_hold_up_the_loop(engine: OrchestrationEngine) -> None:
    names: list[str] = []

    async def handler(_: Any) -> Any:
        inside = threading.Event()
        released = threading.Event()

        def block() -> str:
            names.append(threading.current_thread().name)
            inside.set()
            assert released.wait(120)
            return agent_context()["idempotency_key"]

        blocking = asyncio.ensure_future(agent_context().step("block", block))
        while not inside.is_set():
            await asyncio.sleep(0)
        released.set()  # the loop runs on meanwhile
        return await blocking

    async def main() -> None:
        result = await engine.execute(one_step(Agent("blocks", handler=handler)))
        assert result["work"].endswith("/block")

    run(main, engine)
    assert names != [threading.main_thread().name]


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "stored"])
def test_a_timeout_cuts_off_and_the_retry_goes_on(
    effects: Effects, tmp_path: Path, stored: bool
) -> None:
    async def handler(_: Any) -> Any:
        context = agent_context()
        await context.step("one", effects.act, "one")
        if context["attempt"] == 1:
            await context.step("two", asyncio.sleep, 60)
        return await context.step("two", effects.act, "two")

    async def main() -> None:
        flow = one_step(Agent("slow", handler=handler), timeout_seconds=0.2)
        url = f"sqlite:///{tmp_path}/inner.sqlite"
        store = open_store(url, clock=virtual_clock, inline=True)
        config = EngineConfig(persist_state=stored, state_store=store, wall_clock=virtual_clock)
        async with OrchestrationEngine(config) as engine:
            assert (await engine.execute(flow))["work"] == "two"

    run_in_virtual_time(main)
    assert effects.log == ["one", "two"]


def test_an_agent_that_crashes_and_is_asked_again(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    agents: list[Agent] = []

    async def handler(_: Any) -> Any:
        context = agent_context()
        await context.step("one", effects.act, "one")
        if context["attempt"] == 1:
            ref = agents[0].address().live
            assert ref is not None
            ref.kill()
            await asyncio.sleep(60)
        return await context.step("two", effects.act, "two")

    async def main() -> None:
        agents.append(Agent("mortal", handler=handler))
        assert (await engine.execute(one_step(agents[0])))["work"] == "two"

    run(main, engine)
    assert effects.log == ["one", "two"]


def test_a_function_that_fails_is_called_again(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def shaky() -> str:
        await effects.act("shaky")
        effects.fail_until(2)
        return "done"

    async def handler(_: Any) -> Any:
        await agent_context().step("first", effects.act, "first")
        return await agent_context().step("shaky", shaky)

    async def main() -> None:
        assert (await engine.execute(one_step(Agent("tries", handler=handler))))["work"] == "done"

    run(main, engine)
    assert effects.log == ["first", "shaky", "shaky"]


def test_each_item_has_its_own(effects: Effects, engine: OrchestrationEngine) -> None:
    failed: set[str] = set()

    async def handler(payload: str) -> Any:
        got = await agent_context().step("look", effects.act, payload)
        if payload not in failed:
            failed.add(payload)
            raise RuntimeError("once")
        return got

    async def main() -> None:
        agent = Agent("each", handler=handler, concurrency=3)
        flow = one_step(agent, for_each=["a", "b", "c"], input="$item")
        assert (await engine.execute(flow))["work"] == ["a", "b", "c"]

    run(main, engine)
    assert sorted(effects.log) == ["a", "b", "c"]
    assert len(set(effects.keys)) == 3


def test_each_round_of_a_loop_has_its_own(effects: Effects, engine: OrchestrationEngine) -> None:
    async def handler(payload: Any) -> Any:
        n = await agent_context().step("count", effects.act, f"{payload['n']}", payload["n"] + 1)
        effects.fail_until(2)
        return {"n": n}

    async def main() -> None:
        flow = one_step(Agent("loops", handler=handler), until="$output.n >= 3", max_iterations=5)
        assert (await engine.execute(flow, {"n": 0}))["work"] == {"n": 3}

    run(main, engine)
    assert effects.log == ["0", "1", "2"]


def test_a_fallback_has_steps_of_its_own(effects: Effects, engine: OrchestrationEngine) -> None:
    async def primary(_: Any) -> Any:
        await agent_context().step("look", effects.act, "primary")
        raise RuntimeError("down")

    async def fallback(_: Any) -> Any:
        return await agent_context().step("look", effects.act, "fallback")

    async def main() -> None:
        engine.register_agent("spare", Agent("spare", handler=fallback))
        flow = one_step(Agent("first", handler=primary), retry=None, on_error={"fallback": "spare"})
        assert (await engine.execute(flow))["work"] == "fallback"

    run(main, engine)
    assert effects.log == ["primary", "fallback"]


def test_an_undo_that_is_tried_again(effects: Effects, engine: OrchestrationEngine) -> None:
    async def undo(_: Any) -> Any:
        await agent_context().step("refund", effects.act, "refund")
        effects.fail_until(2)

    async def fine(_: Any) -> Any:
        return await agent_context().step("refund", effects.act, "charge")

    async def broken(_: Any) -> Any:
        raise RuntimeError("no")

    async def main() -> None:
        flow = {
            "name": "undone",
            "steps": [
                {
                    "id": "pay",
                    "agent": Agent("payer", handler=fine),
                    "compensate": {"agent": Agent("undoer", handler=undo), "retry": RETRY},
                },
                {"id": "ship", "agent": Agent("shipper", handler=broken)},
            ],
        }
        with pytest.raises(WorkflowFailed):
            await engine.execute(flow, workflow_id="undo")
        status = await engine.get_workflow_status("undo")
        assert status.steps["pay"].inner == ()
        assert status.steps["pay"].inner_count == 2

    run(main, engine)
    assert effects.log == ["charge", "refund"]


# -- where agents ask agents ---------------------------------------------------------------------------


def test_agents_that_are_asked_record_under_their_names(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def low(payload: Any) -> Any:
        return await agent_context().step("act", effects.act, f"low {payload}")

    async def middle(payload: Any) -> Any:
        mine = await agent_context().step("act", effects.act, f"middle {payload}")
        return [mine, await lower.ask(payload), await lower.ask(payload + 1)]

    async def high(payload: Any) -> Any:
        said = await middling.ask(payload)
        effects.fail_until(2)
        return said

    lower, middling = Agent("low", handler=low), Agent("middle", handler=middle)

    async def main() -> None:
        result = await engine.execute(one_step(Agent("high", handler=high)), 1, workflow_id="r")
        assert result["work"] == ["middle 1", "low 1", "low 2"]
        assert (await engine.get_workflow_status("r")).steps["work"].inner_count == 3

    run(main, engine)
    assert effects.log == ["middle 1", "low 1", "low 2"]
    assert [key.split("/", 1)[1] for key in effects.keys] == [
        "middle/act", "middle/low/act", "middle/low#2/act"
    ]  # fmt: skip


def test_an_ask_with_the_context_of_the_asker_has_steps_of_its_own(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def low(payload: Any) -> Any:
        return await agent_context().step("act", effects.act, f"low {payload}")

    lower = Agent("low", handler=low)

    async def high(_: Any) -> Any:
        context = agent_context()
        got = [await context.step("act", effects.act, "high")]
        got.append(await lower.ask(1, context=context))
        got.append(await lower.ask(2, context={**context, "more": 1}))
        got.append(await context.step("ask", lower.ask, 3, context=context))
        got.append(await lower.ask(4, context={"idempotency_key": "mine"}))
        got.append(await lower.ask(5, context={"idempotency_key": "mine"}))
        got.append(await context.step("act", effects.act, "high again"))
        effects.fail_until(2)
        return got

    async def main() -> None:
        result = await engine.execute(one_step(Agent("high", handler=high)))
        assert result["work"] == [
            "high", "low 1", "low 2", "low 3", "low 4", "low 5", "high again"
        ]  # fmt: skip

    run(main, engine)
    assert effects.log == ["high", "low 1", "low 2", "low 3", "low 4", "low 5", "high again"]


def test_inside_a_pattern_that_is_a_step(effects: Effects, engine: OrchestrationEngine) -> None:
    async def one(payload: Any) -> Any:
        return await agent_context().step("act", effects.act, f"one {payload}")

    async def two(payload: Any) -> Any:
        await agent_context().step("act", effects.act, "two")
        effects.fail_until(2)
        return payload

    async def main() -> None:
        line = [Agent("one", handler=one), Agent("two", handler=two)]
        pattern = SequentialOrchestration(name="line", steps=line)
        flow = {"name": "flow", "steps": [{"id": "work", "pattern": pattern, "retry": RETRY}]}
        await engine.execute(flow, 1)

    run(main, engine)
    assert effects.log == ["one 1", "two"]


def test_a_fallback_inside_a_pattern_has_steps_of_its_own(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def deep(payload: Any) -> Any:
        return await agent_context().step("look", effects.act, f"deep {payload}")

    deeper = Agent("deep", handler=deep)

    async def primary(_: Any) -> Any:
        await agent_context().step("look", effects.act, "primary")
        await deeper.ask("primary")
        raise RuntimeError("down")

    async def spare(_: Any) -> Any:
        looked = [await agent_context().step("look", effects.act, "spare")]
        looked.append(await deeper.ask("spare"))
        effects.fail_until(2)
        return looked

    async def last(payload: Any) -> Any:
        effects.fail_until(3)
        return payload

    async def main() -> None:
        engine.register_agent("spare", Agent("spare", handler=spare))
        first = {"agent": Agent("first", handler=primary), "on_error": {"fallback": "spare"}}
        line = SequentialOrchestration(name="line", steps=[first, Agent("last", handler=last)])
        engine.register_pattern("line", line)
        flow = {"name": "flow", "steps": [{"id": "work", "pattern": "line", "retry": RETRY}]}
        assert (await engine.execute(flow, 1))["work"] == ["spare", "deep spare"]

    run(main, engine)
    assert effects.log == ["primary", "deep primary", "spare", "deep spare"]


def test_an_agent_that_a_pattern_asks_again_and_again(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def grow(payload: Any) -> Any:
        return await agent_context().step("grow", effects.act, f"{payload}", payload + 1)

    async def last(payload: Any) -> Any:
        effects.fail_until(2)
        return payload

    async def main() -> None:
        body = Agent("grows", handler=grow)
        loop = LoopOrchestration(name="loop", body=body, until="output >= 3", max_iterations=5)
        line = SequentialOrchestration(name="line", steps=[loop, Agent("last", handler=last)])
        flow = {"name": "flow", "steps": [{"id": "work", "pattern": line, "retry": RETRY}]}
        assert (await engine.execute(flow, 0))["work"] == 3

    run(main, engine)
    assert effects.log == ["0", "1", "2"]


def test_inside_a_team_that_is_a_step(effects: Effects, engine: OrchestrationEngine) -> None:
    async def member(_: Any) -> Any:
        said = await agent_context().step("act", effects.act, "member")
        effects.fail_until(2)
        return said

    async def main() -> None:
        team = AgentTeam(name="crew", roles=[AgentRole(name="worker")])
        team.assign_agent(Agent("member", handler=member), "worker")
        flow = {"name": "flow", "steps": [{"id": "work", "team": team, "retry": RETRY}]}
        await engine.execute(flow, "task")

    run(main, engine)
    assert effects.log == ["member"]


def test_inside_a_nested_workflow_it_is_the_nested_run_that_records(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def handler(_: Any) -> Any:
        said = await agent_context().step("act", effects.act, "nested")
        effects.fail_until(2)
        return said

    async def main() -> None:
        inner = {**one_step(Agent("deep", handler=handler)), "name": "inside"}
        flow = {"name": "outside", "steps": [{"id": "part", "workflow": inner}]}
        result = await engine.execute(flow, 1, workflow_id="outer")
        assert result["part"]["work"] == "nested"
        assert (await engine.get_workflow_status("outer")).steps["part"].inner_count == 0

    run(main, engine)
    assert effects.log == ["nested"]


def test_a_function_that_is_a_step(effects: Effects, engine: OrchestrationEngine) -> None:
    async def coroutine(_: Any) -> Any:
        await agent_context().step("act", effects.act, "async")
        effects.fail_until(2)

    def plain(_: Any) -> Any:
        agent_context().step_sync("act", effects.act_now, "plain")
        effects.fail_until(4)

    async def main() -> None:
        await engine.execute(one_step(coroutine))
        await engine.execute({**one_step(plain), "name": "plain"})

    run(main, engine)
    assert effects.log == ["async", "plain"]


def test_an_inner_step_inside_an_inner_step(effects: Effects, engine: OrchestrationEngine) -> None:
    async def outer() -> Any:
        await agent_context().step("part", effects.act, "part")
        effects.fail_until(2)
        return await agent_context().step("part", effects.act, "another")

    async def handler(_: Any) -> Any:
        return await agent_context().step("whole", outer)

    async def main() -> None:
        await engine.execute(one_step(Agent("nests", handler=handler)))

    run(main, engine)
    assert effects.log == ["part", "another"]
    assert [key.split("/", 1)[1] for key in effects.keys] == ["whole/part", "whole/part#2"]


def test_an_agent_of_another_system(effects: Effects, engine: OrchestrationEngine) -> None:
    async def far(_: Any) -> Any:
        return await agent_context().step("act", effects.act, "far")

    agent = Agent("far", handler=far)

    async def near(_: Any) -> Any:
        def elsewhere() -> Any:
            context = dict(agent_context())

            async def inside() -> Any:
                async with ActorSystem("other") as other:
                    return await agent.request(1, context=context, system=other)

            return asyncio.run(inside())

        said = await asyncio.to_thread(elsewhere)
        effects.fail_until(2)
        return said

    async def main() -> None:
        result = await engine.execute(one_step(Agent("near", handler=near)))
        assert result["work"] == "far"

    run(main, engine)
    assert effects.log == ["far"]


# -- order ---------------------------------------------------------------------------------------------


def test_another_order_of_names_is_told_with_both(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def handler(_: Any) -> Any:
        context = agent_context()
        names = ("one", "two") if context["attempt"] == 1 else ("two", "one")
        for name in names:
            await context.step(name, effects.act, name)
        effects.fail_until(9)

    async def main() -> None:
        with pytest.raises(WorkflowFailed) as caught:
            await engine.execute(one_step(Agent("turns", handler=handler)))
        cause = caught.value.__cause__
        assert isinstance(cause, InnerStepsDiffer)
        assert (cause.number, cause.recorded, cause.called) == (1, "one", "two")
        assert "'one'" in str(caught.value)
        assert "'two'" in str(caught.value)
        assert caught.value.attempts == 2  # a third would find the same

    run(main, engine)
    assert effects.log == ["one", "two"]


def test_a_handler_that_goes_on_after_an_error_may_go_another_way(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def fails_first() -> str:
        if agent_context()["attempt"] == 1:
            raise ValueError("down")
        return "up"

    async def handler(_: Any) -> Any:
        context = agent_context()
        try:
            return await context.step("main", fails_first)
        except ValueError:
            await context.step("spare", effects.act, "spare")
        raise RuntimeError("cut off")

    async def main() -> None:
        assert (await engine.execute(one_step(Agent("way", handler=handler))))["work"] == "up"

    run(main, engine)
    assert effects.log == ["spare"]


def test_tasks_in_parallel_may_come_in_any_order(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def branch(name: str, first_s: float) -> list[str]:
        context = agent_context()
        one = await context.step(f"{name}1", effects.act, f"{name}1")
        await asyncio.sleep(first_s)
        return [one, await context.step(f"{name}2", effects.act, f"{name}2")]

    async def handler(_: Any) -> Any:
        waits = (0.0, 0.02) if agent_context()["attempt"] == 1 else (0.02, 0.0)
        both = await asyncio.gather(branch("a", waits[0]), branch("b", waits[1]))
        effects.fail_until(2)
        return both

    async def main() -> None:
        result = await engine.execute(one_step(Agent("forks", handler=handler)))
        assert result["work"] == [["a1", "a2"], ["b1", "b2"]]

    run(main, engine)
    assert sorted(effects.log) == ["a1", "a2", "b1", "b2"]


def test_hundreds_at_once(effects: Effects, engine: OrchestrationEngine) -> None:
    async def handler(_: Any) -> Any:
        context = agent_context()
        got = await asyncio.gather(
            *(context.step("call", effects.act, f"{n}", n) for n in range(400))
        )
        effects.fail_until(3)
        return got

    async def main() -> None:
        result = await engine.execute(one_step(Agent("many", handler=handler)))
        assert result["work"] == list(range(400))

    run(main, engine)
    assert len(effects.log) == 400
    assert len(set(effects.keys)) == 400


# -- what is recorded ----------------------------------------------------------------------------------


class Paid(BaseModel):
    amount: int
    notes: set[str]


def test_what_is_returned_is_the_stored_form_the_first_time_and_later(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    seen: list[Any] = []

    async def handler(_: Any) -> Any:
        got = await agent_context().step("pay", effects.act, "pay", Paid(amount=3, notes={"x"}))
        seen.append(json.loads(json.dumps(got)))
        got["amount"] = 99  # what a handler does to it changes no record
        effects.fail_until(2)

    async def main() -> None:
        await engine.execute(one_step(Agent("models", handler=handler)))

    run(main, engine)
    assert seen == [{"amount": 3, "notes": ["x"]}] * 2
    assert effects.log == ["pay"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (object(), ValueNotStorable),
        ("\ud800", ValueNotStorable),
        (10**4400, ValueNotStorable),
        ("x" * 17_000_000, ValueTooLarge),
    ],
    ids=["object", "surrogate", "huge number", "17 MB"],
)
def test_what_cannot_be_stored_is_an_error_of_that_call(
    engine: OrchestrationEngine, value: Any, error: type[Exception]
) -> None:
    async def make() -> Any:
        return value

    async def handler(_: Any) -> Any:
        with pytest.raises(error, match="inner step 'odd'"):
            await agent_context().step("odd", make)
        return await agent_context().step("even", asyncio.sleep, 0, "fine")

    async def main() -> None:
        assert (await engine.execute(one_step(Agent("odd", handler=handler))))["work"] == "fine"

    run(main, engine)


def test_an_error_text_that_cannot_be_stored_harms_nothing(engine: OrchestrationEngine) -> None:
    async def fail() -> None:
        raise ValueError("\ud800" + "x" * 100_000)

    async def handler(_: Any) -> Any:
        with pytest.raises(ValueError, match="x"):
            await agent_context().step("fail", fail)
        return "fine"

    async def main() -> None:
        assert (await engine.execute(one_step(Agent("odd", handler=handler))))["work"] == "fine"

    run(main, engine)


def test_the_status_and_the_stream_show_them(effects: Effects, engine: OrchestrationEngine) -> None:
    halfway = asyncio.Event()
    go_on = asyncio.Event()

    async def fails() -> None:
        raise ValueError("no")

    async def handler(_: Any) -> Any:
        context = agent_context()
        await context.step("one", effects.act, "one")
        await context.step("one", effects.act, "two")
        with pytest.raises(ValueError, match="no"):
            await context.step("bad", fails)
        halfway.set()
        await go_on.wait()

    async def main() -> None:
        run_id = await engine.start_workflow(one_step(Agent("shows", handler=handler)))
        await halfway.wait()
        step = (await engine.get_workflow_status(run_id)).steps["work"]
        assert (step.inner, step.inner_count) == (("one", "one#2"), 2)
        go_on.set()
        await engine.wait(run_id)
        step = (await engine.get_workflow_status(run_id)).steps["work"]
        assert (step.inner, step.inner_count) == ((), 2)
        if engine.config.persist_state:
            events = [e async for e in engine.stream(run_id)]
            told = [
                e for e in events if e.kind in (EventKind.INNER_COMPLETED, EventKind.INNER_FAILED)
            ]
            assert [(e.step, e.attempt, e.data["name"]) for e in told] == [
                ("work", 1, "one"), ("work", 1, "one"), ("work", 1, "bad")
            ]  # fmt: skip
            assert "ValueError: no" in told[-1].data["error"]

    run(main, engine)


def test_a_listener_in_memory_is_told(effects: Effects) -> None:
    engine = OrchestrationEngine()

    async def handler(_: Any) -> Any:
        await agent_context().step("one", effects.act, "one")

    async def main() -> None:
        stream = engine.stream(workflow=one_step(Agent("told", handler=handler)))
        kinds = [event.kind async for event in stream]
        assert EventKind.INNER_COMPLETED in kinds

    run(main, engine)


def test_nothing_is_kept_of_a_step_that_has_ended(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def handler(_: Any) -> Any:
        return await agent_context().step("one", effects.act, "one")

    async def main() -> None:
        run_id = await engine.start_workflow(one_step(Agent("forgets", handler=handler)))
        await engine.wait(run_id)
        live = await engine._control.find(run_id)
        found = live.run.steps[0]
        assert found is not None
        assert found.inner is None

    run(main, engine)


# -- resuming ------------------------------------------------------------------------------------------


def test_resume_keeps_them_and_retry_from_forgets_them(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    async def handler(_: Any) -> Any:
        await agent_context().step("one", effects.act, "one")
        effects.fail_until(2)
        return await agent_context().step("two", effects.act, "two")

    async def main() -> None:
        flow = one_step(Agent("resumes", handler=handler), retry=None)
        engine.register_workflow("flow", flow)
        with pytest.raises(WorkflowFailed):
            await engine.execute("flow", workflow_id="r")
        assert (await engine.get_workflow_status("r")).steps["work"].inner == ("one",)
        await engine.resume_workflow("r")
        await engine.wait("r")
        assert effects.log == ["one", "two"]
        await engine.retry_from("r", "work")
        await engine.wait("r")
        assert effects.log == ["one", "two", "one", "two"]

    run(main, engine)


def test_another_engine_goes_on_with_what_the_first_has_recorded(
    effects: Effects, tmp_path: Path
) -> None:
    config = EngineConfig(state_store=f"sqlite:///{tmp_path}/two.sqlite", persist_state=True)
    flow = one_step("worker", retry=None)

    def engine_with(handler: Any) -> OrchestrationEngine:
        engine = OrchestrationEngine(config)
        engine.register_agent("worker", Agent("worker", handler=handler))
        engine.register_workflow("flow", flow)
        return engine

    async def first() -> None:
        recorded = asyncio.Event()

        async def hangs(_: Any) -> Any:
            await agent_context().step("one", effects.act, "one")
            recorded.set()
            await asyncio.sleep(60)

        async with ActorSystem("one"), engine_with(hangs) as engine:
            await engine.start_workflow("flow", workflow_id="r")
            await recorded.wait()

    async def second() -> None:
        async def goes_on(_: Any) -> Any:
            one = await agent_context().step("one", effects.act, "one again")
            return [one, await agent_context().step("two", effects.act, "two")]

        async with ActorSystem("two"), engine_with(goes_on) as engine:
            await engine.recover()
            assert (await engine.wait("r", timeout=120))["work"] == ["one", "two"]

    asyncio.run(first())
    asyncio.run(second())
    assert effects.log == ["one", "two"]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_a_coordinator_that_dies_leaves_what_it_has_recorded(
    effects: Effects, tmp_path: Path, plain: bool
) -> None:
    engine = OrchestrationEngine(
        EngineConfig(persist_state=True, state_store=f"sqlite:///{tmp_path}/dies.sqlite")
    )
    lives: list[int] = []
    refused: list[str] = []

    def kill() -> None:
        live = engine._cores.here().roster.get("r")
        assert live is not None
        assert live.ref is not None
        live.ref.kill()

    async def handler(_: Any) -> Any:
        lives.append(1)
        context = agent_context()
        one = await context.step("one", effects.act, "one")
        if len(lives) == 1:
            kill()
            try:
                await context.step("late", effects.act, "late")
            except InnerStepRefused:
                refused.append("late")
                raise
        return [one, await context.step("two", effects.act, "two")]

    def plain_handler(_: Any) -> Any:
        lives.append(1)
        context = agent_context()
        one = context.step_sync("one", effects.act_now, "one")
        if len(lives) == 1:
            kill()
            try:
                context.step_sync("late", effects.act_now, "late")
            except InnerStepRefused:
                refused.append("late")
                raise
        return [one, context.step_sync("two", effects.act_now, "two")]

    async def main() -> None:
        agent = Agent("works", handler=plain_handler if plain else handler, concurrency=2)
        result = await engine.execute(one_step(agent, retry=None), workflow_id="r")
        assert result["work"] == ["one", "two"]

    run(main, engine)
    assert [name for name in effects.log if name != "late"] == ["one", "two"]
    assert refused in ([], ["late"])


# -- at the edges --------------------------------------------------------------------------------------


def test_outside_of_a_run_it_is_a_plain_call(effects: Effects) -> None:
    async def handler(payload: Any) -> Any:
        context = agent_context()
        value = object()
        assert await context.step("own", asyncio.sleep, 0, value) is value
        return [context == payload, await context.step("one", lambda: "plain")]

    async def main() -> None:
        async with ActorSystem("test"):
            agent = Agent("alone", handler=handler)
            assert await agent.ask({"tenant": "a"}, context={"tenant": "a"}) == [True, "plain"]
            assert await agent.ask({}) == [True, "plain"]
            assert await agent_context().step("here", asyncio.sleep, 0, 3) == 3

    asyncio.run(main())
    assert agent_context().step_sync("here", lambda: 4) == 4
    assert agent_context() == {}


@pytest.mark.parametrize("name", ["", " ", "a/b", "a#2", 3])
def test_a_name_that_cannot_be_one_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="the name of an inner step"):
        agent_context().step(name, len, "x")


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        agent_context().step("x", "not a function")  # type: ignore[arg-type]


def test_the_blocking_form_is_refused_on_a_loop(engine: OrchestrationEngine) -> None:
    async def handler(_: Any) -> Any:
        with pytest.raises(WouldBlock, match=r"await context\.step"):
            agent_context().step_sync("one", len, "x")

    async def main() -> None:
        await engine.execute(one_step(Agent("loop", handler=handler)))

    run(main, engine)


def test_what_goes_on_after_its_attempt_is_refused(engine: OrchestrationEngine) -> None:
    left: list[asyncio.Task[Any]] = []
    called: list[str] = []

    async def late(context: Any, returned: asyncio.Event) -> None:
        await returned.wait()
        await context.step("late", called.append, "late")

    async def main() -> None:
        returned = asyncio.Event()

        async def handler(_: Any) -> Any:
            left.append(asyncio.ensure_future(late(agent_context(), returned)))

        await engine.execute(one_step(Agent("leaves", handler=handler)))
        returned.set()
        with pytest.raises(InnerStepRefused, match="'late'"):
            await left[0]

    run(main, engine)
    assert called == []


def test_what_is_told_to_an_agent_is_not_part_of_the_step(
    effects: Effects, engine: OrchestrationEngine
) -> None:
    heard = asyncio.Event()

    async def listener(_: Any) -> None:
        await agent_context().step("note", effects.act, "heard")
        heard.set()

    async def main() -> None:
        ear = Agent("ear", handler=listener)

        async def handler(_: Any) -> Any:
            ear.tell("news")

        await engine.execute(one_step(Agent("mouth", handler=handler)))
        await asyncio.wait_for(heard.wait(), 120)

    run(main, engine)
    assert effects.log == ["heard"]


def test_a_cancelled_run_stops_its_inner_step(engine: OrchestrationEngine) -> None:
    begun = asyncio.Event()
    stopped: list[str] = []

    async def long() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append("long")
            raise

    async def handler(_: Any) -> Any:
        await agent_context().step("long", long)

    async def main() -> None:
        run_id = await engine.start_workflow(one_step(Agent("long", handler=handler)))
        await begun.wait()
        report = await engine.cancel_workflow(run_id)
        assert report.state is WorkflowState.CANCELLED

    run(main, engine)
    assert stopped == ["long"]
