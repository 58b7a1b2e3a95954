"""The answers and reports about children without ids, whether they run, wait for a restart, or are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agenticaiframework.actors import Actor, ActorRef, ActorSystem
from agenticaiframework.supervision import (
    Backoff,
    ChildInfo,
    ChildProblem,
    ChildSpec,
    ChildType,
    Counts,
    DynamicSupervisor,
    Error,
    Ok,
    ReportKind,
    Supervisor,
    SupervisorFlags,
    SupervisorReport,
    count_children,
    get_childspec,
    start_child,
    terminate_child,
    which_child,
    which_children,
)

Run = Callable[..., Any]


class Worker(Actor):
    crash_on_ask_error = True

    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return message


async def crash(ref: ActorRef[Any]) -> None:
    ref.tell("boom")
    await ref.system.wait_ended(ref)  # type: ignore[union-attr]


async def started(pool: ActorRef[Any], spec: Any) -> ActorRef[Any]:
    ref = (await start_child(pool, spec)).unwrap()
    assert isinstance(ref, ActorRef)
    return ref


def test_one_dynamic_child_is_found_running_and_between_two_incarnations(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor)
        slow = ChildSpec("slow", Worker, backoff=Backoff(initial_delay_s=5))
        other = await started(pool, ChildSpec("other", Worker, type=ChildType.SUPERVISOR))
        ref = await started(pool, slow)
        modules = (Worker.__module__,)
        assert await which_child(pool, ref) == Ok(ChildInfo(None, ref, ChildType.WORKER, modules))
        assert await which_child(pool, other) == Ok(
            ChildInfo(None, other, ChildType.SUPERVISOR, modules)
        )
        assert await count_children(pool) == Counts(2, 2, 1, 1)
        await crash(ref)
        waiting = ChildInfo(None, "restarting", ChildType.WORKER, modules)
        assert await which_child(pool, ref) == Ok(waiting)
        assert await get_childspec(pool, ref) == Ok(slow)
        assert (await which_children(pool))[1] == waiting
        assert await count_children(pool) == Counts(2, 1, 1, 1)
        await asyncio.sleep(6)
        # It has a new ref now; nothing is found by the old one.
        assert await which_child(pool, ref) == Error(ChildProblem.NOT_FOUND)
        assert await get_childspec(pool, ref) == Error(ChildProblem.NOT_FOUND)
        assert await count_children(pool) == Counts(2, 2, 1, 1)

    in_sim(main)


def test_a_template_speaks_for_all_its_children(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        template = ChildSpec("any", Worker, type=ChildType.SUPERVISOR)
        pool = system.start(Supervisor, SupervisorFlags("simple_one_for_one"), [template])  # type: ignore[arg-type]
        refs = [await started(pool, ()) for _ in range(3)]
        assert await count_children(pool) == Counts(1, 3, 3, 0)
        assert await get_childspec(pool, "any") == Ok(template)
        assert await get_childspec(pool, refs[0]) == Ok(template)
        assert await get_childspec(pool, "other") == Error(ChildProblem.NOT_FOUND)
        assert await terminate_child(pool, refs[0]) == Ok(None)
        # A dead process may have been one of its children.
        assert await get_childspec(pool, refs[0]) == Ok(template)
        stranger = system.start(Worker)
        assert await get_childspec(pool, stranger) == Error(ChildProblem.NOT_FOUND)
        assert await which_child(pool, stranger) == Error(ChildProblem.NOT_FOUND)
        assert await terminate_child(pool, "any") == Error(ChildProblem.SIMPLE_ONE_FOR_ONE)

    in_sim(main)


def test_a_child_that_waits_for_its_restart_is_terminated_for_good(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        pool = system.start(DynamicSupervisor)
        ref = await started(pool, ChildSpec("a", Worker, backoff=Backoff(initial_delay_s=5)))
        await crash(ref)
        assert await terminate_child(pool, ref) == Ok(None)
        assert await count_children(pool) == Counts(0, 0, 0, 0)
        await asyncio.sleep(10)
        assert await which_children(pool) == []

    in_sim(main)


def test_those_that_end_badly_alike_are_one_report_with_their_number(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        reports: list[SupervisorReport] = []
        system.subscribe(reports.append, SupervisorReport)

        class Ends(Actor):
            """Ends with its own reason when it is told to stop."""

            obey_parent = False

            def __init__(self, error: Exception) -> None:
                super().__init__()
                self.trap_exit = True
                self.error = error

            def on_receive(self, message: Any) -> Any:
                raise self.error

        pool = system.start(DynamicSupervisor)
        for error in (OSError("x"), OSError("x"), OSError("y"), ValueError("x")):
            await started(pool, ChildSpec("any", (Ends, error)))
        system.end_actor(pool)
        await system.wait_ended(pool)
        shown = [(r.kind, str(r.reason), type(r.reason), r.children) for r in reports]
        assert shown == [
            (ReportKind.SHUTDOWN_ERROR, "x", OSError, 2),
            (ReportKind.SHUTDOWN_ERROR, "y", OSError, 1),
            (ReportKind.SHUTDOWN_ERROR, "x", ValueError, 1),
        ]

    in_sim(main)
