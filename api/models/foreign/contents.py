"""What goes into another library's agent for a payload, and the text of what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agenticaiframework.actors import as_data


def text_of_payload(payload: Any) -> str:
    """Return *payload* as the text that an agent reads: itself, or JSON."""
    if isinstance(payload, str):
        return payload
    return json.dumps(as_data(payload), ensure_ascii=False)


def is_class(value: object, module: str, name: str) -> bool:
    """Tell whether *value* is of the class *name*, or one made from it, of the package *module*."""
    return any(
        base.__name__.partition("[")[0] == name and base.__module__.partition(".")[0] == module
        for base in type(value).__mro__
    )


def is_message(value: object) -> bool:
    """Tell whether *value* is one of LangChain's messages."""
    return is_class(value, "langchain_core", "BaseMessage")


def text_of_message(message: Any) -> Any:
    """Return the text of one of LangChain's messages, or its content if it has none."""
    content: object = message.content
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for block in cast("Sequence[Any]", content):
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, Mapping):
            text = cast("Mapping[str, Any]", block).get("text")
            texts.append(text if isinstance(text, str) else "")
    return "".join(texts) or content


def plain(value: Any) -> Any:
    """Return *value* with LangChain's messages in it as mappings of role and content."""
    if is_message(value):
        return {"role": value.type, "content": text_of_message(value)}
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {key: plain(item) for key, item in fields.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    return value
