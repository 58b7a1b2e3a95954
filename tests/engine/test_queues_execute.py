"""Calls that put a run into a queue and wait for its end, and streams of such runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    Queue,
    WorkflowFailed,
    WorkflowState,
    WorkflowTimedOut,
)

JOB = {"name": "job", "steps": [{"id": "work", "agent": "worker"}]}


def engine(url: str, *queues: Queue | str, name: str = "engine") -> OrchestrationEngine:
    config = EngineConfig(state_store=url, queues=list(queues), poll_seconds=0.05)
    return OrchestrationEngine(config, name=name)


async def double(payload: Any) -> Any:
    if payload is None:
        raise RuntimeError("nothing was given")
    return payload * 2


async def until_waiting(e: OrchestrationEngine) -> str:
    async with asyncio.timeout(120):
        while not (page := await e.list_workflows(queue="gpu")):
            await asyncio.sleep(0.01)
    return page[0].workflow_id


def test_execute_returns_what_the_run_returned_wherever_it_was_taken(url: str) -> None:
    async def main() -> None:
        async with (
            ActorSystem("test"),
            engine(url, name="web") as web,
            engine(url, Queue("gpu", concurrency=1), name="gpu") as worker,
        ):
            worker.register_agent("worker", double)
            assert await web.execute(JOB, 4, queue="gpu", key="c-7", priority=2) == {"work": 8}
            assert await worker.execute(JOB, 5, queue="gpu", timeout=120) == {"work": 10}
            with pytest.raises(WorkflowFailed, match="nothing was given"):
                await web.execute(JOB, None, queue="gpu")
            first = (await web.list_workflows(queue="gpu"))[-1]
            assert (first.queue, first.queue_key, first.priority) == ("gpu", "c-7", 2)
            assert first.owner is None or first.owner.startswith("gpu@")

    asyncio.run(main())


def test_a_run_that_is_not_taken_in_time_is_cancelled_and_none_of_its_steps_run(url: str) -> None:
    async def main() -> None:
        async with ActorSystem("test"), engine(url) as web:
            with pytest.raises(WorkflowTimedOut, match="the time in the queue included"):
                await web.execute(JOB, 4, queue="gpu", timeout=0.1, workflow_id="late")
            status = await web.get_workflow_status("late")
            assert status.state is WorkflowState.CANCELLED
            assert status.steps["work"].attempts == 0
            assert await web.list_queues() == ()

    asyncio.run(main())


def test_a_caller_that_is_cancelled_takes_its_run_out_of_the_queue(url: str) -> None:
    async def main() -> None:
        async with ActorSystem("test"), engine(url) as web:
            task = asyncio.create_task(web.execute(JOB, 4, queue="gpu"))
            run_id = await until_waiting(web)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            status = await web.get_workflow_status(run_id)
            assert status.state is WorkflowState.CANCELLED
            assert status.reason == "its caller was cancelled"

    asyncio.run(main())


def test_a_stream_begins_with_the_place_in_the_queue_and_ends_with_the_run(url: str) -> None:
    async def main() -> None:
        async with ActorSystem("test"), engine(url, "gpu") as e:
            e.register_agent("worker", double)
            stream = e.stream(workflow=JOB, input_data=3, queue="gpu", priority=1)
            kinds = [str(event.kind) async for event in stream]
            assert kinds[0] == "workflow_queued"
            assert kinds[-1] == "workflow_completed"
            assert await stream.result() == {"work": 6}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("queue", "key", "said"),
    [
        (Queue("gpu", concurrency=1), None, "'gpu' has concurrency=1"),
        (Queue("gpu", concurrency=4, key_concurrency=1), "c-7", "both have the key 'c-7'"),
        (Queue("gpu", concurrency=2, key_concurrency=1), None, ""),
    ],
)
def test_a_handler_is_refused_to_wait_for_what_could_only_begin_after_it(
    queue: Queue, key: str | None, said: str
) -> None:
    """It holds the place in the queue that the other run would need."""

    async def main() -> None:
        async with ActorSystem("test"), engine("memory://", queue) as e:

            async def asks_again(payload: int) -> Any:
                return await e.execute(JOB, payload, queue="gpu", key=key)

            async def nested(payload: int) -> Any:
                return await e.execute(outer, payload)

            outer = {"name": "outer", "steps": [{"id": "ask", "agent": "asks_again"}]}
            around = {"name": "around", "steps": [{"id": "in", "agent": "nested"}]}
            e.register_agent("worker", double)
            e.register_agent("asks_again", asks_again)
            e.register_agent("nested", nested)
            for flow in (outer, around):
                running = e.execute(flow, 3, queue="gpu", key=key, timeout=120)
                if not said:
                    assert "6" in str(await running)
                    continue
                with pytest.raises(WorkflowFailed, match=said):
                    await running
                assert all(run.state == "failed" for run in await e.list_workflows(queue="gpu"))

    asyncio.run(main())


@pytest.mark.parametrize("call", ["execute", "start_workflow", "stream"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"key": "c-7"}, r"(\w+)\(\.\.\., queue='gpu', key=\.\.\.\)"),
        ({"priority": 3}, "priority= is for a run of a queue"),
        ({"queue": "gpu", "persist_state": False}, "leave persist_state=False out"),
        ({"queue": " "}, "non-empty text"),
        ({"queue": "gpu", "priority": 1.5}, "is not a whole number"),
        ({"queue": Queue("gpu")}, "queue='gpu'"),
    ],
)
def test_each_call_refuses_the_same_places_and_names_itself(
    call: str, given: dict[str, Any], said: str
) -> None:
    async def main() -> None:
        async with ActorSystem("test"), engine("memory://") as e:

            async def make() -> None:
                made = getattr(e, call)(workflow=JOB, input_data=1, **given)
                if call != "stream":
                    await made

            with pytest.raises(ValueError, match=said) as caught:
                await make()
            if "key" in given:
                assert f"{call}(" in str(caught.value)

    asyncio.run(main())


def test_a_stream_of_a_run_that_there_is_takes_no_queue() -> None:
    with pytest.raises(ValueError, match="'wf_1' is one that there is"):
        engine("memory://").stream("wf_1", queue="gpu")
