"""Fresh processes, turns, and what happens when a system is missing, fails or hangs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.catalog import System
from benchmarks.environments import Interpreter, interpreter
from benchmarks.runner import Probe, in_turn, measure, probe, take_sample
from benchmarks.workloads import Metric, Size, Workload

FAKE = '''
"""A plug-in that does what its workloads' names say."""

import os, subprocess, sys, time
from benchmarks.measure import now
from benchmarks.protocol import Outcome, check

DISTRIBUTIONS = ()

def versions(options):
    return {"fake": options.get("flavour", "plain")}

def count(job):
    print("noise on standard output")
    (job.scratch / "file").write_text("x")
    return Outcome({"per_s": float(job.operations)}, {"tick": [job.actors]})

def wrong(job):
    check("answers", job.operations, 0)

def hang(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(os.environ["FAKE_PID_FILE"], "w").write(str(child.pid))
    time.sleep(600)

def leave(job):
    import threading
    threading.Thread(target=time.sleep, args=(600,)).start()
    return Outcome({"per_s": 1.0})

def sleep(job):
    started = now()
    time.sleep(0.2)
    return Outcome({"slept_s": now() - started})

WORKLOADS = {"count": count, "wrong": wrong, "hang": hang, "leave": leave, "sleep": sleep}
'''

SYSTEM = System("fake", "peer", "fake", ("kernel",), options={"flavour": "sweet"})


@pytest.fixture(scope="module")
def here() -> Interpreter:
    return interpreter(sys.executable)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A system whose plug-in lives in a copy of the harness."""
    copy = tmp_path / "benchmarks"
    shutil.copytree(runner.CHILD.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "systems" / "fake.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.setattr(runner, "CHILD", copy / "child.py")
    return SYSTEM


def work(name: str, timeout_s: float = 120.0) -> Workload:
    metric = Metric("per_s", "/s", "higher")
    return Workload(
        name, "kernel", "", (metric,), Size(7, 3), Size(2, 3), "floor", timeout_s=timeout_s
    )


def test_a_probe_tells_workloads_and_versions(fake: System, here: Interpreter) -> None:
    found = probe(fake, here)
    assert found.workloads == {"count", "wrong", "hang", "leave", "sleep"}
    assert found.versions == {"fake": "sweet"}
    assert not found.missing


def test_a_sample_comes_back_whatever_the_system_prints(fake: System, here: Interpreter) -> None:
    sample = take_sample(fake, work("count"), here, smoke=False, number=4)
    assert not sample.failure
    assert sample.figures == {"per_s": 7.0}
    assert sample.histograms == {"tick": [3]}
    assert sample.round == 4


def test_a_smoke_sample_is_of_the_small_size(fake: System, here: Interpreter) -> None:
    assert take_sample(fake, work("count"), here, smoke=True, number=0).figures == {"per_s": 2.0}


def test_scratch_files_are_gone_afterwards(
    fake: System, here: Interpreter, benchmarks_home: Path
) -> None:
    take_sample(fake, work("count"), here, smoke=True, number=0)
    assert list(benchmarks_home.iterdir()) == []


def test_a_wrong_answer_is_a_failure_with_its_reason(fake: System, here: Interpreter) -> None:
    sample = take_sample(fake, work("wrong"), here, smoke=False, number=0)
    assert "answers: expected 7, got 0" in sample.failure
    assert not sample.figures


def test_what_hangs_is_ended_with_everything_it_started(
    fake: System, here: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("FAKE_PID_FILE", str(pid_file))
    for timeout_s in (3.0, 60.0):  # a busy machine may need more than 3 s to start it
        hangs = work("hang", timeout_s=timeout_s)
        sample = take_sample(fake, hangs, here, smoke=False, number=0)
        assert sample.failure == f"no answer within {timeout_s:g} s"
        if pid_file.exists() and pid_file.read_text():
            break
    assert _ends(int(pid_file.read_text()))


def _ends(pid: int) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return True  # dead, and nobody has asked for its exit code
        time.sleep(0.01)
    return False


def test_processor_time_does_not_count_waiting(fake: System, here: Interpreter) -> None:
    wall = take_sample(fake, work("sleep"), here, smoke=True, number=0)
    busy = take_sample(fake, work("sleep"), here, smoke=True, number=0, clock="cpu")
    assert wall.figures["slept_s"] >= 0.2
    assert busy.figures["slept_s"] < 0.2


def test_by_processor_time_what_waits_or_works_elsewhere_is_left_out(
    fake: System, here: Interpreter
) -> None:
    outside = replace(fake, name="outside", outside=True)
    probes = [Probe(s, frozenset({"count", "sleep"})) for s in (fake, outside)]
    workloads = [work("count"), replace(work("sleep"), waits=True)]
    taken = measure(
        workloads, probes, here, rounds=1, smoke=True, progress=lambda _: None, clock="cpu"
    )
    assert [(sample.workload, sample.system) for sample in taken] == [("count", "fake")]


def test_a_thread_that_a_system_leaves_behind_holds_nothing_up(
    fake: System, here: Interpreter
) -> None:
    sample = take_sample(fake, work("leave", timeout_s=30.0), here, smoke=False, number=0)
    assert sample.figures == {"per_s": 1.0}


def test_a_peer_without_its_environment_is_told_how_to_get_one(here: Interpreter) -> None:
    system = System("pykka", "peer", "pykka_threads", ("kernel",), requirements=("pykka==4.5.0",))
    found = probe(system, here)
    assert found.workloads == frozenset()
    assert found.missing.startswith("not installed; python -m benchmarks peers install pykka")


def test_a_plugin_that_is_not_there_is_reported(here: Interpreter) -> None:
    found = probe(System("gone", "floor", "gone", ("kernel",)), here)
    assert "ModuleNotFoundError" in found.missing


def test_systems_take_turns_and_each_is_first_once() -> None:
    systems = [System(name, "peer", "fake", ("kernel",)) for name in "abc"]
    orders = ["".join(system.name for system in in_turn(systems, number)) for number in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]
    assert in_turn([], 5) == []


def test_rounds_are_interleaved_and_only_able_systems_run(fake: System, here: Interpreter) -> None:
    other = System("other", "peer", "fake", ("kernel",))
    unable = System("unable", "peer", "fake", ("kernel",))
    probes = [
        Probe(fake, frozenset({"count"})),
        Probe(other, frozenset({"count"})),
        Probe(unable, missing="not installed"),
    ]
    said: list[str] = []
    taken = measure([work("count")], probes, here, rounds=2, smoke=True, progress=said.append)
    assert [(sample.round, sample.system) for sample in taken] == [
        (0, "fake"),
        (0, "other"),
        (1, "other"),
        (1, "fake"),
    ]
    assert len(said) == 4
