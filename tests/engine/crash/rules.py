"""What must hold of journals and side effects, whenever which process died."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from agenticaiframework.patterns.engine import EventKind

CLOCK_S = 0.002
"""How much later than its end an attempt may seem to begin: the two were read apart from each other."""


def check_journals(runs: dict[str, Any], expected: int) -> None:
    """Every run is there and has ended, and its journal is one line of events without a gap."""
    outer = [run_id for run_id, (row, _) in runs.items() if row.parent is None]
    assert len(outer) == expected
    for run_id, (row, entries) in runs.items():
        if row.parent is not None and row.parent not in runs:
            continue
        assert row.state == "completed", (run_id, row)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), run_id
        fences = [entry.fence for entry in entries]
        assert fences == sorted(fences), run_id
        ends = Counter(e.step for e in entries if e.kind == EventKind.STEP_COMPLETED)
        assert set(ends.values()) == {1}, (run_id, ends)
        kinds = Counter(entry.kind for entry in entries)
        assert kinds[EventKind.WORKFLOW_COMPLETED] == 1
        assert entries[-1].kind == EventKind.WORKFLOW_COMPLETED
        items = Counter(e.data["item"] for e in entries if e.kind == EventKind.ITEM_COMPLETED)
        assert set(items.values()) <= {1}, (run_id, items)


def attempt_of(context: Mapping[str, Any]) -> str:
    """Return what names the attempt that a handler works on, as `ended_at` does."""
    item = f"[{context['item']}]" if "item" in context else ""
    iteration = f"#{context['iteration']}" if "iteration" in context else ""
    return f"{context['workflow_id']}:{context['step']}{item}{iteration}:{context['attempt']}"


def ended_at(runs: dict[str, Any]) -> dict[str, float]:
    """When the journal says that each attempt had ended."""
    found: dict[str, float] = {}
    for run_id, (_, entries) in runs.items():
        iteration: dict[str, int] = defaultdict(lambda: 1)
        for entry in entries:
            data = entry.data or {}
            step = entry.step
            if entry.kind == EventKind.ITEM_COMPLETED:
                step += f"[{data['item']}]"
            elif entry.kind not in (
                EventKind.STEP_COMPLETED,
                EventKind.STEP_ITERATED,
                EventKind.STEP_RETRYING,
            ):
                continue
            elif iteration[entry.step] > 1:
                step += f"#{iteration[entry.step]}"
            found[f"{run_id}:{step}:{entry.attempt}"] = entry.at
            if entry.kind == EventKind.STEP_ITERATED:
                iteration[entry.step] += 1
    return found


def check_inner(effects: list[dict[str, Any]], runs: dict[str, Any], calls: int) -> int:
    """No inner step that was recorded was made again, and none is missing; return how many were repeated.

    That is: were cut off before they were recorded, and made again.
    """
    recorded: dict[tuple[str, str], float] = {}
    for run_id, (_, entries) in runs.items():
        counts: Counter[str] = Counter()
        for entry in entries:
            if entry.kind == EventKind.INNER_COMPLETED:
                what = f"{entry.step}[{entry.data.get('item')}]/{entry.data['name']}"
                assert (run_id, what) not in recorded, f"{run_id}: {what} is recorded twice"
                recorded[run_id, what] = entry.at
                counts[entry.step] += 1
        assert counts == {"first": calls, "each": 2 * calls, "last": calls}, (run_id, counts)
    made: Counter[tuple[str, str]] = Counter()
    for effect in effects:
        place = effect["run"], effect["kind"]
        made[place] += 1
        late_s = effect["at"] - recorded[place]
        assert late_s <= CLOCK_S, f"{place} was made again after {late_s:.4f} s: {effect}"
    assert made.keys() == recorded.keys()
    lives = Counter((effect["life"], effect["run"], effect["kind"]) for effect in effects)
    assert max(lives.values(), default=1) <= 2, lives.most_common(3)
    return sum(made.values()) - len(made)


def claims_of(runs: dict[str, Any]) -> dict[str, int]:
    """How often each run was claimed anew after it had begun."""
    return {run_id: entries[-1].fence - entries[0].fence for run_id, (_, entries) in runs.items()}


def check_effects(
    effects: list[dict[str, Any]], ends: dict[str, float], claims: dict[str, int]
) -> int:
    """Nothing that had ended was begun again; return how much of it ran more than once."""
    begun = [effect for effect in effects if effect["kind"] == "begin"]
    for effect in begun:
        key = effect["key"]
        assert key in ends, f"{key} ran, and the journal does not know how it ended"
        late_s = effect["at"] - ends[key]
        assert late_s <= CLOCK_S, f"{key} ran again {late_s:.4f} s after it had ended: {effect}"
    done = {effect["key"] for effect in begun}
    for key in ends:
        step = key.split(":")[-2]
        if step not in ("each", "pause", "nested", "rest", "deep"):
            assert key in done, f"{key} has ended in the journal, and never ran"
    once = Counter((effect["life"], effect["key"], effect["run"]) for effect in begun)
    for (life, key, run_id), times in once.items():
        # Once a life; but one that was stopped for longer than its lease may get a run back.
        assert times == 1 or times * 2 - 1 <= claims[run_id] + 1, (life, key, times)
    # A life that goes on with a run repeats at most what was under way in it: one step, or the items.
    first: dict[str, int] = {}
    repeated: Counter[tuple[int, str]] = Counter()
    for effect in begun:
        key = effect["key"]
        if first.setdefault(key, effect["life"]) != effect["life"]:
            repeated[effect["life"], effect["run"]] += 1
            limit = 3 if effect["step"] == "each" else 1
            assert repeated[effect["life"], effect["run"]] <= max(limit, 3), effect
    return sum(repeated.values())
