"""A chat completion that is asked for: what is taken of it, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from .failures import CallFailed, FailureKind
from .items import Said

_REFUSED: Final = (
    *("tools", "functions", "tool_choice", "function_call", "audio", "modalities"),
    *("logprobs", "top_logprobs", "web_search_options"),
)
"""What would change the answer into something that an agent does not give."""

_STOPS: Final = 4
"""As many texts that end an answer are taken, as OpenAI takes."""

_BY_USER: Final = frozenset({"user", "system", "developer"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a caller asks, in a conversation that the caller keeps."""

    model: str
    text: str
    """The last message."""
    earlier: tuple[Said, ...]
    stream: bool
    usage: bool
    """Whether a stream ends with what was spent."""
    session: str | None
    stops: tuple[str, ...] = ()
    """The texts at which the answer ends."""


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Return what *body* asks; raises `CallFailed`."""
    model = body.get("model")
    if not isinstance(model, str):
        raise _bad("model: the name of what is asked, a text")
    for name in _REFUSED:
        if body.get(name) not in (None, False, [], "none", ["text"]):
            raise _bad(f"{name}: not taken here; what is asked has its own tools and settings")
    if body.get("n") not in (None, 1):
        raise _bad("n: there is one answer")
    form: Any = body.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):  # pyright: ignore[reportUnknownMemberType]
        raise _bad("response_format: what is asked has its own form of answers")
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise _bad("stream: true or false")
    said = _read_messages(body.get("messages"))
    options: Any = body.get("stream_options") or {}
    metadata: Any = body.get("metadata") or {}
    if not isinstance(options, dict) or not isinstance(metadata, dict):
        raise _bad("stream_options and metadata: objects")
    session = cast("dict[str, Any]", metadata).get("session")
    if session is not None and (not isinstance(session, str) or not 0 < len(session) <= 200):
        raise _bad("metadata.session: the name of a conversation, 1 to 200 characters")
    usage = bool(cast("dict[str, Any]", options).get("include_usage"))
    stops = _read_stops(body.get("stop"))
    return ChatRequest(model, said[-1].text, said[:-1], stream, usage, session, stops)


def _read_stops(given: Any) -> tuple[str, ...]:
    stops: Any = [given] if isinstance(given, str) else ([] if given is None else given)
    found: list[Any] = cast("list[Any]", stops) if isinstance(stops, list) else [None]
    if len(found) > _STOPS:
        raise _bad(f"stop: at most {_STOPS} texts")
    if not all(isinstance(stop, str) and 0 < len(stop) <= 1_000 for stop in found):
        raise _bad("stop: a text of 1 to 1000 characters, or a list of them")
    return tuple(found)


def _read_messages(given: Any) -> tuple[Said, ...]:
    if not isinstance(given, list) or not given:
        raise _bad("messages: a list with one message at least")
    said: list[Said] = []
    for number, one in enumerate(cast("list[Any]", given)):
        where = f"messages[{number}]"
        message = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        role = message.get("role")
        if role != "assistant" and role not in _BY_USER:
            raise _bad(f"{where}.role: user, assistant, system or developer")
        said.append(Said(_read_content(message.get("content"), where), role in _BY_USER))
    last = cast("dict[str, Any]", given[-1])
    if last["role"] != "user":
        raise _bad("messages: the last is the user's, which is answered")
    return tuple(said)


def _read_content(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in cast("list[Any]", content) if isinstance(content, list) else [None]:
        found = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        text = found.get("text")
        if found.get("type") != "text" or not isinstance(text, str):
            raise _bad(f"{where}.content: a text, or parts of the type text")
        texts.append(text)
    return "\n".join(texts)


def _bad(problem: str) -> CallFailed:
    return CallFailed(FailureKind.BAD_INPUT, f"The request does not fit: {problem}.")
