"""A script as a model of pydantic-ai, so that tools, sessions, limits and guardrails are real with it.

Imported only where pydantic-ai is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai import messages as m
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingPart,
    DeltaToolCall,
    FunctionModel,
    FunctionStreamedResponse,
)
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from agenticaiframework.actors import (
    Answer,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    Usage,
    agent_context,
    as_data,
    model_turn,
    running_here,
)

from .script import ASKED, Asked, Script, Scripted, ScriptedRequest, asked_script


class ScriptedChat(FunctionModel):
    """A model whose every answer is the script's. *model* is the one in whose place it stands."""

    def __init__(self, script: Script, model: object = None) -> None:
        name = model if isinstance(model, str) else "scripted"
        super().__init__(self._answer, stream_function=self._stream, model_name=name)
        self._script = script
        self._model = model

    async def _answer(self, messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        request, asked = _request(self._model, messages, info, streamed=False)
        said = await asked_script(self._script, request, asked)
        if isinstance(said, m.ModelResponse):
            return said
        response = m.ModelResponse(parts=[])
        pieces = [piece async for piece in _pieces(said, request, info, asked)]
        response.parts = _whole_parts(pieces)
        for piece in pieces:
            if isinstance(piece, Scripted):
                _finish(response, piece)
        return response

    async def _stream(self, messages: list[m.ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        request, asked = _request(self._model, messages, info, streamed=True)
        said = await asked_script(self._script, request, asked)
        calls = 0
        async for piece in _pieces(said, request, info, asked):
            match piece:
                case TextDelta(text=text):
                    for word in _words(text):
                        yield word
                case ThinkingDelta(text=text):
                    yield {-1: DeltaThinkingPart(content=text)}
                case m.ToolCallPart():
                    calls += 1
                    delta = DeltaToolCall(
                        piece.tool_name, piece.args_as_json_str(), tool_call_id=piece.tool_call_id
                    )
                    yield {calls: delta}
                case _:
                    yield piece

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[m.ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse]:
        # What the function model makes of a stream has no way for the script's own usage.
        async with super().request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as response:
            made = cast("FunctionStreamedResponse", response)
            yield ScriptedStream(
                model_request_parameters=made.model_request_parameters,
                _model_name=self.model_name,
                _iter=made._iter,  # pyright: ignore[reportPrivateUsage] - of the class below
            )


@dataclass
class ScriptedStream(FunctionStreamedResponse):
    """A streamed answer that takes the usage and the reason of its end from the script."""

    async def _get_event_iterator(self) -> AsyncIterator[m.ModelResponseStreamEvent]:
        async for item in cast("AsyncIterator[Any]", self._iter):
            if isinstance(item, Scripted):
                if item.usage is not None:
                    self._usage = _request_usage(item.usage)
                if item.finish_reason is not None:
                    self.finish_reason = cast("m.FinishReason", item.finish_reason)
                continue
            for event in self._map_item(item):
                yield event


def _request(
    model: object, messages: Sequence[m.ModelMessage], info: AgentInfo, *, streamed: bool
) -> tuple[ScriptedRequest, Asked]:
    asked = ASKED.get() or _stands_in(messages)
    asked.answered, asked.text, asked.texted = None, None, False
    run_id = messages[-1].run_id
    history = [message for message in messages if message.run_id != run_id]
    mine = messages[len(history) :]
    request = ScriptedRequest(
        agent=asked.agent,
        payload=asked.payload,
        model=model,
        session=agent_context().get("session"),
        instructions=info.instructions,
        tools=(*info.function_tools, *_handoffs(info)),
        schema=_schema(info),
        history=tuple(history),
        messages=tuple(messages),
        results=tuple(_results(mine)),
        settings=cast("Mapping[str, Any] | None", info.model_settings),
        number=1 + sum(isinstance(message, m.ModelResponse) for message in mine),
        streamed=streamed,
        prompt=_prompt(messages),
    )
    return request, asked


def _handoffs(info: AgentInfo) -> Iterable[Any]:
    """Return the tools that end the request with a handoff: to pydantic-ai they are kinds of output."""
    turn = model_turn()
    names = () if turn is None else {tool.name for tool in turn.shape.handoffs}
    return (tool for tool in info.output_tools if tool.name in names)


def _stands_in(messages: Sequence[m.ModelMessage]) -> Asked:
    """Return what a model is asked that stands in for another one, which was not scripted."""
    name: str = getattr(running_here(), "name", "")
    return Asked(
        name.partition("[")[0], _prompt(messages)
    )  # of several that work at once: clerk[1]


def _schema(info: AgentInfo) -> Mapping[str, Any] | None:
    wanted = info.model_request_parameters.output_object
    if wanted is not None:
        return wanted.json_schema
    schemas = [tool.parameters_json_schema for tool in info.output_tools]
    if not schemas or info.allow_text_output:
        return None
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _results(messages: Sequence[m.ModelMessage]) -> Iterable[ToolResult]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, m.ToolReturnPart):
                failed = part.outcome != "success"
                told = part.model_response_str() if failed else None
                yield ToolResult(part.tool_name, part.tool_call_id, part.content, told)
            elif part.part_kind == "retry-prompt" and getattr(part, "tool_name", None):
                retry = cast(Any, part)
                yield ToolResult(
                    retry.tool_name, retry.tool_call_id, None, str(retry.model_response())
                )


def _prompt(messages: Sequence[m.ModelMessage]) -> str:
    for message in reversed(messages):
        for part in reversed(message.parts):
            if isinstance(part, m.UserPromptPart):
                if isinstance(part.content, str):
                    return part.content
                texts = (item for item in part.content if isinstance(item, (str, m.TextContent)))
                return "\n".join(t if isinstance(t, str) else t.content for t in texts)
    return ""


async def _pieces(
    said: Any, request: ScriptedRequest, info: AgentInfo, asked: Asked
) -> AsyncIterator[Any]:
    """Yield *said* as text, thinking, calls of tools, and what is known of its usage and its end."""
    if isinstance(said, AsyncIterator):
        async for item in cast("AsyncIterator[Any]", said):
            async for piece in _pieces(item, request, info, asked):
                yield piece
    elif _is_generator(said) or (
        isinstance(said, (list, tuple)) and _are_parts(cast("Sequence[Any]", said))
    ):
        for item in cast("Iterable[Any]", said):
            async for piece in _pieces(item, request, info, asked):
                yield piece
    elif isinstance(said, (Scripted, Answer)):
        # After parts, a text is what they were together.
        if said.output is not None and not (asked.texted and isinstance(said.output, str)):
            async for piece in _pieces(said.output, request, info, asked):
                yield piece
        reason = said.finish_reason if isinstance(said, Scripted) else None
        yield Scripted(None, said.usage, reason)
    elif isinstance(said, str) and (choice := _choice(said, info)) is not None:
        yield choice
    elif isinstance(said, (str, TextDelta, m.TextPart)):
        asked.texted = True
        yield TextDelta(_text_of(said))
    elif isinstance(said, (ThinkingDelta, m.ToolCallPart)):
        yield said
    elif isinstance(said, m.ThinkingPart):
        yield ThinkingDelta(said.content)
    elif isinstance(said, ToolCall):
        call = m.ToolCallPart(said.tool, said.arguments)
        if said.call_id:
            call.tool_call_id = said.call_id
        yield call
    else:
        for piece in _object(said, info, asked):
            yield piece


def _text_of(said: str | TextDelta | m.TextPart) -> str:
    if isinstance(said, str):
        return said
    return said.text if isinstance(said, TextDelta) else said.content


def _is_generator(value: Any) -> bool:
    return hasattr(value, "__next__")


def _are_parts(values: Sequence[Any]) -> bool:
    kinds = (
        TextDelta,
        ThinkingDelta,
        ToolCall,
        Scripted,
        m.ToolCallPart,
        m.TextPart,
        m.ThinkingPart,
    )
    return any(isinstance(value, kinds) for value in values)


def _object(value: Any, info: AgentInfo, asked: Asked) -> Iterable[Any]:
    """Return what a model says that answers with *value*: a call of an output tool, or JSON."""
    data = as_data(value)
    handed = _handoff(data, info)
    if handed is not None:
        yield handed
        return
    tool = _output_tool(type(value).__name__, data, info)
    if tool is not None:
        yield m.ToolCallPart(tool.name, _arguments(tool, data))
        return
    text = json.dumps(data, ensure_ascii=False, default=str)
    asked.answered, asked.text = value, text
    yield TextDelta(text)


def _choice(text: str, info: AgentInfo) -> m.ToolCallPart | None:
    """Return the call of the only output tool with *text* as its choice, if it takes one of several."""
    tools = [tool for tool in info.output_tools if not _is_none_tool(tool)]
    if info.allow_text_output or len(tools) != 1:
        return None
    (tool,) = tools
    fields: Mapping[str, Any] = tool.parameters_json_schema.get("properties", {})
    if len(fields) != 1:
        return None
    ((name, field),) = fields.items()
    word = text.strip()
    for choice in field.get("enum", ()):
        if isinstance(choice, str) and choice.casefold() == word.casefold():
            return m.ToolCallPart(tool.name, {name: choice})
    return None


def _handoff(data: Any, info: AgentInfo) -> m.ToolCallPart | None:
    """Return the call of the tool that *data*, a mapping with its name as the ``trigger``, hands over by."""
    if not isinstance(data, Mapping):
        return None
    fields = cast("Mapping[str, Any]", data)
    for tool in info.output_tools:
        if fields.get("trigger") == tool.name:
            given = fields.get("data")
            if not isinstance(given, Mapping):
                given = {}
            return m.ToolCallPart(tool.name, dict(cast("Mapping[str, Any]", given)))
    return None


def _output_tool(kind: str, data: Any, info: AgentInfo) -> Any:
    """Return the output tool whose schema fits *data* best; None if there are none."""
    none = [tool for tool in info.output_tools if _is_none_tool(tool)]
    if data is None and none:
        return none[0]
    tools = [tool for tool in info.output_tools if tool not in none]
    if len(tools) < 2:
        return tools[0] if tools else None
    for tool in tools:
        if tool.parameters_json_schema.get("title") == kind or tool.name.endswith(f"_{kind}"):
            return tool

    def misfit(tool: Any) -> int:
        schema: Mapping[str, Any] = tool.parameters_json_schema
        if not isinstance(data, Mapping):
            return 0 if tool.outer_typed_dict_key is not None else 1000
        fields: set[str] = set(cast("Mapping[str, Any]", data))
        return len(fields ^ set(schema.get("properties", ())))

    return min(tools, key=misfit)


def _is_none_tool(tool: Any) -> bool:
    """Tell whether *tool* says that there is no answer, where that is one of the types of the output."""
    fields: Mapping[str, Any] = tool.parameters_json_schema.get("properties", {})
    return tool.outer_typed_dict_key in fields and fields[tool.outer_typed_dict_key] == {
        "type": "null"
    }


def _arguments(tool: Any, data: Any) -> Any:
    key: str | None = tool.outer_typed_dict_key
    fields = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else None
    if key is None or (fields is not None and set(fields) == {key}):
        return dict(fields) if fields is not None else json.dumps(data)
    return {key: cast("Any", data)}


def _whole_parts(pieces: Iterable[Any]) -> list[Any]:
    parts: list[Any] = []
    for piece in pieces:
        match piece:
            case TextDelta(text=text):
                if parts and isinstance(parts[-1], m.TextPart):
                    parts[-1].content += text
                else:
                    parts.append(m.TextPart(text))
            case ThinkingDelta(text=text):
                if parts and isinstance(parts[-1], m.ThinkingPart):
                    parts[-1].content += text
                else:
                    parts.append(m.ThinkingPart(text))
            case m.ToolCallPart():
                parts.append(piece)
            case _:
                pass
    return parts


def _finish(response: m.ModelResponse, said: Scripted) -> None:
    if said.usage is not None:
        response.usage = _request_usage(said.usage)
    if said.finish_reason is not None:
        response.finish_reason = cast("m.FinishReason", said.finish_reason)


def _request_usage(usage: Usage) -> RequestUsage:
    return RequestUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )


def _words(text: str) -> Iterable[str]:
    """Yield *text* as a stream would: a word at a time, with the space before it."""
    start = 0
    for place in range(1, len(text)):
        if text[place].isspace() and not text[place - 1].isspace():
            yield text[start:place]
            start = place
    yield text[start:]


__all__ = ["ScriptedChat", "ScriptedStream"]
