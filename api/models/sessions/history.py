"""How an agent with a model remembers: where, how much, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, cast

from agenticaiframework.actors import Agent, AgentDefinitionError, near_names, shown

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["History", "as_history", "check_history"]

DEFAULT_MESSAGES: Final = 40
"""From how many messages on a history is summarised, if no bound is given."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What an agent keeps of each of its sessions.

    ::

        Agent("support", model=..., history=History(store="sqlite:///chats.db", max_messages=60))

    - *store*: the URL of a store (``sqlite:///chats.db``, ``postgresql://...``, ``memory://``), a store,
      or a ``ConversationStore`` of pydantic-ai. None: that of the engine which works in the agent's
      system, if it stores runs; else the memory of that system.
    - *max_messages*, *max_tokens*: how much of a session is kept. What is older goes, by whole turns, so
      that no tool call loses its result; a turn that is too large alone keeps its question and its
      answer. Tokens are estimated (four characters each) unless *count_tokens* counts them.
    - *summarize*: what makes a summary of the older half, once a bound is reached (40 messages, if none
      is given): a function of the messages, plain or ``async``, or an agent, which is asked with their
      text. It returns a text, or messages.
    - *expires_after*: after what time (seconds, or a `timedelta`) without a turn a session is forgotten.
    - *keep_on_restart*: whether the sessions outlive the agent's actor; if not, each start forgets them.
    - *processors*: history processors of pydantic-ai, which change what is sent, and not what is kept.
    """

    store: Any = None
    max_messages: int | None = None
    max_tokens: int | None = None
    summarize: Any = None
    count_tokens: Callable[[Sequence[ModelMessage]], int] | None = None
    expires_after: float | timedelta | None = None
    keep_on_restart: bool = True
    processors: Sequence[Any] = ()

    def __new__(cls, *given: Any, **named: Any) -> Self:
        """Return a history to be filled in; raise for what is not a parameter, with the near name."""
        known = [field.name for field in fields(cls)]
        if given:
            raise AgentDefinitionError(
                f"History takes its parameters by name, and {shown(given[0], 60)} has none: "
                'History(store="sqlite:///chats.db")'
            )
        for name in named:
            if name not in known:
                raise AgentDefinitionError(_no_parameter("History", name))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check_store(self.store)
        summarize = self.summarize
        if summarize is not None and not (callable(summarize) or _can_be_asked(summarize)):
            raise _wrong("summarize", summarize, "a function of the messages, or an agent")
        if self.count_tokens is not None and not callable(self.count_tokens):
            raise _wrong("count_tokens", self.count_tokens, "a function of messages")
        processors: Any = self.processors
        if callable(processors) or not isinstance(processors, Sequence):
            raise _wrong("processors", processors, "a list of functions of the messages")
        if summarize is not None and self.max_messages is None and self.max_tokens is None:
            object.__setattr__(self, "max_messages", DEFAULT_MESSAGES)

    @property
    def bounded(self) -> bool:
        """Whether anything is ever dropped."""
        return self.max_messages is not None or self.max_tokens is not None

    @property
    def lives_s(self) -> float | None:
        """How long a session is kept without a turn."""
        after = self.expires_after
        return after.total_seconds() if isinstance(after, timedelta) else after


def as_history(agent: str, given: Any) -> History | None:
    """Return what ``history=`` of *agent* means; None: it keeps nothing.

    None and True are a `History` as it is by default, False keeps nothing, a URL is the store, a mapping
    has the parameters. Raises `AgentDefinitionError`.
    """
    if given is None or given is True:
        return DEFAULT
    if given is False:
        return None
    if isinstance(given, History):
        return given
    try:
        if isinstance(given, str):
            return History(store=given)
        if isinstance(given, Mapping):
            return _from_mapping(cast("Mapping[Any, Any]", given))
        if keeps_sessions(given):
            return History(store=given)
    except AgentDefinitionError as error:
        raise AgentDefinitionError(f"history of agent {agent!r}: {error}") from None
    raise AgentDefinitionError(
        f"history of agent {agent!r} is {given!r}. Give History(store=..., max_messages=...), the URL of "
        "a store, or False to keep nothing"
    )


def check_history(agent: str, given: Any) -> None:
    """Raise `AgentDefinitionError` for a ``history=`` that means nothing."""
    as_history(agent, given)


def keeps_sessions(store: object) -> bool:
    """Tell whether *store* is one of ours, or a ``ConversationStore`` of pydantic-ai."""
    return hasattr(store, "append_turn") or keeps_conversations(store)


def keeps_conversations(store: object) -> bool:
    """Tell whether *store* is a ``ConversationStore`` of pydantic-ai, without importing that."""
    return any(
        base.__name__ == "ConversationStore" and base.__module__.startswith("pydantic_ai")
        for base in type(store).__mro__
    )


def _from_mapping(given: Mapping[Any, Any]) -> History:
    known = [field.name for field in fields(History)]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise AgentDefinitionError(_no_parameter("it", unknown[0]))
    return History(**given)


def _no_parameter(what: str, name: object) -> str:
    known = [field.name for field in fields(History)]
    return f"{what} has no parameter {name!r}. {near_names(str(name), known)} There are {', '.join(known)}"


def _check_bounds(history: History) -> None:
    least = 2 if history.summarize is None else 3
    wants: list[tuple[str, Any, int]] = [
        ("max_messages", history.max_messages, least),
        ("max_tokens", history.max_tokens, 1),
    ]
    for name, value, low in wants:
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise _wrong(
                name, value, f"a number from {low} on: a turn has a question and an answer"
            )
    lives_s: Any = history.expires_after
    if isinstance(lives_s, timedelta):
        lives_s = lives_s.total_seconds()
    if lives_s is not None and (
        not isinstance(lives_s, (int, float)) or isinstance(lives_s, bool) or not lives_s > 0
    ):
        raise _wrong("expires_after", history.expires_after, "seconds above 0, or a timedelta")


def _check_store(store: Any) -> None:
    if store is None:
        return
    if isinstance(store, str):
        from agenticaiframework.patterns.engine.store import StoreUrlError, check_store_url

        try:
            check_store_url(store)
        except StoreUrlError as error:
            raise AgentDefinitionError(f"History(store=...): {error}") from error
    elif not keeps_sessions(store):
        raise _wrong("store", store, "the URL of a store, a store, or a ConversationStore")


def _can_be_asked(summarize: object) -> bool:
    return isinstance(summarize, Agent) or hasattr(summarize, "run")


def _wrong(name: str, value: object, wanted: str) -> AgentDefinitionError:
    return AgentDefinitionError(
        f"History({name}={value!r}): it has to be {wanted}. "
        'For example: History(store="sqlite:///chats.db", max_messages=60)'
    )


DEFAULT: Final = History()
