"""Agents without a supervisor: blueprints with an address, started on demand, crashing in the open."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from puppets import Crash, until

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentDefinitionError,
    AgentFailed,
    AgentStopped,
    AgentTimeout,
    InboxMessage,
    Mailbox,
    MailboxFull,
    UnknownAgent,
    agent_context,
    agent_names,
    find_agent,
    gather,
)

Run = Callable[..., Any]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What blocking handlers wait for; opened at the end."""
    event = threading.Event()
    yield event
    event.set()


async def echo(payload: Any) -> Any:
    await asyncio.sleep(0)
    return payload


async def sleep(payload: float) -> float:
    await asyncio.sleep(payload)
    return payload


# -- what an agent is ----------------------------------------------------------------------------


def test_making_an_agent_starts_nothing_and_needs_no_loop() -> None:
    agent = Agent("quiet", handler=echo, capabilities=["talk"])
    assert not agent.is_alive
    assert agent.capabilities == ("talk",)
    assert "quiet" in repr(agent)
    assert agent.handler is echo
    assert ActorSystem.current_or_none() is None


def test_its_actor_starts_on_the_first_message_and_is_one_whoever_asks(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("one", handler=echo)
        assert system.actor_count == 0
        assert await agent.ask("hello") == "hello"
        assert agent.is_alive
        assert system.whereis("one") is agent.address().ref
        await asyncio.gather(*(agent.ask(n) for n in range(10)))
        assert system.actor_count == 1

    in_sim(main)


def test_it_handles_one_payload_at_a_time_in_order(in_sim: Run) -> None:
    order: list[Any] = []

    async def handler(payload: Any) -> Any:
        order.append(("begin", payload))
        await asyncio.sleep(1)
        order.append(("end", payload))
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("orderly", handler=handler)
        assert await gather(*(agent.request(n) for n in range(3))) == [0, 1, 2]
        assert order == [(what, n) for n in range(3) for what in ("begin", "end")]

    in_sim(main)


def test_a_plain_handler_blocks_a_thread_and_not_the_loop(in_system: Run) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def block(_payload: Any) -> str:
        inside.set()
        assert go_on.wait(120)
        return threading.current_thread().name

    async def main(system: ActorSystem) -> None:
        agent = Agent("blocking", handler=block)
        assert agent.dispatcher == "thread"
        work = asyncio.ensure_future(agent.ask("block"))
        await until(inside.is_set)
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not work.done()
        go_on.set()
        assert await work != threading.current_thread().name

    in_system(main)


class Service:
    async def method(self, payload: Any) -> Any:
        return payload

    async def __call__(self, payload: Any) -> Any:
        return payload


def test_asynchronous_handlers_of_any_kind_run_on_the_loop() -> None:
    async def with_option(payload: Any, *, option: int) -> Any:
        return payload, option

    for handler in (
        echo,
        functools.partial(with_option, option=1),
        Service().method,
        Service(),
    ):
        assert Agent("x", handler=handler).dispatcher == "event_loop"
    assert Agent("x", handler=len).dispatcher == "thread"
    assert Agent("x", handler=len, dispatcher="pinned").dispatcher == "pinned"


def test_a_plain_handler_may_return_an_awaitable(in_system: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("lazy", handler=lambda payload: echo(payload))
        assert await agent.ask(1) == 1

    in_system(main)


def test_hooks_run_at_every_start_and_stop(in_sim: Run) -> None:
    entries: list[Any] = []

    async def on_start() -> None:
        await asyncio.sleep(0)
        entries.append("start")

    def on_stop(reason: Any) -> None:
        entries.append(("stop", reason))

    async def handler(payload: Any) -> Any:
        if payload == "crash":
            raise Crash("told to")
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("hooked", handler=handler, on_start=on_start, on_stop=on_stop)
        await agent.ask(1)
        await agent.stop("moving")
        await agent.ask(2)
        with pytest.raises(AgentFailed):
            await agent.ask("crash")
        await asyncio.sleep(1)

    in_sim(main)
    assert entries[:3] == ["start", ("stop", "moving"), "start"]
    assert isinstance(entries[3][1], Crash)
    assert len(entries) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "non-empty"),
        ({"name": 7, "handler": echo}, "non-empty"),
        ({"name": "x"}, "neither a handler nor a model"),
        ({"name": "x", "handler": echo, "model": "m"}, "both a handler and a model"),
        ({"name": "x", "handler": "echo"}, "must be a function"),
        ({"name": "x", "handler": echo, "capabilities": "talk"}, r"\['talk'\]"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_with_one_that_works(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AgentDefinitionError, match=message) as wrong:
        Agent(**arguments)
    assert "Agent('writer'" in str(wrong.value)


# -- crashes -------------------------------------------------------------------------------------


def test_an_exception_is_the_askers_error_with_its_cause_and_the_agents_crash(in_sim: Run) -> None:
    async def handler(payload: Any) -> Any:
        if payload == "crash":
            raise Crash("told to")
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("fragile", handler=handler)
        first = await agent.ask(1) and agent.address().ref
        with pytest.raises(AgentFailed, match="fragile") as failed:
            await agent.ask("crash")
        assert isinstance(failed.value.__cause__, Crash)
        assert failed.value.agent == "fragile"
        assert failed.value.reason is failed.value.__cause__
        await asyncio.sleep(0)
        assert first is not None
        assert not first.is_alive()
        assert await agent.ask(2) == 2
        assert agent.address().incarnation == 2

    in_sim(main)


def test_what_waits_behind_a_crash_is_handled_by_the_next_incarnation(in_sim: Run) -> None:
    handled: list[Any] = []

    async def handler(payload: Any) -> Any:
        if payload == "crash":
            await asyncio.sleep(1)
            raise Crash("told to")
        handled.append(payload)
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("fragile", handler=handler)
        crash = agent.request("crash")
        asked = [agent.request(n) for n in range(5)]
        agent.tell("told")
        with pytest.raises(AgentFailed):
            await crash
        assert await gather(*asked) == list(range(5))
        await asyncio.sleep(1)
        assert handled == [*range(5), "told"]

    in_sim(main)


def test_a_told_payload_that_crashes_is_a_dead_letter(in_sim: Run) -> None:
    async def handler(payload: Any) -> None:
        raise Crash("always")

    async def main(system: ActorSystem) -> None:
        agent = Agent("fragile", handler=handler)
        agent.tell("payload")
        await asyncio.sleep(1)
        [letter] = system.dead_letters
        assert isinstance(letter.reason, Crash)
        assert "payload" in repr(letter.message)

    in_sim(main)


def test_an_agent_that_cannot_start_fails_its_askers_instead_of_trying_for_ever(
    in_sim: Run,
) -> None:
    starts: list[int] = []

    def on_start() -> None:
        starts.append(1)
        raise Crash("cannot start")

    async def main(system: ActorSystem) -> None:
        agent = Agent("stillborn", handler=echo, on_start=on_start)
        outcome = await gather(*(agent.request(n) for n in range(3)), return_exceptions=True)
        assert all(isinstance(error, AgentFailed) for error in outcome)
        assert all(isinstance(error.__cause__, Crash) for error in outcome)
        await asyncio.sleep(10)
        assert len(starts) == 1

    in_sim(main)


# -- timeouts, cancelling, stopping --------------------------------------------------------------


def test_a_timeout_cancels_the_work_and_the_agent_goes_on(in_sim: Run) -> None:
    cancelled: list[float] = []

    async def handler(payload: float) -> float:
        try:
            await asyncio.sleep(payload)
        except asyncio.CancelledError:
            cancelled.append(payload)
            raise
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=handler)
        with pytest.raises(AgentTimeout, match="within 2 s") as late:
            await agent.ask(100, timeout=2)
        assert isinstance(late.value, TimeoutError)
        assert system.clock() == 2.0
        assert await agent.ask(1, timeout=2) == 1
        assert cancelled == [100]

    in_sim(main)


def test_cancelling_an_ask_cancels_its_work(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("slow", handler=sleep)
        asked = asyncio.ensure_future(agent.ask(100))
        await asyncio.sleep(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await agent.ask(1) == 1
        assert system.clock() == 2.0
        assert system.abandoned == 0

    in_sim(main)


def test_work_that_was_withdrawn_before_it_began_never_begins(in_sim: Run) -> None:
    handled: list[Any] = []

    async def handler(payload: Any) -> None:
        handled.append(payload)
        await asyncio.sleep(5)

    async def main(system: ActorSystem) -> None:
        agent = Agent("busy", handler=handler)
        first = agent.request("first")
        with pytest.raises(AgentTimeout):
            await agent.ask("withdrawn", timeout=1)
        await first
        await agent.ask("last")
        assert handled == ["first", "last"]

    in_sim(main)


def test_a_handler_that_swallows_its_cancellation_is_replaced(in_sim: Run) -> None:
    async def handler(payload: Any) -> Any:
        while payload == "stuck":
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                continue
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("stubborn", handler=handler)
        with pytest.raises(AgentTimeout):
            await agent.ask("stuck", timeout=1)
        assert await agent.ask("works") == "works"
        assert system.abandoned == 1
        assert agent.address().incarnation == 2

    in_sim(main)


def test_a_handler_that_blocks_its_thread_is_replaced(
    in_system: Run, gate: threading.Event
) -> None:
    def handler(payload: Any) -> Any:
        if payload == "stuck":
            inside.set()
            gate.wait(120)
        return payload

    inside = threading.Event()

    async def main(system: ActorSystem) -> None:
        agent = Agent("stuck", handler=handler)
        stuck = agent.request("stuck")
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(agent.ask(n)) for n in range(20)]
        await until(inside.is_set)
        stuck.expire(0.1)
        with pytest.raises(AgentTimeout):
            await stuck
        assert [await one for one in waiting] == list(range(20)), "none of them was lost"
        assert system.abandoned == 1
        assert agent.address().incarnation == 2
        gate.set()
        await until(lambda: not system.scheduler.fenced_threads)
        assert system.scheduler.late_replies >= 1

    in_system(main, threads=1)


def test_a_stopped_agent_without_a_supervisor_starts_again_on_demand(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("twice", handler=echo)
        await agent.ask(1)
        ref = agent.address().ref
        await agent.stop()
        assert ref is not None
        assert ref.exit_reason == "normal"
        assert not agent.is_alive
        await agent.stop()
        assert await agent.ask(2) == 2
        assert agent.address().incarnation == 2

    in_sim(main)


def test_an_agent_whose_address_was_closed_is_stopped_for_good(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("gone", handler=echo)
        await agent.ask(1)
        await agent.stop()
        agent.address().close("given up")
        with pytest.raises(AgentStopped, match="given up") as stopped:
            await agent.ask(2)
        assert stopped.value.reason == "given up"
        with pytest.raises(AgentStopped):
            agent.tell(3)

    in_sim(main)


def test_asking_after_the_system_has_stopped_fails_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("late", handler=echo)
        await agent.ask(1)
        await system.stop()
        with pytest.raises((AgentStopped, AgentFailed)):
            await asyncio.wait_for(agent.request(2, system=system), 5)

    in_sim(main)


def test_the_mailbox_is_bounded(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("small", handler=sleep, mailbox=Mailbox(2))
        requests = [agent.request(1) for _ in range(3)]
        await asyncio.sleep(0)
        requests += [agent.request(1) for _ in range(3)]
        outcome = await gather(*requests, return_exceptions=True)
        kinds = [type(o.__cause__ if isinstance(o, AgentFailed) else o) for o in outcome]
        assert MailboxFull in kinds
        assert kinds.count(int) >= 2

    in_sim(main)


# -- context and inbox ---------------------------------------------------------------------------


def test_a_context_comes_with_its_payload_and_stays_with_it(in_system: Run) -> None:
    async def read(payload: Any) -> Any:
        before = dict(agent_context())
        await asyncio.sleep(0)
        return before, dict(agent_context())

    def read_in_thread(payload: Any) -> Any:
        return dict(agent_context()), dict(agent_context())

    async def main(system: ActorSystem) -> None:
        for handler in (read, read_in_thread):
            agent = Agent("reader", handler=handler)
            with_key = agent.request(1, context={"key": 1})
            assert await with_key == ({"key": 1}, {"key": 1})
            assert await agent.ask(1) == ({}, {})

    in_system(main)


def test_the_inbox_is_apart_from_the_work(in_system: Run) -> None:
    got: list[Any] = []
    agent = Agent("social", handler=echo)

    @agent.on_message
    async def first(message: InboxMessage) -> None:
        got.append(("first", message.type, message.content, message.sender))

    @agent.on_message
    def second(message: InboxMessage) -> None:
        got.append(("second", message.content))

    assert callable(first)

    async def main(system: ActorSystem) -> None:
        agent.address().tell(InboxMessage("question", "why", "somebody"))
        assert await agent.ask("work") == "work"
        assert got == [("first", "question", "why", "somebody"), ("second", "why")]
        deaf = Agent("deaf", handler=echo)
        deaf.address().tell(InboxMessage("question", "why"))
        await deaf.ask(1)
        assert [d.reason for d in system.dead_letters] == ["no on_message handler"]

    in_system(main)


# -- the directory -------------------------------------------------------------------------------


def test_agents_are_found_by_name_and_unknown_ones_get_a_hint() -> None:
    agents = [Agent(name, handler=echo) for name in ("extractor-x", "analyzer-x")]
    assert find_agent("extractor-x") is agents[0]
    assert {"extractor-x", "analyzer-x"} <= set(agent_names())
    with pytest.raises(UnknownAgent, match="'extractor-x'") as unknown:
        find_agent("extracter-x", where="step 1")
    assert str(unknown.value).startswith("step 1: no agent is called 'extracter-x'")
    assert isinstance(unknown.value, LookupError)


def test_the_latest_of_a_name_is_found_and_forgotten_ones_are_not() -> None:
    older = Agent("same-name", handler=echo)
    newer = Agent("same-name", handler=echo)
    assert find_agent("same-name") is newer
    del newer
    gc.collect()
    assert find_agent("same-name") is older
    del older
    gc.collect()
    with pytest.raises(UnknownAgent, match=r"made at .*test_agents.py:\d+ and is gone"):
        find_agent("same-name")


def test_an_agent_that_nobody_holds_takes_its_actor_with_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        agent = Agent("short-lived", handler=echo)
        await agent.ask(1)
        assert system.actor_count == 1
        del agent
        gc.collect()
        await asyncio.sleep(1)
        assert system.actor_count == 0

    in_sim(main)


def test_a_service_may_make_agents_for_ever(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for number in range(500):
            agent = Agent(f"a{number}", handler=echo)
            await agent.ask(1)
            del agent
        gc.collect()
        await asyncio.sleep(1)
        assert system.actor_count == 0
        assert not [name for name in agent_names() if name.startswith("a49")]

    in_sim(main)


def test_an_agent_of_a_module_serves_system_after_system() -> None:
    agent = Agent("lasting", handler=echo)

    async def main() -> Any:
        async with ActorSystem():
            return await agent.ask(1), len(agent._homes)

    for _ in range(20):
        answer, homes = asyncio.run(main())
        assert answer == 1
        assert homes <= 2


def test_threads_that_use_an_agent_at_the_same_time_have_one_actor_of_it_each() -> None:
    class Watched(ActorSystem):
        """Tells when it is looked whether it runs, which is where threads get in each other's way."""

        looked_at: Callable[[], Any] | None = None

        @property
        def running(self) -> bool:
            look, self.looked_at = self.looked_at, None
            if look is not None:
                look()
            return super().running

    async def main() -> None:
        agent = Agent("lasting", handler=echo)
        async with Watched() as first, ActorSystem() as second, ActorSystem() as third:
            agent.address(first)
            meanwhile: list[Any] = []
            first.looked_at = lambda: meanwhile.append(agent.address(second))
            found = agent.address(third)
            assert [agent.address(second)] == meanwhile
            assert agent.address(third) is found

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "example"),
    [
        ({"handler": repr, "concurrency": 0}, "handler=write, concurrency=8)"),
        ({"model": "m", "retries": -1}, "retries={"),
        ({"model": "m", "model_settings": 1}, "model_settings={'temperature': 0.2})"),
        ({}, "Agent('writer', handler=write) or Agent('writer', model="),
    ],
)
def test_the_example_fits_the_mistake(options: dict[str, Any], example: str) -> None:
    with pytest.raises(AgentDefinitionError) as refused:
        Agent("clerk", **options)
    _, _, shown = str(refused.value).partition("For example: ")
    assert example in shown
