"""Round each call of a tool: its key, its time limit, and what becomes of its error.

`GuardedToolset` wraps the tools of an agent. What records tool calls wraps it: then a call that is
recorded is not made, and one that is made has the key of the record.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
    UsageLimitExceeded,
    UserError,
)
from pydantic_ai.messages import ToolReturn
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import to_json

from agenticaiframework.actors import (
    IDEMPOTENCY_KEY,
    ActorSystem,
    AgenticError,
    QuestionOpen,
    UsageLimitReached,
    agent_context,
    causes_of,
    contained,
    in_agent_context,
    key_part,
)
from agenticaiframework.patterns.engine import AnswerPending

from .calls import traceback_of_tool
from .declared import OnError
from .errors import ToolCallFailed, ToolExited, ToolTimeout, UntellableResult, told
from .scope import calls_here

_SIGNALS: Final = (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
"""What a tool raises to say something to pydantic-ai: no errors."""

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class CallRules:
    """How calls of a tool are made: within *timeout_s*, and what becomes of an error."""

    timeout_s: float | None = None
    on_error: OnError = "tell_model"


NO_RULES: Final = CallRules()


@dataclass
class GuardedToolset(WrapperToolset[Any]):
    """The tools of an agent, each call by its rules. One is made for each run; that numbers its calls."""

    rules: Mapping[str, CallRules] = field(default_factory=dict[str, CallRules])
    """The rules of the tools that have their own, by name."""
    others: CallRules = NO_RULES
    """The rules of all other tools."""
    agent: str = ""
    made: dict[str, int] = field(default_factory=dict[str, int])
    """How often each call has been made in this run, by its part of the key."""

    async def for_run(self, ctx: RunContext[Any]) -> AbstractToolset[Any]:
        """Return the toolset of one run, with its own numbers."""
        return replace(self, wrapped=await self.wrapped.for_run(ctx), made={})

    async def for_run_step(self, ctx: RunContext[Any]) -> AbstractToolset[Any]:
        wrapped = await self.wrapped.for_run_step(ctx)
        # The numbers go on: they belong to the run.
        return self if wrapped is self.wrapped else replace(self, wrapped=wrapped)

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        # Toolsets are asked in tasks of their own; what prepares a tool is a function of the user's.
        with contained:
            return await self.wrapped.get_tools(ctx)

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[Any],
        tool: ToolsetTool[Any],
    ) -> Any:
        rules = self.rules.get(name, self.others)
        calls_here()
        limit = asyncio.timeout(rules.timeout_s)
        try:
            async with limit:
                with in_agent_context(self._context_of(name, tool_args, ctx)):
                    result = await self.wrapped.call_tool(name, tool_args, ctx, tool)
            return _tellable(name, result)
        except _SIGNALS:
            raise
        except Exception as error:
            if type(error) is TimeoutError and limit.expired():
                late = ToolTimeout(name, rules.timeout_s or 0.0)
                raise self._failure(name, late, rules) from late
            if _ends_the_run(error, self.agent):
                raise
            raise self._failure(name, error, rules) from error

    def _context_of(
        self, name: str, arguments: Mapping[str, Any], ctx: RunContext[Any]
    ) -> Mapping[str, Any]:
        """Return what the tool finds in `agent_context`: all that the agent has, with a key of its own."""
        context = agent_context()
        if context.journal is not None:
            return context  # the step that records this call has its key already
        part = f"{key_part(name)}.{_digest(arguments)}"
        number = self.made[part] = self.made.get(part, 0) + 1
        key = f"{context.get(IDEMPOTENCY_KEY, ctx.run_id)}/{part}"
        return {**context, IDEMPOTENCY_KEY: key if number == 1 else f"{key}#{number}"}

    def _failure(self, name: str, error: Exception, rules: CallRules) -> Exception:
        """Return what is raised for *error* of the tool *name*."""
        if rules.on_error == "fail":
            return ToolCallFailed(name, error)
        # What an AgenticError is about has been logged where it happened.
        cause = error.__cause__ if isinstance(error, ToolExited) else error
        untold = None if isinstance(cause, AgenticError) else cause
        shown = "" if untold is None else f"\n{traceback_of_tool(untold)}"
        log = ActorSystem.current().log.bind(agent=self.agent, tool=name)
        said = "The tool {} failed, and its model is told: {}{}"
        log.warning(said, name, told(error), shown)
        return ToolFailed(told(error))


def _digest(arguments: Mapping[str, Any]) -> str:
    """Return what stands for *arguments* in a key: another attempt may call with others."""
    try:
        data = to_json(arguments, bytes_mode="base64", serialize_unknown=True)
    except ValueError:
        data = repr(arguments).encode()
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def _ends_the_run(error: Exception, agent: str) -> bool:
    """Tell whether *error* is about the run of *agent* and not about the tool.

    So is a limit, but that of one answer of another agent; a wrong definition; and a question that only
    a person can answer, which the model is not.
    """
    if isinstance(error, (UserError, UsageLimitExceeded)):
        return True
    for cause in causes_of(error):
        if isinstance(cause, UsageLimitReached):
            return not cause.of_one_answer or cause.name == agent
        if isinstance(cause, (QuestionOpen, AnswerPending)):
            return True
    return False


def _tellable(name: str, result: Any) -> Any:
    """Return *result* as it is, or as a list if it can be read only once; raise if no model can read it."""
    if isinstance(result, Iterator):
        result = list(cast("Iterator[Any]", result))
    value = result.return_value if isinstance(result, ToolReturn) else result
    if type(value) not in _PLAIN or (isinstance(value, str) and not value.isascii()):
        try:
            to_json(value, bytes_mode="base64")
        except ValueError as error:
            raise UntellableResult(name, value, error) from error
    return cast(Any, result)


__all__ = ["NO_RULES", "CallRules", "GuardedToolset"]
