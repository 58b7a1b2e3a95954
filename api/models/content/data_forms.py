"""Media and conversations in their JSON form: what a stored run has of them, and what users send.

Nothing in such data makes the program read an address that only it can read: those are given by
pydantic-ai's own objects alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from agenticaiframework.actors import message_of

from .prompts import UnsendablePayload

KINDS: Final = frozenset(
    {
        *("audio-url", "binary", "cache-point", "document-url", "image-url"),
        *("structured-content", "text-content", "uploaded-file", "video-url"),
    }
)
"""What pydantic-ai's contents say of themselves."""

_SCHEMES: Final = ("data", "http", "https")
"""Of others, such as ``s3``, a provider reads with the rights of the program's own account."""

_adapters: dict[Callable[[], Any], TypeAdapter[Any]] = {}


def medium_of_data(value: Mapping[str, Any]) -> Any:
    """Return the content of pydantic-ai whose JSON form is *value*. Raises `UnsendablePayload`."""
    medium = _validated(_content, value)
    _check(medium, value)
    return medium


def messages_of_data(items: Sequence[Any]) -> list[Any]:
    """Return the messages of pydantic-ai whose JSON form is *items*. Raises `UnsendablePayload`."""
    messages = cast("list[Any]", _validated(_messages, list(items)))
    for message in messages:
        for part in message.parts:
            _check_all(getattr(part, "content", None), items)
    return messages


def checked_url(url: object, value: object) -> str:
    """Return *url*, which stands in *value*, if a provider may be sent it as it is."""
    if not isinstance(url, str) or url.partition(":")[0].lower() not in _SCHEMES:
        raise UnsendablePayload(
            value,
            "an address in data begins with http://, https:// or data:; what is elsewhere is given as "
            "pydantic-ai's object, by the program",
        )
    return url


def _check_all(content: Any, value: object) -> None:
    if isinstance(content, (list, tuple)):
        for item in cast("Sequence[Any]", content):
            _check_all(item, value)
    elif isinstance(content, Mapping):
        for item in cast("Mapping[Any, Any]", content).values():
            _check_all(item, value)
    else:
        _check(content, value)


def _check(medium: Any, value: object) -> None:
    kind = getattr(medium, "kind", None)
    if kind not in KINDS:
        return
    url = getattr(medium, "url", None)
    if url is not None:
        checked_url(url, value)
    elif kind == "uploaded-file" and "://" in medium.file_id:
        checked_url(medium.file_id, value)
    if getattr(medium, "force_download", False) not in (False, True):
        raise UnsendablePayload(
            value,
            "data may not have an address of this network read (force_download); what is to be read "
            "from there is given as pydantic-ai's object, by the program",
        )


def _content() -> Any:
    from pydantic_ai.messages import UserContent

    return UserContent


def _messages() -> Any:
    from pydantic_ai.messages import ModelMessage

    return list[ModelMessage]


def _validated(kind: Callable[[], Any], value: Any) -> Any:
    adapter = _adapters.get(kind)
    if adapter is None:
        adapter = _adapters[kind] = TypeAdapter(kind())
    try:
        try:
            # As a store has it: bytes are base64.
            text = json.dumps(value)
        except TypeError:
            return adapter.validate_python(value)
        return adapter.validate_json(text)
    except ValidationError as error:
        raise UnsendablePayload(value, message_of(error)) from error


__all__ = ["KINDS", "checked_url", "medium_of_data", "messages_of_data"]
