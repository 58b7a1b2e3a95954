"""Queues of runs: an engine puts them in, and any engine that serves the queue takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import (
    EngineConfig,
    InputMismatch,
    OrchestrationEngine,
    Queue,
    RateLimit,
    UnknownName,
    WorkflowCancelled,
    WorkflowExists,
    WorkflowState,
    WorkflowStatus,
    workflow,
)
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore

JOB = {"name": "job", "steps": [{"id": "work", "agent": "queue_hand"}]}


class House:
    """Engines on one store, and what their one agent does."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.go = asyncio.Event()
        self.begun: list[Any] = []
        self.now = self.most = 0
        self._stack = stack

    def made(
        self, *queues: Queue | str, agents: bool = True, name: str = "engine", **config: Any
    ) -> OrchestrationEngine:
        config = {"poll_seconds": 0.05, "lease_seconds": 600, **config}
        e = OrchestrationEngine(
            EngineConfig(state_store=self.url, queues=list(queues), **config), name=name
        )
        if agents:
            e.register_agent("queue_hand", self._work)
        return e

    async def engine(self, *queues: Queue | str, **config: Any) -> OrchestrationEngine:
        return await self.enter(self.made(*queues, **config))

    async def enter(self, engine: OrchestrationEngine) -> OrchestrationEngine:
        return await self._stack.enter_async_context(engine)

    async def _work(self, payload: Any) -> Any:
        self.begun.append(payload)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return payload

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(120):
            while len(self.begun) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def house(url: str) -> AsyncGenerator[House, None]:
    async with ActorSystem("test"), AsyncExitStack() as stack:
        yield House(url, stack)


Play = Callable[[House], Any]


@pytest.fixture
def play(url: str) -> Callable[[Play], None]:
    """Run a test with engines on one store."""

    def run(test: Play) -> None:
        async def main() -> None:
            async with asyncio.timeout(300), house(url) as made:
                await test(made)

        asyncio.run(main())

    return run


async def state_of(e: OrchestrationEngine, run_id: str) -> WorkflowState:
    return (await e.get_workflow_status(run_id)).state


async def until(e: OrchestrationEngine, run_id: str, state: str) -> WorkflowStatus:
    deadline = asyncio.get_running_loop().time() + 120
    while (status := await e.get_workflow_status(run_id)).state != state:
        assert asyncio.get_running_loop().time() < deadline, f"never {state}: {status}"
        await asyncio.sleep(0.02)
    return status


