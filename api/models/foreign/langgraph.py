"""A LangGraph app as a handler: a compiled graph, a functional entrypoint, a prebuilt agent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, cast

from agenticaiframework.actors import RequestRejected, agent_context

from .contents import is_message, plain, text_of_message, text_of_payload
from .langchain import RunnableHandler

MESSAGES = "messages"


def messages_of(payload: Any) -> list[Any]:
    """Return *payload* as messages of LangChain's."""
    if type(payload) is list:
        return cast("list[Any]", payload)
    message = payload if is_message(payload) else None
    return [message or {"role": "user", "content": text_of_payload(payload)}]


class GraphHandler(RunnableHandler):
    """Asks a graph for each payload.

    A payload that has no field of the graph's state becomes a user's message, if the graph takes messages. The
    session is the graph's thread, if the graph was compiled with a checkpointer.
    """

    def input_of(self, payload: Any) -> Any:
        # The fields of its state: its schema as JSON cannot be had of every one.
        fields: Mapping[str, Any] = getattr(self.runnable, "channels", {})
        if MESSAGES not in fields:
            return payload
        if isinstance(payload, Mapping):
            given = cast("Mapping[str, Any]", payload)
            if any(key in fields for key in given):
                return given
        return {MESSAGES: messages_of(payload)}

    def more_config(self) -> dict[str, Any]:
        if not getattr(self.runnable, "checkpointer", None):
            return {}
        session = agent_context().get("session")
        # A thread of its own, because a graph with a checkpointer needs one.
        return {"configurable": {"thread_id": str(session or uuid.uuid4())}}

    def output_of(self, result: Any) -> Any:
        if not isinstance(result, Mapping):
            return plain(result)
        state = dict(cast("Mapping[str, Any]", result))
        asked = state.pop("__interrupt__", None)
        if asked:
            questions = [getattr(one, "value", one) for one in asked]
            raise RequestRejected(
                f"the graph of agent {self.name!r} stopped to ask {questions!r}, and there is nothing "
                "here to answer it: ask in a handler of your own, and resume the graph there"
            )
        if state.get("structured_response") is not None:
            return state["structured_response"]
        messages = state.get(MESSAGES)
        if isinstance(messages, list) and messages and len(state) == 1:
            last = cast("list[Any]", messages)[-1]
            return text_of_message(last) if is_message(last) else plain(last)
        return plain(state)

    def streams(self, event: Mapping[str, Any]) -> bool:
        return bool(event["event"] == "on_chat_model_stream")
