"""Schedules: what is due is started, once over all engines, whatever dies, fails or is late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    Queue,
    UnknownName,
    UnknownSchedule,
    UnknownWorkflow,
    WorkflowRun,
    workflow,
)
from agenticaiframework.patterns.engine.host.scheduler import Scheduler
from agenticaiframework.patterns.engine.store import StoreUnavailable, ValueNotStorable, open_store

from .conftest import run_in_virtual_time

CronSim: Any = pytest.importorskip("cronsim", reason="the extra schedules is not installed").CronSim

NOON = datetime(2027, 1, 10, 12, tzinfo=ZoneInfo("UTC")).timestamp()
REPORT = {"name": "report", "steps": [{"id": "write", "agent": "writer"}]}
MINUTE = 60.0


class World:
    """A store, engines on it, and what the runs were told. Owned by one virtual run."""

    def __init__(self, begin: float = NOON) -> None:
        self.begin = begin
        self.store = open_store("memory://", clock=self.clock)
        self.told: list[Any] = []
        self.takes_s = 0.0

    def clock(self) -> float:
        try:
            return self.begin + asyncio.get_running_loop().time()
        except RuntimeError:
            return self.begin

    async def write(self, payload: Any) -> Any:
        self.told.append(payload)
        await asyncio.sleep(self.takes_s)
        return payload

    def engine(
        self, name: str = "engine", *, skew_s: float = 0.0, **more: Any
    ) -> OrchestrationEngine:
        options: dict[str, Any] = {"run_schedules": True, "persist_state": True, **more}
        options.setdefault("state_store", self.store)
        config = EngineConfig(wall_clock=lambda: self.clock() + skew_s, **options)
        engine = OrchestrationEngine(config, name=name)
        engine.register_agent("writer", self.write)
        engine.register_workflow("report", REPORT)
        return engine


def virtually(test: Callable[[World], Any], begin: float = NOON) -> None:
    """Run *test* with a world of its own, in virtual time."""

    async def main() -> None:
        await test(World(begin))

    run_in_virtual_time(main)


def minute(text: str) -> str:
    """Return when a run was due, as its input says it."""
    return f"2027-01-10T{text}:00+00:00"


async def counts(engine: OrchestrationEngine, name: str) -> dict[str, int]:
    (found,) = [each for each in await engine.schedules() if each.name == name]
    return dict(found.counts)


def test_each_time_starts_one_run_that_knows_its_schedule_and_when_it_was_due() -> None:
    known: list[Any] = []

    async def main(world: World) -> None:
        engine = world.engine()

        async def write(payload: Any) -> None:
            known.append((payload, agent_context()["schedule"], agent_context()["tenant"]))

        engine.register_agent("writer", write)
        async with engine:
            status = await engine.schedule(
                *("tick", "report", {"at": "$schedule.due", "day": "$schedule.date"}),
                every_s=MINUTE, labels={"team": "a"}, context={"tenant": "t"},
            )  # fmt: skip
            assert status.next_at == NOON + 60
            await asyncio.sleep(150)
            facts = {"name": "tick", "due": minute("12:01"), "date": "2027-01-10"}
            assert known[0] == ({"at": minute("12:01"), "day": "2027-01-10"}, facts, "t")
            assert [payload["at"] for payload, *_ in known] == [minute("12:01"), minute("12:02")]
            page = await engine.list_workflows(labels={"schedule": "tick"})
            assert [each.workflow_id for each in page] == [
                "tick@2027-01-10T12:02:00Z",
                "tick@2027-01-10T12:01:00Z",
            ]
            labels = {"schedule": "tick", "due": minute("12:02"), "team": "a"}
            assert page[0].labels == labels
            assert (await engine.get_workflow_status(page[0].workflow_id)).labels == labels
            (status,) = await engine.schedules()
            assert status.last_run == "tick@2027-01-10T12:02:00Z"
            assert (status.last_due, status.next_at) == (NOON + 120, NOON + 180)
            assert dict(status.counts) == {"fired": 2, "missed": 0, "skipped": 0, "failed": 0}

    virtually(main)


def test_weekdays_at_three_in_berlin_for_a_year_are_the_list_of_cronsim() -> None:
    zone = ZoneInfo("Europe/Berlin")
    begin = datetime(2027, 1, 1, tzinfo=zone)
    end = datetime(2028, 1, 1, tzinfo=zone)

    async def main(world: World) -> None:
        slow = {"poll_seconds": 6 * 3_600.0, "lease_seconds": 7 * 86_400.0}
        async with world.engine("one", **slow) as engine, world.engine("two", **slow):
            await engine.schedule(
                *("nightly", "report", "$schedule.due"),
                cron="0 3 * * 1-5", timezone="Europe/Berlin",
            )  # fmt: skip
            await asyncio.sleep((end - begin).total_seconds())
            expected: list[str] = []
            for each in CronSim("0 3 * * 1-5", begin):
                if each >= end:
                    break
                expected.append(each.isoformat())
            assert world.told == expected
            assert len(expected) == 261
            assert (await counts(engine, "nightly"))["fired"] == 261

    virtually(main, begin.timestamp())


def test_to_say_the_same_again_changes_nothing_and_something_else_changes_it(
    logged: list[str],
) -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            first = await engine.schedule("tick", REPORT, "a", every_s=MINUTE)
            await asyncio.sleep(130)
            assert (
                await engine.schedule("tick", "report", "a", every_s=MINUTE)
                == (await engine.schedules())[0]
            )
            said = [each for each in logged if "schedule 'tick'" in each]
            assert said == ["engine engine: schedule 'tick' is new: 'report' every 60 s\n"]
            changed = await engine.schedule("tick", REPORT, "b", every_s=3_600)
            assert "engine engine: schedule 'tick' is changed: 'report' every 3600 s\n" in logged
            assert changed.created_at == first.created_at
            assert changed.next_at == NOON + 3_600
            assert changed.counts["fired"] == 2
            await asyncio.sleep(3_600)
            assert world.told == ["a", "a", "b"]

    virtually(main)


def test_another_input_leaves_the_next_time_as_it_is() -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            await engine.schedule("tick", REPORT, "a", every_s=MINUTE)
            await asyncio.sleep(59.9)
            await engine.schedule("tick", REPORT, "b", every_s=MINUTE)
            await asyncio.sleep(0.2)
            assert world.told == ["b"]

    virtually(main)


def test_of_many_engines_with_clocks_apart_one_starts_each_run() -> None:
    async def main(world: World) -> None:
        engines = [
            world.engine(f"engine-{place}", skew_s=skew_s)
            for place, skew_s in enumerate((0.0, -3.0, 4.0, 0.001))
        ]
        for engine in engines:
            await engine.__aenter__()
            await engine.schedule("tick", "report", "$schedule.due", every_s=MINUTE)
        await asyncio.sleep(30 * MINUTE + 10)
        assert world.told == [minute(f"12:{place:02}") for place in range(1, 31)]
        assert await counts(engines[1], "tick") == {
            "fired": 30,
            "missed": 0,
            "skipped": 0,
            "failed": 0,
        }
        for engine in engines:
            await engine.stop()

    virtually(main)


@pytest.mark.parametrize(
    ("missed", "overlap", "started"),
    [
        ("latest", "skip", ["12:05"]),
        ("skip", "skip", ["12:05"]),  # which is not a minute late
        ("all", "queue", ["12:02", "12:03", "12:04", "12:05"]),
        ("all", "allow", ["12:02", "12:03", "12:04", "12:05"]),
    ],
)
def test_what_was_due_without_an_engine_is_started_as_the_schedule_says(
    missed: Any, overlap: Any, started: list[str]
) -> None:
    async def main(world: World) -> None:
        async with world.engine("first") as engine:
            await engine.schedule(
                "tick", "report", "$schedule.due", every_s=MINUTE, missed=missed, overlap=overlap
            )
            await asyncio.sleep(70)
        del world.told[:]
        await asyncio.sleep(240)
        async with world.engine("second") as second:
            await asyncio.sleep(20)
            assert world.told == [minute(each) for each in started]
            assert (await counts(second, "tick"))["missed"] == 4 - len(started)

    virtually(main)


def test_what_is_more_than_a_minute_late_is_not_started_where_missed_says_skip() -> None:
    async def main(world: World) -> None:
        async with world.engine("first") as engine:
            await engine.schedule("daily", "report", "$schedule.due", every_s=3_600, missed="skip")
        await asyncio.sleep(2 * 3_600 + 61)
        async with world.engine("second") as engine:
            await asyncio.sleep(10)
            assert world.told == []
            assert (await counts(engine, "daily"))["missed"] == 2
            await asyncio.sleep(3_600)
            assert world.told == [minute("15:00")]

    virtually(main)


def test_all_that_was_missed_has_a_bound() -> None:
    async def main(world: World) -> None:
        async with world.engine("first") as engine:
            await engine.schedule(
                "tick", "report", "$schedule.due", every_s=1, missed="all", overlap="allow"
            )
        await asyncio.sleep(5_000)
        async with world.engine("second", max_concurrent_workflows=2_000) as engine:
            await asyncio.sleep(0.5)
            assert len(world.told) == 1_000
            assert world.told[-1] == "2027-01-10T13:23:20+00:00"

    virtually(main)


def test_while_a_run_has_not_ended_the_next_is_skipped_queued_or_started_beside_it() -> None:
    async def main(world: World) -> None:
        world.takes_s = 140
        async with world.engine() as engine:
            for overlap in ("skip", "queue", "allow"):
                await engine.schedule(
                    *(overlap, "report", f"{overlap} $schedule"), every_s=MINUTE,
                    overlap=cast("Any", overlap),
                )  # fmt: skip
            await asyncio.sleep(605)
            page = await engine.list_workflows(limit=1_000)
            due: dict[str, list[str]] = {"skip": [], "queue": [], "allow": []}
            for each in sorted(page, key=lambda each: each.labels["due"]):
                due[each.labels["schedule"]].append(each.labels["due"][14:16])
            assert due["skip"] == ["01", "04", "07", "10"]
            assert due["queue"] == ["01", "02", "04", "06"]
            assert due["allow"] == [f"{place:02}" for place in range(1, 11)]
            assert (await counts(engine, "skip"))["skipped"] == 6
            queued = await counts(engine, "queue")
            assert queued["fired"] + queued["skipped"] in (9, 10)  # one waits

    virtually(main)


def test_a_paused_schedule_starts_nothing_and_what_was_due_meanwhile_was_missed() -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            await engine.schedule("tick", "report", "$schedule.due", every_s=MINUTE)
            status = await engine.pause_schedule("tick", "the disk is full")
            assert (status.paused, status.reason, status.next_at) == (
                True,
                "the disk is full",
                None,
            )
            await asyncio.sleep(200)
            assert world.told == []
            status = await engine.resume_schedule("tick")
            assert (status.paused, status.reason) == (False, None)
            await asyncio.sleep(50)
            assert world.told == [minute("12:03"), minute("12:04")]
            assert (await counts(engine, "tick"))["missed"] == 2

    virtually(main)


def test_a_trigger_starts_a_run_now_also_of_a_paused_schedule_and_beside_another() -> None:
    async def main(world: World) -> None:
        world.takes_s = 30
        async with world.engine() as engine:
            await engine.schedule("tick", "report", "$schedule.due", every_s=3_600)
            await engine.pause_schedule("tick")
            ids = [await engine.trigger_schedule("tick") for _ in range(3)]
            assert len(set(ids)) == 3
            assert all(each.startswith("tick@2027-01-10T12:00:00.") for each in ids)
            for each in ids:
                assert (await engine.get_workflow_status(each)).state == "running"
            for each in ids:
                await engine.wait(each)
            status = (await engine.schedules())[0]
            assert (status.paused, status.counts["fired"]) == (True, 3)

    virtually(main)


def test_what_has_no_engine_for_it_yet_is_started_by_one_that_comes() -> None:
    async def main(world: World) -> None:
        looker = OrchestrationEngine(EngineConfig(state_store=world.store, wall_clock=world.clock))
        async with world.engine("first") as engine:
            await engine.schedule("tick", "report", "x", every_s=3_600)
        run_id = await looker.trigger_schedule("tick")
        await asyncio.sleep(30)
        with pytest.raises(UnknownWorkflow):
            await looker.get_workflow_status(run_id)
        async with world.engine("second") as engine:
            await asyncio.sleep(1)
            assert await engine.wait(run_id) == {"write": "x"}
        await looker.stop()

    virtually(main)


def test_an_engine_that_only_looks_starts_nothing() -> None:
    async def main(world: World) -> None:
        async with world.engine("first") as engine:
            await engine.schedule("tick", "report", "x", every_s=MINUTE)
        for options in ({}, {"run_schedules": False, "recover_on_start": True}):
            config = {"run_schedules": None, **options}
            async with world.engine("other", **config) as other:
                assert len(await other.schedules()) == 1
                if config["run_schedules"] is False:
                    await other.schedule("tick", "report", "x", every_s=MINUTE)
                await asyncio.sleep(100)
                assert world.told == []
        async with world.engine("third", run_schedules=None, recover_on_start=True):
            await asyncio.sleep(1)
            assert world.told == ["x"]

    virtually(main)


def test_a_workflow_that_is_code_is_scheduled_as_a_declared_one_is() -> None:
    async def main(world: World) -> None:
        @workflow(name="coded")
        async def coded(run: WorkflowRun, day: str) -> str:
            return str(await run.step(world.write, day))

        async with world.engine() as engine:
            await engine.schedule("daily", coded, "$schedule.date", cron="0 0 * * *")
            await asyncio.sleep(12 * 3_600 + 1)
            assert world.told == ["2027-01-11"]
            assert await engine.wait("daily@2027-01-11T00:00:00Z") == "2027-01-11"

    virtually(main)


def test_a_start_that_fails_is_told_once_and_shown_and_the_next_one_comes(
    logged: list[str],
) -> None:
    strict = {
        "name": "strict",
        "steps": [{"id": "write", "agent": "writer", "input": "$input.day"}],
    }

    async def main(world: World) -> None:
        async with world.engine() as engine:
            await engine.schedule("tick", strict, {}, every_s=MINUTE)
            await asyncio.sleep(200)
            said = [each for each in logged if "could not be started" in each]
            assert len(said) == 1
            assert "schedule 'tick' could not be started: InputMismatch" in said[0]
            status = (await engine.schedules())[0]
            assert status.counts["failed"] == 3
            assert status.error is not None
            assert "day" in status.error
            await engine.schedule("tick", strict, {"day": "monday"}, every_s=MINUTE)
            await asyncio.sleep(60)
            assert world.told == ["monday"]
            assert (await engine.schedules())[0].error is None

    virtually(main)


def test_an_engine_without_the_workflow_leaves_it_to_one_that_has_it(logged: list[str]) -> None:
    async def main(world: World) -> None:
        async with world.engine("first") as engine:
            await engine.schedule("tick", "report", "x", every_s=MINUTE)
        bare = OrchestrationEngine(
            EngineConfig(state_store=world.store, wall_clock=world.clock, run_schedules=True),
            name="bare",
        )
        async with bare:
            await asyncio.sleep(300)
            said = [each for each in logged if "is left to an engine" in each]
            assert len(said) == 1
            assert world.told == []
            assert (await bare.schedules())[0].next_at == NOON + 60
            async with world.engine("second"):
                await asyncio.sleep(10)
                assert world.told == ["x"]

    virtually(main)


def test_a_draining_engine_starts_nothing() -> None:
    async def main(world: World) -> None:
        engine = world.engine("first")
        async with engine:
            await engine.schedule("tick", "report", "$schedule.due", every_s=MINUTE)
            await engine.drain(deadline_s=1)
            await asyncio.sleep(100)
            assert world.told == []
            async with world.engine("second"):
                await asyncio.sleep(1)
                assert world.told == [minute("12:01")]

    virtually(main)


def test_a_deleted_schedule_starts_nothing_and_its_runs_stay() -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            await engine.schedule("tick", "report", "x", every_s=MINUTE)
            await asyncio.sleep(61)
            await engine.delete_schedule("tick")
            assert await engine.schedules() == []
            await asyncio.sleep(200)
            assert world.told == ["x"]
            assert len(await engine.list_workflows(labels={"schedule": "tick"})) == 1

    virtually(main)


def test_bad_calls_are_told_where_they_are_made() -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            with pytest.raises(UnknownName, match="there is no workflow 'reprot'. Did you mean"):
                await engine.schedule("tick", "reprot", every_s=1)
            with pytest.raises(DefinitionError, match="schedule 'tick': it says nothing of when"):
                await engine.schedule("tick", "report")
            with pytest.raises(DefinitionError, match="engine.schedule.'nightly', workflow, cron="):
                await engine.schedule("tick", "report", cron="x")
            with pytest.raises(ValueNotStorable, match="the input of schedule 'tick'"):
                await engine.schedule("tick", "report", {"x": object()}, every_s=1)
            broken = {"name": "b", "steps": [{"id": "a", "agent": "nobody"}]}
            with pytest.raises(UnknownName, match="nobody"):
                await engine.schedule("tick", broken, every_s=1)
            await engine.schedule("tick", "report", every_s=1e9)
            for call in (engine.pause_schedule, engine.resume_schedule, engine.trigger_schedule):
                with pytest.raises(UnknownSchedule, match="no schedule 'tik'. Did you mean 'tick'"):
                    await call("tik")
            with pytest.raises(UnknownSchedule):
                await engine.delete_schedule("tik")
            assert [each.name for each in await engine.schedules()] == ["tick"]

    virtually(main)


def test_runs_of_a_schedule_wait_in_its_queue_for_an_engine_that_serves_it() -> None:
    async def main(world: World) -> None:
        world.takes_s = 90
        queues = [Queue("reports", key_concurrency=1)]
        async with world.engine("looks") as engine:
            status = await engine.schedule(
                *("tick", "report"), every_s=MINUTE, overlap="allow",
                queue="reports", key="a", priority=3,
            )  # fmt: skip
            assert status.queue == "reports"
            await asyncio.sleep(130)
            page = await engine.list_workflows(queue="reports")
            assert [(one.state, one.queue_key, one.priority) for one in page] == [
                ("pending", "a", 3),
                ("pending", "a", 3),
            ]
            await engine.pause_schedule("tick")
            async with world.engine("works", run_schedules=False, queues=queues) as works:
                await works.wait("tick@2027-01-10T12:01:00Z", timeout=200)
                assert await counts(engine, "tick") == {
                    **dict.fromkeys(("missed", "skipped", "failed"), 0),
                    "fired": 2,
                }
                assert len(world.told) == 1, "one at a time for a key"
                await works.wait("tick@2027-01-10T12:02:00Z", timeout=200)
                assert len(world.told) == 2
            with pytest.raises(DefinitionError, match=r"key= is for a run of a queue: schedule\("):
                await engine.schedule("tock", "report", every_s=60, key="a")

    virtually(main)


class Dying:
    """A store that stops taking what is written after some of it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.dead: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in self.dead:
            raise StoreUnavailable("dying", name, "it is cut off")
        return getattr(self._store, name)


