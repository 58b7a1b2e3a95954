"""Agents, teams and patterns as tools: asked by message, with name, description and input of their own.

What is asked is an actor of its own already, which its supervisor restarts; so the call needs no other.
The context, the session and the budget go along as with any nested ask.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from pydantic import BaseModel, Field

from agenticaiframework.actors import Agent, CallingSelf, as_data

from .errors import ToolDefinitionError
from .functions import dress
from .scope import HOLDER
from .signatures import described_by, hints_of

if TYPE_CHECKING:
    from pydantic_ai import Tool

ARGUMENT: Final = "request"
"""The name of what a model gives to ask."""

IN_CIRCLE: Final = "They are tools of one another, and would ask one another in a circle."
INSTEAD: Final = (
    "Answer without this tool. An agent that is to ask itself is asked by a function, given as the "
    "tool, which ends that."
)

_TEXT: Final = Annotated[
    str, Field(description="What is asked, with all that is needed to answer.")
]


def is_askable(what: Any) -> bool:
    """Tell whether *what* can be asked: an agent, a team, a pattern, or alike."""
    if isinstance(what, Agent):
        return True
    return (
        not isinstance(what, type)
        and callable(getattr(what, "ask", None))
        and isinstance(getattr(what, "name", None), str)
    )


def description_of(asked: Any) -> str:
    """Return what a model is told of *asked*: its description, its docstring, or what it was told to do."""
    said = getattr(asked, "description", None)
    if isinstance(said, str) and said.strip():
        return said.strip()
    handler = _handler_of(asked)
    doc = None if handler is None else inspect.getdoc(described_by(handler))
    if doc and doc.strip():
        return doc.strip()
    instructions = getattr(asked, "instructions", None)
    if isinstance(instructions, str) and instructions.strip():
        return f"Asks the agent {asked.name!r}, whose instructions are: {instructions.strip()}"
    return f"Asks {asked.name!r}."


def _handler_of(asked: Any) -> Callable[..., Any] | None:
    """Return the function that answers for *asked*, if it is an agent that has one of the user's."""
    if not isinstance(asked, Agent) or asked.model_spec is not None:
        return None
    return asked.handler


def input_type_of(asked: Any, given: Any, name: str) -> Any:
    """Return the type of what *asked* takes: as *given*, as its handler is annotated, or a text."""
    if given is not None:
        return given
    handler = _handler_of(asked)
    if handler is None:
        return _TEXT
    try:
        parameters = list(inspect.signature(handler).parameters.values())
        hints = hints_of(handler, name)
    except (TypeError, ValueError, ToolDefinitionError):
        return _TEXT  # it is asked by others, who read no annotations
    hint = hints.get(parameters[0].name, Any) if parameters else Any
    return _TEXT if hint in (Any, object, str) else hint


def askable_tool(asked: Any, name: str, description: str | None, input_type: Any) -> Tool[Any]:
    """Return *asked* as a tool of pydantic-ai."""
    from pydantic_ai import Tool

    takes_models = isinstance(asked, Agent)

    async def ask(**given: Any) -> Any:
        payload = given[ARGUMENT]
        if not takes_models and isinstance(payload, BaseModel):
            payload = payload.model_dump()
        token = _ASKING.set(_asking(asked))
        try:
            return _told(await asked.ask(payload))
        finally:
            _ASKING.reset(token)

    hint = input_type_of(asked, input_type, name)
    parameter = inspect.Parameter(ARGUMENT, inspect.Parameter.KEYWORD_ONLY, annotation=hint)
    doc = description or description_of(asked)
    dress(ask, name, doc, inspect.Signature([parameter]), {ARGUMENT: hint})
    return Tool(ask, name=name, description=doc)


_ASKING: Final[ContextVar[tuple[tuple[Any, str], ...]]] = ContextVar(
    "agenticaiframework_asking_as_tools", default=()
)
"""Whose models have asked one another by their tools to get here, and what they have asked: agents, teams
and what stands for an agent that was not asked as a tool. Handed on with every ask, as all context
variables are."""


def _asking(asked: Any) -> tuple[tuple[Any, str], ...]:
    """Return `_ASKING` with *asked*; raise `CallingSelf` if it is what this is done for.

    An agent with a place for each of many messages would go on for as long as there is one, each round
    a paid request. What is to ask itself on purpose is a function, which knows how deep it is: with what
    that asks the chain begins anew.
    """
    chain = _ASKING.get()
    holder = HOLDER.get()
    if holder is not None and not (chain and _stands_for(holder, chain[-1][0])):
        asked_by_function = bool(chain) and isinstance(chain[-1][0], Agent)
        own = (holder, holder.label.partition("[")[0])
        chain = (own,) if asked_by_function else (*chain, own)
    for place, (one, _) in enumerate(chain):
        if one is asked or (isinstance(asked, Agent) and _stands_for(one, asked)):
            raise CallingSelf(one, [name for _, name in chain[place:]], INSTEAD, IN_CIRCLE)
    return (*chain, (asked, asked.name))


def _stands_for(ref: Any, asked: Any) -> bool:
    return isinstance(asked, Agent) and asked.address_for().live is ref


def _told(answer: Any) -> Any:
    """Return *answer* in the form that a model reads: what a team or a workflow has made, as data."""
    kind = cast(Any, type(answer))
    return as_data(answer) if kind is not dict and isinstance(answer, Mapping) else answer


__all__ = ["ARGUMENT", "askable_tool", "description_of", "input_type_of", "is_askable"]
