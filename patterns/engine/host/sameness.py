"""Whether what is asked in two definitions is the same, as one engine understands names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agenticaiframework.actors import agent_or_none

from ...vocabulary.target import target_name

if TYPE_CHECKING:
    from .directory import Directory


class SameTargets:
    """Compares the targets of a stored definition with those of the one that is known now.

    Two names are the same if they are equal, or stand for the same thing here. What is given itself
    may have another name than it had: it counts as the same, unless the old name is registered here
    for something else.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def __call__(self, kind: str, old: Any, new: Any) -> bool:
        """Tell whether two targets of a kind stand for the same."""
        if old is new or target_name(old) == target_name(new):
            return True
        was = self._registered(kind, old)
        if not isinstance(new, str):
            return was is None or was is new
        if was is None and kind == "agent" and isinstance(old, str):
            was = agent_or_none(old)
        now = self._registered(kind, new)
        if now is None and kind == "agent":
            now = agent_or_none(new)
        return was is not None and was is now

    def _registered(self, kind: str, target: Any) -> Any:
        if not isinstance(target, str):
            return target
        directory = self._directory
        if kind == "team":
            return directory.teams.get(target)
        if kind == "pattern":
            return directory.patterns.get(target)
        if kind == "workflow":
            return directory.workflows.get(target)
        return directory.registered(target)
