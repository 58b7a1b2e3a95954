"""Plants a bug in the copy, runs what may notice it, and says what did."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkout import Checkout
from .coverage_map import CoverageMap, pytest_arguments
from .mutants import Mutant, change, diff, planted
from .server import NOT_SWAPPED

START_S = 180.0
"""How long a fork may take until its first test runs: it collects."""

GRACE_S = 25.0
SLOWER = 10.0
"""A test hangs that takes longer than the grace and this many times what it took before."""

BATCHES_S = (3.0, 30.0, float("inf"))
"""The tests are tried in batches of these durations, because most bugs are seen at once."""


@dataclass(slots=True)
class Ran:
    """What a fork told."""

    status: int
    failed: str = ""
    hung: str = ""
    said: str = ""
    tests: int = 0


class Server:
    """The process that forks, see `server`; started anew when it is gone."""

    def __init__(self, kind: str, checkout: Checkout, python: str) -> None:
        self._kind = kind
        self._checkout = checkout
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self.log = checkout.work / f"{kind}.log"

    def run(self, job: dict[str, Any], limit: Callable[[str], float]) -> Ran:
        """Do one job; *limit* says how long the named test may take, "" stands for the start."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps({**job, "log": str(self.log)}).encode() + b"\n")
        process.stdin.flush()
        ran = Ran(status=0)
        pid = 0
        current = ""
        until = time.monotonic() + limit("")
        while True:
            line = self._line(until)
            if line is None:
                ran.hung = current or "start"
                if pid:
                    os.killpg(pid, signal.SIGKILL)
                until = time.monotonic() + 60.0
                continue
            kind, _, rest = line.partition(" ")
            if kind == "pid":
                pid = int(rest)
            elif kind == "test":
                current = rest
                ran.tests += 1
                until = time.monotonic() + limit(current)
            elif kind == "failed":
                ran.failed = ran.failed or rest
            elif kind == "said":
                ran.said = rest
            elif kind == "done":
                ran.status = int(rest)
                return ran

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._buffer = b""
            work = self._checkout.work
            command = [self._python, "-m", "tests.mutation.server", self._kind]
            command += [*pytest_arguments(), f"--basetemp={work}/tmp"]
            with (work / f"{self._kind}-server.log").open("w") as said:
                self._process = subprocess.Popen(
                    command,
                    cwd=self._checkout.root,
                    env=self._checkout.environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                )
            if self._line(time.monotonic() + START_S) != "ready":
                raise RuntimeError(f"The server does not start; see {said.name}")
        return self._process

    def _line(self, until: float) -> str | None:
        assert self._process is not None
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left_s = until - time.monotonic()
            if left_s <= 0 or not select.select([out], [], [], left_s)[0]:
                return None
            read = os.read(out, 65536)
            if not read:
                raise RuntimeError(f"The server of tests has ended; see {self.log}")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


