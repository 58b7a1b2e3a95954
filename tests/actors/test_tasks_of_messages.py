"""`asyncio.current_task()` in a handler: one object for each message, which is a future like any task."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from loops import LOOPS, Runs, on_loop
from puppets import Crash, ended, until

from agenticaiframework.actors import ActorDied, ActorSystem, HandlerCancelled


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def _waits() -> asyncio.Task[Any]:
    await asyncio.sleep(0.001)
    return current()


async def _does_not_wait() -> asyncio.Task[Any]:
    return current()


WAYS = {"at once": _does_not_wait, "after waiting": _waits}


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> Any:
    return WAYS[str(request.param)]


# -- one for each message --------------------------------------------------------------------------


def test_what_is_noted_weakly_by_task_is_gone_with_the_message(loop_name: str, way: Any) -> None:
    """As libraries keep their connections: another caller must not find that of the last one."""

    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        connections: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

        def look(number: int) -> Callable[[], Any]:
            async def body() -> int | None:
                await way()
                return connections.setdefault(current(), number)

            return body

        assert [await one.request(look(n)) for n in range(5)] == list(range(5))
        await one.request(way)
        await asyncio.sleep(0.001)
        assert len(connections) == 0

    on_loop(loop_name, main)


def test_a_weak_reference_never_comes_to_mean_a_later_message(loop_name: str, way: Any) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        known: list[Any] = []

        async def note() -> None:
            await way()
            known.append(weakref.ref(current(), lambda _: None))

        async def look() -> list[bool]:
            await way()
            return [task() is current() for task in known]

        await one.request(note)
        assert await one.request(look) == [False]

    on_loop(loop_name, main)


def test_a_name_is_that_of_one_message(loop_name: str, way: Any) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs, _name="worker")

        async def rename() -> tuple[str, str]:
            await way()
            before = current().get_name()
            current().set_name("renamed")
            return before, current().get_name()

        assert [await one.request(rename) for _ in range(3)] == [("worker", "renamed")] * 3

    on_loop(loop_name, main)


def test_a_callback_is_called_though_nobody_keeps_the_task(loop_name: str, way: Any) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        results: list[Any] = []

        async def call_back() -> str:
            await way()
            current().add_done_callback(lambda done: results.append(done.result()))
            return "value"

        for _ in range(2):
            await one.request(call_back)
        await until(lambda: len(results) == 2)
        assert results == ["value", "value"]

    on_loop(loop_name, main)


def test_a_task_that_nobody_keeps_is_freed_at_once(loop_name: str, way: Any) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        known: list[Any] = []

        async def note() -> None:
            await way()
            current().set_name("changed")
            known.append(weakref.ref(current()))
            raise Crash("too")

        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                with pytest.raises(Crash):
                    await one.request(note)
            await asyncio.sleep(0.001)
            if loop_name.startswith("simulated"):
                gc.collect()  # a loop written in Python has frames, which an error holds
            assert [task() for task in known] == [None] * 3
        finally:
            gc.enable()

    on_loop(loop_name, main)


def test_a_task_hashes_alike_in_every_run_of_a_seed() -> None:
    """Or the order of a set of tasks, such as a cancel scope's, would differ from run to run."""

    async def main(system: ActorSystem) -> list[int]:
        refs = [system.start(Runs) for _ in range(5)]
        tasks = [await ref.request(_waits) for ref in refs]
        assert len(set(tasks)) == 5
        return [hash(task) for task in tasks]

    assert on_loop("simulated, seeded", main) == on_loop("simulated, seeded", main)


# -- its outcome -----------------------------------------------------------------------------------


