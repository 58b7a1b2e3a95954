"""What one request adds to a model agent, as pydantic-ai has it: handoffs, and a conversation of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from pydantic_ai import RunContext, ToolOutput
from pydantic_ai.capabilities import AbstractCapability, WrapToolExecuteHandler
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from agenticaiframework.actors import (
    HandedOver,
    HandoffTool,
    ModelTurn,
    Spoken,
    TurnState,
    agent_context,
)

from .contents import user_content
from .prompts import render_prompt

_SIGNS: Final = str.maketrans({"/": "%2F", "#": "%23", "?": "%3F", "%": "%25"})
"""What an inner step's name cannot have, in a tool call's id."""


def with_handoffs(output: Any, handoffs: Sequence[HandoffTool]) -> list[Any]:
    """Return *output*, an output type, beside the tools that end the request with a handoff."""
    several = isinstance(output, (list, tuple))
    own: Sequence[Any] = cast("Sequence[Any]", output) if several else [output]
    return [*own, *map(tool_output, handoffs)]


def tool_output(tool: HandoffTool) -> ToolOutput[Any]:
    """Return *tool* as an output of pydantic-ai: called, it ends the run, with its answer."""

    async def bare() -> Any:
        return tool.answer(None)

    async def with_data(data: Any) -> Any:
        return tool.answer(data)

    async def with_message(message: Any) -> Any:
        return tool.answer(message)

    hand_over: Any = bare
    if tool.payload is not None:
        hand_over = with_message if tool.argument == "message" else with_data
        # What the model is told of the argument: its name and its type.
        hand_over.__annotations__ = {tool.argument: tool.payload}
    return ToolOutput(hand_over, name=tool.name, description=tool.description)


def history_of(turn: ModelTurn) -> list[ModelMessage] | None:
    """Return the conversation that *turn* takes part in, for a model to read; None if there is none."""
    if turn.conversation is None:
        return None
    history: list[ModelMessage] = []
    for said in turn.conversation.messages():
        if isinstance(said, Spoken):
            history.append(spoken(said))
        elif isinstance(said, HandedOver):
            _hand_over(history, said)
        else:
            history.append(said)
    return history


def spoken(said: Spoken) -> ModelMessage:
    """Return what no model has said as a message that models read."""
    if said.by_user:
        return ModelRequest([UserPromptPart(user_content(said.content))])
    return ModelResponse([TextPart(render_prompt(said.content))])


def _hand_over(history: list[ModelMessage], said: HandedOver) -> None:
    """Tell the one who is to go on, in the place where a model's tool has returned."""
    last = history[-1] if history else None
    if isinstance(last, ModelRequest):
        parts = [
            replace(cast("ToolReturnPart[Any]", part), content=_told(said))
            if isinstance(part, ToolReturnPart) and part.tool_name == said.trigger
            else part
            for part in last.parts
        ]
        if parts != list(last.parts):
            history[-1] = replace(last, parts=parts)
            return
    history.append(handed_over(said))


def handed_over(said: HandedOver) -> ModelMessage:
    """Return the handoff of an agent with a handler as a message that models read."""
    return ModelRequest([UserPromptPart(f"({said.by}) {_told(said)}")])


def _told(said: HandedOver) -> str:
    given = "" if said.data is None else f" With it comes: {render_prompt(said.data)}"
    return f"The conversation was handed over to {said.to}, who goes on with it now.{given}"


class KeptState(AbstractCapability[Any]):
    """Records what tools make of the *state* that they share, in a step of a stored run.

    There a tool that has returned is not called again in the next attempt, so what it changed is kept
    beside what it returned.
    """

    def __init__(self, state: TurnState) -> None:
        self._state = state

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        result = await handler(args)
        context = agent_context()
        journal = context.journal
        if journal is not None:

            async def data() -> Any:
                return self._state.data()

            name = f"state {call.tool_name}:{call.tool_call_id}".translate(_SIGNS)
            self._state.restore(await journal.named_step(context, name, data))
        return result
