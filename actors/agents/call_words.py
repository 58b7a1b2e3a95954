"""What the two sides of a request to an agent on another node say to each other, beside the answer.

The caller's side (`caller_side`) has what the work belongs to: the stream that its parts go to, the
journal of its step, the meters that count what it spends. The callee's side (`callee_side`) has the
handler. Each word goes with the request's number, in order, and ends with the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .usage import Usage


class Terms(NamedTuple):
    """What the handler's node is told with the work."""

    streamed: bool = False
    """Whether the caller reads the parts of the answer."""
    metered: bool = False
    limited: bool = False
    """Whether the caller limits what it spends, and is asked before each request."""
    path: str | None = None
    """The path of the caller's journal; None: there is none."""
    made: bool = False
    outcomes: Mapping[str, Any] = {}
    """What is recorded already, by path."""
    turn: Any = None
    """What the request adds to an agent with a model (`remote_turn.SentTurn`)."""


# -- to the caller ---------------------------------------------------------------------------------


class PartSaid(NamedTuple):
    """A part of the answer."""

    part: Any


class RequestBegun(NamedTuple):
    """A request to a model is about to be sent, or a tool to be called. With an *id*: if it may be."""

    agent: str
    tool: bool
    id: int | None = None


class RequestEnded(NamedTuple):
    """A request that was begun has ended, and took *usage*."""

    agent: str
    usage: Usage


class ToolEnded(NamedTuple):
    """A tool that was begun has ended."""

    agent: str
    returned: bool


class NotSent(NamedTuple):
    """The answer to a `RequestBegun` is not waited for any more: it is not sent, or called."""

    agent: str
    tool: bool
    id: int


class Spent(NamedTuple):
    """Something else took *usage*."""

    agent: str
    usage: Usage


class Told(NamedTuple):
    """An event of the handler's node that belongs to the caller's, too."""

    event: Any


class StepCalled(NamedTuple):
    """An inner step, or a question, of a handling. *fields* and *path* are of its context, once."""

    id: int
    kind: str
    handling: int
    path: str
    fields: Mapping[str, Any] | None
    name: str
    ordered: bool
    data: Any = None
    group: str | None = None


class StepMade(NamedTuple):
    """The function of a step has returned *value*, or has raised."""

    id: int
    value: Any


class StepDropped(NamedTuple):
    """A step is not waited for any more."""

    id: int


class TurnSaid(NamedTuple):
    """What a turn has added to the conversation that it takes part in."""

    messages: Sequence[Any]


class StateSaid(NamedTuple):
    """The state that the members of a team share, as it is at the end of a turn."""

    data: Any


# -- to the handler --------------------------------------------------------------------------------


class PartsRead(NamedTuple):
    """So many parts have been read, in all."""

    number: int


class Said(NamedTuple):
    """The answer to what was asked under *id*, or its error."""

    id: int
    value: Any = None


class MakeStep(NamedTuple):
    """Nothing is recorded of the step *id*: call its function, with this key and path."""

    id: int
    key: str
    path: str


__all__ = [
    "MakeStep",
    "NotSent",
    "PartSaid",
    "PartsRead",
    "RequestBegun",
    "RequestEnded",
    "Said",
    "Spent",
    "StateSaid",
    "StepCalled",
    "StepDropped",
    "StepMade",
    "Terms",
    "Told",
    "ToolEnded",
    "TurnSaid",
]
