"""Plants bugs and shows that the load and fault run finds them: ``python -m tests.benchmarks.planted``.

Each is planted alone, in a copy of the library in a temporary folder, and the run is made there with it. The
table says which of its counts was not 0. Exit code 1 if any bug survives.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.mutants import LAYERS, ROOT
from tests.simulation.planting import Mutation, plant, planted


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """A planted bug, the options of the run that is to find it, and the count that tells of it."""

    mutation: Mutation
    count: str
    options: tuple[str, ...] = ("--seconds", "40")


BUGS: tuple[PlantedBug, ...] = (
    PlantedBug(
        Mutation(
            "recovery forgets the queue: what had not begun when its process ended",
            "patterns/engine/host:Recovery._take_over",
            'row.finished or place == "elsewhere"',
            'row.finished or place == "elsewhere" or not any(e.step for e in entries or ())',
        ),
        "lost",
    ),
    PlantedBug(
        Mutation(
            "a resumed run does not know that its second step has finished",
            "patterns/engine/host:Recovery._take_over",
            "run, changes = await self._runs.rebuild(row, entries, choice)",
            """
            known = [e for e in entries if (e.kind, e.step) != ("step_completed", "charge")]
            run, changes = await self._runs.rebuild(row, known, choice)
            """,
        ),
        "twice",
    ),
    PlantedBug(
        Mutation(
            "each run leaves a file open",
            "patterns/engine/host:EngineCore.concluded",
            "live.conclude()",
            """
            import os
            os.open(os.devnull, os.O_RDONLY)
            live.conclude()
            """,
        ),
        "leaks",
    ),
    PlantedBug(
        Mutation(
            "a run is acknowledged before it is stored",
            "patterns/engine/host:EngineCore._launch",
            """
            if live.run.persist and live.lease is None:
                live.accepted = accepted
            else:
                accepted.reply(live.id)
            """,
            "accepted.reply(live.id)",
        ),
        "lost",
    ),
)


def copy_of_the_library(folder: Path) -> None:
    """Copy the layers and what runs them into *folder*."""
    ignore = shutil.ignore_patterns("__pycache__")
    package = folder / "agenticaiframework"
    shutil.copytree(ROOT / "api", package, ignore=ignore)
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, package / layer, ignore=ignore)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks", ignore=ignore)


def found_by(bug: PlantedBug) -> dict[str, list[str]]:
    """Return the counts of a run with the bug in it."""
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        folder = Path(name)
        copy_of_the_library(folder)
        plant(bug.mutation, folder / "agenticaiframework")
        told = folder / "result.json"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "service", *bug.options, "--json", str(told)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not told.exists():
            return {"no result": [done.stderr[-500:]]}
        counts: dict[str, list[str]] = json.loads(told.read_text(encoding="utf-8"))["counts"]
        return {name: found for name, found in counts.items() if found}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="parts of the names of the bugs to plant")
    given = parser.parse_args()
    alive = 0
    for bug in BUGS:
        if given.names and not any(name in bug.mutation.name for name in given.names):
            continue
        counts = found_by(bug)
        caught = bug.count in counts
        alive += not caught
        said = ", ".join(f"{name} {len(found)}" for name, found in counts.items())
        print(f"{bug.mutation.name}: {said if caught else 'SURVIVED'}", flush=True)
        for name, found in counts.items():
            print(f"    {name}: {found[0][:200]}", flush=True)
    return 1 if alive else 0


def misfits() -> None:
    """Raise `DoesNotFit` for a bug whose code does not stand any more where it is to be planted."""
    for bug in BUGS:
        planted(bug.mutation, ROOT)


if __name__ == "__main__":
    sys.exit(main())
