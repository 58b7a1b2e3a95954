"""What a team has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agenticaiframework.actors import NO_USAGE, Usage, as_data

from ..vocabulary.outcome import Outcome, outcome_to_dict
from .conversation import Utterance
from .handoff import HandoffRecord


class TeamResult(dict[str, Any]):
    """What a team has made of a task or a workflow, and how.

    It is a mapping: of a task, from each member to what it contributed; of a workflow, from each
    action to its output, with the fields of outputs that are mappings beside them (so the writer's
    ``{"draft": ...}``, and plain text returned under the action ``draft``, are both found under
    ``draft``); a field never takes the place of an action's output or of another role's field. ``final`` is the last output. ``missing`` says whose contribution is not there, and
    why. ``handoffs`` lists the handoffs that happened, ``notes`` what was left on the blackboard,
    ``usage`` is what it has spent on models, with all beneath it.

    A swarm's has the ``conversation`` too, who spoke last (``speaker``), whether it is ``waiting`` for its
    user, and the ``state`` that its members share.
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
        usage: Usage = NO_USAGE,
    ) -> None:
        super().__init__(values)
        self.final = final
        self.outcomes = dict(outcomes)
        self.missing = dict(missing)
        self.handoffs = tuple(handoffs)
        self.notes = dict(notes)
        self.usage = usage
        self.conversation: tuple[Utterance, ...] = ()
        """What was said in the session so far; of a swarm alone, as are the following."""
        self.speaker: str | None = None
        """The member that spoke last."""
        self.waiting = False
        """Whether the team has handed over to its user, and waits for the next message."""
        self.state: Any = None
        """What the members and their tools share."""

    @property
    def complete(self) -> bool:
        """Whether no contribution is missing."""
        return not self.missing

    def replace_final(self, answer: Any) -> None:
        """Put *answer* in the place of the last output."""
        for name, value in reversed(self.items()):
            if value is self.final:
                self[name] = answer
                break
        self.final = answer

    def to_dict(self) -> dict[str, Any]:
        """Return what was made, and how, as plain data, for JSON."""
        data: dict[str, Any] = as_data(
            {
                "results": dict(self),
                "final": self.final,
                "outcomes": {name: outcome_to_dict(o) for name, o in self.outcomes.items()},
                "missing": {name: outcome_to_dict(o) for name, o in self.missing.items()},
                "handoffs": self.handoffs,
                "notes": self.notes,
                "usage": self.usage,
            }
        )
        if self.speaker is not None:
            data |= as_data(
                {
                    "conversation": self.conversation,
                    "speaker": self.speaker,
                    "waiting": self.waiting,
                    "state": self.state,
                }
            )
        return data
