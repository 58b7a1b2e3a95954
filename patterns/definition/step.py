"""The parts of definitions: a target with its input, its condition and its policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeAlias, cast

from pydantic import BeforeValidator, Field

from ..vocabulary.target import Target, target_name
from .fields import ConditionField, TargetField
from .policy import NO_POLICY, Fallback, WorkPolicy


class Ask(WorkPolicy):
    """The agent that is asked, and the policy: the least that a piece of work says.

    Wherever one is expected, the agent alone will do: its name, an Agent, a pattern, a function.
    *name* is its name in outcomes; without one it is the agent's.
    """

    agent: TargetField
    name: str | None = Field(default=None, min_length=1)

    also_known_as: ClassVar[Mapping[str, str]] = {
        **WorkPolicy.also_known_as,
        "pattern": "agent",
        "team": "agent",
        "target": "agent",
    }

    @property
    def label(self) -> str:
        """The name in outcomes, before duplicates are numbered."""
        return self.name or target_name(self.agent)

    @property
    def policy(self) -> WorkPolicy:
        """The policy of this piece of work; `NO_POLICY` itself when there is none."""
        return NO_POLICY if self.plain else self

    def targets(self) -> Iterator[Target]:
        """Yield all targets that may be asked for this piece of work."""
        yield self.agent
        if isinstance(self.on_error, Fallback):
            yield self.on_error.fallback


class Branch(Ask):
    """One of several that are asked at the same time.

    *input_key* names the part of the input that it gets; without one it gets the whole input.
    *condition* decides whether it is asked at all.
    """

    input_key: str | None = None
    condition: ConditionField | None = None


class Step(Branch):
    """One of several that are asked one after another.

    *input_key* names its input: taken from the input data, else from the previous output if that is
    a mapping with the key, else the whole previous output. *output_key* keeps the output under that
    name for the *input_key* and the conditions of later steps. *stop_if*, over the output, ends the
    sequence early.
    """

    output_key: str | None = None
    stop_if: ConditionField | None = None


def coerce_ask(value: Any) -> Any:
    """Let the agent alone stand for a piece of work; a mapping with ``pattern`` may be either."""
    if isinstance(value, Mapping):
        given = cast(Mapping[str, Any], value)
        if "agent" not in given and isinstance(given.get("pattern"), str) and "name" in given:
            # {"pattern": "parallel", "name": ..., "branches": ...} is itself the agent.
            return {"agent": given}
        return given
    if value is None or isinstance(value, (Ask, list, tuple)):
        return cast(Any, value)
    return {"agent": value}


def as_list(value: Any) -> Any:
    """Return *value* where several are expected: itself if it is a list or tuple, else a list of it."""
    return cast(Any, value) if isinstance(value, (list, tuple)) else [value]


AskField: TypeAlias = Annotated[Ask, BeforeValidator(coerce_ask)]
BranchField: TypeAlias = Annotated[Branch, BeforeValidator(coerce_ask)]
StepField: TypeAlias = Annotated[Step, BeforeValidator(coerce_ask)]


def unique_names(labels: Iterable[str]) -> list[str]:
    """Return *labels* with repeated ones numbered.

    >>> unique_names(["writer", "editor", "writer"])
    ['writer', 'editor', 'writer#2']
    """
    names: list[str] = []
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for label in labels:
        name = label
        while name in taken:
            counts[label] = counts.get(label, 1) + 1
            name = f"{label}#{counts[label]}"
        taken.add(name)
        names.append(name)
    return names


def input_scope(
    input_data: Any, around: Mapping[str, Any] | None = None, /, **more: Any
) -> dict[str, Any]:
    """Return what a condition sees: ``input``, the input's own fields if it is a mapping, what others
    gave (*around*), and *more*. No field of data takes the place of ``input`` or of one of *more*.

    >>> input_scope({"n": 1, "output": "forged"}, {"input": "forged"}, output=2)
    {'n': 1, 'output': 2, 'input': {'n': 1, 'output': 'forged'}}
    """
    scope: dict[str, Any] = {}
    if isinstance(input_data, Mapping):
        scope.update(cast(Mapping[str, Any], input_data))
    if around:
        scope.update(around)
    scope["input"] = input_data
    scope.update(more)
    return scope
