"""Deploys: stored runs that go on with another definition than they were started with, or cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenticaiframework.actors import ActorSystem, Agent
from agenticaiframework.patterns import SequentialOrchestration
from agenticaiframework.patterns.engine import (
    DefinitionChanged,
    EngineConfig,
    EventKind,
    OrchestrationEngine,
    WorkflowCancelled,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store.urls import open_store

from .conftest import run_in_virtual_time
from .test_control import until
from .test_durable import virtual_clock

Deploy = Callable[..., OrchestrationEngine]
WAIT = {"id": "wait", "wait_for": "go"}


class Ran(list[str]):
    """The steps that have been asked, in order, and those of them that take long."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: set[str] = set()

    async def __call__(self, payload: Any) -> Any:
        self.append(str(payload))
        if payload in self.slow:
            await asyncio.sleep(1000)
        return payload


@pytest.fixture
def ran() -> Ran:
    return Ran()


@pytest.fixture(params=["sqlite", "memory"])
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Return what gives a store over the same medium each time."""
    if request.param == "memory":
        kept = open_store("memory://", clock=virtual_clock)
        return lambda: kept
    url = f"sqlite:///{tmp_path}/engine.sqlite"
    return lambda: open_store(url, clock=virtual_clock, inline=True)


@pytest.fixture
def deploy(store_of: Callable[[], Any], ran: Ran) -> Deploy:
    """Return what makes an engine on the store that knows a version of the workflow ``flow``."""

    def make(*given: Any, agents: tuple[str, ...] = ("work",), **more: Any) -> OrchestrationEngine:
        config = {key: more.pop(key) for key in list(more) if key in EngineConfig.model_fields}
        options = {"state_store": store_of(), "persist_state": True, "lease_seconds": 10}
        engine = OrchestrationEngine(
            EngineConfig(**{**options, "wall_clock": virtual_clock, **config})
        )
        for name in agents:
            engine.register_agent(name, ran)
        listed = [asked(one) if isinstance(one, str) else one for one in given]
        if listed:
            engine.register_workflow("flow", {"name": "flow", "steps": listed, **more})
        return engine

    return make


def asked(step: str, **more: Any) -> dict[str, Any]:
    """Return a step that asks the agent with its name."""
    return {"id": step, "agent": "work", "input": step, **more}


def in_turn(*parts: Callable[[], Any]) -> None:
    for part in parts:
        run_in_virtual_time(part)


async def kinds(e: OrchestrationEngine, run_id: str = "w") -> list[str]:
    return [entry.kind for entry in await e.config.state_store.read_journal(run_id)]


def from_run_to_run(
    before: OrchestrationEngine, after: OrchestrationEngine, signal: bool = True
) -> list[Any]:
    """Begin a run with one engine and let it go on with another; return the result and the status."""
    found: list[Any] = []

    async def first() -> None:
        async with before:
            await before.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(5)

    async def second() -> None:
        async with after:
            report = await after.recover()
            assert report.recovered == ("w",), report
            if signal:
                await after.signal_workflow("w", "go", "ok")
            found.append(await after.wait("w", timeout=5000))
            found.append(await after.get_workflow_status("w"))

    in_turn(first, second)
    return found


# --------------------------------------------------------------------------- what is a change


@pytest.mark.parametrize(
    "more",
    [
        {"description": "another"},
        {"labels": {"team": "b"}},
        {"version": "2"},
        {"on_failure": "finish"},
    ],
)
def test_what_does_not_matter_to_a_run_is_not_a_change(deploy: Deploy, more: Any) -> None:
    result, _ = from_run_to_run(deploy("a", WAIT), deploy("a", WAIT, **more))
    assert result == {"a": "a", "wait": "ok"}


@pytest.mark.parametrize(
    "step",
    [
        asked("z", description="mended"),
        asked("z", on_error="fail"),
        asked("z", retry={"attempts": 3, "backoff": "exponential"}),
        asked("z", retry={"attempts": 3}),
        asked("z", depends_on=["wait"]),
    ],
    ids=lambda step: "-".join(step),
)
def test_a_default_that_is_written_out_is_not_a_change(deploy: Deploy, step: Any) -> None:
    before = asked("z", retry=3) if "retry" in step else asked("z")
    result, _ = from_run_to_run(deploy("a", WAIT, before), deploy("a", WAIT, step))
    assert result == {"a": "a", "wait": "ok", "z": "z"}


def test_the_name_of_an_agent_that_is_given_itself_is_not_a_change(
    deploy: Deploy, ran: Ran
) -> None:
    before, after = Agent("worker-1", handler=ran), Agent("worker-2", handler=ran)
    step = {"id": "z", "input": "z"}
    old = deploy(WAIT, {**step, "agent": before})
    del before
    result, _ = from_run_to_run(old, deploy(WAIT, {**step, "agent": after}))
    assert result["z"] == "z"


def test_two_names_of_one_agent_are_not_a_change(deploy: Deploy, ran: Ran) -> None:
    new = deploy(WAIT, {"id": "z", "agent": "renamed", "input": "z"})
    new.register_agent("renamed", agent := Agent("same", handler=ran))
    new.register_agent("work", agent)
    result, _ = from_run_to_run(deploy(WAIT, asked("z")), new)
    assert result["z"] == "z"


@pytest.mark.parametrize(
    "step",
    [
        asked("z", input="other"),
        asked("z", retry=2),
        asked("z", timeout_seconds=5),
        asked("z", condition="true"),
        asked("z", on_error="skip"),
        {"id": "z", "agent": "other", "input": "z"},
        {"id": "z", "agent": "work"},
        {"id": "z", "agent": "work", "input": None},
        asked("z", for_each=[1, 2]),
        asked("z", output_key="k"),
        asked("z", compensate="work"),
    ],
    ids=repr,
)
def test_what_decides_how_a_step_runs_is_a_change(deploy: Deploy, step: Any) -> None:
    old = deploy("a", WAIT, asked("z"))
    new = deploy("a", WAIT, step, agents=("work", "other"))

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(5)

    async def second() -> None:
        async with new:
            report = await new.recover()
            assert (report.recovered, report.changed, report.failed) == ((), ("w",), {})
            assert "step 'z' is different" in report.blocked["w"]

    in_turn(first, second)


@pytest.mark.parametrize("more", [{"timeout_seconds": 99}, {"on_failure": "cancel"}, {"output": 1}])
def test_what_decides_how_the_whole_runs_is_a_change(deploy: Deploy, more: Any) -> None:
    old, new = deploy(WAIT), deploy(WAIT, **more)

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")

    async def second() -> None:
        async with new:
            assert (await new.recover()).changed == ("w",)
            assert next(iter(more)) in (await new.get_workflow_status("w")).last_error

    in_turn(first, second)


# --------------------------------------------------------------------------- blocked runs


def test_a_blocked_run_says_so_everywhere_and_goes_on_with_the_engine_that_can(
    deploy: Deploy, ran: Ran, caplog: Any
) -> None:
    old = deploy("a", WAIT, "b")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await until(old, "w", "waiting")

    async def second() -> None:
        async with deploy("a", WAIT, "c") as e:
            for _ in range(3):
                report = await e.recover()
                assert (report.recovered, report.changed) == ((), ("w",))
            status = await e.get_workflow_status("w")
            assert (status.state, status.finished) == ("blocked", False)
            assert "step 'c' is new" in status.last_error
            [listed] = await e.list_workflows(state="blocked", persisted=True)
            assert (listed.workflow_id, listed.last_error) == ("w", status.last_error)
            await e.signal_workflow("w", "go", "kept")
            assert (await e.get_workflow_status("w")).state == "blocked"
            assert (await kinds(e)).count(EventKind.WORKFLOW_BLOCKED) == 1
            row = await e.config.state_store.load_run("w")
            assert row.owner is None, "no engine holds it"

    async def third() -> None:
        async with deploy("a", WAIT, "b") as e:
            assert (await e.recover()).recovered == ("w",)
            assert await e.wait("w") == {"a": "a", "wait": "kept", "b": "b"}
            status = await e.get_workflow_status("w")
            assert (status.state, status.last_error, status.recoveries) == ("completed", None, 1)
            row = await e.config.state_store.load_run("w")
            assert (row.state, row.error) == ("completed", None)

    in_turn(first, second, third)
    assert ran == ["a", "b"]


@pytest.mark.parametrize(("choice", "then"), [("old", "b"), ("new", "c")])
def test_a_blocked_run_is_resumed_with_a_choice(
    deploy: Deploy, ran: Ran, choice: Any, then: str
) -> None:
    old = deploy("a", WAIT, "b")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await until(old, "w", "waiting")

    async def second() -> None:
        async with deploy("a", WAIT, "c") as e:
            await e.recover()
            with pytest.raises(DefinitionChanged):
                await e.resume_workflow("w")
            assert (await e.get_workflow_status("w")).state == "blocked"
            await e.resume_workflow("w", definition=choice)
            await until(e, "w", "waiting")
            assert (await e.config.state_store.load_run("w")).state == "waiting"
            await e.signal_workflow("w", "go", "now")
            assert await e.wait("w") == {"a": "a", "wait": "now", then: then}

    in_turn(first, second)
    assert ran == ["a", then]


def test_a_waiter_waits_on_while_its_run_is_blocked(deploy: Deploy) -> None:
    old = deploy(WAIT, "b")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")

    async def second() -> None:
        async with deploy(WAIT, "c") as blocked, deploy(WAIT, "b") as able:
            await blocked.recover()
            waiter = asyncio.ensure_future(blocked.wait("w"))
            await asyncio.sleep(5)
            assert not waiter.done()
            await able.recover()
            await able.signal_workflow("w", "go")
            assert await waiter == {"wait": None, "b": "b"}

    in_turn(first, second)


def test_the_time_limit_of_a_blocked_run_ends_it_compensated(deploy: Deploy, ran: Ran) -> None:
    a = asked("a", compensate={"agent": "work", "input": "undo a"})
    old = deploy(a, WAIT, timeout_seconds=60)

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(5)

    async def second() -> None:
        async with deploy(a, WAIT, "c", timeout_seconds=60) as e:
            assert (await e.recover()).changed == ("w",)
            with pytest.raises(WorkflowFailed, match="timeout_seconds"):
                await e.wait("w")
            status = await e.get_workflow_status("w")
            assert status.state == "failed"
            assert "step 'c' is new" in status.last_error
            assert status.steps["a"].state == "compensated"

    in_turn(first, second)
    assert ran == ["a", "undo a"]


def test_the_time_limit_ends_a_run_whose_agents_are_gone(deploy: Deploy) -> None:
    old = deploy("a", WAIT, asked("b"), timeout_seconds=60)

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(5)

    async def second() -> None:
        async with deploy(agents=()) as e:
            report = await e.recover()
            assert "no agent 'work'" in report.failed["w"]
            assert (await e.get_workflow_status("w")).state == "blocked"
            assert (await until(e, "w", "failed")).state == "failed"

    in_turn(first, second)


def test_a_step_that_has_finished_needs_no_agent_any_more(deploy: Deploy, ran: Ran) -> None:
    old = deploy({"id": "a", "agent": "gone", "input": "a"}, WAIT, "b", agents=("work", "gone"))

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await until(old, "w", "waiting")

    async def second() -> None:
        async with deploy(agents=("work",)) as e:
            assert (await e.recover()).recovered == ("w",)
            await e.signal_workflow("w", "go")
            assert await e.wait("w") == {"a": "a", "wait": None, "b": "b"}

    in_turn(first, second)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"id": "z", "team": "crew", "input": 1}, "no team 'crew'"),
        ({"id": "z", "pattern": "pat", "input": 1}, "no pattern 'pat'"),
        ({"id": "z", "workflow": "sub", "input": 1}, "no workflow 'sub'"),
        ({"id": "z", "agent": "solo", "input": 1}, "no agent 'solo'"),
        (asked("z", compensate="undoer"), "no agent 'undoer'"),
    ],
)
def test_what_is_not_registered_blocks_a_run_until_it_is(
    deploy: Deploy, ran: Ran, step: Any, said: str
) -> None:
    async def echo(payload: Any) -> Any:
        return payload

    def register(e: OrchestrationEngine) -> None:
        e.register_team("crew", Agent("crew", handler=echo))
        e.register_pattern("pat", Agent("pat", handler=echo))
        e.register_workflow("sub", {"name": "sub", "steps": [{"id": "s", "agent": "work"}]})
        e.register_agent("solo", echo)
        e.register_agent("undoer", echo)

    old = deploy(WAIT, step)
    register(old)

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(2)

    async def second() -> None:
        async with deploy() as e:
            assert said in (await e.recover()).blocked["w"]
            assert said in (await e.get_workflow_status("w")).last_error
            register(e)
            assert (await e.recover()).recovered == ("w",)
            await e.signal_workflow("w", "go")
            await e.wait("w")

    in_turn(first, second)


def test_a_blocked_run_can_be_cancelled_and_is_undone(deploy: Deploy, ran: Ran) -> None:
    a = asked("a", compensate={"agent": "work", "input": "undo a"})
    old = deploy(a, WAIT, {"id": "z", "agent": "gone"}, agents=("work", "gone"))

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await until(old, "w", "waiting")

    async def second() -> None:
        async with deploy() as e:
            assert list((await e.recover()).blocked) == ["w"]
            waiter = asyncio.ensure_future(e.wait("w"))
            report = await e.cancel_workflow("w", "not wanted")
            assert (report.state, report.compensated_steps) == ("cancelled", ("a",))
            with pytest.raises(WorkflowCancelled):
                await waiter

    in_turn(first, second)
    assert ran == ["a", "undo a"]


def test_two_engines_that_cannot_go_on_do_not_fill_the_journal(deploy: Deploy) -> None:
    async def first() -> None:
        async with deploy(WAIT, "b") as e:
            await e.start_workflow("flow", workflow_id="w")

    async def second() -> None:
        async with deploy(WAIT, "c") as one, deploy(WAIT, "d") as other:
            for _ in range(20):
                await one.recover()
                await other.recover()
            assert len(await kinds(one)) < 8

    in_turn(first, second)


# --------------------------------------------------------------------------- with the new definition


CHANGES = [
    ("acd", "abcd"),
    ("acd", "bacd"),
    ("acd", "acbd"),
    ("acd", "acdb"),
    ("acd", "cd"),
    ("acd", "ad"),
    ("acd", "dca"),
    ("acd", "xaycz"),
    ("acd", "bd"),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_finished_step_never_runs_again(
    deploy: Deploy, ran: Ran, before: str, after: str
) -> None:
    ran.slow.add("d")
    old = deploy(*before)
    new = deploy(*after, changed_definition="new")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(5)

    async def second() -> None:
        ran.slow.clear()
        async with new:
            assert (await new.recover()).recovered == ("w",)
            assert await new.wait("w") == {step: step for step in after}
            status = await new.get_workflow_status("w")
            assert status.progress == 100

    in_turn(first, second)
    for step in "ac":
        assert ran.count(step) == 1, ran
    assert all(ran.count(step) == 1 for step in after if step not in "acd"), ran


def test_what_waits_for_a_new_step_waits_for_it_also_behind_a_finished_one(
    deploy: Deploy, ran: Ran
) -> None:
    ran.slow.add("d")
    old = deploy("a", "c", "d")
    d = asked("d", input="$b")
    new = deploy("a", "b", "c", d, changed_definition="new")
    result, _ = from_run_to_run(old, new, signal=False)
    assert result == {"a": "a", "b": "b", "c": "c", "d": "b"}
    assert ran == ["a", "c", "d", "b", "b"]


def test_a_waiting_step_behind_a_new_one_takes_its_signal_afterwards(
    deploy: Deploy, ran: Ran
) -> None:
    old = deploy("a", {**WAIT, "wait_for": {"signal": "go", "timeout_seconds": 50}})
    ran.slow.add("b")
    new = deploy(
        "a", "b", {**WAIT, "wait_for": {"signal": "go", "timeout_seconds": 50}},
        changed_definition="new", default_timeout_seconds=None,
    )  # fmt: skip
    result, status = from_run_to_run(old, new)
    assert result == {"a": "a", "b": "b", "wait": "ok"}
    assert status.progress == 100


def test_skipped_steps_items_and_loops_are_not_done_again(deploy: Deploy, ran: Ran) -> None:
    done = [
        asked("a", condition="false"),
        {"id": "each", "agent": "work", "for_each": ["x", "y"]},
        {"id": "loop", "agent": "work", "input": "l", "until": "$iteration > 2"},
    ]
    old = deploy(*done, WAIT, "z")
    new = deploy(asked("b0"), *done, asked("b1"), WAIT, "z", changed_definition="new")
    result, status = from_run_to_run(old, new)
    assert result == {
        "a": None, "each": ["x", "y"], "loop": "l", "b0": "b0", "b1": "b1", "wait": "ok", "z": "z",
    }  # fmt: skip
    assert [ran.count(one) for one in ("a", "x", "y", "l", "b0", "b1", "z")] == [
        0,
        1,
        1,
        3,
        1,
        1,
        1,
    ]
    assert status.progress == 100


def test_items_that_have_finished_are_kept_when_the_list_is_still_under_way(
    deploy: Deploy, ran: Ran
) -> None:
    each = {"id": "each", "agent": "work", "for_each": ["x", "y"], "max_concurrency": 1}
    ran.slow.add("y")
    old = deploy(each, "z")
    new = deploy("b", each, "z", changed_definition="new")
    found: list[Any] = []

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(5)

    async def second() -> None:
        ran.slow.clear()
        async with new:
            await new.recover()
            found.append(await new.wait("w"))

    in_turn(first, second)
    assert found == [{"b": "b", "each": ["x", "y"], "z": "z"}]
    assert ran == ["x", "y", "b", "y", "z"]


KINDS = {
    "agent": asked("s"),
    "wait": {"id": "s", "wait_for": "go"},
    "delay": {"id": "s", "delay": 3},
    "late": asked("s", delay=3),
    "items": {"id": "s", "agent": "work", "for_each": ["s", "s"]},
    "loop": asked("s", until="true"),
}


@pytest.mark.parametrize("after", KINDS)
@pytest.mark.parametrize("before", KINDS)
def test_a_step_whose_kind_changes_goes_on_as_the_new_one(
    deploy: Deploy, ran: Ran, before: str, after: str
) -> None:
    ran.slow.add("s")
    old = deploy("a", KINDS[before], "z")
    new = deploy("a", KINDS[after], "z", changed_definition="new")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        ran.slow.clear()
        async with new:
            assert (await new.recover()).recovered == ("w",)
            await new.signal_workflow("w", "go", "s")
            result = await new.wait("w", timeout=100)
            assert result["z"] == "z"
            assert (await new.get_workflow_status("w")).progress == 100
            assert len(await kinds(new)) < 25

    in_turn(first, second)
    assert (ran.count("a"), ran.count("z")) == (1, 1)


@pytest.mark.parametrize("after", [[asked("s")], []], ids=["kind", "gone"])
def test_a_workflow_under_way_in_a_step_is_not_left_behind(
    deploy: Deploy, ran: Ran, after: list[Any]
) -> None:
    inner = {"name": "inner", "steps": [{"id": "i", "wait_for": "inner"}]}
    old = deploy("a", {"id": "s", "workflow": inner}, "z")
    new = deploy("a", *after, "z", changed_definition="new")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        async with new:
            report = await new.recover()
            assert "under way as a workflow" in report.blocked["w"]
            await new.resume_workflow("w", definition="old")
            assert (await new.get_workflow_status("w")).state == "running"

    in_turn(first, second)


def test_a_definition_that_does_not_compile_any_more_blocks_or_gives_way_to_the_new_one(
    deploy: Deploy, ran: Ran
) -> None:
    async def first() -> None:
        async with deploy("a", WAIT, "b") as e:
            await e.start_workflow("flow", workflow_id="w")
            await until(e, "w", "waiting")
            store = e.config.state_store
            row = await store.load_run("w")
            text = await store.load_definition(row.definition_hash)
            broken[row.definition_hash] = text.replace('"wait_for"', '"no_such_field"')

    def unreadable(e: OrchestrationEngine) -> OrchestrationEngine:
        async def load_definitions(hashes: Any) -> dict[str, str]:
            return {each: broken[each] for each in hashes}

        e.config.state_store.load_definitions = load_definitions
        return e

    async def second() -> None:
        async with unreadable(deploy("a", WAIT, "b")) as e:
            assert "no_such_field" in (await e.recover()).failed["w"]
            status = await e.get_workflow_status("w")
            assert (status.state, "no_such_field" in status.last_error) == ("blocked", True)

    async def third() -> None:
        async with unreadable(deploy("a", WAIT, "b", changed_definition="new")) as e:
            assert (await e.recover()).recovered == ("w",)
            await e.signal_workflow("w", "go")
            await e.wait("w")

    broken: dict[str, str] = {}
    in_turn(first, second, third)
    assert ran == ["a", "b"]


def test_a_run_that_is_being_undone_keeps_its_definition(deploy: Deploy, ran: Ran) -> None:
    a = asked("a", compensate={"agent": "work", "input": "undo"})
    ran.slow.add("undo")
    old = deploy(a, asked("b", input="$a.missing"))
    new = deploy("x", "b", changed_definition="new")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await until(old, "w", "compensating")

    async def second() -> None:
        ran.slow.clear()
        async with new:
            assert (await new.recover()).recovered == ("w",)
            status = await until(new, "w", "failed")
            assert status.steps["a"].state == "compensated"

    in_turn(first, second)
    assert ran == ["a", "undo", "undo"]


@pytest.mark.parametrize("timeout", [None, 5])
def test_the_names_of_agents_inside_a_pattern_that_is_given_itself_are_not_a_change(
    deploy: Deploy, ran: Ran, timeout: float | None
) -> None:
    def version(n: int, **more: Any) -> OrchestrationEngine:
        agents = [Agent(f"{name}-{n}", handler=ran) for name in "xy"]
        pattern = SequentialOrchestration(f"chain-{n}", agents, **more)
        return deploy(WAIT, {"id": "z", "pattern": pattern, "input": "z"})

    if timeout is None:
        result, _ = from_run_to_run(version(1), version(2))
        assert result["z"] == "z"
    else:
        with pytest.raises(AssertionError, match="step 'z' is different"):
            from_run_to_run(version(1), version(2, timeout=timeout))


# --------------------------------------------------------------------------- runs that are here


def core_of(system: ActorSystem) -> Any:
    [core] = [ref for ref in system.actors() if ref.actor_class.__name__ == "EngineCore"]
    return core._actor


def test_a_run_that_is_blocked_while_it_runs_lets_go_and_its_waiters_wait_on(
    deploy: Deploy, ran: Ran
) -> None:
    ran.slow.add("b")

    async def main() -> None:
        async with deploy("a", "b", max_concurrent_workflows=1) as e:
            result = asyncio.ensure_future(e.execute("flow", workflow_id="w"))
            events: list[str] = []

            async def follow() -> None:
                events.extend([str(event.kind) async for event in e.stream("w")])

            await asyncio.sleep(5)
            stream = asyncio.ensure_future(follow())
            await asyncio.sleep(1)
            core = core_of(ActorSystem.current())
            live = core.roster.get("w")
            core.blocked(live, "its code does not match")
            core.blocked(live, "said twice")
            await asyncio.sleep(1)
            status = await e.get_workflow_status("w")
            assert (status.state, status.last_error) == ("blocked", "its code does not match")
            row = await e.config.state_store.load_run("w")
            assert (row.state, row.owner, row.error) == ("blocked", None, "its code does not match")
            assert (await kinds(e)).count("workflow_blocked") == 1
            assert not result.done()
            await e.signal_workflow("w", "go")
            ran.slow.clear()
            other = {"name": "other", "steps": [asked("o")]}
            assert await e.execute(other) == {"o": "o"}, "it holds no turn"
            assert (await e.recover()).recovered == ("w",)
            assert await result == {"a": "a", "b": "b"}
            await stream
            assert "workflow_blocked" in events
            assert events[-1] == "workflow_completed"

    in_turn(main)
    assert ran == ["a", "b", "o", "b"]


def test_a_run_that_was_blocked_here_and_goes_on_elsewhere_is_let_go(
    deploy: Deploy, ran: Ran
) -> None:
    ran.slow.add("b")

    async def main() -> None:
        async with deploy("a", "b") as e, deploy("a", "b") as other:
            await e.start_workflow("flow", workflow_id="w")
            waiter = asyncio.ensure_future(e.wait("w"))
            await asyncio.sleep(5)
            [core] = [
                ref._actor
                for ref in ActorSystem.current().actors()
                if ref.actor_class.__name__ == "EngineCore" and ref._actor.roster.get("w")
            ]
            core.blocked(core.roster.get("w"), "not here")
            await asyncio.sleep(1)
            ran.slow.clear()
            assert (await other.recover()).recovered == ("w",)
            assert await other.wait("w") == {"a": "a", "b": "b"}
            assert await waiter == {"a": "a", "b": "b"}
            assert (await e.get_workflow_status("w")).state == "completed"

    in_turn(main)


@pytest.mark.parametrize("how", ["cancel", "resume"])
def test_a_run_that_is_blocked_here_can_be_steered(deploy: Deploy, ran: Ran, how: str) -> None:
    ran.slow.add("b")

    async def main() -> None:
        async with deploy(asked("a", compensate="work"), "b") as e:
            await e.start_workflow("flow", workflow_id="w")
            waiter = asyncio.ensure_future(e.wait("w"))
            await asyncio.sleep(5)
            core = core_of(ActorSystem.current())
            core.blocked(core.roster.get("w"), "not here")
            await asyncio.sleep(1)
            ran.slow.clear()
            if how == "resume":
                assert (await e.resume_workflow("w")).state == "running"
                assert await waiter == {"a": "a", "b": "b"}
            else:
                report = await e.cancel_workflow("w", "enough")
                assert (report.state, report.compensated_steps) == ("cancelled", ("a",))
                with pytest.raises(WorkflowCancelled, match="enough"):
                    await waiter

    in_turn(main)


def test_a_run_in_memory_cannot_be_blocked_and_fails(deploy: Deploy, ran: Ran) -> None:
    ran.slow.add("a")

    async def main() -> None:
        async with deploy("a") as e:
            await e.start_workflow("flow", workflow_id="w", persist_state=False)
            await asyncio.sleep(1)
            core = core_of(ActorSystem.current())
            core.blocked(core.roster.get("w"), "its code does not match")
            with pytest.raises(WorkflowFailed, match="does not match"):
                await e.wait("w")

    in_turn(main)


def test_a_part_that_is_blocked_blocks_the_run_around_it_and_fails_nothing(
    deploy: Deploy, ran: Ran
) -> None:
    inner = {"name": "inner", "steps": [WAIT, {"id": "i", "agent": "gone"}]}
    flow = ["a", {"id": "s", "workflow": "inner"}, "z"]

    def with_inner(*agents: str) -> OrchestrationEngine:
        e = deploy(*flow, agents=("work", *agents))
        e.register_workflow("inner", inner)
        return e

    async def first() -> None:
        async with with_inner("gone") as e:
            await e.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(2)

    async def second() -> None:
        async with with_inner() as e:
            report = await e.recover()
            assert all("no agent 'gone'" in why for why in report.blocked.values())
            await asyncio.sleep(20)
            status = await e.get_workflow_status("w")
            assert not status.finished, status

    async def third() -> None:
        async with with_inner("gone") as e:
            await e.recover()
            await asyncio.sleep(5)
            [part] = [x.workflow_id for x in await e.list_workflows(name="inner")]
            await e.signal_workflow(part, "go")
            result = await e.wait("w", timeout=50)
            assert result["z"] == "z"

    in_turn(first, second, third)
    assert ran.count("a") == ran.count("z") == 1


@pytest.mark.parametrize("begun", ["late", "wait", "agent", "loop", "items"])
def test_a_step_that_had_begun_waits_for_one_that_is_put_before_it(
    deploy: Deploy, ran: Ran, begun: str
) -> None:
    step = {**KINDS[begun], "id": "s"}
    if "agent" in step:
        step["input"] = "$b"
    before = {**KINDS[begun]}
    ran.slow.add("s")
    old = deploy(before, "z")
    new = deploy({"id": "b", "delay": 20, "input": "b"}, step, "z", changed_definition="new")

    async def first() -> None:
        async with old:
            await old.start_workflow("flow", workflow_id="w")
            await asyncio.sleep(1)

    async def second() -> None:
        ran.slow.clear()
        async with new:
            assert (await new.recover()).recovered == ("w",)
            await new.signal_workflow("w", "go", "s")
            await asyncio.sleep(10)
            assert (await new.get_workflow_status("w")).steps["s"].state != "completed"
            result = await new.wait("w", timeout=100)
            assert (result["b"], result["z"]) == ("b", "z")

    in_turn(first, second)
