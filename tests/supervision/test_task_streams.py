"""`TaskSupervisor.stream` held against Elixir's Task.Supervisor.async_stream_nolink."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import pytest

from agenticaiframework import Agent
from agenticaiframework.actors import Actor, ActorSystem
from agenticaiframework.supervision import (
    BadOption,
    Error,
    Ok,
    SupervisorNotRunning,
    TaskSupervisor,
    WaitTimeout,
)

Run = Callable[..., Any]

STEP: ContextVar[int] = ContextVar("step", default=0)


async def after(delay_s: float) -> float:
    await asyncio.sleep(delay_s)
    return delay_s


async def read(stream: Any, into: list[Any]) -> None:
    """Read *stream* to its end or its error."""
    async for outcome in stream:
        into.append(outcome)  # noqa: PERF401 - what came before an error is wanted too


# -- when outcomes are given -----------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_a_result_does_not_wait_for_the_next_item(in_sim: Run, ordered: bool) -> None:
    """Elixir: a reply is delivered when it arrives."""

    async def slow_source() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await asyncio.sleep(10)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            times = [
                system.clock() async for _ in jobs.stream(after_1, slow_source(), ordered=ordered)
            ]
            assert times == pytest.approx([1, 11, 21])

    async def after_1(_item: int) -> None:
        await asyncio.sleep(1)

    in_sim(main)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["a list", "an async queue"])
def test_a_source_can_be_fed_by_the_results(in_sim: Run, kind: str, ordered: bool) -> None:
    """A crawler: each page tells of further ones. Elixir: resource streams that the loop feeds."""
    links = {"a": ["b", "c"], "b": ["d"], "c": [], "d": ["e"], "e": []}

    async def crawl(page: str) -> list[str]:
        await asyncio.sleep(1)
        return links[page]

    async def main(system: ActorSystem) -> None:
        todo = ["a"]
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queue.put_nowait("a")

        def listed() -> Iterator[str]:
            while todo:
                yield todo.pop(0)

        async def queued() -> AsyncIterator[str]:
            while (page := await queue.get()) is not None:
                yield page

        seen: list[str] = []
        async with TaskSupervisor() as jobs:
            source: Any = listed() if kind == "a list" else queued()
            open_pages = 1
            async for outcome in jobs.stream(crawl, source, max_concurrency=1, ordered=ordered):
                assert isinstance(outcome, Ok)
                seen.append(outcome.item)
                todo.extend(outcome.value)
                open_pages += len(outcome.value) - 1
                for page in outcome.value:
                    queue.put_nowait(page)
                if not open_pages:
                    queue.put_nowait(None)
        assert seen == ["a", "b", "c", "d", "e"]

    in_sim(main)


@pytest.mark.parametrize("max_concurrency", [2, 8])
def test_an_async_queue_can_be_fed_with_more_at_a_time(in_sim: Run, max_concurrency: int) -> None:
    async def main(system: ActorSystem) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        queue.put_nowait(30)

        async def numbers() -> AsyncIterator[int]:
            while True:
                yield await queue.get()

        async def halve(number: int) -> list[int]:
            await asyncio.sleep(0.1)
            return [number // 2, number // 2] if number > 1 else []

        waiting, total = 1, 0
        async with TaskSupervisor() as jobs:
            stream = jobs.stream(halve, numbers(), max_concurrency=max_concurrency, ordered=False)
            async with aclosing(stream):
                async for outcome in stream:
                    assert isinstance(outcome, Ok)
                    total += 1
                    waiting += len(outcome.value) - 1
                    for number in outcome.value:
                        queue.put_nowait(number)
                    if not waiting:
                        break
            assert total == 31
            assert await jobs.children() == []

    in_sim(main)


def test_unordered_outcomes_come_as_they_finish(in_sim: Run) -> None:
    """Elixir: ordered: false emits results as soon as they arrive."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            got = [o async for o in jobs.stream(after, [4, 1, 3, 2], ordered=False)]
            assert got == [Ok(1), Ok(2), Ok(3), Ok(4)]
            # Also those that finished while the loop was busy, in the order of their end.
            stream = jobs.stream(after, [4, 1, 3, 2], ordered=False)
            late = [await anext(stream)]
            await asyncio.sleep(10)
            late += [o async for o in stream]
            assert late == [Ok(1), Ok(2), Ok(3), Ok(4)]
            got = [o async for o in jobs.stream(after, [4, 1, 3, 2])]
            assert got == [Ok(4), Ok(1), Ok(3), Ok(2)]

    in_sim(main)


