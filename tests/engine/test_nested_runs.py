"""Nested runs are part of the run around them: resumed, undone, parked, signalled and ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import Agent
from agenticaiframework.orchestration import WorkflowRun, workflow
from agenticaiframework.patterns.engine import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTimedOut,
)
from agenticaiframework.patterns.engine.store import open_store
from agenticaiframework.patterns.vocabulary.errors import NestedTooDeep

from .conftest import Cast, run_in_virtual_time, steps
from .test_durable import virtual_clock

Open = Callable[..., OrchestrationEngine]


@pytest.fixture(params=["in memory", "memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return what opens an engine: one that keeps nothing, or one over the same store each time."""
    kept = open_store("memory://", clock=virtual_clock)
    url = f"sqlite:///{tmp_path}/engine.sqlite"

    def open_engine(**config: Any) -> OrchestrationEngine:
        options: dict[str, Any] = {"wall_clock": virtual_clock, **config}
        if request.param != "in memory":
            stored = kept
            if request.param == "sqlite":
                stored = open_store(url, clock=virtual_clock, inline=True)
            options = {"state_store": stored, "persist_state": True, "lease_seconds": 10, **options}
        return OrchestrationEngine(EngineConfig(**options))

    return open_engine


@pytest.fixture
def stored(opened: Open, request: pytest.FixtureRequest) -> Open:
    """Return what opens an engine over a store."""
    if "in memory" in request.node.name:
        pytest.skip("it needs a store")
    return opened


def named(name: str, *given: Any, **more: Any) -> dict[str, Any]:
    return {**steps(*given, **more), "name": name}


def tasks(e: OrchestrationEngine) -> list[str]:
    """Return the runs that have a coordinator, and those that have a turn."""
    core = e._cores.here()
    return [live.id for live in core._pool.runs] + core._admission.turns


def settled(e: OrchestrationEngine) -> None:
    """Check that the engine keeps nothing of runs that have all ended."""
    core = e._cores.here()
    assert tasks(e) == []
    assert core.parts._bonds == {}


INNER = named("inner", {"id": "a", "agent": "a"}, {"id": "b", "agent": "flaky"})

SHAPES: dict[str, dict[str, Any]] = {
    "one level": {"workflow": INNER},
    "two levels": {"workflow": named("mid", {"id": "in", "workflow": INNER})},
    "three levels": {
        "workflow": named(
            "top", {"id": "m", "workflow": named("mid", {"id": "in", "workflow": INNER})}
        )
    },
    "by name": {"workflow": "registered"},
    "as an agent": {"agent": "registered"},
    "as a fallback": {"agent": "broken", "on_error": {"fallback": "registered"}},
    "in a loop": {"workflow": INNER, "until": "$iteration >= 1", "max_iterations": 3},
    "for each": {"workflow": INNER, "for_each": ["x"]},
}


def cast_flaky(cast: Cast, e: OrchestrationEngine, times: int = 1) -> None:
    e.register_workflow("registered", INNER)


@pytest.mark.parametrize("shape", SHAPES)
def test_resuming_repeats_no_finished_step_of_a_nested_run(
    shape: str, opened: Open, cast: Cast
) -> None:
    cast.agent("a", "A")
    cast.failing("flaky", 1)
    cast.failing("broken", 9)
    cast.agent("last", "L")

    async def main() -> None:
        async with opened() as e:
            e.register_workflow("registered", INNER)
            flow = steps({"id": "n", **SHAPES[shape]}, "last")
            wid = await e.start_workflow(workflow=flow, workflow_id="w")
            with pytest.raises(WorkflowFailed):
                await e.wait(wid, 600)
            await e.resume_workflow(wid)
            result = await e.wait(wid, 600)
            assert "'b': 'ok'" in str(result["n"])
            settled(e)

    run_in_virtual_time(main)
    assert [name for name in cast.asked if name != "broken"] == ["a", "flaky", "flaky", "last"]


