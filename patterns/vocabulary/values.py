"""What a handler returns to cause something: the next event, or the next agent's turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from agenticaiframework.actors import ModelFields


@dataclass(frozen=True, slots=True)
class Emit:
    """Returned by an agent in a choreography: *event* happens next, with *data*.

    Several are returned as a list or tuple. ``Emit("order.validated", order)``.
    """

    event: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Handoff:
    """Returned by a team's member: the rule with *trigger* fires, and its role goes on with *data*.

    ``Handoff("research_complete", {"sources": 12})``. A model, which can only answer with a mapping,
    returns ``{"trigger": "research_complete", "data": {...}}``; without ``"data"`` the other fields
    are the data.
    """

    trigger: str
    data: Any = None

    is_answer: ClassVar[bool] = False
    """Whether guardrails check it as an answer."""


def read_handoff(result: Any) -> Handoff | None:
    """Return the handoff that *result* is: a `Handoff`, or a model's answer with a trigger."""
    if isinstance(result, Handoff):
        return result
    if isinstance(result, ModelFields):
        trigger = result.get("trigger")
        if isinstance(trigger, str) and trigger:
            if "data" in result:
                return Handoff(trigger, result["data"])
            return Handoff(trigger, {k: v for k, v in result.items() if k != "trigger"})
    return None


def read_emits(result: Any) -> tuple[Emit, ...]:
    """Return the events that *result* causes: an `Emit`, or every `Emit` in a list or tuple."""
    if isinstance(result, Emit):
        return (result,)
    if isinstance(result, (list, tuple)):
        items = cast("list[Any] | tuple[Any, ...]", result)
        return tuple(item for item in items if isinstance(item, Emit))
    return ()
