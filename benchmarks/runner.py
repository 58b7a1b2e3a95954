"""Take the samples: every one in a fresh process, the systems of a workload in turn, round after round."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.catalog import System
from benchmarks.environments import Interpreter, executable, home, install_command
from benchmarks.protocol import Figures, Histogram
from benchmarks.workloads import Workload

CHILD = Path(__file__).with_name("child.py")
PROBE_TIMEOUT_S = 60.0

Clock = Literal["wall", "cpu"]
"""``cpu`` counts only the processor's time, for a machine that has other things to do."""


@dataclass(frozen=True)
class Probe:
    """What a system can do here; *missing* says why it can do nothing."""

    system: System
    workloads: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    missing: str = ""


@dataclass(frozen=True)
class Sample:
    """One sample of one system, or the reason why there is none."""

    workload: str
    system: str
    round: int
    figures: Figures = field(default_factory=dict[str, float])
    histograms: Mapping[str, Histogram] = field(default_factory=dict[str, Histogram])
    failure: str = ""


class ChildFailed(Exception):
    """The process of a sample ended without an answer."""


def _ask_child(python: str, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Run the child under *python*; raise `ChildFailed` with its last words, or that time was up."""
    try:
        process = subprocess.Popen(
            [python, "-P", str(CHILD), json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A group of its own, so that what it started goes with it.
            start_new_session=True,
        )
    except OSError as error:
        raise ChildFailed(f"cannot start {python}: {error.strerror}") from error
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"no answer within {timeout_s:g} s") from None
    finally:
        _end_group(process)
    if process.returncode:
        raise ChildFailed(_last_words(errors) or f"exit code {process.returncode}")
    answer: dict[str, Any] = json.loads(output)
    return answer


def _end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _last_words(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def probe(system: System, python: Interpreter) -> Probe:
    """Ask the system's plug-in, under the system's own Python, what it can do."""
    request = {"probe": True, "module": system.module, "options": dict(system.options)}
    try:
        answer = _ask_child(executable(system, python), request, PROBE_TIMEOUT_S)
    except ChildFailed as failure:
        return Probe(system, missing=_why_missing(system, str(failure)))
    return Probe(system, frozenset(answer["workloads"]), answer["versions"])


def _why_missing(system: System, failure: str) -> str:
    if system.requirements or system.debian:
        return f"not installed; {install_command(system)}   ({failure})"
    return f"not there ({failure})"


@contextmanager
def scratch_directory() -> Generator[Path, None, None]:
    """Give an empty directory on the disk of `home` for the time of one sample."""
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=home()) as place:
        yield Path(place)


def take_sample(
    system: System,
    workload: Workload,
    python: Interpreter,
    *,
    smoke: bool,
    number: int,
    clock: Clock = "wall",
) -> Sample:
    """Take one sample; a failure is part of the result and never raises."""
    size = workload.size(smoke, system.speed)
    with scratch_directory() as scratch:
        request = {
            "module": system.module,
            "options": dict(system.options),
            "workload": workload.name,
            "operations": size.operations,
            "actors": size.actors,
            "scratch": str(scratch),
            "clock": clock,
        }
        try:
            answer = _ask_child(executable(system, python), request, workload.timeout_s)
        except ChildFailed as failure:
            return Sample(workload.name, system.name, number, failure=str(failure))
    return Sample(workload.name, system.name, number, answer["figures"], answer["histograms"])


def in_turn(systems: Sequence[System], number: int) -> list[System]:
    """Return the systems in the order of round *number*: rotated, so that none is always the first."""
    if not systems:
        return []
    first = number % len(systems)
    return [*systems[first:], *systems[:first]]


def measure(
    workloads: Sequence[Workload],
    probes: Sequence[Probe],
    python: Interpreter,
    *,
    rounds: int,
    smoke: bool,
    progress: Callable[[str], None],
    clock: Clock = "wall",
) -> list[Sample]:
    """Take *rounds* samples of every workload on every system that offers it, interleaved.

    By the clock ``cpu``, workloads that wait and systems that work in another process are left out.
    """
    samples: list[Sample] = []
    for workload in workloads:
        able = [
            p.system
            for p in probes
            if workload.name in p.workloads
            and workload.suite in p.system.suites
            and (clock == "wall" or not (workload.waits or p.system.outside))
        ]
        for number in range(rounds):
            for system in in_turn(able, number):
                progress(f"{workload.name}  round {number + 1}/{rounds}  {system.name}")
                samples.append(
                    take_sample(system, workload, python, smoke=smoke, number=number, clock=clock)
                )
    return samples


def to_stderr(line: str) -> None:
    """Show progress on one line of a terminal; say nothing to a file."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
