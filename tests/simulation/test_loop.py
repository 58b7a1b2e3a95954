"""The simulated loop is an asyncio loop, in virtual time, in an order that repeats."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from agenticaiframework.actors.simulation import (
    RealIORefused,
    SimLoop,
    SimulationLivelock,
    SimulationStalled,
    run_sim,
)

SEEDS = (None, 1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_of_sleeping_takes_no_time(seed: int | None) -> None:
    async def main() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert run_sim(main, seed=seed) == 86_400


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_asyncio_works_unchanged(seed: int | None, debug: bool) -> None:
    async def main() -> list[object]:
        seen: list[object] = []
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock = asyncio.Lock()

        async def produce() -> None:
            for number in range(5):
                await queue.put(number)

        async def consume() -> None:
            for _ in range(5):
                number = await queue.get()
                seen.append(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(60), 2)
        async with lock:
            waiting = asyncio.create_task(lock.acquire())
            await asyncio.sleep(1)
            assert not waiting.done()
        await waiting
        done, pending = await asyncio.wait(
            [asyncio.create_task(asyncio.sleep(1)), asyncio.create_task(asyncio.sleep(9))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        seen.append((len(done), len(pending)))
        for task in pending:
            task.cancel()
        condition = asyncio.Condition()
        async with condition:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(condition.wait(), 1)
        seen.append(await asyncio.gather(*(asyncio.sleep(1, n) for n in range(3))))
        seen.append(asyncio.get_running_loop().time())
        return seen

    with asyncio.Runner(loop_factory=lambda: SimLoop(seed=seed), debug=debug) as runner:
        assert runner.run(main()) == [0, 1, 2, 3, 4, (1, 1), [0, 1, 2], 9.0]


def test_without_a_seed_the_order_is_that_of_a_real_loop() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()

        async def worker(name: str, pauses: int) -> None:
            for n in range(pauses):
                order.append(f"{name}{n}")
                loop.call_soon(order.append, f"{name}{n}!")
                await asyncio.sleep(0)

        await asyncio.gather(worker("a", 3), worker("b", 1), worker("c", 4))
        return order

    assert run_sim(main) == asyncio.run(main())


async def _race() -> str:
    order: list[str] = []

    async def worker(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(1)

    await asyncio.gather(*(worker(name) for name in "abc"))
    return "".join(order)


def test_a_seed_gives_the_same_order_every_time_and_seeds_differ() -> None:
    orders = [run_sim(_race, seed=seed) for seed in range(20)]
    assert orders == [run_sim(_race, seed=seed) for seed in range(20)]
    assert len(set(orders)) > 10
    assert all(sorted(order) == sorted("abc" * 3) for order in orders)


def test_call_soon_keeps_its_promised_order_under_every_seed() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(10):
            loop.call_soon(seen.append, number)
        await asyncio.sleep(1)
        return seen

    for seed in range(20):
        assert run_sim(main, seed=seed) == list(range(10))


def test_timers_due_at_the_same_moment_fire_in_any_order_and_others_in_theirs() -> None:
    async def main() -> tuple[int, ...]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(4):
            loop.call_at(5, seen.append, number)
        loop.call_at(4, seen.append, -1)
        await asyncio.sleep(6)
        return tuple(seen)

    outcomes = {run_sim(main, seed=seed) for seed in range(40)}
    assert len(outcomes) > 10
    assert {outcome[0] for outcome in outcomes} == {-1}
    assert run_sim(main) == (-1, 0, 1, 2, 3)


def test_tasks_in_a_set_are_cancelled_in_the_order_of_their_making() -> None:
    script = """
import asyncio
from agenticaiframework.actors.simulation import run_sim

async def main():
    order = []
    async def wait(n):
        try:
            await asyncio.sleep(100)
        finally:
            order.append(n)
    async def fail():
        await asyncio.sleep(1)
        raise ValueError
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(wait(n))
            group.create_task(fail())
    except* ValueError:
        pass
    left = [asyncio.create_task(wait(-n)) for n in range(50)]
    await asyncio.sleep(1)
    return order

