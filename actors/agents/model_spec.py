"""What an agent with a model is made of, as its provider reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary


class BuiltOnce:
    """What was built of one spec: *it* by the provider that answers its requests, *shaped* by `TurnShape`.

    It stands in the spec, and not in a table by specs: what is built refers to the agent, and so to the
    spec, which a table would keep alive.
    """

    __slots__ = ("it", "shaped")

    def __init__(self) -> None:
        self.it: Any = None
        self.shaped: WeakKeyDictionary[Any, ModelSpec] | None = None
        """The spec with what each shape adds, by shape, weakly: a shape may be made for one request."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ModelSpec:
    """The parameters of one ``Agent(model=...)``, unread: this layer imports no model library.

    Compared by identity, and can be referred to weakly, so that what is built of it once can be kept
    beside it. The words are those of `Agent`.
    """

    agent: str
    model: object = None
    instructions: Any = None
    description: str = ""
    output_schema: Mapping[str, Any] | None = None
    output_type: Any = None
    tools: Sequence[Any] = ()
    model_settings: Any = None
    usage_limits: Any = None
    fallback_models: Sequence[Any] = ()
    guardrails: Sequence[Any] = ()
    history: Any = None
    deps: Any = None
    retries: int | Mapping[str, int] | None = None
    approve: Callable[..., Any] | None = None
    trace_content: bool = False
    wrapped: Any = None
    """The agent of the model library that was given as the handler, which brings its own model."""
    handoffs: Sequence[Any] = ()
    """The `HandoffTool` objects that the model may end a request with: added for one request."""
    added_output: bool = False
    """Whether *output_type* was added for one request: it is not the agent's own."""
    built: BuiltOnce = field(default_factory=BuiltOnce, init=False, repr=False)

    @property
    def typed(self) -> bool:
        """Whether the answer has to have a form, so that a text in it is never read as anything else."""
        return self.output_type is not None or self.output_schema is not None or bool(self.handoffs)


__all__ = ["ModelSpec"]
