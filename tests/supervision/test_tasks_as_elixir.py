"""Tasks held against Elixir's Task and Task.Supervisor: each check says in words what Elixir does.

Where we do otherwise, on purpose, the check says so; docs/contributing/otp.md has the table of these.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Agent,
    agent_context,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    BadOption,
    ChildType,
    Error,
    Ok,
    PartitionSupervisor,
    Refused,
    RestartType,
    StillRunning,
    SupervisorNotRunning,
    Task,
    TaskSupervisor,
    WaitTimeout,
    yield_many,
)

Run = Callable[..., Any]

USER: ContextVar[str] = ContextVar("user", default="nobody")


async def after(delay_s: float, value: Any = None) -> Any:
    await asyncio.sleep(delay_s)
    if isinstance(value, BaseException):
        raise value
    return value


async def stubborn(delay_s: float) -> str:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        await asyncio.sleep(delay_s)
        raise
    return "never"


class Owner(Actor):
    """An actor that calls what it is sent, with itself."""

    async def on_receive(self, message: Any) -> Any:
        return await message(self)


class TrappingOwner(Owner):
    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True
        self.exits: list[Any] = []

    async def on_receive(self, message: Any) -> Any:
        if callable(message):
            return await message(self)
        self.exits.append(message.reason)
        return None


# -- starting --------------------------------------------------------------------------------------


def test_a_supervisor_of_tasks_is_a_supervisor_among_others(in_sim: Run) -> None:
    """Elixir: a Task.Supervisor stands in a tree as a child of type supervisor, several by id."""

    async def main(system: ActorSystem) -> None:
        root = AgentSupervisor("root")
        first, second = TaskSupervisor("first"), TaskSupervisor("second")
        one, two = root.add_supervisor("1", first), root.add_supervisor("2", second)
        async with root:
            assert (one.spec.type, one.spec.shutdown_ms) == (ChildType.SUPERVISOR, "infinity")
            assert two.spec.type is ChildType.SUPERVISOR
            assert await (await first.async_nolink(after, 1, "a")) == "a"
            assert await (await second.async_nolink(after, 1, "b")) == "b"

    in_sim(main)


def test_tasks_can_be_counted_listed_and_terminated(in_sim: Run) -> None:
    """Elixir: children/1 lists the pids; terminate_child/2 answers :ok, or {:error, :not_found}."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            assert await jobs.children() == []
            task = await jobs.async_nolink(after, 100)
            assert await jobs.children() == [task.ref]
            await jobs.terminate_child(task.ref)
            assert await jobs.children() == []
            assert await task.outcome() == Error("shutdown")
            with pytest.raises(Refused, match="not_found"):
                await jobs.terminate_child(task.ref)

    in_sim(main)


def test_a_full_supervisor_refuses_and_says_who_and_how_many(in_sim: Run) -> None:
    """Elixir: raises "reached the maximum number of tasks (1) for this task supervisor"."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor("jobs", max_children=1) as jobs:
            first = await jobs.async_nolink(after, 1)
            for start in (jobs.async_nolink, jobs.async_, jobs.start_child):
                with pytest.raises(Refused, match=r"max_children: jobs has 1 .*max_children=1"):
                    await start(after, 1)
            await first
            assert await (await jobs.async_nolink(after, 1, "then")) == "then"

    in_sim(main)


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_functions_take_positional_and_keyword_arguments(kind: str) -> None:
    """Elixir: async(supervisor, module, function, args); keywords are the last argument there."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    async def on_loop(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    async def main() -> None:
        fn = plain if kind == "plain" else on_loop
        expected = ((1, 2), {"name": "x"})
        async with ActorSystem(), TaskSupervisor() as jobs:
            assert await (await jobs.async_nolink(fn, 1, 2, name="x")) == expected
            assert await (await jobs.async_(fn, 1, 2, name="x")) == expected
            stream = jobs.stream(fn, [1], args=(2,), kwargs={"name": "x"})
            assert [outcome async for outcome in stream] == [Ok(expected)]
            done = asyncio.Event()
            loop = asyncio.get_running_loop()

            def effect(*, name: str) -> None:
                assert name == "x"
                loop.call_soon_threadsafe(done.set)

            await jobs.start_child(effect, name="x")
            await asyncio.wait_for(done.wait(), 120)

    asyncio.run(main())


