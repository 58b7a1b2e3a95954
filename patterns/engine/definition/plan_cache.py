"""Plans of definitions that were given as dictionaries, kept so that each is compiled once."""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from .definition import WorkflowDefinition, define_workflow
from .templates import MAX_NESTING

if TYPE_CHECKING:
    from .plan import Plan

LIMIT: Final = 256
"""Plans kept; a service that makes definitions for ever must not fill its memory with them."""


class PlanCache:
    """Plans by the content of their definitions.

    The content is read anew at every call, so a dictionary that its owner has changed since is
    another definition. Its key is its marshalled form: a third of the price of JSON, and unlike a
    comparison with ``==`` it tells 1 from True. Agents and functions in it count by identity.
    """

    def __init__(self) -> None:
        # A plan keeps the objects of its definition alive, so their identities stay theirs.
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    def get(self, definition: WorkflowDefinition | Mapping[str, Any]) -> Plan:
        """Return the plan of *definition*; raises `DefinitionError`."""
        if isinstance(definition, WorkflowDefinition):
            return definition.plan
        try:
            key = marshal.dumps(cast("Any", definition), 2)
        except ValueError:
            try:
                key = marshal.dumps(_with_identities(definition, 0), 2)
            except ValueError:
                return define_workflow(definition).plan
        plans = self._plans
        plan = plans.get(key)
        if plan is None:
            plan = define_workflow(definition).plan
            plans[key] = plan
            if len(plans) > LIMIT:
                plans.popitem(last=False)
        else:
            plans.move_to_end(key)
        return plan


def _with_identities(value: Any, depth: int) -> Any:
    """Return *value* with everything that is no plain data replaced by what identifies it."""
    if depth > MAX_NESTING:
        raise ValueError("nested too deep for a key")
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {
            _with_identities(key, depth + 1): _with_identities(item, depth + 1)
            for key, item in fields.items()
        }
    if isinstance(value, (list, tuple)):
        items = cast("list[Any] | tuple[Any, ...]", value)
        return [_with_identities(item, depth + 1) for item in items]
    if value is None or value.__class__ in (str, int, float, bool, bytes):
        return value
    return (_OBJECT, id(value))


_OBJECT: Final = b"object"
