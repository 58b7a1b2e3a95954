"""Everything of asyncio works inside an asynchronous handler, as in a task."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loops import LOOPS, SOON_S, Runs, on_loop
from puppets import Crash, Puppet, do, ended, until

from agenticaiframework.actors import ActorDied, ActorSystem
from agenticaiframework.actors.simulation import SimLoop


class RunsTwice(Runs):
    """Does it a second time when its handler's coroutine is resumed by a request, not a future."""

    async def on_receive(self, message: Any) -> Any:
        first = await message()
        await self.system.start(Runs).request(_nothing)
        await message()
        return first


async def _nothing() -> None:
    await asyncio.sleep(0)


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[Runs, RunsTwice])
def inside(request: pytest.FixtureRequest, loop_name: str) -> Callable[..., Any]:
    """Run a coroutine function inside an actor's handler, on each kind of loop."""

    def run(body: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with asyncio.timeout(SOON_S), ActorSystem("inside") as system:
                return await system.start(request.param).request(body)

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            return runner.run(main())

    return run


# -- timeouts -----------------------------------------------------------------------------------


def test_timeout_that_passes(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01) as scope:
                await asyncio.sleep(10)
        assert scope.expired()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return "went on"

    assert inside(body) == "went on"


def test_timeout_that_does_not_pass(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        async with asyncio.timeout(10) as scope:
            await asyncio.sleep(0.001)
            scope.reschedule(asyncio.get_running_loop().time() + 5)
            await asyncio.sleep(0)
        assert not scope.expired()
        return "in time"

    assert inside(body) == "in time"


def test_timeout_at_and_nested_timeouts(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        loop = asyncio.get_running_loop()
        caught = []
        try:
            async with asyncio.timeout_at(loop.time() + 60) as outer:
                try:
                    async with asyncio.timeout(0.005):
                        await asyncio.sleep(10)
                except TimeoutError:
                    caught.append("inner")
                outer.reschedule(loop.time() + 0.1)
                await asyncio.sleep(600)
        except TimeoutError:
            caught.append("outer")
        async with asyncio.timeout_at(loop.time() + 120):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.sleep(10)
            caught.append("at once")
        return caught

    assert inside(body) == ["inner", "outer", "at once"]


def test_a_timeout_around_a_request_abandons_it(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        slow, asker = system.start(Runs), system.start(Runs)
        made: list[Any] = []

        async def ask() -> str:
            made.append(slow.request(lambda: asyncio.sleep(0.05)))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await made[0]
            return "went on"

        assert await asker.request(ask) == "went on"
        assert not made[0].asker_waiting
        assert await slow.request(_nothing) is None

    on_loop(loop_name, main)


def test_wait_for(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        assert await asyncio.wait_for(asyncio.sleep(0.001, "value"), 10) == "value"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 0.005)
        with pytest.raises(Crash):
            await asyncio.wait_for(_crash(), 10)
        return "done"

    assert inside(body) == "done"


async def _crash() -> None:
    await asyncio.sleep(0)
    raise Crash("inside")


# -- tasks ---------------------------------------------------------------------------------------


def test_a_task_group_waits_for_its_tasks(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001 * n, n)) for n in range(5)]
        return [task.result() for task in tasks]

    assert inside(body) == list(range(5))


def test_a_task_group_cancels_its_tasks_and_its_handler_when_one_fails(
    inside: Callable[..., Any],
) -> None:
    async def body() -> Any:
        cancelled = []

        async def wait() -> None:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled.append("task")
                raise

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
                await asyncio.sleep(0)
                group.create_task(_crash())
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    cancelled.append("handler")
                    raise
        except* Crash as errors:
            assert len(errors.exceptions) == 1
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        return sorted(cancelled)

    assert inside(body) == ["handler", "task"]


def test_gather_and_wait_and_as_completed(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        gathered = await asyncio.gather(*(asyncio.sleep(0.001, n) for n in range(3)))
        outcome = await asyncio.gather(_crash(), asyncio.sleep(0, 1), return_exceptions=True)
        assert isinstance(outcome[0], Crash)
        assert outcome[1] == 1
        with pytest.raises(Crash):
            await asyncio.gather(_crash(), asyncio.sleep(0))
        done, pending = await asyncio.wait(
            [asyncio.ensure_future(asyncio.sleep(t)) for t in (0.001, 10)],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        completed = [
            await one for one in asyncio.as_completed([asyncio.sleep(0.001 * n, n) for n in (3, 1)])
        ]
        return gathered, len(done), sorted(completed)

    assert inside(body) == ([0, 1, 2], 1, [1, 3])


def test_shield_keeps_the_work_when_the_handler_is_cancelled(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        begun, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await go_on.wait()
            finished.set()

        async def shielded() -> None:
            await asyncio.shield(work())

        one = system.start(Runs)
        one.tell(shielded)
        await asyncio.wait_for(begun.wait(), 10)
        one.exit("stop")
        await ended(one)
        assert not finished.is_set()
        go_on.set()
        await asyncio.wait_for(finished.wait(), 10)

    on_loop(loop_name, main)


def test_a_task_made_in_a_handler_outlives_it(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)

        async def start() -> Any:
            return asyncio.create_task(asyncio.sleep(0.01, "later"))

        task = await one.request(start)
        assert await task == "later"

    on_loop(loop_name, main)


def test_to_thread_and_run_in_executor(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        loop = asyncio.get_running_loop()
        threads = {
            await asyncio.to_thread(threading.get_ident),
            await loop.run_in_executor(None, threading.get_ident),
        }
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        simulated = isinstance(loop, SimLoop)
        return simulated or threading.get_ident() not in threads

    assert inside(body) is True


def test_a_task_may_cancel_a_handlers_wait_and_take_it_back(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.001, task.cancel, "why")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as cancelled:
            assert task.cancelling() == 1
            assert task.uncancel() == 0
            assert cancelled.args == ("why",)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        task.uncancel()
        return "went on"

    assert inside(body) == "went on"


# -- queues, locks, generators -----------------------------------------------------------------


def test_queues_locks_events_and_conditions(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        lock, event, condition = asyncio.Lock(), asyncio.Event(), asyncio.Condition()
        semaphore = asyncio.Semaphore(1)

        async def produce() -> None:
            for number in range(5):
                await queue.put(number)
            event.set()

        async def notify() -> None:
            async with condition:
                condition.notify_all()

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            got = [await queue.get() for _ in range(5)]
            await event.wait()
            async with lock, semaphore:
                assert lock.locked()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(lock.acquire(), 0.001)
            async with condition:
                group.create_task(notify())
                await condition.wait()
        barrier = asyncio.Barrier(2)
        async with asyncio.TaskGroup() as group:
            group.create_task(barrier.wait())
            await barrier.wait()
        return got

    assert inside(body) == list(range(5))


def test_two_handlers_share_a_lock(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        lock = asyncio.Lock()
        order: list[Any] = []

        def critical(name: str) -> Any:
            async def body() -> None:
                async with lock:
                    order.append(name)
                    await asyncio.sleep(0.001)
                    order.append(name)

            return body

        requests = [system.start(Runs).request(critical(name)) for name in "abcd"]
        for request in requests:
            await request
        assert [order[n] == order[n + 1] for n in range(0, 8, 2)] == [True] * 4

    on_loop(loop_name, main)


def test_asynchronous_generators_and_context_managers(inside: Callable[..., Any]) -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(100):
                await asyncio.sleep(0)
                yield number
        finally:
            closed.append("generator")

    @asynccontextmanager
    async def resource() -> AsyncIterator[str]:
        await asyncio.sleep(0)
        yield "resource"
        closed.append("resource")

    async def body() -> Any:
        closed.clear()
        got = []
        async with resource():
            generator = numbers()
            async for number in generator:
                got.append(number)
                if number == 3:
                    break
            await generator.aclose()  # type: ignore[attr-defined]
        return got, closed

    assert inside(body) == ([0, 1, 2, 3], ["generator", "resource"])


def test_a_stream_over_the_network(loop_name: str) -> None:
    if loop_name.startswith("simulated"):
        pytest.skip("there is no network in virtual time")

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main(system: ActorSystem) -> None:
        async def talk() -> bytes:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()[:2]
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"hello\n")
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
            return answer

        assert await system.start(Runs).request(talk) == b"hello\n"

    on_loop(loop_name, main)


# -- the current task ----------------------------------------------------------------------------


def test_each_message_has_a_task_of_its_own_with_the_actors_name(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs, _name="worker")

        async def look() -> Any:
            first = asyncio.current_task()
            await asyncio.sleep(0)
            assert asyncio.current_task() is first
            await asyncio.sleep(0.001)
            assert asyncio.current_task() is first
            assert first is not None
            assert not first.done()
            return first

        async def look_without_waiting() -> Any:
            return asyncio.current_task()

        tasks = [await one.request(look) for _ in range(3)]
        tasks += [await one.request(look_without_waiting) for _ in range(3)]
        assert len(set(map(id, tasks))) == 6
        assert {task.get_name() for task in tasks} == {"worker"}
        assert all(task.done() for task in tasks)
        assert not any(task.cancelled() for task in tasks)
        outside = asyncio.current_task()
        assert outside not in tasks

    on_loop(loop_name, main)


def test_a_done_callback_of_the_current_task_is_called_when_its_message_is_done(
    loop_name: str,
) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        calls: list[Any] = []

        async def look() -> Any:
            task = asyncio.current_task()
            assert task is not None
            task.add_done_callback(lambda done: calls.append((done is task, done.done())))
            forgotten = calls.append
            task.add_done_callback(forgotten)
            assert task.remove_done_callback(forgotten) == 1
            await asyncio.sleep(0)
            assert calls == []

        await one.request(look)
        await one.request(_nothing)
        await asyncio.sleep(0)
        assert calls == [(True, True)]

    on_loop(loop_name, main)


def test_a_handler_that_crashed_leaves_its_task_done(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        tasks: list[Any] = []

        async def crash() -> None:
            tasks.append(asyncio.current_task())
            await _crash()

        with pytest.raises(Crash):
            await one.request(crash)
        assert tasks[0].done()
        one.tell(crash)
        await ended(one)
        assert tasks[1].done()
        assert tasks[0] is not tasks[1]

    on_loop(loop_name, main)


def test_a_kept_task_cannot_cancel_a_later_message(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)

        async def look() -> Any:
            return asyncio.current_task()

        task = await one.request(look)
        later = one.request(lambda: asyncio.sleep(0.005, "done"))
        await asyncio.sleep(0)
        assert task.cancel() is False
        assert await later == "done"

    on_loop(loop_name, main)


def test_outside_of_a_handler_there_is_no_current_task_left_over(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        loop = asyncio.get_running_loop()
        one = system.start(Runs)
        seen: list[Any] = []

        async def look() -> None:
            loop.call_soon(lambda: seen.append(asyncio.current_task()))
            await asyncio.sleep(0.001)
            loop.call_soon(lambda: seen.append(asyncio.current_task()))

        await one.request(look)
        await asyncio.sleep(0.001)
        assert seen == [None, None]

    on_loop(loop_name, main)


def test_a_plain_handler_has_no_current_task(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Puppet), system.start(Runs)
        other.tell(_nothing)
        assert await one.request(lambda puppet: asyncio.current_task()) is None

    on_loop(loop_name, main)


# -- cancellation from outside -------------------------------------------------------------------


def test_an_exit_signal_cancels_whatever_the_handler_awaits(loop_name: str) -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1000))
            await asyncio.sleep(1000)

    waits: list[Callable[[], Awaitable[Any]]] = [
        lambda: asyncio.sleep(1000),
        never,
        in_a_group,
        lambda: asyncio.gather(asyncio.sleep(1000), never()),
        lambda: asyncio.wait_for(asyncio.sleep(1000), 500),
        lambda: asyncio.Event().wait(),
        lambda: asyncio.Queue().get(),
    ]

    async def main(system: ActorSystem) -> None:
        peer = system.start(Runs)
        peer.tell(lambda: asyncio.sleep(1000))
        for wait in [*waits, lambda: peer.request(_nothing)]:
            one = system.start(Runs)
            asked = one.request(wait)
            await asyncio.sleep(0.002)
            one.exit("stop")
            with pytest.raises(ActorDied) as died:
                await asked
            assert died.value.reason == "stop"
        assert system.abandoned == 0
        peer.kill()
        await ended(peer)

    on_loop(loop_name, main)


def test_an_exit_signal_that_comes_with_the_answer_loses_no_wake_up(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        for _ in range(20):
            one = system.start(Runs)
            future = asyncio.get_running_loop().create_future()

            async def wait(future: Any = future) -> Any:
                return await future

            asked = one.request(wait)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            future.set_result("answer")
            one.exit("stop")
            try:
                assert await asked == "answer"
            except ActorDied as died:
                assert died.reason == "stop"
            await ended(one)

    on_loop(loop_name, main)


def test_awaiting_something_foreign_is_an_error_that_names_it(loop_name: str) -> None:
    class Foreign:
        def __await__(self) -> Any:
            yield "not asyncio's"

    async def main(system: ActorSystem) -> None:
        async def body() -> None:
            await Foreign()

        with pytest.raises(TypeError, match="not asyncio's"):
            await system.start(Runs).request(body)

    on_loop(loop_name, main)


# -- context variables -----------------------------------------------------------------------------

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


def test_context_variables_are_an_actors_own_and_stay_from_message_to_message(
    loop_name: str,
) -> None:
    async def main(system: ActorSystem) -> None:
        variable.set("the test's")
        one, other = system.start(Runs), system.start(Runs)

        def put(value: str) -> Any:
            async def body() -> None:
                variable.set(value)
                await asyncio.sleep(0.001)
                assert variable.get() == value

            return body

        async def get() -> str:
            return variable.get()

        await asyncio.gather(one.request(put("one's")), other.request(put("other's")))
        assert await one.request(get) == "one's"
        assert await other.request(get) == "other's"
        assert await system.start(Runs).request(get) == "default"
        assert variable.get() == "the test's"

        async def in_a_task() -> str:
            return await asyncio.create_task(get())

        assert await one.request(in_a_task) == "one's"

    on_loop(loop_name, main)


# -- nothing is left -----------------------------------------------------------------------------


def test_what_a_handler_used_is_freed_at_its_end(loop_name: str) -> None:
    class Payload:
        pass

    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        held: list[weakref.ref[Payload]] = []

        async def use() -> None:
            payload = Payload()
            held.append(weakref.ref(payload))
            await asyncio.sleep(0.001)
            assert payload is not None

        for _ in range(3):
            await one.request(use)
        await one.request(_nothing)
        await asyncio.sleep(0.001)
        gc.collect()
        assert [ref() for ref in held] == [None] * 3

    on_loop(loop_name, main)


def test_debug_mode_finds_nothing_to_complain_about(caplog: pytest.LogCaptureFixture) -> None:
    async def main(system: ActorSystem) -> None:
        one, other = system.start(Runs), system.start(Puppet)
        with caplog.at_level(logging.DEBUG, logger="asyncio"):
            for _ in range(20):
                await one.request(lambda: asyncio.sleep(0.0001))
                await do(other, lambda puppet: None)
            await asyncio.to_thread(other.ask, "from a thread")
            one.kill()
            await until(lambda: not one.is_alive())

    on_loop("debug", main)
    told = [record.message for record in caplog.records if record.name == "asyncio"]
    assert not [text for text in told if "Using selector" not in text and "took" not in text]


def test_the_current_task_is_none_of_asyncios_own(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        async def look() -> bool:
            await asyncio.sleep(0)
            return asyncio.current_task() in asyncio.all_tasks()

        assert await system.start(Runs).request(look) is False

    on_loop(loop_name, main)


def test_an_actors_own_context_begins_empty_or_as_what_its_system_was_given(
    loop_name: str,
) -> None:
    async def body() -> list[str]:
        async def get() -> str:
            return variable.get("nothing")

        variable.set("of the place")
        async with ActorSystem() as system:
            seen = [await system.start(Runs).request(get)]
        async with ActorSystem(context=contextvars.copy_context()) as system:
            variable.set("inside the system")
            return [*seen, await system.start(Runs).request(get)]

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        assert runner.run(body()) == ["nothing", "of the place"]


def test_a_future_of_another_loop_is_refused() -> None:
    """That loop's thread would run the rest of the handler."""

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        with ActorSystem.in_background() as system:
            ref = system.start(Runs)
            with pytest.raises(RuntimeError, match="belongs to another event loop"):
                await ref.request(lambda: future, timeout=SOON_S)
            assert await ref.request(_nothing, timeout=SOON_S) is None
        future.cancel()

    asyncio.run(main())
