"""An agent of the OpenAI Agents SDK as a handler."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, cast

from agenticaiframework.actors import (
    PartSink,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    agent_context,
    part_sink,
)

from .contents import text_of_payload
from .spending import whole


class OpenAIAgentHandler:
    """Runs an agent for each payload. Owns the sessions' histories, in memory, as the SDK keeps them."""

    def __init__(self, name: str, agent: Any) -> None:
        self.name = name
        self.agent = agent
        self._sessions: dict[str, Any] = {}

    async def __call__(self, payload: Any) -> Any:
        # Such an agent exists only where the library that this is from is imported.
        runner: Any = importlib.import_module("agents").Runner
        given = cast("Any", payload) if isinstance(payload, list) else text_of_payload(payload)
        session = self._session()
        sink = part_sink()
        if sink is None:
            result = await runner.run(self.agent, given, session=session)
        else:
            result = runner.run_streamed(self.agent, given, session=session)
            try:
                await _send_parts(result, sink)
            finally:
                # Harmless when it is over; else the model is asked no further.
                result.cancel()
        return whole(result.final_output, _usage_of(result))

    def _session(self) -> Any:
        name = agent_context().get("session")
        if name is None:
            return None
        session = self._sessions.get(name)
        if session is None:
            sessions: Any = importlib.import_module("agents").SQLiteSession
            session = self._sessions[name] = sessions(str(name))
        return session


async def _send_parts(result: Any, sink: PartSink) -> None:
    tools: dict[str, str] = {}
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            if event.data.type == "response.output_text.delta":
                sink.send(TextDelta(event.data.delta))
        elif event.type == "run_item_stream_event" and event.name == "tool_called":
            call: Any = event.item.raw_item
            call_id, tool = _field(call, "call_id"), _field(call, "name")
            tools[call_id] = tool
            sink.send(ToolCall(tool, _arguments(_field(call, "arguments")), call_id))
        elif event.type == "run_item_stream_event" and event.name == "tool_output":
            call_id = _field(event.item.raw_item, "call_id")
            sink.send(ToolResult(tools.get(call_id, ""), call_id, event.item.output))


def _field(item: Any, name: str) -> str:
    if isinstance(item, Mapping):
        return str(cast("Mapping[str, Any]", item).get(name, ""))
    return str(getattr(item, name, ""))


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _usage_of(result: Any) -> Usage:
    said: Any = result.context_wrapper.usage
    calls = sum(1 for item in result.new_items if item.type == "tool_call_output_item")
    return Usage(
        requests=said.requests,
        tool_calls=calls,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        cache_read_tokens=getattr(said.input_tokens_details, "cached_tokens", 0) or 0,
        output_reasoning_tokens=getattr(said.output_tokens_details, "reasoning_tokens", 0) or 0,
    )
