"""What happens while a pattern or a team runs, as values: what `stream` yields.

``at`` is the system's clock in seconds. ``path`` names the executions around the event, the
outermost first, so that a nested pattern's events can be told from its parent's. ``work`` is the
name of the piece of work within its execution, mostly the agent's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from agenticaiframework.actors import TextDelta, is_a

from .outcome import Outcome


@dataclass(frozen=True, slots=True)
class _Happened:
    at: float
    path: tuple[str, ...]
    work: str

    @property
    def text(self) -> str:
        """The text that it adds to an answer; empty for all but a `Chunk` with some."""
        return ""


@dataclass(frozen=True, slots=True)
class Started(_Happened):
    """An agent has been asked; ``attempt`` counts from 1."""

    agent: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Chunk(_Happened):
    """A handler has given a part of its answer with `send_chunk`."""

    data: Any

    @property
    def text(self) -> str:
        """The text that it adds to the answer: of a `TextDelta`, or *data* itself if that is a text."""
        data = self.data
        if is_a(data, TextDelta):
            return data.text
        return data if is_a(data, str) else ""


@dataclass(frozen=True, slots=True)
class HandedOff(_Happened):
    """The turn goes from one to the next: a handoff rule, a delegation, or an event's handler."""

    source: str
    to: str
    trigger: str


@dataclass(frozen=True, slots=True)
class Retried(_Happened):
    """Attempt ``attempt`` failed with ``error``; the next one starts in ``delay_s`` seconds."""

    agent: str
    attempt: int
    delay_s: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class AgentRestarted(_Happened):
    """The agent that is asked is a later incarnation than the one that failed before."""

    agent: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Ended(_Happened):
    """A piece of work has ended: its ``outcome`` says how."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Finished(_Happened):
    """The whole execution has ended (``work`` is empty); the last event of a stream."""

    outcome: Outcome


PatternEvent: TypeAlias = Started | Chunk | HandedOff | Retried | AgentRestarted | Ended | Finished
"""Everything that `stream` yields."""
