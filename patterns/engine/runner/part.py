"""Workflows as targets of steps: the engine starts a run of its own for each, a part of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..definition.plan import Plan


class PartTarget:
    """A workflow that is asked by a step. A step whose target it is needs no worker."""

    plan: Plan
    name: str

    @property
    def undoable(self) -> bool:
        """Whether something in it, or in its own parts, has a compensation."""
        raise NotImplementedError


class PartTimeout(TimeoutError):
    """A part took longer than the ``timeout_seconds`` of its step. It has been cancelled."""

    def __init__(self, name: str, timeout_s: float) -> None:
        super().__init__(f"the workflow {name!r} did not end within {timeout_s:g} s")
        self.timeout_s = timeout_s


class UndoFailed(Exception):
    """Something that a part had done could not be undone."""

    def __init__(self, name: str, steps: tuple[str, ...]) -> None:
        super().__init__(f"in the workflow {name!r} the undoing of {', '.join(steps)} failed")
        self.steps = steps