def test_what_was_decided_by_an_engine_that_died_then_is_started_by_another() -> None:
    async def main(world: World) -> None:
        cut = Dying(world.store)
        first = world.engine("first", state_store=cut)
        await first.schedule("tick", "report", "$schedule.due", every_s=MINUTE)
        cut.dead |= {"submit_run", "create_run"}
        await asyncio.sleep(61)
        assert world.told == []
        (row,) = await world.store.load_schedules()  # type: ignore[attr-defined]
        assert '"run_id":"tick@2027-01-10T12:01:00Z"' in bytes(row.body).decode()
        async with world.engine("second") as second:
            await asyncio.sleep(15)
            assert world.told == [minute("12:01")]
            assert (await counts(second, "tick"))["fired"] == 1
        cut.dead.clear()
        await first.stop()

    virtually(main)


def test_what_finds_no_room_is_tried_again_each_second_and_not_all_the_time() -> None:
    async def main(world: World) -> None:
        world.takes_s = 60
        counted = Counting(world.store)
        room = {"max_concurrent_workflows": 1, "max_queued_workflows": 0, "queue_reserve": 0}
        async with world.engine(state_store=counted, **room) as engine:
            await engine.schedule("tick", "report", "x", every_s=1e9)
            for _ in range(2):
                await engine.trigger_schedule("tick")
            assert world.told == ["x"]
            counted.looks = 0
            await asyncio.sleep(59)
            assert world.told == ["x"]
            assert 10 < counted.looks < 80
            await asyncio.sleep(3)
            assert world.told == ["x", "x"]

    virtually(main)


class Counting:
    """A store that counts how often it is looked for schedules."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        if name == "load_schedules":
            self.looks += 1
        return getattr(self._store, name)


def test_a_scheduler_that_crashed_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            await engine.schedule("tick", "report", "$schedule.due", every_s=MINUTE)
            real = Scheduler._look
            broken = True

            async def look(self: Scheduler) -> float:
                nonlocal broken
                if broken:
                    broken = False
                    raise RuntimeError("a defect")
                return await real(self)

            monkeypatch.setattr(Scheduler, "_look", look)
            await asyncio.sleep(70)
            assert world.told == [minute("12:01")]

    virtually(main)


def test_an_engine_with_schedules_leaves_nothing_behind_when_it_stops() -> None:
    async def main(world: World) -> None:
        async with world.engine() as engine:
            await engine.schedule("tick", "report", every_s=MINUTE)
            await asyncio.sleep(100)
        assert [each.actor_class.__name__ for each in ActorSystem.current().actors()] == []

    virtually(main)