@pytest.mark.parametrize("shape", [s for s in SHAPES if s != "as a fallback"])
def test_a_retry_goes_on_with_the_same_nested_run(shape: str, opened: Open, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.failing("flaky", 2)

    async def main() -> None:
        async with opened() as e:
            e.register_workflow("registered", INNER)
            retry = {"attempts": 3, "initial_delay_s": 1}
            await e.execute(workflow=steps({"id": "n", "retry": retry, **SHAPES[shape]}))
            settled(e)

    run_in_virtual_time(main)
    assert cast.asked == ["a", "flaky", "flaky", "flaky"]


@pytest.mark.parametrize("shape", SHAPES)
def test_another_engine_resumes_without_repeating(shape: str, stored: Open, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.failing("flaky", 1)
    cast.failing("broken", 9)

    async def first() -> None:
        async with stored() as e:
            e.register_workflow("registered", INNER)
            with pytest.raises(WorkflowFailed):
                await e.execute(workflow=steps({"id": "n", **SHAPES[shape]}), workflow_id="w")

    async def second() -> None:
        async with stored() as e:
            e.register_workflow("registered", INNER)
            await e.resume_workflow("w")
            await e.wait("w", 600)
            settled(e)

    run_in_virtual_time(first)
    run_in_virtual_time(second)
    assert [name for name in cast.asked if name != "broken"] == ["a", "flaky", "flaky"]


def test_a_step_that_is_run_again_on_purpose_begins_its_nested_run_anew(
    opened: Open, cast: Cast
) -> None:
    cast.agent("first", lambda p: len(cast.payloads("first")))
    cast.agent("a", lambda p: p)
    flow = steps("first", {"id": "n", "workflow": named("inner", "a"), "input": "$first"})

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow, workflow_id="w")
            assert (await e.wait(wid, 600))["n"] == {"a": 1}
            await e.retry_from(wid, "n")
            assert (await e.wait(wid, 600))["n"] == {"a": 1}
            await e.retry_from(wid, "first")
            assert (await e.wait(wid, 600))["n"] == {"a": 2}
            settled(e)

    run_in_virtual_time(main)
    assert cast.payloads("a") == [1, 1, 2]


def test_a_nested_run_that_begins_anew_finds_its_agents_as_at_first(
    opened: Open, cast: Cast
) -> None:
    cast.agent("a", lambda p: p)
    others = [Context().run(Agent, "a", handler=str) for _ in range(2)]
    flow = steps({"id": "n", "workflow": named("inner", "a"), "input": 1})

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow)
            await e.wait(wid, 600)
            await e.retry_from(wid, "n")
            assert (await e.wait(wid, 600))["n"] == {"a": 1}

    run_in_virtual_time(main)
    assert cast.payloads("a") == [1, 1]
    assert len(others) == 2


def test_a_failed_nested_run_is_resumed_by_retry_from(opened: Open, cast: Cast) -> None:
    cast.agent("a", "A")
    cast.failing("flaky", 1)

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=steps({"id": "n", "workflow": INNER}))
            with pytest.raises(WorkflowFailed):
                await e.wait(wid, 600)
            await e.retry_from(wid, "n")
            await e.wait(wid, 600)

    run_in_virtual_time(main)
    assert cast.asked == ["a", "flaky", "flaky"]


def test_an_answer_that_is_refused_has_the_nested_run_begin_anew(opened: Open, cast: Cast) -> None:
    cast.agent("a", lambda p: {"n": 2 if len(cast.payloads("a")) == 2 else "two"})
    inner = named("inner", "a", output="$a")
    model = {"n": "integer"}
    step = {"id": "n", "workflow": inner, "output_model": model, "retry": 3}

    async def main() -> None:
        async with opened() as e:
            assert (await e.execute(workflow=steps(step)))["n"] == {"n": 2}

    run_in_virtual_time(main)
    assert cast.asked == ["a", "a"]


# --------------------------------------------------------------------------- undoing


def books(*hotels: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": h, "agent": "book", "input": h, "compensate": "cancel", **more} for h in hotels]


def cast_hotels(cast: Cast) -> None:
    def book(hotel: str) -> str:
        if hotel == "full":
            raise ValueError("no room")
        return hotel

    cast.agent("book", book)
    cast.agent("cancel", lambda p: p)


def test_completed_nested_runs_are_undone_in_the_order_of_the_whole(
    opened: Open, cast: Cast
) -> None:
    cast_hotels(cast)
    deep = named("deep", *books("paris", "lyon"))
    mid = named("mid", *books("rome"), {"id": "deep", "workflow": deep}, *books("bonn"))
    flow = steps(*books("oslo"), {"id": "tour", "workflow": mid}, *books("bern", "full"))

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow, workflow_id="w")
            with pytest.raises(WorkflowFailed, match="no room"):
                await e.wait(wid, 600)
            status = await e.get_workflow_status(wid)
            assert set(status.compensated) == {
                *("bern", "tour/bonn", "tour/deep/lyon", "tour/deep/paris", "tour/deep"),
                *("tour/rome", "tour", "oslo"),
            }
            assert status.last_error == "step 'full': ValueError: no room"
            assert status.steps["tour"].state == "compensated"
            assert status.children["tour"].state == "cancelled"
            settled(e)

    run_in_virtual_time(main)
    assert cast.payloads("cancel") == ["bern", "bonn", "lyon", "paris", "rome", "oslo"]


