"""Workflows as code: the decorator, the plan that grows with each call, and the handle that calls are made on.

Knows definitions and errors, and not how a run is carried out: that comes through `CodeHost`. The state
of a run is the runner's; what is here belongs to the task in which the code runs.
"""

from __future__ import annotations

from .errors import CallFailed, CallTimedOut, CodeChanged
from .run import WorkflowRun
from .workflow import CodeWorkflow, workflow

__all__ = [
    "CallFailed",
    "CallTimedOut",
    "CodeChanged",
    "CodeWorkflow",
    "WorkflowRun",
    "workflow",
]
