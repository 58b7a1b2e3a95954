"""What came of it: pure functions from the files and the store to counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agenticaiframework.patterns.engine.store import open_store
from benchmarks.measure import percentile
from benchmarks.service.flows import ADDED, may_end, recorded
from benchmarks.service.server import Window

CLOCK_S = 0.002
"""How much later than its record a step may seem to begin: the clock's own steps."""


@dataclass(frozen=True)
class Stored:
    """What the store says of a run at the end."""

    state: str
    finished: bool
    keys: list[tuple[str, float]]
    """Of each step that is recorded as finished: its idempotency key, and when."""
    events: int = 0
    """The number of the last record in its journal."""


@dataclass
class Counts:
    """What must be none, each with what it was."""

    lost: list[str] = field(default_factory=list[str])
    """Accepted runs without an outcome: neither told to a client nor in the store."""
    twice: list[str] = field(default_factory=list[str])
    """Steps that were begun, or recorded, again after they had been recorded as finished."""
    unanswered: list[str] = field(default_factory=list[str])
    """Requests without an answer, but for those whose connection broke as the process ended."""
    wrong: list[str] = field(default_factory=list[str])
    """Runs that ended as they must not, or with a wrong result, or otherwise than the client was told."""
    unseen: list[str] = field(default_factory=list[str])
    """Events that who watched a run was not told of, or twice, over all its connections."""
    leaks: list[str] = field(default_factory=list[str])
    """What the process holds more of than it should."""

    def by_name(self) -> dict[str, list[str]]:
        """Return them all."""
        return {
            "lost": self.lost,
            "twice": self.twice,
            "unanswered": self.unanswered,
            "wrong": self.wrong,
            "unseen": self.unseen,
            "leaks": self.leaks,
        }

    @property
    def clean(self) -> bool:
        """Whether there is none."""
        return not any(self.by_name().values())


@dataclass
class Told:
    """What the clients say."""

    accepted: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    broken: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    watched: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def read_told(lines: Iterable[str]) -> Told:
    """Read the log of the clients."""
    told = Told()
    for line in lines:
        entry = json.loads(line)
        match entry["kind"]:
            case "accepted":
                told.accepted[entry["id"]] = entry
            case "outcome":
                told.outcomes[entry["id"]] = entry
            case "answer":
                told.answers.append(entry)
            case "broken":
                told.broken.append(entry)
            case "watched":
                told.watched.append(entry)
            case _:
                pass
    return told


async def read_store(url: str) -> dict[str, Stored]:
    """Read all runs of the store with their journals."""
    store = open_store(url)
    await store.open()
    found: dict[str, Stored] = {}
    try:
        page = None
        while True:
            got = await store.list_runs(page=page, limit=500)
            ids = [row.run_id for row in got.rows]
            journals = await store.read_journals(ids)
            for row in got.rows:
                journal = journals[row.run_id]
                keys = recorded(row.run_id, journal)
                last = journal[-1].seq if journal else 0
                found[row.run_id] = Stored(row.state, row.finished, keys, last)
            page = got.next
            if page is None:
                return found
    finally:
        await store.close()


def find_lost(told: Told, stored: Mapping[str, Stored]) -> list[str]:
    """Return what became of accepted runs that have no outcome."""
    lost: list[str] = []
    for run_id in told.accepted:
        run = stored.get(run_id)
        if run_id in told.outcomes or (run is not None and run.finished):
            continue
        lost.append(f"{run_id}: {'not in the store' if run is None else run.state}")
    lost += [
        f"{run_id}: {run.state}, and nobody was told that it was accepted"
        for run_id, run in stored.items()
        if not run.finished and run_id not in told.accepted
    ]
    return lost


def find_twice(effects: Iterable[str], stored: Mapping[str, Stored]) -> list[str]:
    """Return the steps that were begun, or recorded, after they had been recorded as finished."""
    twice: list[str] = []
    first: dict[str, float] = {}
    for run in stored.values():
        for key, at in run.keys:
            if key in first:
                twice.append(f"{key}: recorded again")
            first[key] = min(at, first.get(key, at))
    for line in effects:
        what, life, at, key = line.split()
        if what == "b" and float(at) > first.get(key, float("inf")) + CLOCK_S:
            twice.append(
                f"{key}: begun in process {life}, finished {float(at) - first[key]:.3f} s before"
            )
    return twice


