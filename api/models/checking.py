"""What can be told of a model agent when it is made, with nothing imported for it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, cast

from agenticaiframework.actors import AgentDefinitionError, ModelSpec, is_coroutine_function, shown

from .content.output_types import check_output

MODEL_SETTINGS: Final = frozenset(
    {
        *("cache", "citations", "extra_body", "extra_headers", "first_event_timeout"),
        *("framing_announcement", "frequency_penalty", "logit_bias", "max_retries", "max_tokens"),
        "request_timeout",
        *("parallel_tool_calls", "presence_penalty", "seed", "service_tier", "stop_sequences"),
        *("temperature", "thinking", "timeout", "tool_choice", "top_k", "top_p"),
    }
)
"""The settings that pydantic-ai has for every provider; one provider's own begin with its name."""

_MISSPELT: Final = 0.84
"""How near a name has to be to a setting's to be a slip, and not a provider's own."""


def check_model_spec(spec: ModelSpec) -> None:
    """Raise `AgentDefinitionError` for what cannot work."""
    if spec.typed:
        check_output(spec)
    _check_functions(spec)
    settings: Any = spec.model_settings
    if isinstance(settings, Mapping):
        _check_settings(spec.agent, cast("Mapping[Any, Any]", settings))
    elif callable(settings) and is_coroutine_function(settings):
        raise AgentDefinitionError(
            f"model_settings of agent {spec.agent!r} is an async function, and pydantic-ai calls a plain one: "
            "def settings(ctx): return {'temperature': 0.2}"
        )
    if spec.wrapped is not None and spec.model is None and _has_no_model(spec.wrapped):
        raise AgentDefinitionError(
            f"the handler of agent {spec.agent!r} is an agent without a model; give it one: "
            f"Agent({spec.agent!r}, handler=agent, model='openai:gpt-4o-mini')"
        )
    if spec.tools:
        from .tools.reading import check_tools

        check_tools(spec.agent, spec.tools)
    if spec.history is not None:
        from .sessions.history import check_history

        check_history(spec.agent, spec.history)


_MEANT: Final = {
    "stop": "stop_sequences",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "reasoning_effort": "openai_reasoning_effort",
    "stream": "",
    "n": "",
}
"""What providers call their own, which pydantic-ai would leave out; nothing: there is no such setting."""

_NUMBERS: Final = frozenset(
    {
        *("frequency_penalty", "max_retries", "max_tokens", "presence_penalty", "seed"),
        *("temperature", "top_k", "top_p"),
    }
)


def _check_settings(agent: str, settings: Mapping[Any, Any]) -> None:
    for key, value in settings.items():
        if key in _NUMBERS and isinstance(value, (str, bool)):
            raise AgentDefinitionError(
                f"model_settings of agent {agent!r} has {key}={value!r}, which is not a number"
            )
        if key in MODEL_SETTINGS:
            continue
        if key in _MEANT:
            meant = _MEANT[key]
            raise AgentDefinitionError(
                f"model_settings of agent {agent!r} has {key!r}, which is not a setting. "
                + (f"It is called {meant!r} here." if meant else "A request has one answer.")
            )
        near = difflib.get_close_matches(str(key), MODEL_SETTINGS, n=1, cutoff=_MISSPELT)
        if near or not isinstance(key, str):
            hint = f"Did you mean {near[0]!r}?" if near else ""
            raise AgentDefinitionError(
                f"model_settings of agent {agent!r} has {key!r}, which is not a setting. {hint}"
            )


def _check_functions(spec: ModelSpec) -> None:
    approve: Any = spec.approve
    if approve is not None and not callable(approve):
        raise AgentDefinitionError(
            f"approve of agent {spec.agent!r} is a function that decides about a call, not {shown(approve, 60)}: "
            "approve=lambda call: call.arguments['sum'] < 100; a tool asks first with "
            "tool(refund, requires_approval=True)"
        )
    given: Any = spec.instructions
    parts = cast("list[Any]", given) if isinstance(given, (list, tuple)) else [given]
    for part in parts:
        if isinstance(part, (bool, int, float, bytes, Mapping, set)):
            raise AgentDefinitionError(
                f"instructions of agent {spec.agent!r} are a text, a function that returns one, or a list "
                f"of these, not {shown(part, 60)}"
            )


def _has_no_model(wrapped: Any) -> bool:
    return getattr(wrapped, "model", None) is None


__all__ = ["MODEL_SETTINGS", "check_model_spec"]
