"""Objects of other libraries as handlers of agents: recognised by the modules of their classes.

No library is imported for it: an object of one that is not imported does not exist.
"""

from __future__ import annotations

from typing import Any, Final

from agenticaiframework.actors import AdaptedHandler, AgentDefinitionError

_AGENT_CLASS: Final = ("pydantic_ai", "AbstractAgent")


def adapt(name: str, handler: object) -> AdaptedHandler | None:
    """Return how agent *name* uses *handler*, an object of another library; None for what is none.

    Raises `AgentDefinitionError` for what cannot be used, with the line that works.
    """
    if isinstance(handler, type) and _is_agent_class(handler):
        raise AgentDefinitionError(
            f"the handler of agent {name!r} is the class of pydantic-ai's agents, and not one of them: "
            f"Agent({name!r}, handler={handler.__name__}('openai:gpt-4o-mini'))"
        )
    if is_pydantic_ai_agent(handler):
        return AdaptedHandler(wrapped=handler)
    from .foreign import adapt_handler

    return adapt_handler(name, handler)


def is_pydantic_ai_agent(handler: object) -> bool:
    """Tell whether *handler* is an agent of pydantic-ai's, by the names of its classes."""
    return _is_agent_class(type(handler))


def _is_agent_class(kind: type[Any]) -> bool:
    return any(
        (base.__module__.partition(".")[0], base.__name__) == _AGENT_CLASS for base in kind.__mro__
    )