# -- the budget ------------------------------------------------------------------------------------


def test_tasks_that_are_awaited_never_count_against_the_budget(in_sim: Run) -> None:
    """Elixir: tasks are :temporary, so no failure of theirs is a restart."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor(max_restarts=0) as jobs:
            witness = await jobs.async_nolink(after, 50, "well")
            for _ in range(20):
                await jobs.async_nolink(after, 0.1, ValueError("boom"))
                await jobs.start_child(after, 0.1, ValueError("boom"))
            await asyncio.sleep(10)
            assert await witness == "well"

    in_sim(main)


def test_the_default_budget_is_three_restarts_in_five_seconds(in_sim: Run) -> None:
    """Elixir: Task.Supervisor's max_restarts is 3 and its max_seconds 5."""

    async def main(system: ActorSystem) -> None:
        for failures, lives in ((3, True), (4, False)):
            left = [failures]

            async def flaky(left: list[int] = left) -> None:
                if left[0]:
                    left[0] -= 1
                    raise ValueError("boom")

            jobs = TaskSupervisor()
            await jobs.start()
            witness = await jobs.async_nolink(after, 1, "well")
            await jobs.start_child(flaky, restart="transient")
            assert await witness.outcome() == (Ok("well") if lives else Error("shutdown"))
            assert jobs.is_running is lives
            await jobs.stop()

    in_sim(main)


def test_the_budget_is_the_callers_to_set(in_sim: Run) -> None:
    """Elixir: start_link(max_restarts: 6, max_seconds: 1)."""

    async def main(system: ActorSystem) -> None:
        left = [6]

        async def flaky() -> None:
            if left[0]:
                left[0] -= 1
                raise ValueError("boom")

        async with TaskSupervisor(max_restarts=6, max_seconds=1) as jobs:
            await jobs.start_child(flaky, restart=RestartType.TRANSIENT)
            await asyncio.sleep(1)
            assert left == [0]
            assert jobs.is_running

    in_sim(main)


@pytest.mark.parametrize(
    "options",
    [{"max_restarts": -1}, {"max_restarts": "3"}, {"max_seconds": 0}, {"max_seconds": None}],
)
def test_a_budget_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match=next(iter(options))):
        TaskSupervisor("jobs", **options)


# -- the caller's context --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("how", ["nolink", "linked", "child", "stream"])
def test_a_task_sees_its_callers_context_and_keeps_its_own_changes(how: str, kind: str) -> None:
    """Elixir: a task knows its $callers, through which mocks, sandboxes and traces find their owner."""
    seen: list[str] = []
    done = threading.Event()

    def plain(_item: Any = None) -> None:
        seen.append(USER.get())
        USER.set("the task's")
        done.set()

    async def on_loop(_item: Any = None) -> None:
        plain()

    async def main() -> None:
        fn = plain if kind == "plain" else on_loop
        async with ActorSystem(), TaskSupervisor() as jobs:
            for user in ("ann", "bob"):
                USER.set(user)
                done.clear()
                if how == "nolink":
                    await (await jobs.async_nolink(fn))
                elif how == "linked":
                    await (await jobs.async_(fn))
                elif how == "stream":
                    assert [outcome async for outcome in jobs.stream(fn, [1])] == [Ok(None)]
                else:
                    await jobs.start_child(fn)
                    await asyncio.to_thread(done.wait, 120)
                assert USER.get() == user
        assert seen == ["ann", "bob"]

    asyncio.run(main())


def test_a_restarted_task_begins_with_its_callers_context(in_sim: Run) -> None:
    seen: list[str] = []

    async def flaky() -> None:
        seen.append(USER.get())
        USER.set("changed")
        if len(seen) < 3:
            raise ValueError("boom")

    async def main(system: ActorSystem) -> None:
        USER.set("ann")
        async with TaskSupervisor() as jobs:
            await jobs.start_child(flaky, restart="transient")
            USER.set("bob")
            await asyncio.sleep(1)
        assert seen == ["ann"] * 3

    in_sim(main)


