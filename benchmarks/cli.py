"""The command line: ``python -m benchmarks [SUITE] [options]`` and ``python -m benchmarks peers ...``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.catalog import SYSTEMS, System, UnknownName, system_named
from benchmarks.environments import (
    Interpreter,
    NoInterpreter,
    executable,
    install,
    interpreter,
    remove,
)
from benchmarks.machine import describe
from benchmarks.plot import svgs
from benchmarks.report import as_json, table
from benchmarks.runner import Probe, measure, probe, to_stderr
from benchmarks.summary import compare
from benchmarks.workloads import SUITES, WORKLOADS, Workload

DEFAULT_ROUNDS = 5


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this project, the floors under it and the peers that are installed.",
        epilog="python -m benchmarks peers list|install|remove NAME... prepares the peers; "
        "python -m benchmarks service runs a whole service under load and faults; "
        "python -m benchmarks cluster measures nodes over Ray.",
    )
    parser.add_argument("suite", nargs="?", default="kernel", choices=[*SUITES, "all"])
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes, one round, no peers but those named"
    )
    parser.add_argument(
        "--rounds", type=_positive, help=f"samples of each system (default {DEFAULT_ROUNDS})"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORKLOAD", help="may be given several times"
    )
    parser.add_argument(
        "--systems", metavar="A,B", help="only these (default: all that are installed)"
    )
    parser.add_argument(
        "--python", default=sys.executable, metavar="EXE", help="the Python to measure under"
    )
    parser.add_argument(
        "--clock",
        default="wall",
        choices=["wall", "cpu"],
        help="cpu: count processor time only, for a machine that is busy with other things",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def chosen_workloads(suite: str, only: Sequence[str]) -> list[Workload]:
    """Return the workloads of *suite*, or those named; raise `UnknownName` for one that is not there."""
    known = {workload.name: workload for workload in WORKLOADS}
    for name in only:
        if name not in known:
            raise UnknownName("workload", name, list(known))
    if only:
        return [workload for workload in WORKLOADS if workload.name in only]
    return [
        workload
        for workload in WORKLOADS
        if suite in ("all", workload.suite)
        and (not workload.needs or os.environ.get(workload.needs))
    ]


def chosen_systems(
    workloads: Sequence[Workload], names: str | None, *, smoke: bool
) -> list[System]:
    """Return the systems to try: those named, else all of the workloads' suites; in a smoke run no peers."""
    if names is not None:
        return [system_named(name.strip()) for name in names.split(",")]
    suites = {workload.suite for workload in workloads}
    return [
        system
        for system in SYSTEMS
        if suites & set(system.suites) and not (smoke and system.kind == "peer")
    ]


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for; 1 if this project or a floor failed a workload."""
    python = interpreter(arguments.python)
    workloads = chosen_workloads(arguments.suite, arguments.only)
    systems = chosen_systems(workloads, arguments.systems, smoke=arguments.smoke)
    rounds: int = arguments.rounds or (1 if arguments.smoke else DEFAULT_ROUNDS)
    for file in (arguments.json, arguments.svg):
        # A run takes long; a directory that is not there should not be found out at its end.
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
    machine = {**describe(python), "clock": arguments.clock}
    probes: list[Probe] = []
    for system in systems:
        to_stderr(f"looking for {system.name}")
        probes.append(probe(system, python))
    samples = measure(
        workloads,
        probes,
        python,
        rounds=rounds,
        smoke=arguments.smoke,
        progress=to_stderr,
        clock=arguments.clock,
    )
    to_stderr("")
    comparisons = [compare(workload, systems, samples) for workload in workloads]
    goals = not arguments.smoke
    print(table(machine, probes, comparisons, rounds, goals=goals), end="")
    if arguments.json is not None:
        content = as_json(machine, probes, comparisons, samples, rounds)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.svg is not None:
        for number, picture in enumerate(svgs(machine, comparisons, goals=goals), 1):
            name = arguments.svg.name if number == 1 else f"{arguments.svg.stem}-{number}.svg"
            arguments.svg.with_name(name).write_text(picture, encoding="utf-8")
    own = {system.name for system in systems if system.kind != "peer"}
    failed = [sample for sample in samples if sample.failure and sample.system in own]
    missing = [p for p in probes if p.missing and p.system.name in own]
    return 1 if failed or missing else 0


def _peers(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers")
    parser.add_argument("action", choices=["list", "install", "remove"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="peers, or 'all'")
    parser.add_argument("--python", default=sys.executable, metavar="EXE")
    chosen = parser.parse_args(arguments)
    python = interpreter(chosen.python)
    if chosen.action == "list":
        return _list(python)
    if not chosen.names:
        parser.error(f"{chosen.action} what? Name peers, or 'all'.")
    every = chosen.names == ["all"]
    systems = (
        [s for s in SYSTEMS if s.kind == "peer"]
        if every
        else [system_named(n) for n in chosen.names]
    )
    failed = 0
    for system in systems:
        try:
            print(install(system, python) if chosen.action == "install" else remove(system, python))
        except subprocess.CalledProcessError as error:
            print(
                f"{system.name}: not installed, step ended with exit code {error.returncode}",
                file=sys.stderr,
            )
            failed += 1
    return 1 if failed else 0


def _list(python: Interpreter) -> int:
    for system in SYSTEMS:
        if system.kind == "peer":
            found = probe(system, python)
            versions = ", ".join(
                f"{name} {version}" for name, version in sorted(found.versions.items())
            )
            print(f"{system.name:<24} {found.missing or versions}  [{executable(system, python)}]")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code: 0 fine, 1 something failed, 2 wrong arguments."""
    try:
        if arguments and arguments[0] == "peers":
            return _peers(arguments[1:])
        if arguments and arguments[0] == "service":
            from benchmarks.service.cli import main as service  # it needs more than the rest

            return service(arguments[1:])
        if arguments and arguments[0] == "cluster":
            from benchmarks.cluster import main as cluster  # it needs the extra `ray`

            return cluster(arguments[1:])
        return run(_parser().parse_args(arguments))
    except (UnknownName, NoInterpreter) as error:
        print(error, file=sys.stderr)
        return 2
