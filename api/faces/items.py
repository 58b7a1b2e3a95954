"""What is told while a call goes on, and what it is asked with: values that all protocols share."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from agenticaiframework.actors import Answer, TextDelta, ThinkingDelta, ToolCall, ToolResult


@dataclass(frozen=True, slots=True)
class Begun:
    """A workflow's run has begun, or one of the same key goes on."""

    run_id: str
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Something inside has happened: *done* pieces of work have ended, of *total* if that is known."""

    message: str
    done: int
    total: int | None = None
    step: str = ""
    """The step or piece of work that this is about, if it is about one."""
    phase: Literal["", "started", "waits", "ended"] = ""
    """Whether that has begun with it, waits for an answer, or has ended."""


Item: TypeAlias = Begun | Progress | TextDelta | ThinkingDelta | ToolCall | ToolResult | Answer
"""What a call tells; the last of one that succeeds is the `Answer`."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was said earlier in a conversation: by the caller, or by the target."""

    text: str
    by_user: bool


class Keeps(Protocol):
    """Takes what has to be done after a call has been left."""

    def aside(self, work: Coroutine[Any, Any, object], /) -> None:
        """Have *work* done, and waited for when the app is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a target."""

    payload: Any
    who: str
    """The caller's name, by the app's access; it sees no runs but its own."""
    timeout_s: float
    keeps: Keeps
    face: str
    """The protocol that it came by."""
    key: str | None = None
    """The idempotency key: the same of the same caller means the same run."""
    run_id: str | None = None
    """Of a workflow: the run that is to be followed, in the place of one that begins."""
    session: str | None = None
    """The conversation that agents keep for themselves."""
    earlier: Sequence[Said] = ()
    """What was said before, if it is the caller who keeps the conversation."""

    def context(self) -> Mapping[str, Any]:
        """Return what handlers find in `agent_context()`: the caller, and the protocol."""
        found: dict[str, Any] = {"caller": self.who, "face": self.face}
        if self.earlier:
            found["earlier"] = [
                {"role": "user" if said.by_user else "assistant", "content": said.text}
                for said in self.earlier
            ]
        return found
