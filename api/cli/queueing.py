"""`run --queue`: a run that is put into a queue, and is followed wherever it is taken."""

from __future__ import annotations

from typing import NamedTuple

from agenticaiframework.actors import AgenticError
from agenticaiframework.patterns.engine import OrchestrationEngine

from .lines import Line


class BadPlace(AgenticError, ValueError):
    """``--queue``, ``--key`` and ``--priority`` do not name a place in a queue."""


class Place(NamedTuple):
    """What ``--queue``, ``--key`` and ``--priority`` say; without a queue the run begins at once."""

    queue: str | None = None
    key: str | None = None
    priority: int = 0

    def check(self, persist: bool | None) -> None:
        """Raise `BadPlace` for options that do not go together."""
        if self.queue is None and (self.key is not None or self.priority):
            given = f"--key {self.key}" if self.key is not None else f"--priority {self.priority}"
            raise BadPlace(f"{given} is for a run of a queue: --queue NAME {given}")
        if self.queue is not None and persist is False:
            raise BadPlace(
                "--queue is for a stored run, whichever engine takes it: no --no-persist"
            )


async def waiting_lines(engine: OrchestrationEngine, run_id: str, queue: str) -> list[Line]:
    """Return what is said of a run that has been put into a queue."""
    lines = [Line("run", run_id)]
    if not any(each.engines for each in await engine.list_queues() if each.name == queue):
        said = f"no living engine serves {queue}: the run waits until one does"
        lines.append(Line("workflow", said, "notice"))
    return lines


async def left_lines(engine: OrchestrationEngine, run_id: str) -> list[Line]:
    """Return what is said of a run that is not followed to its end; nothing if it has ended."""
    if (await engine.get_workflow_status(run_id)).state.finished:
        return []
    out = f"to take it out: agenticaiframework workflows cancel {run_id}"
    return [Line("run", f"it stays in its queue; {out}", "notice")]