def test_a_run_waits_in_its_queue_until_an_engine_serves_it(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        web = await h.engine(agents=False, name="web")
        first = await web.start_workflow(JOB, 1, queue="gpu")
        run_id = await web.start_workflow(JOB, 2, queue="gpu", key="c-7", priority=-5)
        status = await web.get_workflow_status(run_id)
        assert status.state is WorkflowState.PENDING
        assert (status.queue, status.queue_key, status.priority) == ("gpu", "c-7", -5)
        assert (status.queue_place, status.owner, status.started_at) == (1, None, None)
        assert (await web.get_workflow_status(first)).queue_place == 0
        (queue,) = await web.list_queues()
        assert (queue.name, queue.waiting, queue.taken, queue.engines) == ("gpu", 2, 0, ())
        listed = await web.list_workflows(queue="gpu", state="pending")
        assert {each.workflow_id for each in listed} == {first, run_id}
        assert listed[0].queue == "gpu"
        await h.engine("gpu", name="gpu")
        await h.until_begun(2)
        (queue,) = await web.list_queues()
        assert (queue.waiting, queue.taken) == (0, 2)
        assert queue.engines[0].startswith("gpu@")
        h.go.set()
        assert await web.wait(run_id) == {"work": 2}
        status = await web.get_workflow_status(run_id)
        assert (status.queue, status.queue_key, status.queue_place) == ("gpu", "c-7", None)

    play(main)


def test_a_run_tells_why_it_waits(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        web = await h.engine(agents=False, name="web")
        ids = [await web.start_workflow(JOB, n, queue="gpu") for n in range(3)]
        status = await web.get_workflow_status(ids[2])
        assert status.queue_reason == "no living engine serves the queue 'gpu'"
        await h.engine(Queue("gpu", concurrency=1), name="gpu")
        await h.until_begun(1)
        async with asyncio.timeout(120):
            while "comes before it" not in str(status.queue_reason):
                await asyncio.sleep(0.05)
                status = await web.get_workflow_status(ids[2])
        assert status.queue_reason == "1 run comes before it, and 1 of the queue is under way"
        first = await web.get_workflow_status(ids[0])
        assert first.queue_reason is None
        h.go.set()
        await web.wait(ids[2])

    play(main)


def test_a_run_whose_key_is_full_says_so(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        gpu = await h.engine(Queue("gpu", key_concurrency=1), name="gpu")
        web = await h.engine(agents=False, name="web")
        for number, key in enumerate(("ada", "ada", "bob"), 1):
            await web.start_workflow(JOB, number, queue="gpu", key=key, workflow_id=f"r-{number}")
        await h.until_begun(2)
        said = await reason(gpu, "r-2", "its key")
        assert said == "its key 'ada' is full: 1 of 1 is under way"
        # Limits belong to the engines that serve a queue: another one tells what the store does.
        said = await reason(web, "r-2", "2 of the queue are")
        assert (
            said == "it is the next, and 2 of the queue are under way, 1 of them of its key 'ada'"
        )
        h.go.set()
        await web.wait("r-2")

    play(main)


def test_a_run_says_that_the_rate_of_its_queue_is_used_up(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        mail = await h.engine(Queue("mail", rate=RateLimit(2, per_s=3_600)), name="mail")
        h.go.set()
        ids = [await mail.start_workflow(JOB, n, queue="mail") for n in range(4)]
        await mail.wait(ids[0])
        await mail.wait(ids[1])
        assert await reason(mail, ids[3], "rate") == (
            "1 run comes before it, and the rate of the queue is used up: 2 began in the last 3600 s, "
            "and no more may"
        )

    play(main)


async def reason(e: OrchestrationEngine, run_id: str, part: str) -> str:
    """Return why a run waits, once *part* stands in it: what is counted may be a second old."""
    async with asyncio.timeout(120):
        while part not in (said := str((await e.get_workflow_status(run_id)).queue_reason)):
            await asyncio.sleep(0.05)
    return said


def test_runs_are_looked_for_by_the_name_of_a_queue() -> None:
    async def main() -> None:
        async with ActorSystem("test"):
            e = OrchestrationEngine(EngineConfig(state_store="memory://"))
            with pytest.raises(TypeError, match="queue='gpu'"):
                await e.list_workflows(queue=Queue("gpu"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    asyncio.run(main())


def test_engines_take_by_priority_and_age_and_never_more_than_the_queue_allows(
    play: Callable[[Play], None],
) -> None:
    async def main(h: House) -> None:
        web = await h.engine(agents=False, name="web")
        ids = [await web.start_workflow(JOB, n, queue="gpu", priority=n % 2) for n in range(8)]
        await h.engine(Queue("gpu", concurrency=1), name="one")
        await h.engine(Queue("gpu", concurrency=1), name="two")
        await h.until_begun(1)
        await asyncio.sleep(0.3)
        assert h.begun == [1]
        h.go.set()
        await asyncio.gather(*(web.wait(run_id) for run_id in ids))
        assert h.begun == [1, 3, 5, 7, 0, 2, 4, 6]
        assert h.most == 1

    play(main)


def test_one_engine_takes_no_more_than_its_own_limit_and_its_room(
    play: Callable[[Play], None],
) -> None:
    async def main(h: House) -> None:
        e = await h.engine(
            Queue("gpu", worker_concurrency=2), "mail", max_concurrent_workflows=3,
            max_queued_workflows=0,
        )  # fmt: skip
        ids = [await e.start_workflow(JOB, n, queue="gpu") for n in range(5)]
        await h.until_begun(2)
        ids += [await e.start_workflow(JOB, n, queue="mail") for n in range(5, 9)]
        await h.until_begun(3)
        await asyncio.sleep(0.3)
        assert sorted(h.begun) == [0, 1, 5]
        h.go.set()
        results = await asyncio.gather(*(e.wait(run_id) for run_id in ids))
        assert [result["work"] for result in results] == [*range(9)]
        assert h.most <= 3

    play(main)


def test_runs_of_one_key_do_not_keep_those_of_others_waiting(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        e = await h.engine(Queue("gpu", key_concurrency=1))
        for n in range(4):
            await e.start_workflow(JOB, f"flood {n}", queue="gpu", key="flood")
        await e.start_workflow(JOB, "other", queue="gpu", key="other")
        await e.start_workflow(JOB, "without", queue="gpu")
        await h.until_begun(3)
        await asyncio.sleep(0.2)
        assert sorted(h.begun) == ["flood 0", "other", "without"]
        h.go.set()

    play(main)


def test_no_more_runs_begin_within_a_time_than_the_rate_says(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        h.go.set()
        e = await h.engine(Queue("gpu", rate=RateLimit(2, per_s=1000)))
        ids = [await e.start_workflow(JOB, n, queue="gpu") for n in range(4)]
        await asyncio.gather(*(e.wait(run_id) for run_id in ids[:2]))
        await asyncio.sleep(0.3)
        assert [str(await state_of(e, run_id)) for run_id in ids[2:]] == ["pending"] * 2

    play(main)


def test_a_queued_run_can_be_cancelled_by_an_engine_that_does_not_serve_its_queue(
    play: Callable[[Play], None],
) -> None:
    async def main(h: House) -> None:
        web = await h.engine(agents=False, name="web")
        one, two, three = [await web.start_workflow(JOB, n, queue="gpu") for n in range(3)]
        report = await web.cancel_workflow(one, "not needed")
        assert report.state is WorkflowState.CANCELLED
        bulk = await web.cancel_workflows(queue="gpu", created_before=2e9)
        assert bulk.done == 2
        for run_id in (one, two, three):
            with pytest.raises(WorkflowCancelled):
                await web.wait(run_id)
        await h.engine("gpu")
        await asyncio.sleep(0.2)
        assert h.begun == []
        assert (await web.list_queues())[0].waiting == 0

    play(main)


def test_a_drained_engine_takes_no_more_and_gives_back_what_it_has(
    play: Callable[[Play], None],
) -> None:
    async def main(h: House) -> None:
        queue = Queue("gpu", concurrency=1)
        leaving = await h.engine(queue, name="leaving")
        ids = [await leaving.start_workflow(JOB, n, queue="gpu") for n in range(3)]
        await h.until_begun(1)
        report = await leaving.drain(0.1)
        assert report.parked == (ids[0],)
        await asyncio.sleep(0.2)
        assert h.begun == [0]
        h.go.set()
        staying = await h.engine(queue, name="staying")
        results = await asyncio.gather(*(staying.wait(run_id) for run_id in ids))
        assert [result["work"] for result in results] == [0, 1, 2]
        assert h.most == 1

    play(main)


def test_what_was_taken_as_a_drain_began_goes_back_to_its_place(
    play: Callable[[Play], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = asyncio.Event()
    real = GroupedStore.take
    made: list[OrchestrationEngine] = []

    async def late(*given: Any) -> Any:
        leases = await real(*given)
        if leases:
            taken.set()
            while not made[0]._setup.draining:
                await asyncio.sleep(0)
        return leases

    monkeypatch.setattr(GroupedStore, "take", late)

    async def main(h: House) -> None:
        web = await h.engine(agents=False, name="web")
        ids = [await web.start_workflow(JOB, n, queue="gpu") for n in range(3)]
        leaving = h.made("gpu", name="leaving", max_concurrent_workflows=1)
        made.append(leaving)
        await h.enter(leaving)
        await taken.wait()
        await leaving.drain(0.1)
        async with asyncio.timeout(120):
            while [(q.waiting, q.taken) for q in await web.list_queues()] != [(3, 0)]:
                await asyncio.sleep(0.02)
        places = [(await web.get_workflow_status(run_id)).queue_place for run_id in ids]
        assert places == [0, 1, 2]

    play(main)


def test_recovery_and_an_engine_without_the_queue_leave_its_runs_alone(
    play: Callable[[Play], None],
) -> None:
    async def main(h: House) -> None:
        server = await h.engine(Queue("gpu", concurrency=1), name="server")
        ids = [await server.start_workflow(JOB, n, queue="gpu") for n in range(2)]
        await h.until_begun(1)
        await server.stop()
        other = await h.engine("mail", name="other", recover_every_seconds=0.05)
        assert len(await other.recover()) == 0
        await asyncio.sleep(0.3)
        assert h.begun == [0]
        assert [str(await state_of(other, run_id)) for run_id in ids] == ["running", "pending"]
        (gpu, _) = await other.list_queues()
        assert (gpu.waiting, gpu.taken, gpu.engines) == (1, 1, ())
        h.go.set()
        third = await h.engine(Queue("gpu", concurrency=1), name="third")
        await asyncio.gather(*(third.wait(run_id) for run_id in ids))
        assert h.begun == [0, 0, 1]

    play(main)


def test_a_run_that_waits_for_a_signal_holds_its_place(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        h.go.set()
        e = await h.engine(Queue("gpu", concurrency=1))
        asking = {
            "name": "asking",
            "steps": [{"id": "ok", "wait_for": "go"}, {"id": "work", "agent": "queue_hand"}],
        }
        first = await e.start_workflow(asking, 1, queue="gpu")
        second = await e.start_workflow(JOB, 2, queue="gpu")
        await until(e, first, "waiting")
        await asyncio.sleep(0.2)
        assert await state_of(e, second) is WorkflowState.PENDING
        await e.signal_workflow(first, "go", True)
        await e.wait(second)

    play(main)


def test_a_run_whose_engine_lacks_an_agent_goes_on_with_one_that_has_it(
    play: Callable[[Play], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenticaiframework.patterns.engine.host.queue_server.BLOCKED_S", 0.1)

    async def main(h: House) -> None:
        h.go.set()
        poor = await h.engine(Queue("gpu", concurrency=1), agents=False, name="poor")
        web = await h.engine(agents=False, name="web")
        run_id = await web.start_workflow(JOB, 1, queue="gpu")
        status = await until(poor, run_id, "blocked")
        assert "queue_hand" in (status.last_error or "")
        rich = await h.engine(Queue("gpu", concurrency=1), name="rich")
        assert await rich.wait(run_id) == {"work": 1}

    play(main)


def test_functions_that_stand_in_a_definition_are_called_by_the_engine_that_was_given_them(
    play: Callable[[Play], None],
) -> None:
    async def double(n: int) -> int:
        return 2 * n

    async def main(h: House) -> None:
        e = await h.engine("gpu")
        given = {"name": "given", "steps": [{"id": "double", "agent": double}]}
        run_id = await e.start_workflow(given, 21, queue="gpu")
        assert await e.wait(run_id) == {"double": 42}

    play(main)


def test_code_runs_in_a_queue_as_well(play: Callable[[Play], None]) -> None:
    @workflow()
    async def job(run: Any, data: int) -> int:
        return int(await run.ask("queue_hand", data)) + 1

    async def main(h: House) -> None:
        h.go.set()
        e = await h.engine("gpu")
        run_id = await e.start_workflow(job, 41, queue="gpu", usage_limits={"request_limit": 3})
        assert await e.wait(run_id) == 42
        fork = await e.fork(run_id, at="queue_hand", new_id="again")
        assert await e.wait(fork) == 42
        assert (await e.get_workflow_status(fork)).queue == "gpu"

    play(main)


def test_the_stream_of_a_queued_run_begins_with_its_place(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        h.go.set()
        e = await h.engine("gpu")
        run_id = await e.start_workflow(JOB, 1, queue="gpu", key="k", priority=2)
        events = [event async for event in e.stream(run_id)]
        assert [event.kind for event in events][:2] == ["workflow_queued", "workflow_started"]
        assert events[0].data == {"queue": "gpu", "key": "k", "priority": 2}

    play(main)


def test_an_id_in_a_queue_is_taken_once(play: Callable[[Play], None]) -> None:
    async def main(h: House) -> None:
        web = await h.engine(agents=False)
        await web.start_workflow(JOB, 1, queue="gpu", workflow_id="order-7")
        with pytest.raises(WorkflowExists):
            await web.start_workflow(JOB, 1, queue="gpu", workflow_id="order-7")

    play(main)


def test_a_queue_that_is_not_served_is_told_with_the_near_name_and_by_the_health_check(
    play: Callable[[Play], None], logged: list[str]
) -> None:
    async def main(h: House) -> None:
        e = await h.engine("gpu")
        await e.start_workflow(JOB, 1, queue="gppu")
        await e.start_workflow(JOB, 1, queue="gppu")
        told = [line for line in logged if "gppu" in line]
        assert len(told) == 1
        assert "Did you mean 'gpu'?" in told[0]
        report = await ActorSystem.current().health()
        assert "'gppu' (2)" in str(report)

    play(main)


def test_what_an_engine_that_serves_the_queue_can_see_is_wrong_is_refused_at_once(
    play: Callable[[Play], None],
) -> None:
    async def main(h: House) -> None:
        e = await h.engine("gpu")
        with pytest.raises(UnknownName):
            await e.start_workflow(
                {"name": "x", "steps": [{"id": "a", "agent": "nobody"}]}, 1, queue="gpu"
            )
        reads = {"name": "x", "steps": [{"id": "a", "agent": "queue_hand", "input": "$input.text"}]}
        with pytest.raises(InputMismatch):
            await e.start_workflow(reads, {}, queue="elsewhere")
        for wrong, said in [
            ({"key": "k"}, "queue='gpu'"),
            ({"priority": 3}, "queue='gpu'"),
            ({"queue": ""}, "non-empty text"),
            ({"queue": Queue("gpu")}, "queue='gpu'"),
            ({"queue": "gpu", "priority": 1.5}, "whole number"),
            ({"queue": "gpu", "priority": True}, "whole number"),
            ({"queue": "gpu", "key": 7}, "non-empty text"),
            ({"queue": "gpu", "persist_state": False}, "persist_state"),
        ]:
            options: Any = wrong
            with pytest.raises(ValueError, match=said):
                await e.start_workflow(JOB, 1, **options)

    play(main)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Queue(""), "non-empty text"),
        (lambda: Queue("gpu", concurrency=0), "from 1 on, or None"),
        (lambda: Queue("gpu", worker_concurrency=True), "from 1 on, or None"),
        (lambda: Queue("gpu", rate=5), r"RateLimit\(100, per_s=60\)"),  # type: ignore[arg-type]
        (lambda: RateLimit(0, per_s=1), "from 1 on"),
        (lambda: RateLimit(1, per_s=0), "above 0"),
        (lambda: EngineConfig(queues=["gpu", "gpu"]), "given twice"),
        (lambda: EngineConfig(queues=[7]), "queues"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_where_it_is_made(
    make: Callable[[], Any], said: str
) -> None:
    with pytest.raises((ValueError, DefinitionError), match=said):
        make()


def test_names_alone_and_mappings_stand_for_queues() -> None:
    config = EngineConfig(queues=["mail", {"name": "gpu", "concurrency": 2}])  # type: ignore[list-item]
    assert config.queues == (Queue("mail"), Queue("gpu", concurrency=2))
