"""Definitions of workflows: what users write, checked as a whole, and the plan that it is compiled into.

Knows the shared words of the patterns (targets, expressions, policies) and the engine's errors, and
of stores only which URLs there are; nothing of runs. Everything here is immutable; only a `DefinitionCache`
changes, and its engine owns it.
"""

from __future__ import annotations

from .config import EngineConfig
from .loading import load_workflow, workflow_schema
from .model import Compensation, StepDefinition, WaitFor
from .parsing import parse_text, read_file, read_json, strict_json
from .queues import Queue, RateLimit
from .templates import MissingValue
from .workflow import WorkflowDefinition, define_workflow, draw_mermaid

__all__ = [
    "Compensation",
    "EngineConfig",
    "MissingValue",
    "Queue",
    "RateLimit",
    "StepDefinition",
    "WaitFor",
    "WorkflowDefinition",
    "define_workflow",
    "draw_mermaid",
    "load_workflow",
    "parse_text",
    "read_file",
    "read_json",
    "strict_json",
    "workflow_schema",
]
