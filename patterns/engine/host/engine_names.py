"""What names stand for in one engine: what is registered there, then what is bound, then agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agenticaiframework.actors import AmbiguousAgent, UnknownAgent

from ...vocabulary.bound_names import BoundNames, registered_with
from ..code.workflow import CodeWorkflow
from ..definition.workflow import WorkflowDefinition
from ..errors import UnknownName
from .directory import as_askable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...vocabulary.target import Askable, Resolver
    from ..definition.plan import Plan
    from .directory import Directory

NOTHING_BOUND = BoundNames()

_CONFINED: Final = (
    "Here a workflow names only what is registered; others may be named "
    "with EngineConfig(agents='any')"
)

_NOTHING_HELD: Final[Mapping[str, Any]] = {}
"""Shared by all that hold nothing; never added to."""


class EngineNames:
    """A resolver over the names of an engine, mostly of one run.

    What is registered with the engine comes first, then what the definition has *bound*, then what
    *outer* finds: the names of the execution around it, or the agents seen where the run was started.
    Where they are *confined*, names stand only for what is registered.
    """

    __slots__ = ("_bound", "_confined", "_directory", "_held", "_nest", "_outer")

    def __init__(
        self,
        directory: Directory,
        nest: Callable[[Plan], Askable],
        outer: Resolver,
        bound: BoundNames = NOTHING_BOUND,
        confined: bool = False,
    ) -> None:
        self._directory = directory
        self._nest = nest
        self._outer = outer
        self._bound = bound
        self._confined = confined
        self._held: Mapping[str, Any] = _NOTHING_HELD
        """What was found for names that are needed later, if at all."""

    def __call__(self, target: Any) -> Askable:
        """Return what *target* names, or is itself; raises `UnknownName`."""
        return self._as_askable(self.find(target) if isinstance(target, str) else target)

    def registered(self, name: str) -> Askable | None:
        """Return what has been registered as *name*, here or with the execution around it."""
        found = self._directory.registered(name)
        return registered_with(self._outer, name) if found is None else self._as_askable(found)

    def find(self, name: str, where: str = "") -> Any:
        """Return what *name* stands for where an agent is wanted; a workflow as its definition.

        Raises `UnknownName`, and `AmbiguousAgent`.
        """
        found: Any = self._directory.registered(name)
        if found is None:
            if self._confined:
                return self._find_registered(name, where)
            agent = self._bound.get(name)
            if agent is None:
                return self._find_around(name, where)
            found = registered_with(self._outer, name)
            return agent if found is None else found
        return found

    def hold(self, name: str, where: str) -> None:
        """Find *name* now, and keep for later what it stands for; raises as `find`."""
        self._held = {**self._held, name: self.find(name, where)}

    def set_free(self) -> EngineNames:
        """Return these names for what is not confined, within them."""
        if not self._confined:
            return self
        outer = self._outer
        around = outer.set_free() if isinstance(outer, EngineNames) else outer
        return EngineNames(self._directory, self._nest, around)

    def _find_registered(self, name: str, where: str) -> Any:
        found = registered_with(self._outer, name)
        if found is None:
            known = self._directory.registered_names()
            raise UnknownName("agent", name, known, where, _CONFINED)
        return found

    def _find_around(self, name: str, where: str) -> Any:
        if name in self._held:
            return self._held[name]
        try:
            return self._outer(name)
        except UnknownAgent as error:
            hint = ""
            if error.made_at is not None:
                hint = f"One was made at {error.made_at} and is gone, because nothing kept it"
            raise UnknownName("agent", name, self._directory.names(), where, hint) from None
        except AmbiguousAgent as error:
            raise AmbiguousAgent(name, error.made_at, where) from None

    def _as_askable(self, found: Any) -> Askable:
        if isinstance(found, (WorkflowDefinition, CodeWorkflow)):
            return self._nest(found.plan)
        return as_askable(found)
