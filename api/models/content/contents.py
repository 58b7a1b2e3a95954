"""How a payload becomes what a model is sent: text, media between it, or a conversation so far.

Media are pydantic-ai's objects, as they are or in their JSON form, which is what a stored run has of
them, and bytes with their type. A conversation is a list of pydantic-ai's messages, or of mappings with
a role and a content, as most services take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, TypeAlias, cast

from agenticaiframework.actors import is_a, message_of

from .data_forms import KINDS, checked_url, medium_of_data, messages_of_data
from .prompts import UnsendablePayload, field_title, render_prompt

Content: TypeAlias = Any
"""A text, or a list of texts and media: pydantic-ai's user prompt. None where nothing is asked."""


@dataclass(frozen=True, slots=True)
class ReadPayload:
    """What a payload asks, and the conversation that it asks it after."""

    content: Content
    history: Sequence[Any] = ()

    @property
    def asks_nothing(self) -> bool:
        """Whether all that is asked has to stand in the agent's instructions."""
        return self.content is None and not self.history


def read_payload(payload: Any) -> ReadPayload:
    """Return *payload* as what the model is asked, and the messages before that.

    Raises `UnsendablePayload` for what cannot reach a model. Needs pydantic-ai imported, unless
    *payload* is a text.
    """
    if isinstance(payload, str):
        return ReadPayload(payload)
    _check_size(payload)
    if isinstance(payload, Mapping) and set(cast("Mapping[Any, Any]", payload)) == {"messages"}:
        messages = messages_of(cast("Mapping[str, Any]", payload)["messages"])
    else:
        messages = messages_of(payload)
    if messages is not None:
        return _split(messages)
    try:
        return ReadPayload(user_content(payload))
    except RecursionError as error:
        raise UnsendablePayload(
            cast("object", payload), "it contains itself, or is nested too deep"
        ) from error


def user_content(payload: Any) -> Content:
    """Return *payload* as pydantic-ai's user prompt. Raises `UnsendablePayload`."""
    return _Content().of(payload)


MOST_VALUES: Final = 100_000
"""Many more than a model reads of a list. A longer text is given as a text."""
_PLAIN: Final = frozenset({bool, float, int, str, type(None)})
_NO_MEDIA: Final = _PLAIN | {list}
_BUILT_IN: Final = frozenset({dict, list, tuple})


def _check_size(payload: Any) -> None:
    """Raise `UnsendablePayload` where reading *payload* would hold the loop, each alias counted anew."""
    left = MOST_VALUES
    open_: list[Any] = [payload]
    while open_:
        value = open_.pop()
        items: Iterable[Any]
        if isinstance(value, dict):
            items = cast("dict[Any, Any]", value).values()
        elif isinstance(value, (list, tuple)):
            items = cast("Sequence[Any]", value)
        else:
            continue
        left -= len(cast("Any", value))
        if left < 0:
            raise UnsendablePayload(
                payload,
                f"it contains itself, or more than {MOST_VALUES:,} values; so much is given as one text",
            )
        open_.extend(item for item in items if type(item) not in _PLAIN)


class _Content:
    """One payload on its way to a prompt: each thing in it is looked at once, however deep it stands."""

    __slots__ = ("_media", "_within")

    def __init__(self) -> None:
        # By identity, with the thing itself, so that no other takes its place meanwhile.
        self._media: dict[int, tuple[Any, Any]] = {}
        self._within: dict[int, tuple[Any, bool]] = {}

    def of(self, payload: Any) -> Content:
        if isinstance(payload, str):
            return payload
        if payload is None:
            return None
        medium = self._medium(payload)
        if medium is not None:
            return [medium]
        if isinstance(payload, (list, tuple)):
            items = cast("Sequence[Any]", payload)
            if any(self._has_media(item) for item in items):
                return [part for item in items for part in self._parts_of(item)]
        named = _named(payload)
        if named is not None and any(self._has_media(value) for value in named.values()):
            return [*self._between(named)]
        return render_prompt(payload)

    def _medium(self, value: Any) -> Any:
        kind = cast("type[Any]", type(value))
        if kind in _NO_MEDIA or (kind is dict and not ("kind" in value or "data" in value)):
            return None
        known = self._media.get(id(value))
        if known is None:
            known = self._media[id(value)] = (value, medium_of(value))
        return known[1]

    def _has_media(self, value: Any) -> bool:
        given: Any = value
        kind = cast("type[Any]", type(given))
        if kind in _PLAIN or (kind in _BUILT_IN and not given):
            return False
        if self._medium(given) is not None:
            return True
        named = None if kind is list else _named(given)
        within: Iterable[Any]
        if named is not None:
            within = named.values()
        elif isinstance(value, (list, tuple)):
            within = cast("Sequence[Any]", value)
        else:
            return False
        known = self._within.get(id(given))
        if known is None:
            # What stands in itself has no media by that.
            self._within[id(given)] = (given, False)
            found = any(self._has_media(item) for item in within)
            known = self._within[id(given)] = (given, found)
        return known[1]

    def _parts_of(self, item: Any) -> list[Any]:
        """Return an item of a list as parts: text, or the media in it with the text around them."""
        if not self._has_media(item):
            return [render_prompt(item)]
        content = self.of(item)
        return cast("list[Any]", content) if isinstance(content, list) else [content]

    def _between(self, named: Mapping[Any, Any]) -> Iterator[Any]:
        """Yield the fields of a mapping in their order: text together, and media after their names."""
        lines: list[str] = []
        for key, value in named.items():
            if not self._has_media(value):
                lines.append(render_prompt({key: value}))
                continue
            yield "\n".join([*filter(None, lines), f"{field_title(key)}:"])
            lines = []
            content = self.of(value)
            yield from content if isinstance(content, list) else [content]
        if any(lines):
            yield "\n".join(filter(None, lines))