def test_what_was_undone_in_a_nested_run_runs_again_when_resumed(opened: Open, cast: Cast) -> None:
    cast_hotels(cast)
    cast.failing("flaky", 1)
    inner = named("inner", *books("rome"), {"id": "kept", "agent": "book", "input": "kept"})
    flow = steps({"id": "tour", "workflow": inner}, "flaky")

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow)
            with pytest.raises(WorkflowFailed):
                await e.wait(wid, 600)
            await e.resume_workflow(wid)
            assert (await e.wait(wid, 600))["tour"] == {"rome": "rome", "kept": "kept"}
            assert (await e.get_workflow_status(wid)).compensated == ()

    run_in_virtual_time(main)
    assert cast.payloads("book") == ["rome", "kept", "rome"]


@pytest.mark.parametrize("nested", [False, True])
def test_finished_items_are_undone_also_when_another_fails(
    nested: bool, opened: Open, cast: Cast
) -> None:
    cast_hotels(cast)
    undo = {"agent": "cancel", "input": ["$index", "$item", "$output"]}
    step: dict[str, Any] = {"id": "each", "for_each": ["rome", "bonn", "full"]}
    step |= {"max_concurrency": 1}
    if nested:
        inner = named(
            "inner", {"id": "b", "agent": "book", "input": "$input", "compensate": "cancel"}
        )
        step |= {"workflow": inner, "input": "$item"}
    else:
        step |= {"agent": "book", "compensate": undo}

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=steps(step))
            with pytest.raises(WorkflowFailed, match="no room"):
                await e.wait(wid, 600)
            status = await e.get_workflow_status(wid)
            assert status.steps["each"].state == "failed"
            below = [f"each[{n}]/b" for n in (1, 0)] if nested else []
            assert set(status.compensated) == {"each[0]", "each[1]", *below}
            cast.log.clear()
            await e.resume_workflow(wid)  # what was undone is done again
            with pytest.raises(WorkflowFailed, match="no room"):
                await e.wait(wid, 600)
            settled(e)

    run_in_virtual_time(main)
    assert cast.payloads("book") == ["rome", "bonn", "full"]
    said = ["bonn", "rome"] if nested else [[1, "bonn", "bonn"], [0, "rome", "rome"]]
    assert cast.payloads("cancel") == said


def test_a_list_that_was_completed_is_undone_item_by_item(opened: Open, cast: Cast) -> None:
    cast_hotels(cast)
    each = {"id": "each", "agent": "book", "compensate": "cancel", "for_each": ["rome", "bonn"]}

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=steps(each, *books("full")))
            with pytest.raises(WorkflowFailed):
                await e.wait(wid, 600)
            status = await e.get_workflow_status(wid)
            assert status.steps["each"].state == "compensated"
            assert set(status.compensated) == {"each[0]", "each[1]", "each"}

    run_in_virtual_time(main)
    assert sorted(cast.payloads("cancel")) == ["bonn", "rome"]


def test_every_round_of_a_loop_of_nested_runs_is_undone(opened: Open, cast: Cast) -> None:
    cast_hotels(cast)
    cast.agent("count", lambda p: {"n": len(cast.payloads("count"))})
    inner = named("inner", {"id": "c", "agent": "count", "compensate": "cancel"}, output="$c")
    loop = {"id": "loop", "workflow": inner, "until": "$output.n >= 3", "input": {}}

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed):
                await e.execute(workflow=steps(loop, *books("full")))

    run_in_virtual_time(main)
    assert [p["n"] for p in cast.payloads("cancel")] == [3, 2, 1]


