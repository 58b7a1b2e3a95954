"""Supervisors held against Elixir's Supervisor, DynamicSupervisor and PartitionSupervisor."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorExit,
    ActorRef,
    ActorSystem,
    NameTaken,
    Registry,
    StartFailed,
    StillAlive,
)
from agenticaiframework.supervision import (
    AgentSupervisor,
    AlreadyStarted,
    AutoShutdown,
    BadOption,
    ChildProblem,
    ChildSpec,
    ChildType,
    DynamicSupervisor,
    Error,
    FlagProblem,
    Ok,
    PartitionSupervisor,
    Refused,
    StartError,
    Supervisor,
    SupervisorData,
    SupervisorFlags,
    SupervisorReport,
    TaskSupervisor,
    partition_of,
    start_child,
    stop_supervisor,
    which_children,
)

Run = Callable[..., Any]


class Worker(Actor):
    def on_receive(self, message: Any) -> Any:
        if message == "boom":
            raise ValueError("boom")
        return message


class Parent(Actor):
    """Starts what it is sent linked to itself, and keeps the exits of these."""

    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True

    async def on_receive(self, message: Any) -> Any:
        return await message(self) if callable(message) else None


# -- child specifications --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        Supervisor,
        DynamicSupervisor,
        (Supervisor, SupervisorFlags()),
        AgentSupervisor("sub"),
        TaskSupervisor("sub"),
        PartitionSupervisor("sub", Worker, partitions=2),
    ],
    ids=lambda start: getattr(start, "__name__", type(start).__name__),
)
def test_a_supervisor_as_a_child_is_of_type_supervisor(start: Any) -> None:
    """Elixir: `use Supervisor` defines a child_spec with type: :supervisor and shutdown: :infinity."""
    spec = ChildSpec("sub", start)
    assert (spec.type, spec.shutdown_ms) == (ChildType.SUPERVISOR, "infinity")
    kept = ChildSpec("sub", start, shutdown_ms=100)
    assert (kept.type, kept.shutdown_ms) == (ChildType.SUPERVISOR, 100)
    told = ChildSpec("sub", start, type=ChildType.WORKER)
    assert (told.type, told.shutdown_ms) == (ChildType.WORKER, 5000)


def test_everything_else_is_a_worker() -> None:
    """Elixir: type: :worker, shutdown: 5000."""

    class Misnamed(Worker):
        child_type = "nonsense"

    for start in (Worker, (Worker,), Misnamed, lambda _sup: None):
        spec = ChildSpec("w", start)
        assert (spec.type, spec.shutdown_ms) == (ChildType.WORKER, 5000)
    assert ChildSpec("w", Worker, type="supervisor").shutdown_ms == "infinity"  # type: ignore[arg-type]


@pytest.mark.parametrize("as_object", [False, True])
def test_a_subtree_gets_the_time_that_its_children_take(in_sim: Run, as_object: bool) -> None:
    """A grandchild that takes 20 s to say goodbye is not left behind beside its replacement."""
    alive: list[int] = []
    most: list[int] = []

    class Slow(Actor):
        def on_start(self) -> None:
            alive.append(1)
            most.append(len(alive))

        async def on_stop(self) -> None:
            await asyncio.sleep(20)
            alive.pop()

        def on_receive(self, message: Any) -> Any:
            return message

    class Sub(Supervisor):
        def init(self) -> Any:
            return SupervisorFlags(), [ChildSpec("slow", Slow, shutdown_ms="infinity")]

    async def main(system: ActorSystem) -> None:
        start: Any = Sub
        if as_object:
            start = AgentSupervisor("sub")
            start.add_child("slow", Slow, shutdown_ms="infinity")
        root = system.start(
            Supervisor,
            SupervisorFlags("one_for_all", intensity=5, period_s=5),
            [ChildSpec("sub", start), ChildSpec("w", (Worker,))],
        )
        worker = next(i.child for i in await which_children(root) if i.id == "w")
        assert isinstance(worker, ActorRef)
        worker.exit(ValueError("boom"))
        await asyncio.sleep(60)
        assert most == [1, 1]
        assert alive == [1]
        await stop_supervisor(root)
        assert alive == []

    in_sim(main)


# -- dynamic supervisors ---------------------------------------------------------------------------


def test_max_children_says_which_supervisor_and_what_limit(in_sim: Run) -> None:
    """Elixir: {:error, :max_children}."""

    async def main(system: ActorSystem) -> None:
        sessions = system.start(DynamicSupervisor, max_children=2, _name="sessions")
        for _ in range(2):
            assert (await start_child(sessions, ChildSpec("s", Worker))).is_ok
        refused = await start_child(sessions, ChildSpec("s", Worker))
        assert refused == Error(ChildProblem.MAX_CHILDREN)
        with pytest.raises(Refused, match=r"max_children: sessions has 2 .*max_children=2"):
            refused.unwrap()

    in_sim(main)


@pytest.mark.parametrize("automatic", ["any_significant", "all_significant"])
def test_a_dynamic_supervisor_has_no_auto_shutdown(in_sim: Run, automatic: str) -> None:
    """Elixir: DynamicSupervisor has no such option, and significant children are refused."""

    class Own(DynamicSupervisor):
        def init(self) -> Any:
            return {"auto_shutdown": automatic}, []

    async def main(system: ActorSystem) -> None:
        for flags in (
            SupervisorFlags(auto_shutdown=AutoShutdown(automatic)),
            {"auto_shutdown": automatic},
        ):
            with pytest.raises(BadOption, match="auto_shutdown") as refused:
                system.start(DynamicSupervisor, flags)
            error = refused.value.error
            assert error is not None
            assert error.problem is FlagProblem.NO_AUTO_SHUTDOWN
        parent = system.start(Parent)
        with pytest.raises(StartFailed) as failed:
            await parent.request(lambda me: me.start_link(Own))
        assert isinstance(failed.value.reason, SupervisorData)
        assert "significant" in str(failed.value.reason.error)
        pool = system.start(DynamicSupervisor, {"auto_shutdown": "never"})
        spec = {"id": "w", "start": Worker, "restart": "transient", "significant": True}
        assert not (await start_child(pool, spec)).is_ok

    in_sim(main)


def test_a_partition_supervisor_has_no_auto_shutdown() -> None:
    with pytest.raises(BadOption, match="auto_shutdown"):
        PartitionSupervisor("p", Worker, partitions=2, auto_shutdown="any_significant")
    PartitionSupervisor("p", Worker, partitions=2, auto_shutdown="never")


# -- what a start function says --------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 5), "db down", {"a": 1}])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_exit_out_of_a_start_function_is_the_reason(in_sim: Run, reason: Any, kind: str) -> None:
    """Elixir: exit(reason) in the start function is {:error, reason} of start_child."""

    def plain(_supervisor: Actor) -> Any:
        raise ActorExit(reason)

    async def on_loop(_supervisor: Actor) -> Any:
        raise ActorExit(reason)

    async def main(system: ActorSystem) -> None:
        root = system.start(Supervisor)
        spec = ChildSpec("c", plain if kind == "plain" else on_loop)
        result = await start_child(root, spec)
        assert isinstance(result, Error)
        assert isinstance(result.error, StartError)
        assert result.error.reason == reason
        assert root.is_alive()

    in_sim(main)


@pytest.mark.parametrize("supervisor", [Supervisor, DynamicSupervisor])
def test_a_start_under_a_taken_name_is_already_started(
    in_sim: Run, supervisor: type[Supervisor]
) -> None:
    """Elixir: start_link(name: taken) is {:error, {:already_started, pid}}, of start_child too."""

    async def main(system: ActorSystem) -> None:
        holder = system.start(Worker, _name="clock")
        root = system.start(supervisor)

        async def start(me: Actor) -> Any:
            return await me.start_link(Worker, name="clock", unique=True)

        result = await start_child(root, ChildSpec("clock", start))
        assert isinstance(result, Error)
        error: Any = result.error
        already = error if isinstance(error, AlreadyStarted) else error.reason
        assert already == AlreadyStarted(holder)
        assert await which_children(root) == []
        holder.kill()
        await system.wait_ended(holder)
        assert (await start_child(root, ChildSpec("clock", start))).is_ok
        assert system.whereis("clock") is not None

    in_sim(main)


def test_a_child_whose_name_is_taken_at_its_restart_is_tried_again(in_sim: Run) -> None:
    reports: list[SupervisorReport] = []

    async def main(system: ActorSystem) -> None:
        system.subscribe(reports.append, SupervisorReport)

        async def start(me: Actor) -> Any:
            return await me.start_link(Worker, name="clock", unique=True)

        root = system.start(
            Supervisor, SupervisorFlags(intensity=50, period_s=1), [ChildSpec("clock", start)]
        )
        (info,) = await which_children(root)
        assert isinstance(info.child, ActorRef)
        info.child.exit(ValueError("boom"))
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        assert system.whereis("clock") is not None
        assert root.is_alive()

    in_sim(main)


# -- a stop that waits -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ref", "name", "via"])
def test_stopping_a_supervisor_waits_for_its_children_and_its_end(in_sim: Run, kind: str) -> None:
    """Elixir: Supervisor.stop(sup, reason \\\\ :normal, timeout \\\\ :infinity)."""
    ended: list[str] = []

    class Slow(Worker):
        async def on_stop(self) -> None:
            await asyncio.sleep(3)
            ended.append("child")

    async def main(system: ActorSystem) -> None:
        sup = system.start(Supervisor, None, [ChildSpec("slow", Slow)], _name="sup")
        registry = Registry()
        registry.register("sup", ref=sup)
        target: Any = {"ref": sup, "name": "sup", "via": registry.via("sup")}[kind]
        assert len(await which_children(target)) == 1
        await stop_supervisor(target)
        assert ended == ["child"]
        assert sup.exit_reason == "normal"
        assert system.actors() == []
        with pytest.raises(ActorDied):
            await stop_supervisor(target)

    in_sim(main)


def test_stopping_gives_the_reason_and_says_if_there_was_another(in_sim: Run) -> None:
    """Elixir: :ok if it ends with the given reason; otherwise, or on timeout, the call exits."""

    class Slow(Worker):
        async def on_stop(self) -> None:
            await asyncio.sleep(3)

    async def main(system: ActorSystem) -> None:
        sup = system.start(Supervisor, None, [ChildSpec("slow", Slow)])
        with pytest.raises(StillAlive):
            await stop_supervisor(sup, timeout=1)
        await system.wait_ended(sup)
        assert sup.exit_reason == "normal"

        sup = system.start(Supervisor)
        await stop_supervisor(sup, ("shutdown", "over"), timeout=5)
        assert sup.exit_reason == ("shutdown", "over")

        sup = system.start(Supervisor, None, [ChildSpec("slow", Slow)])
        stopping = asyncio.create_task(stop_supervisor(sup))
        await asyncio.sleep(1)
        sup.kill()
        with pytest.raises(ActorDied, match="killed"):
            await stopping

    in_sim(main)


def test_a_supervisor_under_another_comes_back_as_its_restart_type_says(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        root = system.start(
            Supervisor,
            SupervisorFlags(intensity=3),
            [ChildSpec("perm", Supervisor), ChildSpec("trans", Supervisor, restart="transient")],  # type: ignore[arg-type]
        )
        refs = {i.id: i.child for i in await which_children(root)}
        for ref in refs.values():
            assert isinstance(ref, ActorRef)
            await stop_supervisor(ref)
        now = {i.id: i.child for i in await which_children(root)}
        assert isinstance(now["perm"], ActorRef)
        assert now["perm"] is not refs["perm"]
        assert now["trans"] is None

    in_sim(main)


# -- partitions ------------------------------------------------------------------------------------


class Plan(StrEnum):
    FREE = "free"


class Number(IntEnum):
    SEVEN = 7


class OldEnum(str, Enum):  # noqa: UP042 - old code has such, and str() of one is not its value
    A = "a"


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (1, True),
        (7, 7.0),
        (7, Number.SEVEN),
        ("free", Plan.FREE),
        ("a", OldEnum.A),
        ((1, "x"), (True, "x")),
        ((1, "x"), (1.0, "x")),
        ((0,), (-0.0,)),
        (("free",), (Plan.FREE,)),
        (("a",), (OldEnum.A,)),
        ((1, 2), Point(1, 2)),
        (((1, 2),), (Point(1, 2),)),
        (frozenset({1, 2, 3}), frozenset({3, 2, 1})),
        (frozenset({1, "a"}), frozenset({"a", True})),
        (("t", frozenset({("a", 1), ("b", 2)})), ("t", frozenset({("b", 2), ("a", 1.0)}))),
    ],
)
def test_equal_keys_have_the_same_partition(one: Any, same: Any) -> None:
    """Elixir: :erlang.phash2(key, partitions), a function of the term alone."""
    assert one == same
    assert partition_of(one, 1009) == partition_of(same, 1009)


PARTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)


@given(st.tuples(PARTS), st.tuples(PARTS))
def test_any_tuple_of_plain_parts_has_a_partition_and_equal_ones_share_it(
    one: Any, other: Any
) -> None:
    first, second = partition_of(one, 1_000_003), partition_of(other, 1_000_003)
    if one == other:
        assert first == second


@pytest.mark.parametrize(
    ("key", "part"),
    [
        (object(), "object"),
        (None, "None"),
        ([1], r"\[1\]"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (("tenant", object()), "object"),
        (("tenant", [1]), r"\[1\] in"),
        (frozenset({("a", float("nan"))}), "nan in"),
    ],
)
def test_a_key_that_another_process_would_see_otherwise_is_refused(key: Any, part: str) -> None:
    with pytest.raises(BadOption, match=part):
        partition_of(key, 8)


def test_the_number_of_partitions_is_checked() -> None:
    with pytest.raises(BadOption, match="partitions=0"):
        partition_of("a", 0)


def test_partitions_are_the_same_in_every_process() -> None:
    keys = "[('t', frozenset({'a', 'b', 'c', 'd'})), ('x', 1, None), 'user', b'raw', 12]"
    code = (
        "from agenticaiframework.supervision import partition_of;"
        f"print([partition_of(key, 1009) for key in {keys}])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1


def test_partitions_of_plain_keys_are_where_they_were() -> None:
    """Sessions stay where they are when the library is updated."""
    assert [partition_of(key, 1009) for key in (7, "user-1", b"x", ("tenant", 7))] == [
        7,
        *(__import__("zlib").crc32(raw) % 1009 for raw in (b"user-1", b"x", b"('tenant', 7)")),
    ]


def test_a_partition_is_found_by_any_such_key(in_sim: Run) -> None:
    """Elixir: {:via, PartitionSupervisor, {name, key}} takes any term."""

    async def main(system: ActorSystem) -> None:
        pool = PartitionSupervisor("p", Worker, partitions=4)
        async with pool:
            key = ("tenant", frozenset({"a", "b"}))
            assert await pool.partition(key).ask("hello") == "hello"
            assert pool.partition(key) is pool.partition(("tenant", frozenset({"b", "a"})))

    in_sim(main)


# -- names -----------------------------------------------------------------------------------------


def test_a_taken_name_is_told_with_its_holder(in_sim: Run) -> None:
    """Elixir: {:already_started, pid}: the pid is what the caller goes on with."""

    async def main(system: ActorSystem) -> None:
        holder = system.start(Worker, _name="clock")
        with pytest.raises(NameTaken, match="clock") as taken:
            system.start(Worker, _name="clock", _unique=True)
        assert taken.value.ref is holder
        assert Ok(taken.value.ref).unwrap() is holder

    in_sim(main)
