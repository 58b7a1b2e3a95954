"""What a handler returns to cause something: the next event, or the next agent's turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast


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


def read_handoff(result: Any) -> Handoff | None:
    """Return the handoff that *result* is, if it is one: a `Handoff`, or a mapping with a trigger."""
    if isinstance(result, Handoff):
        return result
    if isinstance(result, Mapping):
        fields = cast(Mapping[str, Any], result)
        trigger = fields.get("trigger")
        if isinstance(trigger, str) and trigger:
            if "data" in fields:
                return Handoff(trigger, fields["data"])
            return Handoff(trigger, {k: v for k, v in fields.items() if k != "trigger"})
    return None


def read_emits(result: Any) -> tuple[Emit, ...]:
    """Return the events that *result* causes: an `Emit`, or every `Emit` in a list or tuple."""
    if isinstance(result, Emit):
        return (result,)
    if isinstance(result, (list, tuple)):
        items = cast("list[Any] | tuple[Any, ...]", result)
        return tuple(item for item in items if isinstance(item, Emit))
    return ()