def test_a_task_of_an_agent_has_the_agents_context(in_sim: Run) -> None:
    """The idempotency key of a step is there for the task that does the paying."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def key() -> Any:
                return agent_context().get("key")

            async def handle(_payload: Any) -> Any:
                alone = await (await jobs.async_nolink(key))
                linked = await (await jobs.async_(key))
                return alone, linked

            agent = Agent("payer", handler=handle)
            answer = await agent.ask(1, context={"key": "k-1"})
            assert answer == ("k-1", "k-1")

    in_sim(main)


# -- linked and unlinked ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["kill", "crash", "stop", "exit"])
@pytest.mark.parametrize("kind", ["async", "plain"])
def test_a_linked_task_ends_with_its_caller(end: str, kind: str) -> None:
    """Elixir: async links; a caller that exits abnormally takes its task with it.

    We take it with us also after a normal end, since then nobody takes its result either.
    """
    release = threading.Event()

    async def main() -> None:
        async with ActorSystem() as system, TaskSupervisor() as jobs:
            fn: Any = release.wait if kind == "plain" else asyncio.Event().wait
            owner = system.start(Owner)

            async def start(me: Owner) -> Task[Any]:
                return await jobs.async_(fn)

            async def crash(me: Owner) -> None:
                me.exit(ValueError("boom"))

            task = await owner.request(start)
            if end == "kill":
                owner.kill()
            elif end == "crash":
                owner.tell(crash)
            elif end == "exit":
                owner.exit("gone")
            else:
                owner.stop(block=False)
            await asyncio.wait_for(system.wait_ended(task.ref), 120)
            assert isinstance(await task.outcome(), Error)
            release.set()

    asyncio.run(main())


def test_a_linked_task_that_fails_ends_its_caller_unless_that_traps(in_sim: Run) -> None:
    """Elixir: the caller of async gets the exit signal; one that traps exits gets a message."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def start(me: Actor) -> Task[Any]:
                return await jobs.async_(after, 1, ValueError("boom"))

            plain, trapping = system.start(Owner), system.start(TrappingOwner)
            await plain.request(start)
            await trapping.request(start)
            await asyncio.sleep(2)
            assert isinstance(plain.exit_reason, ValueError)

            async def exits(me: TrappingOwner) -> list[Any]:
                return me.exits

            assert [str(reason) for reason in await trapping.request(exits)] == ["boom"]
            assert jobs.is_running

    in_sim(main)


def test_an_unlinked_task_outlives_its_caller_and_harms_it_not(in_sim: Run) -> None:
    """Elixir: async_nolink neither links nor ends with the caller."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def start(me: Owner) -> Task[Any]:
                await jobs.async_nolink(after, 0.5, ValueError("boom"))
                return await jobs.async_nolink(after, 5, "done")

            owner = system.start(Owner)
            task = await owner.request(start)
            await asyncio.sleep(1)
            assert owner.is_alive()
            owner.kill()
            assert await task == "done"

    in_sim(main)


@pytest.mark.parametrize("end", ["cancelled", "failed", "returned"])
@pytest.mark.parametrize("gathered", [False, True])
def test_outside_of_actors_the_caller_is_the_asyncio_task(
    in_sim: Run, end: str, gathered: bool
) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            started: list[Task[Any]] = []

            async def request() -> None:
                if gathered:
                    # Each in an asyncio task of its own, which ends at once; it is not the caller.
                    started.extend(
                        await asyncio.gather(jobs.async_(after, 50), jobs.async_(after, 50))
                    )
                    await asyncio.sleep(1)
                    assert not any(task.done for task in started)
                else:
                    started.append(await jobs.async_(after, 50))
                if end == "failed":
                    raise ValueError("boom")
                if end == "cancelled":
                    await asyncio.sleep(100)

            caller = asyncio.create_task(request())
            await asyncio.sleep(2)
            caller.cancel()
            await asyncio.wait({caller})
            await asyncio.sleep(0.1)
            assert started
            assert await jobs.children() == []
            for task in started:
                assert await task.outcome() == Error("shutdown")

    in_sim(main)


def test_a_caller_that_goes_on_keeps_no_trace_of_its_linked_tasks(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def many(me: Owner) -> int:
                for number in range(50):
                    assert await (await jobs.async_(after, 0.1, number)) == number
                return len(system.info(me.actor_ref).links)

            before = len(asyncio.all_tasks())
            owner = system.start(Owner)
            assert await owner.request(many) == 0
            await asyncio.sleep(1)
            assert len(asyncio.all_tasks()) == before

    in_sim(main)


# -- await, yield, outcome -------------------------------------------------------------------------


def test_the_outcome_tells_apart_what_the_word_timeout_can_mean(in_sim: Run) -> None:
    """Elixir: yield gives nil while it runs, {:exit, :timeout} if that was its exit reason, and
    {:exit, {%TimeoutError{}, _}} for one that raised."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            runs = await jobs.async_nolink(after, 50)
            ended = await jobs.async_nolink(after, 50)
            ended.cancel("timeout")
            raised = await jobs.async_nolink(after, 0.1, TimeoutError("mine"))
            still, by_reason, own = (
                await runs.outcome(timeout=1),
                await ended.outcome(timeout=1),
                await raised.outcome(timeout=1),
            )
            assert isinstance(still, StillRunning)
            assert by_reason == Error("timeout")
            assert isinstance(own, Error)
            assert isinstance(own.error, TimeoutError)
            assert still != by_reason != own
            # What programs look at that were written before: still an Error, still the word.
            assert not still.is_ok
            assert still.error == "timeout"

    in_sim(main)


