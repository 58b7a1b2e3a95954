"""What a team has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..vocabulary.outcome import Outcome
from .handoff import HandoffRecord


class TeamResult(dict[str, Any]):
    """What a team has made of a task or a workflow, and how.

    It is a mapping: of a task, from each member to what it contributed; of a workflow, from each
    action to its output, with the fields of outputs that are mappings beside them (so the writer's
    ``{"draft": ...}``, and plain text returned under the action ``draft``, are both found under
    ``draft``). ``final`` is the last output. ``missing`` says whose contribution is not there, and
    why. ``handoffs`` lists the handoffs that happened, ``notes`` what was left on the blackboard.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        final: Any,
        outcomes: Mapping[str, Outcome],
        missing: Mapping[str, Outcome],
        handoffs: Sequence[HandoffRecord],
        notes: Mapping[str, Any],
    ) -> None:
        super().__init__(values)
        self.final = final
        self.outcomes = dict(outcomes)
        self.missing = dict(missing)
        self.handoffs = tuple(handoffs)
        self.notes = dict(notes)

    @property
    def complete(self) -> bool:
        """Whether no contribution is missing."""
        return not self.missing
