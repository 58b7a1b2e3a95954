"""What a system's event stream tells of the requests to models."""

from __future__ import annotations

from dataclasses import dataclass

from .usage import Usage


@dataclass(frozen=True, slots=True)
class ModelRequestEnded:
    """A request to a model has ended, well or not: one event for each that was sent.

    Published on the event stream of the system that the agent works in
    (``system.subscribe(fn, ModelRequestEnded)``). *agent* is the agent that asked, *model* and
    *provider* are what was asked, *usage* is what it took, with ``requests=1``. *started_at* is on the
    system's clock. *error* is the error's class and text where there is no answer.
    """

    agent: str
    model: str
    provider: str
    usage: Usage
    started_at: float
    duration_s: float
    error: str | None = None
    session: str | None = None
    streamed: bool = False


__all__ = ["ModelRequestEnded"]
