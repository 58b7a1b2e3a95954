"""What one request adds to an agent with a model: the choices that it has, and what it takes part in.

An agent is made once, and its model is asked under the same parameters each time. A caller
for which it is one part of many may add to them for one request: a team the handoffs that its members may
choose, a router the names among which its classifier chooses. It is put into the request's context,
under `MODEL_TURN`; agents with handlers do not look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast
from weakref import WeakKeyDictionary

from .agent_context import RUNTIME, agent_context
from .model_spec import ModelSpec

MODEL_TURN: Final = f"{RUNTIME}model_turn"
"""Where the context of a request has its `ModelTurn`."""


@dataclass(frozen=True, slots=True, eq=False)
class HandoffTool:
    """A tool that ends the request: a model calls it to hand over to another agent.

    *trigger* is what a mapping has that says the same, out of a function that stands in for a model. *payload* is the type of what the model has to give with it (None: nothing), under the name
    *argument*, unless the type has fields of its own. *answer* makes what the agent answers with of that.
    """

    name: str
    trigger: str
    description: str
    answer: Callable[[Any], Any]
    payload: Any = None
    argument: str = "data"


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something in a conversation that no model has said: by the user, or by an agent with a handler."""

    content: Any
    by_user: bool = False


@dataclass(frozen=True, slots=True)
class HandedOver:
    """From here on another has the conversation: *to*, with *data* if there is any.

    *trigger* is what it was handed over by; of a model, that is the name of the tool it called.
    """

    by: str
    to: str
    trigger: str
    data: Any = None


class Conversation(Protocol):
    """What several agents say to each other. Owned by the execution that it belongs to."""

    def messages(self) -> Sequence[Any]:
        """Return what was said so far: messages of the model library, `Spoken`, `HandedOver`."""
        ...

    def add(self, messages: Sequence[Any]) -> None:
        """Add the messages of a request that has been answered."""
        ...


class TurnState(Protocol):
    """What several agents share beside their conversation. Owned by whichever has its turn."""

    value: Any

    def data(self) -> Any:
        """Return it as plain data."""
        ...

    def restore(self, data: Any) -> None:
        """Make it again what it was when `data` returned *data*."""
        ...


class TurnShape:
    """How requests differ from what their agents were made with. Made once, used for many requests.

    *handoffs* are added to what the model may answer with. *output_type*, or *output_schema*, is what
    it has to answer with, where the agent has no output type or schema of its own.
    """

    def __init__(
        self,
        handoffs: Sequence[HandoffTool] = (),
        output_type: Any = None,
        output_schema: Mapping[str, Any] | None = None,
    ) -> None:
        self.handoffs = tuple(handoffs)
        self.output_type = output_type
        self.output_schema = output_schema

    def applied_to(self, spec: ModelSpec) -> ModelSpec:
        """Return *spec* with what this adds: the same object each time, so that it is built once, too."""
        types = not spec.typed and (self.output_type is not None or self.output_schema is not None)
        if not types and not self.handoffs:
            return spec
        shaped = spec.built.shaped
        if shaped is None:
            shaped = spec.built.shaped = WeakKeyDictionary[TurnShape, ModelSpec]()
        found = shaped.get(self)
        if found is None:
            found = shaped[self] = self._added_to(spec, types)
        return found

    def _added_to(self, spec: ModelSpec, types: bool) -> ModelSpec:
        if types and self.output_type is not None:
            spec = replace(spec, output_type=self.output_type, added_output=True)
        elif types:
            spec = replace(spec, output_schema=self.output_schema, added_output=True)
        return replace(spec, handoffs=self.handoffs) if self.handoffs else spec


@dataclass(frozen=True, slots=True, eq=False)
class ModelTurn:
    """What one request adds to an agent with a model.

    *conversation* takes the place of the agent's own history. With *goes_on* the model is not
    prompted: what it answers to stands in the conversation already. The value of *state* is what its
    tools get as their dependencies, where the agent has none of its own.
    """

    shape: TurnShape
    conversation: Conversation | None = None
    goes_on: bool = False
    state: TurnState | None = None


def model_turn() -> ModelTurn | None:
    """Return what is added to the request that the running handler answers."""
    return cast("ModelTurn | None", agent_context().get(MODEL_TURN))


__all__ = [
    "MODEL_TURN",
    "Conversation",
    "HandedOver",
    "HandoffTool",
    "ModelTurn",
    "Spoken",
    "TurnShape",
    "TurnState",
    "model_turn",
]
