"""The load and fault run: what its counts find, and one short run with real processes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from benchmarks.cli import main
from benchmarks.service.audit import (
    Stored,
    find_lost,
    find_twice,
    find_unanswered,
    find_unseen,
    find_without_work,
    find_wrong,
    latencies,
    read_told,
)
from benchmarks.service.cli import main as service
from benchmarks.service.day import bad_day
from benchmarks.service.faults import FAULTS, chosen
from benchmarks.service.flows import ADDED, ENDS, FLOWS, SHARES, flow_of
from benchmarks.service.growth import grown, slopes, sloping
from benchmarks.service.server import Window
from tests.simulation.mutants import ROOT

from .planted import misfits


def told(*entries: dict[str, Any]) -> Any:
    return read_told(json.dumps(entry) for entry in entries)


def accepted(run_id: str, kind: str = "order", n: int = 1) -> dict[str, Any]:
    return {"kind": "accepted", "id": run_id, "run": kind, "n": n, "at": 0.0}


def outcome(run_id: str, state: str, **more: Any) -> dict[str, Any]:
    return {"kind": "outcome", "id": run_id, "state": state, "took_s": 0.1, "at": 1.0, **more}


COMPLETED = Stored("completed", True, [])


def test_an_accepted_run_without_an_outcome_is_lost() -> None:
    said = told(
        *(accepted(name) for name in "abcd"), outcome("a", "completed"), outcome("e", "completed")
    )
    stored = {"b": COMPLETED, "c": Stored("running", False, []), "f": Stored("pending", False, [])}
    assert find_lost(said, stored) == [
        "c: running",
        "d: not in the store",
        "f: pending, and nobody was told that it was accepted",
    ]


def test_a_step_that_begins_after_it_was_recorded_as_finished_is_done_twice() -> None:
    stored = {"r": Stored("completed", True, [("r:a", 10.0), ("r:b", 11.0), ("r:b", 12.0)])}
    effects = ["b 1 9.0 r:a", "b 2 9.9 r:a", "e 2 10.0 r:a", "b 2 10.9 r:b", "b 2 11.5 r:b"]
    found = find_twice(effects, stored)
    assert found == ["r:b: recorded again", "r:b: begun in process 2, finished 0.500 s before"]


def test_a_step_that_is_recorded_and_was_never_done_is_found() -> None:
    keys = [("r:each:0", 1.0), ("r:each", 1.0), ("r:approval", 2.0), ("r:send", 3.0)]
    stored = {"r": Stored("completed", True, keys)}
    (found,) = find_without_work(["b 1 0.5 r:each:0", "e 1 0.9 r:each:0", "b 1 2 r:send"], stored)
    assert found.startswith("r:send: ")


def test_a_connection_may_break_as_the_process_ends_and_at_no_other_time() -> None:
    def broken(began: float, at: float, error: str = "ReadError", port: int = 1) -> dict[str, Any]:
        return {
            "kind": "broken",
            "what": "start",
            "began": began,
            "at": at,
            "error": error,
            "port": port,
        }

    said = told(
        broken(9, 10.5),
        broken(11, 11.1, "ConnectError"),
        broken(5, 6),
        broken(10, 40, "ReadTimeout"),
        broken(11, 11.1, port=2),
    )
    assert find_unanswered(said, [Window(1, "SIGKILL", 10, 12)]) == [
        "start: ReadError after 1.00 s",
        "start: ReadTimeout after 30.00 s",
        "start: ReadError after 0.10 s",
    ]


def test_a_run_must_end_as_its_kind_does_with_the_right_result_and_as_the_client_was_told() -> None:
    said = told(
        accepted("a"),
        outcome("a", "completed", output=4),
        accepted("b"),
        outcome("b", "completed", output=5),
        accepted("c"),
        outcome("c", "failed"),
        accepted("d", "doomed"),
        outcome("d", "failed"),
        accepted("e", "dropped"),
        outcome("e", "cancelled"),
        accepted("f", "dropped"),
        outcome("f", "cancelled"),
        {"kind": "answer", "what": "status", "took_s": 0.1, "code": 500, "began": 0, "at": 0},
    )
    stored = {"c": Stored("failed", True, []), "f": COMPLETED}
    assert find_wrong(said, stored) == [
        "b (order): 5, and not 4",
        "c (order): failed",
        "f (dropped): the client and the store differ: ['cancelled', 'completed']",
        "status: 500",
    ]


def test_what_a_watcher_has_missed_or_was_told_twice_is_found() -> None:
    def watched(run_id: str, *numbers: int, ended: str = "workflow_completed") -> dict[str, Any]:
        return {"kind": "watched", "id": run_id, "numbers": numbers, "ended": ended}

    said = told(
        watched("a", 1, 2, 3),
        watched("b", 1, 3, 3),
        watched("c", 1, 2),
        watched("d", 1, ended=""),
        watched("forgotten", 1, 3),
    )
    stored = {name: Stored("completed", True, [], 3) for name in "abc"}
    assert find_unseen(said, {**stored, "d": Stored("running", False, [], 2)}) == [
        "b: its watcher has missed [2] of 3",
        "b: its watcher was told [3] twice",
        "c: its watcher has missed [3] of 3",
        "d: its watcher was never told of its end",
        "forgotten: its watcher has missed [2] of 3",
    ]


def test_an_accepted_run_that_a_process_does_not_know_is_found() -> None:
    answer = {"kind": "answer", "what": "result", "took_s": 0.1, "code": 404, "began": 0, "at": 0}
    assert find_wrong(told({**answer, "path": "/runs/r/result"}), {}) == [
        "result: 404 for /runs/r/result"
    ]


def test_what_a_process_holds_more_of_at_rest_is_a_leak() -> None:
    start = {"threads": 3.0, "tasks": 4.0, "handles": 20.0, "actors": 10.0, "memory": 70e6}
    assert grown(start, start) == []
    assert grown(start, {**start, "handles": 40.0}) == [
        "handles: 20 at rest in the beginning, 40 at rest in the end"
    ]


def test_a_slope_is_found_and_noise_is_not() -> None:
    random = Random(1)
    flat = [
        {
            "at": 10.0 * number,
            "threads": 3.0,
            "tasks": 20.0 + random.randrange(20),
            "handles": 60.0 + random.randrange(10),
            "actors": 40.0 + random.randrange(20),
            "memory": 90e6 + random.randrange(1_000_000),
            "store": 5e6,
        }
        for number in range(360)
    ]
    assert sloping(flat) == []
    leaking = [{**one, "handles": one["handles"] + one["at"] / 100} for one in flat]
    assert slopes(leaking)["handles"] == pytest.approx(36, abs=2)
    (found,) = sloping(leaking)
    assert found.startswith("handles: ")
    assert sloping(leaking[:2]) == []


def test_latencies_leave_out_the_requests_that_wait_for_a_run() -> None:
    said = told(
        {"kind": "answer", "what": "echo", "took_s": 0.1, "code": 200, "began": 0, "at": 0},
        {"kind": "answer", "what": "result", "took_s": 5.0, "code": 504, "began": 0, "at": 0},
        outcome("a", "completed"),
    )
    found = latencies(said)
    assert sorted(found) == ["echo", "run, to its outcome"]
    assert found["echo"]["max_ms"] == pytest.approx(100)


def test_a_day_has_all_that_may_happen_and_ends_no_process_in_its_last_quarter() -> None:
    day = list(bad_day(600, Random(1)))
    assert {what.kind for what in day} == {"kill", "term", "outage", "kill in an outage"}
    assert all(what.kind == "outage" for what in day if what.at_s > 450)
    assert day == list(bad_day(600, Random(1)))
    assert {what.kind for what in bad_day(60, Random(1))} == {what.kind for what in day}


def test_every_kind_of_run_has_a_flow_and_an_end() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    for kind in SHARES:
        assert flow_of(kind) in {*FLOWS, "coded"}
        assert kind in ADDED or ENDS[kind] == {"failed"}


def test_faults_are_drawn_as_often_as_they_are_said_to_be() -> None:
    random = Random(1)
    drawn = [chosen(random, 1.0) for _ in range(100_000)]
    assert set(drawn) == {"", *FAULTS}
    share = sum(share for share, _ in FAULTS.values())
    assert drawn.count("") / len(drawn) == pytest.approx(1 - share, rel=0.01)
    assert chosen(random, 0.0) == ""


@pytest.mark.skipif(not (ROOT / "actors").is_dir(), reason="the sources are not here")
def test_the_bugs_that_the_run_is_shown_with_fit_the_code() -> None:
    misfits()


def test_wrong_arguments_are_told_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--soak", "1", "--rolling"], ["--seconds", "0"], ["--store", "redis"]):
        with pytest.raises(SystemExit):
            service(arguments)
    assert "more than 0" in capsys.readouterr().err


def showed_much(result: dict[str, Any]) -> bool:
    """Tell whether a run had enough to do for what it shows to mean something."""
    return (
        result["runs"] > 50
        and result["watched"] > 5
        and result["latencies"].get("echo", {}).get("count", 0) > 10
        and {"start", "middle", "end"} <= result["figures"].keys()
        and sum(result["happened"].values()) > 1
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")
@pytest.mark.parametrize("form", [[], ["--rolling", "--store", "sqlite"]])
def test_a_short_run_is_clean(
    form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "result.json"
    kinds = ("lost", "twice", "unanswered", "wrong", "unseen", "leaks")
    # Where the machine is busy with other things, little is done in a short time: then longer.
    for seconds in ("15", "60"):
        load = ["--seconds", seconds, "--rate", "20", "--clients", "24"]
        code = main(["service", *form, *load, "--json", str(file)])
        printed = capsys.readouterr().out
        assert code == 0, printed
        assert printed.endswith("clean\n")
        result = json.loads(file.read_text(encoding="utf-8"))
        assert result["counts"] == {key: [] for key in kinds}
        if showed_much(result):
            return
    pytest.fail(f"too little was done:\n{printed}")
