"""Small parts by themselves: the fair queue, limits, looping, keys, spans."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.patterns.engine.host.admission import Admission, FairQueue
from agenticaiframework.patterns.engine.host.tracing import Tracer
from agenticaiframework.patterns.engine.runner.looping import is_done, next_input


def test_names_take_turns_and_what_was_parked_comes_first() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "a2", "a3", "b1"):
        queue.put(item[0], item)
    queue.put("c", "c1", first=True)
    assert [queue.get() for _ in range(5)] == ["c1", "a1", "b1", "a2", "a3"]
    with pytest.raises(IndexError):
        queue.get()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans())))
def test_what_goes_into_the_queue_comes_out_once_unless_it_was_removed(
    given_: list[tuple[str, bool, bool]],
) -> None:
    queue: FairQueue[int] = FairQueue(1000)
    for n, (name, first, _) in enumerate(given_):
        queue.put(name, n, first=first)
    kept = []
    for n, (_, _, remove) in enumerate(given_):
        if remove:
            queue.remove(n)
        else:
            kept.append(n)
    assert len(queue) == len(kept)
    out = [queue.get() for _ in kept]
    assert sorted(out) == kept
    assert len(queue) == 0
    for name in "abc":
        mine = [n for n in out if given_[n][0] == name and not given_[n][1]]
        assert mine == sorted(mine)
    assert not queue._lanes or queue._removed


def test_the_next_input_is_the_steps_own_with_its_last_output_over_it() -> None:
    assert next_input({"a": 1, "b": 2}, {"b": 3}) == {"a": 1, "b": 3}
    assert next_input({"a": 1}, "text") == {"a": 1, "result": "text"}
    assert next_input("text", {"b": 3}) == {"b": 3}


def test_verdicts_of_the_output_decide_without_until() -> None:
    class Plan:
        id = "s"
        max_iterations = 3
        until = None

    plan: Any = Plan()
    for output, done in (
        ({"done": True}, True),
        ({"approved": False}, False),
        ({"approved": False, "done": True}, True),
        ({}, True),
        ("text", True),
    ):
        assert is_done(plan, output, 1, {}) is done
    assert is_done(plan, {"done": False}, 3, {})


def test_spans_end_once_and_repeat_with_the_seed() -> None:
    now = iter(range(100))

    def made() -> list[str]:
        tracer = Tracer(2, lambda: float(next(now)), random.Random(1))
        root = tracer.start("w", "workflow", "r", None, {})
        child = tracer.start("a", "attempt", "r", root, {"k": 1})
        tracer.end(child, ValueError("x"))
        tracer.end(child)
        assert (child.status, child.error) == ("error", "ValueError: x")
        assert child.trace_id == root.trace_id
        assert child.traceparent == f"00-{child.trace_id}-{child.span_id}-01"
        tracer.start("b", "attempt", "r", root, {})
        assert tracer.dropped == 1
        assert child.to_dict()["attributes"] == {"k": 1}
        return [root.trace_id, child.span_id]

    assert made() == made()


def test_a_run_and_its_parts_have_one_turn_together() -> None:
    admission = Admission(max_running=1, max_queued=10)
    admission.begin("whole", "whole")
    assert not admission.may_run("other")
    assert admission.may_run("whole")  # for its parts
    admission.begin("part", "whole")
    admission.end("whole", "whole")  # it waits for the part, which works on
    assert admission.turns == ["whole"]
    assert not admission.may_run("other")
    admission.end("part", "whole")
    admission.end("part", "whole")
    assert admission.turns == []
    assert admission.may_run("other")


def test_a_flood_of_one_name_leaves_the_reserve_to_the_others() -> None:
    queue: FairQueue[str] = FairQueue(10, reserve=16)
    numbers = count()

    def flood(name: str) -> int:
        taken = 0
        while not queue.full_for(name) and taken < 100:
            queue.put(name, f"{name}{next(numbers)}")
            taken += 1
        return taken

    assert flood("a") == 10
    assert [flood(name) for name in "bcdefghi"] == [2] * 8  # an eighth each
    assert flood("j") == 0, "all of the reserve is taken"
    queue.remove("b10")
    assert queue.full_for("a")
    assert queue.full_for("c")
    assert flood("b") == 1, "what was removed waits no more"
    for _ in range(9):
        queue.get()
    assert queue.full_for("a"), "the common places are all in use"
    assert flood("j") == 2


def test_an_item_that_was_removed_costs_its_name_no_turn() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "a2", "b1", "b2"):
        queue.put(item[0], item)
    queue.remove("a1")
    assert [queue.get() for _ in range(3)] == ["a2", "b1", "b2"]
    assert len(queue) == 0


def test_without_a_reserve_the_limit_is_that_of_all() -> None:
    queue: FairQueue[int] = FairQueue(2)
    queue.put("a", 1)
    assert not queue.full_for("b")
    queue.put("a", 2)
    assert queue.full_for("a")
    assert queue.full_for("b")
