"""What engines and models do stands in the metrics."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent, ModelRequestEnded, Usage
from agenticaiframework.metrics import measure
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    Queue,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store import StoreUnavailable, open_store

from .conftest import Gate, until, values


async def echo(payload: Any) -> Any:
    return payload


async def fail(payload: Any) -> None:
    raise ValueError(payload)


def flow(name: str, *agents: Any) -> dict[str, Any]:
    return {
        "name": name,
        "steps": [{"id": f"s{n}", "agent": agent} for n, agent in enumerate(agents)],
    }


def test_runs_and_steps_by_how_they_ended(tmp_path: Path) -> None:
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(store_url=f"sqlite:///{tmp_path}/runs.db"))
        gate = Gate()
        async with ActorSystem() as system, engine:
            measures = measure(system, engine)
            for n in range(3):
                await engine.execute(flow("good", echo, echo), n, persist_state=True)
            with pytest.raises(WorkflowFailed):
                await engine.execute(flow("bad", echo, fail), 1)
            waits = await engine.start_workflow(flow("waits", gate.handle), 1)
            await until(lambda: gate.entered)
            value = values(measures)
            assert value("workflow_ended_total", workflow="good", state="completed") == 3
            assert value("workflow_ended_total", workflow="bad", state="failed") == 1
            assert value("workflow_duration_seconds_count", workflow="good") == 3
            assert value("workflow_runs", workflow="waits", state="running") == 1
            assert value("workflow_running", engine="engine") == 1
            step = "workflow_step_duration_seconds_count"
            assert value(step, workflow="good", step="s1", outcome="ok") == 3
            assert value(step, workflow="bad", step="s1", outcome="error") == 1
            assert (value("journal_records_total") or 0) >= 9
            assert (value("journal_duration_seconds_count", outcome="ok") or 0) >= 3
            assert (
                (value("journal_appends_total") or 0) >= (value("journal_commits_total") or 0) > 0
            )
            assert value("store_outage_seconds") == 0
            await engine.cancel_workflow(waits, "enough")
            await until(lambda: values(measures)("workflow_ended_total", workflow="waits"))
            value = values(measures)
            assert value("workflow_ended_total", workflow="waits", state="cancelled") == 1
            assert value("workflow_runs", workflow="waits") is None
            assert value(step, workflow="waits", outcome="cancelled") == 1

    asyncio.run(main())


def test_the_queue_is_seen() -> None:
    async def main() -> None:
        gate = Gate()
        engine = OrchestrationEngine(EngineConfig(max_concurrent_workflows=2))
        async with ActorSystem() as system, engine:
            measures = measure(system, engine)
            runs = [await engine.start_workflow(flow("w", gate.handle), n) for n in range(5)]
            await until(lambda: gate.entered == 2)
            value = values(measures)
            assert value("workflow_queue") == 3
            assert value("workflow_running") == value("workflow_limit") == 2
            gate.open.set()
            for run in runs:
                await engine.wait(run)
            assert values(measures)("workflow_queue") == 0

    asyncio.run(main())


def test_the_queues_that_an_engine_serves_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenticaiframework.patterns.engine.host.queue_server.LOOK_S", 0.05)

    async def main() -> None:
        gate = Gate()
        config = EngineConfig(
            store_url=f"sqlite:///{tmp_path}/runs.db",
            queues=[Queue("gpu", concurrency=1)],
            poll_seconds=0.05,
        )
        engine = OrchestrationEngine(config)
        async with ActorSystem() as system, engine:
            measures = measure(system, engine)
            for n in range(3):
                await engine.start_workflow(flow("w", gate.handle), n, queue="gpu")
            await until(lambda: gate.entered == 1)
            await until(lambda: values(measures)("workflow_taken", queue="gpu") == 1)
            assert values(measures)("workflow_queued", queue="gpu") == 2
            await until(lambda: values(measures)("workflow_queued_oldest_seconds", queue="gpu") > 0)
            gate.open.set()

    asyncio.run(main())


def test_a_recovered_run_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        config = EngineConfig(store_url=f"sqlite:///{tmp_path}/runs.db")
        definition = {
            "name": "w",
            "steps": [{"id": "a", "wait_for": "go"}, {"id": "b", "agent": echo, "input": "x"}],
        }
        first = OrchestrationEngine(config)
        first.register_workflow("w", definition)
        async with ActorSystem(), first:
            await first.start_workflow("w", 1, persist_state=True, workflow_id="run")
        second = OrchestrationEngine(config)
        second.register_workflow("w", definition)
        async with ActorSystem() as system, second:
            measures = measure(system, second)
            await second.recover()
            assert values(measures)("workflow_recovered_total", workflow="w") == 1
            await second.signal_workflow("run", "go")
            await second.wait("run")
            assert values(measures)("workflow_ended_total", state="completed") == 1

    asyncio.run(main())


class Flaky:
    """A store that refuses what it is given while it is down."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.down = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def submit(self, lease: Any, records: Any, done: Any, *more: Any) -> None:
        """Refuse it, or hand it on."""
        if self.down:
            error = StoreUnavailable("flaky", "committing", "it is down")
            asyncio.get_running_loop().call_soon(done, error)
        else:
            self._store.submit(lease, records, done, *more)

    async def flush(self) -> None:
        """Refuse it, or hand it on."""
        if self.down:
            raise StoreUnavailable("flaky", "committing", "it is down")
        await self._store.flush()


