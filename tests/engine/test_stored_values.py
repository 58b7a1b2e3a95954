"""What a stored run makes of its values: their stored form at once, and a failed step where there is none."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import itertools
import json
import math
import pathlib
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from agenticaiframework.orchestration import (
    EngineConfig,
    OrchestrationEngine,
    WorkflowFailed,
)
from agenticaiframework.patterns.engine.store import ValueLimits, ValueNotStorable, ValueTooLarge
from agenticaiframework.patterns.engine.store.grouped import forms
from agenticaiframework.patterns.engine.store.grouped.store import GroupedStore
from agenticaiframework.patterns.engine.store.grouped.stored_form import stored_form
from agenticaiframework.patterns.engine.store.memory import MemoryBackend, MemoryDisk

from .conftest import run_in_virtual_time


class Colour(enum.Enum):
    RED = "red"


class Kind(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Name(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    price: decimal.Decimal


class Receipt(BaseModel):
    when: datetime.date
    lines: tuple[Point, ...] = ()


class Scalar:
    """In the manner of NumPy."""

    dtype = "int64"

    def __init__(self, value: Any) -> None:
        self._value = value

    def tolist(self) -> Any:
        return self._value


def numbers() -> Iterator[int]:
    yield from (1, 2, 3)


UTC = datetime.UTC
ID = uuid.UUID(int=7)
DAY = datetime.date(2026, 1, 2)

FORMS: list[tuple[Callable[[], Any], Any]] = [
    (lambda: {"a": [1, 2.5, True, None, "x"]}, {"a": [1, 2.5, True, None, "x"]}),
    (lambda: "Grüße 🎉", "Grüße 🎉"),
    (lambda: 2**70, 2**70),
    (lambda: math.inf, math.inf),
    (lambda: (1, (2, 3)), [1, [2, 3]]),
    (lambda: Point(1, 2), [1, 2]),
    (lambda: {3}, [3]),
    (lambda: frozenset({"a"}), ["a"]),
    (lambda: deque([1, 2]), [1, 2]),
    (numbers, [1, 2, 3]),
    (lambda: map(str, [1]), ["1"]),
    (lambda: {"rows": numbers()}, {"rows": [1, 2, 3]}),
    (lambda: range(3), [0, 1, 2]),
    (lambda: {"a": 1}.keys(), ["a"]),
    (lambda: OrderedDict(a=1), {"a": 1}),
    (lambda: MappingProxyType({"a": {1}}), {"a": [1]}),
    (lambda: {2: "a", None: "b"}, {"2": "a", "None": "b"}),
    (lambda: Name("x"), "x"),
    (lambda: Colour.RED, "red"),
    (lambda: [Size.LARGE], [3]),
    (lambda: decimal.Decimal("19.90"), "19.90"),
    (lambda: DAY, "2026-01-02"),
    (lambda: datetime.time(1, 2), "01:02:00"),
    (lambda: datetime.datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
    (lambda: datetime.timedelta(days=1, seconds=2.5), "P1DT2.5S"),
    (lambda: ID, str(ID)),
    (lambda: pathlib.PurePosixPath("/a/b"), "/a/b"),
    (lambda: b"\xff\xfe", "__4="),
    (lambda: [b"abc"], ["YWJj"]),
    (lambda: bytearray(b"abc"), "YWJj"),
    (lambda: {"b": memoryview(b"abc")}, {"b": "YWJj"}),
    (
        lambda: Order(ID, decimal.Decimal("1.50")),
        {"id": str(ID), "price": "1.50"},
    ),
    (lambda: Receipt(when=DAY, lines=(Point(1, 2),)), {"when": "2026-01-02", "lines": [[1, 2]]}),
    (lambda: {"all": [Receipt(when=DAY)]}, {"all": [{"when": "2026-01-02", "lines": []}]}),
    (lambda: Scalar(5), 5),
    (lambda: {"m": Scalar([[1, 2]])}, {"m": [[1, 2]]}),
]


def same(found: Any, expected: Any) -> bool:
    """Tell whether two values are equal and of the same classes."""
    return json.dumps(found) == json.dumps(expected)


def form(value: Any) -> Any:
    return stored_form(value, lambda: "it", ValueLimits())[0]


@pytest.mark.parametrize(
    ("make", "expected"), FORMS, ids=lambda value: "" if callable(value) else str(value)
)
def test_each_kind_of_value_has_one_stored_form_which_is_its_own(
    make: Callable[[], Any], expected: Any
) -> None:
    found = form(make())
    assert same(found, expected)
    assert same(form(found), expected)
    assert same(form({"deep": [make()]}), {"deep": [expected]})


def test_a_form_shares_nothing_that_can_be_changed() -> None:
    for value in ({"a": {"b": [1]}}, [[{"a": 1}]], {"a": [{"b": "x" * 5000}]}):
        found = form(value)
        assert found == value
        inner = json.loads(json.dumps(value))
        _spoil(value)
        assert found == inner


def _spoil(value: Any) -> None:
    parts = list(value.values() if isinstance(value, dict) else value)
    value.clear()
    for part in parts:
        if isinstance(part, (dict, list)):
            _spoil(part)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def circular() -> Any:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def breaks_off() -> Iterator[int]:
    yield 1
    raise ConnectionError("reset")


UNSTORABLE: list[Callable[[], Any]] = [
    lambda: "\ud83d",
    lambda: {"answer": ["half an emoji \ud83d"]},
    lambda: {"\ud83d": 1},
    object,
    lambda: {"deep": [object()]},
    lambda: ValueError("an error"),
    lambda: Colour,
    lambda: 10**4400,
    lambda: [{"n": -(10**4400)}],
    lambda: deep(400),
    circular,
    breaks_off,
    lambda: {"rows": breaks_off()},
    lambda: "x" * 17_000_000,
    lambda: {"text": "ä" * 9_000_000},
    lambda: {1: "a", "1": "b"},
]


@pytest.mark.parametrize("make", UNSTORABLE)
def test_what_has_no_stored_form_is_refused_by_name(make: Callable[[], Any]) -> None:
    with pytest.raises((ValueNotStorable, ValueTooLarge), match="^it "):
        form(make())


def test_an_iterator_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MAX_ITEMS", 1_000)
    with pytest.raises(ValueNotStorable, match="it yields more than 1,000 values"):
        form(itertools.count())


def test_nesting_is_kept_as_deep_as_a_record_is_written() -> None:
    for levels in range(150, 260):
        try:
            value = form(deep(levels))
        except ValueNotStorable:
            break
        assert value == deep(levels)
        encoded = json.dumps(value)
        assert json.loads(encoded) == value
    assert levels > 240


def clock() -> float:
    return 1_000_000 + asyncio.get_running_loop().time()


class Stored:
    """Engines over one medium; agents are plain functions by their name."""

    def __init__(self, **agents: Any) -> None:
        self._disk = MemoryDisk()
        self._agents = agents

    def engine(self) -> OrchestrationEngine:
        backend = MemoryBackend(clock=clock, disk=self._disk)
        store = GroupedStore(backend, clock=clock, inline=True)
        engine = OrchestrationEngine(
            EngineConfig(state_store=store, persist_state=True, wall_clock=clock)
        )
        for name, agent in self._agents.items():
            engine.register_agent(name, agent)
        return engine


async def both_ways(stored: Stored, flow: dict[str, Any], payload: Any = None) -> list[Any]:
    """Return what comes of *flow*, which waits for ``go``: without a restart there, and with one."""
    outcomes: list[Any] = []
    for restart in (False, True):
        engine = stored.engine()
        run = await engine.start_workflow(flow, {"n": 1})
        while (await engine.get_workflow_status(run)).state.value != "waiting":
            await asyncio.sleep(0.01)
        if restart:
            await engine.stop()
            engine = stored.engine()
            await engine.recover()
        await engine.signal_workflow(run, "go", payload() if callable(payload) else payload)
        try:
            outcome: Any = await engine.wait(run)
        except WorkflowFailed as error:
            outcome = error.step, error.reason
        here = await engine.get_workflow_status(run)
        other = stored.engine()
        assert (await other.get_workflow_status(run)).steps == here.steps
        if isinstance(outcome, dict):
            assert await other.wait(run) == outcome
        outcomes.append(outcome)
        await engine.stop()
        await other.stop()
    return outcomes


GO = {"id": "go", "wait_for": "go"}


@pytest.mark.parametrize("make", [make for make, _ in FORMS])
def test_a_restart_changes_neither_what_a_step_gets_nor_the_result(make: Any) -> None:
    async def main() -> None:
        seen: list[Any] = []
        flow = {
            "name": "flow",
            "steps": [
                {"id": "a", "agent": "make"},
                {"id": "items", "for_each": [1], "agent": "make"},
                GO,
                {"id": "b", "agent": "see", "input": ["$a", "$items", "$go"]},
                {"id": "c", "agent": "see", "input": "$b", "depends_on": ["b"]},
            ],
        }
        stored = Stored(make=lambda _: make(), see=seen.append)
        plain, again = await both_ways(stored, flow, make)
        assert same(plain, again)
        assert same(seen[0], seen[2])
        assert same(seen[1], seen[3])

    run_in_virtual_time(main)


def test_a_restart_changes_no_condition() -> None:
    async def main() -> None:
        flow = {
            "name": "flow",
            "steps": [
                {"id": "a", "agent": "make"},
                GO,
                {"id": "b", "agent": "see", "condition": "$a.size == 3 and $a.kind in ['red']"},
                {"id": "c", "agent": "make", "until": "output.kind == 'red'"},
            ],
        }
        stored = Stored(
            make=lambda _: {"size": Size.LARGE, "kind": Colour.RED},
            see=lambda _: (1, 2),
        )
        plain, again = await both_ways(stored, flow)
        assert plain == again
        assert plain["b"] == [1, 2]
        assert plain["c"] == {"size": 3, "kind": "red"}

    run_in_virtual_time(main)


def test_a_handler_that_changes_what_it_gets_or_has_returned_changes_no_run() -> None:
    async def main() -> None:
        kept: list[Any] = []

        def make(payload: Any) -> Any:
            kept.append({"list": [1]})
            return kept[-1]

        def spoil(payload: Any) -> Any:
            for one in (payload, *kept):
                one["list"].append(2)
                one["more"] = True
            return payload

        flow = {
            "name": "flow",
            "steps": [
                {"id": "a", "agent": "make"},
                {"id": "b", "agent": "spoil"},
                GO,
                {"id": "c", "agent": "see", "input": ["$a", "$input"]},
            ],
        }
        plain, again = await both_ways(Stored(make=make, spoil=spoil, see=lambda p: p), flow)
        assert plain == again
        assert plain["a"] == {"list": [1]}
        assert plain["c"] == [{"list": [1]}, {"n": 1}]

    run_in_virtual_time(main)


def test_values_in_a_definition_are_the_same_after_a_restart() -> None:
    async def main() -> None:
        flow = {
            "name": "flow",
            "steps": [
                {"id": "a", "agent": "fail", "on_error": {"default": {"kind": Kind.RED}}},
                GO,
                {"id": "b", "agent": "see", "input": {"kind": Kind.RED, "n": [Size.LARGE]}},
            ],
            "output": {"a": "$a", "b": "$b", "kind": Kind.RED},
        }

        def fail(_: Any) -> None:
            raise ValueError("no")

        plain, again = await both_ways(
            Stored(fail=fail, see=lambda p: [type(p["kind"]).__name__, p]), flow
        )
        assert plain == again
        assert type(plain["kind"]) is str
        assert plain["a"] == {"kind": "red"}
        assert plain["b"] == ["str", {"kind": "red", "n": [3]}]

    run_in_virtual_time(main)


def one_bad_output(make: Callable[[], Any]) -> Callable[[Any], Any]:
    tried: list[None] = []

    def work(_: Any) -> Any:
        tried.append(None)
        return make() if len(tried) == 1 else "good"

    return work


async def run_once(flow: dict[str, Any], **agents: Any) -> tuple[Any, dict[str, Any]]:
    """Return what came of a stored run, and its steps as another engine reads them."""
    stored = Stored(**agents)
    engine = stored.engine()
    run = await engine.start_workflow({"name": "flow", **flow}, None)
    try:
        outcome: Any = await engine.wait(run)
    except WorkflowFailed as error:
        outcome = error
    here = await engine.get_workflow_status(run)
    await engine.stop()
    other = stored.engine()
    there = await other.get_workflow_status(run)
    assert (there.state, there.steps, there.last_error) == (
        here.state,
        here.steps,
        here.last_error,
    )
    assert (await other.recover()).recovered == ()
    await other.stop()
    return outcome, dict(there.steps)


@pytest.mark.parametrize("make", UNSTORABLE)
def test_an_output_that_cannot_be_stored_fails_its_step(make: Callable[[], Any]) -> None:
    async def main() -> None:
        bad = {"id": "bad", "agent": lambda _: make()}
        error, steps = await run_once({"steps": [bad, {"id": "never", "agent": lambda _: 1}]})
        assert error.step == "bad"
        assert "the output of step 'bad'" in error.reason
        assert steps["bad"].state == "failed"
        assert steps["never"].state == "pending"

        result, steps = await run_once(
            {"steps": [{"id": "again", "agent": one_bad_output(make), "retry": 2}]}
        )
        assert result["again"] == "good"
        assert steps["again"].attempts == 2

        result, _ = await run_once({"steps": [{**bad, "on_error": "skip"}]})
        assert result["bad"] is None
        result, _ = await run_once({"steps": [{**bad, "on_error": {"default": 1}}]})
        assert result["bad"] == 1
        fallback = {"fallback": lambda _: 2}
        result, _ = await run_once({"steps": [{**bad, "on_error": fallback}]})
        assert result["bad"] == 2

    run_in_virtual_time(main)


def test_items_that_cannot_be_stored_and_the_undoing_of_finished_steps() -> None:
    async def main() -> None:
        undone: list[Any] = []

        def odd(item: Any) -> Any:
            return object() if item % 2 else item

        each: dict[str, Any] = {"id": "each", "for_each": [1, 2, 3], "agent": odd}
        result, _ = await run_once({"steps": [{**each, "on_error": "skip"}]})
        assert result["each"] == [None, 2, None]
        first = {"id": "first", "agent": lambda _: (1, 2), "compensate": undone.append}
        error, steps = await run_once({"steps": [first, each]})
        assert error.step == "each"
        assert steps["first"].state == "compensated"
        assert undone == [[1, 2]]

    run_in_virtual_time(main)


def test_an_error_text_that_cannot_be_stored_is_made_storable_and_bounded() -> None:
    def fail(_: Any) -> None:
        raise ValueError("half \ud83d\0" + "x" * 100_000)

    async def main() -> None:
        for more in ({}, {"on_error": "skip"}, {"retry": 2}):
            error, steps = await run_once({"steps": [{"id": "bad", "agent": fail, **more}]})
            text = steps["bad"].error
            assert text is not None
            assert text.startswith("ValueError: half ??xxx")
            assert len(text) < 5_000
            if isinstance(error, WorkflowFailed):
                assert error.reason == text

    run_in_virtual_time(main)


def test_an_input_and_a_signal_that_cannot_be_stored_are_refused_to_their_senders() -> None:
    async def main() -> None:
        stored = Stored(see=lambda p: p)
        engine = stored.engine()
        flow = {
            "name": "flow",
            "steps": [GO, {"id": "b", "agent": "see", "input": ["$input", "$go"]}],
        }
        for make in UNSTORABLE:
            with pytest.raises((ValueNotStorable, ValueTooLarge), match="the input of workflow"):
                await engine.start_workflow(flow, make())
        run = await engine.start_workflow(flow, (1, 2))
        for make in UNSTORABLE:
            with pytest.raises((ValueNotStorable, ValueTooLarge), match="signal 'go'"):
                await engine.signal_workflow(run, "go", make())
        await engine.signal_workflow(run, "go", Point(1, 2))
        assert (await engine.wait(run))["b"] == [[1, 2], [1, 2]]
        await engine.stop()

    run_in_virtual_time(main)


def test_a_run_in_memory_keeps_its_objects() -> None:
    async def main() -> None:
        engine = OrchestrationEngine()
        value = Point(1, 2), decimal.Decimal(3), object()
        result = await engine.execute(
            {"name": "flow", "steps": [{"id": "a", "agent": lambda _: value}]}
        )
        assert result["a"] is value
        await engine.stop()

    run_in_virtual_time(main)
