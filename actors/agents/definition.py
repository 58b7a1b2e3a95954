"""What an agent is made from: checks of what was given, and the handler of one that has a model."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final, cast

from ..dispatch.processes import check_portable
from ..errors import DISPATCHERS, unknown_dispatcher
from ..looks import is_a
from .errors import AgentDefinitionError
from .handler_adapters import AdaptedHandler, adapt_handler
from .model_spec import ModelSpec
from .model_turn import model_turn
from .models import ModelRequest, check_spec, run_model
from .usage_limits import BadUsageLimits, read_usage_limits


def check_agent(name: Any, handler: Any, model: Any, capabilities: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise AgentDefinitionError(f"an agent's name must be a non-empty string, not {name!r}")
    if handler is None and model is None:
        raise AgentDefinitionError(f"agent {name!r} has neither a handler nor a model")
    if isinstance(handler, str):
        words = " " in handler.strip()
        form = f"model='gpt-4o-mini', instructions={handler!r}" if words else f"model={handler!r}"
        raise AgentDefinitionError(
            f"the handler of agent {name!r} must be a function of the payload, not the text "
            f"{handler!r}; a model is given by its name: Agent({name!r}, {form})"
        )
    if isinstance(capabilities, str):
        raise AgentDefinitionError(
            f"capabilities of agent {name!r} must be a list: [{capabilities!r}]"
        )


_FUNCTIONS: Final = (FunctionType, MethodType, BuiltinFunctionType, partial)


def behaviour_of(name: str, handler: Any, model: Any) -> AdaptedHandler:
    """Return how agent *name* answers. Raises `AgentDefinitionError`."""
    if handler is None:
        return _MODEL
    adapted = None if is_a(handler, *_FUNCTIONS) else adapt_handler(name, handler)
    if adapted is not None and adapted.wrapped is not None:
        return adapted
    if model is not None:
        raise AgentDefinitionError(
            f"agent {name!r} has both a handler and a model; give it one of them"
        )
    if adapted is not None:
        return adapted
    if not callable(handler):
        raise AgentDefinitionError(
            f"the handler of agent {name!r} must be a function of the payload, not {handler!r}"
        )
    _check_takes_payload(name, handler)
    return AdaptedHandler(handler, waits=False)


def _check_takes_payload(name: str, handler: Callable[..., Any]) -> None:
    """Raise `AgentDefinitionError` unless *handler* can be called with one argument."""
    if type(handler) is FunctionType and not handler.__code__.co_kwonlyargcount:
        # Nearly every handler: a signature costs more than the rest of the agent.
        code, defaults = handler.__code__, len(handler.__defaults__ or ())
        enough = code.co_argcount >= 1 or code.co_flags & inspect.CO_VARARGS
        if enough and code.co_argcount - defaults <= 1:
            return
    try:
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # some functions written in C have no signature
    try:
        signature.bind(None)
    except TypeError as error:
        called = getattr(handler, "__name__", type(handler).__name__)
        raise AgentDefinitionError(
            f"the handler of agent {name!r} is called with one argument, the payload, and "
            f"{called}{signature} does not take that: {error}. What comes beside the payload is in "
            "agent_context()"
        ) from None


_MODEL: Final = AdaptedHandler()

SEQUENCES: Final = ("tools", "fallback_models")
"""The parameters of a model agent that are several things."""

_OF_MODELS: Final = {
    each.name: each.default
    for each in fields(ModelSpec)
    if each.init
    if each.name
    not in (
        "agent",
        "model",
        "instructions",
        "description",
        "output_schema",
        "guardrails",
        "wrapped",
    )
}
"""The parameters that only an agent with a model has, and what they are if they are not given."""


def model_spec_of(given: ModelSpec, *, has_model: bool) -> ModelSpec | None:
    """Return *given*, checked, for an agent with a model; None for one with a handler.

    Checked is what can be told without importing a model library. Raises `AgentDefinitionError`.
    """
    name = given.agent
    if not has_model:
        for key, default in _OF_MODELS.items():
            if getattr(given, key) is not default:
                raise AgentDefinitionError(
                    f"agent {name!r} has a handler, and {key}= is for agents with a model"
                )
        return None
    for key in SEQUENCES:
        value = getattr(given, key)
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise AgentDefinitionError(f"{key} of agent {name!r} must be a list: {key}=[{value!r}]")
    for model in (given.model, *given.fallback_models):
        if model is not None or given.wrapped is None:
            _check_model(name, model)
    _check_output(name, given.output_type, given.output_schema)
    settings = given.model_settings
    if settings is not None and not isinstance(settings, Mapping) and not callable(settings):
        raise AgentDefinitionError(
            f"model_settings of agent {name!r} is a mapping, not {settings!r}: "
            "model_settings={'temperature': 0.2}"
        )
    _check_retries(name, given.retries)
    try:
        read_usage_limits(f"agent {name!r}", given.usage_limits, of_agent=True)
    except BadUsageLimits as error:
        raise AgentDefinitionError(str(error)) from None
    several: dict[str, Any] = {key: tuple(getattr(given, key)) for key in SEQUENCES}
    return replace(given, **several)


def _check_model(name: str, model: Any) -> None:
    if isinstance(model, (list, tuple)):
        raise AgentDefinitionError(
            f"a model of agent {name!r} is {model!r}, and one model is asked: the first is model=, and "
            "those to ask where it fails are fallback_models=[...]"
        )
    blank = isinstance(model, str) and not model.strip()
    if blank or model is None or isinstance(model, (int, float, bytes, set, frozenset)):
        raise AgentDefinitionError(
            f"a model of agent {name!r} is {model!r}; it is a name, such as 'openai:gpt-4o-mini', or a "
            "model object of pydantic-ai"
        )


def _check_output(name: str, output_type: Any, output_schema: Any) -> None:
    if output_schema is None:
        return
    if output_type is not None:
        raise AgentDefinitionError(
            f"agent {name!r} has both output_type= and output_schema=; give it one of them"
        )
    if not isinstance(output_schema, Mapping):
        raise AgentDefinitionError(
            f"output_schema of agent {name!r} is a JSON schema, a mapping, not "
            f"{output_schema!r}; a class is given as output_type="
        )


def _check_retries(name: str, retries: Any) -> None:
    form = "retries=2, or retries={'tools': 3, 'output': 1}"
    if retries is None or _is_count(retries):
        return
    if not isinstance(retries, Mapping):
        raise AgentDefinitionError(
            f"retries of agent {name!r} is how often the model may try again, at least 0, "
            f"not {retries!r}: {form}"
        )
    for key, value in cast("Mapping[Any, Any]", retries).items():
        if key not in ("tools", "output") or not _is_count(value):
            raise AgentDefinitionError(
                f"retries of agent {name!r} has {key!r}: {value!r}; write {form}"
            )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value is not True and value is not False and value >= 0


def check_dispatcher(name: str, handler: Any, dispatcher: Any) -> None:
    if dispatcher is not None and dispatcher not in DISPATCHERS:
        raise unknown_dispatcher(f"Agent {name!r}", dispatcher)
    if dispatcher == "process":
        if handler is None:
            raise AgentDefinitionError(
                f"agent {name!r} has a model, which is waited for and not computed, so it needs no "
                "process of its own; leave dispatcher= out"
            )
        check_portable(f"The handler of agent {name!r}", handler)


MODEL_CONCURRENCY = 32
"""How many requests an agent with a model handles at once, if nothing is said: it only waits for its
provider, and a service's users would wait for each other. Bounded, because a provider refuses a flood."""