def test_a_slow_consumer_keeps_the_tasks_busy_within_the_bound(in_sim: Run) -> None:
    most = running = 0

    async def work(item: int) -> int:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
        return item

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            async for _ in jobs.stream(work, range(20), max_concurrency=4):
                await asyncio.sleep(1)
        # One second for the first, and then the consumer never waits again.
        assert system.clock() == pytest.approx(21, abs=0.5)
        assert most == 4

    in_sim(main)


def test_nothing_is_started_before_the_loop_begins(in_sim: Run) -> None:
    """Elixir: streams are lazy."""
    started: list[int] = []

    async def note(item: int) -> None:
        started.append(item)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            stream = jobs.stream(note, [1, 2])
            await asyncio.sleep(1)
            assert started == []
            assert [o.is_ok async for o in stream] == [True, True]
            assert [o async for o in jobs.stream(note, [])] == []

    in_sim(main)


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_each_outcome_says_which_item_it_is_for(in_sim: Run, ordered: bool) -> None:
    """Elixir: zip_input_on_exit: true gives {:exit, {input, reason}}."""

    async def work(item: str) -> str:
        await asyncio.sleep(len(item))
        if item == "bad":
            raise ValueError(item)
        if item == "so slow":
            await asyncio.sleep(50)
        return item.upper()

    async def main(system: ActorSystem) -> None:
        items = ["good", "bad", "so slow", "ok"]
        async with TaskSupervisor() as jobs:
            stream = jobs.stream(work, items, ordered=ordered, timeout_s=10)
            got = [outcome async for outcome in stream]
            assert sorted(outcome.item for outcome in got) == sorted(items)
            if ordered:
                assert [outcome.item for outcome in got] == items
            failed = {o.item: o for o in got if isinstance(o, Error)}
            assert sorted(failed) == ["bad", "so slow"]
            assert isinstance(failed["bad"].error, ValueError)
            assert failed["so slow"] == Error("timeout")
            assert "longer than 10 s" in str(failed["so slow"].detail)
            assert all(o.value == o.item.upper() for o in got if isinstance(o, Ok))

    in_sim(main)


def test_a_stream_can_end_with_the_first_timeout(in_sim: Run) -> None:
    """Elixir: on_timeout: :exit (the default there) ends the caller; we raise in the loop."""
    ends: list[str] = []

    async def work(item: float) -> None:
        try:
            await asyncio.sleep(item)
        finally:
            ends.append(f"{item:g}")

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            got: list[Any] = []
            stream = jobs.stream(work, [1, 50, 60], timeout_s=5, on_timeout="exit")
            with pytest.raises(WaitTimeout, match="50"):
                await read(stream, got)
            assert got == [Ok(None)]
            assert system.clock() == pytest.approx(5)
            assert ends == ["1", "50", "60"]
            assert await jobs.children() == []

    in_sim(main)


