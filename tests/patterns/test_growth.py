"""What others wrote is read with work in proportion to its size: counted in events, not in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import define_workflow, parse_text, read_json

STEP = {"id": "a", "agent": "x"}


def work_of(read: Callable[[], object]) -> int:
    """Return how many calls and lines of Python reading takes."""
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(DefinitionError, ValueError):
            read()
    finally:
        sys.settrace(before)
    return count


def wrong_labels(n: int) -> Callable[[], object]:
    return lambda: define_workflow({"name": "w", "labels": dict.fromkeys(map(str, range(n)), 1)})


def unknown_fields(n: int) -> Callable[[], object]:
    step = {**STEP, **{f"field_{number}": 1 for number in range(n)}}
    return lambda: define_workflow({"name": "w", "steps": [step]})


def wrong_steps(n: int) -> Callable[[], object]:
    steps = [{"id": f"s{number}", "agent": "x", "retry": "no"} for number in range(n)]
    return lambda: define_workflow({"name": "w", "steps": steps})


@pytest.mark.parametrize("made", [wrong_labels, unknown_fields, wrong_steps])
def test_a_definition_twice_as_wrong_takes_twice_the_work(
    made: Callable[[int], Callable[[], object]],
) -> None:
    work_of(made(3))  # what is read for the first time is kept
    once, twice = work_of(made(200)), work_of(made(400))
    assert twice < 2.5 * once


class Key(str):
    """A key that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Key.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("read", [read_json, lambda text: parse_text(text, "x.json")])
def test_a_key_that_stands_twice_at_the_end_is_found_in_one_pass(
    read: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agenticaiframework.patterns.engine.definition import parsing

    fields = parsing._fields  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(parsing, "_fields", lambda pairs: fields([(Key(k), v) for k, v in pairs]))
    text = "{" + ", ".join(f'"k{number}": 1' for number in range(1_000)) + ', "k998": 2}'
    Key.compared = 0
    with pytest.raises(ValueError, match="the key 'k998' stands twice"):
        read(text)
    assert Key.compared < 10_000


def merged(n: int) -> str:
    lines = ["k0: &k0 {x: 1}"]
    lines += [f"k{i}: &k{i} {{<<: *k{i - 1}, y{i}: 1}}" for i in range(1, n)]
    return "\n".join(lines)


def test_merges_that_grow_with_each_other_are_refused_before_they_are_made() -> None:
    pytest.importorskip("yaml")
    assert len(parse_text(merged(300))["k299"]) == 300
    with pytest.raises(DefinitionError, match="'<<' makes more than 200,000 values"):
        parse_text(merged(20_000))
    wide = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1_000)) + "}\n"
    with pytest.raises(DefinitionError, match="'<<' makes more than 200,000 values"):
        parse_text(wide + "b: {<<: [" + ", ".join(["*a"] * 20_000) + "]}\n")


def test_numbers_as_keys_that_have_one_hash_are_refused() -> None:
    pytest.importorskip("yaml")
    same = sys.hash_info.modulus
    with pytest.raises(DefinitionError, match="a key is the number"):
        parse_text("\n".join(f"{same * (i + 1)}: 1" for i in range(50_000)))
    assert parse_text(f"7: a\n-12: b\n'{same}': c") == {7: "a", -12: "b", str(same): "c"}


def test_what_a_merge_overrides_stands_once_wherever_it_is_read_first() -> None:
    pytest.importorskip("yaml")
    text = """
x: &x {k: 1, m: 5}
top: {deep: {deeper: {a: &a {<<: *x, k: 2}}}}
b: {<<: *a, z: 3}
c: {<<: [*a, *x], z: 3}
d: {<<: *x, <<: *a}
e: &e {<<: *e, n: 1}
"""
    data = parse_text(text)
    assert data["top"]["deep"]["deeper"]["a"] == {"k": 2, "m": 5}
    assert data["b"] == data["c"] == {"k": 2, "m": 5, "z": 3}
    assert data["d"] == {"k": 1, "m": 5}
    assert data["e"] == {"n": 1}
    for wrong in ("a: {<<: 5}", "a: {<<: [1]}"):
        with pytest.raises(DefinitionError, match="'<<' names a mapping"):
            parse_text(wrong)
    with pytest.raises(DefinitionError, match="the key 'k' stands twice"):
        parse_text("x: &x {k: 1}\na: &a {<<: *x, k: 2, k: 3}\nb: {<<: *a}")
