"""Calls of tools that need approval: where it is asked for, and what becomes of the answer.

A tool that is marked ``requires_approval``, or that raises ``ApprovalRequired``, is not called before
that is allowed. The agent's own function decides first (``approve=``). What it leaves open is a
question of the workflow's run, which waits for `OrchestrationEngine.approve`. Outside of one it is the
error `ApprovalNeeded`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    ToolApproved,
    ToolDenied,
)
from pydantic_ai.toolsets import AbstractToolset, CombinedToolset, WrapperToolset

from agenticaiframework.actors import (
    ApprovalNeeded,
    PendingCall,
    agent_context,
    is_coroutine_function,
)

from ..tools.calls import BlockingToolCall, ToolCall, call_apart

Decision = bool | ToolApproved | ToolDenied | None
"""What an agent's function says of a call: it may be made, or not; None leaves it open."""

DENIED = "The call was not approved."
"""What the model is told where no reason is given."""

_SIGNS = str.maketrans({"/": "%2F", "#": "%23", "%": "%25"})


class Approval(AbstractCapability[Any]):
    """Has the calls of an agent decided about that need it. *approve* is the agent's own function.

    *registers_none* says that no tools are registered with the agent of pydantic-ai itself.
    """

    def __init__(
        self,
        agent: str,
        approve: Callable[[PendingCall], Any] | None = None,
        *,
        registers_none: bool = False,
    ) -> None:
        self._agent = agent
        self._approve = approve
        self._registers_none = registers_none

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        """Return the one toolset that has tools, where pydantic-ai's own of the agent has none.

        Several are asked in tasks of their own, in each step: a fifth of what a run with tools takes.
        """
        return only_with_tools(toolset) if self._registers_none else None

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Return what was decided; None leaves the calls to the agent's own output type."""
        if _takes_requests(ctx):
            return None
        results = DeferredToolResults()
        open_: list[PendingCall] = []
        for part in requests.approvals:
            call = self._pending(part, requests)
            decision = await self._decide(call)
            if decision is None:
                open_.append(call)
            else:
                results.approvals[call.call_id] = decision
        outside = [self._pending(part, requests) for part in requests.calls]
        if (open_ or outside) and agent_context().journal is None:
            raise ApprovalNeeded(self._agent, [*open_, *outside])
        group = f"approvals-{ctx.run_step}"
        answers = await asyncio.gather(
            *(self._ask("approve", call, group) for call in open_),
            *(self._ask("result", call, group) for call in outside),
        )
        for call, answer in zip(open_, answers, strict=False):
            results.approvals[call.call_id] = read_answer(answer)
        for call, answer in zip(outside, answers[len(open_) :], strict=True):
            results.calls[call.call_id] = answer
        return results

    def _pending(self, part: ToolCallPart, requests: DeferredToolRequests) -> PendingCall:
        metadata = requests.metadata.get(part.tool_call_id)
        reason = None if metadata is None else metadata.get("reason")
        return PendingCall(
            part.tool_name,
            part.args_as_dict(),
            part.tool_call_id,
            self._agent,
            None if reason is None else str(reason),
            metadata,
        )

    async def _decide(self, call: PendingCall) -> ToolApproved | ToolDenied | None:
        """Return what the agent's function says: a plain one may block, as one that asks a person does."""
        approve = self._approve
        if approve is None:
            return None

        async def decide() -> Any:
            kind = ToolCall if is_coroutine_function(approve) else BlockingToolCall
            said: Any = await call_apart(kind, "approve", partial(approve, call))
            return _as_answer(await said if inspect.isawaitable(said) else said)

        context = agent_context()
        if context.journal is None:
            said = await decide()
        else:
            name = f"approval:{call.call_id.translate(_SIGNS)}"
            said = await context.journal.named_step(context, name, decide)
        return None if said is None else read_answer(said)

    async def _ask(self, kind: str, call: PendingCall, group: str) -> Any:
        name = f"{kind}:{call.call_id.translate(_SIGNS)}"
        data = {key: value for key, value in vars(call).items() if value is not None}
        return await agent_context().question(name, data, group=group)


def only_with_tools(toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
    """Return *toolset* without the empty ones in it where one is left then; None if nothing changes."""
    if isinstance(toolset, WrapperToolset):
        inner = only_with_tools(toolset.wrapped)
        return None if inner is None else replace(toolset, wrapped=inner)
    if type(toolset) is not CombinedToolset:
        return None
    several = cast("CombinedToolset[Any]", toolset).toolsets
    kept = [each for each in several if getattr(each, "tools", None) != {}]
    return kept[0] if len(kept) == 1 else None


def _takes_requests(ctx: RunContext[Any]) -> bool:
    """Tell whether the agent returns such calls itself: its output type says so."""
    output: Any = getattr(ctx.agent, "output_type", None)
    types = cast("list[Any]", output) if isinstance(output, list) else [output]
    return DeferredToolRequests in types


def _as_answer(said: Any) -> Any:
    """Return what a function has said as plain data; raises what is not an answer."""
    if said is None or isinstance(said, bool):
        return said
    if isinstance(said, ToolApproved):
        return {"approved": True, "arguments": said.override_args}
    if isinstance(said, ToolDenied):
        return {"approved": False, "reason": said.message}
    raise TypeError(
        f"approve= returns True, False, ToolApproved(...), ToolDenied(...), or None to leave it open, "
        f"not {said!r}"
    )


def read_answer(answer: Any) -> ToolApproved | ToolDenied:
    """Return an answer, as `OrchestrationEngine.approve` gives it, in the words of pydantic-ai."""
    if answer is True:
        return ToolApproved()
    if isinstance(answer, Mapping) and "approved" in answer:
        fields = cast("Mapping[str, Any]", answer)
        if fields["approved"] is True:
            return ToolApproved(override_args=fields.get("arguments"))
        return ToolDenied(str(fields.get("reason") or DENIED))
    return ToolDenied(answer if isinstance(answer, str) and answer else DENIED)


__all__ = ["Approval", "read_answer"]
