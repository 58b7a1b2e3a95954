"""The place that one run has in its system: where its plain functions run, and whose its servers are."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from typing import Any, Final

from agenticaiframework.actors import ActorRef, ActorSystem, Parts, standing_here

from ..providers.asker import forget_asker, note_asker
from .calls import SYSTEM_THREADS

HOLDER: Final[ContextVar[ActorRef[Any] | None]] = ContextVar(
    "agenticaiframework_mcp_holder", default=None
)
"""The agent that the run here belongs to, with which its MCP servers live."""


PARTS: Final[ContextVar[Parts | None]] = ContextVar("agenticaiframework_tool_calls", default=None)
"""The tasks of the run here, which call its tools: the handler waits for what they wait for."""


class InSystem:
    """Let a run that is made in this block be one of the system of the handler that makes it.

    What pydantic-ai calls in threads runs in the system's, MCP servers live with the agent, and of what
    its tools ask it is known that the handler waits for it. Outside of a system, and on other loops than
    its own, nothing is changed.
    """

    __slots__ = ("_parts", "_parts_token", "_threads", "_token")

    def __enter__(self) -> None:
        note_asker()
        self._threads: Any = None
        self._token: Token[ActorRef[Any] | None] | None = None
        system = ActorSystem.current_or_none()
        if system is None or not system.running or system.loop is not asyncio.get_running_loop():
            return
        from pydantic_ai import Agent  # imported by now, and not before the first request

        self._token = HOLDER.set(standing_here())
        self._parts = Parts()
        self._parts_token = PARTS.set(self._parts)
        self._threads = Agent.using_thread_executor(SYSTEM_THREADS)
        self._threads.__enter__()

    def __exit__(self, *exc: Any) -> None:
        forget_asker()
        if self._token is not None:
            self._threads.__exit__(None, None, None)
            self._parts.close()
            PARTS.reset(self._parts_token)
            HOLDER.reset(self._token)


def calls_here() -> None:
    """Take note that the handler of this run waits for the task that makes this call."""
    parts, task = PARTS.get(), asyncio.current_task()
    if parts is not None and isinstance(task, asyncio.Task):
        parts.add(task)


__all__ = ["HOLDER", "InSystem", "calls_here"]
