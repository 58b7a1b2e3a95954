"""An agent's guardrails inside a run of pydantic-ai: before anything follows, and on its answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic_ai import ModelRetry
from pydantic_ai.capabilities import AbstractCapability, WrapModelRequestHandler
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import RunContext

from agenticaiframework.actors import RepairWanted, as_data, guarded_request
from agenticaiframework.patterns import Handoff

from ..content.prompts import render_prompt


class CheckedByGuardrails(AbstractCapability[Any]):
    """Has the running request's guardrails checked.

    What a model has answered leads to nothing, no tool is called, before the checks beside the request
    have passed. The answer is checked in the run, so that the model can be asked for another.
    """

    async def wrap_model_request(
        self,
        ctx: RunContext[Any],
        *,
        request_context: ModelRequestContext,
        handler: WrapModelRequestHandler,
    ) -> ModelResponse:
        response = await handler(request_context)
        guarded = guarded_request()
        if guarded is not None:
            await guarded.passed()
        return response

    async def after_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any
    ) -> Any:
        guarded = guarded_request()
        if guarded is None or ctx.partial_output or isinstance(output, Handoff):
            return output
        try:
            checked = await guarded.check_answer(output)
        except RepairWanted as wanted:
            raise ModelRetry(wanted.feedback) from wanted
        if checked is not output:
            _remember(ctx, output_context, checked)
        return checked


def _remember(ctx: RunContext[Any], context: OutputContext, answer: Any) -> None:
    """Put *answer* into the history in the place of what the model has said.

    A later turn of the session must not read what a guardrail has taken out.
    """
    call = context.tool_call
    if call is not None:
        call.args = as_data(answer)
        return
    for index in range(len(ctx.messages) - 1, -1, -1):
        message = ctx.messages[index]
        if isinstance(message, ModelResponse):
            text = answer if isinstance(answer, str) else render_prompt(as_data(answer))
            kept = [part for part in message.parts if not isinstance(part, TextPart)]
            ctx.messages[index] = replace(message, parts=[*kept, TextPart(text)])
            return
