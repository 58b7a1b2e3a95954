"""Runs another project's tests in a child process, and starts another when a test hangs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


@dataclass
class Outcomes:
    """How the tests of one module ended: by test, and for those that did not pass, what was said."""

    how: dict[str, str] = field(default_factory=dict[str, str])
    detail: dict[str, str] = field(default_factory=dict[str, str])

    def put(self, test: str, how: str, detail: str) -> None:
        self.how[test] = how
        if how != "ok":
            self.detail[test] = detail


def run(
    command: Sequence[str], place: str, loop: str, *, test_s: float, cwd: Path | None = None
) -> Outcomes:
    """Return how the tests ended that *command* runs; one that takes *test_s* seconds hangs."""
    outcomes = Outcomes()
    while not _one_child(command, place, loop, test_s, cwd, outcomes):
        pass
    return outcomes


def _one_child(
    command: Sequence[str],
    place: str,
    loop: str,
    test_s: float,
    cwd: Path | None,
    outcomes: Outcomes,
) -> bool:
    """Run a child until it has come through or hangs; return whether it has come through."""
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder, "done")
        done.write_text("\n".join(outcomes.how))
        path = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(path),
            "FOREIGN_LINES": str(writer),
            "FOREIGN_DONE": str(done),
            "FOREIGN_PLACE": place,
            "FOREIGN_LOOP": loop,
        }
        with Path(folder, "said").open("w+") as said:
            child = subprocess.Popen(
                [sys.executable, *command],
                env=env,
                cwd=cwd or folder,
                pass_fds=[writer],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            os.close(writer)
            try:
                over = _listen(reader, test_s, outcomes)
            finally:
                os.close(reader)
                _end(child)
            if over and not outcomes.how and child.returncode:
                said.seek(0)
                text = said.read()
                raise RuntimeError(f"{' '.join(command)} runs no test:\n{text[-4000:]}")
            return over


def _end(child: subprocess.Popen[bytes]) -> None:
    """End *child* and what it has started, which is in a session of its own."""
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(child.pid, 9)
        except ProcessLookupError:
            pass
        child.wait()


def _listen(reader: int, test_s: float, outcomes: Outcomes) -> bool:
    begun: str | None = None
    rest = b""
    deadline = time.monotonic() + 2 * test_s
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        got = os.read(reader, 65536) if ready else b""
        if not got:
            if begun is None:
                return True  # it could not even begin, or was over
            said = "hangs" if not ready else "ends the process"
            outcomes.put(begun, said, said)
            return False
        *lines, rest = (rest + got).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "over" in said:
                return True
            if "begins" in said:
                begun = said["begins"]
            else:
                begun = None
                outcomes.put(said["ends"], said["how"], said["detail"])
        deadline = time.monotonic() + test_s