def test_a_failed_undo_keeps_the_original_error(opened: Open, cast: Cast) -> None:
    cast_hotels(cast)
    cast.failing("stuck", 9)
    mid = named(
        "mid", {"id": "rome", "agent": "book", "input": "rome", "compensate": "stuck"},
        *books("bonn"),
    )  # fmt: skip
    flow = steps(*books("oslo"), {"id": "tour", "workflow": mid}, *books("full"))

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow)
            with pytest.raises(WorkflowFailed, match="no room"):
                await e.wait(wid, 600)
            status = await e.get_workflow_status(wid)
            assert "no room" in str(status.last_error)
            assert status.failed_compensations == ("tour/rome",)
            assert set(status.compensated) == {"tour/bonn", "oslo"}

    run_in_virtual_time(main)
    assert cast.payloads("cancel") == ["bonn", "oslo"]


def test_a_step_with_both_is_undone_by_its_own_compensation_first(opened: Open, cast: Cast) -> None:
    cast_hotels(cast)
    own = {"agent": "cancel", "input": "the whole"}
    step = {"id": "tour", "workflow": named("inner", *books("rome")), "compensate": own}

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed):
                await e.execute(workflow=steps(step, *books("full")))

    run_in_virtual_time(main)
    assert cast.payloads("cancel") == ["the whole", "rome"]


@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize("graceful", [True, False])
def test_cancelling_reaches_all_nested_runs_and_says_what_was_undone(
    compensate: bool, graceful: bool, opened: Open, cast: Cast
) -> None:
    cast_hotels(cast)
    wait = {"id": "w", "wait_for": "never"}
    inner = named(
        "inner", *books("rome"), {"id": "d", "workflow": named("deep", *books("lyon"), wait)}
    )
    flow = steps(*books("oslo"), {"id": "tour", "workflow": inner}, *books("bern"))

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow, workflow_id="w")
            await asyncio.sleep(1)
            assert tasks(e) == []
            report = await e.cancel_workflow(wid, graceful=graceful, compensate=compensate)
            assert report.state == "cancelled"
            assert report.stopped_steps == ("tour",)
            undone = {"tour/d/lyon", "tour/rome", "oslo"} if compensate else set()
            assert set(report.compensated_steps) == undone
            status = await e.get_workflow_status(wid)
            assert {str(child.state) for child in status.children.values()} == {"cancelled"}
            settled(e)

    run_in_virtual_time(main)
    assert cast.payloads("cancel") == (["lyon", "rome", "oslo"] if compensate else [])


# --------------------------------------------------------------------------- waiting


WAIT = named("approval", {"id": "answer", "wait_for": "approved"})
SLEEP = named("sleep", {"id": "nap", "delay": 50})


def deeper(flow: dict[str, Any], levels: int) -> dict[str, Any]:
    for _ in range(levels):
        flow = named("outer", {"id": "n", "workflow": flow})
    return flow


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("flow", [WAIT, SLEEP], ids=["wait", "delay"])
def test_a_wait_within_takes_no_turn_and_no_coordinator(
    levels: int, flow: dict[str, Any], opened: Open, cast: Cast
) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with opened(max_concurrent_workflows=1, default_timeout_seconds=30) as e:
            ids = [await e.start_workflow(workflow=deeper(flow, levels)) for _ in range(3)]
            await asyncio.sleep(1)
            assert tasks(e) == []
            for wid in ids:
                status = await e.get_workflow_status(wid)
                assert status.state == "waiting"
                assert len(status.children) == levels
            await e.execute(workflow=steps("a"))
            await asyncio.sleep(400 if flow is WAIT else 0)  # no default time limit bites
            for wid in ids:
                if flow is WAIT:
                    await e.signal_workflow(wid, "approved", "yes")
                assert ("yes" if flow is WAIT else "nap") in str(await e.wait(wid, 600))
            settled(e)

    run_in_virtual_time(main)


@pytest.mark.parametrize("items", [False, True])
def test_the_steps_own_time_limit_bites_while_it_is_parked(
    items: bool, opened: Open, cast: Cast
) -> None:
    cast_hotels(cast)
    inner = named("inner", *books("rome"), {"id": "w", "wait_for": "never"})
    step = {"id": "n", "workflow": inner, "timeout_seconds": 20}
    step |= {"for_each": [1]} if items else {}

    async def main() -> float:
        async with opened() as e:
            begun = asyncio.get_running_loop().time()
            wid = await e.start_workflow(workflow=steps(step))
            await asyncio.sleep(1)
            assert tasks(e) == []
            with pytest.raises(WorkflowTimedOut):
                await e.wait(wid, 600)
            settled(e)
            return asyncio.get_running_loop().time() - begun

    assert run_in_virtual_time(main) == pytest.approx(20, abs=0.1)
    assert cast.payloads("cancel") == ["rome"]


