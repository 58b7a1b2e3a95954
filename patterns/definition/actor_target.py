"""A raw actor's ref that stands where an agent can."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from agenticaiframework.actors import ActorRef


class ActorTarget:
    """An actor's ref as an `Askable`: what it is asked goes to the actor as a message.

    A ref is one incarnation: once that has ended, asking it fails. A timeout, or the end of the
    asker, ends the waiting and not the actor's handler, which owns its own work; an `Agent` is what
    can be stopped at that. Definitions that are data cannot hold one.
    """

    __slots__ = ("name", "ref")

    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref
        self.name = ref.label

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def ask(
        self,
        payload: Any,
        timeout: float | None = None,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Awaitable[Any]:
        """Return an awaitable of the actor's reply; *context* is for agents, and does not reach it."""
        return self.ref.request(payload, timeout)
