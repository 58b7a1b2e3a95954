"""What an agent is made from: checks of what was given, and the handler of one that has a model."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..dispatch.processes import check_portable
from ..errors import DISPATCHERS, unknown_dispatcher
from .errors import AgentDefinitionError
from .models import ModelRequest, run_model


def check_agent(name: Any, handler: Any, model: Any, capabilities: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise AgentDefinitionError(f"an agent's name must be a non-empty string, not {name!r}")
    if handler is not None and model is not None:
        raise AgentDefinitionError(
            f"agent {name!r} has both a handler and a model; give it one of them"
        )
    if handler is None and model is None:
        raise AgentDefinitionError(f"agent {name!r} has neither a handler nor a model")
    if handler is not None and not callable(handler):
        raise AgentDefinitionError(
            f"the handler of agent {name!r} must be a function of the payload, not {handler!r}"
        )
    if isinstance(capabilities, str):
        raise AgentDefinitionError(
            f"capabilities of agent {name!r} must be a list: [{capabilities!r}]"
        )


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


def concurrency_of(name: str, concurrency: Any, model: Any) -> int:
    """Return how many messages the agent handles at once. Raises `AgentDefinitionError`."""
    if concurrency is None:
        return 1 if model is None else MODEL_CONCURRENCY
    if not isinstance(concurrency, int) or concurrency is True or concurrency < 1:
        raise AgentDefinitionError(
            f"the concurrency of agent {name!r} is how many messages it handles at once, at least 1, "
            f"not {concurrency!r}"
        )
    return concurrency


def is_async_handler(handler: Callable[..., Any]) -> bool:
    """Tell whether calling *handler* gives a coroutine, also for partials and callable objects."""
    inner: Any = inspect.unwrap(handler)
    call: Any = getattr(type(handler), "__call__", None)  # noqa: B004 - the method itself
    while hasattr(inner, "func") and not inspect.isfunction(inner):
        inner = inner.func
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(call)


def model_handler(
    name: str, model: Any, instructions: str | None, output: Mapping[str, Any] | None
) -> Callable[[Any], Awaitable[Any]]:
    async def ask_model(payload: Any) -> Any:
        return await run_model(
            ModelRequest(
                agent=name,
                model=model,
                instructions=instructions,
                payload=payload,
                output=output,
            )
        )

    return ask_model