def test_an_item_that_cannot_be_shown_can_be_late(in_sim: Run) -> None:
    class Row:
        def __repr__(self) -> str:
            raise LookupError("the session is closed")

    async def work(_item: Row) -> None:
        await asyncio.sleep(50)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            with pytest.raises(WaitTimeout, match="Row that cannot be shown"):
                await read(jobs.stream(work, [Row()], timeout_s=5, on_timeout="exit"), [])
            assert system.clock() == pytest.approx(5)

    in_sim(main)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_what_the_source_raises_reaches_the_loop_after_the_results(in_sim: Run, kind: str) -> None:
    def plain() -> Iterator[float]:
        yield 1
        yield 50
        raise LookupError("no more")

    async def on_loop() -> AsyncIterator[float]:
        yield 1
        yield 50
        await asyncio.sleep(2)
        raise LookupError("no more")

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            got: list[Any] = []
            stream = jobs.stream(after, plain() if kind == "plain" else on_loop())
            with pytest.raises(LookupError, match="no more"):
                await read(stream, got)
            assert got == ([] if kind == "plain" else [Ok(1)])
            assert await jobs.children() == []

    in_sim(main)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"on_timeout": "explode"}, "on_timeout"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], word: str) -> None:
    """Elixir: raises ArgumentError for max_concurrency: 0 and an unknown on_timeout."""
    with pytest.raises(BadOption, match=word):
        TaskSupervisor("jobs").stream(after, [1], **options)
    with pytest.raises(BadOption, match="iterated"):
        TaskSupervisor("jobs").stream(after, 5)