def test_a_time_limit_that_passes_between_two_engines_bites(stored: Open, cast: Cast) -> None:
    step = {"id": "n", "workflow": WAIT, "timeout_seconds": 20}

    async def first() -> None:
        async with stored() as e:
            await e.start_workflow(workflow=steps(step), workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        await asyncio.sleep(30)
        async with stored() as e:
            await e.recover()
            with pytest.raises(WorkflowTimedOut):
                await e.wait("w", 600)

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_a_run_with_work_beside_a_parked_part_goes_on(opened: Open, cast: Cast) -> None:
    cast.slow("s", 5, "S")
    flow = steps(
        {"id": "n", "workflow": WAIT, "depends_on": []},
        {"id": "s", "agent": "s", "depends_on": []},
        {"id": "t", "agent": "s", "depends_on": ["s"]},
    )

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow)
            await asyncio.sleep(7)
            assert len(set(tasks(e))) == 1
            await asyncio.sleep(5)
            assert tasks(e) == []
            await e.signal_workflow(wid, "approved", 1)
            assert await e.wait(wid, 600) == {"n": {"answer": 1}, "s": "S", "t": "S"}

    run_in_virtual_time(main)


# --------------------------------------------------------------------------- signals


def test_signals_go_to_the_first_that_waits_and_to_the_one_that_is_named(
    opened: Open, cast: Cast
) -> None:
    flow = steps(
        {"id": "one", "workflow": deeper(WAIT, 1), "depends_on": []},
        {"id": "each", "workflow": WAIT, "for_each": [1, 2], "depends_on": []},
        {"id": "own", "wait_for": "approved", "depends_on": []},
        {"id": "late", "workflow": WAIT},
    )

    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=flow, workflow_id="w")
            await e.signal_workflow(wid, "approved", "kept for later", step="late")
            await asyncio.sleep(1)
            status = await e.get_workflow_status(wid)
            assert status.steps["one"].waiting_for == "approved"
            assert status.steps["one"].state == "waiting"
            await e.signal_workflow(wid, "approved", "second", step="each[1]")
            await e.signal_workflow(wid, "approved", "to own", step="own")
            await e.signal_workflow(wid, "approved", "to one")
            await e.signal_workflow(wid, "each[0]/approved", "first")
            with pytest.raises(ValueError, match="no step 'ech'"):
                await e.signal_workflow(wid, "approved", step="ech")
            assert await e.wait(wid, 600) == {
                "one": {"n": {"answer": "to one"}},
                "each": [{"answer": "first"}, {"answer": "second"}],
                "own": "to own",
                "late": {"answer": "kept for later"},
            }

    run_in_virtual_time(main)


def test_a_signal_from_another_engine_reaches_a_nested_wait(stored: Open, cast: Cast) -> None:
    async def main() -> None:
        async with stored() as e, stored() as other:
            wid = await e.start_workflow(workflow=deeper(WAIT, 2))
            await asyncio.sleep(1)
            status = await other.get_workflow_status(wid)
            assert status.state == "waiting"
            assert set(status.children) == {"n", "n/n"}
            assert status.steps["n"].waiting_for == "approved"
            await other.signal_workflow(wid, "approved", "yes")
            assert "yes" in str(await e.wait(wid, 600))

    run_in_virtual_time(main)


def test_an_early_signal_survives_a_crash(stored: Open, cast: Cast) -> None:
    cast.slow("s", 5)
    flow = steps({"id": "n", "workflow": named("inner", "s", *WAIT["steps"])})

    async def first() -> None:
        async with stored() as e:
            await e.start_workflow(workflow=flow, workflow_id="w")
            await e.signal_workflow("w", "approved", "early")
            await asyncio.sleep(1)

    async def second() -> None:
        async with stored() as e:
            assert set((await e.recover()).recovered) == {"w", "w~n"}
            assert await e.wait("w", 600) == {"n": {"s": None, "answer": "early"}}

    run_in_virtual_time(first)
    run_in_virtual_time(second)


