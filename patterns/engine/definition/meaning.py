"""What of a definition decides how a run runs, and how two definitions differ in that.

A description, labels, a version, the name of an agent that is given itself, a default that is
written out: none of them matters to a run. So definitions are compared as they are understood, not
as they are written, and those that older versions have stored compare like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from pydantic import BaseModel

from ...execution.pattern import OrchestrationPattern
from .model import StepDefinition, WorkflowFields
from .shapes import Shape

if TYPE_CHECKING:
    from .plan import Plan, StepPlan

SameTarget = Callable[[str, Any, Any], bool]
"""Tells whether two targets of a kind (``agent``, ``team``, ...), names or what was given itself,
stand for the same."""


class TargetForm(NamedTuple):
    """What stands where something is asked: a name, or what was given itself."""

    kind: str
    target: Any


_TARGETS: Final[Mapping[str, str]] = {
    "agent": "agent",
    "agents": "agent",
    "root": "agent",
    "fallback": "agent",
    "team": "team",
    "pattern": "pattern",
    "workflow": "workflow",
}
"""The fields that hold targets, and of which kind those are."""

_GIVEN: Final = frozenset({"input", "output", "default"})
"""Fields of which it matters whether they were given, be it as None."""

_OF_NO_MATTER: Final = frozenset({"description", "depends_on"})
"""Fields of a step that decide nothing; what it waits for is looked at as a whole."""

_OF_THE_WHOLE: Final = ("output", "timeout_seconds", "on_failure")
"""The fields of a workflow, beside its steps, that decide something once it runs."""


def differences(old: Plan, new: Plan, same: SameTarget) -> list[str]:
    """Return how two plans differ in what decides how a run runs, a line for each difference."""
    if old is new:
        return []
    before, after = old.by_id, new.by_id
    lines = [f"step {name!r} is gone" for name in before if name not in after]
    lines += [f"step {name!r} is new" for name in after if name not in before]
    for name, step in before.items():
        if name in after and not _alike(_step(old, step), _step(new, after[name]), same):
            lines.append(f"step {name!r} is different")
    if not lines and old.names != new.names:
        lines.append("the order of the steps is different")
    for field in _OF_THE_WHOLE:
        if not _alike(_field(old.definition, field), _field(new.definition, field), same):
            lines.append(f"{field} is different")
    return lines


def same_work(old: StepPlan, new: StepPlan) -> bool:
    """Tell whether what one step was doing can go on as the other: they are of the same kind."""
    return _kind(old) == _kind(new)


def _kind(step: StepPlan) -> tuple[str, bool, bool]:
    return step.definition.kind, step.for_each is not None, step.iterates


def _step(plan: Plan, step: StepPlan) -> dict[str, Any]:
    definition = step.definition
    fields = {
        name: _field(definition, name)
        for name in StepDefinition.model_fields
        if name not in _OF_NO_MATTER
    }
    # What it waits for comes from depends_on, its references and its place together.
    return {**fields, "waits for": sorted(plan.depends[step.id])}


def _field(owner: BaseModel, name: str) -> Any:
    """Return one field of a definition as it is understood."""
    value = getattr(owner, name)
    if name in _GIVEN:
        return ("given", _plain(value)) if name in owner.model_fields_set else ()
    kind = _TARGETS.get(name)
    if kind is None or value is None:
        return _plain(value)
    if isinstance(value, tuple) and kind != "workflow":
        return [_target(kind, each) for each in cast("tuple[Any, ...]", value)]
    return _target(kind, value)


def _target(kind: str, value: Any) -> Any:
    if isinstance(value, WorkflowFields):
        plan = cast("Plan", getattr(value, "plan"))  # noqa: B009 - of the complete class
        steps = {step.id: _step(plan, step) for step in plan.steps}
        whole = {name: _field(value, name) for name in _OF_THE_WHOLE}
        return {**whole, "steps": steps, "order": list(plan.names)}
    if isinstance(value, (Mapping, list, tuple)):
        return _plain(value)
    if isinstance(value, OrchestrationPattern):
        return _pattern(value)
    return TargetForm(kind, value)


def _pattern(pattern: OrchestrationPattern) -> dict[str, Any]:
    definition = pattern.definition
    names = [n for n in type(definition).model_fields if n not in ("name", "description")]
    return {"pattern": pattern.kind, **{name: _field(definition, name) for name in names}}


def _plain(value: Any) -> Any:
    """Return a value as it reads after it was stored; what was given itself stays that."""
    if isinstance(value, Shape):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return {name: _field(value, name) for name in type(value).model_fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {str(key): _plain(item) for key, item in fields.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("list[Any] | tuple[Any, ...]", value)]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, OrchestrationPattern):
        return _pattern(value)
    return value.__name__ if isinstance(value, type) else TargetForm("agent", value)


def _alike(old: Any, new: Any, same: SameTarget) -> bool:
    if isinstance(old, TargetForm) and isinstance(new, TargetForm):
        return old.kind == new.kind and same(old.kind, old.target, new.target)
    if isinstance(new, TargetForm) and isinstance(old, str):
        return same(new.kind, old, new.target)
    if isinstance(old, dict) and isinstance(new, dict):
        one, other = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        return one.keys() == other.keys() and all(
            _alike(item, other[key], same) for key, item in one.items()
        )
    if isinstance(old, (list, tuple)) and not isinstance(old, TargetForm):
        if not isinstance(new, type(old)) or isinstance(new, TargetForm):  # pyright: ignore[reportUnknownArgumentType]
            return False
        pair = cast("list[Any]", old), cast("list[Any]", new)
        return len(pair[0]) == len(pair[1]) and all(
            _alike(one, other, same) for one, other in zip(*pair, strict=True)
        )
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)
