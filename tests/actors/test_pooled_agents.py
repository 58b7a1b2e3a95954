"""Agents that handle several messages at once: a pool of incarnations behind one address."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from child_work import slow_pid
from puppets import Crash, until

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentDefinitionError,
    AgentFailed,
    AgentTimeout,
    CallingSelf,
    Mailbox,
    MailboxFull,
    agent_context,
    causes_of,
)
from agenticaiframework.actors.agents.agent_pool import IDLE_S
from agenticaiframework.testing import scripted_model

Run = Callable[..., Any]


class Meter:
    """Counts how many handlers run at once, and in how many incarnations."""

    def __init__(self) -> None:
        self.now = self.most = self.starts = self.stops = 0
        self.reasons: list[Any] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Generator[None, None, None]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1

    async def sleep(self, payload: float) -> float:
        with self.one():
            await asyncio.sleep(payload)
        return payload

    def started(self) -> None:
        self.starts += 1

    def stopped(self, reason: Any) -> None:
        self.stops += 1
        self.reasons.append(reason)


async def fails(payload: Any) -> Any:
    await asyncio.sleep(0.1)
    if payload == "crash":
        raise Crash("boom")
    return payload


async def deaf(payload: Any) -> Any:
    while payload == "deaf":
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await asyncio.sleep(0.01)
    return payload


# -- what is declared ----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, 2.0, "3", True])
def test_a_concurrency_is_a_whole_number_of_at_least_one(wrong: Any) -> None:
    with pytest.raises(AgentDefinitionError, match="concurrency of agent 'a'"):
        Agent("a", handler=fails, concurrency=wrong)


def test_a_handler_has_one_at_a_time_and_a_model_many_unless_it_is_said() -> None:
    assert Agent("a", handler=fails).concurrency == 1
    assert Agent("a", model="m").concurrency == 32
    assert Agent("a", model="m", concurrency=1).concurrency == 1
    assert Agent("a", handler=fails, concurrency=4).concurrency == 4


def test_with_one_at_a_time_there_is_one_actor_and_no_pool(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", model="m", concurrency=1)
        with scripted_model(lambda name, payload: payload):
            assert await agent.ask("x") == "x"
        assert [ref.actor_class.__name__ for ref in system.actors()] == ["AgentActor"]
        assert agent.address().room == 0
        assert agent.address().handlers() == (agent.address().ref,)

    in_sim(main)


# -- at once -------------------------------------------------------------------------------------


def test_so_many_are_handled_at_once_and_no_more(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=3)
        began = system.clock()
        assert await asyncio.gather(*(agent.ask(1.0) for _ in range(9))) == [1.0] * 9
        assert meter.most == 3
        assert system.clock() - began == pytest.approx(3.0)

    in_sim(main)


def test_ten_callers_of_a_model_wait_as_long_as_one(in_sim: Run) -> None:
    async def answer(name: str, payload: Any) -> Any:
        await asyncio.sleep(0.3)
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("a", model="m")
        with scripted_model(answer):
            began = system.clock()
            assert await asyncio.gather(*(agent.ask(n) for n in range(10))) == list(range(10))
        assert system.clock() - began == pytest.approx(0.3)

    in_sim(main)


def test_messages_begin_in_the_order_in_which_they_came(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        order: list[int] = []

        async def note(payload: int) -> None:
            order.append(payload)
            await asyncio.sleep(0.1)

        agent = Agent("a", handler=note, concurrency=3)
        for n in range(20):
            agent.tell(n)
        await until(lambda: len(order) == 20)
        assert order == list(range(20))

    in_sim(main)


def test_each_dispatcher_handles_so_many_at_once(dispatcher: str, in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        barrier = threading.Barrier(3)
        threads: set[str] = set()

        def meet(payload: Any) -> Any:
            threads.add(threading.current_thread().name)
            barrier.wait(120)
            return payload

        async def on_the_loop(payload: Any) -> Any:
            return await asyncio.to_thread(meet, payload)

        handler = on_the_loop if dispatcher == "event_loop" else meet
        agent = Agent("a", handler=handler, dispatcher=dispatcher, concurrency=3)
        for _ in range(3):
            assert await asyncio.gather(*(agent.ask(n) for n in range(3))) == [0, 1, 2]
        assert len(threads) >= 3
        assert len(agent.address().handlers()) == 3

    in_system(main)


def test_a_process_agent_handles_several_in_processes(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=slow_pid, dispatcher="process", concurrency=2)
        assert len(set(await asyncio.gather(*(agent.ask(0.3) for _ in range(2))))) == 2

    in_system(main, processes=2)


async def nap(payload: float) -> None:
    await asyncio.sleep(payload)


@pytest.mark.parametrize(
    ("handler", "dispatcher"),
    [(nap, "event_loop"), (time.sleep, "thread"), (slow_pid, "process")],
    ids=["event_loop", "thread", "process"],
)
def test_an_incarnation_counts_the_messages_that_it_is_handed_and_nothing_else(
    in_system: Run, handler: Any, dispatcher: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=handler, dispatcher=dispatcher, concurrency=2)
        for _ in range(3):
            await asyncio.gather(*(agent.ask(0.01) for _ in range(2)))

        def handled() -> int:
            return sum(system.info(ref).handled for ref in agent.address().handlers())

        await until(lambda: handled() == 6)

    in_system(main, processes=2)


def test_the_context_of_a_message_is_that_of_its_own_handler(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def who(payload: Any) -> Any:
            await asyncio.sleep(0.1)
            return agent_context().get("user")

        agent = Agent("a", handler=who, concurrency=4)
        asks = [agent.ask(None, context={"user": n}) for n in range(12)]
        assert await asyncio.gather(*asks) == list(range(12))

    in_sim(main)


@pytest.mark.parametrize("concurrency", [2, 3])
def test_where_all_incarnations_wait_for_it_an_ask_of_itself_is_refused(
    in_sim: Run, concurrency: int
) -> None:
    async def count_down(depth: int) -> int:
        return 1 + await agent.ask(depth - 1) if depth else 0

    agent = Agent("recursive", handler=count_down, concurrency=concurrency)

    async def main(_: ActorSystem) -> None:
        assert await agent.ask(concurrency - 1) == concurrency - 1
        with pytest.raises(AgentFailed) as caught:
            await agent.ask(concurrency)
        assert any(isinstance(error, CallingSelf) for error in causes_of(caught.value))
        assert await agent.ask(concurrency - 1) == concurrency - 1

    in_sim(main)


def test_it_may_ask_itself_where_another_incarnation_is_free(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def countdown(payload: int) -> int:
            return 0 if payload == 0 else 1 + await agent.ask(payload - 1)

        agent = Agent("a", handler=countdown, concurrency=4)
        assert await agent.ask(3) == 3
        with contextlib.suppress(CallingSelf, AgentFailed, AgentTimeout):
            await agent.ask(4, timeout=1)

    in_sim(main)


# -- the mailbox is one --------------------------------------------------------------------------


def test_the_bound_of_the_mailbox_is_that_of_what_waits(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=2, mailbox=Mailbox(3))
        asks = [asyncio.ensure_future(agent.ask(1.0)) for _ in range(2)]
        await asyncio.sleep(0.1)
        asks += [asyncio.ensure_future(agent.ask(1.0)) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(MailboxFull):
            agent.tell(1.0)
        assert await asyncio.gather(*asks) == [1.0] * 5

    in_sim(main)


def test_a_mailbox_that_drops_the_oldest_drops_what_waits(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        handled: list[int] = []

        async def note(payload: int) -> None:
            handled.append(payload)
            await asyncio.sleep(1)

        agent = Agent("a", handler=note, concurrency=2, mailbox=Mailbox(2, overflow="drop_oldest"))
        agent.tell(0)
        agent.tell(1)
        await asyncio.sleep(0.5)
        for n in range(2, 6):
            agent.tell(n)
        await asyncio.sleep(5)
        assert handled == [0, 1, 4, 5]

    in_sim(main)


# -- only its own request ------------------------------------------------------------------------


def test_a_crash_costs_only_its_own_request(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=fails, concurrency=4)
        payloads = [n if n % 3 else "crash" for n in range(40)]
        answers = await asyncio.gather(*(agent.ask(p) for p in payloads), return_exceptions=True)
        for payload, answer in zip(payloads, answers, strict=True):
            if payload == "crash":
                assert isinstance(answer, AgentFailed)
                assert isinstance(answer.__cause__, Crash)
            else:
                assert answer == payload

    in_sim(main)


def test_a_told_message_that_crashes_is_a_dead_letter_with_the_cause(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=fails, concurrency=2)
        agent.tell("crash")
        agent.tell("crash")
        assert await agent.ask("x") == "x"
        letters = [letter for letter in system.dead_letters if isinstance(letter.reason, Crash)]
        assert len(letters) == 2

    in_sim(main)


def test_a_kill_of_one_costs_only_its_own_request(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=3)
        asks = [asyncio.ensure_future(agent.ask(1.0)) for _ in range(6)]
        await asyncio.sleep(0.5)
        agent.address().handlers()[1].kill()
        await asyncio.sleep(0.1)
        assert len(agent.address().handlers()) == 3
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert [answer for answer in answers if answer == 1.0] == [1.0] * 5
        assert sum(isinstance(answer, AgentFailed) for answer in answers) == 1

    in_sim(main)


def test_a_timeout_costs_only_its_own_request(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=2)
        late = asyncio.ensure_future(agent.ask(100.0, timeout=0.5))
        rest = [asyncio.ensure_future(agent.ask(1.0)) for _ in range(3)]
        with pytest.raises(AgentTimeout):
            await late
        assert await asyncio.gather(*rest) == [1.0] * 3
        assert system.clock() < 4

    in_sim(main)


def test_deaf_handlers_cost_nobody_else_anything(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=deaf, concurrency=8)
        losers = [asyncio.ensure_future(agent.ask("deaf", timeout=0.1)) for _ in range(7)]
        await asyncio.sleep(0.01)
        asks = [agent.ask("well", timeout=2) for _ in range(100)]
        assert (await asyncio.gather(*asks)).count("well") == 100
        for answer in await asyncio.gather(*losers, return_exceptions=True):
            assert isinstance(answer, AgentTimeout)
        await asyncio.sleep(10)
        assert await agent.ask("well") == "well"

    in_sim(main)


def test_more_deaf_handlers_than_places_cost_the_others_little(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=deaf, concurrency=4)
        losers = [asyncio.ensure_future(agent.ask("deaf", timeout=0.1)) for _ in range(4)]
        await asyncio.sleep(0.01)
        asks = [agent.ask("well", timeout=2) for _ in range(100)]
        assert (await asyncio.gather(*asks)).count("well") == 100
        await asyncio.gather(*losers, return_exceptions=True)
        await asyncio.sleep(10)

    in_sim(main)


def test_cancelled_work_may_clean_up_as_long_as_nobody_waits(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        cleaned: list[Any] = []

        async def tidy(payload: Any) -> Any:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(3)
                cleaned.append(payload)

        agent = Agent("a", handler=tidy, concurrency=2)
        asks = [agent.ask(n, timeout=0.1) for n in range(2)]
        await asyncio.gather(*asks, return_exceptions=True)
        await asyncio.sleep(4)
        assert cleaned == [0, 1]
        assert system.abandoned == 0

    in_sim(main)


def test_a_deaf_handler_whose_asker_is_cancelled_is_left_behind_alone(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("a", handler=deaf, concurrency=2)
        ask = asyncio.ensure_future(agent.ask("deaf"))
        await asyncio.sleep(0.1)
        ask.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ask
        assert await agent.ask("well", timeout=1) == "well"
        await asyncio.sleep(10)
        assert system.abandoned == 1
        assert agent.busy == 0
        assert await asyncio.gather(*(agent.ask(n) for n in range(5))) == list(range(5))

    in_sim(main)


def test_a_blocked_thread_costs_only_its_own_request(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        gate = threading.Event()

        def block(payload: Any) -> Any:
            if payload == "block":
                gate.wait(120)
            return payload

        agent = Agent("a", handler=block, concurrency=2)
        ask = asyncio.ensure_future(agent.ask("block", timeout=0.2))
        answers = await asyncio.gather(*(agent.ask(n) for n in range(30)))
        assert answers == list(range(30))
        with pytest.raises(AgentTimeout):
            await ask
        assert await asyncio.gather(*(agent.ask(n) for n in range(30))) == list(range(30))
        gate.set()

    in_system(main)


def test_a_request_withdrawn_in_the_queue_is_never_handled(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        handled: list[Any] = []

        async def note(payload: Any) -> None:
            handled.append(payload)
            await asyncio.sleep(1)

        agent = Agent("a", handler=note, concurrency=2)
        first = [asyncio.ensure_future(agent.ask(n)) for n in range(2)]
        await asyncio.sleep(0.1)
        withdrawn = asyncio.ensure_future(agent.ask("withdrawn"))
        late = asyncio.ensure_future(agent.ask("late", timeout=0.5))
        await asyncio.sleep(0.1)
        withdrawn.cancel()
        await asyncio.gather(*first)
        await agent.ask("last")
        assert handled == [0, 1, "last"]
        assert isinstance((await asyncio.gather(late, return_exceptions=True))[0], AgentTimeout)

    in_sim(main)


# -- starting and ending -------------------------------------------------------------------------


def test_each_incarnation_has_its_own_start_and_end(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent(
            "a",
            handler=meter.sleep,
            concurrency=3,
            on_start=meter.started,
            on_stop=meter.stopped,
        )
        await asyncio.gather(*(agent.ask(1.0) for _ in range(5)))
        assert meter.starts == 3
        await agent.stop("enough")
        assert meter.stops == 3
        assert meter.reasons == ["enough"] * 3
        assert system.actor_count == 0
        assert await agent.ask(0.1) == 0.1
        assert meter.starts == 4

    in_sim(main)


def test_only_as_many_are_started_as_are_needed(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=32)
        for _ in range(10):
            await agent.ask(0.1)
        assert len(agent.address().handlers()) == 1
        assert agent.address().room == 31
        await asyncio.gather(*(agent.ask(0.1) for _ in range(4)))
        assert len(agent.address().handlers()) == 4

    in_sim(main)


def test_many_model_agents_cost_two_actors_each_at_rest(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"m{n}", model="m") for n in range(1_000)]
        with scripted_model(lambda name, payload: payload):
            for agent in agents:
                assert await agent.ask(1) == 1
        assert system.actor_count == 2_000

    in_sim(main)


def test_idle_ones_end_and_the_last_one_stays(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=8, on_stop=meter.stopped)
        await asyncio.gather(*(agent.ask(0.1) for _ in range(8)))
        assert len(agent.address().handlers()) == 8
        await asyncio.sleep(IDLE_S * 2 + 1)
        assert len(agent.address().handlers()) == 1
        assert meter.reasons == ["normal"] * 7
        assert await asyncio.gather(*(agent.ask(0.1) for _ in range(8))) == [0.1] * 8
        await asyncio.sleep(IDLE_S * 10)
        assert len(agent.address().handlers()) == 1

    in_sim(main)


def test_what_is_in_use_is_not_ended(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=4, on_stop=meter.stopped)
        asks = [asyncio.ensure_future(agent.ask(IDLE_S * 3)) for _ in range(3)]
        await asyncio.sleep(0)
        for _ in range(40):
            await agent.ask(IDLE_S / 10)
        assert await asyncio.gather(*asks) == [IDLE_S * 3] * 3
        assert not [reason for reason in meter.reasons if reason != "normal"]

    in_sim(main)


def test_a_slow_start_holds_up_no_message_that_another_can_take(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        starts: list[float] = []

        async def start() -> None:
            starts.append(system.clock())
            await asyncio.sleep(10.0 if len(starts) > 1 else 0.0)

        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=4, on_start=start)
        await agent.ask(0.1)
        began = system.clock()
        assert await asyncio.gather(*(agent.ask(0.1) for _ in range(5))) == [0.1] * 5
        assert system.clock() - began < 1
        assert len(starts) <= 4

    in_sim(main)


def test_many_starts_are_under_way_at_the_same_time(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def start() -> None:
            await asyncio.sleep(1.0)

        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=8, on_start=start)
        began = system.clock()
        await asyncio.gather(*(agent.ask(5.0) for _ in range(8)))
        assert system.clock() - began == pytest.approx(7.0)
        assert meter.most == 8

    in_sim(main)


def test_a_first_start_that_fails_reaches_all_who_asked(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def start() -> None:
            await asyncio.sleep(0.1)
            raise Crash("no database")

        agent = Agent("a", handler=fails, concurrency=4, on_start=start)
        answers = await asyncio.gather(*(agent.ask(n) for n in range(6)), return_exceptions=True)
        for answer in answers:
            assert isinstance(answer, AgentFailed)
            assert "no database" in str(answer)
        assert system.actor_count == 0

    in_sim(main)


def test_a_later_start_that_fails_reaches_the_one_that_it_was_for(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        starts: list[int] = []

        async def start() -> None:
            starts.append(1)
            await asyncio.sleep(0.1)
            if len(starts) > 1:
                raise Crash("too many connections")

        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=3, on_start=start)
        assert await agent.ask(0.1) == 0.1
        long = asyncio.ensure_future(agent.ask(5.0))
        await asyncio.sleep(0)
        answers = await asyncio.gather(*(agent.ask(0.2) for _ in range(2)), return_exceptions=True)
        assert all(isinstance(answer, AgentFailed) for answer in answers)
        assert await long == 5.0
        assert await agent.ask(0.2) == 0.2

    in_sim(main)


def test_a_stop_cancels_what_runs_and_a_stop_of_the_system_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=3, on_stop=meter.stopped)
        asks = [asyncio.ensure_future(agent.ask(100.0)) for _ in range(5)]
        await asyncio.sleep(0.1)
        await agent.stop()
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert all(isinstance(answer, AgentFailed) for answer in answers)
        assert meter.stops == 3
        assert system.clock() < 1
        asks = [asyncio.ensure_future(agent.ask(100.0)) for _ in range(2)]
        await asyncio.sleep(0.1)
        await system.stop()
        await asyncio.gather(*asks, return_exceptions=True)
        assert meter.stops == 5

    in_sim(main)


def test_a_killed_pool_leaves_no_incarnation(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=3, on_stop=meter.stopped)
        asks = [asyncio.ensure_future(agent.ask(100.0)) for _ in range(3)]
        await asyncio.sleep(0.1)
        pool = agent.address().ref
        assert pool is not None
        pool.kill()
        await asyncio.gather(*asks, return_exceptions=True)
        await system.wait_ended(pool)
        assert system.actor_count == 0
        assert meter.stops == 3

    in_sim(main)


def test_what_waits_outlives_a_pool_that_is_killed(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent = Agent("a", handler=meter.sleep, concurrency=2)
        lost = [asyncio.ensure_future(agent.ask(50.0)) for _ in range(2)]
        await asyncio.sleep(0.1)
        waiting = [asyncio.ensure_future(agent.ask(n / 10)) for n in range(4)]
        await asyncio.sleep(0.1)
        pool = agent.address().ref
        assert pool is not None
        pool.kill()
        assert await asyncio.gather(*waiting) == [n / 10 for n in range(4)]
        for answer in await asyncio.gather(*lost, return_exceptions=True):
            assert isinstance(answer, AgentFailed)

    in_sim(main)


def test_an_agent_that_nobody_keeps_ends_when_its_work_is_done(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent: Agent | None = Agent("a", handler=meter.sleep, concurrency=3)
        assert agent is not None
        asks = [asyncio.ensure_future(agent.ask(1.0)) for _ in range(3)]
        await asyncio.sleep(0.5)
        for ask in asks:
            ask.cancel()
        await asyncio.gather(*asks, return_exceptions=True)
        asks.clear()
        ask = None
        agent.tell(2.0)
        await asyncio.sleep(0.1)
        agent = None
        gc.collect()  # the frames of the errors above
        await until(lambda: system.actor_count == 0)
        assert meter.now == 0

    in_sim(main)


@pytest.mark.parametrize("slow_start", [False, True])
def test_an_actor_stop_comes_after_what_was_told_before(slow_start: bool, in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        done: list[int] = []

        async def start() -> None:
            await asyncio.sleep(1)

        async def work(payload: int) -> None:
            await asyncio.sleep(1)
            done.append(payload)

        hook = start if slow_start else None
        agent = Agent("a", handler=work, concurrency=3, on_start=hook)
        for n in range(7):
            agent.tell(n)
        await asyncio.sleep(0)
        pool = agent.address().ref
        assert pool is not None
        pool.stop(block=False)
        await system.wait_ended(pool)
        assert sorted(done) == list(range(7))
        assert system.actor_count == 0

    in_sim(main)


def test_busy_says_how_many_run(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        meter = Meter()
        agent, single = (
            Agent("a", handler=meter.sleep, concurrency=3),
            Agent("b", handler=meter.sleep),
        )
        assert agent.busy == single.busy == 0
        asks = [agent.ask(1.0) for _ in range(2)] + [single.ask(1.0) for _ in range(2)]
        running = asyncio.gather(*asks)
        await asyncio.sleep(0.5)
        assert (agent.busy, single.busy) == (2, 1)
        ref = agent.address().ref
        assert ref is not None
        info = system.info(ref)
        assert (info.busy, info.concurrency) == (2, 3)
        await running
        assert (agent.busy, single.busy) == (0, 0)

    in_sim(main)


def test_eight_hundred_innocent_runs_beside_deaf_ones(in_sim: Run) -> None:
    """Each has 2 s of its own; none waits out the grace of one that does not obey."""

    async def provider(name: str, payload: Any) -> Any:
        return await deaf(payload)

    async def main(system: ActorSystem) -> None:
        agent = Agent("model", model="m")
        answered = 0
        with scripted_model(provider):
            for round_ in range(80):
                losers: list[asyncio.Future[Any]] = []
                if round_ % 4 == 0:
                    losers.append(asyncio.ensure_future(agent.ask("deaf", timeout=0.1)))
                asks = [agent.ask("well", timeout=2) for _ in range(10)]
                answers = await asyncio.gather(*asks, return_exceptions=True)
                answered += answers.count("well")
                await asyncio.gather(*losers, return_exceptions=True)
                await asyncio.sleep(0.05)
            assert answered == 800
            await asyncio.sleep(20)

    in_sim(main)
