"""Choices as typed outputs: what a pattern asks of an agent with a model that has to choose or to judge.

Such an agent is asked with an output type, unless it has one of its own: a choice that there is not, or
words in place of one, go back to its model, a few times at most, and are then an error. Agents with
handlers are not touched, nor is what is not itself an `Agent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from agenticaiframework.actors import MODEL_TURN, Agent, ModelTurn, TurnShape

if TYPE_CHECKING:
    from ..vocabulary.target import Target
    from .asking import Asking


class Chosen(BaseModel):
    """Base of the answers that are choices.

    A function in the place of a model may answer with less than all fields: *reads* makes them of that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads: ClassVar[Callable[[Any], Any] | None] = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if cls.reads is None or isinstance(data, Mapping):
            return cast("Any", data)
        return cls.reads(data)


def one_of(names: Sequence[str]) -> Any:
    """Return the type of one of *names*."""
    return Literal[tuple(names)]


def choice(
    name: str, what: str, /, *, reads: Callable[[Any], Any] | None = None, **fields: Any
) -> TurnShape:
    """Return what requests are given whose answer is a mapping with *fields*, and no others.

    A field is a type and its description, and perhaps its default; with a type that allows None it may be
    left out. *what* says in a sentence what is asked for.
    """
    made: dict[str, Any] = {}
    for field, (kind, description, *default) in fields.items():
        if type(None) in getattr(kind, "__args__", ()):
            default = [None]
        info: Any = Field(description=description)
        if default:
            info = Field(default=default[0], description=description)
        made[field] = (kind, info)
    output = create_model(name, __base__=Chosen, __doc__=what, **made)
    if reads is not None:
        output.reads = staticmethod(reads)
    return TurnShape(output_type=output)


def turn_for(run: Asking, target: Target, shape: TurnShape | None) -> Mapping[str, Any] | None:
    """Return the context in which *target* is asked for a choice; None where that changes nothing."""
    if shape is None:
        return None
    found = run.resolve(target)
    if not isinstance(found, Agent) or found.model_spec is None or found.model_spec.typed:
        return None
    return {MODEL_TURN: ModelTurn(shape)}


def plain(answer: Any) -> Any:
    """Return *answer* with a choice as the mapping that it is; what was left out is not in it."""
    if isinstance(answer, Chosen):
        return answer.model_dump(exclude_none=True)
    return answer


def part_of(answer: Any, field: str) -> Any:
    """Return *field* of *answer* if that is a choice; any other answer is returned as it is."""
    return getattr(answer, field) if isinstance(answer, Chosen) else answer


__all__ = ["Chosen", "choice", "one_of", "part_of", "plain", "turn_for"]
