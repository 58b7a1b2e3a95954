"""What a supervisor sends to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .child import Child


class TryAgain:
    """A restart failed: try it again, after whatever waits in the mailbox now.

    *key* is the child's id where children have ids; *child* its record where they have none.
    """

    __slots__ = ("child", "key")

    def __init__(self, key: Any, child: Child | None = None) -> None:
        self.key = key
        self.child = child


class BackoffOver:
    """The delay before a restart, which has been counted and allowed, is over."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child