@pytest.mark.parametrize(
    ("reason", "seen"),
    [
        ("shutdown", "shutdown"),
        ("normal", "normal"),
        ("kill", "killed"),
        ("killed", "killed"),
        ("timeout", "timeout"),
        ("noproc", "noproc"),
        (("shutdown", 5), ("shutdown", 5)),
        ({"any": "thing"}, {"any": "thing"}),
        (None, None),
    ],
)
def test_cancel_ends_a_task_with_whatever_reason(in_sim: Run, reason: Any, seen: Any) -> None:
    """Elixir: Process.exit(pid, reason); `normal` is ignored there, but cancel says that it ends."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            task = await jobs.async_nolink(after, 50)
            task.cancel(reason)
            assert await task.outcome(timeout=10) == Error(seen)
            task.cancel(reason)
            assert await jobs.children() == []

    in_sim(main)


def test_a_cancel_for_an_exception_is_that_exception(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            task = await jobs.async_nolink(after, 50)
            reason = ValueError("enough")
            task.cancel(reason)
            assert await task.outcome() == Error(reason)
            with pytest.raises(ActorDied):
                await task

    in_sim(main)


def test_await_gives_up_and_the_task_goes_on(in_sim: Run) -> None:
    """Elixir: await exits the caller on timeout; we raise, and it may be awaited again."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            task = await jobs.async_nolink(after, 5, "late")
            with pytest.raises(WaitTimeout):
                await task.result(timeout=1)
            assert await task == "late"
            assert await task == "late"

    in_sim(main)


def test_a_task_that_exits_is_no_crash_of_the_one_that_awaits_it(in_sim: Run) -> None:
    """Elixir: yield gives {:exit, reason}, {:exit, :normal} included."""

    async def leave(reason: Any) -> None:
        from agenticaiframework.actors import ActorExit

        raise ActorExit(reason)

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            for reason in ("normal", "shutdown", "other"):
                task = await jobs.async_nolink(leave, reason)
                assert await task.outcome() == Error(reason)

    in_sim(main)


# -- yield_many ------------------------------------------------------------------------------------


