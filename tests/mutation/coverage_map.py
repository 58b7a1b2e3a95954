"""Which tests execute which line: one run of the tests, with the coverage of each kept apart."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from .checkout import LAYERS, Checkout

# What looks at the text of the library, at the tools around it, or needs a language model.
LEFT_OUT = (
    "tests/house",
    "tests/benchmarks",
    "tests/models",
    "tests/mutation",
    "tests/otp/test_mutations.py",
)
# Compares the library's text with a list of planted bugs.
DESELECTED = ("tests/simulation/test_suite.py::test_a_planted_bug_fits_the_code",)

CONFIGURATION = """\
[run]
data_file = {folder}/data
parallel = true
branch = false
concurrency = thread
context = ${{MUTATION_TEST}}
include =
{include}
"""


def pytest_arguments() -> list[str]:
    """Return pytest's arguments that select the tests used here."""
    quiet = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    ignored = [f"--ignore={path}" for path in LEFT_OUT]
    return [*quiet, *ignored, *(f"--deselect={test}" for test in DESELECTED)]


class CoverageMap:
    """Says which tests execute a line, how long each takes, and which cannot be used."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.folder = checkout.work / "coverage"

    # -- making -----------------------------------------------------------------------------------

    def make(self, python: str, paths: list[str]) -> None:
        """Run the tests once with coverage, and those that fail in it once without."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        include = "\n".join(f"    {self.checkout.root}/{layer}/*" for layer in LAYERS)
        configuration = self.folder / "coveragerc"
        configuration.write_text(
            CONFIGURATION.format(folder=self.folder, include=include), encoding="utf-8"
        )
        environment = {
            **self.checkout.environment(),
            "MUTATION_COVERAGE": str(self.folder),
            "MUTATION_TEST": "",
            "COVERAGE_CORE": "ctrace",
        }
        command = [python, "-m", "pytest", "-p", "tests.mutation.contexts", *pytest_arguments()]
        subprocess.run(
            [*command, *(paths or ["tests"])],
            cwd=self.checkout.root,
            env={**environment, "COVERAGE_PROCESS_START": str(configuration)},
        )
        subprocess.run(
            [python, "-m", "coverage", "combine", "-q", f"--rcfile={configuration}"],
            cwd=self.folder,
            env={**environment, "MUTATION_TEST": ""},
            check=True,
        )
        self._without_coverage(python)

    def _without_coverage(self, python: str) -> None:
        told = json.loads((self.folder / "tests.json").read_text("utf-8"))
        if not told["failed"]:
            return
        print(f"{len(told['failed'])} tests failed under coverage; without it:", flush=True)
        done = subprocess.run(
            [python, "-m", "pytest", "-rfE", *pytest_arguments(), *told["failed"]],
            cwd=self.checkout.root,
            env=self.checkout.environment(),
            capture_output=True,
            text=True,
        )
        print(done.stdout[-3000:])
        said = done.stdout.splitlines()
        broken = {
            test
            for test in told["failed"]
            if any(line.startswith((f"FAILED {test}", f"ERROR {test}")) for line in said)
        }
        told["failed"] = sorted(broken)
        (self.folder / "tests.json").write_text(json.dumps(told), encoding="utf-8")

    # -- reading ----------------------------------------------------------------------------------

    @functools.cached_property
    def _told(self) -> dict[str, object]:
        return dict(json.loads((self.folder / "tests.json").read_text("utf-8")))

    @functools.cached_property
    def durations(self) -> dict[str, float]:
        """How long each usable test took, in seconds, under coverage."""
        durations: dict[str, float] = self._told["durations"]  # type: ignore[assignment]
        failed = set(self._told["failed"])  # type: ignore[call-overload]
        return {test: took_s for test, took_s in durations.items() if test not in failed}

    @functools.lru_cache(maxsize=4)  # noqa: B019  # there is one map
    def lines(self, file: str) -> dict[int, frozenset[str]]:
        """Return the tests by line of *file*; the empty name stands for imports."""
        from coverage import CoverageData

        data = CoverageData(str(self.folder / "data"))
        data.read()
        found = data.contexts_by_lineno(os.fspath(self.checkout.root / file))
        return {line: frozenset(tests) for line, tests in found.items()}

    def tests(self, file: str, lines: range) -> set[str]:
        """Return the usable tests that execute any of *lines*."""
        by_line = self.lines(file)
        found = set[str]().union(*(by_line.get(line, ()) for line in lines))
        return {test for test in found if test in self.durations}

    @functools.lru_cache(maxsize=4)  # noqa: B019  # there is one map
    def of_package(self, file: str) -> frozenset[str]:
        """Return the usable tests that run something in the folder of *file*, beyond imports."""
        folder = (self.checkout.root / file).parent
        found: set[str] = set()
        for path in folder.glob("*.py"):
            name = os.fspath(path.relative_to(self.checkout.root))
            for tests in self.lines(name).values():
                if "" not in tests:
                    found |= tests
        return frozenset(found & self.durations.keys())


def exists(work: Path) -> bool:
    """Say whether a map was made in *work*."""
    return (work / "coverage" / "tests.json").exists()
