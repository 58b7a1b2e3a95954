"""A bare yield, `asyncio.sleep(0)`, in a handler gives the event loop a turn, as in a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loops import LOOPS, Runs, on_loop
from puppets import ended, until

from agenticaiframework.actors import Actor, ActorDied, ActorRef, ActorSystem, Agent
from agenticaiframework.patterns.engine import OrchestrationEngine

IN_ORDER = sorted(set(LOOPS) - {"simulated, seeded"})
"""A seed may choose which of two tasks goes first."""

Run = Callable[[ActorSystem, Callable[[], Awaitable[Any]]], Awaitable[Any]]


async def _in_actor(system: ActorSystem, body: Callable[[], Awaitable[Any]]) -> Any:
    return await system.start(Runs).request(body)


async def _after_a_request(system: ActorSystem, body: Callable[[], Awaitable[Any]]) -> Any:
    """The handler has been resumed by an answer before it yields."""

    async def after() -> Any:
        await system.start(Runs).request(lambda: asyncio.sleep(0))
        return await body()

    return await system.start(Runs).request(after)


async def _in_agent(_system: ActorSystem, body: Callable[[], Awaitable[Any]]) -> Any:
    async def handler(payload: Any) -> Any:
        return await payload()

    return await Agent("runs", handler=handler).ask(body)


async def _in_step(_system: ActorSystem, body: Callable[[], Awaitable[Any]]) -> Any:
    async def step(_payload: Any) -> Any:
        return [await body()]

    workflow = {"name": "runs", "steps": [{"id": "only", "agent": step}]}
    result = await OrchestrationEngine().execute(workflow=workflow, input_data={})
    return result["only"][0]


async def _in_on_start(system: ActorSystem, body: Callable[[], Awaitable[Any]]) -> Any:
    class Starts(Actor):
        async def on_start(self) -> None:
            self.value = await body()

        def on_receive(self, message: Any) -> Any:
            return self.value

    return await system.start(Starts).request("value")


RUNS: dict[str, Run] = {
    "actor": _in_actor,
    "actor, after a request": _after_a_request,
    "agent": _in_agent,
    "step": _in_step,
    "on_start": _in_on_start,
}


@pytest.fixture(params=sorted(RUNS))
def place(request: pytest.FixtureRequest) -> Run:
    return RUNS[str(request.param)]


@pytest.fixture(params=IN_ORDER)
def in_order(request: pytest.FixtureRequest, place: Run) -> Callable[..., Any]:
    """Run a coroutine function in a handler, on each loop whose order is the plain one."""

    def run(body: Callable[[], Awaitable[Any]]) -> Any:
        return on_loop(request.param, lambda system: place(system, body))

    return run


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_what_the_loop_was_given_before_has_its_turn_first(loop_name: str, place: Run) -> None:
    async def body() -> list[int]:
        turns: list[int] = []
        for turn in range(500):
            asyncio.get_running_loop().call_soon(turns.append, turn)
            await asyncio.sleep(0)
            assert len(turns) == turn + 1
        return turns

    assert on_loop(loop_name, lambda system: place(system, body)) == list(range(500))


def test_handlers_and_tasks_that_yield_take_turns(in_order: Callable[..., Any]) -> None:
    async def body() -> str:
        said: list[str] = []

        async def say(word: str) -> None:
            for _ in range(4):
                said.append(word)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(say(word)) for word in "ab"]
        await asyncio.sleep(0)
        await say("c")
        await asyncio.gather(*tasks)
        return "".join(said)

    # The first steps of eager tasks come before the handler's first yield.
    assert in_order(body) in ("abcabcabcabc", "ababcabcabcc")


def test_a_task_that_was_cancelled_is_after_one_turn(in_order: Callable[..., Any]) -> None:
    async def body() -> bool:
        task = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        return task.cancelled()

    assert in_order(body)


def test_a_condition_wakes_who_waits_for_it(in_order: Callable[..., Any]) -> None:
    async def body() -> list[str]:
        condition = asyncio.Condition()
        woken: list[str] = []

        async def wait(name: str) -> None:
            async with condition:
                await condition.wait()
                woken.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in "ab"]
        await asyncio.sleep(0)
        async with condition:
            condition.notify()
        await asyncio.sleep(0)
        async with condition:
            condition.notify()
        async with asyncio.timeout(120):
            await asyncio.gather(*tasks)
        return woken

    assert in_order(body) == ["a", "b"]


def test_a_timeout_of_zero_ends_a_loop_that_only_yields(in_order: Callable[..., Any]) -> None:
    async def body() -> int:
        turns = 0
        try:
            async with asyncio.timeout(0):
                while turns < 100:
                    await asyncio.sleep(0)
                    turns += 1
        except TimeoutError:
            pass
        return turns

    assert in_order(body) <= 1


def test_wait_for_gives_what_is_ready_its_turn(in_order: Callable[..., Any]) -> None:
    async def body() -> str:
        async def answer() -> str:
            await asyncio.sleep(0)
            return "answer"

        return await asyncio.wait_for(answer(), 120)

    assert in_order(body) == "answer"


def test_a_drain_on_a_closing_connection_fails(place: Run) -> None:
    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def body() -> str:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            _reader, writer = await asyncio.open_connection(*address[:2])
            writer.transport.abort()
            with pytest.raises(ConnectionResetError):
                await writer.drain()
        return "failed"

    assert on_loop("asyncio", lambda system: place(system, body)) == "failed"


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_requests_do_not_go_round_the_loop(loop_name: str) -> None:
    async def main(system: ActorSystem) -> int:
        other = system.start(Runs)
        turns: list[int] = []

        async def answer() -> str:
            return "answer"

        async def body() -> int:
            asyncio.get_running_loop().call_soon(turns.append, 1)
            for _ in range(5):
                assert await other.request(answer) == "answer"
            return len(turns)

        return await system.start(Runs).request(body)  # type: ignore[no-any-return]

    turns = on_loop(loop_name, main)
    # A seed lets each turn of an actor be chosen among all that could happen.
    assert turns == 0 or loop_name == "simulated, seeded"


# -- what may happen to an actor meanwhile ---------------------------------------------------------


async def _spin(turns: list[str]) -> None:
    try:
        while True:
            await asyncio.sleep(0)
            turns.append("turn")
    finally:
        for _ in range(3):
            await asyncio.sleep(0)
        turns.append("end")


async def _spinning(system: ActorSystem) -> tuple[ActorRef[Any], list[str]]:
    turns: list[str] = []
    one = system.start(Runs)
    one.tell(lambda: _spin(turns))
    async with asyncio.timeout(120):
        while not turns:
            await asyncio.sleep(0)
    return one, turns


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_an_exit_signal_reaches_a_handler_that_only_yields(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one, turns = await _spinning(system)
        one.exit("stop")
        assert await ended(one) == "stop"
        assert turns[-1] == "end"
        assert turns.count("end") == 1
        assert system.abandoned == 0

    on_loop(loop_name, main)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_a_killed_handler_that_only_yields_cleans_up_fenced(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one, turns = await _spinning(system)
        one.kill()
        assert await ended(one) == "killed"
        await until(lambda: turns[-1] == "end")
        assert not system.scheduler.zombies

    on_loop(loop_name, main)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_a_handler_that_yields_for_ever_is_left_behind(loop_name: str) -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(0.001)
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass

    async def body() -> None:
        async with ActorSystem("inside", cancel_grace_s=0.01) as system:
            one = system.start(Runs)
            one.tell(stubborn)
            await asyncio.sleep(0.005)
            one.exit("stop")
            assert await ended(one) == "stop"
            await until(lambda: not system.scheduler.zombies)
            assert system.abandoned == 1

    on_loop(loop_name, lambda _system: body())


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_a_suspended_actor_ends_the_message_that_it_is_at(loop_name: str) -> None:
    async def main(system: ActorSystem) -> None:
        one = system.start(Runs)
        handled: list[int] = []

        def work(number: int) -> Callable[[], Awaitable[None]]:
            async def yields() -> None:
                for _ in range(5):
                    await asyncio.sleep(0)
                handled.append(number)

            return yields

        for number in range(2):
            one.tell(work(number))
        await asyncio.sleep(0)
        system.suspend(one)
        await until(lambda: handled)
        await asyncio.sleep(0.01)
        assert handled == [0]
        system.resume(one)
        await until(lambda: len(handled) == 2)

    on_loop(loop_name, main)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_a_cancelled_request_ends_the_yielding_work_of_an_agent(loop_name: str) -> None:
    async def main(_system: ActorSystem) -> None:
        turns: list[str] = []

        async def handler(payload: str) -> str:
            if payload == "spin":
                await _spin(turns)
            return payload

        agent = Agent("spins", handler=handler)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await agent.ask("spin")
        await until(lambda: turns and turns[-1] == "end")
        assert await agent.ask("after") == "after"

    if loop_name.startswith("simulated"):
        pytest.skip("virtual time does not pass while something only yields")
    on_loop(loop_name, main)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_a_cancellation_waits_for_the_future_that_is_done(loop_name: str) -> None:
    """Or the wake-up that is under way would come in the middle of the next await."""

    async def main(system: ActorSystem) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        tasks: list[Any] = []

        async def body() -> str:
            tasks.append(asyncio.current_task())
            try:
                await future
            except asyncio.CancelledError:
                tasks[0].uncancel()
                await asyncio.sleep(0.001)
                return "cleaned up"
            return "was not cancelled"

        asked = system.start(Runs).request(body)
        await until(lambda: tasks and tasks[0]._fut_waiter is not None)
        future.set_result("done")
        tasks[0].cancel()
        assert await asked == "cleaned up"

    on_loop(loop_name, main)


def test_information_about_an_actor_that_yields() -> None:
    async def main(system: ActorSystem) -> None:
        one, _turns = await _spinning(system)
        info = system.info(one)
        assert info.state == "waiting"
        assert info.busy_s is not None
        one.kill()
        with pytest.raises(ActorDied):
            await one.request("more")
        await ended(one)

    on_loop("asyncio", main)