def test_yield_many_keeps_the_order_and_says_who_goes_on(in_sim: Run) -> None:
    """Elixir: {task, {:ok, result} | {:exit, reason} | nil} in the order of the tasks."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            tasks = [
                await jobs.async_nolink(after, 50, "late"),
                await jobs.async_nolink(after, 1, "in time"),
                await jobs.async_nolink(after, 2, ValueError("boom")),
            ]
            results = await yield_many(tasks, timeout=3)
            assert [task for task, _ in results] == tasks
            late, in_time, failed = (outcome for _, outcome in results)
            assert isinstance(late, StillRunning)
            assert in_time == Ok("in time")
            assert isinstance(failed, Error)
            assert str(failed.error) == "boom"
            assert system.clock() == pytest.approx(3)
            assert await tasks[0] == "late"

    in_sim(main)


def test_yield_many_returns_as_soon_as_all_are_done(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            tasks = [await jobs.async_nolink(after, delay, delay) for delay in (2, 1)]
            assert [o for _, o in await yield_many(tasks, timeout=None)] == [Ok(2), Ok(1)]
            assert system.clock() == pytest.approx(2)
            assert [o for _, o in await yield_many(tasks, timeout=0)] == [Ok(2), Ok(1)]
            assert await yield_many([]) == []
            running = await jobs.async_nolink(after, 50)
            assert isinstance((await yield_many([running], timeout=0))[0][1], StillRunning)

    in_sim(main)


def test_yield_many_stops_at_its_limit_and_leaves_the_others_alone(in_sim: Run) -> None:
    """Elixir: if the limit is reached first, on_timeout does not come into it."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            tasks = [await jobs.async_nolink(after, delay, delay) for delay in (1, 2, 3)]
            results = await yield_many(tasks, timeout=10, limit=2, on_timeout="kill_task")
            assert [outcome.is_ok for _, outcome in results] == [True, True, False]
            assert system.clock() == pytest.approx(2)
            assert await tasks[2] == 3

    in_sim(main)


def test_yield_many_kills_those_that_are_late_if_told_to(in_sim: Run) -> None:
    """Elixir: on_timeout: :kill_task."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            tasks = [await jobs.async_nolink(after, delay, delay) for delay in (1, 50)]
            results = await yield_many(tasks, timeout=2, on_timeout="kill_task")
            assert [outcome for _, outcome in results] == [Ok(1), Error("timeout")]
            assert await jobs.children() == []

    in_sim(main)


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"on_timeout": "explode"}, {"timeout": -1}, {"timeout": "5"}]
)
def test_yield_many_refuses_what_makes_no_sense(in_sim: Run, options: dict[str, Any]) -> None:
    async def main(system: ActorSystem) -> None:
        with pytest.raises(BadOption, match=next(iter(options))):
            await yield_many([], **options)

    in_sim(main)


# -- shutdown --------------------------------------------------------------------------------------


def test_shutdown_ends_a_task_and_says_nothing_of_it(in_sim: Run) -> None:
    """Elixir: nil when the task was shut down as it was told."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            task = await jobs.async_nolink(after, 50)
            assert await task.shutdown() is None
            assert await task.shutdown() is None
            killed = await jobs.async_nolink(stubborn, 50)
            assert await killed.shutdown("brutal_kill") is None
            assert await jobs.children() == []
            assert system.clock() < 10

    in_sim(main)


def test_shutdown_gives_what_came_before(in_sim: Run) -> None:
    """Elixir: {:ok, reply} if the reply was there, {:exit, reason} if it had died on its own."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            done = await jobs.async_nolink(after, 1, "there")
            failed = await jobs.async_nolink(after, 1, ValueError("boom"))
            await asyncio.sleep(2)
            assert await done.shutdown() == Ok("there")
            assert await done.shutdown("brutal_kill") == Ok("there")
            outcome = await failed.shutdown()
            assert isinstance(outcome, Error)
            assert str(outcome.error) == "boom"

    in_sim(main)


def test_shutdown_gives_what_comes_while_it_waits(in_sim: Run) -> None:
    """Elixir: {:ok, reply} if the reply arrives while the task is shutting down."""

    async def finishes_in_spite() -> str:
        try:
            await asyncio.sleep(50)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return "came meanwhile"

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            task = await jobs.async_nolink(finishes_in_spite)
            await asyncio.sleep(1)
            assert await task.shutdown() == Ok("came meanwhile")
            assert await jobs.children() == []

    in_sim(main)


def test_shutdown_waits_and_then_kills(in_sim: Run) -> None:
    """Elixir: {:exit, :killed} for a task that was killed after the shutdown timeout."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            quick = await jobs.async_nolink(stubborn, 1)
            await asyncio.sleep(0.1)
            assert await quick.shutdown(timeout=2) is None
            assert system.clock() == pytest.approx(1.1)
            slow = await jobs.async_nolink(stubborn, 4)
            await asyncio.sleep(0.1)
            assert await slow.shutdown(timeout=2) == Error("killed")
            patient = await jobs.async_nolink(stubborn, 4)
            await asyncio.sleep(0.1)
            assert await patient.shutdown(timeout=None) is None

    in_sim(main)


