"""The actor that runs one execution of a pattern and ends with it."""

from __future__ import annotations

from typing import Any, Final

from agenticaiframework.actors import Actor

from .execution import Execution
from .report import Report

CONDUCT: Final = "conduct"
"""The one message that a coordinator gets."""


class Coordinator(Actor):
    """Runs one `Execution` and stops. Linked to nobody, so it takes nothing but its own work down.

    When it is stopped or killed, its handler is cancelled at its await, and with it every ask that
    is under way, so that the agents' own work for this execution is stopped too.
    """

    def __init__(self, execution: Execution) -> None:
        super().__init__()
        self.execution = execution
        execution.coordinator = self

    async def on_receive(self, message: Any) -> Report:
        report = await self.execution.conduct()
        self.stop()
        return report

    def on_stop(self) -> None:
        self._end()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._end()

    def _end(self) -> None:
        self.execution.ended(self.exit_reason)
        self.execution.coordinator = None
