"""What a request adds to an agent with a model, where that agent works on another node.

What the model may answer with goes there as it is, or as a JSON schema, if its type was made for the
occasion and so has no import name; the answer is read as that type here. A conversation goes as its
messages, and what is added to it comes back; so does the state that the members of a team share.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from ..cluster.errors import CannotTravel
from ..dispatch.process_child import is_picklable
from ..looks import is_a, text_of
from .agent_result import AgentResult
from .call_words import StateSaid, TurnSaid
from .model_spec import ModelSpec
from .model_turn import ModelTurn, TurnShape, TurnState


class SentTurn(NamedTuple):
    """A `ModelTurn` as it goes to another node. *shape* is pickled, so that one is made for many."""

    shape: bytes
    messages: Sequence[Any] | None
    goes_on: bool
    state: TurnState | None


class RemoteConversation:
    """A conversation of another node, as one turn here sees it."""

    def __init__(self, messages: Sequence[Any], say: Callable[[Any], object]) -> None:
        self._messages = messages
        self._say = say

    def messages(self) -> Sequence[Any]:
        """Return what was said so far."""
        return self._messages

    def add(self, messages: Sequence[Any]) -> None:
        """Have the messages of this turn added where the conversation is."""
        self._say(TurnSaid(tuple(messages)))


def sent_turn(agent: str, turn: ModelTurn, *, has_model: bool) -> SentTurn | None:
    """Return *turn* as it goes to *agent* on another node. Raises `CannotTravel`."""
    shape, conversation = turn.shape, turn.conversation
    if not has_model:  # it looks at nothing but the state
        return None if turn.state is None else SentTurn(_EMPTY, None, False, turn.state)
    schema = None if travels(shape.output_type) else _adapter(shape.output_type).json_schema()
    output_type = shape.output_type if schema is None else None
    try:
        data = pickle.dumps((shape.handoffs, output_type, schema), protocol=5)
    except Exception as error:
        raise CannotTravel(f"What agent {agent!r} may answer with", text_of(error)) from error
    messages = None if conversation is None else list(conversation.messages())
    return SentTurn(data, messages, turn.goes_on, turn.state)


def turn_there(sent: SentTurn, say: Callable[[Any], object]) -> ModelTurn:
    """Return the turn that was sent as *sent*; *say* is how the caller is told."""
    conversation = None if sent.messages is None else RemoteConversation(sent.messages, say)
    return ModelTurn(_shape_of(sent.shape), conversation, sent.goes_on, sent.state)


def state_said(sent: SentTurn) -> StateSaid | None:
    """Return what the caller is told of the state as it is at the end of the turn."""
    return None if sent.state is None else StateSaid(sent.state.data())


def answer_here(turn: ModelTurn, spec: ModelSpec | None, answer: Any) -> Any:
    """Return *answer* of an agent on another node as it would be of one here."""
    output_type = turn.shape.output_type
    if spec is None or spec.typed or travels(output_type):
        return answer
    if is_a(answer, AgentResult):
        return replace(answer, output=_adapter(output_type).validate_python(answer.output))
    return _adapter(output_type).validate_python(answer)


def travels(output_type: Any) -> bool:
    """Tell whether a type goes to another node by its import name."""
    return output_type is None or is_picklable(output_type)


def _adapter(output_type: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(output_type)


@lru_cache(maxsize=128)
def _shape_of(data: bytes) -> TurnShape:
    # The same object for the same shape: what is built of an agent's spec is built once for each.
    handoffs, output_type, schema = pickle.loads(data)
    return TurnShape(handoffs, output_type, schema)


_EMPTY = pickle.dumps(((), None, None), protocol=5)


__all__ = ["SentTurn", "answer_here", "sent_turn", "state_said", "turn_there"]
