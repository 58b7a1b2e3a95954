"""What a system does stands in its metrics: counted exactly where it is counted, looked at where not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorSystem, Agent, AgentFailed, Mailbox, WrongUse
from agenticaiframework.metrics import find_metric, measure
from agenticaiframework.supervision import AgentSupervisor, RestartPolicy

from .conftest import Gate, until, values


async def echo(payload: Any) -> Any:
    return payload


class Sink(Actor):
    def on_receive(self, message: Any) -> None:
        if message == "crash":
            raise ValueError(message)


def test_every_message_is_counted_once_also_of_a_pool_and_of_actors_that_have_ended() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            sink = system.start(Sink)
            sink.tell("before anything measures")
            measures = measure(system)
            one, many = Agent("one", handler=echo), Agent("many", handler=echo, concurrency=4)
            plain = Agent("plain", handler=lambda payload: payload, dispatcher="thread")
            await asyncio.gather(
                *(one.ask(n) for n in range(30)), *(many.ask(n) for n in range(40))
            )
            await asyncio.gather(*(plain.ask(n) for n in range(20)))
            gone = system.start(Sink)
            for n in range(7):
                gone.tell(n)
            gone.tell("crash")
            await until(lambda: not gone.is_alive())
            value = values(measures)
            for agent, count in (("one", 30), ("many", 40), ("plain", 20)):
                assert value("messages_total", actor=agent) == count
                assert value("handler_duration_seconds_count", actor=agent, outcome="ok") == count
            assert value("messages_total", actor="Sink") == 1 + 7
            assert value("handler_duration_seconds_count", actor="Sink", outcome="error") == 1
            assert value("actor_ends_total", actor="Sink", reason="ValueError") == 1
            assert value("actors", actor="Sink") == 1
            again = values(measures)
            assert again("messages_total", actor="many") == 40

    asyncio.run(main())


def test_that_an_actor_is_told_to_stop_is_no_message() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            for n in range(3):
                await Agent(f"dropped {n}", handler=echo).ask(n)
            pool = Agent("pool", handler=echo, concurrency=4)
            await pool.ask(1)
            del pool
            stopped = system.start(Sink)
            await stopped.request(1)
            stopped.stop(block=False)
            await until(lambda: not system.actors())
            value = values(measures)
            assert value("messages_total", actor="Sink") == 1
            assert value("messages_total", actor="pool") == 1
            assert value("messages_total") == 5

    asyncio.run(main())


def test_a_counter_never_falls_while_actors_come_and_go() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            before = 0.0
            for n in range(30):
                refs = [system.start(Sink) for _ in range(10)]
                for ref in refs:
                    ref.tell(n)
                handled = 10 * (n + 1)
                await until(
                    lambda all_=handled: values(measures)("messages_total", actor="Sink") == all_
                )
                for ref in refs[n % 10 :]:
                    ref.exit("shutdown")
                now = values(measures)("messages_total", actor="Sink") or 0.0
                assert now >= before
                before = now
            assert values(measures)("messages_total", actor="Sink") == 300

    asyncio.run(main())


def test_what_waits_and_what_is_in_hand_is_seen_with_its_age() -> None:
    async def main() -> None:
        gate = Gate()
        async with ActorSystem() as system:
            measures = measure(system)
            slow = Agent("slow", handler=gate.handle, concurrency=2)
            asks = [asyncio.create_task(slow.ask(n)) for n in range(5)]
            await until(lambda: gate.entered == 2)
            value = values(measures)
            assert value("mailbox_length", actor="slow") == 3
            assert value("mailbox_longest", actor="slow") == 3
            assert value("handlers_busy", actor="slow") == 2
            assert value("handlers_limit", actor="slow") == 2
            assert value("asks", actor="slow") == 5
            first = value("asks_oldest_seconds", actor="slow")
            await asyncio.sleep(0.02)
            later = values(measures)("asks_oldest_seconds", actor="slow")
            assert first is not None
            assert later is not None
            assert later >= first + 0.02
            assert (values(measures)("handlers_longest_seconds", actor="slow") or 0) >= 0.02
            gate.open.set()
            await asyncio.gather(*asks)
            value = values(measures)
            assert value("asks", actor="slow") is None
            assert value("mailbox_length", actor="slow") is None
            assert value("handlers_busy", actor="slow") == 0

    asyncio.run(main())


def test_an_ask_that_was_given_up_is_in_flight_no_more() -> None:
    async def main() -> None:
        gate = Gate()
        async with ActorSystem() as system:
            measures = measure(system)
            slow = Agent("slow", handler=gate.handle)
            asks = [asyncio.create_task(slow.ask(n)) for n in range(3)]
            await until(lambda: gate.entered == 1)
            assert values(measures)("asks", actor="slow") == 3
            asks[2].cancel()
            await asyncio.sleep(0)
            assert values(measures)("asks", actor="slow") == 2
            gate.open.set()
            await asyncio.gather(*asks[:2])

    asyncio.run(main())


def test_dead_letters_are_counted_by_reason() -> None:
    class Small(Sink):
        mailbox = Mailbox(1, overflow="drop_newest")

    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            small = system.start(Small)
            for n in range(5):
                small.tell(n)
            system.dead_letter("x", "somewhere", OSError("broken"))
            value = values(measures)
            assert value("dead_letters_total", reason="mailbox_full") == 4
            assert value("dead_letters_total", reason="OSError") == 1

    asyncio.run(main())


def test_restarts_and_what_supervisors_give_up() -> None:
    async def crash(payload: Any) -> None:
        raise ValueError(payload)

    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            fragile = Agent("fragile", handler=crash)
            policy = RestartPolicy(max_restarts=2, within_seconds=60)
            supervisor = AgentSupervisor("keeper", restart_policy=policy)
            supervisor.add_child("fragile", fragile)
            await supervisor.start()
            for n in range(3):
                with pytest.raises(AgentFailed):
                    await fragile.ask(n, timeout=120)
            await until(lambda: values(measures)("supervisor_reports_total", kind="cooling_down"))
            value = values(measures)
            # The third failure is one too many: no restart follows it.
            assert value("supervisor_restarts_total", supervisor="keeper", child="fragile") == 2
            assert value("supervisor_reports_total", kind="child_terminated") == 3
            assert value("supervisor_reports_total", kind="cooling_down") == 1
            assert value("give_ups_total") is None

    asyncio.run(main())


def test_a_root_that_gives_up_is_counted() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system)
            system.give_up("root", "why")
            assert values(measures)("give_ups_total") == 1

    asyncio.run(main())


def test_names_are_bounded_and_sessions_are_no_names() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system, max_names=5)
            agents = [Agent(f"agent {n}", handler=echo) for n in range(20)]
            for n, agent in enumerate(agents):
                await agent.ask(n)
                system.start(Sink, _name=f"session-{n}").tell(n)
            await until(lambda: (values(measures)("messages_total") or 0) >= 40)
            value = values(measures)
            labels = {key[0] for key in measures.series["messages"].values()}
            assert len(labels) <= 6
            assert "other" in labels
            assert not any("session" in label for label in labels)
            total = value("messages_total")
            assert total == 40

    asyncio.run(main())


def test_the_series_of_one_metric_are_bounded_whatever_its_labels() -> None:
    from agenticaiframework.metrics.series import MAX_SERIES, AllSeries

    series = AllSeries(max_names=1_000)["workflow.ended"]
    for n in range(MAX_SERIES + 500):
        series.add(1, "engine", f"workflow {n % 1_000}", f"state {n // 1_000}")
    found = series.values()
    assert len(found) == MAX_SERIES + 1
    assert sum(found.values()) == MAX_SERIES + 500
    assert found["other", "other", "other"] == 500


def test_the_loop_and_the_pools_are_looked_at_once_a_second() -> None:
    async def main() -> None:
        async with ActorSystem(threads=3) as system:
            measures = measure(system)
            await Agent("plain", handler=lambda payload: payload, dispatcher="thread").ask(1)
            await until(lambda: values(measures)("loop_lag_seconds_count"))
            value = values(measures)
            assert (value("pool_threads", pool="thread") or 0) >= 1
            assert value("pool_threads", pool="thread", state="stuck") == 0
            assert value("pool_limit", pool="thread") == 256

    asyncio.run(main())


def test_measuring_twice_says_what_to_do() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measure(system)
            with pytest.raises(WrongUse, match="add_engine"):
                measure(system)

    asyncio.run(main())


def test_nothing_is_left_when_it_stops_and_nothing_is_there_before() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            scheduler = system.scheduler
            # The path of a message asks these, and no others: they are as in a system without metrics.
            assert scheduler.observer is None
            assert not system.events.active
            measures = measure(system)
            assert scheduler.observer is not None
            assert system.events.active
            measures.stop()
            assert scheduler.observer is None
            assert not system.events.active
            measure(system)  # and again
            assert scheduler.observer is not None

    asyncio.run(main())


def test_without_handler_times_no_message_is_looked_at() -> None:
    async def main() -> None:
        async with ActorSystem() as system:
            measures = measure(system, handler_times=False)
            assert system.scheduler.observer is None
            await Agent("one", handler=echo).ask(1)
            value = values(measures)
            assert value("messages_total", actor="one") == 1
            assert value("handler_duration_seconds_count") is None

    asyncio.run(main())


def test_a_metric_is_found_by_either_name() -> None:
    assert find_metric("messages") is find_metric("agenticaiframework.messages")