def test_shutdown_of_a_linked_task_spares_its_caller(in_sim: Run) -> None:
    """Elixir: unlinks and shuts down the task."""

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def start(me: Owner) -> Any:
                task = await jobs.async_(after, 50)
                return await task.shutdown()

            owner = system.start(Owner)
            assert await owner.request(start) is None
            await asyncio.sleep(1)
            assert owner.is_alive()
            assert await jobs.children() == []

    in_sim(main)


@pytest.mark.parametrize("timeout", [-1, "soon", True])
def test_shutdown_refuses_a_time_that_is_none(in_sim: Run, timeout: Any) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            task = await jobs.async_nolink(after, 50)
            with pytest.raises(BadOption, match="timeout"):
                await task.shutdown(timeout)

    in_sim(main)


# -- the end of the supervisor ---------------------------------------------------------------------


def test_tasks_get_the_shutdown_time_of_their_supervisor(in_sim: Run) -> None:
    """Elixir: shutdown: 5000 by default, and an option of each task."""

    async def main(system: ActorSystem) -> None:
        for shutdown_ms, reason, ends_at in ((2000, "shutdown", 1), (500, "killed", 0.5)):
            jobs = TaskSupervisor(shutdown_ms=shutdown_ms)
            await jobs.start()
            task = await jobs.async_nolink(stubborn, 1)
            await asyncio.sleep(0.1)
            before = system.clock()
            await jobs.stop()
            assert system.clock() - before == pytest.approx(ends_at, abs=0.01)
            assert await task.outcome() == Error(reason)
            with pytest.raises(SupervisorNotRunning):
                await jobs.async_(after, 1)

    in_sim(main)


def test_supervisors_of_tasks_stand_behind_partitions(in_sim: Run) -> None:
    """Elixir: {:via, PartitionSupervisor, {MyApp.TaskSupervisors, self()}}."""

    async def main(system: ActorSystem) -> None:
        made = [TaskSupervisor(f"jobs-{number}") for number in range(3)]
        pool = PartitionSupervisor("jobs", lambda number: made[number], partitions=3)
        async with pool:
            for key in ("a", "b", "c", "d"):
                jobs: Any = pool.partition(key).target
                assert await (await jobs.async_nolink(after, 0.1, key)) == key

    in_sim(main)


def test_a_ref_is_what_start_child_gives(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            ref = await jobs.start_child(after, 1)
            assert isinstance(ref, ActorRef)
            await system.wait_ended(ref)
            assert ref.exit_reason == "normal"

    in_sim(main)


@pytest.mark.parametrize("end", ["timeout", "cancelled"])
def test_work_for_an_asker_who_has_gone_is_not_paid_for(in_sim: Run, end: str) -> None:
    """The agent goes on with its next message, and the task of the one that was withdrawn ends."""
    ends: list[str] = []

    async def expensive() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ends.append("ended")

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:

            async def handle(payload: Any) -> Any:
                if payload == "hello":
                    return payload
                return await (await jobs.async_(expensive))

            agent = Agent("a", handler=handle)
            asking = asyncio.create_task(agent.ask("work", timeout=1 if end == "timeout" else None))
            await asyncio.sleep(0.5)
            assert len(await jobs.children()) == 1
            if end == "cancelled":
                asking.cancel()
            await asyncio.wait({asking})
            await asyncio.sleep(0.1)
            assert await jobs.children() == []
            assert ends == ["ended"]
            assert await agent.ask("hello") == "hello"

    in_sim(main)


def test_a_task_that_is_kept_for_the_next_message_outlives_its_handler(in_sim: Run) -> None:
    """Elixir: a GenServer starts a task in one callback and reads its result in another."""

    class Keeper(Actor):
        task: Any = None

        async def on_receive(self, message: Any) -> Any:
            if isinstance(message, TaskSupervisor):
                self.task = await message.async_(after, 5, "kept")
                return None
            return await self.task

    async def main(system: ActorSystem) -> None:
        async with TaskSupervisor() as jobs:
            keeper = system.start(Keeper)
            await keeper.request(jobs)
            await asyncio.sleep(1)
            assert await keeper.request("and?") == "kept"

    in_sim(main)
