"""Where a run was started: the context variables of its caller, and what its handlers inherit.

The variables are a reference that the run keeps as long as it is in this process, so that a step which
begins an hour later still sees who started it. They cannot be stored. What is stored with a run is its
context, the mapping that its handlers find in `agent_context`: what the caller gave, and what the
handler that starts it found in its own; the caller's trace parent is in it under ``traceparent``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from typing import Any, Final

from agenticaiframework.actors import (
    current_traceparent,
    enter_agent_context,
    enter_traceparent,
    is_runtime,
)

from ..runner.attempt import OWN_KEYS
from ..store import ValueNotStorable

TRACEPARENT: Final = "traceparent"


def origin_of(
    caller: Context,
    workflow: str,
    handed: Mapping[str, Any] | None,
    given: Mapping[str, Any] | None,
    keep: Callable[[Any, Callable[[], str]], Any] | None,
) -> Mapping[str, Any] | None:
    """Return the context of a run of *workflow* that *caller* starts with ``context=given``, where
    *handed* is that and what it hands on itself.

    What the engine says of a step itself is left out. Raises ValueError for keys that are not texts,
    and `ValueNotStorable` for what a stored run is given and its store (*keep*) could not keep; what is only
    inherited and cannot be kept is left out. From now on *caller* is the run's: no handler's
    `agent_context` is in it any more, and the span given as ``traceparent`` is the current one.
    """
    context: dict[str, Any] = {}
    for key, value in (handed or {}).items():
        if key in OWN_KEYS or is_runtime(key):
            continue
        if keep is not None:
            try:
                _check_key(key)
                # As it comes back from a store, so that handlers find the same before and after.
                value = keep(value, partial(_name_of, key, workflow))
            except (ValueError, ValueNotStorable):
                if given is not None and key in given:
                    raise
                continue
        context[key] = value
    caller.run(_enter, context, handed is not None, given)
    return context or None


def _enter(context: dict[str, Any], in_handler: bool, given: Mapping[str, Any] | None) -> None:
    """Let the caller's context be the run's."""
    if in_handler:
        enter_agent_context(None)
    current = current_traceparent()
    if given is not None and TRACEPARENT in given:
        if context[TRACEPARENT] != current:
            enter_traceparent(context[TRACEPARENT])  # as a request's header said it
    elif current is not None:
        context[TRACEPARENT] = current


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise ValueError(f"a key of context= is a text, not {key!r}")


def _name_of(key: str, workflow: str) -> str:
    return f"context[{key!r}] of workflow {workflow!r}"