def test_parked_nested_runs_come_back_with_the_run_around_them(stored: Open, cast: Cast) -> None:
    async def first() -> None:
        async with stored() as e:
            for n in range(5):
                await e.start_workflow(workflow=deeper(WAIT, 2), workflow_id=f"w{n}")
            await asyncio.sleep(1)

    async def second() -> None:
        async with stored(max_concurrent_workflows=1) as e, stored() as other:
            await asyncio.gather(e.recover(), other.recover())
            await asyncio.sleep(5)
            assert tasks(e) == tasks(other) == []
            for n in range(5):
                await other.signal_workflow(f"w{n}", "approved", n)
                assert await e.wait(f"w{n}", 600) == {"n": {"n": {"answer": n}}}

    run_in_virtual_time(first)
    run_in_virtual_time(second)


# --------------------------------------------------------------------------- ids and limits


def test_the_ids_of_nested_runs_are_nobody_elses(opened: Open, cast: Cast) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with opened() as e:
            for taken in ("w:n:1", "w:n", "w/n"):
                await e.execute(workflow=steps("a"), workflow_id=taken)
            with pytest.raises(ValueError, match="marks the ids of nested runs"):
                await e.start_workflow(workflow=steps("a"), workflow_id="w~n")
            flow = steps({"id": "n", "workflow": INNER_A})
            assert await e.execute(workflow=flow, workflow_id="w") == {"n": {"a": "A"}}
            child = (await e.get_workflow_status("w")).children["n"]
            assert (child.workflow_id, child.parent) == ("w~n", "w")

    run_in_virtual_time(main)
    assert len(cast.asked) == 4


INNER_A = named("inner", "a")


@pytest.mark.parametrize("twice", [False, True])
def test_a_workflow_that_contains_itself_comes_to_an_end(
    twice: bool, opened: Open, cast: Cast
) -> None:
    async def main() -> None:
        async with opened() as e:
            calls = [{"id": name, "agent": "tree", "depends_on": []} for name in "ab"]
            e.register_workflow("tree", named("tree", *calls[: 1 + twice]))
            with pytest.raises(WorkflowFailed) as caught:
                await e.execute(workflow="tree")
            error: BaseException | None = caught.value
            while isinstance(error, WorkflowFailed):
                error = error.__cause__
            assert isinstance(error, NestedTooDeep)
            settled(e)

    run_in_virtual_time(main)


@pytest.mark.parametrize("through", ["itself", "another"])
def test_code_that_asks_for_itself_twice_comes_to_an_end(
    through: str, opened: Open, cast: Cast
) -> None:
    """Each run of code has a plan of its own: it is the code that recurs."""

    @workflow(name="tree")
    async def tree(run: WorkflowRun) -> Any:
        return await run.gather(*(run.ask("tree" if through == "itself" else "way") for _ in "ab"))

    async def main() -> None:
        async with opened() as e:
            e.register_workflow(tree)
            e.register_workflow("way", named("way", {"id": "on", "agent": "tree"}))
            with pytest.raises(WorkflowFailed) as caught:
                await e.execute("tree")
            assert "NestedTooDeep" in str(caught.value) or "1,000 times" in str(caught.value)
            settled(e)

    run_in_virtual_time(main)


def test_the_depth_of_nesting_is_an_option(opened: Open, cast: Cast) -> None:
    cast.agent("a", "A")

    async def main() -> None:
        async with opened(max_nested_workflows=3) as e:
            await e.execute(workflow=deeper(INNER_A, 3))
            with pytest.raises(WorkflowFailed, match="stand in one another"):
                await e.execute(workflow=deeper(INNER_A, 4))

    run_in_virtual_time(main)


def test_a_time_limit_of_the_caller_ends_the_whole_tree(opened: Open, cast: Cast) -> None:
    cast.slow("s", 100)

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowTimedOut):
                await e.execute(workflow=deeper(named("s", "s"), 3), timeout=5)
            settled(e)

    run_in_virtual_time(main)
    assert cast.stopped == ["s"]


def test_a_nested_run_that_is_cancelled_by_its_id_fails_its_step(opened: Open, cast: Cast) -> None:
    async def main() -> None:
        async with opened() as e:
            wid = await e.start_workflow(workflow=deeper(WAIT, 1), workflow_id="w")
            await asyncio.sleep(1)
            await e.cancel_workflow("w~n")
            with pytest.raises(WorkflowFailed) as caught:
                await e.wait(wid, 600)
            assert isinstance(caught.value.__cause__, WorkflowCancelled)
            settled(e)

    run_in_virtual_time(main)
