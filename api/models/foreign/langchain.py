"""A LangChain runnable as a handler: a model, a chain, a tool, a retriever."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from agenticaiframework.actors import PartSink, TextDelta, ToolCall, ToolResult, Usage, part_sink

from .contents import is_class, is_message, text_of_message, text_of_payload
from .spending import whole


class RunnableHandler:
    """Asks a runnable for each payload, with its stream, if there is one to stream to."""

    def __init__(self, name: str, runnable: Any) -> None:
        self.name = name
        self.runnable = runnable
        # A model takes text or messages; a chain takes what its first part takes.
        self._takes_text = is_class(runnable, "langchain_core", "BaseLanguageModel")

    async def __call__(self, payload: Any) -> Any:
        spent = spending()
        config = {"callbacks": [spent], "run_name": self.name, **self.more_config()}
        given = self.input_of(payload)
        sink = part_sink()
        if sink is None:
            result = await self.runnable.ainvoke(given, config)
        else:
            result = await self._stream(given, config, sink)
        return whole(self.output_of(result), spent.usage)

    def input_of(self, payload: Any) -> Any:
        """Return what the runnable takes for *payload*."""
        if self._takes_text and not is_class(payload, "builtins", "list"):
            return payload if is_message(payload) else text_of_payload(payload)
        return payload

    def more_config(self) -> dict[str, Any]:
        """Return what else is told to the runnable."""
        return {}

    def output_of(self, result: Any) -> Any:
        """Return the answer in what the runnable returned."""
        return text_of_message(result) if is_message(result) else result

    def streams(self, event: Mapping[str, Any]) -> bool:
        """Tell whether the text of *event* is a part of the answer: what the outermost part says."""
        return not event["parent_ids"]

    async def _stream(self, given: Any, config: dict[str, Any], sink: PartSink) -> Any:
        output: Any = None
        async for event in self.runnable.astream_events(given, config, version="v2"):
            kind: str = event["event"]
            data: Mapping[str, Any] = event["data"]
            if kind.endswith("_stream") and self.streams(event):
                text = _text_of_chunk(data.get("chunk"))
                if text:
                    sink.send(TextDelta(text))
            elif kind == "on_tool_start":
                sink.send(ToolCall(event["name"], data.get("input"), event["run_id"]))
            elif kind == "on_tool_end":
                result: Any = data.get("output")
                told = text_of_message(result) if is_message(result) else result
                sink.send(ToolResult(event["name"], event["run_id"], told))
            elif kind == "on_tool_error":
                error = str(data.get("error"))
                sink.send(ToolResult(event["name"], event["run_id"], None, error))
            if kind.endswith("_end") and not event["parent_ids"]:
                output = data.get("output")
        return output


def _text_of_chunk(chunk: Any) -> str:
    if is_message(chunk):
        text = text_of_message(chunk)
        return text if isinstance(text, str) else ""
    return chunk if isinstance(chunk, str) else ""


def spending() -> Any:
    """Return a LangChain callback that sums up what one request has spent, in `usage`."""
    return _spending_class()()


@functools.cache
def _spending_class() -> type[Any]:
    # A runnable exists only where the library that this is from is imported.
    base: type[Any] = importlib.import_module("langchain_core.callbacks").BaseCallbackHandler

    class Spending(base):  # type: ignore[misc]
        """Sums up the usage of the models that are asked in one request, and counts its tool calls."""

        def __init__(self) -> None:
            base.__init__(self)
            self.usage = Usage()

        def on_llm_end(self, response: Any, **_: Any) -> None:
            usage = Usage(requests=1, unmeasured_requests=1)
            for generations in response.generations:
                for generation in generations:
                    said = getattr(getattr(generation, "message", None), "usage_metadata", None)
                    if said:
                        usage = Usage(requests=1) + _usage_of(said)
            self.usage += usage

        def on_llm_error(self, error: BaseException, **_: Any) -> None:
            self.usage += Usage(requests=1, failed_requests=1)

        def on_tool_end(self, output: Any, **_: Any) -> None:
            self.usage += Usage(tool_calls=1)

    return Spending


def _usage_of(said: Mapping[str, Any]) -> Usage:
    read: Mapping[str, Any] = said.get("input_token_details") or {}
    written: Mapping[str, Any] = said.get("output_token_details") or {}
    return Usage(
        input_tokens=said.get("input_tokens", 0),
        output_tokens=said.get("output_tokens", 0),
        cache_read_tokens=read.get("cache_read") or 0,
        cache_write_tokens=read.get("cache_creation") or 0,
        input_audio_tokens=read.get("audio") or 0,
        output_audio_tokens=written.get("audio") or 0,
        output_reasoning_tokens=written.get("reasoning") or 0,
    )
