"""How a team works together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from agenticaiframework.actors import AgenticError, ModelSpec, check_spec, read_guardrails

from ..definition.fields import LimitsField, TargetField
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
    - *mode*: who does a task: ``contributors`` (the leader first, then all others, unless it hands off), or
      ``swarm``: one member has the conversation at a time, hands it over to others, and its plain answer
      ends the task. See `AgentTeam.execute_task`.
    - *state*: what the members of a swarm and their tools share, beside the conversation: a type (or a
      function) that is called once for each session, without arguments.
    - *history*: where and how the conversations of a swarm's sessions are kept, as an agent's ``history``.
    - *guardrails*: checks of the team's tasks, and of the answers to them (see `Guardrail`).
    - *shared_history*: whether the members have one history: each with a model is shown all that was said
      before, with names, in the place of a history of its own; a handler finds it in `shared_history`. In
      a session it goes on with the next task.
    - *synthesis*: whether the leader sees all contributions at the end, and makes the result of them.
    - *usage_limits*: what one piece of its work may spend on models, over all members and what they ask.
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
    shared_history: bool = False
    usage_limits: LimitsField = None
    mode: Literal["contributors", "swarm"] = "contributors"
    state: Callable[[], Any] | None = None
    history: Any = None
    guardrails: Sequence[Any] = ()

    @field_validator("guardrails", mode="before")
    @classmethod
    def _read_guardrails(cls, value: Any) -> Any:
        return read_guardrails("the team", value)

    @field_validator("history")
    @classmethod
    def _check_history(cls, value: Any) -> Any:
        try:
            check_spec(ModelSpec("of the team", history=value))
        except AgenticError as error:
            raise ValueError(str(error)) from None
        return value

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
