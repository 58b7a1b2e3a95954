"""Mailboxes: an unbounded deque by default, a bounded one with a declared policy where asked.

An unbounded mailbox is a plain ``collections.deque``, made by the first message, because a method
of our own on the path of every message would cost as much as the message. A bounded one is a deque
whose `append` applies the policy; so only mailboxes with a bound pay for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..errors import MailboxFull, WrongUse

Overflow = Literal["fail", "drop_newest", "drop_oldest", "backpressure"]
_POLICIES = ("fail", "drop_newest", "drop_oldest", "backpressure")


class Owner(Protocol):
    """Whose mailbox it is: a `Cell`."""

    def lose(self, item: Any, reason: Any, /) -> None:
        """*item* is not handled: fail it if it is a request, else make a dead letter of it."""
        ...


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How many messages may wait for an actor, and what happens to one too many.

    *capacity* None means unbounded. *overflow*:

    - ``fail``: the sender's `tell` or `request` raises `MailboxFull`;
    - ``drop_newest``: the message that does not fit becomes a dead letter;
    - ``drop_oldest``: the oldest waiting message becomes a dead letter;
    - ``backpressure``: `await ref.send(...)` and `await ref.request(...)` wait for room; a plain
      `tell`, which cannot wait, raises `MailboxFull`.

    Example: ``Mailbox(1000, overflow="drop_oldest")`` keeps the newest thousand.
    """

    capacity: int | None = None
    overflow: Overflow = "fail"

    def __post_init__(self) -> None:
        capacity: Any = self.capacity
        if capacity is not None and (not isinstance(capacity, int) or capacity is True):
            raise bad_mailbox_policy(f"capacity is {capacity!r}, which is not a whole number")
        if self.capacity is not None and self.capacity < 1:
            raise bad_mailbox_policy(f"capacity is {self.capacity}, and must be at least 1")
        if self.overflow not in _POLICIES:
            raise bad_mailbox_policy(
                f"overflow is {self.overflow!r}, and must be one of " + ", ".join(_POLICIES)
            )

    def make(self, owner: Owner) -> deque[Any]:
        """Return an empty mailbox of *owner* with this policy."""
        if self.capacity is None:
            return deque()
        if self.overflow == "fail":
            return FailingMailbox(owner, self.capacity)
        return BoundedMailbox(owner, self.capacity, self.overflow)


def bad_mailbox_policy(problem: str) -> WrongUse:
    """Return the error: a mailbox policy makes no sense."""
    return WrongUse(f'{problem}. For example: Mailbox(100, overflow="drop_oldest")')


UNBOUNDED = Mailbox()


class BoundedMailbox(deque[Any]):
    """A mailbox with a bound. Owned by the actor's loop thread.

    Signals and the kernel's own messages (exits, downs, timers, stop requests) enter by
    `deque.append` directly: they count, but are never refused, because the bound protects an actor
    from its senders and not from the system.
    """

    __slots__ = ("_owner", "capacity", "overflow", "waiting")

    def __init__(self, owner: Owner, capacity: int, overflow: Overflow) -> None:
        super().__init__()
        self._owner = owner
        self.capacity = capacity
        self.overflow = overflow
        self.waiting: deque[Any] = deque()
        """Requests of senders that wait for room, oldest first (``backpressure``)."""

    def append(self, item: Any, /) -> None:
        if len(self) < self.capacity:
            super().append(item)
            return
        if self.overflow == "drop_oldest":
            self._owner.lose(super().popleft(), "mailbox_full")
            super().append(item)
        elif self.overflow == "drop_newest":
            self._owner.lose(item, "mailbox_full")
        elif self.overflow == "backpressure" and getattr(item, "waits_for_room", False):
            self.waiting.append(item)
        else:
            raise MailboxFull(self._owner, self.capacity)

    def popleft(self) -> Any:
        item = super().popleft()
        self.admit()
        return item

    def admit(self) -> None:
        """Let the messages of waiting senders in, as far as there is room."""
        while self.waiting and len(self) < self.capacity:
            waiting = self.waiting.popleft()
            if waiting.asker_waiting:
                super().append(waiting.admit())


class FailingMailbox(deque[Any]):
    """A bounded mailbox whose senders fail when it is full: that of every agent.

    No sender waits for room here, so taking a message out is the deque's own `popleft`. A sender that
    is on the path of most messages compares `len` with `capacity` itself, and calls `enter`.
    """

    __slots__ = ("_owner", "capacity")

    overflow: Overflow = "fail"
    waiting: tuple[Any, ...] = ()

    def __init__(self, owner: Owner, capacity: int) -> None:
        super().__init__()
        self._owner = owner
        self.capacity = capacity

    enter = deque[Any].append
    """Take an item without a look at the bound."""

    def append(self, item: Any, /) -> None:
        if len(self) >= self.capacity:
            raise MailboxFull(self._owner, self.capacity)
        _append(self, item)


_append = deque[Any].append


class ClosedMailbox(deque[Any]):
    """Stands in the place of a stopped actor's mailbox: holds nothing and takes nothing.

    It makes the check "is the receiver still alive" free on the path of every message.
    """

    __slots__ = ()

    def append(self, item: Any, /) -> None:
        raise MailboxClosed


class MailboxClosed(Exception):
    """A message came after the actor had stopped; the sender's call turns it into its own error."""


CLOSED = ClosedMailbox()
