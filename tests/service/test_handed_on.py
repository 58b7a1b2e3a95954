"""What comes with `context=`: it is handed on to nested asks, stored with a run, and goes to a child."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, agent_context
from agenticaiframework.patterns import (
    AgentRole,
    AgentTeam,
    ParallelOrchestration,
    SequentialOrchestration,
    send_chunk,
    shared_notes,
)
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import ValueNotStorable

from .conftest import NOBODY, user


async def here(payload: Any) -> dict[str, Any]:
    return dict(agent_context())


def in_child(payload: Any) -> tuple[dict[str, Any], str, int]:
    return dict(agent_context()), user.get(), os.getpid()


def run(main: Callable[[], Any]) -> Any:
    async def inside() -> Any:
        async with asyncio.timeout(300), ActorSystem("test"):
            return await main()

    return asyncio.run(inside())


# -- nested asks -----------------------------------------------------------------------------------


def test_a_nested_ask_hands_on_what_its_handler_found() -> None:
    inner = Agent("inner", handler=here)

    async def hand_on(payload: Any) -> Any:
        assert agent_context() == {"tenant": "t", "trace": 1}
        return await inner.ask("x"), await inner.ask("x", context={"trace": 2, "more": 3})

    async def main() -> None:
        plain, merged = await Agent("outer", handler=hand_on).ask(
            "x", context={"tenant": "t", "trace": 1}
        )
        assert plain == {"tenant": "t", "trace": 1}
        assert merged == {"tenant": "t", "trace": 2, "more": 3}
        assert await inner.ask("x") == {}
        assert dict(agent_context()) == {}

    run(main)


def test_each_nested_ask_has_an_idempotency_key_of_its_own_the_same_when_repeated() -> None:
    inner, other = Agent("inner", handler=here), Agent("other", handler=here)

    async def hand_on(payload: Any) -> Any:
        found = [await inner.ask("x"), await other.ask("x"), await inner.ask("x")]
        found += await asyncio.gather(inner.ask("x"), asyncio.create_task(inner.ask("x")))
        found.append(await inner.ask("x", context={"idempotency_key": "mine"}))
        return [each["idempotency_key"] for each in found]

    async def main() -> None:
        outer = Agent("outer", handler=hand_on)
        first = await outer.ask("x", context={"idempotency_key": "k"})
        first[3:5] = sorted(first[3:5])  # tasks of gather begin after those that there are already
        assert first == [
            *("k/inner", "k/other", "k/inner#2", "k/inner#3", "k/inner#4", "mine"),
        ]
        again = await outer.ask("x", context={"idempotency_key": "k"})
        assert sorted(again) == sorted(first)

    run(main)


def test_a_nested_agent_of_a_thread_counts_its_asks_as_well() -> None:
    inner = Agent("inner", handler=here)

    def hand_on(payload: Any) -> Any:
        async def ask() -> Any:
            return (await inner.ask("x"))["idempotency_key"]

        return [asyncio.run(ask()) for _ in range(2)]

    async def main() -> None:
        keys = await Agent("outer", handler=hand_on).ask("x", context={"idempotency_key": "k"})
        assert keys == ["k/inner", "k/inner#2"]

    run(main)


def test_patterns_in_a_handler_have_keys_of_their_own_the_same_for_all_attempts() -> None:
    tries: list[str] = []

    async def fail_once(payload: Any) -> Any:
        tries.append(agent_context()["idempotency_key"])
        if len(tries) == 1:
            raise ConnectionError("once")
        return dict(agent_context())

    pattern = ParallelOrchestration(
        name="p",
        branches=[
            {"agent": here, "name": "a"},
            {"agent": fail_once, "name": "b", "retry": 2},
        ],
    )

    async def hand_on(payload: Any) -> Any:
        return [await pattern.execute("x"), await pattern.execute("x")]

    async def main() -> None:
        outer = Agent("outer", handler=hand_on)
        once, again = await outer.ask("x", context={"idempotency_key": "k", "tenant": "t"})
        assert once["a"] == {"idempotency_key": "k/p/p/a", "tenant": "t"}
        assert once["b"] == {"idempotency_key": "k/p/p/b", "tenant": "t"}
        assert again["a"]["idempotency_key"] == "k/p#2/p/a"
        assert tries == ["k/p/p/b", "k/p/p/b", "k/p#2/p/b"]

    run(main)


def test_what_is_the_runtimes_is_not_handed_on() -> None:
    async def chat(payload: Any) -> bool:
        return send_chunk("of another's answer")

    async def notes(payload: Any) -> bool:
        shared_notes()
        return True

    async def main() -> None:
        chatting = Agent("chatting", handler=chat)

        async def hand_on(payload: Any) -> Any:
            assert send_chunk("mine")
            return await chatting.ask("x")

        stream = SequentialOrchestration(name="p", steps=[hand_on]).stream("x")
        chunks = [event.data async for event in stream if hasattr(event, "data")]
        assert (chunks, stream.result()) == (["mine"], False)

        noting = Agent("noting", handler=notes)

        async def member(payload: Any) -> Any:
            shared_notes()
            with pytest.raises(Exception, match="no shared notes"):
                await noting.ask("x")
            return "done"

        team = AgentTeam("team", roles=[AgentRole(name="role")])
        team.assign_agent(Agent("member", handler=member), "role")
        assert (await team.execute_task("x")).final == "done"

    run(main)


def test_a_child_process_gets_what_pickles_of_the_context_and_no_variables() -> None:
    async def main() -> None:
        child = Agent("child", handler=in_child, dispatcher="process")

        async def hand_on(payload: Any) -> Any:
            return await child.ask("x")

        user.set("alice")
        given = {"tenant": "t", "lock": threading.Lock()}
        context, seen, pid = await Agent("outer", handler=hand_on).ask("x", context=given)
        assert context == {"tenant": "t"}
        assert (seen, pid != os.getpid()) == (NOBODY, True)

    run(main)


# -- workflows -------------------------------------------------------------------------------------


def flow(*steps: Any) -> dict[str, Any]:
    return {"name": "w", "steps": [{"id": f"s{n}", **step} for n, step in enumerate(steps)]}


def engine_at(folder: Path, **options: Any) -> OrchestrationEngine:
    engine = OrchestrationEngine(EngineConfig(store_url=f"sqlite:///{folder}/runs.db", **options))
    engine.register_agent("here", Agent("here", handler=here))
    engine.register_agent("see", Agent("see", handler=see))
    return engine


async def see(payload: Any) -> str:
    return user.get()


def test_the_steps_find_the_context_of_their_run_beside_their_own() -> None:
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig())
        inner = {"name": "inner", "steps": [{"id": "a", "agent": here}]}
        work = flow({"agent": here}, {"workflow": inner})
        result = await engine.execute(work, "x", context={"tenant": "t", "step": "not this"})
        assert result["s0"]["tenant"] == result["s1"]["a"]["tenant"] == "t"
        assert (result["s0"]["step"], result["s1"]["a"]["step"]) == ("s0", "a")
        assert result["s1"]["a"]["workflow"] == "inner"
        await engine.stop()

    run(main)


def test_a_workflow_in_a_handler_inherits_the_context_and_keys_that_a_repeated_attempt_has_again() -> (
    None
):
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig())

        async def start(payload: Any) -> Any:
            return (await engine.execute(flow({"agent": here}), "x"))["s0"]

        agent = Agent("outer", handler=start)
        given = {"idempotency_key": "k", "tenant": "t"}
        first, again = await agent.ask("x", context=given), await agent.ask("x", context=given)
        assert first["tenant"] == "t"
        assert first["idempotency_key"] == again["idempotency_key"] == "k/w:s0"
        assert first["workflow_id"] != again["workflow_id"]
        await engine.stop()

    run(main)


def test_after_a_recovery_there_is_the_stored_context_and_no_variable(tmp_path: Path) -> None:
    work = flow({"agent": "see"}, {"wait_for": "go"}, {"agent": "here"}, {"agent": "see"})

    async def first() -> None:
        user.set("alice")
        engine = engine_at(tmp_path)
        given = {"tenant": "t", "roles": ("a", "b")}
        await engine.start_workflow(work, "x", persist_state=True, workflow_id="run", context=given)
        while (await engine.get_workflow_status("run")).state != "waiting":
            await asyncio.sleep(0.001)
        await engine.stop()

    async def second() -> None:
        user.set("who recovers")
        engine = engine_at(tmp_path)
        await engine.recover()
        user.set("who signals")
        await engine.signal_workflow("run", "go")
        result = await engine.wait("run")
        assert result["s0"] == "alice"
        assert (result["s2"]["tenant"], result["s2"]["roles"]) == ("t", ["a", "b"])
        assert result["s3"] == NOBODY
        await engine.stop()

    run(first)
    run(second)


def test_a_stored_run_that_waits_for_its_turn_keeps_its_context(tmp_path: Path) -> None:
    async def first() -> None:
        engine = engine_at(tmp_path, max_concurrent_workflows=1)
        held = asyncio.Event()

        async def hold(payload: Any) -> None:
            held.set()
            await asyncio.sleep(1000)

        await engine.start_workflow(flow({"agent": hold}))
        await held.wait()
        await engine.start_workflow(
            flow({"agent": "here"}), persist_state=True, workflow_id="run", context={"tenant": "t"}
        )
        await engine.stop()

    async def second() -> None:
        engine = engine_at(tmp_path)
        await engine.recover()
        assert (await engine.wait("run"))["s0"]["tenant"] == "t"
        await engine.stop()

    run(first)
    run(second)


def test_a_context_that_cannot_be_stored_is_refused_before_anything_runs(tmp_path: Path) -> None:
    async def main() -> None:
        engine = engine_at(tmp_path)
        bad = {"connection": threading.Lock()}
        work = flow({"agent": "here"})
        for start in (engine.execute, engine.start_workflow):
            with pytest.raises(ValueNotStorable, match=r"context\['connection'\] of workflow 'w'"):
                await start(work, "x", persist_state=True, context=bad)
            with pytest.raises(ValueError, match="a key of context= is a text, not 1"):
                await start(work, "x", persist_state=True, context={1: "x"})
        assert not (await engine.list_workflows()).workflows
        # In memory anything may be given; and what is only inherited is left out.
        assert "connection" in (await engine.execute(work, "x", context=bad))["s0"]

        async def inside(payload: Any) -> Any:
            return await engine.execute(work, "x", persist_state=True)

        found = (await Agent("outer", handler=inside).ask("x", context={**bad, "a": 1}))["s0"]
        assert "connection" not in found
        assert found["a"] == 1
        await engine.stop()

    run(main)


def test_a_run_that_waits_keeps_no_more_of_its_caller_than_a_reference() -> None:
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig())
        run_id = await engine.start_workflow(flow({"wait_for": "go"}), "x")
        while (await engine.get_workflow_status(run_id)).state != "waiting":
            await asyncio.sleep(0)
        live = engine._cores.here().roster.get(run_id)
        assert live is not None
        assert live.ref is None
        # One object over the variables that are there anyway: the table in it is shared.
        assert list(live.variables.items()) == list(contextvars.copy_context().items())
        assert sys.getsizeof(live.variables) < 100
        await engine.stop()

    run(main)
