"""Plants bugs and shows that the suite finds them: ``python -m tests.simulation.mutants``.

Each mutation of `mutations` is applied alone, to a copy of the library in a temporary folder, and
the properties of the suite are searched there in a process of its own until one is violated. The
table says which one was, and after how many schedules over all. Exit code 1 if any bug survives.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .mutations import MUTATIONS
from .planting import DoesNotFit, Mutation, plant, planted

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("actors", "supervision", "patterns")
TIMEOUT_S = 900.0
OF_LAYER = (
    ("actors/agents:AgentPool", ("pools",)),
    ("patterns/engine:StoredEvents", ("streams",)),
    ("patterns/engine:RunWatch", ("streams",)),
    ("patterns/engine:Scheduler", ("schedules",)),
    ("patterns/engine:MemorySchedules", ("schedules",)),
    ("patterns/engine:settle", ("schedules",)),
    ("patterns/engine:_places", ("queues",)),
    ("patterns/engine:_with_room", ("queues",)),
    ("patterns/engine:MemoryQueue", ("queues",)),
    ("patterns/engine:MemoryBackend.claim_abandoned", ("queues",)),
    (
        "patterns/engine",
        (
            "outages",
            "in_memory",
            "workflows",
            "nested",
            "deploys",
            "inner_steps",
            "questions",
            "callers",
        ),
    ),
    ("patterns:BoundNames", ("names",)),
    ("patterns:Setup.names_of", ("names",)),
    ("patterns:OrchestrationPattern._scope", ("names",)),
    ("patterns", ("patterns", "names", "in_memory", "workflows", "callers")),
    ("supervision", ("trees", "tasks", "kept_messages", "giving_up", "pools")),
    ("actors/agents:Handling", ("inner_steps", "callers")),
    ("actors/agents:Directory", ("names",)),
    ("actors/agents:Namesakes", ("names",)),
    ("actors/agents:next_point", ("names",)),
    ("actors/agents:points_behind", ("names",)),
    ("actors/agents:AgentAddress", ("names", "pools")),
    ("actors/agents:AddressBook", ("names",)),
)
"""Where a planted bug stands, and the properties that can see it; elsewhere, all of them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one planted bug."""

    mutation: Mutation
    caught_by: str
    how: str
    schedules: int
    took_s: float


def copy_of_the_library(folder: Path) -> Path:
    """Copy layers and tests into *folder*, and return where to import from."""
    package = folder / "agenticaiframework"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "api", package, ignore=ignore)
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, package / layer, ignore=ignore)
    shutil.copytree(ROOT / "tests" / "simulation", folder / "tests" / "simulation", ignore=ignore)
    return folder


def judge(mutation: Mutation, runs: int) -> Verdict:
    """Plant one bug in a fresh copy and hunt it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = copy_of_the_library(Path(name))
        plant(mutation, folder / "agenticaiframework")
        try:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.simulation.mutants",
                    "--hunt",
                    str(runs),
                    "--where",
                    mutation.where,
                ],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return Verdict(mutation, "(hangs)", "for real", 0, time.monotonic() - began)
    took_s = time.monotonic() - began
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines()
        return Verdict(mutation, "(crash)", said[-1] if said else "no output", 0, took_s)
    return Verdict(mutation, found["by"], found["how"], found["schedules"], took_s)


def hunt(runs: int, where: str) -> dict[str, object]:
    """Search the properties, a few schedules each in turn, until one is violated.

    Of a bug in an upper layer, those of that layer: the lower ones cannot see it.
    """
    from .suite import SUITE

    names = next((names for start, names in OF_LAYER if where.startswith(start)), None)
    entries = [entry for entry in SUITE if names is None or entry.name in names]
    schedules = 0
    share = 50
    seed = 0
    while schedules < runs:
        for entry in entries:
            result = entry.search().run(share, seed=seed, shrink=False)
            schedules += result.runs
            if result.failure is not None:
                return {
                    "by": f"{entry.name}: {result.failure.failure}",
                    "how": result.failure.found_by,
                    "schedules": schedules,
                }
        seed += share
        share = min(share * 2, 1000)
    return {"by": "", "how": "", "schedules": schedules}


def tell_misfits(chosen: list[Mutation]) -> int:
    """Print which of the planted bugs do not fit the code any more, and why."""
    misfits = 0
    for mutation in chosen:
        try:
            planted(mutation, ROOT)
        except DoesNotFit as misfit:
            misfits += 1
            print(f"{misfit}\n")
    print(f"{len(chosen)} planted bugs, {misfits} of which do not fit the code")
    return 1 if misfits else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20_000, help="schedules for each planted bug")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, default=None, help="write the table there as JSON")
    parser.add_argument("--hunt", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--where", default="", help=argparse.SUPPRESS)
    parser.add_argument(
        "--fit", action="store_true", help="only tell which bugs do not fit the code"
    )
    parser.add_argument("names", nargs="*", help="parts of the names of the bugs to plant")
    given = parser.parse_args(arguments)
    if given.hunt is not None:
        print(json.dumps(hunt(given.hunt, given.where)))
        return 0
    chosen = [m for m in MUTATIONS if not given.names or any(n in m.name for n in given.names)]
    if not chosen:
        parser.error(f"no planted bug has {' or '.join(map(repr, given.names))} in its name")
    if given.fit:
        return tell_misfits(chosen)
    verdicts: list[Verdict] = []
    with concurrent.futures.ThreadPoolExecutor(given.processes) as pool:
        for verdict in pool.map(lambda m: judge(m, given.runs), chosen):
            verdicts.append(verdict)
            said = verdict.caught_by or "SURVIVED"
            print(
                f"{len(verdicts):>3} {verdict.mutation.name:<56} {verdict.schedules:>7}  {said}",
                flush=True,
            )
    alive = [verdict for verdict in verdicts if not verdict.caught_by]
    print(
        f"\n{len(verdicts)} planted, {len(verdicts) - len(alive)} caught, {len(alive)} survived; "
        f"median of schedules: {sorted(v.schedules for v in verdicts)[len(verdicts) // 2]}"
    )
    if given.json is not None:
        rows = [
            {"bug": v.mutation.name, "where": v.mutation.where, "caught_by": v.caught_by,
             "found_by": v.how, "schedules": v.schedules, "seconds": round(v.took_s, 1)}
            for v in verdicts
        ]  # fmt: skip
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
