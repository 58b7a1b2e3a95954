"""Everything of anyio works inside an asynchronous handler, as in a task."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

anyio = pytest.importorskip("anyio")

from anyio.abc import TaskStatus
from puppets import Crash, ended

from agenticaiframework.actors import Actor, ActorDied, ActorSystem
from agenticaiframework.actors.simulation import SimLoop

SOON_S = 120.0


class Runs(Actor):
    async def on_receive(self, message: Any) -> Any:
        return await message()


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


LOOPS: dict[str, Any] = {"asyncio": asyncio.new_event_loop, "simulated": lambda: SimLoop(seed=3)}
if sys.version_info >= (3, 12):
    LOOPS["eager tasks"] = _eager
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(loop_name: str, main: Callable[[ActorSystem], Awaitable[Any]]) -> Any:
    async def body() -> Any:
        async with asyncio.timeout(SOON_S), ActorSystem("inside") as system:
            return await main(system)

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        return runner.run(body())


@pytest.fixture
def inside(loop_name: str) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run a coroutine function inside an actor's handler."""

    def in_handler(body: Callable[[], Awaitable[Any]]) -> Any:
        async def main(system: ActorSystem) -> Any:
            return await system.start(Runs).request(body)

        return run(loop_name, main)

    return in_handler


async def _crash() -> None:
    await anyio.sleep(0)
    raise Crash("inside")


def test_move_on_after(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        with anyio.move_on_after(0.005) as scope:
            await anyio.sleep(10)
        assert scope.cancelled_caught
        with anyio.move_on_after(10) as scope:
            await anyio.sleep(0.001)
        assert not scope.cancelled_caught
        await anyio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return "went on"

    assert inside(body) == "went on"


def test_fail_after(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        with pytest.raises(TimeoutError), anyio.fail_after(0.005):
            await anyio.sleep(10)
        with anyio.fail_after(10) as scope:
            await anyio.sleep(0)
        assert scope.deadline > 0
        return "went on"

    assert inside(body) == "went on"


def test_nested_scopes_and_shields(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        order = []
        with anyio.CancelScope() as outer:
            with anyio.move_on_after(0.001) as inner:
                await anyio.sleep(10)
            order.append(("inner", inner.cancelled_caught))
            outer.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.001)
                order.append(("shielded", True))
            await anyio.sleep(10)
            order.append(("not reached", True))
        order.append(("outer", outer.cancelled_caught))
        assert anyio.current_effective_deadline() == math.inf
        return order

    assert inside(body) == [("inner", True), ("shielded", True), ("outer", True)]


def test_task_groups(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        done: list[int] = []

        async def work(number: int) -> None:
            await anyio.sleep(0.001 * number)
            done.append(number)

        async def serve(*, task_status: TaskStatus[str]) -> None:
            task_status.started("ready")
            await anyio.sleep(1000)

        async with anyio.create_task_group() as group:
            for number in (3, 1, 2):
                group.start_soon(work, number)
            assert await group.start(serve) == "ready"
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        return done

    assert sorted(inside(body)) == [1, 2, 3]


def test_a_task_group_raises_what_a_task_raised(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        cancelled = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_crash)
                try:
                    await anyio.sleep(10)
                except anyio.get_cancelled_exc_class():
                    cancelled.append("handler")
                    raise
        except* Crash as errors:
            assert len(errors.exceptions) == 1
        await anyio.sleep(0)
        return cancelled

    assert inside(body) == ["handler"]


def test_threads_and_the_way_back(inside: Callable[..., Any], loop_name: str) -> None:
    if loop_name == "simulated":
        pytest.skip("anyio's threads are real, and virtual time has none")

    async def body() -> Any:
        def work() -> Any:
            back = anyio.from_thread.run_sync(threading.get_ident)
            anyio.from_thread.run(anyio.sleep, 0)
            return threading.get_ident(), back

        there, here = await anyio.to_thread.run_sync(work)
        with pytest.raises(ZeroDivisionError):
            await anyio.to_thread.run_sync(lambda: 1 / 0)
        return there != here and here == threading.get_ident()

    assert inside(body) is True


def test_streams_events_locks_and_limits(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        send, receive = anyio.create_memory_object_stream[int](1)
        event, lock, limiter = anyio.Event(), anyio.Lock(), anyio.CapacityLimiter(1)

        async def produce() -> None:
            async with send:
                for number in range(4):
                    await send.send(number)
            event.set()

        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            async with receive:
                got = [number async for number in receive]
            await event.wait()
            async with lock, limiter:
                with anyio.move_on_after(0.001) as scope:
                    await limiter.acquire_on_behalf_of("another")
                assert scope.cancelled_caught
        return got

    assert inside(body) == [0, 1, 2, 3]


def test_a_request_in_a_cancelled_scope_is_abandoned(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        slow, asker = system.start(Runs), system.start(Runs)
        made: list[Any] = []

        async def ask() -> str:
            made.append(slow.request(lambda: anyio.sleep(0.05)))
            with anyio.move_on_after(0.005) as scope:
                await made[0]
            assert scope.cancelled_caught
            return "went on"

        assert await asker.request(ask) == "went on"
        assert not made[0].asker_waiting
        await slow.request(lambda: anyio.sleep(0))

    run(loop_name, main)


def test_an_exit_signal_ends_a_handler_in_a_task_group(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        ends: list[str] = []

        async def work() -> None:
            try:
                await anyio.sleep(1000)
            finally:
                ends.append("task")

        async def body() -> None:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(work)
                    await anyio.sleep(1000)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
                ends.append("handler")

        one = system.start(Runs)
        asked = one.request(body)
        await asyncio.sleep(0.005)
        one.exit("stop")
        with pytest.raises(ActorDied):
            await asked
        assert ends == ["task", "handler"]
        assert await ended(one) == "stop"
        assert system.abandoned == 0

    run(loop_name, main)


def test_what_the_running_task_is_called(inside: Callable[..., Any]) -> None:
    async def body() -> Any:
        info = anyio.get_current_task()
        assert info.id
        return info.name

    assert str(inside(body)).startswith("Runs#")
