"""The record of one of several incarnations of a child, from its failure to its replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .child import Child

if TYPE_CHECKING:
    from agenticaiframework.actors import IncarnationFailed


class Incarnation(Child):
    """One incarnation that has failed, of a child that has several at once and serves on.

    It goes the way of a failed child: its failure is counted, judged and waited out as the child's,
    with the child's counts and its window. Only its "restart" differs: the child's pool replaces it.
    """

    __slots__ = ("_failed", "_whole")

    def __init__(self, whole: Child, failed: IncarnationFailed) -> None:
        super().__init__(whole.spec, handle=whole.handle)
        self._whole = whole
        self._failed = failed
        self.window = whole.window
        self.last_ref = failed.incarnation
        self.last_reason = failed.reason
        self.started_at = whole.started_at

    @property
    def whole(self) -> Child:
        return self._whole

    @property
    def restarts(self) -> int:
        """How often the child has been restarted, in whole or in part."""
        return self._whole.restarts

    @restarts.setter
    def restarts(self, value: int) -> None:
        whole: Child | None = getattr(self, "_whole", None)
        if whole is not None:  # not in the constructor of the base
            whole.restarts = value

    @property
    def row(self) -> int:
        """How many restarts the child has behind it in a row."""
        return self._whole.row

    @row.setter
    def row(self, value: int) -> None:
        whole: Child | None = getattr(self, "_whole", None)
        if whole is not None:
            whole.row = value

    @property
    def is_void(self) -> bool:
        """Whether the child has ended since, or is about to: its own end decides then."""
        return self._whole.ref is not self._failed.pool or self._whole.stopping

    def replace(self) -> None:
        """Let another incarnation take its place."""
        self.stopped()
        self._failed.replace()

    def give_up(self) -> None:
        """Let its place stay empty."""
        self._failed.give_up()