def _named(value: Any) -> Mapping[Any, Any] | None:
    """Return what *value* holds by name: a mapping, or the fields of a dataclass or a pydantic model."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value)
    if isinstance(value, type):
        return None
    kind = cast("type[Any]", type(value))
    names: Any = getattr(kind, "__pydantic_fields__", None)
    if names is None and is_dataclass(value):
        names = [each.name for each in fields(value)]
    if not names:
        return None
    return {name: getattr(value, name, None) for name in names}


# -- media -------------------------------------------------------------------------------------


def medium_of(value: Any) -> Any:
    """Return *value* as one of pydantic-ai's contents, if it is one; else None."""
    kind = getattr(value, "kind", None)
    if isinstance(kind, str) and kind in KINDS and _is_pydantic_ais(value):
        return value
    if isinstance(value, tuple) and len(cast("tuple[Any, ...]", value)) == 2:
        data, media_type = cast("tuple[Any, Any]", value)
        return _binary(data, media_type)
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        if given.get("kind") in KINDS:
            return medium_of_data(given)
        if {"data", "media_type"} <= given.keys():
            return _binary(given["data"], given["media_type"])
    return None


def _is_pydantic_ais(value: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "pydantic_ai" for base in type(value).__mro__)


def _binary(data: Any, media_type: Any) -> Any:
    if (
        not is_a(data, bytes, bytearray, memoryview)
        or not isinstance(media_type, str)
        or "/" not in media_type
    ):
        return None
    from pydantic_ai import BinaryContent

    return BinaryContent(bytes(data), media_type=media_type)


# -- conversations -----------------------------------------------------------------------------

_ROLES: Final = ("system", "developer", "user", "assistant")


def messages_of(payload: Any) -> list[Any] | None:
    """Return *payload* as messages of pydantic-ai, if it is a conversation; else None."""
    if not isinstance(payload, (list, tuple)) or not payload:
        return None
    items = cast("Sequence[Any]", payload)
    if all(_is_message(item) for item in items):
        return list(items)
    if not all(isinstance(item, Mapping) for item in items):
        return None
    if all(item.get("kind") in ("request", "response") and "parts" in item for item in items):
        return messages_of_data(items)
    if all(item.get("role") in _ROLES and "content" in item for item in items):
        return [_from_role(item) for item in items]
    return None


def _is_message(value: Any) -> bool:
    return getattr(value, "kind", None) in ("request", "response") and _is_pydantic_ais(value)


def _from_role(item: Mapping[str, Any]) -> Any:
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        UserPromptPart,
    )

    content, role = item["content"], item["role"]
    unknown = item.keys() - {"role", "content", "name"}
    if unknown:
        raise UnsendablePayload(
            item, f"a message with {sorted(unknown)[0]!r} is given as pydantic-ai's ModelResponse"
        )
    if role == "assistant":
        return ModelResponse([TextPart(render_prompt(_from_service(content)))])
    if role == "user":
        return ModelRequest([UserPromptPart(user_content(_from_service(content)))])
    return ModelRequest([SystemPromptPart(render_prompt(_from_service(content)))])


def _from_service(content: Any) -> Any:
    """Return the content of a message as a service has it, with its parts as pydantic-ai has them."""
    if not isinstance(content, (list, tuple)):
        return content
    parts = [_part_of_service(part) for part in cast("Sequence[Any]", content)]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


def _part_of_service(part: Any) -> Any:
    fields = _fields(part)
    if fields.get("type") == "text":
        if not isinstance(fields.get("text"), str):
            raise UnsendablePayload(part, "a part of the type 'text' has its text under 'text'")
        return fields["text"]
    if fields.get("type") != "image_url":
        return part
    from pydantic_ai import BinaryContent, ImageUrl

    given: Any = fields.get("image_url")
    url: Any = _fields(given).get("url", given)
    if not isinstance(url, str) or not url.startswith("data:"):
        return ImageUrl(checked_url(url, part))
    try:
        return BinaryContent.from_data_uri(url)
    except ValueError as error:
        raise UnsendablePayload(part, message_of(error)) from error


def _fields(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _split(messages: list[Any]) -> ReadPayload:
    """Return what the last of *messages* asks, after the others."""
    last = messages[-1]
    if last.kind == "response":
        raise UnsendablePayload(
            messages, "the conversation ends with an answer, so nothing is asked"
        )
    if not last.parts:
        raise UnsendablePayload(
            messages, "the conversation ends with a message of no parts, so nothing is asked"
        )
    if len(last.parts) != 1 or last.parts[0].part_kind != "user-prompt":
        return ReadPayload(None, messages)
    before = messages[:-1]
    if before and before[-1].kind == "response" and before[-1].tool_calls:
        raise UnsendablePayload(
            messages, "the conversation has calls of tools that nothing has answered"
        )
    return ReadPayload(last.parts[0].content, before)


__all__ = ["Content", "ReadPayload", "medium_of", "messages_of", "read_payload", "user_content"]
