"""Definitions that were given as dictionaries, kept so that each is checked and compiled once."""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, cast

from .templates import MAX_NESTING
from .workflow import WorkflowDefinition, define_workflow

LIMIT: Final = 256
"""Definitions kept; a service that makes definitions for ever must not fill its memory with them."""


class DefinitionCache:
    """Definitions by their content. Owned by its engine.

    The content is read anew at every call, so a dictionary that its owner has changed since is
    another definition. Its key is its marshalled form: a third of the price of JSON, and unlike a
    comparison with ``==`` it tells 1 from True. Agents and functions in it count by identity.
    """

    def __init__(self) -> None:
        # A definition keeps the objects in it alive, so their identities stay theirs.
        self._kept: OrderedDict[bytes, WorkflowDefinition] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, definition: WorkflowDefinition | Mapping[str, Any]) -> WorkflowDefinition:
        """Return *definition* as a checked workflow; raises `DefinitionError`."""
        if isinstance(definition, WorkflowDefinition):
            return definition
        try:
            key = marshal.dumps(cast("Any", definition), 2)
        except ValueError:
            try:
                key = marshal.dumps(_with_identities(definition, 0), 2)
            except ValueError:
                return define_workflow(definition)
        kept = self._kept
        workflow = kept.get(key)
        if workflow is None:
            workflow = kept[key] = define_workflow(definition)
            if len(kept) > LIMIT:
                kept.popitem(last=False)
        else:
            kept.move_to_end(key)
        return workflow


def _with_identities(value: Any, depth: int) -> Any:
    """Return *value* with everything that is not plain data replaced by what identifies it."""
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
