"""Failure handlers decide, take their time, fail, and change the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    ActorSystem,
    Agent,
    AgentFailed,
    AgentStopped,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    ChildExited,
    ChildState,
    ChildStopped,
    ReportKind,
    RestartPolicy,
)

from .pools import agent, fail, pool

Run = Callable[..., Any]


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
        policy = RestartPolicy(max_restarts=1)
        supervisor = pool("a", restart_policy=policy, exhausted="escalate")
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
        await asyncio.wait_for(replaced.wait(), 120)
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


@pytest.mark.parametrize("slow", [False, True], ids=["raises", "hangs"])
def test_a_max_restarts_handler_that_fails_is_reported(
    in_sim: Run, reports_of: Any, slow: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        policy = RestartPolicy(max_restarts=0)
        supervisor = AgentSupervisor("pool", restart_policy=policy, handler_timeout_s=3)
        supervisor.add_child("a", agent("a"))

        @supervisor.on_max_restarts
        async def handler(_name: str) -> None:
            if slow:
                await asyncio.sleep(10**6)
            raise OSError("no pager")

        async with supervisor:
            await fail(supervisor, "a")
            await asyncio.sleep(5)
            assert supervisor.child("a").state == "gave up"
            shown = [(report.kind, type(report.reason), report.next) for report in reports[1:]]
            assert shown == [
                (ReportKind.GAVE_UP, str, "it stays down"),
                (
                    ReportKind.HANDLER_FAILED,
                    TimeoutError if slow else OSError,
                    "the child stays down",
                ),
            ]

    in_sim(main)
