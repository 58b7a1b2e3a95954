"""What comes with a message to an agent, beside its payload: found by the handler in `agent_context`.

A handler's own asks hand it on (`nested_context`), so that a correlation id or a tenant given at the
door reaches every agent behind it. Two kinds of entries are treated apart. An idempotency key stands
for one piece of work: a nested ask gets one of its own, made of the key of the handling around it,
the name of what is asked, and a number if that is asked again. It is the same for a repeated attempt,
as long as the handler asks in the same order. And the keys that begin with `RUNTIME` belong to the
piece of work that they were given for (where the parts of its answer go, its team's notes): another
agent's parts do not belong into that answer, so they are not handed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from itertools import count
from typing import Any, Final

NOTHING: Final[Mapping[str, Any]] = {}

IDEMPOTENCY_KEY: Final = "idempotency_key"

RUNTIME: Final = "agenticaiframework."
"""What the keys begin with that this library keeps for itself."""


class Handling:
    """What came with the message that one handler handles, and how often it has asked whom.

    Written by the nested asks of that handler, from any thread.
    """

    # No slot for what most never need, and no constructor: one is made for each message with a context.
    _asked: dict[str, count[int]] | None = None
    mapping: Mapping[str, Any]

    def hand_on(self, name: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return what a nested ask of *name* with ``context=given`` has: *given* over what is here."""
        handed = {key: value for key, value in self.mapping.items() if not is_runtime(key)}
        if given is not None:
            handed.update(given)
        if IDEMPOTENCY_KEY in self.mapping and (given is None or IDEMPOTENCY_KEY not in given):
            handed[IDEMPOTENCY_KEY] = self._key_for(name)
        return handed

    def _key_for(self, name: str) -> str:
        asked = self._asked
        if asked is None:
            asked = self._asked = {}
        number = next(asked.setdefault(name, count(1)))
        key = f"{self.mapping[IDEMPOTENCY_KEY]}/{name}"
        return key if number == 1 else f"{key}#{number}"


CONTEXT: Final[ContextVar[Handling | None]] = ContextVar("agenticaiframework_agent_context")
"""The variable itself, for the path of every message to an agent."""


def agent_context() -> Mapping[str, Any]:
    """Return what came with the message that the running handler handles (idempotency key, ...)."""
    handling = CONTEXT.get(None)
    return NOTHING if handling is None else handling.mapping


def enter_agent_context(context: Mapping[str, Any] | None) -> None:
    """Let `agent_context` return *context* for the rest of the handler that calls this."""
    if context is None:
        CONTEXT.set(None)
    else:
        handling = Handling()
        handling.mapping = context
        CONTEXT.set(handling)


def nested_context(name: str, context: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """Return what an ask of *name* with *context* hands on here: inside a handler, *context* over what
    that handler found in `agent_context`; elsewhere *context* itself.
    """
    handling = CONTEXT.get(None)
    return context if handling is None else handling.hand_on(name, context)


def is_runtime(key: object) -> bool:
    """Tell whether *key* of a context is the library's own, and means something in this process only."""
    return isinstance(key, str) and key.startswith(RUNTIME)
