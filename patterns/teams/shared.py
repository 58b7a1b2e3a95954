"""One history for a team: what each member has said, in order, as every member sees it.

What was said is kept once, and each member is shown it when it is asked: what a task costs in memory
grows with what is said in it, and not with how often that is heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from agenticaiframework.actors import (
    MODEL_TURN,
    SESSION,
    Agent,
    ModelTurn,
    Spoken,
    TalkItem,
    TurnShape,
    agent_context,
)

from .handoff import USER, without_handoff

if TYPE_CHECKING:
    from ..execution.execution import Execution
    from .roster import Member

SHARED: Final = "agenticaiframework.shared_history"
"""Where a member's context has the `SharedHistory` of what it works on."""

_SHAPE: Final = TurnShape()


@dataclass(frozen=True, slots=True)
class Remark:
    """What was said in one turn. *messages* are those of the model that said it, with its tools."""

    speaker: str
    role: str
    content: Any
    messages: Sequence[Any] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return who said what, as plain data."""
        return {"speaker": self.speaker, "role": self.role, "content": self.content}


class SharedHistory:
    """What was said in a task, a workflow or a discussion. Owned by its coordinator."""

    def __init__(self, remarks: Sequence[Remark] = ()) -> None:
        self.remarks = list(remarks)
        self._began = len(self.remarks)

    @classmethod
    def of(cls, items: Sequence[TalkItem]) -> SharedHistory:
        """Return the history that goes on where *items* end."""
        return cls(
            [
                Remark(item.speaker, item.role, item.said.content)
                for item in items
                if isinstance(item.said, Spoken)
            ]
        )

    def items(self) -> list[TalkItem]:
        """Return what was said since it was made."""
        return [
            TalkItem(each.speaker, each.role, Spoken(each.content, each.speaker == USER))
            for each in self.remarks[self._began :]
        ]

    def add(self, speaker: str, role: str, content: Any, messages: Sequence[Any] = ()) -> None:
        """Add what *speaker* has said."""
        self.remarks.append(Remark(speaker, role, without_handoff(content), messages))

    def share(self, speaker: str, payload: Any) -> MemberShare:
        """Return the history as *speaker* is shown it beside *payload*."""
        return MemberShare(self.remarks, len(self.remarks), speaker, payload)


class MemberShare:
    """A shared history as one member sees it in one turn: an actors' `Conversation`."""

    __slots__ = ("_payload", "_remarks", "_speaker", "_until", "added")

    def __init__(self, remarks: list[Remark], until: int, speaker: str, payload: Any) -> None:
        self._remarks = remarks
        self._until = until
        """How much had been said as it was asked: those who speak at once do not hear each other."""
        self._speaker = speaker
        self._payload = payload
        self.added: Sequence[Any] = ()

    def remarks(self) -> list[Remark]:
        """Return what was said before this turn."""
        return self._remarks[: self._until]

    def messages(self) -> list[Any]:
        """Return the same for a model: its own words as it said them, those of others with their names."""
        found: list[Any] = []
        for remark in self.remarks():
            if remark.speaker == self._speaker:
                found.extend(remark.messages or [Spoken(remark.content)])
            elif remark.speaker != USER:
                found.append(Spoken(_with_name(remark), by_user=True))
            elif remark.content is not self._payload:
                found.append(Spoken(remark.content, by_user=True))
        return found

    def add(self, messages: Sequence[Any]) -> None:
        """Add the messages of the member's request."""
        self.added = messages


def _with_name(remark: Remark) -> Any:
    name = f"{remark.speaker} ({remark.role})"
    if isinstance(remark.content, str):
        return f"{name}: {remark.content}"
    return {"from": name, "said": remark.content}


def shared_history() -> list[dict[str, Any]]:
    """Return what has been said in the team's work that the running handler is asked for.

    Each entry has ``speaker``, ``role`` and ``content``. Empty outside of a team with one history.
    """
    share = agent_context().get(SHARED)
    return (
        [] if share is None else [each.to_dict() for each in cast("MemberShare", share).remarks()]
    )


def has_model(run: Execution, member: Member) -> bool:
    """Tell whether *member* is an agent with a model, which is shown a history as such."""
    agent = run.resolve(member.target)
    return isinstance(agent, Agent) and agent.model_spec is not None


def remembers(run: Execution, member: Member) -> bool:
    """Tell whether *member* has in its own session what it was told before."""
    agent = run.resolve(member.target)
    spec = agent.model_spec if isinstance(agent, Agent) else None
    return spec is not None and spec.history is not False and session_of(run) is not None


def shared_context(share: MemberShare) -> dict[str, Any]:
    """Return what a member's context has of the history that it is shown."""
    return {SHARED: share, MODEL_TURN: ModelTurn(_SHAPE, share)}


def session_of(run: Execution) -> str | None:
    """Return the session that a team is asked in."""
    return (run.scope.context or {}).get(SESSION)
