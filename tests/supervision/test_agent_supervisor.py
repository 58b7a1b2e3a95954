"""The page's supervisor: names, policies, handlers, mailboxes, nesting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka
import pytest

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Agent,
    AgentFailed,
    AgentStopped,
    AgentTimeout,
    Ignore,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    AutoShutdown,
    BadOption,
    ChildExited,
    ChildState,
    ChildStopped,
    DuplicateChild,
    Refused,
    ReportKind,
    RestartPolicy,
    RestartType,
    SupervisionStrategy,
    SupervisorNotRunning,
    SupervisorStartFailed,
    UnknownChild,
    WaitTimeout,
)

Run = Callable[..., Any]


async def answer(payload: Any) -> Any:
    """Crash on "boom", wait on a number of seconds, and echo everything else."""
    if payload == "boom":
        raise ValueError("boom")
    if isinstance(payload, float):
        await asyncio.sleep(payload)
    return payload


def agent(name: str = "agent", **options: Any) -> Agent:
    return Agent(name, handler=answer, **options)


def pool(*names: str, **options: Any) -> AgentSupervisor:
    supervisor = AgentSupervisor("pool", **options)
    for name in names:
        supervisor.add_child(name, agent(f"{name}-agent"))
    return supervisor


async def fail(supervisor: AgentSupervisor, name: str) -> None:
    with pytest.raises(AgentFailed):
        await supervisor.ask(name, "boom")


# -- construction ------------------------------------------------------------------------------


def test_it_is_made_without_an_event_loop_and_wrong_options_show_at_once() -> None:
    supervisor = pool("a")
    assert [child.name for child in supervisor] == ["a"]
    for wrong, error, said in (
        (lambda: AgentSupervisor(""), BadOption, "non-empty"),
        (lambda: AgentSupervisor("x", "one_for_al"), BadOption, "one_for_all"),
        (lambda: AgentSupervisor("x", mailbox="lose"), BadOption, "keep"),  # type: ignore[arg-type]
        (lambda: AgentSupervisor("x", restart_policy=5), BadOption, "RestartPolicy"),  # type: ignore[arg-type]
        (lambda: AgentSupervisor("x", auto_shutdown="maybe"), BadOption, "maybe"),
        (lambda: supervisor.add_child("a", agent()), DuplicateChild, "'a' already"),
        (lambda: supervisor.add_child(" ", agent()), BadOption, "non-empty"),
        (lambda: supervisor.add_child("b", 5), BadOption, "'b'"),
        (lambda: supervisor.add_child("b", lambda: None), BadOption, "'b'"),
        (lambda: supervisor.add_child("b", agent(), mailbox="lose"), BadOption, "keep"),  # type: ignore[arg-type]
        (lambda: supervisor.add_child("b", agent(), restart="never"), BadOption, "never"),
        (lambda: supervisor.add_child("b", agent(), significant=True), BadOption, "auto_shutdown"),
        (lambda: supervisor.add_supervisor("b", agent()), BadOption, "not a supervisor"),  # type: ignore[arg-type]
        (lambda: supervisor.add_supervisor("me", supervisor), BadOption, "descendant"),
        (lambda: supervisor.child("aa"), UnknownChild, "Did you mean 'a'"),
    ):
        with pytest.raises(error, match=said):  # type: ignore[arg-type]
            wrong()
    assert [child.name for child in supervisor] == ["a"]


def test_a_ring_of_supervisors_is_refused() -> None:
    top, middle, low = (AgentSupervisor(name) for name in ("top", "middle", "low"))
    top.add_supervisor("middle", middle)
    middle.add_supervisor("low", low)
    with pytest.raises(BadOption, match="descendant"):
        low.add_supervisor("top", top)


# -- starting, stopping, asking ----------------------------------------------------------------


def test_several_starts_and_stops_are_harmless(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b")
        await supervisor.stop()
        await asyncio.gather(supervisor.start(), supervisor.start())
        first = supervisor.ref
        assert await supervisor.start() is supervisor
        assert supervisor.ref is first
        assert await supervisor.ask("a", 1) == 1
        await asyncio.gather(supervisor.stop(), supervisor.stop())
        assert not supervisor.is_running
        assert system.actors() == []
        async with supervisor:
            assert await supervisor.ask("b", 2) == 2
        assert system.actors() == []

    in_sim(main)


def test_children_start_in_order_and_stop_in_reverse(in_sim: Run) -> None:
    log: list[str] = []

    def note_end(name: str, _reason: Any) -> None:
        log.append(f"-{name}")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("ordered")
        for name in "abc":
            supervisor.add_child(
                name,
                agent(
                    name,
                    on_start=partial(log.append, f"+{name}"),
                    on_stop=partial(note_end, name),
                ),
            )
        await supervisor.start()
        await supervisor.stop()

    in_sim(main)
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_unknown_names_and_supervisors_that_do_not_run_raise_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("worker")
        with pytest.raises(SupervisorNotRunning, match=r"await supervisor.start\(\)"):
            await supervisor.ask("worker", 1)
        await supervisor.start()
        with pytest.raises(UnknownChild, match="Did you mean 'worker'"):
            await supervisor.ask("wroker", 1)
        with pytest.raises(UnknownChild):
            await supervisor.remove_child("wroker")
        await supervisor.stop()
        with pytest.raises(ChildStopped):
            await supervisor.ask("worker", 1)

    in_sim(main)


def test_a_start_that_fails_is_rolled_back_and_says_which_child_and_why(in_sim: Run) -> None:
    def broken() -> None:
        raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        inner = AgentSupervisor("inner")
        inner.add_child("ok", agent("ok"))
        inner.add_child("broken", agent("broken", on_start=broken))
        outer = pool("before")
        outer.add_supervisor("inner", inner)
        with pytest.raises(SupervisorStartFailed, match="'inner/broken'.*no disk") as caught:
            await outer.start()
        assert isinstance(caught.value.__cause__, OSError)
        assert system.actors() == []
        assert not outer.is_running
        with pytest.raises(ChildStopped):
            await outer.ask("before", 1)

    in_sim(main)


def test_a_stuck_on_start_fails_the_start_after_its_time(in_sim: Run) -> None:
    async def stuck() -> None:
        await asyncio.sleep(10**6)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("slow", start_timeout_s=3)
        supervisor.add_child("stuck", agent("stuck", on_start=stuck))
        healthy = await pool("a").start()
        starting = asyncio.ensure_future(supervisor.start())
        await asyncio.sleep(1)
        await fail(healthy, "a")
        assert await healthy.ask("a", 1) == 1
        with pytest.raises(SupervisorStartFailed, match="timeout"):
            await starting
        assert system.clock() == pytest.approx(3)

    in_sim(main)


def test_all_kinds_of_children_are_supervised(in_sim: Run) -> None:
    class Doubling(Actor):
        crash_on_ask_error = True

        def __init__(self, factor: int = 2) -> None:
            super().__init__()
            self.factor = factor

        def on_receive(self, message: Any) -> Any:
            return message * self.factor

    beats: list[float] = []

    async def heart(every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            beats.append(every_s)
            if len(beats) == 2:
                raise RuntimeError("a beat missed")

    async def main(system: ActorSystem) -> None:
        supervisor = pool("agent")
        supervisor.add_child("class", Doubling)
        supervisor.add_child("class and arguments", (Doubling, 3))
        supervisor.add_child("coroutine", (heart, 1.0))
        below = AgentSupervisor("below")
        below.add_child("x", agent("x"))
        supervisor.add_supervisor("below", below)
        await supervisor.start()
        assert await supervisor.ask("class", 21) == 42
        assert await supervisor.ask("class and arguments", 14) == 42
        assert await supervisor.ask("below/x", 42) == 42
        with pytest.raises(TypeError):
            await supervisor.ask("class", {})
        assert await supervisor.ask("class", 4) == 8
        assert supervisor.child("class").incarnation == 2
        await asyncio.sleep(4.5)
        assert len(beats) == 4
        assert supervisor.child("coroutine").restarts == 1

    in_sim(main)


def test_a_plain_pykka_actor_is_supervised() -> None:
    class Plain(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise ValueError("boom")
            return message

    async def main() -> None:
        async with ActorSystem(), AgentSupervisor("mixed") as supervisor:
            child = await supervisor.add_child("plain", Plain)
            assert await child.ask("hello") == "hello"
            ref: Any = child.ref
            ref.tell("crash")
            assert await asyncio.to_thread(ref.actor_stopped.wait, 30)
            async with asyncio.timeout(30):
                while child.incarnation < 2:
                    await asyncio.sleep(0.01)
            assert await child.ask("again", timeout=30) == "again"
            last: Any = child.ref
        assert await asyncio.to_thread(last.actor_stopped.wait, 30)
        assert not last.is_alive()

    asyncio.run(main())


def test_an_agent_is_one_actor_whoever_asks_it(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        shared = agent("shared")
        assert await shared.ask(1) == 1
        before = [ref for ref in system.actors() if ref.name == "shared"]
        supervisor = AgentSupervisor("owner")
        supervisor.add_child("renamed", shared)
        await supervisor.start()
        assert await supervisor.ask("renamed", 2) == 2
        assert await shared.ask(3) == 3
        assert [ref for ref in system.actors() if ref.name == "shared"] == before
        await fail(supervisor, "renamed")
        assert await shared.ask(4) == 4
        assert supervisor.child("renamed").restarts == 1

    in_sim(main)


def test_an_agent_cannot_belong_to_two_supervisors(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        shared = agent("shared")
        one, two = AgentSupervisor("one"), AgentSupervisor("two")
        one.add_child("a", shared)
        two.add_child("a", shared)
        await one.start()
        with pytest.raises(SupervisorStartFailed, match="already belongs to the supervisor one"):
            await two.start()
        await one.stop()
        await two.start()
        assert await two.ask("a", 1) == 1

    in_sim(main)


# -- restarts ----------------------------------------------------------------------------------


def test_the_asker_gets_the_error_and_the_next_question_the_next_incarnation(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a") as supervisor:
            with pytest.raises(AgentFailed) as caught:
                await supervisor.ask("a", "boom")
            assert isinstance(caught.value.__cause__, ValueError)
            assert await supervisor.ask("a", 1) == 1
            child = supervisor.child("a")
            assert (child.restarts, child.incarnation, child.state) == (1, 2, "running")
            assert isinstance(child.last_exit, ValueError)

    in_sim(main)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
def test_the_strategy_says_who_is_restarted(in_sim: Run, strategy: str, restarted: str) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", "b", "c", strategy=strategy) as supervisor:
            await fail(supervisor, "b")
            await supervisor.wait_until("c")
            assert [c.name for c in supervisor if c.incarnation == 2] == list(restarted)

    in_sim(main)


@pytest.mark.parametrize(
    ("restart", "reason", "comes_back"),
    [
        ("permanent", "normal", True),
        ("permanent", "oops", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("transient", "oops", True),
        ("temporary", "oops", False),
    ],
)
def test_the_restart_type_says_who_comes_back(
    in_sim: Run, restart: str, reason: str, comes_back: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        one = agent("one")
        supervisor = AgentSupervisor("types")
        supervisor.add_child("one", one, restart=restart)
        await supervisor.start()
        await one.stop(reason)
        if comes_back:
            assert await supervisor.ask("one", 1) == 1
        else:
            await supervisor.wait_until("one", "stopped")
            with pytest.raises(ChildStopped, match="stopped"):
                await supervisor.ask("one", 1)
            with pytest.raises(AgentStopped):
                await one.ask(1)

    in_sim(main)


def test_one_failure_too_many_ends_the_supervisor_and_its_children(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b", restart_policy=RestartPolicy(max_restarts=2))
        await supervisor.start()
        for _ in range(3):
            await fail(supervisor, "a")
        await asyncio.sleep(1)
        assert not supervisor.is_running
        assert supervisor.last_reason == "shutdown"
        assert system.actors() == []
        for name in ("a", "b"):
            with pytest.raises(ChildStopped):
                await supervisor.ask(name, 1)

    in_sim(main)


def test_failures_far_apart_do_not_add_up(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=1, within_seconds=10)
        async with pool("a", restart_policy=policy) as supervisor:
            for _ in range(5):
                await fail(supervisor, "a")
                await asyncio.sleep(10.5)
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


def test_a_child_with_a_policy_of_its_own_has_a_budget_of_its_own(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("shared", restart_policy=RestartPolicy(max_restarts=1))
        supervisor.add_child("own", agent("own"), restart_policy=RestartPolicy(max_restarts=5))
        await supervisor.start()
        for _ in range(5):
            await fail(supervisor, "own")
        await fail(supervisor, "shared")
        assert await supervisor.ask("shared", 1) == 1
        await fail(supervisor, "own")
        await asyncio.sleep(1)
        assert not supervisor.is_running

    in_sim(main)


def test_backoff_delays_restarts_and_a_long_healthy_run_forgets_it(in_sim: Run) -> None:
    policy = RestartPolicy(
        max_restarts=50,
        within_seconds=20,
        backoff_type="exponential",
        initial_delay_ms=1000,
        max_delay_ms=5000,
    )

    async def main(system: ActorSystem) -> list[float]:
        async with pool("a", restart_policy=policy) as supervisor:
            waits = []
            for pause in (0, 0, 0, 0, 30):
                await asyncio.sleep(pause)
                await fail(supervisor, "a")
                begin = system.clock()
                assert await supervisor.ask("a", 1) == 1
                waits.append(system.clock() - begin)
            return waits

    assert in_sim(main) == pytest.approx([1, 2, 4, 5, 1])


def test_jitter_comes_from_the_systems_chance_and_shortens(in_sim: Run) -> None:
    policy = RestartPolicy(max_restarts=100, initial_delay_ms=1000, jitter=0.5)

    async def main(system: ActorSystem) -> list[float]:
        async with pool("a", restart_policy=policy) as supervisor:
            waits = []
            for _ in range(20):
                await fail(supervisor, "a")
                begin = system.clock()
                await supervisor.ask("a", 1)
                waits.append(round(system.clock() - begin, 9))
            return waits

    waits = in_sim(main)
    assert all(0.5 <= wait <= 1 for wait in waits)
    assert len(set(waits)) > 10
    assert in_sim(main) == waits


def test_a_storm_of_one_cause_is_one_restart_of_the_budget(in_sim: Run) -> None:
    class StoreLost(Exception):
        cause_token = "store"

    async def work(payload: Any) -> Any:
        if payload == "lost":
            raise StoreLost
        return payload

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("many", restart_policy=RestartPolicy(max_restarts=1))
        for number in range(200):
            supervisor.add_child(str(number), Agent(f"n{number}", handler=work))
        await supervisor.start()
        asks = [supervisor.ask(str(number), "lost") for number in range(200)]
        lost = await asyncio.gather(*asks, return_exceptions=True)
        assert all(isinstance(error, AgentFailed) for error in lost)
        assert await supervisor.ask("199", 1) == 1
        tree = supervisor.tree()
        assert (tree.in_window, sum(child.restarts for child in tree.children)) == (1, 200)

    in_sim(main)


def test_a_supervisor_ends_by_itself_when_its_significant_child_has(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        lead = agent("lead")
        supervisor = AgentSupervisor("job", auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
        supervisor.add_child("helper", agent("helper"))
        supervisor.add_child("lead", lead, restart="transient", significant=True)
        await supervisor.start()
        await lead.stop()
        await asyncio.sleep(1)
        assert not supervisor.is_running
        assert system.actors() == []

    in_sim(main)


# -- what waits --------------------------------------------------------------------------------


def test_what_waits_behind_a_crash_is_answered_by_the_next_incarnation(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=1000)
        async with pool("a", restart_policy=policy) as supervisor:
            asks = [supervisor.ask("a", payload) for payload in ("boom", 1, 2)]
            results = await asyncio.gather(*asks, return_exceptions=True)
            assert isinstance(results[0], AgentFailed)
            assert results[1:] == [1, 2]
            assert supervisor.child("a").restarts == 1

    in_sim(main)


def test_with_mailbox_drop_what_waits_behind_a_crash_is_lost_and_told_so(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=1000)
        async with pool("a", restart_policy=policy, mailbox="drop") as supervisor:
            asks = [supervisor.ask("a", payload) for payload in ("boom", 1)]
            results = await asyncio.gather(*asks, return_exceptions=True)
            assert [type(result) for result in results] == [AgentFailed, AgentFailed]
            # Between two incarnations messages are kept all the same.
            assert await supervisor.ask("a", 2) == 2

    in_sim(main)


def test_the_message_that_crashed_a_child_is_never_sent_again(in_sim: Run) -> None:
    seen: list[Any] = []

    async def once(payload: Any) -> None:
        seen.append(payload)
        raise ValueError("boom")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("once")
        supervisor.add_child("a", Agent("a", handler=once))
        await supervisor.start()
        supervisor.tell("a", "told")
        await asyncio.sleep(1)
        assert seen == ["told"]
        (letter,) = system.dead_letters
        assert isinstance(letter.reason, ValueError)

    in_sim(main)


def test_raw_actors_keep_their_mail_too(in_sim: Run) -> None:
    class Careful(Actor):
        crash_on_ask_error = True

        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise ValueError("boom")
            return message

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("raw")
        supervisor.add_child("a", Careful)
        await supervisor.start()
        asks = [supervisor.ask("a", payload) for payload in ("boom", 1)]
        first, second = await asyncio.gather(*asks, return_exceptions=True)
        assert isinstance(first, ValueError)
        assert second == 1

    in_sim(main)


def test_what_waits_for_a_child_that_stays_down_fails(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a", restart_policy=RestartPolicy(initial_delay_ms=5000)) as supervisor:
            await fail(supervisor, "a")
            waiting = asyncio.ensure_future(supervisor.ask("a", 1))
            await asyncio.sleep(1)
            await supervisor.stop_child("a")
            with pytest.raises(AgentStopped):
                await waiting
            with pytest.raises(ChildStopped, match="restart_child"):
                await supervisor.ask("a", 2)
            await supervisor.restart_child("a")
            assert await supervisor.ask("a", 3) == 3

    in_sim(main)


def test_a_hanging_agent_is_replaced_and_its_supervisor_knows(in_sim: Run) -> None:
    async def stubborn(payload: Any) -> Any:
        while payload == "hang":
            try:
                await asyncio.sleep(10**6)
            except asyncio.CancelledError:
                continue
        return payload

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("fences")
        supervisor.add_child("a", Agent("a", handler=stubborn))
        await supervisor.start()
        with pytest.raises(AgentTimeout):
            await supervisor.ask("a", "hang", timeout=1)
        assert await supervisor.ask("a", "fine") == "fine"
        assert supervisor.child("a").restarts == 1

    in_sim(main)


# -- children that come and go -----------------------------------------------------------------


def test_a_child_added_to_a_running_supervisor_is_started(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool() as supervisor:
            child = supervisor.add_child("late", agent("late"))
            assert child.state is ChildState.STARTING
            assert await child.ask(1) == 1
            assert await child is child
            await fail(supervisor, "late")
            assert await child.ask(2) == 2

    in_sim(main)


def test_an_added_child_that_does_not_start_stays_down_and_harms_nobody(in_sim: Run) -> None:
    def broken() -> None:
        raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        async with pool("a") as supervisor:
            child = supervisor.add_child("broken", agent("broken", on_start=broken))
            with pytest.raises(ChildStopped, match="failed.*no disk"):
                await child
            with pytest.raises(ChildStopped):
                await child.ask(1)
            assert await supervisor.ask("a", 1) == 1
            with pytest.raises(Refused, match="no disk"):
                await supervisor.restart_child("broken")
            await supervisor.remove_child("broken")
            await supervisor.add_child("broken", agent("repaired"))

    in_sim(main)


def test_a_child_added_while_the_supervisor_starts_is_started_once(in_sim: Run) -> None:
    starts: list[str] = []

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("early")
        supervisor.add_child("a", agent("a", on_start=lambda: starts.append("a")))
        starting = asyncio.ensure_future(supervisor.start())
        await asyncio.sleep(0)
        supervisor.add_child("b", agent("b", on_start=lambda: starts.append("b")))
        await starting
        await supervisor.wait_until("b")
        assert starts == ["a", "b"]

    in_sim(main)


def test_a_removed_child_is_gone_and_its_agent_belongs_to_nobody(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        one = agent("one")
        supervisor = AgentSupervisor("pool")
        child = supervisor.add_child("one", one)
        await supervisor.remove_child("one")
        child = supervisor.add_child("one", one)
        await supervisor.start()
        await supervisor.remove_child("one")
        assert child.state is ChildState.REMOVED
        with pytest.raises(UnknownChild):
            supervisor.child("one")
        with pytest.raises(ChildStopped):
            await child.ask(1)
        assert await one.ask(2) == 2
        other = AgentSupervisor("other")
        other.add_child("one", one)
        await other.start()
        assert await other.ask("one", 3) == 3

    in_sim(main)


def test_temporary_children_that_ended_do_not_pile_up(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with AgentSupervisor("many") as supervisor:
            for number in range(300):
                supervisor.add_child(f"job {number}", (brief, number), restart="temporary")
            await asyncio.sleep(1)
            assert len(supervisor.children) == 100
            assert supervisor.child("job 299").state is ChildState.STOPPED
            again = supervisor.add_child("job 299", (brief, 1), restart="temporary")
            await supervisor.wait_until("job 299", "stopped")
            assert again.last_exit == "normal"

    async def brief(_number: int) -> None:
        return None

    in_sim(main)


def test_simple_one_for_one_children_stop_at_the_same_time(in_sim: Run) -> None:
    async def slow() -> None:
        await asyncio.sleep(2)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("simple", SupervisionStrategy.SIMPLE_ONE_FOR_ONE)
        for name in "abcd":
            supervisor.add_child(name, agent(name, on_stop=slow))
        await supervisor.start()
        await fail(supervisor, "b")
        assert await supervisor.ask("b", 1) == 1
        assert [child.restarts for child in supervisor] == [0, 1, 0, 0]
        begin = system.clock()
        await supervisor.stop()
        assert system.clock() - begin == pytest.approx(2)
        assert supervisor.tree().strategy == "simple_one_for_one"

    in_sim(main)


def test_wait_until_gives_up_after_its_time(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with pool("a") as supervisor:
            with pytest.raises(WaitTimeout, match="was not stopped within 5 s; it is running"):
                await supervisor.wait_until("a", "stopped", timeout=5)
            assert system.clock() == pytest.approx(5)

    in_sim(main)


def test_one_that_has_just_died_does_not_count_as_running(in_sim: Run) -> None:
    def blocking(payload: Any) -> Any:
        raise ValueError(payload)

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", Agent("a", handler=blocking))
        async with supervisor:
            # The answer out of a thread comes before the supervisor learns of the end.
            with pytest.raises(AgentFailed):
                await supervisor.ask("a", "boom")
            child = await supervisor.wait_until("a", "running")
            assert (child.restarts, child.is_alive) == (1, True)

    in_sim(main)


@pytest.mark.parametrize("state", ["restarting", "deciding", "starting"])
def test_a_state_that_passes_at_once_is_seen_by_who_waits_for_it(in_sim: Run, state: str) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")
        supervisor.on_failure(lambda name, error, count: True)
        async with supervisor:
            waiting = asyncio.ensure_future(supervisor.wait_until("a", state, timeout=5))
            await asyncio.sleep(0)
            if state == "starting":
                await supervisor.stop()
                await supervisor.start()
            else:
                await fail(supervisor, "a")
            assert (await waiting).name == "a"
            assert system.clock() == 0

    in_sim(main)


@pytest.mark.parametrize("turns", range(1, 12))
def test_who_is_cancelled_on_the_way_in_leaves_no_supervisor_behind(
    in_sim: Run, turns: int
) -> None:
    async def main(system: ActorSystem) -> None:
        async def slow() -> None:
            await asyncio.sleep(1)

        supervisor = AgentSupervisor("pool")
        for name in "ab":
            supervisor.add_child(name, agent(name, on_start=slow))

        async def use() -> None:
            async with supervisor:
                raise AssertionError("not reached")

        entering = asyncio.ensure_future(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert system.actors() == []
        async with supervisor:
            entering = asyncio.ensure_future(supervisor.__aenter__())
            await asyncio.sleep(0)
            entering.cancel()
            # It ran already, for somebody else.
            await asyncio.wait({entering})
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


# -- failure handlers --------------------------------------------------------------------------


def test_the_failure_handler_sees_name_error_and_restarts_made(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        seen: list[tuple[str, str, int]] = []
        supervisor = pool("a", "b")

        @supervisor.on_failure
        async def note(agent_name: str, error: Exception, restart_count: int) -> None:
            await asyncio.sleep(0.1)
            seen.append((agent_name, str(error), restart_count))

        assert callable(note)
        await supervisor.start()
        for name in ("a", "a", "b"):
            await fail(supervisor, name)
            assert await supervisor.ask(name, 1) == 1
        assert seen == [("a", "boom", 0), ("a", "boom", 1), ("b", "boom", 0)]

    in_sim(main)


def test_a_plain_handler_that_says_false_stops_that_child_only(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b")
        supervisor.on_failure(lambda name, error, count: count < 1)
        await supervisor.start()
        await fail(supervisor, "a")
        assert await supervisor.ask("a", 1) == 1
        await fail(supervisor, "a")
        await supervisor.wait_until("a", "stopped")
        with pytest.raises(ChildStopped):
            await supervisor.ask("a", 1)
        assert await supervisor.ask("b", 1) == 1

    in_sim(main)


def test_the_limit_is_checked_whatever_the_handler_said(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", restart_policy=RestartPolicy(max_restarts=1))
        supervisor.on_failure(lambda name, error, count: True)
        await supervisor.start()
        await fail(supervisor, "a")
        await fail(supervisor, "a")
        await asyncio.sleep(1)
        assert not supervisor.is_running

    in_sim(main)


def test_other_failures_are_handled_while_a_handler_thinks(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("slow", "quick")

        @supervisor.on_failure
        async def think(name: str, error: Exception, count: int) -> None:
            if name == "slow":
                await asyncio.sleep(10)

        await supervisor.start()
        await fail(supervisor, "slow")
        await fail(supervisor, "quick")
        assert await supervisor.ask("quick", 1) == 1
        assert supervisor.child("slow").state is ChildState.DECIDING
        assert system.clock() < 1
        assert await supervisor.ask("slow", 2) == 2
        assert system.clock() == pytest.approx(10)

    in_sim(main)


def test_a_handler_that_fails_or_hangs_lets_the_child_be_restarted(
    in_sim: Run, reports_of: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        supervisor = pool("a", handler_timeout_s=5)

        @supervisor.on_failure
        async def wrong(name: str, error: Exception, count: int) -> None:
            if count == 0:
                raise RuntimeError("handler broken")
            await asyncio.sleep(10**6)

        await supervisor.start()
        await fail(supervisor, "a")
        assert await supervisor.ask("a", 1) == 1
        await fail(supervisor, "a")
        assert await supervisor.ask("a", 2) == 2
        assert system.clock() == pytest.approx(5)
        failed = [r.reason for r in reports if r.kind is ReportKind.HANDLER_FAILED]
        assert [type(reason) for reason in failed] == [RuntimeError, TimeoutError]

    in_sim(main)


def test_a_handler_that_is_killed_lets_the_child_be_restarted(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")

        @supervisor.on_failure
        async def think(name: str, error: Exception, count: int) -> None:
            await asyncio.sleep(20)

        await supervisor.start()
        await fail(supervisor, "a")
        await asyncio.sleep(1)
        (runner,) = [ref for ref in system.actors() if "on_failure" in str(ref.name)]
        runner.kill()
        assert await supervisor.ask("a", 1) == 1
        assert system.clock() < 2

    in_sim(main)


def test_an_end_without_an_exception_reaches_the_handler_as_one(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        errors: list[Exception] = []
        one = agent("one")
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("one", one)
        supervisor.on_failure(lambda name, error, count: errors.append(error))
        await supervisor.start()
        await one.stop("oops")
        assert await supervisor.ask("one", 1) == 1
        (error,) = errors
        assert isinstance(error, ChildExited)
        assert error.reason == "oops"

    in_sim(main)


def test_with_a_max_restarts_handler_the_child_stays_down_and_the_supervisor_lives(
    in_sim: Run, reports_of: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        called: list[str] = []
        supervisor = pool("a", "b", restart_policy=RestartPolicy(max_restarts=2))
        supervisor.on_max_restarts(called.append)
        await supervisor.start()
        for _ in range(3):
            await fail(supervisor, "a")
        await supervisor.wait_until("a", "gave up")
        with pytest.raises(ChildStopped, match="supervisor '.+' gave up"):
            await supervisor.ask("a", 1)
        assert await supervisor.ask("b", 1) == 1
        await asyncio.sleep(1)
        assert called == ["a"]
        assert [r.kind for r in reports].count(ReportKind.GAVE_UP) == 1

    in_sim(main)


def test_handlers_may_remove_and_replace_children_and_stop_the_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", "b", restart_policy=RestartPolicy(max_restarts=0))
        replaced = asyncio.Event()

        @supervisor.on_max_restarts
        async def replace(name: str) -> None:
            await supervisor.remove_child(name)
            await supervisor.add_child(name, agent("replacement"))
            replaced.set()

        await supervisor.start()
        await fail(supervisor, "a")
        await asyncio.wait_for(replaced.wait(), 10)
        assert await supervisor.ask("a", 1) == 1

        @supervisor.on_failure
        async def stop_all(name: str, error: Exception, count: int) -> None:
            await supervisor.remove_child("a")
            await supervisor.stop()

        await fail(supervisor, "b")
        await asyncio.sleep(1)
        assert not supervisor.is_running
        assert system.actors() == []

    in_sim(main)


def test_a_child_removed_while_its_handler_thinks_stays_removed(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")

        @supervisor.on_failure
        async def think(name: str, error: Exception, count: int) -> bool:
            await supervisor.remove_child(name)
            return True

        await supervisor.start()
        await fail(supervisor, "a")
        await asyncio.sleep(1)
        assert supervisor.children == {}
        assert [ref for ref in system.actors() if ref.name == "a-agent"] == []

    in_sim(main)


def test_an_agent_may_stop_its_own_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("suicidal")

        async def stop(_payload: Any) -> None:
            await supervisor.stop()

        supervisor.add_child("a", Agent("a", handler=stop))
        await supervisor.start()
        with pytest.raises((AgentFailed, AgentStopped)):
            await supervisor.ask("a", "now")
        await asyncio.sleep(1)
        assert system.actors() == []

    in_sim(main)


# -- trees -------------------------------------------------------------------------------------


def tree_of_three() -> tuple[AgentSupervisor, AgentSupervisor, AgentSupervisor]:
    root = AgentSupervisor("root", restart_policy=RestartPolicy(max_restarts=1))
    processing = AgentSupervisor(
        "processing", "one_for_all", restart_policy=RestartPolicy(max_restarts=1)
    )
    io = AgentSupervisor("io")
    for name in ("parser", "transformer"):
        processing.add_child(name, agent(name))
    for name in ("reader", "writer"):
        io.add_child(name, agent(name))
    root.add_supervisor("processing", processing)
    root.add_supervisor("io", io)
    return root, processing, io


def test_a_child_supervisor_past_its_limit_is_restarted_with_its_subtree_only(
    in_sim: Run,
) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, io = tree_of_three()
        await root.start()
        before = io.child("reader").ref
        for _ in range(2):
            await fail(root, "processing/parser")
        assert await root.ask("processing/transformer", 1) == 1
        assert root.child("processing").restarts == 1
        assert [child.incarnation for child in processing] == [3, 3]
        assert io.child("reader").ref is before
        for _ in range(2):
            await fail(root, "processing/parser")
        await asyncio.sleep(1)
        assert not root.is_running
        assert system.actors() == []
        for name in ("processing/parser", "io/reader"):
            with pytest.raises(ChildStopped):
                await root.ask(name, 1)

    in_sim(main)


def test_what_waits_for_a_child_survives_the_restart_of_its_supervisor(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, _ = tree_of_three()
        root.on_failure(lambda name, error, count: None)
        await root.start()
        ref = processing.ref
        assert ref is not None
        ref.kill()
        assert await root.ask("processing/parser", 1) == 1
        assert processing.ref is not ref
        assert len([r for r in system.actors() if r.name == "parser"]) == 1

    in_sim(main)


def test_stopping_the_root_stops_everything_in_reverse(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, _, _ = tree_of_three()
        await root.start()
        order: list[Any] = []
        system.on_actor_end(lambda ref, reason: order.append((ref.name, reason)))
        await root.stop()
        assert order == [
            (name, "shutdown")
            for name in ("writer", "reader", "io", "transformer", "parser", "processing", "root")
        ]

    in_sim(main)


def test_a_child_supervisor_stopped_by_hand_stays_down(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, _ = tree_of_three()
        await root.start()
        await processing.stop()
        await asyncio.sleep(1)
        assert root.child("processing").state is ChildState.STOPPED
        with pytest.raises(ChildStopped):
            await root.ask("processing/parser", 1)
        await root.restart_child("processing")
        assert await root.ask("processing/parser", 1) == 1

    in_sim(main)


def test_a_supervisor_that_runs_by_itself_is_adopted_as_it_is(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root, processing, _ = tree_of_three()
        await processing.start()
        parser = processing.child("parser").ref
        await root.start()
        assert processing.child("parser").ref is parser
        for _ in range(2):
            await fail(root, "processing/parser")
        assert await root.ask("processing/parser", 1) == 1
        await root.stop()
        assert system.actors() == []

    in_sim(main)


def test_a_supervisor_cannot_be_a_child_of_two(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        shared = pool("a")
        one, two = AgentSupervisor("one"), AgentSupervisor("two")
        one.add_supervisor("shared", shared)
        two.add_supervisor("shared", shared)
        await one.start()
        with pytest.raises(SupervisorStartFailed, match="child of one already"):
            await two.start()

    in_sim(main)


def test_an_agent_supervisor_may_stand_under_a_plain_supervisor(in_sim: Run) -> None:
    from agenticaiframework.supervision import ChildSpec, Supervisor, count_children

    async def main(system: ActorSystem) -> None:
        below = pool("a")
        lone = agent("lone")
        top = system.start(
            Supervisor,
            {"intensity": 5},
            [ChildSpec("below", below, type="supervisor"), ChildSpec("lone", lone)],  # type: ignore[arg-type]
        )
        assert (await count_children(top)).active == 2
        assert await below.ask("a", 1) == 1
        assert await lone.ask(2) == 2
        with pytest.raises(AgentFailed):
            await lone.ask("boom")
        assert await lone.ask(3) == 3
        ref: ActorRef[Any] | None = below.ref
        assert ref is not None
        ref.kill()
        assert await below.ask("a", 4) == 4
        top.kill()
        await system.wait_ended(top)
        await asyncio.sleep(1)
        with pytest.raises((ChildStopped, SupervisorNotRunning)):
            await below.ask("a", 5)
        with pytest.raises(AgentStopped):
            await lone.ask(6)

    in_sim(main)


def test_a_child_supervisor_may_take_as_long_to_start_as_its_children_together(
    in_sim: Run,
) -> None:
    async def slow() -> None:
        await asyncio.sleep(20)

    async def main(system: ActorSystem) -> None:
        root, below = AgentSupervisor("root"), AgentSupervisor("below")
        for name in "abc":
            below.add_child(name, agent(name, on_start=slow))
        root.add_supervisor("below", below)
        await root.start()
        assert system.clock() == pytest.approx(60)

    in_sim(main)


def test_a_killed_root_leaves_nobody_waiting_for_ever(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")
        await supervisor.start()
        waiting = asyncio.ensure_future(supervisor.ask("a", 100.0))
        queued = asyncio.ensure_future(supervisor.ask("a", 1))
        await asyncio.sleep(1)
        assert supervisor.ref is not None
        supervisor.ref.kill()
        results = await asyncio.wait_for(
            asyncio.gather(waiting, queued, return_exceptions=True), 10
        )
        assert all(isinstance(result, AgentFailed | AgentStopped) for result in results)
        assert system.actors() == []
        await supervisor.start()
        assert await supervisor.ask("a", 2) == 2

    in_sim(main)


def test_a_blueprint_runs_in_one_loop_after_another() -> None:
    supervisor = pool("a")

    async def main() -> None:
        async with ActorSystem(), supervisor:
            await fail(supervisor, "a")
            assert await supervisor.ask("a", 1) == 1

    asyncio.run(main())
    asyncio.run(main())


def test_without_a_system_of_its_own_the_loops_default_is_used() -> None:
    async def main() -> None:
        supervisor = pool("a")
        await supervisor.start()
        assert await supervisor.ask("a", 1) == 1
        await supervisor.stop()
        with pytest.raises((ChildStopped, ActorDied)):
            await supervisor.ask("a", 1)

    asyncio.run(main())


def test_restart_types_of_the_policy_apply_to_all_children(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", restart_policy=RestartPolicy(type=RestartType.TEMPORARY))
        await supervisor.start()
        await fail(supervisor, "a")
        await supervisor.wait_until("a", "stopped")

    in_sim(main)


# -- who goes down with others -----------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [0, 500])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_child_that_goes_down_with_others_is_down_for_good(
    in_sim: Run, strategy: str, delay_ms: float
) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(initial_delay_ms=delay_ms)
        supervisor = AgentSupervisor("pool", strategy, policy)
        supervisor.add_child("lasting", agent("lasting"))
        supervisor.add_child("once", agent("once"), restart="temporary")
        async with supervisor:
            queued = asyncio.ensure_future(supervisor.ask("once", 100.0))
            await asyncio.sleep(0)
            await fail(supervisor, "lasting")
            assert await supervisor.ask("lasting", 1) == 1
            assert supervisor.child("once").state is ChildState.STOPPED
            with pytest.raises(ChildStopped, match="once"):
                await supervisor.ask("once", 1)
            with pytest.raises(AgentFailed, match="shutdown"):
                await queued
            await supervisor.add_child("once", agent("another"))
            assert await supervisor.ask("once", 1) == 1

    in_sim(main)


@pytest.mark.parametrize("why", ["given up", "refused", "stopped", "removed"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_those_that_wait_to_be_restarted_with_a_child_come_back_without_it(
    in_sim: Run, strategy: str, why: str
) -> None:
    starts = 0

    def breaks() -> None:
        nonlocal starts
        starts += 1
        if starts > 1 and why in ("given up", "refused"):
            raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        waits = why in ("stopped", "removed")
        policy = RestartPolicy(max_restarts=3, initial_delay_ms=1000 if waits else 0)
        supervisor = AgentSupervisor("pool", strategy, policy)
        supervisor.add_child("first", agent("first"))
        supervisor.add_child("failing", agent("failing", on_start=breaks))
        supervisor.add_child("last", agent("last"))
        supervisor.on_max_restarts(lambda name: None)
        if why == "refused":
            supervisor.on_failure(lambda name, error, count: count == 0)
        async with supervisor:
            await fail(supervisor, "failing")
            await asyncio.sleep(0.1)
            if why == "stopped":
                await supervisor.stop_child("failing")
            elif why == "removed":
                await supervisor.remove_child("failing")
            assert await supervisor.ask("first", 1) == 1
            assert await supervisor.ask("last", 1) == 1
            await asyncio.sleep(10)
            assert [c.name for c in supervisor if c.state is ChildState.RUNNING] == [
                "first",
                "last",
            ]

    in_sim(main)


def test_a_child_that_did_not_start_again_holds_those_after_it_back_only_until_it_does(
    in_sim: Run,
) -> None:
    starts = 0

    def breaks() -> None:
        nonlocal starts
        starts += 1
        if starts in (2, 3):
            raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool", "rest_for_one")
        supervisor.add_child("first", agent("first", on_start=breaks))
        for name in ("second", "third"):
            supervisor.add_child(name, agent(name))
        async with supervisor:
            await fail(supervisor, "first")
            await supervisor.remove_child("second")
            assert await supervisor.ask("third", 1) == 1
            assert [child.incarnation for child in supervisor] == [2, 2]

    in_sim(main)


@pytest.mark.parametrize(
    ("restart", "declines"),
    [("permanent", 1), ("permanent", 2), ("transient", 1), ("transient", 2), ("temporary", 1)],
)
def test_a_child_that_declines_to_start_is_down_and_nobody_waits_for_it(
    in_sim: Run, restart: str, declines: int
) -> None:
    starts = 0

    class Shy(Actor):
        def on_start(self) -> None:
            nonlocal starts
            starts += 1
            if starts == declines:
                raise Ignore

        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise ValueError(message)
            return message

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("shy", Shy, restart=restart)
        async with supervisor:
            if declines == 2:
                with pytest.raises(ValueError, match="boom"):
                    await supervisor.ask("shy", "boom")
                await asyncio.sleep(1)
            assert supervisor.child("shy").state is ChildState.STOPPED
            with pytest.raises(ChildStopped):
                await supervisor.ask("shy", 1)
            if restart == "temporary":
                await supervisor.add_child("shy", Shy)
            else:
                await supervisor.restart_child("shy")
            assert await supervisor.ask("shy", 1) == 1

    in_sim(main)


def test_a_temporary_child_that_runs_again_with_its_supervisor_is_one_child(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("once", agent("once"), restart="temporary")
        async with supervisor:
            await fail(supervisor, "once")
            await supervisor.wait_until("once", "stopped")
        async with supervisor:
            assert await supervisor.ask("once", 1) == 1
            with pytest.raises(DuplicateChild):
                supervisor.add_child("once", agent("another"))
        assert system.actors() == []

    in_sim(main)


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_nobody_waits_for_the_children_of_a_start_that_nobody_awaits_any_more(
    in_sim: Run, how: str
) -> None:
    async def slow() -> None:
        await asyncio.sleep(2)
        raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        below = AgentSupervisor("below")
        below.add_child("x", agent("x"))
        supervisor = AgentSupervisor("pool")
        supervisor.add_supervisor("below", below)
        supervisor.add_child("slow", agent("slow", on_start=slow))
        supervisor.add_child("last", agent("last"))
        starting = asyncio.ensure_future(supervisor.start())
        await asyncio.sleep(1)
        starting.cancel()
        asks = [asyncio.ensure_future(supervisor.ask(name, 1)) for name in ("slow", "last")]
        await asyncio.sleep(0)
        if how == "is killed":
            assert supervisor.ref is not None
            supervisor.ref.kill()
        answers = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert [type(answer) for answer in answers] == [AgentStopped, AgentStopped]
        assert {child.state for child in (*supervisor, *below)} == {ChildState.STOPPED}
        assert system.actors() == []

    in_sim(main)


def test_nobody_waits_for_a_child_whose_removal_was_overtaken_by_the_end(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async def slow() -> None:
            await asyncio.sleep(1)

        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", agent("a"))
        supervisor.add_child("slow", agent("slow", on_stop=slow))
        await supervisor.start()
        asks = [asyncio.ensure_future(supervisor.ask("a", payload)) for payload in (100.0, 1)]
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(supervisor.stop())
        await asyncio.sleep(0.5)
        removing = asyncio.ensure_future(supervisor.remove_child("a"))
        await asyncio.sleep(0)
        removing.cancel()
        await stopping
        answers = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert all(isinstance(answer, AgentFailed | AgentStopped) for answer in answers)

    in_sim(main)