def test_a_supervisor_that_does_not_run_says_so_in_the_loop(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(SupervisorNotRunning):
            await anext(TaskSupervisor("jobs").stream(after, [1]))

    in_sim(main)


def test_the_end_of_the_supervisor_reaches_the_loop(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        jobs = TaskSupervisor("jobs")
        await jobs.start()
        stream = jobs.stream(after, [1, 50, 50, 50], max_concurrency=2)
        assert await anext(stream) == Ok(1)
        await jobs.stop()
        assert await anext(stream) == Error("shutdown")
        with pytest.raises(SupervisorNotRunning):
            await read(stream, [])

    in_sim(main)


# -- room ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_waits_for_room_instead_of_being_refused(in_sim: Run, ordered: bool) -> None:
    """Elixir raises when max_children is reached; a stream of ours waits for its turn."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor("few", max_children=2) as jobs:
            other = await jobs.async_nolink(after, 5)
            stream = jobs.stream(after, [1] * 10, max_concurrency=8, ordered=ordered)
            assert [o async for o in stream] == [Ok(1)] * 10
            assert await other == 5
            # One place for five seconds, and then two.
            assert system.clock() == pytest.approx(8, abs=1.01)

    in_sim(main)


def test_two_streams_share_what_room_there_is(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor("few", max_children=1) as jobs:

            async def collect() -> list[Any]:
                return [o async for o in jobs.stream(after, [1] * 5)]

            first, second = await asyncio.gather(collect(), collect())
            assert first == second == [Ok(1)] * 5
            assert system.clock() == pytest.approx(10)

    in_sim(main)


def test_a_stream_that_leaves_its_place_in_the_queue_gives_it_to_the_next(in_sim: Run) -> None:
    ran: list[str] = []

    async def note(name: str) -> None:
        ran.append(name)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor("few", max_children=1) as jobs:
            await jobs.async_nolink(after, 5)
            leaving = jobs.stream(note, ["leaves"])
            first = asyncio.create_task(anext(leaving))
            await asyncio.sleep(1)
            staying = asyncio.create_task(anext(jobs.stream(note, ["stays"])))
            await asyncio.sleep(1)
            first.cancel()
            assert await staying == Ok(None)
            await asyncio.sleep(1)
            assert ran == ["stays"]

    in_sim(main)


def test_waiting_for_room_ends_with_the_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        letters = system.dead_letters.count
        jobs = TaskSupervisor("few", max_children=1)
        await jobs.start()
        await jobs.async_nolink(after, 50)
        waiting = asyncio.create_task(anext(jobs.stream(after, [1])))
        await asyncio.sleep(1)
        await jobs.stop()
        with pytest.raises(SupervisorNotRunning):
            await waiting
        assert system.dead_letters.count == letters

    in_sim(main)


# -- leaving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["at a yield", "while it waits"])
def test_leaving_closes_the_source_and_ends_the_tasks_before_it_returns(
    in_sim: Run, moment: str
) -> None:
    """Elixir: halting the stream terminates the enumerable and shuts the tasks down."""
    events: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            for number in range(100):
                if number == 3 and moment == "while it waits":
                    await asyncio.sleep(100)
                yield number
        finally:
            await asyncio.sleep(0.5)
            events.append("source closed")

    async def work(item: int) -> int:
        try:
            await asyncio.sleep(1 if item == 0 else 100)
        finally:
            events.append(f"task {item} ended")
        return item

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            async with aclosing(jobs.stream(work, source(), max_concurrency=4)) as stream:
                async for outcome in stream:
                    assert outcome == Ok(0)
                    events.clear()
                    break
            assert events[-1] == "source closed"
            assert sorted(events[:-1]) == [f"task {n} ended" for n in range(1, len(events))]
            assert len(events) > 2
            assert await jobs.children() == []
            assert system.clock() < 5

    in_sim(main)


def test_a_loop_that_is_left_without_closing_is_closed_soon(in_sim: Run) -> None:
    closed: list[int] = []

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(1)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            async for _ in jobs.stream(after, source(), max_concurrency=2):
                break
            await asyncio.sleep(1)
            assert closed == [1]
            assert await jobs.children() == []

    in_sim(main)


def test_an_error_of_the_closing_source_is_not_lost(in_sim: Run) -> None:
    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise OSError("cannot close")

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            with pytest.raises(OSError, match="cannot close"):
                async with aclosing(jobs.stream(after, source(), max_concurrency=1)) as stream:
                    await anext(stream)
            assert await jobs.children() == []

    in_sim(main)


def test_a_source_is_stepped_and_closed_in_one_task_and_context(in_sim: Run) -> None:
    """So it may hold a cancel scope, or a variable's token, from one item to the next."""
    tasks: set[Any] = set()

    async def source() -> AsyncIterator[int]:
        token = STEP.set(1)
        try:
            async with asyncio.timeout(1000):
                for number in range(10):
                    tasks.add(asyncio.current_task())
                    yield number
        finally:
            tasks.add(asyncio.current_task())
            STEP.reset(token)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            stream = jobs.stream(after, source(), max_concurrency=2)
            async with aclosing(stream):
                # Each step of the loop in an asyncio task of its own.
                assert await asyncio.create_task(anext(stream)) == Ok(0)
                assert await asyncio.create_task(anext(stream)) == Ok(1)
            assert len(tasks) == 1
            assert STEP.get() == 0
            tasks.clear()
            assert len([o async for o in jobs.stream(after, source())]) == 10
            assert len(tasks) == 1

    in_sim(main)


@pytest.mark.parametrize("end", ["kill", "crash", "stop"])
def test_a_stream_ends_with_the_actor_that_began_it(in_sim: Run, end: str) -> None:
    """Also when its generator is kept: nobody takes the results, so nothing is paid for."""
    kept: list[Any] = []
    closed: list[int] = []

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 50
        finally:
            closed.append(1)

    class Reader(Actor):
        async def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise ValueError("boom")
            stream = message.stream(delayed, source(), max_concurrency=3)
            kept.append(stream)
            return await anext(stream)

    first = [1.0]

    async def delayed(item: float) -> None:
        await asyncio.sleep(first.pop() if first else item)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            reader = system.start(Reader)
            assert await reader.request(jobs) == Ok(None)
            assert await jobs.children()
            if end == "kill":
                reader.kill()
            elif end == "stop":
                reader.stop(block=False)
            else:
                reader.exit(ValueError("boom"))
            await asyncio.sleep(1)
            assert await jobs.children() == []
            assert closed == [1]

    in_sim(main)


def test_a_stream_ends_with_the_asyncio_task_that_was_cancelled(in_sim: Run) -> None:
    kept: list[Any] = []

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def read() -> None:
                stream = jobs.stream(after, [1, 50, 50])
                kept.append(stream)
                await anext(stream)
                await asyncio.sleep(100)

            reader = asyncio.create_task(read())
            await asyncio.sleep(2)
            assert len(await jobs.children()) == 2
            reader.cancel()
            await asyncio.sleep(1)
            assert await jobs.children() == []
            await kept[0].aclose()

    in_sim(main)


def test_a_stream_may_be_made_in_one_task_and_read_in_another(in_sim: Run) -> None:
    """Elixir: consuming from another process."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def make() -> Any:
                return jobs.stream(after, [1, 2, 3])

            stream = await asyncio.create_task(make())
            assert [o async for o in stream] == [Ok(1), Ok(2), Ok(3)]

    in_sim(main)


def test_plain_functions_stream_from_threads() -> None:
    release = threading.Event()

    def work(item: int) -> int:
        if item == 9:
            release.wait(120)
        return item * 2

    async def main() -> None:
        async with ActorSystem() as system, TaskSupervisor() as jobs:
            got = [o async for o in jobs.stream(work, range(8), max_concurrency=3)]
            assert got == [Ok(n * 2) for n in range(8)]
            async with aclosing(jobs.stream(work, [1, 9], max_concurrency=2)) as stream:
                assert await anext(stream) == Ok(2)
            async with asyncio.timeout(120):
                # Of a thread the result comes first, and the end of its task right after it.
                for ref in await jobs.children():
                    await system.wait_ended(ref)
            release.set()

    asyncio.run(main())


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("dispatcher", ["thread", "pinned"])
def test_a_handler_in_a_thread_streams_on_its_own_loop(dispatcher: str, concurrency: int) -> None:
    links = {"a": ["b", "c"], "b": ["d"], "c": [], "d": []}
    loops: set[Any] = set()

    async def crawl(page: str) -> list[str]:
        return links[page]

    async def main() -> None:
        async with ActorSystem(), TaskSupervisor(max_children=1) as jobs:

            async def handle(first: str) -> list[str]:
                todo: asyncio.Queue[str] = asyncio.Queue()
                todo.put_nowait(first)
                seen: list[str] = []

                async def pages() -> AsyncIterator[str]:
                    while True:
                        loops.add(asyncio.get_running_loop())
                        yield await todo.get()

                options: Any = {"max_concurrency": 1, "timeout_s": 20}
                async with aclosing(jobs.stream(crawl, pages(), **options)) as stream:
                    async for outcome in stream:
                        seen.append(outcome.item)
                        for page in outcome.unwrap():
                            todo.put_nowait(page)
                        if len(seen) == 4:
                            break
                return seen

            agent = Agent("a", handler=handle, dispatcher=dispatcher, concurrency=concurrency)
            async with asyncio.timeout(120):
                found = await asyncio.gather(*(agent.ask("a") for _ in range(3)))
            assert [sorted(pages) for pages in found] == [["a", "b", "c", "d"]] * 3
            assert asyncio.get_running_loop() not in loops
            assert await jobs.children() == []

    asyncio.run(main())


def test_a_source_that_is_being_closed_is_not_cut_off(in_sim: Run) -> None:
    """A task could not be started, and the stream ends while its source takes its time to close."""
    closed: list[int] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 50
            yield 50
        finally:
            await asyncio.sleep(5)
            closed.append(1)

    async def main(system: ActorSystem) -> None:
        jobs = TaskSupervisor()
        await jobs.start()
        stream = jobs.stream(after, source(), max_concurrency=1)
        first = asyncio.create_task(anext(stream))
        await asyncio.sleep(1)
        await jobs.stop()
        assert await first == Error("shutdown")
        with pytest.raises(SupervisorNotRunning):
            await anext(stream)
        assert closed == [1]

    in_sim(main)


def test_a_result_that_was_taken_leaves_its_place(in_sim: Run) -> None:
    """The task has ended when its result is there, so the next is never refused."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor(max_children=1) as jobs:
            for number in range(20):
                task = await jobs.async_nolink(after, 0.01 * number)
                await task
                assert not task.ref.is_alive()

    in_sim(main)
