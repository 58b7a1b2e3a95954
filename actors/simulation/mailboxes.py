"""Mailboxes that tell who sent what: how a simulated run sees every message without a hook.

The kernel's `tell` appends to the actor's mailbox and does nothing else, and so it stays: in
simulation the mailbox itself is another one. What the kernel puts in past the policy (exits, downs,
timers) is not a message of an actor and is not seen here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from agenticaiframework.actors.mailbox import BoundedMailbox, Mailbox

Sent = Callable[[Any, Any], None]

_put: Callable[[deque[Any], Any], None] = deque[Any].append


class Ledger:
    """What was sent to one incarnation and not yet handled; by identity, in order of sending.

    A message that is in the mailbox twice has two entries.
    """

    __slots__ = ("_held", "entries", "last_of", "out_of_order", "serial")

    def __init__(self) -> None:
        #: id of the message -> (message, sender, serial of the send, step of the exploration).
        self.entries: dict[int, list[tuple[Any, Any, int, int]]] = {}
        self._held: dict[int, list[tuple[Any, Any, int, int]]] = {}
        #: Sender -> serial of its message that was handled last.
        self.last_of: dict[Any, int] = {}
        self.serial = 0
        self.out_of_order: list[tuple[Any, Any]] = []

    def sent(self, item: Any, sender: Any, step: int) -> None:
        """Note one message more."""
        self.serial += 1
        entry = (item, sender, self.serial, step)
        have = self.entries.get(id(item))
        if have is None:
            self.entries[id(item)] = [entry]
        else:
            have.append(entry)

    def handled(self, item: Any) -> tuple[Any, Any, int, int] | None:
        """Take the entry of a message that is handled now; None if the kernel put it in."""
        have = self.entries.get(id(item))
        if have is None:
            return None
        entry = have.pop(0)
        if not have:
            del self.entries[id(item)]
        _, sender, serial, _ = entry
        if self.last_of.get(sender, 0) > serial:
            self.out_of_order.append((item, sender))
        else:
            self.last_of[sender] = serial
        return entry

    def inherit(self, other: Ledger) -> None:
        """Take over what *other* has open: its actor has ended, and the next one may get it."""
        for key, entries in other.entries.items():
            self.entries.setdefault(key, []).extend(entries)
        other.entries = {}

    def forget(self, item: Any) -> None:
        """Take the last entry of a message that left the mailbox in another way."""
        have = self.entries.get(id(item))
        if have is not None:
            have.pop()
            if not have:
                del self.entries[id(item)]

    def hold(self) -> None:
        """The mailbox is emptied, to be filled again with what selective receive leaves."""
        self._held, self.entries = self.entries, {}

    def give_back(self, item: Any) -> bool:
        """Let a message that selective receive leaves keep its place; tell whether it is one."""
        have = self._held.get(id(item))
        if not have:
            return False
        self.entries.setdefault(id(item), []).append(have.pop(0))
        return True

    def open(self) -> Iterable[tuple[Any, Any]]:
        """Yield the messages without an end, with their senders."""
        for have in self.entries.values():
            for item, sender, _, _ in have:
                yield item, sender


class WatchedMailbox(deque[Any]):
    """An unbounded mailbox that reports what is appended."""

    __slots__ = ("_sent", "ledger", "owner")

    owner: Any

    def __init__(self, actor: Any, ledger: Ledger, sent: Sent) -> None:
        super().__init__()
        self.ledger = ledger
        self._sent = sent

    def append(self, item: Any, /) -> None:
        self._sent(self, item)
        super().append(item)

    def clear(self) -> None:
        self.ledger.hold()
        super().clear()

    def extend(self, items: Iterable[Any], /) -> None:
        for item in items:
            if not self.ledger.give_back(item):
                self._sent(self, item)
            _put(self, item)


class WatchedBoundedMailbox(BoundedMailbox):
    """A bounded mailbox that reports what is let in."""

    __slots__ = ("_sent", "ledger", "owner")

    owner: Any

    def __init__(self, actor: Any, policy: Mailbox, ledger: Ledger, sent: Sent) -> None:
        assert policy.capacity is not None, "an unbounded policy has the other mailbox"
        super().__init__(actor, policy.capacity, policy.overflow)
        self.ledger = ledger
        self._sent = sent

    def append(self, item: Any, /) -> None:
        before = len(self)
        oldest = self[0] if before else None
        super().append(item)  # by its policy, which may raise
        if self and self[-1] is item:
            self._sent(self, item)
            if len(self) == before:
                self.ledger.forget(oldest)

    def clear(self) -> None:
        self.ledger.hold()
        super().clear()

    def extend(self, items: Iterable[Any], /) -> None:
        for item in items:
            if not self.ledger.give_back(item):
                self._sent(self, item)
            _put(self, item)
