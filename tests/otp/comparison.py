"""Compares a trace of ours with the one that OTP left behind.

What the recording itself leaves open is made equal before the comparison: the order of deaths in a
step in which several processes died at the same time, and among the children of one
``simple_one_for_one`` supervisor that is shutting down; the order of signals and reports; the order
of `which_children` where children have no ids; signals to a process that died in the same step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Json = Any


def key(value: Json) -> str:
    """Return something by which any JSON values can be sorted."""
    return json.dumps(value, sort_keys=True)


def simple_supervisors(scenario: Json) -> list[tuple[str, ...]]:
    """Return the paths at which *scenario* has a ``simple_one_for_one``; "*" is any dynamic child."""
    found: list[tuple[str, ...]] = []

    def look(path: tuple[str, ...], sup: Json) -> None:
        simple = sup.get("strategy") == "simple_one_for_one"
        if simple:
            found.append(path)
        for child in sup.get("children", []):
            if isinstance(child, dict) and "sup" in child:
                look((*path, "*" if simple else str(child.get("id"))), child["sup"])

    look(("root",), scenario["root"])
    for step in all_steps(scenario["steps"]):
        spec = step.get("spec")
        if isinstance(spec, dict) and "sup" in spec:
            look((*step["sup"].split("/"), str(spec.get("id"))), spec["sup"])
    return found


def all_steps(steps: list[Json]) -> Iterator[Json]:
    """Yield the steps and those inside them."""
    for step in steps:
        yield step
        yield from all_steps(step.get("ops", []))
        yield from all_steps(step.get("during", []))


def is_below(path: str, pattern: tuple[str, ...]) -> bool:
    """Tell whether *path* lies below the supervisor that *pattern* names."""
    parts = path.split("/")
    return len(parts) > len(pattern) and all(
        want in ("*", part) for want, part in zip(pattern, parts, strict=False)
    )


def settled_events(
    events: list[Json], simple: list[tuple[str, ...]], unordered: bool
) -> list[Json]:
    """Return *events* in the one order that stands for all that OTP may show."""
    if unordered:
        return sorted(events, key=key)
    events = list(events)
    for pattern in sorted(simple, key=len):
        depth = len(pattern)
        start = 0
        while start < len(events):
            # A run of deaths below one and the same supervisor: its children end in any order.
            end = start
            where: list[str] | None = None
            while end < len(events):
                event = events[end]
                if event[0] != "exit" or not is_below(event[1], pattern):
                    break
                above = event[1].split("/")[:depth]
                if where is not None and above != where:
                    break
                where = above
                end += 1
            events[start:end] = sorted(
                events[start:end], key=lambda event: event[1].split("/")[depth]
            )
            start = max(end, start + 1)
    return events


def settled_ret(step: Json, ret: Json) -> Json:
    """Return a step's result with the children that have no ids in a fixed order."""
    if isinstance(ret, list):
        if ret and all(isinstance(r, list) and len(r) == 3 and r[0] == "undefined" for r in ret):
            return sorted(ret, key=key)
        if step.get("op") == "batch" and len(ret) == len(step["ops"]):
            return [settled_ret(s, r) for s, r in zip(step["ops"], ret, strict=True)]
    if isinstance(ret, dict) and isinstance(ret.get("during"), list):
        pairs = zip(step["during"], ret["during"], strict=True)
        return {**ret, "during": [settled_ret(s, r) for s, r in pairs]}
    return ret


def settled(scenario: Json, trace: Json, unordered: list[bool]) -> list[tuple[str, str, Json]]:
    """Return all of *trace* as (step, aspect, value), comparable by equality."""
    simple = simple_supervisors(scenario)
    steps = [{"op": "start"}, *scenario["steps"]]
    facts: list[tuple[str, str, Json]] = [("", "steps", len(trace["steps"]))]
    for number, (step, seen) in enumerate(zip(steps, trace["steps"], strict=True)):
        name = f"step {number}: {json.dumps(step)}"
        gone = {f"{e[1]}#{e[2]}" for e in seen["events"] if e[0] == "exit"}
        facts += [
            (name, "ret", settled_ret(step, seen["ret"])),
            (name, "events", settled_events(seen["events"], simple, unordered[number])),
            (name, "signals", sorted((s for s in seen["signals"] if s[1] not in gone), key=key)),
            (name, "reports", sorted(seen["reports"], key=key)),
        ]
    final = trace["final"]
    facts.append(("the end", "alive", sorted(final["alive"])))
    for path, sup in sorted(final["sups"].items()):
        facts.append(("the end", f"which children {path} has", settled_ret({}, sup["which"])))
        facts.append(("the end", f"how many children {path} has", sup["count"]))
    return facts


def difference(scenario: Json, otp: Json, ours: Json) -> str | None:
    """Return the first thing in which *ours* differs from *otp*, or None."""
    ours = json.loads(json.dumps(ours))
    unordered = [bool(step.get("unordered")) for step in otp["steps"]]
    wanted, got = settled(scenario, otp, unordered), settled(scenario, ours, unordered)
    for want, have in zip(wanted, got, strict=False):
        if want != have:
            return f"{want[0]}\n  {want[1]}\n    OTP:  {key(want[2])}\n    ours: {key(have[2])}"
    if len(wanted) != len(got):
        return "the end: not the same supervisors are alive"
    return None