def concurrency_of(name: str, concurrency: Any, waits: bool) -> int:
    """Return how many messages the agent handles at once. Raises `AgentDefinitionError`."""
    if concurrency is None:
        return MODEL_CONCURRENCY if waits else 1
    if not isinstance(concurrency, int) or concurrency is True or concurrency < 1:
        raise AgentDefinitionError(
            f"the concurrency of agent {name!r} is how many messages it handles at once, at least 1, "
            f"not {concurrency!r}"
        )
    return concurrency


def is_async_handler(handler: Callable[..., Any]) -> bool:
    """Tell whether calling *handler* gives a coroutine or an async generator: also for partials and
    callable objects.
    """
    inner: Any = inspect.unwrap(handler)
    call: Any = getattr(type(handler), "__call__", None)  # noqa: B004 - the method itself
    while hasattr(inner, "func") and not inspect.isfunction(inner):
        inner = inner.func
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (inner, call)
    )


def model_handler(spec: ModelSpec) -> Callable[[Any], Awaitable[Any]]:
    """Return the handler of an agent that was made of *spec*: it asks the model.

    Raises what the check of specs raises.
    """
    check_spec(spec)

    async def ask_model(payload: Any) -> Any:
        turn = model_turn()
        used = spec if turn is None else turn.shape.applied_to(spec)
        return await run_model(
            ModelRequest(
                spec.agent, spec.model, spec.instructions, payload, spec.output_schema, used
            )
        )

    return ask_model