for seed in (None, 7):
    print(run_sim(main, seed=seed))
"""
    outputs = set()
    for hash_seed in ("0", "1", "random"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_blocking_work_runs_inline_and_its_sleeps_cost_only_virtual_time() -> None:
    def work() -> tuple[int, bool]:
        time.sleep(30)
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return threading.get_ident(), True

    async def main() -> tuple[float, list[float]]:
        loop = asyncio.get_running_loop()
        ticks: list[float] = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(10)
                ticks.append(loop.time())

        ticking = asyncio.create_task(tick())
        thread, _ = await asyncio.to_thread(work)
        assert thread == threading.get_ident()
        ticking.cancel()
        return loop.time(), ticks[:2]

    # The two 10-second ticks show that the loop was not blocked meanwhile.
    assert run_sim(main) == (30.0, [10.0, 20.0])


def test_blocking_work_carries_context_only_through_to_thread() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def main() -> tuple[str, str]:
        variable.set("set")
        loop = asyncio.get_running_loop()
        return (
            await loop.run_in_executor(None, variable.get),
            await asyncio.to_thread(variable.get),
        )

    assert run_sim(main) == ("unset", "set")


def test_an_error_in_blocking_work_reaches_its_waiter() -> None:
    def fail() -> None:
        raise KeyError("x")

    async def main() -> None:
        await asyncio.to_thread(fail)

    with pytest.raises(KeyError):
        run_sim(main)


def test_time_sleep_on_the_loop_blocks_the_loop_in_virtual_time() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        late: list[float] = []
        loop.call_later(1, lambda: late.append(loop.time()))
        await asyncio.sleep(0)
        time.sleep(60)  # noqa: ASYNC251 - the mistake under test
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return late

    real_sleep = time.sleep
    assert run_sim(main) == [60.0]
    assert time.sleep is real_sleep


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cancelled_timer_that_was_due_does_not_let_time_pass_what_is_ready(
    seed: int | None,
) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        loop.call_later(1000, seen.append, -1.0)
        cancelled = loop.call_later(1, seen.append, -2.0)

        async def ready() -> None:
            seen.append(loop.time())

        time.sleep(60)  # noqa: ASYNC251 - the loop is blocked past the timer
        cancelled.cancel()
        await asyncio.create_task(ready())
        return seen

    assert run_sim(main, seed=seed) == [60.0]


def test_time_sleep_in_another_thread_stays_real() -> None:
    slept: list[float] = []

    def other() -> None:
        began = time.monotonic()
        time.sleep(0.02)
        slept.append(time.monotonic() - began)

    async def main() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)

    run_sim(main, loop=SimLoop(allow_threads=True))
    assert slept[0] >= 0.019


@pytest.mark.parametrize(
    "reach_out",
    [
        lambda loop: loop.create_connection(asyncio.Protocol, "localhost", 80),
        lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.add_signal_handler(2, print),
        lambda loop: loop.getaddrinfo("localhost", 80),
    ],
)
def test_real_io_is_refused_with_what_to_do_instead(
    reach_out: Callable[[SimLoop], Awaitable[object] | None],
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        outcome = reach_out(loop)
        if outcome is not None:
            await outcome

    with pytest.raises(
        RealIORefused, match=r"loop\.\w+\(\) reaches outside .* (fake|function|Call|Use)"
    ):
        run_sim(main)


def use_socket(method: str) -> None:
    with socket.socket() as opened:
        getattr(opened, method)(("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("reach_out", "said"),
    [
        (lambda: use_socket("connect"), "fake client"),
        (lambda: use_socket("bind"), "fake client"),
        (lambda: subprocess.run(["true"]), "in the place of the child process"),
        (lambda: threading.Thread(target=print).start(), "asyncio.to_thread"),
    ],
)
def test_real_io_past_the_loop_is_refused_too(reach_out: Callable[[], object], said: str) -> None:
    async def inside() -> None:
        reach_out()

    async def in_a_thread() -> None:
        await asyncio.to_thread(reach_out)

    for main in (inside, in_a_thread):
        with pytest.raises(RealIORefused, match=said):
            run_sim(main)


def test_outside_of_simulated_runs_nothing_is_refused() -> None:
    run_sim(lambda: asyncio.sleep(1))
    done = subprocess.run([sys.executable, "-c", "print(7)"], capture_output=True, text=True)
    assert done.stdout == "7\n"
    thread = threading.Thread(target=int)
    thread.start()
    thread.join(60)


def test_waiting_for_what_never_comes_is_an_error_that_names_the_waiter() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.Event().wait(), name="patient")
        await task

    with pytest.raises(SimulationStalled, match=r"patient at .*locks\.py") as caught:
        run_sim(main)
    assert len(caught.value.waiting) == 2


def test_spinning_without_time_is_an_error_and_ticks_make_it_end() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        while loop.time() < 1:
            await asyncio.sleep(0)
        return loop.time()

    with pytest.raises(SimulationLivelock, match="tick_s"):
        run_sim(main, loop=SimLoop(max_steps=1000))
    assert run_sim(main, loop=SimLoop(tick_s=0.01)) == pytest.approx(1.0)


def test_settle_fires_timers_and_settle_ready_does_not() -> None:
    loop = SimLoop()
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, loop.time()))

    loop.call_later(5, note, "late")
    loop.call_later(2, note, "early")
    loop.call_soon(note, "now")
    loop.settle_ready()
    assert seen == [("now", 0.0)]
    assert loop.next_timer() == 2
    loop.advance_to(3)
    loop.settle_ready()
    assert seen == [("now", 0.0)]
    loop.advance_to(1)
    assert loop.time() == 3
    loop.settle(until=4)
    loop.settle()
    assert seen[1:] == [("early", 3.0), ("late", 5.0)]
    assert loop.next_timer() is None
    loop.close()


def test_calls_from_other_threads_arrive() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(future.set_result, threading.get_ident())
        )
        thread.start()
        thread.join(60)
        return await future

    for seed in SEEDS:
        loop = SimLoop(seed=seed, allow_threads=True)
        assert run_sim(main, loop=loop) == threading.get_ident()


def test_cancelled_timers_do_not_pile_up() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        for _ in range(10_000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0)
        return len(loop._timers)

    assert run_sim(main) < 1000


def test_async_generators_left_open_are_closed_in_the_order_of_their_first_use() -> None:
    closed: list[int] = []

    async def numbers(which: int) -> AsyncIterator[int]:
        try:
            yield which
        finally:
            await asyncio.sleep(0)
            closed.append(which)

    kept = [numbers(n) for n in range(10)]

    async def main() -> None:
        for agen in reversed(kept):
            await anext(agen)

    run_sim(main)
    assert closed == list(range(9, -1, -1))


def test_what_main_leaves_behind_is_cancelled() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(endless())
        await asyncio.sleep(1)
        return task

    assert run_sim(main, seed=3).cancelled()
    assert ended == ["cancelled"]


def test_exceptions_that_nobody_awaited_are_kept() -> None:
    loop = SimLoop()
    loop.set_exception_handler(lambda loop, context: None)
    loop.call_soon(lambda: 1 / 0)
    loop.settle()
    assert isinstance(loop.unhandled[0]["exception"], ZeroDivisionError)
    loop.close()


def test_unnamed_tasks_get_the_same_names_in_every_run() -> None:
    async def main() -> list[str]:
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
        return [task.get_name() for task in tasks]

    assert run_sim(main) == run_sim(main) == ["Task-2", "Task-3", "Task-4"]


def test_a_closed_loop_says_so() -> None:
    loop = SimLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.settle()


def test_seed_and_chooser_together_are_refused() -> None:
    class First:
        def choose(self, candidates: object) -> int:
            return 0

    with pytest.raises(ValueError, match=r"SimLoop\(seed=1\)"):
        SimLoop(seed=1, chooser=First())
