"""Workflows that are code: what calls return and raise, in one life and over several."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from agenticaiframework.actors import ActorSystem, agent_context
from agenticaiframework.orchestration import CallFailed, CallTimedOut, WorkflowRun, workflow
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import (
    InputMismatch,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTimedOut,
)

from ..conftest import Cast, steps
from .conftest import OpenEngine

Sim = Callable[[Any], Any]


class Order(BaseModel):
    id: str
    lines: list[str]


@dataclass
class Receipt:
    refused: bool = False
    total: float = 0.0


@workflow(name="refund")
async def refund(run: WorkflowRun, order: Order) -> Receipt:
    risk = await run.ask("assessor", order, retry=3, timeout_seconds=30)
    if risk["score"] > 0.7:
        question = {"order": order.id, "risk": risk}
        ok = await run.wait_for("approved", question=question, timeout_seconds=900, default=False)
        if not ok:
            return Receipt(refused=True)
    checks = await run.gather(*(run.ask("checker", line) for line in order.lines), limit=2)
    await run.sleep(600)
    return await run.step(charge, order, checks, undo=refund_charge, returns=Receipt)


async def charge(order: Order, checks: list[float]) -> Receipt:
    return Receipt(total=sum(checks))


async def refund_charge(receipt: Any) -> None: ...


def people(cast: Cast, score: float) -> None:
    cast.failing("assessor", 1, {"score": score})
    cast.agent("checker", lambda line: len(line) * 1.5)


def test_code_runs_from_its_input_to_its_result(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    async def main() -> None:
        people(cast, 0.1)
        async with opened() as e:
            order = Order(id="o1", lines=["a", "bb", "ccc"])
            receipt = await e.execute(refund, order, workflow_id="w")
            assert receipt == Receipt(total=9.0)
            status = await e.get_workflow_status("w")
            assert list(status.steps) == [
                "assessor", "checker", "checker#2", "checker#3", "sleep", "charge",
            ]  # fmt: skip
            assert status.progress == 100
            assert status.steps["assessor"].attempts == 2
            assert asyncio.get_running_loop().time() >= 600
            assert await e.wait("w") == receipt

    sim(main)


@pytest.mark.parametrize("answer", [True, False, None])
def test_code_waits_for_an_answer_and_shows_its_question(
    opened: OpenEngine, cast: Cast, sim: Sim, answer: bool | None
) -> None:
    async def main() -> None:
        people(cast, 0.9)
        async with opened() as e:
            order = {"id": "o1", "lines": ["a"]}
            run_id = await e.start_workflow(refund, order)
            await until(e, run_id, "approved")
            status = await e.get_workflow_status(run_id)
            step = status.steps["approved"]
            assert step.waiting_for == "approved"
            assert step.question == {"order": "o1", "risk": {"score": 0.9}}
            assert "CodeWorker" not in busy(ActorSystem.current())
            if answer is not None:
                await e.signal_workflow(run_id, "approved", answer)
            result = await e.wait(run_id)
            assert result == (Receipt(total=1.5) if answer else Receipt(refused=True))
            assert cast.asked.count("assessor") == 2

    sim(main)


async def until(e: Any, run_id: str, step: str) -> Any:
    """Wait until a run is parked at *step*."""
    for _ in range(3600):
        status = await e.get_workflow_status(run_id)
        if status.state == "waiting" and step in status.current_steps:
            return status
        await asyncio.sleep(0.5)
    raise AssertionError(status)


def test_calls_are_given_to_tasks_as_they_are(opened: OpenEngine, sim: Sim) -> None:
    async def double(number: int) -> int:
        return 2 * number

    async def refuse() -> None:
        raise ValueError("no")

    @workflow(name="tasks")
    async def tasks(run: WorkflowRun, last: str) -> Any:
        first = asyncio.create_task(run.step(double, 1))
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(run.step(double, n)) for n in (2, 3)]
        left = asyncio.create_task(run.sleep(1_000))
        await asyncio.sleep(0)
        left.cancel()
        if last == "fails":
            await asyncio.create_task(run.step(refuse))
        await run.wait_for("go")
        return [await first, *(task.result() for task in both)]

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(tasks, "returns")
            await until(e, run_id, "go")
            await e.signal_workflow(run_id, "go")
            assert await e.wait(run_id) == [2, 4, 6]
            with pytest.raises(WorkflowFailed, match="step 'refuse'|'.*refuse' failed"):
                await e.execute(tasks, "fails")

    sim(main)


def test_a_list_of_calls_is_refused_with_the_form_that_works(opened: OpenEngine, sim: Sim) -> None:
    @workflow(name="listed")
    async def listed(run: WorkflowRun) -> None:
        await run.gather([run.sleep(1)])  # type: ignore[arg-type]

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(
                WorkflowFailed, match=r"list is not one. Give each by itself: run.gather\(\*"
            ):
                await e.execute(listed)

    sim(main)


def test_a_result_of_another_type_is_told_as_that_of_the_workflow(
    opened: OpenEngine, sim: Sim
) -> None:
    @workflow(name="counts")
    async def counts(run: WorkflowRun) -> int:
        return "many"  # type: ignore[return-value]

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match="The result of workflow 'counts' is not what"):
                await e.execute(counts)

    sim(main)


@pytest.mark.parametrize("how", ["bare", "task"])
def test_a_call_that_is_never_awaited_fails_the_run(opened: OpenEngine, sim: Sim, how: str) -> None:
    paid: list[int] = []

    @workflow(name="forgetful")
    async def forgetful(run: WorkflowRun) -> str:
        call = run.step(paid.append, 1, name="pay")
        if how == "task":
            asyncio.create_task(call)  # noqa: RUF006
        return "paid"

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(
                WorkflowFailed, match=r"'pay' was made, and never awaited.*await run\.step"
            ):
                await e.execute(forgetful)
            assert not paid

    sim(main)


@pytest.mark.parametrize("awaits", ["gather that fails", "task that is cancelled", "closed"])
def test_a_call_that_is_given_up_fails_nothing(opened: OpenEngine, sim: Sim, awaits: str) -> None:
    async def refuse() -> None:
        raise ValueError("no")

    @workflow(name="gives up")
    async def gives_up(run: WorkflowRun) -> str:
        if awaits == "gather that fails":
            with contextlib.suppress(CallFailed):
                await run.gather(run.step(refuse), run.sleep(1), limit=1)
        elif awaits == "closed":
            run.sleep(1).close()
        else:
            task = asyncio.create_task(run.sleep(1_000))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return "ended"

    async def main() -> None:
        async with opened() as e:
            assert await e.execute(gives_up) == "ended"

    sim(main)


def busy(system: ActorSystem) -> list[str]:
    return [
        ref.actor_class.__name__
        for ref in system.actors()
        if not getattr(ref._actor, "idle", False)
    ]


def test_an_input_that_does_not_fit_is_refused_before_anything_runs(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    async def main() -> None:
        async with opened() as e:
            with pytest.raises(InputMismatch, match="lines"):
                await e.execute(refund, {"id": "o1"})
            assert not cast.asked

    sim(main)


def test_another_life_goes_on_where_the_first_was_cut_off(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    if not opened.stored:  # type: ignore[attr-defined]
        pytest.skip("nothing is stored")

    async def main() -> None:
        people(cast, 0.9)
        async with opened() as e:
            run_id = await e.start_workflow(refund, {"id": "o1", "lines": ["a", "b"]})
            await until(e, run_id, "approved")
        asked = len(cast.asked)
        async with opened() as e:
            status = await e.get_workflow_status(run_id)  # without the code
            assert status.steps["approved"].waiting_for == "approved"
            e.register_workflow(refund)
            assert (await e.recover()).recovered == (run_id,)
            await e.signal_workflow(run_id, "approved", True)
            await until(e, run_id, "sleep")
        async with opened() as e:
            e.register_workflow("refund", refund)
            await e.recover()
            assert await e.wait(run_id) == Receipt(total=3.0)
        assert cast.asked[asked:] == ["checker", "checker"]

    sim(main)


def test_values_of_time_and_chance_are_recorded(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    seen: list[Any] = []

    @workflow()
    async def chancy(run: WorkflowRun) -> list[Any]:
        values = [run.now(), run.random(), run.uuid(), run.now()]
        seen.append(values)
        await run.wait_for("go")
        return [*values, run.now()]

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(chancy)
            await until(e, run_id, "go")
            await asyncio.sleep(10)
            await e.signal_workflow(run_id, "go")
            result = await e.wait(run_id)
            assert result[:4] == seen[0] == seen[-1]
            assert len(seen) == 2
            assert result[4] == result[0] + 10
            assert result[2][14] == "4"

    sim(main)


def test_a_failed_call_raises_in_the_code_which_decides(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    told: list[tuple[str, str, str]] = []

    @workflow(name="deciding")
    async def deciding(run: WorkflowRun) -> str:
        try:
            await run.ask("broken", 1)
        except CallFailed as error:
            told.append((error.step, error.reason, error.kind))
        await run.sleep(5)
        return "went on"

    async def main() -> None:
        cast.failing("broken", 99, error=KeyError("gone"))
        async with opened() as e:
            assert await e.execute(deciding, workflow_id="w") == "went on"
            assert told == [("broken", "KeyError: 'gone'", "KeyError")] * 2
            assert (await e.get_workflow_status("w")).steps["broken"].state == "failed"
            assert cast.asked == ["broken"]

    sim(main)


def test_an_error_that_leaves_the_code_fails_the_run_and_undoes_what_it_did(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    undone: list[Any] = []

    async def book(what: str) -> dict[str, str]:
        return {"booked": what}

    async def unbook(booking: Any) -> None:
        undone.append(booking["booked"])

    @workflow(name="trip")
    async def trip(run: WorkflowRun, where: str) -> None:
        await run.step(book, "flight", undo=unbook)
        await run.gather(
            *(run.step(book, f"room {n}", undo=unbook, name=f"room{n}") for n in range(2))
        )
        await run.sleep(10)
        await run.ask("payer", where, undo="payer")

    async def main() -> None:
        cast.failing("payer", 99, error=ConnectionError("no route"))
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match="'payer'.*no route") as failed:
                await e.execute(trip, "rome", workflow_id="w")
            assert failed.value.step == "payer"
            assert isinstance(failed.value.__cause__, ConnectionError)
            assert undone == ["room 1", "room 0", "flight"]
            status = await e.get_workflow_status("w")
            assert status.state == "failed"
            assert status.current_steps == ("payer",)
            assert [s.state for s in status.steps.values()] == ["compensated"] * 3 + [
                "completed", "failed",
            ]  # fmt: skip

    sim(main)


def test_own_errors_of_the_code_fail_the_run(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    @workflow(name="raising")
    async def raising(run: WorkflowRun) -> None:
        await run.step(len, "x")
        raise ValueError("no")

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowFailed, match="ValueError: no") as failed:
                await e.execute(raising, workflow_id="w")
            assert isinstance(failed.value.__cause__, ValueError)
            assert (await e.get_workflow_status("w")).last_error == "ValueError: no"

    sim(main)


def test_a_run_that_failed_goes_on_with_the_call_that_failed(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    @workflow(name="again")
    async def again(run: WorkflowRun) -> str:
        await run.ask("first", 1)
        try:
            answer = await run.ask("second", 2)
        except CallFailed:
            await run.ask("alarm", 0)
            raise
        return str(answer)

    async def main() -> None:
        cast.agent("first", 1)
        cast.agent("alarm", 0)
        cast.failing("second", 1, "fine")
        async with opened() as e:
            with pytest.raises(WorkflowFailed):
                await e.execute(again, workflow_id="w")
            await e.resume_workflow("w", workflow=again)
            assert await e.wait("w") == "fine"
            assert cast.asked == ["first", "second", "alarm", "second"]

    sim(main)


def test_a_wait_that_nobody_answers_times_out(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    @workflow(name="patient")
    async def patient(run: WorkflowRun) -> str:
        try:
            await run.wait_for("never", timeout_seconds=60)
        except CallTimedOut as error:
            return error.kind
        return "?"

    async def main() -> None:
        async with opened() as e:
            assert await e.execute(patient) == "SignalTimeout"

    sim(main)


def test_a_call_that_takes_too_long_times_out(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    async def slow() -> None:
        await asyncio.sleep(100)

    @workflow(name="hasty")
    async def hasty(run: WorkflowRun) -> str:
        with pytest.raises(CallTimedOut):
            await run.step(slow, timeout_seconds=1)
        with pytest.raises(TimeoutError):
            await run.ask("slow", 1, timeout_seconds=1)
        await run.sleep(3)
        return "done"

    async def main() -> None:
        cast.slow("slow", 100)
        async with opened() as e:
            assert await e.execute(hasty) == "done"
            assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)

    sim(main)


def test_branches_have_places_of_their_own(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    @workflow(name="wide")
    async def wide(run: WorkflowRun) -> list[Any]:
        async def part(n: int) -> int:
            await run.sleep(10 - n)
            got = await run.ask("adder", n)
            await run.wait_for(f"go{n}")
            return int(got)

        first = await run.gather(*(part(n) for n in range(3)), limit=2)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part(n)) for n in range(3, 6)]
        both = await asyncio.gather(run.ask("adder", 100), run.ask("adder", 200))
        return [*first, *(task.result() for task in tasks), *both]

    async def main() -> None:
        cast.agent("adder", lambda n: n + 1)
        async with opened() as e:
            run_id = await e.start_workflow(wide)
            for n in (1, 0, 2, 5, 4, 3):
                await asyncio.sleep(20)
                assert (await e.get_workflow_status(run_id)).state == "waiting"
                assert "CodeWorker" not in busy(ActorSystem.current())
                await e.signal_workflow(run_id, f"go{n}")
            assert await e.wait(run_id) == [1, 2, 3, 4, 5, 6, 101, 201]
            status = await e.get_workflow_status(run_id)
            assert {"0.adder", "1.adder", "2.adder", "3.sleep", "5.go5"} <= set(status.steps)
            assert cast.asked.count("adder") == 8

    sim(main)


def test_the_first_error_of_a_gather_stops_the_others(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    @workflow(name="gathering")
    async def gathering(run: WorkflowRun) -> Any:
        try:
            await run.gather(run.ask("slow", 1), run.ask("broken", 1), run.wait_for("x"))
        except CallFailed as error:
            both = await run.gather(run.ask("fast", 1), run.ask("broken", 1),
                                    return_exceptions=True)  # fmt: skip
            return [error.step, both[0], type(both[1]).__name__]

    async def main() -> None:
        cast.slow("slow", 100)
        cast.agent("fast", 1)
        cast.failing("broken", 99)
        async with opened() as e:
            assert await e.execute(gathering, workflow_id="w") == ["broken", 1, "CallFailed"]
            await asyncio.sleep(1)
            assert cast.stopped == ["slow"]
            states = {i: s.state for i, s in (await e.get_workflow_status("w")).steps.items()}
            assert states["slow"] == states["x"] == "cancelled"

    sim(main)


def test_a_race_is_won_once(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    @workflow(name="race")
    async def race(run: WorkflowRun) -> Any:
        async def go(name: str, seconds: float) -> str:
            await run.sleep(seconds)
            return name

        tasks = [asyncio.create_task(go("slow", 20)), asyncio.create_task(go("fast", 10))]
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        [won] = done
        await run.wait_for("go")
        return won.result()

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(race)
            await asyncio.sleep(50)
            await e.signal_workflow(run_id, "go")
            assert await e.wait(run_id) == "fast"

    sim(main)


@pytest.mark.parametrize("graceful", [False, True])
def test_a_cancellation_arrives_at_the_await_and_can_be_cleaned_up_after(
    opened: OpenEngine, cast: Cast, sim: Sim, graceful: bool
) -> None:
    log: list[str] = []

    async def note(what: str) -> str:
        log.append(what)
        return what

    async def undo(what: Any) -> None:
        log.append(f"undo {what}")

    @workflow(name="careful")
    async def careful(run: WorkflowRun) -> None:
        await run.step(note, "a", undo=undo)
        await run.step(note, "b", undo=undo)
        try:
            await run.gather(run.ask("slow", 1), run.wait_for("never"))
        except asyncio.CancelledError:
            await run.step(note, "cleaned", name="clean")
            raise
        finally:
            await run.step(note, "finally", name="finally")

    async def main() -> None:
        cast.slow("slow", 100)
        async with opened() as e:
            run_id = await e.start_workflow(careful)
            await asyncio.sleep(10)
            report = await e.cancel_workflow(run_id, "enough", graceful=graceful)
            assert report.state == "cancelled"
            assert log == ["a", "b", "cleaned", "finally", "undo b", "undo a"]
            assert report.compensated_steps == ("note#2", "note")
            await asyncio.sleep(1)
            assert (cast.stopped == []) is graceful
            with pytest.raises(WorkflowCancelled, match="enough"):
                await e.wait(run_id)

    sim(main)


def test_a_parked_run_can_be_cancelled(opened: OpenEngine, cast: Cast, sim: Sim) -> None:
    log: list[str] = []

    async def note(what: str) -> str:
        log.append(what)
        return what

    async def undo(what: Any) -> None:
        log.append(f"undo {what}")

    @workflow(name="parked")
    async def parked(run: WorkflowRun) -> None:
        await run.step(note, "a", undo=undo)
        async with asyncio.TaskGroup() as group:
            group.create_task(waits(run))
            group.create_task(waits(run))

    async def waits(run: WorkflowRun) -> None:
        try:
            await run.wait_for("never")
        finally:
            log.append("left")

    async def main() -> None:
        async with opened() as e:
            run_id = await e.start_workflow(parked)
            await asyncio.sleep(10)
            assert log == ["a", "left", "left"]
            await e.cancel_workflow(run_id)
            assert log == ["a", "left", "left", "left", "left", "undo a"]

    sim(main)


def test_the_time_limit_of_a_run_cancels_and_fails_it(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    log: list[str] = []

    async def note(what: str) -> str:
        log.append(what)
        return what

    async def undo(what: Any) -> None:
        log.append(f"undo {what}")

    @workflow(name="limited", timeout_seconds=60)
    async def limited(run: WorkflowRun) -> None:
        await run.step(note, "a", undo=undo)
        try:
            await run.wait_for("never")
        finally:
            await run.step(note, "finally", name="finally")

    async def main() -> None:
        async with opened() as e:
            with pytest.raises(WorkflowTimedOut, match="timeout_seconds"):
                await e.execute(limited, workflow_id="w")
            assert log == ["a", "finally", "undo a"]
            assert asyncio.get_running_loop().time() == pytest.approx(60, abs=0.1)
            assert (await e.get_workflow_status("w")).state == "failed"

    sim(main)


def test_code_is_a_part_of_code_and_of_declared_workflows(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    @workflow(name="inner")
    async def inner(run: WorkflowRun, n: int) -> int:
        await run.sleep(10)
        return int(await run.ask("adder", n))

    @workflow(name="outer")
    async def outer(run: WorkflowRun, n: int) -> Any:
        return [
            await run.ask(inner, n),
            await run.ask("inner", n + 1),
            await run.ask("declared", n),
        ]

    async def main() -> None:
        cast.agent("adder", lambda n: n + 1)
        async with opened() as e:
            e.register_workflow(inner)
            e.register_workflow("declared", steps({"id": "adder", "agent": "adder"}, name="d"))
            assert await e.execute(outer, 1) == [2, 3, {"adder": 2}]
            declared = steps({"id": "part", "workflow": "inner", "input": "$input"})
            assert (await e.execute(declared, 5)).output == 6
            assert await e.workflow("inner").ask(7) == 8

    sim(main)


def test_a_step_has_a_key_and_a_run_can_be_streamed(
    opened: OpenEngine, cast: Cast, sim: Sim
) -> None:
    async def key() -> str:
        return str(agent_context()["idempotency_key"])

    def blocking() -> str:
        return str(agent_context()["step"])

    @workflow(name="keyed", labels={"kind": "test"})
    async def keyed(run: WorkflowRun) -> list[str]:
        run.set_state({"at": "begin"})
        return [await run.step(key), await run.step(blocking), run.id, run.labels["kind"]]

    async def main() -> None:
        async with opened() as e:
            kinds = [(event.kind, event.step) async for event in e.stream(workflow=keyed)]
            assert kinds == [
                ("workflow_started", ""), ("state_set", ""),
                ("step_started", "key"), ("step_completed", "key"),
                ("step_started", "blocking"), ("step_completed", "blocking"),
                ("workflow_completed", ""),
            ]  # fmt: skip
            result = await e.execute(keyed, workflow_id="w")
            assert result[0].startswith("w:key")
            assert result[1:] == ["blocking", "w", "test"]
            page = await e.list_workflows(name="keyed", labels={"kind": "test"})
            assert len(page) == 2

    sim(main)


def test_a_declaration_without_brackets_is_told() -> None:
    declare: Any = workflow
    with pytest.raises(DefinitionError, match=r"@workflow\(\) or @workflow\(name="):
        declare(test_a_declaration_without_brackets_is_told)
