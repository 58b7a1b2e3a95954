"""The supervisor through its requests and exit signals; the strategies are replayed in tests/otp."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pykka
import pytest

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorExit,
    ActorRef,
    ActorSystem,
    Agent,
    AgentFailed,
    AgentStopped,
    Exit,
    Ignore,
    StartFailed,
)
from agenticaiframework.supervision import (
    AlreadyStarted,
    BadReturn,
    BadStartReturn,
    ChildProblem,
    ChildSpec,
    CountChildren,
    Counts,
    DynamicSupervisor,
    Error,
    FailedToStartChild,
    Ok,
    Refused,
    ReportKind,
    RestartType,
    SpecError,
    SpecProblem,
    StartCrashed,
    Started,
    StartError,
    StartSpec,
    Supervisor,
    SupervisorData,
    SupervisorFlags,
    UnknownRequest,
    WhichChildren,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    terminate_child,
    which_child,
    which_children,
)

Run = Callable[..., Any]


class Worker(Actor):
    """Does what it is told; answers everything else with itself."""

    crash_on_ask_error = True

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


def crash(_worker: Actor) -> None:
    raise ValueError("boom")


def spec(id: Any, **options: Any) -> ChildSpec:
    return ChildSpec(id, options.pop("start", Worker), **options)


async def started(system: ActorSystem, *children: Any, **flags: Any) -> ActorRef[Any]:
    sup = system.start(Supervisor, flags, children)
    await count_children(sup)
    return sup


async def ref_of(sup: ActorRef[Any], id: Any) -> ActorRef[Any]:
    info = (await which_child(sup, id)).unwrap()
    assert isinstance(info.child, ActorRef)
    return info.child


async def crashed(sup: ActorRef[Any], id: Any) -> None:
    """Let the child crash, and return when the supervisor has dealt with it."""
    ref = await ref_of(sup, id)
    ref.tell(crash)
    await ref.system.wait_ended(ref)  # type: ignore[union-attr]
    await count_children(sup)


async def ended(ref: ActorRef[Any]) -> Any:
    assert await ref.system.wait_ended(ref, 60)  # type: ignore[union-attr]
    return ref.exit_reason


# -- requests and their typed answers ----------------------------------------------------------


def test_children_are_listed_with_the_one_added_last_first(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"), spec("b"))
        result = await start_child(sup, spec("c", restart="temporary"))
        listed = await which_children(sup)
        assert [info.id for info in listed] == ["c", "b", "a"]
        assert result == Ok(listed[0].child)
        assert await count_children(sup) == Counts(3, 3, 0, 3)

    in_sim(main)


def test_start_child_says_what_stands_in_the_way(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"), spec("b"))
        a = await ref_of(sup, "a")
        assert await start_child(sup, spec("a")) == Error(AlreadyStarted(a))
        assert await terminate_child(sup, "a") == Ok(None)
        assert await start_child(sup, spec("a")) == Error(ChildProblem.ALREADY_PRESENT)
        wrong = await start_child(sup, {"id": "c", "start": Worker, "restart": "never"})
        assert isinstance(wrong, Error)
        assert isinstance(wrong.error, SpecError)
        assert wrong.error.problem is SpecProblem.INVALID_RESTART
        with pytest.raises(Refused, match="already_present"):
            (await start_child(sup, spec("a"))).unwrap()

    in_sim(main)


def test_a_child_is_stopped_restarted_and_deleted_by_hand(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"))
        first = await ref_of(sup, "a")
        assert await restart_child(sup, "a") == Error(ChildProblem.RUNNING)
        assert await delete_child(sup, "a") == Error(ChildProblem.RUNNING)
        await terminate_child(sup, "a")
        assert first.exit_reason == "shutdown"
        assert (await which_child(sup, "a")).unwrap().child is None
        second = (await restart_child(sup, "a")).unwrap()
        assert second is not first
        await terminate_child(sup, "a")
        assert await delete_child(sup, "a") == Ok(None)
        for request in (terminate_child, restart_child, delete_child, get_childspec, which_child):
            assert await request(sup, "a") == Error(ChildProblem.NOT_FOUND)  # type: ignore[operator]

    in_sim(main)


def test_the_specification_is_given_back(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        wanted = spec("a", restart="transient", shutdown_ms=20)
        sup = await started(system, wanted)
        assert await get_childspec(sup, "a") == Ok(wanted)

    in_sim(main)


def test_a_supervisor_is_found_by_its_name(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        system.start(Supervisor, None, [spec("a")], _name="main")
        assert (await count_children("main")).active == 1
        with pytest.raises(ActorDied, match="not found"):
            await count_children("another")

    in_sim(main)


def test_a_request_to_a_dead_supervisor_fails_at_once(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"))
        sup.kill()
        await ended(sup)
        with pytest.raises(ActorDied):
            await which_children(sup)

    in_sim(main)


def test_requests_behind_the_end_of_a_supervisor_fail_with_its_reason(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"), intensity=0)
        system.suspend(sup)
        a = only_child(sup)
        a.tell(crash)
        await ended(a)
        late = sup.request(CountChildren())
        system.resume(sup)
        with pytest.raises(ActorDied) as caught:
            await late
        assert caught.value.reason == "shutdown"

    def only_child(sup: ActorRef[Any]) -> ActorRef[Any]:
        from agenticaiframework.supervision.machine.supervisor import supervisor_of

        actor = supervisor_of(sup)
        assert actor is not None
        (ref,) = actor.children.by_ref
        return ref  # type: ignore[return-value]

    in_sim(main)


def test_an_unknown_message_is_ignored_and_an_unknown_request_answered(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"))
        sup.tell("what is this")
        with pytest.raises(UnknownRequest, match="what is this"):
            await sup.request("what is this")
        assert (await count_children(sup)).active == 1

    in_sim(main)


# -- starting ----------------------------------------------------------------------------------


def test_bad_flags_and_specifications_keep_a_supervisor_from_starting(in_sim: Run) -> None:
    class Nonsense(Supervisor):
        def init(self) -> Any:
            return "nonsense"

    async def main(system: ActorSystem) -> None:
        for start, kind in (
            ((Supervisor, {"strategy": "none"}), SupervisorData),
            ((Supervisor, {}, [{"id": "a"}]), StartSpec),
            ((Nonsense,), BadReturn),
        ):
            result = await start_child(
                await started(system),
                ChildSpec("below", start, type="supervisor"),  # type: ignore[arg-type]
            )
            assert isinstance(result, Error)
            assert isinstance(result.error, StartError)
            assert isinstance(result.error.reason, kind)

    in_sim(main)


def test_a_child_that_does_not_start_takes_those_before_it_down_in_reverse(in_sim: Run) -> None:
    log: list[Any] = []

    class Logged(Actor):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def on_start(self) -> None:
            log.append(("start", self.name))
            if self.name == "c":
                raise ValueError("no c")

        def on_stop(self) -> None:
            log.append(("stop", self.name, self.exit_reason))

        def on_receive(self, message: Any) -> None:
            return None

    async def main(system: ActorSystem) -> None:
        sup = system.start(Supervisor, {}, [spec(n, start=(Logged, n)) for n in "abcd"])
        word, failed = await ended(sup)
        assert word == "shutdown"
        assert isinstance(failed, FailedToStartChild)
        assert failed.id == "c"
        assert isinstance(failed.reason, ValueError)
        assert system.actors() == []

    in_sim(main)
    assert log == [
        ("start", "a"),
        ("start", "b"),
        ("start", "c"),
        ("stop", "b", "shutdown"),
        ("stop", "a", "shutdown"),
    ]


def test_start_functions_may_answer_in_all_of_otps_ways(in_sim: Run) -> None:
    async def ok(sup: Supervisor) -> Any:
        return await sup.start_link(Worker)

    async def with_info(sup: Supervisor) -> Any:
        ref = await sup.start_link(Worker)
        assert ref is not None
        return Started(ref, {"port": 80})

    def declines(_sup: Supervisor) -> Any:
        return None

    def fails(_sup: Supervisor) -> Any:
        return StartError("no_resource")

    async def raises(_sup: Supervisor) -> Any:
        raise OSError("disk")

    async def nonsense(_sup: Supervisor) -> Any:
        return 42

    async def main(system: ActorSystem) -> None:
        sup = await started(system)
        assert isinstance((await start_child(sup, spec("ok", start=ok))).unwrap(), ActorRef)
        informed = await start_child(sup, spec("info", start=with_info))
        assert isinstance(informed, Ok)
        assert informed.info == {"port": 80}
        assert await start_child(sup, spec("declines", start=declines)) == Ok(None)
        assert (await which_child(sup, "declines")).unwrap().child is None
        assert await start_child(sup, spec("gone", start=declines, restart="temporary")) == Ok(None)
        assert await which_child(sup, "gone") == Error(ChildProblem.NOT_FOUND)
        reasons = []
        for start in (fails, raises, nonsense):
            result = await start_child(sup, spec("wrong", start=start))
            assert isinstance(result, Error)
            assert isinstance(result.error, StartError)
            reasons.append(result.error.reason)
        assert reasons[0] == "no_resource"
        assert isinstance(reasons[1], StartCrashed)
        assert reasons[2] == BadStartReturn(42)

    in_sim(main)


def test_a_start_function_that_finds_it_started_says_so_unwrapped(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"))
        there = AlreadyStarted(await ref_of(sup, "a"))
        result = await start_child(sup, spec("b", start=lambda _sup: StartError(there)))
        assert result == Error(there)

    in_sim(main)


def test_a_process_that_nobody_linked_is_restarted_all_the_same(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a", start=lambda sup: system.start(Worker)))
        first = await ref_of(sup, "a")
        await crashed(sup, "a")
        assert await ref_of(sup, "a") is not first

    in_sim(main)


def test_a_stuck_start_is_ended_after_its_time_and_blocks_no_other_supervisor(in_sim: Run) -> None:
    class Stuck(Worker):
        async def on_start(self) -> None:  # type: ignore[override]
            await asyncio.sleep(10**6)

    async def main(system: ActorSystem) -> None:
        slow, other = await started(system), await started(system, spec("a"))
        starting = asyncio.ensure_future(
            start_child(slow, spec("stuck", start=Stuck, start_timeout_s=3))
        )
        await asyncio.sleep(1)
        await crashed(other, "a")
        assert (await count_children(other)).active == 1
        assert system.clock() == pytest.approx(1)
        result = await starting
        assert isinstance(result, Error)
        assert isinstance(result.error, StartError)
        assert result.error.reason == "timeout"
        assert system.clock() == pytest.approx(3)
        assert all(ref.actor_class is not Stuck for ref in system.actors())

    in_sim(main)


def test_a_stuck_start_function_is_ended_after_its_time_too(in_sim: Run) -> None:
    async def stuck(sup: Supervisor) -> Any:
        await sup.start_link(Worker)
        await asyncio.sleep(10**6)

    async def main(system: ActorSystem) -> None:
        sup = await started(system)
        result = await start_child(sup, spec("stuck", start=stuck, start_timeout_s=3))
        assert isinstance(result, Error)
        assert isinstance(result.error, StartError)
        assert result.error.reason == "timeout"

    in_sim(main)


def test_a_supervisor_may_decline_to_start(in_sim: Run) -> None:
    class Idle(Supervisor):
        async def init(self) -> Any:
            return None

    async def main(system: ActorSystem) -> None:
        sup = await started(system)
        assert await start_child(sup, spec("idle", start=Idle)) == Ok(None)

    in_sim(main)


def test_a_worker_that_declines_is_ignored_also_on_a_restart(in_sim: Run) -> None:
    starts: list[int] = []

    class Once(Worker):
        def on_start(self) -> None:
            starts.append(1)
            if len(starts) > 1:
                raise Ignore

    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a", start=Once))
        await crashed(sup, "a")
        assert (await which_child(sup, "a")).unwrap().child is None
        dynamic = await started(system, spec("t", start=Once), strategy="simple_one_for_one")
        starts.clear()
        ref = (await start_child(dynamic, ())).unwrap()
        assert ref is not None
        ref.tell(crash)
        await ended(ref)
        assert await which_children(dynamic) == []
        assert await count_children(dynamic) == Counts(1, 0, 0, 0)

    in_sim(main)


# -- failures ----------------------------------------------------------------------------------


def test_a_supervisor_that_crashes_takes_its_subtree_down_and_is_restarted(in_sim: Run) -> None:
    class Fragile(Supervisor):
        _requests = {**Supervisor._requests, str: "_on_text"}

        def _on_text(self, text: str) -> None:
            raise RuntimeError(text)

    async def main(system: ActorSystem) -> None:
        top = await started(
            system, spec("below", start=(Fragile, {}, [spec("a")]), type="supervisor")
        )
        for end in (lambda ref: ref.tell("bug"), lambda ref: ref.kill()):
            below = await ref_of(top, "below")
            a = await ref_of(below, "a")
            end(below)
            await ended(below)
            await ended(a)
            await count_children(top)
            again = await ref_of(top, "below")
            assert again is not below
            assert (await ref_of(again, "a")).is_alive()
            await asyncio.sleep(10)

    in_sim(main)


def test_a_killed_supervisor_does_not_wait_for_its_children(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"), spec("b"))
        a = await ref_of(sup, "a")
        sup.kill()
        await ended(sup)
        await ended(a)
        assert a.exit_reason == "killed"

    in_sim(main)


def test_unrelated_messages_keep_their_order_while_a_child_is_stopped(in_sim: Run) -> None:
    class Slow(Worker):
        async def on_stop(self) -> None:  # type: ignore[override]
            await asyncio.sleep(1)

    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("slow", start=Slow), spec("a"))
        stopping = sup.request(_terminate("slow"))
        answers = [sup.request(request) for request in (CountChildren(), WhichChildren())]
        added = sup.request(_start("later"))
        counted = sup.request(CountChildren())
        assert await stopping == Ok(None)
        assert (await answers[0]).active == 1
        assert [info.id for info in await answers[1]] == ["a", "slow"]
        assert (await added).is_ok
        assert (await counted).specs == 3

    in_sim(main)


def _terminate(id: str) -> Any:
    from agenticaiframework.supervision import TerminateChild

    return TerminateChild(id)


def _start(id: str) -> Any:
    from agenticaiframework.supervision import StartChild

    return StartChild(spec(id))


def test_a_restart_that_fails_lets_waiting_requests_through_before_the_next_try(
    in_sim: Run,
) -> None:
    starts: list[int] = []

    class Flaky(Worker):
        def on_start(self) -> None:
            starts.append(1)
            if len(starts) > 1:
                raise OSError("still down")

    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a", start=Flaky), intensity=10**6)
        ref = await ref_of(sup, "a")
        ref.tell(crash)
        await ended(ref)
        # A supervisor that would try again at once would never answer.
        assert await terminate_child(sup, "a") == Ok(None)
        assert (await which_child(sup, "a")).unwrap().child is None

    in_sim(main)


def test_backoff_waits_in_the_systems_time_and_the_limit_counts_once(in_sim: Run) -> None:
    from agenticaiframework.supervision import Backoff, BackoffType

    async def main(system: ActorSystem) -> list[float]:
        backoff = Backoff(BackoffType.EXPONENTIAL, 1.0, max_delay_s=3.0)
        sup = await started(system, spec("a", backoff=backoff), intensity=4, period_s=1000)
        waits = []
        for _ in range(4):
            begin = system.clock()
            await crashed(sup, "a")
            assert (await which_child(sup, "a")).unwrap().child == "restarting"
            while (await which_child(sup, "a")).unwrap().child == "restarting":
                await asyncio.sleep(0.125)
            waits.append(system.clock() - begin)
        await crashed_for_good(sup)
        assert await ended(sup) == "shutdown"
        return waits

    async def crashed_for_good(sup: ActorRef[Any]) -> None:
        ref = await ref_of(sup, "a")
        ref.tell(crash)

    assert in_sim(main) == pytest.approx([1.0, 2.0, 3.0, 3.0], abs=0.2)


def test_a_child_in_its_backoff_can_be_stopped_and_the_timer_is_void(in_sim: Run) -> None:
    from agenticaiframework.supervision import Backoff

    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a", backoff=Backoff(initial_delay_s=5.0)))
        await crashed(sup, "a")
        assert await restart_child(sup, "a") == Error(ChildProblem.RESTARTING)
        assert await terminate_child(sup, "a") == Ok(None)
        await asyncio.sleep(60)
        assert (await which_child(sup, "a")).unwrap().child is None

    in_sim(main)


def test_in_a_group_with_backoff_the_others_do_not_run_on_alone(in_sim: Run) -> None:
    from agenticaiframework.supervision import Backoff

    async def main(system: ActorSystem) -> None:
        sup = await started(
            system,
            spec("a"),
            spec("b", backoff=Backoff(initial_delay_s=5.0)),
            spec("c"),
            strategy="rest_for_one",
        )
        a, c = await ref_of(sup, "a"), await ref_of(sup, "c")
        await crashed(sup, "b")
        assert [info.child for info in await which_children(sup)] == [None, "restarting", a]
        assert c.exit_reason == "shutdown"
        await asyncio.sleep(5.5)
        assert (await count_children(sup)).active == 3

    in_sim(main)


def test_a_child_with_a_budget_of_its_own_does_not_use_the_others(in_sim: Run) -> None:
    from agenticaiframework.supervision import Budget

    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("own", budget=Budget(3, 60)), spec("b"), intensity=1)
        for _ in range(3):
            await crashed(sup, "own")
        await crashed(sup, "b")
        assert sup.is_alive()
        (await ref_of(sup, "own")).tell(crash)
        assert await ended(sup) == "shutdown"

    in_sim(main)


def test_two_hundred_deaths_of_one_cause_are_one_event(in_sim: Run) -> None:
    class StoreLost(Exception):
        cause_token = "store"

    def lose_store(_worker: Actor) -> None:
        raise StoreLost

    async def main(system: ActorSystem) -> None:
        sup = await started(system, *[spec(n) for n in range(200)], intensity=2)
        refs = [info.child for info in await which_children(sup)]
        for ref in refs:
            assert isinstance(ref, ActorRef)
            ref.tell(lose_store)
        await asyncio.sleep(1)
        assert (await count_children(sup)).active == 200
        # Without a common token OTP's arithmetic holds: the second more is one too many.
        await crashed(sup, 0)
        (await ref_of(sup, 1)).tell(crash)
        assert await ended(sup) == "shutdown"

    in_sim(main)


# -- stopping ----------------------------------------------------------------------------------


class Ignoring(Actor):
    """Traps exits and never ends by itself."""

    obey_parent = False

    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True

    def on_receive(self, message: Any) -> None:
        return None


def test_who_is_late_is_killed_and_reported(in_sim: Run, reports_of: Any) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        sup = await started(system, spec("a"), spec("late", start=Ignoring, shutdown_ms=700))
        begin = system.clock()
        await terminate_child(sup, "late")
        assert system.clock() - begin == pytest.approx(0.7)
        assert [(r.kind, r.child, r.reason) for r in reports] == [
            (ReportKind.SHUTDOWN_ERROR, "late", "killed")
        ]
        assert system.loop.next_timer() is None  # type: ignore[attr-defined]

    in_sim(main)


def test_dynamic_children_share_their_time_to_stop(in_sim: Run, reports_of: Any) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        sup = await started(
            system,
            spec("t", start=Ignoring, shutdown_ms=700),
            strategy="simple_one_for_one",
        )
        for _ in range(50):
            await start_child(sup, ())
        begin = system.clock()
        sup.tell(_stop())
        await ended(sup)
        assert system.clock() - begin == pytest.approx(0.7)
        assert [(r.kind, r.reason, r.children) for r in reports] == [
            (ReportKind.SHUTDOWN_ERROR, "killed", 50)
        ]

    in_sim(main)


def _stop() -> Any:
    from agenticaiframework.supervision.machine.messages import StopSupervisor

    return StopSupervisor("shutdown")


def test_the_reason_of_a_child_that_had_died_unseen_is_reported(
    in_sim: Run, reports_of: Any
) -> None:
    async def main(system: ActorSystem) -> None:
        reports = reports_of(system)
        sup = await started(system, *[spec(n) for n in range(300)], intensity=0)
        refs = [info.child for info in reversed(await which_children(sup))]
        system.suspend(sup)
        for ref in refs:
            assert isinstance(ref, ActorRef)
            ref.exit("oops")
        await asyncio.sleep(0.1)
        system.resume(sup)
        await ended(sup)
        stopped = [r for r in reports if r.kind is ReportKind.SHUTDOWN_ERROR]
        assert [r.reason for r in stopped] == ["oops"] * 299

    in_sim(main)


def test_a_supervisor_with_shutdown_infinity_waits_for_its_subtree(in_sim: Run) -> None:
    class Slow(Worker):
        async def on_stop(self) -> None:  # type: ignore[override]
            await asyncio.sleep(100)

    async def main(system: ActorSystem) -> None:
        below = (Supervisor, {}, [spec("slow", start=Slow, shutdown_ms=200_000)])
        top = await started(system, spec("below", start=below, type="supervisor"))
        await terminate_child(top, "below")
        assert system.clock() == pytest.approx(100)

    in_sim(main)


class SlowStart(Worker):
    """Takes a second to start."""

    async def on_start(self) -> None:
        await asyncio.sleep(1)


def test_the_parents_exit_waits_its_turn_in_the_mailbox(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        top = await started(
            system, spec("below", start=(Supervisor, {}, [spec("a")]), type="supervisor")
        )
        below = await ref_of(top, "below")
        starting = asyncio.ensure_future(start_child(below, spec("slow", start=SlowStart)))
        await asyncio.sleep(0.1)
        asked = below.request(CountChildren())
        stopping = asyncio.ensure_future(terminate_child(top, "below"))
        await asyncio.sleep(0.1)
        late = below.request(CountChildren())
        assert isinstance(await starting, Ok)
        assert (await asked).active == 2
        assert await stopping == Ok(None)
        with pytest.raises(ActorDied):
            await late

    in_sim(main)


def test_an_exit_from_a_stranger_is_ignored(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, spec("a"))
        sup.exit("oops")
        sup.tell(Exit(None, "oops"))
        assert (await count_children(sup)).active == 1

    in_sim(main)


# -- many and strange children -----------------------------------------------------------------


def test_a_restart_among_many_children_touches_only_one(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = await started(system, *[spec(n) for n in range(2000)])
        before = {info.id: info.child for info in await which_children(sup)}
        await crashed(sup, 1000)
        after = {info.id: info.child for info in await which_children(sup)}
        assert [id for id in before if before[id] is not after[id]] == [1000]

    in_sim(main)


def test_plain_pykka_actors_are_started_watched_restarted_and_stopped() -> None:
    class Plain(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise ValueError("boom")
            return message

    async def main() -> None:
        async with ActorSystem() as system:
            sup = system.start(Supervisor, {}, [ChildSpec("plain", Plain)])
            first: Any = (await which_children(sup))[0].child
            first.tell("crash")
            deadline = system.clock() + 30
            while (await which_children(sup))[0].child is first:
                assert system.clock() < deadline
                await asyncio.sleep(0.01)
            second: Any = (await which_children(sup))[0].child
            assert await asyncio.to_thread(second.ask, "hello") == "hello"
            assert await terminate_child(sup, "plain") == Ok(None)
            assert await asyncio.to_thread(second.actor_stopped.wait, 120)
            assert not second.is_alive()

    asyncio.run(main())


def test_a_child_may_run_in_a_thread() -> None:
    class Blocking(Actor):
        dispatcher = "thread"
        crash_on_ask_error = True

        def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise ValueError("boom")
            return message

    async def main() -> None:
        async with ActorSystem() as system:
            sup = system.start(Supervisor, {}, [ChildSpec("b", Blocking)])
            ref: Any = (await which_children(sup))[0].child
            with pytest.raises(ValueError, match="boom"):
                await ref.request("crash")
            await system.wait_ended(ref)
            again: Any = (await which_children(sup))[0].child
            assert await again.request("hello") == "hello"

    asyncio.run(main())


def test_a_failed_start_link_says_why() -> None:
    async def main() -> None:
        async with ActorSystem() as system:

            class Starter(Actor):
                async def on_receive(self, message: Any) -> Any:
                    await self.start_link(Supervisor, {"intensity": -1})

            with pytest.raises(StartFailed) as caught:
                await system.start(Starter).request("go")
            assert isinstance(caught.value.reason, SupervisorData)

    asyncio.run(main())


def test_an_exit_inside_a_start_function_is_a_failed_start(in_sim: Run) -> None:
    def leaves(_sup: Supervisor) -> Any:
        raise ActorExit("leaving")

    async def main(system: ActorSystem) -> None:
        sup = await started(system)
        result = await start_child(sup, spec("a", start=leaves, restart=RestartType.TEMPORARY))
        assert isinstance(result, Error)
        assert isinstance(result.error, StartError)
        assert result.error.reason == "leaving"
        assert sup.is_alive()

    in_sim(main)


def test_flags_may_be_an_object(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        sup = system.start(Supervisor, SupervisorFlags(intensity=3), [spec("a")])
        for _ in range(3):
            await crashed(sup, "a")
        assert sup.is_alive()

    in_sim(main)


@pytest.mark.parametrize("restart", list(RestartType))
@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_nobody_waits_for_the_agents_of_a_supervisor_that_has_ended(
    in_sim: Run, kind: Any, restart: RestartType
) -> None:
    async def slow(payload: Any) -> Any:
        await asyncio.sleep(payload)
        return payload

    async def main(system: ActorSystem) -> None:
        agent = Agent("agent", handler=slow)
        sup = system.start(kind)
        assert (await start_child(sup, ChildSpec("agent", agent, restart=restart))).is_ok
        asks = [asyncio.ensure_future(agent.ask(1)) for _ in range(2)]
        await asyncio.sleep(0.5)
        system.end_actor(sup, "shutdown")
        answers = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 120)
        assert all(isinstance(answer, AgentFailed | AgentStopped) for answer in answers)

    in_sim(main)


def test_nobody_waits_for_the_agents_of_a_supervisor_that_did_not_start(in_sim: Run) -> None:
    async def echo(payload: Any) -> Any:
        return payload

    class Broken(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1)
            raise OSError("no disk")

    async def main(system: ActorSystem) -> None:
        agents = [Agent(f"agent {n}", handler=echo) for n in range(2)]
        first, last = (ChildSpec(agent.name, agent) for agent in agents)
        sup = system.start(Supervisor, {}, [first, ChildSpec("broken", Broken), last])
        await asyncio.sleep(0.5)
        first_ref = agents[0].address(system).live
        assert first_ref is not None
        first_ref.kill()
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(agents[0].ask(1))
        await asyncio.sleep(5)
        assert not sup.is_alive()
        with pytest.raises(AgentStopped):
            await asyncio.wait_for(waiting, 120)

    in_sim(main)
