"""A process that forks for each job, so that nothing is imported twice: ``-m tests.mutation.server``.

Started with ``loaded``, it has collected all tests, and with them imported the library; a fork gives
the functions with the bug in them their new code. That is a hundred times as fast as to start pytest,
and serves for what is in the body of a function that did not run during the imports. For the rest it
is started with ``fresh``: then a fork imports the library with the bug that is in the files.

Jobs come as JSON, one a line. What happens is told on standard output, one event a line:
``ready``, ``pid N``, ``test ID``, ``failed ID``, ``said TEXT`` and, at last, ``done STATUS``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

PRELOADED = (
    "asyncio", "concurrent.futures.thread", "coverage", "cyclopts", "hypothesis", "loguru",
    "multiprocessing.connection", "opentelemetry.sdk.trace", "psycopg", "pydantic", "pytest",
    "pykka", "rich.console", "rich.table", "sqlite3", "uvloop", "yaml",
)  # fmt: skip
MEMORY = 6 * 1024**3
NOT_SWAPPED = 71
"""The exit status of a fork that could not give a function its new code."""


class Plugin:
    """What a fork's pytest tells, and the order of its tests."""

    def __init__(self, out: int) -> None:
        self._out = out
        self.order: dict[str, int] = {}

    def tell(self, kind: str, what: str) -> None:
        """Write an event."""
        os.write(self._out, f"{kind} {what}\n".encode())

    def chosen(self, items: list[Any]) -> list[Any]:
        """Return the chosen tests, in the order in which they were given."""
        found = [item for item in items if item.nodeid in self.order]
        return sorted(found, key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell which test runs."""
        self.tell("test", nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Tell which test failed."""
        if report.failed:
            self.tell("failed", report.nodeid)


class Fresh(Plugin):
    """The plugin of a fork that collects its tests itself."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the chosen tests."""
        items[:] = self.chosen(items)


class Loaded(Plugin):
    """The plugin of a server that collects all tests, and runs them in forks."""

    def pytest_runtestloop(self, session: Any) -> bool:
        """Serve jobs in place of running the tests."""
        items = list(session.items)
        os.write(self._out, b"ready\n")

        def work(job: dict[str, Any]) -> int:
            self.order = {test: place for place, test in enumerate(job["tests"])}
            session.items = self.chosen(items)
            if len(session.items) != len(self.order):
                return 5
            if job["swap"] is not None and not swap(**job["swap"]):
                return NOT_SWAPPED
            session.config.option.maxfail = 1
            return run_items(session)

        serve(self._out, work)
        return True


def run_items(session: Any) -> int:
    """Run the session's tests until one fails."""
    from _pytest.main import pytest_runtestloop

    try:
        pytest_runtestloop(session)
    except (session.Failed, session.Interrupted):
        pass
    return 1 if session.testsfailed else 0


# -- new code ------------------------------------------------------------------------------------


def swap(file: str, before: str, after: str, outer: str) -> bool:
    """Give every function that was made of *outer* in *file* its code of *after*."""
    path = Path(file).resolve()
    old, new = (codes_of(source, file, outer) for source in (before, after))
    if {name: len(found) for name, found in old.items()} != {
        name: len(found) for name, found in new.items()
    }:
        return False  # what is not there any more cannot be told from what is
    swapped = False
    for function in [f for f in gc.get_objects() if type(f) is FunctionType]:
        code = function.__code__
        name = code.co_qualname
        if name not in old or Path(code.co_filename).resolve() != path:
            continue
        lines = [found.co_firstlineno for found in old[name]]
        changed = new[name][lines.index(code.co_firstlineno)]
        try:
            function.__code__ = changed.replace(co_filename=code.co_filename)
        except ValueError:
            return False  # it refers to other variables of the functions around it
        swapped = swapped or name == outer
    return swapped


def codes_of(source: str, file: str, outer: str) -> dict[str, list[CodeType]]:
    """Return the code of *outer* and of the functions in it, by qualified name."""
    found: dict[str, list[CodeType]] = {}
    for code in codes(compile(source, file, "exec", dont_inherit=True)):
        name = code.co_qualname
        if name == outer or name.startswith(f"{outer}.<locals>."):
            found.setdefault(name, []).append(code)
    return found


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of everything in *code*."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from codes(constant)


# -- jobs ----------------------------------------------------------------------------------------


def run_tests(job: dict[str, Any], out: int) -> int:
    """Collect and run the chosen tests until one fails."""
    import pytest

    plugin = Fresh(out)
    plugin.order = {test: place for place, test in enumerate(job["tests"])}
    files = list(dict.fromkeys(test.partition("::")[0] for test in job["tests"]))
    # The fork has imported modules that pytest would look at before their import.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*job["arguments"], *quiet, "-x", *files], plugins=[plugin]))


def simulate(job: dict[str, Any], out: int) -> int:
    """Run the simulated schedules until a property is violated."""
    sys.path.insert(0, os.getcwd())
    from tests.simulation.mutants import hunt

    found = hunt(job["schedules"], job["file"])
    os.write(out, f"said {json.dumps(found)}\n".encode())
    return 1 if found["by"] else 0


def in_fork(job: dict[str, Any], work: Any) -> None:
    """Do a job in a session of its own, and end."""
    status = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = work(job)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def serve(out: int, work: Any) -> None:
    """Do jobs until standard input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            in_fork(job, work)
        os.write(out, f"pid {pid}\n".encode())
        _, waited = os.waitpid(pid, 0)
        # What the tests started and left is of the fork's session.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os.write(out, f"done {os.waitstatus_to_exitcode(waited)}\n".encode())


def main(kind: str, arguments: list[str]) -> None:
    """Serve."""
    out = os.dup(1)
    os.dup2(2, 1)
    if kind == "loaded":
        import pytest

        pytest.main([*arguments, "-s", "tests"], plugins=[Loaded(out)])
        return
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.write(out, b"ready\n")
    serve(out, lambda job: run_tests(job, out) if job["kind"] == "tests" else simulate(job, out))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
