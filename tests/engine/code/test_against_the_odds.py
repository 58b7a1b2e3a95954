"""Code that is not there at the end of its run, that takes another way after an undo, or returns what cannot be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import agent_context
from agenticaiframework.orchestration import CallFailed, WorkflowFailed, WorkflowRun, workflow

from .conftest import OpenEngine
from .test_changes import blocked
from .test_code import until

Sim = Callable[[Any], Any]


async def one(x: Any = 1) -> Any:
    return x


def only_stored(opened: OpenEngine) -> None:
    if not opened.stored:  # type: ignore[attr-defined]
        pytest.skip("nothing is stored")


def parked_workflow(name: str, undone: list[Any], **options: Any) -> Any:
    async def undo(x: Any) -> None:
        undone.append(x)

    @workflow(name="parked", **options)
    async def parked(run: WorkflowRun) -> None:
        await run.step(one, "kept", name=name, undo=undo)
        await run.wait_for("go")

    return parked


@pytest.mark.parametrize("recovered", [False, True])
@pytest.mark.parametrize("there", ["nothing", "the undo", "other code"])
def test_a_run_is_cancelled_without_its_code(
    opened: OpenEngine, sim: Sim, there: str, recovered: bool
) -> None:
    only_stored(opened)
    undone: list[Any] = []

    async def undo(x: Any) -> None:
        undone.append(x)

    async def main() -> None:
        undone.clear()
        async with opened() as e:
            run_id = await e.start_workflow(parked_workflow("first", undone))
            await until(e, run_id, "go")
        async with opened() as e:
            if there != "nothing":
                e.register_agent("undo", undo)
            if there == "other code":
                e.register_workflow(parked_workflow("renamed", undone))
            if recovered:
                await e.recover()
                await e.signal_workflow(run_id, "go")
                await blocked(e, run_id)
            report = await e.cancel_workflow(run_id, "enough")
            assert report.state == "cancelled"
            done = there != "nothing"
            assert undone == (["kept"] if done else [])
            assert report.compensated_steps == (("first",) if done else ())
            assert report.failed_compensations == (() if done else ("first",))

    sim(main)


def test_a_blocked_run_whose_time_is_over_fails_without_its_code(
    opened: OpenEngine, sim: Sim
) -> None:
    only_stored(opened)

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(parked_workflow("first", [], timeout_seconds=100))
            await until(e, run_id, "go")
        async with opened() as e:
            await e.recover()
            await blocked(e, run_id)
            await asyncio.sleep(200)
            status = await e.get_workflow_status(run_id)
            assert (status.state, "timeout_seconds (100" in str(status.last_error)) == (
                "failed",
                True,
            )

    sim(main)


def test_code_that_does_not_end_when_it_is_cancelled_is_left_behind(
    opened: OpenEngine, sim: Sim
) -> None:
    undone: list[Any] = []

    async def undo(x: Any) -> None:
        undone.append(x)

    @workflow(name="stubborn")
    async def stubborn(run: WorkflowRun) -> None:
        await run.step(one, 1, undo=undo)
        try:
            await run.wait_for("never")
        finally:
            await run.wait_for("never again")

    async def main() -> None:
        undone.clear()
        async with opened() as e:
            run_id = await e.start_workflow(stubborn)
            await until(e, run_id, "never")
            async with asyncio.timeout(120):
                report = await e.cancel_workflow(run_id, "enough")
            assert (report.state, undone) == ("cancelled", [1])

    sim(main)


def test_what_was_undone_may_return_another_thing_and_the_code_go_another_way(
    opened: OpenEngine, sim: Sim
) -> None:
    async def main() -> None:
        drawn = iter([1, 2])
        down = [ConnectionError("down")]

        async def draw() -> int:
            return next(drawn)

        async def undraw(x: int) -> None: ...

        async def send() -> str:
            if down:
                raise down.pop()
            return "sent"

        @workflow(name="drawing")
        async def drawing(run: WorkflowRun) -> list[Any]:
            number = await run.step(draw, undo=undraw)
            kept = await run.step(one, number, name=f"way-{number}")
            return [number, kept, await run.step(send)]

        async with opened() as e:
            e.register_workflow(drawing)
            run_id = await e.start_workflow(drawing)
            with pytest.raises(WorkflowFailed):
                await e.wait(run_id)
            await e.resume_workflow(run_id)
            assert await e.wait(run_id) == [2, 2, "sent"]

    sim(main)


def test_a_workflow_that_code_asks_is_a_call_in_its_journal(opened: OpenEngine, sim: Sim) -> None:
    async def main() -> None:
        down = [ConnectionError("down")]
        calls: list[str] = []

        async def work(x: Any) -> Any:
            calls.append("work")
            return x

        async def unwork(x: Any) -> None:
            calls.append("unwork")

        async def send() -> str:
            if down:
                raise down.pop()
            return "sent"

        inner = {"name": "inner", "steps": [{"id": "w", "agent": work, "compensate": unwork}]}

        @workflow(name="outer")
        async def outer(run: WorkflowRun) -> list[Any]:
            return [await run.ask("inner", 7), await run.step(send)]

        async with opened() as e:
            e.register_workflow("inner", inner)
            e.register_workflow(outer)
            run_id = await e.start_workflow(outer)
            with pytest.raises(WorkflowFailed, match="down"):
                await e.wait(run_id)
            if opened.stored:  # type: ignore[attr-defined]
                events = [event async for event in e.stream(run_id)]
                began = next(event for event in events if event.step == "inner")
                assert began.data["call"] == {"ask": "inner", "at": "1"}
            await e.resume_workflow(run_id)
            assert await e.wait(run_id) == [{"w": 7}, "sent"]
            assert calls == ["work", "unwork", "work"]

    sim(main)


@pytest.mark.parametrize(
    "value", ["\ud800", object(), "x" * 17_000_000], ids=["text", "object", "large"]
)
@pytest.mark.parametrize("where", ["result", "state", "question"])
def test_what_cannot_be_stored_fails_where_the_code_gives_it(
    opened: OpenEngine, sim: Sim, value: Any, where: str
) -> None:
    large = value.__class__ is str and len(value) > 9
    if large and (where == "question" or not opened.stored):  # type: ignore[attr-defined]
        pytest.skip("no limit")

    @workflow(name="giving")
    async def giving(run: WorkflowRun) -> Any:
        if where == "state":
            run.set_state({"now": value})
        elif where == "question":
            await run.wait_for("never", question=value)
        return value

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match="cannot be stored|takes 17"):
                await e.execute(giving, workflow_id="giving")
            assert [run.state for run in await e.list_workflows()] == ["failed"]

    sim(main)


def test_bytes_have_one_form_in_memory_and_in_a_store(opened: OpenEngine, sim: Sim) -> None:
    async def raw() -> Any:
        return {"raw": b"\xff\x00", "more": {1}}

    async def wrong() -> Any:
        return object()

    @workflow(name="bytes")
    async def giving(run: WorkflowRun) -> Any:
        found = await run.step(raw)
        try:
            await run.step(wrong)
        except CallFailed as error:
            return [found, error.kind]

    async def main() -> None:
        async with opened() as e:
            assert await e.execute(giving) == [{"raw": "_wA=", "more": [1]}, "ValueNotStorable"]

    sim(main)


@pytest.mark.parametrize("here", [True, False], ids=["same engine", "another engine"])
def test_a_part_that_is_code_is_undone_with_the_run_around_it(
    opened: OpenEngine, sim: Sim, here: bool
) -> None:
    if not here:
        only_stored(opened)
    undone: list[Any] = []

    async def undo(x: Any) -> None:
        undone.append(x)

    async def broken(x: Any) -> None:
        raise ConnectionError("down")

    @workflow(name="item")
    async def item(run: WorkflowRun, x: int) -> int:
        return await run.step(one, x, undo=undo) + await run.step(one, x * 10, undo=undo)

    flow = {
        "name": "flow",
        "steps": [
            {"id": "each", "for_each": "$input", "workflow": "item", "input": "$item"},
            {"id": "go", "wait_for": "go", "depends_on": ["each"]},
            {"id": "last", "agent": "broken", "depends_on": ["go"]},
        ],
    }

    async def main() -> None:
        undone.clear()

        def ready(e: Any) -> None:
            e.register_agent("broken", broken)
            e.register_workflow(item)
            e.register_workflow("flow", flow)

        async with opened() as e:
            ready(e)
            run_id = await e.start_workflow("flow", [1, 2])
            await until(e, run_id, "go")
            if here:
                await e.signal_workflow(run_id, "go")
                with pytest.raises(WorkflowFailed, match="down"):
                    await e.wait(run_id)
        if not here:
            async with opened() as e:
                ready(e)
                await e.recover()
                await e.signal_workflow(run_id, "go")
                with pytest.raises(WorkflowFailed, match="down"):
                    await e.wait(run_id)
        assert sorted(undone) == [1, 2, 10, 20]
        assert [undone.index(10) < undone.index(1), undone.index(20) < undone.index(2)] == [
            True,
            True,
        ]

    sim(main)


def test_the_outputs_of_calls_are_in_the_status(opened: OpenEngine, sim: Sim) -> None:
    @workflow(name="telling")
    async def telling(run: WorkflowRun) -> Any:
        return await run.step(one, {"a": 1})

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(telling)
            await e.wait(run_id)
            status = await e.get_workflow_status(run_id, outputs=True)
            assert status.outputs == {"one": {"a": 1}}

    sim(main)


@pytest.mark.parametrize("outer_is_code", [False, True])
def test_a_part_that_is_code_runs_again_on_purpose_as_other_work(
    opened: OpenEngine, sim: Sim, outer_is_code: bool
) -> None:
    async def main() -> None:
        keys: list[str] = []

        async def keyed(x: Any) -> Any:
            keys.append(agent_context()["idempotency_key"])
            return x

        @workflow(name="part")
        async def part(run: WorkflowRun, x: int) -> int:
            return await run.step(keyed, x)

        @workflow(name="outer")
        async def code(run: WorkflowRun, x: int) -> int:
            return await run.ask("part", await run.step(keyed, x))

        steps = [
            {"id": "keyed", "agent": keyed, "input": "$input"},
            {"id": "part", "workflow": "part", "input": "$keyed"},
        ]
        async with opened() as e:
            e.register_workflow(part)
            if outer_is_code:
                e.register_workflow(code)
            else:
                e.register_workflow("outer", {"name": "outer", "steps": steps})
            run_id = await e.start_workflow("outer", 1, workflow_id="r")
            await e.wait(run_id)
            assert len(keys) == 2
            await e.retry_from(run_id, "part")
            await e.wait(run_id)
            assert len(keys) == len(set(keys)) == 3
            await e.retry_from(run_id, "keyed")
            await e.wait(run_id)
            assert len(keys) == len(set(keys)) == 5
            assert keys[3] == "r:keyed@2"

    sim(main)


def test_what_a_rewound_run_shows_is_what_its_code_says_now(opened: OpenEngine, sim: Sim) -> None:
    values: list[int] = []

    async def drawn() -> int:
        values.append(len(values))
        return values[-1]

    @workflow(name="shows")
    async def shows(run: WorkflowRun) -> int:
        run.set_state({"at": "first"})
        await run.step(one, name="before")
        value = await run.step(drawn, name="drawn")
        run.set_state({"at": "drawn", "value": value})
        return value

    async def main() -> None:
        values.clear()
        async with opened() as e:
            run_id = await e.start_workflow(shows)
            assert await e.wait(run_id) == 0
            assert await e.query(run_id) == {"at": "drawn", "value": 0}
            await e.retry_from(run_id, "drawn")
            assert await e.wait(run_id) == 1
            assert await e.query(run_id) == {"at": "drawn", "value": 1}

    sim(main)


def test_a_part_that_is_code_says_which_attempt_it_serves(opened: OpenEngine, sim: Sim) -> None:
    only_stored(opened)

    @workflow(name="inside")
    async def inside(run: WorkflowRun) -> int:
        return await run.step(one, 7)

    async def main() -> None:
        async with opened() as e:
            e.register_workflow(inside)
            around = {"name": "around", "steps": [{"id": "part", "workflow": "inside"}]}
            run_id = await e.start_workflow(around)
            assert await e.wait(run_id) == {"part": 7}
            events = [event async for event in e.stream(f"{run_id}~part")]
            [started] = [event for event in events if event.kind == "workflow_started"]
            assert started.data["serving"] == [0, 1]

    sim(main)