async def _kept(system: ActorSystem, body: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the task of the message that *body* handles, and the request."""
    tasks: list[Any] = []

    async def keep() -> Any:
        tasks.append(current())
        await asyncio.sleep(0.002)
        return await body()

    request = system.start(Runs).request(keep)
    await until(lambda: tasks)
    return tasks[0], request


async def _value() -> str:
    return "value"


async def _crash() -> None:
    raise Crash("in the handler")


def test_a_task_can_be_gathered_shielded_and_waited_for(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        for done in (False, True):
            task, request = await _kept(system, _value)
            if done:
                assert await request == "value"
            assert asyncio.isfuture(task)
            assert task.done() is done
            async with asyncio.timeout(120):
                assert await asyncio.gather(task, asyncio.shield(task)) == ["value"] * 2
                assert await asyncio.wait([task]) == ({task}, set())
                assert await asyncio.wait_for(task, 120) == "value"
                assert [await one for one in asyncio.as_completed([task])] == ["value"]
                assert await task == "value"
            assert (task.result(), task.exception(), task.cancelled()) == ("value", None, False)
            assert await request == "value"

    on_loop(loop_name, main)


def test_another_handler_may_await_a_task(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        task, request = await _kept(system, _value)

        async def wait() -> Any:
            return await task

        asked = [system.start(Runs).request(wait) for _ in range(2)]
        assert [await one for one in asked] == ["value", "value"]
        assert await request == "value"
        assert await system.start(Runs).request(wait) == "value"

    on_loop(loop_name, main)


def test_a_handler_cannot_await_its_own_task(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        async def wait() -> None:
            await current()

        with pytest.raises(RuntimeError, match="its own task"):
            await system.start(Runs).request(wait)

    on_loop(loop_name, main)


def test_a_failed_handlers_task_has_its_error(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        task, request = await _kept(system, _crash)
        outcomes = await asyncio.gather(task, asyncio.shield(task), request, return_exceptions=True)
        assert [str(one) for one in outcomes] == ["in the handler"] * 3
        assert isinstance(task.exception(), Crash)
        for _ in range(2):
            with pytest.raises(Crash):
                task.result()
        assert not task.cancelled()
        with pytest.raises(Crash):
            await task

    on_loop(loop_name, main)


def test_a_cancelled_handlers_task_is_cancelled(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        async def never() -> None:
            await asyncio.sleep(1000)

        task, request = await _kept(system, never)
        callbacks: list[Any] = []
        task.add_done_callback(lambda done: callbacks.append(done.cancelled()))
        gathered = asyncio.gather(task, return_exceptions=True)
        raising = asyncio.gather(task)
        await asyncio.sleep(0.01)
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        with pytest.raises(HandlerCancelled):
            await request
        assert task.done()
        assert task.cancelled()
        async with asyncio.timeout(120):
            assert isinstance((await gathered)[0], asyncio.CancelledError)
            with pytest.raises(asyncio.CancelledError):
                await raising
            (again,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(again, asyncio.CancelledError)
        with pytest.raises(asyncio.CancelledError):
            task.exception()
        assert not task.cancel()
        await until(lambda: callbacks)
        assert callbacks == [True]

    on_loop(loop_name, main)


def test_the_task_of_an_ended_actor_is_cancelled(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        async def never() -> None:
            await asyncio.sleep(1000)

        for end in ("exit", "kill"):
            task, request = await _kept(system, never)
            ref = request._target
            await asyncio.sleep(0.01)
            if end == "exit":
                ref.exit("stop")
            else:
                ref.kill()
            with pytest.raises(ActorDied):
                await request
            await ended(ref)
            await until(task.done)
            assert task.cancelled()

    on_loop(loop_name, main)


def test_a_handler_that_cancels_itself_at_last_is_cancelled(loop_name: str, way: Any) -> None:
    """As a task that returns while a cancellation of it waits."""

    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        tasks: list[Any] = []

        async def cancel() -> str:
            tasks.append(await way())
            tasks[0].cancel()
            return "value"

        with pytest.raises(HandlerCancelled):
            await one.request(cancel)
        assert tasks[0].cancelled()
        assert (await one.request(way)).done()

    on_loop(loop_name, main)


def test_a_pending_task_has_no_outcome(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        task, request = await _kept(system, _value)
        for ask in (task.result, task.exception):
            with pytest.raises(asyncio.InvalidStateError):
                ask()
        for refuse in (task.set_result, task.set_exception):
            with pytest.raises(RuntimeError, match="does not support"):
                refuse(Crash("no"))
        await request

    on_loop(loop_name, main)


def test_callbacks_after_the_end_run_in_their_own_context(loop_name: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def main(system: ActorSystem) -> None:
        seen: list[str] = []
        task, request = await _kept(system, _value)
        variable.set("before")
        task.add_done_callback(lambda _: seen.append(variable.get()))
        variable.set("after")
        await request
        task.add_done_callback(lambda _: seen.append(variable.get()))
        await until(lambda: len(seen) == 2)
        assert seen == ["before", "after"]

    on_loop(loop_name, main)


# -- what it shows ---------------------------------------------------------------------------------


def test_the_stack_of_a_task(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        task, request = await _kept(system, _crash)
        assert task.get_stack()[-1].f_code.co_name == "on_receive"
        shown = io.StringIO()
        task.print_stack(file=shown)
        assert "Stack for <ActorTask" in shown.getvalue()
        coro, context = task.get_coro(), task.get_context()
        with pytest.raises(Crash):
            await request
        shown = io.StringIO()
        task.print_stack(file=shown)
        assert "in the handler" in shown.getvalue()
        await request._target.request(_value)
        assert task.get_coro() is coro
        assert task.get_context() is context
        assert "done" in repr(task)

    on_loop(loop_name, main)