def test_an_outage_is_counted_and_has_an_age() -> None:
    async def main() -> None:
        store = Flaky(open_store("memory://"))
        gate = Gate()
        engine = OrchestrationEngine(EngineConfig(state_store=store))
        async with ActorSystem() as system, engine:
            measures = measure(system, engine)
            run = await engine.start_workflow(flow("w", gate.handle), 1, persist_state=True)
            await until(lambda: gate.entered)
            store.down = True
            gate.open.set()
            await until(lambda: values(measures)("store_outage_seconds"))
            assert values(measures)("store_outages_total", engine="engine") == 1
            assert values(measures)("workflow_runs", state="interrupted") == 1
            assert (values(measures)("journal_duration_seconds_count", outcome="error") or 0) >= 1
            store.down = False
            await engine.wait(run, 120)
            await until(lambda: values(measures)("store_outage_seconds") == 0)
            assert values(measures)("store_outages_total") == 1

    asyncio.run(main())


def test_an_engine_that_is_measured_no_more_tells_nothing() -> None:
    async def main() -> None:
        engine = OrchestrationEngine()
        async with ActorSystem() as system, engine:
            measures = measure(system)
            measures.add_engine(engine)
            measures.add_engine(engine)
            await engine.execute(flow("w", echo), 1)
            assert values(measures)("workflow_ended_total", workflow="w") == 1
            measures.stop()
            await engine.execute(flow("w", echo), 1)
            assert values(measures)("workflow_ended_total", workflow="w") == 1

    asyncio.run(main())


def test_no_label_has_the_id_of_a_run_or_a_session(tmp_path: Path) -> None:
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(store_url=f"sqlite:///{tmp_path}/runs.db"))
        async with ActorSystem() as system, engine:
            measures = measure(system, engine)
            ids = [
                await engine.start_workflow(flow("w", echo), n, persist_state=True)
                for n in range(10)
            ]
            for run in ids:
                await engine.wait(run)
            await Agent("talker", handler=echo).ask(1, session="user-secret")
            measures.refresh()
            said = json.dumps(
                [
                    [series.metric.name, *map(list, (*series.values(), *series.distributions()))]
                    for series in measures.series.all()
                ]
            )
            assert "user-secret" not in said
            assert not any(run in said for run in ids)
            assert "wf_" not in said

    asyncio.run(main())


def test_tokens_times_and_cost_of_requests_to_models() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            usage = Usage(1, input_tokens=900, output_tokens=100, cost=Decimal("0.25"))
            for _ in range(2):
                system.publish(ModelRequestEnded("analyst", "gpt", "openai", usage, 0.0, 1.5))
            failed = Usage(1, failed_requests=1)
            system.publish(
                ModelRequestEnded(
                    "analyst", "gpt", "openai", failed, 0.0, 0.5, "TimeoutError: late"
                )
            )
            unpriced = Usage(1, input_tokens=7, unpriced_requests=1)
            system.publish(ModelRequestEnded("local", "smol", "llama", unpriced, 0.0, 0.1))
            value = values(measures)
            tokens = "gen_ai_client_token_usage"
            gpt = {"gen_ai_request_model": "gpt", "gen_ai_agent_name": "analyst"}
            assert value(f"{tokens}_sum", gen_ai_token_type="input", **gpt) == 1_800
            assert value(f"{tokens}_sum", gen_ai_token_type="output", **gpt) == 200
            assert value(f"{tokens}_count", gen_ai_token_type="input", **gpt) == 2
            seconds = "gen_ai_client_operation_duration_seconds"
            assert value(f"{seconds}_sum", gen_ai_operation_name="chat", **gpt) == 3.5
            assert value(f"{seconds}_count", error_type="TimeoutError") == 1
            assert value("model_cost_usd_total", gen_ai_provider_name="openai") == 0.5
            assert value("model_unpriced_total", gen_ai_request_model="smol") == 1

    asyncio.run(main())


def test_a_request_of_an_agent_is_measured() -> None:
    pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.test import TestModel

    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            await Agent("analyst", model=TestModel(custom_output_text="x")).ask("a question")
            value = values(measures)
            assert value("gen_ai_client_token_usage_sum", gen_ai_agent_name="analyst")
            assert value("gen_ai_client_operation_duration_seconds_count") == 1

    asyncio.run(main())


def test_what_becomes_of_starts_that_are_due_is_counted() -> None:
    async def main() -> None:
        engine = OrchestrationEngine(EngineConfig(state_store="memory://"), name="e")
        engine.register_agent("a", lambda payload: payload)
        flow = {"name": "w", "steps": [{"id": "a", "agent": "a"}]}
        async with ActorSystem() as system, engine:
            measures = measure(system, engine)
            await engine.schedule("tick", flow, every_s=1e9)
            await engine.trigger_schedule("tick")
            count = values(measures)("schedule_starts_total", schedule="tick", outcome="fired")
            assert count == 1

    asyncio.run(main())