@dataclass
class Judge:
    """Tells of one bug after the other who sees it. Owns the copy while it works."""

    checkout: Checkout
    tests: CoverageMap
    fresh: Server
    loaded: Server
    extra: list[str] = field(default_factory=list)
    _seen_by: dict[str, Counter[str]] = field(default_factory=dict)
    _planted: int = 0

    def judge(self, mutant: Mutant, schedules: int = 0) -> dict[str, Any]:
        """Plant *mutant* and return the verdict; with *schedules*, simulation alone decides."""
        root = self.checkout.root
        path = root / mutant.file
        source = path.read_text(encoding="utf-8")
        changed = planted(root, mutant)
        assert changed is not None
        began = time.monotonic()
        try:
            self._plant(path, source, changed)
            found = (
                self._simulate(mutant, schedules)
                if schedules
                else self._run_tests(mutant, self.candidates(mutant), source, changed)
            )
        finally:
            self.clear()
        old, new = change(source, changed)
        return {
            "key": mutant.key,
            "file": mutant.file,
            "function": mutant.place.function,
            "line": mutant.line,
            "operator": mutant.operator,
            "old": old,
            "new": new,
            "diff": diff(mutant.file, source, changed),
            **found,
            "took_s": round(time.monotonic() - began, 1),
        }

    def check(self) -> None:
        """Raise unless the tests pass where nothing is planted."""
        self.clear()  # a run may have been killed
        quickest = sorted(self.tests.durations, key=self.tests.durations.__getitem__)[:50]
        for server in (self.fresh, self.loaded):
            told = self._ask(quickest, server, None)
            if told.status != 0 or told.tests != len(quickest):
                raise SystemExit(f"Without a bug, {told}; see {server.log}")

    def close(self) -> None:
        """End the servers."""
        self.fresh.close()
        self.loaded.close()

    # -- which tests ------------------------------------------------------------------------------

    def candidates(self, mutant: Mutant) -> list[str]:
        """Return the tests that may see *mutant*, those first that see most and soonest."""
        if self.extra:
            return self.extra
        place = mutant.place
        found: set[str] = set()
        if place.outer:
            found = self.tests.tests(mutant.file, place.statement)
        elif mutant.line == place.body.start:
            # A default of an argument: those of the function's body.
            found = self.tests.tests(mutant.file, range(place.body.start + 1, place.body.stop))
        if not found:
            found = self.tests.of_package(mutant.file)
        durations = self.tests.durations
        seen_by = self._seen_by.get(mutant.file, Counter())
        layer = mutant.file.partition("/")[0]
        near = {"actors": "tests/actors", "supervision": "tests/supervision"}.get(
            layer, "tests/engine" if "engine" in mutant.file else "tests/patterns"
        )

        def order(test: str) -> tuple[int, float]:
            slow = 1.0 if test.startswith(near) else 3.0
            return -min(seen_by[test], 5), durations.get(test, 0.0) * slow

        return sorted(found, key=order)

    def _batches(self, tests: list[str]) -> list[list[str]]:
        batches: list[list[str]] = []
        place = 0
        for most_s in BATCHES_S:
            batch: list[str] = []
            total = 0.0
            while place < len(tests) and (total < most_s or not batch):
                total += self.tests.durations.get(tests[place], 0.1)
                batch.append(tests[place])
                place += 1
            if batch:
                batches.append(batch)
        return batches

    # -- running ----------------------------------------------------------------------------------

    def _limit(self, test: str) -> float:
        if not test:
            return START_S
        return GRACE_S + SLOWER * self.tests.durations.get(test, 0.0)

    def _run_tests(
        self, mutant: Mutant, tests: list[str], source: str, changed: str
    ) -> dict[str, Any]:
        if not self._runs_during_imports(mutant) and not self.extra:
            swap = {
                "file": str(self.checkout.root / mutant.file),
                "before": source,
                "after": changed,
                "outer": mutant.place.outer,
            }
            found = self._run_batches(mutant, tests, self.loaded, swap)
            if found is not None:
                return found
        found = self._run_batches(mutant, tests, self.fresh, None)
        assert found is not None
        return found

    def _runs_during_imports(self, mutant: Mutant) -> bool:
        by_line = self.tests.lines(mutant.file)
        imported = any("" in by_line.get(line, ()) for line in mutant.place.statement)
        return imported or not mutant.place.outer

    def _run_batches(
        self, mutant: Mutant, tests: list[str], server: Server, swap: dict[str, str] | None
    ) -> dict[str, Any] | None:
        """Run *tests* until one sees the bug; None if that cannot be found out in this way."""
        ran = 0
        flaky: list[str] = []
        for batch in self._batches(tests):
            left = batch
            while left:
                told = self._ask(left, server, swap)
                ran += told.tests
                if told.status == NOT_SWAPPED:
                    return None
                if told.hung:
                    return self._seen("hang", told.hung, ran, flaky)
                if told.failed:
                    again = self._ask([told.failed], server, swap)
                    if again.failed or again.hung or again.status:
                        self._seen_by.setdefault(mutant.file, Counter())[told.failed] += 1
                        return self._seen("test", told.failed, ran, flaky)
                    flaky.append(told.failed)
                    left = left[left.index(told.failed) + 1 :] if told.failed in left else []
                    continue
                if told.status == 5:
                    raise RuntimeError(f"Not all of {left[:3]}... were collected")
                if told.status != 0:
                    return self._seen("crash" if told.tests else "import", "", ran, flaky)
                left = []
        return {"verdict": "survived", "how": "", "by": "", "tests": ran, "flaky": flaky}

    @staticmethod
    def _seen(how: str, by: str, ran: int, flaky: list[str]) -> dict[str, Any]:
        return {"verdict": "seen", "how": how, "by": by, "tests": ran, "flaky": flaky}

    def _ask(self, tests: list[str], server: Server, swap: dict[str, str] | None) -> Ran:
        job = {"kind": "tests", "tests": tests, "arguments": pytest_arguments(), "swap": swap}
        return server.run(job, self._limit)

    def _simulate(self, mutant: Mutant, schedules: int) -> dict[str, Any]:
        job = {"kind": "simulate", "schedules": schedules, "file": mutant.file}
        told = self.fresh.run(job, lambda _: START_S + 0.2 * schedules)
        if told.hung:
            return self._seen("hang", "simulation", 0, [])
        if told.said:
            found = json.loads(told.said)
            if not found["by"]:
                return {"verdict": "survived", "how": "", "by": "", "tests": found["schedules"]}
            return self._seen(
                "simulation", found["by"].split("\n")[0][:200], found["schedules"], []
            )
        return self._seen("crash", "simulation", 0, [])

    # -- the files --------------------------------------------------------------------------------

    @property
    def _kept(self) -> Path:
        return self.checkout.work / "planted.json"

    def _plant(self, path: Path, source: str, changed: str) -> None:
        """Write *changed* with a time of its own, so that no compiled file is taken for it."""
        modified = path.stat().st_mtime_ns
        kept = {"path": str(path), "source": source, "modified": modified}
        self._kept.write_text(json.dumps(kept), encoding="utf-8")
        self._planted += 1
        path.write_text(changed, encoding="utf-8")
        moment = modified // 10**9 + 10 * self._planted
        os.utime(path, (moment, moment))

    def clear(self) -> None:
        """Take out the bug that is planted, if there is one."""
        if self._kept.exists():
            kept = json.loads(self._kept.read_text("utf-8"))
            Path(kept["path"]).write_text(kept["source"], encoding="utf-8")
            os.utime(kept["path"], ns=(kept["modified"], kept["modified"]))
            self._kept.unlink()
