"""How a team works together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..definition.fields import TargetField
from ..definition.policy import WorkPolicy

SpeakerPolicy = Literal["round_robin", "random", "simultaneous", "moderator"]


class TeamConfig(WorkPolicy):
    """How a team works together; every option has a default.

    - *max_members*: how many agents the team may have in all (None: any number).
    - *communication_style*: how members see what others said: ``structured`` (a list of mappings
      with speaker, role, round, content) or ``free`` (one text).
    - *decision_making*: how a discussion is decided: ``consensus``, ``vote`` or ``moderator``.
    - *quorum*: how many votes decide (None: more than half of the speakers).
    - *moderator*: decides, or picks the speakers: a member's name, or an agent.
    - *speaker_policy*: the order of the speakers: ``round_robin`` (in the order of the participants, later ones
      hear earlier ones), ``random`` (the same, in a new order each round), ``simultaneous`` (all at
      once, each hears the rounds before), ``moderator`` (the moderator names the next ones).
    - *coordinator*: the role or member that leads tasks (None: the first role that has members).
    - *max_handoffs*: how many handoffs one task or workflow may take.
    - *synthesis*: whether the leader sees all contributions at the end, and makes the result of them.
    - *timeout*, *retry*, *on_error*: the policy of every member's turn (see `WorkPolicy`).
    """

    max_members: int | None = Field(default=None, ge=1)
    communication_style: Literal["structured", "free"] = "structured"
    decision_making: Literal["consensus", "vote", "moderator"] = "consensus"
    quorum: int | None = Field(default=None, ge=1)
    moderator: TargetField | None = None
    speaker_policy: SpeakerPolicy = "round_robin"
    coordinator: str | None = None
    max_handoffs: int = Field(default=20, ge=1)
    synthesis: bool = False

    @model_validator(mode="after")
    def _check_moderator(self) -> TeamConfig:
        if self.moderator is None:
            for field in ("decision_making", "speaker_policy"):
                if getattr(self, field) == "moderator":
                    raise ValueError(
                        f'{field}="moderator" needs one: TeamConfig({field}="moderator", '
                        'moderator="editor")'
                    )
        return self
