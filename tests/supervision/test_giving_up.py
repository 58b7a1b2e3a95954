"""A supervisor that gives up: where it ends, who learns of it, and what does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import Actor, ActorSystem, Agent, GaveUp, Ignore
from agenticaiframework.supervision import (
    AgentSupervisor,
    AutoShutdown,
    ChildSpec,
    ChildState,
    ChildStopped,
    DynamicSupervisor,
    HealthStatus,
    Ok,
    ReportKind,
    RestartPolicy,
    Supervisor,
    SupervisorFlags,
    SupervisorStartFailed,
    TaskSupervisor,
    TooManyFailures,
    health_of,
    start_child,
)

from .pools import agent, fail, pool

Run = Callable[..., Any]

ONE = RestartPolicy(max_restarts=1, within_seconds=10)
WHY = TooManyFailures("a", 1, 10)


class Worker(Actor):
    crash_on_ask_error = True

    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return message


@pytest.mark.parametrize("exhausted", ["escalate", "stop"])
def test_a_root_that_is_told_to_ends_at_its_limit_and_the_program_learns_of_it(
    in_sim: Run, reports_of: Any, exhausted: str
) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        events: list[GaveUp] = []
        system.subscribe(events.append, GaveUp)
        supervisor = pool("a", "b", restart_policy=ONE, exhausted=exhausted)
        await supervisor.start()
        await fail(supervisor, "a")
        await fail(supervisor, "a")
        await asyncio.sleep(1)
        assert not supervisor.is_running
        assert system.actors() == []
        assert system.gave_up == GaveUp("pool", WHY)
        assert events == [system.gave_up]
        assert str(system.gave_up) == "pool gave up: child 'a' failed more than once in 10 s"
        assert [r.kind for r in reports].count(ReportKind.SHUTDOWN) == 1
        health = health_of(system)
        assert health.status is HealthStatus.FAILED
        assert [(p.path, p.state) for p in health.problems] == [("pool", "gave up")]
        with pytest.raises(ChildStopped):
            await supervisor.ask("b", 1)
        report = await system.stop()
        assert (report.reason, report.exit_code) == (str(GaveUp("pool", WHY)), 1)

    in_sim(main)


def test_otps_supervisor_at_the_root_tells_the_program_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        flags = SupervisorFlags(intensity=1, period_s=10)
        root = system.start(Supervisor, flags, [ChildSpec("a", Worker)], _name="root")
        await asyncio.sleep(0.1)
        for _ in range(2):
            (child,) = (ref for ref in system.actors() if ref.actor_class is Worker)
            child.tell("boom")
            await asyncio.sleep(0.1)
        assert root.exit_reason == "shutdown"
        assert system.gave_up == GaveUp("root", WHY)

    in_sim(main)


def test_a_dynamic_supervisor_at_the_root_tells_the_program_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool_of_sessions = system.start(DynamicSupervisor, SupervisorFlags(intensity=0))
        result = await start_child(pool_of_sessions, ChildSpec("any", Worker))
        assert isinstance(result, Ok)
        assert result.value is not None
        result.value.tell("boom")
        await asyncio.sleep(0.1)
        assert system.gave_up is not None
        assert isinstance(system.gave_up.reason, TooManyFailures)

    in_sim(main)


def test_one_that_crashes_or_is_killed_has_ended_for_good(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a")
        await supervisor.start()
        assert supervisor.ref is not None
        supervisor.ref.kill()
        await asyncio.sleep(0.1)
        assert system.gave_up == GaveUp("pool", "killed")

    in_sim(main)


def test_a_root_that_does_not_start_has_ended_unless_its_starter_learns_of_it(in_sim: Run) -> None:
    def refuse() -> None:
        raise OSError("no database")

    class Broken(Actor):
        def on_start(self) -> None:
            raise OSError("no database")

    class Declining(Supervisor):
        def init(self) -> Any:
            raise Ignore

    async def main(system: ActorSystem) -> None:
        supervisor = AgentSupervisor("pool")
        supervisor.add_child("a", agent("a", on_start=refuse))
        with pytest.raises(SupervisorStartFailed):
            await supervisor.start()
        system.start(Declining)
        await asyncio.sleep(0.1)
        assert system.gave_up is None
        system.start(Supervisor, None, [ChildSpec("a", Broken)], _name="root")
        await asyncio.sleep(0.1)
        assert system.gave_up is not None
        assert system.gave_up.who == "root"
        assert "no database" in str(system.gave_up)

    in_sim(main)


def test_orderly_ends_are_no_give_ups(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for reason in ("shutdown", "normal", "oops"):
            async with pool("a") as supervisor:
                await supervisor.stop(reason)
            async with TaskSupervisor("jobs") as jobs:
                await jobs.stop(reason)
        job = AgentSupervisor("job", auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
        lead = agent("lead")
        job.add_child("lead", lead, restart="transient", significant=True)
        await job.start()
        await lead.stop()
        await asyncio.sleep(1)
        assert not job.is_running
        ref = system.start(Supervisor, None, [ChildSpec("a", Worker)])
        await asyncio.sleep(0.1)
        system.end_actor(ref)
        await system.wait_ended(ref)
        assert system.gave_up is None
        report = await system.stop()
        assert (report.reason, report.exit_code) == ("stopped", 0)

    in_sim(main)


def test_the_end_of_the_system_is_nobodys_give_up(in_sim: Run) -> None:
    class Stubborn(Actor):
        async def on_stop(self) -> None:
            await asyncio.sleep(10**6)

    async def main(system: ActorSystem) -> None:
        system.start(Supervisor, None, [ChildSpec("a", Stubborn, shutdown_ms="infinity")])
        await asyncio.sleep(0.1)
        report = await system.stop(1)
        assert report.killed
        assert (report.reason, report.exit_code, system.gave_up) == ("stopped", 0, None)

    in_sim(main)


def test_the_first_give_up_counts(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        events: list[GaveUp] = []
        system.subscribe(events.append, GaveUp)
        for name in ("first", "second"):
            root = AgentSupervisor(
                name, restart_policy=RestartPolicy(max_restarts=0), exhausted="stop"
            )
            root.add_child("a", agent("a"))
            await root.start()
            await fail(root, "a")
            await asyncio.sleep(0.1)
        assert system.gave_up is not None
        assert (system.gave_up.who, len(events)) == ("first", 2)

    in_sim(main)


# -- under another supervisor -----------------------------------------------------------------------


def nested(above: Any, exhausted: str | None) -> tuple[Any, AgentSupervisor]:
    inner = AgentSupervisor("inner", restart_policy=ONE, exhausted=exhausted)
    inner.add_child("a", agent("a"))
    inner.add_child("b", agent("b"))
    above.add_supervisor("inner", inner)
    above.add_child("other", agent("other"))
    return above, inner


@pytest.mark.parametrize("exhausted", [None, "escalate"])
def test_escalating_restarts_the_subtree(in_sim: Run, exhausted: str | None) -> None:
    async def main(system: ActorSystem) -> None:
        outer, inner = nested(AgentSupervisor("outer"), exhausted)
        async with outer:
            await fail(inner, "a")
            await fail(inner, "a")
            assert await outer.ask("inner/b", 1) == 1
            assert (outer.child("inner").restarts, outer.child("other").restarts) == (1, 0)
        assert system.gave_up is None

    in_sim(main)


def test_stopping_leaves_the_subtree_down(in_sim: Run, reports_of: Any) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        outer, inner = nested(AgentSupervisor("outer"), "stop")
        async with outer:
            await fail(inner, "a")
            await fail(inner, "a")
            await outer.wait_until("inner", "gave up")
            for name in ("inner/a", "inner/b"):
                with pytest.raises(ChildStopped):
                    await outer.ask(name, 1)
            assert await outer.ask("other", 1) == 1
            assert [(r.kind, r.next) for r in reports[-2:]] == [
                (
                    ReportKind.SHUTDOWN,
                    "the supervisor stops its children and itself, and is not started again",
                ),
                (ReportKind.CHILD_TERMINATED, "it is not restarted"),
            ]
            (problem,) = health_of(system).problems
            assert (problem.path, problem.state) == ("outer/inner", "gave up")
            assert problem.reason == "shutdown (child 'a' failed more than once in 10 s)"
            await outer.restart_child("inner")
            assert await outer.ask("inner/a", 1) == 1
            assert health_of(system).status == "ok"
        assert system.gave_up is None

    in_sim(main)


def test_stopping_leaves_it_down_under_otps_supervisor_too(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        inner = pool("a", restart_policy=ONE, exhausted="stop")
        root = system.start(Supervisor, None, [ChildSpec("inner", inner, type="supervisor")])  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        await fail(inner, "a")
        await fail(inner, "a")
        await asyncio.sleep(1)
        assert root.is_alive()
        assert not inner.is_running
        assert system.gave_up is None

    in_sim(main)


def test_a_supervisor_that_an_actor_has_started_is_not_the_programs(in_sim: Run) -> None:
    """Its end is a signal to that actor, which decides what it means."""

    class Keeper(Actor):
        def __init__(self, inner: AgentSupervisor) -> None:
            super().__init__()
            self.inner = inner

        async def on_start(self) -> None:
            self.trap_exit = True
            await self.inner.start_under(self)

        def on_receive(self, message: Any) -> None:
            seen.append(message.reason)

    seen: list[Any] = []

    async def main(system: ActorSystem) -> None:
        inner = pool("a", restart_policy=ONE)
        system.start(Keeper, inner)
        await asyncio.sleep(0.1)
        await fail(inner, "a")
        await fail(inner, "a")
        await asyncio.sleep(1)
        assert (seen, system.gave_up) == (["shutdown"], None)

    in_sim(main)


@pytest.mark.parametrize("reason", [(), ("shutdown",), ("oops", 1), "", None, 0])
def test_any_exit_reason_is_only_that(in_sim: Run, reason: Any) -> None:
    async def main(system: ActorSystem) -> None:
        worker = agent("worker")
        async with AgentSupervisor("pool") as supervisor:
            await supervisor.add_child("a", worker)
            await worker.stop(reason)
            assert await supervisor.ask("a", 1) == 1

    in_sim(main)


# -- handlers ---------------------------------------------------------------------------------------


def handlers(
    supervisor: AgentSupervisor, allow: Callable[[int], Any]
) -> tuple[list[Any], list[str]]:
    counts: list[Any] = []
    told: list[str] = []

    @supervisor.on_failure
    async def decide(name: str, error: Exception, restart_count: int) -> Any:
        counts.append(restart_count)
        return allow(restart_count)

    @supervisor.on_max_restarts
    async def tell(name: str) -> None:
        told.append(name)

    return counts, told


async def crash(supervisor: AgentSupervisor, times: int) -> None:
    for _ in range(times):
        await asyncio.gather(supervisor.ask("a", "boom"), return_exceptions=True)
        await asyncio.sleep(0.1)


def test_the_sixth_failure_reaches_the_handler_for_it_whatever_the_other_says(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        for allow in (lambda count: count < 5, lambda count: True, lambda count: None):
            supervisor = pool("a", "b", restart_policy=RestartPolicy(max_restarts=5))
            counts, told = handlers(supervisor, allow)
            async with supervisor:
                await crash(supervisor, 6)
                assert (counts, told) == ([0, 1, 2, 3, 4, 5], ["a"])
                assert supervisor.child("a").state is ChildState.GAVE_UP
                assert await supervisor.ask("b", 1) == 1

    in_sim(main)


def test_a_no_below_the_limit_stops_the_child_and_is_counted(in_sim: Run, reports_of: Any) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        supervisor = pool("a", "b", restart_policy=RestartPolicy(max_restarts=2))
        counts, told = handlers(supervisor, lambda count: False)
        async with supervisor:
            for number in range(2):
                await crash(supervisor, 1)
                assert supervisor.child("a").state is ChildState.STOPPED
                assert (told, supervisor.tree().in_window) == ([], number + 1)
                await supervisor.restart_child("a")
            await crash(supervisor, 1)
            assert supervisor.child("a").state is ChildState.GAVE_UP
            assert (counts, told) == ([0, 0, 0], ["a"])
        kinds = [r.kind for r in reports if r.kind is not ReportKind.CHILD_TERMINATED]
        assert kinds == [
            ReportKind.STOPPED_BY_HANDLER,
            ReportKind.STOPPED_BY_HANDLER,
            ReportKind.GAVE_UP,
        ]

    in_sim(main)


@pytest.mark.parametrize("exhausted", [None, "cool_down", "escalate", "stop"])
def test_what_the_failure_handler_stops_stays_down_at_the_limit_too(
    in_sim: Run, exhausted: str | None
) -> None:
    async def main(system: ActorSystem) -> None:
        policy = RestartPolicy(max_restarts=0, within_seconds=5)
        supervisor = pool("a", "b", restart_policy=policy, exhausted=exhausted)
        supervisor.on_failure(lambda name, error, count: False)
        async with supervisor:
            await crash(supervisor, 1)
            await asyncio.sleep(20)
            assert supervisor.child("a").state is ChildState.STOPPED
            assert await supervisor.ask("b", 1) == 1

    in_sim(main)


@pytest.mark.parametrize("exhausted", ["escalate", "stop"])
def test_a_way_to_give_up_that_is_given_holds_also_with_the_handler(
    in_sim: Run, exhausted: str
) -> None:
    async def main(system: ActorSystem) -> None:
        supervisor = pool("a", restart_policy=ONE, exhausted=exhausted)
        told: list[str] = []
        supervisor.on_max_restarts(told.append)
        await supervisor.start()
        await crash(supervisor, 2)
        assert (told, supervisor.is_running) == (["a"], False)

    in_sim(main)


def test_an_agent_of_a_supervisor_that_gave_up_does_not_start_by_itself(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        worker: Agent = agent("worker")
        supervisor = AgentSupervisor("pool", restart_policy=ONE, exhausted="stop")
        supervisor.add_child("a", worker)
        await supervisor.start()
        await crash(supervisor, 2)
        with pytest.raises(Exception, match="has been stopped"):
            await worker.ask(1)
        await supervisor.start()
        assert await worker.ask(1) == 1

    in_sim(main)