def find_without_work(effects: Iterable[str], stored: Mapping[str, Stored]) -> list[str]:
    """Return the agents' steps that are recorded as finished, and whose work was never done to its end."""
    ended = {line.split()[3] for line in effects if line.startswith("e ")}
    items = {
        key.rpartition(":")[0]
        for run in stored.values()
        for key, _ in run.keys
        if key.count(":") == 2
    }
    return [
        f"{key}: recorded as finished, and its agent has not done it"
        for run in stored.values()
        for key, _ in run.keys
        if key not in ended and key not in items and not key.endswith(":approval")
    ]


def find_unanswered(told: Told, windows: Sequence[Window]) -> list[str]:
    """Return the requests whose connection broke while no process was on its way down or up."""
    found: list[str] = []
    for entry in told.broken:
        expected = "Timeout" not in entry["error"] and any(
            window.port == entry["port"]
            and entry["began"] <= window.ended + 0.05
            and entry["at"] >= window.began - 0.05
            for window in windows
        )
        if not expected:
            took_s = entry["at"] - entry["began"]
            found.append(f"{entry['what']}: {entry['error']} after {took_s:.2f} s")
    return found


def find_unseen(told: Told, stored: Mapping[str, Stored]) -> list[str]:
    """Return the events that those who watched runs have missed, or were told twice."""
    found: list[str] = []
    for entry in told.watched:
        run_id: str = entry["id"]
        numbers: list[int] = entry["numbers"]
        run = stored.get(run_id)
        last = run.events if run is not None and run.finished else max(numbers, default=0)
        missed = sorted(set(range(1, last + 1)) - set(numbers))
        twice = sorted(number for number, times in Counter(numbers).items() if times > 1)
        if not entry["ended"]:
            found.append(f"{run_id}: its watcher was never told of its end")
        if missed:
            found.append(f"{run_id}: its watcher has missed {missed} of {last}")
        if twice:
            found.append(f"{run_id}: its watcher was told {twice} twice")
    return found


def find_wrong(told: Told, stored: Mapping[str, Stored]) -> list[str]:
    """Return the runs that ended as they must not, or otherwise than their client was told."""
    wrong: list[str] = []
    for run_id, entry in told.accepted.items():
        kind = entry["run"]
        outcome = told.outcomes.get(run_id)
        run = stored.get(run_id)
        states = {outcome["state"]} if outcome else set[str]()
        if run is not None and run.finished:
            states.add(run.state)
        if len(states) > 1:
            wrong.append(f"{run_id} ({kind}): the client and the store differ: {sorted(states)}")
        elif states - may_end(kind):
            wrong.append(f"{run_id} ({kind}): {states.pop()}")
        elif outcome and outcome["state"] == "completed":
            expected = entry["n"] + ADDED[kind]
            if outcome.get("output") != expected:
                wrong.append(f"{run_id} ({kind}): {outcome.get('output')!r}, and not {expected}")
    wrong += [
        f"{run_id}: {state}"
        for run_id, state in ((entry["what"], entry["code"]) for entry in told.answers)
        if state == 500
    ]
    # Only what has been accepted is asked for, in whichever process.
    wrong += [
        f"{entry['what']}: 404 for {entry.get('path')}"
        for entry in told.answers
        if entry["code"] == 404
    ]
    return wrong


def by_outcome(told: Told, stored: Mapping[str, Stored]) -> dict[str, int]:
    """Return how many runs ended in each state, by the store, or else by what the client was told."""
    counts: Counter[str] = Counter(run.state for run in stored.values())
    counts.update(
        outcome["state"] for run_id, outcome in told.outcomes.items() if run_id not in stored
    )
    return dict(sorted(counts.items()))


def latencies(told: Told) -> dict[str, dict[str, float]]:
    """Return count, p50, p99 and maximum in milliseconds of each endpoint; of runs, from request to outcome."""
    times: dict[str, list[float]] = {}
    for entry in told.answers:
        if entry["what"] != "result":  # it waits for the run
            times.setdefault(entry["what"], []).append(entry["took_s"])
    for outcome in told.outcomes.values():
        times.setdefault("run, to its outcome", []).append(outcome["took_s"])
    found: dict[str, dict[str, float]] = {}
    for what, values in sorted(times.items()):
        values.sort()
        found[what] = {
            "count": len(values),
            "p50_ms": percentile(values, 0.5) * 1e3,
            "p99_ms": percentile(values, 0.99) * 1e3,
            "max_ms": values[-1] * 1e3,
        }
    return found


def answer_codes(told: Told) -> dict[str, int]:
    """Return how many requests were answered with each code, and how many connections broke."""
    codes = Counter(str(entry["code"]) for entry in told.answers)
    codes["broken as a process ended"] = len(told.broken)
    return dict(sorted(codes.items()))
