"""A piece of work: what an execution asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..definition.policy import NO_POLICY, WorkPolicy
from ..vocabulary.target import Target


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work: a target, its payload, its policy; *name* is unique in its execution.

    *context* is added to what the handlers find in `agent_context`.
    """

    name: str
    target: Target
    payload: Any
    policy: WorkPolicy = NO_POLICY
    context: Mapping[str, Any] | None = None
